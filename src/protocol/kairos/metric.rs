//! A metric whose object was read: checked, placed, its points stored.
//!
//! Messages are KairosDB's. A bad name, tag or single value refuses the metric, a bad point only
//! itself. While names are collected nothing is stored and nothing reported.

use super::super::batcher::{Datum, Placed};
use super::members::Span;
use super::value::{self, Kind, Wrong, WrongTime};
use super::{Decoder, FIELD, Place, Stage, scan};
use crate::model::{ColumnId, FieldType, MeasurementId, TypeSet, series_key};
use crate::route::KeyForm;
use std::borrow::Cow;

/// What is known of the metric whose points are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Current {
    pub kind: Kind,
    ttl_s: i64,
    /// Whether messages name it.
    named: bool,
    /// Whether bad tags are left out instead of refused.
    lenient: bool,
    measurement: Option<MeasurementId>,
    /// Types of the field, as far as they were asked for.
    types: TypeSet,
    /// The hash of name and tags as sent.
    hash: Option<u128>,
    placed: Option<Placed>,
}

type Tags<'a> = Vec<(Cow<'a, [u8]>, Cow<'a, [u8]>)>;

impl<'a> Decoder<'a, '_, '_> {
    /// Looks at the metric just read and goes on to its points or behind it.
    pub(super) fn metric(&mut self) {
        let found = self.doc.place.found;
        let place = &mut self.doc.place;
        (place.stage, place.at, place.point) = (Stage::After, found.end, 0);
        place.current = Current::default();
        if !self.check() {
            if self.resume.is_none() {
                self.ctx.report.refused_metrics += 1;
            }
            return;
        }
        self.refresh_names();
        let time = self.time_token();
        if let (Some(time), Some(value)) = (time, found.value) {
            let kind = (self.doc.place.current.kind, found.kind);
            // Where names are missing, the metric is looked at again.
            self.doc.place.stage = Stage::Look;
            self.value_at(time.of(self.bytes), value.of(self.bytes), kind, false);
            self.doc.place.stage = Stage::After;
        }
        match found.points.map(|span| (span.start, span.of(self.bytes).first())) {
            Some((start, Some(b'['))) => {
                (self.doc.place.stage, self.doc.place.at) = (Stage::Points, start + 1);
                self.until = self.until.max(start + super::SLICE_BYTES / 2);
            }
            None | Some((_, Some(b'n'))) => {}
            Some(_) => self.refuse(".datapoints must be an array."),
        }
    }

    /// Checks name, tags, options and single value; false when the metric is refused.
    fn check(&mut self) -> bool {
        let found = self.doc.place.found;
        let lenient = found.skip_validate.is_some_and(|span| is_true(span.of(self.bytes)));
        self.doc.place.current.lenient = lenient;
        // A series that was met in these very bytes has a good name and good tags.
        let known = if lenient { None } else { self.find_raw() };
        self.doc.place.current.placed = known;
        let mut good = known.is_some() || self.check_name();
        self.doc.place.current.named |= known.is_some();
        good &= lenient || self.check_value();
        good &= known.is_some() || self.check_tags(lenient);
        let kind = found.kind.map_or(Kind::Auto, |span| Kind::of(span.of(self.bytes)));
        self.doc.place.current.kind = kind;
        match found.ttl.map_or(Some(0), |span| seconds(span.of(self.bytes))) {
            Some(ttl_s) if ttl_s > 0 => self.doc.place.current.ttl_s = ttl_s,
            Some(_) => self.doc.place.current.ttl_s = self.ctx.ttl_default_s,
            None => {
                self.refuse(".ttl must be a number of seconds.");
                good = false;
            }
        }
        good
    }

    fn check_name(&mut self) -> bool {
        let fault = match self.token(self.doc.place.found.name) {
            None | Some(b"null") => ".name may not be null.",
            Some(b"\"\"") => ".name may not be empty.",
            Some([b'[' | b'{', ..]) => ".name must be a text.",
            Some(_) => {
                self.doc.place.current.named = true;
                return true;
            }
        };
        self.refuse(fault);
        false
    }

    fn check_value(&mut self) -> bool {
        let found = self.doc.place.found;
        let text = matches!(self.token(found.kind), Some(b"\"string\""));
        let fault = match (self.time_token(), self.token(found.value)) {
            (Some(_), None) => ".value may not be null.",
            (Some(_), Some(b"null")) => ".value may not be empty.",
            (Some(_), Some(b"\"\"")) if !text => ".value may not be empty.",
            (Some(_), Some(_)) | (None, None | Some(b"null")) => return true,
            (None, Some(_)) => ".timestamp may not be null.",
        };
        self.refuse(fault);
        false
    }

    fn check_tags(&mut self, lenient: bool) -> bool {
        let token = self.token(self.doc.place.found.tags).unwrap_or(b"null");
        if !matches!(token.first(), Some(b'{' | b'n')) {
            self.refuse(".tags must be an object.");
            return false;
        }
        let (mut good, mut names) = (true, Vec::new());
        for (at, (name, value)) in Members::of(token).enumerate() {
            let (name, first) = (scan::text(name), value.first());
            if names.contains(&name) {
                self.report(|| format!("duplicate key: {}", String::from_utf8_lossy(&name)));
                return false;
            }
            let shown = String::from_utf8_lossy(&name);
            let fault = match first {
                _ if lenient => None,
                _ if name.is_empty() => Some(format!(".tag[{at}].name may not be empty.")),
                Some(b'n') => Some(format!(".tag[{shown}].value may not be null.")),
                Some(b'"') if value == b"\"\"" => {
                    Some(format!(".tag[{shown}].value may not be empty."))
                }
                Some(b'[' | b'{') => Some(format!(".tag[{shown}].value must be a text.")),
                _ => None,
            };
            if let Some(fault) = fault {
                self.refuse(&fault);
                good = false;
            }
            names.push(name);
        }
        if names.is_empty() && !lenient {
            self.refuse(".tags count must be greater than or equal to 1.");
            good = false;
        }
        good
    }

    /// The member that tells the single value's time, if one does.
    fn time_token(&self) -> Option<Span> {
        let found = &self.doc.place.found;
        let set = |span: &Span| span.of(self.bytes) != b"null";
        found.time.filter(set).or(found.timestamp.filter(set))
    }

    fn token(&self, span: Option<Span>) -> Option<&'a [u8]> {
        span.map(|span| span.of(self.bytes))
    }

    fn name(&self) -> Cow<'a, [u8]> {
        plain(self.token(self.doc.place.found.name).unwrap_or(b"\"\""))
    }

    /// The hash of name and tags as sent. A name's token tells its own end.
    pub(super) fn hash_of(&mut self, name: Option<Span>, tags: Option<Span>) -> u128 {
        let key = &mut self.doc.key;
        key.clear();
        for span in [name, tags].into_iter().flatten() {
            key.extend_from_slice(span.of(self.bytes));
        }
        self.ctx.cache.hash(self.batcher.target().db, KeyForm::Kairos, key)
    }

    fn raw_hash(&mut self) -> u128 {
        let found = self.doc.place.found;
        found.known.unwrap_or_else(|| self.hash_of(found.name, found.tags))
    }

    /// The series of a name and tags met before, as long as its measurement lives.
    fn find_raw(&mut self) -> Option<Placed> {
        let found = self.doc.place.found;
        found.name.zip(found.tags)?;
        let hash = self.raw_hash();
        self.doc.place.current.hash = Some(hash);
        let placed = self.batcher.find_series(self.ctx.cache, hash)?;
        // Types that are still good say that their measurement is there.
        let lives = !placed.types.is_empty()
            || self.ctx.catalog.measurement_name(placed.measurement).is_some();
        lives.then_some(placed)
    }

    /// Brings what the catalog says of the current metric up to date: between two steps names may
    /// have been made or dropped.
    pub(super) fn refresh(&mut self) {
        if self.doc.place.stage != Stage::Points {
            return;
        }
        let placed = self.doc.place.current.placed;
        let lives = |p: &Placed| self.ctx.catalog.measurement_name(p.measurement).is_some();
        // What the series cache knew of types may be over.
        let asked = |p| Placed { types: TypeSet::default(), ..p };
        self.doc.place.current.placed = placed.filter(lives).map(asked);
        self.refresh_names();
    }

    fn refresh_names(&mut self) {
        let placed = self.doc.place.current.placed;
        let measurement = match placed {
            Some(placed) => Some(placed.measurement),
            None => self.ctx.catalog.measurement(self.batcher.target().db, &self.name()),
        };
        self.doc.place.current.measurement = measurement;
        let types = placed.map_or(TypeSet::default(), |placed| placed.types);
        self.doc.place.current.types = types;
        if types.is_empty() {
            self.refresh_types();
        }
    }

    /// Asks the catalog for the field's types, and tells the series cache.
    fn refresh_types(&mut self) {
        let policy = self.batcher.target().policy;
        let current = &mut self.doc.place.current;
        let Some((measurement, field)) = current.measurement.zip(self.field) else { return };
        current.types = self.ctx.catalog.field_types(policy, measurement, field);
        if let (Some(hash), Some(_)) = (current.hash, current.placed) {
            self.ctx.cache.confirm(hash, current.types);
        }
    }

    /// Stores a value as sent at a time as sent, or says what is wrong with them.
    pub(super) fn value_at(
        &mut self,
        time: &[u8],
        value: &'a [u8],
        (kind, named): (Kind, Option<Span>),
        in_points: bool,
    ) {
        let time = match value::time_ns(time) {
            Ok(time) => time,
            Err(wrong) => {
                let fault = match wrong {
                    WrongTime::Form => ".timestamp must be a number.",
                    WrongTime::Range => ".timestamp is out of range.",
                };
                return self.refuse_value(fault, in_points);
            }
        };
        let mut text = std::mem::take(&mut self.doc.text);
        match value::read(value, kind, &mut text) {
            Ok(datum) => self.store(time, datum),
            Err(Wrong::Empty) => self.refuse_value(".value may not be empty.", in_points),
            Err(Wrong::EmptyArray) => {
                self.refuse_value(".value may not be an empty array.", in_points);
            }
            Err(Wrong::Nested) => {
                self.refuse(" value is an invalid type");
                self.count_point();
            }
            Err(Wrong::Form) => {
                let shown = plain(value);
                let shown = String::from_utf8_lossy(&shown);
                self.report(|| format!("For input string: \"{shown}\""));
                self.count_point();
            }
            Err(Wrong::Unregistered) => {
                let shown = plain(self.token(named).unwrap_or(b""));
                let shown = String::from_utf8_lossy(&shown);
                self.report(|| format!("Unregistered data point type '{shown}'"));
                self.count_point();
            }
        }
        self.doc.text = text;
    }

    /// Appends a row, or asks for the names it needs.
    #[inline]
    pub(super) fn store(&mut self, time: i64, datum: Datum<'_>) {
        if self.batcher.is_beyond_retention(time) {
            let fault = " is older than the retention policy keeps.";
            return self.refuse_value(fault, self.doc.place.stage == Stage::Points);
        }
        let kind = match datum {
            Datum::Float(_) => FieldType::Float,
            Datum::Integer(_) => FieldType::Integer,
            _ => FieldType::String,
        };
        let partition = self.batcher.partition(self.ctx.catalog, time);
        if !self.doc.place.current.types.contains(kind) {
            self.refresh_types();
        }
        let known = self.doc.place.current.types.contains(kind);
        let (Some(partition), Some(field), true) = (partition, self.field, known) else {
            return self.need(time, kind);
        };
        if self.resume.is_some() {
            return;
        }
        let Some(placed) = self.doc.place.current.placed.or_else(|| self.place_series()) else {
            let fault = " has a name and tags that are too long.";
            return self.refuse_value(fault, self.doc.place.stage == Stage::Points);
        };
        let row = (placed.series, time);
        let cell = (ColumnId::new(field, kind), datum);
        let ttl_s = self.doc.place.current.ttl_s;
        let ttl_ns = ttl_s.saturating_mul(1_000_000_000);
        let expire = (ttl_s > 0).then(|| self.ctx.now_ns.saturating_add(ttl_ns));
        self.batcher.append_single(placed.shard, partition, row, cell, expire);
    }

    fn need(&mut self, time: i64, kind: FieldType) {
        self.resume.get_or_insert(self.doc.place);
        let name = self.name();
        let current = &self.doc.place.current;
        if current.measurement.is_none() {
            self.batcher.names.need_measurement(&name);
        }
        if !current.types.contains(kind) {
            self.batcher.names.need_field(&name, FIELD, kind);
        }
        if self.batcher.partition(self.ctx.catalog, time).is_none() {
            let policy = self.batcher.target().policy;
            self.batcher.names.need_partition(self.ctx.catalog, policy, time);
        }
    }

    /// Finds or makes the series of the current metric.
    fn place_series(&mut self) -> Option<Placed> {
        let measurement = self.doc.place.current.measurement?;
        let name = self.name();
        let token = self.token(self.doc.place.found.tags).unwrap_or(b"{}");
        let mut tags: Tags<'a> = Members::of(token)
            .filter(|(_, value)| !matches!(value.first(), Some(b'n' | b'[' | b'{')))
            .map(|(name, value)| (scan::text(name), plain(value)))
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
            .collect();
        tags.sort_unstable();
        let tags: Vec<(&[u8], &[u8])> =
            tags.iter().map(|(name, value)| (&**name, &**value)).collect();
        let hash = if self.doc.place.current.lenient {
            self.doc.key.clear();
            if !series_key::write_key(&name, &tags, &mut self.doc.key) {
                return None;
            }
            let db = self.batcher.target().db;
            self.ctx.cache.hash(db, KeyForm::Canonical, &self.doc.key)
        } else {
            self.raw_hash()
        };
        let found = self.batcher.find_series(self.ctx.cache, hash);
        let found = found.filter(|placed| placed.measurement == measurement);
        let placed = found.or_else(|| self.batcher.new_series(hash, measurement, &name, &tags));
        self.doc.place.current.placed = placed;
        placed
    }

    fn refuse_value(&mut self, fault: &str, in_points: bool) {
        if in_points { self.refuse_point(fault) } else { self.refuse_single(fault) }
    }

    fn refuse_single(&mut self, fault: &str) {
        self.refuse(fault);
        self.count_point();
    }

    /// Refuses the point being read.
    #[cold]
    pub(super) fn refuse_point(&mut self, fault: &str) {
        let point = self.doc.place.point;
        self.refuse(&format!(".datapoints[{point}]{fault}"));
        self.count_point();
    }

    fn count_point(&mut self) {
        if self.resume.is_none() {
            self.ctx.report.refused_points += 1;
        }
    }

    /// Reports a fault of the current metric.
    #[cold]
    fn refuse(&mut self, fault: &str) {
        let Place { number, current, .. } = self.doc.place;
        let name = self.name();
        self.report(|| match current.named {
            true => format!("metric[{number}](name={}){fault}", String::from_utf8_lossy(&name)),
            false => format!("metric[{number}]{fault}"),
        });
    }

    fn report(&mut self, message: impl FnOnce() -> String) {
        if self.resume.is_none() {
            self.ctx.report.add(message);
        }
    }
}

/// The text of a string's, number's or word's token.
fn plain(token: &[u8]) -> Cow<'_, [u8]> {
    if token.first() == Some(&b'"') { scan::text(token) } else { Cow::Borrowed(token) }
}

fn is_true(token: &[u8]) -> bool {
    matches!(token, b"true" | b"\"true\"")
}

fn seconds(token: &[u8]) -> Option<i64> {
    if token == b"null" {
        return Some(0);
    }
    super::super::number::integer(&plain(token)).ok()
}

/// The members of an object that was checked as JSON: tokens of names and values.
struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Members<'a> {
    fn of(object: &'a [u8]) -> Members<'a> {
        Members { bytes: object, at: 1 }
    }

    fn value(&mut self) -> Option<&'a [u8]> {
        let (start, _) = scan::peek(self.bytes, self.at).ok()?;
        self.at = start;
        let mut skip = scan::Skip::default();
        while !skip.run(self.bytes, &mut self.at, usize::MAX).ok()? {}
        self.bytes.get(start..self.at)
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (mut at, mut first) = scan::peek(self.bytes, self.at).ok()?;
        if first == b',' {
            (at, first) = scan::peek(self.bytes, at + 1).ok()?;
        }
        if first != b'"' {
            return None;
        }
        let end = scan::string_end(self.bytes, at).ok()?;
        let name = self.bytes.get(at..end)?;
        let (colon, _) = scan::peek(self.bytes, end).ok()?;
        self.at = colon + 1;
        Some((name, self.value()?))
    }
}
