//! fill(): what stands in the buckets of a call that have no point.
//!
//! In: the points of one call and one series, in output order, and all buckets of the range. Out: a
//! point for each bucket. A series without a point is not filled.

use super::super::aggregate::Point;
use super::super::plan::calls::{Call, Kind};
use crate::influxql::ast::Fill;
use crate::model::{FieldType, Value};

/// A point at its time.
pub type Timed = (i64, Point);

/// The buckets to be filled.
#[derive(Clone, Copy)]
pub struct Gaps<'a> {
    /// Their starts in output order.
    pub times: &'a [i64],
    pub width_ns: i64,
    /// Columns beside a selector.
    pub aux: usize,
}

/// Fills the gaps of `points`.
pub fn fill(call: &Call, fill: Fill, points: Vec<Timed>, gaps: Gaps<'_>) -> Vec<Timed> {
    let distinct = matches!(call.kind, Kind::Distinct | Kind::DistinctLatest);
    if points.is_empty() || fill == Fill::None || distinct {
        return points;
    }
    fill_gaps(call, fill, points, gaps)
}

/// The same for a part of a series, in which there may be no point.
pub fn fill_gaps(call: &Call, fill: Fill, points: Vec<Timed>, all: Gaps<'_>) -> Vec<Timed> {
    let Gaps { times, width_ns, aux } = all;
    let mut out: Vec<Timed> = Vec::with_capacity(times.len());
    let mut points = points.into_iter().peekable();
    let mut gaps = Vec::with_capacity(times.len());
    for at in times {
        let point = points.next_if(|(time, _)| time == at);
        gaps.push(point.is_none());
        match point {
            Some(point) => out.push(point),
            None => {
                let before = out.last().map(|(_, point)| point);
                out.push((*at, empty(call, fill, before, aux)));
            }
        }
    }
    if fill == Fill::Linear {
        lines(call, &mut out, &gaps, width_ns);
    }
    out
}

fn empty(call: &Call, fill: Fill, before: Option<&Point>, aux: usize) -> Point {
    let counts = matches!(call.kind, Kind::Count | Kind::CountDistinct);
    let same = |value: Option<Value>, beside: Option<Value>| Point {
        time: None,
        value,
        aux: vec![beside; aux],
    };
    match fill {
        Fill::Null if counts => same(Some(Value::Integer(0)), None),
        Fill::Previous => before.cloned().unwrap_or_else(|| same(None, None)),
        Fill::Integer(n) => same(Some(number(call.finished, n as f64, n)), Some(Value::Integer(n))),
        Fill::Float(n) => same(Some(number(call.finished, n, n as i64)), Some(Value::Float(n))),
        Fill::Null | Fill::None | Fill::Linear => same(None, None),
    }
}

/// The number of fill() as a value of the call's type.
fn number(kind: FieldType, float: f64, integer: i64) -> Value {
    match kind {
        FieldType::Float => Value::Float(float),
        FieldType::Integer => Value::Integer(integer),
        FieldType::Unsigned => Value::Unsigned(integer as u64),
        FieldType::String => Value::String(Box::default()),
        FieldType::Boolean => Value::Boolean(false),
    }
}

/// Straight lines over `gaps` between neighbours that have a number. A point without one (the
/// deviation of a single value) is no gap.
///
/// Along a line the reference counts in whole intervals, which shows in the last digit.
fn lines(call: &Call, points: &mut [Timed], gaps: &[bool], width_ns: i64) {
    if !super::super::source::is_number(call.finished) {
        return;
    }
    let known = |(time, point): &Timed| Some((*time, point.value.clone()?));
    let mut left: Option<(i64, Value)> = None;
    let mut gap = 0;
    for at in 0..points.len() {
        if gaps.get(at) == Some(&true) {
            gap += 1;
            continue;
        }
        let Some(right) = points.get(at).and_then(known) else {
            (left, gap) = (None, 0);
            continue;
        };
        if let (Some(left), true) = (&left, gap > 0) {
            for (time, point) in points.get_mut(at - gap..at).unwrap_or_default() {
                point.value = between(left, &right, *time, width_ns.max(1));
            }
        }
        left = Some(right);
        gap = 0;
    }
}

fn between(left: &(i64, Value), right: &(i64, Value), at: i64, width_ns: i64) -> Option<Value> {
    let place = |at: i64| at / width_ns;
    let steps = (place(right.0) - place(left.0)) as f64;
    let into = (place(at) - place(left.0)) as f64;
    Some(match (&left.1, &right.1) {
        (Value::Float(a), Value::Float(b)) => Value::Float((b - a) / steps * into + a),
        (Value::Integer(a), Value::Integer(b)) => {
            Value::Integer((b.wrapping_sub(*a) as f64 / steps * into + *a as f64) as i64)
        }
        (Value::Unsigned(a), Value::Unsigned(b)) => {
            Value::Unsigned(((*b as f64 - *a as f64) / steps * into + *a as f64) as u64)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(
        result: FieldType,
        kind: Kind,
        how: Fill,
        points: &[(i64, Value)],
    ) -> Vec<Option<Value>> {
        let call = Call { finished: result, ..Call::new(kind, Some(0), result) };
        let point = |(at, value): &(i64, Value)| {
            (*at, Point { time: None, value: Some(value.clone()), aux: Vec::new() })
        };
        let points = points.iter().map(point).collect();
        let gaps = Gaps { times: &[0, 20, 40, 60, 80], width_ns: 20, aux: 0 };
        let out = fill(&call, how, points, gaps);
        out.into_iter().map(|(_, point)| point.value).collect()
    }

    #[test]
    fn means_of_the_golden_data() {
        use Value::Float as F;
        let means = [(0, F(1.5)), (20, F(3.0)), (60, F(4.5)), (80, F(6.0))];
        let of = |how| filled(FieldType::Float, Kind::Mean, how, &means)[2].clone();
        assert_eq!(of(Fill::Null), None);
        assert_eq!(of(Fill::Linear), Some(F(3.75)));
        assert_eq!(of(Fill::Previous), Some(F(3.0)));
        assert_eq!(of(Fill::Integer(7)), Some(F(7.0)));
        assert_eq!(filled(FieldType::Float, Kind::Mean, Fill::None, &means).len(), 4);
    }

    #[test]
    fn integers_are_cut_and_ends_stay_empty() {
        let sums = [(0, Value::Integer(30)), (60, Value::Integer(90))];
        let linear = filled(FieldType::Integer, Kind::Sum, Fill::Linear, &sums);
        let expected = [Some(30), Some(50), Some(70), Some(90), None];
        assert_eq!(linear, expected.map(|value| value.map(Value::Integer)));
        let float = filled(FieldType::Integer, Kind::Sum, Fill::Float(7.9), &sums);
        assert_eq!(float[1], Some(Value::Integer(7)));
    }

    #[test]
    fn counts_are_zero_and_missing_series_stay_missing() {
        let counts = [(20, Value::Integer(2))];
        let out = filled(FieldType::Integer, Kind::Count, Fill::Null, &counts);
        assert_eq!(out[0], Some(Value::Integer(0)));
        assert!(filled(FieldType::Integer, Kind::Count, Fill::Null, &[]).is_empty());
    }
}
