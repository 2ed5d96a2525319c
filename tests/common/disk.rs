//! A disk of a test's own: ext4 in a sparse file, mounted for the time of the test, that can be
//! filled, frozen and cut off. There is none where the system does not let this process mount.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "a test's helpers; each test uses a part of them"
)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Size of the disk. Only what is written to it takes room outside.
const SIZE: &str = "3G";

/// Stops a mounted ext4 or XFS as a power cut does (`EXT4_IOC_SHUTDOWN`): from then on every call
/// fails, and what was not durable is lost.
const SHUTDOWN: libc::c_ulong = 0x8004_587d;
/// Not even the journal is written any more.
static NO_LOG_FLUSH: u32 = 2;

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
        let image = disk.image();
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

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
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

    /// Cuts its power: nothing reaches it any more.
    pub fn cut_power(&self) {
        let folder = File::open(self.folder()).unwrap();
        // SAFETY: the call reads the number that it is given.
        let done = unsafe { libc::ioctl(folder.as_raw_fd(), SHUTDOWN, &raw const NO_LOG_FLUSH) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }

    /// Gives it power again, when nobody has a file of it open any more: mounting repairs it.
    pub fn restore_power(&self, deadline: Duration) {
        let (image, folder) = (self.image(), self.folder());
        let until = Instant::now() + deadline;
        while !try_to("umount", &[path(&folder)]) {
            assert!(Instant::now() < until, "the disk stays busy");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(try_to("mount", &["-o", "loop", path(&image), path(&folder)]));
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
