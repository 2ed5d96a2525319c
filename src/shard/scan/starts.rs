//! Which buckets have rows at all, where there are far more buckets than rows.
//!
//! In: a plan, buckets of one width. Out: their starts, ascending, each once, as `Rows` of times
//! alone. Series are mostly written at the same instants, so a start that another series had is
//! found next to the one before it; only new ones are sorted. No column is read.

use super::aggregate::{note, send};
use super::buckets::cut;
use super::guard::Guard;
use super::known::ReadAll;
use super::partial::{Part, Rows, ScanError};
use super::plan::Plan;
use super::read::{Stream, Wanted};
use super::request::Buckets;
use crate::env::Env;
use crate::model::ColumnId;

/// Starts in a part.
const PART_STARTS: usize = 16_384;
/// New starts that wait for being put in order, at least.
const NEW_MIN: usize = 256;
/// A start is looked for so far behind the one before it, and farther by halving.
const NEAR: usize = 4;

/// Answers the question part by part.
///
/// # Errors
/// When the question was cancelled, took too long or too much memory, or when a file cannot be
/// read.
pub async fn run<E: Env, C: Fn() -> bool>(
    plan: &Plan<'_, E>,
    guard: &Guard<'_, E, C>,
    buckets: &Buckets,
    emit: &impl AsyncFn(Part) -> bool,
) -> Result<(), ScanError> {
    let batch = plan.batch(0..plan.groups());
    let wanted = Wanted { columns: [ColumnId::EXPIRE].into(), ..batch.wanted.clone() };
    let limit = plan.request.memory_bytes;
    let mut found = Starts::default();
    for stretch in &plan.stretches() {
        let Some(partition) = plan.partitions.get(stretch.partition) else { continue };
        let mut stream = Stream::open(guard, partition, stretch, stretch.range, &wanted).await?;
        while let Some(block) = stream.next(guard, &mut ReadAll).await? {
            note(guard, &block);
            let mut hint = 0;
            for run in &block.runs {
                if batch.find(run.series, &mut hint).is_none() {
                    continue;
                }
                let times = block.times.get(run.range()).unwrap_or(&[]);
                found.begin();
                cut(buckets, times, run.step, |bucket, _| found.add(buckets.start(bucket)));
                found.settle();
            }
            if found.bytes() > limit {
                return Err(ScanError::Memory { limit });
            }
            guard.check().await?;
        }
    }
    for starts in found.finish().chunks(PART_STARTS) {
        let (group, series, series_of) = (Default::default(), Vec::new(), Vec::new());
        let rows = Rows { group, series, series_of, times: starts.to_vec(), fields: Vec::new() };
        send(guard, emit, Part::Rows(vec![rows])).await?;
    }
    Ok(())
}

/// The starts met so far.
#[derive(Default)]
struct Starts {
    /// Ascending, each once.
    known: Vec<i64>,
    /// Not among these, when they were looked for.
    new: Vec<i64>,
    /// Where the start before was, or would be.
    at: usize,
}

impl Starts {
    /// Starts of another series follow, from the first on.
    fn begin(&mut self) {
        self.at = 0;
    }

    /// Adds a start that lies behind the one before.
    fn add(&mut self, start: i64) {
        let near = self.known.get(self.at..).unwrap_or(&[]).iter().take(NEAR);
        let steps = near.take_while(|known| **known < start).count();
        self.at += steps;
        if steps == NEAR {
            let rest = self.known.get(self.at..).unwrap_or(&[]);
            self.at += rest.partition_point(|known| *known < start);
        }
        if self.known.get(self.at) != Some(&start) {
            self.new.push(start);
        }
    }

    /// Puts new starts in order once they are many.
    fn settle(&mut self) {
        if self.new.len() >= NEW_MIN.max(self.known.len() / 8) {
            self.merge();
        }
    }

    fn merge(&mut self) {
        self.new.sort_unstable();
        let behind = self.known.last() < self.new.first();
        self.known.append(&mut self.new);
        if !behind {
            // Two ascending runs: a stable sort finds and merges them.
            self.known.sort();
        }
        self.known.dedup();
    }

    fn bytes(&self) -> usize {
        (self.known.len() + self.new.len()) * size_of::<i64>()
    }

    fn finish(mut self) -> Vec<i64> {
        self.merge();
        self.known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn every_start_is_kept_once(
            runs in prop::collection::vec(prop::collection::btree_set(-50i64..2_000, 0..300), 0..12),
        ) {
            let mut starts = Starts::default();
            for run in &runs {
                starts.begin();
                run.iter().for_each(|start| starts.add(*start));
                starts.settle();
            }
            let expected: BTreeSet<i64> = runs.into_iter().flatten().collect();
            prop_assert_eq!(starts.finish(), expected.into_iter().collect::<Vec<_>>());
        }
    }
}
