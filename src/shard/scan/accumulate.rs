//! One aggregate over Blocks: columnar, into a state per (group, bucket).
//!
//! In: slices of rows of one series and one bucket, with the column of the field. Out: `States`.
//! Float sums (and moments) are added left to right per series and bucket, in a register that is
//! folded into the group's state when the series goes on to its next bucket; so rows of a series
//! must come in time order, and neither flushes nor shards show in the result.

use super::few::Notes;
use super::known;
use super::merge::{add_double, add_moments, pick, spread};
use super::partial::{Picked, Ranked, States};
use super::request::Function;
use crate::model::{Column, FieldType, FixedMap, Strings, TimeRange, Value, Values};
use crate::shard::segment::{Statistics, Summary};
use std::ops::Range;
use std::sync::Arc;

/// Rows of one series that lie in one bucket.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Place of (group, bucket) among the states.
    pub slot: usize,
    /// Number of the series in the batch.
    pub series: usize,
    pub rows: Range<usize>,
}

/// What a series has of the bucket it is in.
#[derive(Clone, Copy, Debug)]
struct Open {
    slot: usize,
    count: u64,
    /// Sum, or mean.
    value: f64,
    squares: f64,
}

const CLOSED: Open = Open { slot: usize::MAX, count: 0, value: 0.0, squares: 0.0 };

/// Sums that are added side by side.
const LANES: usize = 4;

/// A value as a key: equal values have equal keys.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Key {
    Bits(u64),
    Text(Box<[u8]>),
}

/// One aggregate of a batch of groups.
pub struct Accumulator {
    pub function: Function,
    states: States,
    open: Vec<Open>,
    distinct: Vec<FixedMap<Key, (i64, Value)>>,
    /// Canonical keys of series that were asked for.
    keys: FixedMap<usize, Arc<[u8]>>,
    notes: Notes,
    /// Bytes that states point to.
    pub bytes: usize,
}

/// What is asked of the rows of a Block beside their values.
pub struct RowsOf<'a> {
    pub times: &'a [i64],
    /// What travels with a row's value.
    pub aux: &'a dyn Fn(usize) -> Vec<Option<Value>>,
    /// Canonical key of a row's series.
    pub key: &'a dyn Fn(usize) -> Arc<[u8]>,
}

impl Accumulator {
    pub fn new(function: Function, kind: FieldType, slots: usize, series: usize) -> Accumulator {
        let registers = matches!(function, Function::Sum | Function::Moments);
        let distinct = function == Function::Distinct;
        let float = function == Function::Moments || kind == FieldType::Float;
        Accumulator {
            function,
            states: States::empty(function, kind, slots),
            open: if registers { vec![CLOSED; series] } else { Vec::new() },
            distinct: if distinct { vec![FixedMap::default(); slots] } else { Vec::new() },
            keys: FixedMap::default(),
            notes: Notes::new(registers && float),
            bytes: 0,
        }
    }

    /// Adds rows; `column` is that of the Block the slices are of.
    pub fn update(&mut self, slices: &[Slice], column: &Column, rows: &RowsOf<'_>) {
        match self.function {
            Function::Count => self.count(slices, column),
            Function::Sum | Function::Moments => {
                self.notes.add(slices, column, rows.times);
                self.add(slices, column);
            }
            Function::Min | Function::Max => self.select(slices, column, rows),
            Function::First | Function::FirstLeast | Function::Last => {
                self.select(slices, column, rows);
            }
            Function::Spread => self.spread(slices, column),
            Function::Values | Function::Distinct => self.collect(slices, column, rows),
            Function::Best { smallest, by: Some(_), .. } => {
                let function = if smallest { Function::Min } else { Function::Max };
                for slice in slices {
                    let row = best(function, column, &slice.rows);
                    self.keep(slice, row.into_iter(), column, rows);
                }
            }
            Function::Best { .. } | Function::Sample { .. } => {
                for slice in slices {
                    let valid = slice.rows.clone().filter(|row| column.is_valid(*row));
                    self.keep(slice, valid, column, rows);
                }
            }
        }
    }

    /// Whether a chunk's statistics say what its rows, all of one slot, would add. `time`: their
    /// first and last.
    pub fn knows(&self, slot: usize, stats: &Statistics, time: TimeRange) -> bool {
        match (&self.states, stats.summary) {
            (States::Count(_), _)
            | (States::SumInteger { .. }, Summary::Integer { .. })
            | (States::SumUnsigned { .. }, Summary::Unsigned { .. }) => true,
            (States::Spread(_), summary) => known::values(summary).is_some(),
            (States::Picked(all), summary) => {
                let held = all.get(slot).and_then(Option::as_ref);
                held.is_some_and(|held| known::loses(self.function, summary, time, held))
            }
            _ => false,
        }
    }

    /// Adds a chunk that `knows` accepted.
    pub fn add_known(&mut self, slot: usize, stats: &Statistics) {
        let more = u64::from(stats.count);
        match (&mut self.states, stats.summary) {
            (States::Count(count), _) => {
                count.get_mut(slot).into_iter().for_each(|count| *count += more);
            }
            (States::SumInteger { sum, count }, Summary::Integer { sum: add, .. }) => {
                sum.get_mut(slot).into_iter().for_each(|sum| *sum = sum.wrapping_add(add));
                count.get_mut(slot).into_iter().for_each(|count| *count += more);
            }
            (States::SumUnsigned { sum, count }, Summary::Unsigned { sum: add, .. }) => {
                sum.get_mut(slot).into_iter().for_each(|sum| *sum = sum.wrapping_add(add));
                count.get_mut(slot).into_iter().for_each(|count| *count += more);
            }
            (States::Spread(all), summary) => {
                let places = all.get_mut(slot).zip(known::values(summary));
                places.into_iter().for_each(|(held, (low, high))| spread(held, low, high));
            }
            // A selector's chunk loses.
            _ => {}
        }
    }

    /// Whether a selector has no point for a slot.
    pub fn lacks(&self, slot: usize) -> bool {
        match &self.states {
            States::Picked(all) => all.get(slot).is_some_and(Option::is_none),
            _ => false,
        }
    }

    /// Adds buckets that have seen nothing: so many before the first, so many behind the last.
    pub fn widen(&mut self, before: usize, behind: usize) {
        self.states.widen(before, behind);
        for open in self.open.iter_mut().filter(|open| open.count > 0) {
            open.slot += before;
        }
        if self.function == Function::Distinct {
            self.distinct.splice(0..0, std::iter::repeat_n(FixedMap::default(), before));
            self.distinct.resize(self.distinct.len() + behind, FixedMap::default());
        }
    }

    /// Ends the sums of all series and forgets their keys; rows that follow are of other series.
    pub fn close(&mut self) {
        self.keys.clear();
        self.notes.stop();
        for at in 0..self.open.len() {
            if let Some(open) = self.open.get_mut(at) {
                let open = std::mem::replace(open, CLOSED);
                self.fold(open);
            }
        }
    }

    /// The values that were added, where they are noted.
    pub fn notes(&mut self) -> Notes {
        std::mem::replace(&mut self.notes, Notes::new(false))
    }

    /// The states, when all rows are in. Samples are not in order yet.
    pub fn finish(mut self) -> States {
        for open in std::mem::take(&mut self.open) {
            self.fold(open);
        }
        if let States::Samples(all) = &mut self.states {
            for (samples, seen) in all.iter_mut().zip(self.distinct) {
                for (time, value) in seen.into_values() {
                    samples.times.push(time);
                    samples.values.push(value);
                }
            }
        }
        self.states
    }

    fn count(&mut self, slices: &[Slice], column: &Column) {
        let States::Count(count) = &mut self.states else { return };
        for slice in slices {
            if let Some(count) = count.get_mut(slice.slot) {
                *count += valid_rows(column, &slice.rows);
            }
        }
    }

    fn add(&mut self, slices: &[Slice], column: &Column) {
        match (&mut self.states, &column.values) {
            (States::SumInteger { sum, count }, Values::Integer(values)) => {
                for slice in slices {
                    let place = (sum.get_mut(slice.slot), count.get_mut(slice.slot));
                    if let (Some(sum), Some(count)) = place {
                        each(values, column, &slice.rows, |value| *sum = sum.wrapping_add(value));
                        *count += valid_rows(column, &slice.rows);
                    }
                }
            }
            (States::SumUnsigned { sum, count }, Values::Unsigned(values)) => {
                for slice in slices {
                    let place = (sum.get_mut(slice.slot), count.get_mut(slice.slot));
                    if let (Some(sum), Some(count)) = place {
                        each(values, column, &slice.rows, |value| *sum = sum.wrapping_add(value));
                        *count += valid_rows(column, &slice.rows);
                    }
                }
            }
            (States::SumFloat { .. }, Values::Float(values)) => {
                if column.validity.is_none() {
                    return self.add_floats(slices, values);
                }
                for slice in slices {
                    let mut open = self.opened(slice);
                    each(values, column, &slice.rows, |value| open.value += value);
                    open.count += valid_rows(column, &slice.rows);
                    self.put_back(slice, open);
                }
            }
            (States::Moments { .. }, values) => self.add_moments(slices, values, column),
            _ => {}
        }
    }

    /// Sums of slices of a Block, all of different series or buckets. Each sum is left to right,
    /// one addition waiting for the one before; so four of them go side by side.
    fn add_floats(&mut self, slices: &[Slice], values: &[f64]) {
        for some in slices.chunks(LANES) {
            let mut sums = [0.0; LANES];
            let mut parts: [&[f64]; LANES] = [&[]; LANES];
            for ((slice, sum), part) in some.iter().zip(&mut sums).zip(&mut parts) {
                let open = self.open.get(slice.series);
                let going_on = open.filter(|open| open.slot == slice.slot);
                *sum = going_on.map_or(0.0, |open| open.value);
                *part = values.get(slice.rows.clone()).unwrap_or(&[]);
            }
            add_side_by_side(&mut sums, parts);
            for (slice, sum) in some.iter().zip(sums) {
                let mut open = self.opened(slice);
                open.value = sum;
                open.count += slice.rows.len() as u64;
                self.put_back(slice, open);
            }
        }
    }

    fn add_moments(&mut self, slices: &[Slice], values: &Values, column: &Column) {
        for slice in slices {
            let mut open = self.opened(slice);
            let step = |value: f64| {
                open.count += 1;
                let delta = value - open.value;
                open.value += delta / open.count as f64;
                open.squares += delta * (value - open.value);
            };
            match values {
                Values::Float(values) => each(values, column, &slice.rows, step),
                Values::Integer(values) => {
                    let mut step = step;
                    each(values, column, &slice.rows, |value| step(value as f64));
                }
                Values::Unsigned(values) => {
                    let mut step = step;
                    each(values, column, &slice.rows, |value| step(value as f64));
                }
                Values::Boolean(_) | Values::String(_) => {}
            }
            self.put_back(slice, open);
        }
    }

    /// The register of a slice's series, emptied when the series comes to another bucket.
    fn opened(&mut self, slice: &Slice) -> Open {
        let open = self.open.get(slice.series).copied().unwrap_or(CLOSED);
        if open.slot == slice.slot {
            return open;
        }
        self.fold(open);
        Open { slot: slice.slot, ..CLOSED }
    }

    fn put_back(&mut self, slice: &Slice, open: Open) {
        if let Some(place) = self.open.get_mut(slice.series) {
            *place = open;
        }
    }

    fn fold(&mut self, open: Open) {
        if open.count == 0 {
            return;
        }
        let at = open.slot;
        match &mut self.states {
            States::SumFloat { high, low, count } => {
                let places = (high.get_mut(at), low.get_mut(at), count.get_mut(at));
                if let (Some(high), Some(low), Some(count)) = places {
                    (*high, *low) = add_double((*high, *low), open.value);
                    *count += open.count;
                }
            }
            States::Moments { count, mean, squares } => {
                let places = (count.get_mut(at), mean.get_mut(at), squares.get_mut(at));
                if let (Some(count), Some(mean), Some(squares)) = places {
                    let more = (open.count, open.value, open.squares);
                    (*count, *mean, *squares) = add_moments((*count, *mean, *squares), more);
                }
            }
            _ => {}
        }
    }

    fn select(&mut self, slices: &[Slice], column: &Column, rows: &RowsOf<'_>) {
        let States::Picked(all) = &mut self.states else { return };
        for slice in slices {
            let Some(row) = best(self.function, column, &slice.rows) else { continue };
            let value = super::expr::value_at(&column.values, row);
            let (Some(held), Some(value), Some(time)) =
                (all.get_mut(slice.slot), value, rows.times.get(row).copied())
            else {
                continue;
            };
            let worse = held.as_ref().is_some_and(|held| {
                let new = (time, &value);
                super::merge::preference(self.function, new, (held.time, &held.value)).is_gt()
            });
            if !worse {
                let aux = (rows.aux)(row);
                pick(self.function, held, Some(Picked { time, value, aux }));
            }
        }
    }

    fn spread(&mut self, slices: &[Slice], column: &Column) {
        let States::Spread(all) = &mut self.states else { return };
        for slice in slices {
            let ends = (
                best(Function::Min, column, &slice.rows),
                best(Function::Max, column, &slice.rows),
            );
            let value = |row| super::expr::value_at(&column.values, row);
            let (Some(held), Some(low), Some(high)) =
                (all.get_mut(slice.slot), ends.0.and_then(value), ends.1.and_then(value))
            else {
                continue;
            };
            spread(held, low, high);
        }
    }

    /// Adds rows of a slice to the points that may stay.
    fn keep(
        &mut self,
        slice: &Slice,
        valid: impl Iterator<Item = usize>,
        column: &Column,
        rows: &RowsOf<'_>,
    ) {
        let States::Kept(all) = &mut self.states else { return };
        let Some(held) = all.get_mut(slice.slot) else { return };
        let mut key = None;
        for row in valid {
            let value = super::expr::value_at(&column.values, row);
            let (Some(value), Some(time)) = (value, rows.times.get(row).copied()) else { continue };
            let rank = match self.function {
                Function::Sample { seed, .. } => {
                    let hash = || xxhash_rust::xxh3::xxh3_64(&(rows.key)(row));
                    super::keep::rank(seed, *key.get_or_insert_with(hash), time)
                }
                _ => 0,
            };
            if held.wants(self.function, rank, time, &value) {
                let point = Picked { time, value, aux: (rows.aux)(row) };
                let grown = held.add(self.function, Ranked { rank, point });
                self.bytes = self.bytes.saturating_add_signed(grown);
            }
        }
    }

    fn collect(&mut self, slices: &[Slice], column: &Column, rows: &RowsOf<'_>) {
        let States::Samples(all) = &mut self.states else { return };
        for slice in slices {
            let Some(samples) = all.get_mut(slice.slot) else { continue };
            let mut seen = self.distinct.get_mut(slice.slot);
            for row in slice.rows.clone().filter(|row| column.is_valid(*row)) {
                let Some(time) = rows.times.get(row).copied() else { continue };
                if let Some(seen) = &mut seen {
                    self.bytes += note_distinct(seen, &column.values, row, time);
                    continue;
                }
                let Some(value) = super::expr::value_at(&column.values, row) else { continue };
                let key = self.keys.entry(slice.series).or_insert_with(|| (rows.key)(row));
                samples.note_series(key);
                let heap = if let Value::String(text) = &value { text.len() } else { 0 };
                let more = (rows.aux)(row);
                self.bytes += 12 + size_of::<Value>() * (1 + more.len()) + heap;
                samples.times.push(time);
                samples.values.push(value);
                samples.aux.extend(more);
            }
        }
    }
}

/// Adds each part to its sum, from left to right.
fn add_side_by_side(sums: &mut [f64; LANES], parts: [&[f64]; LANES]) {
    let shared = parts.iter().map(|part| part.len()).min().unwrap_or(0);
    let [mut a, mut b, mut c, mut d] = *sums;
    let (heads, tails) = {
        let split = parts.map(|part| part.split_at_checked(shared).unwrap_or((part, &[])));
        (split.map(|(head, _)| head), split.map(|(_, tail)| tail))
    };
    let [first, second, third, fourth] = heads;
    for (((one, two), three), four) in first.iter().zip(second).zip(third).zip(fourth) {
        a += one;
        b += two;
        c += three;
        d += four;
    }
    *sums = [a, b, c, d];
    for (sum, tail) in sums.iter_mut().zip(tails) {
        tail.iter().for_each(|value| *sum += value);
    }
}

/// Notes a value and the first time it was seen; gives the bytes this took.
fn note_distinct(
    seen: &mut FixedMap<Key, (i64, Value)>,
    values: &Values,
    row: usize,
    time: i64,
) -> usize {
    let Some(value) = super::expr::value_at(values, row) else { return 0 };
    let key = match &value {
        // Zero and minus zero are one value.
        Value::Float(value) => Key::Bits((value + 0.0).to_bits()),
        Value::Integer(value) => Key::Bits(*value as u64),
        Value::Unsigned(value) => Key::Bits(*value),
        Value::Boolean(value) => Key::Bits(u64::from(*value)),
        Value::String(text) => Key::Text(text.clone()),
    };
    if let Some(held) = seen.get_mut(&key) {
        held.0 = held.0.min(time);
        return 0;
    }
    let text = if let Value::String(text) = &value { 2 * text.len() } else { 0 };
    seen.insert(key, (time, value));
    text + size_of::<(Key, (i64, Value))>()
}

fn valid_rows(column: &Column, rows: &Range<usize>) -> u64 {
    match &column.validity {
        None => rows.len() as u64,
        Some(bits) => rows.clone().filter(|row| bits.get(*row)).count() as u64,
    }
}

/// The values of rows, in order.
fn each<T: Copy>(values: &[T], column: &Column, rows: &Range<usize>, mut take: impl FnMut(T)) {
    let slice = values.get(rows.clone()).unwrap_or(&[]);
    match &column.validity {
        None => slice.iter().for_each(|value| take(*value)),
        Some(bits) => {
            let valid = rows.clone().zip(slice).filter(|(row, _)| bits.get(*row));
            valid.for_each(|(_, value)| take(*value));
        }
    }
}

/// The row that a selector takes from rows of one series in time order.
fn best(function: Function, column: &Column, rows: &Range<usize>) -> Option<usize> {
    let mut valid = rows.clone().filter(|row| column.is_valid(*row));
    match (function, &column.values) {
        (Function::First | Function::FirstLeast, _) => valid.next(),
        (Function::Last, _) => valid.next_back(),
        (_, Values::Float(values)) => extreme(function, values, column, rows),
        (_, Values::Integer(values)) => extreme(function, values, column, rows),
        (_, Values::Unsigned(values)) => extreme(function, values, column, rows),
        (_, Values::Boolean(values)) => extreme(function, values, column, rows),
        (_, Values::String(strings)) => extreme_text(function, strings, valid),
    }
}

/// The first row with the smallest or largest value.
fn extreme<T: Copy + PartialOrd>(
    function: Function,
    values: &[T],
    column: &Column,
    rows: &Range<usize>,
) -> Option<usize> {
    let mut found: Option<(usize, T)> = None;
    for (row, value) in rows.clone().zip(values.get(rows.clone()).unwrap_or(&[])) {
        let better = found.is_none_or(|(_, held)| match function {
            Function::Min => *value < held,
            _ => *value > held,
        });
        if better && column.is_valid(row) {
            found = Some((row, *value));
        }
    }
    found.map(|(row, _)| row)
}

fn extreme_text(
    function: Function,
    strings: &Strings,
    valid: impl Iterator<Item = usize>,
) -> Option<usize> {
    valid.reduce(|held, row| {
        let order = strings.get(row).cmp(strings.get(held));
        let better = if function == Function::Min { order.is_lt() } else { order.is_gt() };
        if better { row } else { held }
    })
}
