//! The durable form of the index: what was defined and retired in a range of ids, as blocks of
//! bytes.
//!
//! A delta holds what came since the last one, a base all that is live; both have one form and
//! loading applies them in order of making. The file's writer is somebody else; here are bytes.
//!
//! ```text
//! file   = block*              numbers in blocks: varint (`varint`), unless said otherwise
//! block  = length u32 | kind u8 | 0 0 0 | xxh3 u64 | payload (length bytes, at most 256 KiB)
//!          the hash is over the payload, seeded by place of the block in the file << 8 | kind
//! kind 1 first block: magic "RTIX" | version | first id | end id (ids below it are used up)
//! kind 2 series, ascending ids, first id <= id < end id; each:
//!          gap to the id before (the first: to 0) | hash u32 | measurement | tags | cell*tags
//!          measurement = n + 1 for the file's n-th one, or 0 | id | database | name
//!          cell        = n + 1 for the file's n-th one, or 0 | column | value
//!          column      = n + 1 for the file's n-th one, or 0 | tag key (of this measurement)
//!          name, value, tag key = length | bytes
//! kind 3 retired ids, ascending, each as gap to the one before (the first of a block: to 0)
//! kind 4 last block: number of series | number of retired ids
//! ```
//!
//! Valid: every hash agrees, the first block is of kind 1 and the last of kind 4 with the right
//! counts. Cut at any byte, the last block is missing or short and the file is refused as a whole;
//! it is named by the manifest only after it was written and synced, so a cut file is never needed.

use super::varint;
use super::{FixedMap, Index, SERIES_MAX, hash_key};
use crate::model::SeriesId;
use roaring::RoaringBitmap;
use std::task::Poll;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Payload of a block, at most.
pub(super) const BLOCK_BYTES_MAX: usize = 256 << 10;
/// Length, kind and checksum before a payload.
pub(super) const HEADER_BYTES: usize = 16;
pub(super) const MAGIC: [u8; 4] = *b"RTIX";
pub(super) const VERSION: u32 = 1;
pub(super) const KIND_FIRST: u8 = 1;
pub(super) const KIND_SERIES: u8 = 2;
pub(super) const KIND_RETIRED: u8 = 3;
pub(super) const KIND_LAST: u8 = 4;

/// What a delta took from the index, to be put back when it could not be made durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    first: u32,
    retired: RoaringBitmap,
}

/// A finished delta.
#[derive(Debug)]
pub struct Delta {
    pub bytes: Vec<u8>,
    pub mark: Mark,
}

/// A delta or a base being encoded.
pub struct DeltaTask {
    mark: Mark,
    end: u32,
    at: u32,
    series: u32,
    last: u32,
    place: u64,
    block: Vec<u8>,
    record: Vec<u8>,
    key: Vec<u8>,
    measurements: Numbers,
    columns: Numbers,
    cells: Numbers,
}

/// Numbers in the file by number in the index, in order of first use.
#[derive(Default)]
struct Numbers(FixedMap<u32, u32>);

impl Numbers {
    /// Writes the reference; true when the thing itself must follow.
    fn write(&mut self, number: u32, out: &mut Vec<u8>) -> bool {
        let next = self.0.len() as u32 + 1;
        let known = *self.0.entry(number).or_insert(next);
        varint::write(out, if known == next { 0 } else { known });
        known == next
    }
}

impl Index {
    /// Begins a delta of what was defined or retired since the last one; `None` when nothing was.
    /// The index counts it as saved: after a failure pass its mark to `put_back`.
    pub fn begin_delta(&mut self) -> Option<DeltaTask> {
        if self.saved >= self.next && self.retired.is_empty() {
            return None;
        }
        let mark = Mark { first: self.saved, retired: std::mem::take(&mut self.retired) };
        self.saved = self.next;
        Some(DeltaTask::new(mark, self.next))
    }

    /// Begins a base of all live series; it replaces every delta begun before it. Does not count as
    /// saving: the next delta says again what came since the last one, which does no harm.
    pub fn begin_base(&self) -> DeltaTask {
        DeltaTask::new(Mark { first: 0, retired: RoaringBitmap::new() }, self.next)
    }

    /// What was defined or retired since the last delta, encoded at once.
    pub fn take_delta(&mut self) -> Option<Delta> {
        let task = self.begin_delta()?;
        Some(task.finish(self))
    }

    /// All live series, encoded at once.
    pub fn base(&self) -> Delta {
        self.begin_base().finish(self)
    }

    /// Whether a delta would hold something.
    pub fn has_changes(&self) -> bool {
        self.saved < self.next || !self.retired.is_empty()
    }

    /// Makes the next delta hold again what one that failed had taken.
    pub fn put_back(&mut self, mark: Mark) {
        self.saved = self.saved.min(mark.first);
        self.retired |= mark.retired;
    }
}

impl DeltaTask {
    fn new(mark: Mark, end: u32) -> DeltaTask {
        DeltaTask {
            at: mark.first,
            mark,
            end,
            series: 0,
            last: 0,
            place: 0,
            block: Vec::new(),
            record: Vec::new(),
            key: Vec::new(),
            measurements: Numbers::default(),
            columns: Numbers::default(),
            cells: Numbers::default(),
        }
    }

    /// What to put back when the delta cannot be made durable.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Appends blocks of the next `budget` ids to `out`, which the caller may empty between steps.
    /// Ready when the last block is in. Series retired meanwhile are left out.
    pub fn step(&mut self, index: &Index, budget: u32, out: &mut Vec<u8>) -> Poll<()> {
        if self.place == 0 {
            self.block.extend_from_slice(&MAGIC);
            for number in [VERSION, self.mark.first, self.end] {
                varint::write(&mut self.block, number);
            }
            self.seal(KIND_FIRST, out);
        }
        let stop = self.at.saturating_add(budget.max(1)).min(self.end);
        for id in self.at..stop {
            if !index.is_live(SeriesId(id)) {
                continue;
            }
            self.encode(index, id);
            if self.block.len() + self.record.len() > BLOCK_BYTES_MAX {
                self.seal(KIND_SERIES, out);
            }
            self.block.append(&mut self.record);
        }
        self.at = stop;
        if self.at < self.end {
            return Poll::Pending;
        }
        self.seal(KIND_SERIES, out);
        self.write_retired(out);
        varint::write(&mut self.block, self.series);
        varint::write(&mut self.block, self.mark.retired.len() as u32);
        self.seal(KIND_LAST, out);
        Poll::Ready(())
    }

    fn finish(mut self, index: &Index) -> Delta {
        let mut bytes = Vec::new();
        while self.step(index, SERIES_MAX, &mut bytes).is_pending() {}
        Delta { bytes, mark: self.mark }
    }

    /// Encodes one live series into `record`; at most 160 KiB, since its key is below 64 KiB.
    fn encode(&mut self, index: &Index, id: u32) {
        let Some(state) = index.states.get(id) else { return };
        let Some(owner) = index.measurements.get(state.measurement as usize) else { return };
        self.key.clear();
        index.write_key(SeriesId(id), &mut self.key);
        let out = &mut self.record;
        varint::write(out, id - self.last);
        self.last = id;
        self.series += 1;
        out.extend_from_slice(&hash_key(owner.db, &self.key).to_le_bytes());
        if self.measurements.write(state.measurement, out) {
            varint::write(out, owner.id.0);
            varint::write(out, owner.db.0);
            varint::write_text(out, index.symbols.text(owner.name));
        }
        let cells = index.cells_of(state);
        varint::write(out, cells.len() as u32);
        for number in cells {
            if !self.cells.write(*number, out) {
                continue;
            }
            let Some(cell) = index.cells.get(*number) else { continue };
            if self.columns.write(cell.column, out) {
                varint::write_text(out, index.column_key(cell.column));
            }
            varint::write_text(out, index.symbols.text(cell.value));
        }
    }

    fn write_retired(&mut self, out: &mut Vec<u8>) {
        let retired = std::mem::take(&mut self.mark.retired);
        let mut last = 0;
        for id in &retired {
            if self.block.len() + 5 > BLOCK_BYTES_MAX {
                self.seal(KIND_RETIRED, out);
                last = 0;
            }
            varint::write(&mut self.block, id - last);
            last = id;
        }
        self.seal(KIND_RETIRED, out);
        self.mark.retired = retired;
    }

    /// Closes the block at hand, if it holds anything.
    fn seal(&mut self, kind: u8, out: &mut Vec<u8>) {
        debug_assert!(self.block.len() <= BLOCK_BYTES_MAX);
        if self.block.is_empty() {
            return;
        }
        out.extend_from_slice(&(self.block.len() as u32).to_le_bytes());
        out.extend_from_slice(&[kind, 0, 0, 0]);
        out.extend_from_slice(&checksum(self.place, kind, &self.block).to_le_bytes());
        out.append(&mut self.block);
        self.place += 1;
    }
}

/// The checksum of the block at `place`.
pub(super) fn checksum(place: u64, kind: u8, payload: &[u8]) -> u64 {
    xxh3_64_with_seed(payload, place << 8 | u64::from(kind))
}
