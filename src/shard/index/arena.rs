//! Storage that grows without moving: lists and arenas in chunks of fixed size.
//!
//! A vector of a million entries copies all of them when it doubles, which stalls a reactor for
//! milliseconds. Here only the first chunk grows by doubling; every later one is allocated once, at
//! its full size, and nothing is ever copied again.

/// A list in chunks of `1 << BITS` entries.
pub(super) struct Chunked<T, const BITS: u32> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T, const BITS: u32> Default for Chunked<T, BITS> {
    fn default() -> Self {
        Chunked { chunks: Vec::new(), len: 0 }
    }
}

impl<T, const BITS: u32> Chunked<T, BITS> {
    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, at: u32) -> Option<&T> {
        let (chunk, offset) = split::<BITS>(at);
        self.chunks.get(chunk)?.get(offset)
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        let (chunk, offset) = split::<BITS>(at);
        self.chunks.get_mut(chunk)?.get_mut(offset)
    }

    /// Appends an entry and gives its number; `None` when there are 2^32 - 1 already.
    pub(super) fn push(&mut self, entry: T) -> Option<u32> {
        let at = u32::try_from(self.len).ok().filter(|at| *at != u32::MAX)?;
        if self.len.is_multiple_of(1 << BITS) {
            let capacity = if self.chunks.is_empty() { 0 } else { 1 << BITS };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        self.chunks.last_mut()?.push(entry);
        self.len += 1;
        Some(at)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Bytes of memory held, without what the entries point to.
    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.capacity() * size_of::<T>()).sum::<usize>()
            + self.chunks.capacity() * size_of::<Vec<T>>()
    }
}

/// Slices of `T` in chunks of `1 << BITS` elements; a slice lies in one chunk. A handle is the
/// slice's place: the chunk's number and the offset in it.
pub(super) struct Arena<T, const BITS: u32> {
    chunks: Vec<Vec<T>>,
}

impl<T, const BITS: u32> Default for Arena<T, BITS> {
    fn default() -> Self {
        Arena { chunks: Vec::new() }
    }
}

impl<T: Copy, const BITS: u32> Arena<T, BITS> {
    /// Appends the parts, one behind the other, and gives the handle of the first element; `None`
    /// when they do not fit into a chunk or no handle is left.
    pub(super) fn push(&mut self, parts: &[&[T]]) -> Option<u32> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let room = self.chunks.last().map_or(0, |chunk| (1 << BITS) - chunk.len());
        if len > room || self.chunks.is_empty() {
            if len > 1 << BITS || self.chunks.len() >= 1 << (32 - BITS) {
                return None;
            }
            let capacity = if self.chunks.is_empty() { 0 } else { 1 << BITS };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let number = self.chunks.len() - 1;
        let chunk = self.chunks.last_mut()?;
        // An empty slice behind a full chunk has no place of its own; any place will do.
        let offset = chunk.len().min((1 << BITS) - 1);
        for part in parts {
            chunk.extend_from_slice(part);
        }
        Some((number << BITS | offset) as u32)
    }

    /// What lies at the handle and behind it in the same chunk; empty for an unknown handle.
    pub(super) fn at(&self, handle: u32) -> &[T] {
        let (chunk, offset) = split::<BITS>(handle);
        self.chunks.get(chunk).and_then(|chunk| chunk.get(offset..)).unwrap_or(&[])
    }

    /// Bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.capacity() * size_of::<T>()).sum::<usize>()
            + self.chunks.capacity() * size_of::<Vec<T>>()
    }
}

fn split<const BITS: u32>(at: u32) -> (usize, usize) {
    ((at >> BITS) as usize, (at & ((1 << BITS) - 1)) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_its_entries_over_chunk_borders() {
        let mut list = Chunked::<u32, 3>::default();
        for n in 0..100 {
            assert_eq!(list.push(n * 7), Some(n));
        }
        assert!((0..100).all(|n| list.get(n) == Some(&(n * 7))));
        assert_eq!((list.get(100), list.len(), list.iter().count()), (None, 100, 100));
    }

    #[test]
    fn a_slice_never_crosses_a_chunk() {
        let mut arena = Arena::<u8, 4>::default();
        let handles: Vec<u32> =
            (0..20u8).map(|n| arena.push(&[&[n; 3], &[n + 1; 4]]).unwrap()).collect();
        for (n, handle) in (0..20u8).zip(handles) {
            assert_eq!(arena.at(handle)[..7], [n, n, n, n + 1, n + 1, n + 1, n + 1]);
        }
        assert_eq!(arena.push(&[&[0; 17]]), None);
        assert_eq!(arena.push(&[&[9; 16]]).map(|h| arena.at(h).len()), Some(16));
        assert!(arena.push(&[]).is_some() && arena.at(u32::MAX).is_empty());
    }
}
