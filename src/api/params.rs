//! Parameters of a URL or a form: `a=1&b=x%20y`.
//!
//! As Go reads them, which InfluxDB is written in: `+` is a blank, `;` separates like `&`, a pair
//! with a malformed escape is passed over, of several values the first counts.

use percent_encoding::percent_decode;

/// The pairs, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query string or a form body.
    pub fn parse(text: &[u8]) -> Params {
        let pairs = text.split(|byte| matches!(byte, b'&' | b';'));
        Params(pairs.filter(|pair| !pair.is_empty()).filter_map(read_pair).collect())
    }

    /// Pairs that were read elsewhere.
    pub fn of(pairs: Vec<(String, String)>) -> Params {
        Params(pairs)
    }

    /// The first value of a name; empty when there is none.
    pub fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// Puts these pairs in front: their values count first.
    pub fn overlay(&mut self, front: Params) {
        self.0.splice(0..0, front.0);
    }
}

fn read_pair(pair: &[u8]) -> Option<(String, String)> {
    let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
    let (name, value) = pair.split_at_checked(at)?;
    Some((unescape(name)?, unescape(value.get(1..).unwrap_or(&[]))?))
}

fn unescape(text: &[u8]) -> Option<String> {
    let malformed = text.iter().enumerate().any(|(at, byte)| {
        let digit = |offset: usize| text.get(at + offset).is_some_and(u8::is_ascii_hexdigit);
        *byte == b'%' && !(digit(1) && digit(2))
    });
    if malformed {
        return None;
    }
    let blanks: Vec<u8> =
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Some(percent_decode(&blanks).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_go_reads_them() {
        let params = Params::parse(b"db=a+b&q=x%3By&bad=%zz&db=second&empty=&flag;rp=r");
        assert_eq!(params.get("db"), "a b");
        assert_eq!(params.get("q"), "x;y");
        assert_eq!((params.get("bad"), params.get("empty")), ("", ""));
        assert_eq!((params.get("rp"), params.get("none")), ("r", ""));
        let mut url = Params::parse(b"db=url&rp=r");
        url.overlay(Params::parse(b"db=form"));
        assert_eq!((url.get("db"), url.get("rp")), ("form", "r"));
    }
}
