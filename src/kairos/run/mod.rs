//! A query from its types to its answer: metric after metric, kind after kind, group after group.
//!
//! In: a `Query`. Out: JSON through a `Door`, piece by piece, and points to be saved. Points stream
//! from the shards through the aggregators into the answer; only groupers that look at points hold
//! results back, since their groups come one after the other.

mod groups;
mod pushed;

use super::Failure;
use super::aggregate::{Chain, Destination, Saved, Setting, Work, check};
use super::answer::{Head, Writer};
use super::fetch::Fetch;
use super::point::Point;
use super::push::Push;
use super::range::MS_NS;
use super::request::{Aggregator, MetricQuery, Query, RangeKind};
use super::source::{Group, Kind, Options, Source, own, scans};
use crate::model::FixedMap;
use crate::query::all;
use crate::route::cluster::Cluster;
use crate::route::message::Delete;
use crate::shard::index::TagFilter;
use crate::shard::scan::{Order, Output, Request};
use groups::Feed;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

/// Answers are handed over in pieces of this size (bytes).
const PIECE_BYTES: usize = 64 << 10;
/// Ranges of the shards' states that are worked on between two turns of other tasks.
const RANGES: usize = 4096;
/// Up to this limit the first points of every series are collected; above it all are read by time.
const LIMIT_COLLECTED: u64 = 10_000;

/// Where an answer goes.
pub trait Door {
    /// Takes the next bytes; waiting here holds the query back.
    fn hand_over(&mut self, bytes: Vec<u8>) -> impl Future<Output = Result<(), Failure>>;

    /// Writes points durably.
    fn save(&mut self, points: Vec<Saved>) -> impl Future<Output = Result<(), Failure>>;

    /// Learns that a metric of the query is answered, and how many points were read for it.
    fn answered(&mut self, _metric: &str, _points: u64) {}

    /// Gives other tasks a turn.
    fn rest(&self) -> impl Future<Output = ()>;
}

/// Answers a query.
///
/// # Errors
/// Why it has no answer; bytes that were handed over before are of no use.
pub async fn query(
    cluster: &Cluster,
    options: &Options,
    query: &Query,
    door: &mut impl Door,
) -> Result<(), Failure> {
    for metric in &query.metrics {
        check(&metric.aggregators, query.end, options.now_ns.div_euclid(MS_NS))?;
    }
    let work = Work::new(options.memory_bytes);
    let writer = Writer::new(query.original.as_ref());
    let mut run = Run { cluster, options, query, door, writer, work, sample: 0, results: 0 };
    for metric in &query.metrics {
        run.metric(metric).await?;
    }
    run.writer.finish();
    run.hand_over(1).await
}

/// Answers a question for the tags of metrics.
///
/// # Errors
/// A shard that cannot answer.
pub async fn tags(
    cluster: &Cluster,
    options: &Options,
    query: &Query,
    door: &mut impl Door,
) -> Result<(), Failure> {
    let mut writer = Writer::new(None);
    for metric in &query.metrics {
        let source = Source::find(cluster, options, query, metric);
        let tags = match source {
            Some(source) => source.tags(cluster).await?,
            None => Default::default(),
        };
        writer.open_query();
        writer.open_bare(metric, &tags);
        writer.close_result();
        writer.close_query(None);
        door.hand_over(writer.take()).await?;
    }
    writer.finish();
    door.hand_over(writer.take()).await
}

/// Deletes the points that a query speaks of.
///
/// # Errors
/// A metric that shares its rows with others; a shard that cannot delete.
pub async fn delete(cluster: &Cluster, options: &Options, query: &Query) -> Result<(), Failure> {
    let mut deletes = Vec::new();
    for metric in &query.metrics {
        let Some(source) = Source::find(cluster, options, query, metric) else { continue };
        if !source.metric().alone {
            let name = &metric.name;
            let text = format!("{name} is a field beside others; its points cannot be deleted");
            return Err(Failure::bad(text));
        }
        deletes.push(Arc::new(Delete {
            measurements: vec![source.metric().measurement],
            series: source.filter.clone(),
            range: Some(source.range),
        }));
    }
    for delete in deletes {
        let shards = cluster.shards().map(|shard| cluster.delete(shard, delete.clone()));
        for outcome in all(shards.collect()).await {
            outcome.map_err(|error| Failure::internal(error.to_string()))?;
        }
    }
    Ok(())
}

/// A query under way.
struct Run<'a, D> {
    cluster: &'a Cluster,
    options: &'a Options,
    query: &'a Query,
    door: &'a mut D,
    writer: Writer,
    work: Work,
    /// Raw points of the present metric.
    sample: u64,
    /// Results of the present metric.
    results: usize,
}

/// Points of a metric that are aggregated together.
#[derive(Clone, Copy)]
struct Part<'a> {
    metric: &'a MetricQuery,
    source: &'a Source,
    kind: Kind,
    /// Those that the metric has, sorted as the answer wants them.
    groups: &'a [Group],
    by_values: &'a FixedMap<&'a [Box<[u8]>], &'a Group>,
}

impl<'a, D: Door> Run<'a, D> {
    async fn metric(&mut self, metric: &MetricQuery) -> Result<(), Failure> {
        (self.sample, self.results) = (0, 0);
        self.writer.open_query();
        let source = Source::find(self.cluster, self.options, self.query, metric);
        if let Some(source) = &source {
            for kind in [Kind::Numbers, Kind::Texts] {
                if !source.columns(kind).is_empty() {
                    self.kind(source, metric, kind).await?;
                }
            }
        }
        if self.results == 0 {
            self.nothing(metric).await?;
        }
        self.writer.close_query(Some(self.sample));
        self.door.answered(&metric.name, self.sample);
        self.hand_over(PIECE_BYTES).await
    }

    /// The result of a metric without points: `gaps` may fill it.
    async fn nothing(&mut self, metric: &MetricQuery) -> Result<(), Failure> {
        let mut points = Vec::new();
        let mut chain =
            self.chain(metric, &metric.aggregators, Kind::Numbers, &Group::default())?;
        chain.end(&mut points, &self.work)?;
        self.writer.open_bare(metric, &Default::default());
        self.give(&points).await?;
        self.writer.close_result();
        Ok(())
    }

    async fn kind(
        &mut self,
        source: &Source,
        metric: &MetricQuery,
        kind: Kind,
    ) -> Result<(), Failure> {
        let held = self.work.held();
        let asked = (metric, kind);
        let groups = source.groups(self.cluster, self.options, &self.work, asked).await?;
        let keys = metric.group_tags.as_deref().unwrap_or_default();
        // Shards give groups by their values, tag by tag; where the answer wants another order,
        // each group is a question of its own.
        let same_order = groups.is_sorted_by(|a, b| a.values <= b.values);
        let together = groups.len() <= 1 || same_order && !metric.descending;
        let by_values: FixedMap<&[Box<[u8]>], &Group> =
            groups.iter().map(|group| (group.values.as_slice(), group)).collect();
        let part = Part { metric, source, kind, groups: &groups, by_values: &by_values };
        if let Some(limit) = metric.limit.filter(|limit| *limit <= LIMIT_COLLECTED) {
            self.limited(part, limit).await?;
            self.work.release_to(held);
            return Ok(());
        }
        if together && !groups.is_empty() {
            self.part(part, source.filter.clone()).await?;
        }
        for group in groups.iter().filter(|_| !together) {
            let one = keys.iter().zip(&group.values).map(|(key, value)| TagFilter::Equals {
                key: key.as_bytes().into(),
                value: value.clone(),
            });
            let filter = std::iter::once(source.filter.clone()).chain(one).collect();
            self.part(part, TagFilter::And(filter)).await?;
        }
        self.work.release_to(held);
        Ok(())
    }

    /// Some of the groups, which the shards give in the order of the answer.
    async fn part(&mut self, part: Part<'_>, filter: TagFilter) -> Result<(), Failure> {
        let metric = part.metric;
        let plain = metric.groupers.is_empty() && metric.limit.is_none() && !metric.descending;
        let first = metric.aggregators.first().filter(|_| plain);
        let push = first.and_then(|first| Push::plan(first, part.source, part.kind));
        if let Some(push) = push {
            if push.fits(self.options.memory_bytes) {
                return self.pushed(part, filter, vec![push]).await;
            }
            if let Some(pushes) = self.sparse(part, &filter, &push).await? {
                return self.pushed(part, filter, pushes).await;
            }
        }
        self.rows(part, filter).await
    }

    fn group_by(metric: &MetricQuery) -> Vec<Box<[u8]>> {
        let keys = metric.group_tags.as_deref().unwrap_or_default();
        keys.iter().map(|key| key.as_bytes().into()).collect()
    }

    /// Points are read one by one.
    async fn rows(&mut self, part: Part<'_>, filter: TagFilter) -> Result<(), Failure> {
        let metric = part.metric;
        let request = self.row_request(part, filter, Self::group_by(metric), None);
        let order = request.order;
        let scans = scans(self.cluster, self.options, request);
        let mut fetch = Fetch::new(scans, order, metric.limit);
        fetch.by_time_alone =
            metric.groupers.is_empty() && metric.limit.is_none() && blends(metric);
        while let Some(values) = fetch.next_group().await? {
            let group = group_of(part, &values);
            self.group(part, &group, Feed::Shards(&mut fetch)).await?;
        }
        Ok(())
    }

    fn row_request(
        &self,
        part: Part<'_>,
        filter: TagFilter,
        group_by: Vec<Box<[u8]>>,
        limit: Option<u64>,
    ) -> Request {
        let fields: Vec<_> = part.source.columns(part.kind).into_iter().map(own).collect();
        let output = Output::Rows { visible: fields.len(), limit };
        let mut request = part.source.request(self.options, filter, group_by, fields, output);
        if part.metric.descending {
            request.order = Order::Descending;
        }
        request
    }

    fn open(&mut self, metric: &MetricQuery, kind: Kind, group: &Group, numbers: &[i64]) {
        self.results += 1;
        self.writer.open_result(&Head { metric, kind, group, numbers });
    }

    fn chain(
        &self,
        metric: &MetricQuery,
        aggregators: &[Aggregator],
        kind: Kind,
        group: &Group,
    ) -> Result<Chain, Failure> {
        let mut saves = Vec::new();
        for aggregator in aggregators {
            let Aggregator::SaveAs(save) = aggregator else { continue };
            let tags = single_values(metric, group);
            let tags = tags.iter().map(|(key, value)| (&**key, &**value));
            saves.push(Destination::new(save, &metric.name, tags)?);
        }
        let (end, now) = (self.query.end, self.options.now_ns.div_euclid(MS_NS));
        let setting = Setting { end, now, text: kind == Kind::Texts, saves };
        Ok(Chain::new(aggregators, &setting))
    }

    /// Points of the open result.
    async fn give(&mut self, points: &[Point]) -> Result<(), Failure> {
        self.save().await?;
        for points in points.chunks(RANGES) {
            self.writer.points(points);
            self.hand_over(PIECE_BYTES).await?;
        }
        Ok(())
    }

    async fn save(&mut self) -> Result<(), Failure> {
        match self.work.take_saved() {
            none if none.is_empty() => Ok(()),
            some => self.door.save(some).await,
        }
    }

    /// Hands over what is written when it is as much as this.
    async fn hand_over(&mut self, bytes_min: usize) -> Result<(), Failure> {
        if self.writer.waiting() < bytes_min {
            return Ok(());
        }
        self.door.hand_over(self.writer.take()).await?;
        self.door.rest().await;
        Ok(())
    }
}

/// Whether the first aggregator asks only which points a range has, not in which order equal times
/// come.
fn blends(metric: &MetricQuery) -> bool {
    use RangeKind::{Avg, Count, Dev, Max, Min, Percentile, Sum};
    let Some(Aggregator::Range { kind, .. }) = metric.aggregators.first() else { return false };
    matches!(kind, Avg | Count | Dev { .. } | Max | Min | Percentile(_) | Sum)
}

/// The group of some values; one that came up since the index was asked has no tags but those.
fn group_of<'a>(part: Part<'a>, values: &[Box<[u8]>]) -> Cow<'a, Group> {
    match part.by_values.get(values) {
        Some(group) => Cow::Borrowed(*group),
        None => Cow::Owned(Group { values: values.to_vec(), ..Group::default() }),
    }
}

/// The tags of the grouper that have one value in a group.
fn single_values(metric: &MetricQuery, group: &Group) -> BTreeMap<Box<str>, String> {
    let single = |key: &str| {
        let values = group.tags.get(key.as_bytes()).filter(|values| values.len() == 1)?;
        let value = String::from_utf8_lossy(values.first()?).into_owned();
        Some((key.into(), value))
    };
    metric.group_tags.iter().flatten().filter_map(|key| single(key)).collect()
}
