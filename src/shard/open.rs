//! Brings a shard back from its files, and starts its tasks.
//!
//! ```text
//! manifest ▸ tidy the folder ▸ open segments (tails only) ▸ load index files ▸ replay the log ▸ serve
//! ```
//! Deleted at the start: temporaries, files the manifest names as removed, and file ids at or above
//! its next id (made, never added). A file that is missing refuses the start; one that nothing
//! names goes to `quarantine/` and is reported.

use super::cache::BlockCache;
use super::edit::Trouble;
use super::head::Head;
use super::index::Index;
use super::log::{self, Identity, LogError, Record, Recovered};
use super::manifest::{self, State};
use super::names::Kind;
use super::segment::{FileIdent, Reader, SegmentError};
use super::store::Store;
use super::tombstone::{Tombstone, Tombstones};
use super::version::Version;
use super::{Counters, Inner, Options, Shard, index_file, journal, names};
use crate::env::notify::{Gate, Notify};
use crate::env::{Disk, Env, Queue, Task};
use crate::model::{Batch, ShardId};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Why a shard does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("{}: {what}", .file.display())]
    Manifest { file: PathBuf, what: String },
    #[error("{} is named by the manifest and is not there", .file.display())]
    Missing { file: PathBuf },
    #[error(transparent)]
    Segment(#[from] SegmentError),
    #[error(transparent)]
    Index(#[from] index_file::IndexFileError),
}

/// An open shard, and what the start met.
pub struct Opened<E: Env> {
    pub shard: Shard<E>,
    pub recovered: Recovered,
    /// Names moved to quarantine.
    pub quarantined: Vec<String>,
}

/// What the log's replay fills.
struct Replayed {
    head: Head,
    index: Index,
    tombstones: Tombstones,
}

impl<E: Env> Shard<E> {
    /// Opens shard `id` of a store in its epoch folder, or makes it when it is not there.
    pub async fn open(
        env: &E,
        epoch_dir: &Path,
        store: &Store,
        id: ShardId,
        options: Options,
    ) -> Result<Opened<E>, OpenError> {
        let dir = names::shard_dir(epoch_dir, id);
        create_dirs(env, epoch_dir, &dir).await?;
        let identity = Identity { store: store.id, shard: id, epoch: store.epoch };
        let (journal, state) = open_manifest(env, &dir, identity).await?;
        let present = check_living(env, &dir, &state).await?;
        let files = Files { env, dir: &dir, store: store.id, shard: id.0 };
        let cache = Rc::new(BlockCache::new(options.cache_bytes));
        let mut version = files.open_segments(&state, &cache).await?;
        let mut replayed = Replayed {
            head: Head::new(),
            index: files.load_index(&state).await?,
            tombstones: read_tombstones(&dir, &state)?,
        };
        let log_dir = names::log_dir(&dir);
        let origin = log::Origin {
            dir: &log_dir,
            identity,
            from_seq: state.replay_from,
            manifest_edit: journal.last_edit(),
        };
        let apply = |seq, record| replayed.apply(seq, record);
        let (log, recovered) = log::recover(env.clone(), origin, options.log, apply).await?;
        // Only now is it certain that the manifest is not behind: nothing was removed before.
        let mut quarantined = tidy(env, &dir, &state, present).await?;
        quarantine(env, &log_dir, &dir, &recovered.unknown).await?;
        quarantined.extend(recovered.unknown.iter().cloned());
        version.tombstones = Rc::new(replayed.tombstones);
        let parts = Parts {
            place: (dir, id, store.id),
            options,
            index: replayed.index,
            head: replayed.head,
            version,
            cache,
            log,
            manifest: (journal, state),
            applied_seq: recovered.next_seq.max(1) - 1,
        };
        let inner = Rc::new(parts.assemble(env));
        // What replaces lost records must not wait in a log whose damage stays on disk.
        inner.flush_wanted.set(!recovered.lost.is_empty());
        inner.forget_removed().await?;
        inner.start();
        Ok(Opened { shard: Shard { inner }, recovered, quarantined })
    }
}

/// The files of a shard that is being opened.
struct Files<'a, E: Env> {
    env: &'a E,
    dir: &'a Path,
    store: u64,
    shard: u32,
}

impl<E: Env> Files<'_, E> {
    fn ident(&self, file_id: u64) -> FileIdent {
        FileIdent { store: self.store, shard: self.shard, file_id }
    }

    async fn open_segments(
        &self,
        state: &State,
        cache: &Rc<BlockCache>,
    ) -> Result<Version<E>, OpenError> {
        let mut version = Version::default();
        for (file_id, meta) in &state.files {
            let path = names::segment(self.dir, *file_id);
            let ident = self.ident(*file_id);
            let reader = Reader::open(self.env, &path, ident, cache.clone()).await?;
            version.add_file(&reader, |section| {
                meta.sections.iter().any(|living| living.key == section.key)
            });
        }
        Ok(version)
    }

    async fn load_index(&self, state: &State) -> Result<Index, OpenError> {
        let mut index = Index::new();
        for file_id in &state.indexes {
            let path = names::index(self.dir, *file_id);
            index_file::load(self.env, &path, self.ident(*file_id), &mut index).await?;
        }
        Ok(index)
    }
}

/// What an open shard is made of.
struct Parts<E: Env> {
    place: (PathBuf, ShardId, u64),
    options: Options,
    index: Index,
    head: Head,
    version: Version<E>,
    cache: Rc<BlockCache>,
    log: log::Writer<E>,
    manifest: (journal::Journal<E>, State),
    applied_seq: u64,
}

impl<E: Env> Parts<E> {
    fn assemble(self, env: &E) -> Inner<E> {
        let (dir, id, store) = self.place;
        let (journal, state) = self.manifest;
        let has_rows = self.head.rows() > 0;
        Inner {
            env: env.clone(),
            dir,
            id,
            store,
            options: self.options,
            head_since: Cell::new(if has_rows { env.now_mono().max(1) } else { 0 }),
            index: RefCell::new(self.index),
            head: RefCell::new(self.head),
            version: RefCell::new(Rc::new(self.version)),
            cache: self.cache,
            log: self.log,
            edit: Cell::new(journal.last_edit()),
            manifest: RefCell::new(state),
            journal: RefCell::new(Some(journal)),
            scans: RefCell::default(),
            editing: Gate::default(),
            queue: RefCell::new(VecDeque::new()),
            queued: Notify::default(),
            records: RefCell::default(),
            owed: RefCell::default(),
            appended: RefCell::default(),
            watches: Cell::new(0),
            applied_seq: Cell::new(self.applied_seq),
            frozen_seq: Cell::new(0),
            frozen: Notify::default(),
            flushed: Notify::default(),
            flush_wanted: Cell::new(false),
            dropped_partitions: RefCell::default(),
            dropped_measurements: RefCell::default(),
            doomed: RefCell::default(),
            touched: RefCell::default(),
            compacting: Cell::new(false),
            disk_full: Cell::new(false),
            no_room: Cell::new(false),
            roomless_flushes: Cell::new(0),
            failure: RefCell::new(None),
            failed: Notify::default(),
            counters: RefCell::new(Counters::new()),
        }
    }
}

impl<E: Env> Inner<E> {
    /// The files that the manifest names as removed are gone now: `tidy` saw to it.
    async fn forget_removed(&self) -> Result<(), OpenError> {
        let files: Vec<u64> = self.manifest.borrow().removed.iter().copied().collect();
        if files.is_empty() {
            return Ok(());
        }
        match self.edit(|| manifest::Edit::Forget { files }).await {
            // The next start says so.
            Ok(()) | Err(Trouble::Full) => Ok(()),
            Err(Trouble::Failed(what)) => {
                Err(OpenError::Manifest { file: self.dir.join("manifest"), what })
            }
        }
    }

    fn start(self: &Rc<Self>) {
        self.env.spawn(Queue::Ingest, self.clone().commit_loop()).detach();
        self.env.spawn(Queue::Ingest, self.clone().watch_log()).detach();
        self.env.spawn(Queue::Background, self.clone().flush_loop()).detach();
        self.env.spawn(Queue::Background, self.clone().compact_loop()).detach();
        self.freeze_if_due();
    }
}

impl Replayed {
    fn apply(&mut self, seq: u64, record: Record) -> Result<(), String> {
        match record {
            Record::DefineSeries(definitions) => {
                for one in definitions {
                    self.index
                        .define(one.id, one.db, one.measurement, one.key.as_bytes())
                        .map_err(|error| error.to_string())?;
                }
            }
            Record::Rows(rows) => {
                let batch = Batch {
                    partition: rows.partition,
                    series: Vec::new(),
                    times: rows.times,
                    columns: rows.columns,
                };
                let measurement_of = |id| self.index.measurement(id).unwrap_or_default();
                self.head.append(seq, &batch, &rows.series, &measurement_of);
            }
            Record::Delete { series, range } => {
                let series = series.into_iter().map(|id| id.0).collect();
                self.head.delete(seq, &series, range);
                // A flush after the delete has put it into the manifest, before its record was
                // released.
                if self.tombstones.iter().all(|known| known.seq != seq) {
                    self.tombstones.push(Tombstone { seq, series, range });
                }
            }
            Record::Retire(series) => {
                self.index.retire(&series.into_iter().map(|id| id.0).collect());
            }
        }
        Ok(())
    }
}

async fn create_dirs<E: Env>(env: &E, epoch_dir: &Path, dir: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Io { path: dir.to_owned(), source };
    env.disk().create_dir(dir).await.map_err(failed)?;
    env.disk().sync_dir(epoch_dir).await.map_err(failed)
}

async fn open_manifest<E: Env>(
    env: &E,
    dir: &Path,
    identity: Identity,
) -> Result<(journal::Journal<E>, State), OpenError> {
    let wrong = |what: &str| OpenError::Manifest {
        file: dir.join("manifest"),
        what: format!("{what} is whole, yet not what this version writes"),
    };
    let present = env.disk().list(dir).await;
    let present = present.map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
    let has_manifest = present.iter().any(|name| name.starts_with("manifest-"));
    if !has_manifest && present.iter().any(|name| is_stored(name)) {
        let what = "is missing although there are segments".to_owned();
        return Err(OpenError::Manifest { file: dir.join("manifest"), what });
    }
    let (journal, snapshot, edits) = journal::open(env.clone(), dir, "manifest", identity).await?;
    let mut state = match snapshot {
        Some(bytes) if !bytes.is_empty() => {
            manifest::decode_state(&bytes).ok_or_else(|| wrong("the snapshot"))?
        }
        _ => State { next_file_id: 1, ..State::default() },
    };
    for bytes in &edits {
        state.apply(&manifest::decode_edit(bytes).ok_or_else(|| wrong("an edit"))?);
    }
    Ok((journal, state))
}

fn read_tombstones(dir: &Path, state: &State) -> Result<Tombstones, OpenError> {
    if state.tombstones.is_empty() {
        return Ok(Tombstones::default());
    }
    Tombstones::read(&state.tombstones).map_err(|error| OpenError::Manifest {
        file: dir.join("manifest"),
        what: error.to_string(),
    })
}

/// Whether a name is that of a finished file, which some manifest must have named.
fn is_stored(name: &str) -> bool {
    matches!(names::kind_of(name), Kind::Segment(_))
}

/// The files that must be there.
fn living(dir: &Path, state: &State) -> Vec<PathBuf> {
    let segments = state.files.keys().map(|id| names::segment(dir, *id));
    segments.chain(state.indexes.iter().map(|id| names::index(dir, *id))).collect()
}

/// Checks that what lives is there; gives the names in the folder.
async fn check_living<E: Env>(
    env: &E,
    dir: &Path,
    state: &State,
) -> Result<Vec<String>, OpenError> {
    let failed = |source| OpenError::Io { path: dir.to_owned(), source };
    let present = env.disk().list(dir).await.map_err(failed)?;
    let is_there = |path: &PathBuf| present.iter().any(|name| dir.join(name) == *path);
    match living(dir, state).into_iter().find(|path| !is_there(path)) {
        Some(file) => Err(OpenError::Missing { file }),
        None => Ok(present),
    }
}

/// Removes what is certainly dead, and gives the names of what nothing names, which it moved to
/// quarantine.
async fn tidy<E: Env>(
    env: &E,
    dir: &Path,
    state: &State,
    present: Vec<String>,
) -> Result<Vec<String>, OpenError> {
    let failed = |source| OpenError::Io { path: dir.to_owned(), source };
    let living = living(dir, state);
    let mut unknown = Vec::new();
    for name in present {
        let path = dir.join(&name);
        let dead = match names::kind_of(&name) {
            Kind::Temporary => true,
            Kind::Segment(id) | Kind::Index(id) => {
                state.removed.contains(&id) || id >= state.next_file_id
            }
            Kind::Own => continue,
            Kind::Unknown => false,
        };
        if living.contains(&path) {
            continue;
        }
        if dead {
            env.disk().remove(&path).await.map_err(failed)?;
        } else {
            unknown.push(name);
        }
    }
    quarantine(env, dir, dir, &unknown).await?;
    env.disk().sync_dir(dir).await.map_err(failed)?;
    Ok(unknown)
}

async fn quarantine<E: Env>(
    env: &E,
    from: &Path,
    dir: &Path,
    found: &[String],
) -> Result<(), OpenError> {
    if found.is_empty() {
        return Ok(());
    }
    let to = names::quarantine_dir(dir);
    let failed = |source| OpenError::Io { path: to.clone(), source };
    env.disk().create_dir(&to).await.map_err(failed)?;
    for name in found {
        env.disk().rename(&from.join(name), &to.join(name)).await.map_err(failed)?;
    }
    env.disk().sync_dir(&to).await.map_err(failed)
}
