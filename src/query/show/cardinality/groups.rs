//! SHOW … CARDINALITY with GROUP BY: the numbers by measurement and values of tags.
//!
//! In: the statement and the series it speaks of. Out: a listing for each group, by name, then by
//! tags. Measurements are counted over all names. GROUP BY time is passed over.

use super::super::lists::{cut, field_names, key_filter, look_up, look_up_parts};
use super::super::target::Target;
use super::{Asked, number};
use crate::influxql::ast::{Cardinality, CardinalityOf};
use crate::model::{MeasurementId, SeriesKey};
use crate::query::plan::columns::{Universe, group_keys};
use crate::query::result::{ResultPart, Series, Sink, Tag};
use crate::query::{Context, QueryError};
use crate::shard::index::TagFilter;
use crate::shard::scan::{Found, KeyFilter, Want};
use std::collections::{BTreeMap, BTreeSet};

/// What is counted in a group, each once.
type Members = BTreeSet<Tag>;
/// By name and values of the tags.
type Groups = BTreeMap<(Box<[u8]>, Vec<Box<[u8]>>), Members>;

/// Sends the numbers.
pub async fn send_groups(
    context: Context<'_>,
    target: &Target,
    show: &Cardinality,
    Asked { parts, listed }: Asked,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let keys = group_keys(&show.dimensions, &universe(context, target).await?)?;
    let names = target.names();
    let counted = Counted::new(&show.of)?;
    let mut groups = Groups::new();
    for found in look_up_parts(context, target, parts, None, Want::Keys).await? {
        let Found::Keys(found) = found else { continue };
        for (id, series) in found {
            let Some(name) = names.get(&id) else { continue };
            for key in series.iter().filter_map(|key| SeriesKey::from_bytes(key)) {
                let value = |wanted: &[u8]| {
                    let found = key.tags().find(|(name, _)| *name == wanted);
                    found.map_or(Box::default(), |(_, value)| Box::from(value))
                };
                let shown = if counted.is_nameless() { Box::default() } else { name.clone() };
                let group = (shown, keys.iter().map(|key| value(key)).collect());
                let members = groups.entry(group).or_default();
                counted.add(context, target, (id, name), &key, members);
                if matches!(counted, Counted::TagValues(_)) {
                    members.retain(|(key, _)| listed(key));
                }
            }
        }
    }
    for ((name, group), members) in groups {
        let count = (!members.is_empty()).then(|| vec![number(members.len() as u64)]);
        let rows = cut(count.into_iter(), show.limit, show.offset);
        if rows.is_empty() {
            continue;
        }
        let name = Some(&*name).filter(|_| !counted.is_nameless());
        let tags = keys.iter().cloned().zip(group).collect();
        let series = Series { tags, ..Series::listing(name, &["count"], rows) };
        sink.part(ResultPart::of_series(context.statement_id, series)).await?;
    }
    Ok(())
}

/// All tag keys of the target, for wildcards.
async fn universe(context: Context<'_>, target: &Target) -> Result<Universe, QueryError> {
    let mut universe = Universe::default();
    for found in look_up(context, target, TagFilter::All, None, Want::TagKeys).await? {
        let Found::TagKeys(found) = found else { continue };
        universe.tags.extend(found.into_iter().flat_map(|(_, keys)| keys));
    }
    Ok(universe)
}

/// What is counted.
enum Counted {
    Series,
    Measurements,
    TagKeys,
    TagValues(KeyFilter),
    FieldKeys,
}

impl Counted {
    fn new(of: &CardinalityOf) -> Result<Counted, QueryError> {
        Ok(match of {
            CardinalityOf::Series => Counted::Series,
            CardinalityOf::Measurements => Counted::Measurements,
            CardinalityOf::TagKeys => Counted::TagKeys,
            CardinalityOf::TagValues(keys) => Counted::TagValues(key_filter(keys)?),
            CardinalityOf::FieldKeys => Counted::FieldKeys,
        })
    }

    fn is_nameless(&self) -> bool {
        matches!(self, Counted::Measurements)
    }

    /// Adds what a series brings to its group.
    fn add(
        &self,
        context: Context<'_>,
        target: &Target,
        (id, name): (MeasurementId, &[u8]),
        key: &SeriesKey,
        members: &mut Members,
    ) {
        let alone = |name: &[u8]| (Box::from(name), Box::default());
        match self {
            Counted::Series => {
                members.insert(alone(key.as_bytes()));
            }
            Counted::Measurements => {
                members.insert(alone(name));
            }
            Counted::TagKeys => members.extend(key.tags().map(|(name, _)| alone(name))),
            Counted::TagValues(filter) => {
                let listed = key.tags().filter(|(name, _)| passes(filter, name));
                members.extend(listed.map(|(name, value)| (name.into(), value.into())));
            }
            // All series of a measurement bring the same.
            Counted::FieldKeys if members.is_empty() => {
                members.extend(field_names(context, target, id));
            }
            Counted::FieldKeys => {}
        }
    }
}

fn passes(filter: &KeyFilter, key: &[u8]) -> bool {
    match filter {
        KeyFilter::In(keys) => keys.iter().any(|known| **known == *key),
        KeyFilter::NotEquals(known) => **known != *key,
        KeyFilter::Matches(regex) => regex.is_match(key),
        KeyFilter::NotMatches(regex) => !regex.is_match(key),
    }
}
