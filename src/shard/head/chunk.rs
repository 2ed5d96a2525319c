//! A chunk: up to 4,096 rows of a head table, as columns.
//!
//! In: row headers (time, slot, backlink) and ranges of a Batch's columns. Out: slices that a
//! gather reads. Every vector gets its full capacity when the chunk is made, so rows never move
//! while the chunk fills. A column without a value so far is not allocated; one that is shorter
//! than the chunk has nulls behind its end.

use crate::model::{Bitmap, Column, ColumnId, TimeRange, Values};
use std::ops::Range;

/// Rows of the largest chunks; the row id's low bits count rows within a chunk.
pub const CHUNK_ROWS_MAX: usize = 4096;
const OFFSET_BITS: u32 = CHUNK_ROWS_MAX.trailing_zeros();

/// No row: the end of a chain of backlinks.
pub const NO_ROW: u32 = u32::MAX;

/// Rows that the chunk of this index holds: small at first, because most tables stay small.
pub fn chunk_rows(index: usize) -> usize {
    match index {
        0 => 64,
        1 => 512,
        _ => CHUNK_ROWS_MAX,
    }
}

/// The row id of a place: chunk above, offset below. Ids ascend in order of arrival, with gaps
/// behind the two small chunks.
pub fn row_id(chunk: usize, offset: usize) -> u32 {
    (chunk << OFFSET_BITS | offset) as u32
}

/// The chunk and the offset of a row id.
pub fn place(row: u32) -> (usize, usize) {
    ((row >> OFFSET_BITS) as usize, row as usize & (CHUNK_ROWS_MAX - 1))
}

/// A column with room for `rows` rows.
fn with_capacity(id: ColumnId, rows: usize) -> Column {
    let mut column = Column::empty(id);
    match &mut column.values {
        Values::Float(values) => values.reserve_exact(rows),
        Values::Integer(values) => values.reserve_exact(rows),
        Values::Unsigned(values) => values.reserve_exact(rows),
        Values::String(strings) => strings.ends.reserve_exact(rows),
        Values::Boolean(values) => values.reserve_exact(rows),
    }
    column
}

/// Whether the chunk's column has a value at `offset`; it may be shorter than the chunk.
pub fn has_value(column: &Column, offset: usize) -> bool {
    match &column.validity {
        Some(bits) => bits.get(offset),
        None => offset < column.values.len(),
    }
}

/// Rows of a table that lie together.
#[derive(Debug)]
pub struct Chunk {
    pub times: Vec<i64>,
    pub slots: Vec<u32>,
    /// The row id of the series' previous row in this table, or `NO_ROW`.
    pub prevs: Vec<u32>,
    /// By the column's position in the table.
    columns: Vec<Option<Column>>,
    /// Rows that a delete took away.
    dead: Option<Bitmap>,
    capacity: usize,
    /// The times of the rows, both ends inclusive.
    range: TimeRange,
}

impl Chunk {
    pub fn new(capacity: usize) -> Chunk {
        Chunk {
            times: Vec::with_capacity(capacity),
            slots: Vec::with_capacity(capacity),
            prevs: Vec::with_capacity(capacity),
            columns: Vec::new(),
            dead: None,
            capacity,
            range: TimeRange::new(i64::MAX, i64::MIN),
        }
    }

    /// Appends times.
    pub fn push_times(&mut self, times: &[i64]) {
        for time in times {
            self.range.first = self.range.first.min(*time);
            self.range.last = self.range.last.max(*time);
        }
        self.times.extend_from_slice(times);
    }

    /// The times of the rows, both ends inclusive.
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// Rows that still fit.
    pub fn room(&self) -> usize {
        self.capacity.saturating_sub(self.times.len())
    }

    /// The values of the column at `position`, if it has any in this chunk.
    pub fn column(&self, position: usize) -> Option<&Column> {
        self.columns.get(position).and_then(Option::as_ref)
    }

    /// Appends rows `range` of a column at offset `at`, the column's place being `position` in the
    /// table. Returns how many of the rows have a value.
    pub fn append(
        &mut self,
        position: usize,
        column: &Column,
        range: Range<usize>,
        at: usize,
    ) -> usize {
        let valid = match &column.validity {
            None => range.len(),
            Some(bits) => range.clone().filter(|row| bits.get(*row)).count(),
        };
        if valid == 0 {
            return 0;
        }
        if self.columns.len() <= position {
            self.columns.resize_with(position + 1, || None);
        }
        if let Some(place) = self.columns.get_mut(position) {
            let capacity = self.capacity;
            let cells = place.get_or_insert_with(|| with_capacity(column.id, capacity));
            cells.append_nulls(at.saturating_sub(cells.values.len()));
            cells.append(column, range);
        }
        valid
    }

    /// Whether a delete took the row at `offset` away.
    pub fn is_dead(&self, offset: usize) -> bool {
        self.dead.as_ref().is_some_and(|bits| bits.get(offset))
    }

    /// Takes the row at `offset` away; false when it was gone already.
    pub fn kill(&mut self, offset: usize) -> bool {
        let capacity = self.capacity;
        let bits = self.dead.get_or_insert_with(|| Bitmap::filled(capacity, false));
        let fresh = !bits.get(offset);
        bits.set(offset, true);
        fresh
    }

    /// Whether a delete took any row away.
    pub fn has_dead(&self) -> bool {
        self.dead.is_some()
    }
}
