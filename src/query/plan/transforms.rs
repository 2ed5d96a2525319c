//! Functions over a stream of points: each point with the ones before it.
//!
//! In: the points of one call in output order, those without a value left out. Out: points at the
//! time of the later one. Rules of InfluxDB, also for the direction of ORDER BY time DESC.

use super::super::QueryError;
use super::super::aggregate::Point;
use super::super::aggregate::finish::number;
use super::super::select::fill::Timed;
use crate::influxql::ast::Expr as Ast;
use crate::model::{FieldType, Value};

const SECOND_NS: i64 = 1_000_000_000;

/// A function over a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transform {
    Derivative { unit_ns: i64, non_negative: bool },
    Difference { non_negative: bool },
    Elapsed { unit_ns: i64 },
    MovingAverage { window: usize },
    CumulativeSum,
}

impl Transform {
    /// The function of a name; `None` for other names. `width_ns`: buckets of what it is applied
    /// to.
    ///
    /// # Errors
    /// Arguments that validation lets through only for other functions.
    pub fn parse(name: &str, args: &[Ast], width_ns: i64) -> Result<Option<Transform>, QueryError> {
        let unit = |default: i64| match args.get(1) {
            Some(Ast::Duration(ns)) => (*ns).max(1),
            _ => default,
        };
        let derivative_unit = unit(if width_ns > 0 { width_ns } else { SECOND_NS });
        let derivative =
            |non_negative| Transform::Derivative { unit_ns: derivative_unit, non_negative };
        Ok(Some(match name {
            "derivative" => derivative(false),
            "non_negative_derivative" => derivative(true),
            "difference" => Transform::Difference { non_negative: false },
            "non_negative_difference" => Transform::Difference { non_negative: true },
            "elapsed" => Transform::Elapsed { unit_ns: unit(1) },
            "cumulative_sum" => Transform::CumulativeSum,
            "moving_average" => match args.get(1) {
                Some(Ast::Integer(window)) if *window > 1 => {
                    Transform::MovingAverage { window: usize::try_from(*window).unwrap_or(2) }
                }
                _ => {
                    let text = "moving_average window must be greater than 1";
                    return Err(QueryError::Refused(text.to_owned()));
                }
            },
            _ => return Ok(None),
        }))
    }

    /// Whether it reads one bucket before the range.
    pub fn looks_back(self) -> bool {
        self != Transform::CumulativeSum
    }

    /// The type of its results.
    pub fn result(self, input: FieldType) -> FieldType {
        match self {
            Transform::Derivative { .. } | Transform::MovingAverage { .. } => FieldType::Float,
            Transform::Elapsed { .. } => FieldType::Integer,
            Transform::Difference { .. } | Transform::CumulativeSum => input,
        }
    }

    /// Whether it takes values of a type.
    pub fn takes(self, input: FieldType) -> bool {
        matches!(self, Transform::Elapsed { .. }) || super::super::source::is_number(input)
    }

    /// Applies it to points in output order.
    pub fn apply(self, points: Vec<Timed>, descending: bool) -> Vec<Timed> {
        let values = points.into_iter().filter_map(|(at, point)| Some((at, point.value?)));
        match self {
            Transform::MovingAverage { window } => moving_average(values, window),
            Transform::CumulativeSum => cumulative_sum(values),
            _ => self.pairs(values, descending),
        }
    }

    fn pairs(self, values: impl Iterator<Item = (i64, Value)>, descending: bool) -> Vec<Timed> {
        let mut before: Option<(i64, Value)> = None;
        let mut out = Vec::new();
        for (at, value) in values {
            let Some((earlier, known)) = &before else {
                before = Some((at, value));
                continue;
            };
            let passed = at.wrapping_sub(*earlier);
            if let Transform::Elapsed { unit_ns } = self {
                out.push(timed(at, Value::Integer(passed / unit_ns)));
                before = Some((at, value));
                continue;
            }
            if passed == 0 {
                continue;
            }
            let found = match self {
                Transform::Derivative { unit_ns, non_negative } => {
                    let passed = if descending { passed.wrapping_neg() } else { passed };
                    rate(known, &value, passed as f64 / unit_ns as f64, non_negative)
                }
                Transform::Difference { non_negative } => difference(known, &value, non_negative),
                _ => None,
            };
            out.extend(found.map(|found| timed(at, found)));
            before = Some((at, value));
        }
        out
    }
}

fn timed(at: i64, value: Value) -> Timed {
    (at, Point { time: None, value: Some(value), aux: Vec::new() })
}

fn rate(before: &Value, after: &Value, units: f64, non_negative: bool) -> Option<Value> {
    let difference = match (before, after) {
        (Value::Float(before), Value::Float(after)) => after - before,
        (Value::Integer(before), Value::Integer(after)) => after.wrapping_sub(*before) as f64,
        (Value::Unsigned(before), Value::Unsigned(after)) if after >= before => {
            (after - before) as f64
        }
        (Value::Unsigned(before), Value::Unsigned(after)) => -((before - after) as f64),
        _ => return None,
    };
    let rate = difference / units;
    (!non_negative || rate >= 0.0).then_some(Value::Float(rate))
}

fn difference(before: &Value, after: &Value, non_negative: bool) -> Option<Value> {
    let (found, negative) = match (before, after) {
        (Value::Float(before), Value::Float(after)) => {
            (Value::Float(after - before), after < before)
        }
        (Value::Integer(before), Value::Integer(after)) => {
            (Value::Integer(after.wrapping_sub(*before)), after < before)
        }
        (Value::Unsigned(before), Value::Unsigned(after)) => {
            (Value::Unsigned(after.wrapping_sub(*before)), after < before)
        }
        _ => return None,
    };
    (!(non_negative && negative)).then_some(found)
}

fn moving_average(values: impl Iterator<Item = (i64, Value)>, window: usize) -> Vec<Timed> {
    let mut held: std::collections::VecDeque<Value> = std::collections::VecDeque::new();
    let mut sum: Option<Value> = None;
    let mut out = Vec::new();
    for (at, value) in values {
        sum = match (sum, held.len() == window) {
            (None, _) => Some(value.clone()),
            (Some(sum), full) => {
                let oldest = if full { held.pop_front() } else { None };
                let sum = oldest.map_or(Some(sum.clone()), |old| difference(&old, &sum, false));
                sum.and_then(|sum| add(&sum, &value))
            }
        };
        held.push_back(value);
        if held.len() == window {
            let mean = sum.as_ref().and_then(number).map(|sum| sum / window as f64);
            out.extend(mean.map(|mean| timed(at, Value::Float(mean))));
        }
    }
    out
}

fn cumulative_sum(values: impl Iterator<Item = (i64, Value)>) -> Vec<Timed> {
    let mut sum: Option<Value> = None;
    let mut out = Vec::new();
    for (at, value) in values {
        sum = match &sum {
            None => Some(value),
            Some(sum) => add(sum, &value),
        };
        out.extend(sum.clone().map(|sum| timed(at, sum)));
    }
    out
}

fn add(a: &Value, b: &Value) -> Option<Value> {
    Some(match (a, b) {
        (Value::Float(a), Value::Float(b)) => Value::Float(a + b),
        (Value::Integer(a), Value::Integer(b)) => Value::Integer(a.wrapping_add(*b)),
        (Value::Unsigned(a), Value::Unsigned(b)) => Value::Unsigned(a.wrapping_add(*b)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(transform: Transform, points: &[(i64, i64)], descending: bool) -> Vec<(i64, Value)> {
        let points = points.iter().map(|(at, value)| timed(*at, Value::Integer(*value))).collect();
        let out = transform.apply(points, descending);
        out.into_iter().map(|(at, point)| (at, point.value.unwrap())).collect()
    }

    #[test]
    fn pairs_of_points() {
        use Value::{Float as F, Integer as I};
        let points = [(0, 10), (2, 30), (2, 99), (4, 20)];
        let derivative = |non_negative| Transform::Derivative { unit_ns: 1, non_negative };
        assert_eq!(run(derivative(false), &points, false), [(2, F(10.0)), (4, F(-5.0))]);
        assert_eq!(run(derivative(true), &points, false), [(2, F(10.0))]);
        let back = [(4, 20), (2, 30), (0, 10)];
        assert_eq!(run(derivative(false), &back, true), [(2, F(5.0)), (0, F(-10.0))]);
        let difference = Transform::Difference { non_negative: true };
        assert_eq!(run(difference, &points, false), [(2, I(20))]);
        let elapsed = Transform::Elapsed { unit_ns: 2 };
        assert_eq!(run(elapsed, &points, false), [(2, I(1)), (2, I(0)), (4, I(1))]);
    }

    #[test]
    fn running_sums() {
        use Value::{Float as F, Integer as I};
        let points = [(0, 1), (1, 2), (2, 6)];
        let average = Transform::MovingAverage { window: 2 };
        assert_eq!(run(average, &points, false), [(1, F(1.5)), (2, F(4.0))]);
        assert_eq!(
            run(Transform::CumulativeSum, &points, false),
            [(0, I(1)), (1, I(3)), (2, I(9))]
        );
    }
}
