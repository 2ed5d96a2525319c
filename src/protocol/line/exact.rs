//! One line the exact way: split, scanned byte by byte, names looked up in the catalog, and its
//! shape learned for the fast way.
//!
//! A line has one of four ends: nothing (blank, comment), refused (unreadable), dropped (readable
//! but not storable), stored; or its names are unknown, and then the whole call turns to collecting
//! names.

use super::super::batcher::{Hot, Owner, Placed, ShapeField};
use super::super::number::{self, IntegerError};
use super::fields::{RawField, kind_of, scan_fields, scan_time, walk};
use super::key::{skip_blanks, unescape};
use super::report::{Refusal, invalid_time, type_conflict};
use super::split::line_end;
use super::{Decoder, cut, is_storable};
use crate::model::series_key::KEY_BYTES_MAX;
use crate::model::{ColumnId, FieldType, MeasurementId, PartitionId};
use crate::route::KeyForm;
use std::borrow::Cow;

/// What the catalog says to a point's fields.
enum Fields {
    Known,
    Missing,
    Dropped(Vec<u8>),
}

fn reason(text: &'static str) -> Cow<'static, [u8]> {
    Cow::Borrowed(text.as_bytes())
}

fn key_too_long(len: usize) -> Cow<'static, [u8]> {
    format!("max key length exceeded: {len} > {KEY_BYTES_MAX}").into_bytes().into()
}

impl<'a> Decoder<'a, '_, '_> {
    /// Reads the line at `at`; gives the offset of the next one, `None` when the line is open.
    pub(super) fn exact_line(&mut self, at: usize) -> Option<usize> {
        let input = self.input;
        let end = line_end(input, at, self.ctx.more)?;
        let block = input.get(at..end).unwrap_or(&[]);
        let start = skip_blanks(block, 0);
        let line = block.get(start..).unwrap_or(&[]);
        if line.is_empty() || line.first() == Some(&b'#') {
            return Some(end + 1);
        }
        // A newline that a backslash kept in the line is not part of it when it comes last.
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if line.len() > self.ctx.line_bytes_max {
            self.refuse(cut(line), b"line too long");
            return Some(end + 1);
        }
        match self.read(line) {
            Ok(time) => self.point(line, at, time),
            Err(reason) => self.refuse(line, &reason),
        }
        Some(end + 1)
    }

    fn refuse(&mut self, line: &[u8], reason: &[u8]) {
        if self.resume_at.is_none() {
            self.ctx.report.refuse_line(line, reason);
        }
    }

    /// Takes a line apart into key, fields and time.
    fn read(&mut self, line: &'a [u8]) -> Result<i64, Cow<'static, [u8]>> {
        self.key.scan(line).map_err(reason)?;
        let key_len = self.key.raw(line).len();
        if key_len > KEY_BYTES_MAX {
            return Err(key_too_long(key_len));
        }
        let (start, end) = scan_fields(line, self.key.end)?;
        self.fields.clear();
        walk(line.get(start..end).unwrap_or(&[]), &mut self.fields)?;
        let sizes = self.fields.iter().map(|(name, _)| key_len + 4 + name.len());
        if let Some(size) = sizes.into_iter().find(|size| *size > KEY_BYTES_MAX) {
            return Err(key_too_long(size));
        }
        let (digits, end) = scan_time(line, end)?;
        if digits.is_empty() {
            return Ok(self.default_time);
        }
        let time = self.time(digits)?;
        match line.get(end..).unwrap_or(&[]).iter().all(|byte| *byte == b' ') {
            true => Ok(time),
            false => Err(reason("point is invalid")),
        }
    }

    fn time(&self, digits: &[u8]) -> Result<i64, Cow<'static, [u8]>> {
        let sent = number::integer(digits).map_err(|error| {
            let what: &[u8] = match error {
                IntegerError::Syntax => b"\": invalid syntax",
                IntegerError::Range => b"\": value out of range",
            };
            Cow::Owned([b"strconv.ParseInt: parsing \"", digits, what].concat())
        })?;
        let time = sent.checked_mul(self.unit_ns).filter(|time| is_storable(*time));
        time.ok_or(reason("time outside range -9223372036854775806 - 9223372036854775806"))
    }

    /// Stores a point that was read, or says why not.
    fn point(&mut self, line: &'a [u8], at: usize, time: i64) {
        let collecting = self.resume_at.is_some();
        if self.batcher.is_beyond_retention(time) {
            if !collecting {
                self.ctx.report.count_point();
                self.ctx.report.count_beyond_retention();
            }
            return;
        }
        self.key.measurement(line, &mut self.name);
        let db = self.batcher.target().db;
        let measurement = self.ctx.catalog.measurement(db, &self.name);
        self.key.unescape_tags(line);
        if self.key.tags().iter().any(|(key, _)| *key == b"time") {
            return self.drop_point(Refusal::Tag, invalid_time("tag", &self.name.clone()));
        }
        let fields = self.look_up(measurement);
        if let Fields::Dropped(text) = fields {
            return self.drop_point(Refusal::Field, text);
        }
        let partition = self.batcher.partition(self.ctx.catalog, time);
        if partition.is_none() {
            let policy = self.batcher.target().policy;
            self.batcher.names.need_partition(self.ctx.catalog, policy, time);
        }
        match (measurement, partition, fields) {
            (Some(measurement), Some(partition), Fields::Known) if !collecting => {
                self.store(line, measurement, partition, time);
            }
            (Some(_), Some(_), Fields::Known) => {}
            _ => self.resume_at = self.resume_at.or(Some(at)),
        }
    }

    fn drop_point(&mut self, why: Refusal, text: Vec<u8>) {
        if self.resume_at.is_none() {
            self.ctx.report.count_point();
            self.ctx.report.refuse_points(why, 1, || text);
        }
    }

    /// Looks all fields up: fills `cells` and `shape`, or asks for what is unknown.
    fn look_up(&mut self, measurement: Option<MeasurementId>) -> Fields {
        self.cells.clear();
        self.shape.names.clear();
        self.shape.fields.clear();
        self.shape.longest = 0;
        let (mut any, mut missing) = (false, measurement.is_none());
        for index in 0..self.fields.len() {
            let Some((raw, datum)) = self.fields.get(index).copied() else { break };
            self.text.clear();
            unescape(raw, b", =\"", &mut self.text);
            if self.text == b"time" {
                continue;
            }
            any = true;
            match self.column(measurement, kind_of(datum)) {
                Ok(Some(column)) => {
                    self.cells.push((column, datum));
                    self.shape.names.extend_from_slice(raw);
                    self.shape.names.push(b'=');
                    let end = self.shape.names.len() as u32;
                    self.shape.fields.push(ShapeField { end, column, at: 0 });
                    self.shape.longest = self.shape.longest.max(raw.len() + 1);
                }
                Ok(None) => missing = true,
                Err(conflict) => return Fields::Dropped(conflict),
            }
        }
        if !any {
            return Fields::Dropped(invalid_time("field", &self.name));
        }
        if missing {
            self.need_names(measurement);
            return Fields::Missing;
        }
        Fields::Known
    }

    /// The column of the field named in `text`; `None` when the catalog does not know it with this
    /// type; an error text when it has another one.
    fn column(
        &self,
        measurement: Option<MeasurementId>,
        kind: FieldType,
    ) -> Result<Option<ColumnId>, Vec<u8>> {
        let policy = self.batcher.target().policy;
        let field = self.ctx.catalog.field(&self.text);
        let known = measurement
            .zip(field)
            .map(|(measurement, field)| self.ctx.catalog.field_types(policy, measurement, field))
            .filter(|types| !types.is_empty());
        let asked = self.batcher.names.types(&self.name, &self.text);
        let types = known.unwrap_or(asked);
        if !types.contains(kind)
            && let Some(stored) = types.first()
        {
            return Err(type_conflict(&self.text, &self.name, kind.name(), stored.name()));
        }
        Ok(known.and(field).map(|field| ColumnId::new(field, kind)))
    }

    /// Asks for the measurement and for each of the line's fields that is unknown.
    fn need_names(&mut self, measurement: Option<MeasurementId>) {
        if measurement.is_none() {
            self.batcher.names.need_measurement(&self.name);
        }
        for index in 0..self.fields.len() {
            let Some((raw, datum)) = self.fields.get(index).copied() else { break };
            self.text.clear();
            unescape(raw, b", =\"", &mut self.text);
            let kind = kind_of(datum);
            if self.text != b"time" && self.column(measurement, kind) == Ok(None) {
                self.batcher.names.need_field(&self.name, &self.text, kind);
            }
        }
    }

    fn store(
        &mut self,
        line: &'a [u8],
        measurement: MeasurementId,
        partition: PartitionId,
        time: i64,
    ) {
        let Some(placed) = self.place(line, measurement) else {
            let len = self.key.raw(line).len();
            return self.refuse(line, &key_too_long(len.max(KEY_BYTES_MAX + 1)));
        };
        self.ctx.report.count_point();
        let plain = self.sort_cells();
        let row = (placed.series, time);
        let owner = Owner::Measurement(measurement);
        let put = self.batcher.append(owner, placed.shard, partition, row, &self.cells);
        let key = (self.batcher.target().policy, measurement);
        let (version, request) = (self.batcher.version(), self.batcher.request());
        if !plain {
            // The row may have moved its measurement to another Batch.
            if let Some(known) = self.batcher.shapes.get(key) {
                known.hot.clear();
            }
            return;
        }
        let known = self.batcher.shapes.get_or_add(key);
        known.check(version);
        let same = known.shapes.iter().position(|shape| {
            shape.names == self.shape.names
                && shape.fields.iter().map(|field| (field.end, field.column)).eq(self
                    .shape
                    .fields
                    .iter()
                    .map(|field| (field.end, field.column)))
        });
        let shape = same.unwrap_or_else(|| known.add(&self.shape));
        known.guess = shape;
        let shape = shape as u8;
        let batch = put.batch;
        *known.hot_mut(placed.shard.index()) = match put.exact {
            true => Hot { request, partition, batch, shape },
            false => Hot::default(),
        };
    }

    fn place(&mut self, line: &[u8], measurement: MeasurementId) -> Option<Placed> {
        let db = self.batcher.target().db;
        let hash = self.ctx.cache.hash(db, KeyForm::Line, self.key.raw(line));
        let found = self.batcher.find_series(self.ctx.cache, hash);
        if let Some(placed) = found.filter(|placed| placed.measurement == measurement) {
            return Some(placed);
        }
        let tags = self.key.tags();
        self.batcher.new_series(hash, measurement, &self.name, &tags)
    }

    /// Sorts the cells by column, the last of equal columns winning. True when the line has a
    /// shape: every field once, none left out, and no name that takes a second look.
    fn sort_cells(&mut self) -> bool {
        let sent = self.fields.len();
        // Stable, so that of equal columns the last one sent comes last.
        self.cells.sort_by_key(|cell| cell.0);
        self.cells.reverse();
        self.cells.dedup_by_key(|cell| cell.0);
        self.cells.reverse();
        let odd = |(raw, _): &RawField<'_>| {
            raw.is_empty() || raw.iter().any(|byte| matches!(byte, b'\\' | b',' | b' ' | b'\n'))
        };
        if self.cells.len() != sent || self.fields.iter().any(odd) {
            return false;
        }
        for field in &mut self.shape.fields {
            let at = self.cells.binary_search_by_key(&field.column, |cell| cell.0);
            field.at = at.unwrap_or(0) as u32;
        }
        true
    }
}
