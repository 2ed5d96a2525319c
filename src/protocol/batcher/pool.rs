//! Buffers of finished requests, kept for the next ones.
//!
//! A Batch goes back under its columns, so that the next one with these columns has buffers of the
//! right types and about the right size. Bounded in Batches and in bytes of one Batch.

use crate::model::FixedMap;
use crate::model::batch::NewSeries;
use crate::model::{Batch, Bitmap, Column, ColumnId, PartitionId, Values, WriteRequest};

/// Batches kept. A core has few requests in flight, each with a Batch or two per shard.
const BATCHES_MAX: usize = 256;
/// Lists and bitmaps kept.
const PARTS_MAX: usize = 256;
/// Bytes of a Batch above which its buffers are given back to the allocator: 256 of them are 256
/// MiB.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Spare buffers.
#[derive(Default)]
pub struct Pool {
    batches: FixedMap<Box<[ColumnId]>, Vec<Batch>>,
    held: usize,
    lists: Vec<(Vec<NewSeries>, Vec<Batch>)>,
    bitmaps: Vec<Bitmap>,
    scratch: Vec<ColumnId>,
}

impl Pool {
    /// Two empty lists for a request.
    pub fn take_lists(&mut self) -> (Vec<NewSeries>, Vec<Batch>) {
        self.lists.pop().unwrap_or_default()
    }

    /// An empty Batch with these columns (sorted, distinct).
    pub fn take(
        &mut self,
        partition: PartitionId,
        columns: impl Iterator<Item = ColumnId>,
    ) -> Batch {
        self.scratch.clear();
        self.scratch.extend(columns);
        let spare = self.batches.get_mut(self.scratch.as_slice()).and_then(Vec::pop);
        if let Some(mut batch) = spare {
            self.held -= 1;
            batch.partition = partition;
            return batch;
        }
        let columns = self.scratch.iter().map(|id| Column::empty(*id)).collect();
        Batch { partition, series: Vec::new(), times: Vec::new(), columns }
    }

    /// A bitmap of `rows` set bits.
    pub fn all_valid(&mut self, rows: usize) -> Bitmap {
        let mut bits = self.bitmaps.pop().unwrap_or_default();
        bits.clear();
        bits.extend_fill(rows, true);
        bits
    }

    /// Takes a request's buffers back.
    pub fn put(&mut self, mut request: WriteRequest) {
        for batch in request.batches.drain(..) {
            self.put_batch(batch);
        }
        request.new_series.clear();
        if self.lists.len() < PARTS_MAX {
            self.lists.push((request.new_series, request.batches));
        }
    }

    /// Gives all buffers back to the allocator.
    pub fn clear(&mut self) {
        *self = Pool::default();
    }

    fn put_batch(&mut self, mut batch: Batch) {
        let bytes: usize = batch.columns.iter().map(|column| column.values.bytes()).sum();
        let regular = batch.columns.is_sorted_by(|left, right| left.id < right.id)
            && batch.columns.iter().all(|column| column.values.kind() == column.id.kind());
        if self.held >= BATCHES_MAX || bytes > BATCH_BYTES_MAX || !regular {
            return;
        }
        batch.series.clear();
        batch.times.clear();
        for column in &mut batch.columns {
            clear_values(&mut column.values);
            if let Some(bits) = column.validity.take()
                && self.bitmaps.len() < PARTS_MAX
            {
                self.bitmaps.push(bits);
            }
        }
        self.scratch.clear();
        self.scratch.extend(batch.columns.iter().map(|column| column.id));
        self.held += 1;
        if let Some(list) = self.batches.get_mut(self.scratch.as_slice()) {
            list.push(batch);
        } else {
            self.batches.insert(self.scratch.as_slice().into(), vec![batch]);
        }
    }
}

fn clear_values(values: &mut Values) {
    match values {
        Values::Float(values) => values.clear(),
        Values::Integer(values) => values.clear(),
        Values::Unsigned(values) => values.clear(),
        Values::Boolean(values) => values.clear(),
        Values::String(strings) => {
            strings.ends.clear();
            strings.bytes.clear();
        }
    }
}
