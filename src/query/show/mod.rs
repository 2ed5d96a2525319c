//! SHOW statements: what the catalog and the shards' indexes know.
//!
//! In: the statement. Out: listings in InfluxDB's order and shape.

mod cardinality;
mod lists;
mod matching;
mod measurements;
mod partitions;
mod people;
mod server;
pub mod stats;
pub(super) mod target;

pub(super) use cardinality::cardinality;
pub(super) use lists::{field_keys, series, tag_keys, tag_values};
pub(super) use measurements::measurements;
pub(super) use people::{continuous, grants, subscriptions, users};
pub(super) use server::{diagnostics, queries, shard_groups, shards, stats as statistics};

use super::result::{Cell, ResultPart, Series, Sink};
use super::{Context, QueryError};
use crate::influxql::duration::print_go;
use crate::model::Value;

/// SHOW DATABASES: in order of creation; a user sees those that he may read or write.
pub(super) async fn databases(
    context: Context<'_>,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let row = |name: &String| vec![Cell::text(name)];
    let rows = {
        let catalog = context.cluster.catalog();
        let user = context.options.user.as_deref().map(|name| catalog.users().get(name));
        let seen = |db: &&crate::catalog::Database| match user {
            None => true,
            Some(user) => user.is_some_and(|user| {
                let rights = user.rights(db.id);
                user.admin || rights.read || rights.write
            }),
        };
        catalog.databases().filter(seen).map(|db| row(&db.name)).collect()
    };
    let series = Series::listing(Some(b"databases"), &["name"], rows);
    Ok(sink.part(ResultPart::of_series(context.statement_id, series)).await?)
}

/// SHOW RETENTION POLICIES: in order of creation.
pub(super) async fn policies(
    context: Context<'_>,
    db: Option<&str>,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let db = db.or(context.options.db.as_deref()).filter(|db| !db.is_empty());
    let db = db.ok_or(QueryError::DatabaseRequired)?;
    let rows = policy_rows(context, db).ok_or(QueryError::DatabaseNotFound(db.to_owned()))?;
    let columns = ["name", "duration", "shardGroupDuration", "replicaN", "default"];
    let series = Series::listing(None, &columns, rows);
    Ok(sink.part(ResultPart::of_series(context.statement_id, series)).await?)
}

fn policy_rows(context: Context<'_>, db: &str) -> Option<Vec<Vec<Cell>>> {
    let catalog = context.cluster.catalog();
    let database = catalog.database(db)?;
    let policies = database.policies.iter().filter_map(|id| catalog.policy_by_id(*id));
    let rows = policies.map(|policy| {
        vec![
            Cell::text(&policy.spec.name),
            Cell::text(print_go(policy.spec.duration_ns)),
            Cell::text(print_go(policy.spec.shard_duration_ns)),
            Cell::Value(Value::Integer(i64::from(policy.spec.replicas))),
            Cell::Value(Value::Boolean(database.default_policy == Some(policy.id))),
        ]
    });
    Some(rows.collect())
}
