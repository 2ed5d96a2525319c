//! The light codec of one page of integers: differences around a centre, packed by 128.
//!
//! In: i64 values (or 64 bits of anything). Out: bytes that decode alone. Per page the order of
//! differences (0, 1 or 2) and the centre (a median) are chosen from at most 64 samples; what is
//! left is zigzag mapped and bit packed in blocks of 128. Each block takes the width that makes it
//! smallest and lists the few numbers that are wider, so the jump between two series costs bytes,
//! not a wider block.
//!
//! | bytes            | what                                                                      |
//! |------------------|---------------------------------------------------------------------------|
//! | u8               | order 0..=2, or 3 = plain; 4 is added when every number equals the centre   |
//! | zigzag           | centre (not for plain)                                                    |
//! | zigzag × order   | the value before the first; for order 2 then the difference before it       |
//! | block × n/128    | u8 width, 128 added if exceptions follow the numbers; packed numbers;       |
//! |                  | then u8 count, u8 place × count, varint of the high bits × count            |
//!
//! Plain is 8 bytes a value. All arithmetic wraps. A page is valid if it ends exactly with its last
//! block; whoever holds the page has a checksum over it, so a cut is found there.

use super::CodecError;
use super::bitpack::{BLOCK, pack, unpack, width_of};
use super::varint::{get_i64, get_u8, get_u64, put_i64, put_u64, take, unzigzag, zigzag};
use std::iter::Peekable;

const PLAIN: u8 = 3;
const FLAT: u8 = 4;
const EXCEPTIONS: u8 = 0x80;
/// Samples that choose order and centre: enough for a stable median, 5% of a page's work.
const SAMPLES: usize = 64;
/// Neighbouring samples, so that differences can be taken.
const WINDOW: usize = 16;

/// How the values of a page become small numbers.
#[derive(Clone, Copy, Debug)]
struct Shape {
    order: u8,
    centre: i64,
}

/// Appends a page. The count is not stored.
pub fn put(values: &[i64], out: &mut Vec<u8>) {
    let start = out.len();
    let shape = choose(values);
    let (last, step) = lead_in(values, shape);
    out.push(shape.order);
    put_i64(shape.centre, out);
    if shape.order > 0 {
        put_i64(last, out);
    }
    if shape.order > 1 {
        put_i64(step, out);
    }
    let blocks = out.len();
    let mut history = (last, last.wrapping_sub(step));
    let mut flat = true;
    for block in values.chunks(BLOCK) {
        let mut numbers = [0u64; BLOCK];
        let wide = differences(block, history, shape, &mut numbers);
        flat &= wide == 0;
        put_block(&numbers, block.len(), width_of(wide), out);
        history = match block {
            [.., before, last] => (*last, *before),
            [last] => (*last, history.0),
            [] => history,
        };
    }
    if flat {
        out.truncate(blocks);
        if let Some(mode) = out.get_mut(start) {
            *mode |= FLAT;
        }
    } else if out.len() - start > 1 + values.len() * 8 {
        out.truncate(start);
        out.push(PLAIN);
        out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
}

/// Decodes a page of `out.len()` values, each mapped as it is written. `bytes` must be used up.
pub fn get<T>(
    mut bytes: &[u8],
    out: &mut [T],
    map: impl Fn(i64) -> T + Copy,
) -> Result<(), CodecError> {
    get_from(&mut bytes, out, map)?;
    if bytes.is_empty() { Ok(()) } else { Err(CodecError::Malformed("bytes behind a page")) }
}

/// Decodes a page of `out.len()` values and moves the cursor behind it.
pub fn get_from<T>(
    input: &mut &[u8],
    out: &mut [T],
    map: impl Fn(i64) -> T + Copy,
) -> Result<(), CodecError> {
    let mode = get_u8(input)?;
    if mode == PLAIN {
        let bytes = take(input, out.len().saturating_mul(8))?;
        for (slot, cell) in out.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *slot = map(i64::from_le_bytes(*cell));
        }
        return Ok(());
    }
    let (Shape { order, centre }, mut last, mut step) = get_lead(mode, input)?;
    let mut numbers = [0u64; BLOCK];
    for block in out.chunks_mut(BLOCK) {
        if mode & FLAT == 0 {
            get_block(input, block.len(), &mut numbers)?;
        }
        let pairs = block.iter_mut().zip(&numbers);
        match order {
            0 => {
                pairs.for_each(|(slot, number)| *slot = map(unzigzag(*number).wrapping_add(centre)))
            }
            1 => pairs.for_each(|(slot, number)| {
                last = last.wrapping_add(unzigzag(*number).wrapping_add(centre));
                *slot = map(last);
            }),
            _ => pairs.for_each(|(slot, number)| {
                step = step.wrapping_add(unzigzag(*number).wrapping_add(centre));
                last = last.wrapping_add(step);
                *slot = map(last);
            }),
        }
    }
    Ok(())
}

/// Reads what stands before the blocks of a page that is not plain: its shape, and the value and
/// difference before the first.
fn get_lead(mode: u8, input: &mut &[u8]) -> Result<(Shape, i64, i64), CodecError> {
    let order = mode & !FLAT;
    if order >= PLAIN {
        return Err(CodecError::Malformed("page mode"));
    }
    let centre = get_i64(input)?;
    let last = if order > 0 { get_i64(input)? } else { 0 };
    let step = if order > 1 { get_i64(input)? } else { 0 };
    Ok((Shape { order, centre }, last, step))
}

/// Decodes single values of a page of `count`: those at `places`, which ascend and count from
/// `base`, as far as they lie in the page. Of the others no more is done than their sum needs.
/// Bytes behind the last place are not looked at.
pub fn pick(
    mut bytes: &[u8],
    count: usize,
    base: usize,
    places: &mut Peekable<impl Iterator<Item = usize>>,
    mut take_value: impl FnMut(i64),
) -> Result<(), CodecError> {
    let input = &mut bytes;
    let mode = get_u8(input)?;
    if mode == PLAIN {
        let cells = take(input, count.saturating_mul(8))?.as_chunks::<8>().0;
        while let Some(place) = places.next_if(|place| *place < base + count) {
            let cell = cells.get(place - base).ok_or(CodecError::Truncated)?;
            take_value(i64::from_le_bytes(*cell));
        }
        return Ok(());
    }
    let (Shape { order, centre }, mut last, mut step) = get_lead(mode, input)?;
    let mut numbers = [0u64; BLOCK];
    let mut start = base;
    while start < base + count && places.peek().is_some_and(|place| *place < base + count) {
        let len = BLOCK.min(base + count - start);
        if mode & FLAT == 0 {
            get_block(input, len, &mut numbers)?;
        }
        let mut rest = numbers.get(..len).unwrap_or(&[]);
        while let Some(place) = places.next_if(|place| *place < start + len) {
            let (part, behind) = rest.split_at(rest.len() + place + 1 - start - len);
            rest = behind;
            pass(part, order, centre, &mut last, &mut step);
            take_value(last);
        }
        pass(rest, order, centre, &mut last, &mut step);
        start += len;
    }
    Ok(())
}

/// Goes on behind these numbers: `last` becomes the value of the last of them.
#[inline(always)]
fn pass(numbers: &[u64], order: u8, centre: i64, last: &mut i64, step: &mut i64) {
    let difference = |number: &u64| unzigzag(*number).wrapping_add(centre);
    match (order, numbers.last()) {
        (_, None) => {}
        (0, Some(number)) => *last = difference(number),
        (1, _) => {
            *last = numbers.iter().map(difference).fold(*last, i64::wrapping_add);
        }
        _ => numbers.iter().map(difference).for_each(|change| {
            *step = step.wrapping_add(change);
            *last = last.wrapping_add(*step);
        }),
    }
}

/// The order and centre under which the samples need the fewest bits.
fn choose(values: &[i64]) -> Shape {
    let mut best = Shape { order: 0, centre: values.first().copied().unwrap_or(0) };
    let mut best_bits = u32::MAX;
    for order in 0..=2u8 {
        let mut samples = [0i64; SAMPLES];
        let count = sample(values, order, &mut samples);
        let Some(samples) = samples.get_mut(..count) else { break };
        if samples.is_empty() {
            break;
        }
        let centre = *samples.select_nth_unstable(count / 2).1;
        let bits: u32 =
            samples.iter().map(|at| width_of(zigzag(at.wrapping_sub(centre)))).sum::<u32>()
                * SAMPLES as u32
                / count as u32;
        if bits < best_bits {
            (best, best_bits) = (Shape { order, centre }, bits);
        }
    }
    best
}

/// Takes differences of `order` from windows spread over the page; returns how many.
fn sample(values: &[i64], order: u8, samples: &mut [i64; SAMPLES]) -> usize {
    let behind = order as usize;
    let usable = values.len().saturating_sub(behind);
    let window = if usable <= SAMPLES { SAMPLES } else { WINDOW };
    let mut slots = samples.iter_mut();
    let mut count = 0;
    for at in 0..SAMPLES / window {
        let start = at * usable.saturating_sub(window) / (SAMPLES / WINDOW - 1);
        let part = values.get(start..values.len().min(start + window + behind)).unwrap_or(&[]);
        let taken = match order {
            0 => part.iter().zip(&mut slots).map(|(now, slot)| *slot = *now).count(),
            1 => part
                .array_windows()
                .zip(&mut slots)
                .map(|([last, now], slot)| *slot = now.wrapping_sub(*last))
                .count(),
            _ => part
                .array_windows()
                .zip(&mut slots)
                .map(|([before, last, now], slot)| *slot = second(*now, *last, *before))
                .count(),
        };
        count += taken;
    }
    count
}

#[inline(always)]
fn second(now: i64, last: i64, before: i64) -> i64 {
    now.wrapping_sub(last).wrapping_sub(last.wrapping_sub(before))
}

/// A value and difference before the first such that the first differences are the centre.
fn lead_in(values: &[i64], shape: Shape) -> (i64, i64) {
    let first = values.first().copied().unwrap_or(0);
    match shape.order {
        0 => (0, 0),
        1 => (first.wrapping_sub(shape.centre), 0),
        _ => {
            let next = values.get(1).copied().unwrap_or(first);
            let after = next.wrapping_sub(first).wrapping_sub(shape.centre);
            (first.wrapping_sub(after), after.wrapping_sub(shape.centre))
        }
    }
}

/// Writes the zigzag mapped differences of a block and returns all their bits or-ed together.
/// `history` holds the two values before the block, the later one first.
#[expect(clippy::indexing_slicing, reason = "slices are cut to one length first, at most 128")]
fn differences(
    block: &[i64],
    history: (i64, i64),
    shape: Shape,
    numbers: &mut [u64; BLOCK],
) -> u64 {
    let mut padded = [0i64; BLOCK + 2];
    (padded[0], padded[1]) = (history.1, history.0);
    padded[2..block.len() + 2].copy_from_slice(block);
    let len = block.len();
    let numbers = &mut numbers[..len];
    let (before, last, now) = (&padded[..len], &padded[1..len + 1], &padded[2..len + 2]);
    let mut wide = 0;
    match shape.order {
        0 => {
            for i in 0..len {
                numbers[i] = zigzag(now[i].wrapping_sub(shape.centre));
                wide |= numbers[i];
            }
        }
        1 => {
            for i in 0..len {
                numbers[i] = zigzag(now[i].wrapping_sub(last[i]).wrapping_sub(shape.centre));
                wide |= numbers[i];
            }
        }
        _ => {
            for i in 0..len {
                let change = second(now[i], last[i], before[i]);
                numbers[i] = zigzag(change.wrapping_sub(shape.centre));
                wide |= numbers[i];
            }
        }
    }
    wide
}

fn put_block(numbers: &[u64; BLOCK], count: usize, wide: u32, out: &mut Vec<u8>) {
    let width = choose_width(numbers, count, wide);
    if width == wide {
        out.push(width as u8);
        pack(numbers, count, width, out);
        return;
    }
    out.push(width as u8 | EXCEPTIONS);
    pack(numbers, count, width, out);
    let places = out.len();
    out.push(0);
    let wider = numbers.iter().enumerate().filter(|(_, number)| **number >> width != 0);
    out.extend(wider.clone().map(|(place, _)| place as u8));
    let found = out.len() - places - 1;
    if let Some(slot) = out.get_mut(places) {
        *slot = found as u8;
    }
    wider.for_each(|(_, number)| put_u64(number >> width, out));
}

/// The width under which the block and its exceptions take the fewest bytes; `wide` holds all.
#[expect(clippy::indexing_slicing, reason = "a width is at most 64, the tables have 65 entries")]
fn choose_width(numbers: &[u64; BLOCK], count: usize, wide: u32) -> u32 {
    if wide <= 1 {
        return wide;
    }
    // Where a quarter of the numbers need the widest two widths, as in steady noise, exceptions
    // hardly ever gain: the tables below would cost a third of the encoding for nothing.
    let wider = numbers.iter().map(|number| u64::from(number >> (wide - 2) != 0)).sum::<u64>();
    if wider as usize * 4 >= count {
        return wide;
    }
    // Two tables, because two increments of one counter in a row wait for each other.
    let mut even = [0u8; 65];
    let mut odd = [0u8; 65];
    for [left, right] in numbers.as_chunks::<2>().0.iter().take(count.div_ceil(2)) {
        even[width_of(*left) as usize] += 1;
        odd[width_of(*right) as usize] += 1;
    }
    let mut best = wide;
    let mut best_bytes = super::bitpack::packed_bytes(count, wide);
    let mut exceptions = 0;
    for width in (0..wide).rev() {
        exceptions += even[width as usize + 1] as usize + odd[width as usize + 1] as usize;
        let each = 1 + (wide - width).div_ceil(7) as usize;
        let bytes = super::bitpack::packed_bytes(count, width) + 1 + exceptions * each;
        if bytes < best_bytes {
            (best, best_bytes) = (width, bytes);
        }
        if exceptions * 2 >= best_bytes {
            break;
        }
    }
    best
}

fn get_block(
    input: &mut &[u8],
    count: usize,
    numbers: &mut [u64; BLOCK],
) -> Result<(), CodecError> {
    let head = get_u8(input)?;
    let width = u32::from(head & !EXCEPTIONS);
    unpack(input, count, width, numbers)?;
    if head & EXCEPTIONS == 0 {
        return Ok(());
    }
    let wider = get_u8(input)? as usize;
    let places = take(input, wider)?;
    for place in places {
        let high = get_u64(input)?;
        let number = numbers.get_mut(*place as usize);
        let number = number.ok_or(CodecError::Malformed("exception behind its block"))?;
        *number |= high.checked_shl(width).unwrap_or(0);
    }
    Ok(())
}

/// Appends lengths or other small counts as a page.
pub fn put_counts(counts: impl Iterator<Item = usize>, out: &mut Vec<u8>) {
    let counts: Vec<i64> = counts.map(|count| count as i64).collect();
    put(&counts, out);
}

/// Reads `count` non-negative numbers, none over `max`. `count` must be bounded by the caller.
pub fn get_counts(input: &mut &[u8], count: usize, max: u32) -> Result<Vec<u32>, CodecError> {
    let mut counts = vec![0i64; count];
    get_from(input, &mut counts, |value| value)?;
    let bad = CodecError::Malformed("count out of range");
    let checked = counts.into_iter().map(|value| match u32::try_from(value) {
        Ok(value) if value <= max => Ok(value),
        _ => Err(bad),
    });
    checked.collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Random, column};
    use super::*;
    use crate::model::{FieldType, Values};
    use proptest::prelude::*;

    fn encoded(values: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        put(values, &mut out);
        out
    }

    #[test]
    fn orders_fit_constants_lines_and_parabolas() {
        let pages: [Vec<i64>; 3] = [
            vec![i64::MIN; 1000],
            (0..1000).map(|n| i64::MAX - 9 - n * 1_000_003).collect(),
            (0..1000).map(|n| 5 + n * n * 30).collect(),
        ];
        for (order, page) in pages.iter().enumerate() {
            let out = encoded(page);
            assert_eq!(out[0], FLAT | order as u8);
            assert!(out.len() < 24, "{}", out.len());
        }
    }

    #[test]
    fn a_jump_does_not_widen_its_block() {
        let mut random = Random(3);
        let steady: Vec<i64> = (0..1024).map(|_| random.below(16) as i64).collect();
        let mut jumping = steady.clone();
        jumping.iter_mut().skip(500).for_each(|value| *value += 1 << 40);
        assert!(encoded(&jumping).len() > encoded(&steady).len());
        jumping[500..].iter_mut().for_each(|value| *value -= 1 << 40);
        jumping[700] = 1 << 40;
        assert!(encoded(&jumping).len() < encoded(&steady).len() + 10);
    }

    #[test]
    fn noise_costs_no_more_than_plain() {
        let mut random = Random(3);
        let noise: Vec<i64> = (0..300).map(|_| random.next() as i64).collect();
        assert_eq!(encoded(&noise).len(), 1 + 300 * 8);
    }

    proptest! {
        #[test]
        fn pages_come_back(rows in 1..600usize, seed in any::<u64>()) {
            let Values::Integer(values) = column(FieldType::Integer, rows, seed).values else {
                unreachable!()
            };
            let out = encoded(&values);
            let mut found = vec![0; rows];
            get(&out, &mut found, |value| value).unwrap();
            prop_assert_eq!(&found, &values);
            prop_assert!(get(&out[..out.len() - 1], &mut found, |value| value).is_err());
            prop_assert!(get(&[&out[..], &[0]].concat(), &mut found, |value| value).is_err());
        }

        #[test]
        fn picked_values_are_those_of_the_page(
            rows in 1..600usize, seed in any::<u64>(), order in 0..4u32, share in 1..200u64
        ) {
            let Values::Integer(mut values) = column(FieldType::Integer, rows, seed).values else {
                unreachable!()
            };
            for _ in 0..order {
                let mut sum = 0i64;
                values.iter_mut().for_each(|value| {
                    sum = sum.wrapping_add(*value);
                    *value = sum;
                });
            }
            let out = encoded(&values);
            let (mut random, base) = (Random(seed), 70);
            let places: Vec<usize> = (base..base + rows).filter(|_| random.below(share) == 0).collect();
            let mut left = places.iter().copied().chain([base + rows]).peekable();
            let mut found = Vec::new();
            pick(&out, rows, base, &mut left, |value| found.push(value)).unwrap();
            let expected: Vec<i64> = places.iter().map(|place| values[place - base]).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(left.next(), Some(base + rows), "what lies behind is left");
        }

        #[test]
        fn random_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for mode in 0..8 {
                let mut out = vec![0i64; 200];
                let bytes = [&[mode], &bytes[..]].concat();
                let _ = get(&bytes, &mut out, |value| value);
                let _ = pick(&bytes, 200, 0, &mut (0..300).step_by(3).peekable(), |_| ());
            }
            prop_assert!(get_counts(&mut [3, 1].as_slice(), 1, 5).is_err());
        }
    }
}
