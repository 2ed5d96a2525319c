//! A disk without power: what a restart finds, and what tests damage by hand.
//!
//! In: the durable half of a simulated disk plus the changes that a power cut let through. Out: the
//! disk of the next `Sim`. It is plain data: a test can keep one image and start from it many
//! times, flip bits, shorten files or put strange files into it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::content::Content;

/// What happens to changes that were not synced when the power goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CutMode {
    /// Nothing unsynced reaches the disk.
    DropAll,
    /// Everything asked for reaches the disk, calls in flight included.
    KeepAll,
    /// Each change is kept, dropped or torn by the seed, independently of all others: a write per
    /// 4 KiB block, a torn block per 512-byte sector, a file's size as one of its unsynced sizes,
    /// each created, renamed or removed name by itself.
    Random,
}

/// The files of a disk at rest.
#[derive(Clone, Debug)]
pub struct Image {
    pub(super) files: BTreeMap<PathBuf, Content>,
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) free_bytes: u64,
}

impl Default for Image {
    fn default() -> Self {
        Image::new()
    }
}

impl Image {
    /// An empty disk of 1 TiB with the folder `ROOT`.
    #[must_use]
    pub fn new() -> Image {
        let dirs = [PathBuf::from("/"), PathBuf::from(super::ROOT)];
        Image { files: BTreeMap::new(), dirs: dirs.into(), free_bytes: 1 << 40 }
    }

    /// All files, sorted by path.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.files.keys().cloned().collect()
    }

    /// The bytes of a file, or `None` when there is no such file.
    #[must_use]
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let content = self.files.get(path)?;
        let mut bytes = vec![0; usize::try_from(content.size()).ok()?];
        content.read(0, &mut bytes);
        Some(bytes)
    }

    /// Makes a file of these bytes, with the folders above it, in place of what was there.
    pub fn write(&mut self, path: &Path, bytes: &[u8]) {
        let mut content = Content::default();
        content.write(0, bytes);
        content.set_size(bytes.len() as u64);
        self.files.insert(path.to_path_buf(), content);
        self.dirs.extend(path.ancestors().skip(1).map(Path::to_path_buf));
    }

    /// Removes a file; false when there is none.
    pub fn remove(&mut self, path: &Path) -> bool {
        self.files.remove(path).is_some()
    }

    /// Turns one bit of a file over; false when there is no such file or bit.
    pub fn flip_bit(&mut self, path: &Path, bit: u64) -> bool {
        self.files.get_mut(path).is_some_and(|content| content.flip_bit(bit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_made_damaged_and_removed() {
        let mut image = Image::new();
        let path = Path::new("/store/a/b");
        image.write(path, b"hello");
        assert_eq!(image.read(path).unwrap(), b"hello");
        assert!(image.dirs.contains(Path::new("/store/a")));
        assert!(image.flip_bit(path, 0));
        assert_eq!(image.read(path).unwrap(), b"iello");
        assert!(!image.flip_bit(path, 40));
        assert_eq!(image.paths(), [path]);
        assert!(image.remove(path));
        assert!(!image.remove(path));
        assert!(image.read(path).is_none());
    }
}
