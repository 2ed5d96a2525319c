//! Functions of two points that follow each other: derivative, difference, elapsed.
//!
//! In: points with values in output order. Out: one point for each pair, at the time of the second.
//! Of points with equal times only the first counts, except for `elapsed`.

use super::timed;
use crate::model::Value;
use crate::query::select::fill::Timed;

/// Change per unit. Backwards in time the passed time counts as positive.
pub fn derivative(
    values: impl Iterator<Item = (i64, Value)>,
    unit_ns: i64,
    non_negative: bool,
    descending: bool,
) -> Vec<Timed> {
    steps(values, |(earlier, before), (at, after)| {
        let change = change(before, after)?;
        let passed = at.wrapping_sub(*earlier);
        let passed = if descending { passed.wrapping_neg() } else { passed };
        let rate = change / (passed as f64 / unit_ns as f64);
        // What is not a number is not negative.
        (!(non_negative && change < 0.0)).then_some(Value::Float(rate))
    })
}

/// Change from point to point, in the type of the points.
pub fn differences(values: impl Iterator<Item = (i64, Value)>, non_negative: bool) -> Vec<Timed> {
    steps(values, |(_, before), (_, after)| {
        let found = difference(before, after)?;
        let negative = match &found {
            Value::Float(found) => *found < 0.0,
            Value::Integer(found) => *found < 0,
            _ => change(before, after)? < 0.0,
        };
        (!(non_negative && negative)).then_some(found)
    })
}

/// Units from point to point, cut to whole ones; points of equal times are 0 apart.
pub fn elapsed(values: impl Iterator<Item = (i64, Value)>, unit_ns: i64) -> Vec<Timed> {
    let mut before: Option<i64> = None;
    let mut out = Vec::new();
    for (at, _) in values {
        let passed = before.map(|earlier| at.wrapping_sub(earlier).wrapping_div(unit_ns.max(1)));
        out.extend(passed.map(|passed| timed(at, Value::Integer(passed))));
        before = Some(at);
    }
    out
}

/// A point with its time.
type Pair = (i64, Value);

fn steps(
    values: impl Iterator<Item = Pair>,
    of: impl Fn(&Pair, &Pair) -> Option<Value>,
) -> Vec<Timed> {
    let mut before: Option<Pair> = None;
    let mut out = Vec::new();
    for point in values {
        if let Some(known) = &before {
            if known.0 == point.0 {
                continue;
            }
            out.extend(of(known, &point).map(|value| timed(point.0, value)));
        }
        before = Some(point);
    }
    out
}

/// The difference as float; integers wrap.
fn change(before: &Value, after: &Value) -> Option<f64> {
    Some(match (before, after) {
        (Value::Float(before), Value::Float(after)) => after - before,
        (Value::Integer(before), Value::Integer(after)) => after.wrapping_sub(*before) as f64,
        (Value::Unsigned(before), Value::Unsigned(after)) if after >= before => {
            (after - before) as f64
        }
        (Value::Unsigned(before), Value::Unsigned(after)) => -((before - after) as f64),
        _ => return None,
    })
}

/// The difference of two numbers of one type; integers wrap.
pub fn difference(before: &Value, after: &Value) -> Option<Value> {
    Some(match (before, after) {
        (Value::Float(before), Value::Float(after)) => Value::Float(after - before),
        (Value::Integer(before), Value::Integer(after)) => {
            Value::Integer(after.wrapping_sub(*before))
        }
        (Value::Unsigned(before), Value::Unsigned(after)) => {
            Value::Unsigned(after.wrapping_sub(*before))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Value::{Float as F, Integer as I};

    fn points(points: &[(i64, i64)]) -> impl Iterator<Item = Pair> {
        points.iter().map(|(at, value)| (*at, I(*value)))
    }

    fn shown(found: Vec<Timed>) -> Vec<(i64, Value)> {
        found.into_iter().map(|(at, point)| (at, point.value.unwrap())).collect()
    }

    #[test]
    fn pairs_of_points() {
        let three = [(0, 10), (2, 30), (2, 99), (4, 20)];
        let derivative = |list: &[(i64, i64)], non_negative, descending| {
            shown(super::derivative(points(list), 1, non_negative, descending))
        };
        assert_eq!(derivative(&three, false, false), [(2, F(10.0)), (4, F(-5.0))]);
        assert_eq!(derivative(&three, true, false), [(2, F(10.0))]);
        let back = [(4, 20), (2, 30), (0, 10)];
        assert_eq!(derivative(&back, false, true), [(2, F(5.0)), (0, F(-10.0))]);
        assert_eq!(shown(differences(points(&three), true)), [(2, I(20))]);
        assert_eq!(shown(elapsed(points(&three), 2)), [(2, I(1)), (2, I(0)), (4, I(1))]);
        let wrapped = [(0, i64::MIN), (1, i64::MAX)];
        assert_eq!(shown(differences(points(&wrapped), false)), [(1, I(-1))]);
        assert!(differences(points(&wrapped), true).is_empty());
    }

    #[test]
    fn unsigned_numbers_fall_without_wrapping() {
        let list = || [(0, Value::Unsigned(5)), (1, Value::Unsigned(2))].into_iter();
        assert_eq!(shown(derivative(list(), 1, false, false)), [(1, F(-3.0))]);
        assert!(differences(list(), true).is_empty());
    }
}
