//! The head: rows of a shard that are in the log but not yet in a segment.
//!
//! In: Batches whose commit is durable, in order of their sequence numbers, and deletes at their
//! place in that order. Out: Blocks, to scans (through a snapshot, in steps) and to the flush (from
//! a frozen head, by partition and UTC day). Rows lie in tables per partition and layout, in chunks
//! that never move; an append is a push per column, whatever the number of series. Nothing here
//! waits or knows an environment.

mod big;
mod chunk;
mod cursor;
mod gather;
mod part;
mod section;
mod shuffled;
mod slots;
mod table;
mod view;

#[cfg(test)]
mod tests;

pub use cursor::HeadCursor;
pub use section::SectionCursor;
pub use view::{HeadView, Select};

use crate::model::{Batch, MeasurementId, PartitionId, SeriesId, TimeRange};
use part::Part;
use roaring::RoaringBitmap;
use slots::Hints;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Rows by partition, with their sums.
#[derive(Debug, Default)]
struct Parts {
    parts: BTreeMap<PartitionId, Rc<RefCell<Part>>>,
    rows: usize,
    values: usize,
    bytes: usize,
    /// Lowest and highest sequence number.
    seqs: Option<(u64, u64)>,
}

/// What the active and the frozen head answer alike.
macro_rules! reading {
    () => {
        /// Rows appended, deleted ones included.
        pub fn rows(&self) -> usize {
            self.parts.rows
        }

        /// Values appended (nulls do not count).
        pub fn values(&self) -> usize {
            self.parts.values
        }

        /// Bytes of memory that rows and slots use, about.
        pub fn bytes(&self) -> usize {
            self.parts.bytes
        }

        /// Lowest and highest sequence number of what was appended or deleted; `None` when nothing
        /// was.
        pub fn seqs(&self) -> Option<(u64, u64)> {
            self.parts.seqs
        }

        /// The partitions with rows, by id: times (both ends inclusive) and number of rows.
        pub fn partitions(&self) -> impl Iterator<Item = (PartitionId, TimeRange, usize)> {
            self.parts.parts.iter().map(|(id, part)| {
                let part = part.borrow();
                (*id, part.range(), part.rows())
            })
        }

        /// A snapshot of a partition; `None` when it has no rows here.
        pub fn view(&self, partition: PartitionId) -> Option<HeadView> {
            self.parts.parts.get(&partition).map(HeadView::new)
        }
    };
}

/// The active head of a shard.
#[derive(Debug)]
pub struct Head {
    parts: Parts,
    hints: Hints,
    next_tag: u32,
}

impl Default for Head {
    fn default() -> Head {
        Head::new()
    }
}

impl Head {
    /// A head without rows.
    pub fn new() -> Head {
        Head { parts: Parts::default(), hints: Hints::default(), next_tag: 1 }
    }

    reading!();

    /// Appends a Batch of the durable log record `seq`. `ids` has the series of each row;
    /// `measurement_of` is asked for series that are new to their table.
    pub fn append<M>(&mut self, seq: u64, batch: &Batch, ids: &[SeriesId], measurement_of: &M)
    where
        M: Fn(SeriesId) -> MeasurementId,
    {
        debug_assert_eq!(batch.rows(), ids.len());
        self.parts.note_seq(seq);
        let part = self.parts.parts.entry(batch.partition);
        let part = part.or_insert_with(|| Rc::new(RefCell::new(Part::new())));
        let hints = (&mut self.hints, &mut self.next_tag);
        let added = part.borrow_mut().append(batch, ids, hints, measurement_of);
        self.parts.rows += added.rows;
        self.parts.values += added.values;
        self.parts.bytes += added.bytes;
    }

    /// The delete record `seq`: rows of `series` within `range` are gone at once, from views too.
    /// Rows appended later show.
    pub fn delete(&mut self, seq: u64, series: &RoaringBitmap, range: TimeRange) {
        self.parts.note_seq(seq);
        for part in self.parts.parts.values() {
            part.borrow_mut().delete(series, range);
        }
    }

    /// Moves all rows out, in constant time; the head is empty then. Views stay good.
    pub fn freeze(&mut self) -> Frozen {
        let head = std::mem::take(self);
        Frozen { parts: head.parts }
    }
}

impl Parts {
    fn note_seq(&mut self, seq: u64) {
        let (low, high) = self.seqs.unwrap_or((seq, seq));
        self.seqs = Some((low.min(seq), high.max(seq)));
    }
}

/// A head that takes no more rows, read by scans and by the flush.
#[derive(Debug)]
pub struct Frozen {
    parts: Parts,
}

impl Frozen {
    reading!();

    /// The sections of the flushed file: every partition and UTC day with rows. A section all of
    /// whose rows were deleted gives no Block.
    pub fn sections(&self) -> Vec<(PartitionId, i32)> {
        let days = |(id, part): (&PartitionId, &Rc<RefCell<Part>>)| {
            let days = part.borrow().days().to_vec();
            let id = *id;
            days.into_iter().map(move |day| (id, day))
        };
        self.parts.parts.iter().flat_map(days).collect()
    }

    /// Reads one section; `None` when there is no such partition.
    pub fn section(&self, partition: PartitionId, day: i32) -> Option<SectionCursor> {
        Some(SectionCursor::new(self.view(partition)?, day))
    }
}
