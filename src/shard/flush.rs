//! Flush: a full head becomes a segment file, without stopping writes.
//!
//! ```text
//! freeze at S ▸ write segment, write index file ▸ sync both, sync folder ▸ manifest edit (durable)
//!             ▸ swap version ▸ release log files whose last record is ≤ S
//! ```
//! One frozen head at most. A failed write only drops the files it made and is tried again, later
//! each time: the rows are still in the frozen head and in the log. On a full disk it is tried as
//! soon as more is free; meanwhile the active head grows to its bound, then writes are refused.

use super::edit::Trouble;
use super::head::Frozen;
use super::index::DeltaTask;
use super::segment::{FileMeta, Reader, SectionKey, SegmentError, Writer};
use super::{Inner, Shard, index_file, manifest, names};
use crate::codec::chunk::Effort;
use crate::env::{Disk, Env};
use crate::logging::{self, Level};
use crate::model::PartitionId;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// What a flush made: a segment, an index file, and the segment's reader.
type Made<E> = (Option<FileMeta>, Option<u64>, Option<Rc<Reader<E>>>);

/// Rows taken out of the frozen head a step.
const STEP_ROWS: usize = 8192;
/// How often the age of the head and the room on the disk are looked at.
const TICK: Duration = Duration::from_secs(1);
/// The longest rest after flushes that failed (`TICK`s).
const REST_TICKS_MAX: u32 = 32;

impl<E: Env> Shard<E> {
    /// Brings everything that is in the head now to disk as a segment. An error when the disk has
    /// no room for it, or the shard has failed.
    pub async fn flush(&self) -> Result<(), String> {
        let inner = &self.inner;
        let roomless = inner.roomless_flushes.get();
        let wanted = inner.applied_seq.get();
        inner.flush_wanted.set(true);
        inner.freeze_if_due();
        let done = || {
            let failure = inner.failure.borrow().clone();
            let flushed = inner.manifest.borrow().replay_from > wanted;
            let empty = inner.head.borrow().rows() == 0
                && inner.version.borrow().frozen.is_none()
                && !inner.index.borrow().has_changes();
            let full = inner.roomless_flushes.get() > roomless;
            let refusal = failure.or_else(|| full.then(|| Trouble::Full.to_string()));
            (flushed || empty).then_some(Ok(())).or(refusal.map(Err))
        };
        inner.flushed.until(done).await
    }
}

impl<E: Env> Inner<E> {
    /// Freezes the head when it is full, old, pins too much log, or someone asked.
    pub(super) fn freeze_if_due(&self) {
        if self.version.borrow().frozen.is_some() {
            return;
        }
        let (rows, bytes, seqs) = {
            let head = self.head.borrow();
            (head.rows(), head.bytes(), head.seqs())
        };
        let has_work = rows > 0 || seqs.is_some() || self.index.borrow().has_changes();
        let age_ns = self.env.now_mono().saturating_sub(self.head_since.get());
        let old =
            self.head_since.get() != 0 && u128::from(age_ns) > self.options.head_age_max.as_nanos();
        let due = self.flush_wanted.get()
            || old
            || bytes >= self.options.head_bytes_max
            || self.log.live_bytes() >= self.options.log_bytes_max;
        if !has_work || !due {
            return;
        }
        let frozen = Rc::new(self.head.borrow_mut().freeze());
        self.frozen_seq.set(self.applied_seq.get());
        self.head_since.set(0);
        self.flush_wanted.set(false);
        self.install(|version| version.frozen = Some(frozen));
        self.frozen.notify();
    }

    /// Runs for the shard's life.
    pub(super) async fn flush_loop(self: Rc<Self>) {
        let mut rest_ticks = 1;
        loop {
            let ready =
                || (self.version.borrow().frozen.is_some() || self.has_failed()).then_some(());
            if self.within(TICK, self.frozen.until(ready)).await.is_none() {
                self.freeze_if_due();
                self.watch_disk().await;
                continue;
            }
            if self.has_failed() {
                return;
            }
            match self.flush_frozen().await {
                Ok(()) => rest_ticks = 1,
                Err(trouble) => {
                    self.counters.borrow_mut().failed_tasks += 1;
                    log_failure("flush", &trouble);
                    self.rest(rest_ticks).await;
                    rest_ticks = (rest_ticks * 2).min(REST_TICKS_MAX);
                }
            }
        }
    }

    /// Between two tries of a flush; shorter when it lacked room and more is free.
    async fn rest(&self, ticks: u32) {
        let before = self.watch_disk().await;
        for _ in 0..ticks {
            self.env.sleep(TICK).await;
            let has_more = self.watch_disk().await > before;
            if self.has_failed() || (has_more && self.no_room.get()) {
                return;
            }
        }
    }

    /// Looks at the free space (bytes), if it can be told.
    async fn watch_disk(&self) -> Option<u64> {
        let free = self.env.disk().free_bytes(&self.dir).await.ok()?;
        self.disk_full.set(free < self.options.free_bytes_min);
        Some(free)
    }

    async fn flush_frozen(&self) -> Result<(), Trouble> {
        let Some(frozen) = self.version.borrow().frozen.clone() else { return Ok(()) };
        let task = self.index.borrow_mut().begin_delta();
        let mark = task.as_ref().map(|task| task.mark().clone());
        let done = self.flush_rows(&frozen, task).await;
        self.no_room.set(done == Err(Trouble::Full));
        if done.is_err()
            && let Some(mark) = mark
        {
            // The definitions are in no file that the manifest names: the next try owes them.
            self.index.borrow_mut().put_back(mark);
        }
        if done == Err(Trouble::Full) {
            self.roomless_flushes.set(self.roomless_flushes.get() + 1);
        }
        self.flushed.notify();
        self.freeze_if_due();
        done
    }

    async fn flush_rows(&self, frozen: &Frozen, task: Option<DeltaTask>) -> Result<(), Trouble> {
        let last_seq = self.frozen_seq.get();
        let (file, index, reader) = self.write_files(frozen, last_seq, task).await?;
        let segment = file.as_ref().map(|meta| meta.file_id);
        let bytes = file.as_ref().map_or(0, |meta| meta.bytes);
        let edited = self.edit(|| {
            let mut tombstones = Vec::new();
            self.version.borrow().tombstones.write(&mut tombstones);
            manifest::Edit::Flush { replay_from: last_seq + 1, file, index, tombstones }
        });
        if let Err(trouble) = edited.await {
            drop(reader);
            self.take_back(segment, index).await;
            return Err(trouble);
        }
        self.install(|version| {
            version.frozen = None;
            if let Some(reader) = &reader {
                version.add_file(reader, |_| true);
            }
        });
        self.touch(reader.as_deref());
        let mut counters = self.counters.borrow_mut();
        counters.flushes += 1;
        counters.flush_bytes += bytes;
        drop(counters);
        self.log.release(last_seq);
        Ok(())
    }

    /// Removes files that the manifest does not name. A shard that has failed leaves them: nobody
    /// knows what its manifest says.
    pub(super) async fn take_back(&self, segment: Option<u64>, index: Option<u64>) {
        if self.has_failed() {
            return;
        }
        let segment = segment.map(|id| names::segment(&self.dir, id));
        for path in segment.into_iter().chain(index.map(|id| names::index(&self.dir, id))) {
            // A file that stays is put into quarantine by the next start.
            let _ = self.env.disk().remove(&path).await;
        }
    }

    /// Writes what a flush adds; after an error nothing of it is left in the folder.
    async fn write_files(
        &self,
        frozen: &Frozen,
        last_seq: u64,
        task: Option<DeltaTask>,
    ) -> Result<Made<E>, Trouble> {
        let first_seq = self.manifest.borrow().replay_from;
        let file = self.write_sections(frozen, first_seq, last_seq).await?;
        let segment = file.as_ref().map(|meta| meta.file_id);
        let index = match task {
            Some(task) => self.write_index(task).await.map(Some),
            None => Ok(None),
        };
        let index = match index {
            Ok(index) => index,
            Err(trouble) => {
                self.take_back(segment, None).await;
                return Err(trouble);
            }
        };
        match self.open_written(segment).await {
            Ok(reader) => Ok((file, index, reader)),
            Err(trouble) => {
                self.take_back(segment, index).await;
                Err(trouble)
            }
        }
    }

    /// Remembers when days got their last section: quiet days are packed for good.
    fn touch(&self, reader: Option<&Reader<E>>) {
        let now = self.env.now_mono();
        let mut touched = self.touched.borrow_mut();
        for section in reader.into_iter().flat_map(|reader| reader.sections()) {
            touched.insert((section.key.partition, section.key.day), now);
        }
    }

    async fn write_sections(
        &self,
        frozen: &Frozen,
        min_seq: u64,
        max_seq: u64,
    ) -> Result<Option<FileMeta>, Trouble> {
        let dropped =
            |partition: &PartitionId| self.dropped_partitions.borrow().contains(partition);
        let sections: Vec<_> =
            frozen.sections().into_iter().filter(|(partition, _)| !dropped(partition)).collect();
        if sections.is_empty() || frozen.rows() == 0 {
            return Ok(None);
        }
        let file_id = self.next_file_id();
        let path = names::temporary(&self.dir, file_id);
        let written = async {
            let mut writer = Writer::create(&self.env, &path, self.ident(file_id)).await?;
            for (partition, day) in sections {
                let key = SectionKey { partition, day, min_seq, max_seq };
                let Some(mut cursor) = frozen.section(partition, day) else { continue };
                writer.begin_section(key, Effort::Light).await?;
                while let Some(block) = cursor.next(STEP_ROWS) {
                    if block.rows() > 0 {
                        writer.push(&block).await?;
                    }
                    self.env.yield_now().await;
                }
            }
            writer.finish().await
        };
        let written: Result<FileMeta, SegmentError> = written.await;
        let meta = self.named(written, &path, &names::segment(&self.dir, file_id)).await?;
        Ok(Some(meta))
    }

    /// A file gets its name when it is whole, so that what a crash leaves half written is a
    /// temporary. One that was not written, or cannot be named, is removed.
    pub(super) async fn named<T>(
        &self,
        written: Result<T, impl Into<Trouble>>,
        from: &Path,
        to: &Path,
    ) -> Result<T, Trouble> {
        let named = match written {
            Ok(made) => {
                self.env.disk().rename(from, to).await.map(|()| made).map_err(Trouble::from)
            }
            Err(error) => Err(error.into()),
        };
        if named.is_err() {
            let _ = self.env.disk().remove(from).await;
        }
        named
    }

    /// Writes an index file; after an error it is not there, and what it should hold has to be put
    /// back.
    pub(super) async fn write_index(&self, task: DeltaTask) -> Result<u64, Trouble> {
        let file_id = self.next_file_id();
        let path = names::temporary(&self.dir, file_id);
        let ident = self.ident(file_id);
        let written = index_file::write(&self.env, &path, ident, &self.index, task).await;
        self.named(written, &path, &names::index(&self.dir, file_id)).await?;
        Ok(file_id)
    }

    /// Makes the names of new files durable, and opens the segment among them.
    pub(super) async fn open_written(
        &self,
        segment: Option<u64>,
    ) -> Result<Option<Rc<Reader<E>>>, Trouble> {
        self.env.disk().sync_dir(&self.dir).await?;
        let Some(file_id) = segment else { return Ok(None) };
        let path = names::segment(&self.dir, file_id);
        let ident = self.ident(file_id);
        Ok(Some(Reader::open(&self.env, &path, ident, self.cache.clone()).await?))
    }
}

/// Tells the server's log of work that failed and is done again.
pub(super) fn log_failure(task: &str, trouble: &Trouble) {
    logging::log(Level::Error, "shard", || {
        format!("{task} failed and will be tried again: {trouble}")
    });
}
