//! SELECT: plan for each source, scatter to the shards, merge, finish, hand on.
//!
//! In: the query. Out: series, by name of the measurement, then by tags; both backwards under ORDER
//! BY time DESC. Each source is asked when the one before it is done.

pub(super) mod fill;
mod grouped;
mod groups;
mod join;
mod raw;
mod rows;
mod window;

pub use groups::GroupMerge;

use super::gather::ask;
use super::plan::columns::{Universe, group_keys, needs_tags, select};
use super::plan::condition;
use super::plan::expr::{Scope, math};
use super::plan::{Selected, Timing};
use super::result::{Series, Sink};
use super::source::{Source, load_tags, resolve};
use super::{Context, QueryError};
use crate::influxql::ast::{Expr, Select, Source as From};
use crate::influxql::time_literal;
use crate::influxql::time_range::split_time;
use crate::influxql::validate::validate;
use crate::model::{PartitionId, TimeRange};
use crate::route::cluster::Scan;
use crate::shard::scan::{Found, Lookup, Order, Output, Request, Want};
use jiff::tz::TimeZone;
use std::sync::Arc;

/// What holds for all sources of a query.
struct Shape<'a> {
    pub select: &'a Select,
    pub selected: Selected,
    pub condition: Option<Expr>,
    pub timing: Timing,
    pub group_by: Vec<Box<[u8]>>,
    /// Names of the columns of results, `time` first.
    pub names: Arc<[Box<[u8]>]>,
}

/// One source of a query.
struct Unit<'a> {
    shape: &'a Shape<'a>,
    source: &'a Source,
    /// How often FROM names it; every row counts so often.
    times: usize,
}

/// Runs a SELECT.
pub(super) async fn run(
    context: Context<'_>,
    query: &Select,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    validate(query).map_err(QueryError::Refused)?;
    if query.target.is_some() {
        return Err(QueryError::NotSupported("INTO".to_owned()));
    }
    let (shape, mut sources) = plan(context, query).await?;
    if query.is_descending() {
        sources.reverse();
    }
    let same = |a: &Source, b: &Source| (a.policy, a.measurement) == (b.policy, b.measurement);
    for named in sources.chunk_by(same) {
        let Some(source) = named.first() else { continue };
        let unit = Unit { shape: &shape, source, times: named.len() };
        if is_raw(query) {
            raw::run(context, &unit, sink).await?;
        } else {
            grouped::run(context, &unit, sink).await?;
        }
    }
    Ok(())
}

/// Whether rows come straight from points: no function but those that compute row by row.
fn is_raw(query: &Select) -> bool {
    let mut raw = true;
    for field in &query.fields {
        field.expr.walk(&mut |expr| {
            raw &= match expr {
                Expr::Call { name, .. } => math(name).is_some(),
                Expr::Distinct(_) => false,
                _ => true,
            };
            raw
        });
    }
    raw
}

async fn plan<'a>(
    context: Context<'_>,
    query: &'a Select,
) -> Result<(Shape<'a>, Vec<Source>), QueryError> {
    let options = context.options;
    let mut measurements = Vec::new();
    for source in &query.sources {
        match source {
            From::Measurement(measurement) => measurements.push(measurement),
            From::Subquery(_) => return Err(QueryError::NotSupported("subqueries".to_owned())),
        }
    }
    let mut sources = {
        let catalog = context.cluster.catalog();
        resolve(&catalog, &measurements, options.db.as_deref(), options.rp.as_deref())?
    };
    if needs_tags(&query.fields, &query.dimensions) {
        load_tags(context, &mut sources).await?;
    }
    let zone = query.tz.as_deref().and_then(time_literal::zone);
    let (condition, range) = {
        let zone = zone.clone().unwrap_or(TimeZone::UTC);
        split_time(query.condition.as_ref(), options.now_ns, &zone).map_err(QueryError::Refused)?
    };
    let timing = Timing::new(query, range, options.now_ns, zone)?;
    let universe = Universe::of(&sources);
    let selected = select(&query.fields, &query.dimensions, &universe)?;
    let group_by = group_keys(&query.dimensions, &universe)?;
    let first = std::iter::once(selected.time.as_bytes());
    let names = first.chain(selected.columns.iter().map(|(_, name)| name.as_bytes()));
    let names = names.map(Box::from).collect();
    Ok((Shape { select: query, selected, condition, timing, group_by, names }, sources))
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
        let text = format!("max-select-series limit exceeded: ({count}/{limit})");
        return Err(QueryError::Refused(text));
    }
    Ok(())
}

/// Partitions that hold rows of the range, and the time from the first to the last of them.
fn partitions(
    context: Context<'_>,
    source: &Source,
    range: TimeRange,
) -> Option<(Vec<PartitionId>, TimeRange)> {
    let found = context.cluster.catalog().partitions_in(source.policy, range);
    let ends = TimeRange::new(found.first()?.range.first, found.last()?.range.last);
    Some((found.iter().map(|partition| partition.id).collect(), ends))
}

impl Unit<'_> {
    /// The answers of all shards to a request.
    fn scans(&self, context: Context<'_>, request: &Arc<Request>) -> Vec<Scan> {
        let cluster = context.cluster;
        let shards = || cluster.shards().map(|shard| cluster.scan(shard, request.clone()));
        (0..self.times).flat_map(|_| shards()).collect()
    }
}

impl Shape<'_> {
    /// The request to the shards, with the columns that the scope collected.
    fn request(
        &self,
        context: Context<'_>,
        scope: Scope<'_>,
        partitions: Vec<PartitionId>,
        range: TimeRange,
        output: Output,
    ) -> Result<Arc<Request>, QueryError> {
        let mut scope = scope;
        let (series, filter) = condition::split(self.condition.as_ref(), &mut scope)?;
        let descending = self.select.is_descending();
        Ok(Arc::new(Request {
            db: scope.source.db,
            measurement: scope.source.measurement,
            partitions,
            range,
            now_ns: context.options.now_ns,
            series,
            filter,
            fields: scope.fields,
            tags: scope.tags,
            group_by: self.group_by.clone(),
            output,
            order: if descending { Order::Descending } else { Order::Ascending },
            memory_bytes: context.options.memory_bytes,
            deadline_ns: context.options.timeout_ns,
        }))
    }

    /// The head of a series of results.
    fn series(&self, source: &Source, group: &[Box<[u8]>]) -> Series {
        let tags = self.group_by.iter().cloned().zip(group.iter().cloned());
        Series {
            name: Some(source.name.clone()),
            tags: tags.collect(),
            columns: self.names.clone(),
            zone: self.timing.zone.clone(),
            ..Series::default()
        }
    }
}
