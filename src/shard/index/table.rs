//! A hash table from 32 bits of hash to a number, without keys.
//!
//! The caller holds what the numbers mean and compares it when the hash bits agree. 64 parts grow
//! on their own, so one insertion moves at most a 64th of the entries (50 µs at a million). Slots
//! are in order of hash, so growing walks both the old and the new part from front to back.

/// No value: the slot is free.
const FREE: u32 = u32::MAX;
/// log2 of the number of parts.
const PART_BITS: u32 = 6;

#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    value: u32,
}

#[derive(Default)]
struct Part {
    slots: Vec<Slot>,
    used: usize,
}

/// See the module.
pub(super) struct Table {
    parts: Vec<Part>,
}

impl Default for Table {
    fn default() -> Table {
        Table { parts: (0..1 << PART_BITS).map(|_| Part::default()).collect() }
    }
}

impl Table {
    /// The value under `hash` of which `is` says that it is the one.
    pub(super) fn find(&self, hash: u32, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let part = self.parts.get(part_of(hash))?;
        let (front, back) = part.slots.split_at_checked(part.first(hash))?;
        for slot in back.iter().chain(front) {
            if slot.value == FREE {
                return None;
            }
            if slot.hash == hash && is(slot.value) {
                return Some(slot.value);
            }
        }
        None
    }

    /// Adds a value (below `u32::MAX`) that is not there yet.
    pub(super) fn insert(&mut self, hash: u32, value: u32) {
        debug_assert!(value != FREE);
        let Some(part) = self.parts.get_mut(part_of(hash)) else { return };
        if (part.used + 1) * 5 > part.slots.len() * 4 {
            part.grow();
        }
        part.put(Slot { hash, value });
        part.used += 1;
    }

    /// Puts `new` in the place of `old`.
    pub(super) fn replace(&mut self, hash: u32, old: u32, new: u32) {
        let Some(part) = self.parts.get_mut(part_of(hash)) else { return };
        let first = part.first(hash);
        let Some((front, back)) = part.slots.split_at_mut_checked(first) else { return };
        let mut slots = back.iter_mut().chain(front).take_while(|slot| slot.value != FREE);
        if let Some(slot) = slots.find(|slot| slot.hash == hash && slot.value == old) {
            slot.value = new;
        }
    }

    /// Bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.slots.capacity() * size_of::<Slot>()).sum::<usize>()
            + self.parts.capacity() * size_of::<Part>()
    }
}

impl Part {
    /// The slot where the search for `hash` begins: its place in the order of all hashes.
    fn first(&self, hash: u32) -> usize {
        ((u64::from(hash << PART_BITS) * self.slots.len() as u64) >> 32) as usize
    }

    fn put(&mut self, slot: Slot) {
        let first = self.first(slot.hash);
        let Some((front, back)) = self.slots.split_at_mut_checked(first) else { return };
        if let Some(free) = back.iter_mut().chain(front).find(|slot| slot.value == FREE) {
            *free = slot;
        }
    }

    /// Grows by a quarter: entries fill 64 to 80% of the slots.
    fn grow(&mut self) {
        let len = (self.slots.len() + self.slots.len() / 4).max(self.slots.len() + 4);
        let larger = vec![Slot { hash: 0, value: FREE }; len];
        let smaller = std::mem::replace(&mut self.slots, larger);
        for slot in smaller.into_iter().filter(|slot| slot.value != FREE) {
            self.put(slot);
        }
    }
}

fn part_of(hash: u32) -> usize {
    (hash >> (32 - PART_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_found_under_its_hash_and_no_other() {
        let mut table = Table::default();
        // Few distinct hashes, at both ends of the range, force long probes and wrap-around.
        let hash_of = |n: u32| (n % 97).wrapping_mul(0x9E37_79B9) | (0u32.wrapping_sub(n % 3));
        for n in 0..5_000 {
            assert_eq!(table.find(hash_of(n), |value| value == n), None);
            table.insert(hash_of(n), n);
        }
        for n in 0..5_000 {
            assert_eq!(table.find(hash_of(n), |value| value == n), Some(n));
        }
        table.replace(hash_of(7), 7, 9_999);
        assert_eq!(table.find(hash_of(7), |value| value == 7), None);
        assert_eq!(table.find(hash_of(7), |value| value == 9_999), Some(9_999));
    }
}
