//! Groupers that look at points: by time, value, bins.
//!
//! In: a point. Out: its number under each grouper of the request.

use super::point::{Datum, Point};
use super::range::{Span, Unit, month_number};
use super::request::Grouper;

/// The number of a point under a grouper; `start` is the query's (ms).
pub fn number(grouper: &Grouper, point: &Point, start: i64) -> i64 {
    match grouper {
        Grouper::Time { range, count } => by_time(*range, point.time, start) % (*count).max(1),
        Grouper::Value { range } => match &point.value {
            Datum::Long(value) => value / (*range).max(1),
            Datum::Double(value) => *value as i64 / (*range).max(1),
            Datum::Null | Datum::Text(_) => -1,
        },
        Grouper::Bin { bins } => match point.value.number() {
            Some(value) => bins.iter().take_while(|bound| value >= **bound).count() as i64,
            None => -1,
        },
    }
}

/// Ranges between the start and a time. Years are of 364 days; months are those of the calendar,
/// one by one, however long the range is: KairosDB's arithmetic.
fn by_time(range: Span, time: i64, start: i64) -> i64 {
    let length = match range.unit {
        Unit::Months => return month_number(time).saturating_sub(month_number(start)),
        Unit::Years => 52 * Unit::Weeks.length_ms(),
        unit => unit.length_ms(),
    };
    time.saturating_sub(start) / length.saturating_mul(range.value).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(time: i64, value: Datum) -> Point {
        Point { time, value }
    }

    #[test]
    fn values_are_cut_towards_zero() {
        let grouper = Grouper::Value { range: 10 };
        let of = |value| number(&grouper, &point(0, value), 0);
        assert_eq!(of(Datum::Long(-15)), -1);
        assert_eq!(of(Datum::Long(-5)), 0);
        assert_eq!(of(Datum::Double(9.9)), 0);
        assert_eq!(of(Datum::Double(-15.9)), -1);
        assert_eq!(of(Datum::Text(b"7".as_slice().into())), -1);
    }

    #[test]
    fn bins_have_lower_bounds() {
        let grouper = Grouper::Bin { bins: vec![10.0, 20.0] };
        let of = |value: f64| number(&grouper, &Point::double(0, value), 0);
        assert_eq!([9.9, 10.0, 19.9, 20.0].map(of), [0, 1, 1, 2]);
    }

    #[test]
    fn time_counts_from_the_start() {
        let of = |unit, value, count, time| {
            let grouper = Grouper::Time { range: Span { value, unit }, count };
            number(&grouper, &Point::double(time, 0.0), 1_000)
        };
        assert_eq!(of(Unit::Seconds, 1, 3, 1_000), 0);
        assert_eq!(of(Unit::Seconds, 1, 3, 5_999), 1);
        assert_eq!(of(Unit::Years, 1, 9, 1_000 + 364 * 86_400_000), 1);
        // Six months later, whatever the length of the range.
        assert_eq!(of(Unit::Months, 5, 12, 15_700_000_000), 6);
    }
}
