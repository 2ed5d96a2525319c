//! From a merged state to the results of a bucket.
//!
//! In: the states of one call and a bucket's place. Out: points: none without data, one for most
//! functions, several for distinct().

use super::few::handed_on;
use super::places::places;
use crate::model::Value;
use crate::query::functions::number;
use crate::query::plan::calls::Kind;
use crate::shard::scan::{Picked, Samples, States};
use std::cmp::Ordering;

/// A result: a value (`None`: null) with the chosen point's time and the columns beside it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Point {
    /// Only of selectors.
    pub time: Option<i64>,
    pub value: Option<Value>,
    pub aux: Vec<Option<Value>>,
}

impl Point {
    /// A result without a time; what is not a number is null.
    pub fn of(value: Value) -> Point {
        let value = match value {
            Value::Float(number) if number.is_nan() => None,
            value => Some(value),
        };
        Point { time: None, value, aux: Vec::new() }
    }
}

/// The results of bucket `at` (counted from the state's first); `descending`: whether results go
/// backwards in time.
pub fn finish(kind: Kind, states: &mut States, at: usize, descending: bool) -> Vec<Point> {
    let single = match states {
        States::Count(counts) => counted(counts, at).map(|n| Value::Integer(n as i64)),
        States::SumInteger { sum, count } => {
            counted(count, at).and_then(|n| Some((n, *sum.get(at)?))).map(|(n, sum)| match kind {
                Kind::Mean => Value::Float(handed_on(sum as f64 / n as f64, n)),
                _ => Value::Integer(sum),
            })
        }
        States::SumUnsigned { sum, count } => {
            counted(count, at).and_then(|n| Some((n, *sum.get(at)?))).map(|(n, sum)| match kind {
                Kind::Mean => Value::Float(handed_on(sum as f64 / n as f64, n)),
                _ => Value::Unsigned(sum),
            })
        }
        States::SumFloat { high, low, count } => counted(count, at)
            .and_then(|n| Some((n, high.get(at)? + low.get(at)?)))
            .map(|(n, sum)| {
                let mean = kind == Kind::Mean;
                Value::Float(if mean { handed_on(sum / n as f64, n) } else { sum })
            }),
        States::Spread(pairs) => pairs.get(at).and_then(|pair| spread(pair.as_ref()?)),
        States::Moments { count, squares, .. } => {
            // The deviation of one value is not a number, which functions around it see as such.
            let of = |(n, squares): (u64, f64)| (squares / (n - 1) as f64).sqrt();
            let found = counted(count, at).and_then(|n| Some((n, *squares.get(at)?)));
            let found = found.map(|pair| if pair.0 == 1 { f64::NAN } else { of(pair) });
            let point = |value| Point { value: Some(Value::Float(value)), ..Point::default() };
            return found.map(point).into_iter().collect();
        }
        States::Picked(points) => {
            let point = points.get_mut(at).and_then(Option::take);
            return point.map(chosen).into_iter().collect();
        }
        States::Samples(samples) => {
            let samples = samples.get_mut(at).map(std::mem::take).unwrap_or_default();
            return of_samples(kind, samples, descending);
        }
        States::Kept(all) => {
            let mut points = all.get_mut(at).map(std::mem::take).unwrap_or_default().points;
            points.sort_by_key(|ranked| ranked.point.time);
            return points.into_iter().map(|ranked| chosen(ranked.point)).collect();
        }
    };
    single.map(Point::of).into_iter().collect()
}

/// Order of two values of one type; floats by number, texts by bytes, false before true.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Unsigned(a), Value::Unsigned(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        _ => (a.kind() as u8).cmp(&(b.kind() as u8)),
    }
}

/// The count of a bucket that has one.
fn counted(counts: &[u64], at: usize) -> Option<u64> {
    counts.get(at).copied().filter(|count| *count > 0)
}

fn chosen(picked: Picked) -> Point {
    let Picked { time, value, aux } = picked;
    Point { time: Some(time), aux, ..Point::of(value) }
}

fn spread((low, high): &(Value, Value)) -> Option<Value> {
    Some(match (low, high) {
        (Value::Float(low), Value::Float(high)) => Value::Float(high - low),
        (Value::Integer(low), Value::Integer(high)) => Value::Integer(high.wrapping_sub(*low)),
        (Value::Unsigned(low), Value::Unsigned(high)) => Value::Unsigned(high.wrapping_sub(*low)),
        _ => return None,
    })
}

fn of_samples(kind: Kind, samples: Samples, descending: bool) -> Vec<Point> {
    if samples.values.is_empty() {
        return Vec::new();
    }
    match kind {
        Kind::CountDistinct => vec![Point::of(Value::Integer(samples.values.len() as i64))],
        Kind::Distinct => distinct(samples),
        Kind::DistinctLatest => distinct(latest(samples)),
        Kind::Stream => {
            let pairs = samples.times.into_iter().zip(samples.values);
            pairs.map(|(at, value)| Point { time: Some(at), ..Point::of(value) }).collect()
        }
        Kind::Percentile(rank) => percentile(rank, samples, descending).into_iter().collect(),
        Kind::Median => median(samples.values).map(Point::of).into_iter().collect(),
        Kind::Mode => mode(&samples, descending).map(Point::of).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// By the time of first appearance, then by value.
fn distinct(samples: Samples) -> Vec<Point> {
    let mut pairs: Vec<(i64, Value)> = samples.times.into_iter().zip(samples.values).collect();
    pairs.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| compare(&a.1, &b.1)));
    pairs.into_iter().map(|(_, value)| Point::of(value)).collect()
}

/// Each value once, with its latest time.
fn latest(samples: Samples) -> Samples {
    let mut pairs: Vec<(i64, Value)> = samples.times.into_iter().zip(samples.values).collect();
    pairs.sort_by(|a, b| compare(&a.1, &b.1).then(b.0.cmp(&a.0)));
    pairs.dedup_by(|a, b| compare(&a.1, &b.1).is_eq());
    let (times, values) = pairs.into_iter().unzip();
    Samples { times, values, ..Samples::default() }
}

/// Nearest rank: the point at floor(n * rank / 100 + 0.5) - 1 in order of values.
fn percentile(rank: f64, samples: Samples, descending: bool) -> Option<Point> {
    let count = samples.values.len();
    let place = (count as f64 * rank / 100.0 + 0.5).floor() - 1.0;
    if !(place >= 0.0 && place < count as f64) {
        return None;
    }
    let order = by_value(&samples, descending);
    let value = |at: usize| samples.values.get(at);
    let at = *order.get(place as usize)?;
    let width = samples.aux.len() / count;
    let aux = samples.aux.get(at * width..(at + 1) * width).unwrap_or_default().to_vec();
    let time = samples.times.get(at).copied();
    Some(Point { time, aux, ..Point::of(value(at)?.clone()) })
}

/// Places of the samples by value, equal ones as the reference's sort leaves them in a list in
/// output order. Samples without series are in the order in which the reference meets them.
fn by_value(samples: &Samples, descending: bool) -> Vec<usize> {
    let (time, value) = (|at: &usize| samples.times.get(*at), |at: &usize| samples.values.get(*at));
    let values = |a: &usize, b: &usize| match (value(a), value(b)) {
        (Some(a), Some(b)) => compare(a, b),
        _ => Ordering::Equal,
    };
    let mut stream: Vec<usize> = (0..samples.values.len()).collect();
    let times = |a: &usize, b: &usize| {
        if descending { time(b).cmp(&time(a)) } else { time(a).cmp(&time(b)) }
    };
    if !samples.series.is_empty() {
        stream.sort_by(|a, b| times(a, b).then_with(|| values(a, b)));
    }
    let at = |place: usize| stream.get(place).copied().unwrap_or(0);
    let order = places(stream.len(), |a, b| values(&at(a), &at(b)));
    order.into_iter().map(at).collect()
}

fn median(values: Vec<Value>) -> Option<Value> {
    let mut values = values;
    values.sort_by(compare);
    let middle = values.len() / 2;
    let upper = values.get(middle)?;
    if values.len() % 2 == 1 {
        return number(upper).map(Value::Float);
    }
    let lower = values.get(middle.checked_sub(1)?)?;
    Some(Value::Float(match (lower, upper) {
        (Value::Float(low), Value::Float(high)) => low + (high - low) / 2.0,
        (Value::Integer(low), Value::Integer(high)) => {
            *low as f64 + high.wrapping_sub(*low) as f64 / 2.0
        }
        (Value::Unsigned(low), Value::Unsigned(high)) => {
            *low as f64 + high.wrapping_sub(*low) as f64 / 2.0
        }
        _ => return None,
    }))
}

/// The most frequent value; of equally frequent ones that whose first point in the order by value
/// is not later than the last one of the value before it. Booleans: true when even.
fn mode(samples: &Samples, descending: bool) -> Option<Value> {
    let order = by_value(samples, descending);
    let pair = |at: &usize| Some((samples.values.get(*at)?, *samples.times.get(*at)?));
    let mut pairs = order.iter().filter_map(pair).peekable();
    let (first, begin) = *pairs.peek()?;
    // The run of one value so far: the value, its length, the time of its first point.
    let mut run = (first, 0usize, begin);
    let mut best = (first, 0usize, begin);
    for (value, at) in pairs {
        if compare(value, run.0).is_eq() {
            run.1 += 1;
        } else {
            run = (value, 1, at);
            // A value shows only from its second point on.
            if !matches!(value, Value::Boolean(_)) {
                continue;
            }
        }
        let better = match value {
            Value::Boolean(_) => run.1 >= best.1,
            _ => run.1 > best.1 || run.1 == best.1 && run.2 <= best.2,
        };
        if better {
            best = (value, run.1, at);
        }
    }
    Some(best.0.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: impl IntoIterator<Item = i64>) -> Samples {
        let values: Vec<Value> = values.into_iter().map(Value::Integer).collect();
        Samples { times: (0..values.len() as i64).collect(), values, ..Samples::default() }
    }

    #[test]
    fn percentiles_take_the_nearest_rank() {
        let expected =
            [(5.0, 1), (13.0, 1), (25.0, 3), (50.0, 6), (75.0, 8), (90.0, 10), (95.0, 10)];
        for (rank, value) in expected {
            let found = percentile(rank, samples(1..=11), false).unwrap();
            assert_eq!(found.value, Some(Value::Integer(value)), "{rank}");
        }
        assert_eq!(percentile(4.0, samples(1..=11), false), None);
        assert_eq!(
            percentile(99.0, samples(1..=11), false).unwrap().value,
            Some(Value::Integer(11))
        );
        assert_eq!(percentile(f64::NAN, samples(1..=3), false), None);
    }

    #[test]
    fn modes_and_medians() {
        assert_eq!(mode(&samples([3, 1, 1, 3]), false), Some(Value::Integer(3)));
        assert_eq!(mode(&samples([3, 1, 1]), false), Some(Value::Integer(1)));
        assert_eq!(mode(&samples([3, 2, 4]), false), Some(Value::Integer(2)));
        assert_eq!(median(samples([4, 1, 3]).values), Some(Value::Float(3.0)));
        assert_eq!(median(samples([4, 1, 3, 2]).values), Some(Value::Float(2.5)));
    }

    #[test]
    fn one_point_has_no_deviation() {
        let mut states =
            States::Moments { count: vec![1, 2], mean: vec![1.0, 1.0], squares: vec![0.0, 2.0] };
        let one = finish(Kind::Stddev, &mut states, 0, false);
        assert!(matches!(one[0].value, Some(Value::Float(value)) if value.is_nan()));
        let two = finish(Kind::Stddev, &mut states, 1, false);
        assert_eq!(two[0].value, Some(Value::Float(2f64.sqrt())));
    }

    #[test]
    fn an_empty_bucket_has_no_point() {
        let mut states = States::SumInteger { sum: vec![0], count: vec![0] };
        assert!(finish(Kind::Sum, &mut states, 0, false).is_empty());
        assert!(finish(Kind::Sum, &mut states, 7, false).is_empty());
    }
}
