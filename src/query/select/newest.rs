//! ORDER BY time DESC LIMIT n over buckets of a single group: the newest buckets are asked first.
//!
//! In: the query's time, the time that has data, and how many rows the answer has. Out: ranges to
//! ask one after the other, each from the end of the query's range backwards and eight times as
//! long as the one before, until one gives enough rows. What is asked twice is an eighth at most;
//! what is not asked at all is usually nearly everything. The whole range is not among them.

use super::super::plan::Timing;
use crate::model::TimeRange;

/// How much longer each range is than the one before.
const GROWTH: u64 = 8;

/// The ranges to ask before the whole one.
pub fn ranges(timing: &Timing, data: TimeRange, rows: u64) -> impl Iterator<Item = TimeRange> {
    let whole = timing.range;
    let (oldest, last) = (whole.first.max(data.first), timing.bucket(whole.last));
    let starts = std::iter::successors(Some(rows), |count| count.checked_mul(GROWTH));
    let start = |count: u64| timing.start(last.saturating_sub_unsigned(count));
    let ranges = starts.map(move |count| TimeRange::new(start(count), whole.last));
    let of_timing: Vec<TimeRange> = ranges.take_while(|range| range.first > oldest).collect();
    // Ranges behind the newest data cannot hold a row.
    of_timing.into_iter().filter(move |range| range.first <= data.last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::TIME_MIN;
    use crate::shard::scan::Buckets;

    fn asked(first: i64, last: i64, data: (i64, i64), rows: u64) -> Vec<i64> {
        let timing = Timing {
            range: TimeRange::new(first, last),
            buckets: Buckets::Even { width_ns: 10, offset_ns: 0 },
            width_ns: 10,
            offset_ns: 0,
            zone: None,
        };
        ranges(&timing, TimeRange::new(data.0, data.1), rows).map(|range| range.first).collect()
    }

    #[test]
    fn ranges_grow_backwards_and_stop_before_the_whole() {
        // The last bucket starts at 100,000; one more than asked for is read.
        assert_eq!(asked(TIME_MIN, 100_005, (5, 100_009), 5), [99_950, 99_600, 96_800, 74_400]);
        assert_eq!(asked(98_000, 100_005, (5, 100_009), 5), [99_950, 99_600]);
        assert_eq!(asked(99_990, 100_005, (5, 100_009), 5), [0i64; 0]);
    }

    #[test]
    fn ranges_without_data_are_passed_over() {
        assert_eq!(asked(TIME_MIN, 100_005, (5, 90_000), 5), [74_400]);
        assert_eq!(asked(TIME_MIN, 100_005, (5, 10), u64::MAX), [0i64; 0]);
    }
}
