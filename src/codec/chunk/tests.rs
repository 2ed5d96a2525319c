//! Round trips of chunks, of every type, effort and page cut, and what damaged bytes do.
//!
//! The model is the column itself: slices of it, compared bit for bit.

use super::super::samples::{Random, column, kinds, rows_of};
use super::super::{CodecError, checksum};
use super::*;
use crate::model::{Column, ColumnId, FieldNo, Values};
use proptest::prelude::*;

fn cut(rows: usize, seed: u64) -> Vec<u32> {
    let mut random = Random(seed);
    let bound = 1 + random.below(2500);
    let mut pages = Vec::new();
    let mut left = rows;
    while left > 0 {
        let page = left.min(1 + random.below(bound) as usize);
        pages.push(page as u32);
        left -= page;
    }
    pages
}

fn encoded(column: &Column, pages: &[u32], effort: Effort) -> Vec<u8> {
    let mut out = Vec::new();
    encode(column, pages, effort, &mut out).unwrap();
    out
}

fn efforts() -> impl Strategy<Value = Effort> {
    proptest::sample::select(vec![Effort::Light, Effort::Pco])
}

fn row_counts() -> impl Strategy<Value = usize> {
    prop_oneof![0..300usize, 0..6000usize]
}

/// Puts a matching checksum behind changed bytes, so that the checks behind it are reached.
fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    let sum = checksum::xxh3(&body);
    body.extend(sum.to_le_bytes());
    body
}

/// Decodes all pages one by one into one column; errors are fine, panics are not.
fn try_decode(bytes: &[u8]) -> Result<usize, CodecError> {
    let reader = Reader::open(bytes)?;
    let mut out = Column::empty(ColumnId::new(FieldNo(5), reader.kind()));
    for page in 0..reader.pages() {
        reader.decode(page..page + 1, &mut out)?;
    }
    Ok(out.values.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_range_of_pages_is_the_slice_of_the_whole(
        kind in kinds(), rows in row_counts(), seed in any::<u64>(), effort in efforts(),
        picks in any::<(u64, u64)>(),
    ) {
        let column = column(kind, rows, seed);
        let pages = cut(rows, seed ^ 1);
        let bytes = encoded(&column, &pages, effort);
        let reader = Reader::open(&bytes).unwrap();
        prop_assert_eq!((reader.kind(), reader.rows(), reader.pages()), (kind, rows, pages.len()));

        let mut whole = Column::empty(column.id);
        reader.decode(0..pages.len(), &mut whole).unwrap();
        let model = rows_of(&column);
        prop_assert_eq!(&rows_of(&whole), &model);
        prop_assert_eq!(&whole.validity, &column.validity);

        let first = (picks.0 % (pages.len() as u64 + 1)) as usize;
        let end = first + (picks.1 % (pages.len() - first + 1) as u64) as usize;
        let slice = (first..end).flat_map(|page| reader.page_rows(page)).collect::<Vec<_>>();
        reader.decode(first..end, &mut whole).unwrap();
        let found = rows_of(&whole);
        prop_assert_eq!(&found[..rows], &model[..]);
        let expected: Vec<&String> = slice.iter().map(|row| &model[*row]).collect();
        prop_assert_eq!(found[rows..].iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn picked_rows_are_those_of_the_whole(
        kind in kinds(), rows in 1..3000usize, seed in any::<u64>(), effort in efforts(),
        nulls in any::<bool>(), starts in proptest::collection::btree_map(0..3000u32, 1..4u32, 1..20),
    ) {
        let mut column = column(kind, rows, seed);
        if !nulls {
            column.validity = None;
        }
        let pages = cut(rows, seed ^ 1);
        let bytes = encoded(&column, &pages, effort);
        let reader = Reader::open(&bytes).unwrap();
        let mut ranges: Vec<std::ops::Range<u32>> = Vec::new();
        for (start, len) in starts {
            let start = start.max(ranges.last().map_or(0, |last| last.end));
            let range = start..(start + len).min(rows as u32);
            ranges.extend((!range.is_empty()).then_some(range));
        }
        let mut out = Column::empty(column.id);
        let first = ranges.first().map_or(0, |range| range.start as usize);
        let page = (0..pages.len()).find(|page| reader.page_rows(*page).contains(&first));
        let light = matches!(kind, FieldType::Integer | FieldType::Unsigned);
        let picked = reader.pick(page.unwrap_or(0)..pages.len(), &ranges, &mut out).unwrap();
        prop_assert!(picked || nulls || !light || effort == Effort::Pco);
        let model = rows_of(&column);
        let expected = ranges.into_iter().flatten().map(|row| model[row as usize].clone());
        let expected: Vec<String> = if picked { expected.collect() } else { Vec::new() };
        prop_assert_eq!(rows_of(&out), expected);
    }

    #[test]
    fn times_are_an_integer_column(
        rows in row_counts(), seed in any::<u64>(), effort in efforts()
    ) {
        let mut column = column(FieldType::Integer, rows, seed);
        column.validity = None;
        let pages = cut(rows, seed);
        let Values::Integer(times) = &column.values else { unreachable!() };
        let mut bytes = vec![1, 2, 3];
        encode_times(times, &pages, effort, &mut bytes).unwrap();
        prop_assert_eq!(&bytes[3..], encoded(&column, &pages, effort));
        let mut found = vec![7];
        Reader::open(&bytes[3..]).unwrap().decode_times(0..pages.len(), &mut found).unwrap();
        prop_assert_eq!(&found[1..], &times[..]);
    }

    #[test]
    fn any_flipped_bit_is_found(
        kind in kinds(), seed in any::<u64>(), effort in efforts(), at in any::<u64>()
    ) {
        let column = column(kind, 400, seed);
        let mut bytes = encoded(&column, &[200, 200], effort);
        let bit = (at % (bytes.len() as u64 * 8)) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let found = matches!(Reader::open(&bytes), Err(CodecError::Checksum { .. }));
        prop_assert!(found, "bit {}", bit);
    }

    #[test]
    fn a_cut_is_found(kind in kinds(), seed in any::<u64>(), effort in efforts(), at in 0..1000u64) {
        let column = column(kind, 300, seed);
        let bytes = encoded(&column, &[100, 200], effort);
        let end = (at * bytes.len() as u64 / 1000) as usize;
        prop_assert!(Reader::open(&bytes[..end]).is_err());
    }

    #[test]
    fn wrong_bytes_under_a_good_checksum_do_not_panic(
        kind in kinds(), seed in any::<u64>(), effort in efforts(),
    ) {
        let column = column(kind, 600, seed);
        let good = encoded(&column, &[100, 256, 244], effort);
        let mut random = Random(seed);
        for _ in 0..30 {
            let mut body = good[..good.len() - 8].to_vec();
            for _ in 0..1 + random.below(3) {
                let at = random.below(body.len() as u64) as usize;
                body[at] = random.next() as u8;
            }
            let _ = try_decode(&sealed(body));
        }
    }

    #[test]
    fn random_bytes_do_not_panic(
        tail in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..5u8, coding in 0..9u8
    ) {
        prop_assert!(Reader::open(&tail).is_err());
        let _ = try_decode(&sealed([&[kind, coding, 0], tail.as_slice()].concat()));
    }
}

#[test]
fn pages_must_cover_the_rows() {
    let column = column(FieldType::Integer, 10, 3);
    let mut out = Vec::new();
    for pages in [&[9][..], &[11], &[5, 0, 5], &[]] {
        assert!(encode(&column, pages, Effort::Light, &mut out).is_err(), "{pages:?}");
    }
    let rows = ROWS_MAX + 1;
    let found = encode_times(&vec![0; rows], &[rows as u32], Effort::Light, &mut out);
    assert_eq!(found, Err(CodecError::TooLarge("rows of a chunk")));
    assert!(out.is_empty());
}

#[test]
fn a_reader_refuses_other_types_and_pages_behind_the_end() {
    let bytes = encoded(&column(FieldType::Integer, 10, 3), &[10], Effort::Light);
    let reader = Reader::open(&bytes).unwrap();
    let mut wrong = Column::empty(ColumnId::new(FieldNo(5), FieldType::Unsigned));
    assert!(reader.decode(0..1, &mut wrong).is_err());
    let mut right = Column::empty(ColumnId::new(FieldNo(5), FieldType::Integer));
    assert!(reader.decode(0..2, &mut right).is_err());
    assert_eq!(reader.page_rows(1), 0..0);
}

#[test]
fn strings_that_would_expand_over_the_limit_are_refused() {
    let text = vec![b'x'; 1 << 20];
    let mut strings = crate::model::Strings::default();
    (0..17).for_each(|_| strings.push(&text));
    let id = ColumnId::new(FieldNo(1), FieldType::String);
    let column = Column { id, values: Values::String(strings), validity: None };
    let mut out = Vec::new();
    let found = encode(&column, &[17], Effort::Light, &mut out);
    assert_eq!(found, Err(CodecError::TooLarge("strings of a chunk")));

    // One entry of 1 MiB in a dictionary and 17 rows of it: 4 KiB that would become 17 MiB.
    let mut body = vec![FieldType::String as u8, Coding::Dictionary as u8, 0, 1, 17, ALL];
    let mut shared = vec![1];
    super::super::text::put(
        std::iter::once(&text[..]),
        super::super::text::Press::Lz4,
        &mut shared,
    );
    let mut page = Vec::new();
    super::super::light::put(&[0; 17], &mut page);
    super::super::varint::put_u64(shared.len() as u64, &mut body);
    body.extend([shared, vec![page.len() as u8], page].concat());
    assert_eq!(try_decode(&sealed(body)), Err(CodecError::TooLarge("strings of a chunk")));
}

#[test]
fn constants_and_formulas_cost_a_few_bytes_a_page() {
    let pages = [1000; 8];
    for effort in [Effort::Light, Effort::Pco] {
        for step in [0, 10_000_000_000] {
            let times: Vec<i64> = (0..8000).map(|n| 1_700_000_000_000_000_000 + n * step).collect();
            let mut out = Vec::new();
            encode_times(&times, &pages, effort, &mut out).unwrap();
            assert!(out.len() < 8 * 24 + 20, "{effort:?} {step}: {}", out.len());
        }
    }
}

#[test]
fn two_decimal_walks_shrink_to_their_entropy_or_near_it() {
    let mut random = Random(1);
    let mut cents = 5000i64;
    let values: Vec<f64> = (0..16_384)
        .map(|_| {
            cents += (0..4).map(|_| random.below(64) as i64 - 32).sum::<i64>() / 2;
            cents as f64 / 100.0
        })
        .collect();
    let id = ColumnId::new(FieldNo(1), FieldType::Float);
    let column = Column { id, values: Values::Float(values), validity: None };
    let bytes = |effort| encoded(&column, &[1024; 16], effort).len() as f64 / 16_384.0;
    let (light, pco) = (bytes(Effort::Light), bytes(Effort::Pco));
    assert!(light < 1.2 && pco < 0.95, "light {light}, pco {pco}");
}
