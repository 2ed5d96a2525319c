//! Rows that come late, and rows that come twice.
//!
//! In: each row when its turn is. Out: whether it is sent then, and the rows that are due at the
//! end of a point. A late row comes after one of the same series with a later time; a second
//! sending has the same values. Nothing is held beyond the last point.

use super::{Host, Random, Shape, Value};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Points that a row is late at most.
const LATE_MAX: u64 = 10;

/// A row that owns what it needs.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    pub host: Option<Rc<Host>>,
    /// Place in the schema.
    pub measurement: usize,
    pub seconds: i64,
    pub values: Vec<Value>,
}

/// The rows held back.
pub struct Disorder {
    random: Random,
    late: f64,
    twice: f64,
    /// By the point at whose end they are due.
    held: BTreeMap<u32, Vec<Sent>>,
    ready: VecDeque<Sent>,
}

impl Disorder {
    pub fn new(shape: &Shape) -> Disorder {
        Disorder {
            random: Random::new(!shape.seed),
            late: shape.out_of_order,
            twice: shape.duplicates,
            held: BTreeMap::new(),
            ready: VecDeque::new(),
        }
    }

    /// A row that is due.
    pub fn due(&mut self) -> Option<Sent> {
        self.ready.pop_front()
    }

    /// Whether a row of this point is sent now; `last` is the last point there is.
    pub fn pass(&mut self, row: &Sent, point: u32, last: u32) -> bool {
        if self.twice > 0.0 && self.random.unit() < self.twice {
            let until = point.saturating_add(self.random.below(LATE_MAX) as u32);
            self.held.entry(until.min(last)).or_default().push(row.clone());
        }
        if self.late > 0.0 && point < last && self.random.unit() < self.late {
            let until = point.saturating_add(1 + self.random.below(LATE_MAX) as u32);
            self.held.entry(until.min(last)).or_default().push(row.clone());
            return false;
        }
        true
    }

    /// All rows of a point have had their turn.
    pub fn end_point(&mut self, point: u32) {
        if let Some(rows) = self.held.remove(&point) {
            self.ready.extend(rows);
        }
    }
}
