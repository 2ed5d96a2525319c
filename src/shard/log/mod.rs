//! The durable log of a shard: what was acknowledged since the last flush, in order.
//!
//! In: records, grouped into commits by the caller. Out: durable commits; after a start, the same
//! records again, in the same order. Files are made ready ahead of use and recycled, so that a
//! commit under load overwrites blocks that the disk already has:
//!
//! ```text
//!             prepare (background)        roll              release(upto)
//!   new file ─────────────────────▶ spare ────▶ active ────▶ full ───────▶ released
//!                                     ▲                                       │
//!                                     └───────── prepare: next generation ────┘
//! ```
//!
//! `record` and `frame` are the bytes, `writer` commits, `files` makes files ready, `recover`
//! decides at the start what is a torn tail and what is damage. Nothing here knows what a record
//! does.

mod files;
pub mod frame;
pub mod record;
mod recover;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub use frame::Identity;
pub use record::{Definition, Record, Rows};
pub use recover::{Lost, Origin, Recovered, Torn, check, recover};
pub(crate) use walk::Reader;
pub use writer::{Stats, Writer};

use crate::env::Open;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A commit's payload is at most this many bytes; the caller splits what is larger.
pub const COMMIT_BYTES_MAX: usize = 32 << 20;

/// When a commit counts as done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncPolicy {
    /// After it is durable.
    Always,
    /// After it is written; it is durable at most this much later.
    Interval(Duration),
    /// After it is written; the disk decides when it is durable. Full files are synced.
    Never,
}

impl SyncPolicy {
    /// How files are opened that commits go to.
    fn open(self) -> Open {
        if self == SyncPolicy::Always { Open::WriteThrough } else { Open::Write }
    }
}

/// How the log is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Size of a log file (bytes, a multiple of 4 KiB).
    pub file_bytes: u64,
    /// Size of the very first file, which a first start waits for (bytes).
    pub first_file_bytes: u64,
    /// Files kept ready for use; the active one counts while three quarters of it are left. Making
    /// the first ones writes each block once more than its records do, so none is made early.
    pub spares: usize,
    /// Released files kept for reuse; more are removed.
    pub spares_max: usize,
    pub sync: SyncPolicy,
    /// After this much idleness the caller seals the log.
    pub seal_after: Duration,
    /// Start although acknowledged commits are damaged, without them.
    pub accept_loss: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            file_bytes: 64 << 20,
            first_file_bytes: 8 << 20,
            spares: 1,
            spares_max: 8,
            sync: SyncPolicy::Always,
            seal_after: Duration::from_millis(20),
            accept_loss: false,
        }
    }
}

/// Why the log, or a journal, does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// An operation failed. If it was a write or a sync, every later commit fails too.
    #[error("{}: {source}", file.display())]
    Io { file: PathBuf, source: io::Error },
    /// A write or sync failed earlier; nobody knows what is on disk until a restart reads it.
    #[error("no commits after a failure: {reason}")]
    Poisoned { reason: String },
    /// Bytes that were acknowledged cannot be read.
    #[error("{} is damaged at offset {offset}: {detail}", file.display())]
    Damaged { file: PathBuf, offset: u64, detail: String },
    /// The log knows of a manifest edit that the manifest has not.
    #[error(
        "{} at offset {offset} knows manifest edit {named}, the manifest ends at {last}",
        file.display()
    )]
    ManifestBehind { file: PathBuf, offset: u64, named: u64, last: u64 },
    /// The commit is larger than a file, or than `COMMIT_BYTES_MAX`.
    #[error("a commit of {bytes} bytes is over the limit of {limit}")]
    TooLarge { bytes: u64, limit: u64 },
    /// The disk has no room for another file; nothing was written, and a later commit may succeed.
    #[error("no space for another log file")]
    Full,
    /// A commit is in flight; there is one at a time.
    #[error("another commit is in flight")]
    Busy,
}

impl LogError {
    pub(crate) fn io(file: &Path, source: io::Error) -> LogError {
        LogError::Io { file: file.to_path_buf(), source }
    }
}

/// Whether an error means that the disk is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
