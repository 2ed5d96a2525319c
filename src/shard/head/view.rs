//! What a reader sees of one partition of a head: a snapshot that appends go behind.
//!
//! A view notes the row counts when it is made and holds the partition by `Rc`, so it lasts over
//! appends and over a freeze; a delete takes rows away from it at once. Each call borrows the
//! partition for one step only.

use super::cursor::{HeadCursor, Snapshot};
use super::part::Part;
use super::table::Table;
use crate::model::{ColumnId, MeasurementId, SeriesId, TimeRange};
use crate::shard::block::Block;
use std::cell::RefCell;
use std::rc::Rc;

/// What to read of a partition.
#[derive(Clone, Copy, Debug)]
pub struct Select<'a> {
    /// `None`: of all measurements.
    pub measurement: Option<MeasurementId>,
    /// Sorted and distinct; `None`: all series.
    pub series: Option<&'a [SeriesId]>,
    pub range: TimeRange,
    /// `None`: all columns. Tables without any of a non-empty list are skipped, unless the hidden
    /// expiry is in the list (a row's newest version decides about it, whatever its columns).
    pub columns: Option<&'a [ColumnId]>,
}

impl Select<'_> {
    /// Every row and column.
    pub const ALL: Select<'static> =
        Select { measurement: None, series: None, range: TimeRange::ALL, columns: None };

    /// Whether rows of the table are asked for.
    pub(super) fn wants(&self, table: &Table) -> bool {
        self.columns.is_none_or(|columns| {
            columns.is_empty()
                || columns.contains(&ColumnId::EXPIRE)
                || columns.iter().any(|id| table.position(*id).is_some())
        })
    }
}

/// A snapshot of one partition.
#[derive(Clone, Debug)]
pub struct HeadView {
    part: Rc<RefCell<Part>>,
    ends: Vec<u32>,
}

impl HeadView {
    pub(super) fn new(part: &Rc<RefCell<Part>>) -> HeadView {
        let ends = part.borrow().tables().iter().map(Table::end).collect();
        HeadView { part: Rc::clone(part), ends }
    }

    /// The times of the partition's rows, both ends inclusive.
    pub fn range(&self) -> TimeRange {
        self.part.borrow().range()
    }

    /// Number of rows appended so far, those of other measurements included.
    pub fn rows(&self) -> usize {
        self.part.borrow().rows()
    }

    /// Whether some table of the partition has a column.
    pub fn has_column(&self, id: ColumnId) -> bool {
        self.part.borrow().tables().iter().any(|table| table.position(id).is_some())
    }

    /// Gives the selected rows, a Block a step, in order of (measurement, series, time); each
    /// (series, time) once. A Block has at most `rows_max` rows and only columns that have a value
    /// in it. `None` at the end. An **empty** Block is a step of preparation: call again. A row
    /// without any selected column that has a value may be given, with nulls.
    pub fn gather(
        &self,
        select: &Select<'_>,
        cursor: &mut HeadCursor,
        rows_max: usize,
    ) -> Option<Block> {
        let part = self.part.borrow();
        cursor.step(&Snapshot { part: &part, ends: &self.ends }, select, rows_max)
    }

    /// Runs `read` on the snapshot.
    pub(super) fn with<T>(&self, read: impl FnOnce(&Snapshot<'_>) -> T) -> T {
        let part = self.part.borrow();
        read(&Snapshot { part: &part, ends: &self.ends })
    }
}
