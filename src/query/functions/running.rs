//! Functions that carry a sum along: moving_average, cumulative_sum.
//!
//! In: numbers in output order. Out: a point for each, `moving_average` from the first full window
//! on.

use super::pairs::difference;
use super::{number, timed};
use crate::model::Value;
use crate::query::select::fill::Timed;
use std::collections::VecDeque;

/// Mean of each `window` points that follow each other.
pub fn moving_average(values: impl Iterator<Item = (i64, Value)>, window: usize) -> Vec<Timed> {
    let mut held: VecDeque<Value> = VecDeque::new();
    let mut sum: Option<Value> = None;
    let mut out = Vec::new();
    for (at, value) in values {
        if held.len() == window {
            let oldest = held.pop_front();
            sum = oldest.zip(sum).and_then(|(oldest, sum)| difference(&oldest, &sum));
        }
        sum = sum.map_or(Some(value.clone()), |sum| add(&sum, &value));
        held.push_back(value);
        if held.len() == window {
            let mean = sum.as_ref().and_then(number).map(|sum| sum / window as f64);
            out.extend(mean.map(|mean| timed(at, Value::Float(mean))));
        }
    }
    out
}

/// Sum of all points so far, in their type.
pub fn cumulative_sum(values: impl Iterator<Item = (i64, Value)>) -> Vec<Timed> {
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

/// The sum of two numbers of one type; integers wrap.
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
    use Value::{Float as F, Integer as I};

    #[test]
    fn sums_go_along() {
        let points = || [(0, I(1)), (1, I(2)), (2, I(6))].into_iter();
        let shown = |found: Vec<Timed>| -> Vec<(i64, Value)> {
            found.into_iter().map(|(at, point)| (at, point.value.unwrap())).collect()
        };
        assert_eq!(shown(moving_average(points(), 2)), [(1, F(1.5)), (2, F(4.0))]);
        assert!(moving_average(points(), 4).is_empty());
        assert_eq!(shown(cumulative_sum(points())), [(0, I(1)), (1, I(3)), (2, I(9))]);
    }
}
