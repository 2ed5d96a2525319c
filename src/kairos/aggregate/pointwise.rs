//! Aggregators that look at one point at a time: `scale`, `div`, `filter`, `score`.
//!
//! In: points. Out: a point for each, or none.

use super::{Operator, Work, number};
use crate::kairos::Failure;
use crate::kairos::point::{Datum, Point};
use crate::kairos::request::{Boundary, Comparison, Threshold};
use std::cmp::Ordering;

/// Times a factor.
pub struct Scale(pub f64);

/// Divided by a number.
pub struct Div(pub f64);

/// The number of thresholds passed, or not passed.
pub struct Score {
    pub thresholds: Vec<(f64, Boundary)>,
    pub descending: bool,
}

/// Without the points for which a comparison holds, or cannot be made.
pub struct Filter {
    pub comparison: Comparison,
    pub threshold: Threshold,
}

/// A double for each number.
fn map(
    points: &mut Vec<Point>,
    out: &mut Vec<Point>,
    change: impl Fn(f64) -> f64,
) -> Result<(), Failure> {
    for point in points.drain(..) {
        out.push(Point::double(point.time, change(number(&point)?)));
    }
    Ok(())
}

impl Operator for Scale {
    fn take(
        &mut self,
        points: &mut Vec<Point>,
        out: &mut Vec<Point>,
        _work: &Work,
    ) -> Result<(), Failure> {
        map(points, out, |value| value * self.0)
    }
}

impl Operator for Div {
    fn take(
        &mut self,
        points: &mut Vec<Point>,
        out: &mut Vec<Point>,
        _work: &Work,
    ) -> Result<(), Failure> {
        map(points, out, |value| value / self.0)
    }
}

impl Operator for Score {
    fn take(
        &mut self,
        points: &mut Vec<Point>,
        out: &mut Vec<Point>,
        _work: &Work,
    ) -> Result<(), Failure> {
        let passed = |value: f64| {
            let passes = |(threshold, boundary): &&(f64, Boundary)| match boundary {
                Boundary::Superior => value > *threshold,
                Boundary::Inferior => value >= *threshold,
            };
            let passed = self.thresholds.iter().filter(passes).count();
            let all = self.thresholds.len();
            (if self.descending { all - passed } else { passed }) as f64
        };
        map(points, out, passed)
    }
}

impl Operator for Filter {
    fn take(
        &mut self,
        points: &mut Vec<Point>,
        out: &mut Vec<Point>,
        _work: &Work,
    ) -> Result<(), Failure> {
        out.extend(points.drain(..).filter(|point| self.keeps(&point.value)));
        Ok(())
    }
}

impl Filter {
    fn keeps(&self, value: &Datum) -> bool {
        let Threshold { number, text } = &self.threshold;
        let order = match (value, number, text) {
            (Datum::Text(value), _, Some(text)) => Some(by_code_unit(value, text)),
            (Datum::Long(_) | Datum::Double(_), Some(number), _) => {
                value.number().and_then(|value| value.partial_cmp(number))
            }
            _ => None,
        };
        let Some(order) = order else { return false };
        let dropped = match self.comparison {
            Comparison::Lte => order.is_le(),
            Comparison::Lt => order.is_lt(),
            Comparison::Gte => order.is_ge(),
            Comparison::Gt => order.is_gt(),
            Comparison::Equal => order.is_eq(),
            Comparison::Ne => order.is_ne(),
        };
        !dropped
    }
}

/// The order of texts by the units of UTF-16, as Java has it.
fn by_code_unit(left: &[u8], right: &str) -> Ordering {
    String::from_utf8_lossy(left).encode_utf16().cmp(right.encode_utf16())
}
