//! Names and opens of the real disk.
//!
//! In: absolute paths. Out: open files, or errors that keep the system's error number. Everything
//! but the open itself is a plain system call on the executor's blocking pool, so that the reactor
//! never waits for a directory.

use std::cell::RefCell;
use std::fs;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use glommio::io::{DmaFile, OpenOptions};

use super::file::{RealFile, system_error};
use crate::env::{BLOCK_BYTES, Disk, Open};

/// The files of one executor.
#[derive(Clone, Default)]
pub struct RealDisk {
    /// Devices whose direct reads the runtime has tried out on this thread, by device number.
    probed: Rc<RefCell<Vec<u64>>>,
}

/// What the file system says about a path before it is opened.
struct Found {
    device: u64,
    size: u64,
}

/// Tries direct reads on the device of `dir`, on this executor. The runtime decides by the first
/// file that a thread opens on a device how all later reads are made, and decides wrongly when
/// that file is empty; here it gets a full one. Opening a file does the same when it was not done
/// before.
///
/// # Errors
/// When the folder cannot be written, or reads do not work there.
pub async fn probe(dir: &Path) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    absolute(dir)?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = dir.join(format!("probe-{}-{number}.tmp", std::process::id()));
    let target = path.clone();
    blocking(move || {
        let mut file = fs::File::create_new(target)?;
        file.write_all(&[0x5a; BLOCK_BYTES])?;
        file.sync_data()
    })
    .await?;
    let outcome = read_probe(&path).await;
    blocking(move || fs::remove_file(path)).await?;
    outcome
}

async fn read_probe(path: &Path) -> io::Result<()> {
    let file = DmaFile::open(path).await.map_err(system_error)?;
    let bytes = file.read_at_aligned(0, BLOCK_BYTES).await.map_err(system_error)?;
    let whole = bytes.len() == BLOCK_BYTES && bytes.iter().all(|&byte| byte == 0x5a);
    drop(bytes);
    file.close().await.map_err(system_error)?;
    if whole { Ok(()) } else { Err(io::Error::other("direct read gives other bytes than written")) }
}

impl RealDisk {
    /// Looks a path up before the runtime opens it, because it panics on a missing one.
    async fn find(&self, path: &Path, how: Open) -> io::Result<Found> {
        let path = path.to_path_buf();
        blocking(move || {
            if how != Open::Create {
                let found = fs::metadata(&path)?;
                if found.is_dir() {
                    return Err(io::Error::from_raw_os_error(libc::EISDIR));
                }
                return Ok(Found { device: found.dev(), size: found.len() });
            }
            match fs::symlink_metadata(&path) {
                Ok(_) => Err(io::Error::from_raw_os_error(libc::EEXIST)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let found = fs::metadata(parent(&path))?;
                    Ok(Found { device: found.dev(), size: 0 })
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn ensure_probed(&self, path: &Path, found: &Found) -> io::Result<()> {
        if self.probed.borrow().contains(&found.device) {
            return Ok(());
        }
        // A file with a block of bytes is as good a probe as any.
        if found.size < BLOCK_BYTES as u64 {
            probe(parent(path)).await?;
        }
        Ok(())
    }
}

impl Disk for RealDisk {
    type File = RealFile;

    async fn open(&self, path: &Path, how: Open) -> io::Result<RealFile> {
        absolute(path)?;
        let found = self.find(path, how).await?;
        self.ensure_probed(path, &found).await?;
        let mut options = OpenOptions::new();
        options.read(true).write(how != Open::Read).create_new(how == Open::Create);
        if how == Open::WriteThrough {
            options.custom_flags(libc::O_DSYNC);
        }
        let file = options.dma_open(path).await.map_err(system_error)?;
        let mut probed = self.probed.borrow_mut();
        if !probed.contains(&found.device) {
            probed.push(found.device);
        }
        Ok(RealFile::new(file))
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        absolute(from)?;
        absolute(to)?;
        let (from, to) = (from.to_path_buf(), to.to_path_buf());
        blocking(move || fs::rename(from, to)).await
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        absolute(path)?;
        let path = path.to_path_buf();
        blocking(move || fs::remove_file(path)).await
    }

    async fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        absolute(dir)?;
        let dir = dir.to_path_buf();
        blocking(move || {
            let mut names = Vec::new();
            for entry in fs::read_dir(dir)? {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            Ok(names)
        })
        .await
    }

    async fn create_dir(&self, dir: &Path) -> io::Result<()> {
        absolute(dir)?;
        let dir = dir.to_path_buf();
        blocking(move || fs::create_dir_all(dir)).await
    }

    async fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        absolute(dir)?;
        let dir = dir.to_path_buf();
        blocking(move || fs::File::open(dir)?.sync_all()).await
    }

    async fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        absolute(dir)?;
        let dir = dir.to_path_buf();
        blocking(move || free_bytes(&dir)).await
    }
}

/// What an unprivileged process may still write to the file system of `dir`.
fn free_bytes(dir: &Path) -> io::Result<u64> {
    let path = std::ffi::CString::new(dir.as_os_str().as_bytes())?;
    let mut answer = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends with a zero byte, and `answer` has room for what the call fills in.
    if unsafe { libc::statvfs(path.as_ptr(), answer.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it has filled in the whole structure.
    let answer = unsafe { answer.assume_init() };
    Ok(answer.f_bavail.saturating_mul(answer.f_frsize))
}

/// The runtime resolves relative paths differently from call to call, so none is let through.
fn absolute(path: &Path) -> io::Result<()> {
    if path.is_absolute() { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EINVAL)) }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Runs a system call that may wait on the executor's blocking pool. The call must not panic: its
/// thread would end and the caller would wait for ever.
pub(super) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    glommio::executor().spawn_blocking(call).await
}
