//! The Block: rows of several series from one source, the one shape in which stored rows move.
//!
//! Head tables and segment chunks give Blocks; the merge makes one Block of several; the segment writer
//! and the scan take them. Rows are ordered by (measurement, series, time).

use crate::model::{Column, ColumnId, MeasurementId, SeriesId};

/// Rows of several series, as columns.
///
/// Within a Block each (series, time) occurs once. `times` and every column have `rows()` entries;
/// columns are sorted by id and distinct; `runs` cover the rows in order, without gaps, each series
/// in one run only.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Block {
    pub runs: Vec<Run>,
    /// Nanoseconds since the epoch, ascending within a run.
    pub times: Vec<i64>,
    pub columns: Vec<Column>,
}

/// Consecutive rows of one series in a Block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    pub measurement: MeasurementId,
    pub series: SeriesId,
    /// First row in the Block.
    pub start: u32,
    /// Number of rows, at least 1.
    pub rows: u32,
    /// Distance between neighbouring times (ns) when they are all equally far apart, else 0.
    /// A run of one row has step 0.
    pub step: i64,
}

impl Run {
    /// The run's rows in its Block.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start as usize..(self.start + self.rows) as usize
    }
}

impl Block {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.times.len()
    }

    /// A column by id.
    pub fn column(&self, id: ColumnId) -> Option<&Column> {
        self.columns
            .binary_search_by_key(&id, |column| column.id)
            .ok()
            .and_then(|at| self.columns.get(at))
    }
}

/// The step of ascending times: their common distance, or 0 when they have none (or there is one time).
pub fn step_of(times: &[i64]) -> i64 {
    let [first, second, rest @ ..] = times else { return 0 };
    let step = second.wrapping_sub(*first);
    let mut last = *second;
    let even = rest.iter().all(|time| {
        let equal = time.wrapping_sub(last) == step;
        last = *time;
        equal
    });
    if even { step } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_distances_make_a_step() {
        assert_eq!(step_of(&[]), 0);
        assert_eq!(step_of(&[5]), 0);
        assert_eq!(step_of(&[5, 15, 25]), 10);
        assert_eq!(step_of(&[5, 15, 26]), 0);
    }
}
