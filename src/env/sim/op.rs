//! One disk call of the simulator: its arguments, its time, its effect and its failure.
//!
//! In: what a file or disk handle was asked for. Out: the effect on the storage at the instant the
//! call completes. A sync carries the mark of its issue: what completes later is not covered.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::buffer::Buffer;
use super::faults::Kind;
use super::storage::{FileId, Storage};
use crate::env::Open;
use crate::env::rng::{Rng, mix};

#[derive(Clone)]
pub(super) enum Op {
    Open { path: PathBuf, how: Open },
    Read { id: FileId, offset: u64, len: usize },
    Write { id: FileId, offset: u64, bytes: Arc<[u8]> },
    Sync { id: FileId, mark: u64 },
    Truncate { id: FileId, size: u64 },
    Preallocate { id: FileId, size: u64 },
    Rename { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
    List { dir: PathBuf },
    CreateDir { dir: PathBuf },
    SyncDir { dir: PathBuf, mark: u64 },
}

pub(super) enum Reply {
    Done,
    File(FileId),
    Bytes(Buffer),
    Names(Vec<String>),
}

impl Op {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Op::Open { how: Open::Create, .. } => Kind::Create,
            Op::Open { .. } => Kind::Open,
            Op::Read { .. } => Kind::Read,
            Op::Write { .. } => Kind::Write,
            Op::Sync { .. } => Kind::Sync,
            Op::Truncate { .. } => Kind::Truncate,
            Op::Preallocate { .. } => Kind::Preallocate,
            Op::Rename { .. } => Kind::Rename,
            Op::Remove { .. } => Kind::Remove,
            Op::List { .. } => Kind::List,
            Op::CreateDir { .. } => Kind::CreateDir,
            Op::SyncDir { .. } => Kind::SyncDir,
        }
    }

    /// The call as a number for the hash of all events.
    pub(super) fn fact(&self) -> u64 {
        let path = |path: &PathBuf| xxh3_64(path.as_os_str().as_encoded_bytes());
        let arguments = match self {
            Op::Open { path: at, .. } | Op::Remove { path: at } => path(at),
            Op::List { dir } | Op::CreateDir { dir } | Op::SyncDir { dir, .. } => path(dir),
            Op::Rename { from, to } => mix(path(from)) ^ path(to),
            Op::Read { id, offset, len } => mix(*id) ^ mix(mix(*offset) ^ *len as u64),
            Op::Write { id, offset, bytes } => mix(*id) ^ mix(mix(*offset) ^ xxh3_64(bytes)),
            Op::Truncate { id, size } | Op::Preallocate { id, size } => mix(*id) ^ mix(mix(*size)),
            Op::Sync { id, .. } => *id,
        };
        mix(arguments) ^ self.kind() as u64
    }

    /// How many virtual nanoseconds the call takes.
    pub(super) fn delay(&self, rng: &mut Rng) -> u64 {
        let base = match self.kind() {
            Kind::Sync | Kind::SyncDir => 80_000,
            Kind::Open | Kind::List => 5_000,
            _ => 20_000,
        };
        // A straggler now and then lets much happen while a call is under way.
        let spread = if rng.once_in(32) { 100 } else { 4 };
        base + rng.below(base * spread)
    }

    pub(super) fn perform(self, storage: &mut Storage) -> io::Result<Reply> {
        match self {
            Op::Open { path, how } => return storage.open(&path, how).map(Reply::File),
            Op::Read { id, offset, len } => {
                let mut bytes = Buffer::zeroed(offset, storage.readable(id, offset, len));
                storage.read(id, offset, &mut bytes);
                return Ok(Reply::Bytes(bytes));
            }
            Op::List { dir } => return storage.list(&dir).map(Reply::Names),
            Op::Write { id, offset, bytes } => storage.write(id, offset, bytes),
            Op::Sync { id, mark } => storage.sync(id, mark),
            Op::Truncate { id, size } => storage.truncate(id, size),
            Op::Preallocate { id, size } => storage.take(id, size),
            Op::Rename { from, to } => storage.rename(&from, &to),
            Op::Remove { path } => storage.remove(&path),
            Op::CreateDir { dir } => storage.create_dir(&dir),
            Op::SyncDir { dir, mark } => storage.sync_dir(&dir, mark),
        }?;
        Ok(Reply::Done)
    }

    /// What a failed call leaves behind.
    pub(super) fn fail(&self, storage: &mut Storage, rng: &mut Rng) {
        match self {
            Op::Write { id, offset, bytes } => storage.write_failed(*id, *offset, bytes, rng),
            Op::Sync { id, mark } => storage.sync_failed(*id, *mark, rng),
            _ => {}
        }
    }
}
