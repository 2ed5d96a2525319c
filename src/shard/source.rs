//! A section as ordered streams of Blocks: what merges and scans read.
//!
//! A flush writes rows of different layouts one after the other, so a section may go through the
//! keys several times; each time is a `Pass` whose Blocks are in (measurement, series, time) order.

use super::block::Block;
use super::segment::{ChunkId, ChunkInfo, Cursor, Reader, SegmentError, Select, Sieve, Step};
use super::version::Section;
use crate::env::Env;
use std::rc::Rc;

/// One way through the keys of a section.
pub struct Pass<E: Env> {
    cursor: Cursor<E>,
    /// The newest record the section may hold: decides who wins.
    pub max_seq: u64,
}

impl<E: Env> Pass<E> {
    /// The chunk that `next` looks at next; not all have a selected row. `None` at the end.
    pub async fn peek(&mut self) -> Result<Option<ChunkInfo>, SegmentError> {
        self.cursor.peek().await
    }

    /// Passes over the chunk that `peek` gave.
    pub fn skip(&mut self) {
        self.cursor.skip();
    }

    /// The file.
    pub fn reader(&self) -> &Rc<Reader<E>> {
        self.cursor.reader()
    }

    /// What the next chunk has; see `Cursor::step`.
    pub async fn step(&mut self, sieve: Option<&dyn Sieve>) -> Result<Step, SegmentError> {
        self.cursor.step(sieve).await
    }

    /// The next rows; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Block>, SegmentError> {
        self.cursor.next().await
    }

    /// The same pass for a merge, which reads a section once and then drops it.
    pub fn past_cache(self) -> Pass<E> {
        Pass { cursor: self.cursor.past_cache(), ..self }
    }
}

/// The passes of a section that hold selected chunks. Reads directories only.
pub async fn passes<E: Env>(
    section: &Section<E>,
    select: &Select,
) -> Result<Vec<Pass<E>>, SegmentError> {
    let mut scout = section.reader.cursor(section.index, select.clone());
    let mut bounds: Vec<(ChunkId, ChunkId)> = Vec::new();
    let mut last_key = None;
    while let Some(chunk) = scout.peek().await? {
        match (&last_key, bounds.last_mut()) {
            (Some(key), Some(bound)) if chunk.first >= *key => bound.1 = chunk.id,
            _ => bounds.push((chunk.id, chunk.id)),
        }
        last_key = Some(chunk.last);
        scout.skip();
    }
    let pass = |(first, last): (ChunkId, ChunkId)| Pass {
        cursor: section.reader.cursor(section.index, select.clone()).between(first, last),
        max_seq: section.meta.key.max_seq,
    };
    Ok(bounds.into_iter().map(pass).collect())
}
