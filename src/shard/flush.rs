//! Flush: a full head becomes a segment file, without stopping writes.
//!
//! ```text
//! freeze at S ▸ write segment, write index file ▸ sync both, sync folder ▸ manifest edit (durable)
//!             ▸ swap version ▸ release log files whose last record is ≤ S
//! ```
//! One frozen head at most. A failed write only drops its temporary files and is tried again: the
//! rows are still in the frozen head and in the log.

use super::index::DeltaTask;
use super::segment::{FileMeta, Reader, SectionKey, Writer};
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
/// How often the age of the head is looked at.
const TICK: Duration = Duration::from_secs(1);

impl<E: Env> Shard<E> {
    /// Brings everything that is in the head now to disk as a segment.
    pub async fn flush(&self) -> Result<(), String> {
        let inner = &self.inner;
        let wanted = inner.applied_seq.get();
        inner.flush_wanted.set(true);
        inner.freeze_if_due();
        let done = || {
            let failure = inner.failure.borrow().clone();
            let flushed = inner.manifest.borrow().replay_from > wanted;
            let empty = inner.head.borrow().rows() == 0
                && inner.version.borrow().frozen.is_none()
                && !inner.index.borrow().has_changes();
            failure.map(Err).or((flushed || empty).then_some(Ok(())))
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
            if let Err(reason) = self.flush_frozen().await {
                self.counters.borrow_mut().failed_tasks += 1;
                log_failure("flush", &reason);
                self.env.sleep(TICK).await;
            }
        }
    }

    async fn watch_disk(&self) {
        if let Ok(free) = self.env.disk().free_bytes(&self.dir).await {
            self.disk_full.set(free < self.options.free_bytes_min);
        }
    }

    async fn flush_frozen(&self) -> Result<(), String> {
        let Some(frozen) = self.version.borrow().frozen.clone() else { return Ok(()) };
        let last_seq = self.frozen_seq.get();
        let task = self.index.borrow_mut().begin_delta();
        let mark = task.as_ref().map(|task| task.mark().clone());
        let (file, index, reader) = match self.write_files(&frozen, last_seq, task).await {
            Ok(made) => made,
            Err(reason) => {
                // The definitions are in no file that the manifest will name: the next try owes
                // them.
                if let Some(mark) = mark {
                    self.index.borrow_mut().put_back(mark);
                }
                return Err(reason);
            }
        };
        let bytes = file.as_ref().map_or(0, |meta| meta.bytes);
        self.edit(|| {
            let mut tombstones = Vec::new();
            self.version.borrow().tombstones.write(&mut tombstones);
            manifest::Edit::Flush { replay_from: last_seq + 1, file, index, tombstones }
        })
        .await?;
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
        self.flushed.notify();
        self.freeze_if_due();
        Ok(())
    }

    /// Writes what a flush adds; after an error nothing of it is left in the folder.
    async fn write_files(
        &self,
        frozen: &super::head::Frozen,
        last_seq: u64,
        task: Option<DeltaTask>,
    ) -> Result<Made<E>, String> {
        let first_seq = self.manifest.borrow().replay_from;
        let file = self.write_sections(frozen, first_seq, last_seq).await?;
        let segment = file.as_ref().map(|meta| names::segment(&self.dir, meta.file_id));
        let rest = async {
            let index = match task {
                Some(task) => Some(self.write_index(task).await?),
                None => None,
            };
            let done = async {
                self.env.disk().sync_dir(&self.dir).await.map_err(|error| error.to_string())?;
                match &file {
                    Some(meta) => self.open_segment(meta.file_id).await.map(Some),
                    None => Ok(None),
                }
            };
            let opened = done.await;
            if let (Err(_), Some(id)) = (&opened, index) {
                let _ = self.env.disk().remove(&names::index(&self.dir, id)).await;
            }
            opened.map(|reader| (index, reader))
        };
        match rest.await {
            Ok((index, reader)) => Ok((file, index, reader)),
            Err(reason) => {
                if let Some(path) = segment {
                    let _ = self.env.disk().remove(&path).await;
                }
                Err(reason)
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
        frozen: &super::head::Frozen,
        min_seq: u64,
        max_seq: u64,
    ) -> Result<Option<FileMeta>, String> {
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
        match written.await {
            Ok(meta) => {
                self.name_file(&path, &names::segment(&self.dir, file_id)).await?;
                Ok(Some(meta))
            }
            Err(error) => {
                let _ = self.env.disk().remove(&path).await;
                Err(error.to_string())
            }
        }
    }

    /// A file gets its name when it is whole, so that what a crash leaves half written is a
    /// temporary.
    pub(super) async fn name_file(&self, from: &Path, to: &Path) -> Result<(), String> {
        self.env.disk().rename(from, to).await.map_err(|error| error.to_string())
    }

    pub(super) async fn write_index(&self, task: DeltaTask) -> Result<u64, String> {
        let file_id = self.next_file_id();
        let path = names::temporary(&self.dir, file_id);
        let written =
            index_file::write(&self.env, &path, self.ident(file_id), &self.index, task).await;
        match written {
            Ok(()) => {
                self.name_file(&path, &names::index(&self.dir, file_id)).await?;
                Ok(file_id)
            }
            Err((error, task)) => {
                self.index.borrow_mut().put_back(task.mark().clone());
                let _ = self.env.disk().remove(&path).await;
                Err(error.to_string())
            }
        }
    }

    pub(super) async fn open_segment(&self, file_id: u64) -> Result<Rc<Reader<E>>, String> {
        let path = names::segment(&self.dir, file_id);
        Reader::open(&self.env, &path, self.ident(file_id), self.cache.clone())
            .await
            .map_err(|error| error.to_string())
    }
}

/// Tells the server's log of work that failed and is done again.
pub(super) fn log_failure(task: &str, reason: &str) {
    logging::log(Level::Error, "shard", || {
        format!("{task} failed and will be tried again: {reason}")
    });
}
