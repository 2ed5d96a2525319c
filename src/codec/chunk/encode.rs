//! The writing side of a chunk: picks a coding, encodes the pages, puts head and checksum around.
//!
//! In: a column and its pages. Out: the bytes of the table in `chunk`. The same column gives the
//! same bytes on every machine.

use super::super::text::{self, Press};
use super::super::{CodecError, checksum, light, present, scale, varint};
use super::numbers::{
    Bodies, bits_bodies, float_config, integer_config, light_bodies, parts, smaller,
};
use super::{ALL, Coding, Effort, NONE, ROWS_MAX, SOME, STRING_BYTES_MAX};
use crate::model::{Bitmap, Column, FieldType, FixedMap, Strings, Values};
use std::borrow::Cow;

/// What stands in front of the pages.
struct Head {
    kind: FieldType,
    coding: Coding,
    decimals: u8,
}

/// A coding, the decimals of scaled floats, and the encoded pages.
type Encoded = (Coding, u8, Bodies);

/// Encodes a column (all its rows) and appends the chunk to `out`. `pages` are the rows of each
/// page, at least 1 each; they add up to the column's rows, which are at most `ROWS_MAX`.
pub fn encode(
    column: &Column,
    pages: &[u32],
    effort: Effort,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    check_pages(pages, column.values.len())?;
    let validity = column.validity.as_ref();
    if validity.is_some_and(|map| map.len() != column.values.len()) {
        return Err(CodecError::Malformed("validity of another length"));
    }
    let validity = validity.filter(|map| map.count_ones() < map.len());
    let counts = present_counts(pages, validity);
    let (coding, decimals, bodies) = match &column.values {
        Values::Integer(values) => integers(&gathered(values, validity), &counts, effort)?,
        Values::Unsigned(values) => {
            let values = gathered(values, validity);
            let bits: Vec<i64> = values.iter().map(|value| *value as i64).collect();
            integers(&bits, &counts, effort)?
        }
        Values::Float(values) => floats(&gathered(values, validity), &counts, effort)?,
        Values::Boolean(values) => {
            (Coding::Boolean, 0, booleans(&gathered(values, validity), &counts))
        }
        Values::String(strings) => texts(strings, validity, &counts, effort)?,
    };
    let head = Head { kind: column.values.kind(), coding, decimals };
    put_chunk(&head, (pages, &counts), validity, &bodies, out);
    Ok(())
}

/// Encodes times, which are integers without nulls.
pub fn encode_times(
    times: &[i64],
    pages: &[u32],
    effort: Effort,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    check_pages(pages, times.len())?;
    let (coding, decimals, bodies) = integers(times, pages, effort)?;
    let head = Head { kind: FieldType::Integer, coding, decimals };
    put_chunk(&head, (pages, pages), None, &bodies, out);
    Ok(())
}

fn check_pages(pages: &[u32], rows: usize) -> Result<(), CodecError> {
    if rows > ROWS_MAX {
        return Err(CodecError::TooLarge("rows of a chunk"));
    }
    let total: u64 = pages.iter().map(|rows| u64::from(*rows)).sum();
    if total != rows as u64 || pages.contains(&0) {
        return Err(CodecError::Malformed("pages do not cover the rows"));
    }
    Ok(())
}

fn gathered<'a, T: Copy>(values: &'a [T], validity: Option<&Bitmap>) -> Cow<'a, [T]> {
    match validity {
        None => Cow::Borrowed(values),
        Some(map) => Cow::Owned(present::gather(values, map)),
    }
}

fn present_counts<'a>(pages: &'a [u32], validity: Option<&Bitmap>) -> Cow<'a, [u32]> {
    let Some(map) = validity else { return Cow::Borrowed(pages) };
    let mut row = 0;
    let counts = pages.iter().map(|rows| {
        let count = present::count_present(map, row, *rows as usize);
        row += *rows as usize;
        count as u32
    });
    Cow::Owned(counts.collect())
}

fn integers(values: &[i64], counts: &[u32], effort: Effort) -> Result<Encoded, CodecError> {
    let (bodies, pco) =
        smaller(light_bodies(values, counts), values, counts, effort, integer_config)?;
    Ok((if pco { Coding::Pco } else { Coding::Light }, 0, bodies))
}

fn floats(values: &[f64], counts: &[u32], effort: Effort) -> Result<Encoded, CodecError> {
    let Some(found) = scale::find(values) else {
        let (bodies, pco) =
            smaller(bits_bodies(values, counts), values, counts, effort, float_config)?;
        return Ok((if pco { Coding::FloatPco } else { Coding::BitsLight }, 0, bodies));
    };
    let power = scale::power(found.decimals);
    let scaled: Vec<i64> = values.iter().map(|value| scale::to_integer(*value, power)).collect();
    let (bodies, pco) =
        smaller(light_bodies(&scaled, counts), &scaled, counts, effort, integer_config)?;
    let coding = if pco { Coding::ScaledPco } else { Coding::ScaledLight };
    Ok((coding, found.decimals, bodies))
}

/// Bodies: one byte (0 or 1) for a page of equal values, else the byte 2 and the bits.
fn booleans(values: &[bool], counts: &[u32]) -> Bodies {
    let mut bodies = Bodies::default();
    for part in parts(values, counts) {
        match part.split_first() {
            None => {}
            Some((first, rest)) if !rest.contains(&!*first) => bodies.bytes.push(u8::from(*first)),
            Some(_) => {
                bodies.bytes.push(2);
                present::put_bools(part, &mut bodies.bytes);
            }
        }
        bodies.close();
    }
    bodies
}

fn texts(
    strings: &Strings,
    validity: Option<&Bitmap>,
    counts: &[u32],
    effort: Effort,
) -> Result<Encoded, CodecError> {
    let rows = 0..strings.len();
    let present = rows.filter(|row| validity.is_none_or(|map| map.get(*row)));
    let texts: Vec<&[u8]> = present.map(|row| strings.get(row)).collect();
    if texts.iter().map(|text| text.len()).sum::<usize>() > STRING_BYTES_MAX {
        return Err(CodecError::TooLarge("strings of a chunk"));
    }
    let press = if effort == Effort::Pco { Press::Zstd } else { Press::Lz4 };
    let mut bodies = Bodies::default();
    if let Some((entries, ids)) = dictionary(&texts) {
        varint::put_u64(entries.len() as u64, &mut bodies.shared);
        text::put(entries.iter().copied(), press, &mut bodies.shared);
        for part in parts(&ids, counts) {
            if !part.is_empty() {
                light::put(part, &mut bodies.bytes);
            }
            bodies.close();
        }
        return Ok((Coding::Dictionary, 0, bodies));
    }
    for part in parts(&texts, counts) {
        if !part.is_empty() {
            text::put(part.iter().copied(), press, &mut bodies.bytes);
        }
        bodies.close();
    }
    Ok((Coding::Plain, 0, bodies))
}

/// The distinct strings in order of their first row, and each row's entry; `None` when more than
/// half of the rows are distinct.
fn dictionary<'a>(texts: &[&'a [u8]]) -> Option<(Vec<&'a [u8]>, Vec<i64>)> {
    let mut ids: FixedMap<&[u8], i64> = FixedMap::default();
    let mut entries = Vec::new();
    let mut rows = Vec::with_capacity(texts.len());
    for text in texts {
        let next = entries.len() as i64;
        let id = *ids.entry(text).or_insert(next);
        if id == next {
            entries.push(*text);
            if entries.len() * 2 > texts.len() {
                return None;
            }
        }
        rows.push(id);
    }
    Some((entries, rows))
}

fn put_chunk(
    head: &Head,
    (pages, counts): (&[u32], &[u32]),
    validity: Option<&Bitmap>,
    bodies: &Bodies,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend([head.kind as u8, head.coding as u8, head.decimals]);
    varint::put_u64(pages.len() as u64, out);
    pages.iter().for_each(|rows| varint::put_u64(u64::from(*rows), out));
    match validity {
        None => out.push(ALL),
        Some(_) if counts.iter().all(|count| *count == 0) => out.push(NONE),
        Some(_) => {
            out.push(SOME);
            counts.iter().for_each(|count| varint::put_u64(u64::from(*count), out));
        }
    }
    varint::put_u64(bodies.shared.len() as u64, out);
    out.extend_from_slice(&bodies.shared);
    put_pages((pages, counts), validity, bodies, out);
    let sum = checksum::xxh3(out.get(start..).unwrap_or(&[]));
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Appends the lengths of the pages, then the pages, each with its bitmap in front.
fn put_pages(
    (pages, counts): (&[u32], &[u32]),
    validity: Option<&Bitmap>,
    bodies: &Bodies,
    out: &mut Vec<u8>,
) {
    let mixed = |rows: u32, count: u32| validity.filter(|_| count > 0 && count < rows);
    for (page, (rows, count)) in pages.iter().zip(counts).enumerate() {
        let bits = mixed(*rows, *count).map_or(0, |_| rows.div_ceil(8) as usize);
        varint::put_u64((bits + bodies.page(page).len()) as u64, out);
    }
    let mut row = 0;
    for (page, (rows, count)) in pages.iter().zip(counts).enumerate() {
        if let Some(map) = mixed(*rows, *count) {
            present::put_bits(map, row, *rows as usize, out);
        }
        out.extend_from_slice(bodies.page(page));
        row += *rows as usize;
    }
}
