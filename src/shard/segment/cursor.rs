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
use crate::model::Column;
use crate::shard::block::Block;
use crate::shard::cache::Bytes;
use std::collections::VecDeque;
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
        while self.peek().await?.is_some() {
            let Some(chunk) = self.chunks.pop_front() else { break };
            if let Some(block) = self.extract(&chunk).await? {
                return Ok(Some(block));
            }
        }
        Ok(None)
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

    async fn extract(&mut self, chunk: &Candidate) -> Result<Option<Block>, SegmentError> {
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
            return Ok(None);
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
        for (place, bytes) in chunk.columns.iter().zip(&columns) {
            let mut column = Column::empty(place.id);
            let decoded = extract::column(bytes, info.rows, rows.ranges(), &mut column);
            self.decoded +=
                decoded.map_err(|found| fault(found, Some(read::column_piece(info, place))))?;
            block.columns.push(column);
            if self.decoded >= YIELD_VALUES {
                self.decoded = 0;
                self.reader.env.yield_now().await;
            }
        }
        Ok(Some(block))
    }
}
