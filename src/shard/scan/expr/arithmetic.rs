//! Arithmetic and bit operations: missing where a side is missing or the types do not fit.
//!
//! Integers wrap; integer / integer is a float; anything / 0 is 0; integer % 0 is 0, float % 0 is
//! missing. A number beside a float becomes a float; an integer beside an unsigned one is read as
//! unsigned. Booleans know `&`, `|`, `^`.

use super::{Typed, Vector, both_valid, floats};
use crate::model::Values;
use crate::shard::scan::request::Operator;

pub fn compute<'a>(op: Operator, left: &Vector<'_>, right: &Vector<'_>, rows: usize) -> Vector<'a> {
    let validity = both_valid(left, right, rows);
    match (left.typed(), right.typed()) {
        (Typed::Integer(a), Typed::Integer(b)) if op == Operator::Div => {
            let values = (0..rows).map(|row| divide(a.at(row) as f64, b.at(row) as f64));
            floats(values.collect(), validity)
        }
        (Typed::Integer(a), Typed::Integer(b)) => {
            let Some(apply) = on_integers(op) else { return Vector::missing() };
            let values = (0..rows).map(|row| apply(a.at(row), b.at(row))).collect();
            Vector::owned(Values::Integer(values), validity, false)
        }
        (Typed::Unsigned(a), Typed::Unsigned(b)) => {
            on_unsigned(op, rows, |row| (a.at(row), b.at(row)), validity)
        }
        (Typed::Unsigned(a), Typed::Integer(b)) => {
            on_unsigned(op, rows, |row| (a.at(row), b.at(row) as u64), validity)
        }
        (Typed::Integer(a), Typed::Unsigned(b)) => {
            on_unsigned(op, rows, |row| (a.at(row) as u64, b.at(row)), validity)
        }
        (Typed::Boolean(a), Typed::Boolean(b)) => {
            let apply: fn(bool, bool) -> bool = match op {
                Operator::BitAnd => |a, b| a && b,
                Operator::BitOr => |a, b| a || b,
                Operator::BitXor => |a, b| a != b,
                _ => return Vector::missing(),
            };
            let values = (0..rows).map(|row| apply(a.at(row), b.at(row))).collect();
            Vector::owned(Values::Boolean(values), validity, false)
        }
        // A boolean combines with nothing but a boolean; everything else counts as a failure.
        (Typed::Boolean(_), _)
            if matches!(op, Operator::BitAnd | Operator::BitOr | Operator::BitXor) =>
        {
            Vector::owned(Values::Boolean(vec![false; rows]), validity, false)
        }
        (a, b) if a.is_number() && b.is_number() => {
            let apply: fn(f64, f64) -> f64 = match op {
                Operator::Add => |a, b| a + b,
                Operator::Sub => |a, b| a - b,
                Operator::Mul => |a, b| a * b,
                Operator::Div => divide,
                Operator::Mod => |a, b| a % b,
                _ => return Vector::missing(),
            };
            let side = |typed: &Typed<'_>, row| typed.float(row).unwrap_or(f64::NAN);
            let values = (0..rows).map(|row| apply(side(&a, row), side(&b, row))).collect();
            floats(values, validity)
        }
        _ => Vector::missing(),
    }
}

fn divide(left: f64, right: f64) -> f64 {
    if right == 0.0 { 0.0 } else { left / right }
}

fn on_integers(op: Operator) -> Option<fn(i64, i64) -> i64> {
    Some(match op {
        Operator::Add => i64::wrapping_add,
        Operator::Sub => i64::wrapping_sub,
        Operator::Mul => i64::wrapping_mul,
        Operator::Mod => |a, b| if b == 0 { 0 } else { a.wrapping_rem(b) },
        Operator::BitAnd => |a, b| a & b,
        Operator::BitOr => |a, b| a | b,
        Operator::BitXor => |a, b| a ^ b,
        _ => return None,
    })
}

fn on_unsigned<'a>(
    op: Operator,
    rows: usize,
    sides: impl Fn(usize) -> (u64, u64),
    validity: Option<crate::model::Bitmap>,
) -> Vector<'a> {
    let apply: fn(u64, u64) -> u64 = match op {
        Operator::Add => u64::wrapping_add,
        Operator::Sub => u64::wrapping_sub,
        Operator::Mul => u64::wrapping_mul,
        Operator::Div => |a, b| a.checked_div(b).unwrap_or(0),
        Operator::Mod => |a, b| a.checked_rem(b).unwrap_or(0),
        Operator::BitAnd => |a, b| a & b,
        Operator::BitOr => |a, b| a | b,
        Operator::BitXor => |a, b| a ^ b,
        _ => return Vector::missing(),
    };
    let values = (0..rows).map(sides).map(|(a, b)| apply(a, b)).collect();
    Vector::owned(Values::Unsigned(values), validity, false)
}
