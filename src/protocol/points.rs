//! Points that are values already, not bytes: rows of results that SELECT INTO writes.
//!
//! In: points one by one. Out: rows appended to the batcher, under the rules of line protocol: one
//! type a field, no time outside the storable range, nothing older than the policy keeps. A name
//! that the catalog does not know is noted, and the caller has it made and comes again.

use super::batcher::{Batcher, Cell, Datum, Missing, Owner};
use super::line::report::type_conflict;
use crate::catalog::State;
use crate::model::time::{TIME_MAX, TIME_MIN};
use crate::model::{ColumnId, FieldType, MeasurementId, series_key};
use crate::route::{KeyForm, SeriesCache};

/// One point.
#[derive(Debug)]
pub struct Point<'a> {
    pub measurement: &'a [u8],
    /// Sorted by key, distinct, without empty values.
    pub tags: &'a [(&'a [u8], &'a [u8])],
    pub time: i64,
    pub fields: &'a [(&'a [u8], Datum<'a>)],
}

/// What became of a point.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Put {
    Stored,
    /// Names are missing (`Points::missing`).
    Unknown,
    /// It cannot be stored.
    Refused(Vec<u8>),
}

/// Appends points to a batcher that was begun.
pub struct Points<'a> {
    pub batcher: &'a mut Batcher,
    pub catalog: &'a State,
    pub cache: &'a mut SeriesCache,
}

fn kind_of(datum: &Datum<'_>) -> FieldType {
    match datum {
        Datum::Float(_) => FieldType::Float,
        Datum::Integer(_) => FieldType::Integer,
        Datum::Unsigned(_) => FieldType::Unsigned,
        Datum::Boolean(_) => FieldType::Boolean,
        Datum::String(_) | Datum::Escaped(_) => FieldType::String,
    }
}

impl Points<'_> {
    /// What is missing, after `Unknown`.
    pub fn missing(&mut self) -> Missing {
        self.batcher.names.take()
    }

    /// Appends a point.
    pub fn put(&mut self, point: &Point<'_>) -> Put {
        if !(TIME_MIN..=TIME_MAX).contains(&point.time) {
            return Put::Refused(b"time outside range".to_vec());
        }
        if self.batcher.is_beyond_retention(point.time) {
            return Put::Refused(b"points beyond retention policy".to_vec());
        }
        let target = self.batcher.target();
        let measurement = self.catalog.measurement(target.db, point.measurement);
        if measurement.is_none() {
            self.batcher.names.need_measurement(point.measurement);
        }
        let mut cells = Vec::with_capacity(point.fields.len());
        for (name, datum) in point.fields {
            match self.column(measurement, point.measurement, name, kind_of(datum)) {
                Ok(Some(column)) => cells.push((column, *datum)),
                Ok(None) => self.batcher.names.need_field(point.measurement, name, kind_of(datum)),
                Err(text) => return Put::Refused(text),
            }
        }
        let partition = self.batcher.partition(self.catalog, point.time);
        if partition.is_none() {
            self.batcher.names.need_partition(self.catalog, target.policy, point.time);
        }
        let known = cells.len() == point.fields.len();
        let (Some(measurement), Some(partition), true) = (measurement, partition, known) else {
            return Put::Unknown;
        };
        // Stable, so that of equal columns the last one comes last, and wins.
        cells.sort_by_key(|cell: &Cell<'_>| cell.0);
        cells.reverse();
        cells.dedup_by_key(|cell| cell.0);
        cells.reverse();
        let mut key = Vec::new();
        series_key::write_key(point.measurement, point.tags, &mut key);
        let hash = self.cache.hash(target.db, KeyForm::Canonical, &key);
        let found = self.batcher.find_series(self.cache, hash);
        let placed = found
            .filter(|placed| placed.measurement == measurement)
            .or_else(|| self.batcher.new_series(hash, measurement, point.measurement, point.tags));
        let Some(placed) = placed else { return Put::Refused(b"max key length exceeded".to_vec()) };
        let owner = Owner::Measurement(measurement);
        let row = (placed.series, point.time);
        self.batcher.append(owner, placed.shard, partition, row, &cells);
        Put::Stored
    }

    /// The column of a field; `None` when the catalog does not know it; the text of a conflict.
    fn column(
        &self,
        measurement: Option<MeasurementId>,
        name: &[u8],
        field: &[u8],
        kind: FieldType,
    ) -> Result<Option<ColumnId>, Vec<u8>> {
        let policy = self.batcher.target().policy;
        let number = self.catalog.field(field);
        let known = measurement
            .zip(number)
            .map(|(measurement, number)| self.catalog.field_types(policy, measurement, number))
            .filter(|types| !types.is_empty());
        let types = known.unwrap_or_else(|| self.batcher.names.types(name, field));
        if !types.contains(kind)
            && let Some(stored) = types.first()
        {
            return Err(type_conflict(field, name, kind.name(), stored.name()));
        }
        Ok(known.and(number).map(|number| ColumnId::new(number, kind)))
    }
}
