//! Every tag value of some measurements, each once, whatever its tag.
//!
//! In: measurements. Out: symbols in order of their strings. A million values are sorted by their
//! first sixteen bytes as numbers, so that few strings are looked at twice.

use super::Index;
use super::cells::END;
use super::sort::Sorter;
use super::symbols::Symbol;
use crate::model::MeasurementId;
use std::task::Poll;

/// Distinct values under collection. Values that appear or vanish meanwhile may be in or not.
pub struct AllValuesTask {
    measurements: std::vec::IntoIter<MeasurementId>,
    /// Columns of the measurement at hand that are still to be walked.
    columns: Vec<u32>,
    phase: Phase,
    values: Vec<Symbol>,
}

enum Phase {
    /// Through a column's cells, from this one on.
    Cells(u32),
    /// Equal symbols come together, in the order in which the strings lie in memory.
    Distinct(Sorter<Symbol>),
    /// The strings' beginnings are read, from this one on.
    Prefixes(usize, Vec<(u128, Symbol)>),
    Sort(Sorter<(u128, Symbol)>),
}

impl AllValuesTask {
    /// Prepares the collection.
    pub fn new(measurements: Vec<MeasurementId>) -> AllValuesTask {
        let measurements = measurements.into_iter();
        let (columns, values) = (Vec::new(), Vec::new());
        AllValuesTask { measurements, columns, phase: Phase::Cells(END), values }
    }

    /// Works on about `budget` values; gives them all, sorted, once at the end.
    pub fn step(&mut self, index: &Index, budget: usize) -> Poll<Vec<Symbol>> {
        match &mut self.phase {
            Phase::Cells(_) => self.collect(index, budget.max(1)),
            Phase::Distinct(sorter) => {
                if let Poll::Ready(mut values) = sorter.step(budget, |a, b| a.0.cmp(&b.0)) {
                    values.dedup();
                    let prefixes = Vec::with_capacity(values.len());
                    self.values = values;
                    self.phase = Phase::Prefixes(0, prefixes);
                }
            }
            Phase::Prefixes(at, prefixes) => {
                let rest = self.values.get(*at..).unwrap_or(&[]);
                let slice = rest.iter().take(budget.max(1));
                prefixes.extend(slice.map(|value| (prefix(index.symbol(*value)), *value)));
                *at = prefixes.len();
                if prefixes.len() == self.values.len() {
                    let prefixes = std::mem::take(prefixes);
                    self.phase = Phase::Sort(Sorter::new(prefixes));
                }
            }
            Phase::Sort(sorter) => {
                let order = |a: &(u128, Symbol), b: &(u128, Symbol)| {
                    a.0.cmp(&b.0).then_with(|| index.symbol(a.1).cmp(index.symbol(b.1)))
                };
                let Poll::Ready(values) = sorter.step(budget, order) else { return Poll::Pending };
                return Poll::Ready(values.into_iter().map(|(_, value)| value).collect());
            }
        }
        Poll::Pending
    }

    fn collect(&mut self, index: &Index, mut budget: usize) {
        let Phase::Cells(mut next) = self.phase else { return };
        while budget > 0 {
            budget -= 1;
            if let Some(cell) = index.cells.get(next) {
                next = cell.next;
                if !cell.series.is_empty() && cell.value != Symbol::EMPTY {
                    self.values.push(cell.value);
                }
            } else if let Some(column) = self.columns.pop() {
                let live = index.columns.get(column).filter(|column| column.live > 0);
                next = live.map_or(END, |column| column.first);
            } else if let Some(id) = self.measurements.next() {
                let known = index.known(id);
                self.columns.extend(known.into_iter().flat_map(|(_, one)| &one.columns));
            } else {
                let values = std::mem::take(&mut self.values);
                self.phase = Phase::Distinct(Sorter::new(values));
                return;
            }
        }
        self.phase = Phase::Cells(next);
    }
}

/// The first sixteen bytes of a string as a number that sorts like them.
fn prefix(text: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    u128::from_be_bytes(bytes)
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
            series in prop::collection::vec((0u32..3, "[ab]{0,2}", "[a-c]{15,18}|[xy]?"), 0..200),
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
            let found: Vec<&str> =
                found.iter().map(|value| std::str::from_utf8(index.symbol(*value)).unwrap()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
