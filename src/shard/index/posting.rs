//! Postings: which live series carry a tag pair or belong to a measurement.
//!
//! Most tag values of a large store have one or two series, a few have a million. A posting is
//! eight bytes that hold up to two ids themselves, else the number of a list: gaps as varints
//! (about one byte an id) while short or sparse, a roaring bitmap (a bit to two bytes an id) when
//! long and dense.

use super::arena::Chunked;
use super::varint;
use roaring::RoaringBitmap;

/// No id in this place.
const NONE: u32 = u32::MAX;
/// `b` of a posting whose `a` is the number of a varint list. Ids are below 2^31.
const SMALL: u32 = 1 << 31;
/// `b` of a posting whose `a` is the number of a bitmap.
const LARGE: u32 = SMALL + 1;
/// Below this many ids a list stays in varints: a bitmap's containers cost 100 bytes and more.
const LARGE_IDS: u32 = 512;
/// At a mean gap of this or more, containers would hold fewer than 32 ids each: stay in varints.
const SPARSE_GAP: u32 = 2_048;
/// From this many ids on a bitmap is used however sparse, so that removing an id stays cheap.
const SPARSE_IDS: u32 = 16_384;

/// A set of series ids; what the numbers mean is in the `Pool`.
#[derive(Clone, Copy)]
pub(super) struct Posting {
    a: u32,
    b: u32,
}

impl Posting {
    pub(super) const EMPTY: Posting = Posting { a: NONE, b: NONE };

    pub(super) fn is_empty(self) -> bool {
        self.a == NONE && self.b == NONE
    }
}

/// Ascending ids as gaps; never empty.
#[derive(Default)]
struct Small {
    bytes: Vec<u8>,
    len: u32,
    last: u32,
}

/// The lists of postings that do not fit into eight bytes.
#[derive(Default)]
pub(super) struct Pool {
    small: Chunked<Small, 12>,
    small_free: Vec<u32>,
    large: Chunked<RoaringBitmap, 12>,
    large_free: Vec<u32>,
}

impl Pool {
    /// Adds an id (below 2^31) to a posting. Cheap when it is the largest; false when no list can
    /// be made.
    pub(super) fn insert(&mut self, posting: &mut Posting, id: u32) -> bool {
        match *posting {
            Posting { a, b: LARGE } => {
                let Some(bitmap) = self.large.get_mut(a) else { return false };
                // Not `push`: it looks for the largest id first, a scan of the whole container.
                bitmap.insert(id);
                true
            }
            Posting { a, b: SMALL } => {
                let Some(list) = self.small.get_mut(a) else { return false };
                if id > list.last {
                    list.push(id);
                    return !list.is_dense() || self.enlarge(posting);
                }
                let mut ids: Vec<u32> = list.iter().collect();
                if let Err(at) = ids.binary_search(&id) {
                    ids.insert(at, id);
                    *list = Small::build(&ids);
                }
                true
            }
            Posting { a: NONE, .. } => {
                *posting = Posting { a: id, b: NONE };
                true
            }
            Posting { a, b: NONE } => {
                if a != id {
                    *posting = Posting { a: a.min(id), b: a.max(id) };
                }
                true
            }
            Posting { a, b } => {
                if a == id || b == id {
                    return true;
                }
                let mut ids = [a, b, id];
                ids.sort_unstable();
                self.make_small(posting, Small::build(&ids))
            }
        }
    }

    fn make_small(&mut self, posting: &mut Posting, list: Small) -> bool {
        let number = match self.small_free.pop() {
            Some(number) => {
                if let Some(place) = self.small.get_mut(number) {
                    *place = list;
                }
                Some(number)
            }
            None => self.small.push(list),
        };
        number.map(|a| *posting = Posting { a, b: SMALL }).is_some()
    }

    /// Turns a varint list into a bitmap.
    fn enlarge(&mut self, posting: &mut Posting) -> bool {
        let Some(list) = self.small.get_mut(posting.a) else { return false };
        let bitmap: RoaringBitmap = std::mem::take(list).iter().collect();
        self.small_free.push(posting.a);
        let number = match self.large_free.pop() {
            Some(number) => {
                if let Some(place) = self.large.get_mut(number) {
                    *place = bitmap;
                }
                Some(number)
            }
            None => self.large.push(bitmap),
        };
        number.map(|a| *posting = Posting { a, b: LARGE }).is_some()
    }

    /// Takes an id out of a posting.
    pub(super) fn remove(&mut self, posting: &mut Posting, id: u32) {
        match *posting {
            Posting { a, b: LARGE } => {
                let Some(bitmap) = self.large.get_mut(a) else { return };
                bitmap.remove(id);
                if bitmap.is_empty() {
                    *bitmap = RoaringBitmap::new();
                    self.large_free.push(a);
                    *posting = Posting::EMPTY;
                }
            }
            Posting { a, b: SMALL } => {
                let Some(list) = self.small.get_mut(a) else { return };
                let mut ids: Vec<u32> = list.iter().collect();
                ids.retain(|other| *other != id);
                match ids.as_slice() {
                    [] => *posting = Posting::EMPTY,
                    [one] => *posting = Posting { a: *one, b: NONE },
                    [one, two] => *posting = Posting { a: *one, b: *two },
                    _ => {
                        *list = Small::build(&ids);
                        return;
                    }
                }
                *list = Small::default();
                self.small_free.push(a);
            }
            Posting { a, b } if a == id => *posting = Posting { a: b, b: NONE },
            Posting { a, b } if b == id => *posting = Posting { a, b: NONE },
            _ => {}
        }
    }

    /// The ids as a bitmap.
    pub(super) fn bitmap(&self, posting: Posting) -> RoaringBitmap {
        if let Posting { a, b: LARGE } = posting {
            return self.large.get(a).cloned().unwrap_or_default();
        }
        let mut ids = Vec::new();
        self.collect(posting, &mut ids, &mut RoaringBitmap::new());
        ids.into_iter().collect()
    }

    /// Adds the ids to `ids` (not sorted) or, when they are a bitmap, to `set`; gives the work in
    /// entries.
    pub(super) fn collect(
        &self,
        posting: Posting,
        ids: &mut Vec<u32>,
        set: &mut RoaringBitmap,
    ) -> usize {
        match posting {
            Posting { a, b: LARGE } => {
                let Some(bitmap) = self.large.get(a) else { return 1 };
                *set |= bitmap;
                1 + bitmap.len() as usize / 1_024
            }
            Posting { a, b: SMALL } => {
                let Some(list) = self.small.get(a) else { return 1 };
                ids.extend(list.iter());
                1 + list.len as usize / 64
            }
            Posting { a, b } => {
                ids.extend([a, b].iter().filter(|id| **id != NONE));
                1
            }
        }
    }

    /// Whether some id lies in `set` too.
    pub(super) fn meets(&self, posting: Posting, set: &RoaringBitmap) -> bool {
        match posting {
            Posting { a, b: LARGE } => self.large.get(a).is_some_and(|ids| !ids.is_disjoint(set)),
            Posting { a, b: SMALL } => {
                self.small.get(a).is_some_and(|list| list.iter().any(|id| set.contains(id)))
            }
            Posting { a, b } => (a != NONE && set.contains(a)) || (b != NONE && set.contains(b)),
        }
    }

    /// Bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        let small: usize = self.small.iter().map(|list| list.bytes.capacity()).sum();
        let large: u64 = self
            .large
            .iter()
            .map(|bitmap| {
                let parts = bitmap.statistics();
                u64::from(parts.n_containers) * CONTAINER_BYTES
                    + parts.n_bytes_array_containers
                    + parts.n_bytes_run_containers
                    + parts.n_bytes_bitset_containers
            })
            .sum();
        small
            + large as usize
            + self.small.memory_bytes()
            + self.large.memory_bytes()
            + (self.small_free.capacity() + self.large_free.capacity()) * 4
    }
}

/// What a roaring container takes beside its ids.
const CONTAINER_BYTES: u64 = 40;

impl Small {
    fn build(ids: &[u32]) -> Small {
        let mut list = Small::default();
        ids.iter().for_each(|id| list.push(*id));
        list
    }

    /// Appends an id larger than the last one.
    fn push(&mut self, id: u32) {
        varint::write(&mut self.bytes, id - self.last);
        self.last = id;
        self.len += 1;
    }

    fn is_dense(&self) -> bool {
        self.len >= SPARSE_IDS || (self.len >= LARGE_IDS && self.last / self.len < SPARSE_GAP)
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        let mut rest = self.bytes.as_slice();
        let mut last = 0u32;
        std::iter::from_fn(move || {
            last = last.wrapping_add(varint::read(&mut rest)?);
            Some(last)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_posting_is_a_set(
            ops in prop::collection::vec((0u32..40, 0u32..4), 0..200),
            step in prop::sample::select(vec![1u32, 1000, 50_000_000]),
        ) {
            let (mut pool, mut posting) = (Pool::default(), Posting::EMPTY);
            let mut model = BTreeSet::new();
            for (id, kind) in ops {
                let id = id * step;
                if kind == 0 {
                    pool.remove(&mut posting, id);
                    model.remove(&id);
                } else {
                    prop_assert!(pool.insert(&mut posting, id));
                    model.insert(id);
                }
                prop_assert_eq!(posting.is_empty(), model.is_empty());
            }
            let ids: Vec<u32> = pool.bitmap(posting).into_iter().collect();
            prop_assert_eq!(ids, model.iter().copied().collect::<Vec<_>>());
            let odd: RoaringBitmap = (0..40).filter(|n| n % 2 == 1).map(|n| n * step).collect();
            let meets = model.iter().any(|id| odd.contains(*id));
            prop_assert_eq!(pool.meets(posting, &odd), meets);
        }
    }

    #[test]
    fn long_lists_turn_into_bitmaps_and_back_to_nothing() {
        for step in [1, 3_000] {
            let (mut pool, mut posting) = (Pool::default(), Posting::EMPTY);
            let ids: Vec<u32> = (0..20_000).map(|n| n * step + 5).collect();
            for id in &ids {
                assert!(pool.insert(&mut posting, *id));
            }
            assert_eq!(posting.b, LARGE);
            assert!(pool.insert(&mut posting, 2));
            assert_eq!(pool.bitmap(posting).len(), 20_001);
            pool.remove(&mut posting, 2);
            ids.iter().for_each(|id| pool.remove(&mut posting, *id));
            assert!(posting.is_empty());
            assert_eq!(pool.large_free, [0]);
        }
    }
}
