//! Statistics of a column in a chunk, and the pages that hold them.
//!
//! In: columns as they are encoded. Out: count, least and greatest value, integer sum; a page has
//! those of one column over the chunks of one directory, so that asking for one column reads no
//! other. A page is 32 bytes per chunk that has the column, in order of the chunk, then a checksum:
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | chunk, counted within its directory |
//! | 4..8 | values that are not null |
//! | 8..16, 16..24 | least, greatest value: bits of f64, i64, u64; 0 or 1; 0 for strings |
//! | 24..32 | wrapping sum of i64 or u64, else 0 |
//!
//! Validity: the checksum, seeded by file and offset. A page is written once, before the tail that
//! makes its file valid, so a cut at any byte leaves no file that names half a page.

use super::format::{Fields, put_u32, put_u64};
use crate::model::{Column, ColumnId, FieldType, Values};

/// Bytes of one entry.
pub const ENTRY_BYTES: usize = 32;

/// What is known of a column's values in one chunk without decoding them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Statistics {
    /// Values that are not null, at least 1.
    pub count: u32,
    pub summary: Summary,
}

/// Least and greatest value by type; sums wrap. Float sums are never taken from here: they depend
/// on the order of addition. A NaN takes no part; where all values are NaN, so are `min` and `max`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Summary {
    Float { min: f64, max: f64 },
    Integer { min: i64, max: i64, sum: i64 },
    Unsigned { min: u64, max: u64, sum: u64 },
    Boolean { min: bool, max: bool },
    String,
}

impl Statistics {
    /// Looks through a column once; `None` when it holds no value.
    #[must_use]
    pub fn of(column: &Column) -> Option<Statistics> {
        let rows = column.values.len();
        let count = column.validity.as_ref().map_or(rows, |bits| bits.count_ones());
        if count == 0 {
            return None;
        }
        let summary = match &column.values {
            Values::Float(values) => {
                let start = (f64::NAN, f64::NAN);
                let (min, max) = fold(column, values, start, |(min, max), value| {
                    // `min` and `max` of the standard library prefer the number over a NaN.
                    (value.min(min), value.max(max))
                });
                Summary::Float { min, max }
            }
            Values::Integer(values) => {
                let start = (i64::MAX, i64::MIN, 0i64);
                let (min, max, sum) = fold(column, values, start, |(min, max, sum), value| {
                    (value.min(min), value.max(max), sum.wrapping_add(value))
                });
                Summary::Integer { min, max, sum }
            }
            Values::Unsigned(values) => {
                let start = (u64::MAX, u64::MIN, 0u64);
                let (min, max, sum) = fold(column, values, start, |(min, max, sum), value| {
                    (value.min(min), value.max(max), sum.wrapping_add(value))
                });
                Summary::Unsigned { min, max, sum }
            }
            Values::Boolean(values) => {
                let start = (true, false);
                let (min, max) =
                    fold(column, values, start, |(min, max), value| (min & value, max | value));
                Summary::Boolean { min, max }
            }
            Values::String(_) => Summary::String,
        };
        Some(Statistics { count: count as u32, summary })
    }

    /// Appends the entry of chunk number `chunk` of its directory.
    pub fn write(&self, chunk: u32, out: &mut Vec<u8>) {
        let (min, max, sum) = match self.summary {
            Summary::Float { min, max } => (min.to_bits(), max.to_bits(), 0),
            Summary::Integer { min, max, sum } => (min as u64, max as u64, sum as u64),
            Summary::Unsigned { min, max, sum } => (min, max, sum),
            Summary::Boolean { min, max } => (min.into(), max.into(), 0),
            Summary::String => (0, 0, 0),
        };
        put_u32(out, chunk);
        put_u32(out, self.count);
        for part in [min, max, sum] {
            put_u64(out, part);
        }
    }

    /// Finds the entry of a chunk in a page (without its checksum).
    pub fn find(page: &[u8], chunk: u32, column: ColumnId) -> Option<Statistics> {
        let (entries, _) = page.as_chunks::<ENTRY_BYTES>();
        let number = |entry: &[u8; ENTRY_BYTES]| Fields::new(entry).u32();
        let at = entries.binary_search_by_key(&Some(chunk), number).ok()?;
        let mut fields = Fields::new(entries.get(at)?);
        fields.u32()?;
        let count = fields.u32()?;
        let (min, max, sum) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let summary = match column.kind() {
            FieldType::Float => {
                Summary::Float { min: f64::from_bits(min), max: f64::from_bits(max) }
            }
            FieldType::Integer => {
                Summary::Integer { min: min as i64, max: max as i64, sum: sum as i64 }
            }
            FieldType::Unsigned => Summary::Unsigned { min, max, sum },
            FieldType::Boolean => Summary::Boolean { min: min != 0, max: max != 0 },
            FieldType::String => Summary::String,
        };
        Some(Statistics { count, summary })
    }
}

/// Folds the values that are not null.
fn fold<T: Copy, S>(column: &Column, values: &[T], start: S, step: impl Fn(S, T) -> S) -> S {
    match &column.validity {
        None => values.iter().fold(start, |state, value| step(state, *value)),
        Some(bits) => values
            .iter()
            .enumerate()
            .filter(|(row, _)| bits.get(*row))
            .fold(start, |state, (_, value)| step(state, *value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bitmap, FieldNo};

    fn column(values: Values, nulls: &[usize]) -> Column {
        let mut bits = Bitmap::filled(values.len(), true);
        for row in nulls {
            bits.set(*row, false);
        }
        Column { id: ColumnId::new(FieldNo(1), values.kind()), values, validity: Some(bits) }
    }

    #[test]
    fn nulls_take_no_part_and_pages_give_back_what_went_in() {
        let columns = [
            column(Values::Float(vec![-9.0, 1.5, f64::NAN, -2.0]), &[0]),
            column(Values::Integer(vec![i64::MIN, i64::MAX, 1]), &[0]),
            column(Values::Unsigned(vec![u64::MAX, 2, 3]), &[2]),
            column(Values::Boolean(vec![true, false, true]), &[1]),
            column(Values::String(Default::default()), &[]),
        ];
        let got: Vec<_> = columns.iter().map(Statistics::of).collect();
        let want = [
            Some(Statistics { count: 3, summary: Summary::Float { min: -2.0, max: 1.5 } }),
            Some(Statistics {
                count: 2,
                summary: Summary::Integer { min: 1, max: i64::MAX, sum: i64::MIN },
            }),
            Some(Statistics {
                count: 2,
                summary: Summary::Unsigned { min: 2, max: u64::MAX, sum: 1 },
            }),
            Some(Statistics { count: 2, summary: Summary::Boolean { min: true, max: true } }),
            None,
        ];
        assert_eq!(got, want);
        for (column, stats) in columns.iter().zip(want) {
            let Some(stats) = stats else { continue };
            let mut page = Vec::new();
            stats.write(3, &mut page);
            Statistics { count: 1, ..stats }.write(8, &mut page);
            assert_eq!(Statistics::find(&page, 3, column.id), Some(stats));
            assert_eq!(Statistics::find(&page, 8, column.id).map(|found| found.count), Some(1));
            assert_eq!(Statistics::find(&page, 5, column.id), None);
        }
    }
}
