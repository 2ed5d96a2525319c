//! The reader of a segment file: pieces by place, checked, through the block cache.
//!
//! In: a file that the manifest names. Out: its sections, and cursors over them. Opening reads the
//! tail and the table only; directories, statistics, runs and columns are read when asked for, each
//! checked once, when it comes into the cache. Neighbouring pieces are read together.

use super::directory::{ChunkId, ChunkInfo, ColumnPlace, Directory};
use super::format::{self, DirectoryHead, SUM_BYTES, Tail};
use super::runs;
use super::stats::Statistics;
use super::{Cursor, FileIdent, SectionMeta, SegmentError, Select};
use crate::codec::chunk;
use crate::env::{BLOCK_BYTES, Disk, Env, File, Open};
use crate::model::{ColumnId, SeriesId};
use crate::shard::cache::{BlockCache, Bytes};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Pieces nearer than this are read together: reading on is cheaper than asking again.
const GAP_BYTES: u64 = 16 << 10;
/// The most that is read at once for several pieces.
const READ_BYTES_MAX: u64 = 1 << 20;

/// An open segment file. Dropping the last reference closes it.
pub struct Reader<E: Env> {
    pub(super) env: E,
    file: <E::Disk as Disk>::File,
    path: PathBuf,
    pub(super) ident: FileIdent,
    cache: Rc<BlockCache>,
    sections: Vec<SectionMeta>,
    directories: Vec<DirectoryHead>,
    /// By section, once somebody asked: whether rows have a time to live.
    expiring: Vec<Cell<Option<bool>>>,
    pub(super) tail: Tail,
}

/// What a piece of a file is, and so how it is checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Runs,
    Column,
    Directory,
    Statistics,
}

/// A part of the file with a checksum of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    pub kind: Kind,
    pub offset: u64,
    pub bytes: u32,
}

impl Piece {
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.bytes))
    }

    /// What is wrong with the bytes read for this piece, if anything. Takes `Bytes`, because only
    /// these are aligned as archives must be.
    pub fn fault(&self, bytes: &Bytes, file_id: u64) -> Option<&'static str> {
        let (sound, what) = match self.kind {
            Kind::Runs => (runs::check(bytes), "runs do not match their checksum"),
            Kind::Column => {
                (chunk::Reader::open(bytes).is_ok(), "column does not match its checksum")
            }
            Kind::Directory => (
                Directory::check(bytes, file_id, self.offset),
                "directory does not match its checksum",
            ),
            Kind::Statistics => (
                format::without_sum(bytes, file_id, self.offset).is_some(),
                "statistics do not match their checksum",
            ),
        };
        (!sound).then_some(what)
    }
}

impl<E: Env> Reader<E> {
    /// Opens a file, reading its tail and table.
    ///
    /// # Errors
    /// When the disk refuses, or the file is cut, damaged there, or another one than `ident`.
    pub async fn open(
        env: &E,
        path: &Path,
        ident: FileIdent,
        cache: Rc<BlockCache>,
    ) -> Result<Rc<Self>, SegmentError> {
        let damaged = |offset: u64, what: &str| SegmentError::Damaged {
            file: path.to_owned(),
            offset,
            what: what.to_owned(),
        };
        let opened = env.disk().open(path, Open::Read).await;
        let file = opened.map_err(SegmentError::io(path))?;
        let bytes = file.size().await.map_err(SegmentError::io(path))?;
        let block = BLOCK_BYTES as u64;
        let tail_offset = bytes.saturating_sub(block);
        if !bytes.is_multiple_of(block) || bytes < 2 * block {
            return Err(damaged(tail_offset, "size is not that of a segment file, or cut"));
        }
        let read = file.read_at(tail_offset, BLOCK_BYTES).await.map_err(SegmentError::io(path))?;
        let tail =
            format::read_tail(&read, &ident, bytes).map_err(|what| damaged(tail_offset, what))?;
        // The tail bounds the table by the size of the file, so this allocates no more than there
        // is.
        let read = file.read_at(tail.table_offset, tail.table_bytes as usize).await;
        let read = read.map_err(SegmentError::io(path))?;
        let body = format::without_sum(&read, ident.file_id, tail.table_offset)
            .ok_or_else(|| damaged(tail.table_offset, "table does not match its checksum"))?;
        let (sections, directories) = format::read_table(body, &tail)
            .ok_or_else(|| damaged(tail.table_offset, "table is malformed"))?;
        Ok(Rc::new(Reader {
            env: env.clone(),
            file,
            path: path.to_owned(),
            ident,
            cache,
            expiring: sections.iter().map(|_| Cell::new(None)).collect(),
            sections,
            directories,
            tail,
        }))
    }

    /// Which file this is.
    pub fn ident(&self) -> FileIdent {
        self.ident
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size of the file.
    pub fn bytes(&self) -> u64 {
        self.tail.file_bytes
    }

    /// The sections, in file order.
    pub fn sections(&self) -> &[SectionMeta] {
        &self.sections
    }

    /// A cursor over the selected rows of a section, in file order.
    pub fn cursor(self: &Rc<Self>, section: usize, select: Select) -> Cursor<E> {
        Cursor::new(self.clone(), section, select)
    }

    /// The statistics of a column in a chunk; `None` when the chunk does not have the column.
    ///
    /// # Errors
    /// When the disk refuses, or directory or page are damaged.
    pub async fn statistics(
        &self,
        chunk: ChunkId,
        column: ColumnId,
    ) -> Result<Option<Statistics>, SegmentError> {
        let bytes = self.directory(chunk.directory).await?;
        let place = Directory::open(&bytes, chunk.directory).and_then(|open| open.page(column));
        let Some(place) = place else { return Ok(None) };
        let (offset, bytes) = (place.offset, place.bytes);
        let page = self.load_one(Piece { kind: Kind::Statistics, offset, bytes }).await?;
        let entries = page.split_last_chunk::<SUM_BYTES>().map_or(&[][..], |(entries, _)| entries);
        Ok(Statistics::find(entries, chunk.index, column))
    }

    /// The series of a chunk's rows, in order.
    ///
    /// # Errors
    /// When the disk refuses or the runs are damaged.
    pub async fn series_of(&self, chunk: &ChunkInfo) -> Result<Vec<SeriesId>, SegmentError> {
        let bytes = self.load_one(runs_piece(chunk)).await?;
        let runs = runs::decode(&bytes, chunk.rows)
            .ok_or_else(|| self.damaged(chunk.offset, "runs are malformed"))?;
        Ok(runs.iter().map(|stored| stored.run.series).collect())
    }

    /// Whether some row of a section has a time to live. Reads the section's directories once.
    ///
    /// # Errors
    /// When the disk refuses or a directory is damaged.
    pub async fn expires(&self, section: usize) -> Result<bool, SegmentError> {
        let Some(known) = self.expiring.get(section) else { return Ok(false) };
        if let Some(known) = known.get() {
            return Ok(known);
        }
        let mut found = false;
        for (number, _) in self.directories_of(section) {
            let bytes = self.directory(number).await?;
            let open = Directory::open(&bytes, number);
            found |= open.is_some_and(|open| open.page(ColumnId::EXPIRE).is_some());
        }
        known.set(Some(found));
        Ok(found)
    }

    /// The directories of a section, by number in the file.
    pub(super) fn directories_of(
        &self,
        section: usize,
    ) -> impl Iterator<Item = (u32, &DirectoryHead)> {
        let of_section = move |head: &DirectoryHead| (head.section as usize).cmp(&section);
        let first = self.directories.partition_point(|head| of_section(head).is_lt());
        let rest = (0u32..).zip(&self.directories).skip(first);
        rest.take_while(move |(_, head)| of_section(head).is_eq())
    }

    /// The bytes of a directory, sound.
    pub(super) async fn directory(&self, number: u32) -> Result<Bytes, SegmentError> {
        let Some(head) = self.directories.get(number as usize) else {
            return Err(self.damaged(self.tail.table_offset, "no such directory"));
        };
        let (offset, bytes) = (head.offset, head.bytes);
        self.load_one(Piece { kind: Kind::Directory, offset, bytes }).await
    }

    /// All pieces of a chunk, in file order, past the cache.
    pub(super) async fn whole_chunk(
        &self,
        info: &ChunkInfo,
        columns: &[ColumnPlace],
    ) -> Result<Vec<Bytes>, SegmentError> {
        let pieces = chunk_pieces(info, columns);
        let mut end = info.offset;
        for piece in &pieces {
            if piece.offset != end {
                return Err(self.damaged(piece.offset, "pieces of the chunk are not in a row"));
            }
            end = piece.end();
        }
        let mut found: Vec<Option<Bytes>> = pieces.iter().map(|_| None).collect();
        self.read_missing(&pieces, &mut found, false).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// One piece, from the cache or the disk, to be kept in the cache.
    pub(super) async fn load_one(&self, piece: Piece) -> Result<Bytes, SegmentError> {
        let loaded = self.load(&[piece], true).await?.pop();
        loaded.ok_or_else(|| self.damaged(piece.offset, "piece is missing"))
    }

    /// Pieces in order of their offsets, from the cache or the disk; `keep`: whether what comes
    /// from the disk is kept in the cache.
    pub(super) async fn load(
        &self,
        pieces: &[Piece],
        keep: bool,
    ) -> Result<Vec<Bytes>, SegmentError> {
        let cached = |piece: &Piece| self.cache.get(self.ident.file_id, piece.offset);
        let mut found: Vec<Option<Bytes>> = pieces.iter().map(cached).collect();
        self.read_missing(pieces, &mut found, keep).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Whether the runs of a chunk are in memory, so that looking at them first costs no read.
    pub(super) fn holds(&self, piece: &Piece) -> bool {
        self.cache.holds(self.ident.file_id, piece.offset)
    }

    async fn read_missing(
        &self,
        pieces: &[Piece],
        found: &mut [Option<Bytes>],
        keep: bool,
    ) -> Result<(), SegmentError> {
        let mut at = 0;
        while let (Some(first), Some(have)) = (pieces.get(at), found.get(at)) {
            if have.is_some() {
                at += 1;
                continue;
            }
            let mut end = first.end();
            let mut count = 1;
            while let (Some(next), Some(None)) = (pieces.get(at + count), found.get(at + count)) {
                let near = next.offset >= end && next.offset - end <= GAP_BYTES;
                if !near || next.end() - first.offset > READ_BYTES_MAX {
                    break;
                }
                end = next.end();
                count += 1;
            }
            let read = self.read(first.offset, end).await?;
            for (piece, slot) in pieces.iter().zip(found.iter_mut()).skip(at).take(count) {
                let start = (piece.offset - first.offset) as usize;
                let bytes = read.get(start..start + piece.bytes as usize).unwrap_or(&[]);
                let bytes = Bytes::copy(bytes);
                if let Some(what) = piece.fault(&bytes, self.ident.file_id) {
                    return Err(self.damaged(piece.offset, what));
                }
                if keep {
                    self.cache.insert(self.ident.file_id, piece.offset, bytes.clone());
                }
                *slot = Some(bytes);
            }
            at += count;
        }
        Ok(())
    }

    /// Reads bytes `start..end` of the file, which must lie before its tail.
    pub(super) async fn read(
        &self,
        start: u64,
        end: u64,
    ) -> Result<<<E::Disk as Disk>::File as File>::Bytes, SegmentError> {
        if end < start || end > self.tail.file_bytes {
            return Err(self.damaged(start, "piece reaches behind the end of the file"));
        }
        let read = self.file.read_at(start, (end - start) as usize).await;
        read.map_err(SegmentError::io(&self.path))
    }

    pub(super) fn damaged(&self, offset: u64, what: &str) -> SegmentError {
        SegmentError::Damaged { file: self.path.clone(), offset, what: what.to_owned() }
    }
}

/// The pieces of a chunk: runs, times if there are any, the given columns.
pub(super) fn chunk_pieces(info: &ChunkInfo, columns: &[ColumnPlace]) -> Vec<Piece> {
    let mut pieces = vec![runs_piece(info)];
    pieces.extend(times_piece(info));
    pieces.extend(columns.iter().map(|column| column_piece(info, column)));
    pieces
}

pub(super) fn runs_piece(info: &ChunkInfo) -> Piece {
    Piece { kind: Kind::Runs, offset: info.offset, bytes: info.runs_bytes }
}

pub(super) fn times_piece(info: &ChunkInfo) -> Option<Piece> {
    let offset = info.offset.saturating_add(u64::from(info.runs_bytes));
    let piece = Piece { kind: Kind::Column, offset, bytes: info.times_bytes };
    (info.times_bytes > 0).then_some(piece)
}

pub(super) fn column_piece(info: &ChunkInfo, column: &ColumnPlace) -> Piece {
    let offset = info.offset.saturating_add(u64::from(column.offset));
    Piece { kind: Kind::Column, offset, bytes: column.bytes }
}
