//! Index files: the series defined since the file before, or all of them.
//!
//! Bytes: a block of 4 KiB, then the payload (`index::delta` has its form and its checksums), zeros
//! to the next 4 KiB border. The first block, little-endian: magic `RINGINDX`, version u32, shard
//! u32, store u64, file id u64, payload bytes u64, xxh3 of these 40 bytes.
//!
//! Validity: the first block is whole and names this file, and every block of the payload is sound.
//! The first block is written last; the manifest names a file only after it was synced, so a cut at
//! any byte leaves a file that nothing names.

use super::index::{DeltaTask, Index, IndexError, Loader};
use crate::codec::checksum::xxh3;
use crate::env::{BLOCK_BYTES, Disk, Env, File, Open};
use crate::shard::segment::FileIdent;
use std::io;
use std::path::{Path, PathBuf};
use std::task::Poll;

const MAGIC: &[u8; 8] = b"RINGINDX";
const VERSION: u32 = 1;
/// Bytes written or read at a time.
const PIECE_BYTES: usize = 1 << 20;
/// Series encoded between two turns of other tasks.
const STEP_SERIES: u32 = 2048;

/// Why an index file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexFileError {
    #[error("index {}: {source}", .file.display())]
    Io { file: PathBuf, source: io::Error },
    #[error("index {}: damaged near byte {offset}: {what}", .file.display())]
    Damaged { file: PathBuf, offset: u64, what: String },
}

/// Writes what `task` gives of `index` and syncs the file; the caller syncs the folder.
pub async fn write<E: Env>(
    env: &E,
    path: &Path,
    ident: FileIdent,
    index: &std::cell::RefCell<Index>,
    task: DeltaTask,
) -> Result<(), IndexFileError> {
    let written = write_all(env, path, ident, index, task).await;
    written.map_err(|source| IndexFileError::Io { file: path.to_owned(), source })
}

async fn write_all<E: Env>(
    env: &E,
    path: &Path,
    ident: FileIdent,
    index: &std::cell::RefCell<Index>,
    mut task: DeltaTask,
) -> io::Result<()> {
    let file = env.disk().open(path, Open::Create).await?;
    let (mut pending, mut written) = (Vec::new(), 0u64);
    loop {
        let done = task.step(&index.borrow(), STEP_SERIES, &mut pending) == Poll::Ready(());
        while pending.len() >= PIECE_BYTES || (done && !pending.is_empty()) {
            let piece = pending.len().min(PIECE_BYTES);
            let mut buffer = file.buffer(piece.next_multiple_of(BLOCK_BYTES));
            buffer.iter_mut().zip(pending.drain(..piece)).for_each(|(to, from)| *to = from);
            file.write_at(BLOCK_BYTES as u64 + written, buffer).await?;
            written += piece as u64;
        }
        if done {
            break;
        }
        env.yield_now().await;
    }
    let mut buffer = file.buffer(BLOCK_BYTES);
    let head = head_block(ident, written);
    buffer.iter_mut().zip(head).for_each(|(to, from)| *to = from);
    file.write_at(0, buffer).await?;
    file.sync().await
}

/// Reads a file into `index`.
pub async fn load<E: Env>(
    env: &E,
    path: &Path,
    ident: FileIdent,
    index: &mut Index,
) -> Result<(), IndexFileError> {
    let failed = |source| IndexFileError::Io { file: path.to_owned(), source };
    let damaged =
        |offset: u64, what: String| IndexFileError::Damaged { file: path.to_owned(), offset, what };
    let file = env.disk().open(path, Open::Read).await.map_err(failed)?;
    let head = file.read_at(0, BLOCK_BYTES).await.map_err(failed)?;
    let payload = payload_bytes(&head, ident)
        .ok_or_else(|| damaged(0, "the first block is not that of this file".to_owned()))?;
    let size = file.size().await.map_err(failed)?;
    if size < BLOCK_BYTES as u64 + payload {
        return Err(damaged(size, "the file is cut".to_owned()));
    }
    let mut loader = Loader::default();
    let (mut pending, mut read) = (Vec::new(), 0u64);
    while read < payload {
        let len = (payload - read).min(PIECE_BYTES as u64) as usize;
        let offset = BLOCK_BYTES as u64 + read;
        let bytes = file.read_at(offset, len).await.map_err(failed)?;
        pending.extend_from_slice(&bytes);
        read += len as u64;
        let wrong = |error: IndexError| damaged(offset, error.to_string());
        while let Some(used) = loader.feed(index, &pending).map_err(wrong)? {
            pending.drain(..used);
            env.yield_now().await;
        }
    }
    if !pending.is_empty() {
        return Err(damaged(BLOCK_BYTES as u64 + read, "a block is cut".to_owned()));
    }
    loader.finish(index).map_err(|error| damaged(BLOCK_BYTES as u64 + read, error.to_string()))
}

fn head_block(ident: FileIdent, payload: u64) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&ident.shard.to_le_bytes());
    out.extend_from_slice(&ident.store.to_le_bytes());
    out.extend_from_slice(&ident.file_id.to_le_bytes());
    out.extend_from_slice(&payload.to_le_bytes());
    let sum = xxh3(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

fn payload_bytes(block: &[u8], ident: FileIdent) -> Option<u64> {
    let payload = u64::from_le_bytes(*block.get(32..40)?.first_chunk()?);
    let expected = head_block(ident, payload);
    (block.get(..expected.len())? == expected).then_some(payload)
}
