//! Durations: `1h30m` to nanoseconds and back.
//!
//! In: text of a duration token, or nanoseconds. Out: nanoseconds, or one of the two notations that
//! InfluxDB prints: one unit (`90m`) or Go's (`1h30m0s`).

use std::fmt::Write as _;

/// Units from the largest to the smallest that are exact multiples of each other (text, ns).
const UNITS: [(&str, i64); 8] = [
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("u", 1_000),
    ("ns", 1),
];

/// Why a text is no duration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid duration")]
    Invalid,
    #[error("overflowed duration {0}: choose a smaller duration or INF")]
    Overflow(String),
}

/// Reads digits and units, repeated, with an optional sign in front: nanoseconds.
///
/// # Errors
/// `Invalid` for any other form, `Overflow` past the range of 64 bits.
pub fn parse(text: &str) -> Result<i64, Error> {
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest.is_empty() {
        return Err(Error::Invalid);
    }
    let overflow = || Error::Overflow(text.to_string());
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let len = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, tail) = rest.split_at_checked(len).ok_or(Error::Invalid)?;
        let count: i64 = digits.parse().map_err(|_| Error::Invalid)?;
        let (scale, tail) = split_unit(tail).ok_or(Error::Invalid)?;
        let part = count.checked_mul(scale).ok_or_else(overflow)?;
        total = total.checked_add(part).ok_or_else(overflow)?;
        rest = tail;
    }
    Ok(if negative { -total } else { total })
}

/// The unit at the start of a text in ns, and the rest.
fn split_unit(text: &str) -> Option<(i64, &str)> {
    // `ms` and `ns` go before `m`, which they contain or resemble.
    let spellings = [
        ("ns", 1),
        ("ms", 1_000_000),
        ("µ", 1_000),
        ("u", 1_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
        ("d", 86_400_000_000_000),
        ("w", 604_800_000_000_000),
    ];
    spellings.iter().find_map(|(unit, scale)| Some((*scale, text.strip_prefix(unit)?)))
}

/// The duration in the largest unit that holds it exactly, `90m`; zero is `0s`.
pub fn print(ns: i64) -> String {
    if ns == 0 {
        return "0s".to_string();
    }
    let exact = UNITS.iter().find(|(_, scale)| ns % scale == 0);
    let (unit, scale) = exact.copied().unwrap_or(("ns", 1));
    format!("{}{unit}", ns / scale)
}

/// The duration as Go prints it: `1h30m0s`, `1.5ms`, `0s`.
pub fn print_go(ns: i64) -> String {
    let magnitude = ns.unsigned_abs();
    let mut out = String::new();
    if ns < 0 {
        out.push('-');
    }
    if magnitude == 0 {
        out.push_str("0s");
    } else if magnitude < 1_000_000_000 {
        let (unit, scale) = match magnitude {
            ..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        push_fraction(&mut out, magnitude, scale);
        out.push_str(unit);
    } else {
        let minutes = magnitude / 60_000_000_000;
        if minutes >= 60 {
            let _ = write!(out, "{}h", minutes / 60);
        }
        if minutes > 0 {
            let _ = write!(out, "{}m", minutes % 60);
        }
        push_fraction(&mut out, magnitude % 60_000_000_000, 1_000_000_000);
        out.push('s');
    }
    out
}

/// `value / scale` in decimal without trailing zeros; `scale` is a power of ten.
fn push_fraction(out: &mut String, value: u64, scale: u64) {
    let _ = write!(out, "{}", value / scale);
    let fraction = value % scale;
    if fraction > 0 {
        let width = scale.ilog10() as usize;
        let digits = format!("{fraction:0width$}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_language_allows() {
        let cases = [
            ("1h30m", Ok(5_400_000_000_000)),
            ("10µ", Ok(10_000)),
            ("10u", Ok(10_000)),
            ("5ns", Ok(5)),
            ("1ms1s", Ok(1_001_000_000)),
            ("-2h", Ok(-7_200_000_000_000)),
            ("1w1d", Ok(691_200_000_000_000)),
            ("1us", Err(Error::Invalid)),
            ("1m5", Err(Error::Invalid)),
            ("1e5", Err(Error::Invalid)),
            ("m", Err(Error::Invalid)),
            ("", Err(Error::Invalid)),
            ("99999999999999999999999h", Err(Error::Invalid)),
            ("99999999999h", Err(Error::Overflow("99999999999h".to_string()))),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn prints_one_unit() {
        for text in ["90m", "1d", "2w", "5u", "0s", "7ns", "-2h", "1500ms"] {
            assert_eq!(parse(text).map(print).as_deref(), Ok(text));
        }
    }

    #[test]
    fn prints_like_go() {
        let cases = [
            (129_600_000_000_000, "36h0m0s"),
            (0, "0s"),
            (90_000_000_000, "1m30s"),
            (1_500_000, "1.5ms"),
            (2_050_000_000, "2.05s"),
            (999, "999ns"),
            (12_000, "12µs"),
            (-3_600_000_000_000, "-1h0m0s"),
        ];
        for (ns, text) in cases {
            assert_eq!(print_go(ns), text);
        }
        let smallest = print_go(i64::MIN);
        assert!(smallest.starts_with("-2562047h47m16.8"), "{smallest}");
    }
}
