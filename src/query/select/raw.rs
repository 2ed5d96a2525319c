//! SELECT without functions: rows straight from points.
//!
//! In: rows of the shards. Out: the selected columns, row by row in time, with limits applied; the
//! scans are dropped, and so stopped, when no more rows can be part of the answer.

use super::super::plan::expr::Scope;
use super::super::result::{Column as Out, ResultPart, Series, Sink};
use super::super::{Context, QueryError};
use super::Unit;
use super::rows::RowMerge;
use super::window::Window;
use crate::model::{Column, ColumnId, FieldNo, FieldType, SeriesKey, Strings};
use crate::shard::scan::expr::{RowsView, eval};
use crate::shard::scan::{Expr, Output, Rows};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Values of GROUP BY's tags.
type Group = Arc<[Box<[u8]>]>;

/// Answers from one source.
pub(super) async fn run(
    context: Context<'_>,
    unit: &Unit<'_>,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let (shape, source) = (unit.shape, unit.source);
    let mut scope = Scope::new(source);
    let columns = shape.selected.columns.iter().map(|(expr, _)| scope.compile(expr));
    let columns = columns.collect::<Result<Vec<Expr>, _>>()?;
    let visible = scope.fields.len();
    let Some((partitions, _)) = super::partitions(context, source, shape.timing.range) else {
        return Ok(());
    };
    if visible == 0 {
        return Ok(());
    }
    let mut window = Window::new(shape.select);
    if window.series_done() {
        return Ok(());
    }
    let tags = scope.tags.clone();
    let output = Output::Rows { visible, limit: window.rows_needed() };
    let request = shape.request(context, scope, partitions, shape.timing.range, output)?;
    super::check_series(context, &request).await?;
    let mut merge = RowMerge::new(unit.scans(context, &request), request.order);
    let mut head: Option<(Group, Series)> = None;
    while let Some(rows) = merge.next().await? {
        if head.as_ref().is_none_or(|(group, _)| *group != rows.group) {
            window.next_series();
            if window.series_done() {
                break;
            }
            head = Some((rows.group.clone(), shape.series(source, &rows.group)));
        }
        let range = window.take(rows.times.len());
        if let (false, Some((_, head))) = (range.is_empty(), &head) {
            let series = project(head, &columns, &tags, rows, range);
            sink.part(ResultPart::of_series(context.statement_id, series)).await?;
        }
        if window.rows_done() && shape.group_by.is_empty() {
            break;
        }
    }
    Ok(())
}

/// The selected columns of some rows.
fn project(
    head: &Series,
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
    let fields: Vec<Column> = rows.fields.into_iter().map(cut).collect();
    let times = rows.times.get(range.clone()).unwrap_or_default().to_vec();
    let series_of = rows.series_of.get(range).unwrap_or_default();
    let computed = columns.iter().any(|column| !matches!(column, Expr::Field(_) | Expr::Tag(_)));
    let texts: Vec<Strings> = match computed {
        true => tags.iter().map(|key| tag_strings(&rows.series, series_of, key)).collect(),
        false => Vec::new(),
    };
    let view_fields: Vec<Option<Cow<'_, Column>>> =
        fields.iter().map(|column| Some(Cow::Borrowed(column))).collect();
    let view_tags: Vec<Option<Strings>> = texts.into_iter().map(Some).collect();
    let view = RowsView { times: &times, fields: &view_fields, tags: &view_tags };
    let values = columns.iter().map(|column| match column {
        Expr::Field(at) => fields.get(*at).cloned().map_or(Out::Cells(Vec::new()), Out::stored),
        Expr::Tag(at) => {
            let key = tags.get(*at).map_or(&b""[..], |key| key);
            let texts = rows.series.iter().map(|series| tag_of(series, key)).collect();
            Out::Texts { texts, at: series_of.to_vec() }
        }
        expr => {
            let id = ColumnId::new(FieldNo(0), FieldType::Float);
            Out::stored(eval(expr, &view).into_column(id, count))
        }
    });
    let values: Vec<Out> = values.collect();
    let values = std::iter::once(Out::Times(times.clone())).chain(values).collect();
    Series { values, rows: count, ..head.clone() }
}

/// The value of a tag in a canonical key; `None` without it.
fn tag_of(key: &[u8], tag: &[u8]) -> Option<Arc<[u8]>> {
    let key = SeriesKey::from_bytes(key)?;
    key.tags().find(|(name, _)| *name == tag).map(|(_, value)| value.into())
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
