//! A head table: the rows of one partition that share one layout.
//!
//! In: Batches, appended as columns. Out: rows by series (backlinks), whole columns (chunks), and
//! the order of rows across the tables of a partition (turns). Rows are never moved or changed; a
//! delete marks them dead.

use super::chunk::{Chunk, NO_ROW, chunk_rows, place, row_id};
use super::slots::{Hints, Slot, Slots, hint, hinted};
use crate::model::{Batch, ColumnId, MeasurementId, SeriesId, TimeRange};
use roaring::RoaringBitmap;
use std::ops::Range;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct TableColumn {
    pub id: ColumnId,
    /// Some row has no value here.
    pub nulls: bool,
}

/// What an append needs besides the rows.
pub struct Append<'a, M> {
    pub batch: &'a Batch,
    /// The series of each row.
    pub ids: &'a [SeriesId],
    /// The table's place of each column of the batch.
    pub positions: &'a [usize],
    pub hints: &'a mut Hints,
    pub measurement_of: &'a M,
    /// Series that got a slot here.
    pub fresh: &'a mut Vec<(MeasurementId, SeriesId)>,
}

/// Rows of one layout.
#[derive(Debug)]
pub struct Table {
    /// Names the table in hints; unique in a head generation.
    tag: u32,
    /// By position. Sorted by id in a table of an exact layout, by first use in the union table.
    columns: Vec<TableColumn>,
    /// Positions, sorted by id.
    by_id: Vec<(ColumnId, usize)>,
    chunks: Vec<Chunk>,
    slots: Slots,
    /// `(first row, turn)`: rows from there on were appended in that turn of the partition.
    turns: Vec<(u32, u32)>,
    rows: usize,
    dead: usize,
}

impl Table {
    pub fn new(tag: u32, layout: &[ColumnId]) -> Table {
        let mut table = Table {
            tag,
            columns: Vec::new(),
            by_id: Vec::new(),
            chunks: Vec::new(),
            slots: Slots::default(),
            turns: Vec::new(),
            rows: 0,
            dead: 0,
        };
        for id in layout {
            table.position_or_add(*id);
        }
        table
    }

    pub fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Rows appended, deleted ones included.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The place of a column.
    pub fn position(&self, id: ColumnId) -> Option<usize> {
        let at = self.by_id.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.by_id.get(at).map(|(_, position)| *position)
    }

    /// The place of a column, which the table gets if it has not got it; earlier rows are null.
    pub fn position_or_add(&mut self, id: ColumnId) -> usize {
        match self.by_id.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => self.by_id.get(at).map_or(0, |(_, position)| *position),
            Err(at) => {
                let position = self.columns.len();
                self.columns.push(TableColumn { id, nulls: self.rows > 0 });
                self.by_id.insert(at, (id, position));
                position
            }
        }
    }

    /// The id that the next row gets: a snapshot of the table holds the rows below it.
    pub fn end(&self) -> u32 {
        match self.chunks.last() {
            Some(chunk) if chunk.room() > 0 => row_id(self.chunks.len() - 1, chunk.times.len()),
            _ => row_id(self.chunks.len(), 0),
        }
    }

    /// Appends a Batch in one turn of the partition. Returns the number of values.
    pub fn append<M>(&mut self, turn: u32, append: &mut Append<'_, M>) -> usize
    where
        M: Fn(SeriesId) -> MeasurementId,
    {
        if self.turns.last().is_none_or(|(_, last)| *last != turn) {
            self.turns.push((self.end(), turn));
        }
        self.note_absent_columns(append);
        let rows = append.batch.rows().min(append.ids.len());
        let (mut done, mut values) = (0, 0);
        while done < rows {
            if self.chunks.last().is_none_or(|chunk| chunk.room() == 0) {
                self.chunks.push(Chunk::new(chunk_rows(self.chunks.len())));
            }
            let room = self.chunks.last().map_or(0, Chunk::room);
            let range = done..rows.min(done + room);
            done = range.end;
            values += self.append_piece(range, append);
        }
        self.rows += rows;
        values
    }

    /// Columns that the batch does not have (in the union table only) get nulls.
    fn note_absent_columns<M>(&mut self, append: &Append<'_, M>) {
        if append.positions.len() == self.columns.len() {
            return;
        }
        for (position, column) in self.columns.iter_mut().enumerate() {
            column.nulls |= !append.positions.contains(&position);
        }
    }

    /// Appends rows that fit into the last chunk.
    fn append_piece<M>(&mut self, range: Range<usize>, append: &mut Append<'_, M>) -> usize
    where
        M: Fn(SeriesId) -> MeasurementId,
    {
        let index = self.chunks.len() - 1;
        let Some(chunk) = self.chunks.last_mut() else { return 0 };
        let at = chunk.times.len();
        let times = append.batch.times.get(range.clone()).unwrap_or(&[]);
        let ids = append.ids.get(range.clone()).unwrap_or(&[]);
        for (offset, (time, series)) in (at..).zip(times.iter().zip(ids)) {
            let number = slot_of(&mut self.slots, self.tag, *series, append);
            let Some(slot) = self.slots.get_mut(number) else { continue };
            let prev = slot.push(row_id(index, offset), *time);
            chunk.slots.push(number);
            chunk.prevs.push(prev);
        }
        chunk.push_times(times);
        let mut values = 0;
        for (column, position) in append.batch.columns.iter().zip(append.positions) {
            let valid = chunk.append(*position, column, range.clone(), at);
            if let Some(column) = self.columns.get_mut(*position) {
                column.nulls |= valid < range.len();
            }
            values += valid;
        }
        values
    }

    /// The turn in which a row was appended; `from` is where the search for an earlier row ended.
    pub fn turn(&self, row: u32, from: &mut usize) -> u32 {
        while self.turns.get(*from + 1).is_some_and(|(first, _)| *first <= row) {
            *from += 1;
        }
        self.turns.get(*from).map_or(0, |(_, turn)| *turn)
    }

    /// The index of the turn that holds `row`, to start `turn` at.
    pub fn turn_index(&self, row: u32) -> usize {
        self.turns.partition_point(|(first, _)| *first <= row).saturating_sub(1)
    }

    /// The time of a row.
    pub fn time(&self, row: u32) -> i64 {
        let (chunk, offset) = place(row);
        self.chunks.get(chunk).and_then(|chunk| chunk.times.get(offset)).copied().unwrap_or(0)
    }

    /// The row before `row` of the same series.
    pub fn prev(&self, row: u32) -> u32 {
        let (chunk, offset) = place(row);
        self.chunks.get(chunk).and_then(|chunk| chunk.prevs.get(offset)).copied().unwrap_or(NO_ROW)
    }

    /// Whether a delete took the row away.
    pub fn is_dead(&self, row: u32) -> bool {
        let (chunk, offset) = place(row);
        self.dead > 0 && self.chunks.get(chunk).is_some_and(|chunk| chunk.is_dead(offset))
    }

    /// Marks rows of `series` within `range` dead: through the links when the series hold less than
    /// a quarter of the rows, else by a scan.
    pub fn delete(&mut self, series: &RoaringBitmap, range: TimeRange) {
        let hit = |slot: &&Slot| slot.range().overlaps(range) && series.contains(slot.series.0);
        let rows: usize = self.slots.iter().filter(hit).map(|slot| slot.rows as usize).sum();
        if rows == 0 {
            return;
        }
        if rows * 4 < self.rows {
            let tails: Vec<u32> = self.slots.iter().filter(hit).map(|slot| slot.tail).collect();
            tails.into_iter().for_each(|tail| self.delete_chain(tail, range));
            return;
        }
        let wanted: Vec<bool> = self.slots.iter().map(|slot| hit(&slot)).collect();
        for chunk in &mut self.chunks {
            for offset in 0..chunk.times.len() {
                let time = chunk.times.get(offset).copied().unwrap_or(0);
                let slot = chunk.slots.get(offset).map_or(0, |slot| *slot as usize);
                if range.contains(time) && wanted.get(slot) == Some(&true) && chunk.kill(offset) {
                    self.dead += 1;
                }
            }
        }
    }

    fn delete_chain(&mut self, tail: u32, range: TimeRange) {
        let mut row = tail;
        while row != NO_ROW {
            let (chunk, offset) = place(row);
            let inside = range.contains(self.time(row));
            if inside && self.chunks.get_mut(chunk).is_some_and(|chunk| chunk.kill(offset)) {
                self.dead += 1;
            }
            row = self.prev(row);
        }
    }
}

/// The slot of a series: by the hint, by the table's map, or a fresh one.
fn slot_of<M>(slots: &mut Slots, tag: u32, series: SeriesId, append: &mut Append<'_, M>) -> u32
where
    M: Fn(SeriesId) -> MeasurementId,
{
    let Some(entry) = append.hints.entry(series) else { return 0 };
    if let Some(slot) = hinted(*entry, tag) {
        return slot;
    }
    let slot = slots.find(series).unwrap_or_else(|| {
        let measurement = (append.measurement_of)(series);
        append.fresh.push((measurement, series));
        slots.insert(Slot::new(series, measurement))
    });
    *entry = hint(tag, slot);
    slot
}
