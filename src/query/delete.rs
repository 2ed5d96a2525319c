//! DELETE and DROP SERIES: resolved here, done by every shard.
//!
//! In: the statement. Out: nothing, when the deletion is durable and visible on all shards.

use super::gather::all;
use super::show::target::{Target, filter};
use super::{Context, QueryError};
use crate::influxql::ast::{Expr, Measurement};
use crate::model::TimeRange;
use crate::route::message::Delete;
use std::sync::Arc;

const FIELDS: &str = "fields not supported in WHERE clause during deletion";

/// DELETE: rows of a range of time.
pub(super) async fn rows(
    context: Context<'_>,
    sources: &[Measurement],
    condition: Option<&Expr>,
) -> Result<(), QueryError> {
    run(context, sources, condition, false).await
}

/// DROP SERIES: whole series.
pub(super) async fn series(
    context: Context<'_>,
    sources: &[Measurement],
    condition: Option<&Expr>,
) -> Result<(), QueryError> {
    run(context, sources, condition, true).await
}

async fn run(
    context: Context<'_>,
    sources: &[Measurement],
    condition: Option<&Expr>,
    whole: bool,
) -> Result<(), QueryError> {
    let target = match Target::resolve(context, None, sources) {
        Err(QueryError::DatabaseRequired) => {
            return Err(QueryError::DatabaseNotFound(String::new()));
        }
        outcome => outcome?,
    };
    let refusal = format!("shard 1: {FIELDS}");
    check_fields(context, &target, condition, &refusal)?;
    let (series, range) = filter(context, condition, &refusal)?;
    if whole && range.is_some() {
        let text = "DROP SERIES doesn't support time in WHERE clause";
        return Err(QueryError::Refused(text.to_owned()));
    }
    let range = (!whole).then(|| range.unwrap_or(TimeRange::ALL));
    let measurements = target.ids();
    if measurements.is_empty() || range.is_some_and(TimeRange::is_empty) {
        return Ok(());
    }
    let delete = Arc::new(Delete { measurements, series, range });
    let cluster = context.cluster;
    let deletes = cluster.shards().map(|shard| cluster.delete(shard, delete.clone())).collect();
    for outcome in all(deletes).await {
        outcome?;
    }
    Ok(())
}

/// Only tags and time may be spoken of.
fn check_fields(
    context: Context<'_>,
    target: &Target,
    condition: Option<&Expr>,
    refusal: &str,
) -> Result<(), QueryError> {
    let fields = target.fields(&context.cluster.catalog());
    let names = condition.map(Expr::var_refs).unwrap_or_default();
    if names.iter().any(|var| fields.contains(var.name.as_bytes())) {
        return Err(QueryError::Refused(refusal.to_owned()));
    }
    Ok(())
}
