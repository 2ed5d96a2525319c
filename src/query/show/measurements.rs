//! SHOW MEASUREMENTS: those with a series, under a condition on tags.
//!
//! In: the statement. Out: one listing, sorted. A condition is about the measurement, as in
//! InfluxDB: `=` and `=~` ask for some series that has the tag so, `!=` and `!~` for a measurement
//! that has the key while no series has it so.

use super::lists::{cut, live, send};
use super::target::Target;
use crate::influxql::ast::{Expr, Op, ShowMeasurements};
use crate::model::MeasurementId;
use crate::query::result::{Cell, Sink};
use crate::query::source::bytes_regex;
use crate::query::{Context, QueryError};
use crate::shard::index::TagFilter;
use std::collections::BTreeSet;

type Set = BTreeSet<MeasurementId>;

/// Runs the statement. A database that does not exist has no measurements.
pub async fn measurements(
    context: Context<'_>,
    show: &ShowMeasurements,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let sources = show.source.as_slice();
    let target = match Target::resolve(context, show.database.as_deref(), sources) {
        Err(QueryError::DatabaseNotFound(_)) => return Ok(()),
        outcome => outcome?,
    };
    let found = match &show.condition {
        None => live(context, &target, TagFilter::All).await?,
        Some(condition) => matching(context, &target, condition).await?,
    };
    let names = target.measurements.iter().filter(|(_, id)| found.contains(id));
    let rows = cut(names.map(|(name, _)| vec![Cell::text(name)]), show.limit, show.offset);
    send(context, Some(b"measurements"), &["name"], rows, sink).await
}

/// Steps of the condition, operands before operators.
enum Step {
    Leaf { found: TagFilter, absent: Option<TagFilter> },
    Name { name: Name, wanted: bool },
    And,
    Or,
}

/// What the name of a measurement is held against.
enum Name {
    Equals(Box<[u8]>),
    Matches(regex::bytes::Regex),
}

async fn matching(
    context: Context<'_>,
    target: &Target,
    condition: &Expr,
) -> Result<Set, QueryError> {
    let mut stack: Vec<Set> = Vec::new();
    for step in steps(condition)? {
        match step {
            Step::Leaf { found, absent } => {
                let mut set = live(context, target, found).await?;
                if let Some(absent) = absent {
                    let without = live(context, target, absent).await?;
                    set.retain(|id| !without.contains(id));
                }
                stack.push(set);
            }
            Step::Name { name, wanted } => {
                let fits = |text: &[u8]| match &name {
                    Name::Equals(known) => **known == *text,
                    Name::Matches(regex) => regex.is_match(text),
                };
                let mut set = live(context, target, TagFilter::All).await?;
                let names = target.names();
                set.retain(|id| names.get(id).is_some_and(|text| fits(text) == wanted));
                stack.push(set);
            }
            Step::And | Step::Or => {
                let right = stack.pop().unwrap_or_default();
                let left = stack.pop().unwrap_or_default();
                stack.push(match step {
                    Step::And => &left & &right,
                    _ => &left | &right,
                });
            }
        }
    }
    Ok(stack.pop().unwrap_or_default())
}

/// The condition in postfix order, without recursion.
fn steps(condition: &Expr) -> Result<Vec<Step>, QueryError> {
    let mut out = Vec::new();
    let mut waiting = vec![condition];
    while let Some(expr) = waiting.pop() {
        match expr.unparen() {
            // Written backwards: an operator, then its right side, then its left.
            Expr::Binary(node) if matches!(node.op, Op::And | Op::Or) => {
                out.push(if node.op == Op::And { Step::And } else { Step::Or });
                waiting.extend([&node.lhs, &node.rhs]);
            }
            other => out.push(leaf(other)?),
        }
    }
    out.reverse();
    Ok(out)
}

fn leaf(expr: &Expr) -> Result<Step, QueryError> {
    let refused = |text: &str| Err(QueryError::Refused(text.to_owned()));
    // The reference prints its own representation of what is no comparison.
    let node = match expr {
        Expr::Binary(node) => node,
        Expr::Boolean(value) => {
            return refused(&format!("&influxql.BooleanLiteral{{Val:{value}}}"));
        }
        Expr::VarRef(var) => {
            let name = quoted(&var.name);
            return refused(&format!("&influxql.VarRef{{Val:{name}, Type:0}}"));
        }
        _ => return refused("invalid condition"),
    };
    if node.lhs.is_time() || node.rhs.is_time() {
        return refused("SHOW MEASUREMENTS doesn't support time in WHERE clause");
    }
    if matches!(node.op, Op::Lt | Op::Lte | Op::Gt | Op::Gte) {
        return refused("invalid tag comparison operator");
    }
    let Expr::VarRef(var) = node.lhs.unparen() else {
        return refused(&format!("left side of '{}' must be a tag key", node.op.text()));
    };
    if var.name == "_name" {
        return named(node);
    }
    let key: Box<[u8]> = var.name.as_bytes().into();
    let has_key = TagFilter::NotEquals { key: key.clone(), value: Box::default() };
    let found = match (node.op, node.rhs.unparen()) {
        (Op::Eq | Op::Neq, Expr::String(text)) => {
            TagFilter::Equals { key, value: text.as_bytes().into() }
        }
        (Op::EqRegex | Op::NeqRegex, Expr::Regex(regex)) => {
            TagFilter::Matches { key, regex: bytes_regex(regex)? }
        }
        (Op::Eq | Op::Neq, _) => {
            let text = format!("right side of '{}' must be a tag value string", node.op.text());
            return Err(QueryError::Refused(text));
        }
        _ => return refused("invalid tag comparison operator"),
    };
    // A missing tag is no value here.
    let found = TagFilter::And(vec![has_key.clone(), found]);
    Ok(match node.op {
        Op::Neq | Op::NeqRegex => Step::Leaf { found: has_key, absent: Some(found) },
        _ => Step::Leaf { found, absent: None },
    })
}

/// A comparison with the measurement's own name.
fn named(node: &crate::influxql::ast::Binary) -> Result<Step, QueryError> {
    let (name, wanted) = match (node.op, node.rhs.unparen()) {
        (Op::Eq | Op::Neq, Expr::String(text)) => {
            (Name::Equals(text.as_bytes().into()), node.op == Op::Eq)
        }
        (Op::EqRegex | Op::NeqRegex, Expr::Regex(regex)) => {
            (Name::Matches(bytes_regex(regex)?), node.op == Op::EqRegex)
        }
        _ => {
            let text = format!("right side of '{}' must be a tag value string", node.op.text());
            return Err(QueryError::Refused(text));
        }
    };
    Ok(Step::Name { name, wanted })
}

/// A text as the reference's language writes it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, Statement, parse};

    fn steps_of(condition: &str) -> Result<String, String> {
        let text = format!("show measurements where {condition}");
        let statements = parse(&text, &Params::new()).unwrap();
        let [Statement::ShowMeasurements(show)] = statements.as_slice() else { panic!() };
        let steps = steps(show.condition.as_ref().unwrap()).map_err(|error| error.to_string())?;
        let letter = |step: &Step| match step {
            Step::Leaf { absent: None, .. } => '=',
            Step::Leaf { .. } => '!',
            Step::Name { .. } => 'n',
            Step::And => '&',
            Step::Or => '|',
        };
        Ok(steps.iter().map(letter).collect())
    }

    #[test]
    fn operands_come_before_operators() {
        assert_eq!(steps_of("a = '1' and (b != '2' or c =~ /x/)").unwrap(), "=!=|&");
        assert_eq!(steps_of("a = '1' and b = '2' or c !~ /x/").unwrap(), "==&!|");
    }

    #[test]
    fn refusals_are_influxdbs() {
        let cases = [
            ("time > 5", "SHOW MEASUREMENTS doesn't support time in WHERE clause"),
            ("v = 5", "right side of '=' must be a tag value string"),
            ("'a' != v", "left side of '!=' must be a tag key"),
            ("v > 5", "invalid tag comparison operator"),
            ("v = 'x' and b", "&influxql.VarRef{Val:\"b\", Type:0}"),
            ("true", "&influxql.BooleanLiteral{Val:true}"),
        ];
        for (condition, expected) in cases {
            assert_eq!(steps_of(condition).unwrap_err(), expected);
        }
    }
}
