//! The merge of streams: sources that deliver their rows Block by Block.
//!
//! The driver asks `wants` which source must deliver, reads it (this is where it waits), and gives
//! the Block with `push` or ends the source with `finish`; then `next` gives merged rows. One Block
//! per source is held. The output depends on the rows alone, not on how sources cut them into
//! Blocks: it comes in Blocks of exactly the asked number of rows, but for the last.

use super::fill;
use super::plan::{Plan, Source};
use crate::shard::block::Block;

#[derive(Debug)]
struct Stream {
    max_seq: u64,
    /// The current Block and the place of the first row not taken.
    block: Block,
    run: usize,
    row: usize,
    finished: bool,
}

impl Stream {
    fn is_empty(&self) -> bool {
        self.run >= self.block.runs.len()
    }
}

/// Merges any number of sources.
#[derive(Debug)]
pub struct Merger {
    streams: Vec<Stream>,
    /// Merged rows that are not given yet.
    pending: Block,
}

impl Merger {
    /// `max_seqs`: one per source, in the order of their numbers; a later write wins. A source that
    /// comes in several passes over the keys is several sources of one number.
    pub fn new(max_seqs: &[u64]) -> Merger {
        let stream = |max_seq: &u64| Stream {
            max_seq: *max_seq,
            block: Block::default(),
            run: 0,
            row: 0,
            finished: false,
        };
        Merger { streams: max_seqs.iter().map(stream).collect(), pending: Block::default() }
    }

    /// A source that must deliver or finish before more can be merged.
    pub fn wants(&self) -> Option<usize> {
        self.streams.iter().position(|stream| stream.is_empty() && !stream.finished)
    }

    /// Takes the next Block of a source that was asked for; its keys come after all that the source
    /// gave before (a series may go on in it). An empty Block changes nothing.
    pub fn push(&mut self, input: usize, block: Block) {
        let Some(stream) = self.streams.get_mut(input) else { return };
        debug_assert!(stream.is_empty() && !stream.finished);
        (stream.block, stream.run, stream.row) = (block, 0, 0);
    }

    /// Notes that a source has no more rows.
    pub fn finish(&mut self, input: usize) {
        if let Some(stream) = self.streams.get_mut(input) {
            stream.finished = true;
        }
    }

    /// Whether all rows were given.
    pub fn is_done(&self) -> bool {
        self.has_ended() && self.pending.rows() == 0
    }

    fn has_ended(&self) -> bool {
        self.streams.iter().all(|stream| stream.is_empty() && stream.finished)
    }

    /// The next `rows_max` merged rows, or fewer at the very end. `None`: see `wants` and
    /// `is_done`.
    pub fn next(&mut self, rows_max: usize) -> Option<Block> {
        let rows_max = rows_max.max(1);
        if self.pending.rows() < rows_max && self.wants().is_none() {
            self.merge(rows_max);
        }
        if self.pending.rows() == 0 || (self.pending.rows() < rows_max && !self.has_ended()) {
            return None;
        }
        let mut block = std::mem::take(&mut self.pending);
        fill::finish(&mut block);
        Some(block)
    }

    /// Merges until `rows_max` rows are pending or a source runs out of its Block.
    fn merge(&mut self, rows_max: usize) {
        let mut sources: Vec<Source<'_>> = self
            .streams
            .iter()
            .map(|stream| Source {
                max_seq: stream.max_seq,
                block: &stream.block,
                run: stream.run,
                row: stream.row,
            })
            .collect();
        let live: Vec<bool> = self.streams.iter().map(|stream| !stream.finished).collect();
        let mut plan = Plan::default();
        let room = rows_max - self.pending.rows();
        while plan.rows < room && plan.advance(&mut sources, room - plan.rows) {
            if sources.iter().zip(&live).any(|(source, live)| *live && source.is_done()) {
                break;
            }
        }
        fill::append(&plan, &sources, &mut self.pending);
        let places: Vec<(usize, usize)> =
            sources.iter().map(|source| (source.run, source.row)).collect();
        for (stream, (run, row)) in self.streams.iter_mut().zip(places) {
            (stream.run, stream.row) = (run, row);
        }
    }
}
