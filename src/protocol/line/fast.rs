//! One line the fast way: a key that was met before and fields in the order of a known shape.
//!
//! Nothing is looked up but the key's hash: names are compared with the expected ones, values go to
//! their place in the row, and the row to the Batch that took the row before. At anything
//! unexpected the way gives up without a trace, and the line is read again the exact way.

use super::super::batcher::{Cell, Datum, Hot, MeasurementShapes, Owner, Shape};
use super::super::number::{digits_prefix, float_prefix, integer_prefix};
use super::{Decoder, is_storable};
use crate::model::series_key::KEY_BYTES_MAX;
use crate::model::{ColumnId, FieldType};
use crate::route::KeyForm;

impl<'a> Decoder<'a, '_, '_> {
    /// Decodes the line at `at` if it is known all through; gives the offset of the next one.
    #[inline]
    pub(super) fn fast_line(&mut self, at: usize) -> Option<usize> {
        let line = self.input.get(at..)?;
        let key_end = memchr::memchr3(b' ', b'\\', b'\n', line)?;
        let (key, rest) = line.split_at_checked(key_end)?;
        let body = rest.strip_prefix(b" ")?;
        let target = self.batcher.target();
        let hash = self.ctx.cache.hash(target.db, KeyForm::Line, key);
        let placed = self.batcher.find_series(self.ctx.cache, hash)?;
        let (version, request) = (self.batcher.version(), self.batcher.request());
        let known = self.batcher.shapes.get((target.policy, placed.measurement))?;
        if known.version != version {
            return None;
        }
        let (shape, used) = read_shapes(known, body, &mut self.cells, key.len())?;
        let hot = known.hot.get(placed.shard.index()).copied().unwrap_or_default();
        let (time, end) = self.fast_time(body.get(used..)?)?;
        let next = at + key_end + 1 + used + end;
        if next - at > self.ctx.line_bytes_max {
            return None;
        }
        if self.batcher.is_beyond_retention(time) {
            self.ctx.report.count_point();
            self.ctx.report.count_beyond_retention();
            return Some(next);
        }
        let partition = self.batcher.partition(self.ctx.catalog, time)?;
        self.ctx.report.count_point();
        let row = (placed.series, time);
        let is_hot = hot.request == request && hot.partition == partition && hot.shape == shape;
        if is_hot && self.batcher.push_exact(placed.shard, hot.batch, row, &self.cells) {
            return Some(next);
        }
        let owner = Owner::Measurement(placed.measurement);
        let put = self.batcher.append(owner, placed.shard, partition, row, &self.cells);
        let hot = match put.exact {
            true => Hot { request, partition, batch: put.batch, shape },
            false => Hot::default(),
        };
        if let Some(known) = self.batcher.shapes.get((target.policy, placed.measurement)) {
            *known.hot_mut(placed.shard.index()) = hot;
        }
        Some(next)
    }

    /// Reads ` time\n`, or the line's end, behind the fields: the time and the length with newline.
    #[inline]
    fn fast_time(&self, rest: &[u8]) -> Option<(i64, usize)> {
        let at_end = |len: usize| match rest.get(len) {
            Some(b'\n') => Some(len + 1),
            None if !self.ctx.more => Some(len),
            _ => None,
        };
        let Some(digits) = rest.strip_prefix(b" ") else {
            return Some((self.default_time, at_end(0)?));
        };
        let (value, len) = digits_prefix(digits);
        if len == 0 || len > 19 {
            return None;
        }
        let time = i64::try_from(value).ok()?.checked_mul(self.unit_ns)?;
        is_storable(time).then_some((time, at_end(len + 1)?))
    }
}

/// Tries the measurement's shapes, the last used one first: which one fits, and the bytes used.
#[inline]
fn read_shapes<'a>(
    known: &mut MeasurementShapes,
    body: &'a [u8],
    cells: &mut Vec<Cell<'a>>,
    key_len: usize,
) -> Option<(u8, usize)> {
    let guess = known.guess;
    let room = KEY_BYTES_MAX.saturating_sub(key_len + 4);
    let mut fits = |shape: &Shape| {
        // A shape's longest name is counted with its `=`.
        if shape.longest > room + 1 { None } else { read_shape(shape, body, cells) }
    };
    if let Some(used) = known.shapes.get(guess).and_then(&mut fits) {
        return Some((guess as u8, used));
    }
    let others = known.shapes.iter().enumerate().filter(|(index, _)| *index != guess);
    let (index, used) = others
        .map(|(index, shape)| (index, fits(shape)))
        .find_map(|(index, used)| used.map(|used| (index, used)))?;
    known.guess = index;
    Some((index as u8, used))
}

/// Reads fields in the order of a shape into `cells`, sorted by column; the bytes used.
#[inline]
#[expect(clippy::indexing_slicing, reason = "`at` is a position among the shape's own fields")]
fn read_shape<'a>(shape: &Shape, body: &'a [u8], cells: &mut Vec<Cell<'a>>) -> Option<usize> {
    let count = shape.fields.len();
    if cells.len() != count {
        cells.clear();
        cells.resize(count, (ColumnId(0), Datum::Integer(0)));
    }
    let mut rest = body;
    let mut name_start = 0;
    for (index, field) in shape.fields.iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(b",")?;
        }
        let name = shape.names.get(name_start..field.end as usize)?;
        name_start = field.end as usize;
        rest = rest.strip_prefix(name)?;
        let (datum, len) = read_value(rest, field.column.kind())?;
        cells[field.at as usize] = (field.column, datum);
        rest = rest.get(len..)?;
    }
    // A value is followed by a comma, a blank, or the line's end; what follows the last one is
    // checked by the caller, a comma or anything else there fails.
    Some(body.len() - rest.len())
}

/// Reads a value of the expected type; the byte behind it is checked by the caller.
#[inline]
fn read_value(text: &[u8], kind: FieldType) -> Option<(Datum<'_>, usize)> {
    match kind {
        FieldType::Float => float_prefix(text).map(|(value, len)| (Datum::Float(value), len)),
        FieldType::Integer => {
            let (value, len) = integer_prefix(text)?;
            (text.get(len) == Some(&b'i')).then_some((Datum::Integer(value), len + 1))
        }
        FieldType::String => {
            let inner = text.strip_prefix(b"\"")?;
            let end = memchr::memchr2(b'"', b'\\', inner)?;
            let (value, rest) = inner.split_at_checked(end)?;
            (rest.first() == Some(&b'"')).then_some((Datum::String(value), end + 2))
        }
        FieldType::Boolean => read_boolean(text),
        FieldType::Unsigned => None,
    }
}

fn read_boolean(text: &[u8]) -> Option<(Datum<'_>, usize)> {
    let len = text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let value = match text.get(..len)? {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => true,
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => false,
        _ => return None,
    };
    Some((Datum::Boolean(value), len))
}
