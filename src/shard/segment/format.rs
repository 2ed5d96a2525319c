//! Header, tail and table of a segment file: the parts found by place, of fixed-size records.
//!
//! | block | bytes | what |
//! |---|---|---|
//! | both | 0..8 | magic: `rtsegmt1` header, `rtsegend` tail |
//! | both | 8..12, 12..16 | version (1), shard |
//! | both | 16..24, 24..32 | store, file id |
//! | tail | 32..40 | size of the file |
//! | tail | 40..48, 48..56 | offset of the table, its bytes with checksum |
//! | tail | 56..60, 60..64 | number of sections, of directories |
//! | both | 4,088..4,096 | xxh3 of all before; unnamed bytes are zero |
//!
//! The table is a record of 84 bytes per section and one of 52 per directory, then an xxh3 seeded
//! by file and place. Valid: magic, version, ids, size and checksums agree. The tail is written
//! last and names the size, so a file cut at any byte has none.

use super::{FileIdent, SectionKey, SectionMeta};
use crate::env::BLOCK_BYTES;
use crate::model::{MeasurementId, PartitionId, SeriesId, TimeRange};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Length of a checksum at the end of a piece.
pub const SUM_BYTES: usize = 8;
const VERSION: u32 = 1;
const HEADER_MAGIC: &[u8; 8] = b"rtsegmt1";
const TAIL_MAGIC: &[u8; 8] = b"rtsegend";
const SECTION_BYTES: u64 = 84;
const DIRECTORY_BYTES: u64 = 52;

/// Where the table lies, as the tail tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tail {
    pub file_bytes: u64,
    pub table_offset: u64,
    pub table_bytes: u64,
    pub sections: u32,
    pub directories: u32,
}

/// A directory as the table names it: where it lies, and what can be inside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirectoryHead {
    pub section: u32,
    pub chunks: u32,
    pub offset: u64,
    /// With checksum.
    pub bytes: u32,
    /// Least and greatest key of a row in one of the chunks.
    pub first: (MeasurementId, SeriesId),
    pub last: (MeasurementId, SeriesId),
    pub time: TimeRange,
}

/// The header block.
pub fn header(ident: &FileIdent) -> Vec<u8> {
    seal(start(HEADER_MAGIC, ident))
}

/// Whether a block is the header of this file; else what is wrong with it.
pub fn check_header(block: &[u8], ident: &FileIdent) -> Result<(), &'static str> {
    opened(block, HEADER_MAGIC, ident).map(|_| ())
}

/// The tail block.
pub fn tail(ident: &FileIdent, tail: &Tail) -> Vec<u8> {
    let mut out = start(TAIL_MAGIC, ident);
    for number in [tail.file_bytes, tail.table_offset, tail.table_bytes] {
        put_u64(&mut out, number);
    }
    put_u32(&mut out, tail.sections);
    put_u32(&mut out, tail.directories);
    seal(out)
}

/// Reads the tail block of a file of `file_bytes` bytes; else tells what is wrong with it.
pub fn read_tail(block: &[u8], ident: &FileIdent, file_bytes: u64) -> Result<Tail, &'static str> {
    let mut fields = opened(block, TAIL_MAGIC, ident)?;
    let tail = read_tail_fields(&mut fields).ok_or("tail is too short")?;
    let records = u64::from(tail.sections) * SECTION_BYTES
        + u64::from(tail.directories) * DIRECTORY_BYTES
        + SUM_BYTES as u64;
    let end = tail.table_offset.checked_add(tail.table_bytes);
    let fits = end.is_some_and(|end| end <= file_bytes.saturating_sub(BLOCK_BYTES as u64));
    if tail.file_bytes != file_bytes {
        return Err("tail names another file size");
    }
    if records != tail.table_bytes || !fits {
        return Err("tail names no possible table");
    }
    Ok(tail)
}

fn read_tail_fields(fields: &mut Fields<'_>) -> Option<Tail> {
    Some(Tail {
        file_bytes: fields.u64()?,
        table_offset: fields.u64()?,
        table_bytes: fields.u64()?,
        sections: fields.u32()?,
        directories: fields.u32()?,
    })
}

fn start(magic: &[u8; 8], ident: &FileIdent) -> Vec<u8> {
    let mut out = Vec::with_capacity(BLOCK_BYTES);
    out.extend_from_slice(magic);
    put_u32(&mut out, VERSION);
    put_u32(&mut out, ident.shard);
    put_u64(&mut out, ident.store);
    put_u64(&mut out, ident.file_id);
    out
}

fn seal(mut out: Vec<u8>) -> Vec<u8> {
    out.resize(BLOCK_BYTES - SUM_BYTES, 0);
    let sum = xxh3_64(&out);
    put_u64(&mut out, sum);
    out
}

/// Checks what header and tail share; the fields behind follow.
fn opened<'a>(
    block: &'a [u8],
    magic: &[u8; 8],
    ident: &FileIdent,
) -> Result<Fields<'a>, &'static str> {
    let body = (block.len() == BLOCK_BYTES).then(|| block.split_last_chunk::<SUM_BYTES>());
    let Some(Some((body, sum))) = body else { return Err("block is too short") };
    if !body.starts_with(magic) {
        return Err("not a segment file, or cut");
    }
    if xxh3_64(body) != u64::from_le_bytes(*sum) {
        return Err("checksum of the block does not match");
    }
    let mut fields = Fields::new(body.get(magic.len()..).unwrap_or(&[]));
    if fields.u32() != Some(VERSION) {
        return Err("unknown version");
    }
    let (shard, store, file_id) = (fields.u32(), fields.u64(), fields.u64());
    if (store, shard, file_id) != (Some(ident.store), Some(ident.shard), Some(ident.file_id)) {
        return Err("the file belongs to another store, shard or name");
    }
    Ok(fields)
}

/// The table with its checksum.
pub fn table(
    sections: &[SectionMeta],
    directories: &[DirectoryHead],
    file_id: u64,
    offset: u64,
) -> Vec<u8> {
    let mut out = Vec::new();
    for section in sections {
        put_section(&mut out, section);
    }
    for directory in directories {
        put_directory(&mut out, directory);
    }
    add_sum(&mut out, file_id, offset);
    out
}

/// Reads a table whose checksum is checked; `None` when it has another shape than the tail says.
pub fn read_table(body: &[u8], tail: &Tail) -> Option<(Vec<SectionMeta>, Vec<DirectoryHead>)> {
    let mut fields = Fields::new(body);
    let sections: Option<Vec<SectionMeta>> =
        (0..tail.sections).map(|_| read_section(&mut fields)).collect();
    let directories: Option<Vec<DirectoryHead>> =
        (0..tail.directories).map(|_| read_directory(&mut fields)).collect();
    let (sections, directories) = (sections?, directories?);
    let inside = |head: &DirectoryHead| {
        let end = head.offset.checked_add(u64::from(head.bytes));
        head.section < tail.sections && end.is_some_and(|end| end <= tail.table_offset)
    };
    let sound = directories.iter().all(inside)
        && directories.is_sorted_by_key(|head| (head.section, head.offset));
    (sound && fields.is_empty()).then_some((sections, directories))
}

fn put_section(out: &mut Vec<u8>, section: &SectionMeta) {
    put_u32(out, section.key.partition.0);
    put_u32(out, section.key.day as u32);
    for number in [
        section.key.min_seq,
        section.key.max_seq,
        section.rows,
        section.runs,
        section.values,
        section.bytes,
        section.time.first as u64,
        section.time.last as u64,
    ] {
        put_u64(out, number);
    }
    put_u32(out, section.series);
    put_u32(out, section.chunks);
    put_u32(out, 0);
}

fn read_section(fields: &mut Fields<'_>) -> Option<SectionMeta> {
    let (partition, day) = (PartitionId(fields.u32()?), fields.u32()? as i32);
    let (min_seq, max_seq) = (fields.u64()?, fields.u64()?);
    let (rows, runs, values, bytes) = (fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?);
    let time = TimeRange::new(fields.u64()? as i64, fields.u64()? as i64);
    let (series, chunks, spare) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let key = SectionKey { partition, day, min_seq, max_seq };
    (spare == 0).then_some(SectionMeta { key, rows, series, runs, time, bytes, chunks, values })
}

fn put_directory(out: &mut Vec<u8>, head: &DirectoryHead) {
    put_u32(out, head.section);
    put_u32(out, head.chunks);
    put_u64(out, head.offset);
    put_u32(out, head.bytes);
    for number in [head.first.0.0, head.first.1.0, head.last.0.0, head.last.1.0] {
        put_u32(out, number);
    }
    put_u64(out, head.time.first as u64);
    put_u64(out, head.time.last as u64);
}

fn read_directory(fields: &mut Fields<'_>) -> Option<DirectoryHead> {
    Some(DirectoryHead {
        section: fields.u32()?,
        chunks: fields.u32()?,
        offset: fields.u64()?,
        bytes: fields.u32()?,
        first: (MeasurementId(fields.u32()?), SeriesId(fields.u32()?)),
        last: (MeasurementId(fields.u32()?), SeriesId(fields.u32()?)),
        time: TimeRange::new(fields.u64()? as i64, fields.u64()? as i64),
    })
}

/// Appends the checksum of a piece that knows its place: bytes of another file or offset, however
/// sound, do not verify here.
pub fn add_sum(piece: &mut Vec<u8>, file_id: u64, offset: u64) {
    let sum = xxh3_64_with_seed(piece, seed(file_id, offset));
    put_u64(piece, sum);
}

/// A piece without its checksum, when that matches.
pub fn without_sum(piece: &[u8], file_id: u64, offset: u64) -> Option<&[u8]> {
    let (body, sum) = piece.split_last_chunk::<SUM_BYTES>()?;
    let matches = xxh3_64_with_seed(body, seed(file_id, offset)) == u64::from_le_bytes(*sum);
    matches.then_some(body)
}

fn seed(file_id: u64, offset: u64) -> u64 {
    file_id.rotate_left(40) ^ offset
}

/// Appends a number, little-endian.
pub fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends a number, little-endian.
pub fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Reads fixed-size fields one after the other; `None` at the end.
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields { rest: bytes }
    }

    /// The next four bytes as a number.
    pub fn u32(&mut self) -> Option<u32> {
        let (number, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*number))
    }

    /// The next eight bytes as a number.
    pub fn u64(&mut self) -> Option<u64> {
        let (number, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(u64::from_le_bytes(*number))
    }

    /// The next `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }

    /// Whether all was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENT: FileIdent = FileIdent { store: 11, shard: 3, file_id: 99 };

    fn parts() -> (Vec<SectionMeta>, Vec<DirectoryHead>) {
        let key = SectionKey { partition: PartitionId(7), day: -3, min_seq: 5, max_seq: 9 };
        let time = TimeRange::new(-1000, 2000);
        let (rows, series, runs, bytes, chunks, values) = (1, 2, 3, 4, 5, 6);
        let section = SectionMeta { key, rows, series, runs, time, bytes, chunks, values };
        let first = (MeasurementId(1), SeriesId(2));
        let last = (MeasurementId(3), SeriesId(4));
        let head =
            DirectoryHead { section: 0, chunks: 5, offset: 4096, bytes: 100, first, last, time };
        (vec![section], vec![head])
    }

    #[test]
    fn table_and_tail_read_back_and_hold_the_sizes_they_claim() {
        let (sections, directories) = parts();
        let bytes = table(&sections, &directories, 99, 8192);
        let record = Tail {
            file_bytes: 16_384,
            table_offset: 8192,
            table_bytes: bytes.len() as u64,
            sections: 1,
            directories: 1,
        };
        let block = tail(&IDENT, &record);
        assert_eq!(read_tail(&block, &IDENT, 16_384), Ok(record));
        let body = without_sum(&bytes, 99, 8192).unwrap();
        assert_eq!(read_table(body, &record), Some((sections, directories)));
        assert!(without_sum(&bytes, 99, 8200).is_none() && without_sum(&bytes, 98, 8192).is_none());
        assert!(read_tail(&block, &IDENT, 20_480).is_err());
        assert!(check_header(&block, &IDENT).is_err());
    }

    #[test]
    fn any_flipped_bit_of_header_or_tail_is_noticed() {
        let block = header(&IDENT);
        assert_eq!(check_header(&block, &IDENT), Ok(()));
        assert!(check_header(&block, &FileIdent { shard: 4, ..IDENT }).is_err());
        for bit in (0..BLOCK_BYTES * 8).step_by(61) {
            let mut flipped = block.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(check_header(&flipped, &IDENT).is_err(), "bit {bit}");
        }
    }
}
