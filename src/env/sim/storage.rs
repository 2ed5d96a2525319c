//! The simulated disk as plain data: names, bytes, and which of both a power cut would leave.
//!
//! In: operations at the instant they take effect. Out: their answers, and at a power cut an
//! `Image`. Every file and every name exists twice: *live* is what a running process sees,
//! *durable* is what the platter has. Between them lies a log of changes not synced yet:
//!
//! ```text
//! write, truncate      ─▶ live + file's log  ──(sync of the file: entries older than its issue)─▶ durable
//! create, rename, …    ─▶ live + name log    ──(sync_dir of the folder: likewise)──────────────▶ durable
//! ```
//!
//! The rules are stricter than any real file system: a file's sync never makes its name durable, a
//! folder is lost with all it holds until the folder above it was synced, and names are lost one by
//! one in any order. A rename counts as one change of the folder it goes to. A failed sync forgets
//! some of the writes it was asked for, as kernels do that mark the pages clean: a later sync that
//! succeeds does not bring them back.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::Content;
use super::image::{CutMode, Image};
use crate::env::rng::Rng;
use crate::env::{BLOCK_BYTES, Open};

/// The unit that a disk writes whole.
const SECTOR_BYTES: usize = 512;

/// One file's bytes; names refer to it, and open handles keep it after the last name is gone.
pub(super) type FileId = u64;

/// A change of a file that is not durable yet.
#[derive(Clone)]
enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    Size(u64),
}

#[derive(Clone)]
struct Pending {
    order: u64,
    change: Change,
    /// A failed sync gave it up; it never becomes durable by itself.
    forgotten: bool,
}

#[derive(Clone, Default)]
struct Inode {
    live: Content,
    durable: Content,
    log: Vec<Pending>,
    /// Bytes of disk space taken.
    taken: u64,
    handles: u64,
}

/// A change of names that is not durable yet.
#[derive(Clone)]
enum Naming {
    Link { path: PathBuf, id: FileId },
    Unlink { path: PathBuf, id: FileId },
    Rename { from: PathBuf, to: PathBuf, id: FileId },
    Folder { path: PathBuf },
}

impl Naming {
    /// The path whose folder's sync makes this durable.
    fn path(&self) -> &Path {
        match self {
            Naming::Link { path, .. } | Naming::Unlink { path, .. } | Naming::Folder { path } => {
                path
            }
            Naming::Rename { to, .. } => to,
        }
    }

    fn id(&self) -> Option<FileId> {
        match self {
            Naming::Link { id, .. } | Naming::Unlink { id, .. } | Naming::Rename { id, .. } => {
                Some(*id)
            }
            Naming::Folder { .. } => None,
        }
    }
}

/// Names of files and folders.
#[derive(Clone, Default)]
struct Names {
    files: BTreeMap<PathBuf, FileId>,
    dirs: BTreeSet<PathBuf>,
}

impl Names {
    fn apply(&mut self, naming: &Naming) {
        match naming {
            Naming::Link { path, id } => {
                self.files.insert(path.clone(), *id);
            }
            Naming::Unlink { path, id } => self.forget(path, *id),
            Naming::Rename { from, to, id } => {
                self.forget(from, *id);
                self.files.insert(to.clone(), *id);
            }
            Naming::Folder { path } => {
                self.dirs.insert(path.clone());
            }
        }
    }

    fn forget(&mut self, path: &Path, id: FileId) {
        if self.files.get(path) == Some(&id) {
            self.files.remove(path);
        }
    }

    /// Whether every folder above the path is there.
    fn reachable(&self, path: &Path) -> bool {
        path.ancestors().skip(1).all(|dir| self.dirs.contains(dir))
    }
}

/// A simulated disk.
#[derive(Clone)]
pub(super) struct Storage {
    inodes: BTreeMap<FileId, Inode>,
    live: Names,
    durable: Names,
    log: Vec<(u64, Naming)>,
    next_id: FileId,
    next_order: u64,
    free_bytes: u64,
}

impl Storage {
    pub(super) fn new(image: Image) -> Storage {
        let mut inodes = BTreeMap::new();
        let mut names = Names { files: BTreeMap::new(), dirs: image.dirs };
        for (id, (path, content)) in (1..).zip(image.files) {
            let taken = blocks_up(content.size());
            let (live, durable) = (content.clone(), content);
            inodes.insert(id, Inode { live, durable, taken, ..Inode::default() });
            names.files.insert(path, id);
        }
        Storage {
            next_id: inodes.len() as u64 + 1,
            inodes,
            live: names.clone(),
            durable: names,
            log: Vec::new(),
            next_order: 0,
            free_bytes: image.free_bytes,
        }
    }

    /// Changes ordered before this mark have taken effect already; a sync issued here covers them.
    pub(super) fn mark(&self) -> u64 {
        self.next_order
    }

    pub(super) fn free_bytes(&self) -> u64 {
        self.free_bytes
    }

    pub(super) fn set_free_bytes(&mut self, bytes: u64) {
        self.free_bytes = bytes;
    }

    pub(super) fn open(&mut self, path: &Path, how: Open) -> io::Result<FileId> {
        let found = self.live.files.get(path).copied();
        let id = match (how, found) {
            (Open::Create, Some(_)) => return Err(errno(libc::EEXIST)),
            (Open::Create, None) => self.create(path)?,
            (Open::Read | Open::Write | Open::WriteThrough, Some(id)) => id,
            (Open::Read | Open::Write | Open::WriteThrough, None) => {
                return Err(errno(libc::ENOENT));
            }
        };
        self.inode(id)?.handles += 1;
        Ok(id)
    }

    fn create(&mut self, path: &Path) -> io::Result<FileId> {
        if self.live.dirs.contains(path) {
            return Err(errno(libc::EEXIST));
        }
        self.check_parent(path)?;
        let id = self.next_id;
        self.next_id += 1;
        self.inodes.insert(id, Inode::default());
        self.rename_log(Naming::Link { path: path.to_path_buf(), id });
        Ok(id)
    }

    /// One handle of a file was dropped.
    pub(super) fn close(&mut self, id: FileId) {
        if let Some(inode) = self.inodes.get_mut(&id) {
            inode.handles = inode.handles.saturating_sub(1);
        }
        self.sweep(id);
    }

    pub(super) fn read(&self, id: FileId, offset: u64, out: &mut [u8]) {
        if let Some(inode) = self.inodes.get(&id) {
            inode.live.read(offset, out);
        }
    }

    pub(super) fn readable(&self, id: FileId, offset: u64, len: usize) -> usize {
        self.inodes.get(&id).map_or(0, |inode| inode.live.readable(offset, len))
    }

    pub(super) fn size(&self, id: FileId) -> u64 {
        self.inodes.get(&id).map_or(0, |inode| inode.live.size())
    }

    pub(super) fn write(&mut self, id: FileId, offset: u64, bytes: Arc<[u8]>) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64).ok_or_else(|| errno(libc::EFBIG))?;
        self.take(id, end)?;
        let grows = self.size(id) < end;
        self.change(id, Change::Write { offset, bytes })?;
        if grows {
            self.change(id, Change::Size(end))?;
        }
        Ok(())
    }

    /// A write that failed: by the seed, some of its sectors are there and some are not.
    pub(super) fn write_failed(&mut self, id: FileId, offset: u64, bytes: &[u8], rng: &mut Rng) {
        for (part_offset, part) in torn(offset, bytes, rng) {
            // A write of a part can only fail for the reasons the whole has failed for.
            let _ = self.write(id, part_offset, part.into());
        }
    }

    pub(super) fn truncate(&mut self, id: FileId, size: u64) -> io::Result<()> {
        let inode = self.inode(id)?;
        let kept = blocks_up(size);
        let freed = inode.taken.saturating_sub(kept);
        inode.taken -= freed;
        self.free_bytes = self.free_bytes.saturating_add(freed);
        self.change(id, Change::Size(size))
    }

    /// Takes disk space for the first `size` bytes.
    pub(super) fn take(&mut self, id: FileId, size: u64) -> io::Result<()> {
        let free_bytes = self.free_bytes;
        let inode = self.inode(id)?;
        let wanted = blocks_up(size).saturating_sub(inode.taken);
        if wanted > free_bytes {
            return Err(errno(libc::ENOSPC));
        }
        inode.taken += wanted;
        self.free_bytes -= wanted;
        Ok(())
    }

    /// Makes the changes before `mark` durable.
    pub(super) fn sync(&mut self, id: FileId, mark: u64) -> io::Result<()> {
        let inode = self.inode(id)?;
        let (covered, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut inode.log)
            .into_iter()
            .partition(|pending| pending.order < mark && !pending.forgotten);
        inode.log = rest;
        for pending in covered {
            apply(&mut inode.durable, &pending.change);
        }
        Ok(())
    }

    /// A sync that failed: each covered write is forgotten or not, by the seed.
    pub(super) fn sync_failed(&mut self, id: FileId, mark: u64, rng: &mut Rng) {
        let Some(inode) = self.inodes.get_mut(&id) else { return };
        for pending in inode.log.iter_mut().filter(|pending| pending.order < mark) {
            if matches!(pending.change, Change::Write { .. }) && !rng.once_in(3) {
                pending.forgotten = true;
            }
        }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = *self.live.files.get(from).ok_or_else(|| errno(libc::ENOENT))?;
        self.check_parent(to)?;
        if self.live.dirs.contains(to) {
            return Err(errno(libc::EISDIR));
        }
        let replaced = self.live.files.get(to).copied();
        self.rename_log(Naming::Rename { from: from.to_path_buf(), to: to.to_path_buf(), id });
        replaced.into_iter().for_each(|old| self.sweep(old));
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let id = *self.live.files.get(path).ok_or_else(|| errno(libc::ENOENT))?;
        self.rename_log(Naming::Unlink { path: path.to_path_buf(), id });
        self.sweep(id);
        Ok(())
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        if !self.live.dirs.contains(dir) {
            return Err(errno(libc::ENOENT));
        }
        let paths = self.live.files.keys().chain(self.live.dirs.iter());
        let mut names: Vec<String> = paths
            .filter(|path| path.parent() == Some(dir))
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        names.sort();
        Ok(names)
    }

    pub(super) fn create_dir(&mut self, dir: &Path) -> io::Result<()> {
        let mut missing: Vec<&Path> =
            dir.ancestors().filter(|path| !self.live.dirs.contains(*path)).collect();
        if missing.iter().any(|path| self.live.files.contains_key(*path)) {
            return Err(errno(libc::EEXIST));
        }
        missing.reverse();
        for path in missing {
            self.rename_log(Naming::Folder { path: path.to_path_buf() });
        }
        Ok(())
    }

    /// Makes the names of a folder that changed before `mark` durable.
    pub(super) fn sync_dir(&mut self, dir: &Path, mark: u64) -> io::Result<()> {
        if !self.live.dirs.contains(dir) {
            return Err(errno(libc::ENOENT));
        }
        let (covered, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.log)
            .into_iter()
            .partition(|(order, naming)| *order < mark && naming.path().parent() == Some(dir));
        self.log = rest;
        for (_, naming) in &covered {
            let replaced = self.durable.files.get(naming.path()).copied();
            self.durable.apply(naming);
            replaced.into_iter().chain(naming.id()).for_each(|id| self.sweep(id));
        }
        Ok(())
    }

    /// Turns one bit of a file over, on the platter and in what is read from now on.
    pub(super) fn flip_bit(&mut self, path: &Path, bit: u64) -> bool {
        let Some(id) = self.live.files.get(path) else { return false };
        let Some(inode) = self.inodes.get_mut(id) else { return false };
        inode.durable.flip_bit(bit);
        inode.live.flip_bit(bit)
    }

    /// What a restart finds when the power goes now.
    pub(super) fn power_cut(&self, mode: CutMode, rng: &mut Rng) -> Image {
        let mut names = self.durable.clone();
        for (_, naming) in &self.log {
            if keeps(mode, rng) {
                names.apply(naming);
            }
        }
        let mut contents = BTreeMap::new();
        for (id, inode) in &self.inodes {
            contents.insert(*id, inode.after_cut(mode, rng));
        }
        let mut image = Image { files: BTreeMap::new(), dirs: BTreeSet::new(), free_bytes: 0 };
        let dirs = names.dirs.iter().filter(|dir| names.reachable(dir));
        image.dirs = dirs.cloned().collect();
        let files = names.files.iter().filter(|(path, _)| names.reachable(path));
        image.files = files
            .map(|(path, id)| (path.clone(), contents.get(id).cloned().unwrap_or_default()))
            .collect();
        // What files no longer take is free again.
        let taken: u64 = self.inodes.values().map(|inode| inode.taken).sum();
        let kept: u64 = image.files.values().map(|content| blocks_up(content.size())).sum();
        image.free_bytes = self.free_bytes.saturating_add(taken).saturating_sub(kept);
        image
    }

    fn inode(&mut self, id: FileId) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&id).ok_or_else(|| errno(libc::EBADF))
    }

    fn change(&mut self, id: FileId, change: Change) -> io::Result<()> {
        let order = self.next_order;
        self.next_order += 1;
        let inode = self.inode(id)?;
        apply(&mut inode.live, &change);
        inode.log.push(Pending { order, change, forgotten: false });
        Ok(())
    }

    fn rename_log(&mut self, naming: Naming) {
        self.live.apply(&naming);
        self.log.push((self.next_order, naming));
        self.next_order += 1;
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(dir) if self.live.dirs.contains(dir) => Ok(()),
            Some(dir) if self.live.files.contains_key(dir) => Err(errno(libc::ENOTDIR)),
            _ => Err(errno(libc::ENOENT)),
        }
    }

    /// Frees a file that no name and no handle refers to. Its bytes stay as long as a power cut
    /// could bring a name back, its disk space does not.
    fn sweep(&mut self, id: FileId) {
        let Some(inode) = self.inodes.get_mut(&id) else { return };
        let named = |names: &Names| names.files.values().any(|other| *other == id);
        if inode.handles > 0 || named(&self.live) {
            return;
        }
        self.free_bytes = self.free_bytes.saturating_add(std::mem::take(&mut inode.taken));
        let pending = self.log.iter().any(|(_, naming)| naming.id() == Some(id));
        if !pending && !named(&self.durable) {
            self.inodes.remove(&id);
        }
    }
}

impl Inode {
    fn after_cut(&self, mode: CutMode, rng: &mut Rng) -> Content {
        let mut content = self.durable.clone();
        // Sizes reach the disk in order: one of them is the last that did.
        let sizes = self.log.iter().filter(|pending| matches!(pending.change, Change::Size(_)));
        let mut sizes_left = match mode {
            CutMode::DropAll => 0,
            CutMode::KeepAll => usize::MAX,
            CutMode::Random => rng.index(sizes.count() + 1),
        };
        for pending in &self.log {
            match &pending.change {
                Change::Size(size) if sizes_left > 0 => {
                    sizes_left -= 1;
                    content.set_size(*size);
                }
                Change::Size(_) => {}
                Change::Write { offset, bytes } => match mode {
                    CutMode::DropAll => {}
                    CutMode::KeepAll => content.write(*offset, bytes),
                    CutMode::Random => {
                        for (part_offset, part) in torn(*offset, bytes, rng) {
                            content.write(part_offset, part);
                        }
                    }
                },
            }
        }
        content.normalize();
        content
    }
}

/// The parts of a write that reach the disk when it is interrupted: each 4 KiB block wholly, not at
/// all, up to a sector, or any of its sectors.
fn torn<'a>(offset: u64, bytes: &'a [u8], rng: &mut Rng) -> Vec<(u64, &'a [u8])> {
    // Half of all writes share one fate as a whole, so that long ones are also lost or kept
    // together.
    let whole = rng.below(4);
    let mut parts = Vec::new();
    let mut at = offset;
    for block in bytes.chunks(BLOCK_BYTES) {
        let fate = if whole < 2 { whole } else { rng.below(4) };
        let limit = rng.index(BLOCK_BYTES / SECTOR_BYTES);
        for (index, sector) in block.chunks(SECTOR_BYTES).enumerate() {
            let kept = match fate {
                0 => false,
                1 => true,
                2 => index < limit,
                _ => rng.once_in(2),
            };
            if kept {
                parts.push((at, sector));
            }
            at += sector.len() as u64;
        }
    }
    parts
}

fn keeps(mode: CutMode, rng: &mut Rng) -> bool {
    match mode {
        CutMode::DropAll => false,
        CutMode::KeepAll => true,
        CutMode::Random => rng.once_in(2),
    }
}

fn apply(content: &mut Content, change: &Change) {
    match change {
        Change::Write { offset, bytes } => content.write(*offset, bytes),
        Change::Size(size) => content.set_size(*size),
    }
}

fn blocks_up(size: u64) -> u64 {
    size.checked_next_multiple_of(BLOCK_BYTES as u64).unwrap_or(u64::MAX)
}

pub(super) fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}
