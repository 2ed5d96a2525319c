//! The reading side of a chunk: checks everything at once, then decodes any pages.
//!
//! In: the bytes of one chunk, from a cache or a file. Out: rows appended to a column. What pages
//! share (training, dictionary) is read when the chunk is opened, once.

use super::super::varint::{get_len, get_u8, take};
use super::super::{CodecError, checksum, light, present, scale, text};
use super::numbers::{get_pco, get_pco_mapped, open_pco};
use super::{ALL, Coding, NONE, ROWS_MAX, SOME, STRING_BYTES_MAX};
use crate::model::{Column, FieldType, Strings, Values};
use pco::DecompressorScratch;
use pco::wrapped::ChunkDecompressor;
use std::ops::Range;

/// What the pages of a chunk share.
#[derive(Debug)]
enum Shared {
    Nothing,
    Integers(ChunkDecompressor<i64>),
    Floats(ChunkDecompressor<f64>),
    Dictionary(Strings),
}

/// One page: its rows, how many have a value, its bytes.
#[derive(Clone, Copy, Debug)]
struct Page<'a> {
    start: usize,
    rows: usize,
    present: usize,
    bytes: &'a [u8],
}

impl<'a> Page<'a> {
    /// The bits of the rows with a value (`None`: all have one) and the values' bytes.
    fn split(&self) -> Result<(Option<&'a [u8]>, &'a [u8]), CodecError> {
        if self.present == self.rows {
            return Ok((None, self.bytes));
        }
        if self.present == 0 {
            // An empty bitmap stands for one without a set bit.
            return Ok((Some(&[]), self.bytes));
        }
        let mut body = self.bytes;
        let bits = take(&mut body, self.rows.div_ceil(8))?;
        if present::count_ones(bits, self.rows) != self.present {
            return Err(CodecError::Malformed("count of present rows"));
        }
        Ok((Some(bits), body))
    }
}

/// A chunk whose checksum and structure hold.
#[derive(Debug)]
pub struct Reader<'a> {
    kind: FieldType,
    coding: Coding,
    power: f64,
    rows: usize,
    pages: Vec<Page<'a>>,
    shared: Shared,
}

impl<'a> Reader<'a> {
    /// Verifies the checksum and reads the head of a chunk.
    pub fn open(bytes: &'a [u8]) -> Result<Reader<'a>, CodecError> {
        let (body, sum) = bytes.split_last_chunk::<8>().ok_or(CodecError::Truncated)?;
        let (expected, found) = (u64::from_le_bytes(*sum), checksum::xxh3(body));
        if expected != found {
            return Err(CodecError::Checksum { expected, found });
        }
        Reader::open_again(bytes)
    }

    /// Reads the head of a chunk whose checksum was verified before, as it is when it comes from a
    /// cache: hashing a chunk takes longer than decoding a page of it. Of other bytes it makes an
    /// error or wrong values.
    pub fn open_again(bytes: &'a [u8]) -> Result<Reader<'a>, CodecError> {
        let (body, _) = bytes.split_last_chunk::<8>().ok_or(CodecError::Truncated)?;
        let mut input = body;
        let kind = FieldType::from_tag(get_u8(&mut input)?);
        let kind = kind.ok_or(CodecError::Malformed("type of a chunk"))?;
        let coding = Coding::checked(kind, get_u8(&mut input)?)?;
        let decimals = get_u8(&mut input)?;
        if decimals > scale::DECIMALS_MAX {
            return Err(CodecError::Malformed("decimals"));
        }
        let mut pages = read_pages(&mut input)?;
        read_counts(&mut input, &mut pages)?;
        let rows = pages.last().map_or(0, |page| page.start + page.rows);
        let shared_len = get_len(&mut input, body.len(), "shared part")?;
        let shared = open_shared(coding, take(&mut input, shared_len)?, rows)?;
        read_bodies(&mut input, &mut pages)?;
        Ok(Reader { kind, coding, power: scale::power(decimals), rows, pages, shared })
    }

    /// The type of the values.
    pub fn kind(&self) -> FieldType {
        self.kind
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of pages.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The rows of a page; empty behind the last.
    pub fn page_rows(&self, page: usize) -> Range<usize> {
        self.pages.get(page).map_or(0..0, |page| page.start..page.start + page.rows)
    }

    /// Appends the rows of the pages to `out`, which has the chunk's type. Its validity becomes
    /// `Some` only when a null is met. After an error `out` must be dropped.
    pub fn decode(&self, pages: Range<usize>, out: &mut Column) -> Result<(), CodecError> {
        let pages = self.wanted(pages)?;
        if out.values.kind() != self.kind {
            return Err(OTHER_TYPE);
        }
        let mut before = out.values.len();
        match &mut out.values {
            Values::Integer(values) => self.integers(pages, values, |value| value)?,
            Values::Unsigned(values) => self.integers(pages, values, |value| value as u64)?,
            Values::Float(values) => self.floats(pages, values)?,
            Values::Boolean(values) => fill(pages, values, get_booleans)?,
            Values::String(values) => self.strings(pages, values)?,
        }
        for page in pages {
            let (bits, _) = page.split()?;
            present::append_validity(&mut out.validity, before, bits, page.rows);
            before += page.rows;
        }
        Ok(())
    }

    /// Appends the rows `ranges` of the pages to `out`, which has the chunk's type, where that can
    /// be done for less than decoding the pages; else says false and does nothing. After an error
    /// `out` must be dropped.
    pub fn pick(
        &self,
        pages: Range<usize>,
        ranges: &[Range<u32>],
        out: &mut Column,
    ) -> Result<bool, CodecError> {
        let pages = self.wanted(pages)?;
        if out.values.kind() != self.kind {
            return Err(OTHER_TYPE);
        }
        let light = matches!(self.coding, Coding::Light | Coding::ScaledLight);
        if !light || pages.iter().any(|page| page.present < page.rows) {
            return Ok(false);
        }
        let before = out.values.len();
        let power = self.power;
        match &mut out.values {
            Values::Integer(values) => pick(pages, ranges, |value| values.push(value))?,
            Values::Unsigned(values) => pick(pages, ranges, |value| values.push(value as u64))?,
            Values::Float(values) => {
                pick(pages, ranges, |value| values.push(scale::to_float(value, power)))?;
            }
            _ => return Ok(false),
        }
        let picked = out.values.len() - before;
        present::append_validity(&mut out.validity, before, None, picked);
        Ok(true)
    }

    /// Appends the times of the pages. After an error `out` must be dropped.
    pub fn decode_times(&self, pages: Range<usize>, out: &mut Vec<i64>) -> Result<(), CodecError> {
        if self.kind != FieldType::Integer {
            return Err(OTHER_TYPE);
        }
        let pages = self.wanted(pages)?;
        if pages.iter().any(|page| page.present < page.rows) {
            return Err(CodecError::Malformed("times with nulls"));
        }
        self.integers(pages, out, |value| value)
    }

    fn wanted(&self, pages: Range<usize>) -> Result<&[Page<'a>], CodecError> {
        self.pages.get(pages).ok_or(CodecError::Malformed("no such page"))
    }

    fn integers<T: Copy + Default>(
        &self,
        pages: &[Page],
        out: &mut Vec<T>,
        map: impl Fn(i64) -> T + Copy,
    ) -> Result<(), CodecError> {
        match &self.shared {
            Shared::Integers(chunk) => {
                let mut scratch = DecompressorScratch::default();
                fill(pages, out, |body, rows: &mut [T]| {
                    get_pco_mapped(chunk, body, rows, &mut scratch, map)
                })
            }
            _ => fill(pages, out, |body, rows: &mut [T]| light::get(body, rows, map)),
        }
    }

    fn floats(&self, pages: &[Page], out: &mut Vec<f64>) -> Result<(), CodecError> {
        let power = self.power;
        match (&self.shared, self.coding) {
            (Shared::Floats(chunk), _) => {
                let mut scratch = DecompressorScratch::default();
                fill(pages, out, |body, rows| get_pco(chunk, body, rows, &mut scratch))
            }
            (_, Coding::BitsLight) => fill(pages, out, |mut body, rows| {
                let shift = u32::from(get_u8(&mut body)?);
                if shift > 63 {
                    return Err(CodecError::Malformed("shift of bits"));
                }
                light::get(body, rows, |bits| f64::from_bits((bits as u64) << shift))
            }),
            _ => self.integers(pages, out, |scaled| scale::to_float(scaled, power)),
        }
    }

    fn strings(&self, pages: &[Page], out: &mut Strings) -> Result<(), CodecError> {
        let limit = out.bytes.len().saturating_add(STRING_BYTES_MAX).min(u32::MAX as usize);
        for page in pages {
            let (bits, mut body) = page.split()?;
            let mut end = out.bytes.len();
            let room = limit.saturating_sub(end);
            let lengths: Vec<u32> = match &self.shared {
                _ if page.present == 0 => Vec::new(),
                Shared::Dictionary(entries) => copy_entries(entries, body, page, room, out)?,
                _ => {
                    let lengths = text::get(&mut body, page.present, room, &mut out.bytes)?;
                    if !body.is_empty() {
                        return Err(CodecError::Malformed("bytes behind strings"));
                    }
                    lengths
                }
            };
            let mut lengths = lengths.into_iter();
            out.ends.extend((0..page.rows).map(|row| {
                if bits.is_none_or(|bits| present::bit(bits, row)) {
                    end += lengths.next().unwrap_or(0) as usize;
                }
                end as u32
            }));
        }
        Ok(())
    }
}

const OTHER_TYPE: CodecError = CodecError::Malformed("column of another type");

fn read_pages<'a>(input: &mut &[u8]) -> Result<Vec<Page<'a>>, CodecError> {
    let count = get_len(input, ROWS_MAX, "pages of a chunk")?;
    if count > input.len() {
        return Err(CodecError::Truncated);
    }
    let mut pages = Vec::with_capacity(count);
    let mut start = 0;
    for _ in 0..count {
        let rows = get_len(input, ROWS_MAX - start, "rows of a chunk")?;
        if rows == 0 {
            return Err(CodecError::Malformed("empty page"));
        }
        pages.push(Page { start, rows, present: rows, bytes: &[] });
        start += rows;
    }
    Ok(pages)
}

fn read_counts(input: &mut &[u8], pages: &mut [Page]) -> Result<(), CodecError> {
    match get_u8(input)? {
        ALL => {}
        NONE => pages.iter_mut().for_each(|page| page.present = 0),
        SOME => {
            for page in pages {
                page.present = get_len(input, page.rows, "present rows of a page")?;
            }
        }
        _ => return Err(CodecError::Malformed("validity of a chunk")),
    }
    Ok(())
}

fn read_bodies<'a>(input: &mut &'a [u8], pages: &mut [Page<'a>]) -> Result<(), CodecError> {
    let mut lengths = Vec::with_capacity(pages.len());
    for _ in pages.iter() {
        lengths.push(get_len(input, input.len(), "length of a page")?);
    }
    for (page, len) in pages.iter_mut().zip(lengths) {
        page.bytes = take(input, len)?;
        if page.present == 0 && len != 0 {
            return Err(CodecError::Malformed("bytes in a page of nulls"));
        }
    }
    if input.is_empty() { Ok(()) } else { Err(CodecError::Malformed("bytes behind the pages")) }
}

fn open_shared(coding: Coding, bytes: &[u8], rows: usize) -> Result<Shared, CodecError> {
    match coding {
        Coding::Pco | Coding::ScaledPco => open_pco(bytes).map(Shared::Integers),
        Coding::FloatPco => open_pco(bytes).map(Shared::Floats),
        Coding::Dictionary => {
            let mut input = bytes;
            let count = get_len(&mut input, rows, "dictionary")?;
            let mut entries = Strings::default();
            let lengths = text::get(&mut input, count, STRING_BYTES_MAX, &mut entries.bytes)?;
            if !input.is_empty() {
                return Err(CodecError::Malformed("bytes behind a dictionary"));
            }
            let mut end = 0;
            entries.ends.extend(lengths.into_iter().map(|len| {
                end += len;
                end
            }));
            Ok(Shared::Dictionary(entries))
        }
        _ if bytes.is_empty() => Ok(Shared::Nothing),
        _ => Err(CodecError::Malformed("unknown shared part")),
    }
}

/// Appends the pages' rows to `out`; `decode` fills a slice with a page's present values.
fn fill<T: Copy + Default>(
    pages: &[Page],
    out: &mut Vec<T>,
    mut decode: impl FnMut(&[u8], &mut [T]) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let rows: usize = pages.iter().map(|page| page.rows).sum();
    let start = out.len();
    out.resize(start + rows, T::default());
    let mut rest = out.get_mut(start..).unwrap_or(&mut []);
    for page in pages {
        let (bits, body) = page.split()?;
        let (rows, behind) = rest.split_at_mut(page.rows.min(rest.len()));
        rest = behind;
        if page.present == 0 {
            continue;
        }
        decode(body, rows.get_mut(..page.present).unwrap_or(&mut []))?;
        if let Some(bits) = bits {
            present::spread(rows, bits);
        }
    }
    Ok(())
}

/// Gives the values of the rows `ranges` of light pages without nulls to `take_value`.
fn pick(
    pages: &[Page],
    ranges: &[Range<u32>],
    mut take_value: impl FnMut(i64),
) -> Result<(), CodecError> {
    let rows = ranges.iter().flat_map(|range| range.start as usize..range.end as usize);
    let mut rows = rows.peekable();
    for page in pages {
        light::pick(page.bytes, page.rows, page.start, &mut rows, &mut take_value)?;
    }
    if rows.peek().is_none() { Ok(()) } else { Err(CodecError::Malformed("no such row")) }
}

fn get_booleans(body: &[u8], rows: &mut [bool]) -> Result<(), CodecError> {
    match body {
        [0] => rows.fill(false),
        [1] => rows.fill(true),
        [2, bits @ ..] => present::get_bools(bits, rows)?,
        _ => return Err(CodecError::Malformed("page of booleans")),
    }
    Ok(())
}

/// Appends the bytes of a page's dictionary entries and returns their lengths.
fn copy_entries(
    entries: &Strings,
    body: &[u8],
    page: &Page,
    room: usize,
    out: &mut Strings,
) -> Result<Vec<u32>, CodecError> {
    let mut lengths = vec![0u32; page.present];
    light::get(body, &mut lengths, |id| u32::try_from(id).unwrap_or(u32::MAX))?;
    let mut left = room;
    for slot in &mut lengths {
        let id = *slot as usize;
        if id >= entries.len() {
            return Err(CodecError::Malformed("no such dictionary entry"));
        }
        let text = entries.get(id);
        left = left.checked_sub(text.len()).ok_or(CodecError::TooLarge("strings of a chunk"))?;
        out.bytes.extend_from_slice(text);
        *slot = text.len() as u32;
    }
    Ok(lengths)
}
