//! Merges the groups of all shards.
//!
//! In: one stream of groups per shard or subquery, each in output order. Out: one group at a time,
//! its states merged from all that have it.

use super::super::QueryError;
use crate::route::cluster::Scan;
use crate::shard::scan::{Aggregate, FEW_MAX, Group, Order, Part, ScanError, States};
use std::collections::VecDeque;

struct Lane {
    scan: Option<Scan>,
    waiting: VecDeque<Group>,
}

/// The merged stream.
pub struct GroupMerge {
    lanes: Vec<Lane>,
    order: Order,
    aggregates: Vec<Aggregate>,
    /// Bytes that the states of one group may take.
    memory_bytes: usize,
    /// By aggregate: whether the values themselves are here, of all lanes. Known with the first
    /// group.
    few: Option<Vec<bool>>,
}

impl GroupMerge {
    /// Merges answers to questions for `aggregates`; a group holds `memory_bytes` at most.
    pub fn new(
        scans: Vec<Scan>,
        order: Order,
        aggregates: Vec<Aggregate>,
        memory_bytes: usize,
    ) -> GroupMerge {
        let mut merge =
            GroupMerge { lanes: Vec::new(), order, aggregates, memory_bytes, few: None };
        scans.into_iter().for_each(|scan| merge.add(scan));
        merge
    }

    /// Adds a shard's answer.
    pub fn add(&mut self, scan: Scan) {
        self.lanes.push(Lane { scan: Some(scan), waiting: VecDeque::new() });
    }

    /// Adds groups that are here, in output order.
    pub fn add_held(&mut self, groups: Vec<Group>) {
        self.lanes.push(Lane { scan: None, waiting: groups.into() });
    }

    /// The next group; `None` at the end.
    ///
    /// # Errors
    /// The failure of a shard; a group whose buckets lie too far apart.
    pub async fn next(&mut self) -> Result<Option<Group>, QueryError> {
        for lane in &mut self.lanes {
            lane.fill().await?;
        }
        let few = match self.few.take() {
            Some(few) => few,
            None => self.few_values(),
        };
        let heads = self.lanes.iter().filter_map(|lane| lane.waiting.front());
        let heads = heads.map(|group| group.values.clone());
        let next = match self.order {
            Order::Ascending => heads.min(),
            Order::Descending => heads.max(),
        };
        let Some(next) = next else { return Ok(None) };
        let mut out: Option<Group> = None;
        for lane in &mut self.lanes {
            if lane.waiting.front().is_none_or(|group| group.values != next) {
                continue;
            }
            let Some(group) = lane.waiting.pop_front() else { continue };
            match &mut out {
                Some(out) => {
                    if merged_bytes(out, &group, &self.aggregates) > self.memory_bytes as i128 {
                        return Err(ScanError::Memory { limit: self.memory_bytes }.into());
                    }
                    out.merge(group, &self.aggregates);
                }
                None => out = Some(group),
            }
        }
        if let Some(out) = &mut out {
            let pairs = out.few.iter_mut().zip(&few).filter(|(_, usable)| !**usable);
            pairs.for_each(|(values, _)| *values = None);
        }
        self.few = Some(few);
        Ok(out)
    }

    /// Whether the values of each aggregate are few in all lanes together, by their first groups.
    fn few_values(&self) -> Vec<bool> {
        let usable = |at: usize| {
            let mut heads = self.lanes.iter().filter_map(|lane| lane.waiting.front());
            let total = heads.try_fold(0, |sum: usize, group| {
                let few = group.few.get(at)?.as_ref()?;
                Some(sum.saturating_add(few.total))
            });
            total.is_some_and(|total| total <= FEW_MAX)
        };
        (0..self.aggregates.len()).map(usable).collect()
    }
}

/// Bytes of the states of two groups put together, from the first to the last bucket of both.
fn merged_bytes(a: &Group, b: &Group, aggregates: &[Aggregate]) -> i128 {
    let end = |group: &Group| {
        let len = group.states.first().map_or(0, States::len);
        i128::from(group.first_bucket) + len as i128
    };
    let width = end(a).max(end(b)) - i128::from(a.first_bucket.min(b.first_bucket));
    let each: usize = aggregates.iter().map(|one| States::bytes_each(one.function)).sum();
    width * each as i128
}

impl Lane {
    async fn fill(&mut self) -> Result<(), QueryError> {
        while self.waiting.is_empty() {
            let Some(scan) = &mut self.scan else { return Ok(()) };
            match scan.next().await {
                Ok(Part::Groups(groups)) => self.waiting.extend(groups),
                Ok(Part::Rows(_)) => {}
                Err(Ok(_)) => self.scan = None,
                Err(Err(error)) => {
                    self.scan = None;
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }
}
