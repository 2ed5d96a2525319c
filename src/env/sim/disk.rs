//! Handles of the simulated disk: the traits' side for the engine, the levers for tests.
//!
//! In: calls of `env::Disk` and `env::File`, checked as real direct I/O would check them. Out: disk
//! calls in the world's hands, awaited until virtual time brings their answer. A call that is
//! dropped unanswered still takes effect, as in a real ring.

use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::buffer::Buffer;
use super::faults::Kind;
use super::image::{CutMode, Image};
use super::op::{Op, Reply};
use super::storage::{FileId, errno};
use super::world::World;
use crate::env::{BLOCK_BYTES, Disk, File, Open};

/// The disk that all nodes of a simulation share.
#[derive(Clone)]
pub struct SimDisk {
    world: Rc<World>,
}

impl SimDisk {
    pub(super) fn new(world: Rc<World>) -> SimDisk {
        SimDisk { world }
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    pub(super) fn shared(&self) -> &Rc<World> {
        &self.world
    }

    /// The disk as a power cut now (or the one that stopped the run) leaves it. The simulation
    /// itself is not touched; each call rolls the dice of `CutMode::Random` again.
    #[must_use]
    pub fn power_cut(&self, mode: CutMode) -> Image {
        self.world.power_cut(mode)
    }

    /// Cuts the power before the `n`-th changing call from now: neither it nor a later one happens,
    /// and the run returns `Stopped::PowerCut`. Calls issued before may be on disk or not.
    pub fn cut_after(&self, n: u64) {
        self.world.faults.borrow_mut().plan_cut(n);
    }

    /// Lets the `n`-th call of a kind from now fail once with this error number. A failed write may
    /// have written any of its sectors; a failed sync forgets some of what it was to make durable.
    pub fn fail_nth(&self, n: u64, kind: Kind, errno: i32) {
        self.world.faults.borrow_mut().plan_failure(n, kind, errno);
    }

    /// Planned failures that have not happened.
    #[must_use]
    pub fn failures_pending(&self) -> usize {
        self.world.faults.borrow().pending()
    }

    /// Calls of a kind so far.
    #[must_use]
    pub fn calls(&self, kind: Kind) -> u64 {
        self.world.faults.borrow().count(kind)
    }

    /// Changing calls so far: the number of places where `cut_after` can cut.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.world.faults.borrow().changes()
    }

    /// Turns one bit of a file over, silently; false when there is no such file or bit.
    #[must_use]
    pub fn flip_bit(&self, path: &Path, bit: u64) -> bool {
        self.world.storage.borrow_mut().flip_bit(path, bit)
    }

    /// Sets what is free; writes and reservations take from it, removals and cuts give back.
    pub fn set_free_bytes(&self, bytes: u64) {
        self.world.storage.borrow_mut().set_free_bytes(bytes);
    }

    async fn call(&self, op: Op) -> io::Result<Reply> {
        let slot = self.world.issue(op);
        poll_fn(|context| slot.poll(context)).await
    }

    async fn change(&self, op: Op) -> io::Result<()> {
        self.call(op).await.map(drop)
    }
}

/// Real opens refuse relative paths, so the simulated ones do too.
fn absolute(path: &Path) -> io::Result<()> {
    if path.is_absolute() { Ok(()) } else { Err(errno(libc::EINVAL)) }
}

fn aligned(number: u64) -> bool {
    number.is_multiple_of(BLOCK_BYTES as u64)
}

impl Disk for SimDisk {
    type File = SimFile;

    async fn open(&self, path: &Path, how: Open) -> io::Result<SimFile> {
        absolute(path)?;
        match self.call(Op::Open { path: path.to_path_buf(), how }).await? {
            Reply::File(id) => Ok(SimFile { id, how, disk: self.clone() }),
            _ => Err(errno(libc::EIO)),
        }
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        absolute(from)?;
        absolute(to)?;
        self.change(Op::Rename { from: from.to_path_buf(), to: to.to_path_buf() }).await
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        absolute(path)?;
        self.change(Op::Remove { path: path.to_path_buf() }).await
    }

    async fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        absolute(dir)?;
        match self.call(Op::List { dir: dir.to_path_buf() }).await? {
            Reply::Names(names) => Ok(names),
            _ => Err(errno(libc::EIO)),
        }
    }

    async fn create_dir(&self, dir: &Path) -> io::Result<()> {
        absolute(dir)?;
        self.change(Op::CreateDir { dir: dir.to_path_buf() }).await
    }

    async fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        absolute(dir)?;
        let mark = self.world.storage.borrow().mark();
        self.change(Op::SyncDir { dir: dir.to_path_buf(), mark }).await
    }

    async fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        absolute(dir)?;
        Ok(self.world.storage.borrow().free_bytes())
    }
}

/// An open file of the simulated disk.
pub struct SimFile {
    id: FileId,
    how: Open,
    disk: SimDisk,
}

impl SimFile {
    fn writable(&self) -> io::Result<()> {
        if self.how == Open::Read { Err(errno(libc::EBADF)) } else { Ok(()) }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.world.storage.borrow_mut().close(self.id);
    }
}

impl File for SimFile {
    type Buf = Buffer;
    type Bytes = Buffer;

    fn buffer(&self, len: usize) -> Buffer {
        Buffer::zeroed(0, len)
    }

    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Buffer> {
        match self.disk.call(Op::Read { id: self.id, offset, len }).await? {
            Reply::Bytes(bytes) => Ok(bytes),
            _ => Err(errno(libc::EIO)),
        }
    }

    async fn write_at(&self, offset: u64, buffer: Buffer) -> io::Result<()> {
        self.writable()?;
        if !aligned(offset) || !aligned(buffer.len() as u64) {
            return Err(errno(libc::EINVAL));
        }
        self.disk.change(Op::Write { id: self.id, offset, bytes: buffer[..].into() }).await?;
        // A cut or a failure may come between the two, as between a disk's write and its flush.
        if self.how == Open::WriteThrough { self.sync().await } else { Ok(()) }
    }

    async fn sync(&self) -> io::Result<()> {
        let mark = self.disk.world.storage.borrow().mark();
        self.disk.change(Op::Sync { id: self.id, mark }).await
    }

    async fn size(&self) -> io::Result<u64> {
        Ok(self.disk.world.storage.borrow().size(self.id))
    }

    async fn truncate(&self, size: u64) -> io::Result<()> {
        self.writable()?;
        self.disk.change(Op::Truncate { id: self.id, size }).await
    }

    async fn preallocate(&self, size: u64) -> io::Result<()> {
        self.writable()?;
        self.disk.change(Op::Preallocate { id: self.id, size }).await
    }
}
