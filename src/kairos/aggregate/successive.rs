//! Aggregators over neighbouring points: `rate`, `sampler`, `diff`, `sma`.
//!
//! In: points. Out: one for each point that has enough before it.

use super::{Operator, Work, number};
use crate::kairos::Failure;
use crate::kairos::point::Point;
use crate::kairos::range::Span;
use jiff::tz::TimeZone;
use std::collections::VecDeque;

/// What is made of two points.
enum Pair {
    Diff,
    /// The change, over this time.
    Rate(Span, TimeZone),
    /// The later value, over this time.
    Sampler(Span, TimeZone),
}

/// Each point with the one before it.
pub struct Successive {
    pair: Pair,
    before: Option<(i64, f64)>,
}

impl Successive {
    /// Differences of values.
    pub fn diff() -> Successive {
        Successive { pair: Pair::Diff, before: None }
    }

    /// Change per span, which is measured from the earlier point on.
    pub fn rate(span: Span, zone: TimeZone) -> Successive {
        Successive { pair: Pair::Rate(span, zone), before: None }
    }

    /// Value per span.
    pub fn sampler(span: Span, zone: TimeZone) -> Successive {
        Successive { pair: Pair::Sampler(span, zone), before: None }
    }

    fn of(&self, (from, old): (i64, f64), (to, new): (i64, f64)) -> Result<f64, Failure> {
        let per = |name: &str, value: f64, span: &Span, zone: &TimeZone| {
            let apart = to.wrapping_sub(from);
            if apart == 0 {
                return Err(same_time(name));
            }
            Ok(value / apart as f64 * span.length_from(from, zone) as f64)
        };
        match &self.pair {
            Pair::Diff => Ok(new - old),
            Pair::Rate(span, zone) => per("rate", new - old, span, zone),
            Pair::Sampler(span, zone) => per("sampler", new, span, zone),
        }
    }
}

fn same_time(name: &str) -> Failure {
    Failure::internal(format!(
        "The {name} aggregator cannot compute rate for data points with the same time stamp.  You \
         must precede {name} with another aggregator."
    ))
}

impl Operator for Successive {
    fn take(
        &mut self,
        points: &mut Vec<Point>,
        out: &mut Vec<Point>,
        _work: &Work,
    ) -> Result<(), Failure> {
        for point in points.drain(..) {
            let now = (point.time, number(&point)?);
            if let Some(before) = self.before.replace(now) {
                out.push(Point::double(point.time, self.of(before, now)?));
            }
        }
        Ok(())
    }
}

/// The mean of the last so many points.
pub struct Sma {
    size: usize,
    window: VecDeque<f64>,
    sum: f64,
    /// Points since the sum was made anew.
    steps: usize,
}

impl Sma {
    /// A mean of `size` points, at least one.
    pub fn new(size: usize) -> Sma {
        Sma { size: size.max(1), window: VecDeque::new(), sum: 0.0, steps: 0 }
    }
}

impl Operator for Sma {
    fn take(
        &mut self,
        points: &mut Vec<Point>,
        out: &mut Vec<Point>,
        work: &Work,
    ) -> Result<(), Failure> {
        for point in points.drain(..) {
            let value = number(&point)?;
            if self.window.len() == self.size {
                self.sum -= self.window.pop_front().unwrap_or(0.0);
            } else {
                work.hold(8)?;
            }
            self.window.push_back(value);
            self.sum += value;
            self.steps += 1;
            // Adding and taking away lets errors grow; now and then the sum is made anew.
            if self.steps >= self.size || !self.sum.is_finite() {
                self.steps = 0;
                self.sum = self.window.iter().sum();
            }
            if self.window.len() == self.size {
                out.push(Point::double(point.time, self.sum / self.size as f64));
            }
        }
        Ok(())
    }
}
