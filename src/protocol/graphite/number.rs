//! Values and timestamps of Graphite's senders, as text and as numbers.
//!
//! Times are seconds since 1970 with a fraction; nanoseconds come out. A text is read exactly, a
//! float to the microsecond, which is what a float of today's seconds can hold.

use super::super::number;
use super::super::reject::Reject;
use crate::model::time::{TIME_MAX, TIME_MIN};

const NANOS: i64 = 1_000_000_000;

/// A value out of text.
#[inline]
pub fn value(text: &[u8]) -> Result<f64, Reject> {
    match number::float_prefix(text) {
        Some((value, len)) if len == text.len() => Ok(value),
        _ => exact_value(text),
    }
}

fn exact_value(text: &[u8]) -> Result<f64, Reject> {
    let (negative, body) = sign(text);
    let names: [&[u8]; 3] = [b"nan", b"inf", b"infinity"];
    if names.iter().any(|name| body.eq_ignore_ascii_case(name)) {
        return Err(Reject::NotFinite);
    }
    if !body.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return Err(Reject::BadValue);
    }
    let value = number::float(body).ok_or(Reject::BadValue)?;
    let value = if negative { -value } else { value };
    if value.is_finite() { Ok(value) } else { Err(Reject::NotFinite) }
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', body @ ..] => (true, body),
        [b'+', body @ ..] => (false, body),
        body => (false, body),
    }
}

/// A time out of text (ns); `N` and -1 mean now.
#[inline]
pub fn time(text: &[u8], now_ns: i64) -> Result<i64, Reject> {
    let (seconds, len) = number::digits_prefix(text);
    // Ten digits fit; what they mean may still be out of range.
    if len == text.len() && (1..=10).contains(&len) {
        return whole_time(seconds as i64);
    }
    if text == b"N" { Ok(now_ns) } else { exact_time(text, now_ns) }
}

/// A time out of whole seconds (ns), without the meaning of -1.
fn whole_time(seconds: i64) -> Result<i64, Reject> {
    in_range(seconds.checked_mul(NANOS))
}

fn in_range(time: Option<i64>) -> Result<i64, Reject> {
    time.filter(|time| (TIME_MIN..=TIME_MAX).contains(time)).ok_or(Reject::TimeRange)
}

/// A time out of text that is a number (ns); -1 means now.
pub fn exact_time(text: &[u8], now_ns: i64) -> Result<i64, Reject> {
    let (negative, body) = sign(text);
    let dot = memchr::memchr(b'.', body).unwrap_or(body.len());
    let (whole, behind) = body.split_at(dot);
    let fraction = behind.get(1..).unwrap_or_default();
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    let plain = digits(whole) && digits(fraction) && whole.len() + fraction.len() > 0;
    if !plain || whole.len() > 18 {
        let number = number::float(body).ok_or(Reject::BadTime)?;
        return time_of_float(if negative { -number } else { number }, now_ns);
    }
    let whole = number::digits_prefix(whole).0 as i64;
    if negative && whole == 1 {
        return Ok(now_ns);
    }
    let mut nanos = 0i64;
    for place in 0..9 {
        let digit = fraction.get(place).map_or(0, |digit| i64::from(digit - b'0'));
        nanos = nanos * 10 + digit;
    }
    let time = whole.checked_mul(NANOS).and_then(|whole| whole.checked_add(nanos));
    in_range(time.map(|time| if negative { -time } else { time }))
}

/// A time out of seconds as an integer (ns); -1 means now.
pub fn time_of_integer(seconds: i64, now_ns: i64) -> Result<i64, Reject> {
    if seconds == -1 { Ok(now_ns) } else { whole_time(seconds) }
}

/// A time out of seconds as a float (ns); everything whose integer part is -1 means now.
pub fn time_of_float(seconds: f64, now_ns: i64) -> Result<i64, Reject> {
    if !seconds.is_finite() {
        return Err(Reject::BadTime);
    }
    if seconds.trunc() == -1.0 {
        return Ok(now_ns);
    }
    let whole = seconds.floor();
    let micros = ((seconds - whole) * 1e6).round();
    // The conversion saturates, and the product then overflows.
    let time = (whole as i64).checked_mul(NANOS);
    in_range(time.and_then(|time| time.checked_add(micros as i64 * 1000)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_in_the_usual_forms() {
        let good = [
            ("42", 42.0),
            ("-7", -7.0),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("+2.5", 2.5),
            ("1.5E-3", 0.0015),
            ("+.5", 0.5),
            ("-0.25", -0.25),
            ("9007199254740992", 9_007_199_254_740_992.0),
        ];
        for (text, expected) in good {
            assert_eq!(value(text.as_bytes()), Ok(expected), "{text}");
        }
        for text in ["nan", "-NaN", "inf", "+Inf", "-INFINITY", "1e400", "-1e400"] {
            assert_eq!(value(text.as_bytes()), Err(Reject::NotFinite), "{text}");
        }
        for text in ["abc", "1.2.3", "5x", "1_000", "", "-", "+", "--1", "+-1", ".", "0x10", "1e"] {
            assert_eq!(value(text.as_bytes()), Err(Reject::BadValue), "{text}");
        }
    }

    #[test]
    fn times_are_seconds_with_a_fraction() {
        let now = 77;
        let good = [
            ("1609459200", 1_609_459_200_000_000_000),
            ("1609459200.25", 1_609_459_200_250_000_000),
            ("1609459200.123456789123", 1_609_459_200_123_456_789),
            ("1.6094592e9", 1_609_459_200_000_000_000),
            ("0", 0),
            ("+5", 5_000_000_000),
            ("-5", -5_000_000_000),
            ("-0.5", -500_000_000),
            ("-1", now),
            ("-1.0", now),
            ("-1.9", now),
            ("-1e0", now),
            ("N", now),
            ("00000000000000005", 5_000_000_000),
            (".5", 500_000_000),
            ("9223372036", 9_223_372_036_000_000_000),
        ];
        for (text, expected) in good {
            assert_eq!(time(text.as_bytes(), now), Ok(expected), "{text}");
        }
        for text in ["9223372037", "1609459200000", "-9223372037", "1e30", "99999999999999999999"] {
            assert_eq!(time(text.as_bytes(), now), Err(Reject::TimeRange), "{text}");
        }
        for text in ["nan", "inf", "x", "", ".", "-", "1.2.3", "n", "1e", "12a"] {
            assert_eq!(time(text.as_bytes(), now), Err(Reject::BadTime), "{text}");
        }
        assert_eq!(time_of_float(1_609_459_200.25, now), Ok(1_609_459_200_250_000_000));
        assert_eq!(time_of_float(-2.0, now), Ok(-2_000_000_000));
        assert_eq!(time_of_float(1e300, now), Err(Reject::TimeRange));
        assert_eq!(time_of_integer(-1, now), Ok(now));
        assert_eq!(time_of_integer(i64::MIN, now), Err(Reject::TimeRange));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn times_agree_with_exact_arithmetic(micros in -9_000_000_000_000_000i64..9_000_000_000_000_000) {
            prop_assume!(micros <= -2_000_000 || micros > -1_000_000);
            let sign = if micros < 0 { "-" } else { "" };
            let (whole, part) = (micros.abs() / 1_000_000, micros.abs() % 1_000_000);
            let text = format!("{sign}{whole}.{part:06}");
            prop_assert_eq!(time(text.as_bytes(), 7), Ok(micros * 1000));
            // A float of that many seconds holds half a microsecond at worst.
            let float = time_of_float(text.parse().unwrap(), 7).unwrap();
            prop_assert!((float - micros * 1000).abs() <= 2000, "{} {}", text, float);
        }
    }
}
