//! Words and numbers of the lines of telnet and Graphite.
//!
//! Words are separated by bytes up to 0x20. A word that begins with a quote runs to the next quote
//! that is followed by a blank or the line's end, blanks inside included.

use super::number;

/// Splits a line into words, without the quotes.
pub fn split<'a>(line: &'a [u8], out: &mut Vec<&'a [u8]>) {
    out.clear();
    let mut rest = skip_blanks(line);
    while let Some(first) = rest.first() {
        let (word, behind) = if *first == b'"' { quoted(rest) } else { word(rest) };
        out.push(word);
        rest = skip_blanks(behind);
    }
}

/// The text without leading blanks.
#[inline]
pub fn skip_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| **byte <= b' ').count();
    text.get(blanks..).unwrap_or(&[])
}

/// The text up to the first blank, and the rest from that blank on.
#[inline]
pub fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let (mut len, mut chunks) = (0, text.chunks_exact(8));
    for chunk in &mut chunks {
        let bytes = chunk.try_into().map_or(0, u64::from_le_bytes);
        // A byte below 0x21 borrows into its top bit; bytes from 0x80 on are masked out. A borrow
        // only spoils bytes above the first hit.
        let hits = bytes.wrapping_sub(0x2121_2121_2121_2121) & !bytes & 0x8080_8080_8080_8080;
        if hits != 0 {
            return text.split_at(len + hits.trailing_zeros() as usize / 8);
        }
        len += 8;
    }
    len += chunks.remainder().iter().take_while(|byte| **byte > b' ').count();
    text.split_at(len)
}

fn quoted(text: &[u8]) -> (&[u8], &[u8]) {
    let inner = text.get(1..).unwrap_or(&[]);
    let closing = memchr::memchr_iter(b'"', inner)
        .find(|at| inner.get(at + 1).is_none_or(|byte| *byte <= b' '));
    match closing {
        Some(at) => {
            let (word, behind) = inner.split_at(at);
            (word, behind.get(1..).unwrap_or(&[]))
        }
        None => (inner, &[]),
    }
}

/// A double as KairosDB's doors take it: an optional sign, digits with a dot, an optional exponent.
/// `None` for anything else, and for a value too large.
pub fn double(text: &[u8]) -> Option<f64> {
    let body = match text {
        [b'+' | b'-', body @ ..] => body,
        body => body,
    };
    if body.first() == Some(&b'-') {
        return None;
    }
    let value = number::float(body).filter(|value| value.is_finite())?;
    Some(if text.first() == Some(&b'-') { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let mut out = Vec::new();
        split(line.as_bytes(), &mut out);
        out.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    #[test]
    fn quotes_count_at_the_start_of_a_word_only() {
        assert_eq!(words(" put\t\tm  1 "), ["put", "m", "1"]);
        assert_eq!(words("host=a\"b x"), ["host=a\"b", "x"]);
        assert_eq!(words("host=\"a b\""), ["host=\"a", "b\""]);
        assert_eq!(words("\"host=a b\" x"), ["host=a b", "x"]);
        assert_eq!(words("\"a\"b\" c\" d"), ["a\"b", "c\"", "d"]);
        assert_eq!(words("\"a b"), ["a b"]);
        assert_eq!(words("\"\" \""), ["", ""]);
        assert_eq!(words("  "), Vec::<String>::new());
        assert_eq!(
            words("abcdefghijkl\u{1f}mn\u{e9}\u{7f}opqrstu v"),
            ["abcdefghijkl", "mn\u{e9}\u{7f}opqrstu", "v"]
        );
    }

    #[test]
    fn doubles_have_digits_and_a_dot() {
        let good = [("1.5", 1.5), ("-.5", -0.5), ("+1.5", 1.5), ("5.", 5.0), ("1.5e-3", 0.0015)];
        for (text, value) in good {
            assert_eq!(double(text.as_bytes()), Some(value), "{text}");
        }
        for text in [".", "-.", "1.5f", "+-1.5", "1.e", "a.b", "1.5e400", "inf.", "1..5", ""] {
            assert_eq!(double(text.as_bytes()), None, "{text}");
        }
    }
}
