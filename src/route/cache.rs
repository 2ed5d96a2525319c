//! The series cache of one core: raw key bytes of a sender to (shard, series, measurement).
//!
//! In: a 128-bit hash of (database, door, key bytes), keyed by a per-process secret so that nobody
//! outside can make two keys meet. Out: where the series lives. No key bytes are kept: an entry is
//! 32 bytes. Open addressing with linear probing; the table doubles up to a limit in entries, from
//! then on the CLOCK hand evicts entries not looked up since it last came by. An entry is a hint
//! that the owner checks: a retired series is noticed there and taught anew.
//!
//! An entry also remembers which types the catalog was seen to have for its field, so that a row of
//! one value costs one look-up and not two. What was seen counts until something is taken away from
//! the catalog (`State::narrowed`).

use crate::model::{DbId, FieldNo, MeasurementId, SeriesId, ShardId, TypeSet};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Slots of the first table.
const SLOTS_MIN: usize = 1024;

/// Where a series lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeriesHandle {
    pub shard: ShardId,
    pub series: SeriesId,
    pub measurement: MeasurementId,
    /// The field that the key names beside its series; 0 for keys that name none.
    pub field: FieldNo,
    /// Types that the catalog has for the field, as far as they were confirmed.
    pub types: TypeSet,
}

/// Which form the hashed bytes have: equal bytes of two forms may name different series.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyForm {
    /// The key of a line of line protocol, as sent.
    Line = 1,
    /// Metric and tag words of a telnet line, as sent.
    Telnet = 2,
    /// A canonical key (`SeriesKey`), for doors that send no raw key.
    Canonical = 3,
    /// The JSON of name and tags of a KairosDB metric, as sent.
    Kairos = 4,
    /// A Graphite path, as sent.
    Graphite = 5,
}

#[derive(Clone, Copy)]
struct Slot {
    /// 0 = empty.
    hash: u128,
    shard: u16,
    /// The confirmed types, and `USED` when the entry was looked up since the hand came by.
    marks: u8,
    /// Low bits of the catalog's count when the types were confirmed.
    narrowed: u8,
    series: SeriesId,
    measurement: MeasurementId,
    field: FieldNo,
}

/// Above every type's bit.
const USED: u8 = 1 << 7;

const EMPTY: Slot = Slot {
    hash: 0,
    shard: 0,
    marks: 0,
    narrowed: 0,
    series: SeriesId(0),
    measurement: MeasurementId(0),
    field: FieldNo(0),
};

impl Slot {
    fn new(hash: u128, narrowed: u8, handle: SeriesHandle) -> Slot {
        let SeriesHandle { shard, series, measurement, field, types } = handle;
        // A store has at most 4,096 shards.
        let (shard, marks) = (shard.0 as u16, types.0 | USED);
        Slot { hash, shard, marks, narrowed, series, measurement, field }
    }

    #[inline]
    fn handle(&self, narrowed: u8) -> SeriesHandle {
        let Slot { shard, series, measurement, field, .. } = *self;
        let types = if self.narrowed == narrowed { self.marks & !USED } else { 0 };
        let (shard, types) = (ShardId(shard.into()), TypeSet(types));
        SeriesHandle { shard, series, measurement, field, types }
    }
}

const _: () = assert!(size_of::<Slot>() == 32);

/// Keyed hash to series, bounded.
pub struct SeriesCache {
    secret: u64,
    slots: Box<[Slot]>,
    entries: usize,
    entries_max: usize,
    hand: usize,
    /// The catalog's count when the cache was last entered.
    narrowed: u64,
}

impl SeriesCache {
    /// An empty cache; `secret` must be random per process, `entries_max` is at least 16.
    pub fn new(secret: u64, entries_max: usize) -> SeriesCache {
        let slots = vec![EMPTY; SLOTS_MIN].into();
        let entries_max = entries_max.max(16);
        SeriesCache { secret, slots, entries: 0, entries_max, hand: 0, narrowed: 0 }
    }

    /// The keyed hash of a key; never 0.
    #[inline]
    pub fn hash(&self, db: DbId, form: KeyForm, key: &[u8]) -> u128 {
        let salt = (u64::from(db.0) << 8 | form as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        xxh3_128_with_seed(key, self.secret ^ salt).max(1)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether nothing is cached.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Bytes of memory the table uses.
    pub fn bytes(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
    }

    /// Takes over the catalog's count of what was taken away (`State::narrowed`): types confirmed
    /// under another count are forgotten.
    pub fn enter(&mut self, narrowed: u64) {
        if narrowed >> 8 != self.narrowed >> 8 {
            // The entries' low bits would come round.
            self.slots.iter_mut().for_each(|slot| slot.marks &= USED);
        }
        self.narrowed = narrowed;
    }

    /// Remembers the types that the catalog has for an entry's field.
    pub fn confirm(&mut self, hash: u128, types: TypeSet) {
        let narrowed = self.narrowed as u8;
        if let Some(slot) = self.find(hash).and_then(|at| self.slots.get_mut(at)) {
            (slot.marks, slot.narrowed) = (types.0 | USED, narrowed);
        }
    }

    /// The series of a hash, if it is cached; marks it as used.
    #[inline]
    pub fn get(&mut self, hash: u128) -> Option<SeriesHandle> {
        let mut at = self.home(hash);
        loop {
            let mask = self.slots.len() - 1;
            let slot = self.slots.get_mut(at & mask)?;
            if slot.hash == hash {
                // Not written when it would change nothing: the line stays clean.
                if slot.marks & USED == 0 {
                    slot.marks |= USED;
                }
                return Some(slot.handle(self.narrowed as u8));
            }
            if slot.hash == 0 {
                return None;
            }
            at += 1;
        }
    }

    /// Puts or replaces an entry. At the limit an entry not used lately makes room.
    pub fn insert(&mut self, hash: u128, handle: SeriesHandle) {
        let (hash, narrowed) = (hash.max(1), self.narrowed as u8);
        if let Some(slot) = self.find(hash).and_then(|at| self.slots.get_mut(at)) {
            *slot = Slot::new(hash, narrowed, handle);
            return;
        }
        if self.entries >= self.entries_max {
            self.evict();
        } else if (self.entries + 1) * 4 > self.slots.len() * 3 {
            self.rebuild(self.slots.len() * 2, |_| true);
        }
        self.place(Slot::new(hash, narrowed, handle));
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        let narrowed = self.narrowed;
        *self = SeriesCache { narrowed, ..SeriesCache::new(self.secret, self.entries_max) };
    }

    /// Keeps the entries for which `keep` says so, for example those not retired by a shard.
    pub fn retain(&mut self, keep: impl Fn(&SeriesHandle) -> bool) {
        self.rebuild(self.slots.len(), keep);
    }

    fn home(&self, hash: u128) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    fn find(&self, hash: u128) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let start = self.home(hash);
        (start..start + self.slots.len())
            .map(|at| at & mask)
            .map_while(|at| self.slots.get(at).filter(|slot| slot.hash != 0).map(|s| (at, s.hash)))
            .find(|(_, found)| *found == hash)
            .map(|(at, _)| at)
    }

    /// Puts an entry that is not in the table into the first free slot behind its home. The load
    /// limit keeps a quarter of the slots free.
    fn place(&mut self, entry: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = self.home(entry.hash);
        while self.slots.get(at & mask).is_some_and(|slot| slot.hash != 0) {
            at += 1;
        }
        if let Some(slot) = self.slots.get_mut(at & mask) {
            *slot = entry;
            self.entries += 1;
        }
    }

    fn evict(&mut self) {
        let mask = self.slots.len() - 1;
        // Two rounds suffice: the first clears every mark.
        for _ in 0..self.slots.len() * 2 + 1 {
            let at = self.hand & mask;
            self.hand = self.hand.wrapping_add(1);
            let Some(slot) = self.slots.get_mut(at) else { return };
            if slot.hash != 0 && slot.marks & USED == 0 {
                self.remove_at(at);
                return;
            }
            slot.marks &= !USED;
        }
    }

    /// Empties a slot and moves later entries of the same probe run back, so that none is cut off.
    fn remove_at(&mut self, at: usize) {
        let mask = self.slots.len() - 1;
        let mut hole = at;
        let mut next = at;
        loop {
            next = (next + 1) & mask;
            let Some(entry) = self.slots.get(next).copied().filter(|slot| slot.hash != 0) else {
                break;
            };
            let distance = next.wrapping_sub(self.home(entry.hash)) & mask;
            if distance >= next.wrapping_sub(hole) & mask {
                if let Some(slot) = self.slots.get_mut(hole) {
                    *slot = entry;
                }
                hole = next;
            }
        }
        if let Some(slot) = self.slots.get_mut(hole) {
            *slot = EMPTY;
        }
        self.entries -= 1;
    }

    fn rebuild(&mut self, slots: usize, keep: impl Fn(&SeriesHandle) -> bool) {
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; slots].into());
        self.entries = 0;
        for entry in old.iter().filter(|slot| slot.hash != 0 && keep(&slot.handle(0))) {
            self.place(*entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn handle(n: u32) -> SeriesHandle {
        SeriesHandle {
            shard: ShardId(n % 4),
            series: SeriesId(n),
            measurement: MeasurementId(1),
            field: FieldNo(n % 3),
            types: TypeSet((n % 32) as u8),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn below_its_limit_it_is_a_map(keys in prop::collection::vec(0u32..3000, 1..4000)) {
            let mut cache = SeriesCache::new(7, 100_000);
            let mut model = BTreeMap::new();
            for (n, key) in keys.iter().enumerate() {
                let hash = cache.hash(DbId(1), KeyForm::Line, &key.to_le_bytes());
                cache.insert(hash, handle(n as u32));
                model.insert(hash, handle(n as u32));
            }
            cache.retain(|handle| handle.shard != ShardId(2));
            model.retain(|_, handle| handle.shard != ShardId(2));
            prop_assert_eq!(cache.len(), model.len());
            for (hash, handle) in model {
                prop_assert_eq!(cache.get(hash), Some(handle));
            }
        }
    }

    #[test]
    fn at_its_limit_it_keeps_what_is_used() {
        let mut cache = SeriesCache::new(9, 1000);
        let hashes: Vec<u128> =
            (0..20_000u32).map(|n| cache.hash(DbId(1), KeyForm::Line, &n.to_le_bytes())).collect();
        for (n, hash) in hashes.iter().enumerate() {
            cache.insert(*hash, handle(n as u32));
            // The first hundred are looked up all the time and must survive.
            for hot in hashes.iter().take(100.min(n)) {
                assert!(cache.get(*hot).is_some(), "lost a hot entry after {n} inserts");
            }
        }
        assert_eq!(cache.len(), 1000);
        for (n, hash) in hashes.iter().enumerate() {
            assert!(cache.get(*hash).is_none_or(|found| found == handle(n as u32)));
        }
        cache.clear();
        assert!(cache.is_empty());
    }

    #[test]
    fn confirmed_types_are_forgotten_when_the_catalog_loses_something() {
        let mut cache = SeriesCache::new(3, 100);
        let none = SeriesHandle { types: TypeSet::default(), ..handle(5) };
        cache.enter(7);
        cache.insert(9, none);
        assert_eq!(cache.get(9), Some(none));
        cache.confirm(9, TypeSet(3));
        cache.confirm(10, TypeSet(3));
        assert_eq!((cache.get(9).unwrap().types, cache.get(10)), (TypeSet(3), None));
        for narrowed in [8, 7 + 256, 7 + 1024] {
            cache.enter(narrowed);
            assert_eq!(cache.get(9), Some(none), "{narrowed}");
            cache.confirm(9, TypeSet(5));
            assert_eq!(cache.get(9).unwrap().types, TypeSet(5));
        }
    }

    #[test]
    fn database_and_form_are_part_of_the_key() {
        let cache = SeriesCache::new(1, 16);
        let base = cache.hash(DbId(1), KeyForm::Line, b"m");
        assert_ne!(base, cache.hash(DbId(2), KeyForm::Line, b"m"));
        assert_ne!(base, cache.hash(DbId(1), KeyForm::Telnet, b"m"));
        assert_ne!(base, SeriesCache::new(2, 16).hash(DbId(1), KeyForm::Line, b"m"));
    }
}
