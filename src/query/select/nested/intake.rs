//! Parts of an inner query's answer as rows of the outer query: its fields and tags by number, its
//! groups, its condition applied.
//!
//! In: a part of a series. Out: `Rows` as a shard gives them, of one group and one series (the
//! inner query's), in the order in which they came.

use super::{Inner, Place};
use crate::model::{
    Bitmap, Column, ColumnId, FieldNo, FieldType, Strings, Value, Values, series_key,
};
use crate::query::QueryError;
use crate::query::plan::expr::Scope;
use crate::query::result::{CellRef, Column as Given, Series};
use crate::shard::scan::expr::{RowsView, cast, holds};
use crate::shard::scan::{Expr, FieldRef, Rows, TagPair};
use std::borrow::Cow;
use std::sync::Arc;

/// How an inner query's parts are read.
pub struct Intake<'a> {
    fields: Vec<FieldRef>,
    tags: Vec<Box<[u8]>>,
    filter: Option<Expr>,
    group_by: &'a [Box<[u8]>],
    /// Tags that are read as columns, behind the others.
    texts: &'a [Box<[u8]>],
    /// Tags that only top() and bottom() look at.
    keys: &'a [Box<[u8]>],
    columns: usize,
}

impl<'a> Intake<'a> {
    /// Prepares to read the parts of `inner`.
    ///
    /// # Errors
    /// A condition that is none.
    pub fn new(place: Place<'a>, inner: Inner<'a>) -> Result<Intake<'a>, QueryError> {
        let mut fields = place.fields.to_vec();
        let mut tags = place.unit.work.tags.clone();
        let mut filter = None;
        if let Some(condition) = &place.shape.outline.condition {
            let source = inner.query.seen_from_condition();
            let mut scope = Scope { source: &source, fields, tags };
            filter = Some(scope.compile(condition)?);
            (fields, tags) = (scope.fields, scope.tags);
        }
        Ok(Intake {
            fields,
            tags,
            filter,
            group_by: &place.shape.group_by,
            texts: &inner.query.dimensions,
            keys: inner.tags,
            columns: inner.query.selected.columns.len(),
        })
    }

    /// The rows of a part that pass the condition; `None` when none does.
    pub fn rows(&self, series: Series) -> Option<Rows> {
        let mut values = series.values.into_iter();
        let Some(Given::Times(times)) = values.next() else { return None };
        let mut given: Vec<Option<Given>> = values.map(Some).collect();
        let count = times.len();
        let tag = |key: &[u8]| {
            let found = series.tags.iter().find(|(known, _)| **known == *key);
            found.map_or(&b""[..], |(_, value)| value)
        };
        let mut fields = Vec::with_capacity(self.fields.len());
        for (at, field) in self.fields.iter().enumerate() {
            let number = field.columns.first().map_or(0, |id| id.field().index());
            let text = number.checked_sub(self.columns + 1).and_then(|at| self.texts.get(at));
            let again =
                || self.fields.iter().skip(at + 1).any(|other| other.columns == field.columns);
            fields.push(match (number.checked_sub(1), text) {
                (None, _) => Column::nulls(ColumnId::new(FieldNo(0), field.kind), count),
                (_, Some(key)) => texts(tag(key), count),
                (Some(place), None) => {
                    let slot = given.get_mut(place);
                    let taken =
                        slot.and_then(|slot| if again() { slot.clone() } else { slot.take() });
                    column(taken, field.kind, count)
                }
            });
        }
        let name = series.name.as_deref().unwrap_or_default();
        let group = self.group_by.iter().map(|key| Box::from(tag(key))).collect();
        // Tags by which only the outer query groups are no columns of the subquery.
        let known = |(key, _): &&TagPair| self.texts.contains(key) || self.keys.contains(key);
        let tags = series.tags.iter().filter(known);
        let tags: Vec<(&[u8], &[u8])> = tags.map(|(key, value)| (&**key, &**value)).collect();
        let mut key = Vec::new();
        series_key::write_key(name, &tags, &mut key);
        let series_of = vec![0; count];
        let rows = Rows { group, series: vec![Arc::from(key)], series_of, times, fields };
        self.filtered(rows, &tag)
    }

    fn filtered<'t>(&self, rows: Rows, tag: &impl Fn(&[u8]) -> &'t [u8]) -> Option<Rows> {
        let count = rows.times.len();
        let Some(filter) = &self.filter else { return (count > 0).then_some(rows) };
        let keep = {
            let fields: Vec<_> =
                rows.fields.iter().map(|column| Some(Cow::Borrowed(column))).collect();
            let text = |key: &[u8]| match texts(tag(key), count).values {
                Values::String(strings) => Some(strings),
                _ => None,
            };
            let tags: Vec<Option<Strings>> = self.tags.iter().map(|key| text(key)).collect();
            holds(filter, &RowsView { times: &rows.times, fields: &fields, tags: &tags })
        };
        match keep.count_ones() {
            0 => None,
            kept if kept == count => Some(rows),
            _ => Some(pick(&rows, &(0..count).filter(|row| keep.get(*row)).collect::<Vec<_>>())),
        }
    }

    /// The tag of a number, of rows that one part gave.
    pub fn tag(&self, number: usize, rows: &Rows) -> Option<Value> {
        let wanted = self.tags.get(number)?;
        let key = crate::model::SeriesKey::from_bytes(rows.series.first()?)?;
        let found = key.tags().find(|(key, _)| *key == &**wanted);
        found.map(|(_, value)| Value::String(value.into()))
    }
}

/// Some rows, in the order asked for.
pub fn pick(rows: &Rows, places: &[usize]) -> Rows {
    let column = |column: &Column| {
        let mut out =
            Column { id: column.id, values: Values::empty(column.values.kind()), validity: None };
        places.chunk_by(|a, b| a + 1 == *b).for_each(|run| {
            if let (Some(first), Some(last)) = (run.first(), run.last()) {
                out.append(column, *first..last + 1);
            }
        });
        out
    };
    Rows {
        group: rows.group.clone(),
        series: rows.series.clone(),
        series_of: places.iter().map(|at| rows.series_of.get(*at).copied().unwrap_or(0)).collect(),
        times: places.iter().filter_map(|at| rows.times.get(*at).copied()).collect(),
        fields: rows.fields.iter().map(column).collect(),
    }
}

/// The same text in every row.
fn texts(text: &[u8], count: usize) -> Column {
    let mut strings = Strings::default();
    (0..count).for_each(|_| strings.push(text));
    let id = ColumnId::new(FieldNo(0), FieldType::String);
    Column { id, values: Values::String(strings), validity: None }
}

/// A column of a result as values of one type; what is of another type, and no number, is null.
fn column(given: Option<Given>, kind: FieldType, count: usize) -> Column {
    let id = ColumnId::new(FieldNo(0), kind);
    match given {
        Some(Given::Values(values, validity)) if values.kind() == kind => {
            Column { id, values, validity }
        }
        Some(Given::Values(values, validity)) => match cast(&values, kind) {
            Some(values) => Column { id, values, validity },
            None => Column::nulls(id, count),
        },
        Some(given) => {
            let mut values = Values::empty(kind);
            let mut present = Bitmap::default();
            for row in 0..count {
                present.push(push(&mut values, given.get(row)));
            }
            Column { id, values, validity: Some(present) }
        }
        None => Column::nulls(id, count),
    }
}

/// Appends a value, or null for one that does not fit; whether it fitted.
fn push(values: &mut Values, cell: CellRef<'_>) -> bool {
    match (&mut *values, cell) {
        (Values::Float(out), CellRef::Float(value)) => out.push(value),
        (Values::Float(out), CellRef::Integer(value)) => out.push(value as f64),
        (Values::Float(out), CellRef::Unsigned(value)) => out.push(value as f64),
        (Values::Integer(out), CellRef::Integer(value)) => out.push(value),
        (Values::Integer(out), CellRef::Float(value)) => out.push(value as i64),
        (Values::Integer(out), CellRef::Unsigned(value)) => out.push(value as i64),
        (Values::Unsigned(out), CellRef::Unsigned(value)) => out.push(value),
        (Values::Unsigned(out), CellRef::Integer(value)) => out.push(value as u64),
        (Values::Unsigned(out), CellRef::Float(value)) => out.push(value as u64),
        (Values::Boolean(out), CellRef::Boolean(value)) => out.push(value),
        (Values::String(out), CellRef::Text(text)) => out.push(text),
        _ => {
            values.extend_null(1);
            return false;
        }
    }
    true
}
