//! WHERE without time, split in two: what the index alone decides, and what needs the row.
//!
//! In: a condition. Out: a filter of series made of the terms of the outermost AND that speak of
//! tags only, and an expression for the other terms.

use super::super::QueryError;
use super::super::source::{Binding, Source, bytes_regex};
use super::expr::{Scope, balanced};
use crate::influxql::ast::{Expr as Ast, Op};
use crate::model::Value;
use crate::shard::index::TagFilter;
use crate::shard::scan::{Expr, Operator};

/// Splits a condition; columns of the second half are added to the scope.
///
/// # Errors
/// Terms that are no condition.
pub fn split(
    condition: Option<&Ast>,
    scope: &mut Scope<'_>,
) -> Result<(TagFilter, Option<Expr>), QueryError> {
    let mut series = Vec::new();
    let mut rows = Vec::new();
    for term in condition.map(conjunction).unwrap_or_default() {
        match tag_filter(term, scope.source)? {
            Some(filter) => series.push(filter),
            None => rows.push(apart(scope.compile(term)?)),
        }
    }
    let series = match series.len() {
        0 => TagFilter::All,
        1 => series.pop().unwrap_or(TagFilter::All),
        _ => TagFilter::And(series),
    };
    Ok((series, (!rows.is_empty()).then(|| balanced(Operator::And, rows))))
}

/// The expression with tags compared as in rows of measurements: a missing one is equal to none,
/// not even to another that is missing. (In subqueries a missing tag is an empty text.)
fn apart(expr: Expr) -> Expr {
    let Expr::Binary { op, left, right } = expr else { return expr };
    let (left, right) = (apart(*left), apart(*right));
    let binary = |op, left: Expr, right: Expr| Expr::Binary {
        op,
        left: Box::new(left),
        right: Box::new(right),
    };
    let (with, by) = match (op, &left, &right) {
        (Operator::Eq, Expr::Tag(_), Expr::Tag(_)) => (Operator::Ne, Operator::And),
        (Operator::Ne, Expr::Tag(_), Expr::Tag(_)) => (Operator::Eq, Operator::Or),
        _ => return binary(op, left, right),
    };
    let missing = Expr::Literal(Value::String(Box::default()));
    let there = binary(with, left.clone(), missing);
    binary(by, binary(op, left, right), there)
}

/// The terms of the outermost AND.
fn conjunction(condition: &Ast) -> Vec<&Ast> {
    let mut terms = Vec::new();
    let mut waiting = vec![condition];
    while let Some(expr) = waiting.pop() {
        match expr.unparen() {
            Ast::Binary(node) if node.op == Op::And => waiting.extend([&node.rhs, &node.lhs]),
            other => terms.push(other),
        }
    }
    terms
}

/// The term as a question to the index; `None` when it speaks of more than tags.
///
/// # Errors
/// A regular expression that cannot be compiled.
pub fn tag_filter(expr: &Ast, source: &Source) -> Result<Option<TagFilter>, QueryError> {
    tag_filter_or(expr, source, &TagFilter::None)
}

/// The same; `numbers` is what a tag compared with a number or a truth value stands for.
///
/// # Errors
/// A regular expression that cannot be compiled.
pub fn tag_filter_or(
    expr: &Ast,
    source: &Source,
    numbers: &TagFilter,
) -> Result<Option<TagFilter>, QueryError> {
    let node = match expr.unparen() {
        Ast::Boolean(true) => return Ok(Some(TagFilter::All)),
        Ast::Boolean(false) => return Ok(Some(TagFilter::None)),
        Ast::Binary(node) => node,
        _ => return Ok(None),
    };
    if matches!(node.op, Op::And | Op::Or) {
        return joined(node, source, numbers);
    }
    let (var, value) = match (node.lhs.unparen(), node.rhs.unparen()) {
        (Ast::VarRef(var), value) => (var, value),
        (value, Ast::VarRef(var)) if !node.op.is_regex() => (var, value),
        _ => return Ok(None),
    };
    let Binding::Tag(key) = source.bind(var) else { return Ok(None) };
    Ok(match (node.op, value) {
        (Op::Eq, Ast::String(text)) => {
            Some(TagFilter::Equals { key, value: text.as_bytes().into() })
        }
        (Op::Neq, Ast::String(text)) => {
            Some(TagFilter::NotEquals { key, value: text.as_bytes().into() })
        }
        (Op::EqRegex, Ast::Regex(regex)) => {
            Some(TagFilter::Matches { key, regex: bytes_regex(regex)? })
        }
        (Op::NeqRegex, Ast::Regex(regex)) => {
            Some(TagFilter::NotMatches { key, regex: bytes_regex(regex)? })
        }
        (Op::Eq | Op::Neq, Ast::Integer(_) | Ast::Float(_) | Ast::Boolean(_)) => {
            Some(numbers.clone())
        }
        // Order never matches a tag.
        (_, Ast::String(_) | Ast::Integer(_) | Ast::Float(_) | Ast::Boolean(_)) => {
            Some(TagFilter::None)
        }
        _ => None,
    })
}

/// A chain of AND and OR, if every term speaks of tags only.
fn joined(
    node: &crate::influxql::ast::Binary,
    source: &Source,
    numbers: &TagFilter,
) -> Result<Option<TagFilter>, QueryError> {
    let op = node.op;
    let mut terms = Vec::new();
    let mut waiting = vec![&node.rhs, &node.lhs];
    while let Some(expr) = waiting.pop() {
        match expr {
            Ast::Binary(inner) if inner.op == op => waiting.extend([&inner.rhs, &inner.lhs]),
            other => match tag_filter_or(other, source, numbers)? {
                Some(filter) => terms.push(filter),
                None => return Ok(None),
            },
        }
    }
    Ok(Some(if op == Op::And { TagFilter::And(terms) } else { TagFilter::Or(terms) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, Statement, parse};
    use crate::model::{FieldNo, FieldType, TypeSet};
    use std::collections::BTreeMap;

    fn source() -> Source {
        let mut types = TypeSet::default();
        types.insert(FieldType::Float);
        let fields = BTreeMap::from([(b"v".as_slice().into(), (FieldNo(1), types))]);
        Source { fields, ..Source::default() }
    }

    /// The filter of series as text, and whether rows are looked at.
    fn split_text(condition: &str) -> (String, bool) {
        let text = format!("SELECT v FROM m WHERE {condition}");
        let statements = parse(&text, &Params::new()).unwrap();
        let [Statement::Select(select)] = statements.as_slice() else { panic!("{text}") };
        let source = source();
        let mut scope = Scope::new(&source);
        let (series, rows) = split(select.condition.as_ref(), &mut scope).unwrap();
        (shape(&series), rows.is_some())
    }

    fn shape(filter: &TagFilter) -> String {
        let list = |filters: &[TagFilter]| filters.iter().map(shape).collect::<Vec<_>>().join(",");
        match filter {
            TagFilter::All => "all".into(),
            TagFilter::None => "none".into(),
            TagFilter::Equals { key, .. } => format!("{}=", String::from_utf8_lossy(key)),
            TagFilter::NotEquals { key, .. } => format!("{}!", String::from_utf8_lossy(key)),
            TagFilter::Matches { key, .. } => format!("{}~", String::from_utf8_lossy(key)),
            TagFilter::NotMatches { key, .. } => format!("{}!~", String::from_utf8_lossy(key)),
            TagFilter::And(filters) => format!("and({})", list(filters)),
            TagFilter::Or(filters) => format!("or({})", list(filters)),
            TagFilter::Not(filter) => format!("not({})", shape(filter)),
        }
    }

    #[test]
    fn tags_go_to_the_index_and_the_rest_to_rows() {
        let cases = [
            ("a = 'x'", "a=", false),
            ("a = 'x' AND v > 1", "a=", true),
            ("a = 'x' AND (b != 'y' AND v > 1)", "and(a=,b!)", true),
            ("a = 'x' OR v > 1", "all", true),
            ("a = 'x' OR b =~ /y/ OR c !~ /z/", "or(a=,b~,c!~)", false),
            ("(a = 'x' OR b = 'y') AND c = 'z'", "and(or(a=,b=),c=)", false),
            ("'x' = a", "a=", false),
            ("a > 5", "none", false),
            ("a = b", "all", true),
            ("v = 'x'", "all", true),
            ("v::tag = 'x'", "v=", false),
            ("true", "all", false),
            ("1 = 1", "all", true),
        ];
        for (condition, series, rows) in cases {
            assert_eq!(split_text(condition), (series.to_owned(), rows), "{condition}");
        }
    }
}
