//! EXPLAIN: what each reading of each measurement would cost.
//!
//! In: a resolved query. Out: the lines of the listing. An InfluxDB shard is a partition here, a
//! file a segment, a block a chunk; cached values are those in memory, not yet in a segment.

use super::super::outline::{Member, Outline, Unit};
use super::super::{Frame, Question, Shape};
use super::{Reading, subqueries, universe};
use crate::influxql::ast::Expr;
use crate::query::plan::columns::Universe;
use crate::query::plan::types::typed;
use crate::query::source::{Binding, Stored};
use crate::query::{Context, QueryError};
use crate::shard::scan::{FieldRef, Output, Summary};
use std::pin::Pin;

type Pending<'f, T> = Pin<Box<dyn Future<Output = T> + 'f>>;

/// The lines; one empty line for a query that reads nothing.
///
/// # Errors
/// A shard that cannot answer.
pub async fn lines(context: Context<'_>, outline: &Outline<'_>) -> Result<Vec<String>, QueryError> {
    let mut out = Vec::new();
    add(context, outline, None, &mut out).await?;
    if out.is_empty() {
        out.push(String::new());
    }
    Ok(out)
}

/// Adds the lines of a query and its subqueries, blocks parted by empty lines.
fn add<'f>(
    context: Context<'f>,
    outline: &'f Outline<'f>,
    frame: Option<Frame>,
    out: &'f mut Vec<String>,
) -> Pending<'f, Result<(), QueryError>> {
    Box::pin(async move {
        let shape = Shape::new(context, outline, frame.as_ref())?;
        let universe = universe(context, outline).await?;
        for reading in Reading::of(outline) {
            for unit in &outline.units {
                for member in &unit.members {
                    let Member::Stored { stored, .. } = member else { continue };
                    if !reading.meets(&stored.source, &universe) {
                        continue;
                    }
                    let cost = cost(context, (&shape, unit, stored), &reading).await?;
                    if !out.is_empty() {
                        out.push(String::new());
                    }
                    block(&reading, &universe, cost, out);
                }
            }
        }
        for inner in subqueries(outline) {
            let frame = shape.frame(shape.timing.range);
            add(context, inner, Some(frame), out).await?;
        }
        Ok(())
    })
}

/// What a reading of a measurement costs, and in how many partitions; `None`: none has its time.
async fn cost(
    context: Context<'_>,
    (shape, unit, stored): (&Shape<'_>, &Unit<'_>, &Stored),
    reading: &Reading,
) -> Result<Option<(usize, Summary)>, QueryError> {
    let mut fields: Vec<FieldRef> = Vec::new();
    for var in reading.vars() {
        if let Binding::Field(field) = stored.source.bind(&var) {
            fields.push(field);
        }
    }
    let (range, output) = (shape.timing.range, Output::Cost);
    let question = Question { fields: &fields, range, output, groups: None };
    let Some(request) = shape.request(context, unit, stored, question)? else { return Ok(None) };
    let mut sum = Summary::default();
    for mut scan in super::super::scans(context, unit, &request, 1) {
        let ended = loop {
            if let Err(ended) = scan.next().await {
                break ended;
            }
        };
        let one = ended?;
        sum.series += one.series;
        sum.cached += one.cached;
        sum.files += one.files;
        sum.blocks += one.blocks;
        sum.bytes += one.bytes;
    }
    Ok(Some((request.partitions.len(), sum)))
}

fn block(
    reading: &Reading,
    universe: &Universe,
    cost: Option<(usize, Summary)>,
    out: &mut Vec<String>,
) {
    // Types come from what is stored in the query's time.
    let none = Universe::default();
    let universe = if cost.is_some() { universe } else { &none };
    let (shards, cost) = cost.unwrap_or_default();
    let expr = reading.expr.as_ref().map(|expr: &Expr| typed(expr, universe).to_string());
    out.push(format!("EXPRESSION: {}", expr.as_deref().unwrap_or("<nil>")));
    out.extend(reading.beside_text(universe).map(|list| format!("AUXILIARY FIELDS: {list}")));
    let counts = [
        ("NUMBER OF SHARDS", shards as u64),
        ("NUMBER OF SERIES", cost.series),
        ("CACHED VALUES", cost.cached),
        ("NUMBER OF FILES", cost.files),
        ("NUMBER OF BLOCKS", cost.blocks),
        ("SIZE OF BLOCKS", cost.bytes),
    ];
    out.extend(counts.iter().map(|(name, count)| format!("{name}: {count}")));
}
