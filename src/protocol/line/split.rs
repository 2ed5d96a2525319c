//! Where a line ends. Only `\n` ends a line, but not inside a quoted string, and a backslash takes
//! the byte behind it along (so `\` + newline goes on). Quotes count only behind the first blank,
//! and only where more `=` than commas have been seen. All of this is what InfluxDB 1.6 does,
//! comments included.

/// The offset of the newline that ends the line starting at `start`, or of the input's end. `None`:
/// more bytes follow and are needed to tell.
pub fn line_end(input: &[u8], start: usize, more: bool) -> Option<usize> {
    let line = input.get(start..).unwrap_or(&[]);
    let newline = memchr::memchr(b'\n', line);
    let head = newline.map_or(line, |at| line.get(..at).unwrap_or(line));
    match (memchr::memchr2(b'"', b'\\', head), newline) {
        (None, Some(at)) => Some(start + at),
        (None, None) if more => None,
        (None, None) => Some(input.len()),
        (Some(_), _) => scan(line, more).map(|at| start + at),
    }
}

fn scan(line: &[u8], more: bool) -> Option<usize> {
    let (mut at, mut quoted, mut fields) = (0, false, false);
    let (mut equals, mut commas) = (0usize, 0usize);
    while let Some(byte) = line.get(at) {
        match byte {
            // A backslash among the last two bytes of all input is an ordinary byte.
            b'\\' if at + 2 < line.len() => at += 1,
            b'\\' if more => return None,
            b' ' => fields = true,
            b'=' if fields && !quoted => equals += 1,
            b',' if fields && !quoted => commas += 1,
            b'"' if fields && equals > commas => quoted = !quoted,
            b'\n' if !quoted => return Some(at),
            _ => {}
        }
        at += 1;
    }
    (!more).then_some(line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_hold_a_line_together() {
        let end = |text: &str| line_end(text.as_bytes(), 0, false);
        assert_eq!(end("m f=1\nn"), Some(5));
        assert_eq!(end("m f=\"a\nb\"\nn"), Some(9));
        assert_eq!(end("m,t=\"a\nb"), Some(6), "a quote in a tag means nothing");
        assert_eq!(end("m \"f\n"), Some(4), "nor in a field's name");
        assert_eq!(end("m,t=a\\\nb f=1\nx"), Some(12));
        assert_eq!(end("m f=1\\\n"), Some(6), "at the very end a backslash is ordinary");
        assert_eq!(end("# a=\"b\nm f=1\n"), Some(13), "a comment is read alike");
    }

    #[test]
    fn an_open_line_waits_for_more() {
        for text in ["m f=1", "m f=\"a\n", "m f=\"\\", "m f=\"\\\n", "m f=1\\\n"] {
            assert_eq!(line_end(text.as_bytes(), 0, true), None, "{text:?}");
        }
    }
}
