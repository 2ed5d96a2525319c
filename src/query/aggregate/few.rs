//! Results that tell in which order the reference met the values of several series.
//!
//! In: the values of one group, series by series. Out: sums, means and deviations, or the values in
//! that order. The last digit of a sum of floats tells the order of the additions, and functions
//! over streams and ranks tell the order of points at one time. The reference puts its series into
//! a heap, which gives one point, or all points of a bucket, after the other; equal ones come as
//! the steps of the heap leave them. It adds up each series by itself, then the series' sums.

use super::finish::Point;
use crate::model::{Value, series_key};
use crate::query::plan::Timing;
use crate::query::plan::calls::Kind;
use crate::shard::scan::{Few, Samples};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The points of the buckets that have values, by bucket; `None`: not to be had from `few`.
pub fn by_bucket(
    kind: Kind,
    few: &Few,
    timing: &Timing,
    descending: bool,
) -> Option<BTreeMap<i64, Point>> {
    let lanes = lanes(few, descending)?;
    let bucket = |point: &(i64, f64)| timing.bucket(point.0);
    let mut found: BTreeMap<i64, Vec<Vec<f64>>> = BTreeMap::new();
    let mut add = |bucket: i64, values: Vec<f64>| found.entry(bucket).or_default().push(values);
    match kind {
        // All points of all series in order of time.
        Kind::Stddev => interleaved(lanes, descending)
            .chunk_by(|a, b| bucket(a) == bucket(b))
            .for_each(|some| add(some.first().map_or(0, bucket), numbers(some))),
        // Each series by itself, bucket after bucket.
        Kind::Sum | Kind::Mean => {
            let pieces = |lane: Vec<(i64, f64)>| -> Vec<(i64, Vec<f64>)> {
                let some = lane.chunk_by(|a, b| bucket(a) == bucket(b));
                some.map(|some| (some.first().map_or(0, bucket), numbers(some))).collect()
            };
            let mut first: Vec<_> = lanes.into_iter().map(pieces).collect();
            // Two halves of the series, each in an order of its own.
            let second = first.split_off(first.len() / 2);
            let halves = [first, second].into_iter().filter(|half| !half.is_empty());
            let halves = halves.map(|half| interleaved(half, descending)).collect();
            let all = interleaved(halves, descending).into_iter();
            all.for_each(|(bucket, values)| add(bucket, values));
        }
        _ => return None,
    }
    let point = |(bucket, pieces): (i64, Vec<Vec<f64>>)| {
        let point = match kind {
            // The deviation of one value is not a number, which functions around it see as such.
            Kind::Stddev => {
                let value = Value::Float(deviation(&pieces.concat()));
                Point { value: Some(value), ..Point::default() }
            }
            Kind::Mean => Point::of(Value::Float(mean(&pieces))),
            _ => Point::of(Value::Float(sum(&pieces))),
        };
        (bucket, point)
    };
    Some(found.into_iter().map(point).collect())
}

fn numbers(points: &[(i64, f64)]) -> Vec<f64> {
    points.iter().map(|(_, value)| *value).collect()
}

/// A mean as the reference hands it on: it comes out of two more means of this one alone.
pub fn handed_on(mean: f64, count: u64) -> f64 {
    let again = |mean: f64| if count < 2 { mean } else { mean * count as f64 / count as f64 };
    again(again(mean))
}

/// The points of each series in output order; the series in that of their texts.
fn lanes(few: &Few, descending: bool) -> Option<Vec<Vec<(i64, f64)>>> {
    let mut order: Vec<usize> = (0..few.series.len()).collect();
    let key = |at: &usize| few.series.get(*at).map_or(&[][..], AsRef::as_ref);
    order.sort_by(|a, b| series_key::compare(key(a), key(b)));
    if order.windows(2).any(|pair| matches!(pair, [a, b] if key(a) == key(b))) {
        // Rows of several measurements under one name, or of one read twice.
        return None;
    }
    if descending {
        order.reverse();
    }
    let mut rank = vec![0; order.len()];
    for (place, at) in order.iter().enumerate() {
        *rank.get_mut(*at)? = place;
    }
    let mut lanes: Vec<Vec<(i64, f64)>> = vec![Vec::new(); order.len()];
    for (series, time, value) in &few.values {
        lanes.get_mut(*rank.get(*series as usize)?)?.push((*time, *value));
    }
    if descending {
        lanes.iter_mut().for_each(|lane| lane.reverse());
    }
    Some(lanes)
}

/// Brings the samples of all buckets of a group into the order in which the reference meets them,
/// and forgets their series. Samples of one series are left as they are, and those with texts
/// beside them, which decide about points of one time.
pub fn arrange(all: &mut [Samples], descending: bool) {
    let text = |value: &Option<Value>| matches!(value, Some(Value::String(_)));
    if all.iter().any(|one| one.aux.iter().any(text)) {
        return;
    }
    let mut keys: Vec<Arc<[u8]>> = all.iter().flat_map(|one| one.series.iter().cloned()).collect();
    keys.sort_by(|a, b| series_key::compare(a, b));
    keys.dedup();
    if keys.len() < 2 {
        return;
    }
    let mut lanes: Vec<Vec<(i64, (usize, usize))>> = vec![Vec::new(); keys.len()];
    let find = |key: &[u8]| keys.binary_search_by(|known| series_key::compare(known, key)).ok();
    for (bucket, samples) in all.iter().enumerate() {
        let places: Vec<_> = samples.series.iter().map(|key| find(key)).collect();
        for (at, (series, time)) in samples.series_of.iter().zip(&samples.times).enumerate() {
            let place = places.get(*series as usize).copied().flatten();
            let lane = place.and_then(|place| lanes.get_mut(place));
            lane.into_iter().for_each(|lane| lane.push((*time, (bucket, at))));
        }
    }
    if descending {
        lanes.reverse();
        lanes.iter_mut().for_each(|lane| lane.reverse());
    }
    let mut orders: Vec<Vec<usize>> = vec![Vec::new(); all.len()];
    for (_, (bucket, at)) in interleaved(lanes, descending) {
        orders.get_mut(bucket).into_iter().for_each(|order| order.push(at));
    }
    for (samples, order) in all.iter_mut().zip(orders) {
        samples.reorder(&order);
        (samples.series, samples.series_of) = (Vec::new(), Vec::new());
    }
}

/// The pieces of several lanes in the order in which the reference's heap gives them.
fn interleaved<T>(lanes: Vec<Vec<(i64, T)>>, descending: bool) -> Vec<(i64, T)> {
    let mut lanes: Vec<_> = lanes.into_iter().map(|lane| lane.into_iter().peekable()).collect();
    let mut heap = Heap { items: Vec::new(), descending };
    for (lane, pieces) in lanes.iter_mut().enumerate() {
        heap.items.extend(pieces.peek().map(|(order, _)| (*order, lane)));
    }
    for at in (0..heap.items.len() / 2).rev() {
        heap.sink(at, heap.items.len());
    }
    let mut out = Vec::new();
    while let Some((order, lane)) = heap.pop() {
        let Some(pieces) = lanes.get_mut(lane) else { continue };
        while let Some(piece) = pieces.next_if(|(at, _)| *at == order) {
            out.push(piece);
        }
        if let Some((next, _)) = pieces.peek() {
            heap.push((*next, lane));
        }
    }
    out
}

/// A binary heap in which the place of equal items follows from its steps: (time or bucket, lane),
/// what is given next on top.
struct Heap {
    items: Vec<(i64, usize)>,
    descending: bool,
}

impl Heap {
    fn less(&self, a: usize, b: usize) -> bool {
        match (self.items.get(a), self.items.get(b)) {
            (Some(a), Some(b)) if self.descending => a.0 > b.0,
            (Some(a), Some(b)) => a.0 < b.0,
            _ => false,
        }
    }

    fn push(&mut self, item: (i64, usize)) {
        self.items.push(item);
        let mut at = self.items.len() - 1;
        while at > 0 && self.less(at, (at - 1) / 2) {
            self.items.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn pop(&mut self) -> Option<(i64, usize)> {
        let last = self.items.len().checked_sub(1)?;
        self.items.swap(0, last);
        self.sink(0, last);
        self.items.pop()
    }

    /// Moves the item at a place down among the first `len`.
    fn sink(&mut self, at: usize, len: usize) {
        let mut at = at;
        loop {
            let left = 2 * at + 1;
            if left >= len {
                return;
            }
            let right = left + 1;
            let child = if right < len && self.less(right, left) { right } else { left };
            if !self.less(child, at) {
                return;
            }
            self.items.swap(at, child);
            at = child;
        }
    }
}

fn add_up(values: &[f64]) -> f64 {
    values.iter().copied().reduce(|sum, value| sum + value).unwrap_or(0.0)
}

fn sum(pieces: &[Vec<f64>]) -> f64 {
    add_up(&pieces.iter().map(|values| add_up(values)).collect::<Vec<_>>())
}

/// The mean of the series' means, each as often as it has values.
fn mean(pieces: &[Vec<f64>]) -> f64 {
    let count: u64 = pieces.iter().map(|values| values.len() as u64).sum();
    let weighed = |values: &Vec<f64>| {
        let count = values.len() as f64;
        let mean = add_up(values) / count;
        if values.len() < 2 { mean } else { mean * count }
    };
    let mean = add_up(&pieces.iter().map(weighed).collect::<Vec<_>>()) / count as f64;
    if count < 2 { mean } else { mean * count as f64 / count as f64 }
}

/// The sample deviation in two passes; not a number for less than two values.
fn deviation(values: &[f64]) -> f64 {
    let numbers = || values.iter().copied().filter(|value| !value.is_nan());
    let (mut mean, mut count) = (0.0, 0u64);
    for value in numbers() {
        count += 1;
        mean += (value - mean) / count as f64;
    }
    if count < 2 {
        return f64::NAN;
    }
    let squares = numbers().map(|value| (value - mean) * (value - mean));
    (squares.fold(0.0, |sum, square| sum + square) / (count - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TimeRange;
    use crate::shard::scan::Buckets;

    fn timing(width_ns: i64) -> Timing {
        let range = TimeRange::new(0, 1000);
        let buckets = Buckets::Even { width_ns, offset_ns: 0 };
        Timing { range, buckets, width_ns, offset_ns: 0, zone: None }
    }

    fn few(series: &[(&str, &[(i64, f64)])]) -> Few {
        let mut few = Few::default();
        for (at, (name, values)) in series.iter().enumerate() {
            let mut key = Vec::new();
            series_key::write_key(b"m", &[(b"h", name.as_bytes())], &mut key);
            few.series.push(key.into());
            few.values.extend(values.iter().map(|(time, value)| (at as u32, *time, *value)));
        }
        few
    }

    fn value(kind: Kind, few: &Few, descending: bool) -> f64 {
        let found = by_bucket(kind, few, &timing(100), descending).unwrap();
        match found.get(&0).and_then(|point| point.value.clone()) {
            Some(Value::Float(value)) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_series_is_added_from_left_to_right() {
        let values = [(0, 0.1), (1, 0.2), (2, 0.3), (3, 1e16), (4, -1e16)];
        let one = few(&[("a", &values)]);
        assert_eq!(value(Kind::Sum, &one, false), 0.1 + 0.2 + 0.3 + 1e16 - 1e16);
        assert_eq!(value(Kind::Sum, &one, true), -1e16 + 1e16 + 0.3 + 0.2 + 0.1);
        assert_eq!(value(Kind::Mean, &one, true), 0.6 / 5.0);
    }

    #[test]
    fn series_are_added_up_by_themselves_in_the_order_of_their_texts() {
        let all = few(&[("c", &[(5, 1e16)]), ("a", &[(0, 1.0), (9, 1.0)]), ("b", &[(3, -1e16)])]);
        // Two halves: a, then b and c.
        assert_eq!(value(Kind::Sum, &all, false), (2.0 - 1e16) + 1e16);
        let twice = few(&[("a", &[(0, 1.0)]), ("a", &[(0, 1.0)])]);
        assert!(by_bucket(Kind::Sum, &twice, &timing(100), false).is_none());
    }

    #[test]
    fn deviations_take_two_passes() {
        let two = few(&[("a", &[(0, 1.0), (1, 3.0)])]);
        assert_eq!(value(Kind::Stddev, &two, false), 2f64.sqrt());
        assert!(value(Kind::Stddev, &few(&[("a", &[(0, 1.0)])]), false).is_nan());
    }

    #[test]
    fn a_heap_of_equal_times_gives_the_last_series_second() {
        let lane = |name: char| vec![(0, name), (1, name)];
        let found = interleaved("abc".chars().map(lane).collect(), false);
        let names: String = found.iter().map(|(_, name)| *name).collect();
        assert_eq!(names, "acbcba");
        let found = interleaved("ab".chars().map(lane).collect(), false);
        assert_eq!(found.iter().map(|(_, name)| *name).collect::<String>(), "abab");
    }

    #[test]
    fn a_mean_is_handed_on_twice() {
        let mean = 1.0 / 49.0;
        assert_eq!(handed_on(mean, 49), (mean * 49.0 / 49.0) * 49.0 / 49.0);
        assert_eq!(handed_on(0.1, 1), 0.1);
    }
}
