//! EXPLAIN ANALYZE: runs a query, drops its rows, and tells what each shard did for it.
//!
//! In: a query. Out: the lines of a tree. Its `create_iterator` is one scan of one shard, which
//! serves all functions of the query; a scan that LIMIT ended early has no figures.

use super::super::outline::{Outline, Unit, outline};
use super::super::run_outline;
use super::statement::statement;
use super::tree::Node;
use super::{Reading, subqueries};
use crate::influxql::ast::{Expr, Select};
use crate::influxql::duration::print_go;
use crate::model::ShardId;
use crate::query::plan::columns::Universe;
use crate::query::plan::types::typed;
use crate::query::result::{Closed, ResultPart, Sink};
use crate::query::{Context, QueryError};
use crate::route::cluster::Told;
use crate::shard::scan::{Request, Summary};
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;

type Pending<'f, T> = Pin<Box<dyn Future<Output = T> + 'f>>;

/// The scans of one query, in the order in which they began.
#[derive(Default)]
pub struct Trace {
    scans: RefCell<Vec<Traced>>,
}

struct Traced {
    /// The unit that asked, by its place in memory; units live as long as the query.
    unit: usize,
    shard: ShardId,
    fields: usize,
    filtered: bool,
    summary: Rc<Cell<Option<Summary>>>,
}

impl Trace {
    /// Notes that a scan begins; gives what has to be told when it is over.
    pub fn begin(&self, unit: &Unit<'_>, request: &Request, shard: ShardId) -> Told {
        let summary = Rc::new(Cell::new(None));
        self.scans.borrow_mut().push(Traced {
            unit: std::ptr::from_ref(unit).addr(),
            shard,
            fields: request.fields.len(),
            filtered: request.filter.is_some(),
            summary: summary.clone(),
        });
        Box::new(move |told| {
            summary.set(Some(*told));
            Ok(())
        })
    }
}

/// Drops everything.
struct Nowhere;

impl Sink for Nowhere {
    async fn part(&mut self, _: ResultPart) -> Result<(), Closed> {
        Ok(())
    }
}

/// Runs the query and gives the lines.
///
/// # Errors
/// Those of the query.
pub async fn lines(context: Context<'_>, select: &Select) -> Result<Vec<String>, QueryError> {
    let now = || context.options.server.services.now_mono();
    let started = now();
    let outline = outline(context, select, None).await?;
    let planned = now();
    let trace = Trace::default();
    let traced = Context { trace: Some(&trace), ..context };
    run_outline(traced, &outline, &mut Nowhere).await?;
    let ended = now();
    let time =
        |from: u64, to: u64| print_go(i64::try_from(to.saturating_sub(from)).unwrap_or(i64::MAX));
    let mut root = Node::new("select");
    root.figures = vec![
        ("execution_time", time(planned, ended)),
        ("planning_time", time(started, planned)),
        ("total_time", time(started, ended)),
    ];
    root.children.push(cursor(context, &outline, &trace).await?);
    Ok(root.lines())
}

/// The node of a query or subquery.
fn cursor<'f>(
    context: Context<'f>,
    outline: &'f Outline<'f>,
    trace: &'f Trace,
) -> Pending<'f, Result<Node, QueryError>> {
    Box::pin(async move {
        let (select, universe) = statement(context, outline).await?;
        let mut node = Node::new("build_cursor");
        node.labels.push(("statement", select.to_string()));
        let labels = labels(outline, &universe);
        for unit in &outline.units {
            let scans = iterators(outline, unit, trace, &universe);
            if !scans.is_empty() {
                let mut scanner = Node::new("iterator_scanner");
                scanner.labels.clone_from(&labels);
                scanner.children = scans;
                node.children.push(scanner);
            }
        }
        for inner in subqueries(outline) {
            let mut scanner = Node::new("iterator_scanner");
            scanner.labels.clone_from(&labels);
            scanner.children.push(cursor(context, inner, trace).await?);
            node.children.push(scanner);
        }
        Ok(node)
    })
}

fn labels(outline: &Outline<'_>, universe: &Universe) -> Vec<(&'static str, String)> {
    let readings = Reading::of(outline);
    let text = |expr: &Expr| typed(expr, universe).to_string();
    let exprs: Vec<String> =
        readings.iter().filter_map(|one| one.expr.as_ref().map(text)).collect();
    let beside = readings.first().and_then(|one| one.beside_text(universe));
    let expr = (!exprs.is_empty()).then(|| exprs.join(", "));
    let beside = beside.map(|list| ("auxiliary_fields", list));
    beside.into_iter().chain(expr.map(|list| ("expr", list))).collect()
}

/// The scans of one unit.
fn iterators(
    outline: &Outline<'_>,
    unit: &Unit<'_>,
    trace: &Trace,
    universe: &Universe,
) -> Vec<Node> {
    let scans = trace.scans.borrow();
    let own = scans.iter().filter(|one| one.unit == std::ptr::from_ref(unit).addr());
    own.map(|one| {
        let mut node = Node::new("create_iterator");
        if let Some(condition) = &outline.condition {
            node.labels.push(("cond", typed(condition, universe).to_string()));
        }
        let name = String::from_utf8_lossy(&unit.name).into_owned();
        node.labels.push(("measurement", name));
        node.labels.push(("shard_id", one.shard.0.to_string()));
        node.figures = match one.summary.get() {
            Some(summary) => figures(one, summary),
            None => vec![("ended_early", "true".to_owned())],
        };
        node
    })
    .collect()
}

fn figures(scan: &Traced, summary: Summary) -> Vec<(&'static str, String)> {
    let busy = i64::try_from(summary.busy_ns).unwrap_or(i64::MAX);
    vec![
        ("series", summary.series.to_string()),
        ("fields", scan.fields.to_string()),
        ("filtered", scan.filtered.to_string()),
        ("rows_read", summary.rows.to_string()),
        ("blocks_read", summary.blocks.to_string()),
        ("bytes_read", summary.bytes.to_string()),
        ("chunks_known_by_statistics", summary.chunks_known.to_string()),
        ("busy_time", print_go(busy)),
    ]
}
