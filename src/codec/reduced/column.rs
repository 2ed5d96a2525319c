//! One column of a record, with its id and its nulls.
//!
//! In: a `model::Column`. Out: bytes from which an equal column is read (a validity without a null
//! comes back as `None`).
//!
//! | bytes  | what                                                                           |
//! |--------|--------------------------------------------------------------------------------|
//! | u32    | column id, the type in its low bits                                            |
//! | varint | rows                                                                           |
//! | u8     | 0: every row has a value; 1: none has, nothing follows; 2: a bitmap follows      |
//! | …      | the present values; their count is known, except for integers, which repeat it  |
//!
//! Floats: u8 0 and 8 bytes each; or 1 + decimals, u8 width, zigzag base, scaled integers minus
//! base. Booleans: bits. Strings: lengths as integers, then the bytes.

use super::super::varint::{get_i64, get_len, get_u8, put_i64, put_u64, take, take_array};
use super::super::{CodecError, present, scale};
use super::{ROWS_MAX, integers};
use crate::model::{Bitmap, Column, ColumnId, FieldType, Strings, Values};

const ALL: u8 = 0;
const NONE: u8 = 1;
const SOME: u8 = 2;

const FLOAT_BITS: u8 = 0;

/// Appends a column. Its values have the type its id tells, and its validity their length.
pub fn put_column(column: &Column, out: &mut Vec<u8>) {
    debug_assert_eq!(column.id.kind(), column.values.kind());
    let rows = column.values.len();
    out.extend_from_slice(&column.id.0.to_le_bytes());
    put_u64(rows as u64, out);
    let Some(validity) = column.validity.as_ref().filter(|map| map.count_ones() < rows) else {
        out.push(ALL);
        return put_values(&column.values, out);
    };
    if validity.count_ones() == 0 {
        out.push(NONE);
        return;
    }
    out.push(SOME);
    present::put_bits(validity, 0, rows, out);
    put_values(&gather(&column.values, validity), out);
}

fn gather(values: &Values, validity: &Bitmap) -> Values {
    match values {
        Values::Float(values) => Values::Float(present::gather(values, validity)),
        Values::Integer(values) => Values::Integer(present::gather(values, validity)),
        Values::Unsigned(values) => Values::Unsigned(present::gather(values, validity)),
        Values::Boolean(values) => Values::Boolean(present::gather(values, validity)),
        Values::String(strings) => {
            let mut present = Strings::default();
            let rows = (0..strings.len()).filter(|row| validity.get(*row));
            rows.for_each(|row| present.push(strings.get(row)));
            Values::String(present)
        }
    }
}

fn put_values(values: &Values, out: &mut Vec<u8>) {
    match values {
        Values::Float(values) => put_floats(values, out),
        Values::Integer(values) => integers::put(values, out),
        Values::Unsigned(values) => integers::put(values, out),
        Values::Boolean(values) => present::put_bools(values, out),
        Values::String(strings) => {
            let mut start = 0;
            let lengths: Vec<u32> = strings
                .ends
                .iter()
                .map(|end| end.wrapping_sub(std::mem::replace(&mut start, *end)))
                .collect();
            integers::put(&lengths, out);
            out.extend_from_slice(strings.bytes.get(..start as usize).unwrap_or(&[]));
        }
    }
}

fn put_floats(values: &[f64], out: &mut Vec<u8>) {
    let Some(found) = scale::find(values) else {
        out.push(FLOAT_BITS);
        return integers::put_cells(values.iter().map(|value| value.to_bits() as i64), 0, 8, out);
    };
    let power = scale::power(found.decimals);
    let width = integers::width_of(found.max.wrapping_sub(found.min) as u64);
    out.extend_from_slice(&[1 + found.decimals, width]);
    put_i64(found.min, out);
    let scaled = values.iter().map(|value| scale::to_integer(*value, power));
    integers::put_cells(scaled, found.min, width, out);
}

/// Reads what `put_column` wrote.
pub fn get_column(input: &mut &[u8]) -> Result<Column, CodecError> {
    let id = ColumnId::checked(u32::from_le_bytes(take_array(input)?));
    let id = id.ok_or(CodecError::Malformed("column id"))?;
    let rows = get_len(input, ROWS_MAX, "rows of a record")?;
    match get_u8(input)? {
        ALL => Ok(Column { id, values: get_values(input, id.kind(), rows)?, validity: None }),
        NONE => Ok(Column::nulls(id, rows)),
        SOME => {
            let bits = take(input, rows.div_ceil(8))?;
            let present = present::count_ones(bits, rows);
            let mut values = get_values(input, id.kind(), present)?;
            spread(&mut values, bits, rows);
            let mut validity = None;
            present::append_validity(&mut validity, 0, Some(bits), rows);
            Ok(Column { id, values, validity })
        }
        _ => Err(CodecError::Malformed("validity of a column")),
    }
}

fn get_values(input: &mut &[u8], kind: FieldType, count: usize) -> Result<Values, CodecError> {
    let mut values = Values::empty(kind);
    match &mut values {
        Values::Float(values) => get_floats(input, count, values)?,
        Values::Integer(values) => integers::get(input, values)?,
        Values::Unsigned(values) => integers::get(input, values)?,
        Values::Boolean(values) => {
            let bits = take(input, count.div_ceil(8))?;
            values.resize(count, false);
            present::get_bools(bits, values)?;
        }
        Values::String(strings) => get_strings(input, strings)?,
    }
    if values.len() == count { Ok(values) } else { Err(CodecError::Malformed("count of values")) }
}

fn get_floats(input: &mut &[u8], count: usize, out: &mut Vec<f64>) -> Result<(), CodecError> {
    let mode = get_u8(input)?;
    if mode == FLOAT_BITS {
        return integers::get_cells(input, count, 8, out, |bits| f64::from_bits(bits as u64));
    }
    if mode > 1 + scale::DECIMALS_MAX {
        return Err(CodecError::Malformed("decimals of floats"));
    }
    let power = scale::power(mode - 1);
    let width = get_u8(input)?;
    let base = get_i64(input)?;
    integers::get_cells(input, count, width, out, |cell| {
        scale::to_float(base.wrapping_add(cell), power)
    })
}

fn get_strings(input: &mut &[u8], out: &mut Strings) -> Result<(), CodecError> {
    integers::get(input, &mut out.ends)?;
    let mut end = 0u64;
    for length in &mut out.ends {
        end += u64::from(*length);
        *length = end as u32;
    }
    if end > u64::from(u32::MAX) {
        return Err(CodecError::TooLarge("strings of a record"));
    }
    out.bytes.extend_from_slice(take(input, end as usize)?);
    Ok(())
}

fn spread(values: &mut Values, bits: &[u8], rows: usize) {
    let missing = rows.saturating_sub(values.len());
    if let Values::String(strings) = values {
        let mut ends = strings.ends.iter().copied();
        let mut end = 0;
        let spread = (0..rows).map(|row| {
            if present::bit(bits, row) {
                end = ends.next().unwrap_or(end);
            }
            end
        });
        strings.ends = spread.collect();
        return;
    }
    values.extend_null(missing);
    match values {
        Values::Float(values) => present::spread(values, bits),
        Values::Integer(values) => present::spread(values, bits),
        Values::Unsigned(values) => present::spread(values, bits),
        Values::Boolean(values) => present::spread(values, bits),
        Values::String(_) => {}
    }
}
