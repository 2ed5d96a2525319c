//! SELECT without functions: rows straight from points.
//!
//! In: rows of the shards. Out: the selected columns, row by row in time, with limits applied; the
//! scans are dropped, and so stopped, when no more rows can be part of the answer.

use super::super::result::{Column as Out, ResultPart, Series, Sink};
use super::super::{Context, QueryError};
use super::nested::{self, Inner};
use super::outline::{Member, Unit};
use super::rows::RowMerge;
use super::window::Window;
use super::{Question, Shape};
use crate::model::{Column, ColumnId, FieldNo, FieldType, Strings, series_key};
use crate::shard::scan::expr::{RowsView, eval};
use crate::shard::scan::{Expr, Output, Rows};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Values of GROUP BY's tags.
type Group = Arc<[Box<[u8]>]>;

/// Gives the series of one unit.
pub(super) async fn run(
    context: Context<'_>,
    shape: &Shape<'_>,
    unit: &Unit<'_>,
    (columns, window): (&[Expr], Window),
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let mut out = Rest { context, shape, unit, columns, window, head: None };
    if unit.work.fields.is_empty() || out.window.series_done() {
        return Ok(());
    }
    let mut merge = RowMerge::new(shape.order());
    for (rank, member) in unit.members.iter().enumerate() {
        let fields = unit.fields_of(member);
        match member {
            Member::Stored { stored, times } => {
                let visible = fields.len();
                if fields.iter().all(|field| field.columns.is_empty()) {
                    continue;
                }
                let output = Output::Rows { visible, limit: out.window.rows_needed() };
                let (range, groups) = (shape.timing.range, out.window.chosen());
                let question = Question { fields: &fields, range, output, groups };
                let Some(request) = shape.request(context, unit, stored, question)? else {
                    continue;
                };
                super::check_series(context, &request).await?;
                super::scans(context, unit, &request, *times)
                    .into_iter()
                    .for_each(|scan| merge.add(rank, scan));
            }
            Member::Nested { query, unit: inner, .. } => {
                let range = shape.timing.range;
                let inner = Inner { query, unit: *inner, range, tags: &[] };
                let from = nested::Place { shape, unit, fields: &fields };
                if let ([_], true) = (unit.members.as_slice(), inner.is_in_order_of(shape)) {
                    return nested::pass_rows(context, from, inner, &mut out, sink).await;
                }
                merge.add_held(rank, nested::rows(context, from, inner).await?);
            }
        }
    }
    while let Some(rows) = merge.next().await? {
        if out.rows(rows, sink).await? {
            break;
        }
    }
    Ok(())
}

/// What becomes of rows in output order.
pub(super) struct Rest<'a> {
    context: Context<'a>,
    shape: &'a Shape<'a>,
    unit: &'a Unit<'a>,
    columns: &'a [Expr],
    window: Window,
    /// The group that rows are of.
    head: Option<Group>,
}

impl Rest<'_> {
    /// Hands on the selected columns of rows of one group; true when no later row can be part of
    /// the answer.
    pub async fn rows(&mut self, rows: Rows, sink: &mut impl Sink) -> Result<bool, QueryError> {
        if self.head.as_ref().is_none_or(|group| *group != rows.group) {
            self.window.next_series(&rows.group);
            if self.window.series_done() {
                return Ok(true);
            }
            self.head = Some(rows.group.clone());
        }
        let range = self.window.take(rows.times.len());
        if !range.is_empty() {
            let head = self.shape.series(self.unit, &rows.group);
            let series = project(head, self.columns, &self.unit.work.tags, rows, range);
            sink.part(ResultPart::of_series(self.context.statement_id, series)).await?;
        }
        Ok(self.window.rows_done() && self.shape.group_by.is_empty())
    }
}

/// The selected columns of some rows.
fn project(
    head: Series,
    columns: &[Expr],
    tags: &[Box<[u8]>],
    rows: Rows,
    range: Range<usize>,
) -> Series {
    let count = range.len();
    let whole = count == rows.times.len();
    let cut = |column: Column| -> Column {
        if whole {
            return column;
        }
        let mut out = Column {
            id: column.id,
            values: crate::model::Values::empty(column.values.kind()),
            validity: None,
        };
        out.append(&column, range.clone());
        out
    };
    let mut fields: Vec<Option<Column>> =
        rows.fields.into_iter().map(|column| Some(cut(column))).collect();
    let times = rows.times.get(range.clone()).unwrap_or_default();
    let series_of = rows.series_of.get(range).unwrap_or_default();
    let computed = columns.iter().any(|column| !matches!(column, Expr::Field(_) | Expr::Tag(_)));
    let mut results = match computed {
        true => compute(columns, tags, &fields, &rows.series, (times, series_of)).into_iter(),
        false => Vec::new().into_iter(),
    };
    let values = columns.iter().enumerate().map(|(place, column)| match column {
        Expr::Field(at) => {
            let again = |other: &Expr| matches!(other, Expr::Field(same) if same == at);
            let last = !columns.iter().skip(place + 1).any(again);
            let field = fields.get_mut(*at);
            let column = field.and_then(|one| if last { one.take() } else { one.clone() });
            column.map_or(Out::Cells(Vec::new()), Out::stored)
        }
        Expr::Tag(at) => {
            let key = tags.get(*at).map_or(&b""[..], |key| key);
            let texts = rows.series.iter().map(|series| tag_of(series, key)).collect();
            Out::Texts { texts, at: series_of.to_vec() }
        }
        _ => results.next().map_or(Out::Cells(Vec::new()), Out::stored),
    });
    let values = std::iter::once(Out::Times(times.to_vec())).chain(values).collect();
    Series { values, rows: count, ..head }
}

/// The columns that are computed row by row, in order.
fn compute(
    columns: &[Expr],
    tags: &[Box<[u8]>],
    fields: &[Option<Column>],
    series: &[Arc<[u8]>],
    (times, series_of): (&[i64], &[u32]),
) -> Vec<Column> {
    let fields: Vec<Option<Cow<'_, Column>>> =
        fields.iter().map(|column| column.as_ref().map(Cow::Borrowed)).collect();
    let texts = tags.iter().map(|key| Some(tag_strings(series, series_of, key)));
    let texts: Vec<Option<Strings>> = texts.collect();
    let view = RowsView { times, fields: &fields, tags: &texts };
    let id = ColumnId::new(FieldNo(0), FieldType::Float);
    let computed = columns.iter().filter(|one| !matches!(one, Expr::Field(_) | Expr::Tag(_)));
    computed.map(|expr| eval(expr, &view).into_column(id, times.len())).collect()
}

/// The value of a tag in a canonical key; `None` without it.
fn tag_of(key: &[u8], tag: &[u8]) -> Option<Arc<[u8]>> {
    let mut tags = series_key::tags(key);
    tags.find(|(name, _)| *name == tag).map(|(_, value)| value.into())
}

fn tag_strings(series: &[Arc<[u8]>], series_of: &[u32], tag: &[u8]) -> Strings {
    let values: Vec<Option<Arc<[u8]>>> = series.iter().map(|key| tag_of(key, tag)).collect();
    let mut out = Strings::default();
    for at in series_of {
        let value = values.get(*at as usize).and_then(|value| value.as_deref());
        out.push(value.unwrap_or_default());
    }
    out
}
