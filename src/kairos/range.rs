//! Units of time, and how an aggregator cuts the time line into ranges.
//!
//! In: a query's start, a sampling, a zone. Out: the number of the range a time lies in, its start
//! and that of the next. Hours and below are elapsed time; days and weeks follow the wall clock of
//! the zone, months and years its calendar. Times are ms since 1970 UTC; what no calendar reaches
//! saturates.

use crate::model::TimeRange;
use crate::shard::scan::Buckets;
use jiff::civil::Weekday;
use jiff::tz::{Offset, TimeZone};
use jiff::{Span as Steps, Timestamp, Zoned};
use std::sync::Arc;

/// Nanoseconds of a millisecond.
pub const MS_NS: i64 = 1_000_000;
/// The calendar is asked only between the years 1 and 9998 (ms).
const CALENDAR: (i64, i64) = (-62_135_596_800_000, 253_339_228_800_000);
/// Calendar ranges that are listed for the shards.
const STARTS_MAX: i64 = 100_000;

/// A unit of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
    Days,
    Weeks,
    Months,
    Years,
}

/// Some units of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub value: i64,
    pub unit: Unit,
}

impl Unit {
    pub const ALL: [Unit; 8] = [
        Unit::Milliseconds,
        Unit::Seconds,
        Unit::Minutes,
        Unit::Hours,
        Unit::Days,
        Unit::Weeks,
        Unit::Months,
        Unit::Years,
    ];

    /// A unit by name, in any case.
    pub fn parse(text: &str) -> Option<Unit> {
        Unit::ALL.into_iter().find(|unit| unit.name().eq_ignore_ascii_case(text))
    }

    /// Its name in upper case.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Milliseconds => "MILLISECONDS",
            Unit::Seconds => "SECONDS",
            Unit::Minutes => "MINUTES",
            Unit::Hours => "HOURS",
            Unit::Days => "DAYS",
            Unit::Weeks => "WEEKS",
            Unit::Months => "MONTHS",
            Unit::Years => "YEARS",
        }
    }

    /// Its length (ms); of months and years the average.
    pub fn length_ms(self) -> i64 {
        match self {
            Unit::Milliseconds => 1,
            Unit::Seconds => 1_000,
            Unit::Minutes => 60_000,
            Unit::Hours => 3_600_000,
            Unit::Days => 86_400_000,
            Unit::Weeks => 604_800_000,
            Unit::Months => 2_629_746_000,
            Unit::Years => 31_556_952_000,
        }
    }

    /// Whether every such unit in the zone is as long as another.
    fn is_even(self, zone: &TimeZone) -> bool {
        match self {
            Unit::Milliseconds | Unit::Seconds | Unit::Minutes | Unit::Hours => true,
            Unit::Days | Unit::Weeks => zone.to_fixed_offset().is_ok(),
            Unit::Months | Unit::Years => false,
        }
    }
}

impl Span {
    /// Its length when units are of one length (ms).
    fn even_ms(self) -> i64 {
        self.value.saturating_mul(self.unit.length_ms())
    }

    /// The instant so long after another in a zone.
    pub fn after(self, time: i64, zone: &TimeZone) -> i64 {
        self.times_after(1, time, zone)
    }

    /// The instant so long before another: months and years by UTC's calendar.
    pub fn before(self, time: i64) -> i64 {
        let (value, unit) = (self.value.saturating_neg(), self.unit);
        Span { value, unit }.times_after(1, time, &TimeZone::UTC)
    }

    /// `time` and `count` spans, each step counted from `time`.
    fn times_after(self, count: i64, time: i64, zone: &TimeZone) -> i64 {
        if self.unit.is_even(zone) {
            return time.saturating_add(self.even_ms().saturating_mul(count));
        }
        let count = self.value.saturating_mul(count);
        let beyond = if count < 0 { i64::MIN } else { i64::MAX };
        let steps = match self.unit {
            Unit::Days => Steps::new().try_days(count),
            Unit::Weeks => Steps::new().try_weeks(count),
            Unit::Months => Steps::new().try_months(count),
            _ => Steps::new().try_years(count),
        };
        let Ok(steps) = steps else { return beyond };
        let moved = zoned(time, zone).checked_add(steps);
        moved.map_or(beyond, |moved| moved.timestamp().as_millisecond())
    }

    /// How long it is from `time` on in a zone (ms).
    pub fn length_from(self, time: i64, zone: &TimeZone) -> i64 {
        self.after(time, zone).saturating_sub(time)
    }
}

fn zoned(time: i64, zone: &TimeZone) -> Zoned {
    let stamp = Timestamp::from_millisecond(time.clamp(CALENDAR.0, CALENDAR.1));
    stamp.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone())
}

/// A zone by its name in the zone database, or an offset such as `+02:00`.
pub fn zone(name: &str) -> Option<TimeZone> {
    if matches!(name, "" | "UTC" | "Z") {
        return Some(TimeZone::UTC);
    }
    if let Some(offset) = offset(name) {
        return Some(TimeZone::fixed(offset));
    }
    let zone = TimeZone::get(name).ok()?;
    (zone.iana_name() == Some(name)).then_some(zone)
}

fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (digits, "0"),
        4 => digits.split_at_checked(2)?,
        _ => digits.split_once(':')?,
    };
    let two = |text: &str, max: i32| {
        let plain = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<i32>().ok().filter(|number| plain && *number <= max)
    };
    let seconds = two(hours, 23)? * 3600 + two(minutes, 59)? * 60;
    Offset::from_seconds(sign * seconds).ok()
}

/// The names of all zones, sorted.
pub fn zone_names() -> Vec<String> {
    let mut names: Vec<String> =
        jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
    names.sort();
    names
}

/// Calendar months from year 0 to an instant, in UTC.
pub fn month_number(time: i64) -> i64 {
    let at = zoned(time, &TimeZone::UTC);
    i64::from(at.year()) * 12 + i64::from(at.month()) - 1
}

/// Ranges of one length, one behind the other from an origin on.
#[derive(Clone, Debug)]
pub struct Ranges {
    origin: i64,
    span: Span,
    zone: TimeZone,
}

impl Ranges {
    /// Ranges of `span`, at least one unit long, counted from `start`; `aligned`: from the border
    /// of the unit that lies before it.
    pub fn new(start: i64, span: Span, aligned: bool, zone: TimeZone) -> Ranges {
        let origin = if aligned { aligned_start(start, span.unit, &zone) } else { start };
        let even = span.unit.is_even(&zone);
        let origin = if even { origin } else { origin.clamp(CALENDAR.0, CALENDAR.1) };
        Ranges { origin, span, zone }
    }

    /// Where a range starts.
    pub fn start(&self, number: i64) -> i64 {
        self.span.times_after(number, self.origin, &self.zone)
    }

    /// The range of an instant; what lies before the origin belongs to the first.
    pub fn number(&self, time: i64) -> i64 {
        if time <= self.origin {
            return 0;
        }
        let since = i128::from(time) - i128::from(self.origin);
        let width = i128::from(self.span.even_ms().max(1));
        let estimate = (since / width).min(i128::from(i64::MAX)) as i64;
        if self.span.unit.is_even(&self.zone) {
            return estimate;
        }
        // What no calendar reaches belongs to the last range it does reach.
        let time = time.clamp(CALENDAR.0, CALENDAR.1);
        let since = i128::from(time) - i128::from(self.origin);
        let mut number = (since / width).clamp(0, i128::from(i64::MAX - 1)) as i64;
        while number > 0 && self.start(number) > time {
            number -= 1;
        }
        while self.start(number.saturating_add(1)) <= time {
            number += 1;
        }
        number
    }

    /// The same ranges for the shards, as far as they meet `data` (ns), which does not begin
    /// before the origin. `None` when they cannot be said so.
    pub fn buckets(&self, data: TimeRange) -> Option<Buckets> {
        let ms = |at: i64| at.div_euclid(MS_NS);
        if self.span.unit.is_even(&self.zone) {
            let width_ns = self.span.even_ms().checked_mul(MS_NS)?;
            let offset = (i128::from(self.origin) * i128::from(MS_NS)).rem_euclid(width_ns.into());
            return Some(Buckets::Even { width_ns, offset_ns: i64::try_from(offset).ok()? });
        }
        let (first, last) = (self.number(ms(data.first)), self.number(ms(data.last)));
        if last.saturating_sub(first) >= STARTS_MAX {
            return None;
        }
        let starts = (first..=last + 1).map(|at| self.start(at).saturating_mul(MS_NS));
        let starts: Arc<[i64]> = starts.collect();
        starts.is_sorted_by(|a, b| a < b).then_some(Buckets::Starts(starts))
    }
}

/// The last border of the unit before an instant: years, months, Mondays, midnights (for days and
/// what is shorter), full seconds.
fn aligned_start(start: i64, unit: Unit, zone: &TimeZone) -> i64 {
    if unit == Unit::Milliseconds {
        return start.div_euclid(1000).saturating_mul(1000);
    }
    let at = zoned(start, zone);
    let date = match unit {
        Unit::Years => at.date().first_of_year(),
        Unit::Months => at.date().first_of_month(),
        Unit::Weeks => {
            let back = i64::from(at.weekday().since(Weekday::Monday));
            at.date().saturating_sub(Steps::new().days(back))
        }
        _ => at.date(),
    };
    let midnight = date.to_zoned(zone.clone()).and_then(|at| at.start_of_day());
    midnight.map_or(start, |at| at.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn span(value: i64, unit: Unit) -> Span {
        Span { value, unit }
    }

    #[test]
    fn origins_are_borders_of_the_unit_in_the_zone() {
        let kabul = zone("Asia/Kabul").unwrap();
        let start = ms("2020-12-31T21:17:03.456Z");
        let origin = |unit, zone: &TimeZone| Ranges::new(start, span(1, unit), true, zone.clone());
        let utc = TimeZone::UTC;
        assert_eq!(origin(Unit::Years, &utc).start(0), ms("2020-01-01T00:00:00Z"));
        assert_eq!(origin(Unit::Months, &utc).start(0), ms("2020-12-01T00:00:00Z"));
        assert_eq!(origin(Unit::Weeks, &utc).start(0), ms("2020-12-28T00:00:00Z"));
        for unit in [Unit::Days, Unit::Hours, Unit::Minutes, Unit::Seconds] {
            assert_eq!(origin(unit, &utc).start(0), ms("2020-12-31T00:00:00Z"));
            assert_eq!(origin(unit, &kabul).start(0), ms("2020-12-31T19:30:00Z"));
        }
        assert_eq!(origin(Unit::Years, &kabul).start(0), ms("2020-12-31T19:30:00Z"));
        assert_eq!(origin(Unit::Milliseconds, &utc).start(0), ms("2020-12-31T21:17:03Z"));
        assert_eq!(Ranges::new(-1, span(1, Unit::Milliseconds), true, utc).start(0), -1000);
    }

    #[test]
    fn days_follow_the_wall_clock_and_hours_do_not() {
        let berlin = zone("Europe/Berlin").unwrap();
        let start = ms("2021-03-27T12:00:00Z");
        let days = Ranges::new(start, span(1, Unit::Days), true, berlin.clone());
        assert_eq!(days.start(1), ms("2021-03-27T23:00:00Z"));
        assert_eq!(days.start(2), ms("2021-03-28T22:00:00Z"));
        assert_eq!(days.number(ms("2021-03-28T21:59:59Z")), 1);
        assert_eq!(days.number(ms("2021-03-28T22:00:00Z")), 2);
        let hours = Ranges::new(start, span(24, Unit::Hours), true, berlin);
        assert_eq!(hours.start(2), ms("2021-03-28T23:00:00Z"));
    }

    #[test]
    fn months_keep_the_day_or_take_the_last() {
        let start = ms("2021-01-31T00:00:00Z");
        let months = Ranges::new(start, span(1, Unit::Months), false, TimeZone::UTC);
        assert_eq!(months.start(1), ms("2021-02-28T00:00:00Z"));
        assert_eq!(months.start(2), ms("2021-03-31T00:00:00Z"));
        assert_eq!(months.number(ms("2021-03-30T23:00:00Z")), 1);
        assert_eq!(
            span(1, Unit::Months).before(ms("2020-03-31T05:00:00Z")),
            ms("2020-02-29T05:00:00Z")
        );
        assert_eq!(span(1, Unit::Weeks).before(0), -604_800_000);
    }

    #[test]
    fn zones_are_names_or_offsets() {
        for name in ["", "UTC", "+00:00", "-0000"] {
            assert_eq!(zone(name).unwrap().to_fixed_offset().unwrap().seconds(), 0);
        }
        assert_eq!(zone("+05:30").unwrap().to_fixed_offset().unwrap().seconds(), 19_800);
        assert_eq!(zone("-03").unwrap().to_fixed_offset().unwrap().seconds(), -10_800);
        for name in ["bogus", "europe/berlin", "+25:00", "+1:2:3", "+é", "2"] {
            assert!(zone(name).is_none(), "{name}");
        }
        assert!(zone_names().contains(&"Europe/Berlin".to_owned()));
    }

    #[test]
    fn the_ends_of_time_saturate() {
        for unit in Unit::ALL {
            for start in [i64::MIN, i64::MAX, 0] {
                let ranges = Ranges::new(start, span(i64::MAX, unit), true, TimeZone::UTC);
                assert_eq!(ranges.number(i64::MIN), 0);
                ranges.number(i64::MAX);
                assert!(ranges.start(0) <= ranges.start(1));
            }
            span(i64::MAX, unit).before(0);
            span(i64::MIN, unit).before(0);
        }
        assert_eq!(Unit::parse("miNutes"), Some(Unit::Minutes));
        assert_eq!(Unit::parse("minute"), None);
    }

    proptest! {
        #[test]
        fn a_time_lies_in_its_range(
            start in -4_000_000_000_000..4_000_000_000_000i64,
            later in 0..200_000_000_000i64,
            value in 1..40i64,
            unit in 0..8usize,
            aligned in any::<bool>(),
            name in prop::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kabul", "America/Lima"]),
        ) {
            let unit = Unit::ALL[unit];
            let ranges = Ranges::new(start, span(value, unit), aligned, zone(name).unwrap());
            prop_assert!(ranges.start(0) <= start);
            let time = start + later;
            let number = ranges.number(time);
            prop_assert!(ranges.start(number) <= time && time < ranges.start(number + 1));
            let data = TimeRange::new(start * MS_NS, time * MS_NS);
            if let Some(buckets) = ranges.buckets(data) {
                let bucket = buckets.number(time * MS_NS).unwrap();
                prop_assert_eq!(buckets.start(bucket), ranges.start(number) * MS_NS);
                let (first, _) = buckets.span(data).unwrap();
                prop_assert!(buckets.start(first) <= start * MS_NS);
            }
        }
    }
}
