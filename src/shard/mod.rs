//! One core's share of the data: log, head, segments, index, compaction, scans.
//!
//! A shard owns every series whose canonical key hashes to it, alone, and needs no lock. Data goes
//! one way: `write` (queue, commit, apply; `group`) ▸ `log` ▸ `head` ▸ `flush` ▸ `segment` ▸ `compact`;
//! `scan` reads what a `version` and the head hold. `open` brings a shard back from its files.
//!
//! Numbers: every log record has a sequence number; a source of rows (head, section of a file)
//! covers a range of them, and the ranges of one partition and day are disjoint, so "the later
//! write wins" is decided by comparing ranges.

pub mod audit;
pub mod block;
pub mod cache;
mod compact;
mod delete;
mod edit;
#[cfg(test)]
mod fault_tests;
mod flush;
#[cfg(test)]
mod full_disk_tests;
mod group;
pub mod head;
pub mod index;
mod index_file;
pub mod journal;
#[cfg(test)]
mod life_tests;
pub mod log;
mod manifest;
pub mod merge;
pub mod names;
mod open;
pub mod scan;
pub mod segment;
mod source;
pub mod store;
#[cfg(test)]
pub mod testing;
pub mod tombstone;
pub mod version;
mod write;

pub use open::{OpenError, Opened};
pub use write::{Refused, WriteError, Written};

use crate::env::Env;
use crate::env::notify::{Gate, Notify};
use crate::model::{FixedMap, FixedSet, MeasurementId, PartitionId, ShardId};
use cache::BlockCache;
use edit::Trouble;
use head::Head;
use index::Index;
use journal::Journal;
use std::cell::{Cell, Ref, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tombstone::Tombstones;
use version::{Sources, Version};

/// Limits of one shard.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub log: log::Options,
    /// Bytes of the active head that make it freeze; twice as many stop writes until a flush ends.
    pub head_bytes_max: usize,
    /// Age of the oldest row in the head that makes it freeze.
    pub head_age_max: Duration,
    /// Bytes of log that make the head freeze.
    pub log_bytes_max: u64,
    /// A day of a partition without new sections for so long is packed for good.
    pub compact_idle: Duration,
    /// Block cache of this shard (bytes).
    pub cache_bytes: usize,
    /// With less free space than this, writes are refused (bytes).
    pub free_bytes_min: u64,
}

/// Counters of a shard; see `stats` for their names.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    pub points: u64,
    pub values: u64,
    /// What was written to each partition: only the first three figures.
    pub written: FixedMap<PartitionId, PartitionFigures>,
    pub commits: u64,
    pub commit_records: u64,
    pub commit_bytes: u64,
    pub flushes: u64,
    pub flush_bytes: u64,
    pub compactions: u64,
    pub compaction_bytes: u64,
    pub failed_tasks: u64,
    /// Time from asking for a commit to its being durable (ns).
    pub commit_ns: Option<Box<hdrhistogram::Histogram<u64>>>,
}

/// What a shard has of one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PartitionFigures {
    /// Batches, rows and values written since the start.
    pub batches: u64,
    pub points: u64,
    pub values: u64,
    /// Rows that are not yet in segments.
    pub head_rows: u64,
    /// Segment files with sections of it, and the bytes of these sections.
    pub files: u64,
    pub bytes: u64,
}

impl Counters {
    /// All zero, with a histogram of 1 us to 60 s at two digits.
    fn new() -> Counters {
        let histogram = hdrhistogram::Histogram::new_with_bounds(1_000, 60_000_000_000, 2);
        Counters { commit_ns: histogram.ok().map(Box::new), ..Counters::default() }
    }
}

/// A shard. Cloning gives another handle.
pub struct Shard<E: Env> {
    inner: Rc<Inner<E>>,
}

impl<E: Env> Clone for Shard<E> {
    fn clone(&self) -> Self {
        Shard { inner: self.inner.clone() }
    }
}

struct Inner<E: Env> {
    env: E,
    dir: PathBuf,
    id: ShardId,
    store: u64,
    options: Options,
    index: RefCell<Index>,
    head: RefCell<Head>,
    version: RefCell<Rc<Version<E>>>,
    cache: Rc<BlockCache>,
    log: log::Writer<E>,
    manifest: RefCell<manifest::State>,
    journal: RefCell<Option<Journal<E>>>,
    /// Who reads now and must hear of deletes (see `version::Later`).
    scans: RefCell<Vec<Weak<RefCell<Tombstones>>>>,
    /// Held while the manifest is written.
    editing: Gate,
    /// The newest manifest edit; every commit carries it.
    edit: Cell<u64>,
    queue: RefCell<VecDeque<write::Pending>>,
    queued: Notify,
    /// Series that got rows while somebody watches (`watch_appends`).
    appended: RefCell<Option<roaring::RoaringBitmap>>,
    watches: Cell<u32>,
    /// The buffer of the next group's records.
    records: RefCell<Vec<u8>>,
    /// Definitions of a refused group: the index has the series, the log not yet.
    owed: RefCell<Vec<log::Definition>>,
    /// Rows and deletes up to here are in the head or in files.
    applied_seq: Cell<u64>,
    /// The last record of the frozen head, 0 without one.
    frozen_seq: Cell<u64>,
    /// When the oldest row came into the active head (monotonic ns), 0 when it is empty.
    head_since: Cell<u64>,
    frozen: Notify,
    flushed: Notify,
    flush_wanted: Cell<bool>,
    /// Partitions and measurements that the catalog dropped while this process runs.
    dropped_partitions: RefCell<FixedSet<PartitionId>>,
    dropped_measurements: RefCell<FixedSet<MeasurementId>>,
    doomed: RefCell<Vec<compact::Doomed<E>>>,
    /// When the last section of a (partition, day) was added (monotonic ns).
    touched: RefCell<crate::model::FixedMap<(PartitionId, i32), u64>>,
    /// One compaction at a time.
    compacting: Cell<bool>,
    /// Less is free than `Options::free_bytes_min`.
    disk_full: Cell<bool>,
    /// The last flush found no room; how many did since the start.
    no_room: Cell<bool>,
    roomless_flushes: Cell<u64>,
    failure: RefCell<Option<String>>,
    failed: Notify,
    counters: RefCell<Counters>,
}

impl<E: Env> Shard<E> {
    /// Which shard of the store this is.
    pub fn id(&self) -> ShardId {
        self.inner.id
    }

    /// The series index.
    pub fn index(&self) -> Ref<'_, Index> {
        self.inner.index.borrow()
    }

    /// The environment the shard lives in.
    pub fn env(&self) -> &E {
        &self.inner.env
    }

    /// All sources of rows at this moment.
    pub fn version(&self) -> Rc<Version<E>> {
        self.inner.version.borrow().clone()
    }

    /// What a scan of one partition reads: taken together, at one moment.
    pub fn sources(&self, partition: PartitionId) -> Sources<E> {
        let version = self.version();
        let later = version::Later::default();
        let mut scans = self.inner.scans.borrow_mut();
        scans.retain(|one| one.strong_count() > 0);
        scans.push(Rc::downgrade(&later));
        Sources {
            later,
            frozen: version.frozen.as_ref().and_then(|frozen| frozen.view(partition)),
            active: self.inner.head.borrow().view(partition),
            frozen_seq: self.inner.frozen_seq.get(),
            version,
        }
    }

    /// Partitions that have rows here.
    pub fn partitions(&self) -> Vec<PartitionId> {
        let head = self.inner.head.borrow();
        let mut all: Vec<PartitionId> = head.partitions().map(|(id, ..)| id).collect();
        let version = self.inner.version.borrow();
        all.extend(version.frozen.iter().flat_map(|frozen| frozen.partitions().map(|(id, ..)| id)));
        all.extend(version.sections.keys().map(|(id, _)| *id));
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What keeps the shard from taking writes, or soon will; it goes on when there is room.
    pub fn trouble(&self) -> Option<String> {
        let full = self.inner.disk_full.get() || self.inner.no_room.get();
        self.failure().or_else(|| full.then(|| Trouble::Full.to_string()))
    }

    /// Why the shard acknowledges nothing any more, if so.
    pub fn failure(&self) -> Option<String> {
        self.inner.failure.borrow().clone()
    }

    /// Comes back when the shard can acknowledge nothing any more, with the reason.
    pub async fn failed(&self) -> String {
        self.inner.failed.until(|| self.failure()).await
    }

    /// Counters since the start.
    pub fn counters(&self) -> Counters {
        self.inner.counters.borrow().clone()
    }

    /// Figures of the present state.
    pub fn gauges(&self) -> Gauges {
        let inner = &self.inner;
        let head = inner.head.borrow();
        let version = inner.version.borrow();
        let frozen = version.frozen.as_ref();
        let manifest = inner.manifest.borrow();
        let sections = manifest.files.values().flat_map(|file| &file.sections);
        let partitions = inner.partitions();
        Gauges {
            partitions,
            head_rows: (head.rows() + frozen.map_or(0, |f| f.rows())) as u64,
            head_bytes: (head.bytes() + frozen.map_or(0, |f| f.bytes())) as u64,
            segment_files: manifest.files.len() as u64,
            segment_sections: sections.clone().count() as u64,
            segment_values: sections.clone().map(|section| section.values).sum(),
            segment_bytes: manifest.files.values().map(|file| file.bytes).sum(),
            log_bytes: inner.log.live_bytes(),
            series: inner.index.borrow().live_series_of_all(),
            index_bytes: inner.index.borrow().memory_bytes() as u64,
            queued_writes: inner.queue.borrow().len() as u64,
            disk_full: u64::from(inner.disk_full.get() || inner.no_room.get()),
            cache: inner.cache.stats(),
        }
    }
}

/// Figures of a shard's present state.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    pub partitions: BTreeMap<PartitionId, PartitionFigures>,
    pub head_rows: u64,
    pub head_bytes: u64,
    pub segment_files: u64,
    pub segment_sections: u64,
    pub segment_values: u64,
    pub segment_bytes: u64,
    pub log_bytes: u64,
    /// Live series of all databases.
    pub series: u64,
    pub index_bytes: u64,
    pub queued_writes: u64,
    /// 1 while there is too little room on the disk.
    pub disk_full: u64,
    pub cache: cache::CacheStats,
}

impl<E: Env> Inner<E> {
    /// The partitions of which there is or was something since the start.
    fn partitions(&self) -> BTreeMap<PartitionId, PartitionFigures> {
        let counters = self.counters.borrow();
        let mut all: BTreeMap<_, _> =
            counters.written.iter().map(|(id, figures)| (*id, *figures)).collect();
        let (head, version) = (self.head.borrow(), self.version.borrow());
        let frozen = version.frozen.iter().flat_map(|frozen| frozen.partitions());
        for (id, _, rows) in head.partitions().chain(frozen) {
            all.entry(id).or_default().head_rows += rows as u64;
        }
        for file in self.manifest.borrow().files.values() {
            let mut bytes: BTreeMap<PartitionId, u64> = BTreeMap::new();
            for section in &file.sections {
                *bytes.entry(section.key.partition).or_default() += section.bytes;
            }
            for (id, bytes) in bytes {
                let figures = all.entry(id).or_default();
                figures.files += 1;
                figures.bytes += bytes;
            }
        }
        all
    }

    /// Nobody knows what is on disk: nothing is acknowledged from here on.
    fn fail(&self, reason: String) {
        self.failure.borrow_mut().get_or_insert(reason);
        self.failed.notify();
        self.queued.notify();
        self.flushed.notify();
    }

    fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    /// A file id that was never used.
    fn next_file_id(&self) -> u64 {
        let mut manifest = self.manifest.borrow_mut();
        let id = manifest.next_file_id;
        manifest.next_file_id += 1;
        id
    }

    fn ident(&self, file_id: u64) -> segment::FileIdent {
        segment::FileIdent { store: self.store, shard: self.id.0, file_id }
    }

    /// Replaces what readers see from now on.
    fn install(&self, change: impl FnOnce(&mut Version<E>)) {
        let mut next = Version::clone(&self.version.borrow());
        change(&mut next);
        *self.version.borrow_mut() = Rc::new(next);
    }
}
