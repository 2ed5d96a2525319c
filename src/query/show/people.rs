//! SHOW USERS, GRANTS, CONTINUOUS QUERIES and SUBSCRIPTIONS: what the catalog holds of them.

use super::lists::send;
use crate::catalog::CatalogError;
use crate::model::Value;
use crate::query::result::{Cell, ResultPart, Series, Sink};
use crate::query::{Context, QueryError};

/// SHOW USERS: in order of creation.
pub async fn users(context: Context<'_>, sink: &mut impl Sink) -> Result<(), QueryError> {
    let rows = {
        let catalog = context.cluster.catalog();
        let row = |user: &crate::catalog::User| {
            vec![Cell::text(&user.name), Cell::Value(Value::Boolean(user.admin))]
        };
        catalog.users().iter().map(row).collect()
    };
    let series = Series::listing(None, &["user", "admin"], rows);
    Ok(sink.part(ResultPart::of_series(context.statement_id, series)).await?)
}

/// SHOW GRANTS FOR a user.
pub async fn grants(
    context: Context<'_>,
    name: &str,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let rows = {
        let catalog = context.cluster.catalog();
        let user = catalog.users().get(name).ok_or(CatalogError::UserNotFound)?;
        let row = |(db, rights): (_, crate::catalog::Rights)| {
            let db = catalog.database_by_id(db)?;
            Some(vec![Cell::text(&db.name), Cell::text(rights.name())])
        };
        user.grants().filter_map(row).collect()
    };
    let series = Series::listing(None, &["database", "privilege"], rows);
    Ok(sink.part(ResultPart::of_series(context.statement_id, series)).await?)
}

/// SHOW CONTINUOUS QUERIES: one series a database, without rows when it has none.
pub async fn continuous(context: Context<'_>, sink: &mut impl Sink) -> Result<(), QueryError> {
    let all: Vec<(String, Vec<Vec<Cell>>)> = {
        let catalog = context.cluster.catalog();
        let of = |db: &crate::catalog::Database| {
            let queries = catalog.standing().queries(db.id);
            let rows = queries.map(|query| vec![Cell::text(&query.name), Cell::text(&query.text)]);
            (db.name.clone(), rows.collect())
        };
        catalog.databases().map(of).collect()
    };
    for (db, rows) in all {
        let series = Series::listing(Some(db.as_bytes()), &["name", "query"], rows);
        sink.part(ResultPart::of_series(context.statement_id, series)).await?;
    }
    Ok(())
}

/// SHOW SUBSCRIPTIONS: one series for each database that has any.
pub async fn subscriptions(context: Context<'_>, sink: &mut impl Sink) -> Result<(), QueryError> {
    let all: Vec<(String, Vec<Vec<Cell>>)> = {
        let catalog = context.cluster.catalog();
        let of = |db: &crate::catalog::Database| {
            let policies = db.policies.iter().filter_map(|id| catalog.policy_by_id(*id));
            let rows = policies.flat_map(|policy| {
                catalog.standing().subscriptions(policy.id).map(|one| {
                    vec![
                        Cell::text(&policy.spec.name),
                        Cell::text(&one.name),
                        Cell::text(if one.all { "ALL" } else { "ANY" }),
                        Cell::List(one.destinations.clone()),
                    ]
                })
            });
            (db.name.clone(), rows.collect())
        };
        catalog.databases().map(of).collect()
    };
    let columns = ["retention_policy", "name", "mode", "destinations"];
    for (db, rows) in all {
        send(context, Some(db.as_bytes()), &columns, rows, sink).await?;
    }
    Ok(())
}
