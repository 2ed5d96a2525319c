//! Every tag value of some measurements, each once, whatever its tag.
//!
//! In: measurements. Out: the values in order. A million strings are sorted without comparing them:
//! of a stretch of strings the common beginning is found, the eight bytes behind it are read as a
//! number, and these numbers are put in order byte by byte, the last byte first. Strings that
//! differ only farther behind are stretches of their own; short stretches are sorted by comparing.

use super::Index;
use super::cells::END;
use super::symbols::Symbol;
use crate::model::{MeasurementId, Strings};
use std::ops::Range;
use std::task::Poll;

/// Stretches up to this are sorted by comparing strings, about 0.1 ms.
const SHORT: usize = if cfg!(test) { 6 } else { 512 };
/// Symbols that are remembered, so that values of many measurements are mostly taken once.
const SEEN: usize = 4096;
/// Bytes of a string that are looked at together.
const BYTES: usize = 8;

/// Distinct values under collection. Values that appear or vanish meanwhile may be in or not.
pub struct AllValuesTask {
    measurements: std::vec::IntoIter<MeasurementId>,
    /// Columns of the measurement at hand that are still to be walked.
    columns: Vec<u32>,
    phase: Phase,
    items: Vec<Item>,
    /// The stretch at hand, half-way through a pass.
    spare: Vec<Item>,
    /// Stretches that are to be sorted: places in `items`, and bytes that all of one begin with.
    todo: Vec<(Range<usize>, usize)>,
    /// Symbols met last, by their low bits.
    seen: Box<[Symbol]>,
    out: Strings,
}

/// A value.
#[derive(Clone, Copy)]
struct Item {
    /// Eight of its bytes, as a number that sorts like them.
    key: u64,
    symbol: Symbol,
    len: u32,
}

const NONE: Item = Item { key: 0, symbol: Symbol::EMPTY, len: 0 };

/// How often each value of each byte of the keys occurs.
type Counts = Box<[[u32; 256]; BYTES]>;

enum Phase {
    /// Through a column's cells, from this one on.
    Cells(u32),
    /// How many bytes the stretch begins with are found to be common.
    Common {
        stretch: Range<usize>,
        at: usize,
        common: usize,
        least: usize,
    },
    Keys {
        stretch: Range<usize>,
        at: usize,
        skip: usize,
        counts: Counts,
    },
    /// By one byte: the next place of each of its values in the stretch.
    Pass {
        stretch: Range<usize>,
        at: usize,
        skip: usize,
        byte: usize,
        counts: Counts,
    },
    Back {
        stretch: Range<usize>,
        at: usize,
        skip: usize,
        byte: usize,
        counts: Counts,
    },
    /// Equal keys are looked for from this place on.
    Ties {
        stretch: Range<usize>,
        at: usize,
        skip: usize,
    },
    Write(usize),
}

impl AllValuesTask {
    /// Prepares the collection.
    pub fn new(measurements: Vec<MeasurementId>) -> AllValuesTask {
        AllValuesTask {
            measurements: measurements.into_iter(),
            columns: Vec::new(),
            phase: Phase::Cells(END),
            items: Vec::new(),
            spare: Vec::new(),
            todo: Vec::new(),
            seen: vec![Symbol::EMPTY; SEEN].into(),
            out: Strings::default(),
        }
    }

    /// Works on about `budget` values; gives them all, sorted, once at the end.
    pub fn step(&mut self, index: &Index, budget: usize) -> Poll<Strings> {
        let budget = budget.max(1);
        let phase = std::mem::replace(&mut self.phase, Phase::Write(0));
        self.phase = match phase {
            Phase::Cells(next) => self.collect(index, next, budget),
            Phase::Common { stretch, at, common, least } => {
                self.common(index, (stretch, least), at, common, budget)
            }
            Phase::Keys { stretch, at, skip, counts } => {
                self.keys(index, (stretch, skip), at, counts, budget)
            }
            Phase::Pass { stretch, at, skip, byte, counts } => {
                self.pass((stretch, skip), at, byte, counts, budget)
            }
            Phase::Back { stretch, at, skip, byte, counts } => {
                self.back((stretch, skip), at, byte, counts, budget)
            }
            Phase::Ties { stretch, at, skip } => self.ties(index, (stretch, skip), at, budget),
            Phase::Write(at) => {
                let rest = self.items.get(at..).unwrap_or(&[]);
                if rest.is_empty() {
                    return Poll::Ready(std::mem::take(&mut self.out));
                }
                let mut last = at.checked_sub(1).and_then(|at| self.items.get(at)).copied();
                for item in rest.iter().take(budget) {
                    // One value of several columns is one symbol.
                    if last.is_none_or(|last| last.symbol != item.symbol) {
                        self.out.push(index.symbol(item.symbol));
                    }
                    last = Some(*item);
                }
                Phase::Write(at + budget)
            }
        };
        Poll::Pending
    }

    fn collect(&mut self, index: &Index, mut next: u32, budget: usize) -> Phase {
        for _ in 0..budget {
            if let Some(cell) = index.cells.get(next) {
                next = cell.next;
                if cell.series.is_empty() || cell.value == Symbol::EMPTY {
                    continue;
                }
                let seen = self.seen.get_mut(cell.value.0 as usize % SEEN);
                if seen.is_some_and(|seen| std::mem::replace(seen, cell.value) != cell.value) {
                    self.items.push(Item { symbol: cell.value, ..NONE });
                }
            } else if let Some(column) = self.columns.pop() {
                let live = index.columns.get(column).filter(|column| column.live > 0);
                next = live.map_or(END, |column| column.first);
            } else if let Some(id) = self.measurements.next() {
                let known = index.known(id);
                self.columns.extend(known.into_iter().flat_map(|(_, one)| &one.columns));
            } else {
                self.todo.push((0..self.items.len(), 0));
                return self.next_stretch(index);
            }
        }
        Phase::Cells(next)
    }

    /// Begins with the next stretch; short ones are sorted at once.
    fn next_stretch(&mut self, index: &Index) -> Phase {
        match self.todo.pop() {
            None => Phase::Write(0),
            Some((stretch, least)) if stretch.len() > SHORT => {
                let at = stretch.start;
                // No more than the first string has can be common.
                let common = self.items.get(at).map_or(0, |item| index.symbol(item.symbol).len());
                Phase::Common { stretch, at, common, least }
            }
            Some((stretch, skip)) => {
                self.sort_short(index, stretch.clone());
                Phase::Ties { at: stretch.end, stretch, skip }
            }
        }
    }

    fn sort_short(&mut self, index: &Index, stretch: Range<usize>) {
        let items = self.items.get_mut(stretch).unwrap_or(&mut []);
        items.sort_unstable_by(|a, b| index.symbol(a.symbol).cmp(index.symbol(b.symbol)));
    }

    fn common(
        &mut self,
        index: &Index,
        (stretch, least): (Range<usize>, usize),
        at: usize,
        mut common: usize,
        budget: usize,
    ) -> Phase {
        let first = self.items.get(stretch.start).map_or(Symbol::EMPTY, |item| item.symbol);
        let first = index.symbol(first);
        let end = (at + budget).min(stretch.end);
        for item in self.items.get(at..end).unwrap_or(&[]) {
            let text = index.symbol(item.symbol);
            let alike = first.iter().zip(text).take(common).take_while(|(a, b)| a == b).count();
            common = alike;
        }
        if end < stretch.end {
            return Phase::Common { stretch, at: end, common, least };
        }
        let at = stretch.start;
        // Behind a string's end are zeros, so that what is common may be more than its bytes.
        let skip = common.max(least);
        Phase::Keys { stretch, at, skip, counts: Box::new([[0; 256]; BYTES]) }
    }

    fn keys(
        &mut self,
        index: &Index,
        (stretch, skip): (Range<usize>, usize),
        at: usize,
        mut counts: Counts,
        budget: usize,
    ) -> Phase {
        let end = (at + budget).min(stretch.end);
        for item in self.items.get_mut(at..end).unwrap_or(&mut []) {
            let text = index.symbol(item.symbol);
            let mut bytes = [0; BYTES];
            bytes
                .iter_mut()
                .zip(text.get(skip..).unwrap_or(&[]))
                .for_each(|(to, from)| *to = *from);
            (item.key, item.len) = (u64::from_be_bytes(bytes), text.len() as u32);
            for (count, byte) in counts.iter_mut().zip(bytes) {
                count.get_mut(usize::from(byte)).into_iter().for_each(|count| *count += 1);
            }
        }
        if end < stretch.end {
            return Phase::Keys { stretch, at: end, skip, counts };
        }
        self.spare.resize(self.spare.len().max(stretch.len()), NONE);
        Self::next_pass((stretch, skip), BYTES, counts)
    }

    /// The pass by the next byte in front of `before` that differs within the stretch.
    fn next_pass(
        (stretch, skip): (Range<usize>, usize),
        before: usize,
        mut counts: Counts,
    ) -> Phase {
        let all = stretch.len() as u32;
        let differs = |counts: &[u32; 256]| counts.iter().all(|count| *count < all);
        let rest = counts.get_mut(..before).unwrap_or(&mut []);
        let found = rest.iter_mut().enumerate().rev().find(|(_, counts)| differs(counts));
        let at = stretch.start;
        let Some((byte, counters)) = found else { return Phase::Ties { stretch, at, skip } };
        // Counts become the first places.
        let mut sum = 0;
        for count in counters {
            sum += std::mem::replace(count, sum);
        }
        Phase::Pass { stretch, at, skip, byte, counts }
    }

    fn pass(
        &mut self,
        (stretch, skip): (Range<usize>, usize),
        at: usize,
        byte: usize,
        mut counts: Counts,
        budget: usize,
    ) -> Phase {
        let end = (at + budget).min(stretch.end);
        let shift = 8 * (BYTES - 1 - byte.min(BYTES - 1));
        if let Some(places) = counts.get_mut(byte) {
            for item in self.items.get(at..end).unwrap_or(&[]) {
                let Some(place) = places.get_mut((item.key >> shift) as usize & 0xff) else {
                    break;
                };
                if let Some(slot) = self.spare.get_mut(*place as usize) {
                    *slot = *item;
                }
                *place += 1;
            }
        }
        match end < stretch.end {
            true => Phase::Pass { stretch, at: end, skip, byte, counts },
            false => Phase::Back { at: stretch.start, stretch, skip, byte, counts },
        }
    }

    /// Brings the stretch back to its place.
    fn back(
        &mut self,
        (stretch, skip): (Range<usize>, usize),
        at: usize,
        byte: usize,
        counts: Counts,
        budget: usize,
    ) -> Phase {
        // Copies are far cheaper than what a budget is made for.
        let end = at.saturating_add(budget.saturating_mul(8)).min(stretch.end);
        let from = self.spare.get(at - stretch.start..end - stretch.start);
        if let (Some(to), Some(from)) = (self.items.get_mut(at..end), from) {
            to.copy_from_slice(from);
        }
        match end < stretch.end {
            true => Phase::Back { stretch, at: end, skip, byte, counts },
            false => Self::next_pass((stretch, skip), byte, counts),
        }
    }

    /// Strings of equal keys that have more bytes are stretches of their own.
    fn ties(
        &mut self,
        index: &Index,
        (stretch, skip): (Range<usize>, usize),
        mut at: usize,
        budget: usize,
    ) -> Phase {
        let until = at.saturating_add(budget);
        while at < stretch.end.min(until) {
            let rest = self.items.get(at..stretch.end).unwrap_or(&[]);
            let Some(first) = rest.first() else { break };
            let alike = rest.iter().take_while(|item| item.key == first.key).count().max(1);
            let ends = skip + BYTES;
            let same = rest.iter().take(alike).all(|item| item.symbol == first.symbol);
            if alike > SHORT && !same && rest.iter().take(alike).any(|i| i.len as usize > ends) {
                self.todo.push((at..at + alike, ends));
            } else if alike > 1 && !same {
                self.sort_short(index, at..at + alike);
            }
            at += alike;
        }
        match at < stretch.end {
            true => Phase::Ties { stretch, at, skip },
            false => self.next_stretch(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DbId, SeriesKey};
    use proptest::prelude::*;
    use roaring::RoaringBitmap;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn all_live_values_come_once_in_order(
            series in prop::collection::vec((0u32..3, "[ab]{0,2}", "[a-c]{8,26}|[xy]?|a\\x00{0,20}"), 0..200),
            dead in prop::collection::vec(0u32..200, 0..20),
            budget in 1usize..400,
        ) {
            let mut index = Index::new();
            let mut all = Vec::new();
            for (measurement, host, region) in &series {
                let name = format!("m{measurement}");
                let tags: [(&[u8], &[u8]); 2] =
                    [(b"host", host.as_bytes()), (b"region", region.as_bytes())];
                let key = SeriesKey::build(name.as_bytes(), &tags).unwrap();
                let id = MeasurementId(*measurement);
                let (series, new) = index.intern(DbId(1), id, key.as_bytes()).unwrap();
                if new {
                    all.push((series, host, region));
                }
            }
            index.retire(&RoaringBitmap::from_iter(&dead));
            let live = all.iter().filter(|(id, ..)| index.is_live(*id));
            let values: BTreeSet<&str> =
                live.flat_map(|(_, host, region)| [host.as_str(), region.as_str()]).collect();
            let expected: Vec<&str> = values.into_iter().filter(|value| !value.is_empty()).collect();
            let mut task = AllValuesTask::new(index.measurements(DbId(1)));
            let found = loop {
                if let Poll::Ready(found) = task.step(&index, budget) {
                    break found;
                }
            };
            let found: Vec<&[u8]> = (0..found.len()).map(|at| found.get(at)).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|value| value.as_bytes()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
