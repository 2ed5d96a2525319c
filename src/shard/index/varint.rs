//! Unsigned numbers in groups of seven bits, the lowest first; the top bit says that more follow.
//!
//! Used for gaps of ids in memory and for numbers in delta files. Reading never goes behind the
//! bytes given and refuses what does not fit into 32 bits.

/// Appends a number.
pub(super) fn write(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number off the front; `None` at the end or when it is too large.
pub(super) fn read(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0u32;
    for shift in [0, 7, 14, 21, 28] {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if shift == 28 && *byte > 0x0F {
            return None;
        }
        number |= u32::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Appends a string: its length, then its bytes. Strings of keys are below 64 KiB.
pub(super) fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    write(out, text.len() as u32);
    out.extend_from_slice(text);
}

/// Takes a string off the front.
pub(super) fn read_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = read(bytes)? as usize;
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_and_too_large_ones_do_not() {
        for number in [0, 1, 127, 128, 16_383, 16_384, 1 << 28, u32::MAX] {
            let mut out = Vec::new();
            write(&mut out, number);
            let mut bytes = out.as_slice();
            assert_eq!((read(&mut bytes), bytes.len()), (Some(number), 0));
            assert_eq!(read(&mut out.get(..out.len() - 1).unwrap()), None);
        }
        assert_eq!(read(&mut [0xFF, 0xFF, 0xFF, 0xFF, 0x10].as_slice()), None);
        assert_eq!(read_text(&mut [3, b'a', b'b'].as_slice()), None);
    }
}
