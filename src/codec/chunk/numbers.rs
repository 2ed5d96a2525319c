//! Pages of numbers: the light codec, or pco in its wrapped mode, where a chunk is trained once.
//!
//! In: the present values of a chunk and how many each page has. Out: a shared part and the bodies
//! of the pages. Decoding writes into the rows of the column, without a vector in between.

use super::super::{CodecError, light};
use super::Effort;
use super::PCO_VALUES_MIN;
use pco::data_types::Number;
use pco::wrapped::{ChunkDecompressor, FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DecompressorScratch, PagingSpec};

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
/// nor where every page is only a formula.
pub fn smaller<T: Number>(
    light: Bodies,
    values: &[T],
    present: &[u32],
    effort: Effort,
) -> Result<(Bodies, bool), CodecError> {
    const FORMULA_BYTES: usize = 24;
    let formulas = light.bytes.len() <= present.len() * FORMULA_BYTES;
    if effort == Effort::Light || values.len() < PCO_VALUES_MIN || formulas {
        return Ok((light, false));
    }
    let trained = pco_bodies(values, present)?;
    if trained.size() < light.size() { Ok((trained, true)) } else { Ok((light, false)) }
}

fn pco_bodies<T: Number>(values: &[T], present: &[u32]) -> Result<Bodies, CodecError> {
    const FAILED: CodecError = CodecError::Malformed("pco refuses the values");
    let counts: Vec<usize> =
        present.iter().map(|count| *count as usize).filter(|count| *count > 0).collect();
    let config = ChunkConfig::default().with_paging_spec(PagingSpec::Exact(counts));
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
