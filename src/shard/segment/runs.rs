//! The runs of a chunk: which series its rows belong to, and their times where these are regular.
//!
//! In: the runs and times of gathered rows. Out: bytes that open the chunk, and back. A regular run
//! has a first time and a step, and no stored times; the times of irregular runs are a column of
//! their own behind the runs.
//!
//! | bytes | what |
//! |---|---|
//! | 0..20 | five lengths u32 |
//! | then | five encoded columns, one entry per run: measurement, series, rows, first time, step |
//! | last 8 | xxh3 of all before |
//!
//! Step 0 marks an irregular run when the run has more than one row. Valid: checksum, five columns
//! of one length, at least one row per run, as many rows as the directory says, keys ascending.

use super::format::{Fields, SUM_BYTES, put_u32, put_u64};
use crate::codec::CodecError;
use crate::codec::chunk::{self, Effort};
use crate::model::{Column, ColumnId, MeasurementId, SeriesId, Values};
use crate::shard::block::Run;
use xxhash_rust::xxh3::xxh3_64;

/// Rows a page aims at: a page decodes alone in a few microseconds and still compresses.
pub const PAGE_ROWS: u32 = 1024;
/// How far from its aim a page may end for the sake of a series border.
const PAGE_SLACK: u32 = 256;
const PARTS: usize = 5;

/// A run as a chunk stores it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredRun {
    pub run: Run,
    /// Time of the run's first row.
    pub first: i64,
    /// First of its times in the chunk's column of irregular times; of no meaning for regular runs.
    pub times_at: u32,
}

impl StoredRun {
    /// Whether the times are stored one by one.
    pub fn is_irregular(&self) -> bool {
        self.run.step == 0 && self.run.rows > 1
    }
}

/// Whether the rows of a run need stored times.
pub fn is_irregular(run: &Run) -> bool {
    run.step == 0 && run.rows > 1
}

/// Appends the runs of rows with these times.
pub fn encode(runs: &[Run], times: &[i64], out: &mut Vec<u8>) -> Result<(), CodecError> {
    let first = |run: &Run| times.get(run.start as usize).copied().unwrap_or(0);
    let parts: [Vec<i64>; PARTS] = [
        runs.iter().map(|run| i64::from(run.measurement.0)).collect(),
        runs.iter().map(|run| i64::from(run.series.0)).collect(),
        runs.iter().map(|run| i64::from(run.rows)).collect(),
        runs.iter().map(first).collect(),
        runs.iter().map(|run| run.step).collect(),
    ];
    let start = out.len();
    let pages = [runs.len() as u32];
    let mut body = Vec::new();
    for part in parts {
        let before = body.len();
        let column = Column { id: PART, values: Values::Integer(part), validity: None };
        chunk::encode(&column, &pages, Effort::Light, &mut body)?;
        put_u32(out, (body.len() - before) as u32);
    }
    out.extend_from_slice(&body);
    let sum = xxh3_64(out.get(start..).unwrap_or(&[]));
    put_u64(out, sum);
    Ok(())
}

/// The parts are encoded as a column of integers; which one does not matter.
const PART: ColumnId = ColumnId::EXPIRE;

/// Whether a piece carries the checksum of its bytes.
pub fn check(piece: &[u8]) -> bool {
    let parts = piece.split_last_chunk::<SUM_BYTES>();
    parts.is_some_and(|(body, sum)| xxh3_64(body) == u64::from_le_bytes(*sum))
}

/// Reads the runs of a chunk of `rows` rows; `None` when the bytes are no valid runs of such a
/// chunk.
pub fn decode(piece: &[u8], rows: u32) -> Option<Vec<StoredRun>> {
    let (body, _) = piece.split_last_chunk::<SUM_BYTES>()?;
    let mut fields = Fields::new(body);
    let mut lengths = [0u32; PARTS];
    for length in &mut lengths {
        *length = fields.u32()?;
    }
    let mut parts: [Vec<i64>; PARTS] = Default::default();
    for (part, length) in parts.iter_mut().zip(lengths) {
        *part = decode_part(fields.bytes(length as usize)?)?;
    }
    let [measurements, series, counts, firsts, steps] = parts;
    let len = measurements.len();
    if [series.len(), counts.len(), firsts.len(), steps.len()] != [len; PARTS - 1] {
        return None;
    }
    let keys = measurements.iter().zip(&series);
    let rest = counts.iter().zip(firsts.iter().zip(&steps));
    let mut runs: Vec<StoredRun> = Vec::with_capacity(len);
    let (mut start, mut times_at) = (0u32, 0u32);
    for ((measurement, series), (count, (first, step))) in keys.zip(rest) {
        let run = Run {
            measurement: MeasurementId(u32::try_from(*measurement).ok()?),
            series: SeriesId(u32::try_from(*series).ok()?),
            start,
            rows: u32::try_from(*count).ok().filter(|count| (1..=rows).contains(count))?,
            step: *step,
        };
        let stored = StoredRun { run, first: *first, times_at };
        start = start.checked_add(run.rows).filter(|end| *end <= rows)?;
        times_at += if stored.is_irregular() { run.rows } else { 0 };
        runs.push(stored);
    }
    let ascending = runs.is_sorted_by(|left, right| key(&left.run) < key(&right.run));
    (start == rows && rows as usize <= chunk::ROWS_MAX && ascending).then_some(runs)
}

fn decode_part(bytes: &[u8]) -> Option<Vec<i64>> {
    let reader = chunk::Reader::open_again(bytes).ok()?;
    let mut column = Column::empty(PART);
    reader.decode(0..reader.pages(), &mut column).ok()?;
    match column {
        Column { values: Values::Integer(values), validity: None, .. } => Some(values),
        _ => None,
    }
}

fn key(run: &Run) -> (MeasurementId, SeriesId) {
    (run.measurement, run.series)
}

/// Cuts rows into pages of about `PAGE_ROWS`, at run borders where one is near. Gives the number of
/// rows of each page.
pub fn cut_pages(run_rows: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut pages = Vec::new();
    // Rows of the page under way, and those of them before its last usable border.
    let (mut page, mut border) = (0u32, 0u32);
    for mut rows in run_rows {
        while page + rows > PAGE_ROWS + PAGE_SLACK {
            let cut = if border >= PAGE_ROWS - PAGE_SLACK { border } else { PAGE_ROWS };
            pages.push(cut);
            if cut <= page {
                page -= cut;
            } else {
                rows -= cut - page;
                page = 0;
            }
            border = 0;
        }
        page += rows;
        if page.abs_diff(PAGE_ROWS) <= border.abs_diff(PAGE_ROWS) {
            border = page;
        }
    }
    if page > 0 {
        pages.push(page);
    }
    pages
}
