//! The write path: a queue, one commit in flight, and the head after it.
//!
//! In: `WriteRequest`s and deletes from any number of tasks. Out: series ids for the keys that were
//! new, after the rows are durable and visible. Everything that arrives while a commit is on its
//! way to the disk shares the next one.
//!
//! ```text
//! queue ──take──▶ resolve series, encode records ──▶ log.commit ──▶ apply to head, in order ──▶ answer
//! ```

use super::group::{Group, Interner, Resolved, Sizes, Step};
use super::log::{LogError, record};
use super::{Inner, Shard};
use crate::env::Env;
use crate::env::notify::{Giver, promise};
use crate::model::{Batch, SeriesId, TimeRange, WriteRequest};
use roaring::RoaringBitmap;
use std::rc::Rc;
use std::time::Duration;

/// A larger buffer of records is not kept for the next commit (bytes).
const BUFFER_BYTES_MAX: usize = 8 << 20;

/// What a write gives back.
#[derive(Debug)]
pub struct Written {
    /// The id of each of the request's new keys, in order.
    pub ids: Vec<SeriesId>,
    /// The request, for its buffers.
    pub spent: WriteRequest,
    /// Rows that were left out before the shard saw them; their keys have `SeriesId::NONE`.
    pub refused: Option<Refused>,
}

/// Rows that a limit on series kept out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Which limit, as InfluxDB says it.
    pub reason: String,
    pub rows: u64,
}

/// Why a write was not acknowledged.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WriteError {
    /// A partition or measurement was dropped meanwhile: names have to be resolved again.
    #[error("a name in the write was dropped meanwhile")]
    Stale,
    #[error("no space left on the disk")]
    DiskFull,
    #[error("the write is too large")]
    TooLarge,
    #[error("a series key of the write is malformed")]
    Malformed,
    #[error("the index is full")]
    IndexFull,
    /// The shard acknowledges nothing any more; the write may or may not be on disk.
    #[error("writes have stopped: {0}")]
    Failed(String),
}

/// One thing to be committed, and whom to tell.
pub(super) enum Pending {
    Write { write: WriteRequest, done: Giver<Result<Written, WriteError>> },
    Delete { series: RoaringBitmap, range: TimeRange, done: Giver<Result<(), WriteError>> },
    Retire { series: RoaringBitmap, done: Giver<Result<(), WriteError>> },
}

impl<E: Env> Shard<E> {
    /// Writes rows; comes back when they are durable and visible.
    pub async fn write(&self, write: WriteRequest) -> Result<Written, WriteError> {
        let (done, result) = promise();
        self.inner.submit(Pending::Write { write, done })?;
        result.await.unwrap_or_else(|| Err(WriteError::Failed(self.reason())))
    }

    /// Deletes the rows of these series within a range; comes back when that is durable and
    /// visible. A large set is worked through in parts, in order of the ids.
    pub async fn delete(&self, series: RoaringBitmap, range: TimeRange) -> Result<(), WriteError> {
        for series in self.parts(&series) {
            let (done, result) = promise();
            self.inner.submit(Pending::Delete { series, range, done })?;
            result.await.unwrap_or_else(|| Err(WriteError::Failed(self.reason())))?;
        }
        Ok(())
    }

    /// The parts of a set that each fit into a record; one of an empty set.
    fn parts(&self, series: &RoaringBitmap) -> impl Iterator<Item = RoaringBitmap> {
        let ids_max = Sizes::of(&self.inner.options.log).ids_max();
        let mut ids = series.iter();
        let mut first = true;
        std::iter::from_fn(move || {
            let part: RoaringBitmap = ids.by_ref().take(ids_max).collect();
            let wanted = std::mem::take(&mut first) || !part.is_empty();
            wanted.then_some(part)
        })
    }

    /// From here until the watch is dropped, series that get rows are not retired: whoever looks
    /// for series without rows must not end one that got a row since.
    pub fn watch_appends(&self) -> Watch<E> {
        self.inner.watches.set(self.inner.watches.get() + 1);
        self.inner.appended.borrow_mut().get_or_insert_default();
        Watch(self.inner.clone())
    }

    /// Ends these series: their keys get new ids when seen again. Parts as in `delete`.
    pub async fn retire(&self, series: RoaringBitmap) -> Result<(), WriteError> {
        for series in self.parts(&series) {
            let (done, result) = promise();
            self.inner.submit(Pending::Retire { series, done })?;
            result.await.unwrap_or_else(|| Err(WriteError::Failed(self.reason())))?;
        }
        Ok(())
    }

    fn reason(&self) -> String {
        self.failure().unwrap_or_else(|| "the shard is closing".to_owned())
    }
}

/// See `Shard::watch_appends`.
pub struct Watch<E: Env>(Rc<Inner<E>>);

impl<E: Env> Drop for Watch<E> {
    fn drop(&mut self) {
        let left = self.0.watches.get() - 1;
        self.0.watches.set(left);
        if left == 0 {
            *self.0.appended.borrow_mut() = None;
        }
    }
}

impl<E: Env> Inner<E> {
    fn submit(&self, pending: Pending) -> Result<(), WriteError> {
        if let Some(reason) = self.failure.borrow().clone() {
            return Err(WriteError::Failed(reason));
        }
        let full = self.disk_full.get() || self.is_stuck();
        if full && matches!(pending, Pending::Write { .. }) {
            return Err(WriteError::DiskFull);
        }
        self.queue.borrow_mut().push_back(pending);
        self.queued.notify();
        Ok(())
    }

    /// Runs for the shard's life.
    pub(super) async fn commit_loop(self: Rc<Self>) {
        while !self.has_failed() {
            self.wait_for_work().await;
            self.wait_for_room().await;
            if self.is_stuck() {
                self.refuse_writes();
            }
            let mut group = self.encode_group();
            if group.count == 0 {
                self.keep_buffer(std::mem::take(&mut group.bytes));
                group.answer_only();
                continue;
            }
            let first_seq = self.log.next_seq();
            let committed = self.commit(&group).await;
            self.keep_buffer(std::mem::take(&mut group.bytes));
            match committed {
                Ok(()) => self.apply(group, first_seq),
                Err(LogError::Full) => self.refuse(group, &WriteError::DiskFull),
                Err(LogError::TooLarge { .. }) => self.refuse(group, &WriteError::TooLarge),
                Err(error) => {
                    self.fail(error.to_string());
                    self.refuse(group, &WriteError::Failed(error.to_string()));
                }
            }
        }
        self.queue.borrow_mut().clear();
    }

    /// Runs for the shard's life: a log that fails between two writes ends it, too.
    pub(super) async fn watch_log(self: Rc<Self>) {
        let reason = self.log.failed().await;
        self.fail(reason);
    }

    /// Writes a group: one commit, or several when a single request is larger than a commit should
    /// be.
    async fn commit(&self, group: &Group) -> Result<(), LogError> {
        let (mut start, mut done) = (0, 0);
        let whole = (group.bytes.len(), group.count);
        for (end, count) in group.cuts.iter().copied().chain([whole]) {
            let bytes = group.bytes.get(start..end).unwrap_or(&[]);
            if count == done {
                continue;
            }
            let started = self.env.now_mono();
            let first_seq = self.log.next_seq();
            self.log.commit(bytes, first_seq, count - done, self.edit.get()).await?;
            self.note_commit(started, bytes.len(), count - done);
            (start, done) = (end, count);
        }
        Ok(())
    }

    /// Waits for something to commit; seals the log after a while of idleness.
    async fn wait_for_work(self: &Rc<Self>) {
        let waiting = || (!self.queue.borrow().is_empty() || self.has_failed()).then_some(());
        if waiting().is_some() {
            return;
        }
        if self.log.needs_seal() {
            let idle = self.log.options().seal_after;
            if self.within(idle, self.queued.until(waiting)).await.is_some() {
                return;
            }
            if let Err(error) = self.log.seal().await
                && !matches!(error, LogError::Full)
            {
                self.fail(error.to_string());
            }
        }
        self.queued.until(waiting).await;
    }

    /// A full head behind a frozen one stops commits until the flush is over, or finds no room.
    async fn wait_for_room(&self) {
        let room = || {
            let waits = self.is_crowded() && !self.no_room.get() && !self.has_failed();
            (!waits).then_some(())
        };
        self.flushed.until(room).await;
    }

    /// Whether the head is at its bound and another waits for its flush.
    fn is_crowded(&self) -> bool {
        let full = self.head.borrow().bytes() >= 2 * self.options.head_bytes_max;
        full && self.version.borrow().frozen.is_some()
    }

    /// Whether the head takes no more rows until there is room on the disk.
    fn is_stuck(&self) -> bool {
        self.no_room.get() && self.is_crowded()
    }

    /// Writes in the queue would wait for the disk to have room; deletes go on.
    fn refuse_writes(&self) {
        let queued = std::mem::take(&mut *self.queue.borrow_mut());
        for pending in queued {
            match pending {
                Pending::Write { done, .. } => done.keep(Err(WriteError::DiskFull)),
                other => self.queue.borrow_mut().push_back(other),
            }
        }
    }

    /// The future's value if it comes within `limit`.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let timer = async {
            self.env.sleep(limit).await;
            None
        };
        futures_lite::future::or(async { Some(future.await) }, timer).await
    }

    /// Keeps the buffer of a group for the next: one that is made anew grows through a page fault
    /// every 4 KiB.
    fn keep_buffer(&self, mut bytes: Vec<u8>) {
        if bytes.capacity() <= BUFFER_BYTES_MAX {
            bytes.clear();
            self.records.replace(bytes);
        }
    }

    /// A retirement ends its group: rows behind it must see that the series are no more.
    fn encode_group(&self) -> Group {
        let mut group = Group::new(Sizes::of(&self.options.log), self.records.take());
        group.push_definitions(std::mem::take(&mut *self.owed.borrow_mut()));
        while group.bytes.len() < group.sizes.commit && !group.ends_series() {
            // A retirement is decided when everything before it is applied.
            let retires = matches!(self.queue.borrow().front(), Some(Pending::Retire { .. }));
            if retires && !group.steps.is_empty() {
                break;
            }
            let Some(pending) = self.queue.borrow_mut().pop_front() else { break };
            self.encode(pending, &mut group);
        }
        group
    }

    /// Nothing of the group was written. The index knows its new series already, so the next group
    /// owes their definitions.
    fn refuse(&self, mut group: Group, error: &WriteError) {
        for step in &mut group.steps {
            if let Step::Defined(definitions) = step {
                self.owed.borrow_mut().append(definitions);
            }
        }
        group.refuse(error);
    }

    fn encode(&self, pending: Pending, group: &mut Group) {
        match pending {
            Pending::Write { write, done } => match self.resolve(&write, group) {
                Ok(resolved) => group.push_write(write, resolved, done),
                Err(error) => group.steps.push(Step::Refused { error, done }),
            },
            Pending::Delete { series, range, done } => {
                let ids: Vec<SeriesId> = series.iter().map(SeriesId).collect();
                record::put_delete(&ids, range, &mut group.bytes);
                group.count += 1;
                group.steps.push(Step::Delete { series, range, done });
            }
            Pending::Retire { mut series, done } => {
                if let Some(appended) = &*self.appended.borrow() {
                    series -= appended;
                }
                let ids: Vec<SeriesId> = series.iter().map(SeriesId).collect();
                record::put_retire(&ids, &mut group.bytes);
                group.count += 1;
                group.steps.push(Step::Retire { series, done });
            }
        }
    }

    /// Series of every row; definitions of new ones go into the group's records first.
    fn resolve(&self, write: &WriteRequest, group: &mut Group) -> Result<Resolved, WriteError> {
        self.check_names(write)?;
        let mut interner = Interner { index: self.index.borrow_mut(), definitions: Vec::new() };
        let resolved = interner.resolve(write);
        group.push_definitions(interner.definitions);
        resolved
    }

    fn check_names(&self, write: &WriteRequest) -> Result<(), WriteError> {
        let partitions = self.dropped_partitions.borrow();
        let measurements = self.dropped_measurements.borrow();
        let stale = write.batches.iter().any(|batch| partitions.contains(&batch.partition))
            || write.new_series.iter().any(|new| measurements.contains(&new.measurement));
        if stale { Err(WriteError::Stale) } else { Ok(()) }
    }

    fn note_commit(&self, started: u64, bytes: usize, records: u32) {
        let mut counters = self.counters.borrow_mut();
        counters.commits += 1;
        counters.commit_records += u64::from(records);
        counters.commit_bytes += bytes as u64;
        let elapsed = self.env.now_mono().saturating_sub(started);
        if let Some(histogram) = &mut counters.commit_ns {
            histogram.saturating_record(elapsed.max(1));
        }
    }
}

impl<E: Env> Inner<E> {
    /// The commit is durable: rows become visible in order, then their senders are told.
    fn apply(&self, group: Group, first_seq: u64) {
        let mut seq = first_seq;
        if self.head_since.get() == 0 {
            self.head_since.set(self.env.now_mono().max(1));
        }
        for step in group.steps {
            match step {
                Step::Defined(_) => seq += 1,
                Step::Refused { error, done } => done.keep(Err(error)),
                Step::Write { write, resolved, records, done } => {
                    for (batch, ids) in write.batches.iter().zip(&resolved.rows) {
                        self.append(seq, batch, ids);
                    }
                    seq += u64::from(records);
                    done.keep(Ok(Written { ids: resolved.new, spent: write, refused: None }));
                }
                Step::Delete { series, range, done } => {
                    if let (Some(appended), TimeRange::ALL) =
                        (&mut *self.appended.borrow_mut(), range)
                    {
                        *appended -= &series;
                    }
                    self.apply_delete(seq, series, range);
                    seq += 1;
                    done.keep(Ok(()));
                }
                Step::Retire { series, done } => {
                    self.index.borrow_mut().retire(&series);
                    seq += 1;
                    done.keep(Ok(()));
                }
            }
        }
        self.applied_seq.set(seq.saturating_sub(1));
        self.freeze_if_due();
    }

    /// Rows of a durable record enter the head; replay comes through here too.
    pub(super) fn append(&self, seq: u64, batch: &Batch, ids: &[SeriesId]) {
        let index = self.index.borrow();
        let measurement_of = |id| index.measurement(id).unwrap_or_default();
        self.head.borrow_mut().append(seq, batch, ids, &measurement_of);
        if let Some(appended) = &mut *self.appended.borrow_mut() {
            appended.extend(ids.iter().map(|id| id.0));
        }
        let mut counters = self.counters.borrow_mut();
        let (points, values) = (batch.rows() as u64, (batch.rows() * batch.columns.len()) as u64);
        counters.points += points;
        counters.values += values;
        let written = counters.written.entry(batch.partition).or_default();
        written.batches += 1;
        written.points += points;
        written.values += values;
    }
}
