//! Merges the states of one group from two shards. The order of shards does not matter.
//!
//! Float sums are added as pairs of doubles; ties of selectors follow InfluxDB: min and max keep the
//! earlier point, first and last at one time the greater value.

use crate::model::Value;
use crate::shard::scan::{Function, Group, Picked, Samples, States};
use std::cmp::Ordering;

/// Adds `from` to `into`; both answer the same aggregates, whose functions are `functions`.
pub fn merge(functions: &[Function], into: &mut Group, mut from: Group) {
    let first = into.first_bucket.min(from.first_bucket);
    let last = end(into).max(end(&from));
    stretch(into, first, last);
    stretch(&mut from, first, last);
    into.first_time = into.first_time.min(from.first_time);
    into.last_time = into.last_time.max(from.last_time);
    for ((function, into), from) in functions.iter().zip(&mut into.states).zip(from.states) {
        merge_states(*function, into, from);
    }
}

/// Number of buckets of a state.
pub fn len(states: &States) -> usize {
    match states {
        States::Count(counts) => counts.len(),
        States::SumInteger { sum, .. } => sum.len(),
        States::SumUnsigned { sum, .. } => sum.len(),
        States::SumFloat { high, .. } => high.len(),
        States::Picked(points) => points.len(),
        States::Spread(pairs) => pairs.len(),
        States::Moments { count, .. } => count.len(),
        States::Samples(samples) => samples.len(),
    }
}

fn end(group: &Group) -> i64 {
    group.first_bucket + group.states.iter().map(len).max().unwrap_or(0) as i64
}

/// Makes every state reach from bucket `first` to before `last`.
fn stretch(group: &mut Group, first: i64, last: i64) {
    let before = (group.first_bucket - first).max(0) as usize;
    let width = (last - first).max(0) as usize;
    group.first_bucket = first;
    for states in &mut group.states {
        match states {
            States::Count(counts) => pad(counts, before, width),
            States::SumInteger { sum, count } => {
                pad(sum, before, width);
                pad(count, before, width);
            }
            States::SumUnsigned { sum, count } => {
                pad(sum, before, width);
                pad(count, before, width);
            }
            States::SumFloat { high, low, count } => {
                pad(high, before, width);
                pad(low, before, width);
                pad(count, before, width);
            }
            States::Picked(points) => pad(points, before, width),
            States::Spread(pairs) => pad(pairs, before, width),
            States::Moments { count, mean, squares } => {
                pad(count, before, width);
                pad(mean, before, width);
                pad(squares, before, width);
            }
            States::Samples(samples) => pad(samples, before, width),
        }
    }
}

fn pad<T: Default + Clone>(entries: &mut Vec<T>, before: usize, width: usize) {
    if before > 0 {
        entries.splice(0..0, std::iter::repeat_n(T::default(), before));
    }
    entries.resize(width, T::default());
}

fn merge_states(function: Function, into: &mut States, from: States) {
    match (into, from) {
        (States::Count(into), States::Count(from)) => add(into, &from),
        (
            States::SumInteger { sum, count },
            States::SumInteger { sum: more, count: counts },
        ) => {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.wrapping_add(more));
            add(count, &counts);
        }
        (
            States::SumUnsigned { sum, count },
            States::SumUnsigned { sum: more, count: counts },
        ) => {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.wrapping_add(more));
            add(count, &counts);
        }
        (
            States::SumFloat { high, low, count },
            States::SumFloat { high: highs, low: lows, count: counts },
        ) => {
            for (((high, low), more), less) in high.iter_mut().zip(low).zip(highs).zip(lows) {
                (*high, *low) = add_pairs((*high, *low), (more, less));
            }
            add(count, &counts);
        }
        (States::Picked(into), States::Picked(from)) => {
            into.iter_mut().zip(from).for_each(|(into, from)| pick(function, into, from));
        }
        (States::Spread(into), States::Spread(from)) => {
            into.iter_mut().zip(from).for_each(|(into, from)| widen(into, from));
        }
        (
            States::Moments { count, mean, squares },
            States::Moments { count: counts, mean: means, squares: more },
        ) => {
            let into = count.iter_mut().zip(mean).zip(squares);
            let from = counts.into_iter().zip(means).zip(more);
            for (((count, mean), squares), ((counts, means), more)) in into.zip(from) {
                let merged = moments((*count, *mean, *squares), (counts, means, more));
                (*count, *mean, *squares) = merged;
            }
        }
        (States::Samples(into), States::Samples(from)) => {
            let distinct = function == Function::Distinct;
            into.iter_mut().zip(from).for_each(|(into, from)| {
                let left = std::mem::take(into);
                *into = if distinct { union(left, from) } else { interleave(left, from) };
            });
        }
        // Shards answer one request alike; nothing else can be merged.
        _ => debug_assert!(false, "states of one aggregate are of one kind"),
    }
}

fn add(into: &mut [u64], from: &[u64]) {
    into.iter_mut().zip(from).for_each(|(into, from)| *into += from);
}

/// Sum of two unevaluated sums (Dekker, Knuth: error-free addition of both parts).
fn add_pairs(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    let (high, error) = two_sum(a.0, b.0);
    if !high.is_finite() {
        return (high, 0.0);
    }
    let (low, rest) = two_sum(a.1, b.1);
    let (high, low) = two_sum(high, error + low);
    two_sum(high, low + rest)
}

fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

/// Joins counts, means and squared distances (Chan, Golub, LeVeque).
fn moments(a: (u64, f64, f64), b: (u64, f64, f64)) -> (u64, f64, f64) {
    if a.0 == 0 {
        return b;
    }
    if b.0 == 0 {
        return a;
    }
    let count = a.0 + b.0;
    let distance = b.1 - a.1;
    let mean = a.1 + distance * (b.0 as f64 / count as f64);
    let cross = a.0 as f64 * b.0 as f64 / count as f64;
    (count, mean, a.2 + b.2 + distance * distance * cross)
}

/// Order of two values of one type; floats by number, texts by bytes, false before true.
pub fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Unsigned(a), Value::Unsigned(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        _ => (a.kind() as u8).cmp(&(b.kind() as u8)),
    }
}

fn pick(function: Function, into: &mut Option<Picked>, from: Option<Picked>) {
    let Some(from) = from else { return };
    let Some(known) = into else {
        *into = Some(from);
        return;
    };
    let value = compare(&from.value, &known.value);
    let earlier = from.time < known.time;
    let same = from.time == known.time;
    let better = match function {
        Function::Min => value.is_lt() || value.is_eq() && earlier,
        Function::Max => value.is_gt() || value.is_eq() && earlier,
        // Of two booleans at one time, first takes false.
        Function::First if matches!(from.value, Value::Boolean(_)) => {
            earlier || same && value.is_lt()
        }
        Function::First => earlier || same && value.is_gt(),
        _ => from.time > known.time || same && value.is_gt(),
    };
    if better {
        *known = from;
    }
}

fn widen(into: &mut Option<(Value, Value)>, from: Option<(Value, Value)>) {
    let Some((low, high)) = from else { return };
    let Some(known) = into else {
        *into = Some((low, high));
        return;
    };
    if compare(&low, &known.0).is_lt() {
        known.0 = low;
    }
    if compare(&high, &known.1).is_gt() {
        known.1 = high;
    }
}

/// Entries of one bucket as (time, value, aux).
fn entries(samples: Samples) -> impl Iterator<Item = (i64, Value, Vec<Option<Value>>)> {
    let width = samples.aux.len().checked_div(samples.values.len()).unwrap_or(0);
    let mut aux = samples.aux.into_iter();
    let pairs = samples.times.into_iter().zip(samples.values);
    pairs.map(move |(time, value)| (time, value, aux.by_ref().take(width).collect()))
}

/// All values in time order; at one time those of the left first, or the smaller if both differ.
fn interleave(left: Samples, right: Samples) -> Samples {
    if left.times.is_empty() {
        return right;
    }
    if right.times.is_empty() {
        return left;
    }
    let mut all: Vec<_> = entries(left).chain(entries(right)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| compare(&a.1, &b.1)));
    collect(all)
}

/// Every value once, with the first time it was seen.
fn union(left: Samples, right: Samples) -> Samples {
    let mut all: Vec<_> = entries(left).chain(entries(right)).collect();
    all.sort_by(|a, b| compare(&a.1, &b.1).then(a.0.cmp(&b.0)));
    all.dedup_by(|later, first| compare(&later.1, &first.1).is_eq());
    all.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| compare(&a.1, &b.1)));
    collect(all)
}

fn collect(all: Vec<(i64, Value, Vec<Option<Value>>)>) -> Samples {
    let mut out = Samples::default();
    for (time, value, aux) in all {
        out.times.push(time);
        out.values.push(value);
        out.aux.extend(aux);
    }
    out
}

#[cfg(test)]
mod tests;
