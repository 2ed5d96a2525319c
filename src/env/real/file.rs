//! Bytes of one real file, by direct I/O through the ring of its executor.
//!
//! In: reads at any place, writes of whole blocks. Out: bytes in the buffers that the device
//! filled, without a copy. Reads and writes that the kernel cuts short go on where they stopped.

use std::io;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsRawFd, FromRawFd};
use std::rc::Rc;

use glommio::GlommioError;
use glommio::io::{DmaBuffer, DmaFile, ReadResult};

use crate::env::{BLOCK_BYTES, File};

/// How often a call that came back short is made again without progress.
const SHORT_MAX: u32 = 4;

/// An open file.
pub struct RealFile {
    file: DmaFile,
}

/// A writable block-aligned buffer, from the ring's registered memory while there is some.
pub struct Buffer {
    buffer: DmaBuffer,
}

/// Bytes as a read has delivered them.
pub struct Bytes {
    bytes: ReadResult,
}

impl RealFile {
    pub(super) fn new(file: DmaFile) -> RealFile {
        RealFile { file }
    }

    /// The size by the descriptor; the runtime's own call goes by the path of the open, which may
    /// belong to another file by then. The inode is in memory, so this does not wait for the disk.
    fn size_now(&self) -> io::Result<u64> {
        // SAFETY: the descriptor is open as long as `self.file`; `ManuallyDrop` never closes it.
        let file = unsafe { std::fs::File::from_raw_fd(self.file.as_raw_fd()) };
        Ok(ManuallyDrop::new(file).metadata()?.len())
    }

    async fn write_whole(&self, offset: u64, buffer: DmaBuffer) -> io::Result<()> {
        let mut offset = offset;
        let mut buffer = Rc::new(buffer);
        let mut stuck = 0;
        loop {
            let written =
                self.file.write_rc_at(buffer.clone(), offset).await.map_err(system_error)?;
            if written >= buffer.len() {
                return Ok(());
            }
            // Direct writes start at block borders: a block written in part is written again.
            let done = written - written % BLOCK_BYTES;
            stuck = if done == 0 { stuck + 1 } else { 0 };
            if stuck == SHORT_MAX {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let rest = buffer.as_bytes().get(done..).unwrap_or(&[]);
            let mut next = self.file.alloc_dma_buffer(rest.len());
            next.as_bytes_mut().copy_from_slice(rest);
            offset += done as u64;
            buffer = Rc::new(next);
        }
    }
}

impl File for RealFile {
    type Buf = Buffer;
    type Bytes = Bytes;

    fn buffer(&self, len: usize) -> Buffer {
        // The runtime has no buffer of no bytes.
        let mut buffer = self.file.alloc_dma_buffer(len.max(BLOCK_BYTES));
        buffer.trim_to_size(len);
        buffer.as_bytes_mut().fill(0);
        Buffer { buffer }
    }

    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let align = self.file.alignment().max(1);
        let start = offset - offset % align;
        for _ in 0..SHORT_MAX {
            // Never more than there is: a length from damaged bytes must not take all memory.
            let left = self.size_now()?.saturating_sub(offset);
            let len = len.min(usize::try_from(left).unwrap_or(usize::MAX));
            if len == 0 {
                return Ok(Bytes { bytes: ReadResult::default() });
            }
            let shift = usize::try_from(offset - start).unwrap_or(0);
            let whole = self.file.align_up((shift + len) as u64);
            let whole = usize::try_from(whole).map_err(|_| io::ErrorKind::InvalidInput)?;
            let bytes = self.file.read_at_aligned(start, whole).await.map_err(system_error)?;
            if let Some(bytes) = ReadResult::slice(&bytes, shift, len) {
                return Ok(Bytes { bytes });
            }
            // Shorter than the size promised: cut meanwhile, or an interrupted read.
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    async fn write_at(&self, offset: u64, buffer: Buffer) -> io::Result<()> {
        let aligned = offset.is_multiple_of(BLOCK_BYTES as u64);
        if !aligned || !buffer.len().is_multiple_of(BLOCK_BYTES) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        if buffer.is_empty() {
            return Ok(());
        }
        self.write_whole(offset, buffer.buffer).await
    }

    async fn sync(&self) -> io::Result<()> {
        self.file.fdatasync().await.map_err(system_error)
    }

    async fn size(&self) -> io::Result<u64> {
        self.size_now()
    }

    async fn truncate(&self, size: u64) -> io::Result<()> {
        self.file.truncate(size).await.map_err(system_error)
    }

    async fn preallocate(&self, size: u64) -> io::Result<()> {
        if size == 0 {
            return Ok(());
        }
        let keep_size = true;
        match self.file.pre_allocate(size, keep_size).await.map_err(system_error) {
            // Some file systems cannot reserve; their writes may meet a full disk later.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
            outcome => outcome,
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.as_bytes()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.buffer.as_bytes_mut()
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The runtime's error with the system's error number, which its own conversion loses.
pub(super) fn system_error(error: GlommioError<()>) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => error.into(),
    }
}
