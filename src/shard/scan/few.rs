//! The values behind float sums and deviations, as long as a scan has few of them.
//!
//! In: the rows that an accumulator adds. Out: per group `Few`: the values with their times, series
//! by series, or nothing where the whole scan met more than `FEW_MAX`. States say sums to the last
//! digit that does not depend on the order of additions; whoever wants the digits of a certain
//! order adds up these values instead. What counts is the number of values alone, so it does not
//! matter how many shards there are and what is flushed.

use super::accumulate::Slice;
use crate::model::{Column, FixedMap, Values};
use std::sync::Arc;

/// Values of one aggregate beyond which a question is answered by states alone.
pub const FEW_MAX: usize = 4096;

/// The values of one group and aggregate.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Few {
    /// Values of the aggregate in all groups of the scan.
    pub total: usize,
    /// Canonical keys.
    pub series: Vec<Arc<[u8]>>,
    /// (place in `series`, time in ns, value); those of one series in order of time.
    pub values: Vec<(u32, i64, f64)>,
}

impl Few {
    /// Adds the values of the same group in another scan.
    pub fn merge(&mut self, other: Few) {
        let known = self.series.len() as u32;
        self.series.extend(other.series);
        let moved = other.values.into_iter().map(|(at, time, value)| (at + known, time, value));
        self.values.extend(moved);
    }
}

/// Values as they are met: (number of the series, time, value). `None`: too many, or not wanted.
#[derive(Debug)]
pub struct Notes(Option<Vec<(u32, i64, f64)>>);

impl Notes {
    /// Notes nothing unless `wanted`.
    pub fn new(wanted: bool) -> Notes {
        Notes(wanted.then(Vec::new))
    }

    /// Ends the noting.
    pub fn stop(&mut self) {
        self.0 = None;
    }

    /// Notes the rows of slices.
    pub fn add(&mut self, slices: &[Slice], column: &Column, times: &[i64]) {
        let Some(held) = &mut self.0 else { return };
        for slice in slices {
            // A slice with too many rows need not be walked, unless some have no value.
            let rows = slice.rows.len();
            if column.validity.is_none() && held.len() + rows > FEW_MAX {
                return self.stop();
            }
            for row in slice.rows.clone().filter(|row| column.is_valid(*row)) {
                let found = times.get(row).copied().zip(float(&column.values, row));
                let Some((time, value)) = found else { continue };
                if held.len() == FEW_MAX {
                    return self.stop();
                }
                held.push((slice.series as u32, time, value));
            }
        }
    }

    /// The values by group; `series` gives the group of each series, `key` its canonical key.
    pub fn by_group<Id: Copy>(
        self,
        series: &[(Id, u32)],
        key: impl Fn(Id) -> Arc<[u8]>,
    ) -> Option<ByGroup> {
        let mut values = self.0?;
        values.sort_by_key(|(series, ..)| *series);
        let mut out = ByGroup { total: values.len(), groups: FixedMap::default() };
        for some in values.chunk_by(|a, b| a.0 == b.0) {
            let number = some.first().map_or(0, |value| value.0);
            let Some((id, group)) = series.get(number as usize) else { continue };
            let few = out.groups.entry(*group).or_default();
            let place = few.series.len() as u32;
            few.series.push(key(*id));
            few.values.extend(some.iter().map(|(_, time, value)| (place, *time, *value)));
        }
        Some(out)
    }
}

/// The values of one aggregate by the group's number.
pub struct ByGroup {
    total: usize,
    groups: FixedMap<u32, Few>,
}

impl ByGroup {
    /// Takes those of a group out.
    pub fn take(&mut self, group: usize) -> Few {
        let few = self.groups.remove(&(group as u32)).unwrap_or_default();
        Few { total: self.total, ..few }
    }
}

fn float(values: &Values, row: usize) -> Option<f64> {
    match values {
        Values::Float(values) => values.get(row).copied(),
        Values::Integer(values) => values.get(row).map(|value| *value as f64),
        Values::Unsigned(values) => values.get(row).map(|value| *value as f64),
        Values::Boolean(_) | Values::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bitmap, ColumnId, FieldNo, FieldType};

    fn column(count: usize, validity: Option<Bitmap>) -> Column {
        let id = ColumnId::new(FieldNo(1), FieldType::Float);
        Column { id, values: Values::Float((0..count).map(|at| at as f64).collect()), validity }
    }

    fn slice(series: usize, rows: std::ops::Range<usize>) -> Slice {
        Slice { slot: 0, series, rows }
    }

    #[test]
    fn values_come_by_group_and_series_in_order_of_time() {
        let mut notes = Notes::new(true);
        let times: Vec<i64> = (0..6).collect();
        notes.add(&[slice(1, 0..2), slice(0, 2..4)], &column(6, None), &times);
        notes.add(&[slice(1, 4..6)], &column(6, None), &times);
        let key = |id: u8| Arc::from([id]);
        let mut found = notes.by_group(&[(7u8, 1), (8, 1)], key).unwrap();
        assert_eq!(found.take(0), Few { total: 6, ..Few::default() });
        let found = found.take(1);
        assert_eq!(found.series, [Arc::from([7]), Arc::from([8])]);
        let values = [(0, 2, 2.0), (0, 3, 3.0), (1, 0, 0.0), (1, 1, 1.0), (1, 4, 4.0), (1, 5, 5.0)];
        assert_eq!((found.total, found.values), (6, values.to_vec()));
    }

    #[test]
    fn only_values_count_and_one_too_many_ends_it() {
        let times: Vec<i64> = (0..FEW_MAX as i64 + 2).collect();
        let mut bits = Bitmap::default();
        times.iter().for_each(|time| bits.push(*time >= 2));
        let most = column(times.len(), Some(bits));
        let mut notes = Notes::new(true);
        notes.add(&[slice(0, 0..times.len())], &most, &times);
        assert_eq!(notes.0.as_ref().map(Vec::len), Some(FEW_MAX));
        notes.add(&[slice(0, 0..2)], &most, &times);
        assert_eq!(notes.0.as_ref().map(Vec::len), Some(FEW_MAX));
        notes.add(&[slice(0, 5..6)], &most, &times);
        assert!(notes.0.is_none());
        let mut notes = Notes::new(true);
        notes.add(&[slice(0, 0..times.len())], &column(times.len(), None), &times);
        assert!(notes.0.is_none());
    }
}
