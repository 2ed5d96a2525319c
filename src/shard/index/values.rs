//! Names for SHOW: tag keys and tag values of a measurement, as far as live series have them.

use super::cells::END;
use super::sort::Sorter;
use super::symbols::Symbol;
use super::{Index, TagKeyNo};
use crate::model::{MeasurementId, SeriesId};
use roaring::RoaringBitmap;
use std::borrow::Borrow;
use std::task::Poll;

/// The distinct values of one tag key, under collection. `B` is a set of series or a reference to
/// one. Values that appear or vanish meanwhile may be in or not.
pub struct TagValuesTask<B> {
    within: Option<B>,
    column: Option<u32>,
    phase: Phase,
    values: Vec<Symbol>,
}

enum Phase {
    /// Through the column's cells, from this one on.
    Cells(u32),
    /// Through the series of `within`, from this id on.
    Series(u32),
    Sort(Sorter<Symbol>),
}

impl<B: Borrow<RoaringBitmap>> TagValuesTask<B> {
    /// Prepares the collection of the values that the live series of `measurement` have, or only
    /// those of them in `within`.
    pub fn new(
        index: &Index,
        measurement: MeasurementId,
        key: &[u8],
        within: Option<B>,
    ) -> TagValuesTask<B> {
        let column = index.tag_key(measurement, key).map(|TagKeyNo(column)| column);
        let owner = column.and_then(|column| index.columns.get(column));
        let cells = owner.map_or(0, |column| u64::from(column.cells));
        let phase = match &within {
            Some(set) if set.borrow().len() < cells => Phase::Series(0),
            _ => Phase::Cells(owner.map_or(END, |column| column.first)),
        };
        TagValuesTask { within, column, phase, values: Vec::new() }
    }

    /// Works on about `budget` values or series; gives the values, sorted, once at the end.
    pub fn step(&mut self, index: &Index, budget: usize) -> Poll<Vec<Symbol>> {
        let budget = budget.max(1);
        let within = self.within.as_ref().map(Borrow::borrow);
        match &mut self.phase {
            Phase::Cells(next) => {
                for _ in 0..budget {
                    let Some(cell) = index.cells.get(*next) else {
                        *next = END;
                        break;
                    };
                    *next = cell.next;
                    let live = !cell.series.is_empty();
                    if live && within.is_none_or(|set| index.postings.meets(cell.series, set)) {
                        self.values.push(cell.value);
                    }
                }
                if *next == END {
                    self.sort();
                }
            }
            Phase::Series(first) => {
                let Some((set, column)) = within.zip(self.column) else {
                    self.sort();
                    return Poll::Pending;
                };
                let (slice, behind) = slice_of(set, *first, budget);
                for id in slice {
                    let state = index.states.get(id).filter(|_| index.is_live(SeriesId(id)));
                    self.values.extend(state.and_then(|state| index.tag_symbol(state, column)));
                }
                match behind {
                    Some(next) => *first = next,
                    None => self.sort(),
                }
            }
            Phase::Sort(sorter) => {
                let order = |a: &Symbol, b: &Symbol| index.symbol(*a).cmp(index.symbol(*b));
                let Poll::Ready(mut values) = sorter.step(budget, order) else {
                    return Poll::Pending;
                };
                values.dedup();
                return Poll::Ready(values);
            }
        }
        Poll::Pending
    }

    fn sort(&mut self) {
        self.values.retain(|value| *value != Symbol::EMPTY);
        self.phase = Phase::Sort(Sorter::new(std::mem::take(&mut self.values)));
    }
}

/// Up to `budget` ids of a set from `first` on, and where to go on.
fn slice_of(set: &RoaringBitmap, first: u32, budget: usize) -> (Vec<u32>, Option<u32>) {
    let slice: Vec<u32> = set.range(first..).take(budget).collect();
    let full = slice.len() == budget;
    let behind = slice.last().filter(|_| full).and_then(|last| last.checked_add(1));
    (slice, behind)
}

impl Index {
    /// The tag keys that the live series of a measurement have, sorted; with `within`, only of the
    /// series in it (about 0.1 µs each until all keys are seen: pass a slice of a large set).
    pub fn tag_keys(
        &self,
        measurement: MeasurementId,
        within: Option<&RoaringBitmap>,
    ) -> Vec<&[u8]> {
        let Some((number, owner)) = self.known(measurement) else { return Vec::new() };
        let mut open: Vec<(u32, bool)> = Vec::new();
        for column in &owner.columns {
            if self.columns.get(*column).is_some_and(|column| column.live > 0) {
                open.push((*column, within.is_none()));
            }
        }
        let mut missing = open.iter().filter(|(_, seen)| !seen).count();
        for id in within.into_iter().flatten() {
            if missing == 0 {
                break;
            }
            let Some(state) = self.states.get(id) else { continue };
            if state.retired || state.measurement != number {
                continue;
            }
            for (column, seen) in open.iter_mut().filter(|(_, seen)| !seen) {
                if self.tag_symbol(state, *column).is_some_and(|value| value != Symbol::EMPTY) {
                    *seen = true;
                    missing -= 1;
                }
            }
        }
        open.into_iter().filter(|(_, seen)| *seen).map(|(at, _)| self.column_key(at)).collect()
    }

    /// The values of a tag key that the live series of a measurement have (of those in `within`),
    /// sorted, at once. For a key with many values use `TagValuesTask`.
    pub fn tag_values(
        &self,
        measurement: MeasurementId,
        key: &[u8],
        within: Option<&RoaringBitmap>,
    ) -> Vec<&[u8]> {
        let mut task = TagValuesTask::new(self, measurement, key, within);
        loop {
            if let Poll::Ready(values) = task.step(self, usize::MAX) {
                return values.into_iter().map(|value| self.symbol(value)).collect();
            }
        }
    }
}
