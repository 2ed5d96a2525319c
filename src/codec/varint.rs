//! Integers of variable length, and the reads of a cursor that every decoder here is made of.
//!
//! A u64 is LEB128: seven bits a byte, the lowest first, the high bit set on all but the last byte.
//! An i64 is mapped to u64 by zigzag first (0, -1, 1, -2 become 0, 1, 2, 3). A cursor is a `&mut
//! &[u8]` that moves behind what was read; on an error its position means nothing.

use super::CodecError;

/// Appends `value`, 1 to 10 bytes.
pub fn put_u64(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `value` as zigzag, 1 to 10 bytes.
pub fn put_i64(value: i64, out: &mut Vec<u8>) {
    put_u64(zigzag(value), out);
}

/// Reads what `put_u64` wrote. More than 64 bits are refused.
pub fn get_u64(input: &mut &[u8]) -> Result<u64, CodecError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = get_u8(input)?;
        if shift == 63 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(CodecError::Malformed("varint of more than 64 bits"))
}

/// Reads what `put_i64` wrote.
pub fn get_i64(input: &mut &[u8]) -> Result<i64, CodecError> {
    get_u64(input).map(unzigzag)
}

/// Reads a count or length of at most `max`; `what` names it in the error.
pub fn get_len(input: &mut &[u8], max: usize, what: &'static str) -> Result<usize, CodecError> {
    let value = get_u64(input)?;
    match usize::try_from(value) {
        Ok(len) if len <= max => Ok(len),
        _ => Err(CodecError::TooLarge(what)),
    }
}

/// Reads one byte.
pub fn get_u8(input: &mut &[u8]) -> Result<u8, CodecError> {
    let (byte, rest) = input.split_first().ok_or(CodecError::Truncated)?;
    *input = rest;
    Ok(*byte)
}

/// Takes the next `len` bytes.
pub fn take<'a>(input: &mut &'a [u8], len: usize) -> Result<&'a [u8], CodecError> {
    let (head, rest) = input.split_at_checked(len).ok_or(CodecError::Truncated)?;
    *input = rest;
    Ok(head)
}

/// Takes the next `N` bytes as an array.
pub fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], CodecError> {
    let (head, rest) = input.split_first_chunk::<N>().ok_or(CodecError::Truncated)?;
    *input = rest;
    Ok(*head)
}

/// Small magnitudes of either sign to small numbers.
#[inline(always)]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Undoes `zigzag`.
#[inline(always)]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ (value as i64 & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_grow_with_the_magnitude() {
        for (value, len) in [(0, 1), (127, 1), (128, 2), (u64::MAX >> 1, 9), (u64::MAX, 10)] {
            let mut out = Vec::new();
            put_u64(value, &mut out);
            assert_eq!(out.len(), len, "{value}");
        }
    }

    #[test]
    fn a_cut_and_an_overlong_varint_are_refused() {
        assert_eq!(get_u64(&mut [0x80].as_slice()), Err(CodecError::Truncated));
        for last in [2, 0x81] {
            let bytes = [[0xff; 9].as_slice(), &[last, 0]].concat();
            assert!(matches!(get_u64(&mut bytes.as_slice()), Err(CodecError::Malformed(_))));
        }
        let mut out = Vec::new();
        put_u64(1001, &mut out);
        assert_eq!(get_len(&mut out.as_slice(), 1000, "n"), Err(CodecError::TooLarge("n")));
    }

    proptest! {
        #[test]
        fn numbers_come_back_and_the_cursor_stops_behind_them(
            unsigned in any::<u64>(), signed in any::<i64>(), shift in 0..64u32
        ) {
            let mut out = Vec::new();
            put_u64(unsigned >> shift, &mut out);
            put_i64(signed >> shift, &mut out);
            out.push(7);
            let mut input = out.as_slice();
            prop_assert_eq!(get_u64(&mut input).unwrap(), unsigned >> shift);
            prop_assert_eq!(get_i64(&mut input).unwrap(), signed >> shift);
            prop_assert_eq!(input, [7u8].as_slice());
        }
    }
}
