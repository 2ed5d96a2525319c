//! Bytes with the alignment that real direct I/O gives, without asking the system for it.
//!
//! In: a file offset and a length. Out: a zeroed slice whose address is the file offset modulo the
//! sector size, so that code which reads structures in place behaves as it will with real files.

use std::ops::{Deref, DerefMut};

use crate::env::BLOCK_BYTES;

/// Real reads are aligned to this part of the file offset.
const ALIGN_BYTES: u64 = 512;

/// A byte buffer of the simulated disk.
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    pub(super) fn zeroed(offset: u64, len: usize) -> Buffer {
        let shift = usize::try_from(offset % ALIGN_BYTES).unwrap_or(0);
        let bytes = vec![0u8; len + shift + BLOCK_BYTES];
        let start = bytes.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES) + shift;
        Buffer { bytes, start, len }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.start..self.start + self.len).unwrap_or(&[])
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.start + self.len).unwrap_or(&mut [])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_follows_the_offset() {
        for offset in [0, 1, 511, 512, 4096 * 7 + 24] {
            let buffer = Buffer::zeroed(offset, 100);
            assert_eq!(buffer.len(), 100);
            assert_eq!(buffer.as_ptr() as u64 % 512, offset % 512);
        }
        assert!(Buffer::zeroed(3, 0).is_empty());
    }
}
