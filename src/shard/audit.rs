//! Looking at a shard's files without serving it: what is in them, and what of it is damaged.
//!
//! In: a shard's folder. Out: figures of its files, its index, and every fault with file and
//! offset. Nothing is changed. Segments are read whole when every checksum is wanted; manifest,
//! index files and log are always checked as they are read.

use super::cache::BlockCache;
use super::index::Index;
use super::index_file::{self, IndexFileError};
use super::log::{self, Identity, LogError, Origin, Record};
use super::manifest::{self, State};
use super::names::{self, Kind};
use super::segment::{FileIdent, FileMeta, Reader, SegmentError};
use super::store::Store;
use super::{journal, log::Recovered};
use crate::env::{Disk, Env};
use crate::model::ShardId;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Bytes of pieces kept while a segment is read; each is read once.
const CACHE_BYTES: usize = 4 << 20;

/// Something that is not what was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    pub file: PathBuf,
    pub offset: Option<u64>,
    pub what: String,
}

/// What a shard's files hold.
pub struct Audit {
    pub id: ShardId,
    pub faults: Vec<Fault>,
    /// Living segment files, and whether they are packed for good.
    pub segments: Vec<(FileMeta, bool)>,
    /// Living index files.
    pub indexes: Vec<u64>,
    /// The series of the index files and of the log.
    pub index: Index,
    /// The first log record that is in no segment.
    pub replay_from: u64,
    /// What the log holds; `None` when it cannot be read.
    pub log: Option<Recovered>,
    /// Rows of the log that are in no segment.
    pub log_rows: u64,
    /// Files that nothing names.
    pub unknown: Vec<String>,
}

/// Looks at shard `id` of a store; `whole` reads every byte of its segments.
pub async fn audit<E: Env>(
    env: &E,
    epoch_dir: &Path,
    store: &Store,
    id: ShardId,
    whole: bool,
) -> Audit {
    let dir = names::shard_dir(epoch_dir, id);
    let mut audit = Audit {
        id,
        faults: Vec::new(),
        segments: Vec::new(),
        indexes: Vec::new(),
        index: Index::new(),
        replay_from: 0,
        log: None,
        log_rows: 0,
        unknown: Vec::new(),
    };
    let identity = Identity { store: store.id, shard: id, epoch: store.epoch };
    let (state, edits) = match read_manifest(env, &dir, identity).await {
        Ok(found) => found,
        Err(fault) => {
            audit.faults.push(fault);
            return audit;
        }
    };
    let ident = |file_id| FileIdent { store: store.id, shard: id.0, file_id };
    for (file_id, meta) in &state.files {
        audit.segment(env, &names::segment(&dir, *file_id), ident(*file_id), whole).await;
        audit.segments.push((meta.clone(), state.packed.contains(file_id)));
    }
    for file_id in &state.indexes {
        let path = names::index(&dir, *file_id);
        if let Err(error) = index_file::load(env, &path, ident(*file_id), &mut audit.index).await {
            audit.faults.push(index_fault(error));
        }
        audit.indexes.push(*file_id);
    }
    audit.replay_from = state.replay_from;
    audit.read_log(env, &dir, identity, edits).await;
    audit.find_unknown(env, &dir, &state).await;
    audit
}

/// The manifest and the number of its last edit.
async fn read_manifest<E: Env>(
    env: &E,
    dir: &Path,
    identity: Identity,
) -> Result<(State, u64), Fault> {
    let read = journal::look(env, dir, "manifest", identity).await.map_err(log_fault)?;
    let wrong = |what: &str| Fault {
        file: dir.join("manifest"),
        offset: None,
        what: format!("{what} cannot be read"),
    };
    let Some((snapshot, edits, last)) = read else { return Err(wrong("the manifest")) };
    let mut state = match snapshot {
        Some(bytes) if !bytes.is_empty() => {
            manifest::decode_state(&bytes).ok_or_else(|| wrong("the snapshot"))?
        }
        _ => State { next_file_id: 1, ..State::default() },
    };
    for edit in &edits {
        state.apply(&manifest::decode_edit(edit).ok_or_else(|| wrong("an edit"))?);
    }
    Ok((state, last))
}

impl Audit {
    async fn segment<E: Env>(&mut self, env: &E, path: &Path, ident: FileIdent, whole: bool) {
        let cache = Rc::new(BlockCache::new(CACHE_BYTES));
        match Reader::open(env, path, ident, cache).await {
            Ok(reader) if whole => {
                let damages = reader.verify().await.into_iter();
                self.faults.extend(damages.map(|damage| Fault {
                    file: path.to_owned(),
                    offset: Some(damage.offset),
                    what: damage.what,
                }));
            }
            Ok(_) => {}
            Err(error) => self.faults.push(segment_fault(error)),
        }
    }

    async fn read_log<E: Env>(&mut self, env: &E, dir: &Path, identity: Identity, edits: u64) {
        let log_dir = names::log_dir(dir);
        let origin =
            Origin { dir: &log_dir, identity, from_seq: self.replay_from, manifest_edit: edits };
        let (mut rows, mut refused) = (0, 0);
        let index = &mut self.index;
        let apply = |_, record| {
            match record {
                Record::DefineSeries(definitions) => {
                    for one in definitions {
                        let key = one.key.as_bytes();
                        let defined = index.define(one.id, one.db, one.measurement, key);
                        refused += u64::from(defined.is_err());
                    }
                }
                Record::Rows(found) => rows += found.times.len() as u64,
                Record::Retire(series) => {
                    index.retire(&series.into_iter().map(|id| id.0).collect());
                }
                Record::Delete { .. } => {}
            }
            Ok(())
        };
        match log::check(env, origin, apply).await {
            Ok(found) => {
                for lost in &found.lost {
                    let last = lost.end_seq.saturating_sub(1);
                    self.faults.push(Fault {
                        file: lost.file.clone(),
                        offset: Some(lost.offset),
                        what: format!("records {} to {last} are lost", lost.first_seq),
                    });
                }
                self.log = Some(found);
            }
            Err(error) => self.faults.push(log_fault(error)),
        }
        if refused > 0 {
            let what = format!("{refused} series of the log do not fit the index");
            self.faults.push(Fault { file: log_dir, offset: None, what });
        }
        self.log_rows = rows;
    }

    async fn find_unknown<E: Env>(&mut self, env: &E, dir: &Path, state: &State) {
        let names = env.disk().list(dir).await.unwrap_or_default();
        let is_known = |name: &String| match names::kind_of(name) {
            Kind::Own | Kind::Temporary => true,
            Kind::Segment(id) => state.files.contains_key(&id) || state.removed.contains(&id),
            Kind::Index(id) => state.indexes.contains(&id) || state.removed.contains(&id),
            Kind::Unknown => false,
        };
        self.unknown = names.into_iter().filter(|name| !is_known(name)).collect();
    }
}

/// A fault of a journal or of the log.
pub fn log_fault(error: LogError) -> Fault {
    match error {
        LogError::Damaged { file, offset, detail } => {
            Fault { file, offset: Some(offset), what: detail }
        }
        LogError::Io { file, source } => Fault { file, offset: None, what: source.to_string() },
        other => Fault { file: PathBuf::new(), offset: None, what: other.to_string() },
    }
}

fn segment_fault(error: SegmentError) -> Fault {
    match error {
        SegmentError::Damaged { file, offset, what } => Fault { file, offset: Some(offset), what },
        SegmentError::Io { file, source } => Fault { file, offset: None, what: source.to_string() },
        other => Fault { file: PathBuf::new(), offset: None, what: other.to_string() },
    }
}

fn index_fault(error: IndexFileError) -> Fault {
    match error {
        IndexFileError::Damaged { file, offset, what } => {
            Fault { file, offset: Some(offset), what }
        }
        IndexFileError::Io { file, source } => {
            Fault { file, offset: None, what: source.to_string() }
        }
    }
}
