//! Rows of head tables to one Block, column by column.
//!
//! In: for each series in order either *plain* rows (one table, times ascending) or *mixed* ones
//! (several tables, or overwritten: sorted by time and arrival). Out: a Block without columns that
//! are all null. Mixed rows of one time become one row: each column from the newest row that has a
//! value there; the hidden expiry from the newest row alone, because the winner's expiry counts.

use super::chunk::{has_value, place};
use super::table::Table;
use crate::model::{Bitmap, Column, ColumnId, FieldType, MeasurementId, SeriesId, Strings, Values};
use crate::shard::block::Block;
use std::collections::BTreeSet;
use std::ops::Range;

/// A series in the order of a Block.
pub type Key = (MeasurementId, SeriesId);

/// A row with what decides its place. Ordered by time, then by arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RowRef {
    pub time: i64,
    pub turn: u32,
    pub row: u32,
    pub table: u32,
}

#[derive(Clone, Copy, Debug)]
enum Piece {
    /// So many of `Builder::rows`, all of one table, in so many of `Builder::lens`.
    Plain { table: u32, len: usize, runs: usize },
    /// So many groups of `Builder::refs`.
    Mixed { groups: usize },
}

/// Collects the rows of one Block.
pub struct Builder<'a> {
    tables: &'a [Table],
    block: Block,
    pieces: Vec<Piece>,
    rows: Vec<u32>,
    /// Plain rows of each series.
    lens: Vec<usize>,
    refs: Vec<RowRef>,
    /// Ends of the groups of equal time in `refs`.
    groups: Vec<usize>,
    /// Tables that gave rows, as bits.
    used: u128,
}

impl<'a> Builder<'a> {
    pub fn new(tables: &'a [Table]) -> Builder<'a> {
        Builder {
            tables,
            block: Block::default(),
            pieces: Vec::new(),
            rows: Vec::new(),
            lens: Vec::new(),
            refs: Vec::new(),
            groups: Vec::new(),
            used: 0,
        }
    }

    /// Adds rows of one table, their times ascending.
    pub fn plain(&mut self, key: Key, table: u32, rows: &[u32]) {
        if !rows.is_empty() {
            self.rows.extend_from_slice(rows);
            self.note_plain(key, table, rows.len());
        }
    }

    /// The last `count` of `rows` are a series of one table.
    fn note_plain(&mut self, key: Key, table: u32, count: usize) {
        self.used |= 1 << table;
        self.lens.push(count);
        self.block.push_run(key.0, key.1, count);
        match self.pieces.last_mut() {
            Some(Piece::Plain { table: last, len, runs }) if *last == table => {
                *len += count;
                *runs += 1;
            }
            _ => self.pieces.push(Piece::Plain { table, len: count, runs: 1 }),
        }
    }

    /// Adds rows sorted by time and arrival; equal times become one row.
    pub fn mixed(&mut self, key: Key, refs: &[RowRef]) {
        let Some(first) = refs.first() else { return };
        // Rows that only came out of order (several connections send side by side) are plain now.
        let apart = refs.is_sorted_by(|left, right| left.time < right.time);
        if apart && refs.iter().all(|row| row.table == first.table) {
            self.rows.extend(refs.iter().map(|row| row.row));
            return self.note_plain(key, first.table, refs.len());
        }
        let groups_before = self.groups.len();
        for group in refs.chunk_by(|left, right| left.time == right.time) {
            self.refs.extend_from_slice(group);
            self.groups.push(self.refs.len());
        }
        refs.iter().for_each(|row| self.used |= 1 << row.table);
        let groups = self.groups.len() - groups_before;
        self.block.push_run(key.0, key.1, groups);
        match self.pieces.last_mut() {
            Some(Piece::Mixed { groups: last }) => *last += groups,
            _ => self.pieces.push(Piece::Mixed { groups }),
        }
    }

    /// The Block, with the wanted columns (`None`: all of the tables that gave rows).
    pub fn finish(mut self, columns: Option<&[ColumnId]>) -> Block {
        let mut block = std::mem::take(&mut self.block);
        block.times = self.times();
        block.refresh_steps();
        let mut ids = BTreeSet::new();
        for (number, table) in self.tables.iter().enumerate() {
            if self.used >> number & 1 != 0 {
                ids.extend(table.columns().iter().map(|column| column.id));
            }
        }
        ids.retain(|id| columns.is_none_or(|wanted| wanted.contains(id)));
        block.columns = ids.into_iter().filter_map(|id| self.column(id)).collect();
        block
    }

    fn times(&self) -> Vec<i64> {
        let mut times = Vec::with_capacity(self.block_rows());
        self.each_piece(|piece| match piece {
            Part::Plain(table, rows) => {
                push_times(table, rows.rows, rows.lens, &mut times);
            }
            Part::Mixed(groups) => {
                times.extend(self.groups_in(groups).map(|g| g.first().map_or(0, |row| row.time)));
            }
        });
        times
    }

    fn block_rows(&self) -> usize {
        self.rows.len() + self.groups.len()
    }

    fn each_piece(&self, mut visit: impl FnMut(Part<'_>)) {
        let (mut row, mut group, mut run) = (0, 0, 0);
        for piece in &self.pieces {
            match *piece {
                Piece::Plain { table, len, runs } => {
                    let rows = self.rows.get(row..row + len).unwrap_or(&[]);
                    let lens = self.lens.get(run..run + runs).unwrap_or(&[]);
                    let rows = PlainRows { rows, lens };
                    row += len;
                    run += runs;
                    if let Some(table) = self.tables.get(table as usize) {
                        visit(Part::Plain(table, rows));
                    }
                }
                Piece::Mixed { groups } => {
                    visit(Part::Mixed(group..group + groups));
                    group += groups;
                }
            }
        }
    }

    fn groups_in(&self, groups: Range<usize>) -> impl Iterator<Item = &[RowRef]> {
        groups.map(|group| {
            let start = match group {
                0 => 0,
                _ => self.groups.get(group - 1).copied().unwrap_or(0),
            };
            let end = self.groups.get(group).copied().unwrap_or(start);
            self.refs.get(start..end).unwrap_or(&[])
        })
    }

    /// One column; `None` when it is all null.
    fn column(&self, id: ColumnId) -> Option<Column> {
        match id.kind() {
            FieldType::Float => self.fixed::<f64>(id),
            FieldType::Integer => self.fixed::<i64>(id),
            FieldType::Unsigned => self.fixed::<u64>(id),
            FieldType::Boolean => self.fixed::<bool>(id),
            FieldType::String => self.strings(id),
        }
    }

    fn fixed<T: Cell>(&self, id: ColumnId) -> Option<Column> {
        let mut values: Vec<T> = Vec::with_capacity(self.block_rows());
        let mut bits = Bitmap::default();
        self.each_piece(|piece| match piece {
            Part::Plain(table, rows) => {
                let Some(position) = table.position(id) else {
                    values.resize(values.len() + rows.rows.len(), T::default());
                    bits.extend_fill(rows.rows.len(), false);
                    return;
                };
                gather(table, rows, &mut values, |table, chunk| {
                    let cells = table.chunks().get(chunk).and_then(|chunk| chunk.column(position));
                    cells.map_or(&[], |cells| T::of(&cells.values))
                });
                validity(table, position, rows.rows, &mut bits);
            }
            Part::Mixed(groups) => {
                for group in self.groups_in(groups) {
                    let winner = self.winner(group, id);
                    bits.push(winner.is_some());
                    let value = winner.and_then(|(cells, at)| T::of(&cells.values).get(at));
                    values.push(value.copied().unwrap_or_default());
                }
            }
        });
        finish_column(id, T::into_values(values), bits)
    }

    fn strings(&self, id: ColumnId) -> Option<Column> {
        let mut strings = Strings::default();
        let mut bits = Bitmap::default();
        self.each_piece(|piece| match piece {
            Part::Plain(table, rows) => {
                let position = table.position(id);
                for row in rows.rows {
                    let cell = position.and_then(|position| cell(table, position, *row));
                    push_string(&mut strings, &mut bits, cell);
                }
            }
            Part::Mixed(groups) => {
                for group in self.groups_in(groups) {
                    push_string(&mut strings, &mut bits, self.winner(group, id));
                }
            }
        });
        finish_column(id, Values::String(strings), bits)
    }

    /// The newest value of a column among rows of one time.
    fn winner(&self, group: &[RowRef], id: ColumnId) -> Option<(&'a Column, usize)> {
        let value = |row: &RowRef| {
            let table = self.tables.get(row.table as usize)?;
            cell(table, table.position(id)?, row.row)
        };
        if id == ColumnId::EXPIRE {
            return group.last().and_then(value);
        }
        group.iter().rev().find_map(value)
    }
}

/// A piece with its rows.
enum Part<'b> {
    Plain(&'b Table, PlainRows<'b>),
    Mixed(Range<usize>),
}

/// Rows of several series, one after the other.
#[derive(Clone, Copy)]
struct PlainRows<'b> {
    rows: &'b [u32],
    lens: &'b [usize],
}

/// A value's place, if the row has one.
fn cell(table: &Table, position: usize, row: u32) -> Option<(&Column, usize)> {
    let (chunk, offset) = place(row);
    let cells = table.chunks().get(chunk)?.column(position)?;
    has_value(cells, offset).then_some((cells, offset))
}

fn push_string(strings: &mut Strings, bits: &mut Bitmap, cell: Option<(&Column, usize)>) {
    bits.push(cell.is_some());
    match cell {
        Some((Column { values: Values::String(from), .. }, at)) => strings.push(from.get(at)),
        _ => strings.push(b""),
    }
}

fn finish_column(id: ColumnId, values: Values, bits: Bitmap) -> Option<Column> {
    let ones = bits.count_ones();
    let validity = (ones < bits.len()).then_some(bits);
    (ones > 0).then_some(Column { id, values, validity })
}

fn validity(table: &Table, position: usize, rows: &[u32], bits: &mut Bitmap) {
    if table.columns().get(position).is_some_and(|column| !column.nulls) {
        bits.extend_fill(rows.len(), true);
        return;
    }
    rows.iter().for_each(|row| bits.push(cell(table, position, *row).is_some()));
}

/// Series whose rows are read side by side. Rows mostly arrive interleaved (each batch has one of
/// every series), so neighbouring series share cache lines and pages.
const LANES: usize = 16;

/// Appends the entries of `rows` from the chunks' slices that `slice` finds. A list of the slices
/// is made first when there are more rows than chunks: it fits in the first cache, the chunks do
/// not.
fn gather<'t, T: Copy + Default + 't>(
    table: &'t Table,
    rows: PlainRows<'_>,
    out: &mut Vec<T>,
    slice: impl Fn(&'t Table, usize) -> &'t [T],
) {
    let at = |slice: &[T], offset: usize| slice.get(offset).copied().unwrap_or_default();
    if rows.rows.len() < table.chunks().len() {
        out.extend(rows.rows.iter().map(|row| {
            let (chunk, offset) = place(*row);
            at(slice(table, chunk), offset)
        }));
        return;
    }
    let slices: Vec<&[T]> = (0..table.chunks().len()).map(|chunk| slice(table, chunk)).collect();
    let start = out.len();
    out.resize(start + rows.rows.len(), T::default());
    let mut out = out.get_mut(start..).unwrap_or_default();
    let mut rest = rows.rows;
    for lens in rows.lens.chunks(LANES) {
        let len = lens.iter().sum::<usize>();
        let (rows, rows_after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        let (tile, out_after) = out.split_at_mut(len.min(out.len()));
        gather_tile(&slices, lens, rows, tile);
        (rest, out) = (rows_after, out_after);
    }
}

/// Appends the times of rows of one table: `lens` rows of each series.
pub fn push_times(table: &Table, rows: &[u32], lens: &[usize], times: &mut Vec<i64>) {
    gather(table, PlainRows { rows, lens }, times, |table, chunk| {
        table.chunks().get(chunk).map_or(&[], |chunk| &chunk.times)
    });
}

/// The entries of a few series: the first of each, the second of each, and so on.
fn gather_tile<T: Copy + Default>(slices: &[&[T]], lens: &[usize], rows: &[u32], out: &mut [T]) {
    let longest = lens.iter().copied().max().unwrap_or(0);
    for turn in 0..longest {
        let mut start = 0;
        for len in lens {
            if turn < *len
                && let (Some(row), Some(out)) = (rows.get(start + turn), out.get_mut(start + turn))
            {
                let (chunk, offset) = place(*row);
                *out = slices.get(chunk).and_then(|s| s.get(offset)).copied().unwrap_or_default();
            }
            start += len;
        }
    }
}

/// A type whose values have one size.
trait Cell: Copy + Default {
    fn of(values: &Values) -> &[Self];
    fn into_values(values: Vec<Self>) -> Values;
}

macro_rules! cell {
    ($type:ty, $variant:ident) => {
        impl Cell for $type {
            fn of(values: &Values) -> &[$type] {
                match values {
                    Values::$variant(values) => values,
                    _ => &[],
                }
            }

            fn into_values(values: Vec<$type>) -> Values {
                Values::$variant(values)
            }
        }
    };
}

cell!(f64, Float);
cell!(i64, Integer);
cell!(u64, Unsigned);
cell!(bool, Boolean);
