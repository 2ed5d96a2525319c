//! Columns for tests: every type, several shapes of values, several patterns of nulls.
//!
//! In: a seed. Out: a column whose null rows hold the default entry, as the engine makes them.

use crate::model::{Bitmap, Column, ColumnId, FieldNo, FieldType, Strings, Values};
use proptest::prelude::*;

/// A small generator with a good spread (the splitmix64 finaliser over a counter).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Number of shapes that `integers` knows.
const SHAPES: u64 = 7;

fn integers(random: &mut Random, rows: usize) -> Vec<i64> {
    let shape = random.below(SHAPES);
    let bits = random.below(64);
    let base = (random.next() >> random.below(64)) as i64;
    let step = (random.next() >> bits) as i64;
    let mut walk = base;
    let values = (0..rows).map(|row| match shape {
        0 => random.next() as i64,
        1 => base.wrapping_add((random.next() >> bits) as i64),
        2 => base,
        3 => [i64::MIN, i64::MAX, 0, -1][random.below(4) as usize],
        4 => base.wrapping_add(step.wrapping_mul(row as i64)),
        5 => {
            let jump = if random.below(200) == 0 { random.next() as i64 } else { 0 };
            walk = walk.wrapping_add(random.below(9) as i64 - 4).wrapping_add(jump);
            walk
        }
        _ => (row as i64 * row as i64).wrapping_add(base),
    });
    values.collect()
}

fn floats(random: &mut Random, rows: usize) -> Vec<f64> {
    const STRANGE: [u64; 6] = [
        0x7ff8_dead_beef_0001,
        0xfff0_0000_0000_0001,
        0x8000_0000_0000_0000,
        0x7ff0_0000_0000_0000,
        0xfff0_0000_0000_0000,
        1,
    ];
    let shape = random.below(5);
    let small = integers(random, rows);
    let decimals = [1.0, 10.0, 100.0, 1000.0][random.below(4) as usize];
    let values = small.into_iter().map(|value| match shape {
        0 => f64::from_bits(value as u64),
        1 => (value % 1_000_000) as f64 / decimals,
        2 => f64::from((value % 1_000_000) as f32 / 7.0),
        3 => f64::from_bits(STRANGE[random.below(6) as usize]),
        _ if random.below(300) == 0 => f64::NAN,
        _ => (value % 10_000) as f64 / 100.0,
    });
    values.collect()
}

fn strings(random: &mut Random, rows: usize) -> Strings {
    let bound = [3, 50, 1 << 40][random.below(3) as usize];
    let distinct = 1 + random.below(bound);
    let mut strings = Strings::default();
    for _ in 0..rows {
        let number = random.below(distinct);
        let text = format!("{number:x}").repeat((number % 4) as usize);
        strings.push(text.as_bytes());
    }
    strings
}

/// A column of `rows` rows made from a seed.
pub fn column(kind: FieldType, rows: usize, seed: u64) -> Column {
    let mut random = Random(seed);
    let mut values = match kind {
        FieldType::Float => Values::Float(floats(&mut random, rows)),
        FieldType::Integer => Values::Integer(integers(&mut random, rows)),
        FieldType::Unsigned => {
            let bits = integers(&mut random, rows);
            Values::Unsigned(bits.into_iter().map(|value| value as u64).collect())
        }
        FieldType::String => Values::String(strings(&mut random, rows)),
        FieldType::Boolean => {
            let bound = 1 + random.below(3);
            Values::Boolean((0..rows).map(|_| random.below(bound) == 0).collect())
        }
    };
    let mut validity = Bitmap::default();
    let (pattern, period) = (random.below(5), 1 + random.below(3000) as usize);
    for row in 0..rows {
        validity.push(match pattern {
            0 | 1 => true,
            2 => row / period % 2 == 0,
            3 => random.below(10) < 7,
            _ => false,
        });
    }
    clear_nulls(&mut values, &validity);
    let validity = (validity.count_ones() < rows).then_some(validity);
    Column { id: ColumnId::new(FieldNo(5), kind), values, validity }
}

fn clear_nulls(values: &mut Values, validity: &Bitmap) {
    let nulls = (0..validity.len()).filter(|row| !validity.get(*row));
    match values {
        Values::Float(values) => nulls.for_each(|row| values[row] = 0.0),
        Values::Integer(values) => nulls.for_each(|row| values[row] = 0),
        Values::Unsigned(values) => nulls.for_each(|row| values[row] = 0),
        Values::Boolean(values) => nulls.for_each(|row| values[row] = false),
        Values::String(strings) => {
            let mut cleared = Strings::default();
            for row in 0..validity.len() {
                cleared.push(if validity.get(row) { strings.get(row) } else { b"" });
            }
            *strings = cleared;
        }
    }
}

/// Any type.
pub fn kinds() -> impl Strategy<Value = FieldType> {
    proptest::sample::select(FieldType::ALL.to_vec())
}

/// The rows of a column as text that tells every bit apart, nulls too.
pub fn rows_of(column: &Column) -> Vec<String> {
    let rows = 0..column.values.len();
    let shown = rows.map(|row| {
        let value = match &column.values {
            Values::Float(values) => format!("{:x}", values[row].to_bits()),
            Values::Integer(values) => values[row].to_string(),
            Values::Unsigned(values) => values[row].to_string(),
            Values::Boolean(values) => values[row].to_string(),
            Values::String(strings) => format!("{:?}", strings.get(row)),
        };
        if column.is_valid(row) { value } else { format!("null, entry {value}") }
    });
    shown.collect()
}
