//! Answers one shard's part of a question: prune, read, merge, filter, and aggregate or stream
//! rows.
//!
//! In: a `Request` (plain data, the same for every shard). Out: `Part`s, in the order the request
//! asks for; the coordinator merges the parts of all shards (`Group::merge`; rows by time and key).
//!
//! `plan` (series, groups, sources) ▸ `read` (merged Blocks of one stretch of time) ▸ `rowset`
//! (WHERE by `expr`, `fields` as the question sees them) ▸ `aggregate` (`buckets`, `accumulate`,
//! `merge`) or `rows`. `known` says which chunks need not be decoded. `lookup` asks the index.
//! `cost` counts what would be read. `few` keeps the values of small questions.
//! `guard` watches over the deadline and the turns of other tasks.

mod accumulate;
mod aggregate;
mod buckets;
mod cost;
pub mod expr;
mod few;
mod fields;
mod guard;
mod keep;
mod known;
mod known_states;
mod lookup;
mod merge;
mod names;
pub mod partial;
mod plan;
mod read;
pub mod request;
mod rows;
mod rowset;
mod starts;
#[cfg(test)]
mod tests;

pub use accumulate::{Accumulator, RowsOf, Slice};
pub use aggregate::inside;
pub use expr::{RowsView, Vector, eval};
pub use few::{FEW_MAX, Few};
pub use lookup::{lookup, without_rows};
pub use merge::{compare_values, preference};
pub use partial::{
    Found, Group, Kept, Part, Picked, Ranked, Rows, Samples, ScanError, States, Summary, TagPair,
};
pub use request::{
    Aggregate, Aux, Buckets, Expr, FieldRef, Function, KeyFilter, Lookup, MathFunction, Operator,
    Order, Output, Request, Want,
};

use crate::env::Env;
use crate::shard::Shard;
use guard::Guard;
use plan::Plan;
use rowset::Used;
use std::sync::Arc;

/// Answers a question. Each part goes to `emit`, which comes back when there is room for the next,
/// with false when the asker is gone. The shard's sources are those of the moment of the call.
///
/// # Errors
/// When the question was cancelled, took too long or too much memory, or when a file cannot be
/// read.
pub async fn run<E: Env>(
    shard: &Shard<E>,
    request: &Arc<Request>,
    emit: impl AsyncFn(Part) -> bool,
    is_cancelled: impl Fn() -> bool,
) -> Result<Summary, ScanError> {
    let guard = Guard::new(shard.env(), request.deadline_ns, is_cancelled);
    let guard = guard.with_rows_max(request.rows_max);
    let plan = Plan::new(shard, request, &guard).await?;
    let counts = (request.fields.len(), request.tags.len());
    let used = request.filter.as_ref().map(|expr| Used::by(expr, counts.0, counts.1));
    let (plan, guard) = (&plan, &guard);
    match &request.output {
        Output::Rows { visible, limit } => {
            let (visible, limit) = (*visible, *limit);
            rows::Run { plan, guard, visible, limit, used }.run(&emit).await?;
        }
        Output::Aggregates { buckets, aggregates } => {
            aggregate::Run { plan, guard, buckets, aggregates, used }.run(&emit).await?;
        }
        Output::Starts(buckets) => starts::run(plan, guard, buckets, &emit).await?,
        Output::Cost => cost::count(plan, guard).await?,
    }
    Ok(guard.summary())
}
