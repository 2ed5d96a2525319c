//! The writer of a segment file: rows in, chunks out, directories and tail behind them.
//!
//! In: sections of Blocks in key order, or whole sections of other files. Out: a synced file, of
//! which the caller has to sync the folder. One column is encoded at a time, then other tasks get a
//! turn; memory is bounded by one chunk, one output buffer, and the directory and statistics of one
//! section.

use super::directory::{self, Builder, ChunkInfo, ColumnPlace, Directory, PagePlace};
use super::format::{self, DirectoryHead, Tail};
use super::gather::{self, Gather};
use super::read::Reader;
use super::runs;
use super::stats::Statistics;
use super::{FileIdent, FileMeta, SectionKey, SectionMeta, SegmentError};
use crate::codec::CodecError;
use crate::codec::chunk::{self, Effort};
use crate::env::{BLOCK_BYTES, Disk, Env, File, Open};
use crate::model::time::DAY_NS;
use crate::model::{ColumnId, SeriesId, TimeRange};
use crate::shard::block::Block;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Rows of a chunk for the light codec: enough to pay for its runs, few enough to scan in a slice.
const LIGHT_ROWS: usize = 16_384;
/// Rows of a chunk for the heavy codec, which trains once per chunk.
const PCO_ROWS: usize = 32_768;
/// Bytes gathered for one write: large enough that the disk, not the number of requests, sets the
/// pace.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes one segment file. A writer that is dropped leaves a file without a tail, which cannot be
/// opened.
pub struct Writer<E: Env> {
    env: E,
    ident: FileIdent,
    out: Output<E>,
    section: Option<Section>,
    sections: Vec<SectionMeta>,
    directories: Vec<DirectoryHead>,
    scratch: Vec<u8>,
}

/// The section under way.
struct Section {
    key: SectionKey,
    effort: Effort,
    times: Range<i64>,
    gather: Gather,
    meta: SectionMeta,
    series: RoaringBitmap,
    directory: Group,
}

/// The chunks of the directory under way.
#[derive(Default)]
struct Group {
    builder: Builder,
    statistics: BTreeMap<ColumnId, Vec<u8>>,
    span: Option<ChunkInfo>,
}

impl<E: Env> Writer<E> {
    /// Makes a file, which must not exist.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn create(env: &E, path: &Path, ident: FileIdent) -> Result<Self, SegmentError> {
        let opened = env.disk().open(path, Open::Create).await;
        let file = opened.map_err(SegmentError::io(path))?;
        let mut out = Output { file, path: path.to_owned(), buffer: None, used: 0, written: 0 };
        out.append(&format::header(&ident)).await?;
        Ok(Writer {
            env: env.clone(),
            ident,
            out,
            section: None,
            sections: Vec::new(),
            directories: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Begins a section, ending the one under way. A section that gets no row is not kept.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn begin_section(
        &mut self,
        key: SectionKey,
        effort: Effort,
    ) -> Result<(), SegmentError> {
        self.end_section().await?;
        let rows_max = match effort {
            Effort::Light => LIGHT_ROWS,
            Effort::Pco => PCO_ROWS,
        };
        let start = i64::from(key.day).saturating_mul(DAY_NS);
        self.section = Some(Section {
            key,
            effort,
            times: start..start.saturating_add(DAY_NS),
            gather: Gather::new(rows_max),
            meta: SectionMeta {
                key,
                rows: 0,
                series: 0,
                runs: 0,
                time: TimeRange::new(i64::MAX, i64::MIN),
                bytes: 0,
                chunks: 0,
                values: 0,
            },
            series: RoaringBitmap::new(),
            directory: Group::default(),
        });
        Ok(())
    }

    /// Adds rows to the section. They go on in (measurement, series, time) order, or start again
    /// from a lower key with another layout's rows.
    ///
    /// # Errors
    /// When the disk refuses, or the block is not what a block of this day has to be.
    pub async fn push(&mut self, block: &Block) -> Result<(), SegmentError> {
        let Some(section) = &mut self.section else {
            return Err(self.refused("no section was begun"));
        };
        if let Err(what) = gather::check(block, section.times.clone()) {
            return Err(self.refused(what));
        }
        let mut from = 0;
        while from < block.rows() {
            let Some(section) = &mut self.section else { break };
            from += section.gather.take(block, from);
            if section.gather.is_full() {
                self.write_chunk().await?;
            }
        }
        Ok(())
    }

    /// Copies a section of another file, without decoding its rows, as section `key`.
    ///
    /// # Errors
    /// When a disk refuses, or a piece of the source does not carry its checksum.
    pub async fn copy_section(
        &mut self,
        from: &Reader<E>,
        section: usize,
        key: SectionKey,
    ) -> Result<(), SegmentError> {
        self.begin_section(key, Effort::Light).await?;
        for (number, _) in from.directories_of(section) {
            let bytes = from.directory(number).await?;
            let count = Directory::open(&bytes, number).map_or(0, |open| open.len()) as u32;
            for index in 0..count {
                let Some(open) = Directory::open(&bytes, number) else { break };
                let (Some(info), columns) = (open.chunk(index), open.columns(index)) else { break };
                let columns: Vec<ColumnPlace> = columns.collect();
                self.copy_chunk(from, &info, &columns).await?;
                self.env.yield_now().await;
            }
        }
        if let (Some(own), Some(meta)) = (&mut self.section, from.sections().get(section)) {
            own.meta = SectionMeta { key, ..*meta };
        }
        self.end_section().await
    }

    /// Writes what is left, the table and the tail, and syncs the file.
    ///
    /// # Errors
    /// When the disk refuses; the file is of no use then.
    pub async fn finish(mut self) -> Result<FileMeta, SegmentError> {
        self.end_section().await?;
        let table_offset = self.out.position();
        let file_id = self.ident.file_id;
        let table = format::table(&self.sections, &self.directories, file_id, table_offset);
        self.out.append(&table).await?;
        self.out.pad().await?;
        let bytes = self.out.position() + BLOCK_BYTES as u64;
        let tail = Tail {
            file_bytes: bytes,
            table_offset,
            table_bytes: table.len() as u64,
            sections: self.sections.len() as u32,
            directories: self.directories.len() as u32,
        };
        self.out.append(&format::tail(&self.ident, &tail)).await?;
        self.out.flush().await?;
        self.out.file.sync().await.map_err(SegmentError::io(&self.out.path))?;
        Ok(FileMeta { file_id, bytes, sections: self.sections })
    }

    fn refused(&self, what: &'static str) -> SegmentError {
        SegmentError::Refused { file: self.out.path.clone(), what }
    }

    /// Encodes and writes the gathered rows, if any, a column at a time.
    async fn write_chunk(&mut self) -> Result<(), SegmentError> {
        let columns = self.section.as_ref().map_or(0, |own| own.gather.rows().columns.len());
        self.reserve(columns).await?;
        let Some(section) = &mut self.section else { return Ok(()) };
        let rows = section.gather.rows();
        let (Some(first), Some(last)) = (rows.runs.first(), rows.runs.last()) else {
            section.gather.clear();
            return Ok(());
        };
        let pages = runs::cut_pages(rows.runs.iter().map(|run| run.rows));
        let offset = self.out.position();
        self.scratch.clear();
        let path = self.out.path.clone();
        let encodes = |error: CodecError| SegmentError::Encode { file: path.clone(), error };
        runs::encode(&rows.runs, &rows.times, &mut self.scratch).map_err(&encodes)?;
        let runs_bytes = self.scratch.len() as u32;
        encode_times(rows, section.effort, &mut self.scratch).map_err(&encodes)?;
        let times_bytes = self.scratch.len() as u32 - runs_bytes;
        let mut info = ChunkInfo {
            id: directory::ChunkId { directory: 0, index: 0 },
            first: (first.measurement, first.series),
            last: (last.measurement, last.series),
            time: time_range(rows),
            rows: rows.rows() as u32,
            runs: rows.runs.len() as u32,
            offset,
            bytes: 0,
            runs_bytes,
            times_bytes,
        };
        self.out.append(&self.scratch).await?;
        let (mut places, mut statistics) = (Vec::new(), Vec::new());
        for column in &section.gather.rows().columns {
            let Some(known) = Statistics::of(column) else { continue };
            let at = self.out.position() - offset;
            self.scratch.clear();
            chunk::encode(column, &pages, section.effort, &mut self.scratch).map_err(&encodes)?;
            self.out.append(&self.scratch).await?;
            let bytes = self.scratch.len() as u32;
            places.push(ColumnPlace { id: column.id, offset: at as u32, bytes });
            statistics.push((column.id, known));
            self.env.yield_now().await;
        }
        info.bytes = (self.out.position() - offset) as u32;
        section.note_rows();
        section.gather.clear();
        self.add_chunk(&info, &places, &statistics);
        Ok(())
    }

    async fn copy_chunk(
        &mut self,
        from: &Reader<E>,
        info: &ChunkInfo,
        columns: &[ColumnPlace],
    ) -> Result<(), SegmentError> {
        self.reserve(columns.len()).await?;
        let offset = self.out.position();
        for piece in from.whole_chunk(info, columns).await? {
            self.out.append(&piece).await?;
        }
        let mut statistics = Vec::with_capacity(columns.len());
        for column in columns {
            let known = from.statistics(info.id, column.id).await?;
            statistics.extend(known.map(|known| (column.id, known)));
        }
        self.add_chunk(&ChunkInfo { offset, ..*info }, columns, &statistics);
        Ok(())
    }

    /// Enters a written chunk into the directory, which has room for it.
    fn add_chunk(
        &mut self,
        info: &ChunkInfo,
        columns: &[ColumnPlace],
        statistics: &[(ColumnId, Statistics)],
    ) {
        let Some(section) = &mut self.section else { return };
        section.meta.chunks += 1;
        section.meta.bytes += u64::from(info.bytes);
        section.meta.runs += u64::from(info.runs);
        section.meta.values +=
            statistics.iter().map(|(_, known)| u64::from(known.count)).sum::<u64>();
        section.meta.time = hull(section.meta.time, info.time);
        let group = &mut section.directory;
        let number = group.builder.chunks();
        for (id, known) in statistics {
            known.write(number, group.statistics.entry(*id).or_default());
        }
        group.builder.push(info, columns);
        group.span = Some(match group.span {
            None => *info,
            Some(span) => ChunkInfo {
                first: span.first.min(info.first),
                last: span.last.max(info.last),
                time: hull(span.time, info.time),
                ..span
            },
        });
    }

    /// Closes the directory under way if it has no room for a chunk of so many columns. Comes
    /// before the chunk is written, so that a directory stands right behind its chunks.
    async fn reserve(&mut self, columns: usize) -> Result<(), SegmentError> {
        let Some(section) = &self.section else { return Ok(()) };
        let group = &section.directory;
        let fits = group.builder.fits(columns, group.statistics.len());
        if fits { Ok(()) } else { self.write_directory().await }
    }

    /// Writes statistics pages and directory of the chunks since the last one.
    async fn write_directory(&mut self) -> Result<(), SegmentError> {
        let Some(section) = &mut self.section else { return Ok(()) };
        let Group { mut builder, statistics, span } = std::mem::take(&mut section.directory);
        let Some(span) = span else { return Ok(()) };
        let file_id = self.ident.file_id;
        for (id, mut page) in statistics {
            let offset = self.out.position();
            format::add_sum(&mut page, file_id, offset);
            self.out.append(&page).await?;
            builder.push_page(PagePlace { id, offset, bytes: page.len() as u32 });
        }
        let offset = self.out.position();
        let chunks = builder.chunks();
        let Some(mut bytes) = builder.finish() else {
            return Err(self.refused("the directory cannot be serialised"));
        };
        format::add_sum(&mut bytes, file_id, offset);
        self.out.append(&bytes).await?;
        self.directories.push(DirectoryHead {
            section: self.sections.len() as u32,
            chunks,
            offset,
            bytes: bytes.len() as u32,
            first: span.first,
            last: span.last,
            time: span.time,
        });
        self.env.yield_now().await;
        Ok(())
    }

    async fn end_section(&mut self) -> Result<(), SegmentError> {
        self.write_chunk().await?;
        self.write_directory().await?;
        let done = self.section.take().filter(|section| section.meta.chunks > 0);
        self.sections.extend(done.map(|section| section.meta));
        Ok(())
    }
}

impl Section {
    /// Counts the gathered rows and their series.
    fn note_rows(&mut self) {
        let rows = self.gather.rows();
        self.meta.key = self.key;
        self.meta.rows += rows.rows() as u64;
        for run in &rows.runs {
            let SeriesId(id) = run.series;
            self.meta.series += u32::from(self.series.insert(id));
        }
    }
}

fn encode_times(rows: &Block, effort: Effort, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let irregular = || rows.runs.iter().filter(|run| runs::is_irregular(run));
    let pages = runs::cut_pages(irregular().map(|run| run.rows));
    if pages.is_empty() {
        return Ok(());
    }
    let mut times = Vec::new();
    for run in irregular() {
        times.extend_from_slice(rows.times.get(run.range()).unwrap_or(&[]));
    }
    chunk::encode_times(&times, &pages, effort, out)
}

fn time_range(rows: &Block) -> TimeRange {
    let start = TimeRange::new(i64::MAX, i64::MIN);
    rows.runs.iter().fold(start, |range, run| {
        let times = rows.times.get(run.range()).unwrap_or(&[]);
        match (times.first(), times.last()) {
            (Some(first), Some(last)) => hull(range, TimeRange::new(*first, *last)),
            _ => range,
        }
    })
}

fn hull(left: TimeRange, right: TimeRange) -> TimeRange {
    TimeRange::new(left.first.min(right.first), left.last.max(right.last))
}

/// The end of the file: bytes are gathered into aligned buffers and written in order.
struct Output<E: Env> {
    file: <E::Disk as Disk>::File,
    path: PathBuf,
    buffer: Option<<<E::Disk as Disk>::File as File>::Buf>,
    /// Bytes of the buffer in use; those before it, written.
    used: usize,
    written: u64,
}

impl<E: Env> Output<E> {
    fn position(&self) -> u64 {
        self.written + self.used as u64
    }

    async fn append(&mut self, mut bytes: &[u8]) -> Result<(), SegmentError> {
        while !bytes.is_empty() {
            let buffer = self.buffer.get_or_insert_with(|| self.file.buffer(BUFFER_BYTES));
            let room = buffer.get_mut(self.used..).unwrap_or(&mut []);
            let len = room.len().min(bytes.len());
            let (now, later) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
            if let Some(room) = room.get_mut(..len) {
                room.copy_from_slice(now);
            }
            self.used += len;
            bytes = later;
            if self.used == BUFFER_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Fills up to the next block with zeros.
    async fn pad(&mut self) -> Result<(), SegmentError> {
        let rest = self.used % BLOCK_BYTES;
        let zeros = if rest == 0 { 0 } else { BLOCK_BYTES - rest };
        self.append([0; BLOCK_BYTES].get(..zeros).unwrap_or(&[])).await
    }

    /// Writes the buffer, whose used bytes are whole blocks.
    async fn flush(&mut self) -> Result<(), SegmentError> {
        let Some(full) = self.buffer.take() else { return Ok(()) };
        let buffer = if self.used == full.len() {
            full
        } else {
            let mut cut = self.file.buffer(self.used);
            if let Some(bytes) = full.get(..self.used) {
                cut.copy_from_slice(bytes);
            }
            cut
        };
        let wrote = self.file.write_at(self.written, buffer).await;
        wrote.map_err(SegmentError::io(&self.path))?;
        self.written += self.used as u64;
        self.used = 0;
        Ok(())
    }
}
