//! JSON of requests, read as leniently as KairosDB reads it.
//!
//! In: bytes. Out: a tree whose objects keep the order of their keys (messages count positions) and
//! whose numbers keep their text. Beyond the standard: a byte order mark, strings in single quotes,
//! names and words without quotes. Nesting is bounded, so is the tree by the text's length; errors
//! name the byte.

use crate::encode::scalar;

/// Objects and arrays within each other.
const DEPTH_MAX: usize = 64;

/// A value.
#[derive(Clone, PartialEq, Debug)]
pub enum Json {
    Null,
    Bool(bool),
    /// As written; reads as a number.
    Number(Box<str>),
    Text(Box<str>),
    Array(Vec<Json>),
    /// In the order of the text; names may repeat.
    Object(Vec<(Box<str>, Json)>),
}

/// Why a text is no JSON.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JsonError {
    #[error("end of input")]
    End,
    #[error("malformed json at byte {0}")]
    Malformed(usize),
    #[error("json is nested too deeply at byte {0}")]
    Deep(usize),
}

/// Reads one value and nothing behind it.
///
/// # Errors
/// Text that is none, ends too early, or nests too deeply.
pub fn parse(bytes: &[u8]) -> Result<Json, JsonError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|error| JsonError::Malformed(error.valid_up_to()))?;
    let mut reader = Reader { bytes: text.as_bytes(), text, at: 0 };
    let value = reader.value(0)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(JsonError::Malformed(reader.at)),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn fail<T>(&self) -> Result<T, JsonError> {
        Err(match self.at < self.bytes.len() {
            true => JsonError::Malformed(self.at),
            false => JsonError::End,
        })
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        if depth >= DEPTH_MAX {
            return Err(JsonError::Deep(self.at));
        }
        match self.peek() {
            None => Err(JsonError::End),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"' | b'\'') => Ok(Json::Text(self.string()?)),
            Some(_) => self.word(),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.at += 1;
        let mut all = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(all));
        }
        loop {
            all.push(self.value(depth + 1)?);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(all));
                }
                _ => return self.fail(),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.at += 1;
        let mut all = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(all));
        }
        loop {
            let name = match self.peek() {
                Some(b'"' | b'\'') => self.string()?,
                _ => self.bare()?.into(),
            };
            match self.peek() {
                Some(b':') => self.at += 1,
                _ => return self.fail(),
            }
            all.push((name, self.value(depth + 1)?));
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Object(all));
                }
                _ => return self.fail(),
            }
        }
    }

    /// Letters, digits and what numbers and names consist of, at least one.
    fn bare(&mut self) -> Result<&str, JsonError> {
        let rest = self.bytes.get(self.at..).unwrap_or(&[]);
        let part = |byte: &u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'.' | b'$')
        };
        let len = rest.iter().position(|byte| !part(byte)).unwrap_or(rest.len());
        if len == 0 {
            return self.fail();
        }
        let start = self.at;
        self.at += len;
        Ok(self.text.get(start..self.at).unwrap_or(""))
    }

    fn word(&mut self) -> Result<Json, JsonError> {
        let word = self.bare()?;
        Ok(match word {
            "null" => Json::Null,
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            _ if is_number(word) => Json::Number(word.into()),
            _ => Json::Text(word.into()),
        })
    }

    fn string(&mut self) -> Result<Box<str>, JsonError> {
        let quote = self.bytes.get(self.at).copied().unwrap_or(b'"');
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or(&[]);
            let Some(len) = rest.iter().position(|byte| *byte == quote || *byte == b'\\') else {
                return Err(JsonError::End);
            };
            out.push_str(self.text.get(self.at..self.at + len).unwrap_or(""));
            self.at += len + 1;
            if rest.get(len) == Some(&quote) {
                return Ok(out.into());
            }
            self.escape(&mut out)?;
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self, out: &mut String) -> Result<(), JsonError> {
        let Some(byte) = self.bytes.get(self.at).copied() else { return Err(JsonError::End) };
        self.at += 1;
        let plain = match byte {
            b'"' | b'\'' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.unicode()?,
            _ => return Err(JsonError::Malformed(self.at - 1)),
        };
        out.push(plain);
        Ok(())
    }

    /// The character of `\uXXXX`, or of two of them that are a pair; a lone half is replaced.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.hex()?;
        let is_high = (0xd800..0xdc00).contains(&first);
        if is_high && self.bytes.get(self.at..self.at + 2) == Some(b"\\u") {
            let before = self.at;
            self.at += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let Some(digits) = self.bytes.get(self.at..self.at + 4) else { return Err(JsonError::End) };
        let all = digits.iter().all(u8::is_ascii_hexdigit);
        let text = std::str::from_utf8(digits).ok().filter(|_| all);
        let code = text.and_then(|text| u32::from_str_radix(text, 16).ok());
        let code = code.ok_or(JsonError::Malformed(self.at))?;
        self.at += 4;
        Ok(code)
    }
}

/// Whether a word is a number: sign, digits with a point, exponent.
fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && word.parse::<f64>().is_ok()
}

/// A number as it was written, where that is how JSON has numbers.
fn number(text: &str, out: &mut Vec<u8>) {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let plain = match digits {
        [b'0', next, ..] => !next.is_ascii_digit(),
        [b'0'..=b'9', ..] => true,
        _ => false,
    };
    match text.parse::<f64>() {
        _ if plain && !text.ends_with('.') && !text.contains(".e") => {
            out.extend_from_slice(text.as_bytes());
        }
        Ok(value) if value.is_finite() => {
            out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
        }
        _ => out.extend_from_slice(b"null"),
    }
}

impl Json {
    /// The value of a name in an object; the last one when it repeats.
    pub fn get(&self, name: &str) -> Option<&Json> {
        let Json::Object(all) = self else { return None };
        all.iter().rev().find(|(known, _)| **known == *name).map(|(_, value)| value)
    }

    /// The value of a name, unless it is null.
    pub fn given(&self, name: &str) -> Option<&Json> {
        self.get(name).filter(|value| **value != Json::Null)
    }

    /// Writes the value as JSON; its nesting was bounded when it was read.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Json::Null => out.extend_from_slice(b"null"),
            Json::Bool(true) => out.extend_from_slice(b"true"),
            Json::Bool(false) => out.extend_from_slice(b"false"),
            Json::Number(text) => number(text, out),
            Json::Text(text) => scalar::string(text.as_bytes(), out),
            Json::Array(all) => {
                out.push(b'[');
                for (at, one) in all.iter().enumerate() {
                    out.extend_from_slice(if at > 0 { b"," } else { b"" });
                    one.write(out);
                }
                out.push(b']');
            }
            Json::Object(members) => {
                out.push(b'{');
                for (at, (name, value)) in members.iter().enumerate() {
                    out.extend_from_slice(if at > 0 { b"," } else { b"" });
                    scalar::string(name.as_bytes(), out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// A text; numbers and truth values as they were written.
    pub fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) | Json::Number(text) => Some(text),
            Json::Bool(true) => Some("true"),
            Json::Bool(false) => Some("false"),
            _ => None,
        }
    }

    /// An integer, also from a string; a fraction is cut off.
    pub fn integer(&self) -> Option<i64> {
        let (Json::Number(text) | Json::Text(text)) = self else { return None };
        let text = text.trim();
        let whole = text.parse::<i64>().ok();
        whole.or_else(|| {
            let float = self.number()?;
            (float.abs() < 9.3e18).then_some(float as i64)
        })
    }

    /// A finite number, also from a string.
    pub fn number(&self) -> Option<f64> {
        let (Json::Number(text) | Json::Text(text)) = self else { return None };
        text.trim().parse::<f64>().ok().filter(|number| number.is_finite())
    }

    /// True or false, also from a string.
    pub fn flag(&self) -> Option<bool> {
        match self {
            Json::Bool(flag) => Some(*flag),
            Json::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Json::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn old_examples_without_quotes_are_read() {
        let value = parse(b"\xef\xbb\xbf {start: 0, 'm': [{name: 'x\\'y', a: true}]} ").unwrap();
        assert_eq!(value.get("start").unwrap().integer(), Some(0));
        let Some(Json::Array(all)) = value.get("m") else { panic!("an array") };
        assert_eq!(all[0].get("name").unwrap().text(), Some("x'y"));
        assert_eq!(all[0].get("a").unwrap().flag(), Some(true));
    }

    #[test]
    fn the_last_of_repeated_names_counts() {
        let value = parse(br#"{"a":1,"a":"2","b":null}"#).unwrap();
        assert_eq!(value.get("a").unwrap().integer(), Some(2));
        assert!(value.given("b").is_none() && value.get("b").is_some());
    }

    #[test]
    fn escapes_and_pairs() {
        let value = parse(br#""\u00e9\ud83d\ude00\ud800x\n\/""#).unwrap();
        assert_eq!(value.text(), Some("\u{e9}\u{1f600}\u{fffd}x\n/"));
        assert!(parse(br#""\x""#).is_err() && parse(br#""\u12""#).is_err());
    }

    #[test]
    fn numbers_keep_their_digits() {
        let value = parse(b"[9223372036854775807, 1.5, \"7\", -2.9, 1e3, .5]").unwrap();
        let Json::Array(all) = value else { panic!("an array") };
        let whole: Vec<Option<i64>> = all.iter().map(Json::integer).collect();
        assert_eq!(whole, [Some(i64::MAX), Some(1), Some(7), Some(-2), Some(1000), Some(0)]);
        assert_eq!(all[5].number(), Some(0.5));
    }

    #[test]
    fn what_was_read_is_written_as_json() {
        let text = "{a: [1, 2.50, .5, 5., 007, -1e3, 'x\"', null, true], b: {}}";
        let mut out = Vec::new();
        parse(text.as_bytes()).unwrap().write(&mut out);
        let expected = r#"{"a":[1,2.50,0.5,5.0,7.0,-1e3,"x\"",null,true],"b":{}}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn errors_say_where() {
        assert_eq!(parse(b""), Err(JsonError::End));
        assert_eq!(parse(b"[1"), Err(JsonError::End));
        assert_eq!(parse(b"[1 2]"), Err(JsonError::Malformed(3)));
        assert_eq!(parse(b"{}x"), Err(JsonError::Malformed(2)));
        assert_eq!(parse(b"{,}"), Err(JsonError::Malformed(1)));
        assert!(matches!(parse(&b"[".repeat(100)), Err(JsonError::Deep(_))));
        assert!(matches!(parse(b"\"\xff\""), Err(JsonError::Malformed(1))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes in any::<Vec<u8>>()) {
            let _ = parse(&bytes);
        }

        #[test]
        fn brackets_and_quotes_in_any_order(text in "[\\[\\]{}:,'\"a1\\\\u ]{0,40}") {
            let _ = parse(text.as_bytes());
        }
    }
}
