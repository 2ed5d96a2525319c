//! The bytes of one simulated file, as blocks of 4 KiB that copies share.
//!
//! In: writes, size changes, bit flips. Out: reads. A missing block reads as zeros, the way a hole
//! or a reserved block of a file system does. Bytes behind the size are kept zero in a live file;
//! in a file that lost power they are made zero by `normalize`.

#![expect(
    clippy::indexing_slicing,
    reason = "`place` gives positions inside a block, and blocks are added before they are indexed"
)]

use std::sync::Arc;

use crate::env::BLOCK_BYTES;

type Block = [u8; BLOCK_BYTES];

const BLOCK: u64 = 4096;
const _: () = assert!(BLOCK == BLOCK_BYTES as u64);

/// Sparse bytes with a size. Cloning shares the blocks.
#[derive(Clone, Default, Debug)]
pub(super) struct Content {
    blocks: Vec<Option<Arc<Block>>>,
    size: u64,
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// How many of `len` bytes at `offset` lie before the end.
    pub(super) fn readable(&self, offset: u64, len: usize) -> usize {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        left.min(len)
    }

    /// Fills `out` with the bytes at `offset`; what was never written is zero.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) {
        let mut offset = offset;
        let mut out = out;
        while !out.is_empty() {
            let (index, start) = place(offset);
            let len = (BLOCK_BYTES - start).min(out.len());
            let (part, rest) = out.split_at_mut(len);
            match self.blocks.get(index).and_then(Option::as_ref) {
                Some(block) => part.copy_from_slice(&block[start..start + len]),
                None => part.fill(0),
            }
            out = rest;
            offset += len as u64;
        }
    }

    /// Puts bytes at `offset` without touching the size.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut offset = offset;
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let (index, start) = place(offset);
            let (part, rest) = bytes.split_at((BLOCK_BYTES - start).min(bytes.len()));
            self.block_mut(index)[start..start + part.len()].copy_from_slice(part);
            bytes = rest;
            offset += part.len() as u64;
        }
    }

    /// Sets the size; bytes behind a smaller one are gone for good.
    pub(super) fn set_size(&mut self, size: u64) {
        let shrinks = size < self.size;
        self.size = size;
        if shrinks {
            self.normalize();
        }
    }

    /// Forgets everything behind the size.
    pub(super) fn normalize(&mut self) {
        let (index, start) = place(self.size);
        self.blocks.truncate(index + usize::from(start > 0));
        if start > 0
            && let Some(Some(block)) = self.blocks.get_mut(index)
        {
            Arc::make_mut(block)[start..].fill(0);
        }
    }

    /// Turns one bit over; false when it lies behind the end.
    pub(super) fn flip_bit(&mut self, bit: u64) -> bool {
        let offset = bit / 8;
        if offset >= self.size {
            return false;
        }
        let (index, start) = place(offset);
        self.block_mut(index)[start] ^= 1 << (bit % 8);
        true
    }

    fn block_mut(&mut self, index: usize) -> &mut Block {
        if self.blocks.len() <= index {
            self.blocks.resize(index + 1, None);
        }
        Arc::make_mut(self.blocks[index].get_or_insert_with(|| Arc::new([0; BLOCK_BYTES])))
    }
}

fn place(offset: u64) -> (usize, usize) {
    let index = usize::try_from(offset / BLOCK).unwrap_or(usize::MAX);
    (index, usize::try_from(offset % BLOCK).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(content: &Content) -> Vec<u8> {
        let mut out = vec![0xee; content.size() as usize];
        content.read(0, &mut out);
        out
    }

    #[test]
    fn holes_are_zero_and_copies_are_apart() {
        let mut content = Content::default();
        content.write(4096 * 3 + 5, b"abc");
        content.set_size(4096 * 3 + 8);
        let copy = content.clone();
        content.write(4096 * 3 + 5, b"xyz");
        assert_eq!(all(&copy)[4096 * 3 + 5..], *b"abc");
        assert_eq!(all(&content)[4096 * 3 + 5..], *b"xyz");
        assert!(all(&content)[..4096 * 3 + 5].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn cut_bytes_do_not_come_back() {
        let mut content = Content::default();
        content.write(0, &[7; 8192]);
        content.set_size(8192);
        content.set_size(100);
        content.set_size(8192);
        assert_eq!(all(&content).iter().filter(|&&byte| byte == 7).count(), 100);
        assert_eq!(content.readable(8000, 500), 192);
        assert_eq!(content.readable(9000, 500), 0);
    }

    #[test]
    fn one_bit_turns() {
        let mut content = Content::default();
        content.set_size(10);
        assert!(content.flip_bit(9));
        assert!(!content.flip_bit(80));
        assert_eq!(all(&content)[1], 2);
    }
}
