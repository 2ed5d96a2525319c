//! The Block: rows of several series from one source, the one shape in which stored rows move.
//!
//! Head tables and segment chunks give Blocks; the merge makes one Block of several; the segment
//! writer and the scan take them. Rows are ordered by (measurement, series, time).

use crate::model::{Bitmap, Column, ColumnId, MeasurementId, SeriesId, Strings, Values};
use std::ops::Range;

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

    /// Notes that the next `rows` rows are of `series`: as a run, or as more of the last run. Steps
    /// are set by `refresh_steps` once the times are there.
    pub fn push_run(&mut self, measurement: MeasurementId, series: SeriesId, rows: usize) {
        if rows == 0 {
            return;
        }
        let start = match self.runs.last_mut() {
            Some(last) if (last.measurement, last.series) == (measurement, series) => {
                last.rows += rows as u32;
                return;
            }
            Some(last) => last.start + last.rows,
            None => 0,
        };
        self.runs.push(Run { measurement, series, start, rows: rows as u32, step: 0 });
    }

    /// Computes the step of every run from the times.
    pub fn refresh_steps(&mut self) {
        for run in &mut self.runs {
            run.step = step_of(self.times.get(run.range()).unwrap_or(&[]));
        }
    }

    /// Removes columns without a value, and the validity of columns that have all.
    pub fn drop_null_columns(&mut self) {
        self.columns.retain_mut(|column| {
            let Some(bits) = &column.validity else { return !column.values.is_empty() };
            let ones = bits.count_ones();
            if ones == bits.len() {
                column.validity = None;
            }
            ones > 0
        });
    }

    /// A copy of some rows. Columns that are all null in it are left out.
    pub fn slice(&self, rows: Range<usize>) -> Block {
        let mut block = Block::default();
        for run in &self.runs {
            let run_rows = run.range();
            let start = run_rows.start.max(rows.start);
            let end = run_rows.end.min(rows.end);
            block.push_run(run.measurement, run.series, end.saturating_sub(start));
        }
        block.times = self.times.get(rows.clone()).unwrap_or(&[]).to_vec();
        for column in &self.columns {
            let mut copy = Column::empty(column.id);
            copy.append(column, rows.clone());
            block.columns.push(copy);
        }
        block.refresh_steps();
        block.drop_null_columns();
        block
    }

    /// Keeps the rows whose bit is set. Columns that are all null then are removed.
    pub fn retain(&mut self, keep: &Bitmap) {
        if keep.count_ones() == self.rows() {
            return;
        }
        let mut block = Block::default();
        let spans = spans_of(keep, self.rows());
        for run in &self.runs {
            let rows = run.range().filter(|row| keep.get(*row)).count();
            block.push_run(run.measurement, run.series, rows);
        }
        for span in &spans {
            block.times.extend_from_slice(self.times.get(span.clone()).unwrap_or(&[]));
        }
        for column in &self.columns {
            let mut copy = Column::empty(column.id);
            spans.iter().for_each(|span| copy.append(column, span.clone()));
            block.columns.push(copy);
        }
        block.refresh_steps();
        block.drop_null_columns();
        *self = block;
    }
}

/// The stretches of set bits among the first `rows`.
fn spans_of(keep: &Bitmap, rows: usize) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    for row in (0..rows).filter(|row| keep.get(*row)) {
        match spans.last_mut() {
            Some(last) if last.end == row => last.end += 1,
            _ => spans.push(row..row + 1),
        }
    }
    spans
}

impl Column {
    /// Appends rows of a column of the same type.
    pub fn append(&mut self, from: &Column, rows: Range<usize>) {
        let count = rows.len();
        if from.validity.is_some() || self.validity.is_some() {
            let len = self.values.len();
            let bits = self.validity.get_or_insert_with(|| Bitmap::filled(len, true));
            match &from.validity {
                Some(more) => bits.extend_rows(more, rows.clone()),
                None => bits.extend_fill(count, true),
            }
        }
        let done = match (&mut self.values, &from.values) {
            (Values::Float(out), Values::Float(from)) => append_slice(out, from, rows),
            (Values::Integer(out), Values::Integer(from)) => append_slice(out, from, rows),
            (Values::Unsigned(out), Values::Unsigned(from)) => append_slice(out, from, rows),
            (Values::Boolean(out), Values::Boolean(from)) => append_slice(out, from, rows),
            (Values::String(out), Values::String(from)) => append_strings(out, from, rows),
            _ => false,
        };
        debug_assert!(done, "columns of one id have one type, and all rows of their block");
        if !done {
            self.values.extend_null(count);
        }
    }

    /// Appends `count` nulls.
    pub fn append_nulls(&mut self, count: usize) {
        if count > 0 {
            let len = self.values.len();
            let bits = self.validity.get_or_insert_with(|| Bitmap::filled(len, true));
            bits.extend_fill(count, false);
            self.values.extend_null(count);
        }
    }
}

fn append_slice<T: Copy>(out: &mut Vec<T>, from: &[T], rows: Range<usize>) -> bool {
    from.get(rows).map(|values| out.extend_from_slice(values)).is_some()
}

/// One copy of the bytes; the ends are moved.
fn append_strings(out: &mut Strings, from: &Strings, rows: Range<usize>) -> bool {
    let start = match rows.start {
        0 => 0,
        row => from.ends.get(row - 1).copied().unwrap_or(0),
    };
    let Some(ends) = from.ends.get(rows) else { return false };
    let Some(end) = ends.last().copied() else { return true };
    let Some(bytes) = from.bytes.get(start as usize..end as usize) else { return false };
    let shift = (out.bytes.len() as u32).wrapping_sub(start);
    out.bytes.extend_from_slice(bytes);
    out.ends.extend(ends.iter().map(|end| end.wrapping_add(shift)));
    true
}

/// The step of ascending times: their common distance, or 0 when they have none (or there is one
/// time).
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
