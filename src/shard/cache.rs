//! The block cache of a shard: bytes of segment files that were read and verified.
//!
//! In: encoded columns, runs, directories and statistics pages, whole, by (file id, offset). Out:
//! the same bytes, shared. Bytes are checked once, before they come in; what is in the cache is
//! sound. A limit in bytes holds at all times: at the limit the CLOCK hand takes out what was not
//! asked for since it last came by. A piece comes in unmarked, so one wide scan does not push out
//! what other queries ask for again and again.

use crate::model::FixedMap;
use rkyv::util::AlignedVec;
use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;

/// Verified bytes of a segment file, aligned for use in place; cloning shares them.
#[derive(Clone, Debug)]
pub struct Bytes(Rc<AlignedVec>);

impl Bytes {
    /// Copies bytes as they came from the disk.
    pub fn copy(bytes: &[u8]) -> Bytes {
        let mut aligned = AlignedVec::with_capacity(bytes.len());
        aligned.extend_from_slice(bytes);
        Bytes(Rc::new(aligned))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

type Key = (u64, u64);

/// What one entry costs besides its bytes: slot, map entry, allocation headers.
const ENTRY_BYTES: usize = 112;

/// Counters of a cache since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheStats {
    pub hits: u64,
    pub misses: u64,
    /// Bytes held at the moment, entries' overhead included.
    pub bytes: usize,
    pub entries: usize,
}

/// A byte-limited cache of file pieces, for one shard.
#[derive(Debug)]
pub struct BlockCache {
    inner: RefCell<Inner>,
    hits: Cell<u64>,
    misses: Cell<u64>,
}

#[derive(Debug)]
struct Inner {
    map: FixedMap<Key, u32>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    hand: usize,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Slot {
    key: Key,
    bytes: Bytes,
    asked: bool,
}

impl BlockCache {
    /// An empty cache that holds at most `bytes_max` bytes; 0 keeps nothing.
    pub fn new(bytes_max: usize) -> BlockCache {
        let inner = Inner {
            map: FixedMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            hand: 0,
            bytes: 0,
            bytes_max,
        };
        BlockCache { inner: RefCell::new(inner), hits: Cell::new(0), misses: Cell::new(0) }
    }

    /// The piece of `file_id` that starts at `offset`, if it is held.
    pub fn get(&self, file_id: u64, offset: u64) -> Option<Bytes> {
        let found = self.inner.borrow_mut().get((file_id, offset));
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.set(counter.get() + 1);
        found
    }

    /// Whether a piece is held; neither counts nor marks it.
    pub fn holds(&self, file_id: u64, offset: u64) -> bool {
        self.inner.borrow().map.contains_key(&(file_id, offset))
    }

    /// Keeps a verified piece, making room for it. One larger than an eighth of the limit is not
    /// kept: it would push out too much for one use.
    pub fn insert(&self, file_id: u64, offset: u64, bytes: Bytes) {
        self.inner.borrow_mut().insert((file_id, offset), bytes);
    }

    /// Drops all pieces of a file that is going to be unlinked.
    pub fn forget_file(&self, file_id: u64) {
        let mut inner = self.inner.borrow_mut();
        for at in 0..inner.slots.len() {
            let of_file = |slot: &Slot| slot.key.0 == file_id;
            if inner.slots.get(at).and_then(Option::as_ref).is_some_and(of_file) {
                inner.evict(at);
            }
        }
    }

    /// The counters.
    pub fn stats(&self) -> CacheStats {
        let inner = self.inner.borrow();
        CacheStats {
            hits: self.hits.get(),
            misses: self.misses.get(),
            bytes: inner.bytes,
            entries: inner.map.len(),
        }
    }
}

impl Inner {
    fn get(&mut self, key: Key) -> Option<Bytes> {
        let at = *self.map.get(&key)? as usize;
        let slot = self.slots.get_mut(at)?.as_mut()?;
        slot.asked = true;
        Some(slot.bytes.clone())
    }

    fn insert(&mut self, key: Key, bytes: Bytes) {
        let cost = bytes.len() + ENTRY_BYTES;
        if let Some(at) = self.map.get(&key) {
            self.evict(*at as usize);
        }
        if cost > self.bytes_max / 8 {
            return;
        }
        while self.bytes + cost > self.bytes_max && !self.map.is_empty() {
            self.turn();
        }
        let slot = Some(Slot { key, bytes, asked: false });
        let at = match self.free.pop() {
            Some(at) => at as usize,
            None => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
            self.map.insert(key, at as u32);
            self.bytes += cost;
        }
    }

    /// Moves the hand by one slot: a piece asked for since last time stays once more, another goes.
    fn turn(&mut self) {
        let at = self.hand;
        self.hand = if at + 1 < self.slots.len() { at + 1 } else { 0 };
        match self.slots.get_mut(at).and_then(Option::as_mut) {
            Some(slot) if slot.asked => slot.asked = false,
            Some(_) => self.evict(at),
            None => {}
        }
    }

    fn evict(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::take) else { return };
        self.map.remove(&slot.key);
        self.bytes -= slot.bytes.len() + ENTRY_BYTES;
        self.free.push(at as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(len: usize, fill: u8) -> Bytes {
        Bytes::copy(&vec![fill; len])
    }

    #[test]
    fn the_limit_holds_and_what_is_asked_for_stays() {
        let cache = BlockCache::new(16 * (1000 + ENTRY_BYTES));
        cache.insert(1, 0, piece(1000, 7));
        for offset in 1..200u64 {
            assert_eq!(cache.get(1, 0).as_deref(), Some([7u8; 1000].as_slice()), "{offset}");
            cache.insert(2, offset, piece(1000, offset as u8));
            assert!(cache.stats().bytes <= 16 * (1000 + ENTRY_BYTES));
        }
        assert_eq!(cache.stats().entries, 16);
        assert!(cache.get(2, 1).is_none());
        assert_eq!(cache.get(2, 199).as_deref().map(|bytes| bytes[0]), Some(199));
        assert_eq!((cache.stats().hits, cache.stats().misses), (200, 1));
    }

    #[test]
    fn a_forgotten_file_leaves_nothing_behind() {
        let cache = BlockCache::new(1 << 20);
        for offset in 0..10 {
            cache.insert(1, offset, piece(10, 1));
            cache.insert(2, offset, piece(10, 2));
        }
        cache.forget_file(1);
        assert!((0..10).all(|offset| cache.get(1, offset).is_none()));
        assert!((0..10).all(|offset| cache.get(2, offset).is_some()));
        cache.forget_file(2);
        assert_eq!((cache.stats().bytes, cache.stats().entries), (0, 0));
    }

    #[test]
    fn too_large_a_piece_is_not_kept_and_a_second_one_replaces_the_first() {
        let cache = BlockCache::new(8000);
        cache.insert(1, 0, piece(2000, 1));
        assert!(cache.get(1, 0).is_none());
        cache.insert(1, 8, piece(100, 1));
        cache.insert(1, 8, piece(50, 2));
        assert_eq!(cache.get(1, 8).as_deref(), Some([2u8; 50].as_slice()));
        assert_eq!(cache.stats().bytes, 50 + ENTRY_BYTES);
        let none = BlockCache::new(0);
        none.insert(1, 0, piece(1, 1));
        assert!(none.get(1, 0).is_none());
    }
}
