//! Helpers for tests: options of a small shard; a slow, obvious model of rows, and the invariants
//! of a Block.
//!
//! The model is a map from (measurement, series, time) to the row's values; a Block reads into it
//! row by row, so that whatever gives Blocks can be compared with whatever the model says.

use super::Options;
use super::block::{Block, step_of};
use super::log;
use crate::model::{
    Bitmap, Column, ColumnId, FieldNo, FieldType, MeasurementId, SeriesId, Strings, Value, Values,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Options of a shard with small files: every commit is synced, nothing happens by age.
pub fn options() -> Options {
    Options {
        log: log::Options {
            file_bytes: 128 << 10,
            first_file_bytes: 64 << 10,
            spares: 1,
            spares_max: 3,
            ..log::Options::default()
        },
        head_bytes_max: 1 << 20,
        head_age_max: Duration::from_secs(600),
        log_bytes_max: 1 << 30,
        compact_idle: Duration::from_secs(300),
        cache_bytes: 1 << 20,
        free_bytes_min: 0,
    }
}

pub type RowKey = (MeasurementId, SeriesId, i64);
pub type Row = BTreeMap<ColumnId, Value>;
pub type Rows = BTreeMap<RowKey, Row>;

/// The measurement of a series, in tests.
pub fn measurement_of(series: SeriesId) -> MeasurementId {
    MeasurementId(1 + series.0 % 3)
}

/// The columns that tests use: one of each type, the expiry, and a second float.
pub fn column_ids() -> [ColumnId; 7] {
    [
        ColumnId::EXPIRE,
        ColumnId::new(FieldNo(1), FieldType::Float),
        ColumnId::new(FieldNo(1), FieldType::Integer),
        ColumnId::new(FieldNo(2), FieldType::String),
        ColumnId::new(FieldNo(3), FieldType::Boolean),
        ColumnId::new(FieldNo(4), FieldType::Unsigned),
        ColumnId::new(FieldNo(5), FieldType::Float),
    ]
}

/// A value of the column's type, made from a number.
pub fn value_of(id: ColumnId, number: u64) -> Value {
    match id.kind() {
        FieldType::Float => Value::Float(number as f64 / 2.0),
        FieldType::Integer => Value::Integer(number as i64),
        FieldType::Unsigned => Value::Unsigned(number),
        FieldType::String => Value::String("x".repeat(number as usize % 5).into_bytes().into()),
        FieldType::Boolean => Value::Boolean(number.is_multiple_of(2)),
    }
}

/// A column of some values.
pub fn column(id: ColumnId, values: &[Option<Value>]) -> Column {
    let mut bits = Bitmap::default();
    let mut column = Column::empty(id);
    for value in values {
        bits.push(value.is_some());
        match (&mut column.values, value) {
            (Values::Float(out), Some(Value::Float(value))) => out.push(*value),
            (Values::Integer(out), Some(Value::Integer(value))) => out.push(*value),
            (Values::Unsigned(out), Some(Value::Unsigned(value))) => out.push(*value),
            (Values::Boolean(out), Some(Value::Boolean(value))) => out.push(*value),
            (Values::String(out), Some(Value::String(value))) => out.push(value),
            (out, _) => out.extend_null(1),
        }
    }
    column.validity = (bits.count_ones() < bits.len()).then_some(bits);
    column
}

fn value_at(column: &Column, row: usize) -> Option<Value> {
    column.is_valid(row).then(|| match &column.values {
        Values::Float(values) => Value::Float(values[row]),
        Values::Integer(values) => Value::Integer(values[row]),
        Values::Unsigned(values) => Value::Unsigned(values[row]),
        Values::Boolean(values) => Value::Boolean(values[row]),
        Values::String(strings) => Value::String(Strings::get(strings, row).into()),
    })
}

/// Reads a Block's rows, checking everything a Block promises. Rows without a value are left out.
pub fn read(block: &Block, out: &mut Vec<(RowKey, Row)>) {
    let mut start = 0;
    for (at, run) in block.runs.iter().enumerate() {
        assert_eq!(run.start, start);
        assert!(run.rows > 0);
        start += run.rows;
        let times = &block.times[run.range()];
        assert!(times.is_sorted_by(|left, right| left < right), "times ascend: {times:?}");
        assert_eq!(run.step, step_of(times));
        let before = at.checked_sub(1).map(|at| block.runs[at]);
        let key = |run: &crate::shard::block::Run| (run.measurement, run.series);
        assert!(before.is_none_or(|before| key(&before) < key(run)), "runs are in order");
    }
    assert_eq!(start as usize, block.rows());
    assert!(block.columns.is_sorted_by(|left, right| left.id < right.id));
    for column in &block.columns {
        assert_eq!(column.values.len(), block.rows());
        assert_eq!(column.values.kind(), column.id.kind());
        if let Some(bits) = &column.validity {
            assert_eq!(bits.len(), block.rows());
            assert!(bits.count_ones() > 0 && bits.count_ones() < bits.len());
        }
    }
    for run in &block.runs {
        for row in run.range() {
            let values: Row = block
                .columns
                .iter()
                .filter_map(|column| Some((column.id, value_at(column, row)?)))
                .collect();
            if !values.is_empty() {
                out.push(((run.measurement, run.series, block.times[row]), values));
            }
        }
    }
}

/// A Block of the model's rows.
pub fn block_of(rows: &Rows) -> Block {
    let mut block = Block::default();
    for (measurement, series, time) in rows.keys() {
        block.push_run(*measurement, *series, 1);
        block.times.push(*time);
    }
    block.refresh_steps();
    for id in column_ids() {
        let values: Vec<Option<Value>> = rows.values().map(|row| row.get(&id).cloned()).collect();
        block.columns.push(column(id, &values));
    }
    block.columns.sort_by_key(|column| column.id);
    block.drop_null_columns();
    block
}

/// Writes a row's values over what the model has, newest last: per column, but the expiry is always
/// that of the newest row.
pub fn overwrite(model: &mut Row, row: &Row) {
    model.remove(&ColumnId::EXPIRE);
    model.extend(row.iter().map(|(id, value)| (*id, value.clone())));
}
