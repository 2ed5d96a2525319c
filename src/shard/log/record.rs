//! Records: what a commit of the log holds, one after the other.
//!
//! In: a Batch with its series resolved, definitions of series, deletes. Out: bytes; and the same
//! data, owned, when they are read again. Numbers are little-endian; `v` is a LEB128 varint, `z`
//! one in zigzag.
//!
//! | record | bytes |
//! |--------|-------|
//! | every | kind u8, body length u32, body |
//! | 1 define-series | count v; each: db z, measurement z, id z (differences), key length v, key |
//! | 2 rows | partition v, rows v, columns v; reduced: series, times, each column |
//! | 3 delete | first z, last z, series set |
//! | 4 retire | series set |
//! | series set | count v, then the distance of each id from the one before v (the first from -1) |
//!
//! A record is valid iff its body is read to its last byte. Whether it is the one that was written
//! is for the commit around it to say (its checksum covers every byte), and so is what a cut
//! leaves: records come and go with their whole commit.

use crate::codec::{CodecError, reduced, varint};
use crate::model::{
    Batch, Column, DbId, MeasurementId, PartitionId, SeriesId, SeriesKey, TimeRange,
};

/// Bytes of a record before its body.
const HEAD_BYTES: usize = 5;
const DEFINE_SERIES: u8 = 1;
const ROWS: u8 = 2;
const DELETE: u8 = 3;
const RETIRE: u8 = 4;

/// A series that gets its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Definition {
    pub db: DbId,
    pub measurement: MeasurementId,
    pub id: SeriesId,
    pub key: SeriesKey,
}

/// Rows of one partition, as they were sent: a Batch whose series are resolved.
#[derive(Clone, PartialEq, Debug)]
pub struct Rows {
    pub partition: PartitionId,
    pub series: Vec<SeriesId>,
    /// Nanoseconds since the epoch.
    pub times: Vec<i64>,
    /// Sorted by id and distinct, `times.len()` entries each.
    pub columns: Vec<Column>,
}

/// One record of the log.
#[derive(Clone, PartialEq, Debug)]
pub enum Record {
    /// Series get their ids.
    DefineSeries(Vec<Definition>),
    /// Rows are written.
    Rows(Rows),
    /// Rows of these series (sorted, distinct) within the range are deleted.
    Delete { series: Vec<SeriesId>, range: TimeRange },
    /// These series (sorted, distinct) are no more; their keys get other ids when seen again.
    Retire(Vec<SeriesId>),
}

/// Appends a record that gives series their ids.
pub fn put_definitions(definitions: &[Definition], out: &mut Vec<u8>) {
    let body = begin(DEFINE_SERIES, out);
    varint::put_u64(definitions.len() as u64, out);
    let mut last = [0; 3];
    for definition in definitions {
        let ids = [definition.db.0, definition.measurement.0, definition.id.0].map(i64::from);
        for (id, last) in ids.iter().zip(&mut last) {
            varint::put_i64(id - *last, out);
            *last = *id;
        }
        let key = definition.key.as_bytes();
        varint::put_u64(key.len() as u64, out);
        out.extend_from_slice(key);
    }
    end(body, out);
}

/// Appends a record of a Batch whose rows belong to `series`, one for each row.
pub fn put_rows(batch: &Batch, series: &[SeriesId], out: &mut Vec<u8>) {
    assert_eq!(series.len(), batch.rows(), "every row has a series");
    let body = begin(ROWS, out);
    varint::put_u64(u64::from(batch.partition.0), out);
    varint::put_u64(batch.rows() as u64, out);
    varint::put_u64(batch.columns.len() as u64, out);
    let ids: Vec<u32> = series.iter().map(|id| id.0).collect();
    reduced::put_u32s(&ids, out);
    reduced::put_i64s(&batch.times, out);
    for column in &batch.columns {
        assert_eq!(column.values.len(), batch.rows(), "every row has an entry in every column");
        reduced::put_column(column, out);
    }
    end(body, out);
}

/// Appends a record that deletes the rows of `series` (sorted, distinct) within `range`.
pub fn put_delete(series: &[SeriesId], range: TimeRange, out: &mut Vec<u8>) {
    let body = begin(DELETE, out);
    varint::put_i64(range.first, out);
    varint::put_i64(range.last, out);
    put_set(series, out);
    end(body, out);
}

/// Appends a record that retires `series` (sorted, distinct).
pub fn put_retire(series: &[SeriesId], out: &mut Vec<u8>) {
    let body = begin(RETIRE, out);
    put_set(series, out);
    end(body, out);
}

impl Record {
    /// Reads the next record and moves `input` behind it.
    pub fn get(input: &mut &[u8]) -> Result<Record, CodecError> {
        let kind = varint::get_u8(input)?;
        let len = u32::from_le_bytes(varint::take_array(input)?);
        let mut body = varint::take(input, len as usize)?;
        let record = match kind {
            DEFINE_SERIES => Record::DefineSeries(get_definitions(&mut body)?),
            ROWS => Record::Rows(get_rows(&mut body)?),
            DELETE => {
                let first = varint::get_i64(&mut body)?;
                let range = TimeRange { first, last: varint::get_i64(&mut body)? };
                Record::Delete { series: get_set(&mut body)?, range }
            }
            RETIRE => Record::Retire(get_set(&mut body)?),
            _ => return Err(CodecError::Malformed("kind of record")),
        };
        if body.is_empty() { Ok(record) } else { Err(CodecError::Malformed("record length")) }
    }
}

/// Appends the head of a record; returns where its body begins.
fn begin(kind: u8, out: &mut Vec<u8>) -> usize {
    out.push(kind);
    out.extend_from_slice(&[0; HEAD_BYTES - 1]);
    out.len()
}

/// Writes the body's length into the head.
fn end(body: usize, out: &mut [u8]) {
    let len = out.len() - body;
    assert!(u32::try_from(len).is_ok(), "a record is far smaller than 4 GiB");
    if let Some(head) = out.get_mut(body - 4..body) {
        head.copy_from_slice(&(len as u32).to_le_bytes());
    }
}

fn get_definitions(body: &mut &[u8]) -> Result<Vec<Definition>, CodecError> {
    // The shortest definition has 6 bytes: three differences, a length, a key of two.
    let count = varint::get_len(body, body.len() / 6, "definitions")?;
    let mut definitions = Vec::with_capacity(count);
    let mut last = [0i64; 3];
    for _ in 0..count {
        for last in &mut last {
            *last = last.wrapping_add(varint::get_i64(body)?);
        }
        let ids = last.map(u32::try_from);
        let [Ok(db), Ok(measurement), Ok(id)] = ids else {
            return Err(CodecError::Malformed("id of a definition"));
        };
        let len = varint::get_len(body, body.len(), "series key")?;
        let key = SeriesKey::from_bytes(varint::take(body, len)?)
            .ok_or(CodecError::Malformed("series key"))?;
        let (db, measurement) = (DbId(db), MeasurementId(measurement));
        definitions.push(Definition { db, measurement, id: SeriesId(id), key });
    }
    Ok(definitions)
}

fn get_rows(body: &mut &[u8]) -> Result<Rows, CodecError> {
    let partition = varint::get_len(body, u32::MAX as usize, "partition id")? as u32;
    let rows = varint::get_len(body, reduced::ROWS_MAX, "rows")?;
    // The shortest column has an id, a count and a byte.
    let count = varint::get_len(body, body.len() / 6, "columns")?;
    let mut ids = Vec::new();
    reduced::get_u32s(body, &mut ids)?;
    let mut times = Vec::new();
    reduced::get_i64s(body, &mut times)?;
    if ids.len() != rows || times.len() != rows {
        return Err(CodecError::Malformed("rows of a record"));
    }
    let mut columns: Vec<Column> = Vec::with_capacity(count);
    for _ in 0..count {
        check_column(body, rows)?;
        let column = reduced::get_column(body)?;
        if columns.last().is_some_and(|last| last.id >= column.id) {
            return Err(CodecError::Malformed("order of columns"));
        }
        columns.push(column);
    }
    let series = ids.into_iter().map(SeriesId).collect();
    Ok(Rows { partition: PartitionId(partition), series, times, columns })
}

/// Checks that the next column has `rows` rows, before memory is taken for it.
fn check_column(body: &[u8], rows: usize) -> Result<(), CodecError> {
    let mut ahead = body;
    varint::take(&mut ahead, 4)?;
    match varint::get_u64(&mut ahead)? == rows as u64 {
        true => Ok(()),
        false => Err(CodecError::Malformed("rows of a column")),
    }
}

/// Appends sorted, distinct ids.
fn put_set(series: &[SeriesId], out: &mut Vec<u8>) {
    assert!(series.is_sorted_by(|a, b| a < b), "a set is sorted and distinct");
    varint::put_u64(series.len() as u64, out);
    let mut last = -1;
    for id in series {
        let id = i64::from(id.0);
        varint::put_u64((id - last) as u64, out);
        last = id;
    }
}

fn get_set(body: &mut &[u8]) -> Result<Vec<SeriesId>, CodecError> {
    let count = varint::get_len(body, body.len(), "series of a set")?;
    let mut series = Vec::with_capacity(count);
    let mut last = -1i64;
    for _ in 0..count {
        let step = varint::get_len(body, u32::MAX as usize + 1, "distance of series ids")? as i64;
        last += step;
        match u32::try_from(last) {
            Ok(id) if step > 0 => series.push(SeriesId(id)),
            _ => return Err(CodecError::Malformed("series set")),
        }
    }
    Ok(series)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bitmap, ColumnId, FieldNo, SeriesRef, Strings, Values};
    use proptest::prelude::*;

    fn column(no: u32, values: Values, present: &[bool]) -> Column {
        let mut validity = Bitmap::default();
        present.iter().for_each(|bit| validity.push(*bit));
        let all = present.iter().all(|bit| *bit);
        let id = ColumnId::new(FieldNo(no), values.kind());
        Column { id, values, validity: (!all).then_some(validity) }
    }

    /// A row: series, time, one value of each type, and whether each is present.
    type Row = (u32, i64, f64, i64, u64, bool, Vec<u8>, [bool; 5]);

    fn batch(rows: &[Row]) -> (Batch, Vec<SeriesId>) {
        fn keep<T: Default + Clone>(rows: &[Row], nth: usize, of: impl Fn(&Row) -> T) -> Vec<T> {
            let value = |row: &Row| if row.7[nth] { of(row) } else { T::default() };
            rows.iter().map(value).collect()
        }
        let mut strings = Strings::default();
        for text in keep(rows, 4, |row| row.6.clone()) {
            strings.push(&text);
        }
        let values = [
            Values::Float(keep(rows, 0, |row| row.2)),
            Values::Integer(keep(rows, 1, |row| row.3)),
            Values::Unsigned(keep(rows, 2, |row| row.4)),
            Values::Boolean(keep(rows, 3, |row| row.5)),
            Values::String(strings),
        ];
        let present = |nth: usize| rows.iter().map(|row| row.7[nth]).collect::<Vec<_>>();
        let columns = values
            .into_iter()
            .enumerate()
            .map(|(nth, values)| column(nth as u32 + 1, values, &present(nth)));
        let series: Vec<SeriesId> = rows.iter().map(|row| SeriesId(row.0)).collect();
        let batch = Batch {
            partition: PartitionId(9),
            series: series.iter().map(|id| SeriesRef::known(*id)).collect(),
            times: rows.iter().map(|row| row.1).collect(),
            columns: columns.collect(),
        };
        (batch, series)
    }

    fn bits(rows: &Rows) -> Vec<u64> {
        let floats = rows.columns.iter().filter_map(|column| match &column.values {
            Values::Float(values) => Some(values.iter().map(|value| value.to_bits())),
            _ => None,
        });
        floats.flatten().collect()
    }

    fn definition(db: u32, measurement: u32, id: u32, name: &[u8]) -> Definition {
        let key = SeriesKey::build(name, &[(b"host", b"a")]).unwrap();
        Definition { db: DbId(db), measurement: MeasurementId(measurement), id: SeriesId(id), key }
    }

    #[test]
    fn records_follow_each_other() {
        let definitions = [definition(1, 7, 100, b"cpu"), definition(1, 3, 101, b"mem")];
        let (batch, series) = batch(&[(5, 1000, 1.25, -3, 7, true, b"x".to_vec(), [true; 5])]);
        let set: Vec<SeriesId> = [0, 1, 2, 700, u32::MAX].map(SeriesId).to_vec();
        let range = TimeRange::new(-5, i64::MAX);
        let mut out = Vec::new();
        put_definitions(&definitions, &mut out);
        put_rows(&batch, &series, &mut out);
        put_delete(&set, range, &mut out);
        put_retire(&set, &mut out);
        put_retire(&[], &mut out);
        let mut input = out.as_slice();
        let mut next = || Record::get(&mut input).unwrap();
        assert_eq!(next(), Record::DefineSeries(definitions.to_vec()));
        let Record::Rows(rows) = next() else { panic!("rows were written") };
        assert_eq!((rows.partition, &rows.times), (batch.partition, &batch.times));
        assert_eq!((rows.series, rows.columns), (series, batch.columns));
        assert_eq!(next(), Record::Delete { series: set.clone(), range });
        assert_eq!(next(), Record::Retire(set));
        assert_eq!(next(), Record::Retire(Vec::new()));
        assert!(input.is_empty());
    }

    #[test]
    fn a_strange_record_is_refused() {
        let mut out = Vec::new();
        put_retire(&[SeriesId(3)], &mut out);
        for (at, byte) in [(0, 0), (0, 9), (1, 1), (1, 3), (6, 0)] {
            let mut bytes = out.clone();
            bytes[at] = byte;
            assert!(Record::get(&mut bytes.as_slice()).is_err(), "{at} {byte}");
        }
        assert!(Record::get(&mut &out[..out.len() - 1]).is_err());
        assert!(Record::get(&mut [].as_slice()).is_err());
    }

    #[test]
    fn a_column_of_other_length_takes_no_memory() {
        let (batch, series) = batch(&[(5, 1, 1.0, 2, 3, true, Vec::new(), [true; 5])]);
        let mut one = batch.clone();
        one.columns.truncate(1);
        let mut out = Vec::new();
        put_rows(&one, &series, &mut out);
        let at = out.len() - {
            let mut column = Vec::new();
            reduced::put_column(&one.columns[0], &mut column);
            column.len()
        };
        out[at + 4] = 2;
        assert_eq!(
            Record::get(&mut out.as_slice()),
            Err(CodecError::Malformed("rows of a column"))
        );
    }

    fn row() -> impl Strategy<Value = Row> {
        let text = proptest::collection::vec(any::<u8>(), 0..9);
        let float = prop_oneof![any::<f64>(), (-9999i32..9999).prop_map(|n| f64::from(n) / 100.0)];
        let present = any::<[bool; 5]>();
        (
            any::<u32>(),
            any::<i64>(),
            float,
            any::<i64>(),
            any::<u64>(),
            any::<bool>(),
            text,
            present,
        )
    }

    proptest! {
        #[test]
        fn rows_come_back_bit_for_bit(rows in proptest::collection::vec(row(), 0..40)) {
            let (batch, series) = batch(&rows);
            let mut out = Vec::new();
            put_rows(&batch, &series, &mut out);
            let mut input = out.as_slice();
            let Record::Rows(read) = Record::get(&mut input).unwrap() else { panic!("rows") };
            prop_assert!(input.is_empty());
            let (partition, times, columns) = (batch.partition, batch.times, batch.columns);
            let written = Rows { partition, series, times, columns };
            prop_assert_eq!(bits(&read), bits(&written));
            // Not-a-number differs from itself, so floats are compared as bits above.
            let no_floats = |mut rows: Rows| { rows.columns.remove(0); rows };
            prop_assert_eq!(&read.columns[0].validity, &written.columns[0].validity);
            prop_assert_eq!(no_floats(read), no_floats(written));
        }

        #[test]
        fn random_bytes_never_panic(
            kind in 0..6u8, bytes in proptest::collection::vec(any::<u8>(), 0..120)
        ) {
            let _ = Record::get(&mut bytes.as_slice());
            let mut framed = vec![kind];
            framed.extend((bytes.len() as u32).to_le_bytes());
            framed.extend(&bytes);
            let _ = Record::get(&mut framed.as_slice());
        }

        #[test]
        fn a_flipped_bit_never_panics(
            rows in proptest::collection::vec(row(), 1..8),
            place in any::<proptest::sample::Index>()
        ) {
            let (batch, series) = batch(&rows);
            let mut out = Vec::new();
            put_rows(&batch, &series, &mut out);
            let bit = place.index(out.len() * 8);
            out[bit / 8] ^= 1 << (bit % 8);
            let _ = Record::get(&mut out.as_slice());
        }

        #[test]
        fn sets_come_back(ids in proptest::collection::btree_set(any::<u32>(), 0..50)) {
            let set: Vec<SeriesId> = ids.into_iter().map(SeriesId).collect();
            let mut out = Vec::new();
            put_retire(&set, &mut out);
            prop_assert_eq!(Record::get(&mut out.as_slice()), Ok(Record::Retire(set)));
        }
    }
}
