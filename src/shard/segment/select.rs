//! What a scan asks for, and which runs and rows of a chunk answer it.
//!
//! In: a selection of measurement, series, times and columns, and the runs of a chunk. Out: spans
//! of rows. Wanted series and runs are both sorted within a measurement, so they are matched by
//! galloping: a few series cost a few comparisons, all series cost none.

use super::directory::ChunkInfo;
use super::runs::StoredRun;
use crate::model::{ColumnId, MeasurementId, SeriesId, TimeRange};
use std::ops::Range;
use std::rc::Rc;

/// The rows and columns that a cursor gives.
#[derive(Clone, Debug)]
pub struct Select {
    /// Only this measurement; `None`: all.
    pub measurement: Option<MeasurementId>,
    /// Only these series, ascending; `None`: all.
    pub series: Option<Rc<[SeriesId]>>,
    /// Only rows of these times.
    pub range: TimeRange,
    /// Only these columns, ascending; `None`: all. Chunks that have none of the columns asked for
    /// are passed over, but an empty list asks for runs and times alone, and one with the hidden
    /// expiry for all chunks (a row's newest version decides about it, whatever its columns).
    pub columns: Option<Rc<[ColumnId]>>,
}

impl Select {
    /// Everything.
    pub fn all() -> Select {
        Select { measurement: None, series: None, range: TimeRange::ALL, columns: None }
    }

    /// Whether chunks without any of the columns are asked for.
    pub fn wants_rows(&self) -> bool {
        let all = |ids: &Rc<[ColumnId]>| ids.is_empty() || ids.first() == Some(&ColumnId::EXPIRE);
        self.columns.as_ref().is_none_or(all)
    }

    /// Whether rows with keys from `first` to `last` and times in `time` can be among the selected.
    pub fn overlaps(
        &self,
        first: (MeasurementId, SeriesId),
        last: (MeasurementId, SeriesId),
        time: TimeRange,
    ) -> bool {
        if !self.range.overlaps(time) || self.range.is_empty() {
            return false;
        }
        if self.measurement.is_some_and(|wanted| wanted < first.0 || last.0 < wanted) {
            return false;
        }
        let Some(series) = &self.series else { return true };
        // Ids are ordered within a measurement only: the bounds hold at the ends of the range.
        let wanted = self.measurement;
        let alone = first.0 == last.0;
        let low = if alone || wanted == Some(first.0) { first.1 } else { SeriesId(0) };
        let high = if alone || wanted == Some(last.0) { last.1 } else { SeriesId(u32::MAX) };
        series.get(series.partition_point(|id| *id < low)).is_some_and(|id| *id <= high)
    }

    /// Whether every row of a chunk is selected, as far as its directory entry tells.
    pub fn covers(&self, chunk: &ChunkInfo) -> bool {
        let measurement =
            self.measurement.is_none_or(|id| (id, id) == (chunk.first.0, chunk.last.0));
        measurement && self.series.is_none() && self.range.covers(chunk.time)
    }
}

/// Rows of a chunk, of one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Number of the run in the chunk.
    pub run: u32,
    /// First row in the chunk, and the row behind the last.
    pub start: u32,
    pub end: u32,
}

/// The runs of a chunk that belong to selected series, in order, by number.
pub fn matching_runs(select: &Select, runs: &[StoredRun], mut found: impl FnMut(usize)) {
    let mut at = 0;
    while let Some(stored) = runs.get(at) {
        let measurement = stored.run.measurement;
        let end = at
            + gallop(runs.get(at..).unwrap_or(&[]), |other| other.run.measurement <= measurement);
        if select.measurement.is_none_or(|wanted| wanted == measurement) {
            match &select.series {
                None => (at..end).for_each(&mut found),
                Some(series) => {
                    intersect(runs.get(at..end).unwrap_or(&[]), series, |n| found(at + n))
                }
            }
        }
        at = end;
    }
}

/// Numbers of the runs whose series is wanted; both sides ascend, and each leaps over what the
/// other does not have.
fn intersect(runs: &[StoredRun], series: &[SeriesId], mut found: impl FnMut(usize)) {
    let (mut at, mut wanted) = (0, 0);
    while let (Some(stored), Some(id)) = (runs.get(at), series.get(wanted)) {
        if stored.run.series == *id {
            found(at);
            at += 1;
            wanted += 1;
        } else if stored.run.series < *id {
            at += gallop(runs.get(at..).unwrap_or(&[]), |other| other.run.series < *id);
        } else {
            let rest = series.get(wanted..).unwrap_or(&[]);
            wanted += gallop(rest, |other| *other < stored.run.series);
        }
    }
}

/// Number of leading items for which `before` holds, found in steps that double.
fn gallop<T>(items: &[T], before: impl Fn(&T) -> bool) -> usize {
    let mut step = 1;
    while items.get(step - 1).is_some_and(&before) {
        step *= 2;
    }
    let low = step / 2;
    let high = step.min(items.len());
    low + items.get(low..high).unwrap_or(&[]).partition_point(before)
}

/// The rows of a regular run whose times lie in `range`, counted within the run.
pub fn regular_rows(stored: &StoredRun, range: TimeRange) -> Range<u32> {
    let rows = i128::from(stored.run.rows);
    // A run of one row has no step; any will do.
    let step = i128::from(stored.run.step.max(1));
    let first = i128::from(stored.first);
    let clamp = |row: i128| row.clamp(0, rows) as u32;
    let start = clamp((i128::from(range.first) - first + step - 1).div_euclid(step));
    let end = clamp((i128::from(range.last) - first).div_euclid(step) + 1);
    start..end.max(start)
}

/// The rows of ascending times that lie in `range`.
pub fn irregular_rows(times: &[i64], range: TimeRange) -> Range<u32> {
    let start = times.partition_point(|time| *time < range.first);
    let end = times.partition_point(|time| *time <= range.last);
    start as u32..end.max(start) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::block::Run;
    use proptest::prelude::*;

    fn run(measurement: u32, series: u32, rows: u32, first: i64, step: i64) -> StoredRun {
        let (measurement, series) = (MeasurementId(measurement), SeriesId(series));
        let run = Run { measurement, series, start: 0, rows, step };
        StoredRun { run, first, times_at: 0 }
    }

    #[test]
    fn rows_of_a_regular_run_are_found_by_arithmetic() {
        for (rows, step) in [(1u32, 0i64), (2, 3), (7, 10), (5, 1)] {
            let stored = run(1, 1, rows, 100, step);
            let times: Vec<i64> = (0..i64::from(rows)).map(|row| 100 + row * step).collect();
            for first in 90..180 {
                for last in first - 1..180 {
                    let range = TimeRange::new(first, last);
                    let (got, want) = (regular_rows(&stored, range), irregular_rows(&times, range));
                    assert_eq!(got.is_empty(), want.is_empty(), "{range:?}");
                    assert!(got == want || got.is_empty(), "{range:?}");
                }
            }
            assert_eq!(regular_rows(&stored, TimeRange::ALL), 0..rows);
            assert!(regular_rows(&stored, TimeRange::new(i64::MIN, 99)).is_empty());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn galloping_finds_what_a_filter_finds(
            keys in proptest::collection::btree_set((1..4u32, 0..60u32), 0..80),
            wanted in proptest::collection::btree_set(0..60u32, 0..40),
            measurement in proptest::option::of(1..4u32),
            all in any::<bool>(),
        ) {
            let runs: Vec<StoredRun> = keys.iter().map(|(m, s)| run(*m, *s, 1, 0, 0)).collect();
            let series: Rc<[SeriesId]> = wanted.iter().map(|id| SeriesId(*id)).collect();
            let mut select = Select::all();
            select.measurement = measurement.map(MeasurementId);
            select.series = (!all).then_some(series);
            let mut got = Vec::new();
            matching_runs(&select, &runs, |at| got.push(at));
            let want: Vec<usize> = keys
                .iter()
                .enumerate()
                .filter(|(_, (m, s))| {
                    measurement.is_none_or(|id| id == *m) && (all || wanted.contains(s))
                })
                .map(|(at, _)| at)
                .collect();
            let overlaps = match (runs.first(), runs.last()) {
                (Some(first), Some(last)) => {
                    let key = |stored: &StoredRun| (stored.run.measurement, stored.run.series);
                    select.overlaps(key(first), key(last), TimeRange::new(0, 0))
                }
                _ => false,
            };
            prop_assert!(want.is_empty() || overlaps);
            prop_assert_eq!(got, want);
        }
    }
}
