//! Which rows of which source come next: the merge without touching a value.
//!
//! In: the current Block of each source and a place in it. Out: a list of stretches to copy and of
//! ties to resolve, which `fill` then works through column by column. Each turn takes the series
//! with the lowest key and, within it, either the stretch of the earliest source up to where
//! another source's rows begin, or the one row that several sources have.

use crate::model::{MeasurementId, SeriesId};
use crate::shard::block::{Block, Run};

/// A source's current Block and the first row not yet taken.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub max_seq: u64,
    pub block: &'a Block,
    pub run: usize,
    pub row: usize,
}

impl<'a> Source<'a> {
    pub fn new(max_seq: u64, block: &'a Block) -> Source<'a> {
        Source { max_seq, block, run: 0, row: 0 }
    }

    fn current(&self) -> Option<&'a Run> {
        self.block.runs.get(self.run)
    }

    /// Whether all rows are taken.
    pub fn is_done(&self) -> bool {
        self.run >= self.block.runs.len()
    }

    /// The times of the current run's rows that are not yet taken.
    fn times(&self) -> &'a [i64] {
        let end = self.current().map_or(self.row, |run| run.range().end);
        self.block.times.get(self.row..end).unwrap_or(&[])
    }

    fn take(&mut self, rows: usize) {
        self.row += rows;
        if self.current().is_some_and(|run| self.row >= run.range().end) {
            self.run += 1;
        }
    }
}

/// The next rows of the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Rows of one source, as they are.
    Copy { source: usize, row: usize, rows: usize },
    /// One row: so many of `Plan::ties`.
    Tie { count: usize },
}

/// Rows to give, in order.
#[derive(Debug, Default)]
pub struct Plan {
    pub pieces: Vec<Piece>,
    /// Rows of one time as (source, row), the newest first.
    pub ties: Vec<(usize, usize)>,
    /// Series of the rows: (measurement, series, rows).
    pub runs: Vec<(MeasurementId, SeriesId, usize)>,
    pub rows: usize,
    /// Sources that have the series at hand; kept for its memory.
    active: Vec<usize>,
}

impl Plan {
    /// Takes the next row, or a stretch of up to `rows_max` (at least 1); false when all sources
    /// are done.
    pub fn advance(&mut self, sources: &mut [Source<'_>], rows_max: usize) -> bool {
        let key = |source: &Source<'_>| source.current().map(|run| (run.measurement, run.series));
        let Some(lowest) = sources.iter().filter_map(key).min() else { return false };
        self.active.clear();
        let has_lowest = |at: &usize| sources.get(*at).and_then(key) == Some(lowest);
        self.active.extend((0..sources.len()).filter(has_lowest));
        // The earliest and the second earliest next time among the sources of this series.
        let (mut first, mut second) = ((i64::MAX, usize::MAX), None);
        for at in &self.active {
            let times = sources.get(*at).map_or(&[][..], Source::times);
            let next = (times.first().copied().unwrap_or(i64::MIN), *at);
            if first.1 == usize::MAX {
                first = next;
            } else {
                let later = next.0.max(first.0);
                second = Some(second.map_or(later, |second: i64| second.min(later)));
                first = first.min(next);
            }
        }
        let rows = match second == Some(first.0) {
            true => self.tie(first.0, sources),
            false => self.stretch(first.1, second, rows_max, sources),
        };
        self.push_run(lowest, rows);
        true
    }

    fn push_run(&mut self, (measurement, series): (MeasurementId, SeriesId), rows: usize) {
        self.rows += rows;
        match self.runs.last_mut() {
            Some(last) if (last.0, last.1) == (measurement, series) => last.2 += rows,
            _ => self.runs.push((measurement, series, rows)),
        }
    }

    /// Takes rows of `at` before the time at which another source begins.
    fn stretch(
        &mut self,
        at: usize,
        until: Option<i64>,
        rows_max: usize,
        sources: &mut [Source<'_>],
    ) -> usize {
        let Some(source) = sources.get_mut(at) else { return 0 };
        let times = source.times();
        let times = times.get(..rows_max).unwrap_or(times);
        let rows = match until {
            Some(until) => gallop(times, until),
            None => times.len(),
        };
        let row = source.row;
        source.take(rows);
        match self.pieces.last_mut() {
            Some(Piece::Copy { source, row: start, rows: last })
                if *source == at && *start + *last == row =>
            {
                *last += rows;
            }
            _ => self.pieces.push(Piece::Copy { source: at, row, rows }),
        }
        rows
    }

    /// Takes the row of `time` from every source that has it.
    fn tie(&mut self, time: i64, sources: &mut [Source<'_>]) -> usize {
        let start = self.ties.len();
        for at in &self.active {
            let Some(source) = sources.get_mut(*at) else { continue };
            if source.times().first() == Some(&time) {
                self.ties.push((*at, source.row));
                source.take(1);
            }
        }
        let ties = self.ties.get_mut(start..).unwrap_or_default();
        let seq = |at: usize| sources.get(at).map_or(0, |source| source.max_seq);
        ties.sort_unstable_by_key(|(at, _)| std::cmp::Reverse((seq(*at), *at)));
        self.pieces.push(Piece::Tie { count: ties.len() });
        1
    }
}

/// Number of leading times before `until`: doubling steps, because stretches are often short.
fn gallop(times: &[i64], until: i64) -> usize {
    let mut step = 1;
    while times.get(step).is_some_and(|time| *time < until) {
        step *= 2;
    }
    let low = step / 2;
    let rest = times.get(low..times.len().min(step + 1)).unwrap_or(&[]);
    low + rest.partition_point(|time| *time < until)
}
