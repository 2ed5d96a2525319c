//! Round trips of width-reduced columns, their sizes, and what damaged bytes do.
//!
//! The model is the input itself, compared bit for bit.

use super::super::samples::{Random, column, kinds, rows_of};
use super::*;
use crate::model::{Column, ColumnId, FieldNo, FieldType, Values};
use proptest::prelude::*;

fn put(column: &Column) -> Vec<u8> {
    let mut out = Vec::new();
    put_column(column, &mut out);
    out
}

proptest! {
    #[test]
    fn columns_come_back_and_the_cursor_stops_behind_them(
        kind in kinds(), rows in 0..700usize, seed in any::<u64>()
    ) {
        let column = column(kind, rows, seed);
        let mut bytes = put(&column);
        bytes.push(7);
        let mut input = bytes.as_slice();
        let found = get_column(&mut input).unwrap();
        prop_assert_eq!(input, [7u8].as_slice());
        prop_assert_eq!(found.id, column.id);
        prop_assert_eq!(&found.validity, &column.validity);
        prop_assert_eq!(rows_of(&found), rows_of(&column));
    }

    #[test]
    fn integers_and_ids_come_back(
        rows in 0..700usize, seed in any::<u64>(), ids in proptest::collection::vec(any::<u32>(), 0..50)
    ) {
        let column = column(FieldType::Integer, rows, seed);
        let Values::Integer(values) = column.values else { unreachable!() };
        let mut out = Vec::new();
        put_i64s(&values, &mut out);
        put_u32s(&ids, &mut out);
        let mut input = out.as_slice();
        let (mut found, mut found_ids) = (vec![1], vec![1]);
        get_i64s(&mut input, &mut found).unwrap();
        get_u32s(&mut input, &mut found_ids).unwrap();
        prop_assert!(input.is_empty());
        prop_assert_eq!(&found[1..], &values[..]);
        prop_assert_eq!(&found_ids[1..], &ids[..]);
    }

    #[test]
    fn a_cut_or_a_wrong_byte_does_not_panic(kind in kinds(), seed in any::<u64>()) {
        let good = put(&column(kind, 150, seed));
        let mut random = Random(seed);
        for _ in 0..20 {
            let end = random.below(good.len() as u64) as usize;
            prop_assert!(get_column(&mut &good[..end]).is_err());
            let mut bytes = good.clone();
            // Not the count of rows, which a constant may honestly raise to the limit.
            let at = [0, 6 + end % good.len().saturating_sub(6)][random.below(2) as usize];
            bytes[at % good.len()] = random.next() as u8;
            let _ = get_column(&mut bytes.as_slice());
        }
    }

    #[test]
    fn random_bytes_do_not_panic(bytes in proptest::collection::vec(0..64u8, 0..100)) {
        let _ = get_i64s(&mut bytes.as_slice(), &mut Vec::new());
        let _ = get_u32s(&mut bytes.as_slice(), &mut Vec::new());
        let _ = get_column(&mut bytes.as_slice());
    }
}

#[test]
fn equal_steps_cost_nothing_a_row() {
    let ids: Vec<u32> = (100_000..200_000).collect();
    for ids in [ids.as_slice(), &[77; 5000], &[9]] {
        let mut out = Vec::new();
        put_u32s(ids, &mut out);
        assert!(out.len() <= 10, "{}", out.len());
    }
    let times: Vec<i64> =
        (0..5000).map(|n| 1_700_000_000_000_000_000 - n * 1_000_000_000).collect();
    let mut out = Vec::new();
    put_i64s(&times, &mut out);
    assert!(out.len() <= 20, "{}", out.len());
}

#[test]
fn widths_follow_the_range() {
    let float = |values: Vec<f64>| {
        let id = ColumnId::new(FieldNo(1), FieldType::Float);
        put(&Column { id, values: Values::Float(values), validity: None }).len()
    };
    let percent: Vec<f64> = (0..1000).map(|n| f64::from(n * 7919 % 10_001) / 100.0).collect();
    assert!((2000..2020).contains(&float(percent)));
    assert!((1000..1020).contains(&float((0..1000).map(|n| f64::from(n % 100) / 100.0).collect())));
    assert!((8000..8020).contains(&float((0..1000).map(|n| f64::from(n) / 3.0).collect())));
    assert!(float(vec![12.5; 1000]) < 20);

    let mut out = Vec::new();
    let times: Vec<i64> = (0..1000).map(|n| (1_700_000_000 + n * n % 7) * 1_000_000_000).collect();
    put_i64s(&times, &mut out);
    assert!(out.len() < 8100);
    out.clear();
    let jittered: Vec<i64> =
        (0..1000).map(|n| 1_700_000_000_000 + n * 10_000 + n * 7919 % 200).collect();
    put_i64s(&jittered, &mut out);
    assert!((1000..1030).contains(&out.len()), "{}", out.len());
}

#[test]
fn too_many_rows_are_refused() {
    let mut out = Vec::new();
    super::super::varint::put_u64(ROWS_MAX as u64 + 1, &mut out);
    out.extend([0, 0]);
    let found = get_i64s(&mut out.as_slice(), &mut Vec::new());
    assert_eq!(found, Err(CodecError::TooLarge("values of a record")));
}
