//! The first aggregator of a chain, computed by the shards.
//!
//! In: an aggregator over ranges, a metric. Out: a question for states per tag group and range, and
//! from its answer the aggregator's points. Possible for `count sum avg min max dev first last` in
//! ascending order, when the ranges are the query's own and their states fit into memory. Where
//! these are too many, it can be asked for those alone that have points. What is not possible is
//! read point by point. Each typed column of the metric has states of its own, as a long and a
//! double at one time are two points.

use super::aggregate::deviation;
use super::point::{Datum, Point};
use super::range::{MS_NS, Ranges};
use super::request::{Aggregator, RangeKind, Sampling};
use super::source::{Kind, Source, aggregate, as_double, own};
use crate::model::{ColumnId, TimeRange, Value};
use crate::shard::scan::{
    Aggregate, Buckets, FieldRef, Function, Group, Picked, States, compare_values,
};
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

/// States of one group take at most this part of a query's memory.
const MEMORY_PART: usize = 8;

/// An aggregator that the shards compute.
#[derive(Clone)]
pub struct Push {
    kind: RangeKind,
    align: (bool, bool),
    pub fields: Vec<FieldRef>,
    pub aggregates: Vec<Aggregate>,
    pub buckets: Buckets,
    /// What is read (ns).
    pub range: TimeRange,
    /// Length of a range where `buckets` name only those with points (ns).
    length: Option<i64>,
    /// Aggregates of each field.
    width: usize,
}

impl Push {
    /// The first aggregator of a chain, if the shards can compute it over this source.
    pub fn plan(first: &Aggregator, source: &Source, kind: Kind) -> Option<Push> {
        let Aggregator::Range { kind: range, sampling } = first else { return None };
        if sampling.own_start {
            return None;
        }
        let function = function(range)?;
        let doubles = matches!(function, Function::Sum | Function::Min | Function::Max);
        let read = |column: ColumnId| match (doubles, function) {
            (true, _) => as_double(column),
            (false, Function::Moments) => as_double(column),
            _ => Some(own(column)),
        };
        let numbers = !matches!(range, RangeKind::Count | RangeKind::First | RangeKind::Last);
        if kind == Kind::Texts && numbers {
            return None;
        }
        let fields: Vec<FieldRef> =
            source.columns(kind).into_iter().map(read).collect::<Option<_>>()?;
        let mut functions = vec![function];
        let picks = matches!(function, Function::FirstLeast | Function::Last);
        if picks || matches!(function, Function::Min | Function::Max) {
            functions.push(Function::Count);
        }
        let align = (sampling.align_start, sampling.align_end);
        if !picks && align == (false, false) {
            functions.push(Function::First);
        }
        let buckets = buckets(sampling, source)?;
        let of_field = |field| functions.iter().map(move |one| aggregate(*one, field));
        let aggregates = (0..fields.len()).flat_map(of_field).collect();
        let (width, range, length, kind) = (functions.len(), source.range, None, *range);
        Some(Push { kind, align, fields, aggregates, buckets, range, length, width })
    }

    /// How many ranges of a group may be worked on at once.
    pub fn ranges_max(&self, memory_bytes: usize) -> usize {
        let each = self.aggregates.iter().map(|one| States::bytes_each(one.function));
        memory_bytes / MEMORY_PART / each.sum::<usize>().max(1)
    }

    /// Whether all ranges may be worked on at once.
    pub fn fits(&self, memory_bytes: usize) -> bool {
        let Some((from, to)) = self.buckets.span(self.range) else { return true };
        to.abs_diff(from) < self.ranges_max(memory_bytes) as u64
    }

    /// The same over some ranges alone, given by their starts (ns): all that have points of a
    /// stretch of time. `None` where ranges are not all of one length.
    pub fn over(&self, starts: &[i64]) -> Option<Push> {
        let Buckets::Even { width_ns, .. } = self.buckets else { return None };
        let end = starts.last()?.saturating_add(width_ns);
        let range = TimeRange::new(*starts.first()?, end.saturating_sub(1));
        let all: Arc<[i64]> = starts.iter().copied().chain([end]).collect();
        Some(Push {
            buckets: Buckets::Starts(all),
            range: self.range.intersect(range),
            length: Some(width_ns),
            ..self.clone()
        })
    }

    /// The first instant behind a range.
    fn end(&self, bucket: i64) -> i64 {
        match self.length {
            Some(length) => self.buckets.start(bucket).saturating_add(length),
            None => self.buckets.last(bucket).saturating_add(1),
        }
    }

    /// Points that a group's states stand for: number of raw points, and results of some ranges.
    pub fn counted(&self, states: &Combined) -> u64 {
        (0..states.len).map(|at| states.count(at)).sum()
    }

    /// Puts the columns' states together.
    pub fn combine(&self, group: Group) -> Combined {
        let mut columns = Vec::new();
        let mut states = group.states.into_iter();
        loop {
            let some: Vec<States> = states.by_ref().take(self.width).collect();
            if some.len() < self.width {
                break;
            }
            columns.push(some);
        }
        let len = columns.first().and_then(|one| one.first()).map_or(0, States::len);
        Combined { columns, first_bucket: group.first_bucket, len }
    }

    /// The aggregator's points of some ranges, counted from the group's first.
    pub fn points(&self, states: &Combined, ranges: Range<usize>, out: &mut Vec<Point>) {
        for at in ranges {
            if states.count(at) == 0 {
                continue;
            }
            let bucket = states.first_bucket.saturating_add(at as i64);
            let aligned = match self.align {
                (true, _) => Some(self.buckets.start(bucket)),
                (false, true) => Some(self.end(bucket)),
                (false, false) => None,
            };
            let Some((time, value)) = self.result(states, at) else { continue };
            let time = aligned.or(time).unwrap_or(0).div_euclid(MS_NS);
            out.push(Point { time, value });
        }
    }

    /// The result of a range and the time of the point that names it (ns).
    fn result(&self, states: &Combined, at: usize) -> Option<(Option<i64>, Datum)> {
        let count = states.count(at);
        let first = states.first_time(at);
        let double = |value: f64| Some((first, Datum::Double(value)));
        match self.kind {
            RangeKind::Count => Some((first, Datum::Long(count as i64))),
            RangeKind::Sum => double(states.sum(at)),
            RangeKind::Avg => double(states.sum(at) / count as f64),
            RangeKind::Min => double(states.extreme(at, f64::min)?),
            RangeKind::Max => double(states.extreme(at, f64::max)?),
            RangeKind::Dev { result, count: times } => {
                let (count, mean, squares) = states.moments(at);
                double(deviation(result, times, count, mean, squares))
            }
            RangeKind::First => {
                let first = states.first(at)?;
                Some((Some(first.time), datum(&first.value)))
            }
            RangeKind::Last => {
                let last = states.last(at)?;
                Some((Some(last.time), datum(&last.value)))
            }
            _ => None,
        }
    }
}

/// What the shards compute for an aggregator.
fn function(kind: &RangeKind) -> Option<Function> {
    Some(match kind {
        RangeKind::Count => Function::Count,
        RangeKind::Sum | RangeKind::Avg => Function::Sum,
        RangeKind::Min => Function::Min,
        RangeKind::Max => Function::Max,
        RangeKind::Dev { .. } => Function::Moments,
        RangeKind::First => Function::FirstLeast,
        RangeKind::Last => Function::Last,
        _ => return None,
    })
}

fn buckets(sampling: &Sampling, source: &Source) -> Option<Buckets> {
    let ranges: Ranges = sampling.ranges();
    ranges.buckets(source.range)
}

/// The states of one group, by column of the metric.
pub struct Combined {
    columns: Vec<Vec<States>>,
    first_bucket: i64,
    /// Number of ranges.
    pub len: usize,
}

impl Combined {
    fn each(&self) -> impl Iterator<Item = &States> {
        self.columns.iter().flatten()
    }

    /// Raw points of a range.
    fn count(&self, at: usize) -> u64 {
        let of_states = |states: &States| match states {
            States::Count(count)
            | States::SumFloat { count, .. }
            | States::Moments { count, .. } => count.get(at).copied().unwrap_or(0),
            _ => 0,
        };
        self.each().map(of_states).sum()
    }

    fn sum(&self, at: usize) -> f64 {
        let part = |states: &States| match states {
            States::SumFloat { high, low, .. } => Some(high.get(at)? + low.get(at)?),
            _ => None,
        };
        self.each().filter_map(part).sum()
    }

    /// The picked points of the first aggregate of each column.
    fn picked(&self, at: usize, place: usize) -> impl Iterator<Item = &Picked> {
        self.columns.iter().filter_map(move |states| match states.get(place) {
            Some(States::Picked(all)) => all.get(at)?.as_ref(),
            _ => None,
        })
    }

    fn extreme(&self, at: usize, better: fn(f64, f64) -> f64) -> Option<f64> {
        let values = self.picked(at, 0).filter_map(|picked| datum(&picked.value).number());
        values.reduce(better)
    }

    /// The first point: at one time the smaller value.
    fn first(&self, at: usize) -> Option<&Picked> {
        self.picked(at, 0).min_by(|a, b| order(a, b))
    }

    /// The last point: at one time the greater value.
    fn last(&self, at: usize) -> Option<&Picked> {
        self.picked(at, 0).max_by(|a, b| order(a, b))
    }

    /// The time of the first point (ns), where it was asked for.
    fn first_time(&self, at: usize) -> Option<i64> {
        let place = self.columns.first()?.len().checked_sub(1)?;
        self.picked(at, place).map(|picked| picked.time).min()
    }

    /// Count, mean and sum of squared distances over all columns.
    fn moments(&self, at: usize) -> (u64, f64, f64) {
        let parts = self.each().filter_map(|states| match states {
            States::Moments { count, mean, squares } => {
                Some((*count.get(at)?, *mean.get(at)?, *squares.get(at)?))
            }
            _ => None,
        });
        parts.fold((0, 0.0, 0.0), |(n, mean, squares), (m, other, more)| {
            if n == 0 || m == 0 {
                return if n == 0 { (m, other, more) } else { (n, mean, squares) };
            }
            let (a, b, all) = (n as f64, m as f64, (n + m) as f64);
            let apart = other - mean;
            (n + m, mean + apart * b / all, squares + more + apart * apart * a * b / all)
        })
    }
}

/// The order of points by time, then by value.
fn order(a: &Picked, b: &Picked) -> Ordering {
    let by_value = || match a.value.kind() == b.value.kind() {
        true => compare_values(&a.value, &b.value),
        false => datum(&a.value).order(&datum(&b.value)),
    };
    a.time.cmp(&b.time).then_with(by_value)
}

fn datum(value: &Value) -> Datum {
    match value {
        Value::Float(value) => Datum::Double(*value),
        Value::Integer(value) => Datum::Long(*value),
        Value::Unsigned(value) => match i64::try_from(*value) {
            Ok(value) => Datum::Long(value),
            Err(_) => Datum::Double(*value as f64),
        },
        Value::Boolean(value) => Datum::Long(i64::from(*value)),
        Value::String(text) => Datum::Text(text.as_ref().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(time: i64, value: Value) -> States {
        States::Picked(vec![Some(Picked { time, value, aux: Vec::new() })])
    }

    fn combined(columns: Vec<Vec<States>>) -> Combined {
        Combined { columns, first_bucket: 0, len: 1 }
    }

    #[test]
    fn columns_of_a_metric_are_one() {
        let moments = |count, mean, squares| States::Moments {
            count: vec![count],
            mean: vec![mean],
            squares: vec![squares],
        };
        // 1 and 3, and 5: mean 3, squares 8.
        let both = combined(vec![vec![moments(2, 2.0, 2.0)], vec![moments(1, 5.0, 0.0)]]);
        assert_eq!((both.moments(0), both.count(0)), ((3, 3.0, 8.0), 3));
        let sum =
            |high, count| States::SumFloat { high: vec![high], low: vec![0.5], count: vec![count] };
        let first = |time| picked(time, Value::Float(0.0));
        let both = combined(vec![vec![sum(1.0, 1), first(7)], vec![sum(2.0, 2), first(5)]]);
        assert_eq!((both.sum(0), both.count(0), both.first_time(0)), (4.0, 3, Some(5)));
    }

    #[test]
    fn the_last_of_two_at_one_time_is_the_greater() {
        let long = || vec![picked(5, Value::Integer(3)), States::Count(vec![1])];
        let double = |time, value| vec![picked(time, Value::Float(value)), States::Count(vec![1])];
        let last = |columns| combined(columns).last(0).map(|picked| picked.value.clone());
        assert_eq!(last(vec![double(5, 2.5), long()]), Some(Value::Integer(3)));
        assert_eq!(last(vec![double(5, 3.5), long()]), Some(Value::Float(3.5)));
        assert_eq!(last(vec![double(6, 2.5), long()]), Some(Value::Float(2.5)));
        let first = |columns| combined(columns).first(0).map(|picked| picked.value.clone());
        assert_eq!(first(vec![double(5, 2.5), long()]), Some(Value::Float(2.5)));
        assert_eq!(first(vec![double(6, 2.5), long()]), Some(Value::Integer(3)));
    }
}
