//! JSON as tokens of bytes that stay where they are: blanks, strings, numbers, whole values.
//!
//! In: the bytes of a body that are there, and a place in them. Out: the place behind what was
//! read, or why it cannot be read: the bytes end (more of them may come) or are no JSON. Nothing is
//! copied; a string is unescaped only when its text is wanted. A value's shape is checked token by
//! token with the open brackets as bits, so reading stops and goes on at any token and depth costs
//! no stack.

use std::borrow::Cow;

/// Deepest nesting of a value.
pub const DEPTH_MAX: u32 = 64;
/// Longest string or number (bytes).
pub const TOKEN_BYTES_MAX: usize = 1 << 20;

/// Why reading stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The bytes end inside a token or before the next one.
    Cut,
    /// No JSON; the text says what is wrong.
    Bad(&'static str),
}

/// The offset of the next byte that is no blank, and that byte.
#[inline]
pub fn peek(bytes: &[u8], at: usize) -> Result<(usize, u8), Trouble> {
    let rest = bytes.get(at..).unwrap_or(&[]);
    // Compact bodies have no blanks at all.
    if let Some(first) = rest.first().filter(|byte| **byte > b' ') {
        return Ok((at, *first));
    }
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let blanks = rest.iter().take_while(blank).count();
    rest.get(blanks).map(|byte| (at + blanks, *byte)).ok_or(Trouble::Cut)
}

/// Behind the string whose opening quote is at `at`: its text is checked to be UTF-8 with good
/// escapes.
#[inline]
pub fn string_end(bytes: &[u8], at: usize) -> Result<usize, Trouble> {
    let mut here = at + 1;
    let mut plain = true;
    loop {
        let rest = bytes.get(here..).unwrap_or(&[]);
        here += special(rest);
        match bytes.get(here) {
            Some(b'"') => break,
            Some(b'\\') => here = escape_end(bytes, here)?,
            Some(byte) if *byte >= 0x80 => {
                plain = false;
                here += 1;
            }
            Some(_) => return Err(Trouble::Bad("Unescaped control character in string")),
            None if here - at > TOKEN_BYTES_MAX => return Err(Trouble::Bad("String too long")),
            None => return Err(Trouble::Cut),
        }
    }
    if here - at > TOKEN_BYTES_MAX {
        return Err(Trouble::Bad("String too long"));
    }
    let text = bytes.get(at + 1..here).unwrap_or(&[]);
    if !plain && std::str::from_utf8(text).is_err() {
        return Err(Trouble::Bad("String is not valid UTF-8"));
    }
    Ok(here + 1)
}

/// The length of the text in front of the first byte that is a quote, a backslash, a control
/// character or no ASCII.
#[inline]
fn special(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (mut len, mut chunks) = (0, text.chunks_exact(8));
    for chunk in &mut chunks {
        let word = chunk.try_into().map_or(0, u64::from_le_bytes);
        // Borrows only spoil bytes above the first hit.
        let control = word.wrapping_sub(0x20 * ONES) & !word & HIGH;
        let quote = zero_bytes(word ^ (u64::from(b'"') * ONES));
        let slash = zero_bytes(word ^ (u64::from(b'\\') * ONES));
        let hits = control | quote | slash | word & HIGH;
        if hits != 0 {
            return len + hits.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    let ordinary = |byte: &&u8| (0x20..0x80).contains(*byte) && !matches!(**byte, b'"' | b'\\');
    len + chunks.remainder().iter().take_while(ordinary).count()
}

fn escape_end(bytes: &[u8], at: usize) -> Result<usize, Trouble> {
    match bytes.get(at + 1) {
        None => Err(Trouble::Cut),
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match bytes.get(at + 2..at + 6) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(at + 6),
            Some(_) => Err(Trouble::Bad("Invalid escape sequence")),
            None => Err(Trouble::Cut),
        },
        Some(_) => Err(Trouble::Bad("Invalid escape sequence")),
    }
}

/// The text of a string token that `string_end` took, without its quotes and escapes.
pub fn text(token: &[u8]) -> Cow<'_, [u8]> {
    let inner = token.get(1..token.len().saturating_sub(1)).unwrap_or(&[]);
    if memchr::memchr(b'\\', inner).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    unescape(inner, &mut out);
    Cow::Owned(out)
}

/// Appends the text of a string's inside.
pub fn unescape(inner: &[u8], out: &mut Vec<u8>) {
    let mut rest = inner;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let len = match escape.get(1) {
            Some(b'u') => unescape_unicode(escape, out),
            Some(letter) => {
                out.push(match letter {
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                });
                2
            }
            None => 1,
        };
        rest = escape.get(len..).unwrap_or(&[]);
    }
    out.extend_from_slice(rest);
}

/// Appends the character of `\uXXXX`, or of two of them that are one surrogate pair; a lone half
/// becomes U+FFFD. Gives the length of what was read.
fn unescape_unicode(escape: &[u8], out: &mut Vec<u8>) -> usize {
    let unit = |at: usize| {
        let digits = escape.get(at..at + 6)?.strip_prefix(b"\\u")?;
        let text = std::str::from_utf8(digits).ok()?;
        u32::from_str_radix(text, 16).ok()
    };
    let first = unit(0).unwrap_or(0xFFFD);
    let second = unit(6).filter(|low| (0xDC00..0xE000).contains(low));
    let (code, len) = match second {
        Some(low) if (0xD800..0xDC00).contains(&first) => {
            (0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00), 12)
        }
        _ => (first, 6),
    };
    let character = char::from_u32(code).unwrap_or('\u{FFFD}');
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    len
}

/// Behind the number at `at`: `[-]digits[.digits][e[±]digits]`, leading zeros allowed.
#[inline]
pub fn number_end(bytes: &[u8], at: usize) -> Result<usize, Trouble> {
    const BAD: Trouble = Trouble::Bad("Malformed number");
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or(&[]);
        let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        // The number may go on in bytes still to come.
        match rest.get(len) {
            None if len > TOKEN_BYTES_MAX => Err(BAD),
            None => Err(Trouble::Cut),
            Some(_) if len == 0 => Err(BAD),
            Some(next) => Ok((from + len, *next)),
        }
    };
    let start = at + usize::from(bytes.get(at) == Some(&b'-'));
    let (mut end, mut next) = digits(start)?;
    if next == b'.' {
        (end, next) = digits(end + 1)?;
    }
    if matches!(next, b'e' | b'E') {
        let sign = match bytes.get(end + 1) {
            None => return Err(Trouble::Cut),
            Some(b'+' | b'-') => 1,
            Some(_) => 0,
        };
        (end, _) = digits(end + 1 + sign)?;
    }
    Ok(end)
}

/// Behind one of `true`, `false`, `null`.
fn word_end(bytes: &[u8], at: usize) -> Result<usize, Trouble> {
    let rest = bytes.get(at..).unwrap_or(&[]);
    for word in [b"true".as_slice(), b"false", b"null"] {
        if rest.starts_with(word) {
            return Ok(at + word.len());
        }
        if word.starts_with(rest) {
            return Err(Trouble::Cut);
        }
    }
    Err(Trouble::Bad("Unexpected character"))
}

/// Behind the string, number or word at `at`.
#[inline]
pub fn scalar_end(bytes: &[u8], at: usize, first: u8) -> Result<usize, Trouble> {
    match first {
        b'"' => string_end(bytes, at),
        b'-' | b'0'..=b'9' => number_end(bytes, at),
        _ => word_end(bytes, at),
    }
}

/// What may come next inside a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Value,
    /// Behind `[`.
    ValueOrEnd,
    Key,
    /// Behind `{`.
    KeyOrEnd,
    Colon,
    CommaOrEnd,
}

/// A value on its way: how deep inside it reading is, and what has to come.
#[derive(Clone, Copy, Debug)]
pub struct Skip {
    depth: u32,
    /// Open brackets, the innermost lowest: 1 is an array.
    arrays: u64,
    next: Next,
}

impl Default for Skip {
    fn default() -> Skip {
        Skip { depth: 0, arrays: 0, next: Next::Value }
    }
}

impl Skip {
    /// Reads on up to about `until`; true when the value is over. `at` moves behind what was read,
    /// also when there is trouble: never into a token.
    #[inline]
    pub fn run(&mut self, bytes: &[u8], at: &mut usize, until: usize) -> Result<bool, Trouble> {
        loop {
            let (here, first) = peek(bytes, *at)?;
            *at = self.token(bytes, here, first)?;
            if self.depth == 0 {
                return Ok(true);
            }
            if *at >= until {
                return Ok(false);
            }
        }
    }

    #[inline]
    fn token(&mut self, bytes: &[u8], at: usize, first: u8) -> Result<usize, Trouble> {
        match (self.next, first) {
            (Next::Value | Next::ValueOrEnd, b'[') => self.open(1, Next::ValueOrEnd, at),
            (Next::Value | Next::ValueOrEnd, b'{') => self.open(0, Next::KeyOrEnd, at),
            (Next::ValueOrEnd | Next::CommaOrEnd, b']') if self.arrays & 1 == 1 => {
                Ok(self.close(at))
            }
            (Next::KeyOrEnd | Next::CommaOrEnd, b'}') if self.arrays & 1 == 0 => Ok(self.close(at)),
            (Next::Value | Next::ValueOrEnd, _) => {
                let end = scalar_end(bytes, at, first)?;
                self.next = Next::CommaOrEnd;
                Ok(end)
            }
            (Next::Key | Next::KeyOrEnd, b'"') => {
                let end = string_end(bytes, at)?;
                self.next = Next::Colon;
                Ok(end)
            }
            (Next::Colon, b':') => {
                self.next = Next::Value;
                Ok(at + 1)
            }
            (Next::CommaOrEnd, b',') => {
                self.next = if self.arrays & 1 == 1 { Next::Value } else { Next::Key };
                Ok(at + 1)
            }
            (Next::Colon, _) => Err(Trouble::Bad("Expected ':'")),
            (Next::CommaOrEnd, _) => Err(Trouble::Bad("Expected ',' or the end")),
            (Next::Key | Next::KeyOrEnd, _) => Err(Trouble::Bad("Expected a name")),
        }
    }

    fn open(&mut self, array: u64, next: Next, at: usize) -> Result<usize, Trouble> {
        if self.depth >= DEPTH_MAX - 1 {
            return Err(Trouble::Bad("Nesting too deep"));
        }
        self.depth += 1;
        self.arrays = self.arrays << 1 | array;
        self.next = next;
        Ok(at + 1)
    }

    fn close(&mut self, at: usize) -> usize {
        self.depth -= 1;
        self.arrays >>= 1;
        self.next = Next::CommaOrEnd;
        at + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The whole text as one value, read in steps that see more and more bytes.
    fn skip(text: &[u8], step: usize) -> Result<usize, Trouble> {
        let (mut skip, mut at, mut seen) = (Skip::default(), 0, 0);
        loop {
            seen = (seen + step).min(text.len());
            let bytes = &text[..seen];
            let until = at + 3;
            match skip.run(bytes, &mut at, until) {
                Ok(true) => return Ok(at),
                Ok(false) => {}
                Err(Trouble::Cut) if seen < text.len() => {}
                Err(trouble) => return Err(trouble),
            }
        }
    }

    #[test]
    fn values_end_where_they_end() {
        let good = [
            "[1,-2.5e+3,\"a\\\"]\\u00e9\",true,null,{\"a\":{}},[]] ",
            "{\"a\":[[1,2],[3]],\"b\":\"\"}",
            " \"x\"",
            "[ 1 , 2 ]",
            "007 ",
        ];
        for text in good {
            for step in [1, 2, 1000] {
                assert_eq!(skip(text.as_bytes(), step), Ok(text.trim_end().len()), "{text}");
            }
        }
        let bad = [
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":}",
            "{1:2}",
            "[1 2]",
            "{\"a\":1,}",
            "[1}",
            "nul ",
            "[1.]",
            "[-]",
            "[1e]",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\u{1}\"",
            "]",
            "[NaN]",
        ];
        for text in bad {
            assert!(matches!(skip(text.as_bytes(), 1), Err(Trouble::Bad(_))), "{text}");
            assert!(matches!(skip(text.as_bytes(), 1000), Err(Trouble::Bad(_))), "{text}");
        }
        assert!(matches!(skip(b"\"\xff\"", 9), Err(Trouble::Bad(_))));
        for text in ["", "[1", "[1,", "{\"a\"", "\"abc", "12", "\"\\", "\"\\u12", "fal", "{"] {
            assert_eq!(skip(text.as_bytes(), 1), Err(Trouble::Cut), "{text}");
        }
        let deep = "[".repeat(1_000_000);
        assert_eq!(skip(deep.as_bytes(), 4096), Err(Trouble::Bad("Nesting too deep")));
    }

    #[test]
    fn escapes_become_characters() {
        let cases: [(&str, &str); 5] = [
            ("plain", "plain"),
            (r#"a\"\\\/\b\f\n\r\tz"#, "a\"\\/\u{8}\u{c}\n\r\tz"),
            (r"\u00e9\u2603", "é☃"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\ud83dx\ude00", "\u{fffd}x\u{fffd}"),
        ];
        for (inner, expected) in cases {
            let token = format!("\"{inner}\"");
            assert_eq!(string_end(token.as_bytes(), 0), Ok(token.len()));
            assert_eq!(&*text(token.as_bytes()), expected.as_bytes(), "{inner}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn any_cut_reads_the_same(text in "[\\[\\]{}:,\"a0-9.e\\\\-]{0,24}", step in 1usize..5) {
            prop_assert_eq!(skip(text.as_bytes(), step), skip(text.as_bytes(), 1000));
        }

        #[test]
        fn strings_written_by_a_library_read_back(value in "\\PC{0,12}[\"\\\\\n]{0,2}.{0,9}") {
            let value: String = value.chars().filter(|c| *c >= ' ' || *c == '\n').collect();
            let token = format!("{:?}", value);
            // Rust's own escapes beyond JSON's are left out.
            if !token.contains("\\u{") && !token.contains("\\0") {
                prop_assert_eq!(string_end(token.as_bytes(), 0), Ok(token.len()));
                prop_assert_eq!(&*super::text(token.as_bytes()), value.as_bytes());
            }
        }
    }
}
