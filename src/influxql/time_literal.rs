//! Instants written as strings, and time zones by name.
//!
//! In: the text of a string literal and the zone of the query. Out: ns since 1970-01-01 UTC. Text
//! without an offset is wall-clock time of the zone. The zone database is the bundled one, not that
//! of the host.

use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Why a text is no instant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid timestamp string")]
    Invalid,
    #[error("time {0} underflows time literal")]
    Underflow(String),
    #[error("time {0} overflows time literal")]
    Overflow(String),
}

/// The smallest instant a literal may name (ns).
const LITERAL_MIN: i128 = i64::MIN as i128 + 2;
/// The largest instant a literal may name (ns).
const LITERAL_MAX: i128 = i64::MAX as i128 - 1;

/// The zone of a name as the zone database spells it; empty is UTC.
pub fn zone(name: &str) -> Option<TimeZone> {
    if matches!(name, "" | "UTC" | "Local") {
        return Some(TimeZone::UTC);
    }
    let zone = TimeZone::get(name).ok()?;
    (zone.iana_name() == Some(name)).then_some(zone)
}

/// Whether a string looks like an instant, so that it is read as one beside `time`.
pub fn looks_like_time(text: &str) -> bool {
    let mut parts = text.as_bytes().iter().enumerate().take(10);
    text.len() >= 10
        && parts.all(|(i, b)| if i == 4 || i == 7 { *b == b'-' } else { b.is_ascii_digit() })
}

/// Reads `2006-01-02`, `2006-01-02 15:04:05[.f]` or `2006-01-02T15:04:05[.f]` with `Z` or an
/// offset.
///
/// # Errors
/// `Invalid` for other forms, the others for instants that no point can have.
pub fn parse(text: &str, zone: &TimeZone) -> Result<i64, Error> {
    let (date, rest) = text.split_at_checked(10).ok_or(Error::Invalid)?;
    let date = parse_date(date).ok_or(Error::Invalid)?;
    let seconds_of_date = |clock: i128| {
        let days = date.since(Date::constant(1970, 1, 1)).map_err(|_| Error::Invalid)?;
        Ok::<i128, Error>(i128::from(days.get_days()) * 86_400_000_000_000 + clock)
    };
    let mut letters = rest.chars();
    let ns = match letters.next() {
        None => local(seconds_of_date(0)?, zone),
        Some(' ') => {
            let (clock, end) = parse_clock(letters.as_str()).ok_or(Error::Invalid)?;
            if !end.is_empty() {
                return Err(Error::Invalid);
            }
            local(seconds_of_date(clock)?, zone)
        }
        Some('T') => {
            let (clock, end) = parse_clock(letters.as_str()).ok_or(Error::Invalid)?;
            let offset = parse_offset(end).ok_or(Error::Invalid)?;
            seconds_of_date(clock)? - offset
        }
        Some(_) => return Err(Error::Invalid),
    };
    check_range(ns)
}

fn check_range(ns: i128) -> Result<i64, Error> {
    if ns < LITERAL_MIN {
        return Err(Error::Underflow(shown(ns)));
    }
    if ns > LITERAL_MAX {
        return Err(Error::Overflow(shown(ns)));
    }
    i64::try_from(ns).map_err(|_| Error::Invalid)
}

fn shown(ns: i128) -> String {
    jiff::Timestamp::from_nanosecond(ns).map(|at| at.to_string()).unwrap_or_default()
}

/// Nanoseconds of wall-clock time as an instant of the zone. A time that a shift skips is read with
/// the offset before the shift, a time that comes twice as its first.
fn local(wall_ns: i128, zone: &TimeZone) -> i128 {
    let Ok(wall) = jiff::Timestamp::from_nanosecond(wall_ns) else { return wall_ns };
    let wall = TimeZone::UTC.to_datetime(wall);
    match zone.to_ambiguous_timestamp(wall).compatible() {
        Ok(at) => at.as_nanosecond(),
        Err(_) => wall_ns,
    }
}

fn digits(text: &str, len: usize) -> Option<(i64, &str)> {
    let (number, rest) = text.split_at_checked(len)?;
    let all = number.bytes().all(|b| b.is_ascii_digit());
    all.then(|| number.parse().ok()).flatten().map(|value| (value, rest))
}

fn parse_date(text: &str) -> Option<Date> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    if !rest.is_empty() {
        return None;
    }
    Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// `15:04:05` with an optional fraction: ns of the day, and what follows.
fn parse_clock(text: &str) -> Option<(i128, &str)> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = digits(rest.strip_prefix(':')?, 2)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let whole = i128::from((hour * 60 + minute) * 60 + second) * 1_000_000_000;
    let Some(rest) = rest.strip_prefix('.') else { return Some((whole, rest)) };
    let len = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (fraction, rest) = rest.split_at_checked(len)?;
    if fraction.is_empty() {
        return None;
    }
    let padded: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    Some((whole + padded.parse::<i128>().ok()?, rest))
}

/// `Z` or `±hh:mm` in ns.
fn parse_offset(text: &str) -> Option<i128> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, rest) = digits(rest, 2)?;
    let (minutes, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let good = hours <= 24 && minutes <= 60 && rest.is_empty();
    good.then(|| sign * i128::from(hours * 60 + minutes) * 60_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn reads_the_three_forms() {
        let cases = [
            ("1970-01-02", 86_400 * SECOND),
            ("1970-01-01 00:00:05", 5 * SECOND),
            ("1970-01-01 00:00:05.25", 5_250_000_000),
            ("1970-01-01T00:00:05Z", 5 * SECOND),
            ("1970-01-01T00:00:05.000000001Z", 5_000_000_001),
            ("1970-01-01T01:00:05+01:00", 5 * SECOND),
            ("1969-12-31T23:30:05-00:30", 5 * SECOND),
            ("1960-01-01", -315_619_200 * SECOND),
        ];
        for (text, ns) in cases {
            assert_eq!(parse(text, &TimeZone::UTC), Ok(ns), "{text}");
        }
    }

    #[test]
    fn refuses_other_forms() {
        let texts = [
            "",
            "x",
            "2000-1-1",
            "2000-01-01T00:00:00",
            "2000-01-01 00:00",
            "2000-13-01",
            "2000-02-30",
            "2000-01-01 24:00:00",
            "2000-01-01 00:00:00.",
            "2000-01-01x",
            "2000-01-01é",
        ];
        for text in texts {
            assert_eq!(parse(text, &TimeZone::UTC), Err(Error::Invalid), "{text}");
        }
    }

    #[test]
    fn instants_out_of_range_say_which_way() {
        let error = |text| parse(text, &TimeZone::UTC).unwrap_err().to_string();
        assert_eq!(error("1500-01-01"), "time 1500-01-01T00:00:00Z underflows time literal");
        assert_eq!(error("2500-01-01"), "time 2500-01-01T00:00:00Z overflows time literal");
    }

    #[test]
    fn zones_shift_wall_clock_times() {
        let berlin = zone("Europe/Berlin").unwrap();
        assert_eq!(parse("1970-01-01 01:00:00", &berlin), Ok(0));
        assert_eq!(parse("1970-01-01T00:00:00Z", &berlin), Ok(0));
        assert!(zone("Nope/Zone").is_none());
        assert!(zone("europe/berlin").is_none());
        assert!(zone("").is_some());
    }

    #[test]
    fn only_dates_look_like_times() {
        assert!(looks_like_time("2000-01-01"));
        assert!(looks_like_time("2000-01-01 nonsense"));
        assert!(!looks_like_time("abc"));
    }
}
