//! The checksum of everything on disk: xxh3, 64 bits.
//!
//! The seeded form ties bytes to their place (file, offset), so that bytes of another place or of
//! an earlier life of the file do not verify.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The checksum of `bytes`.
pub fn xxh3(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// The checksum of `bytes` at the place that `seed` stands for.
pub fn xxh3_seeded(bytes: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(bytes, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_is_the_published_one() {
        // Pins the on-disk format: the reference value of XXH3-64 for no input, seed 0.
        assert_eq!(xxh3(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(xxh3_seeded(b"", 0), xxh3(b""));
    }

    #[test]
    fn a_seed_and_a_bit_both_change_it() {
        assert_ne!(xxh3_seeded(b"rows", 1), xxh3_seeded(b"rows", 2));
        assert_ne!(xxh3(b"rows"), xxh3(b"rowr"));
    }
}
