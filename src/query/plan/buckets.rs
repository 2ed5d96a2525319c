//! Time of a query: the range it reads and the buckets it cuts it into.
//!
//! In: the condition's range, the arguments of time() and the zone. Out: `Timing`. With a zone,
//! buckets follow the wall clock: their starts are listed one by one.

use super::super::QueryError;
use crate::influxql::ast::{Expr, Select};
use crate::influxql::time_literal;
use crate::model::TimeRange;
use crate::model::time::{TIME_MAX, TIME_MIN};
use crate::shard::scan::Buckets;
use jiff::tz::TimeZone;

/// Starts that are listed for one query with a zone; a finer cut of a longer time is refused.
const STARTS_MAX: usize = 1_000_000;
/// Offsets of zones change at multiples of this.
const ZONE_STEP_NS: i64 = 15 * 60 * 1_000_000_000;

/// The range of a query and its buckets.
#[derive(Clone, Debug)]
pub struct Timing {
    pub range: TimeRange,
    pub buckets: Buckets,
    /// Width of GROUP BY time(); 0 without.
    pub width_ns: i64,
    /// Offset, with 0 <= offset < width.
    pub offset_ns: i64,
    pub zone: Option<TimeZone>,
}

impl Timing {
    /// The time of a query whose condition leaves `range`.
    ///
    /// # Errors
    /// Arguments of time() that are none.
    pub fn new(
        select: &Select,
        range: TimeRange,
        now_ns: i64,
        zone: Option<TimeZone>,
    ) -> Result<Timing, QueryError> {
        let width_ns = select.group_interval().map_err(QueryError::Refused)?.max(0);
        let mut range = range;
        if width_ns > 0 && range.last == TIME_MAX {
            range.last = now_ns;
        }
        let mut timing = Timing { range, buckets: Buckets::One, width_ns, offset_ns: 0, zone };
        if width_ns > 0 {
            let utc = TimeZone::UTC;
            let zone = timing.zone.as_ref().unwrap_or(&utc);
            timing.offset_ns = offset(select, now_ns, zone)?.rem_euclid(width_ns);
            let offset_ns = timing.offset_ns;
            timing.buckets = Buckets::Even { width_ns, offset_ns };
        }
        Ok(timing)
    }

    /// Takes width and offset of buckets over from the query around this one.
    pub fn inherit(&mut self, interval: Option<(i64, i64)>) {
        let Some((width_ns, offset_ns)) = interval else { return };
        (self.width_ns, self.offset_ns) = (width_ns, offset_ns);
        self.buckets = Buckets::Even { width_ns, offset_ns };
    }

    /// Whether the query says where time begins.
    pub fn has_start(&self) -> bool {
        self.range.first > TIME_MIN
    }

    /// The time of rows that have none: the lower bound, or 0.
    pub fn base(&self) -> i64 {
        if self.has_start() { self.range.first } else { 0 }
    }

    /// Lists the buckets by the wall clock where a zone asks for it; `data` bounds what is
    /// unbounded.
    ///
    /// # Errors
    /// More buckets than can be listed.
    pub fn in_zone(&mut self, data: TimeRange) -> Result<(), QueryError> {
        let Some(zone) = self.zone.as_ref().filter(|_| self.width_ns > 0) else { return Ok(()) };
        let first = if self.range.first > TIME_MIN { self.range.first } else { data.first };
        let window = Window { zone, width: self.width_ns, offset: self.offset_ns };
        let mut starts = vec![window.start(first)];
        let mut at = first.max(starts.first().copied().unwrap_or(first));
        while at <= self.range.last {
            let Some(next) = window.next(at) else { break };
            starts.push(next);
            at = next;
            if starts.len() > STARTS_MAX {
                return Err(QueryError::Refused("too many buckets".to_owned()));
            }
        }
        self.buckets = Buckets::Starts(starts.into());
        Ok(())
    }

    /// The bucket of an instant.
    pub fn bucket(&self, at: i64) -> i64 {
        match &self.buckets {
            Buckets::One => 0,
            Buckets::Even { width_ns, offset_ns } => {
                let shifted = i128::from(at) - i128::from(*offset_ns);
                shifted.div_euclid(i128::from((*width_ns).max(1))) as i64
            }
            Buckets::Starts(starts) => starts.partition_point(|start| *start <= at) as i64 - 1,
        }
    }

    /// The instant at which a bucket starts.
    pub fn start(&self, bucket: i64) -> i64 {
        match &self.buckets {
            Buckets::One => self.base(),
            Buckets::Even { width_ns, offset_ns } => {
                let start = i128::from(bucket) * i128::from(*width_ns) + i128::from(*offset_ns);
                start.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
            }
            Buckets::Starts(starts) => {
                let at = usize::try_from(bucket).unwrap_or(0);
                starts.get(at).copied().unwrap_or(i64::MAX)
            }
        }
    }
}

/// The offset of time(): a duration, now() or an instant.
fn offset(select: &Select, now_ns: i64, zone: &TimeZone) -> Result<i64, QueryError> {
    let args = select.dimensions.iter().find_map(|dimension| dimension.time_args());
    match args.and_then(|args| args.get(1)) {
        None => Ok(0),
        Some(Expr::Duration(ns)) => Ok(*ns),
        Some(Expr::Call { .. }) => Ok(now_ns),
        Some(Expr::String(text)) => {
            let at = time_literal::parse(text, zone);
            at.map_err(|error| QueryError::Refused(error.to_string()))
        }
        Some(_) => {
            let text = "time dimension offset must be duration or now()";
            Err(QueryError::Refused(text.to_owned()))
        }
    }
}

/// Buckets by the wall clock.
struct Window<'a> {
    zone: &'a TimeZone,
    width: i64,
    offset: i64,
}

impl Window<'_> {
    fn zone_offset(&self, at: i64) -> i64 {
        let stamp = jiff::Timestamp::from_nanosecond(i128::from(at));
        let seconds = stamp.map_or(0, |stamp| self.zone.to_offset(stamp).seconds());
        i64::from(seconds) * 1_000_000_000
    }

    /// Start of the bucket of an instant: even on the wall clock, moved when the clock was moved
    /// between the start and the instant by less than the width.
    fn start(&self, at: i64) -> i64 {
        let at = at.saturating_sub(self.offset);
        let zone = self.zone_offset(at);
        let into = at.saturating_add(zone).rem_euclid(self.width);
        let start = at.saturating_sub(into).saturating_add(self.offset);
        let moved = zone - self.zone_offset(start);
        if moved != 0 && moved.abs() < self.width { start + moved } else { start }
    }

    /// Start of the bucket behind the one that starts at `start`.
    fn next(&self, start: i64) -> Option<i64> {
        let even = start.checked_add(self.width)?;
        let far = even.checked_add(self.width.min(86_400_000_000_000))?;
        let steady = self.zone_offset(start) == self.zone_offset(even)
            && self.zone_offset(even) == self.zone_offset(far);
        if steady && self.start(even) == even {
            return Some(even);
        }
        let step = ZONE_STEP_NS.min(self.width);
        let mut at = start.checked_add(step)?;
        loop {
            let found = self.start(at);
            if found > start {
                return Some(found);
            }
            at = at.checked_add(step)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn starts(zone: &str, width: i64, first: i64, last: i64) -> Vec<i64> {
        let mut timing = Timing {
            range: TimeRange::new(first, last),
            buckets: Buckets::One,
            width_ns: width,
            offset_ns: 0,
            zone: Some(TimeZone::get(zone).unwrap()),
        };
        timing.in_zone(TimeRange::ALL).unwrap();
        let Buckets::Starts(starts) = timing.buckets else { panic!() };
        starts.iter().map(|start| start / HOUR).collect()
    }

    #[test]
    fn days_follow_the_wall_clock() {
        // 2019-03-31 has 23 hours in Berlin, 2019-10-27 has 25.
        let spring = 1_553_986_800_000_000_000;
        let days = starts("Europe/Berlin", 24 * HOUR, spring, spring + 40 * HOUR);
        assert_eq!(days[1] - days[0], 23);
        assert_eq!(days[2] - days[1], 24);
        let autumn = 1_572_127_200_000_000_000;
        let days = starts("Europe/Berlin", 24 * HOUR, autumn, autumn + 40 * HOUR);
        assert_eq!(days[1] - days[0], 25);
    }

    #[test]
    fn two_hours_across_the_spring_shift() {
        let midnight = 1_553_986_800_000_000_000;
        let found = starts("Europe/Berlin", 2 * HOUR, midnight, midnight + 5 * HOUR);
        let from = midnight / HOUR;
        let relative: Vec<i64> = found.iter().map(|start| start - from).collect();
        // 00:00+01, 03:00+02, 04:00+02, 06:00+02
        assert_eq!(relative[..4], [0, 2, 3, 5]);
    }
}
