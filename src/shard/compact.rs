//! Compaction: sections of one (partition, day) become one; what is overwritten, deleted, expired
//! or of dropped things does not come along; dead files are unlinked after their last reader.
//!
//! Which: eight light sections are merged lightly; a day that got nothing for `compact_idle` is
//! packed (`Effort::Pco`), so a value goes through the heavy codec once or twice. Rows that come
//! late for a packed day wait until they are an eighth of its bytes, or a day old. Only sections
//! adjacent in sequence are merged, so "the later write wins" stays a comparison of ranges.

use super::edit::Trouble;
use super::flush::log_failure;
use super::merge::{Merger, drop_expired};
use super::segment::{FileMeta, Reader, SectionKey, SegmentError, Select, Writer};
use super::source::{Pass, passes};
use super::tombstone::Tombstones;
use super::version::Section;
use super::{Inner, Shard, manifest, names};
use crate::codec::chunk::Effort;
use crate::env::{Disk, Env};
use crate::model::{Bitmap, PartitionId};
use crate::shard::block::Block;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Light sections of a day that are merged into one.
const LIGHT_SECTIONS: usize = 8;
/// Index files that are merged into one.
const INDEX_FILES: usize = 16;
/// Late rows reopen a packed day when they are this share of its bytes.
const LATE_SHARE: u64 = 8;
/// … or when the last of them is this old (ns).
const LATE_AGE_NS: u64 = 86_400_000_000_000;
/// Rows merged between two turns of other tasks.
const STEP_ROWS: usize = 8192;
/// Days looked at between two turns of other tasks.
const STEP_DAYS: usize = 512;
/// How often days are looked at.
const TICK: Duration = Duration::from_secs(1);

/// A dead file, unlinked when nobody else holds its reader.
pub(super) enum Doomed<E: Env> {
    /// Without a reader when no section of it was in sight any more.
    Segment(u64, Option<Rc<Reader<E>>>),
    /// Read at the start only.
    Index(u64),
}

impl<E: Env> Doomed<E> {
    fn is_free(&self) -> bool {
        match self {
            Doomed::Segment(_, Some(reader)) => Rc::strong_count(reader) == 1,
            Doomed::Segment(_, None) | Doomed::Index(_) => true,
        }
    }

    /// The same file, closed.
    fn without_reader(self) -> Doomed<E> {
        match self {
            Doomed::Segment(file, _) => Doomed::Segment(file, None),
            Doomed::Index(file) => Doomed::Index(file),
        }
    }

    fn file(&self) -> u64 {
        match self {
            Doomed::Segment(file, _) | Doomed::Index(file) => *file,
        }
    }

    fn path(&self, dir: &Path) -> PathBuf {
        match self {
            Doomed::Segment(file, _) => names::segment(dir, *file),
            Doomed::Index(file) => names::index(dir, *file),
        }
    }
}

/// Sections to be merged into one.
struct Job<E: Env> {
    place: (PartitionId, i32),
    sections: Vec<Section<E>>,
    effort: Effort,
    /// The day's oldest section is among them: nothing that an expired row hides is left out.
    whole: bool,
}

impl<E: Env> Job<E> {
    /// All of a day is packed for good.
    fn packing(place: (PartitionId, i32), sections: &[Section<E>]) -> Job<E> {
        Job { place, sections: sections.to_vec(), effort: Effort::Pco, whole: true }
    }
}

impl<E: Env> Shard<E> {
    /// Packs every day now, however busy; comes back when that is done.
    pub async fn compact(&self) -> Result<(), String> {
        self.inner.pack_all().await.map_err(|trouble| trouble.to_string())
    }
}

impl<E: Env> Inner<E> {
    /// Runs for the shard's life.
    pub(super) async fn compact_loop(self: Rc<Self>) {
        while !self.has_failed() {
            self.env.sleep(TICK).await;
            if let Err(trouble) = self.compact_once().await {
                self.counters.borrow_mut().failed_tasks += 1;
                log_failure("compaction", &trouble);
                self.env.sleep(10 * TICK).await;
            }
        }
    }

    async fn pack_all(&self) -> Result<(), Trouble> {
        let places: Vec<_> = self.version.borrow().sections.keys().copied().collect();
        for place in places {
            let job = self.job_at(place, true);
            if let Some(job) = job {
                self.run_job(job).await?;
            }
        }
        self.unlink_doomed().await
    }

    async fn compact_once(&self) -> Result<(), Trouble> {
        self.unlink_doomed().await?;
        self.forget_dropped().await?;
        if self.manifest.borrow().indexes.len() > INDEX_FILES {
            self.merge_indexes().await?;
        }
        let places: Vec<_> = self.version.borrow().sections.keys().copied().collect();
        // A day that cannot be read must not keep the others from being merged.
        let mut outcome = Ok(());
        for (number, place) in places.into_iter().enumerate() {
            if let Some(job) = self.job_at(place, false) {
                outcome = outcome.and(self.run_job(job).await);
            }
            if number % STEP_DAYS == STEP_DAYS - 1 {
                self.env.yield_now().await;
            }
        }
        outcome
    }

    /// What was under way when a partition was dropped may have brought it back.
    async fn forget_dropped(&self) -> Result<(), Trouble> {
        let back: Vec<PartitionId> = {
            let (version, dropped) = (self.version.borrow(), self.dropped_partitions.borrow());
            self.counters.borrow_mut().written.retain(|id, _| !dropped.contains(id));
            self.touched.borrow_mut().retain(|place, _| version.sections.contains_key(place));
            version.sections.keys().map(|(id, _)| *id).filter(|id| dropped.contains(id)).collect()
        };
        self.drop_sections(&back).await
    }

    /// What there is to do for one day; `now`: pack it whatever its age.
    fn job_at(&self, place: (PartitionId, i32), now: bool) -> Option<Job<E>> {
        if self.compacting.get() {
            return None;
        }
        let version = self.version.borrow();
        let sections = version.sections.get(&place)?;
        let manifest = self.manifest.borrow();
        let is_packed =
            |section: &Section<E>| manifest.packed.contains(&section.reader.ident().file_id);
        let light = sections.iter().position(|section| !is_packed(section));
        let touched = self.touched.borrow().get(&place).copied().unwrap_or(0);
        let age_ns = self.env.now_mono().saturating_sub(touched);
        let quiet = u128::from(age_ns) >= self.options.compact_idle.as_nanos();
        let Some(first_light) = light else {
            let several = sections.len() > 1 && (now || quiet);
            return several.then(|| Job::packing(place, sections));
        };
        let bytes = |all: &[Section<E>]| all.iter().map(|s| s.meta.bytes).sum::<u64>();
        let (packed, late) = sections.split_at_checked(first_light)?;
        let worth = bytes(late) * LATE_SHARE >= bytes(packed) || age_ns >= LATE_AGE_NS;
        if now || (quiet && worth) {
            return Some(Job::packing(place, sections));
        }
        let many = late.len() >= LIGHT_SECTIONS;
        let whole = packed.is_empty();
        many.then(|| Job { place, sections: late.to_vec(), effort: Effort::Light, whole })
    }

    async fn run_job(&self, job: Job<E>) -> Result<(), Trouble> {
        if self.compacting.replace(true) {
            return Ok(());
        }
        let done = self.merge_sections(&job).await;
        self.compacting.set(false);
        done
    }

    async fn merge_sections(&self, job: &Job<E>) -> Result<(), Trouble> {
        let needed = job.sections.iter().map(|s| s.meta.bytes).sum::<u64>();
        let free = self.env.disk().free_bytes(&self.dir).await?;
        if free < needed.saturating_add(self.options.free_bytes_min) {
            return Ok(());
        }
        let file_id = self.next_file_id();
        let path = names::temporary(&self.dir, file_id);
        let added = match self.write_merged(job, file_id, &path).await {
            Ok(None) => None,
            written => {
                let to = names::segment(&self.dir, file_id);
                self.named(written, &path, &to).await?
            }
        };
        let segment = added.as_ref().map(|meta| meta.file_id);
        let done = async {
            let reader = self.open_written(segment).await?;
            // A drop meanwhile leaves nothing to replace.
            if self.dropped_partitions.borrow().contains(&job.place.0) {
                return Ok(false);
            }
            self.replace_sections(job, added, reader).await.map(|()| true)
        };
        let done = done.await;
        if done != Ok(true) {
            self.take_back(segment, None).await;
        }
        done.map(drop)
    }

    /// The merged section takes the place of the job's, in the manifest and for readers.
    async fn replace_sections(
        &self,
        job: &Job<E>,
        added: Option<FileMeta>,
        reader: Option<Rc<Reader<E>>>,
    ) -> Result<(), Trouble> {
        let removed: Vec<(u64, SectionKey)> =
            job.sections.iter().map(|s| (s.reader.ident().file_id, s.meta.key)).collect();
        let bytes = added.as_ref().map_or(0, |meta| meta.bytes);
        let added_seq = added.iter().flat_map(|meta| &meta.sections).map(|s| s.key.max_seq).min();
        self.edit(|| {
            let mut tombstones = Vec::new();
            self.needed_tombstones(&removed, added_seq).write(&mut tombstones);
            let packed = job.effort == Effort::Pco;
            manifest::Edit::Compact { added, packed, removed: removed.clone(), tombstones }
        })
        .await?;
        let needed = self.needed_tombstones(&removed, added_seq);
        self.install(|version| {
            version.tombstones = Rc::new(needed);
            if let Some(reader) = &reader {
                version.add_file(reader, |_| true);
            }
        });
        self.retire_sections(&removed);
        let mut counters = self.counters.borrow_mut();
        counters.compactions += 1;
        counters.compaction_bytes += bytes;
        Ok(())
    }

    /// Deletes that a source left after a compaction must still obey.
    fn needed_tombstones(
        &self,
        removed: &[(u64, SectionKey)],
        added_seq: Option<u64>,
    ) -> Tombstones {
        let version = self.version.borrow();
        let left = version.sections.values().flatten().filter(|section| {
            !removed.contains(&(section.reader.ident().file_id, section.meta.key))
        });
        let oldest = left
            .map(|section| section.meta.key.max_seq)
            .chain(added_seq)
            .chain(version.frozen.as_ref().map(|_| self.frozen_seq.get()))
            .min()
            .unwrap_or(u64::MAX);
        let mut tombstones = Tombstones::clone(&version.tombstones);
        tombstones.retain_newer_than(oldest);
        tombstones
    }

    async fn write_merged(
        &self,
        job: &Job<E>,
        file_id: u64,
        path: &Path,
    ) -> Result<Option<FileMeta>, SegmentError> {
        let mut inputs = Vec::new();
        for section in &job.sections {
            inputs.extend(passes(section, &Select::all()).await?.into_iter().map(Pass::past_cache));
        }
        let mut merger = Merger::new(&inputs.iter().map(|pass| pass.max_seq).collect::<Vec<_>>());
        let keys = || job.sections.iter().map(|section| section.meta.key);
        let key = SectionKey {
            partition: job.place.0,
            day: job.place.1,
            min_seq: keys().map(|key| key.min_seq).min().unwrap_or(0),
            max_seq: keys().map(|key| key.max_seq).max().unwrap_or(0),
        };
        let mut writer = None;
        while !merger.is_done() {
            while let Some(input) = merger.wants() {
                match self.next_block(&mut inputs, input).await? {
                    Some(block) => merger.push(input, block),
                    None => merger.finish(input),
                }
            }
            let Some(mut block) = merger.next(STEP_ROWS) else { continue };
            if job.whole {
                drop_expired(&mut block, self.env.now_wall());
            }
            if block.rows() > 0 {
                if writer.is_none() {
                    let mut fresh = Writer::create(&self.env, path, self.ident(file_id)).await?;
                    fresh.begin_section(key, job.effort).await?;
                    writer = Some(fresh);
                }
                if let Some(writer) = &mut writer {
                    writer.push(&block).await?;
                }
            }
            self.env.yield_now().await;
        }
        match writer {
            Some(writer) => writer.finish().await.map(Some),
            None => Ok(None),
        }
    }

    /// The next Block of a pass, without what deletes and drops took.
    async fn next_block(
        &self,
        inputs: &mut [Pass<E>],
        input: usize,
    ) -> Result<Option<Block>, SegmentError> {
        let Some(pass) = inputs.get_mut(input) else { return Ok(None) };
        let Some(mut block) = pass.next().await? else { return Ok(None) };
        let tombstones = self.version.borrow().tombstones.clone();
        tombstones.apply(pass.max_seq, &mut block);
        self.drop_dead_series(&mut block);
        Ok(Some(block))
    }

    fn drop_dead_series(&self, block: &mut Block) {
        let index = self.index.borrow();
        if block.runs.iter().all(|run| index.is_live(run.series)) {
            return;
        }
        let mut keep = Bitmap::filled(block.rows(), true);
        for run in block.runs.iter().filter(|run| !index.is_live(run.series)) {
            run.range().for_each(|row| keep.set(row, false));
        }
        drop(index);
        block.retain(&keep);
    }

    /// Takes sections out of what readers see; files without any are unlinked after their readers.
    pub(super) fn retire_sections(&self, removed: &[(u64, SectionKey)]) {
        let dead: Vec<Doomed<E>> = {
            let (version, manifest) = (self.version.borrow(), self.manifest.borrow());
            let mut all: Vec<_> = removed.iter().map(|(file, _)| *file).collect();
            all.sort_unstable();
            all.dedup();
            let reader_of = |file: u64| {
                let mut sections = version.sections.values().flatten();
                sections.find(|s| s.reader.ident().file_id == file).map(|s| s.reader.clone())
            };
            let gone = all.into_iter().filter(|file| manifest.removed.contains(file));
            gone.map(|file| Doomed::Segment(file, reader_of(file))).collect()
        };
        self.install(|version| version.remove(removed));
        self.doomed.borrow_mut().extend(dead);
    }

    async fn unlink_doomed(&self) -> Result<(), Trouble> {
        let all = std::mem::take(&mut *self.doomed.borrow_mut());
        let (free, held): (Vec<_>, Vec<_>) = all.into_iter().partition(Doomed::is_free);
        self.doomed.borrow_mut().extend(held);
        if free.is_empty() {
            return Ok(());
        }
        let mut gone = Vec::new();
        let mut outcome = Ok(());
        for doomed in free {
            let doomed = doomed.without_reader();
            self.cache.forget_file(doomed.file());
            match self.env.disk().remove(&doomed.path(&self.dir)).await {
                Ok(()) => gone.push(doomed),
                // An earlier try removed it and did not come to say so.
                Err(error) if error.kind() == ErrorKind::NotFound => gone.push(doomed),
                Err(error) => {
                    self.doomed.borrow_mut().push(doomed);
                    outcome = Err(error.into());
                }
            }
        }
        if let Err(trouble) = self.forget(gone.iter().map(Doomed::file).collect()).await {
            self.doomed.borrow_mut().extend(gone);
            return Err(trouble);
        }
        outcome
    }

    /// Says durably that these files are gone.
    async fn forget(&self, files: Vec<u64>) -> Result<(), Trouble> {
        self.env.disk().sync_dir(&self.dir).await?;
        if files.is_empty() { Ok(()) } else { self.edit(|| manifest::Edit::Forget { files }).await }
    }

    /// Replaces all index files by one that holds every living series.
    async fn merge_indexes(&self) -> Result<(), Trouble> {
        let merged = self.manifest.borrow().indexes.clone();
        let task = self.index.borrow().begin_base();
        let base = self.write_index(task).await?;
        let done = async {
            self.env.disk().sync_dir(&self.dir).await?;
            self.edit(|| manifest::Edit::MergeIndex { base, merged: merged.clone() }).await
        };
        if let Err(trouble) = done.await {
            self.take_back(None, Some(base)).await;
            return Err(trouble);
        }
        self.doomed.borrow_mut().extend(merged.into_iter().map(Doomed::Index));
        Ok(())
    }
}
