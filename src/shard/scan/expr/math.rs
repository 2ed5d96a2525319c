//! Mathematical functions of one row.
//!
//! `abs`, `ceil`, `floor` and `round` leave integers integers; all others give floats. A result
//! that is not a number is missing; so is the function of a string or a boolean.

use super::elementary as function_of;
use super::{Typed, Vector, both_valid, floats};
use crate::model::Values;
use crate::shard::scan::request::MathFunction;

pub fn call<'a>(function: MathFunction, arguments: &[Vector<'_>], rows: usize) -> Vector<'a> {
    match arguments {
        [one] => unary(function, one, rows),
        [left, right] => binary(function, left, right, rows),
        _ => Vector::missing(),
    }
}

fn unary<'a>(function: MathFunction, argument: &Vector<'_>, rows: usize) -> Vector<'a> {
    use MathFunction as F;
    let validity = both_valid(argument, argument, rows);
    let typed = argument.typed();
    let whole = matches!(function, F::Abs | F::Ceil | F::Floor | F::Round);
    match typed {
        Typed::Integer(side) if whole => {
            let of = |value: i64| if function == F::Abs { value.wrapping_abs() } else { value };
            let values = (0..rows).map(|row| of(side.at(row))).collect();
            return Vector::owned(Values::Integer(values), validity, false);
        }
        Typed::Unsigned(side) if whole => {
            let values = (0..rows).map(|row| side.at(row)).collect();
            return Vector::owned(Values::Unsigned(values), validity, false);
        }
        _ if !typed.is_number() => return Vector::missing(),
        _ => {}
    }
    let apply: fn(f64) -> f64 = match function {
        F::Abs => f64::abs,
        F::Ceil => f64::ceil,
        F::Floor => f64::floor,
        F::Round => f64::round,
        F::Sin => function_of::sin,
        F::Cos => function_of::cos,
        F::Tan => function_of::tan,
        F::Asin => function_of::asin,
        F::Acos => function_of::acos,
        F::Atan => function_of::atan,
        F::Exp => function_of::exp,
        F::Ln => function_of::ln,
        F::Log2 => function_of::log2,
        F::Log10 => function_of::log10,
        F::Sqrt => f64::sqrt,
        F::Atan2 | F::Log | F::Pow => return Vector::missing(),
    };
    let of = |row| typed.float(row).map_or(f64::NAN, apply);
    floats((0..rows).map(of).collect(), validity)
}

fn binary<'a>(
    function: MathFunction,
    left: &Vector<'_>,
    right: &Vector<'_>,
    rows: usize,
) -> Vector<'a> {
    let apply: fn(f64, f64) -> f64 = match function {
        MathFunction::Atan2 => function_of::atan2,
        MathFunction::Pow => function_of::pow,
        MathFunction::Log => |value, base| function_of::ln(value) / function_of::ln(base),
        _ => return Vector::missing(),
    };
    let (a, b) = (left.typed(), right.typed());
    if !a.is_number() || !b.is_number() {
        return Vector::missing();
    }
    let side = |typed: &Typed<'_>, row| typed.float(row).unwrap_or(f64::NAN);
    let values = (0..rows).map(|row| apply(side(&a, row), side(&b, row))).collect();
    floats(values, both_valid(left, right, rows))
}
