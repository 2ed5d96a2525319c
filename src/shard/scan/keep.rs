//! Points of which only some stay: the best ones, or a random sample.
//!
//! In: points one by one, or those of another shard. Out: at most as many as the function wants, in
//! order of preference, independent of the order in which they came. A list grows to about twice
//! what is wanted before it is cut, so a point costs little more than a comparison.

use super::merge::{compare_aux, compare_values};
use super::partial::{Kept, Picked, Ranked};
use super::request::Function;
use crate::model::Value;
use std::cmp::Ordering;

/// Points that may wait beyond twice the wanted number.
const WAITING: usize = 64;

impl Kept {
    /// Whether a point can be among those that stay.
    pub fn wants(&self, function: Function, rank: u64, time: i64, value: &Value) -> bool {
        let count = wanted(function);
        let bound =
            (self.settled >= count).then(|| self.points.get(count.checked_sub(1)?)).flatten();
        bound.is_none_or(|bound| {
            let held = (bound.rank, bound.point.time, &bound.point.value);
            compare(function, (rank, time, value), held).is_le()
        })
    }

    /// Adds a point; gives by how many bytes the list grew.
    pub fn add(&mut self, function: Function, ranked: Ranked) -> isize {
        let grown = bytes(&ranked);
        self.points.push(ranked);
        if self.points.len() < wanted(function).saturating_mul(2).saturating_add(WAITING) {
            return grown;
        }
        let before: isize = self.points.iter().map(bytes).sum();
        self.settle(function);
        grown + self.points.iter().map(bytes).sum::<isize>() - before
    }

    /// Cuts the list to the points that stay, in order.
    pub fn settle(&mut self, function: Function) {
        let by = match function {
            Function::Best { by, .. } => by,
            _ => None,
        };
        if let Some(by) = by {
            let key = |ranked: &Ranked| -> usize { by.min(ranked.point.aux.len()) };
            let compare_keys = |a: &Ranked, b: &Ranked| {
                let (left, right) = (a.point.aux.get(..key(a)), b.point.aux.get(..key(b)));
                compare_aux(left.unwrap_or_default(), right.unwrap_or_default())
            };
            let all = &mut self.points;
            all.sort_by(|a, b| compare_keys(a, b).then_with(|| order(function, a, b)));
            all.dedup_by(|a, b| compare_keys(a, b).is_eq());
        }
        self.points.sort_by(|a, b| order(function, a, b));
        self.points.truncate(wanted(function));
        self.settled = self.points.len();
    }

    /// Adds the points of another list.
    pub fn merge(&mut self, other: Kept, function: Function) {
        self.points.extend(other.points);
        self.settle(function);
    }
}

/// The number by which a sample chooses: well mixed, and the same wherever the row is met. `key`:
/// the hash of the series' key.
pub fn rank(seed: u64, key: u64, time: i64) -> u64 {
    // The finisher of splitmix64 (Steele, Lea, Flood 2014), once for each part.
    let mix = |value: u64| {
        let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    };
    mix(mix(mix(seed) ^ key) ^ time as u64)
}

fn wanted(function: Function) -> usize {
    match function {
        Function::Best { count, .. } | Function::Sample { count, .. } => count,
        _ => 0,
    }
}

fn bytes(ranked: &Ranked) -> isize {
    let text = |value: &Value| if let Value::String(text) = value { text.len() } else { 0 };
    let Picked { value, aux, .. } = &ranked.point;
    let texts = text(value) + aux.iter().flatten().map(text).sum::<usize>();
    (size_of::<Ranked>() + aux.len() * size_of::<Option<Value>>() + texts) as isize
}

/// The order of two points (rank, time, value) by preference.
fn compare(function: Function, new: (u64, i64, &Value), held: (u64, i64, &Value)) -> Ordering {
    let by_value = compare_values(new.2, held.2);
    match function {
        Function::Sample { .. } => new.0.cmp(&held.0).then(new.1.cmp(&held.1)).then(by_value),
        Function::Best { smallest: true, .. } => by_value.then(new.1.cmp(&held.1)),
        _ => by_value.reverse().then(new.1.cmp(&held.1)),
    }
}

fn order(function: Function, a: &Ranked, b: &Ranked) -> Ordering {
    let (left, right) = (&a.point, &b.point);
    compare(function, (a.rank, left.time, &left.value), (b.rank, right.time, &right.value))
        .then_with(|| compare_aux(&left.aux, &right.aux))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(function: Function, points: &[(i64, i64, &str)]) -> Vec<(i64, i64)> {
        let mut kept = Kept::default();
        for (time, value, tag) in points {
            let (time, value) = (*time, Value::Integer(*value));
            let rank = rank(1, 2, time);
            if kept.wants(function, rank, time, &value) {
                let aux = vec![Some(Value::String(tag.as_bytes().into()))];
                kept.add(function, Ranked { rank, point: Picked { time, value, aux } });
            }
        }
        kept.settle(function);
        let shown = |one: &Ranked| match one.point.value {
            Value::Integer(value) => (one.point.time, value),
            _ => panic!("an integer"),
        };
        kept.points.iter().map(shown).collect()
    }

    #[test]
    fn the_best_stay_and_the_earlier_of_equal_ones() {
        let points: Vec<(i64, i64, &str)> = (0..1000).map(|at| (at, at % 100, "a")).collect();
        let top = Function::Best { count: 3, smallest: false, by: None };
        assert_eq!(kept(top, &points), [(99, 99), (199, 99), (299, 99)]);
        let bottom = Function::Best { count: 2, smallest: true, by: None };
        assert_eq!(kept(bottom, &points), [(0, 0), (100, 0)]);
    }

    #[test]
    fn one_point_stays_for_each_key() {
        let points: Vec<(i64, i64, &str)> =
            (0..1000).map(|at| (at, at % 100, ["a", "b", "c"][at as usize % 3])).collect();
        let by = |by| Function::Best { count: 2, smallest: false, by: Some(by) };
        assert_eq!(kept(by(1), &points), [(99, 99), (199, 99)]);
        assert_eq!(kept(by(0), &points), [(99, 99)]);
    }

    #[test]
    fn samples_are_even_enough() {
        let points: Vec<(i64, i64, &str)> = (0..10_000).map(|at| (at, 0, "")).collect();
        let sample = kept(Function::Sample { count: 1000, seed: 7 }, &points);
        assert_eq!(sample.len(), 1000);
        let early = sample.iter().filter(|(time, _)| *time < 5_000).count();
        assert!((430..570).contains(&early), "{early} of 1000 in the first half");
    }
}
