//! States of groups over the rows of a subquery, for an outer query that aggregates.
//!
//! In: the subquery's parts, added as they come. Out: one `Group` for each group with a value, in
//! output order, as a shard gives it. Memory is groups x buckets x state, within the query's.

use super::intake::{Intake, pick};
use super::{Budget, Inner, Pending, Place, Taker, run};
use crate::model::{Column, FieldType, TimeRange, Value};
use crate::query::result::{Closed, ResultPart};
use crate::query::{Context, QueryError};
use crate::shard::scan::{
    Accumulator, Aggregate, Aux, Buckets, Function, Group, Order, Rows, RowsOf, Samples, Slice,
    States, inside,
};
use futures_lite::future;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// The groups of a subquery's rows, in output order.
///
/// # Errors
/// Those of the subquery; more state than the query may hold.
pub async fn groups(
    context: Context<'_>,
    place: Place<'_>,
    inner: Inner<'_>,
    (buckets, aggregates): (Buckets, &[Aggregate]),
) -> Result<Vec<Group>, QueryError> {
    let kind = |at: usize| place.fields.get(at).map_or(FieldType::Float, |field| field.kind);
    let mut table = Table {
        intake: Intake::new(place, inner)?,
        kinds: aggregates.iter().map(|aggregate| kind(aggregate.field)).collect(),
        buckets,
        aggregates,
        groups: BTreeMap::new(),
        budget: Budget::new(context.options.memory_bytes),
        failed: None,
    };
    let ran = run(context, place.shape, inner, &mut table).await;
    if let Some(error) = table.failed {
        return Err(error);
    }
    ran?;
    let mut out = Vec::new();
    for (values, held) in table.groups {
        future::yield_now().await;
        out.extend(held.finish(values));
    }
    if place.shape.order() == Order::Descending {
        out.reverse();
    }
    Ok(out)
}

struct Table<'a> {
    intake: Intake<'a>,
    kinds: Vec<FieldType>,
    buckets: Buckets,
    aggregates: &'a [Aggregate],
    groups: BTreeMap<Arc<[Box<[u8]>]>, Held>,
    budget: Budget,
    failed: Option<QueryError>,
}

/// The states of one group: buckets from `first` on.
struct Held {
    first: i64,
    width: usize,
    accumulators: Vec<Accumulator>,
    /// Of rows that took part.
    times: TimeRange,
    /// The inner series whose rows came last.
    series: Arc<[u8]>,
}

impl Taker for Table<'_> {
    fn take<'t>(&'t mut self, part: ResultPart) -> Pending<'t, Result<(), Closed>> {
        Box::pin(async move {
            future::yield_now().await;
            let Some(rows) = part.series.and_then(|series| self.intake.rows(series)) else {
                return Ok(());
            };
            self.add(rows).map_err(|error| {
                self.failed = Some(error);
                Closed
            })
        })
    }
}

impl Table<'_> {
    fn add(&mut self, rows: Rows) -> Result<(), QueryError> {
        let rows = forwards(rows);
        // Where the best of each combination of tags is kept, rows of several may lie side by side.
        let by_tags = |a: &Aggregate| matches!(a.function, Function::Best { by: Some(_), .. });
        let alone = self.aggregates.iter().any(by_tags);
        let pieces = pieces(&self.buckets, &rows.times, alone);
        let (Some(first), Some(last)) = (
            pieces.iter().map(|(bucket, _)| *bucket).min(),
            pieces.iter().map(|(bucket, _)| *bucket).max(),
        ) else {
            return Ok(());
        };
        let each: usize = self.aggregates.iter().map(|a| States::bytes_each(a.function)).sum();
        let bytes = |buckets: u64| {
            usize::try_from(buckets).map_or(usize::MAX, |buckets| buckets.saturating_mul(each))
        };
        let held = match self.groups.entry(rows.group.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.budget.add(bytes(last.abs_diff(first).saturating_add(1)))?;
                let width = last.abs_diff(first) as usize + 1;
                entry.insert(Held::new(self.aggregates, &self.kinds, (first, width)))
            }
        };
        let before = held.first.saturating_sub(first).max(0) as u64;
        let behind = last.saturating_sub(held.last()).max(0) as u64;
        self.budget.add(bytes(before.saturating_add(behind)))?;
        held.widen(before as usize, behind as usize);
        let grown = held.add(&rows, &pieces, self.aggregates, &self.intake);
        self.budget.add(grown)
    }
}

/// Rows in ascending order of time.
fn forwards(rows: Rows) -> Rows {
    if rows.times.is_sorted() {
        return rows;
    }
    let mut places: Vec<usize> = (0..rows.times.len()).collect();
    places.sort_by_key(|at| rows.times.get(*at));
    pick(&rows, &places)
}

/// Rows cut at the borders of buckets, and where a time comes again: of points at one time a
/// selector has to look at each. `alone`: each row by itself.
fn pieces(buckets: &Buckets, times: &[i64], alone: bool) -> Vec<(i64, std::ops::Range<usize>)> {
    let mut out: Vec<(i64, std::ops::Range<usize>)> = Vec::new();
    let mut before = None;
    for (row, time) in times.iter().enumerate() {
        let again = before.replace(*time) == Some(*time) || alone;
        let Some(bucket) = buckets.number(*time) else { continue };
        match out.last_mut() {
            Some((known, rows)) if *known == bucket && rows.end == row && !again => {
                rows.end = row + 1;
            }
            _ => out.push((bucket, row..row + 1)),
        }
    }
    out
}

impl Held {
    fn new(aggregates: &[Aggregate], kinds: &[FieldType], (first, width): (i64, usize)) -> Held {
        let accumulators = aggregates.iter().zip(kinds);
        let accumulators = accumulators
            .map(|(aggregate, kind)| Accumulator::new(aggregate.function, *kind, width, 1));
        let (accumulators, series) = (accumulators.collect(), Arc::from([]));
        let times = TimeRange::new(i64::MAX, i64::MIN);
        Held { first, width, accumulators, times, series }
    }

    fn last(&self) -> i64 {
        self.first.saturating_add(self.width as i64 - 1)
    }

    fn widen(&mut self, before: usize, behind: usize) {
        if before + behind > 0 {
            self.accumulators.iter_mut().for_each(|one| one.widen(before, behind));
            self.first = self.first.saturating_sub(before as i64);
            self.width += before + behind;
        }
    }

    /// Adds rows; gives the bytes by which the states have grown.
    fn add(
        &mut self,
        rows: &Rows,
        pieces: &[(i64, std::ops::Range<usize>)],
        aggregates: &[Aggregate],
        intake: &Intake<'_>,
    ) -> usize {
        let series = rows.series.first().cloned().unwrap_or_else(|| Arc::from([]));
        if series != self.series {
            // Sums are added up for each series by itself, whatever the order of series.
            self.accumulators.iter_mut().for_each(Accumulator::close);
            self.series = series;
        }
        let slice = |(bucket, rows): &(i64, std::ops::Range<usize>)| Slice {
            slot: bucket.wrapping_sub(self.first) as usize,
            series: 0,
            rows: rows.clone(),
        };
        let slices: Vec<Slice> = pieces.iter().map(slice).collect();
        let mut grown = 0;
        for (aggregate, accumulator) in aggregates.iter().zip(&mut self.accumulators) {
            let Some(column) = rows.fields.get(aggregate.field) else { continue };
            let before = accumulator.bytes;
            let aux = |row: usize| beside(&aggregate.aux, rows, row, intake);
            let key = |_: usize| self.series.clone();
            let rows_of = RowsOf { times: &rows.times, aux: &aux, key: &key };
            match inside(&slices, &rows.times, aggregate.range) {
                Some(some) => accumulator.update(&some, column, &rows_of),
                None => accumulator.update(&slices, column, &rows_of),
            }
            grown += accumulator.bytes.saturating_sub(before);
            note_times(&mut self.times, rows, column, &slices);
        }
        grown
    }

    fn finish(self, values: Arc<[Box<[u8]>]>) -> Option<Group> {
        if self.times.is_empty() {
            return None;
        }
        let finished = |one: Accumulator| {
            let function = one.function;
            let mut states = one.finish();
            match &mut states {
                States::Samples(all) => {
                    all.iter_mut().for_each(|samples| in_time_order(samples, function));
                }
                States::Kept(all) => all.iter_mut().for_each(|kept| kept.settle(function)),
                _ => {}
            }
            states
        };
        Some(Group {
            values,
            first_bucket: self.first,
            states: self.accumulators.into_iter().map(finished).collect(),
            few: Vec::new(),
            first_time: self.times.first,
            last_time: self.times.last,
        })
    }
}

/// What stands beside a value.
fn beside(aux: &[Aux], rows: &Rows, row: usize, intake: &Intake<'_>) -> Vec<Option<Value>> {
    let value = |aux: &Aux| match aux {
        Aux::Field(at) => {
            let column = rows.fields.get(*at).filter(|column| column.is_valid(row))?;
            crate::shard::scan::expr::value_at(&column.values, row)
        }
        Aux::Tag(at) => intake.tag(*at, rows),
    };
    aux.iter().map(value).collect()
}

fn note_times(range: &mut TimeRange, rows: &Rows, column: &Column, slices: &[Slice]) {
    for slice in slices {
        let valid = slice.rows.clone().filter(|row| column.is_valid(*row));
        for time in valid.filter_map(|row| rows.times.get(row)) {
            range.first = range.first.min(*time);
            range.last = range.last.max(*time);
        }
    }
}

/// Brings samples in order of time; those of equal time stay in the order in which they came.
fn in_time_order(samples: &mut Samples, function: Function) {
    if function == Function::Distinct {
        return samples.sort(true);
    }
    if samples.times.is_sorted() {
        return;
    }
    let mut order: Vec<usize> = (0..samples.times.len()).collect();
    order.sort_by_key(|at| samples.times.get(*at));
    samples.reorder(&order);
}
