//! Gathering rows into chunks: which rows stand together in one.
//!
//! In: Blocks in (measurement, series, time) order, of any size. Out: chunks of one layout, a Block
//! each, cut at series borders where one is near. A chunk ends when it is full, when the order
//! starts again from a lower key (another layout's rows), or when the columns change and it is
//! worth its own chunk; small groups of rows share a chunk under the union of their columns.

use crate::codec::chunk::ROWS_MAX;
use crate::model::{Column, ColumnId, MeasurementId, SeriesId, Values};
use crate::shard::block::{Block, Run, step_of};
use std::ops::Range;

/// From here on other columns end a chunk; below, they join it with nulls.
const UNION_ROWS_MAX: usize = 1024;
/// The most columns a union may have.
const UNION_COLUMNS_MAX: usize = 64;
/// The most bytes of strings in a chunk: one read of the disk, one slice of decoding.
const STRING_BYTES_MAX: usize = 1 << 20;

/// Rows that will be the next chunk.
pub struct Gather {
    rows_max: usize,
    rows: Block,
    string_bytes: usize,
    full: bool,
}

impl Gather {
    /// Nothing gathered, chunks of `rows_max` rows wanted (at most `ROWS_MAX`).
    pub fn new(rows_max: usize) -> Gather {
        let rows_max = rows_max.clamp(1, ROWS_MAX);
        Gather { rows_max, rows: Block::default(), string_bytes: 0, full: false }
    }

    /// Whether the chunk is complete.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The gathered rows, to be encoded; `clear` comes after.
    pub fn rows(&self) -> &Block {
        &self.rows
    }

    /// Starts the next chunk, keeping memory.
    pub fn clear(&mut self) {
        self.rows.runs.clear();
        self.rows.times.clear();
        self.rows.columns.clear();
        self.string_bytes = 0;
        self.full = false;
    }

    /// Takes rows of `block` from row `from` on, as many as belong into this chunk; gives their
    /// number. 0 means that the chunk has to be written first.
    pub fn take(&mut self, block: &Block, from: usize) -> usize {
        if self.full || !self.joins(block, from) {
            self.full = true;
            return 0;
        }
        let taken = self.fitting(block, from);
        if taken > 0 {
            self.append(block, from..from + taken);
        }
        self.full |= self.rows.rows() >= self.rows_max;
        taken
    }

    /// Whether row `from` continues the order and the columns of the gathered rows.
    fn joins(&self, block: &Block, from: usize) -> bool {
        let (Some(last), Some(next)) = (self.rows.runs.last(), run_at(block, from)) else {
            return true;
        };
        let times = (self.rows.times.last(), block.times.get(from));
        let ascends = key(last) < key(next) || (key(last) == key(next) && times.0 < times.1);
        ascends && self.columns_join(block)
    }

    fn columns_join(&self, block: &Block) -> bool {
        let known = |id: ColumnId| self.rows.column(id).is_some();
        let added = block.columns.iter().filter(|column| !known(column.id)).count();
        let same = added == 0 && block.columns.len() == self.rows.columns.len();
        let union = self.rows.columns.len() + added;
        same || (self.rows.rows() < UNION_ROWS_MAX && union <= UNION_COLUMNS_MAX)
    }

    /// How many rows from `from` on there is room for; marks the chunk full where it ends before
    /// the block.
    fn fitting(&mut self, block: &Block, from: usize) -> usize {
        let held = self.rows.rows();
        let room = self.rows_max - held;
        let mut taken = 0;
        let first = block.runs.partition_point(|run| run.range().end <= from);
        for run in block.runs.iter().skip(first) {
            let rows = run.range().end - from - taken;
            if taken + rows > room {
                // A chunk three quarters full ends at the border, if this is one, rather than cut a
                // series.
                let goes_on = |last: &Run| taken == 0 && key(last) == key(run);
                let within = self.rows.runs.last().is_some_and(goes_on);
                if within || held + taken < self.rows_max / 4 * 3 {
                    taken = room;
                }
                self.full = true;
                break;
            }
            taken += rows;
        }
        self.within_string_limit(block, from, taken)
    }

    fn within_string_limit(&mut self, block: &Block, from: usize, rows: usize) -> usize {
        let room = STRING_BYTES_MAX.saturating_sub(self.string_bytes);
        let bytes = |rows: usize| string_bytes(block, from..from + rows);
        if bytes(rows) <= room {
            self.string_bytes += bytes(rows);
            return rows;
        }
        // The most rows that fit, by bisection; a single row larger than the limit has its own
        // chunk.
        let (mut fits, mut over) = (0, rows);
        while over - fits > 1 {
            let middle = fits + (over - fits) / 2;
            if bytes(middle) <= room { fits = middle } else { over = middle }
        }
        self.full = true;
        fits.max(usize::from(self.rows.rows() == 0))
    }

    fn append(&mut self, block: &Block, range: Range<usize>) {
        let held = self.rows.rows();
        let first = block.runs.partition_point(|run| run.range().end <= range.start);
        for run in block.runs.iter().skip(first).take_while(|run| run.range().start < range.end) {
            let start = run.range().start.max(range.start);
            let end = run.range().end.min(range.end);
            self.append_run(run, block.times.get(start..end).unwrap_or(&[]));
        }
        for column in &block.columns {
            if let Err(at) = self.rows.columns.binary_search_by_key(&column.id, |own| own.id) {
                let mut own = Column::empty(column.id);
                own.append_nulls(held);
                self.rows.columns.insert(at, own);
            }
        }
        for own in &mut self.rows.columns {
            match block.column(own.id) {
                Some(column) => own.append(column, range.clone()),
                None => own.append_nulls(range.len()),
            }
        }
    }

    /// Appends times of one series, to its last run when that is the same series.
    fn append_run(&mut self, run: &Run, times: &[i64]) {
        let rows = times.len() as u32;
        let step = match run.step {
            _ if rows < 2 => 0,
            0 => step_of(times),
            step => step,
        };
        let start = self.rows.times.len() as u32;
        match self.rows.runs.last_mut() {
            Some(last) if key(last) == key(run) => {
                let end = self.rows.times.last().copied().unwrap_or(0);
                let gap = times.first().map_or(0, |time| time.wrapping_sub(end));
                let continues = (last.rows == 1 || last.step == gap) && (rows == 1 || step == gap);
                last.step = if continues { gap } else { 0 };
                last.rows += rows;
            }
            _ => self.rows.runs.push(Run { start, rows, step, ..*run }),
        }
        self.rows.times.extend_from_slice(times);
    }
}

fn key(run: &Run) -> (MeasurementId, SeriesId) {
    (run.measurement, run.series)
}

fn run_at(block: &Block, row: usize) -> Option<&Run> {
    block.runs.get(block.runs.partition_point(|run| run.range().end <= row))
}

fn string_bytes(block: &Block, rows: Range<usize>) -> usize {
    let of = |column: &Column| match &column.values {
        Values::String(strings) => {
            let end = |row: usize| match row {
                0 => 0,
                _ => strings.ends.get(row - 1).copied().unwrap_or(0) as usize,
            };
            end(rows.end).saturating_sub(end(rows.start))
        }
        _ => 0,
    };
    block.columns.iter().map(of).sum()
}

/// Whether a block is what a section of these times may hold; else what is wrong with it.
pub fn check(block: &Block, times: Range<i64>) -> Result<(), &'static str> {
    let rows = block.rows();
    let lengths = |column: &Column| {
        let bits = column.validity.as_ref().is_none_or(|bits| bits.len() == rows);
        column.values.len() == rows && column.values.kind() == column.id.kind() && bits
    };
    if !block.columns.iter().all(lengths) {
        return Err("a column has another length or type than the block");
    }
    if !block.columns.is_sorted_by(|left, right| left.id < right.id) {
        return Err("columns are not ascending");
    }
    if !block.runs.is_sorted_by(|left, right| key(left) < key(right)) {
        return Err("runs are not ascending");
    }
    let mut end = 0;
    for run in &block.runs {
        let own = block.times.get(run.range()).unwrap_or(&[]);
        if run.range().start != end || own.is_empty() || !own.is_sorted_by(|a, b| a < b) {
            return Err("a run does not cover its rows in ascending times");
        }
        let (Some(first), Some(last)) = (own.first(), own.last()) else { continue };
        if !times.contains(first) || !times.contains(last) {
            return Err("a row lies outside the section's day");
        }
        let span = i128::from(*last) - i128::from(*first);
        let stepped = i128::from(run.step) * (own.len() as i128 - 1);
        if run.step != 0 && span != stepped {
            return Err("a run's step is not the distance of its times");
        }
        end = run.range().end;
    }
    if end == rows { Ok(()) } else { Err("runs do not cover all rows") }
}
