//! Which tags a shard certainly has no series with, a Bloom filter that every core may look at; and
//! a number that tells when the tag keys of a measurement may have changed.
//!
//! In: each measurement, and each (measurement, tag key, tag value), when the index first meets
//! it; only the shard's core writes. Out: whether a predicate may let a series of the shard
//! through. Who asks a question looks here first and leaves the other shards alone: waking another
//! core costs more than answering a small question.
//!
//! Nothing is ever taken out, so a series that is gone costs a needless question and no answer. A
//! series is here before the write that defines it is answered. The filter has a fixed size; at
//! some hundred thousand tag values it says "perhaps" a few times in a hundred, at millions nearly
//! always.
//!
//! One look-up touches one cache line: a hash names a block of 512 bits, and `PROBES` bits of it
//! (Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters, 2007).

use super::TagFilter;
use crate::model::MeasurementId;
use std::sync::atomic::{AtomicU64, Ordering};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Blocks of 64 bytes: 512 KiB.
const BLOCKS: usize = 8192;
const BLOCK_WORDS: usize = 8;
/// Bits of a block that stand for an entry, each told by nine bits of its hash.
const PROBES: u32 = 5;

/// See the module.
pub struct TagSketch {
    words: Box<[AtomicU64]>,
    /// Changes when a measurement gets or loses a tag key.
    keys_version: AtomicU64,
}

impl Default for TagSketch {
    fn default() -> TagSketch {
        let words = (0..BLOCKS * BLOCK_WORDS).map(|_| AtomicU64::new(0)).collect();
        TagSketch { words, keys_version: AtomicU64::new(0) }
    }
}

impl TagSketch {
    /// Notes a measurement.
    pub(super) fn add_measurement(&self, measurement: MeasurementId) {
        self.add(hash(measurement, b"", b""));
    }

    /// Notes a tag of a series of a measurement.
    pub(super) fn add_tag(&self, measurement: MeasurementId, key: &[u8], value: &[u8]) {
        self.add(hash(measurement, key, value));
    }

    /// Notes that a tag key got its first live series or lost its last one.
    pub(super) fn change_keys(&self) {
        self.keys_version.fetch_add(1, Ordering::Release);
    }

    /// As long as this stays the same, every measurement has the same tag keys here.
    pub fn keys_version(&self) -> u64 {
        self.keys_version.load(Ordering::Acquire)
    }

    /// False when no series of the measurement passes the predicate, for certain.
    pub fn may_match(&self, measurement: MeasurementId, filter: &TagFilter) -> bool {
        self.has(hash(measurement, b"", b"")) && self.may_pass(measurement, filter)
    }

    fn may_pass(&self, measurement: MeasurementId, filter: &TagFilter) -> bool {
        match filter {
            TagFilter::None => false,
            TagFilter::Equals { key, value } if !value.is_empty() => {
                self.has(hash(measurement, key, value))
            }
            TagFilter::And(all) => all.iter().all(|one| self.may_pass(measurement, one)),
            TagFilter::Or(any) => any.iter().any(|one| self.may_pass(measurement, one)),
            _ => true,
        }
    }

    fn add(&self, hash: u64) {
        for (word, bit) in places(hash) {
            if let Some(word) = self.words.get(word) {
                word.fetch_or(bit, Ordering::Release);
            }
        }
    }

    fn has(&self, hash: u64) -> bool {
        places(hash).all(|(word, bit)| {
            self.words.get(word).is_none_or(|word| word.load(Ordering::Acquire) & bit != 0)
        })
    }
}

/// A tag key is never empty, so a measurement by itself is no tag.
fn hash(measurement: MeasurementId, key: &[u8], value: &[u8]) -> u64 {
    let seed = xxh3_64_with_seed(key, u64::from(measurement.0));
    xxh3_64_with_seed(value, seed)
}

/// Word and bit of each probe of a hash.
fn places(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    let block = hash as usize % BLOCKS * BLOCK_WORDS;
    (0..PROBES).map(move |probe| {
        let at = hash >> (19 + 9 * probe);
        (block + (at >> 6) as usize % BLOCK_WORDS, 1 << (at & 63))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: MeasurementId = MeasurementId(7);

    fn is(key: &str, value: &str) -> TagFilter {
        TagFilter::Equals { key: key.as_bytes().into(), value: value.as_bytes().into() }
    }

    fn sketch(values: u32) -> TagSketch {
        let sketch = TagSketch::default();
        sketch.add_measurement(CPU);
        for at in 0..values {
            sketch.add_tag(CPU, b"host", format!("host_{at}").as_bytes());
        }
        sketch
    }

    #[test]
    fn what_was_added_may_match() {
        let sketch = sketch(1000);
        for at in 0..1000 {
            assert!(sketch.may_match(CPU, &is("host", &format!("host_{at}"))));
        }
    }

    #[test]
    fn what_was_not_added_seldom_matches() {
        let sketch = sketch(100_000);
        let strange = (0..10_000).map(|at| is("host", &format!("other_{at}")));
        let wrong = strange.filter(|one| sketch.may_match(CPU, one)).count();
        assert!(wrong < 100, "{wrong} of 10,000");
    }

    #[test]
    fn predicates_are_refused_only_when_they_cannot_pass() {
        let sketch = sketch(10);
        let (yes, no) = (|| is("host", "host_1"), || is("host", "nobody"));
        let may = |filter: &TagFilter| sketch.may_match(CPU, filter);
        assert!(may(&TagFilter::All) && !may(&TagFilter::None) && !may(&no()));
        assert!(may(&TagFilter::Or(vec![no(), yes()])) && !may(&TagFilter::Or(vec![no(), no()])));
        assert!(!may(&TagFilter::And(vec![no(), yes()])) && may(&TagFilter::And(Vec::new())));
        assert!(may(&TagFilter::Not(Box::new(no()))) && may(&is("rack", "")));
        assert!(!sketch.may_match(MeasurementId(8), &TagFilter::All), "no such measurement");
    }
}
