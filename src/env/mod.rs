//! The outside world as a parameter: disk, clock, tasks, randomness, and links between cores.
//!
//! The engine's drivers (log writer, flusher, compactor, scanner, catalog, mesh pump, recovery) are
//! generic over `Env`; everything else is synchronous and knows none of this. `real` forwards to
//! the runtime, `sim` runs any number of shards in one thread from a seed. Nothing is `Send`: an
//! environment belongs to one core.
#![allow(
    async_fn_in_trait,
    reason = "every environment is used on one core; no future must be Send"
)]

#[cfg(test)]
mod conformance;
pub mod notify;
pub mod real;
mod rng;
pub mod sim;

use std::future::Future;
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::Duration;

/// Direct I/O happens in blocks of this size: offsets and lengths of writes are multiples of it,
/// and buffers are aligned to it.
pub const BLOCK_BYTES: usize = 4096;

/// One core's outside world. Cloning gives another handle to the same world.
pub trait Env: Clone + 'static {
    type Disk: Disk;
    type Task<T: 'static>: Task<T>;

    /// The files of this core.
    fn disk(&self) -> &Self::Disk;

    /// Nanoseconds since 1970-01-01 UTC by the wall clock, which may step.
    fn now_wall(&self) -> i64;

    /// Nanoseconds since some start; never goes back.
    fn now_mono(&self) -> u64;

    /// Comes back after `duration`.
    async fn sleep(&self, duration: Duration);

    /// Runs a task on this core in the given queue. Dropping the handle cancels the task; call
    /// `detach` to let it run on.
    #[track_caller]
    fn spawn<F>(&self, queue: Queue, future: F) -> Self::Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static;

    /// Gives other tasks of this core a turn. Long synchronous work calls it after each slice
    /// (0.5 ms at most: 8 k rows, 4 k index entries, 64 KiB of output).
    async fn yield_now(&self);

    /// Has work done that takes long and needs nothing of this core, such as hashing a password,
    /// off the core's thread.
    async fn blocking<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static;

    /// The next random number of this core's generator.
    fn random(&self) -> u64;
}

/// Which share of the core a task competes for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queue {
    /// Sockets, decoding, log and head: a latency of 2 ms matters.
    Ingest,
    /// Scans, merges and answers.
    Query,
    /// Flush, compaction, retention: what is left over, with a low share.
    Background,
}

/// A running task. Dropping it cancels the task.
pub trait Task<T>: 'static {
    /// Lets the task run on without anybody waiting for it.
    fn detach(self);

    /// Waits for the result; `None` when the task was cancelled.
    async fn join(self) -> Option<T>;
}

/// The files of one core. Paths are absolute. A created, renamed or removed name is durable only
/// after `sync_dir` of its folder; written bytes only after `File::sync`, or at once in a file
/// opened by `Open::WriteThrough`.
pub trait Disk: Clone + 'static {
    type File: File;

    /// Opens a file; see `Open` for what must or must not exist.
    async fn open(&self, path: &Path, how: Open) -> io::Result<Self::File>;

    /// Gives `from` the name `to`, replacing what had it.
    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    async fn remove(&self, path: &Path) -> io::Result<()>;

    /// Names (not paths) of the files and folders in a folder, sorted.
    async fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates a folder and the missing ones above it; it may exist. Each one made is durable after
    /// `sync_dir` of the folder above it.
    async fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes created, renamed and removed names of a folder durable.
    async fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Free bytes of the file system that holds `dir`.
    async fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Open {
    /// Must exist; reads only.
    Read,
    /// Must exist; reads and writes.
    Write,
    /// As `Write`; each write is durable when it comes back. One call where `Write` needs two, so
    /// a commit waits once for the core and once for the disk.
    WriteThrough,
    /// Must not exist; reads and writes.
    Create,
}

/// An open file. All calls may be in flight together; the file closes when dropped.
pub trait File: 'static {
    type Buf: Deref<Target = [u8]> + DerefMut + 'static;
    type Bytes: Deref<Target = [u8]> + 'static;

    /// A zeroed buffer of `len` bytes (a multiple of `BLOCK_BYTES`), aligned for direct I/O.
    fn buffer(&self, len: usize) -> Self::Buf;

    /// Reads up to `len` bytes at any offset; shorter only at the file's end.
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Self::Bytes>;

    /// Writes the whole buffer; offset and length are multiples of `BLOCK_BYTES`.
    async fn write_at(&self, offset: u64, buffer: Self::Buf) -> io::Result<()>;

    /// Makes written bytes and the file's size durable (fdatasync). After an error nobody knows
    /// what is on disk: the caller must not try again as if nothing had happened.
    async fn sync(&self) -> io::Result<()>;

    /// The file's size in bytes.
    async fn size(&self) -> io::Result<u64>;

    /// Cuts or extends the file.
    async fn truncate(&self, size: u64) -> io::Result<()>;

    /// Reserves disk blocks for the first `size` bytes; the file's size stays.
    async fn preallocate(&self, size: u64) -> io::Result<()>;
}
