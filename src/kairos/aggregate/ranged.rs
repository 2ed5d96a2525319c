//! Aggregators that make points of the points of a range: the cutting and the stamping.
//!
//! In: points. Out: for each range with points what its `Summary` makes of them. Only the upper
//! end of the current range is looked at: points that come in descending order all belong to the
//! first one's range, as in KairosDB.

use super::stats::{Avg, Count, Dev, Extreme, LeastSquares, Percentile, Sum};
use super::{Operator, Work, picks};
use crate::kairos::Failure;
use crate::kairos::point::Point;
use crate::kairos::range::Ranges;
use crate::kairos::request::{RangeKind, Sampling};

/// What a range comes to.
pub trait Summary: Default {
    /// Takes the next point.
    fn add(&mut self, point: Point, work: &Work) -> Result<(), Failure>;

    /// Gives the range's points and forgets them.
    fn close(&mut self, stamp: Stamp, out: &mut Vec<Point>, work: &Work);
}

/// Which time a result gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// That of the first point of the range.
    pub first: i64,
    /// The one that an align flag asks for.
    pub aligned: Option<i64>,
}

impl Stamp {
    /// The aligned time, or that of the first point.
    pub fn time(self) -> i64 {
        self.aligned.unwrap_or(self.first)
    }
}

/// Cuts time and sums up.
struct Ranged<S> {
    ranges: Ranges,
    align: (bool, bool),
    open: Option<Open>,
    summary: S,
}

/// The current range.
#[derive(Clone, Copy)]
struct Open {
    first: i64,
    start: i64,
    /// First instant behind it.
    end: i64,
}

impl<S: Summary> Ranged<S> {
    fn boxed(sampling: &Sampling, summary: S) -> Box<dyn Operator>
    where
        S: 'static,
    {
        let align = (sampling.align_start, sampling.align_end);
        Box::new(Ranged { ranges: sampling.ranges(), align, open: None, summary })
    }

    fn close(&mut self, open: Open, out: &mut Vec<Point>, work: &Work) {
        let aligned = match self.align {
            (true, _) => Some(open.start),
            (false, true) => Some(open.end),
            (false, false) => None,
        };
        self.summary.close(Stamp { first: open.first, aligned }, out, work);
    }
}

impl<S: Summary> Operator for Ranged<S> {
    fn take(
        &mut self,
        points: &mut Vec<Point>,
        out: &mut Vec<Point>,
        work: &Work,
    ) -> Result<(), Failure> {
        for point in points.drain(..) {
            if self.open.is_none_or(|open| point.time >= open.end) {
                if let Some(open) = self.open.take() {
                    self.close(open, out, work);
                }
                let number = self.ranges.number(point.time);
                let (start, end) = (self.ranges.start(number), self.ranges.start(number + 1));
                self.open = Some(Open { first: point.time, start, end });
            }
            self.summary.add(point, work)?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<Point>, work: &Work) -> Result<(), Failure> {
        if let Some(open) = self.open.take() {
            self.close(open, out, work);
        }
        Ok(())
    }
}

impl Sampling {
    /// The ranges it cuts time into.
    pub fn ranges(&self) -> Ranges {
        Ranges::new(self.start, self.span, self.align_sampling, self.zone.clone())
    }
}

/// The operator of every kind but `gaps`, which passes points through.
pub fn operator(kind: &RangeKind, sampling: &Sampling) -> Box<dyn Operator> {
    match kind {
        RangeKind::Avg => Ranged::boxed(sampling, Avg::default()),
        RangeKind::Count => Ranged::boxed(sampling, Count::default()),
        RangeKind::Dev { result, count } => Ranged::boxed(sampling, Dev::new(*result, *count)),
        RangeKind::First => Ranged::boxed(sampling, picks::First::default()),
        RangeKind::Last | RangeKind::Gaps { .. } => Ranged::boxed(sampling, picks::Last::default()),
        RangeKind::LeastSquares => Ranged::boxed(sampling, LeastSquares::default()),
        RangeKind::Max => Ranged::boxed(sampling, Extreme::<true>::default()),
        RangeKind::Min => Ranged::boxed(sampling, Extreme::<false>::default()),
        RangeKind::Percentile(rank) => Ranged::boxed(sampling, Percentile::new(*rank)),
        RangeKind::Sum => Ranged::boxed(sampling, Sum::default()),
    }
}
