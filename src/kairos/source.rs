//! What a query's metric stands for in the store: series, times, columns, and the groups it has.
//!
//! In: a metric of a query. Out: requests to the shards; the tag groups with their tags, in the
//! order of KairosDB's answers. Which series have points is asked of the index and the runs of the
//! range alone, unless rows of the range may belong to other fields or another kind of value; then
//! values are counted by series.

use super::Failure;
use super::aggregate::Work;
use super::metric::{self, Metric, Place};
use super::range::MS_NS;
use super::request::{MetricQuery, Query};
use crate::model::time::{TIME_MAX, TIME_MIN};
use crate::model::{ColumnId, FieldType, PartitionId, SeriesKey, TimeRange};
use crate::query::{GroupMerge, all};
use crate::route::cluster::{Cluster, Scan};
use crate::shard::index::TagFilter;
use crate::shard::scan::{
    Aggregate, Buckets, FieldRef, Found, Function, KeyFilter, Lookup, Order, Output, Request,
    ScanError, Want,
};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

type Name = Box<[u8]>;

/// What a query is given besides its text.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where metrics are; `None`: nowhere yet.
    pub place: Option<Place>,
    /// Wall clock (ns).
    pub now_ns: i64,
    /// Bytes that a query may hold on one shard, and here.
    pub memory_bytes: usize,
    /// When every scan ends (monotonic ns); 0 = no limit.
    pub deadline_ns: u64,
    /// Series that one metric of a query may have; 0 = no limit.
    pub series_max: u64,
    /// Points that a query may read; 0 = no limit.
    pub points_max: u64,
    /// Points that it has read.
    pub points: Rc<Cell<u64>>,
}

/// The values of a result: KairosDB's group types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Numbers,
    Texts,
}

impl Kind {
    /// As answers call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Numbers => "number",
            Kind::Texts => "text",
        }
    }
}

/// A metric that has points in the time asked for, maybe.
#[derive(Clone, Debug)]
pub struct Source {
    metric: Metric,
    /// Those that meet the range.
    partitions: Vec<PartitionId>,
    /// Within which there may be points (ns).
    pub range: TimeRange,
    pub filter: TagFilter,
}

/// All tags of some series with their values.
pub type Tags = BTreeMap<Name, BTreeSet<Name>>;

/// Series with the same values of the tags of a tag grouper.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Group {
    /// In the order of the grouper; a missing tag is empty.
    pub values: Vec<Name>,
    pub tags: Tags,
}

/// The instants of a query (ns); a millisecond is asked for with all that lies within it.
fn range(query: &Query) -> TimeRange {
    let first = query.start.saturating_mul(MS_NS).max(TIME_MIN);
    let last = query
        .end
        .map_or(TIME_MAX, |end| end.saturating_mul(MS_NS).saturating_add(MS_NS - 1).min(TIME_MAX));
    TimeRange::new(first, last)
}

impl Source {
    /// Finds a metric; `None` when it has no points in the range for certain.
    pub fn find(
        cluster: &Cluster,
        options: &Options,
        query: &Query,
        one: &MetricQuery,
    ) -> Option<Source> {
        let (catalog, place) = (cluster.catalog(), options.place?);
        let metric = metric::find(&catalog, place, one.name.as_bytes())?;
        let range = range(query);
        let partitions = catalog.partitions_in(place.policy, range);
        let (first, last) = (partitions.first()?, partitions.last()?);
        let range = range.intersect(TimeRange::new(first.range.first, last.range.last));
        let partitions = partitions.iter().map(|partition| partition.id).collect();
        let filter = one.filter();
        (!range.is_empty()).then_some(Source { metric, partitions, range, filter })
    }

    /// The metric's place, measurement and fields.
    pub fn metric(&self) -> &Metric {
        &self.metric
    }

    /// The columns of a kind of values.
    pub fn columns(&self, kind: Kind) -> Vec<ColumnId> {
        match kind {
            Kind::Numbers => self.metric.numbers(),
            Kind::Texts => self.metric.texts().into_iter().collect(),
        }
    }

    /// A question to the shards about some of the series.
    pub fn request(
        &self,
        options: &Options,
        filter: TagFilter,
        group_by: Vec<Name>,
        fields: Vec<FieldRef>,
        output: Output,
    ) -> Request {
        Request {
            db: self.metric.place.db,
            measurement: self.metric.measurement,
            partitions: self.partitions.clone(),
            range: self.range,
            now_ns: options.now_ns,
            series: filter,
            filter: None,
            fields,
            tags: Vec::new(),
            group_by,
            output,
            order: Order::Ascending,
            memory_bytes: options.memory_bytes,
            rows_max: options.points_max,
            deadline_ns: options.deadline_ns,
        }
    }

    /// The groups that have points of a kind, in the order of their names and values.
    ///
    /// # Errors
    /// A shard that cannot answer; too many series or too much memory.
    pub async fn groups(
        &self,
        cluster: &Cluster,
        options: &Options,
        work: &Work,
        (one, kind): (&MetricQuery, Kind),
    ) -> Result<Vec<Group>, Failure> {
        self.check_series(cluster, options).await?;
        let keys = one.group_tags.as_deref().unwrap_or_default();
        let mut groups = if !self.metric.alone || self.is_mixed() {
            self.counted_groups(cluster, options, work, (keys, kind)).await?
        } else if keys.is_empty() {
            self.one_group(cluster, true).await?
        } else {
            self.key_groups(cluster, work, keys).await?
        };
        groups.sort_by_cached_key(|group| {
            let pairs = keys.iter().zip(&group.values);
            pairs.flat_map(|(key, value)| [key.as_bytes(), value]).collect::<Vec<_>>().concat()
        });
        Ok(groups)
    }

    /// All series that match, whatever points they have, as one group.
    ///
    /// # Errors
    /// A shard that cannot answer.
    pub async fn tags(&self, cluster: &Cluster) -> Result<Tags, Failure> {
        Ok(self.one_group(cluster, false).await?.pop().unwrap_or_default().tags)
    }

    /// Whether rows may have a text and no number, or the other way round.
    fn is_mixed(&self) -> bool {
        self.metric.texts().is_some() && !self.metric.numbers().is_empty()
    }

    async fn ask(
        &self,
        cluster: &Cluster,
        want: Want,
        within: bool,
    ) -> Result<Vec<Found>, Failure> {
        let lookup = Arc::new(Lookup {
            db: self.metric.place.db,
            measurements: vec![self.metric.measurement],
            series: self.filter.clone(),
            within: within.then(|| (self.partitions.clone(), self.range)),
            want,
        });
        let asks = cluster.shards().map(|shard| cluster.lookup(shard, lookup.clone())).collect();
        let check = |answer| match answer {
            Some(Found::Failed(error)) => Err(Failure::from(error)),
            Some(found) => Ok(found),
            None => Err(ScanError::Lost.into()),
        };
        all(asks).await.into_iter().map(check).collect()
    }

    async fn check_series(&self, cluster: &Cluster, options: &Options) -> Result<(), Failure> {
        let limit = options.series_max;
        if limit == 0 {
            return Ok(());
        }
        let mut count = 0;
        for found in self.ask(cluster, Want::Count, false).await? {
            let Found::Count(counts) = found else { continue };
            count += counts.iter().map(|(_, count)| count).sum::<u64>();
        }
        match count > limit {
            true => Err(Failure::internal(format!(
                "max-select-series limit exceeded: ({count}/{limit})"
            ))),
            false => Ok(()),
        }
    }

    async fn one_group(&self, cluster: &Cluster, within: bool) -> Result<Vec<Group>, Failure> {
        let want = Want::TagValues(KeyFilter::NotEquals(Name::default()));
        let mut group: Option<Group> = None;
        for found in self.ask(cluster, want, within).await? {
            let Found::TagValues(found) = found else { continue };
            for (_, pairs) in found {
                let group = group.get_or_insert_default();
                for (key, value) in pairs {
                    group.tags.entry(key).or_default().insert(value);
                }
            }
        }
        Ok(group.into_iter().collect())
    }

    async fn key_groups(
        &self,
        cluster: &Cluster,
        work: &Work,
        keys: &[Box<str>],
    ) -> Result<Vec<Group>, Failure> {
        let mut groups = BTreeMap::new();
        for found in self.ask(cluster, Want::Keys, true).await? {
            let Found::Keys(found) = found else { continue };
            for key in found.into_iter().flat_map(|(_, keys)| keys) {
                work.hold(key.len())?;
                let Some(key) = SeriesKey::from_bytes(&key) else { continue };
                add_series(&mut groups, keys, key.tags());
            }
        }
        Ok(groups.into_values().collect())
    }

    /// By counting values series by series.
    async fn counted_groups(
        &self,
        cluster: &Cluster,
        options: &Options,
        work: &Work,
        (keys, kind): (&[Box<str>], Kind),
    ) -> Result<Vec<Group>, Failure> {
        let mut tag_keys: BTreeSet<Name> = BTreeSet::new();
        for found in self.ask(cluster, Want::TagKeys, false).await? {
            let Found::TagKeys(found) = found else { continue };
            tag_keys.extend(found.into_iter().flat_map(|(_, keys)| keys));
        }
        let tag_keys: Vec<Name> = tag_keys.into_iter().collect();
        let fields: Vec<FieldRef> = self.columns(kind).into_iter().map(own).collect();
        let count = |field| aggregate(Function::Count, field);
        let aggregates: Vec<Aggregate> = (0..fields.len()).map(count).collect();
        let output = Output::Aggregates { buckets: Buckets::One, aggregates: aggregates.clone() };
        let filter = self.filter.clone();
        let request = self.request(options, filter, tag_keys.clone(), fields, output);
        // What is counted here is read once more, and that counts.
        let scans = scans(cluster, &Options { points_max: 0, ..options.clone() }, request);
        let mut merge = GroupMerge::new(scans, Order::Ascending, aggregates, options.memory_bytes);
        let mut groups = BTreeMap::new();
        while let Some(found) = merge.next().await.map_err(failed)? {
            work.hold(found.values.iter().map(|value| value.len()).sum())?;
            let pairs = tag_keys.iter().zip(found.values.iter());
            let tags = pairs.filter(|(_, value)| !value.is_empty());
            add_series(&mut groups, keys, tags.map(|(key, value)| (&**key, &**value)));
        }
        Ok(groups.into_values().collect())
    }
}

fn add_series<'a>(
    groups: &mut BTreeMap<Vec<Name>, Group>,
    keys: &[Box<str>],
    tags: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
) {
    let value_of = |wanted: &str| {
        let found = tags.clone().find(|(key, _)| *key == wanted.as_bytes());
        found.map_or(Name::default(), |(_, value)| value.into())
    };
    let values: Vec<Name> = keys.iter().map(|key| value_of(key)).collect();
    let group = groups
        .entry(values)
        .or_insert_with_key(|values| Group { values: values.clone(), tags: Tags::new() });
    for (key, value) in tags {
        // Most values are known already; looking costs less than a copy.
        match group.tags.get_mut(key) {
            Some(known) if known.contains(value) => {}
            Some(known) => {
                known.insert(value.into());
            }
            None => {
                group.tags.insert(key.into(), BTreeSet::from([value.into()]));
            }
        }
    }
}

/// A function of a field, of all its rows.
pub fn aggregate(function: Function, field: usize) -> Aggregate {
    Aggregate { function, field, aux: Vec::new(), range: TimeRange::ALL }
}

/// A column read as what it is.
pub fn own(column: ColumnId) -> FieldRef {
    FieldRef { columns: vec![column], kind: column.kind() }
}

/// A column read as doubles; `None` for those that cannot be.
pub fn as_double(column: ColumnId) -> Option<FieldRef> {
    let kind = column.kind();
    let number = matches!(kind, FieldType::Float | FieldType::Integer | FieldType::Unsigned);
    number.then(|| FieldRef { columns: vec![column], kind: FieldType::Float })
}

/// The answers of all shards to a request; what they read counts.
pub fn scans(cluster: &Cluster, options: &Options, request: Request) -> Vec<Scan> {
    let request = Arc::new(request);
    let limit = options.points_max;
    let scan = |shard| {
        let scan = cluster.scan(shard, request.clone());
        if limit == 0 {
            return scan;
        }
        let points = options.points.clone();
        scan.telling(Box::new(move |summary| {
            let found = points.get().saturating_add(summary.rows);
            points.set(found);
            if found > limit { Err(ScanError::Points { found, limit }) } else { Ok(()) }
        }))
    };
    cluster.shards().map(scan).collect()
}

/// A failed query.
pub fn failed(error: crate::query::QueryError) -> Failure {
    Failure::internal(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_make_groups_with_their_tags() {
        let mut groups = BTreeMap::new();
        let keys: [Box<str>; 2] = ["host".into(), "dc".into()];
        let series: [&[(&str, &str)]; 3] =
            [&[("dc", "x"), ("host", "a"), ("n", "1")], &[("dc", "x"), ("host", "a")], &[]];
        for tags in series {
            let tags = tags.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
            add_series(&mut groups, &keys, tags);
        }
        let values: Vec<Vec<Name>> = groups.keys().cloned().collect();
        let name = |text: &str| Name::from(text.as_bytes());
        assert_eq!(values, [vec![name(""), name("")], vec![name("a"), name("x")]]);
        assert_eq!(groups[&values[1]].tags.len(), 3);
        assert!(groups[&values[0]].tags.is_empty());
    }

    #[test]
    fn a_millisecond_is_read_with_all_that_lies_in_it() {
        let (metrics, original) = (Vec::new(), None);
        let query = Query { start: 1, end: Some(2), metrics, original };
        assert_eq!(range(&query), TimeRange::new(1_000_000, 2_999_999));
        let all = Query { start: i64::MIN, end: None, ..query };
        assert_eq!(range(&all), TimeRange::new(TIME_MIN, TIME_MAX));
    }
}
