//! Comparisons: false where a side is missing or the types do not compare.
//!
//! In: two vectors and an operator, or one and a regular expression. Out: a vector of booleans in
//! which no row is missing. Integers and unsigned integers compare by value, all other pairs of
//! numbers as floats.

use super::{Typed, Vector};
use crate::model::Values;
use crate::shard::scan::request::Operator;
use regex::bytes::Regex;
use std::cmp::Ordering;

pub fn compare<'a>(op: Operator, left: &Vector<'_>, right: &Vector<'_>, rows: usize) -> Vector<'a> {
    let order = ordering(left.typed(), right.typed());
    let equality = matches!(op, Operator::Eq | Operator::Ne);
    let ordered = left.typed().is_number() || equality;
    let test = |row: usize| {
        ordered
            && left.is_valid(row)
            && right.is_valid(row)
            && order(row).is_some_and(|found| passes(op, found))
    };
    Vector::owned(Values::Boolean((0..rows).map(test).collect()), None, false)
}

fn passes(op: Operator, order: Ordering) -> bool {
    match op {
        Operator::Eq => order.is_eq(),
        Operator::Ne => order.is_ne(),
        Operator::Lt => order.is_lt(),
        Operator::Le => order.is_le(),
        Operator::Gt => order.is_gt(),
        Operator::Ge => order.is_ge(),
        _ => false,
    }
}

/// How the sides of a row stand to each other; `None` where they do not compare.
fn ordering<'v>(left: Typed<'v>, right: Typed<'v>) -> impl Fn(usize) -> Option<Ordering> + 'v {
    move |row| match (&left, &right) {
        (Typed::Integer(left), Typed::Integer(right)) => Some(left.at(row).cmp(&right.at(row))),
        (Typed::Unsigned(left), Typed::Unsigned(right)) => Some(left.at(row).cmp(&right.at(row))),
        (Typed::Integer(left), Typed::Unsigned(right)) => {
            Some(i128::from(left.at(row)).cmp(&i128::from(right.at(row))))
        }
        (Typed::Unsigned(left), Typed::Integer(right)) => {
            Some(i128::from(left.at(row)).cmp(&i128::from(right.at(row))))
        }
        (Typed::Boolean(left), Typed::Boolean(right)) => Some(left.at(row).cmp(&right.at(row))),
        (Typed::String(left, one), Typed::String(right, other)) => {
            let left = left.get(if *one { 0 } else { row });
            Some(left.cmp(right.get(if *other { 0 } else { row })))
        }
        _ => left.float(row)?.partial_cmp(&right.float(row)?),
    }
}

/// Whether strings match, or do not match, a regular expression; anything else does neither.
pub fn matches<'a>(left: &Vector<'_>, regex: &Regex, negated: bool, rows: usize) -> Vector<'a> {
    let Typed::String(strings, constant) = left.typed() else {
        return Vector::owned(Values::Boolean(vec![false; rows]), None, false);
    };
    // Rows of one series follow each other, so the answer for the row before is often this one's.
    let mut last: Option<(&[u8], bool)> = None;
    let mut test = |row: usize| {
        let text = strings.get(if constant { 0 } else { row });
        let found = match last {
            Some((known, found)) if known == text => found,
            _ => regex.is_match(text),
        };
        last = Some((text, found));
        left.is_valid(row) && found != negated
    };
    Vector::owned(Values::Boolean((0..rows).map(&mut test).collect()), None, false)
}
