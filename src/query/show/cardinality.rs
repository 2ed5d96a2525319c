//! SHOW … CARDINALITY: how many series, measurements, keys or values there are, counted exactly.
//!
//! In: the statement. Out: one number, or one per measurement. Without EXACT and clauses the
//! numbers of series and measurements are called estimates, as in InfluxDB; here they are exact as
//! well.

mod groups;

use super::lists::{cut, field_rows, key_filter, look_up, look_up_parts, send};
use super::matching::{Listed, Matching, Part};
use super::target::{Target, split};
use crate::influxql::ast::{Cardinality, CardinalityOf, Expr};
use crate::model::{MeasurementId, Value};
use crate::query::result::{Cell, Sink, Tag};
use crate::query::{Context, QueryError};
use crate::shard::index::TagFilter;
use crate::shard::scan::{Found, Want};
use std::collections::{BTreeMap, BTreeSet};

const ESTIMATE: &str = "cardinality estimation";

type Counts = BTreeMap<MeasurementId, u64>;

/// Runs the statement.
pub async fn cardinality(
    context: Context<'_>,
    show: &Cardinality,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let plain = !show.exact
        && show.sources.is_empty()
        && show.condition.is_none()
        && show.dimensions.is_empty()
        && show.limit == 0
        && show.offset == 0;
    let timed =
        |condition: &Expr| condition.var_refs().into_iter().any(|v| Expr::VarRef(v).is_time());
    let counts_values = matches!(show.of, CardinalityOf::TagValues(_));
    if !counts_values && show.condition.as_ref().is_some_and(timed) {
        let text = format!("SHOW {} doesn't support time in WHERE clause", title(&show.of));
        return Err(QueryError::Refused(text));
    }
    let whole = matches!(show.of, CardinalityOf::Series | CardinalityOf::Measurements);
    let target = match Target::resolve(context, show.database.as_deref(), &show.sources) {
        Err(QueryError::DatabaseNotFound(_)) if plain && whole => {
            return send(context, None, &[ESTIMATE], vec![vec![number(0)]], sink).await;
        }
        outcome => outcome?,
    };
    target.check_policies(context, &show.sources)?;
    let Some(asked) = parts(context, &target, show).await? else { return Ok(()) };
    if !show.dimensions.is_empty() {
        return groups::send_groups(context, &target, show, asked, sink).await;
    }
    let counts = count(context, &target, &show.of, asked).await?;
    let total = counts.values().sum();
    match show.of {
        CardinalityOf::Series | CardinalityOf::Measurements if plain => {
            return send(context, None, &[ESTIMATE], vec![vec![number(total)]], sink).await;
        }
        CardinalityOf::Measurements => {
            let counted = (total > 0).then(|| vec![number(total)]);
            let rows = cut(counted.into_iter(), show.limit, show.offset);
            return send(context, None, &["count"], rows, sink).await;
        }
        _ => {}
    }
    for (name, id) in &target.measurements {
        let count = counts.get(id).copied().filter(|count| *count > 0);
        let rows = cut(count.map(|count| vec![number(count)]).into_iter(), show.limit, show.offset);
        send(context, Some(name), &["count"], rows, sink).await?;
    }
    Ok(())
}

fn number(count: u64) -> Cell {
    Cell::Value(Value::Integer(i64::try_from(count).unwrap_or(i64::MAX)))
}

fn title(of: &CardinalityOf) -> &'static str {
    match of {
        CardinalityOf::Series => "SERIES EXACT CARDINALITY",
        CardinalityOf::Measurements => "MEASUREMENT EXACT CARDINALITY",
        CardinalityOf::TagKeys => "TAG KEY EXACT CARDINALITY",
        CardinalityOf::TagValues(_) => "TAG VALUES EXACT CARDINALITY",
        CardinalityOf::FieldKeys => "FIELD KEY CARDINALITY",
    }
}

/// Whether a tag key is listed.
type KeyTest = dyn Fn(&[u8]) -> bool;

/// What is counted.
struct Asked {
    parts: Vec<Part>,
    /// Which keys of tag values.
    listed: Box<KeyTest>,
}

/// The series that are counted; `None`: there is nothing to count, as tag values have no time.
async fn parts(
    context: Context<'_>,
    target: &Target,
    show: &Cardinality,
) -> Result<Option<Asked>, QueryError> {
    let (rest, range) = split(context, show.condition.as_ref())?;
    if range.is_some() {
        return Ok(None);
    }
    let Some(rest) = rest else {
        let parts = vec![(target.ids(), TagFilter::All)];
        return Ok(Some(Asked { parts, listed: Box::new(|_| true) }));
    };
    let mut tags: BTreeMap<MeasurementId, BTreeSet<Box<[u8]>>> = BTreeMap::new();
    let mut listed = Listed::Count;
    if matches!(show.of, CardinalityOf::TagValues(_)) {
        listed = Listed::CountTagValues;
        for found in look_up(context, target, TagFilter::All, None, Want::TagKeys).await? {
            let Found::TagKeys(found) = found else { continue };
            found.into_iter().for_each(|(id, keys)| tags.entry(id).or_default().extend(keys));
        }
    }
    let matching = Matching::new(listed, &rest)?;
    let parts = matching.parts(&context.cluster.catalog(), target, &tags)?;
    Ok(Some(Asked { parts, listed: Box::new(matching.keys()?) }))
}

/// The numbers by measurement; measurements themselves count 1 each.
async fn count(
    context: Context<'_>,
    target: &Target,
    of: &CardinalityOf,
    Asked { parts, listed }: Asked,
) -> Result<Counts, QueryError> {
    let want = match of {
        CardinalityOf::Series => Want::Count,
        CardinalityOf::TagKeys => Want::TagKeys,
        CardinalityOf::TagValues(keys) => Want::TagValues(key_filter(keys)?),
        CardinalityOf::Measurements | CardinalityOf::FieldKeys => {
            let fields = |id: &MeasurementId| field_rows(context, target, *id).len() as u64;
            let each = |id: &MeasurementId| match of {
                CardinalityOf::FieldKeys => fields(id),
                _ => 1,
            };
            let mut counts = Counts::new();
            for found in look_up_parts(context, target, parts, None, Want::Measurements).await? {
                let Found::Measurements(found) = found else { continue };
                counts.extend(found.iter().map(|id| (*id, each(id))));
            }
            return Ok(counts);
        }
    };
    let mut counts = Counts::new();
    let mut keys: BTreeMap<MeasurementId, BTreeSet<Tag>> = BTreeMap::new();
    for found in look_up_parts(context, target, parts, None, want).await? {
        match found {
            Found::Count(found) => {
                found.into_iter().for_each(|(id, n)| *counts.entry(id).or_default() += n);
            }
            // A key or value may occur on several shards.
            Found::TagKeys(found) => found.into_iter().for_each(|(id, names)| {
                let pairs = names.into_iter().map(|name| (name, Box::default()));
                keys.entry(id).or_default().extend(pairs);
            }),
            Found::TagValues(found) => found.into_iter().for_each(|(id, pairs)| {
                let pairs = pairs.into_iter().filter(|(key, _)| listed(key));
                keys.entry(id).or_default().extend(pairs);
            }),
            _ => {}
        }
    }
    counts.extend(keys.into_iter().map(|(id, pairs)| (id, pairs.len() as u64)));
    Ok(counts)
}
