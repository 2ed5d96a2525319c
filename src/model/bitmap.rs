//! A growable bitmap: the validity of a column's rows.

/// Bits of `len` rows, 64 to a word, the lowest bit first. Bits behind `len` are zero.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// A bitmap of `len` equal bits.
    pub fn filled(len: usize, bit: bool) -> Bitmap {
        let mut map = Bitmap::default();
        map.extend_fill(len, bit);
        map
    }

    /// Takes words (lowest bit first); bits behind `len` are cleared, missing words are zero.
    pub fn from_words(mut words: Vec<u64>, len: usize) -> Bitmap {
        words.resize(len.div_ceil(64), 0);
        if let (Some(last), true) = (words.last_mut(), !len.is_multiple_of(64)) {
            *last &= (1u64 << (len % 64)) - 1;
        }
        Bitmap { words, len }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The words, the lowest bit of the first word being row 0.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The bit of `row`; false behind the end.
    pub fn get(&self, row: usize) -> bool {
        self.words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 != 0)
    }

    /// Sets the bit of an existing row; a row behind the end is left alone.
    pub fn set(&mut self, row: usize, bit: bool) {
        if row >= self.len {
            return;
        }
        if let Some(word) = self.words.get_mut(row / 64) {
            let mask = 1u64 << (row % 64);
            *word = if bit { *word | mask } else { *word & !mask };
        }
    }

    /// Appends one bit.
    pub fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(64) {
            self.words.push(0);
        }
        let row = self.len;
        self.len += 1;
        if bit {
            self.set(row, true);
        }
    }

    /// Appends `count` equal bits.
    pub fn extend_fill(&mut self, count: usize, bit: bool) {
        let end = self.len + count;
        if bit {
            while self.len < end && !self.len.is_multiple_of(64) {
                self.push(true);
            }
            while self.len + 64 <= end {
                self.words.push(u64::MAX);
                self.len += 64;
            }
            while self.len < end {
                self.push(true);
            }
        } else {
            self.words.resize(end.div_ceil(64), 0);
            self.len = end;
        }
    }

    /// Appends `count` bits from bytes (lowest bit first); missing bytes are zero.
    pub fn extend_bytes(&mut self, bytes: &[u8], count: usize) {
        let end = self.len + count;
        self.words.resize(end.div_ceil(64), 0);
        let shift = self.len % 64;
        let mut words = self.words.iter_mut().skip(self.len / 64).peekable();
        let mut left = count;
        for part in bytes.chunks(8) {
            let mut word = part.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
            if left < 64 {
                word &= (1 << left) - 1;
            }
            if let Some(low) = words.next() {
                *low |= word << shift;
            }
            if let (Some(high), true) = (words.peek_mut(), shift > 0) {
                **high |= word >> (64 - shift);
            }
            left -= left.min(64);
        }
        self.len = end;
    }

    /// Number of set bits.
    pub fn count_ones(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Removes all rows, keeping the memory.
    pub fn clear(&mut self) {
        self.words.clear();
        self.len = 0;
    }

    /// Appends the bits of `rows` of another bitmap, a word at a time; rows behind its end are
    /// false.
    pub fn extend_rows(&mut self, from: &Bitmap, rows: std::ops::Range<usize>) {
        let mut row = rows.start;
        while row < rows.end {
            let count = (rows.end - row).min(64);
            let low = from.words.get(row / 64).copied().unwrap_or(0);
            let high = from.words.get(row / 64 + 1).copied().unwrap_or(0);
            // Two shifts, because one by 64 would not be zero.
            let word = low >> (row % 64) | (high << 1) << (63 - row % 64);
            self.push_bits(word, count);
            row += count;
        }
    }

    /// Appends the lowest `count` (1 to 64) bits of a word.
    fn push_bits(&mut self, word: u64, count: usize) {
        let word = word & (u64::MAX >> (64 - count));
        let used = self.len % 64;
        match self.words.last_mut() {
            Some(last) if used != 0 => {
                *last |= word << used;
                if used + count > 64 {
                    self.words.push(word >> (64 - used));
                }
            }
            _ => self.words.push(word),
        }
        self.len += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_and_fills_agree_with_a_vector_of_bools() {
        let mut map = Bitmap::default();
        let mut model = Vec::new();
        for step in 0..40usize {
            let (count, bit) = (step * 7 % 130, step % 3 != 0);
            map.extend_fill(count, bit);
            model.extend(std::iter::repeat_n(bit, count));
            map.push(!bit);
            model.push(!bit);
        }
        assert_eq!(map.len(), model.len());
        assert!((0..model.len()).all(|row| map.get(row) == model[row]));
        assert_eq!(map.count_ones(), model.iter().filter(|bit| **bit).count());
        assert_eq!(Bitmap::from_words(map.words().to_vec(), map.len()), map);
    }

    #[test]
    fn bytes_append_at_any_bit() {
        let bytes: Vec<u8> = (0..40u8).map(|n| n.wrapping_mul(73)).collect();
        for start in [0, 1, 63, 64, 65] {
            for count in [0, 1, 8, 63, 64, 65, 127, 128, 129, 320] {
                let mut map = Bitmap::filled(start, true);
                map.extend_bytes(&bytes, count);
                let mut model = Bitmap::filled(start, true);
                (0..count).for_each(|row| model.push(bytes[row / 8] >> (row % 8) & 1 != 0));
                assert_eq!(map, model, "{start} {count}");
            }
        }
    }

    #[test]
    fn rows_behind_the_end_are_false_and_cannot_be_set() {
        let mut map = Bitmap::filled(3, true);
        map.set(3, true);
        assert!(!map.get(3) && !map.get(1000));
        assert_eq!(Bitmap::from_words(vec![u64::MAX], 3), map);
    }

    #[test]
    fn ranges_of_rows_are_copied_from_any_place_to_any_place() {
        let mut from = Bitmap::default();
        (0..300usize).for_each(|row| from.push(row * row % 7 < 3));
        for held in [0, 1, 63, 64, 65] {
            for (start, end) in [(0, 0), (0, 1), (0, 64), (1, 65), (63, 300), (64, 128), (7, 299)] {
                let mut map = Bitmap::filled(held, true);
                map.extend_rows(&from, start..end);
                assert_eq!(map.len(), held + end - start);
                assert!((0..held).all(|row| map.get(row)));
                assert!((start..end).all(|row| map.get(held + row - start) == from.get(row)));
                assert_eq!(Bitmap::from_words(map.words().to_vec(), map.len()), map);
            }
        }
    }
}
