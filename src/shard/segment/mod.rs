//! Segments: immutable sorted column files. A flush and a compaction write them, scans read them.
//!
//! In: Blocks, in (measurement, series, time) order, a section per (partition, UTC day). Out: the
//! same rows, as Blocks, of the selected series, times and columns.
//!
//! Bytes of a file, all numbers little-endian; the file is a multiple of 4 KiB (direct I/O):
//!
//! | where | what | checked by |
//! |---|---|---|
//! | 0 to 4,095 | header block: magic, version, store, shard, file id (`format`) | xxh3 in its last 8 bytes |
//! | 4,096 on, per section: | chunks: runs, times of irregular runs, one encoded column each | xxh3 of each piece |
//! | | statistics pages, one per column and directory (`stats`) | xxh3, seeded by place |
//! | | directories, rkyv archives of at most 256 KiB (`directory`) | xxh3, seeded by place |
//! | behind the last section | table: sections, then directories (`format`) | xxh3, seeded by place |
//! | to the next 4 KiB border | zeros | being zero |
//! | last 4 KiB | tail block: magic, version, ids, file size, place of the table | xxh3 in its last 8 bytes |
//!
//! Validity: a file is whole when its last 4 KiB are a sound tail that names this very file (store,
//! shard, id) and its size, and the table it points to is sound. Each piece has a checksum of its
//! own and is checked when it comes into the cache; a mismatch is an error that names file and
//! offset, and all other chunks stay readable.
//!
//! How this survives a cut at any byte: the tail is written last and holds the file's size, so a
//! file cut anywhere, or one whose writer died, has no sound tail and cannot be opened. The
//! manifest names a file only after `Writer::finish` has synced it; what it does not name is not
//! data.

mod cursor;
mod directory;
mod extract;
mod format;
mod gather;
mod read;
mod runs;
mod select;
mod stats;
#[cfg(test)]
mod tests;
mod verify;
mod write;

pub use cursor::{Cursor, Sieve, Step};
pub use directory::{ChunkId, ChunkInfo};
pub use read::Reader;
pub use select::Select;
pub use stats::{Statistics, Summary};
pub use write::Writer;

use crate::codec::CodecError;
use crate::model::{PartitionId, TimeRange};
use std::io;
use std::path::{Path, PathBuf};

/// Which file this is: written into header and tail, compared on every open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileIdent {
    pub store: u64,
    pub shard: u32,
    /// Given by the manifest of the shard, never used twice.
    pub file_id: u64,
}

/// What a section holds: rows of one partition and UTC day, from these log records.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub struct SectionKey {
    pub partition: PartitionId,
    /// Days since 1970-01-01 (`model::time::day_of`).
    pub day: i32,
    /// First and last log record whose rows may be inside, both inclusive.
    pub min_seq: u64,
    pub max_seq: u64,
}

/// A section of a file, in figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct SectionMeta {
    pub key: SectionKey,
    pub rows: u64,
    /// Distinct series.
    pub series: u32,
    /// Runs over all chunks: a series cut by a chunk border or with several layouts has several.
    pub runs: u64,
    /// First and last time of a row.
    pub time: TimeRange,
    /// Bytes of the section's chunks, without directory and statistics.
    pub bytes: u64,
    pub chunks: u32,
    /// Values that are not null.
    pub values: u64,
}

/// A finished file.
#[derive(Clone, PartialEq, Eq, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct FileMeta {
    pub file_id: u64,
    /// Size of the file.
    pub bytes: u64,
    pub sections: Vec<SectionMeta>,
}

/// Bytes that are not what was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// First byte of the damaged piece in its file.
    pub offset: u64,
    pub what: String,
}

/// What can go wrong with a segment file.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The disk refused. A failed write only drops the file under way; a failed read may be tried
    /// again.
    #[error("segment {}: {source}", .file.display())]
    Io { file: PathBuf, source: io::Error },
    /// The piece at `offset` is not what was written; the other pieces of the file are not
    /// concerned.
    #[error("segment {}: damaged at byte {offset}: {what}", .file.display())]
    Damaged { file: PathBuf, offset: u64, what: String },
    /// The writer was handed rows that cannot stand in the section: a mistake of the caller.
    #[error("segment {}: rows refused: {what}", .file.display())]
    Refused { file: PathBuf, what: &'static str },
    /// The codec does not take the rows, for example a single string over its limit.
    #[error("segment {}: rows cannot be encoded: {error}", .file.display())]
    Encode { file: PathBuf, error: CodecError },
}

impl SegmentError {
    fn io(file: &Path) -> impl FnOnce(io::Error) -> SegmentError + '_ {
        move |source| SegmentError::Io { file: file.to_owned(), source }
    }
}
