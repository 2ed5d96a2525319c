//! Values and times of data points: which type a JSON value has, and what it becomes.
//!
//! In: a token as `scan` delimits it and the type that was named, if any. Out: a datum or why there
//! is none. Without a named type a number with a dot or an exponent is a double, any other a long,
//! and a string that looks like a plain number is one.

use super::super::batcher::Datum;
use super::super::number::{self, IntegerError};
use super::scan;
use crate::model::time::{TIME_MAX, TIME_MIN};
use std::borrow::Cow;

/// The type that a metric or a point names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Kind {
    /// None: it follows from the value.
    #[default]
    Auto,
    Long,
    Double,
    Text,
    /// One that nobody registered.
    Unknown,
}

/// Why a value is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// `null`, or an empty text where a number is wanted.
    Empty,
    EmptyArray,
    /// An array or an object.
    Nested,
    /// Cannot be converted to the type, or is beyond it.
    Form,
    Unregistered,
}

impl Kind {
    /// Reads a type's token.
    pub fn of(token: &[u8]) -> Kind {
        match token {
            b"null" => Kind::Auto,
            b"\"long\"" => Kind::Long,
            b"\"double\"" => Kind::Double,
            b"\"string\"" => Kind::Text,
            _ => Kind::Unknown,
        }
    }
}

/// What a value's token becomes; `text` holds an unescaped string.
pub fn read<'a>(token: &'a [u8], kind: Kind, text: &'a mut Vec<u8>) -> Result<Datum<'a>, Wrong> {
    match token.first() {
        Some(b'[') if is_empty_array(token) => return Err(Wrong::EmptyArray),
        Some(b'[' | b'{') => return Err(Wrong::Nested),
        Some(b'n') | None => return Err(Wrong::Empty),
        _ => {}
    }
    let is_string = token.first() == Some(&b'"');
    let plain = if is_string { plain_text(token, text) } else { token };
    if plain.is_empty() && kind != Kind::Text {
        return Err(Wrong::Empty);
    }
    match kind {
        Kind::Unknown => Err(Wrong::Unregistered),
        Kind::Text => Ok(Datum::String(plain)),
        Kind::Long if is_string => long(plain).map(Datum::Integer).ok_or(Wrong::Form),
        Kind::Long => truncated(plain).map(Datum::Integer).ok_or(Wrong::Form),
        Kind::Double => double(plain).map(Datum::Float).ok_or(Wrong::Form),
        // `true` and `false` are texts too.
        Kind::Auto if is_number(plain) => number(plain).ok_or(Wrong::Form),
        Kind::Auto if is_string || matches!(plain, b"true" | b"false") => Ok(Datum::String(plain)),
        Kind::Auto => number(plain).ok_or(Wrong::Form),
    }
}

fn plain_text<'a>(token: &'a [u8], text: &'a mut Vec<u8>) -> &'a [u8] {
    let inner = token.get(1..token.len().saturating_sub(1)).unwrap_or(&[]);
    if memchr::memchr(b'\\', inner).is_none() {
        return inner;
    }
    text.clear();
    scan::unescape(inner, text);
    text
}

fn is_empty_array(token: &[u8]) -> bool {
    let inner = token.get(1..token.len().saturating_sub(1)).unwrap_or(&[]);
    inner.iter().all(u8::is_ascii_whitespace)
}

/// KairosDB's test for a number in a string: perhaps a sign or a dot, then digits with at most one
/// dot that does not end it.
fn is_number(text: &[u8]) -> bool {
    let digits = match text {
        [b'+' | b'-', rest @ ..] => rest,
        rest => rest,
    };
    let dots = digits.iter().filter(|byte| **byte == b'.').count();
    dots <= 1
        && digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
        && digits.last().is_some_and(u8::is_ascii_digit)
}

/// A number by its form: a long without dot and exponent, beyond 64 bits a double.
fn number<'a>(text: &[u8]) -> Option<Datum<'a>> {
    let text = text.strip_prefix(b"+").unwrap_or(text);
    match number::integer(text) {
        Ok(value) => Some(Datum::Integer(value)),
        Err(IntegerError::Range | IntegerError::Syntax) => double(text).map(Datum::Float),
    }
}

fn double(text: &[u8]) -> Option<f64> {
    let plain = text.strip_prefix(b"+").filter(|rest| rest.first() != Some(&b'-'));
    number::float(plain.unwrap_or(text)).filter(|value| value.is_finite())
}

fn long(text: &[u8]) -> Option<i64> {
    let plain = text.strip_prefix(b"+").filter(|rest| rest.first() != Some(&b'-'));
    number::integer(plain.unwrap_or(text)).ok()
}

/// A number as a long, its fraction cut off.
fn truncated(text: &[u8]) -> Option<i64> {
    match number::integer(text) {
        Ok(value) => Some(value),
        Err(IntegerError::Range) => None,
        Err(IntegerError::Syntax) => {
            // 2^63 itself is the first float that does not fit.
            let value = double(text)?.trunc();
            (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0)
                .contains(&value)
                .then_some(value as i64)
        }
    }
}

/// Why a time is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WrongTime {
    /// No number.
    Form,
    /// Outside what can be stored.
    Range,
}

/// A time token in nanoseconds; the number may stand in a string, a fraction is cut off.
pub fn time_ns(token: &[u8]) -> Result<i64, WrongTime> {
    let text: Cow<'_, [u8]> = match token.first() {
        Some(b'"') => scan::text(token),
        Some(b'-' | b'0'..=b'9') => Cow::Borrowed(token),
        _ => return Err(WrongTime::Form),
    };
    let text = text.as_ref();
    let millis = match (number::integer(text), double(text)) {
        (Ok(millis), _) => millis,
        (Err(IntegerError::Range), _) => return Err(WrongTime::Range),
        (Err(IntegerError::Syntax), Some(_)) => truncated(text).ok_or(WrongTime::Range)?,
        (Err(IntegerError::Syntax), None) => return Err(WrongTime::Form),
    };
    millis_to_ns(millis).ok_or(WrongTime::Range)
}

/// Milliseconds in nanoseconds; `None` outside what can be stored.
#[inline]
pub fn millis_to_ns(millis: i64) -> Option<i64> {
    millis.checked_mul(1_000_000).filter(|time| (TIME_MIN..=TIME_MAX).contains(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(token: &str, kind: Kind) -> String {
        match read(token.as_bytes(), kind, &mut Vec::new()) {
            Ok(Datum::String(text)) => format!("{:?}", String::from_utf8_lossy(text)),
            Ok(Datum::Integer(value)) => format!("{value}i"),
            Ok(Datum::Float(value)) => format!("{value:?}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn types_follow_from_values() {
        let cases = [
            ("42", "42i"),
            ("-0", "0i"),
            ("1.0", "1.0"),
            ("1e3", "1000.0"),
            ("1E-3", "0.001"),
            ("1e300", "1e300"),
            ("9223372036854775808", "9.223372036854776e18"),
            ("1e400", "Err(Form)"),
            ("\"7\"", "7i"),
            ("\"-3\"", "-3i"),
            ("\".5\"", "0.5"),
            ("\"+.5\"", "0.5"),
            ("\"8.50\"", "8.5"),
            ("\"00012\"", "12i"),
            ("\"1e3\"", "\"1e3\""),
            ("\"5.\"", "\"5.\""),
            ("\"NaN\"", "\"NaN\""),
            ("\" 5\"", "\" 5\""),
            ("\"1.2.3\"", "\"1.2.3\""),
            ("\"-\"", "\"-\""),
            ("\"+-1\"", "\"+-1\""),
            ("\".\"", "\".\""),
            ("true", "\"true\""),
            ("false", "\"false\""),
            ("\"a\\nb\"", "\"a\\nb\""),
            ("null", "Err(Empty)"),
            ("\"\"", "Err(Empty)"),
            ("[ ]", "Err(EmptyArray)"),
            ("[1]", "Err(Nested)"),
            ("{}", "Err(Nested)"),
        ];
        for (token, expected) in cases {
            assert_eq!(shown(token, Kind::Auto), expected, "{token}");
        }
    }

    #[test]
    fn named_types_convert() {
        let cases = [
            ("1.5", Kind::Long, "1i"),
            ("-1.5", Kind::Long, "-1i"),
            ("1e3", Kind::Long, "1000i"),
            ("1e30", Kind::Long, "Err(Form)"),
            ("9223372036854775808", Kind::Long, "Err(Form)"),
            ("\"+7\"", Kind::Long, "7i"),
            ("\"1.5\"", Kind::Long, "Err(Form)"),
            ("\"abc\"", Kind::Long, "Err(Form)"),
            ("true", Kind::Long, "Err(Form)"),
            ("5", Kind::Double, "5.0"),
            ("\"5\"", Kind::Double, "5.0"),
            ("\"1e3\"", Kind::Double, "1000.0"),
            ("\"NaN\"", Kind::Double, "Err(Form)"),
            ("\"Infinity\"", Kind::Double, "Err(Form)"),
            ("\"\"", Kind::Double, "Err(Empty)"),
            ("1.50", Kind::Text, "\"1.50\""),
            ("true", Kind::Text, "\"true\""),
            ("\"\"", Kind::Text, "\"\""),
            ("null", Kind::Text, "Err(Empty)"),
            ("1", Kind::Unknown, "Err(Unregistered)"),
        ];
        for (token, kind, expected) in cases {
            assert_eq!(shown(token, kind), expected, "{token} as {kind:?}");
        }
        assert_eq!(Kind::of(b"\"florb\""), Kind::Unknown);
    }

    #[test]
    fn times_are_milliseconds() {
        assert_eq!(time_ns(b"-5"), Ok(-5_000_000));
        assert_eq!(time_ns(b"\"12\""), Ok(12_000_000));
        assert_eq!(time_ns(b"12.9"), Ok(12_000_000));
        assert_eq!(time_ns(b"1.5e3"), Ok(1_500_000_000));
        assert_eq!(time_ns(b"9223372036855"), Err(WrongTime::Range));
        assert_eq!(time_ns(b"9223372036854775808"), Err(WrongTime::Range));
        assert_eq!(time_ns(b"\"x\""), Err(WrongTime::Form));
        assert_eq!(time_ns(b"true"), Err(WrongTime::Form));
    }
}
