//! Buckets of time: which one an instant belongs to, and where it ends.
//!
//! In: `Buckets` of a request and times. Out: bucket numbers; runs of rows cut at bucket borders,
//! by arithmetic where rows are evenly apart.

use super::request::Buckets;
use crate::model::TimeRange;
use std::ops::Range;

impl Buckets {
    /// The bucket of an instant; `None` when it lies in none.
    pub fn number(&self, time: i64) -> Option<i64> {
        match self {
            Buckets::One => Some(0),
            Buckets::Even { width_ns, offset_ns } => {
                let width = (*width_ns).max(1);
                Some(match time.checked_sub(*offset_ns) {
                    Some(shifted) => shifted.div_euclid(width),
                    None => {
                        let shifted = i128::from(time) - i128::from(*offset_ns);
                        shifted.div_euclid(i128::from(width)) as i64
                    }
                })
            }
            Buckets::Starts(starts) => {
                let behind = starts.partition_point(|start| *start <= time);
                (behind > 0 && behind < starts.len()).then(|| behind as i64 - 1)
            }
        }
    }

    /// The last instant of a bucket, as far as instants reach.
    pub fn last(&self, bucket: i64) -> i64 {
        match self {
            Buckets::One => i64::MAX,
            Buckets::Even { width_ns, offset_ns } => {
                let next = (i128::from(bucket) + 1) * i128::from((*width_ns).max(1));
                let last = next + i128::from(*offset_ns) - 1;
                last.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
            }
            Buckets::Starts(starts) => usize::try_from(bucket)
                .ok()
                .and_then(|at| starts.get(at + 1))
                .map_or(i64::MAX, |next| next.saturating_sub(1)),
        }
    }

    /// The first instant of a bucket, as far as instants reach.
    pub fn start(&self, bucket: i64) -> i64 {
        match self {
            Buckets::One => i64::MIN,
            Buckets::Even { width_ns, offset_ns } => {
                let start = i128::from(bucket) * i128::from((*width_ns).max(1));
                let start = start + i128::from(*offset_ns);
                start.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
            }
            Buckets::Starts(starts) => usize::try_from(bucket)
                .ok()
                .and_then(|at| starts.get(at))
                .copied()
                .unwrap_or(i64::MAX),
        }
    }

    /// First and last bucket that instants of a range can lie in; `None` when they lie in none.
    pub fn span(&self, range: TimeRange) -> Option<(i64, i64)> {
        let range = match self {
            Buckets::Starts(starts) => {
                let (first, last) = (starts.first()?, starts.last()?);
                range.intersect(TimeRange::new(*first, last.saturating_sub(1)))
            }
            _ => range,
        };
        if range.is_empty() {
            return None;
        }
        Some((self.number(range.first)?, self.number(range.last)?))
    }
}

/// Cuts rows of ascending times at bucket borders and gives each piece with its bucket. `step` is
/// the distance of the times when it is the same for all, else 0. Rows in no bucket are left out.
pub fn cut(buckets: &Buckets, times: &[i64], step: i64, mut piece: impl FnMut(i64, Range<usize>)) {
    let mut row = 0;
    while let Some(time) = times.get(row) {
        let Some(bucket) = buckets.number(*time) else {
            row += 1;
            continue;
        };
        let last = buckets.last(bucket);
        let rest = times.len() - row;
        let count = if step > 0 {
            let after = last.abs_diff(*time) / step as u64;
            usize::try_from(after).map_or(rest, |after| after.saturating_add(1).min(rest))
        } else {
            let rest = times.get(row..).unwrap_or(&[]);
            rest.partition_point(|time| *time <= last)
        };
        let count = count.max(1);
        piece(bucket, row..row + count);
        row += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn buckets() -> impl Strategy<Value = Buckets> {
        prop_oneof![
            Just(Buckets::One),
            (1..200i64).prop_flat_map(|width_ns| (0..width_ns)
                .prop_map(move |offset_ns| Buckets::Even { width_ns, offset_ns })),
            proptest::collection::btree_set(-300..300i64, 2..8)
                .prop_map(|starts| Buckets::Starts(starts.into_iter().collect())),
        ]
    }

    proptest! {
        #[test]
        fn pieces_hold_exactly_the_rows_of_their_bucket(
            buckets in buckets(),
            start in -400..400i64,
            step in 1..70i64,
            rows in 0..60usize,
            even in any::<bool>(),
        ) {
            let times: Vec<i64> = (0..rows as i64)
                .map(|row| start + row * step + if even { 0 } else { row * row % 3 })
                .collect();
            let known = crate::shard::block::step_of(&times);
            let mut found = Vec::new();
            cut(&buckets, &times, known, |bucket, rows| {
                found.extend(rows.map(|row| (bucket, times[row])));
            });
            let expected: Vec<(i64, i64)> = times
                .iter()
                .filter_map(|time| Some((buckets.number(*time)?, *time)))
                .collect();
            prop_assert_eq!(&found, &expected);
            for (bucket, time) in found {
                prop_assert!(buckets.start(bucket) <= time && time <= buckets.last(bucket));
            }
        }
    }

    #[test]
    fn the_ends_of_time_have_buckets() {
        let buckets = Buckets::Even { width_ns: 1000, offset_ns: 999 };
        for time in [crate::model::time::TIME_MIN, 0, crate::model::time::TIME_MAX] {
            let bucket = buckets.number(time).unwrap();
            assert!(buckets.start(bucket) <= time && time <= buckets.last(bucket));
        }
    }
}
