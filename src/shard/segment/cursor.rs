//! A cursor: the selected rows of a section, a Block per chunk.
//!
//! In: a reader and a selection. Out: Blocks in file order, with the selected runs, times and
//! columns. Directories and chunks that cannot hold a selected row are passed over unread. Where a
//! whole chunk is selected its pieces come in one read; else its runs come first and say whether
//! columns are needed.

use super::directory::{ChunkId, ChunkInfo, ColumnPlace, Directory};
use super::extract::{self, Fault, Rows};
use super::read::{self, Piece, Reader};
use super::{SegmentError, Select};
use crate::env::Env;
use crate::model::{Bitmap, Column, ColumnId};
use crate::shard::block::Block;
use crate::shard::cache::Bytes;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

/// Values decoded between two turns of other tasks: about 0.1 to 0.5 ms of work.
const YIELD_VALUES: usize = 16_384;

/// Reads the selected rows of one section.
pub struct Cursor<E: Env> {
    reader: Rc<Reader<E>>,
    select: Select,
    /// Directories that may hold a selected row and were not looked at yet.
    directories: VecDeque<u32>,
    chunks: VecDeque<Candidate>,
    /// Chunks before the first and behind the second are passed over.
    bounds: Option<(ChunkId, ChunkId)>,
    /// Values decoded since other tasks had a turn.
    decoded: usize,
    /// Whether chunks that come from the disk are kept in the cache.
    keep: bool,
}

/// What became of a chunk.
pub enum Step {
    /// Its rows, and how many more the sieve has taken.
    Rows(Block, usize),
    /// It has no row to show; so many were taken.
    Nothing(usize),
    /// There was no chunk left.
    End,
}

/// Says by some columns which rows are worth the others.
pub trait Sieve {
    /// The columns it looks at.
    fn columns(&self) -> &[ColumnId];

    /// The rows of a Block of these columns to be kept.
    fn keep(&self, block: &Block) -> Bitmap;
}

/// A chunk that may hold a selected row.
struct Candidate {
    info: ChunkInfo,
    columns: Vec<ColumnPlace>,
}

impl<E: Env> Cursor<E> {
    pub(super) fn new(reader: Rc<Reader<E>>, section: usize, select: Select) -> Cursor<E> {
        let directories = reader
            .directories_of(section)
            .filter(|(_, head)| select.overlaps(head.first, head.last, head.time))
            .map(|(number, _)| number)
            .collect();
        Cursor {
            reader,
            select,
            directories,
            chunks: VecDeque::new(),
            bounds: None,
            decoded: 0,
            keep: true,
        }
    }

    /// The file.
    pub fn reader(&self) -> &Rc<Reader<E>> {
        &self.reader
    }

    /// The same cursor for the chunks from `first` to `last` alone.
    pub fn between(mut self, first: ChunkId, last: ChunkId) -> Cursor<E> {
        self.directories.retain(|number| (first.directory..=last.directory).contains(number));
        self.bounds = Some((first, last));
        self
    }

    /// The same cursor for somebody who reads each chunk once and then never again: what it reads
    /// does not push out of the cache what queries come back to.
    pub fn past_cache(mut self) -> Cursor<E> {
        self.keep = false;
        self
    }

    /// The chunk that `next` looks at next, as its directory describes it; not all that may match
    /// do. `None` at the end. Reads no more than a directory.
    ///
    /// # Errors
    /// When the disk refuses or a directory is damaged; that directory's chunks are passed over
    /// then.
    pub async fn peek(&mut self) -> Result<Option<ChunkInfo>, SegmentError> {
        while self.chunks.is_empty() {
            let Some(number) = self.directories.pop_front() else { return Ok(None) };
            let bytes = self.reader.directory(number).await?;
            let Some(directory) = Directory::open(&bytes, number) else { continue };
            for info in directory.chunks() {
                let outside = |(first, last)| info.id < first || info.id > last;
                let apart = !self.select.overlaps(info.first, info.last, info.time);
                if apart || self.bounds.is_some_and(outside) {
                    continue;
                }
                let columns = self.wanted(directory.columns(info.id.index));
                if !columns.is_empty() || self.select.wants_rows() {
                    self.chunks.push_back(Candidate { info, columns });
                }
            }
        }
        Ok(self.chunks.front().map(|chunk| chunk.info))
    }

    /// Passes over the chunk that `peek` gave.
    pub fn skip(&mut self) {
        self.chunks.pop_front();
    }

    /// The next rows: those of one chunk, never none. Columns that the chunk does not have are left
    /// out. `None` at the end.
    ///
    /// # Errors
    /// When the disk refuses or a piece is damaged; the cursor stands behind that chunk then and
    /// may be asked to go on.
    pub async fn next(&mut self) -> Result<Option<Block>, SegmentError> {
        loop {
            match self.step(None).await? {
                Step::Rows(block, _) => return Ok(Some(block)),
                Step::Nothing(_) => {}
                Step::End => return Ok(None),
            }
        }
    }

    /// The selected rows of the next chunk that `sieve` keeps. Its columns are decoded first, and
    /// of the others only the pages that have a row to show.
    ///
    /// # Errors
    /// As `next`.
    pub async fn step(&mut self, sieve: Option<&dyn Sieve>) -> Result<Step, SegmentError> {
        if self.peek().await?.is_none() {
            return Ok(Step::End);
        }
        let Some(chunk) = self.chunks.pop_front() else { return Ok(Step::End) };
        self.extract(&chunk, sieve).await
    }

    fn wanted(&self, columns: impl Iterator<Item = ColumnPlace>) -> Vec<ColumnPlace> {
        match &self.select.columns {
            None => columns.collect(),
            Some(ids) => columns.filter(|place| ids.binary_search(&place.id).is_ok()).collect(),
        }
    }

    async fn load(&self, pieces: &[Piece]) -> Result<Vec<Bytes>, SegmentError> {
        self.reader.load(pieces, self.keep).await
    }

    async fn extract(
        &mut self,
        chunk: &Candidate,
        sieve: Option<&dyn Sieve>,
    ) -> Result<Step, SegmentError> {
        let info = &chunk.info;
        let runs = read::runs_piece(info);
        // Where all rows are wanted, or only the runs are, nothing is gained by looking at the runs
        // first.
        let at_once = self.select.covers(info) && !self.reader.holds(&runs);
        let (runs, times, columns): (_, _, Option<Vec<Bytes>>) = if at_once {
            let loaded = self.load(&read::chunk_pieces(info, &chunk.columns)).await?;
            let mut loaded = loaded.into_iter();
            let runs = loaded.next();
            let times = read::times_piece(info).and_then(|_| loaded.next());
            (runs, times, Some(loaded.collect()))
        } else {
            (self.load(&[runs]).await?.pop(), None, None)
        };
        let fault = |fault: Fault, at: Option<Piece>| {
            let offset = at.map_or(info.offset, |piece| piece.offset);
            self.reader.damaged(offset, fault.0)
        };
        let runs = extract::runs(runs.as_deref().unwrap_or(&[]), info.rows);
        let runs = runs.map_err(|found| fault(found, None))?;
        let mut rows = Rows::find(&self.select, &runs);
        if rows.needs_times() {
            let piece = read::times_piece(info);
            let times = match (times, piece) {
                (Some(times), _) => times,
                (None, Some(piece)) => match self.load(&[piece]).await?.pop() {
                    Some(times) => times,
                    None => Bytes::copy(&[]),
                },
                (None, None) => Bytes::copy(&[]),
            };
            let done = rows.resolve(&self.select, &runs, &times);
            done.map_err(|found| fault(found, piece))?;
        }
        if rows.is_empty() {
            return Ok(Step::Nothing(0));
        }
        let columns = match columns {
            Some(columns) => columns,
            None => {
                let pieces: Vec<Piece> =
                    chunk.columns.iter().map(|place| read::column_piece(info, place)).collect();
                self.load(&pieces).await?
            }
        };
        let mut block = rows.block(&runs);
        let Some(sieve) = sieve else {
            self.decode(chunk, &columns, |_| true, rows.ranges(), &mut block).await?;
            return Ok(Step::Rows(block, 0));
        };
        let first = |id| sieve.columns().contains(&id);
        self.decode(chunk, &columns, first, rows.ranges(), &mut block).await?;
        let keep = sieve.keep(&block);
        let ranges = extract::kept(rows.ranges(), &keep);
        let looked_at = block.rows();
        if ranges.is_empty() {
            return Ok(Step::Nothing(looked_at));
        }
        block.retain(&keep);
        self.decode(chunk, &columns, |id| !first(id), &ranges, &mut block).await?;
        block.columns.sort_by_key(|column| column.id);
        block.drop_null_columns();
        let taken = looked_at - block.rows();
        Ok(Step::Rows(block, taken))
    }

    /// Decodes rows of the columns that `which` takes and adds them to a Block of these rows.
    async fn decode(
        &mut self,
        chunk: &Candidate,
        columns: &[Bytes],
        which: impl Fn(ColumnId) -> bool,
        ranges: &[Range<u32>],
        block: &mut Block,
    ) -> Result<(), SegmentError> {
        let info = &chunk.info;
        let places = chunk.columns.iter().zip(columns);
        for (place, bytes) in places.filter(|(place, _)| which(place.id)) {
            let mut column = Column::empty(place.id);
            let decoded = extract::column(bytes, info.rows, ranges, &mut column);
            self.decoded += decoded.map_err(|found: Fault| {
                self.reader.damaged(read::column_piece(info, place).offset, found.0)
            })?;
            block.columns.push(column);
            if self.decoded >= YIELD_VALUES {
                self.decoded = 0;
                self.reader.env.yield_now().await;
            }
        }
        Ok(())
    }
}
