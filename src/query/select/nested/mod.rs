//! Subqueries: the rows of an inner query as one more source of the query around it.
//!
//! In: an inner query and the frame of the outer one. Out: rows or groups of states in the outer
//! query's order, as shards give them, so everything behind the merge is shared. The inner query's
//! parts are taken as they come: states are fed at once; rows are handed through where the inner
//! query gives them in the outer one's order, and else held until all are there.

mod groups;
mod intake;
mod rows;

pub use groups::groups;
pub use rows::{pass_rows, rows};

use super::outline::{Member, Outline, Unit};
use super::{Shape, check_refused, run_unit};
use crate::model::{FieldType, TimeRange};
use crate::query::result::{Closed, ResultPart, Sink};
use crate::query::{Context, QueryError};
use crate::shard::scan::{FieldRef, ScanError};
use std::pin::Pin;

/// Where rows of a subquery go: the outer query's unit, and its fields as the subquery has them.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub shape: &'a Shape<'a>,
    pub unit: &'a Unit<'a>,
    pub fields: &'a [FieldRef],
}

/// One unit of a subquery, and the time that the outer query reads.
#[derive(Clone, Copy)]
pub struct Inner<'a> {
    pub query: &'a Outline<'a>,
    pub unit: usize,
    pub range: TimeRange,
    /// Tags by which it is grouped beside those of the outer query.
    pub tags: &'a [Box<[u8]>],
}

impl Inner<'_> {
    /// Whether its rows come in the order of the outer query: series by series of that query.
    pub fn is_in_order_of(&self, outer: &Shape<'_>) -> bool {
        self.query.dimensions.iter().all(|key| outer.group_by.contains(key))
    }
}

/// The time that rows of a unit may have; `None` when it has none.
pub fn data(context: Context<'_>, unit: &Unit<'_>, range: TimeRange) -> Option<TimeRange> {
    let of_member = |member: &Member<'_>| match member {
        Member::Stored { stored, .. } => super::partitions(context, stored, range).map(|it| it.1),
        Member::Nested { query, unit, .. } => {
            let range = query.range.intersect(range);
            let found = data(context, query.units.get(*unit)?, range)?;
            // Rows that are results stand at the start of their bucket, or of all time.
            let width = query.select.group_interval().unwrap_or(0);
            let base = if range.first > TimeRange::ALL.first { range.first } else { 0 };
            let first = found.first.saturating_sub(width).min(base);
            Some(TimeRange::new(first, found.last.max(base)))
        }
    };
    let all = unit.members.iter().filter_map(of_member);
    all.reduce(|a, b| TimeRange::new(a.first.min(b.first), a.last.max(b.last)))
}

/// A sink of any kind.
trait Taker {
    fn take<'t>(&'t mut self, part: ResultPart) -> Pending<'t, Result<(), Closed>>;
}

type Pending<'t, T> = Pin<Box<dyn Future<Output = T> + 't>>;

struct Into<'t>(&'t mut dyn Taker);

impl Sink for Into<'_> {
    async fn part(&mut self, part: ResultPart) -> Result<(), Closed> {
        self.0.take(part).await
    }
}

/// Runs the subquery; its parts go to `taker`.
fn run<'f>(
    context: Context<'f>,
    outer: &'f Shape<'f>,
    inner: Inner<'f>,
    taker: &'f mut dyn Taker,
) -> Pending<'f, Result<(), QueryError>> {
    Box::pin(async move {
        let mut frame = outer.frame(inner.range);
        frame.group_by.extend(inner.tags.iter().cloned());
        let shape = Shape::new(context, inner.query, Some(&frame))?;
        let Some(unit) = inner.query.units.get(inner.unit) else { return Ok(()) };
        if shape.timing.range.is_empty() {
            return Ok(());
        }
        check_refused(context, &shape, unit).await?;
        run_unit(context, &shape, unit, &mut Into(taker)).await
    })
}

/// Bytes that held rows may take, counted down.
struct Budget {
    limit: usize,
    held: usize,
}

impl Budget {
    fn new(limit: usize) -> Budget {
        Budget { limit, held: 0 }
    }

    fn add(&mut self, bytes: usize) -> Result<(), QueryError> {
        self.held = self.held.saturating_add(bytes);
        match self.held > self.limit {
            true => Err(ScanError::Memory { limit: self.limit }.into()),
            false => Ok(()),
        }
    }
}

/// Bytes of a value in a row, about.
fn value_bytes(kind: FieldType) -> usize {
    if kind == FieldType::String { 32 } else { 9 }
}
