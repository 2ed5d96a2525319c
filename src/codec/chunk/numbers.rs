//! Pages of numbers: the light codec, or pco in its wrapped mode, where a chunk is trained once.
//!
//! In: the present values of a chunk and how many each page has. Out: a shared part and the bodies
//! of the pages. Decoding writes into the rows of the column, without a vector in between.

use super::super::{CodecError, light};
use super::Effort;
use super::PCO_VALUES_MIN;
use pco::data_types::Number;
use pco::wrapped::{ChunkDecompressor, FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DecompressorScratch, DeltaSpec, ModeSpec, PagingSpec};

/// Encoded values before they are put into a chunk: one body a page, empty for a page of nulls.
#[derive(Default, Debug)]
pub struct Bodies {
    pub shared: Vec<u8>,
    pub bytes: Vec<u8>,
    /// The end of each page's body in `bytes`.
    pub ends: Vec<usize>,
}

impl Bodies {
    /// Closes the body of a page.
    pub fn close(&mut self) {
        self.ends.push(self.bytes.len());
    }

    /// The body of a page.
    pub fn page(&self, page: usize) -> &[u8] {
        let start = if page == 0 { 0 } else { self.ends.get(page - 1).copied().unwrap_or(0) };
        let end = self.ends.get(page).copied().unwrap_or(start);
        self.bytes.get(start..end).unwrap_or(&[])
    }

    fn size(&self) -> usize {
        self.shared.len() + self.bytes.len()
    }
}

/// Cuts `values` into the pages' parts.
pub fn parts<'a, T>(values: &'a [T], present: &'a [u32]) -> impl Iterator<Item = &'a [T]> {
    let mut rest = values;
    present.iter().map(move |count| {
        let (part, behind) = rest.split_at(rest.len().min(*count as usize));
        rest = behind;
        part
    })
}

/// Encodes integers by the light codec.
pub fn light_bodies(values: &[i64], present: &[u32]) -> Bodies {
    let mut bodies = Bodies::default();
    for part in parts(values, present) {
        if !part.is_empty() {
            light::put(part, &mut bodies.bytes);
        }
        bodies.close();
    }
    bodies
}

/// Encodes the bits of floats: a page's bits lose the zeros that all have at the low end (values
/// that were single precision once have 29), and go through the light codec.
pub fn bits_bodies(values: &[f64], present: &[u32]) -> Bodies {
    let mut bodies = Bodies::default();
    let mut bits = Vec::new();
    for part in parts(values, present) {
        if !part.is_empty() {
            let joined = part.iter().fold(0, |joined, value| joined | value.to_bits());
            let shift = joined.trailing_zeros() % 64;
            bits.clear();
            bits.extend(part.iter().map(|value| (value.to_bits() >> shift) as i64));
            bodies.bytes.push(shift as u8);
            light::put(&bits, &mut bodies.bytes);
        }
        bodies.close();
    }
    bodies
}

/// The smaller of the light bodies and pco's, and whether pco won. Pco is not asked for few values,
/// nor where every page is only a formula; `config` says how it looks at them.
pub fn smaller<T: Number>(
    light: Bodies,
    values: &[T],
    present: &[u32],
    effort: Effort,
    config: impl FnOnce(&[T]) -> ChunkConfig,
) -> Result<(Bodies, bool), CodecError> {
    const FORMULA_BYTES: usize = 24;
    let formulas = light.bytes.len() <= present.len() * FORMULA_BYTES;
    if effort == Effort::Light || values.len() < PCO_VALUES_MIN || formulas {
        return Ok((light, false));
    }
    let trained = pco_bodies(values, present, &config(values))?;
    if trained.size() < light.size() { Ok((trained, true)) } else { Ok((light, false)) }
}

/// How pco looks at floats: it finds out by itself.
pub fn float_config(_: &[f64]) -> ChunkConfig {
    ChunkConfig::default()
}

/// Bins that pco tells integers apart by, as a power of two. More cost it time in the square, and
/// save nothing on hundreds to thousands of values: 360 to 4,320 steps of a random walk take the
/// same bytes at 4 and at 8 within 0.2%, at a third of the time.
const INTEGER_LEVEL: usize = 5;
/// Values that are looked at to find what to tell pco.
const SAMPLE: usize = 1024;

/// How pco looks at integers. Left to itself it compresses samples under every mode and order of
/// differences, which takes three times as long as all the rest; the order is plain from the bits
/// that the spread of differences needs. Only integers with a common divisor are left to it.
pub fn integer_config(values: &[i64]) -> ChunkConfig {
    let config = ChunkConfig::default().with_compression_level(INTEGER_LEVEL);
    let sample = values.get(..SAMPLE).unwrap_or(values);
    if has_divisor(sample) {
        return config;
    }
    let mut series = sample.to_vec();
    let mut best = (spread_bits(&series), 0);
    for order in 1..=2 {
        series = series.windows(2).map(step).collect();
        best = best.min((spread_bits(&series), order));
    }
    let delta = match best.1 {
        0 => DeltaSpec::NoOp,
        order => DeltaSpec::TryConsecutive(order),
    };
    config.with_mode_spec(ModeSpec::Classic).with_delta_spec(delta)
}

fn step(pair: &[i64]) -> i64 {
    match pair {
        [left, right] => right.wrapping_sub(*left),
        _ => 0,
    }
}

/// Whether all distances between the values are multiples of something above 1.
fn has_divisor(values: &[i64]) -> bool {
    let mut divisor = 0u64;
    for pair in values.windows(2) {
        let (mut left, mut right) = (divisor, step(pair).unsigned_abs());
        while right != 0 {
            (left, right) = (right, left % right);
        }
        divisor = left;
        if divisor == 1 {
            return false;
        }
    }
    divisor > 1
}

/// Bits a value that the distances from the mean need, in thousandths.
fn spread_bits(values: &[i64]) -> u64 {
    let count = values.len().max(1) as i128;
    let mean = (values.iter().map(|value| i128::from(*value)).sum::<i128>() / count) as i64;
    let bits =
        |value: &i64| u64::from(64 - value.wrapping_sub(mean).unsigned_abs().leading_zeros());
    values.iter().map(bits).sum::<u64>() * 1000 / count as u64
}

fn pco_bodies<T: Number>(
    values: &[T],
    present: &[u32],
    config: &ChunkConfig,
) -> Result<Bodies, CodecError> {
    const FAILED: CodecError = CodecError::Malformed("pco refuses the values");
    let counts: Vec<usize> =
        present.iter().map(|count| *count as usize).filter(|count| *count > 0).collect();
    let config = config.clone().with_paging_spec(PagingSpec::Exact(counts));
    let file = FileCompressor::default();
    let mut bodies = Bodies::default();
    file.write_header(&mut bodies.shared).map_err(|_| FAILED)?;
    let mut chunk = file.chunk_compressor(values, &config).map_err(|_| FAILED)?;
    chunk.write_meta(&mut bodies.shared).map_err(|_| FAILED)?;
    let mut page = 0;
    for count in present {
        if *count > 0 {
            chunk.write_page(page, &mut bodies.bytes).map_err(|_| FAILED)?;
            page += 1;
        }
        bodies.close();
    }
    Ok(bodies)
}

const BAD_PCO: CodecError = CodecError::Malformed("pco data");

/// Reads the training of a chunk.
pub fn open_pco<T: Number>(shared: &[u8]) -> Result<ChunkDecompressor<T>, CodecError> {
    let (file, rest) = FileDecompressor::new(shared).map_err(|_| BAD_PCO)?;
    let (chunk, rest) = file.chunk_decompressor::<T, _>(rest).map_err(|_| BAD_PCO)?;
    if rest.is_empty() { Ok(chunk) } else { Err(BAD_PCO) }
}

/// Decodes a page of `out.len()` values in place.
pub fn get_pco<T: Number>(
    chunk: &ChunkDecompressor<T>,
    body: &[u8],
    out: &mut [T],
    scratch: &mut DecompressorScratch,
) -> Result<(), CodecError> {
    let mut page =
        chunk.page_decompressor_with_scratch(body, out.len(), scratch).map_err(|_| BAD_PCO)?;
    let progress = page.read(out).map_err(|_| BAD_PCO)?;
    if progress.finished && page.into_src().is_empty() { Ok(()) } else { Err(BAD_PCO) }
}

/// Decodes a page of `out.len()` integers, each mapped on its way from a buffer in the first cache.
pub fn get_pco_mapped<T>(
    chunk: &ChunkDecompressor<i64>,
    body: &[u8],
    out: &mut [T],
    scratch: &mut DecompressorScratch,
    map: impl Fn(i64) -> T,
) -> Result<(), CodecError> {
    let mut page =
        chunk.page_decompressor_with_scratch(body, out.len(), scratch).map_err(|_| BAD_PCO)?;
    // Pco reads in multiples of this many values.
    let mut buffer = [0i64; 256];
    for part in out.chunks_mut(buffer.len()) {
        page.read(&mut buffer).map_err(|_| BAD_PCO)?;
        part.iter_mut().zip(&buffer).for_each(|(slot, value)| *slot = map(*value));
    }
    if page.into_src().is_empty() { Ok(()) } else { Err(BAD_PCO) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64, count: usize, bound: u64) -> impl Iterator<Item = i64> {
        let mut state = seed;
        (0..count).map(move |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 33) % bound) as i64
        })
    }

    fn sum(values: impl Iterator<Item = i64>) -> Vec<i64> {
        let add = |sum: &mut i64, value| {
            *sum += value;
            Some(*sum)
        };
        values.scan(0, add).collect()
    }

    #[test]
    fn the_order_of_differences_follows_the_data() {
        let level: Vec<i64> = noise(1, 500, 1000).map(|value| 70_000 + value).collect();
        let walk = sum(noise(2, 500, 201).map(|value| value - 100));
        let counter = sum(noise(3, 500, 9).map(|value| 1000 + value));
        let slope = sum(walk.iter().copied());
        let times_512: Vec<i64> = walk.iter().map(|value| value * 512).collect();
        let orders = [
            (&level, DeltaSpec::NoOp),
            (&walk, DeltaSpec::TryConsecutive(1)),
            (&counter, DeltaSpec::TryConsecutive(1)),
            (&slope, DeltaSpec::TryConsecutive(2)),
            (&times_512, DeltaSpec::Auto),
            (&vec![], DeltaSpec::NoOp),
        ];
        for (number, (values, expected)) in orders.into_iter().enumerate() {
            let told = integer_config(values).delta_spec;
            assert_eq!(format!("{told:?}"), format!("{expected:?}"), "{number}");
        }
        // Distances that do not fit into 64 bits are no trouble.
        integer_config(&[i64::MIN, i64::MAX, i64::MIN, 0]);
    }

    #[test]
    fn what_pco_is_told_costs_no_more_than_what_it_finds() {
        let walk = sum(noise(2, 4000, 201).map(|value| value - 100));
        let slope = sum(sum(noise(4, 4000, 21).map(|value| value - 10)).into_iter());
        let level: Vec<i64> = noise(5, 4000, 1000).map(|value| value * value).collect();
        for values in [walk, slope, level] {
            let told = pco_bodies(&values, &[2000, 2000], &integer_config(&values)).unwrap();
            let found = pco_bodies(&values, &[2000, 2000], &ChunkConfig::default()).unwrap();
            assert!(told.size() * 100 <= found.size() * 101, "{} {}", told.size(), found.size());
        }
    }
}
