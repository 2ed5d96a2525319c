//! SLIMIT and SOFFSET over measurements: they count tag sets of the index, whether these have rows
//! or not, always from the first in order.
//!
//! In: the query's groups and condition. Out: the groups that are part of the answer, and a filter
//! of series that reads no others. Where a measurement has too many series to list them, groups
//! are counted as they come (`Window`).

use super::super::plan::condition;
use super::super::plan::expr::Scope;
use super::super::source::Stored;
use super::Shape;
use super::outline::{Member, Unit};
use crate::model::SeriesKey;
use crate::query::gather::ask;
use crate::query::{Context, QueryError};
use crate::shard::index::TagFilter;
use crate::shard::scan::{Found, Lookup, Want};
use std::collections::BTreeSet;

/// Series that are listed at most.
const SERIES_MAX: u64 = 100_000;
/// Groups that are named in the filter of series.
const FILTER_MAX: usize = 64;

/// Values of GROUP BY's tags.
pub type Group = Vec<Box<[u8]>>;

/// The groups that are part of the answer; `None`: they are counted as they come.
///
/// # Errors
/// A shard that cannot answer.
pub async fn chosen(
    context: Context<'_>,
    shape: &Shape<'_>,
    unit: &Unit<'_>,
) -> Result<Option<BTreeSet<Group>>, QueryError> {
    let Some((limit, offset)) = shape.window.counts_series() else { return Ok(None) };
    if shape.group_by.is_empty() {
        return Ok(None);
    }
    let mut groups: BTreeSet<Group> = BTreeSet::new();
    for member in &unit.members {
        let Member::Stored { stored, .. } = member else { return Ok(None) };
        let Some(found) = groups_of(context, shape, stored).await? else { return Ok(None) };
        groups.extend(found);
    }
    let clip = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let mut groups: Vec<Group> = groups.into_iter().collect();
    groups.sort_by_cached_key(|group| place(&shape.group_by, group));
    Ok(Some(groups.into_iter().skip(clip(offset)).take(clip(limit)).collect()))
}

/// What groups are counted by: the keys of the tags that are there, then their values. (They are
/// given in the order of their values alone.)
fn place(group_by: &[Box<[u8]>], group: &Group) -> Vec<u8> {
    let there = || group_by.iter().zip(group).filter(|(_, value)| !value.is_empty());
    let parts = there().map(|(key, _)| &**key).chain(there().map(|(_, value)| &**value));
    parts.collect::<Vec<&[u8]>>().join(&0)
}

/// The groups of a measurement.
async fn groups_of(
    context: Context<'_>,
    shape: &Shape<'_>,
    stored: &Stored,
) -> Result<Option<BTreeSet<Group>>, QueryError> {
    let mut scope = Scope::new(&stored.source);
    let (series, _) = condition::split(shape.outline.condition.as_ref(), &mut scope)?;
    let lookup = |want| {
        let (db, measurements) = (stored.db, vec![stored.measurement]);
        Lookup { db, measurements, series: series.clone(), within: None, want }
    };
    let mut count = 0;
    for found in ask(context, lookup(Want::Count)).await? {
        let Found::Count(counts) = found else { continue };
        count += counts.iter().map(|(_, count)| count).sum::<u64>();
    }
    if count > SERIES_MAX {
        return Ok(None);
    }
    let mut groups = BTreeSet::new();
    for found in ask(context, lookup(Want::Keys)).await? {
        let Found::Keys(found) = found else { continue };
        for key in found.iter().flat_map(|(_, keys)| keys) {
            let Some(series) = SeriesKey::from_bytes(key) else { continue };
            let value = |wanted: &[u8]| {
                let found = series.tags().find(|(key, _)| *key == wanted);
                Box::from(found.map_or(&b""[..], |(_, value)| value))
            };
            groups.insert(shape.group_by.iter().map(|key| value(key)).collect());
        }
    }
    Ok(Some(groups))
}

/// A filter of the series of some groups; `None`: too many for one.
pub fn filter(group_by: &[Box<[u8]>], groups: &BTreeSet<Group>) -> Option<TagFilter> {
    if groups.len() > FILTER_MAX {
        return None;
    }
    let of_group = |group: &Group| {
        let pairs = group_by.iter().cloned().zip(group.iter().cloned());
        TagFilter::And(pairs.map(|(key, value)| TagFilter::Equals { key, value }).collect())
    };
    Some(TagFilter::Or(groups.iter().map(of_group).collect()))
}
