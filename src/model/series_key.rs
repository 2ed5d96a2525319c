//! The canonical key of a series: its measurement and its tags, sorted by key.
//!
//! Bytes: `len measurement`, then for each tag in order of its key `len key len value`; every `len`
//! is a u16, little-endian. Length-prefixed and not escaped, because telnet and Graphite names may
//! end in a backslash, which no escaped form can hold. The hash of these bytes places the series on
//! a shard, so the form is part of the on-disk format.

use super::ShardId;
use std::cmp::Ordering;
use xxhash_rust::xxh3::xxh3_64;

/// The longest canonical key in bytes; a longer one is refused by the decoders.
pub const KEY_BYTES_MAX: usize = 65_535;

/// A canonical series key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SeriesKey(Box<[u8]>);

impl SeriesKey {
    /// Builds the key; `tags` must be sorted by key and distinct. `None` when it grows too long.
    pub fn build(measurement: &[u8], tags: &[(&[u8], &[u8])]) -> Option<SeriesKey> {
        let mut bytes = Vec::new();
        write_key(measurement, tags, &mut bytes).then(|| SeriesKey(bytes.into()))
    }

    /// Takes bytes from a message or a file; `None` when they are no well-formed key.
    pub fn from_bytes(bytes: &[u8]) -> Option<SeriesKey> {
        let mut rest = bytes;
        let mut parts = 0usize;
        while !rest.is_empty() {
            rest = split(rest)?.1;
            parts += 1;
        }
        (parts % 2 == 1 && bytes.len() <= KEY_BYTES_MAX).then(|| SeriesKey(bytes.into()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The measurement's name.
    pub fn measurement(&self) -> &[u8] {
        split(&self.0).map_or(&[], |(name, _)| name)
    }

    /// The tags, sorted by key.
    pub fn tags(&self) -> Tags<'_> {
        tags(&self.0)
    }

    /// The shard that owns this series in a store of `shards` shards.
    pub fn shard(&self, shards: u32) -> ShardId {
        shard_of(&self.0, shards)
    }
}

/// The tags in the bytes of a key, sorted by key; malformed bytes end early.
pub fn tags(key: &[u8]) -> Tags<'_> {
    Tags { rest: split(key).map_or(&[], |(_, rest)| rest) }
}

/// Writes the key into `out` (appended); false, with `out` cut back, when it would grow too long.
pub fn write_key(measurement: &[u8], tags: &[(&[u8], &[u8])], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let parts =
        std::iter::once(measurement).chain(tags.iter().flat_map(|(key, value)| [*key, *value]));
    for part in parts {
        let Ok(len) = u16::try_from(part.len()) else {
            out.truncate(start);
            return false;
        };
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(part);
    }
    let fits = out.len() - start <= KEY_BYTES_MAX;
    if !fits {
        out.truncate(start);
    }
    fits
}

/// The shard that owns a canonical key: the top 12 bits of its hash, spread over `shards` (1 to
/// 4096). The database takes no part, so a series of one name lives on one shard in every database.
pub fn shard_of(key: &[u8], shards: u32) -> ShardId {
    let bucket = (xxh3_64(key) >> 52) as u32;
    ShardId((bucket * shards) >> 12)
}

/// The tags of a key, in order of their keys.
#[derive(Clone)]
pub struct Tags<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tags<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, rest) = split(self.rest)?;
        let (value, rest) = split(rest)?;
        self.rest = rest;
        Some((key, value))
    }
}

/// The order in which series are shown where nothing else orders them: by measurement, then tag by
/// tag, each name as text. (The order of the canonical bytes has short names first.)
pub fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (Some((left, next_a)), Some((right, next_b))) = (split(a), split(b)) else {
            return a.cmp(b);
        };
        match left.cmp(right) {
            Ordering::Equal => (a, b) = (next_a, next_b),
            unequal => return unequal,
        }
    }
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_le_bytes(*len) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_in_the_order_of_their_texts() {
        let key = |tags: &[(&[u8], &[u8])]| SeriesKey::build(b"m", tags).unwrap();
        let sorted = [
            key(&[]),
            key(&[(b"h", b"1")]),
            key(&[(b"h", b"10")]),
            key(&[(b"h", b"10"), (b"z", b"a")]),
            key(&[(b"h", b"2")]),
            key(&[(b"i", b"1")]),
        ];
        for (at, a) in sorted.iter().enumerate() {
            for (other, b) in sorted.iter().enumerate() {
                let found = compare(a.as_bytes(), b.as_bytes());
                assert_eq!(found, at.cmp(&other), "{at} {other}");
            }
        }
    }

    #[test]
    fn a_key_reads_back_what_it_was_built_from() {
        let tags: [(&[u8], &[u8]); 2] = [(b"host", b"a\\"), (b"region", b"eu,west")];
        let key = SeriesKey::build(b"cpu load", &tags).unwrap();
        assert_eq!(key.measurement(), b"cpu load");
        assert_eq!(key.tags().collect::<Vec<_>>(), tags);
        assert_eq!(SeriesKey::from_bytes(key.as_bytes()), Some(key.clone()));
        assert_eq!(SeriesKey::from_bytes(&key.as_bytes()[1..]), None);
        assert_eq!(SeriesKey::from_bytes(&[]), None);
    }

    #[test]
    fn too_long_a_key_is_refused_whole() {
        let long = vec![b'x'; 40_000];
        assert!(SeriesKey::build(b"m", &[(b"a", &long)]).is_some());
        let mut out = vec![1];
        assert!(!write_key(b"m", &[(b"a", &long), (b"b", &long)], &mut out));
        assert_eq!(out, [1]);
    }

    #[test]
    fn shards_are_all_used_and_in_range() {
        for shards in [1, 2, 3, 8, 64] {
            let mut seen = vec![0; shards as usize];
            for n in 0..10_000u32 {
                let key = SeriesKey::build(b"cpu", &[(b"host", n.to_string().as_bytes())]).unwrap();
                seen[key.shard(shards).index()] += 1;
            }
            let even = 10_000 / shards as usize;
            assert!(seen.iter().all(|count| *count > even / 2), "{shards}: {seen:?}");
        }
    }
}
