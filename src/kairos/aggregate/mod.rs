//! Chains of aggregators over the points of one result.
//!
//! In: points in order, block by block. Out: what the last aggregator makes of them, as soon as it
//! is known, so a chain holds only what its aggregators have to remember. Aggregators for numbers
//! let results of texts pass; what `count` made of texts are numbers.

mod gaps;
mod picks;
mod pointwise;
mod ranged;
mod save;
mod stats;
mod successive;
#[cfg(test)]
mod tests;

pub use save::{Destination, Saved, body};
pub use stats::deviation;

use super::Failure;
use super::point::Point;
use super::request::{Aggregator, RangeKind};
use crate::shard::scan::ScanError;
use std::cell::{Cell, RefCell};

/// One aggregator at work.
trait Operator {
    /// Takes all points of a block.
    fn take(
        &mut self,
        points: &mut Vec<Point>,
        out: &mut Vec<Point>,
        work: &Work,
    ) -> Result<(), Failure>;

    /// There are no more points.
    fn end(&mut self, _out: &mut Vec<Point>, _work: &Work) -> Result<(), Failure> {
        Ok(())
    }
}

/// What the chains of a query share: the bound on memory, points to be saved.
#[derive(Debug)]
pub struct Work {
    bytes: Cell<usize>,
    bytes_max: usize,
    saved: RefCell<Vec<Saved>>,
}

impl Work {
    /// Work that may hold so many bytes.
    pub fn new(bytes_max: usize) -> Work {
        Work { bytes: Cell::new(0), bytes_max, saved: RefCell::default() }
    }

    /// Takes memory.
    ///
    /// # Errors
    /// When the query holds too much.
    pub fn hold(&self, bytes: usize) -> Result<(), Failure> {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        if self.bytes.get() <= self.bytes_max {
            return Ok(());
        }
        let limit = self.bytes_max;
        Err(Failure::internal(format!("query needs more than {limit} bytes of memory")))
    }

    /// Bytes held now.
    pub fn held(&self) -> usize {
        self.bytes.get()
    }

    /// Gives back all memory taken since this much was held.
    pub fn release_to(&self, bytes: usize) {
        self.bytes.set(bytes);
    }

    /// The points that `save_as` met since the last call.
    pub fn take_saved(&self) -> Vec<Saved> {
        self.saved.take()
    }
}

impl From<ScanError> for Failure {
    fn from(error: ScanError) -> Failure {
        Failure::internal(error.to_string())
    }
}

/// What aggregators are told beside their properties.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Last instant of the query, if it has an end, and the present (ms).
    pub end: Option<i64>,
    pub now: i64,
    /// Whether the points are texts.
    pub text: bool,
    /// Where each `save_as` of the chain writes to, in order.
    pub saves: Vec<Destination>,
}

/// The aggregators of one result.
pub struct Chain {
    steps: Vec<Box<dyn Operator>>,
    spare: Vec<Point>,
}

impl Chain {
    /// A chain that has seen nothing.
    pub fn new(aggregators: &[Aggregator], setting: &Setting) -> Chain {
        let mut steps: Vec<Box<dyn Operator>> = Vec::new();
        let mut text = setting.text;
        let mut saves = setting.saves.iter().cloned();
        for aggregator in aggregators {
            if text && !takes_text(aggregator) {
                continue;
            }
            if let Aggregator::SaveAs(_) = aggregator {
                steps.extend(saves.next().map(|to| Box::new(save::Save(to)) as Box<dyn Operator>));
                continue;
            }
            steps.push(operator(aggregator, setting));
            text &= !matches!(aggregator, Aggregator::Range { kind: RangeKind::Count, .. });
        }
        Chain { steps, spare: Vec::new() }
    }

    /// Sends points through; what came out stands in `points` afterwards.
    pub fn push(&mut self, points: &mut Vec<Point>, work: &Work) -> Result<(), Failure> {
        for step in &mut self.steps {
            self.spare.clear();
            step.take(points, &mut self.spare, work)?;
            std::mem::swap(points, &mut self.spare);
        }
        Ok(())
    }

    /// Ends the chain; what was left in it stands in `points`.
    pub fn end(&mut self, points: &mut Vec<Point>, work: &Work) -> Result<(), Failure> {
        points.clear();
        for step in &mut self.steps {
            self.spare.clear();
            step.take(points, &mut self.spare, work)?;
            step.end(&mut self.spare, work)?;
            std::mem::swap(points, &mut self.spare);
        }
        Ok(())
    }
}

/// Refuses aggregators that would give too much, before anything is read.
///
/// # Errors
/// The first one that would.
pub fn check(aggregators: &[Aggregator], end: Option<i64>, now: i64) -> Result<(), Failure> {
    for aggregator in aggregators {
        if let Aggregator::Range { kind: RangeKind::Gaps { trim, end: own }, sampling } = aggregator
        {
            gaps::check(sampling, *trim, own.or(end), now)?;
        }
    }
    Ok(())
}

fn takes_text(aggregator: &Aggregator) -> bool {
    use RangeKind as R;
    match aggregator {
        Aggregator::Range { kind, .. } => {
            matches!(kind, R::Count | R::First | R::Last | R::Gaps { .. })
        }
        Aggregator::Filter { .. } | Aggregator::SaveAs(_) | Aggregator::Trim(_) => true,
        _ => false,
    }
}

fn operator(aggregator: &Aggregator, setting: &Setting) -> Box<dyn Operator> {
    use Aggregator as A;
    match aggregator {
        A::Range { kind: RangeKind::Gaps { trim, end }, sampling } => {
            Box::new(gaps::Gaps::new(sampling, *trim, end.or(setting.end), setting.now))
        }
        A::Range { kind, sampling } => ranged::operator(kind, sampling),
        A::Diff => Box::new(successive::Successive::diff()),
        A::Rate { span, zone } => Box::new(successive::Successive::rate(*span, zone.clone())),
        A::Sampler { span, zone } => Box::new(successive::Successive::sampler(*span, zone.clone())),
        A::Sma { size } => Box::new(successive::Sma::new(*size)),
        A::Scale { factor } => Box::new(pointwise::Scale(*factor)),
        A::Div { divisor } => Box::new(pointwise::Div(*divisor)),
        A::Filter { comparison, threshold } => {
            Box::new(pointwise::Filter { comparison: *comparison, threshold: threshold.clone() })
        }
        A::Score { thresholds, descending } => {
            Box::new(pointwise::Score { thresholds: thresholds.clone(), descending: *descending })
        }
        A::Trim(ends) => Box::new(picks::Ends::new(*ends)),
        A::SaveAs(_) => Box::new(picks::Ends::new(super::request::Trim::None)),
    }
}

/// A point's number.
///
/// # Errors
/// What `gaps` puts into empty ranges is none.
fn number(point: &Point) -> Result<f64, Failure> {
    let text = "No aggregator can be chained after gaps.";
    point.value.number().ok_or_else(|| Failure::internal(text))
}
