//! Log files: their names, and how one is made ready for use.
//!
//! In: a folder and a generation. Out: an open file whose header is durable and which holds no
//! commit of its generation. A new file is reserved, written once with zeros, synced and named
//! durably *before* its header is written; a recycled one gets a header only. So a valid header
//! means that the whole file is there, and old commits in it stopped verifying when the header
//! became durable. A cut before that leaves the earlier header (a recycled file that is still what
//! it was) or none (a file that is made anew at the next start).

use super::LogError;
use super::frame::{self, BLOCK, Place};
use crate::env::{BLOCK_BYTES, Disk, Env, File, Open};
use std::io;
use std::path::{Path, PathBuf};

/// Zeros are written in pieces of this size: large enough for full bandwidth, small enough not to
/// delay a commit that queues behind one.
const PREWRITE_BYTES: u64 = 1 << 20;

/// The file type of an environment.
pub(super) type FileOf<E> = <<E as Env>::Disk as Disk>::File;

/// An open log file.
pub(super) struct LogFile<E: Env> {
    pub number: u64,
    pub path: PathBuf,
    pub file: FileOf<E>,
    /// Bytes, as found or made.
    pub size: u64,
}

/// The path of log file `number`.
pub(super) fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("log-{number:06}"))
}

/// The number in a log file's name.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let number: u64 = name.strip_prefix("log-")?.parse().ok()?;
    (format!("log-{number:06}") == name).then_some(number)
}

/// Makes a file of `size` bytes, without a header yet, and opens it as commits need it. On an
/// error it is removed again.
pub(super) async fn create<E: Env>(
    env: &E,
    dir: &Path,
    number: u64,
    size: u64,
    how: Open,
) -> Result<LogFile<E>, LogError> {
    let path = path_of(dir, number);
    let file = env.disk().open(&path, Open::Create).await.map_err(|e| LogError::io(&path, e))?;
    let made = async {
        prewrite::<E>(&file, size).await?;
        drop(file);
        env.disk().sync_dir(dir).await?;
        env.disk().open(&path, how).await
    };
    match made.await {
        Ok(file) => Ok(LogFile { number, path, file, size }),
        Err(error) => {
            // It holds nothing, so a name that stays does no harm: the next start removes it.
            let _ = env.disk().remove(&path).await;
            Err(LogError::io(&path, error))
        }
    }
}

/// Reserves a file's blocks, fills them with zeros and makes them durable.
async fn prewrite<E: Env>(file: &FileOf<E>, size: u64) -> io::Result<()> {
    file.preallocate(size).await?;
    let mut offset = 0;
    while offset < size {
        let len = PREWRITE_BYTES.min(size - offset);
        file.write_at(offset, file.buffer(len as usize)).await?;
        offset += len;
    }
    file.sync().await
}

/// Gives the file a generation of its own: from here on no earlier commit in it verifies.
pub(super) async fn ready<E: Env>(
    log_file: &LogFile<E>,
    place: &Place,
    generation: u64,
) -> Result<(), LogError> {
    let fail = |error| LogError::io(&log_file.path, error);
    let mut block = log_file.file.buffer(BLOCK_BYTES);
    frame::put_file_header(place, generation, &mut block);
    log_file.file.write_at(0, block).await.map_err(fail)?;
    log_file.file.sync().await.map_err(fail)
}

/// Removes a file that holds nothing that is needed.
pub(super) async fn remove<E: Env>(env: &E, dir: &Path, path: &Path) -> Result<(), LogError> {
    env.disk().remove(path).await.map_err(|e| LogError::io(path, e))?;
    env.disk().sync_dir(dir).await.map_err(|e| LogError::io(dir, e))
}

/// Whether a file of this size can hold any commit.
pub(super) fn is_usable(size: u64) -> bool {
    size >= 2 * BLOCK && size.is_multiple_of(BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_belong_together() {
        let path = path_of(Path::new("/store/log"), 7);
        assert_eq!(path, Path::new("/store/log/log-000007"));
        assert_eq!(number_of("log-000007"), Some(7));
        assert_eq!(number_of("log-1234567"), Some(1_234_567));
        for stray in ["log-7", "log-0000007", "log-", "log-00000x", "lost+found", "log-+00007"] {
            assert_eq!(number_of(stray), None, "{stray}");
        }
    }
}
