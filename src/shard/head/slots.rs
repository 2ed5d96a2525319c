//! Slots: what a head table knows about each of its series, and how a series finds its slot.
//!
//! An append looks first at the shard's hint for the series (a dense table by series id: the last
//! table and slot), which costs one cache miss and no hashing while a series stays in one layout;
//! then at the table's own map. All of it grows in pages or in sixteenths, so that no append copies
//! or rehashes more than a small piece.

use super::chunk::NO_ROW;
use crate::model::{MeasurementId, SeriesId, TimeRange};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

/// Hash map with fixed keys, so that one seed gives one history in the simulator.
pub type FixedMap<K, V> = HashMap<K, V, BuildHasherDefault<ahash::AHasher>>;

/// Entries of a page of hints or slots.
const PAGE_LEN: usize = 4096;

/// Maps of one table: a rehash moves a sixteenth of the entries.
const MAPS_LEN: usize = 16;

/// One series in one table.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub series: SeriesId,
    pub measurement: MeasurementId,
    /// The series' newest row by arrival.
    pub tail: u32,
    /// Rows appended, deleted ones included.
    pub rows: u32,
    pub time_min: i64,
    pub time_max: i64,
    /// Every row came with a time later than all before it.
    pub in_order: bool,
}

impl Slot {
    pub fn new(series: SeriesId, measurement: MeasurementId) -> Slot {
        Slot {
            series,
            measurement,
            tail: NO_ROW,
            rows: 0,
            time_min: i64::MAX,
            time_max: i64::MIN,
            in_order: true,
        }
    }

    /// Takes the next row; returns the row before it.
    pub fn push(&mut self, row: u32, time: i64) -> u32 {
        self.in_order &= self.rows == 0 || time > self.time_max;
        self.time_min = self.time_min.min(time);
        self.time_max = self.time_max.max(time);
        self.rows += 1;
        std::mem::replace(&mut self.tail, row)
    }

    /// The times of the rows, both ends inclusive.
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.time_min, self.time_max)
    }
}

/// The slots of one table.
#[derive(Debug, Default)]
pub struct Slots {
    pages: Vec<Vec<Slot>>,
    maps: [FixedMap<SeriesId, u32>; MAPS_LEN],
}

impl Slots {
    /// Number of slots.
    pub fn len(&self) -> usize {
        self.pages.len().saturating_sub(1) * PAGE_LEN + self.pages.last().map_or(0, Vec::len)
    }

    pub fn get(&self, slot: u32) -> Option<&Slot> {
        self.pages.get(slot as usize / PAGE_LEN)?.get(slot as usize % PAGE_LEN)
    }

    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Slot> {
        self.pages.get_mut(slot as usize / PAGE_LEN)?.get_mut(slot as usize % PAGE_LEN)
    }

    /// The slot of a series.
    pub fn find(&self, series: SeriesId) -> Option<u32> {
        self.maps.get(series.index() % MAPS_LEN)?.get(&series).copied()
    }

    /// Makes a slot for a series that has none.
    pub fn insert(&mut self, slot: Slot) -> u32 {
        let number = self.len() as u32;
        if let Some(map) = self.maps.get_mut(slot.series.index() % MAPS_LEN) {
            map.insert(slot.series, number);
        }
        match self.pages.last_mut() {
            Some(page) if page.len() < PAGE_LEN => page.push(slot),
            last => {
                let capacity = if last.is_none() { 0 } else { PAGE_LEN };
                let mut page = Vec::with_capacity(capacity);
                page.push(slot);
                self.pages.push(page);
            }
        }
        number
    }

    /// All slots in order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.pages.iter().flatten()
    }
}

/// The last table and slot of every series of the shard, by series id.
#[derive(Debug, Default)]
pub struct Hints {
    /// Entries are `tag << 32 | slot`; tags start at 1, so 0 means nothing is known.
    pages: Vec<Option<Box<[u64]>>>,
}

impl Hints {
    /// The hint of a series, to be read and replaced.
    pub fn entry(&mut self, series: SeriesId) -> Option<&mut u64> {
        let page = series.index() / PAGE_LEN;
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        self.pages
            .get_mut(page)?
            .get_or_insert_with(|| vec![0; PAGE_LEN].into_boxed_slice())
            .get_mut(series.index() % PAGE_LEN)
    }
}

/// A hint's value.
pub fn hint(tag: u32, slot: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(slot)
}

/// The slot that a hint names, if it speaks of the table `tag`.
pub fn hinted(hint: u64, tag: u32) -> Option<u32> {
    ((hint >> 32) as u32 == tag).then_some(hint as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_in_order_only_while_times_ascend() {
        let mut slot = Slot::new(SeriesId(1), MeasurementId(1));
        assert_eq!(slot.push(0, 10), NO_ROW);
        assert_eq!(slot.push(4, 20), 0);
        assert!(slot.in_order);
        slot.push(5, 20);
        assert!(!slot.in_order);
        slot.push(6, 30);
        assert!(!slot.in_order);
        assert_eq!((slot.range(), slot.rows, slot.tail), (TimeRange::new(10, 30), 4, 6));
    }

    #[test]
    fn slots_are_found_across_pages() {
        let mut slots = Slots::default();
        for n in 0..10_000 {
            assert_eq!(slots.insert(Slot::new(SeriesId(n * 3), MeasurementId(1))), n);
        }
        assert_eq!(slots.len(), 10_000);
        for n in 0..10_000 {
            assert_eq!(slots.find(SeriesId(n * 3)), Some(n));
            assert_eq!(slots.get(n).unwrap().series, SeriesId(n * 3));
        }
        assert_eq!(slots.find(SeriesId(1)), None);
        assert_eq!(slots.iter().count(), 10_000);
    }

    #[test]
    fn a_hint_speaks_of_one_table() {
        let mut hints = Hints::default();
        *hints.entry(SeriesId(5000)).unwrap() = hint(3, 9);
        assert_eq!(hinted(*hints.entry(SeriesId(5000)).unwrap(), 3), Some(9));
        assert_eq!(hinted(*hints.entry(SeriesId(5000)).unwrap(), 4), None);
        assert_eq!(hinted(*hints.entry(SeriesId(5001)).unwrap(), 3), None);
    }
}
