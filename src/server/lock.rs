//! The data folder: made, named absolutely, and locked for the life of the process.
//!
//! The lock is the kernel's (`flock` on the file `LOCK`), so it ends with the process however that
//! ends. The file holds the process's number, for the message a second start gives.

use super::ServeError;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// A locked data folder.
pub struct DataDir {
    /// Absolute, without links.
    pub path: PathBuf,
    _lock: File,
}

/// Makes and locks the folder.
pub fn take(dir: &Path) -> Result<DataDir, ServeError> {
    let failed = |error: &std::io::Error| ServeError::io(dir.display(), error);
    std::fs::create_dir_all(dir).map_err(|error| failed(&error))?;
    let path = dir.canonicalize().map_err(|error| failed(&error))?;
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join("LOCK"))
        .map_err(|error| failed(&error))?;
    // SAFETY: a plain system call on a descriptor that is open.
    if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        let mut owner = String::new();
        let _ = lock.read_to_string(&mut owner);
        let owner = owner.trim();
        let path = path.display();
        return Err(ServeError::Failed(format!(
            "the data folder {path} is in use by another ringtail (process {owner})"
        )));
    }
    let number = format!("{}\n", std::process::id());
    let written = lock.set_len(0).and_then(|()| lock.rewind());
    written.and_then(|()| lock.write_all(number.as_bytes())).map_err(|error| failed(&error))?;
    Ok(DataDir { path, _lock: lock })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(&dir.path().join("a/b")).unwrap();
        assert!(first.path.is_absolute());
        let Err(error) = take(&dir.path().join("a/b")) else { panic!("taken twice") };
        assert!(error.to_string().contains("is in use by another ringtail (process "), "{error}");
        drop(first);
        assert!(take(&dir.path().join("a/b")).is_ok());
    }
}
