//! What numbers of a range come to: `avg count dev least_squares max min percentile sum`.
//!
//! In: the points of one range. Out: one double (two for `least_squares`, a long for `count`). All
//! arithmetic is in doubles. Deviations and lines are computed around running means (Welford), so
//! large offsets cost no digits.

use super::ranged::{Stamp, Summary};
use super::{Work, number};
use crate::kairos::Failure;
use crate::kairos::point::{Datum, Point};
use crate::kairos::request::Deviation;

#[derive(Default)]
pub struct Sum(f64);

impl Summary for Sum {
    fn add(&mut self, point: Point, _work: &Work) -> Result<(), Failure> {
        self.0 += number(&point)?;
        Ok(())
    }

    fn close(&mut self, stamp: Stamp, out: &mut Vec<Point>, _work: &Work) {
        out.push(Point::double(stamp.time(), std::mem::take(self).0));
    }
}

#[derive(Default)]
pub struct Avg {
    sum: f64,
    count: u64,
}

impl Summary for Avg {
    fn add(&mut self, point: Point, _work: &Work) -> Result<(), Failure> {
        self.sum += number(&point)?;
        self.count += 1;
        Ok(())
    }

    fn close(&mut self, stamp: Stamp, out: &mut Vec<Point>, _work: &Work) {
        let Avg { sum, count } = std::mem::take(self);
        out.push(Point::double(stamp.time(), sum / count as f64));
    }
}

#[derive(Default)]
pub struct Count(i64);

impl Summary for Count {
    fn add(&mut self, _point: Point, _work: &Work) -> Result<(), Failure> {
        self.0 += 1;
        Ok(())
    }

    fn close(&mut self, stamp: Stamp, out: &mut Vec<Point>, _work: &Work) {
        let value = Datum::Long(std::mem::take(self).0);
        out.push(Point { time: stamp.time(), value });
    }
}

/// The largest value, or the smallest.
#[derive(Default)]
pub struct Extreme<const LARGEST: bool>(Option<f64>);

impl<const LARGEST: bool> Summary for Extreme<LARGEST> {
    fn add(&mut self, point: Point, _work: &Work) -> Result<(), Failure> {
        let value = number(&point)?;
        let beats = |held: f64| if LARGEST { value > held } else { value < held };
        if self.0.is_none_or(beats) {
            self.0 = Some(value);
        }
        Ok(())
    }

    fn close(&mut self, stamp: Stamp, out: &mut Vec<Point>, _work: &Work) {
        out.extend(self.0.take().map(|value| Point::double(stamp.time(), value)));
    }
}

/// The sample standard deviation.
pub struct Dev {
    result: Deviation,
    times: f64,
    count: u64,
    mean: f64,
    squares: f64,
}

impl Default for Dev {
    fn default() -> Dev {
        Dev::new(Deviation::Value, 1.0)
    }
}

impl Dev {
    /// `times` deviations above or below the mean, or the deviation itself.
    pub fn new(result: Deviation, times: f64) -> Dev {
        Dev { result, times, count: 0, mean: 0.0, squares: 0.0 }
    }
}

/// What `dev` gives for `count` values with this mean and sum of squared distances from it.
pub fn deviation(result: Deviation, times: f64, count: u64, mean: f64, squares: f64) -> f64 {
    let deviation = if count < 2 { 0.0 } else { (squares / (count - 1) as f64).sqrt() };
    match result {
        Deviation::Value => deviation,
        Deviation::Above => mean + times * deviation,
        Deviation::Below => mean - times * deviation,
    }
}

impl Summary for Dev {
    fn add(&mut self, point: Point, _work: &Work) -> Result<(), Failure> {
        let value = number(&point)?;
        self.count += 1;
        let distance = value - self.mean;
        self.mean += distance / self.count as f64;
        self.squares += distance * (value - self.mean);
        Ok(())
    }

    fn close(&mut self, stamp: Stamp, out: &mut Vec<Point>, _work: &Work) {
        let Dev { result, times, count, mean, squares } = *self;
        *self = Dev::new(result, times);
        let value = deviation(result, times, count, mean, squares);
        out.push(Point::double(stamp.time(), value));
    }
}

/// A percentile, exact.
#[derive(Default)]
pub struct Percentile {
    rank: f64,
    values: Vec<f64>,
}

impl Percentile {
    /// `rank` in 0 to 1.
    pub fn new(rank: f64) -> Percentile {
        Percentile { rank, values: Vec::new() }
    }
}

impl Summary for Percentile {
    fn add(&mut self, point: Point, work: &Work) -> Result<(), Failure> {
        let value = number(&point)?;
        if self.values.len() == self.values.capacity() {
            let more = 8 * self.values.len().max(64);
            work.hold(more)?;
        }
        self.values.push(value);
        Ok(())
    }

    fn close(&mut self, stamp: Stamp, out: &mut Vec<Point>, _work: &Work) {
        self.values.sort_unstable_by(f64::total_cmp);
        let value = percentile(self.rank, &self.values);
        out.extend(value.map(|value| Point::double(stamp.time(), value)));
        self.values.clear();
    }
}

/// The percentile of sorted values: between those around place `rank * (n + 1)`, counted from 1.
fn percentile(rank: f64, sorted: &[f64]) -> Option<f64> {
    let place = rank * (sorted.len() as f64 + 1.0);
    if place < 1.0 {
        return sorted.first().copied();
    }
    if place >= sorted.len() as f64 {
        return sorted.last().copied();
    }
    let below = place.floor();
    let at = below as usize - 1;
    let (low, high) = (sorted.get(at)?, sorted.get(at + 1)?);
    Some(low + (place - below) * (high - low))
}

/// The line through the points of a range, by its ends.
#[derive(Default)]
pub struct LeastSquares {
    /// The first two points, as they are.
    head: Vec<Point>,
    last: i64,
    count: u64,
    /// Means, times counted from the first.
    time: f64,
    value: f64,
    /// Sums of squares of times, and of times by values, around the means.
    spread: f64,
    common: f64,
}

impl Summary for LeastSquares {
    fn add(&mut self, point: Point, _work: &Work) -> Result<(), Failure> {
        let value = number(&point)?;
        let origin = self.head.first().map_or(point.time, |first| first.time);
        let time = point.time.wrapping_sub(origin) as f64;
        self.count += 1;
        let (by_time, by_value) = (time - self.time, value - self.value);
        self.time += by_time / self.count as f64;
        self.value += by_value / self.count as f64;
        self.spread += by_time * (time - self.time);
        self.common += by_time * (value - self.value);
        self.last = point.time;
        if self.head.len() < 2 {
            self.head.push(Point::double(point.time, value));
        }
        Ok(())
    }

    fn close(&mut self, _stamp: Stamp, out: &mut Vec<Point>, _work: &Work) {
        let done = std::mem::take(self);
        let Some(first) = done.head.first().filter(|_| done.count > 2).map(|point| point.time)
        else {
            return out.extend(done.head);
        };
        let slope = done.common / done.spread;
        for time in [first, done.last] {
            let since = time.wrapping_sub(first) as f64;
            out.push(Point::double(time, done.value + slope * (since - done.time)));
        }
    }
}
