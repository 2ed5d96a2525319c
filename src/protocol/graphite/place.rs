//! From a path to the place of its rows: shared by plaintext and pickle.
//!
//! In: a path as sent, and a time. Out: series, column and partition, or names for the catalog. A
//! path met before is found by the hash of its bytes, which tells the field, too; any other goes
//! through the templates.

use super::super::batcher::{Batcher, Datum, Placed};
use super::super::reject::Reject;
use super::rules::{Applied, Rules};
use crate::catalog::State;
use crate::model::{ColumnId, FieldNo, FieldType, MeasurementId, PartitionId};
use crate::route::{KeyForm, SeriesCache};

/// Where a row goes.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    placed: Placed,
    column: ColumnId,
    partition: PartitionId,
}

/// What a decoder finds places with.
pub struct Places<'b> {
    pub batcher: &'b mut Batcher,
    pub catalog: &'b State,
    pub cache: &'b mut SeriesCache,
    pub rules: &'b Rules,
}

impl Places<'_> {
    /// The keyed hash of a path as sent.
    #[inline]
    pub fn hash(&self, path: &[u8]) -> u128 {
        self.cache.hash(self.batcher.target().db, KeyForm::Graphite, path)
    }

    /// The series and fields of paths met before.
    #[inline]
    pub fn find_many(&mut self, hashes: impl Iterator<Item = u128>, out: &mut Vec<Option<Placed>>) {
        self.batcher.find_many(self.cache, hashes, out);
    }

    /// The place of a row of a path met before, if all its names are known.
    #[inline]
    pub fn place(&mut self, placed: Placed, hash: u128, time: i64) -> Option<Place> {
        let column = match placed.types.contains(FieldType::Float) {
            true => ColumnId::new(placed.field, FieldType::Float),
            false => self.confirm(placed, hash)?,
        };
        let partition = self.batcher.partition(self.catalog, time)?;
        Some(Place { placed, column, partition })
    }

    /// The column of a path's floats; the series cache is told what the catalog knows.
    fn confirm(&mut self, placed: Placed, hash: u128) -> Option<ColumnId> {
        let policy = self.batcher.target().policy;
        let types = self.catalog.field_types(policy, placed.measurement, placed.field);
        self.cache.confirm(hash, types);
        types.contains(FieldType::Float).then(|| ColumnId::new(placed.field, FieldType::Float))
    }

    /// The place of a row of any path; `None` when names were asked for. With `asking`, names are
    /// asked for and nothing else.
    pub fn make(
        &mut self,
        (path, hash): (&[u8], u128),
        time: i64,
        asking: bool,
    ) -> Result<Option<Place>, Reject> {
        if std::str::from_utf8(path).is_err() {
            return Err(Reject::NotUtf8);
        }
        if path.len() > usize::from(u16::MAX) {
            return Err(Reject::KeyTooLong);
        }
        let made = self.rules.apply(path)?;
        let db = self.batcher.target().db;
        let measurement = self.catalog.measurement(db, &made.measurement);
        let field = self.catalog.field(&made.field);
        let column = measurement.zip(field).and_then(|(m, f)| self.column(m, f));
        let partition = self.batcher.partition(self.catalog, time);
        let (Some(measurement), Some(field), Some(column), Some(partition)) =
            (measurement, field, column, partition)
        else {
            self.ask(&made, (measurement.is_none(), column.is_none(), partition.is_none()), time);
            return Ok(None);
        };
        if asking {
            return Ok(None);
        }
        let found = self.batcher.find_series(self.cache, hash);
        let found = found.filter(|old| old.measurement == measurement && old.field == field);
        let placed = match found {
            Some(placed) => placed,
            None => {
                let tags: Vec<(&[u8], &[u8])> =
                    made.tags.iter().map(|(name, value)| (*name, &**value)).collect();
                let key = (measurement, field);
                let new = self.batcher.new_series_of_field(hash, key, &made.measurement, &tags);
                new.ok_or(Reject::KeyTooLong)?
            }
        };
        Ok(Some(Place { placed, column, partition }))
    }

    /// Appends a row.
    #[inline]
    pub fn append(&mut self, place: Place, time: i64, value: f64) {
        let Place { placed, column, partition } = place;
        let cell = (column, Datum::Float(value));
        self.batcher.append_single(placed.shard, partition, (placed.series, time), cell, None);
    }

    fn ask(
        &mut self,
        made: &Applied<'_>,
        (measurement, column, partition): (bool, bool, bool),
        time: i64,
    ) {
        if measurement {
            self.batcher.names.need_measurement(&made.measurement);
        }
        if column {
            self.batcher.names.need_field(&made.measurement, &made.field, FieldType::Float);
        }
        if partition {
            let policy = self.batcher.target().policy;
            self.batcher.names.need_partition(self.catalog, policy, time);
        }
    }

    /// The column of a field's floats, if the catalog has it.
    fn column(&self, measurement: MeasurementId, field: FieldNo) -> Option<ColumnId> {
        let policy = self.batcher.target().policy;
        let types = self.catalog.field_types(policy, measurement, field);
        types.contains(FieldType::Float).then(|| ColumnId::new(field, FieldType::Float))
    }
}
