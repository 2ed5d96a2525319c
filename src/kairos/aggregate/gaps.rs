//! `gaps`: a point without value in every range that has no point.
//!
//! In: points. Out: the same, with nulls at the starts of empty ranges, from the range of the start
//! to the last one that starts before the end (or now); trimmed: between the first and the last
//! point only. The number of nulls is bounded.

use super::{Operator, Work};
use crate::kairos::Failure;
use crate::kairos::point::{Datum, Point};
use crate::kairos::range::Ranges;
use crate::kairos::request::Sampling;

/// Nulls that one result may get.
const NULLS_MAX: u64 = 1_000_000;

pub struct Gaps {
    ranges: Ranges,
    trim: bool,
    /// The last range starts here or earlier.
    last: i64,
    /// The range that is looked for a point.
    next: Option<i64>,
    nulls: u64,
}

/// Refuses a query whose ranges are more than the nulls that may be given: known before anything
/// is read.
///
/// # Errors
/// Too many ranges.
pub fn check(sampling: &Sampling, trim: bool, end: Option<i64>, now: i64) -> Result<(), Failure> {
    let ranges = sampling.ranges();
    let last = ranges.number(end.map_or(now, |end| end.min(now)));
    let count = last.saturating_sub(ranges.number(sampling.start));
    if trim || u64::try_from(count).is_ok_and(|count| count < NULLS_MAX) || count < 0 {
        return Ok(());
    }
    Err(too_many())
}

fn too_many() -> Failure {
    Failure::bad(format!("gaps would give more than {NULLS_MAX} points without a value"))
}

impl Gaps {
    /// `end`: the query's, if it has one.
    pub fn new(sampling: &Sampling, trim: bool, end: Option<i64>, now: i64) -> Gaps {
        let ranges = sampling.ranges();
        let next = (!trim).then(|| ranges.number(sampling.start));
        let last = end.map_or(now, |end| end.min(now));
        Gaps { ranges, trim, last, next, nulls: 0 }
    }

    fn fill(&mut self, number: i64, out: &mut Vec<Point>) -> Result<(), Failure> {
        self.nulls += 1;
        if self.nulls > NULLS_MAX {
            return Err(too_many());
        }
        out.push(Point { time: self.ranges.start(number), value: Datum::Null });
        Ok(())
    }
}

impl Operator for Gaps {
    fn take(
        &mut self,
        points: &mut Vec<Point>,
        out: &mut Vec<Point>,
        _work: &Work,
    ) -> Result<(), Failure> {
        for point in points.drain(..) {
            let number = self.ranges.number(point.time);
            let mut next = self.next.unwrap_or(number);
            while next < number {
                self.fill(next, out)?;
                next += 1;
            }
            self.next = Some(next.max(number.saturating_add(1)));
            out.push(point);
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<Point>, _work: &Work) -> Result<(), Failure> {
        if self.trim {
            return Ok(());
        }
        let Some(mut next) = self.next.take() else { return Ok(()) };
        while self.ranges.start(next) <= self.last {
            self.fill(next, out)?;
            next += 1;
        }
        Ok(())
    }
}
