//! The Batch: the one shape of data from socket to disk.
//!
//! A decoder fills one Batch per (shard, partition, layout); the log writes its columns; the head
//! appends them; a flush sorts them into a segment. There are no row objects in between.

use super::{Bitmap, ColumnId, DbId, FieldType, MeasurementId, PartitionId, SeriesId};
use std::ops::Range;

/// A row's series: an id the owner has taught the sender, or the index of a key that travels with
/// the request (`WriteRequest::new_series`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SeriesRef(u32);

/// Marks a reference to a key that travels with the request.
const NEW: u32 = 1 << 31;

impl SeriesRef {
    /// A series whose id is known.
    pub fn known(id: SeriesId) -> SeriesRef {
        SeriesRef(id.0 & !NEW)
    }

    /// The `index`-th new key of the request.
    pub fn new_key(index: u32) -> SeriesRef {
        SeriesRef(index | NEW)
    }

    /// The id, or the index of the new key.
    pub fn resolve(self) -> Result<SeriesId, u32> {
        if self.0 & NEW == 0 { Ok(SeriesId(self.0)) } else { Err(self.0 & !NEW) }
    }
}

/// Strings of a column, back to back. `ends[i]` is the end of string `i` in `bytes`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Strings {
    pub ends: Vec<u32>,
    pub bytes: Vec<u8>,
}

impl Strings {
    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no string.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// String `row`; empty behind the end.
    pub fn get(&self, row: usize) -> &[u8] {
        let start = match row {
            0 => 0,
            _ => self.ends.get(row - 1).copied().unwrap_or(0) as usize,
        };
        let end = self.ends.get(row).copied().unwrap_or(0) as usize;
        self.bytes.get(start..end).unwrap_or(&[])
    }

    /// Appends one string. The caller bounds the total to 4 GiB (bodies and chunks are far
    /// smaller).
    pub fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u32);
    }
}

/// Values of one type, one entry per row; a null row has an entry too (zero, empty, false).
#[derive(Clone, PartialEq, Debug)]
pub enum Values {
    Float(Vec<f64>),
    Integer(Vec<i64>),
    Unsigned(Vec<u64>),
    String(Strings),
    Boolean(Vec<bool>),
}

impl Values {
    /// No values of `kind`.
    pub fn empty(kind: FieldType) -> Values {
        match kind {
            FieldType::Float => Values::Float(Vec::new()),
            FieldType::Integer => Values::Integer(Vec::new()),
            FieldType::Unsigned => Values::Unsigned(Vec::new()),
            FieldType::String => Values::String(Strings::default()),
            FieldType::Boolean => Values::Boolean(Vec::new()),
        }
    }

    /// Number of entries, nulls included.
    pub fn len(&self) -> usize {
        match self {
            Values::Float(values) => values.len(),
            Values::Integer(values) => values.len(),
            Values::Unsigned(values) => values.len(),
            Values::String(values) => values.len(),
            Values::Boolean(values) => values.len(),
        }
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of the values.
    pub fn kind(&self) -> FieldType {
        match self {
            Values::Float(_) => FieldType::Float,
            Values::Integer(_) => FieldType::Integer,
            Values::Unsigned(_) => FieldType::Unsigned,
            Values::String(_) => FieldType::String,
            Values::Boolean(_) => FieldType::Boolean,
        }
    }

    /// Appends `count` null entries (zero, empty, false).
    pub fn extend_null(&mut self, count: usize) {
        match self {
            Values::Float(values) => values.resize(values.len() + count, 0.0),
            Values::Integer(values) => values.resize(values.len() + count, 0),
            Values::Unsigned(values) => values.resize(values.len() + count, 0),
            Values::Boolean(values) => values.resize(values.len() + count, false),
            Values::String(strings) => {
                let end = strings.bytes.len() as u32;
                strings.ends.resize(strings.ends.len() + count, end);
            }
        }
    }

    /// Bytes of memory the entries use.
    pub fn bytes(&self) -> usize {
        match self {
            Values::Float(values) => values.len() * 8,
            Values::Integer(values) => values.len() * 8,
            Values::Unsigned(values) => values.len() * 8,
            Values::String(strings) => strings.ends.len() * 4 + strings.bytes.len(),
            Values::Boolean(values) => values.len(),
        }
    }
}

/// One column of rows: which, its values, and which rows have one.
#[derive(Clone, PartialEq, Debug)]
pub struct Column {
    pub id: ColumnId,
    pub values: Values,
    /// `None`: every row has a value.
    pub validity: Option<Bitmap>,
}

impl Column {
    /// A column without rows.
    pub fn empty(id: ColumnId) -> Column {
        Column { id, values: Values::empty(id.kind()), validity: None }
    }

    /// A column of `rows` nulls.
    pub fn nulls(id: ColumnId, rows: usize) -> Column {
        let mut values = Values::empty(id.kind());
        values.extend_null(rows);
        Column { id, values, validity: Some(Bitmap::filled(rows, false)) }
    }

    /// A copy of some rows; empty when they are not all there.
    pub fn slice(&self, rows: Range<usize>) -> Column {
        let values = match &self.values {
            Values::Float(values) => Values::Float(part(values, &rows)),
            Values::Integer(values) => Values::Integer(part(values, &rows)),
            Values::Unsigned(values) => Values::Unsigned(part(values, &rows)),
            Values::Boolean(values) => Values::Boolean(part(values, &rows)),
            Values::String(strings) => {
                let mut out = Strings::default();
                rows.clone().for_each(|row| out.push(strings.get(row)));
                Values::String(out)
            }
        };
        let validity = self.validity.as_ref().map(|bits| {
            let mut out = Bitmap::default();
            rows.for_each(|row| out.push(bits.get(row)));
            out
        });
        Column { id: self.id, values, validity }
    }

    /// Whether `row` has a value.
    pub fn is_valid(&self, row: usize) -> bool {
        self.validity.as_ref().is_none_or(|bits| bits.get(row))
    }
}

fn part<T: Copy>(values: &[T], rows: &Range<usize>) -> Vec<T> {
    values.get(rows.clone()).unwrap_or(&[]).to_vec()
}

/// Rows of one partition that share one layout (sorted set of columns), as columns.
///
/// `series`, `times` and every column have the same number of entries; columns are sorted by id and
/// distinct. Rows are in the order in which they were sent.
#[derive(Clone, PartialEq, Debug)]
pub struct Batch {
    pub partition: PartitionId,
    pub series: Vec<SeriesRef>,
    /// Nanoseconds since the epoch.
    pub times: Vec<i64>,
    pub columns: Vec<Column>,
}

impl Batch {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.times.len()
    }

    /// A copy of some rows; empty when they are not all there.
    pub fn slice(&self, rows: Range<usize>) -> Batch {
        Batch {
            partition: self.partition,
            series: self.series.get(rows.clone()).unwrap_or(&[]).to_vec(),
            times: self.times.get(rows.clone()).unwrap_or(&[]).to_vec(),
            columns: self.columns.iter().map(|column| column.slice(rows.clone())).collect(),
        }
    }
}

/// A key its owner has not taught the sender yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewSeries {
    pub measurement: MeasurementId,
    /// The canonical key (`SeriesKey`).
    pub key: Box<[u8]>,
}

/// All that one request writes to one shard. Batches are applied in this order (a later row of the
/// same series and time wins).
#[derive(Clone, PartialEq, Debug)]
pub struct WriteRequest {
    pub db: DbId,
    pub new_series: Vec<NewSeries>,
    pub batches: Vec<Batch>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_refs_tell_known_from_new() {
        assert_eq!(SeriesRef::known(SeriesId(7)).resolve(), Ok(SeriesId(7)));
        assert_eq!(SeriesRef::new_key(7).resolve(), Err(7));
    }

    #[test]
    fn strings_keep_empty_entries_apart() {
        let mut strings = Strings::default();
        for text in ["", "a", "", "bc"] {
            strings.push(text.as_bytes());
        }
        let texts: Vec<&[u8]> = (0..5).map(|row| strings.get(row)).collect();
        assert_eq!(texts, [b"".as_slice(), b"a", b"", b"bc", b""]);
    }

    #[test]
    fn slices_are_the_rows_they_name() {
        let mut strings = Strings::default();
        (0..70).for_each(|n| strings.push("x".repeat(n % 3).as_bytes()));
        let mut bits = Bitmap::default();
        (0..70).for_each(|n| bits.push(n % 7 != 0));
        let id = ColumnId::new(crate::model::FieldNo(1), FieldType::String);
        let column = Column { id, values: Values::String(strings), validity: Some(bits) };
        let batch = Batch {
            partition: PartitionId(1),
            series: (0..70).map(SeriesRef::new_key).collect(),
            times: (0..70).collect(),
            columns: vec![column.clone()],
        };
        let part = batch.slice(5..69);
        assert_eq!((part.rows(), part.times[0], part.series[63]), (64, 5, SeriesRef::new_key(68)));
        for row in 0..64 {
            assert_eq!(part.columns[0].is_valid(row), column.is_valid(row + 5));
            let (Values::String(some), Values::String(all)) =
                (&part.columns[0].values, &column.values)
            else {
                panic!("strings stay strings");
            };
            assert_eq!(some.get(row), all.get(row + 5));
        }
    }

    #[test]
    fn null_entries_have_a_place_in_every_type() {
        for kind in FieldType::ALL {
            let mut values = Values::empty(kind);
            values.extend_null(3);
            assert_eq!((values.len(), values.kind()), (3, kind));
        }
    }
}
