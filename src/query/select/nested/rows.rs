//! Rows of a subquery for an outer query that takes rows.
//!
//! In: the subquery's parts. Out: rows by group, then by time; rows of equal time in the order of
//! the inner query's series. Where that is the order in which they come, each part is handed on at
//! once; else all rows are held, within the query's memory.

use super::super::raw::Rest;
use super::intake::{Intake, pick};
use super::{Budget, Inner, Pending, Place, Taker, run, value_bytes};
use crate::query::result::{Closed, ResultPart, Sink};
use crate::query::{Context, QueryError};
use crate::shard::scan::{Order, Rows};
use futures_lite::future;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows given at once.
const ROWS_MAX: usize = 4096;

type Group = Arc<[Box<[u8]>]>;

/// All rows of a subquery, in output order.
///
/// # Errors
/// Those of the subquery; more rows than the query may hold.
pub async fn rows(
    context: Context<'_>,
    place: Place<'_>,
    inner: Inner<'_>,
) -> Result<Vec<Rows>, QueryError> {
    let mut held = Held {
        intake: Intake::new(place, inner)?,
        parts: BTreeMap::new(),
        budget: Budget::new(context.options.memory_bytes),
        failed: None,
    };
    let ran = run(context, place.shape, inner, &mut held).await;
    held.failed.map_or(ran, Err)?;
    let order = place.shape.order();
    let mut out = Vec::new();
    let groups = held.parts.into_values();
    let groups: Vec<Vec<Rows>> = match order {
        Order::Ascending => groups.collect(),
        Order::Descending => groups.rev().collect(),
    };
    for parts in groups {
        future::yield_now().await;
        arrange(parts, order, &mut out);
    }
    Ok(out)
}

struct Held<'a> {
    intake: Intake<'a>,
    parts: BTreeMap<Group, Vec<Rows>>,
    budget: Budget,
    failed: Option<QueryError>,
}

impl Taker for Held<'_> {
    fn take<'t>(&'t mut self, part: ResultPart) -> Pending<'t, Result<(), Closed>> {
        Box::pin(async move {
            future::yield_now().await;
            let Some(rows) = part.series.and_then(|series| self.intake.rows(series)) else {
                return Ok(());
            };
            let each: usize =
                rows.fields.iter().map(|column| value_bytes(column.values.kind())).sum();
            if let Err(error) = self.budget.add(rows.times.len() * (each + 24)) {
                self.failed = Some(error);
                return Err(Closed);
            }
            self.parts.entry(rows.group.clone()).or_default().push(rows);
            Ok(())
        })
    }
}

/// Brings parts of one group in order of time, keeping the order of parts for equal times.
fn arrange(parts: Vec<Rows>, order: Order, out: &mut Vec<Rows>) {
    let mut places: Vec<(i64, u32, u32)> = Vec::new();
    for (part, rows) in parts.iter().enumerate() {
        let number = |(row, time): (usize, &i64)| (*time, part as u32, row as u32);
        places.extend(rows.times.iter().enumerate().map(number));
    }
    match order {
        Order::Ascending => places.sort_by_key(|place| place.0),
        Order::Descending => places.sort_by_key(|place| std::cmp::Reverse(place.0)),
    }
    for some in places.chunks(ROWS_MAX) {
        let mut pieces = some.chunk_by(|a, b| a.1 == b.1).filter_map(|piece| {
            let rows: Vec<usize> = piece.iter().map(|(_, _, row)| *row as usize).collect();
            Some(pick(parts.get(piece.first()?.1 as usize)?, &rows))
        });
        let Some(mut all) = pieces.next() else { continue };
        pieces.for_each(|piece| extend(&mut all, piece));
        out.push(all);
    }
}

/// Appends rows of one part, all of one series.
fn extend(all: &mut Rows, piece: Rows) {
    let number = all.series.len() as u32;
    all.series.extend(piece.series);
    all.series_of.extend(std::iter::repeat_n(number, piece.times.len()));
    for (into, from) in all.fields.iter_mut().zip(&piece.fields) {
        into.append(from, 0..piece.times.len());
    }
    all.times.extend(piece.times);
}

/// Hands the rows of a subquery on as they come.
///
/// # Errors
/// Those of the subquery and of the sink.
pub async fn pass_rows(
    context: Context<'_>,
    place: Place<'_>,
    inner: Inner<'_>,
    rest: &mut Rest<'_>,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let intake = Intake::new(place, inner)?;
    let mut pass = Pass { intake, rest, sink, ended: None };
    let ran = run(context, place.shape, inner, &mut pass).await;
    pass.ended.unwrap_or(ran)
}

struct Pass<'a, 'r, S> {
    intake: Intake<'a>,
    rest: &'a mut Rest<'r>,
    sink: &'a mut S,
    /// Why no more rows are wanted.
    ended: Option<Result<(), QueryError>>,
}

impl<S: Sink> Taker for Pass<'_, '_, S> {
    fn take<'t>(&'t mut self, part: ResultPart) -> Pending<'t, Result<(), Closed>> {
        Box::pin(async move {
            future::yield_now().await;
            let Some(rows) = part.series.and_then(|series| self.intake.rows(series)) else {
                return Ok(());
            };
            self.ended = match self.rest.rows(rows, &mut *self.sink).await {
                Ok(false) => return Ok(()),
                Ok(true) => Some(Ok(())),
                Err(error) => Some(Err(error)),
            };
            Err(Closed)
        })
    }
}
