//! Which Batch a row goes to, and how it is appended.
//!
//! Rows of one series may come with different field sets, and a later row must win although Batches
//! are applied one after the other. So each owner (measurement) has one *current* Batch per shard
//! and partition and never goes back: a row that fits into the current Batch stays there (null
//! where it has no value), any other moves its owner to a Batch opened later that holds all its
//! columns. After four moves the owner gets a Batch of its own that grows columns in place. A Batch
//! that is nearly all nulls is left, so memory stays within a constant factor (about 65 entries a
//! value at worst: 64 rows of one field each in a Batch of 64 columns) of the values sent.

use super::{Batcher, Cell, Datum, EXPIRE_NEVER, LayoutId, Owner};
use crate::model::{
    Batch, Bitmap, Column, ColumnId, PartitionId, SeriesRef, ShardId, Strings, Values,
};

/// Exact layouts an owner may use per shard and partition of a request before it gets a growing
/// one.
const EXACT_MAX: u8 = 4;
/// Nulls a Batch may have before its density is looked at.
const NULLS_FREE: u64 = 4096;
/// A Batch with more nulls per value than this is left.
const NULLS_PER_VALUE: u64 = 16;

/// An owner's place in the order of Batches.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    batch: u32,
    moves: u8,
}

/// What is known of a Batch beside its rows.
#[derive(Clone, Copy, Debug)]
pub struct BatchMeta {
    /// `None`: the Batch belongs to one owner and grows columns.
    layout: Option<LayoutId>,
    nulls: u64,
}

/// Where a row was put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Put {
    pub batch: u32,
    /// Whether the Batch's columns are exactly the row's, so that the next such row may be pushed
    /// with `push_exact`.
    pub exact: bool,
}

/// The Batch whose columns are exactly those of a row of one value, with or without an expiry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Single {
    column: ColumnId,
    partition: PartitionId,
    expires: bool,
    batch: u32,
}

impl Batcher {
    /// Appends a row of one value that may expire (ns since 1970). The order of such rows is that
    /// of their column, whatever their measurement.
    #[inline]
    pub fn append_single(
        &mut self,
        shard: ShardId,
        partition: PartitionId,
        row: (SeriesRef, i64),
        cell: Cell<'_>,
        expire: Option<i64>,
    ) {
        let (column, expires) = (cell.0, expire.is_some());
        let both = [(ColumnId::EXPIRE, Datum::Integer(expire.unwrap_or(EXPIRE_NEVER))), cell];
        let cells = both.get(usize::from(!expires)..).unwrap_or(&both);
        let slot = column.kind() as usize;
        let last = self.shards.get(shard.index()).and_then(|rows| *rows.singles.get(slot)?);
        if let Some(Single { batch, .. }) = last
            && last == Some(Single { column, partition, expires, batch })
            && self.push_exact(shard, batch, row, cells)
        {
            return;
        }
        let put = self.append(Owner::Single(column), shard, partition, row, cells);
        let single = Single { column, partition, expires, batch: put.batch };
        let rows = self.shards.get_mut(shard.index());
        if let Some(last) = rows.and_then(|rows| rows.singles.get_mut(slot)) {
            *last = put.exact.then_some(single);
        }
    }

    /// Appends a row; `cells` are sorted by column and distinct, and there is at least one.
    pub fn append(
        &mut self,
        owner: Owner,
        shard: ShardId,
        partition: PartitionId,
        (series, time): (SeriesRef, i64),
        cells: &[Cell<'_>],
    ) -> Put {
        let key = (owner, shard, partition);
        let order = self.orders.get(&key).copied();
        let stays = order.filter(|order| self.fits(shard, order.batch, cells));
        let order = stays.unwrap_or_else(|| {
            let next = match order {
                Some(order) if order.moves + 1 >= EXACT_MAX => self.widen(key, order, cells),
                order => self.move_on(key, order, cells),
            };
            self.orders.insert(key, next);
            next
        });
        let exact = self.push(shard, order.batch, (series, time), cells);
        Put { batch: order.batch, exact }
    }

    /// Appends a row whose columns are exactly those of the Batch, all valid so far (see `Put`).
    /// False, with nothing appended, when there is no such Batch.
    #[inline]
    pub fn push_exact(
        &mut self,
        shard: ShardId,
        batch: u32,
        (series, time): (SeriesRef, i64),
        cells: &[Cell<'_>],
    ) -> bool {
        let rows = self.shards.get_mut(shard.index());
        let Some(batch) = rows.and_then(|rows| rows.batches.get_mut(batch as usize)) else {
            return false;
        };
        debug_assert!(batch.columns.iter().map(|c| c.id).eq(cells.iter().map(|cell| cell.0)));
        batch.series.push(series);
        batch.times.push(time);
        for (column, (_, datum)) in batch.columns.iter_mut().zip(cells) {
            push_value(&mut column.values, *datum);
            if let Some(bits) = &mut column.validity {
                bits.push(true);
            }
        }
        self.rows += 1;
        self.values += cells.len() as u64;
        true
    }

    /// Whether the row may join the Batch: all its columns are there, and the Batch is not nearly
    /// empty of values.
    fn fits(&self, shard: ShardId, batch: u32, cells: &[Cell<'_>]) -> bool {
        let Some(rows) = self.shards.get(shard.index()) else { return false };
        let Some((batch, meta)) =
            rows.batches.get(batch as usize).zip(rows.meta.get(batch as usize))
        else {
            return false;
        };
        if batch.columns.len() != cells.len() && is_sparse(batch, meta) {
            return false;
        }
        let mut columns = batch.columns.iter();
        cells.iter().all(|(id, _)| columns.any(|column| column.id == *id))
    }

    /// Moves an owner to a later Batch of exactly the row's columns.
    fn move_on(
        &mut self,
        (_, shard, partition): (Owner, ShardId, PartitionId),
        order: Option<Order>,
        cells: &[Cell<'_>],
    ) -> Order {
        let moves = order.map_or(0, |order| order.moves.saturating_add(1));
        let layout = self.layouts.intern(cells.iter().map(|cell| cell.0));
        let key = (shard, partition, layout);
        let open = self.latest.get(&key).copied();
        if let Some(batch) = open.filter(|batch| order.is_none_or(|order| order.batch < *batch)) {
            return Order { batch, moves };
        }
        let batch = self.open(shard, partition, Some(layout), cells);
        self.latest.insert(key, batch);
        Order { batch, moves }
    }

    /// Puts an owner with too many layouts into a Batch of its own, or grows that one.
    fn widen(
        &mut self,
        (_, shard, partition): (Owner, ShardId, PartitionId),
        order: Order,
        cells: &[Cell<'_>],
    ) -> Order {
        let Some(rows) = self.shards.get_mut(shard.index()) else { return order };
        let current = order.batch as usize;
        if let (Some(batch), Some(meta)) =
            (rows.batches.get_mut(current), rows.meta.get_mut(current))
            && meta.layout.is_none()
            && !is_sparse(batch, meta)
        {
            for (id, _) in cells {
                if let Err(at) = batch.columns.binary_search_by_key(id, |column| column.id) {
                    batch.columns.insert(at, Column::nulls(*id, batch.times.len()));
                    meta.nulls += batch.times.len() as u64;
                }
            }
            return order;
        }
        Order { batch: self.open(shard, partition, None, cells), moves: order.moves }
    }

    fn open(
        &mut self,
        shard: ShardId,
        partition: PartitionId,
        layout: Option<LayoutId>,
        cells: &[Cell<'_>],
    ) -> u32 {
        let batch = self.pool.take(partition, cells.iter().map(|cell| cell.0));
        let Some(rows) = self.shards.get_mut(shard.index()) else { return u32::MAX };
        if rows.is_untouched() {
            self.touched.push(shard);
        }
        rows.batches.push(batch);
        rows.meta.push(BatchMeta { layout, nulls: 0 });
        rows.batches.len() as u32 - 1
    }

    /// Appends to a Batch that has all the row's columns; true when it has no others.
    fn push(
        &mut self,
        shard: ShardId,
        at: u32,
        (series, time): (SeriesRef, i64),
        cells: &[Cell<'_>],
    ) -> bool {
        let Some(rows) = self.shards.get_mut(shard.index()) else { return false };
        let (Some(batch), Some(meta)) =
            (rows.batches.get_mut(at as usize), rows.meta.get_mut(at as usize))
        else {
            return false;
        };
        let before = batch.times.len();
        batch.series.push(series);
        batch.times.push(time);
        let mut cells_left = cells.iter().peekable();
        for column in &mut batch.columns {
            match cells_left.next_if(|(id, _)| *id == column.id) {
                Some((_, datum)) => {
                    push_value(&mut column.values, *datum);
                    if let Some(bits) = &mut column.validity {
                        bits.push(true);
                    }
                }
                None => {
                    push_null(column, before, &mut self.pool);
                    meta.nulls += 1;
                }
            }
        }
        debug_assert!(cells_left.next().is_none());
        self.rows += 1;
        self.values += cells.len() as u64;
        meta.layout.is_some() && batch.columns.len() == cells.len()
    }
}

fn is_sparse(batch: &Batch, meta: &BatchMeta) -> bool {
    let cells = batch.times.len() as u64 * batch.columns.len() as u64;
    let values = cells.saturating_sub(meta.nulls);
    meta.nulls > NULLS_FREE && meta.nulls > values.saturating_mul(NULLS_PER_VALUE)
}

/// Appends what a row without a value has: null, or "never" in the expiry column.
fn push_null(column: &mut Column, rows: usize, pool: &mut super::Pool) {
    if column.id == ColumnId::EXPIRE
        && let Values::Integer(values) = &mut column.values
    {
        values.push(EXPIRE_NEVER);
        return;
    }
    column.values.extend_null(1);
    let bits: &mut Bitmap = column.validity.get_or_insert_with(|| pool.all_valid(rows));
    bits.push(false);
}

#[inline]
fn push_value(values: &mut Values, datum: Datum<'_>) {
    match (values, datum) {
        (Values::Float(values), Datum::Float(value)) => values.push(value),
        (Values::Integer(values), Datum::Integer(value)) => values.push(value),
        (Values::Unsigned(values), Datum::Unsigned(value)) => values.push(value),
        (Values::Boolean(values), Datum::Boolean(value)) => values.push(value),
        (Values::String(strings), Datum::String(text)) => strings.push(text),
        (Values::String(strings), Datum::Escaped(text)) => push_escaped(strings, text),
        // A decoder that mixes types up; the row must stay whole.
        (values, _) => values.extend_null(1),
    }
}

/// Appends a string of line protocol without its escapes.
fn push_escaped(strings: &mut Strings, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        strings.bytes.extend_from_slice(plain);
        let (taken, skip) = match escape {
            [_, next @ (b'"' | b'\\'), ..] => (*next, 2),
            _ => (b'\\', 1),
        };
        strings.bytes.push(taken);
        rest = escape.get(skip..).unwrap_or(&[]);
    }
    strings.push(rest);
}
