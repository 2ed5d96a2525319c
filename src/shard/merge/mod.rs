//! Merging sources of the same rows: a later write wins, column by column.
//!
//! In: Blocks of several sources (active head, frozen head, sections of segments), each source in
//! (measurement, series, time) order. Out: Blocks in that order with each (series, time) once, the
//! union of the columns. Where sources are disjoint in time their rows are copied in stretches;
//! where they meet at one time, each column comes from the source with the highest `max_seq` that
//! has a value there. The hidden expiry is that of the newest row alone, because the winner's
//! expiry counts. Synchronous: who reads the sources feeds `Merger`.

mod fill;
mod merger;
mod plan;

#[cfg(test)]
mod tests;

pub use merger::Merger;

use crate::model::{Bitmap, ColumnId, Values};
use crate::shard::block::Block;
use plan::{Plan, Source};

/// A Block to be merged with others.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Later wins; equal numbers mean parts of one source, where the later input wins.
    pub max_seq: u64,
    pub block: &'a Block,
}

/// Appends the merged rows of `inputs` to `out`. The rows of `out`, if any, must come before.
pub fn merge(inputs: &[Input<'_>], out: &mut Block) {
    let mut sources: Vec<Source<'_>> =
        inputs.iter().map(|input| Source::new(input.max_seq, input.block)).collect();
    let mut plan = Plan::default();
    while plan.advance(&mut sources, usize::MAX) {}
    fill::append(&plan, &sources, out);
    fill::finish(out);
}

/// Removes the rows whose hidden expiry is at or before `now` (ns). To be called after the merge:
/// the expiry of an overwritten row means nothing.
pub fn drop_expired(block: &mut Block, now: i64) {
    let Some(column) = block.column(ColumnId::EXPIRE) else { return };
    let Values::Integer(values) = &column.values else { return };
    let mut keep = Bitmap::filled(block.rows(), true);
    for (row, expiry) in values.iter().enumerate() {
        if *expiry <= now && column.is_valid(row) {
            keep.set(row, false);
        }
    }
    block.retain(&keep);
}
