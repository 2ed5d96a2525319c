//! Bit packing of 128 numbers at one width, laid out so that a compiler makes vector code of it.
//!
//! Widths up to 32 use four lanes of u32, wider ones two lanes of u64. Number `i` belongs to lane
//! `i % lanes`; a lane packs its numbers one after another, the lowest bit first, and the words of
//! the lanes lie interleaved. So the shift is the same in all lanes at every step. A block of fewer
//! numbers keeps only the words it reaches: 128 numbers of `width` bits take `16 * width` bytes.

use super::CodecError;
use super::varint::take;

/// Numbers in a full block.
pub const BLOCK: usize = 128;
/// The widest number (bits).
pub const WIDTH_MAX: u32 = 64;

/// Bytes of `count` (at most 128) numbers of `width` bits.
pub fn packed_bytes(count: usize, width: u32) -> usize {
    let (lanes, bits) = if width <= 32 { (4, 32) } else { (2, 64) };
    (count.div_ceil(lanes) * width as usize).div_ceil(bits) * 16
}

/// The bits that `value` needs, 0 for 0.
#[inline(always)]
pub fn width_of(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

macro_rules! kernels {
    ($pack:ident, $unpack:ident, $word:ty, $lanes:literal) => {
        #[expect(
            clippy::indexing_slicing,
            reason = "a row's bit is under rows * width, so its word is under width, one spare behind"
        )]
        fn $pack(values: &[u64; BLOCK], width: u32, out: &mut Vec<u8>, bytes: usize) {
            const BITS: u32 = <$word>::BITS;
            let mask = <$word>::MAX >> (BITS - width);
            let mut words = [[0 as $word; $lanes]; BITS as usize + 1];
            for (row, lanes) in values.as_chunks::<$lanes>().0.iter().enumerate() {
                let bit = row as u32 * width;
                let (word, shift) = ((bit / BITS) as usize, bit % BITS);
                for (lane, value) in lanes.iter().enumerate() {
                    let value = *value as $word & mask;
                    words[word][lane] |= value << shift;
                    words[word + 1][lane] |= (value >> 1) >> (BITS - 1 - shift);
                }
            }
            let start = out.len();
            out.extend(words.as_flattened().iter().flat_map(|word| word.to_le_bytes()));
            out.truncate(start + bytes);
        }

        #[expect(
            clippy::indexing_slicing,
            reason = "a row's bit is under rows * width, so its word is under width, one spare behind"
        )]
        fn $unpack(input: &[u8], width: u32, values: &mut [u64; BLOCK]) {
            const BITS: u32 = <$word>::BITS;
            const BYTES: usize = BITS as usize / 8;
            let mask = <$word>::MAX >> (BITS - width);
            let mut words = [[0 as $word; $lanes]; BITS as usize + 1];
            let cells = input.as_chunks::<BYTES>().0;
            for (word, cell) in words.as_flattened_mut().iter_mut().zip(cells) {
                *word = <$word>::from_le_bytes(*cell);
            }
            for (row, lanes) in values.as_chunks_mut::<$lanes>().0.iter_mut().enumerate() {
                let bit = row as u32 * width;
                let (word, shift) = ((bit / BITS) as usize, bit % BITS);
                let (low, high) = (words[word], words[word + 1]);
                for (lane, value) in lanes.iter_mut().enumerate() {
                    let joined = low[lane] >> shift | (high[lane] << 1) << (BITS - 1 - shift);
                    *value = (joined & mask) as u64;
                }
            }
        }
    };
}

kernels!(pack_narrow, unpack_narrow, u32, 4);
kernels!(pack_wide, unpack_wide, u64, 2);

/// Appends the low `width` (at most 64) bits of the first `count` numbers; the others must be zero.
pub fn pack(values: &[u64; BLOCK], count: usize, width: u32, out: &mut Vec<u8>) {
    let bytes = packed_bytes(count, width);
    match width {
        0 => {}
        1..=32 => pack_narrow(values, width, out, bytes),
        _ => pack_wide(values, width, out, bytes),
    }
}

/// Reads `count` (at most 128) numbers; the entries behind them are not meant to be used.
pub fn unpack(
    input: &mut &[u8],
    count: usize,
    width: u32,
    values: &mut [u64; BLOCK],
) -> Result<(), CodecError> {
    if width > WIDTH_MAX {
        return Err(CodecError::Malformed("bit width over 64"));
    }
    let bytes = take(input, packed_bytes(count, width))?;
    match width {
        0 => values.fill(0),
        1..=32 => unpack_narrow(bytes, width, values),
        _ => unpack_wide(bytes, width, values),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn full_blocks_take_their_bits_and_no_more() {
        for width in 0..=WIDTH_MAX {
            assert_eq!(packed_bytes(BLOCK, width), 16 * width as usize);
        }
        assert_eq!(packed_bytes(1, 1), 16);
        assert_eq!(packed_bytes(0, 64), 0);
    }

    proptest! {
        #[test]
        fn every_width_and_count_comes_back(
            seed in proptest::collection::vec(any::<u64>(), BLOCK), count in 0..=BLOCK
        ) {
            for width in 0..=WIDTH_MAX {
                let mut values = [0u64; BLOCK];
                for (value, seed) in values.iter_mut().zip(&seed).take(count) {
                    *value = seed.checked_shr(WIDTH_MAX - width).unwrap_or(0);
                }
                let mut out = vec![9];
                pack(&values, count, width, &mut out);
                prop_assert_eq!(out.len(), 1 + packed_bytes(count, width));
                let mut input = &out[1..];
                let mut found = [1u64; BLOCK];
                unpack(&mut input, count, width, &mut found).unwrap();
                prop_assert!(input.is_empty());
                prop_assert_eq!(&found[..count], &values[..count]);
                if out.len() > 1 {
                    let mut cut = &out[1..out.len() - 1];
                    prop_assert!(unpack(&mut cut, count, width, &mut found).is_err());
                }
            }
        }
    }
}
