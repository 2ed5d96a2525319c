//! Text of protocol 0: quoted strings with escapes, and raw unicode lines.

/// The bytes of a quoted string as Python writes it: `'…'` or `"…"` with backslash escapes.
pub fn string_line(line: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let line = line.trim_ascii();
    let quote = line.first().copied().filter(|byte| matches!(byte, b'\'' | b'"'));
    let quote = quote.filter(|quote| line.len() >= 2 && line.last() == Some(quote));
    if quote.is_none() {
        return Err("a string without its quotes");
    }
    let mut rest = line.get(1..line.len() - 1).unwrap_or_default();
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        let escape = rest.get(at + 1..).unwrap_or_default();
        rest = escaped(escape, out)?;
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// Resolves the escape behind a backslash; gives what follows it.
fn escaped<'t>(escape: &'t [u8], out: &mut Vec<u8>) -> Result<&'t [u8], &'static str> {
    let Some((kind, rest)) = escape.split_first() else { return Err("a lone backslash") };
    let plain = match kind {
        b'\\' | b'\'' | b'"' => *kind,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        b'v' => 11,
        b'f' => 12,
        b'x' => {
            let (value, rest) = digits(rest, 2, 16).ok_or("a broken escape")?;
            out.push(value as u8);
            return Ok(rest);
        }
        b'0'..=b'7' => {
            let len = escape.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
            let (value, rest) = digits(escape, len, 8).ok_or("a broken escape")?;
            out.push(value as u8);
            return Ok(rest);
        }
        other => {
            out.push(b'\\');
            *other
        }
    };
    out.push(plain);
    Ok(rest)
}

/// A number of exactly `len` digits and what follows it.
fn digits(text: &[u8], len: usize, radix: u32) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(len)?;
    let digits = std::str::from_utf8(digits).ok()?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    u32::from_str_radix(digits, radix).ok().filter(|_| plain).map(|value| (value, rest))
}

/// A unicode line: Latin-1 with `\uXXXX` and `\UXXXXXXXX`; out comes UTF-8.
pub fn unicode_line(line: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut rest = line;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        let len = match (byte, behind.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                push(char::from(*byte), out);
                continue;
            }
        };
        let digits = digits(behind.get(1..).unwrap_or_default(), len, 16);
        let (value, behind) = digits.ok_or("a broken escape")?;
        push(char::from_u32(value).ok_or("no character")?, out);
        rest = behind;
    }
    Ok(())
}

fn push(char: char, out: &mut Vec<u8>) {
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_with_escapes() {
        let read = |line: &str| {
            let mut out = Vec::new();
            string_line(line.as_bytes(), &mut out).map(|()| out)
        };
        assert_eq!(read("'a.b'").unwrap(), b"a.b");
        assert_eq!(read("\"it's\"\r").unwrap(), b"it's");
        assert_eq!(read(r"'\\\'\x41\101\7\n\q'").unwrap(), b"\\'AA\x07\n\\q");
        assert_eq!(read("''").unwrap(), b"");
        for bad in ["", "'", "'a", "a'", "'a\"", r"'\x4'", r"'\xg0'", r"'\x+1'"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        // The quote at the end closes, whatever stands before it.
        assert_eq!(read(r"'a\'").unwrap_err(), "a lone backslash");
    }

    #[test]
    fn unicode_lines() {
        let read = |line: &[u8]| {
            let mut out = Vec::new();
            unicode_line(line, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(read(b"a.b\xe9\\u20ac\\U0001f600\\n").unwrap(), "a.b\u{e9}\u{20ac}\u{1f600}\\n");
        for bad in [b"\\u12".as_slice(), b"\\ud800", b"\\U00110000", b"\\u+123"] {
            assert!(read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
