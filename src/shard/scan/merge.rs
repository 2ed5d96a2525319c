//! States: empty ones, their merge, and which of two points a selector prefers.
//!
//! In: states of one group from several series or shards. Out: the same as if all rows had been
//! seen at once. Float sums are pairs of doubles, so their order does not show; every tie has a
//! rule.

use super::partial::{Group, Kept, Picked, Samples, States};
use super::request::{Aggregate, Function};
use crate::model::{FieldType, Value, series_key};
use std::cmp::Ordering;
use std::sync::Arc;

impl States {
    /// States of `len` buckets that have seen nothing, for a field of type `kind`.
    pub fn empty(function: Function, kind: FieldType, len: usize) -> States {
        match (function, kind) {
            (Function::Count, _) => States::Count(vec![0; len]),
            (Function::Sum, FieldType::Integer) => {
                States::SumInteger { sum: vec![0; len], count: vec![0; len] }
            }
            (Function::Sum, FieldType::Unsigned) => {
                States::SumUnsigned { sum: vec![0; len], count: vec![0; len] }
            }
            (Function::Sum, _) => {
                States::SumFloat { high: vec![0.0; len], low: vec![0.0; len], count: vec![0; len] }
            }
            (Function::Min | Function::Max, _) => States::Picked(vec![None; len]),
            (Function::First | Function::FirstLeast | Function::Last, _) => {
                States::Picked(vec![None; len])
            }
            (Function::Spread, _) => States::Spread(vec![None; len]),
            (Function::Moments, _) => States::Moments {
                count: vec![0; len],
                mean: vec![0.0; len],
                squares: vec![0.0; len],
            },
            (Function::Values | Function::Distinct, _) => {
                States::Samples(vec![Samples::default(); len])
            }
            (Function::Best { .. } | Function::Sample { .. }, _) => {
                States::Kept(vec![Kept::default(); len])
            }
        }
    }

    /// Bytes of one bucket's state, without what it points to.
    pub fn bytes_each(function: Function) -> usize {
        match function {
            Function::Count => 8,
            Function::Sum | Function::Moments => 24,
            Function::Min | Function::Max => size_of::<Option<Picked>>(),
            Function::First | Function::FirstLeast | Function::Last => size_of::<Option<Picked>>(),
            Function::Spread => size_of::<Option<(Value, Value)>>(),
            Function::Values | Function::Distinct => size_of::<Samples>(),
            Function::Best { .. } | Function::Sample { .. } => size_of::<Kept>(),
        }
    }

    /// Number of buckets.
    pub fn len(&self) -> usize {
        match self {
            States::Count(count) => count.len(),
            States::SumInteger { count, .. }
            | States::SumUnsigned { count, .. }
            | States::SumFloat { count, .. }
            | States::Moments { count, .. } => count.len(),
            States::Picked(all) => all.len(),
            States::Spread(all) => all.len(),
            States::Samples(all) => all.len(),
            States::Kept(all) => all.len(),
        }
    }

    /// Whether there is no bucket.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds buckets that have seen nothing: so many before the first, so many behind the last.
    pub fn widen(&mut self, before: usize, behind: usize) {
        fn grow<T: Clone + Default>(all: &mut Vec<T>, before: usize, behind: usize) {
            all.splice(0..0, std::iter::repeat_n(T::default(), before));
            all.resize(all.len() + behind, T::default());
        }
        match self {
            States::Count(count) => grow(count, before, behind),
            States::SumInteger { sum, count } => {
                grow(sum, before, behind);
                grow(count, before, behind);
            }
            States::SumUnsigned { sum, count } => {
                grow(sum, before, behind);
                grow(count, before, behind);
            }
            States::SumFloat { high, low, count } => {
                grow(high, before, behind);
                grow(low, before, behind);
                grow(count, before, behind);
            }
            States::Picked(all) => grow(all, before, behind),
            States::Spread(all) => grow(all, before, behind),
            States::Moments { count, mean, squares } => {
                grow(count, before, behind);
                grow(mean, before, behind);
                grow(squares, before, behind);
            }
            States::Samples(all) => grow(all, before, behind),
            States::Kept(all) => grow(all, before, behind),
        }
    }

    /// Takes some buckets out; what stays in their place is of no meaning.
    pub fn take(&mut self, range: std::ops::Range<usize>) -> States {
        fn part<T: Copy>(all: &[T], range: &std::ops::Range<usize>) -> Vec<T> {
            all.get(range.clone()).unwrap_or(&[]).to_vec()
        }
        fn moved<T: Default>(all: &mut [T], range: &std::ops::Range<usize>) -> Vec<T> {
            let all = all.get_mut(range.clone()).unwrap_or_default();
            all.iter_mut().map(std::mem::take).collect()
        }
        match self {
            States::Count(count) => States::Count(part(count, &range)),
            States::SumInteger { sum, count } => {
                States::SumInteger { sum: part(sum, &range), count: part(count, &range) }
            }
            States::SumUnsigned { sum, count } => {
                States::SumUnsigned { sum: part(sum, &range), count: part(count, &range) }
            }
            States::SumFloat { high, low, count } => States::SumFloat {
                high: part(high, &range),
                low: part(low, &range),
                count: part(count, &range),
            },
            States::Picked(all) => States::Picked(moved(all, &range)),
            States::Spread(all) => States::Spread(moved(all, &range)),
            States::Moments { count, mean, squares } => States::Moments {
                count: part(count, &range),
                mean: part(mean, &range),
                squares: part(squares, &range),
            },
            States::Samples(all) => States::Samples(moved(all, &range)),
            States::Kept(all) => States::Kept(moved(all, &range)),
        }
    }

    /// Adds the states of the same buckets over other rows. States of another function are left
    /// unread.
    pub fn merge(&mut self, other: States, function: Function) {
        debug_assert_eq!(self.len(), other.len(), "states of the same buckets");
        match (self, other) {
            (States::Count(count), States::Count(more)) => add(count, &more),
            (
                States::SumInteger { sum, count },
                States::SumInteger { sum: more, count: counts },
            ) => {
                let pairs = sum.iter_mut().zip(more);
                pairs.for_each(|(sum, more)| *sum = sum.wrapping_add(more));
                add(count, &counts);
            }
            (
                States::SumUnsigned { sum, count },
                States::SumUnsigned { sum: more, count: counts },
            ) => {
                let pairs = sum.iter_mut().zip(more);
                pairs.for_each(|(sum, more)| *sum = sum.wrapping_add(more));
                add(count, &counts);
            }
            (
                States::SumFloat { high, low, count },
                States::SumFloat { high: highs, low: lows, count: counts },
            ) => {
                for ((high, low), more) in high.iter_mut().zip(low).zip(highs.iter().zip(&lows)) {
                    (*high, *low) = add_pairs((*high, *low), (*more.0, *more.1));
                }
                add(count, &counts);
            }
            (States::Picked(all), States::Picked(more)) => {
                for (held, other) in all.iter_mut().zip(more) {
                    pick(function, held, other);
                }
            }
            (States::Spread(all), States::Spread(more)) => {
                for (held, other) in all.iter_mut().zip(more) {
                    if let Some((low, high)) = other {
                        spread(held, low, high);
                    }
                }
            }
            (
                States::Moments { count, mean, squares },
                States::Moments { count: counts, mean: means, squares: more },
            ) => {
                let mine = count.iter_mut().zip(mean).zip(squares);
                for (((n, mean), squares), other) in mine.zip(counts.iter().zip(means).zip(more)) {
                    let ((m, other_mean), other_squares) = other;
                    let held = (*n, *mean, *squares);
                    (*n, *mean, *squares) = add_moments(held, (*m, other_mean, other_squares));
                }
            }
            (States::Samples(all), States::Samples(more)) => {
                for (held, other) in all.iter_mut().zip(more) {
                    held.merge(other, function);
                }
            }
            (States::Kept(all), States::Kept(more)) => {
                for (held, other) in all.iter_mut().zip(more) {
                    held.merge(other, function);
                }
            }
            _ => debug_assert!(false, "states of the same function"),
        }
    }
}

fn add(count: &mut [u64], more: &[u64]) {
    count.iter_mut().zip(more).for_each(|(count, more)| *count += more);
}

impl Group {
    /// Adds the same group's states over other rows; buckets may differ.
    pub fn merge(&mut self, mut other: Group, aggregates: &[Aggregate]) {
        let len = |group: &Group| group.states.first().map_or(0, States::len) as i64;
        let end = |group: &Group| group.first_bucket.saturating_add(len(group));
        let (first, last) = (self.first_bucket.min(other.first_bucket), end(self).max(end(&other)));
        for group in [&mut *self, &mut other] {
            let before = group.first_bucket.abs_diff(first) as usize;
            let behind = last.abs_diff(end(group)) as usize;
            group.states.iter_mut().for_each(|states| states.widen(before, behind));
            group.first_bucket = first;
        }
        let pairs = self.states.iter_mut().zip(other.states).zip(aggregates);
        pairs.for_each(|((states, more), aggregate)| states.merge(more, aggregate.function));
        self.few.truncate(other.few.len());
        for (few, more) in self.few.iter_mut().zip(other.few) {
            match (few.as_mut(), more) {
                (Some(few), Some(more)) => few.merge(more),
                _ => *few = None,
            }
        }
        self.first_time = self.first_time.min(other.first_time);
        self.last_time = self.last_time.max(other.last_time);
    }
}

impl Samples {
    /// Adds samples, keeping time order (equal times: by value). `Distinct`: each value once, with
    /// its first time.
    pub fn merge(&mut self, other: Samples, function: Function) {
        self.times.extend(other.times);
        self.values.extend(other.values);
        self.aux.extend(other.aux);
        let known = self.series.len() as u32;
        self.series.extend(other.series);
        self.series_of.extend(other.series_of.iter().map(|place| place + known));
        self.sort(function == Function::Distinct);
    }

    /// Orders by time, then series, then value; `distinct` keeps each value's first entry only.
    pub fn sort(&mut self, distinct: bool) {
        if !distinct && self.times.is_sorted_by(|a, b| a < b) {
            return;
        }
        let width = self.aux.len() / self.times.len().max(1);
        let mut order: Vec<usize> = (0..self.times.len()).collect();
        let time = |at: &usize| self.times.get(*at).copied().unwrap_or(0);
        let aux = |at: &usize| self.aux.get(at * width..(at + 1) * width).unwrap_or(&[]);
        let compare = |a: &usize, b: &usize| {
            let values = self.values.get(*a).zip(self.values.get(*b));
            let by_value = values.map_or(Ordering::Equal, |(a, b)| compare_values(a, b));
            let keys = || (self.key(*a).unwrap_or_default(), self.key(*b).unwrap_or_default());
            let by_key = || {
                let (a, b) = keys();
                series_key::compare(a, b)
            };
            let by_time = time(a).cmp(&time(b)).then_with(by_key).then(by_value);
            by_time.then_with(|| compare_aux(aux(a), aux(b)))
        };
        if distinct {
            let by_value = |a: &usize, b: &usize| {
                let values = self.values.get(*a).zip(self.values.get(*b));
                values.map_or(Ordering::Equal, |(a, b)| compare_values(a, b))
            };
            order.sort_by(|a, b| by_value(a, b).then(compare(a, b)));
            order.dedup_by(|a, b| by_value(a, b).is_eq());
        }
        order.sort_by(compare);
        if order.len() == self.times.len() && order.is_sorted() {
            return;
        }
        self.reorder(&order);
    }

    /// Takes the entries of some places, in that order.
    pub fn reorder(&mut self, order: &[usize]) {
        let width = self.aux.len() / self.times.len().max(1);
        let aux = |at: &usize| self.aux.get(at * width..(at + 1) * width).unwrap_or(&[]).to_vec();
        let times = order.iter().filter_map(|at| self.times.get(*at).copied()).collect();
        let values = order.iter().filter_map(|at| self.values.get(*at).cloned()).collect();
        let aux = order.iter().flat_map(aux).collect();
        let series_of = order.iter().filter_map(|at| self.series_of.get(*at).copied()).collect();
        let series = std::mem::take(&mut self.series);
        *self = Samples { times, values, aux, series, series_of };
    }

    /// The canonical key of an entry's series.
    fn key(&self, at: usize) -> Option<&[u8]> {
        self.series.get(*self.series_of.get(at)? as usize).map(AsRef::as_ref)
    }

    /// Notes the series of the entry that is added next.
    pub fn note_series(&mut self, key: &Arc<[u8]>) {
        if self.series.last().is_none_or(|last| !Arc::ptr_eq(last, key)) {
            self.series.push(key.clone());
        }
        self.series_of.push(self.series.len() as u32 - 1);
    }
}

/// Adds a double to a double-double (Knuth's two-sum, then renormalised).
pub fn add_double((high, low): (f64, f64), value: f64) -> (f64, f64) {
    add_pairs((high, low), (value, 0.0))
}

/// The sum of two double-doubles.
pub fn add_pairs(left: (f64, f64), right: (f64, f64)) -> (f64, f64) {
    let two_sum = |a: f64, b: f64| {
        let sum = a + b;
        let part = sum - a;
        (sum, (a - (sum - part)) + (b - part))
    };
    let (sum, error) = two_sum(left.0, right.0);
    if !sum.is_finite() {
        return (sum, 0.0);
    }
    let (low, low_error) = two_sum(left.1, right.1);
    let (sum, error) = two_sum(sum, error + low);
    two_sum(sum, error + low_error)
}

/// Joins (n, mean, squares) of two sets of values (Chan's formula).
pub fn add_moments(left: (u64, f64, f64), right: (u64, f64, f64)) -> (u64, f64, f64) {
    let ((n, mean, squares), (m, other_mean, other_squares)) = (left, right);
    if n == 0 || m == 0 {
        return if n == 0 { right } else { left };
    }
    let (a, b, all) = (n as f64, m as f64, (n + m) as f64);
    let delta = other_mean - mean;
    (n + m, mean + delta * b / all, squares + other_squares + delta * delta * a * b / all)
}

/// The order of two values of a type: numbers by value, strings by bytes, false before true.
pub fn compare_values(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Unsigned(a), Value::Unsigned(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        _ => left.kind().cmp(&right.kind()),
    }
}

/// The order of what travels with two points: missing first, then by value.
pub fn compare_aux(left: &[Option<Value>], right: &[Option<Value>]) -> Ordering {
    let compare = |(left, right): (&Option<Value>, &Option<Value>)| match (left, right) {
        (Some(left), Some(right)) => compare_values(left, right),
        _ => left.is_some().cmp(&right.is_some()),
    };
    let mut orders = left.iter().zip(right).map(compare);
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Whether a selector takes a point (time, value) before another; `Equal`: what travels with the
/// points decides.
pub fn preference(function: Function, new: (i64, &Value), held: (i64, &Value)) -> Ordering {
    let (by_time, by_value) = (new.0.cmp(&held.0), compare_values(new.1, held.1));
    match function {
        Function::Min => by_value.then(by_time),
        Function::Max => by_value.reverse().then(by_time),
        Function::First if matches!(new.1, Value::Boolean(_)) => by_time.then(by_value),
        Function::First => by_time.then(by_value.reverse()),
        Function::FirstLeast => by_time.then(by_value),
        _ => by_time.reverse().then(by_value.reverse()),
    }
}

/// Keeps the point that the selector prefers.
pub fn pick(function: Function, held: &mut Option<Picked>, new: Option<Picked>) {
    let Some(new) = new else { return };
    let better = held.as_ref().is_none_or(|held| {
        preference(function, (new.time, &new.value), (held.time, &held.value))
            .then_with(|| compare_aux(&new.aux, &held.aux))
            .is_lt()
    });
    if better {
        *held = Some(new);
    }
}

/// Widens a spread to two more values.
pub fn spread(held: &mut Option<(Value, Value)>, low: Value, high: Value) {
    match held {
        None => *held = Some((low, high)),
        Some((lowest, highest)) => {
            if compare_values(&low, lowest).is_lt() {
                *lowest = low;
            }
            if compare_values(&high, highest).is_gt() {
                *highest = high;
            }
        }
    }
}
