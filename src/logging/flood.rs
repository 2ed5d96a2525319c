//! Floods: of one kind of event only so many a second are let through.
//!
//! In: the kind of an event and the second it happens in. Out: whether it is let through, and how
//! many before it were not. A kind is a module with a level. A slot is two words; threads that
//! meet in one may let a few more or fewer through.

use super::Level;
use std::sync::atomic::{AtomicU64, Ordering};

/// Events of one kind that are let through in a second.
const RATE: u64 = 10;
/// Kinds that are told apart.
const SLOTS: usize = 64;

#[derive(Default)]
struct Slot {
    /// The second, and in the lower 16 bits how many were let through in it.
    let_through: AtomicU64,
    held_back: AtomicU64,
}

/// What was seen of each kind.
pub(super) struct Seen([Slot; SLOTS]);

impl Default for Seen {
    fn default() -> Seen {
        Seen(std::array::from_fn(|_| Slot::default()))
    }
}

impl Seen {
    /// Lets an event through or holds it back (`None`); gives how many were held back before it.
    pub(super) fn let_through(&self, module: &str, level: Level, second: u64) -> Option<u64> {
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(module.as_bytes(), level as u64);
        let slot = self.0.get(hash as usize % SLOTS)?;
        let seen = slot.let_through.load(Ordering::Relaxed);
        let count = if seen >> 16 == second { seen & 0xffff } else { 0 };
        if count >= RATE {
            slot.held_back.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        slot.let_through.store(second << 16 | (count + 1), Ordering::Relaxed);
        Some(slot.held_back.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted() {
        let seen = Seen::default();
        for _ in 0..RATE {
            assert_eq!(seen.let_through("http", Level::Warn, 5), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(seen.let_through("http", Level::Warn, 5), None);
        }
        assert_eq!(seen.let_through("shard", Level::Warn, 5), Some(0));
        assert_eq!(seen.let_through("http", Level::Warn, 6), Some(7));
        assert_eq!(seen.let_through("http", Level::Warn, 6), Some(0));
    }
}
