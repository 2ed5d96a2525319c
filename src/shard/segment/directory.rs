//! The directory of a section: one entry per chunk, one record per encoded column, as an rkyv
//! archive.
//!
//! In: entries as chunks are written. Out: archives of at most 256 KiB, used in place from the
//! block cache after validation. All records are flat and of plain numbers, so validating costs
//! next to nothing and is done anew on each use; no archived pointer outlives its check.
//!
//! | archive | what |
//! |---|---|
//! | `chunks` | per chunk: first and last key, first and last time, place, rows, runs, its columns |
//! | `columns` | per encoded column: id, offset within the chunk, bytes; sorted by id within a chunk |
//! | `pages` | per column of these chunks: id, place of its statistics page; sorted by id |
//! | last 8 bytes | xxh3 of the archive, seeded by file and offset |
//!
//! A directory is written behind its chunks and before the tail; a cut leaves a file without a
//! tail.

use super::format::{SUM_BYTES, without_sum};
use crate::model::{ColumnId, MeasurementId, SeriesId, TimeRange};
use rkyv::rancor::Failure;
use rkyv::{Archive, Serialize};

/// Largest archive with its checksum: validating one in place stays far under a slice of the
/// reactor.
pub const BYTES_MAX: usize = 256 << 10;
/// What a directory without entries needs: root, checksum, alignment.
const BASE_BYTES: usize = 64 + SUM_BYTES;

/// A chunk, by number of its directory in the file and its place there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChunkId {
    pub directory: u32,
    pub index: u32,
}

/// What the directory knows of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkInfo {
    pub id: ChunkId,
    /// First and last key, both inclusive.
    pub first: (MeasurementId, SeriesId),
    pub last: (MeasurementId, SeriesId),
    /// First and last time of a row.
    pub time: TimeRange,
    pub rows: u32,
    pub runs: u32,
    /// Place in the file.
    pub offset: u64,
    pub bytes: u32,
    /// Bytes of the runs at the start of the chunk.
    pub runs_bytes: u32,
    /// Bytes of the times of irregular runs behind them; 0 when there are none.
    pub times_bytes: u32,
}

/// Where an encoded column lies in its chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ColumnPlace {
    pub id: ColumnId,
    pub offset: u32,
    pub bytes: u32,
}

/// Where the statistics page of a column lies in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PagePlace {
    pub id: ColumnId,
    pub offset: u64,
    pub bytes: u32,
}

#[derive(Archive, Serialize, Default)]
struct Stored {
    chunks: Vec<StoredChunk>,
    columns: Vec<StoredColumn>,
    pages: Vec<StoredPage>,
}

#[derive(Archive, Serialize)]
struct StoredChunk {
    first_time: i64,
    last_time: i64,
    offset: u64,
    first: (u32, u32),
    last: (u32, u32),
    bytes: u32,
    runs_bytes: u32,
    times_bytes: u32,
    rows: u32,
    runs: u32,
    /// First of its records in `columns`, and their number.
    columns_at: u32,
    columns: u32,
}

#[derive(Archive, Serialize)]
struct StoredColumn {
    id: u32,
    offset: u32,
    bytes: u32,
}

#[derive(Archive, Serialize)]
struct StoredPage {
    offset: u64,
    id: u32,
    bytes: u32,
}

/// Gathers the entries of a directory.
#[derive(Default)]
pub struct Builder {
    stored: Stored,
}

impl Builder {
    /// Number of chunks so far.
    pub fn chunks(&self) -> u32 {
        self.stored.chunks.len() as u32
    }

    /// Whether a chunk of `columns` columns, with as many new statistics pages, still fits.
    pub fn fits(&self, columns: usize, pages: usize) -> bool {
        let stored = &self.stored;
        BASE_BYTES
            + (stored.chunks.len() + 1) * size_of::<ArchivedStoredChunk>()
            + (stored.columns.len() + columns) * size_of::<ArchivedStoredColumn>()
            + (pages + columns) * size_of::<ArchivedStoredPage>()
            <= BYTES_MAX
    }

    /// Adds a chunk; `info.id` is not stored.
    pub fn push(&mut self, info: &ChunkInfo, columns: &[ColumnPlace]) {
        let columns_at = self.stored.columns.len() as u32;
        self.stored.columns.extend(columns.iter().map(|place| StoredColumn {
            id: place.id.0,
            offset: place.offset,
            bytes: place.bytes,
        }));
        self.stored.chunks.push(StoredChunk {
            first_time: info.time.first,
            last_time: info.time.last,
            offset: info.offset,
            first: (info.first.0.0, info.first.1.0),
            last: (info.last.0.0, info.last.1.0),
            bytes: info.bytes,
            runs_bytes: info.runs_bytes,
            times_bytes: info.times_bytes,
            rows: info.rows,
            runs: info.runs,
            columns_at,
            columns: columns.len() as u32,
        });
    }

    /// Adds the place of a statistics page; called in order of the column.
    pub fn push_page(&mut self, page: PagePlace) {
        let (id, offset, bytes) = (page.id.0, page.offset, page.bytes);
        self.stored.pages.push(StoredPage { id, offset, bytes });
    }

    /// The archive, without a checksum. `None` when memory for it is refused.
    pub fn finish(self) -> Option<Vec<u8>> {
        rkyv::to_bytes::<Failure>(&self.stored).ok().map(|bytes| bytes.to_vec())
    }
}

/// A directory in place.
pub struct Directory<'a> {
    number: u32,
    stored: &'a ArchivedStored,
}

impl<'a> Directory<'a> {
    /// Whether the piece at `offset` of a file is a sound directory.
    pub fn check(piece: &[u8], file_id: u64, offset: u64) -> bool {
        let body = without_sum(piece, file_id, offset);
        body.is_some_and(|body| rkyv::access::<ArchivedStored, Failure>(body).is_ok())
    }

    /// Opens a piece that passed `check`; `number` is its place in the file's table.
    pub fn open(piece: &'a [u8], number: u32) -> Option<Directory<'a>> {
        let (body, _) = piece.split_last_chunk::<SUM_BYTES>()?;
        let stored = rkyv::access::<ArchivedStored, Failure>(body).ok()?;
        Some(Directory { number, stored })
    }

    /// Number of chunks.
    pub fn len(&self) -> usize {
        self.stored.chunks.len()
    }

    /// All chunks, in file order.
    pub fn chunks(&self) -> impl Iterator<Item = ChunkInfo> {
        self.stored.chunks.iter().enumerate().map(|(index, chunk)| self.info(index as u32, chunk))
    }

    /// A chunk by its place here.
    pub fn chunk(&self, index: u32) -> Option<ChunkInfo> {
        self.stored.chunks.get(index as usize).map(|chunk| self.info(index, chunk))
    }

    /// The columns of a chunk, sorted by id; empty for a chunk that is not here.
    pub fn columns(&self, index: u32) -> impl Iterator<Item = ColumnPlace> {
        let chunk = self.stored.chunks.get(index as usize);
        let range = chunk.map_or(0..0, |chunk| {
            let start = chunk.columns_at.to_native() as usize;
            start..start.saturating_add(chunk.columns.to_native() as usize)
        });
        self.stored.columns.get(range).unwrap_or(&[]).iter().map(|column| ColumnPlace {
            id: ColumnId(column.id.to_native()),
            offset: column.offset.to_native(),
            bytes: column.bytes.to_native(),
        })
    }

    /// The statistics page of a column.
    pub fn page(&self, id: ColumnId) -> Option<PagePlace> {
        let pages = self.stored.pages.as_slice();
        let at = pages.binary_search_by_key(&id.0, |page| page.id.to_native()).ok()?;
        pages.get(at).map(place)
    }

    /// All statistics pages, sorted by column.
    pub fn pages(&self) -> impl Iterator<Item = PagePlace> {
        self.stored.pages.iter().map(place)
    }

    fn info(&self, index: u32, chunk: &ArchivedStoredChunk) -> ChunkInfo {
        let key = |key: &rkyv::tuple::ArchivedTuple2<rkyv::rend::u32_le, rkyv::rend::u32_le>| {
            (MeasurementId(key.0.to_native()), SeriesId(key.1.to_native()))
        };
        ChunkInfo {
            id: ChunkId { directory: self.number, index },
            first: key(&chunk.first),
            last: key(&chunk.last),
            time: TimeRange::new(chunk.first_time.to_native(), chunk.last_time.to_native()),
            rows: chunk.rows.to_native(),
            runs: chunk.runs.to_native(),
            offset: chunk.offset.to_native(),
            bytes: chunk.bytes.to_native(),
            runs_bytes: chunk.runs_bytes.to_native(),
            times_bytes: chunk.times_bytes.to_native(),
        }
    }
}

fn place(page: &ArchivedStoredPage) -> PagePlace {
    PagePlace {
        id: ColumnId(page.id.to_native()),
        offset: page.offset.to_native(),
        bytes: page.bytes.to_native(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::add_sum;
    use super::*;
    use crate::shard::cache::Bytes;

    fn info(index: u32) -> ChunkInfo {
        ChunkInfo {
            id: ChunkId { directory: 4, index },
            first: (MeasurementId(index), SeriesId(2)),
            last: (MeasurementId(index), SeriesId(9)),
            time: TimeRange::new(-5, i64::from(index)),
            rows: 16_000,
            runs: 40,
            offset: 4096 + u64::from(index) * 1000,
            bytes: 1000,
            runs_bytes: 100,
            times_bytes: 0,
        }
    }

    fn places(index: u32) -> Vec<ColumnPlace> {
        (0..index % 3).map(|n| ColumnPlace { id: ColumnId(8 * n), offset: n, bytes: 7 }).collect()
    }

    #[test]
    fn entries_are_found_again_in_place_and_fit_the_limit() {
        let mut builder = Builder::default();
        let mut chunks = 0;
        while builder.fits(places(chunks).len(), 2) {
            builder.push(&info(chunks), &places(chunks));
            chunks += 1;
        }
        let page = PagePlace { id: ColumnId(8), offset: 77, bytes: 40 };
        builder.push_page(page);
        assert_eq!(builder.chunks(), chunks);
        let mut piece = builder.finish().unwrap();
        add_sum(&mut piece, 1, 8);
        assert!(piece.len() <= BYTES_MAX && piece.len() > BYTES_MAX - 1024, "{}", piece.len());
        let piece = Bytes::copy(&piece);
        assert!(Directory::check(&piece, 1, 8) && !Directory::check(&piece, 1, 16));
        let directory = Directory::open(&piece, 4).unwrap();
        assert_eq!(directory.len(), chunks as usize);
        for (index, chunk) in (0..).zip(directory.chunks()) {
            assert_eq!(chunk, info(index));
            assert_eq!(directory.columns(index).collect::<Vec<_>>(), places(index));
        }
        assert_eq!(directory.chunk(chunks), None);
        assert_eq!((directory.page(ColumnId(8)), directory.page(ColumnId(0))), (Some(page), None));
    }

    #[test]
    fn no_bytes_make_the_validation_fail_other_than_by_an_error() {
        let mut random = 1u64;
        for len in 0..400usize {
            let bytes: Vec<u8> = (0..len)
                .map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (random >> 56) as u8
                })
                .collect();
            assert!(!Directory::check(&bytes, 1, 8));
            if let Some(directory) = Directory::open(&Bytes::copy(&bytes), 0) {
                let _ = directory.chunks().count() + directory.columns(0).count();
            }
        }
    }
}
