//! Points chosen as they are: `first`, `last`, `trim`.
//!
//! In: points. Out: some of them, with their types.

use super::ranged::{Stamp, Summary};
use super::{Operator, Work};
use crate::kairos::Failure;
use crate::kairos::point::Point;
use crate::kairos::request::Trim;

/// The first point of a range.
#[derive(Default)]
pub struct First(Option<Point>);

impl Summary for First {
    fn add(&mut self, point: Point, _work: &Work) -> Result<(), Failure> {
        self.0.get_or_insert(point);
        Ok(())
    }

    fn close(&mut self, stamp: Stamp, out: &mut Vec<Point>, _work: &Work) {
        let stamped = |point: Point| Point { time: stamp.time(), ..point };
        out.extend(self.0.take().map(stamped));
    }
}

/// The last point of a range; it keeps its own time unless a flag asks for another.
#[derive(Default)]
pub struct Last(Option<Point>);

impl Summary for Last {
    fn add(&mut self, point: Point, _work: &Work) -> Result<(), Failure> {
        self.0 = Some(point);
        Ok(())
    }

    fn close(&mut self, stamp: Stamp, out: &mut Vec<Point>, _work: &Work) {
        let stamped = |point: Point| Point { time: stamp.aligned.unwrap_or(point.time), ..point };
        out.extend(self.0.take().map(stamped));
    }
}

/// `trim`: takes away the first point of all, the last, or both.
pub struct Ends {
    ends: Trim,
    begun: bool,
    held: Option<Point>,
}

impl Ends {
    /// Takes away these.
    pub fn new(ends: Trim) -> Ends {
        Ends { ends, begun: false, held: None }
    }
}

impl Operator for Ends {
    fn take(
        &mut self,
        points: &mut Vec<Point>,
        out: &mut Vec<Point>,
        _work: &Work,
    ) -> Result<(), Failure> {
        let (first, last) = match self.ends {
            Trim::None => (false, false),
            Trim::First => (true, false),
            Trim::Last => (false, true),
            Trim::Both => (true, true),
        };
        let skip = usize::from(first && !self.begun && !points.is_empty());
        self.begun |= !points.is_empty();
        let rest = points.drain(..).skip(skip);
        if !last {
            out.extend(rest);
            return Ok(());
        }
        for point in rest {
            out.extend(self.held.replace(point));
        }
        Ok(())
    }
}
