//! EXPLAIN and EXPLAIN ANALYZE: what a query would read, and what it did when it ran.
//!
//! In: the query. Out: a listing of one column in InfluxDB's shape. EXPLAIN asks the shards for
//! counters alone (`plan`); ANALYZE runs the query, drops its rows, and prints as a tree what each
//! scan of each shard noted (`analyze`, `tree`).

mod analyze;
mod plan;
mod statement;
mod tree;

pub use analyze::Trace;

use super::outline::{Body, Member, Outline, outline};
use crate::influxql::ast::{Explain, Expr, VarRef};
use crate::influxql::validate::validate;
use crate::query::plan::columns::Universe;
use crate::query::plan::expr::math;
use crate::query::plan::types::typed;
use crate::query::result::{Cell, ResultPart, Series, Sink};
use crate::query::source::{Binding, Source, load_tags};
use crate::query::{Context, QueryError};
use std::rc::Rc;

/// Functions that the reference computes where the points are; of others the plan shows the column
/// that they read.
const PUSHED_DOWN: [&str; 7] = ["count", "sum", "mean", "min", "max", "first", "last"];

/// Answers EXPLAIN.
///
/// # Errors
/// Those of the query.
pub async fn explain(
    context: Context<'_>,
    explain: &Explain,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    validate(&explain.select).map_err(QueryError::Refused)?;
    let (column, lines) = if explain.analyze {
        ("EXPLAIN ANALYZE", analyze::lines(context, &explain.select).await?)
    } else {
        let outline = outline(context, &explain.select, None).await?;
        ("QUERY PLAN", plan::lines(context, &outline).await?)
    };
    let rows = lines.into_iter().map(|line| vec![Cell::text(line)]).collect();
    let series = Series::listing(None, &[column], rows);
    Ok(sink.part(ResultPart::of_series(context.statement_id, series)).await?)
}

/// One reading of a query's sources: a call, or the columns of rows.
struct Reading {
    /// What is computed where the points are; `None`: nothing.
    expr: Option<Expr>,
    /// Columns beside it.
    beside: Vec<VarRef>,
}

impl Reading {
    /// The readings of a query, each once.
    fn of(outline: &Outline<'_>) -> Vec<Reading> {
        let columns = || outline.selected.columns.iter().map(|(expr, _)| expr);
        let mut beside: Vec<VarRef> = Vec::new();
        let mut found: Vec<Expr> = Vec::new();
        for column in columns() {
            column.walk(&mut |expr| match expr {
                Expr::VarRef(var) if !beside.contains(var) => {
                    beside.push(var.clone());
                    true
                }
                Expr::Call { name, args } if math(name).is_none() => {
                    let read = innermost(name, args);
                    if !found.contains(&read) {
                        found.push(read);
                    }
                    false
                }
                _ => true,
            });
        }
        let raw = outline.units.iter().all(|unit| matches!(unit.work.body, Body::Rows(_)));
        if raw {
            return vec![Reading { expr: None, beside }];
        }
        let reading = |expr| Reading { expr: Some(expr), beside: beside.clone() };
        found.into_iter().map(reading).collect()
    }

    /// The columns that it reads.
    fn vars(&self) -> Vec<VarRef> {
        let mut all = self.expr.as_ref().map(Expr::var_refs).unwrap_or_default();
        all.extend(self.beside.iter().cloned());
        all
    }

    /// Whether a source has one of its columns.
    fn meets(&self, source: &Source, universe: &Universe) -> bool {
        let known = |var: &VarRef| {
            matches!(source.bind(var), Binding::Field(_)) || universe.has_tag(&var.name)
        };
        self.expr.is_some() || self.vars().iter().any(known)
    }

    /// The columns beside, with their types, as a list; `None` without any.
    fn beside_text(&self, universe: &Universe) -> Option<String> {
        let text = |var: &VarRef| typed(&Expr::VarRef(var.clone()), universe).to_string();
        let mut all: Vec<String> = self.beside.iter().map(text).collect();
        all.sort_unstable();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

/// What the innermost of nested calls reads.
fn innermost(name: &str, args: &[Expr]) -> Expr {
    let (mut name, mut args) = (name, args);
    while let Some(Expr::Call { name: inner, args: inner_args }) = args.first().map(Expr::unparen) {
        (name, args) = (inner, inner_args);
    }
    let field = match args.first().map(Expr::unparen) {
        Some(Expr::Distinct(field)) => Expr::var(field.clone()),
        Some(other) => other.clone(),
        None => Expr::Nil,
    };
    let by_tags = args.len() > 2;
    let shown = match name {
        "top" if by_tags => "max",
        "bottom" if by_tags => "min",
        name if PUSHED_DOWN.contains(&name) => name,
        _ => return field,
    };
    Expr::Call { name: shown.to_owned(), args: vec![field] }
}

/// What names mean in all sources of a query, tags included.
async fn universe(context: Context<'_>, outline: &Outline<'_>) -> Result<Universe, QueryError> {
    let members = || outline.units.iter().flat_map(|unit| &unit.members);
    let of_stored = |member: &Member<'_>| match member {
        Member::Stored { stored, .. } => Some(stored.clone()),
        Member::Nested { .. } => None,
    };
    let mut stored: Vec<_> = members().filter_map(of_stored).collect();
    load_tags(context, &mut stored).await?;
    let nested = members().filter(|member| matches!(member, Member::Nested { .. }));
    Ok(Universe::of(nested.map(Member::source).chain(stored.iter().map(|one| &one.source))))
}

/// The subqueries of a query, each once.
fn subqueries<'o, 'a>(outline: &'o Outline<'a>) -> Vec<&'o Rc<Outline<'a>>> {
    let mut found: Vec<&Rc<Outline<'a>>> = Vec::new();
    for member in outline.units.iter().flat_map(|unit| &unit.members) {
        if let Member::Nested { query, .. } = member
            && !found.iter().any(|known| Rc::ptr_eq(known, query))
        {
            found.push(query);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, Statement, parse};

    #[test]
    fn the_innermost_call_is_what_is_read() {
        let cases = [
            ("mean(v)", "mean(v)"),
            ("derivative(mean(v))", "mean(v)"),
            ("derivative(v)", "v"),
            ("count(distinct(v))", "v"),
            ("count(distinct v)", "count(v)"),
            ("top(v, 2)", "v"),
            ("top(v, host, 2)", "max(v)"),
            ("bottom(v, host, 2)", "min(v)"),
            ("percentile(v, 2)", "v"),
        ];
        for (text, expected) in cases {
            let statements = parse(&format!("SELECT {text} FROM m"), &Params::new()).unwrap();
            let [Statement::Select(select)] = statements.as_slice() else { panic!("{text}") };
            let Expr::Call { name, args } = &select.fields[0].expr else { panic!("{text}") };
            assert_eq!(innermost(name, args).to_string(), expected, "{text}");
        }
    }
}
