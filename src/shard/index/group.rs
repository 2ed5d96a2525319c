//! GROUP BY tags: numbers series by the combination of values they have for some tag keys.
//!
//! Values are compared as symbols while series are walked; only the distinct combinations are
//! ordered by their bytes, at the end. A series without a tag has the empty value.

use super::sort::Sorter;
use super::symbols::Symbol;
use super::table::Table;
use super::{FixedMap, Index};
use crate::model::SeriesId;
use std::task::Poll;
use xxhash_rust::xxh3::xxh3_64;

/// Series by group.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Grouping {
    /// The values of each group, one for each key asked for; sorted, distinct.
    pub groups: Vec<Vec<Box<[u8]>>>,
    /// The group of each series, in the order in which the series were given.
    pub of: Vec<u32>,
}

/// A grouping under way.
pub struct GroupTask {
    keys: Vec<Box<[u8]>>,
    /// For each measurement met: the place of its columns among `keys`.
    columns: FixedMap<u32, Vec<(u32, usize)>>,
    /// Values of the groups, `keys.len()` symbols each, in order of first appearance.
    values: Vec<Symbol>,
    table: Table,
    count: u32,
    phase: Phase,
    result: Grouping,
}

enum Phase {
    /// Series from this place on get the number of first appearance.
    Number(usize),
    Sort(Sorter<u32>),
    /// The names of groups in order, from this place on.
    Name {
        order: Vec<u32>,
        rank: Vec<u32>,
        at: usize,
    },
    /// Series from this place on get the rank of their group.
    Rank {
        rank: Vec<u32>,
        at: usize,
    },
}

impl GroupTask {
    /// Prepares a grouping by tag keys; the series are passed to each step.
    pub fn new(keys: &[&[u8]]) -> GroupTask {
        GroupTask {
            keys: keys.iter().map(|key| Box::from(*key)).collect(),
            columns: FixedMap::default(),
            values: Vec::new(),
            table: Table::default(),
            count: 0,
            phase: Phase::Number(0),
            result: Grouping::default(),
        }
    }

    /// Works on about `budget` series or groups; `series` must be the same in each step. Gives the
    /// grouping once, at the end.
    pub fn step(&mut self, index: &Index, series: &[SeriesId], budget: usize) -> Poll<Grouping> {
        let budget = budget.max(1);
        match &mut self.phase {
            Phase::Number(at) => {
                let slice = series.get(*at..).unwrap_or(&[]);
                *at = at.saturating_add(budget);
                let done = *at >= series.len();
                for id in slice.iter().take(budget) {
                    let group = self.number(index, *id);
                    self.result.of.push(group);
                }
                if done {
                    self.phase = Phase::Sort(Sorter::new((0..self.count).collect()));
                }
            }
            Phase::Sort(sorter) => {
                let (width, values) = (self.keys.len(), &self.values);
                let names = |group: u32| {
                    values_of(values, width, group).iter().map(|value| index.symbol(*value))
                };
                let Poll::Ready(order) = sorter.step(budget, |a, b| names(*a).cmp(names(*b)))
                else {
                    return Poll::Pending;
                };
                let rank = vec![0; order.len()];
                self.phase = Phase::Name { order, rank, at: 0 };
            }
            Phase::Name { order, rank, at } => {
                for group in order.iter().skip(*at).take(budget) {
                    let values = values_of(&self.values, self.keys.len(), *group);
                    let names = values.iter().map(|value| Box::from(index.symbol(*value)));
                    if let Some(place) = rank.get_mut(*group as usize) {
                        *place = self.result.groups.len() as u32;
                    }
                    self.result.groups.push(names.collect());
                }
                *at = at.saturating_add(budget);
                if *at >= order.len() {
                    self.phase = Phase::Rank { rank: std::mem::take(rank), at: 0 };
                }
            }
            Phase::Rank { rank, at } => {
                for group in self.result.of.iter_mut().skip(*at).take(budget) {
                    *group = rank.get(*group as usize).copied().unwrap_or(0);
                }
                *at = at.saturating_add(budget);
                if *at >= self.result.of.len() {
                    return Poll::Ready(std::mem::take(&mut self.result));
                }
            }
        }
        Poll::Pending
    }

    /// The group of a series, by first appearance.
    fn number(&mut self, index: &Index, id: SeriesId) -> u32 {
        let width = self.keys.len();
        let start = self.values.len();
        self.values.resize(start + width, Symbol::EMPTY);
        let mine = self.values.get_mut(start..).unwrap_or(&mut []);
        if let Some(state) = index.states.get(id.0) {
            let keys = &self.keys;
            let columns = self
                .columns
                .entry(state.measurement)
                .or_insert_with(|| columns_of(index, state.measurement, keys));
            for (column, place) in columns {
                let value = index.tag_symbol(state, *column).unwrap_or(Symbol::EMPTY);
                mine.get_mut(*place).into_iter().for_each(|slot| *slot = value);
            }
        }
        let hash = hash_values(mine);
        let (known, mine) = self.values.split_at(start);
        let found = self.table.find(hash, |group| values_of(known, width, group) == mine);
        if let Some(group) = found {
            self.values.truncate(start);
            return group;
        }
        let group = self.count;
        self.table.insert(hash, group);
        self.count += 1;
        group
    }
}

/// A measurement's columns that were asked for, and their places among the keys.
fn columns_of(index: &Index, measurement: u32, keys: &[Box<[u8]>]) -> Vec<(u32, usize)> {
    let Some(owner) = index.measurements.get(measurement as usize) else { return Vec::new() };
    let places = keys.iter().enumerate();
    let found = places.filter_map(|(place, key)| Some((index.tag_key(owner.id, key)?.0, place)));
    found.collect()
}

fn values_of(values: &[Symbol], width: usize, group: u32) -> &[Symbol] {
    let start = group as usize * width;
    values.get(start..start + width).unwrap_or(&[])
}

fn hash_values(values: &[Symbol]) -> u32 {
    values.iter().fold(0, |hash: u32, value| {
        xxh3_64(&(u64::from(hash) << 32 | u64::from(value.0)).to_le_bytes()) as u32
    })
}

impl Index {
    /// Groups series by the values of tag keys, at once. For many series use `GroupTask`.
    pub fn group(&self, series: &[SeriesId], keys: &[&[u8]]) -> Grouping {
        let mut task = GroupTask::new(keys);
        loop {
            if let Poll::Ready(grouping) = task.step(self, series, usize::MAX) {
                return grouping;
            }
        }
    }
}
