//! Single values as JSON text, byte for byte as Go's encoder writes them.
//!
//! In: numbers, texts, instants. Out: bytes appended to a buffer. No allocation.

use jiff::tz::TimeZone;

const SECOND_NS: i64 = 1_000_000_000;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// A string in quotes: `<`, `>`, `&`, U+2028 and U+2029 are escaped, each invalid byte becomes
/// `\ufffd`.
pub(crate) fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        valid(chunk.valid().as_bytes(), out);
        chunk.invalid().iter().for_each(|_| out.extend_from_slice(b"\\ufffd"));
    }
    out.push(b'"');
}

/// Text that is UTF-8.
fn valid(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| is_special(*byte)) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        rest = escape(special, out);
    }
    out.extend_from_slice(rest);
}

/// Whether a text needs no escape: ASCII without special characters.
pub(crate) fn is_plain(text: &[u8]) -> bool {
    // Without a way out, so that many bytes are looked at together.
    text.iter().fold(true, |plain, byte| plain & (*byte < 0x80) & !is_special(*byte))
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2)
}

/// Writes the character that `text` begins with, and gives the rest.
fn escape<'a>(text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    if let Some(rest) = text.strip_prefix(b"\xe2\x80\xa8") {
        out.extend_from_slice(b"\\u2028");
        return rest;
    }
    if let Some(rest) = text.strip_prefix(b"\xe2\x80\xa9") {
        out.extend_from_slice(b"\\u2029");
        return rest;
    }
    let Some((byte, rest)) = text.split_first() else { return text };
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0xe2 => out.push(0xe2),
        byte => {
            out.extend_from_slice(b"\\u00");
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.extend([digit(byte >> 4), digit(byte & 15)]);
        }
    }
    rest
}

/// An integer.
pub(crate) fn integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A float: shortest digits that read back the same; plain within 1e-6 <= |x| < 1e21, otherwise
/// with an exponent. NaN is null. Infinities have no form: false, nothing written.
pub(super) fn float(value: f64, out: &mut Vec<u8>) -> bool {
    if value.is_nan() {
        out.extend_from_slice(b"null");
        return true;
    }
    if value.is_infinite() {
        return false;
    }
    if value.abs() < 1e15 && value.trunc() == value && (value != 0.0 || value.is_sign_positive()) {
        integer(value as i64, out);
        return true;
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    match text.split_once('e') {
        None => out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes()),
        Some((mantissa, exponent)) => {
            let exponent = exponent.parse().unwrap_or(0);
            scientific(mantissa.as_bytes(), exponent, out);
        }
    }
    true
}

/// A float without an exponent, as CSV has it; infinities are `+Inf` and `-Inf`, NaN is nothing.
pub(super) fn plain_float(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        return;
    }
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
        return;
    }
    if value.abs() >= 1e21 || value != 0.0 && value.abs() < 1e-6 {
        // The formatter of the language writes the shortest digits, and zeros behind them.
        use std::io::Write;
        let _ = write!(out, "{value}");
        return;
    }
    float(value, out);
}

/// `mantissa` (one digit before the point) times ten to the `exponent`.
fn scientific(mantissa: &[u8], exponent: i32, out: &mut Vec<u8>) {
    let digits = match mantissa.strip_prefix(b"-") {
        Some(digits) => {
            out.push(b'-');
            digits
        }
        None => mantissa,
    };
    let fraction = digits.get(2..).filter(|fraction| *fraction != b"0").unwrap_or(&[]);
    let first = digits.first().copied().unwrap_or(b'0');
    if (-6..21).contains(&exponent) {
        if exponent < 0 {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', (-exponent - 1) as usize));
            out.push(first);
            out.extend_from_slice(fraction);
            return;
        }
        let whole = fraction.len().min(exponent as usize);
        let (before, after) = fraction.split_at(whole);
        out.push(first);
        out.extend_from_slice(before);
        out.extend(std::iter::repeat_n(b'0', exponent as usize - whole));
        if !after.is_empty() {
            out.push(b'.');
            out.extend_from_slice(after);
        }
        return;
    }
    out.push(first);
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
    out.push(b'e');
    out.push(if exponent < 0 { b'-' } else { b'+' });
    integer(exponent.unsigned_abs(), out);
}

/// An instant in RFC3339 with as many digits of a second as it has, in a zone (`None`: UTC),
/// without quotes.
pub(super) fn time(at: i64, zone: Option<&TimeZone>, out: &mut Vec<u8>) {
    let offset = zone.map_or(0, |zone| offset_seconds(zone, at));
    let nanos = at.rem_euclid(SECOND_NS);
    let seconds = at.div_euclid(SECOND_NS) + offset;
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    if year < 1000 {
        out.extend(std::iter::repeat_n(b'0', if year < 100 { 2 } else { 1 }));
    }
    integer(year, out);
    let mut two = |mark: u8, value: i64| {
        let digit = |value: i64| b'0' + (value % 10) as u8;
        out.extend([mark, digit(value / 10), digit(value)]);
    };
    two(b'-', month);
    two(b'-', day);
    two(b'T', second / 3600);
    two(b':', second / 60 % 60);
    two(b':', second % 60);
    if nanos != 0 {
        out.push(b'.');
        let (mut rest, mut scale) = (nanos, SECOND_NS / 10);
        while rest != 0 {
            out.push(b'0' + (rest / scale) as u8);
            rest %= scale;
            scale /= 10;
        }
    }
    if offset == 0 {
        out.push(b'Z');
        return;
    }
    let minutes = offset.abs() / 60;
    let digit = |value: i64| b'0' + (value % 10) as u8;
    let (hours, minutes) = (minutes / 60, minutes % 60);
    out.push(if offset < 0 { b'-' } else { b'+' });
    out.extend([digit(hours / 10), digit(hours), b':', digit(minutes / 10), digit(minutes)]);
}

fn offset_seconds(zone: &TimeZone, at: i64) -> i64 {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(at));
    stamp.map_or(0, |stamp| i64::from(zone.to_offset(stamp).seconds()))
}

/// Year, month and day of a day counted from 1970-01-01 (Gregorian, counted in eras of 400 years
/// that begin on 1 March).
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text_of(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_follow_go() {
        let cases = [
            (90.0, "90"),
            (-0.0, "-0"),
            (0.0, "0"),
            (0.1, "0.1"),
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (1.5e20, "150000000000000000000"),
            (123_456_789_012_345_678.0, "123456789012345680"),
            (1e-6, "0.000001"),
            (1.25e-6, "0.00000125"),
            (1e-7, "1e-7"),
            (-1.5e-7, "-1.5e-7"),
            (5e-324, "5e-324"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (2.675, "2.675"),
            (1e15, "1000000000000000"),
            (f64::NAN, "null"),
        ];
        for (value, expected) in cases {
            assert_eq!(text_of(|out| assert!(float(value, out))), expected);
        }
        assert!(!float(f64::NEG_INFINITY, &mut Vec::new()));
    }

    #[test]
    fn plain_floats_have_no_exponent() {
        let cases = [
            (1e30, "1000000000000000000000000000000"),
            (-1.5e-7, "-0.00000015"),
            (1e-7, "0.0000001"),
            (2.5, "2.5"),
            (-0.0, "-0"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, ""),
        ];
        for (value, expected) in cases {
            assert_eq!(text_of(|out| plain_float(value, out)), expected);
        }
    }

    #[test]
    fn texts_are_escaped_as_in_go() {
        let cases: [(&[u8], &str); 5] = [
            (b"a<b>&\"\\", r#""a\u003cb\u003e\u0026\"\\""#),
            (b"\n\r\t\x01\x1f\x7f", "\"\\n\\r\\t\\u0001\\u001f\x7f\""),
            ("é\u{2028}\u{2029}…".as_bytes(), "\"é\\u2028\\u2029…\""),
            (b"a\xff\xe2\x82z", "\"a\\ufffd\\ufffd\\ufffdz\""),
            (b"", "\"\""),
        ];
        for (text, expected) in cases {
            assert_eq!(text_of(|out| string(text, out)), expected);
        }
    }

    #[test]
    fn times_cut_their_zeros_and_know_zones() {
        let at = |ns| text_of(|out| time(ns, None, out));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(1), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(at(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(at(1_500_000_000), "1970-01-01T00:00:01.5Z");
        assert_eq!(at(i64::MIN + 2), "1677-09-21T00:12:43.145224194Z");
        assert_eq!(at(i64::MAX - 1), "2262-04-11T23:47:16.854775806Z");
        assert_eq!(at(951_782_400_000_000_000), "2000-02-29T00:00:00Z");
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let text = text_of(|out| time(1_553_994_000_000_000_000, Some(&berlin), out));
        assert_eq!(text, "2019-03-31T03:00:00+02:00");
    }

    proptest! {
        #[test]
        fn floats_read_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = text_of(|out| assert!(float(value, out)));
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits);
        }

        #[test]
        fn times_agree_with_the_calendar_library(at in any::<i64>()) {
            let stamp = jiff::Timestamp::from_nanosecond(i128::from(at)).unwrap();
            prop_assert_eq!(text_of(|out| time(at, None, out)), stamp.to_string());
        }
    }
}
