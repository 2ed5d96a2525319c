//! A disk of a test's own: ext4 in a sparse file, mounted for the time of the test, that can be
//! filled and frozen. There is none where the system does not let this process mount.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "a test's helpers; each test uses a part of them"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Size of the disk. Only what is written to it takes room outside.
const SIZE: &str = "3G";

pub struct OwnDisk {
    dir: tempfile::TempDir,
}

/// Nothing is written to the disk until this is dropped. To be made behind the server, so that a
/// failing test thaws the disk before it waits for the server's end.
pub struct Frozen<'d>(&'d OwnDisk);

fn try_to(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

impl OwnDisk {
    /// Makes and mounts it; `None`, and a word to who looks, when that is not allowed here.
    pub fn new() -> Option<OwnDisk> {
        let disk = OwnDisk { dir: tempfile::tempdir().unwrap() };
        let image = disk.dir.path().join("image");
        std::fs::create_dir(disk.folder()).unwrap();
        let (image, folder) = (image.to_str().unwrap(), disk.folder());
        let folder = folder.to_str().unwrap();
        let made = try_to("truncate", &["-s", SIZE, image])
            && try_to(
                "mkfs.ext4",
                &["-q", "-F", "-m0", "-E", "lazy_itable_init=1,nodiscard", image],
            )
            && try_to("mount", &["-o", "loop", image, folder]);
        if !made {
            eprintln!("skipped: this process may not mount a disk of its own");
        }
        made.then_some(disk)
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Where a server may keep its data.
    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    fn filler(&self) -> PathBuf {
        self.folder().join("filler")
    }

    /// Takes so many bytes of it.
    pub fn fill(&self, bytes: &str) {
        let file = self.filler();
        assert!(try_to("fallocate", &["-l", bytes, path(&file)]));
    }

    /// Gives them back.
    pub fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    /// Stops everything that is written to it.
    pub fn freeze(&self) -> Frozen<'_> {
        assert!(try_to("fsfreeze", &["-f", path(&self.folder())]));
        Frozen(self)
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        try_to("fsfreeze", &["-u", path(&self.0.folder())]);
    }
}

impl Drop for OwnDisk {
    fn drop(&mut self) {
        let folder = self.folder();
        // A process that is still at its end keeps it busy; then it goes when that has ended.
        let _ = try_to("umount", &[path(&folder)]) || try_to("umount", &["-l", path(&folder)]);
    }
}
