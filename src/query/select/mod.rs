//! SELECT: resolve, then for each name of results scatter to the shards, merge, finish, hand on.
//!
//! In: the query. Out: series, by name, then by tags; both backwards under ORDER BY time DESC. Each
//! name is asked when the one before it is done. A subquery runs by the same code, within the
//! `Frame` that the query around it sets; what it gives joins the merge as one more lane beside
//! the shards' (`nested`).

mod chosen;
mod explain;
pub(super) mod fill;
mod grouped;
mod groups;
mod into;
mod join;
mod nested;
mod newest;
mod outline;
mod raw;
mod rows;
mod window;

pub use explain::{Trace, explain};
pub use groups::GroupMerge;

use super::gather::ask;
use super::plan::Timing;
use super::plan::condition;
use super::plan::expr::Scope;
use super::result::{ResultPart, Series, Sink};
use super::source::{Stored, database};
use super::{Context, QueryError};
use crate::influxql::ast::{Fill, Select};
use crate::influxql::validate::validate;
use crate::model::{PartitionId, TimeRange};
use crate::route::cluster::{Scan, Told};
use crate::shard::index::TagFilter;
use crate::shard::scan::{FieldRef, Found, Lookup, Order, Output, Request, ScanError, Want};
use into::Into;
use outline::{Body, Member, Outline, Unit, outline};
use std::collections::BTreeSet;
use std::sync::Arc;
use window::Window;

/// What the query around a subquery sets for it.
#[derive(Clone, Debug)]
struct Frame {
    /// Time it reads.
    range: TimeRange,
    /// Width and offset of its buckets, for subqueries that have none.
    interval: Option<(i64, i64)>,
    /// Tag keys it groups by.
    group_by: Vec<Box<[u8]>>,
    descending: bool,
}

/// A query over a stretch of time: what holds for all its units.
struct Shape<'a> {
    outline: &'a Outline<'a>,
    timing: Timing,
    group_by: Vec<Box<[u8]>>,
    descending: bool,
    fill: Fill,
    /// Rows and series that are part of the answer.
    window: Window,
}

/// Runs a SELECT.
pub(super) async fn run(
    context: Context<'_>,
    query: &Select,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    if let Err(text) = validate(query) {
        check_databases(context, query, &text)?;
        return Err(QueryError::Refused(text));
    }
    let Some(mut into) = Into::new(context, query)? else {
        return run_units(context, query, sink).await;
    };
    let ran = run_units(context, query, &mut into).await;
    into.failed.take().map_or(ran, Err)?;
    let series = into.finish().await?;
    Ok(sink.part(ResultPart::of_series(context.statement_id, series)).await?)
}

/// A database that does not exist is named before what else is wrong with a query.
fn check_databases(context: Context<'_>, query: &Select, text: &str) -> Result<(), QueryError> {
    if text.starts_with("unable to use system source") {
        return Ok(());
    }
    let catalog = context.cluster.catalog();
    query.measurements().into_iter().try_for_each(|measurement| {
        let name = measurement.database.as_deref().or(context.options.db.as_deref());
        database(&catalog, name).map(|_| ())
    })
}

/// Gives the series of all names.
async fn run_units(
    context: Context<'_>,
    query: &Select,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let outline = outline(context, query, None).await?;
    run_outline(context, &outline, sink).await
}

async fn run_outline(
    context: Context<'_>,
    outline: &Outline<'_>,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let shape = Shape::new(context, outline, None)?;
    let forwards = outline.units.iter();
    let units: Vec<&Unit<'_>> =
        if shape.descending { forwards.rev().collect() } else { forwards.collect() };
    for unit in &units {
        check_refused(context, &shape, unit).await?;
    }
    for unit in units {
        run_unit(context, &shape, unit, sink).await?;
    }
    Ok(())
}

/// A function that does not take its field is an error where there is a series of it.
async fn check_refused(
    context: Context<'_>,
    shape: &Shape<'_>,
    unit: &Unit<'_>,
) -> Result<(), QueryError> {
    let Some(error) = unit.work.refused() else { return Ok(()) };
    if shape.window.series_done() {
        return Ok(());
    }
    for member in &unit.members {
        let Member::Stored { stored, .. } = member else { return Err(error.clone()) };
        let Some((partitions, _)) = partitions(context, stored, shape.timing.range) else {
            continue;
        };
        let condition = shape.outline.condition.as_ref();
        let (series, _) = condition::split(condition, &mut Scope::new(&stored.source))?;
        let (db, measurements) = (stored.db, vec![stored.measurement]);
        let within = Some((partitions, TimeRange::ALL));
        let lookup = Lookup { db, measurements, series, within, want: Want::Measurements };
        let some = |found: &Found| matches!(found, Found::Measurements(ids) if !ids.is_empty());
        if ask(context, lookup).await?.iter().any(some) {
            return Err(error.clone());
        }
    }
    Ok(())
}

/// Gives the series of one name.
async fn run_unit(
    context: Context<'_>,
    shape: &Shape<'_>,
    unit: &Unit<'_>,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let window = shape.window.choosing(chosen::chosen(context, shape, unit).await?);
    match &unit.work.body {
        Body::Rows(columns) => {
            let stored = |member: &Member<'_>| matches!(member, Member::Stored { .. });
            let all = unit.members.iter().all(stored);
            let window = if all { window.of_points() } else { window };
            raw::run(context, shape, unit, (columns, window), sink).await
        }
        Body::Buckets(calls, columns) => {
            grouped::run(context, shape, unit, (calls, columns, window), sink).await
        }
    }
}

/// The limit on series that the operator sets.
async fn check_series(context: Context<'_>, request: &Request) -> Result<(), QueryError> {
    let limit = context.options.limits.select_series;
    if limit == 0 {
        return Ok(());
    }
    let (db, measurements) = (request.db, vec![request.measurement]);
    let (series, want) = (request.series.clone(), Want::Count);
    let mut count = 0;
    for found in ask(context, Lookup { db, measurements, series, within: None, want }).await? {
        let Found::Count(counts) = found else { continue };
        count += counts.iter().map(|(_, count)| count).sum::<u64>();
    }
    if count > limit {
        // The reference stops counting at the first that is too many.
        let text = format!("max-select-series limit exceeded: ({}/{limit})", limit + 1);
        return Err(QueryError::Refused(text));
    }
    Ok(())
}

/// Partitions that hold rows of the range, and the time from the first to the last of them.
fn partitions(
    context: Context<'_>,
    stored: &Stored,
    range: TimeRange,
) -> Option<(Vec<PartitionId>, TimeRange)> {
    let found = context.cluster.catalog().partitions_in(stored.policy, range);
    let ends = TimeRange::new(found.first()?.range.first, found.last()?.range.last);
    Some((found.iter().map(|partition| partition.id).collect(), ends))
}

/// What all members of a unit are asked for.
struct Question<'a> {
    fields: &'a [FieldRef],
    range: TimeRange,
    output: Output,
    /// Groups that alone are of interest; `None`: all.
    groups: Option<&'a BTreeSet<chosen::Group>>,
}

impl<'a> Shape<'a> {
    /// A query by itself, or within the frame of another.
    fn new(
        context: Context<'_>,
        outline: &'a Outline<'a>,
        frame: Option<&Frame>,
    ) -> Result<Shape<'a>, QueryError> {
        let select = outline.select;
        let range = frame.map_or(outline.range, |frame| outline.range.intersect(frame.range));
        let now_ns = context.options.now_ns;
        let mut timing = Timing::new(select, range, now_ns, outline.zone.clone())?;
        let (mut fill, mut window) = (select.fill, Window::new(select));
        let mut group_by = outline.dimensions.clone();
        let Some(frame) = frame else {
            window.widen_series(nested_limits(outline));
            if fill == Fill::Null && select.target.is_some() {
                fill = Fill::None;
            }
            let descending = select.is_descending();
            return Ok(Shape { outline, timing, group_by, descending, fill, window });
        };
        if timing.width_ns == 0 {
            timing.inherit(frame.interval);
        }
        if fill == Fill::Null {
            fill = Fill::None;
        }
        window.forget_series();
        let all: BTreeSet<Box<[u8]>> = group_by.drain(..).chain(frame.group_by.clone()).collect();
        let group_by = all.into_iter().collect();
        Ok(Shape { outline, timing, group_by, descending: frame.descending, fill, window })
    }

    fn order(&self) -> Order {
        if self.descending { Order::Descending } else { Order::Ascending }
    }

    /// What this query sets for subqueries of which it reads `range`.
    fn frame(&self, range: TimeRange) -> Frame {
        let timing = &self.timing;
        let interval = (timing.width_ns > 0).then_some((timing.width_ns, timing.offset_ns));
        let group_by = self.group_by.clone();
        Frame { range, interval, group_by, descending: self.descending }
    }

    /// The request to the shards for a measurement; `None` when it has no row.
    fn request(
        &self,
        context: Context<'_>,
        unit: &Unit<'_>,
        stored: &Stored,
        question: Question<'_>,
    ) -> Result<Option<Arc<Request>>, QueryError> {
        let Some((partitions, _)) = partitions(context, stored, question.range) else {
            return Ok(None);
        };
        let mut scope = Scope::new(&stored.source);
        scope.fields = question.fields.to_vec();
        scope.tags.clone_from(&unit.work.tags);
        let condition = self.outline.condition.as_ref();
        let (mut series, filter) = condition::split(condition, &mut scope)?;
        let groups = question.groups.and_then(|groups| chosen::filter(&self.group_by, groups));
        if let Some(groups) = groups {
            series = TagFilter::And(vec![series, groups]);
        }
        Ok(Some(Arc::new(Request {
            db: stored.db,
            measurement: stored.measurement,
            partitions,
            range: question.range,
            now_ns: context.options.now_ns,
            series,
            filter,
            fields: scope.fields,
            tags: scope.tags,
            group_by: self.group_by.clone(),
            output: question.output,
            order: self.order(),
            memory_bytes: context.options.memory_bytes,
            rows_max: context.options.limits.select_points,
            deadline_ns: context.options.deadline_ns,
        })))
    }

    /// The head of a series of results.
    fn series(&self, unit: &Unit<'_>, group: &[Box<[u8]>]) -> Series {
        let tags = self.group_by.iter().cloned().zip(group.iter().cloned());
        Series {
            name: Some(unit.name.clone()),
            tags: tags.collect(),
            columns: self.outline.names.clone(),
            zone: self.timing.zone.clone(),
            ..Series::default()
        }
    }
}

/// Adds up what the scans of a statement read; an error where it is too much.
fn count_points(context: Context<'_>) -> Told {
    let (points, limit) = (context.points.clone(), context.options.limits.select_points);
    Box::new(move |summary| {
        let found = points.get().saturating_add(summary.rows);
        points.set(found);
        if found > limit { Err(ScanError::Points { found, limit }) } else { Ok(()) }
    })
}

/// The answers of all shards to a request.
fn scans(context: Context<'_>, unit: &Unit<'_>, request: &Arc<Request>, times: usize) -> Vec<Scan> {
    let cluster = context.cluster;
    let scan = |shard| {
        let mut scan = cluster.scan(shard, request.clone());
        if let Some(trace) = context.trace {
            scan = scan.telling(trace.begin(unit, request, shard));
        }
        if context.options.limits.select_points > 0 {
            scan = scan.telling(count_points(context));
        }
        scan
    };
    (0..times).flat_map(|_| cluster.shards().map(scan)).collect()
}

/// SLIMIT and SOFFSET of subqueries at all depths: they count series of the outermost query.
fn nested_limits(outline: &Outline<'_>) -> (u64, u64) {
    let mut sum = (0u64, 0u64);
    let mut waiting: Vec<&Outline<'_>> = vec![outline];
    while let Some(outline) = waiting.pop() {
        for member in outline.units.iter().take(1).flat_map(|unit| &unit.members) {
            let Member::Nested { query, .. } = member else { continue };
            sum.0 = sum.0.saturating_add(query.select.slimit);
            sum.1 = sum.1.saturating_add(query.select.soffset);
            waiting.push(query);
        }
    }
    sum
}
