//! SHOW SERIES, TAG KEYS, TAG VALUES and FIELD KEYS: from the shards' indexes and the catalog.
//!
//! In: the statement's clauses. Out: one listing, or one per measurement, each sorted.

use super::matching::{Listed, Matching, Part};
use super::target::{Target, split};
use crate::influxql::ast::{Expr, Listing, ShowTagValues, TagKeys};
use crate::model::{MeasurementId, PartitionId, SeriesKey, TimeRange};
use crate::query::gather::ask;
use crate::query::result::{Cell, ResultPart, Series, Sink, Tag};
use crate::query::source::bytes_regex;
use crate::query::{Context, QueryError};
use crate::shard::index::TagFilter;
use crate::shard::scan::{Found, KeyFilter, Lookup, Want};
use std::collections::{BTreeMap, BTreeSet};

/// Rows of each measurement, by its name.
type ByName<T> = BTreeMap<Box<[u8]>, BTreeSet<T>>;

/// SHOW SERIES: keys in line protocol's escapes; LIMIT and OFFSET over all of them.
pub async fn series(
    context: Context<'_>,
    list: &Listing,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let target = Target::resolve(context, list.database.as_deref(), &list.sources)?;
    target.check_policies(context, &list.sources)?;
    let asked = asked(context, &target, list.condition.as_ref(), Listed::Series)?;
    let within = asked.range.map(|range| (partitions(context, &target, range), range));
    let mut rows: ByName<Vec<u8>> = BTreeMap::new();
    for found in look_up_parts(context, &target, asked.parts, within, Want::Keys).await? {
        let Found::Keys(found) = found else { continue };
        let names = target.names();
        for (id, keys) in found {
            let Some(name) = names.get(&id) else { continue };
            let texts = keys.iter().filter_map(|key| SeriesKey::from_bytes(key)).map(|k| text(&k));
            rows.entry(name.clone()).or_default().extend(texts);
        }
    }
    let rows = rows.into_values().flatten().map(|key| vec![Cell::text(key)]);
    let rows = cut(rows, list.limit, list.offset);
    send(context, None, &["key"], rows, sink).await
}

/// SHOW TAG KEYS, by measurement; a condition on time limits partitions only.
pub async fn tag_keys(
    context: Context<'_>,
    list: &Listing,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    Target::check_on(context, list.database.as_deref())?;
    let target = Target::resolve(context, list.database.as_deref(), &list.sources)?;
    let asked = asked(context, &target, list.condition.as_ref(), Listed::TagKeys)?;
    let within = asked.range.map(|range| (partitions(context, &target, range), TimeRange::ALL));
    let (names, mut rows) = (target.names(), ByName::<Box<[u8]>>::new());
    for found in look_up_parts(context, &target, asked.parts, within, Want::TagKeys).await? {
        let Found::TagKeys(found) = found else { continue };
        add(&names, &mut rows, found);
    }
    for (name, keys) in rows {
        let keys = cut(keys.into_iter().map(|key| vec![Cell::text(key)]), list.limit, list.offset);
        send(context, Some(&name), &["tagKey"], keys, sink).await?;
    }
    Ok(())
}

/// SHOW TAG VALUES, by measurement.
pub async fn tag_values(
    context: Context<'_>,
    show: &ShowTagValues,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let list = &show.listing;
    Target::check_on(context, list.database.as_deref())?;
    let target = Target::resolve(context, list.database.as_deref(), &list.sources)?;
    let asked = asked(context, &target, list.condition.as_ref(), Listed::TagValues)?;
    let within = asked.range.map(|range| (partitions(context, &target, range), TimeRange::ALL));
    let want = Want::TagValues(key_filter(&show.keys)?);
    let (names, mut rows) = (target.names(), ByName::<(Box<[u8]>, Box<[u8]>)>::new());
    for found in look_up_parts(context, &target, asked.parts, within, want).await? {
        let Found::TagValues(found) = found else { continue };
        add(&names, &mut rows, found);
    }
    let matching = asked.rest.as_ref().map(|rest| Matching::new(Listed::TagValues, rest));
    if let Some(matching) = matching.transpose()? {
        let listed = matching.keys()?;
        rows.values_mut().for_each(|pairs| pairs.retain(|(key, _)| listed(key)));
    }
    for (name, pairs) in rows {
        let pairs = pairs.into_iter().map(|(key, value)| vec![Cell::text(key), Cell::text(value)]);
        let pairs = cut(pairs, list.limit, list.offset);
        send(context, Some(&name), &["key", "value"], pairs, sink).await?;
    }
    Ok(())
}

/// SHOW FIELD KEYS, by measurement: what the catalog knows of those that have series.
pub async fn field_keys(
    context: Context<'_>,
    list: &Listing,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let target = Target::resolve(context, list.database.as_deref(), &list.sources)?;
    target.check_policies(context, &list.sources)?;
    let live = live(context, &target, TagFilter::All).await?;
    for (name, id) in &target.measurements {
        if !live.contains(id) {
            continue;
        }
        let rows = field_rows(context, &target, *id);
        let rows = cut(rows.into_iter(), list.limit, list.offset);
        send(context, Some(name), &["fieldKey", "fieldType"], rows, sink).await?;
    }
    Ok(())
}

/// Names and types of a measurement's fields in the target's policy.
pub fn field_rows(context: Context<'_>, target: &Target, id: MeasurementId) -> Vec<Vec<Cell>> {
    let names = field_names(context, target, id);
    names.into_iter().map(|(name, kind)| vec![Cell::text(name), Cell::text(kind)]).collect()
}

/// The same, as pairs.
pub fn field_names(context: Context<'_>, target: &Target, id: MeasurementId) -> BTreeSet<Tag> {
    let catalog = context.cluster.catalog();
    let Some(policy) = target.policy else { return BTreeSet::new() };
    let mut pairs = BTreeSet::new();
    for field in catalog.fields(policy, id) {
        let Some(name) = catalog.field_name(field.field) else { continue };
        let pair = |kind: crate::model::FieldType| (name.into(), kind.name().as_bytes().into());
        pairs.extend(field.types.iter().map(pair));
    }
    pairs
}

/// What a listing asks the index for.
struct Asked {
    parts: Vec<Part>,
    range: Option<TimeRange>,
    /// The condition without time.
    rest: Option<Expr>,
}

fn asked(
    context: Context<'_>,
    target: &Target,
    condition: Option<&Expr>,
    listed: Listed,
) -> Result<Asked, QueryError> {
    let (rest, range) = split(context, condition)?;
    let parts = match &rest {
        None => vec![(target.ids(), TagFilter::All)],
        Some(rest) => {
            let matching = Matching::new(listed, rest)?;
            if listed == Listed::TagValues {
                // Its refusals come first.
                let _passes = matching.keys()?;
            }
            matching.parts(&context.cluster.catalog(), target, &BTreeMap::new())?
        }
    };
    Ok(Asked { parts, range, rest })
}

/// The measurements of the target that have a series that passes.
pub async fn live(
    context: Context<'_>,
    target: &Target,
    filter: TagFilter,
) -> Result<BTreeSet<MeasurementId>, QueryError> {
    let mut out = BTreeSet::new();
    for found in look_up(context, target, filter, None, Want::Measurements).await? {
        let Found::Measurements(found) = found else { continue };
        out.extend(found);
    }
    Ok(out)
}

/// Asks the indexes about the target; nothing to ask when it has no measurement.
pub async fn look_up(
    context: Context<'_>,
    target: &Target,
    series: TagFilter,
    within: Option<(Vec<PartitionId>, TimeRange)>,
    want: Want,
) -> Result<Vec<Found>, QueryError> {
    let measurements = target.ids();
    if measurements.is_empty() {
        return Ok(Vec::new());
    }
    ask(context, Lookup { db: target.db, measurements, series, within, want }).await
}

/// The same for parts of the target.
pub async fn look_up_parts(
    context: Context<'_>,
    target: &Target,
    parts: Vec<Part>,
    within: Option<(Vec<PartitionId>, TimeRange)>,
    want: Want,
) -> Result<Vec<Found>, QueryError> {
    let mut out = Vec::new();
    for (mut measurements, series) in parts {
        if measurements.is_empty() {
            continue;
        }
        measurements.sort_unstable();
        let (within, want) = (within.clone(), want.clone());
        let lookup = Lookup { db: target.db, measurements, series, within, want };
        out.extend(ask(context, lookup).await?);
    }
    Ok(out)
}

/// The partitions of all policies of the target's database that meet a range.
fn partitions(context: Context<'_>, target: &Target, range: TimeRange) -> Vec<PartitionId> {
    let catalog = context.cluster.catalog();
    let Some(database) = catalog.database_by_id(target.db) else { return Vec::new() };
    let of = |policy: &crate::model::PolicyId| catalog.partitions_in(*policy, range);
    database.policies.iter().flat_map(of).map(|partition| partition.id).collect()
}

fn add<T: Ord>(
    names: &BTreeMap<MeasurementId, Box<[u8]>>,
    rows: &mut ByName<T>,
    found: Vec<(MeasurementId, Vec<T>)>,
) {
    for (id, entries) in found {
        if let Some(name) = names.get(&id) {
            rows.entry(name.clone()).or_default().extend(entries);
        }
    }
}

/// WITH KEY as a question to the index.
///
/// # Errors
/// An expression that cannot be compiled.
pub fn key_filter(keys: &TagKeys) -> Result<KeyFilter, QueryError> {
    let bytes = |key: &String| Box::from(key.as_bytes());
    Ok(match keys {
        TagKeys::Equal(key) => KeyFilter::In(vec![bytes(key)]),
        TagKeys::NotEqual(key) => KeyFilter::NotEquals(bytes(key)),
        TagKeys::Match(regex) => KeyFilter::Matches(bytes_regex(regex)?),
        TagKeys::NotMatch(regex) => KeyFilter::NotMatches(bytes_regex(regex)?),
        TagKeys::In(keys) => KeyFilter::In(keys.iter().map(bytes).collect()),
    })
}

/// LIMIT and OFFSET of a listing; 0 is no limit.
pub fn cut(rows: impl Iterator<Item = Vec<Cell>>, limit: u64, offset: u64) -> Vec<Vec<Cell>> {
    let limit = if limit == 0 { usize::MAX } else { limit as usize };
    rows.skip(offset as usize).take(limit).collect()
}

/// Sends a listing, unless it is empty.
pub async fn send(
    context: Context<'_>,
    name: Option<&[u8]>,
    columns: &[&str],
    rows: Vec<Vec<Cell>>,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    if rows.is_empty() {
        return Ok(());
    }
    let series = Series::listing(name, columns, rows);
    Ok(sink.part(ResultPart::of_series(context.statement_id, series)).await?)
}

/// A series key as line protocol writes it.
fn text(key: &SeriesKey) -> Vec<u8> {
    let mut out = Vec::new();
    escape(key.measurement(), b", ", &mut out);
    for (name, value) in key.tags() {
        out.push(b',');
        escape(name, b",= ", &mut out);
        out.push(b'=');
        escape(value, b",= ", &mut out);
    }
    out
}

fn escape(text: &[u8], special: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        if special.contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_escaped_as_in_line_protocol() {
        let tags: [(&[u8], &[u8]); 1] = [(b"a=b", b"c, d")];
        let key = SeriesKey::build(b"my m,=", &tags).unwrap();
        assert_eq!(text(&key), br"my\ m\,=,a\=b=c\,\ d");
    }

    #[test]
    fn limits_of_listings() {
        let rows = || (0..5).map(|n| vec![Cell::Time(n)]);
        assert_eq!(cut(rows(), 0, 0).len(), 5);
        assert_eq!(cut(rows(), 2, 4).len(), 1);
        assert!(cut(rows(), 2, 9).is_empty());
    }
}
