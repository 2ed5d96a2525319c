//! Rows with and without a value: gathering the present ones, spreading them out again, and bits.
//!
//! Bits on disk are bytes, the lowest bit of the first byte being row 0; bits behind the last row
//! are written as zero and ignored when read. Validity inside the process is a `model::Bitmap`.

use super::CodecError;
use crate::model::Bitmap;

/// The values of the rows whose bit is set.
pub fn gather<T: Copy>(values: &[T], validity: &Bitmap) -> Vec<T> {
    let mut present = Vec::with_capacity(validity.count_ones());
    for (word, values) in validity.words().iter().zip(values.chunks(64)) {
        if *word == u64::MAX {
            present.extend_from_slice(values);
            continue;
        }
        let mut left = *word;
        while left != 0 {
            present.extend(values.get(left.trailing_zeros() as usize).copied());
            left &= left - 1;
        }
    }
    present
}

/// Moves the first values of `rows` to the rows whose bit is set; the other rows get the default.
/// There are as many values in front as `bits` has set bits.
#[expect(clippy::indexing_slicing, reason = "row runs below the length, source never above row")]
pub fn spread<T: Copy + Default>(rows: &mut [T], bits: &[u8]) {
    let mut source = count_ones(bits, rows.len());
    for row in (0..rows.len()).rev() {
        let set = bit(bits, row) && source > 0;
        source -= usize::from(set);
        rows[row] = if set { rows[source] } else { T::default() };
    }
}

/// Bit `row`; false behind the end.
#[inline(always)]
pub fn bit(bits: &[u8], row: usize) -> bool {
    bits.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 != 0)
}

/// Set bits among the first `rows`.
pub fn count_ones(bits: &[u8], rows: usize) -> usize {
    let full: u32 = bits.iter().take(rows / 8).map(|byte| byte.count_ones()).sum();
    let mask = (1u8 << (rows % 8)) - 1;
    let rest = bits.get(rows / 8).map_or(0, |byte| (byte & mask).count_ones());
    (full + rest) as usize
}

/// Appends the bits of `rows` rows from row `start` on, as bytes.
pub fn put_bits(map: &Bitmap, start: usize, rows: usize, out: &mut Vec<u8>) {
    let words = map.words();
    let word_at = |index: usize| words.get(index).copied().unwrap_or(0);
    let mut left = rows;
    let mut row = start;
    while left > 0 {
        let (index, shift) = (row / 64, row % 64);
        let mut word = word_at(index) >> shift;
        if shift > 0 {
            word |= word_at(index + 1) << (64 - shift);
        }
        let count = left.min(64);
        if count < 64 {
            word &= (1 << count) - 1;
        }
        out.extend(word.to_le_bytes().iter().take(count.div_ceil(8)));
        row += count;
        left -= count;
    }
}

/// Set bits of `rows` rows from row `start` on.
pub fn count_present(map: &Bitmap, start: usize, rows: usize) -> usize {
    let (mut row, end) = (start, start + rows);
    let mut count = 0;
    while row < end {
        let step = (64 - row % 64).min(end - row);
        let word = map.words().get(row / 64).copied().unwrap_or(0) >> (row % 64);
        let mask = u64::MAX >> (64 - step);
        count += (word & mask).count_ones() as usize;
        row += step;
    }
    count
}

/// Appends booleans as bits.
pub fn put_bools(values: &[bool], out: &mut Vec<u8>) {
    out.extend(values.chunks(8).map(|part| {
        part.iter().enumerate().fold(0u8, |byte, (at, value)| byte | u8::from(*value) << at)
    }));
}

/// Reads `out.len()` booleans from as many bits.
pub fn get_bools(bits: &[u8], out: &mut [bool]) -> Result<(), CodecError> {
    if bits.len() != out.len().div_ceil(8) {
        return Err(CodecError::Malformed("length of a bitmap"));
    }
    for (part, byte) in out.chunks_mut(8).zip(bits) {
        for (at, slot) in part.iter_mut().enumerate() {
            *slot = byte >> at & 1 != 0;
        }
    }
    Ok(())
}

/// Appends `rows` bits to the validity of a column that has `before` rows. A column without null
/// keeps `None`.
pub fn append_validity(
    validity: &mut Option<Bitmap>,
    before: usize,
    bits: Option<&[u8]>,
    rows: usize,
) {
    match (bits, validity.as_mut()) {
        (None, None) => {}
        (None, Some(map)) => map.extend_fill(rows, true),
        (Some(bits), Some(map)) => map.extend_bytes(bits, rows),
        (Some(bits), None) => {
            let mut map = Bitmap::filled(before, true);
            map.extend_bytes(bits, rows);
            *validity = Some(map);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn gathered_values_spread_back_to_their_rows(
            rows in proptest::collection::vec(proptest::option::weighted(0.6, 1..1000u32), 0..300),
            cut in 0..300usize,
        ) {
            let map = rows.iter().fold(Bitmap::default(), |mut map, row| {
                map.push(row.is_some());
                map
            });
            let values: Vec<u32> = rows.iter().map(|row| row.unwrap_or(0)).collect();
            let mut found = gather(&values, &map);
            prop_assert_eq!(&found, &rows.iter().flatten().copied().collect::<Vec<_>>());
            let mut bits = Vec::new();
            put_bits(&map, 0, rows.len(), &mut bits);
            found.resize(rows.len(), 77);
            spread(&mut found, &bits);
            prop_assert_eq!(found, values);

            let cut = cut.min(rows.len());
            let mut tail = Vec::new();
            put_bits(&map, cut, rows.len() - cut, &mut tail);
            let present = rows[cut..].iter().flatten().count();
            prop_assert_eq!(count_present(&map, cut, rows.len() - cut), present);
            prop_assert_eq!(count_ones(&tail, rows.len() - cut), present);
            let mut joined = None;
            append_validity(&mut joined, 0, Some(&bits), cut);
            append_validity(&mut joined, cut, Some(&tail), rows.len() - cut);
            append_validity(&mut joined, rows.len(), None, 70);
            let mut expected = map.clone();
            expected.extend_fill(70, true);
            prop_assert_eq!(joined, Some(expected));
        }

        #[test]
        fn booleans_come_back(values in proptest::collection::vec(any::<bool>(), 0..100)) {
            let mut bits = Vec::new();
            put_bools(&values, &mut bits);
            let mut found = vec![false; values.len()];
            get_bools(&bits, &mut found).unwrap();
            prop_assert_eq!(&found, &values);
            bits.push(0);
            prop_assert!(get_bools(&bits, &mut found).is_err());
        }
    }
}
