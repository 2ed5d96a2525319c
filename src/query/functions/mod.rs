//! Functions over a stream of points: each result comes from a point and those before it.
//!
//! In: the points of one series in output order. Out: points, mostly at the time of the later one.
//! Where the stream comes from (raw points, buckets of another function, a subquery) does not
//! matter here. Points without a value are passed over. Rules of InfluxDB, also for the direction
//! of ORDER BY time DESC.

mod holt_winters;
mod integral;
mod nelder_mead;
mod pairs;
mod running;
mod technical;

pub use holt_winters::HoltWinters;
pub use technical::{Method, Technical, WarmUp};

use super::QueryError;
use super::aggregate::Point;
use super::plan::Timing;
use super::select::fill::Timed;
use super::source::is_number;
use crate::model::{FieldType, Value};

/// A function over a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transform {
    Derivative { unit_ns: i64, non_negative: bool },
    Difference { non_negative: bool },
    Elapsed { unit_ns: i64 },
    MovingAverage { window: usize },
    CumulativeSum,
    Integral { unit_ns: i64 },
    Technical(Technical),
    HoltWinters(HoltWinters),
}

/// What holds for a whole stream.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    pub timing: &'a Timing,
    pub descending: bool,
    /// Bytes that a function may take.
    pub memory_bytes: usize,
}

impl Transform {
    /// Whether it reads one bucket before the range.
    pub fn looks_back(self) -> bool {
        !matches!(
            self,
            Transform::CumulativeSum | Transform::Integral { .. } | Transform::HoltWinters(_)
        )
    }

    /// The type of its results.
    pub fn result(self, input: FieldType) -> FieldType {
        match self {
            Transform::Derivative { .. }
            | Transform::MovingAverage { .. }
            | Transform::Integral { .. }
            | Transform::Technical(_)
            | Transform::HoltWinters(_) => FieldType::Float,
            Transform::Elapsed { .. } => FieldType::Integer,
            Transform::Difference { .. } | Transform::CumulativeSum => input,
        }
    }

    /// Whether the type of its results does not depend on its input.
    pub fn has_type(self) -> bool {
        !matches!(self, Transform::Difference { .. } | Transform::CumulativeSum)
    }

    /// Whether it takes values of a type.
    pub fn takes(self, input: FieldType) -> bool {
        match self {
            Transform::Elapsed { .. } => true,
            Transform::HoltWinters(_) => {
                matches!(input, FieldType::Float | FieldType::Integer)
            }
            _ => is_number(input),
        }
    }

    /// Applies it to points in output order. Long work has pauses for other tasks.
    ///
    /// # Errors
    /// When it would take too much memory.
    pub async fn apply(
        self,
        points: Vec<Timed>,
        stream: Stream<'_>,
    ) -> Result<Vec<Timed>, QueryError> {
        if let Transform::HoltWinters(model) = self {
            return model.apply(&numbers(points), stream.memory_bytes).await;
        }
        let values = points.into_iter().filter_map(|(at, point)| Some((at, point.value?)));
        Ok(match self {
            Transform::MovingAverage { window } => running::moving_average(values, window),
            Transform::CumulativeSum => running::cumulative_sum(values),
            Transform::Derivative { unit_ns, non_negative } => {
                pairs::derivative(values, unit_ns, non_negative, stream.descending)
            }
            Transform::Difference { non_negative } => pairs::differences(values, non_negative),
            Transform::Elapsed { unit_ns } => pairs::elapsed(values, unit_ns),
            Transform::Integral { unit_ns } => integral::integral(values, unit_ns, stream),
            Transform::Technical(call) => {
                call.apply(values.filter_map(|(at, value)| Some((at, number(&value)?))))
            }
            Transform::HoltWinters(_) => Vec::new(),
        })
    }
}

fn numbers(points: Vec<Timed>) -> Vec<(i64, f64)> {
    let of = |(at, point): Timed| Some((at, number(&point.value?)?));
    points.into_iter().filter_map(of).collect()
}

/// A number as float.
pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(value) => Some(*value),
        Value::Integer(value) => Some(*value as f64),
        Value::Unsigned(value) => Some(*value as f64),
        Value::String(_) | Value::Boolean(_) => None,
    }
}

/// A point of a result; what is not a number is null.
fn timed(at: i64, value: Value) -> Timed {
    (at, Point::of(value))
}
