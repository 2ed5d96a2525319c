//! Many strings as one blob: their lengths as a light page, their bytes plain, by lz4 or by zstd.
//!
//! | bytes  | what                                                        |
//! |--------|-------------------------------------------------------------|
//! | page   | the lengths (`light`); their number is known to the reader   |
//! | u8     | 0 plain, 1 lz4, 2 zstd                                      |
//! | varint | bytes of all strings                                        |
//! | varint | stored bytes (not for plain)                                |
//! | …      | the stored bytes                                            |
//!
//! Valid if the lengths add up to the bytes. A holder's checksum covers the blob and finds a cut.

use super::varint::{get_len, get_u8, put_u64, take};
use super::{CodecError, light};

/// The most bytes of strings in a chunk.
pub const BYTES_MAX: usize = 16 << 20;

/// How bytes of strings are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Press {
    Lz4,
    Zstd,
}

const PLAIN: u8 = 0;
const LZ4: u8 = 1;
const ZSTD: u8 = 2;
/// Below this many bytes no compressor gains anything.
const PRESS_MIN: usize = 32;
/// The library's default: higher levels gain 2 to 3% on log lines for twice the time.
const ZSTD_LEVEL: i32 = 3;
/// lz4 cannot expand further than this.
const LZ4_RATIO_MAX: usize = 256;

/// Appends a blob of `texts`.
pub fn put<'a>(texts: impl Iterator<Item = &'a [u8]> + Clone, press: Press, out: &mut Vec<u8>) {
    light::put_counts(texts.clone().map(<[u8]>::len), out);
    let bytes: Vec<u8> = texts.flatten().copied().collect();
    let pressed = compress(&bytes, press);
    let (tag, stored) = match &pressed {
        Some(pressed) if pressed.len() + 2 < bytes.len() => match press {
            Press::Lz4 => (LZ4, pressed.as_slice()),
            Press::Zstd => (ZSTD, pressed.as_slice()),
        },
        _ => (PLAIN, bytes.as_slice()),
    };
    out.push(tag);
    put_u64(bytes.len() as u64, out);
    if tag != PLAIN {
        put_u64(stored.len() as u64, out);
    }
    out.extend_from_slice(stored);
}

fn compress(bytes: &[u8], press: Press) -> Option<Vec<u8>> {
    if bytes.len() < PRESS_MIN {
        return None;
    }
    match press {
        Press::Lz4 => Some(lz4_flex::block::compress(bytes)),
        Press::Zstd => zstd::bulk::compress(bytes, ZSTD_LEVEL).ok(),
    }
}

/// Reads a blob of `count` strings: appends their bytes to `bytes`, at most `limit`, and returns
/// their lengths. `count` must be bounded by the caller.
pub fn get(
    input: &mut &[u8],
    count: usize,
    limit: usize,
    bytes: &mut Vec<u8>,
) -> Result<Vec<u32>, CodecError> {
    let limit = limit.min(BYTES_MAX);
    let lengths = light::get_counts(input, count, BYTES_MAX as u32)?;
    let tag = get_u8(input)?;
    let total = get_len(input, limit, "strings of a chunk")?;
    if lengths.iter().map(|len| u64::from(*len)).sum::<u64>() != total as u64 {
        return Err(CodecError::Malformed("lengths of strings"));
    }
    let stored = match tag {
        PLAIN => take(input, total)?,
        LZ4 | ZSTD => {
            let stored = get_len(input, limit, "stored strings")?;
            take(input, stored)?
        }
        _ => return Err(CodecError::Malformed("compression of strings")),
    };
    if tag == PLAIN {
        bytes.extend_from_slice(stored);
        return Ok(lengths);
    }
    if tag == LZ4 && total > stored.len().saturating_mul(LZ4_RATIO_MAX) {
        return Err(CodecError::Malformed("lz4 ratio"));
    }
    let start = bytes.len();
    bytes.resize(start + total, 0);
    let target = bytes.get_mut(start..).unwrap_or(&mut []);
    let written = match tag {
        LZ4 => lz4_flex::block::decompress_into(stored, target).ok(),
        _ => zstd::bulk::decompress_to_buffer(stored, target).ok(),
    };
    if written == Some(total) {
        Ok(lengths)
    } else {
        Err(CodecError::Malformed("compressed strings"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn repetitive_bytes_shrink_and_wrong_ones_are_refused() {
        for (press, max) in [(Press::Lz4, 200), (Press::Zstd, 150)] {
            let texts = vec![b"connection from 10.0.0.1 closed".as_slice(); 500];
            let mut out = Vec::new();
            put(texts.iter().copied(), press, &mut out);
            assert!(out.len() < max, "{press:?} {}", out.len());
            let mut bytes = Vec::new();
            let found = get(&mut out.as_slice(), 500, 1000, &mut bytes);
            assert_eq!(found, Err(CodecError::TooLarge("strings of a chunk")));
            assert!(bytes.is_empty());
            assert!(get(&mut out.as_slice(), 499, BYTES_MAX, &mut bytes).is_err());
        }
    }

    proptest! {
        #[test]
        fn blobs_come_back(
            texts in proptest::collection::vec("[ab]{0,40}", 0..60), zstd in any::<bool>()
        ) {
            let press = if zstd { Press::Zstd } else { Press::Lz4 };
            let mut out = Vec::new();
            put(texts.iter().map(String::as_bytes), press, &mut out);
            let mut input = out.as_slice();
            let mut bytes = b"before".to_vec();
            let lengths = get(&mut input, texts.len(), BYTES_MAX, &mut bytes).unwrap();
            prop_assert!(input.is_empty());
            prop_assert_eq!(&bytes, &format!("before{}", texts.concat()).into_bytes());
            prop_assert!(lengths.iter().zip(&texts).all(|(len, text)| *len as usize == text.len()));
            for end in 0..out.len() {
                prop_assert!(get(&mut &out[..end], texts.len(), BYTES_MAX, &mut bytes).is_err());
            }
        }
    }
}
