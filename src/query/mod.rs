//! One question over all shards: plan, scatter, merge, fill, limits.
//!
//! In: parsed InfluxQL statements. Out: parts of results for `encode`, as they come. Statements run
//! one after the other and end at the first that fails.

mod aggregate;
pub mod continuous;
mod define;
mod delete;
mod facts;
mod functions;
mod gather;
mod plan;
pub mod privileges;
pub mod result;
mod select;
mod show;
mod source;
mod standing;
#[cfg(test)]
pub(crate) mod testing;
mod users;

pub use facts::{Facts, Later, Server, Services, VERSION};
pub use gather::all;
pub use result::{Cell, CellRef, Closed, Column, ResultPart, Series, Sink};
pub use select::GroupMerge;
pub use show::stats;
pub use standing::{Destination, Scheme};

use crate::catalog::CatalogError;
use crate::influxql::Statement;
use crate::route::cluster::Cluster;
use crate::route::queries::{Entry, Kill, Stop};
use crate::shard::WriteError;
use crate::shard::scan::ScanError;
use futures_lite::future;
use std::rc::Rc;

/// What a query is given besides its text.
#[derive(Clone)]
pub struct Options {
    /// The process that answers.
    pub server: Rc<Server>,
    /// Who asks; `None`: users are of no interest.
    pub user: Option<String>,
    /// Database of unqualified names.
    pub db: Option<String>,
    /// Retention policy of unqualified names; `None`: the database's default.
    pub rp: Option<String>,
    /// Whether the request only reads (GET): writing statements carry a warning.
    pub read_only: bool,
    /// What `now()` is (ns since the epoch).
    pub now_ns: i64,
    /// Rows per document of a chunked answer; the encoder cuts, the query only knows that parts
    /// should be about this long. `None`: not chunked.
    pub chunk: Option<usize>,
    /// Bytes of state that this query may hold on one shard, and here.
    pub memory_bytes: usize,
    /// The instant at which the query ends, by the monotonic clock of all cores (ns); 0 = no limit.
    pub deadline_ns: u64,
    pub limits: Limits,
}

/// Limits that an operator sets; 0 = off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    pub select_series: u64,
    pub select_buckets: u64,
    pub select_points: u64,
}

/// Why a statement has no answer. Texts are those of InfluxDB where it has one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QueryError {
    #[error("database name required")]
    DatabaseRequired,
    #[error("database not found: {0}")]
    DatabaseNotFound(String),
    #[error("retention policy not found: {0}")]
    PolicyNotFound(String),
    #[error("not supported yet: {0}")]
    NotSupported(String),
    /// A refusal with its whole text.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Killed, or out of time.
    #[error(transparent)]
    Stopped(#[from] Stop),
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// What every statement works with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub cluster: &'a Cluster,
    pub options: &'a Options,
    pub statement_id: usize,
    /// Where scans note what they did.
    pub trace: Option<&'a select::Trace>,
    /// Rows that the statement's scans have read; counted where there is a limit.
    pub points: &'a Rc<std::cell::Cell<u64>>,
}

/// Runs the statements of a query one after the other; results go to `sink` as they come. The first
/// that fails ends the query: behind its error, one `not executed` follows for each statement left,
/// under the number of the one that failed, as InfluxDB does. `entry` may stop it at any moment:
/// what the statement had under way on the shards ends with it.
///
/// # Errors
/// `Closed` when the sink wants no more; failures of statements are parts of the answer.
pub async fn run(
    cluster: &Cluster,
    statements: &[Statement],
    options: &Options,
    entry: &Entry,
    sink: &mut impl Sink,
) -> Result<(), Closed> {
    for (statement_id, statement) in statements.iter().enumerate() {
        let points = Rc::default();
        let context = Context { cluster, options, statement_id, trace: None, points: &points };
        let stopped = async { Err(entry.stopped().await.into()) };
        // A stopped query is asked first, so that none slips through between two statements.
        let outcome = future::or(stopped, run_one(context, statement, sink)).await;
        match outcome {
            Ok(()) => {
                let mut part = ResultPart { statement_id, ..ResultPart::default() };
                if options.read_only && writes(statement) {
                    part.messages.push(format!(
                        "deprecated use of '{statement}' in a read only context, please use a POST \
                         request instead"
                    ));
                }
                sink.part(part).await?;
            }
            Err(QueryError::Closed(closed)) => return Err(closed),
            Err(error) => {
                sink.part(ResultPart::of_error(statement_id, error.to_string())).await?;
                for _ in statements.iter().skip(statement_id + 1) {
                    sink.part(ResultPart::of_error(statement_id, "not executed")).await?;
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn run_one(
    context: Context<'_>,
    statement: &Statement,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    match statement {
        Statement::CreateDatabase(_)
        | Statement::DropDatabase(_)
        | Statement::CreateRetentionPolicy(_)
        | Statement::AlterRetentionPolicy(_)
        | Statement::DropRetentionPolicy(_)
        | Statement::DropMeasurement(_)
        | Statement::DropShard(_) => define::run(context, statement).await,
        Statement::CreateUser(_)
        | Statement::SetPassword(_)
        | Statement::DropUser(_)
        | Statement::Grant(_)
        | Statement::GrantAdmin(_)
        | Statement::Revoke(_)
        | Statement::RevokeAdmin(_) => users::run(context, statement).await,
        Statement::CreateContinuousQuery(_)
        | Statement::DropContinuousQuery(_)
        | Statement::CreateSubscription(_)
        | Statement::DropSubscription(_) => standing::run(context, statement).await,
        Statement::KillQuery(kill) => match context.cluster.kill(kill.id).await {
            Kill::Done => Ok(()),
            Kill::Already => Err(QueryError::Refused("already killed".to_owned())),
            Kill::Unknown => Err(QueryError::Refused(format!("no such query id: {}", kill.id))),
        },
        show_or_read => show_or_read_one(context, show_or_read, sink).await,
    }
}

async fn show_or_read_one(
    context: Context<'_>,
    statement: &Statement,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    match statement {
        Statement::ShowDatabases => show::databases(context, sink).await,
        Statement::ShowRetentionPolicies(db) => show::policies(context, db.as_deref(), sink).await,
        Statement::ShowMeasurements(show) => show::measurements(context, show, sink).await,
        Statement::ShowSeries(list) => show::series(context, list, sink).await,
        Statement::ShowTagKeys(list) => show::tag_keys(context, list, sink).await,
        Statement::ShowTagValues(show) => show::tag_values(context, show, sink).await,
        Statement::ShowFieldKeys(list) => show::field_keys(context, list, sink).await,
        Statement::ShowCardinality(show) => show::cardinality(context, show, sink).await,
        Statement::ShowUsers => show::users(context, sink).await,
        Statement::ShowGrants(name) => show::grants(context, name, sink).await,
        Statement::ShowContinuousQueries => show::continuous(context, sink).await,
        Statement::ShowSubscriptions => show::subscriptions(context, sink).await,
        Statement::ShowQueries => show::queries(context, sink).await,
        Statement::ShowShards => show::shards(context, sink).await,
        Statement::ShowShardGroups => show::shard_groups(context, sink).await,
        Statement::ShowStats(module) => show::statistics(context, module.as_deref(), sink).await,
        Statement::ShowDiagnostics(module) => {
            show::diagnostics(context, module.as_deref(), sink).await
        }
        Statement::Delete(delete) => {
            delete::rows(context, &delete.sources, delete.condition.as_ref()).await
        }
        Statement::DropSeries(drop) => {
            delete::series(context, &drop.sources, drop.condition.as_ref()).await
        }
        Statement::Select(query) => select::run(context, query, sink).await,
        Statement::Explain(explain) => select::explain(context, explain, sink).await,
        other => Err(QueryError::NotSupported(other.to_string())),
    }
}

/// Whether a statement changes something, so that GET carries a warning. DELETE is left out, as in
/// InfluxDB.
fn writes(statement: &Statement) -> bool {
    use Statement as S;
    match statement {
        S::Select(select) => select.target.is_some(),
        S::CreateDatabase(_)
        | S::DropDatabase(_)
        | S::CreateRetentionPolicy(_)
        | S::AlterRetentionPolicy(_)
        | S::DropRetentionPolicy(_)
        | S::CreateContinuousQuery(_)
        | S::DropContinuousQuery(_)
        | S::CreateSubscription(_)
        | S::DropSubscription(_)
        | S::CreateUser(_)
        | S::SetPassword(_)
        | S::DropUser(_)
        | S::Grant(_)
        | S::GrantAdmin(_)
        | S::Revoke(_)
        | S::RevokeAdmin(_)
        | S::DropSeries(_)
        | S::DropMeasurement(_)
        | S::DropShard(_)
        | S::KillQuery(_) => true,
        _ => false,
    }
}
