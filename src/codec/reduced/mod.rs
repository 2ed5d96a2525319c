//! Width-reduced columns for log records: as small as one pass allows, written at memory speed.
//!
//! In: slices of a record's rows. Out: self-delimiting bytes, read back from a cursor. Numbers
//! become a base and 0, 1, 2, 4 or 8 bytes each; equal steps cost nothing a row; nulls store no
//! value.
//!
//! Integers (`put_i64s`, `put_u32s`, and inside columns):
//!
//! | bytes   | what                                                                          |
//! |---------|-------------------------------------------------------------------------------|
//! | varint  | values; nothing follows 0                                                     |
//! | u8      | bytes a value: 0, 1, 2, 4, 8; 16 is added when steps are stored, not values     |
//! | zigzag  | for steps: the first value                                                    |
//! | zigzag  | base: the smallest value or step                                              |
//! | …       | value (or step, one fewer) minus base, little-endian                          |
//!
//! Columns are in `column`. A record's checksum covers these bytes: a cut is found by the log.

mod column;
mod integers;
#[cfg(test)]
mod tests;

pub use column::{get_column, put_column};

use super::CodecError;

/// The most rows of one column in a record.
pub const ROWS_MAX: usize = 1 << 24;

/// Appends integers or times.
pub fn put_i64s(values: &[i64], out: &mut Vec<u8>) {
    integers::put(values, out);
}

/// Reads what `put_i64s` wrote and appends the values to `out`.
pub fn get_i64s(input: &mut &[u8], out: &mut Vec<i64>) -> Result<(), CodecError> {
    integers::get(input, out)
}

/// Appends ids.
pub fn put_u32s(values: &[u32], out: &mut Vec<u8>) {
    integers::put(values, out);
}

/// Reads what `put_u32s` wrote and appends the values to `out`.
pub fn get_u32s(input: &mut &[u8], out: &mut Vec<u32>) -> Result<(), CodecError> {
    integers::get(input, out)
}
