//! Integers of any type here, minus a base, at one of a few byte widths.
//!
//! One pass finds the range, one writes. Steps (differences of neighbours) are looked at only when
//! values need more than a byte, as times do.

use super::super::CodecError;
use super::super::varint::{get_i64, get_len, get_u8, put_i64, put_u64, take};
use super::ROWS_MAX;

/// Added to the width when steps are stored.
const STEPS: u8 = 16;

/// An integer that fits an i64, or the 64 bits of one.
pub trait Lane: Copy + PartialEq {
    /// The value, or its bits.
    fn widen(self) -> i64;
    /// Undoes `widen`.
    fn narrow(wide: i64) -> Self;
}

macro_rules! lane {
    ($type:ty) => {
        impl Lane for $type {
            #[inline(always)]
            fn widen(self) -> i64 {
                self as i64
            }

            #[inline(always)]
            fn narrow(wide: i64) -> Self {
                wide as $type
            }
        }
    };
}

lane!(i64);
lane!(u64);
lane!(u32);

/// Appends the count and the values.
pub fn put<T: Lane>(values: &[T], out: &mut Vec<u8>) {
    put_u64(values.len() as u64, out);
    let Some((first, rest)) = values.split_first() else { return };
    let first = first.widen();
    let step = rest.first().map_or(0, |next| next.widen().wrapping_sub(first));
    if is_even(values, step) {
        put_head(if step == 0 { 0 } else { STEPS }, first, step, out);
        return;
    }
    let (min, max) = range(values.iter().map(|value| value.widen()));
    let width = width_of(max.wrapping_sub(min) as u64);
    if width > 1 {
        let steps = || values.iter().zip(rest).map(|(last, next)| difference(*last, *next));
        let (low, high) = range(steps());
        let step_width = width_of(high.wrapping_sub(low) as u64);
        if step_width < width {
            put_head(STEPS | step_width, first, low, out);
            return put_cells(steps(), low, step_width, out);
        }
    }
    put_head(width, first, min, out);
    put_cells(values.iter().map(|value| value.widen()), min, width, out);
}

#[inline(always)]
fn difference<T: Lane>(last: T, next: T) -> i64 {
    next.widen().wrapping_sub(last.widen())
}

fn put_head(mode: u8, first: i64, base: i64, out: &mut Vec<u8>) {
    out.push(mode);
    if mode == 0 || mode & STEPS != 0 {
        put_i64(first, out);
    }
    if mode != 0 {
        put_i64(base, out);
    }
}

fn is_even<T: Lane>(values: &[T], step: i64) -> bool {
    values.array_windows().all(|[last, next]| difference(*last, *next) == step)
}

/// Smallest and largest of at least one value.
fn range(values: impl Iterator<Item = i64>) -> (i64, i64) {
    values.fold((i64::MAX, i64::MIN), |(min, max), value| (min.min(value), max.max(value)))
}

/// Bytes of a cell that holds `span`.
pub fn width_of(span: u64) -> u8 {
    match span {
        0 => 0,
        1..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    }
}

/// Appends each value minus `base` in `width` bytes.
pub fn put_cells(
    values: impl ExactSizeIterator<Item = i64>,
    base: i64,
    width: u8,
    out: &mut Vec<u8>,
) {
    let values = values.map(|value| value.wrapping_sub(base));
    match width {
        0 => {}
        1 => out.extend(values.map(|value| value as u8)),
        2 => cells(values.map(|value| (value as u16).to_le_bytes()), out),
        4 => cells(values.map(|value| (value as u32).to_le_bytes()), out),
        _ => cells(values.map(|value| value.to_le_bytes()), out),
    }
}

fn cells<const N: usize>(values: impl ExactSizeIterator<Item = [u8; N]>, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + values.len() * N, 0);
    let room = out.get_mut(start..).unwrap_or(&mut []);
    room.as_chunks_mut::<N>().0.iter_mut().zip(values).for_each(|(cell, value)| *cell = value);
}

/// Reads the count and the values, and appends them.
pub fn get<T: Lane>(input: &mut &[u8], out: &mut Vec<T>) -> Result<(), CodecError> {
    let count = get_len(input, ROWS_MAX, "values of a record")?;
    if count == 0 {
        return Ok(());
    }
    let mode = get_u8(input)?;
    if mode & STEPS == 0 {
        let base = get_i64(input)?;
        return get_cells(input, count, mode, out, |cell| T::narrow(base.wrapping_add(cell)));
    }
    let mut last = get_i64(input)?;
    let base = get_i64(input)?;
    let rows = out.len();
    out.push(T::narrow(last));
    get_cells(input, count - 1, mode & !STEPS, out, |cell| {
        last = last.wrapping_add(base).wrapping_add(cell);
        T::narrow(last)
    })?;
    debug_assert_eq!(out.len(), rows + count);
    Ok(())
}

/// Reads `count` cells of `width` bytes and appends what `map` makes of them.
pub fn get_cells<T>(
    input: &mut &[u8],
    count: usize,
    width: u8,
    out: &mut Vec<T>,
    mut map: impl FnMut(i64) -> T,
) -> Result<(), CodecError> {
    if !matches!(width, 0 | 1 | 2 | 4 | 8) {
        return Err(CodecError::Malformed("width of values"));
    }
    let bytes = take(input, count.saturating_mul(width as usize))?;
    match width {
        0 => out.extend((0..count).map(|_| map(0))),
        1 => out.extend(bytes.iter().map(|byte| map(i64::from(*byte)))),
        2 => {
            let cells = bytes.as_chunks().0.iter();
            out.extend(cells.map(|cell| map(i64::from(u16::from_le_bytes(*cell)))));
        }
        4 => {
            let cells = bytes.as_chunks().0.iter();
            out.extend(cells.map(|cell| map(i64::from(u32::from_le_bytes(*cell)))));
        }
        _ => {
            let cells = bytes.as_chunks().0.iter();
            out.extend(cells.map(|cell| map(i64::from_le_bytes(*cell))));
        }
    }
    Ok(())
}
