//! What a SHOW or DELETE statement speaks of: a database, some of its measurements, a condition.
//!
//! In: the clauses as written. Out: ids, a filter of series, and the range of time if one was
//! given.

use crate::catalog::State;
use crate::influxql::ast::{Expr, Measurement, MeasurementName};
use crate::influxql::time_range::split_time;
use crate::model::{DbId, MeasurementId, PolicyId, TimeRange};
use crate::query::plan::condition::tag_filter;
use crate::query::source::{Source, bytes_regex, database};
use crate::query::{Context, QueryError};
use crate::shard::index::TagFilter;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};

/// Measurements of one database.
#[derive(Clone, Debug)]
pub struct Target {
    pub db: DbId,
    /// By name, each once.
    pub measurements: BTreeMap<Box<[u8]>, MeasurementId>,
    /// Policy of the first source that names one, else the default.
    pub policy: Option<PolicyId>,
}

impl Target {
    /// What FROM and ON (or the request's database) name.
    ///
    /// # Errors
    /// No database, or one that does not exist; an expression that cannot be compiled.
    pub fn resolve(
        context: Context<'_>,
        on: Option<&str>,
        sources: &[Measurement],
    ) -> Result<Target, QueryError> {
        let catalog = context.cluster.catalog();
        let of_source = sources.iter().find_map(|source| source.database.as_deref());
        let name = of_source.or(on).or(context.options.db.as_deref());
        let database = database(&catalog, name)?;
        let named = sources.iter().find_map(|source| source.retention_policy.as_deref());
        let policy = match named {
            Some(name) => catalog.policy(database.id, name).map(|policy| policy.id),
            None => database.default_policy,
        };
        let measurements = measurements(&catalog, database.id, sources)?;
        Ok(Target { db: database.id, measurements, policy })
    }

    /// Refuses a database of ON that does not exist, although a source may name another one.
    ///
    /// # Errors
    /// Such a database.
    pub fn check_on(context: Context<'_>, on: Option<&str>) -> Result<(), QueryError> {
        match on {
            Some(_) => database(&context.cluster.catalog(), on).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Refuses policies in FROM that do not exist.
    ///
    /// # Errors
    /// Such a policy.
    pub fn check_policies(
        &self,
        context: Context<'_>,
        sources: &[Measurement],
    ) -> Result<(), QueryError> {
        let catalog = context.cluster.catalog();
        let named = |source: &Measurement| source.retention_policy.clone();
        let mut lost = sources.iter().filter_map(named);
        let lost = lost.find(|name| !name.is_empty() && catalog.policy(self.db, name).is_none());
        lost.map_or(Ok(()), |name| Err(QueryError::PolicyNotFound(name)))
    }

    /// The ids, sorted.
    pub fn ids(&self) -> Vec<MeasurementId> {
        let mut ids: Vec<MeasurementId> = self.measurements.values().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Names by id.
    pub fn names(&self) -> BTreeMap<MeasurementId, Box<[u8]>> {
        self.measurements.iter().map(|(name, id)| (*id, name.clone())).collect()
    }

    /// The names of all fields of the measurements, in any policy.
    pub fn fields(&self, catalog: &State) -> BTreeSet<Box<[u8]>> {
        self.measurements.values().flat_map(|id| self.fields_of(catalog, *id)).collect()
    }

    /// The names of the fields of one of the measurements, in any policy.
    pub fn fields_of(&self, catalog: &State, id: MeasurementId) -> BTreeSet<Box<[u8]>> {
        let Some(database) = catalog.database_by_id(self.db) else { return BTreeSet::new() };
        let all = database.policies.iter().flat_map(|policy| catalog.fields(*policy, id));
        all.filter_map(|field| catalog.field_name(field.field).map(Box::from)).collect()
    }
}

fn measurements(
    catalog: &State,
    db: DbId,
    sources: &[Measurement],
) -> Result<BTreeMap<Box<[u8]>, MeasurementId>, QueryError> {
    let all = catalog.measurements(db);
    if sources.is_empty() {
        return Ok(all.into_iter().map(|(name, id)| (name.into(), id)).collect());
    }
    let mut out = BTreeMap::new();
    for source in sources {
        match &source.name {
            MeasurementName::Name(name) => {
                let name = name.as_bytes();
                catalog.measurement(db, name).into_iter().for_each(|id| {
                    out.insert(name.into(), id);
                });
            }
            MeasurementName::Regex(regex) => {
                let regex = bytes_regex(regex)?;
                let matching = all.iter().filter(|(name, _)| regex.is_match(name));
                out.extend(matching.map(|(name, id)| (Box::from(*name), *id)));
            }
        }
    }
    Ok(out)
}

/// A condition as a filter of series and, if it speaks of time, a range.
///
/// # Errors
/// Comparisons with time that make no sense; `refusal` for terms that are no question to tags.
pub fn filter(
    context: Context<'_>,
    condition: Option<&Expr>,
    refusal: &str,
) -> Result<(TagFilter, Option<TimeRange>), QueryError> {
    let (rest, range) = split(context, condition)?;
    let Some(rest) = rest else { return Ok((TagFilter::All, range)) };
    let filter = tag_filter(&rest, &Source::default())?;
    let filter = filter.ok_or_else(|| QueryError::Refused(refusal.to_owned()))?;
    Ok((filter, range))
}

/// What a condition says beside time, and the range of time if it speaks of it.
///
/// # Errors
/// Comparisons with time that make no sense.
pub fn split(
    context: Context<'_>,
    condition: Option<&Expr>,
) -> Result<(Option<Expr>, Option<TimeRange>), QueryError> {
    let (rest, range) = split_time(condition, context.options.now_ns, &TimeZone::UTC)
        .map_err(QueryError::Refused)?;
    Ok((rest, (range != TimeRange::ALL).then_some(range)))
}
