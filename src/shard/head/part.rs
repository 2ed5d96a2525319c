//! One partition in the head: its tables, which series they hold, and which days.
//!
//! A partition has one table per layout (exact set of columns) up to `LAYOUTS_MAX`; a batch of yet
//! another combination goes to the partition's *union table*, which gets any column and keeps nulls
//! as bits. The bound is per partition and not per measurement because a table mixes measurements.

use super::slots::{FixedMap, Hints};
use super::table::{Append, Table};
use crate::model::time::day_of;
use crate::model::{Batch, ColumnId, MeasurementId, SeriesId, TimeRange};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;

/// Exact layouts of a partition in one head generation. With the union table below 128, because a
/// set of tables is kept as the bits of a `u128`. A table with a row costs about 4 KiB.
pub const LAYOUTS_MAX: usize = 64;

const _: () = assert!(LAYOUTS_MAX + 1 < 128);

/// Bytes of a row besides its values: time, slot, backlink.
const ROW_BYTES: usize = 16;
/// Bytes of a slot with its map entry, its hint and its bit in the member set.
const SLOT_BYTES: usize = 72;

/// What an append added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    pub rows: usize,
    pub values: usize,
    pub bytes: usize,
}

/// One partition of one head generation.
#[derive(Debug)]
pub struct Part {
    tables: Vec<Table>,
    layouts: FixedMap<Box<[ColumnId]>, usize>,
    union: Option<usize>,
    /// Series with rows here, by measurement: the order in which rows are read.
    members: BTreeMap<MeasurementId, RoaringBitmap>,
    /// UTC days with rows, sorted.
    days: Vec<i32>,
    range: TimeRange,
    rows: usize,
    /// Counts the changes of table, so that rows of different tables have an order.
    turn: u32,
    last_table: usize,
}

impl Part {
    pub fn new() -> Part {
        Part {
            tables: Vec::new(),
            layouts: FixedMap::default(),
            union: None,
            members: BTreeMap::new(),
            days: Vec::new(),
            range: TimeRange::new(i64::MAX, i64::MIN),
            rows: 0,
            turn: 0,
            last_table: usize::MAX,
        }
    }

    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    pub fn members(&self) -> &BTreeMap<MeasurementId, RoaringBitmap> {
        &self.members
    }

    pub fn days(&self) -> &[i32] {
        &self.days
    }

    pub fn range(&self) -> TimeRange {
        self.range
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Appends a Batch; `next_tag` numbers new tables.
    pub fn append<M>(
        &mut self,
        batch: &Batch,
        ids: &[SeriesId],
        (hints, next_tag): (&mut Hints, &mut u32),
        measurement_of: &M,
    ) -> Added
    where
        M: Fn(SeriesId) -> MeasurementId,
    {
        let rows = batch.rows().min(ids.len());
        if rows == 0 {
            return Added::default();
        }
        let number = self.table_for(batch, next_tag);
        if number != self.last_table {
            self.last_table = number;
            self.turn += 1;
        }
        let Some(table) = self.tables.get_mut(number) else { return Added::default() };
        let positions: Vec<usize> =
            batch.columns.iter().map(|column| table.position_or_add(column.id)).collect();
        let mut fresh = Vec::new();
        let mut append =
            Append { batch, ids, positions: &positions, hints, measurement_of, fresh: &mut fresh };
        let values = table.append(self.turn, &mut append);
        let slots = fresh.len();
        for (measurement, series) in fresh {
            self.members.entry(measurement).or_default().insert(series.0);
        }
        self.note_times(batch.times.get(..rows).unwrap_or(&[]));
        self.rows += rows;
        let cells: usize = batch.columns.iter().map(|column| column.values.bytes()).sum();
        Added { rows, values, bytes: rows * ROW_BYTES + cells + slots * SLOT_BYTES }
    }

    /// The table of a batch's layout: the last one, a known one, a fresh one, or the union table.
    fn table_for(&mut self, batch: &Batch, next_tag: &mut u32) -> usize {
        let layout: Box<[ColumnId]> = batch.columns.iter().map(|column| column.id).collect();
        if let Some(number) = self.layouts.get(&layout) {
            return *number;
        }
        let full = self.layouts.len() >= LAYOUTS_MAX;
        if let (true, Some(number)) = (full, self.union) {
            return number;
        }
        let number = self.tables.len();
        self.tables.push(Table::new(*next_tag, &layout));
        *next_tag += 1;
        if full {
            self.union = Some(number);
        } else {
            self.layouts.insert(layout, number);
        }
        number
    }

    fn note_times(&mut self, times: &[i64]) {
        let Some(first) = times.first() else { return };
        let mut known = self.note_day(day_of(*first));
        for time in times {
            self.range.first = self.range.first.min(*time);
            self.range.last = self.range.last.max(*time);
            if !known.contains(*time) {
                known = self.note_day(day_of(*time));
            }
        }
    }

    fn note_day(&mut self, day: i32) -> TimeRange {
        if let Err(at) = self.days.binary_search(&day) {
            self.days.insert(at, day);
        }
        day_range(day)
    }

    /// Marks rows of `series` within `range` dead.
    pub fn delete(&mut self, series: &RoaringBitmap, range: TimeRange) {
        if self.range.overlaps(range) {
            self.tables.iter_mut().for_each(|table| table.delete(series, range));
        }
    }
}

/// The instants of a UTC day, clipped to what an i64 can hold.
pub fn day_range(day: i32) -> TimeRange {
    use crate::model::time::DAY_NS;
    let start = i128::from(day) * i128::from(DAY_NS);
    let clip = |at: i128| at.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
    TimeRange::new(clip(start), clip(start + i128::from(DAY_NS) - 1))
}
