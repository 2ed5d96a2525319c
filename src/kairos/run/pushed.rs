//! Results whose first aggregator the shards compute.
//!
//! In: groups and what to ask the shards (`push`). Out: the results, group after group. Where the
//! ranges are too many to have a state each, the shards are asked first which of them have points:
//! with a sampling of a millisecond these are few.

use super::{Part, RANGES, Run, group_of};
use crate::kairos::Failure;
use crate::kairos::aggregate::Chain;
use crate::kairos::push::{Combined, Push};
use crate::kairos::request::{Aggregator, RangeKind};
use crate::kairos::source::{Group, Kind, Options, failed, scans};
use crate::query::GroupMerge;
use crate::route::cluster::Scan;
use crate::shard::index::TagFilter;
use crate::shard::scan::{self, Buckets, Order, Output, ScanError};

/// Starts of ranges with points that a query looks at (bytes).
const STARTS_BYTES: usize = 4 << 20;

/// A result under way, of which the shards compute the first aggregator.
struct Open {
    chain: Chain,
    /// Bytes that were held before it.
    held: usize,
}

impl<D: super::Door> Run<'_, D> {
    /// The first aggregator is computed by the shards: by one question, or for one group by
    /// several, each about a later stretch of time.
    pub(super) async fn pushed(
        &mut self,
        part: Part<'_>,
        filter: TagFilter,
        pushes: Vec<Push>,
    ) -> Result<(), Failure> {
        let several = pushes.len() > 1;
        let mut open: Option<Open> = None;
        for push in pushes {
            let (aggregates, memory) = (push.aggregates.clone(), self.options.memory_bytes);
            let scans = self.push_scans(part, filter.clone(), &push);
            let mut merge = GroupMerge::new(scans, Order::Ascending, aggregates, memory);
            while let Some(found) = merge.next().await.map_err(failed)? {
                let group = group_of(part, &found.values);
                let states = push.combine(found);
                let count = push.counted(&states);
                if count == 0 {
                    continue;
                }
                self.sample += count;
                let mut one = match open.take() {
                    Some(one) => one,
                    None => self.begin(part, &group)?,
                };
                self.feed(&push, &states, &mut one).await?;
                match several {
                    true => open = Some(one),
                    false => self.end(one).await?,
                }
            }
        }
        match open {
            Some(one) => self.end(one).await,
            None => Ok(()),
        }
    }

    fn push_scans(&self, part: Part<'_>, filter: TagFilter, push: &Push) -> Vec<Scan> {
        let (buckets, aggregates) = (push.buckets.clone(), push.aggregates.clone());
        let output = Output::Aggregates { buckets, aggregates };
        let (keys, fields) = (Self::group_by(part.metric), push.fields.clone());
        let mut request = part.source.request(self.options, filter, keys, fields, output);
        request.range = push.range;
        scans(self.cluster, self.options, request)
    }

    /// Begins a result whose first aggregator is computed by the shards.
    fn begin(&mut self, part: Part<'_>, group: &Group) -> Result<Open, Failure> {
        let Part { metric, kind, .. } = part;
        let held = self.work.held();
        let rest = metric.aggregators.get(1..).unwrap_or_default();
        let first = metric.aggregators.first();
        let counted = matches!(first, Some(Aggregator::Range { kind: RangeKind::Count, .. }));
        let behind = if counted { Kind::Numbers } else { kind };
        let chain = self.chain(metric, rest, behind, group)?;
        self.open(metric, kind, group, &[]);
        Ok(Open { chain, held })
    }

    /// Sends the shards' results of a group through the rest of the chain.
    async fn feed(
        &mut self,
        push: &Push,
        states: &Combined,
        one: &mut Open,
    ) -> Result<(), Failure> {
        let mut points = Vec::new();
        for start in (0..states.len).step_by(RANGES) {
            points.clear();
            push.points(states, start..states.len.min(start + RANGES), &mut points);
            one.chain.push(&mut points, &self.work)?;
            self.give(&points).await?;
            self.door.rest().await;
        }
        Ok(())
    }

    async fn end(&mut self, mut one: Open) -> Result<(), Failure> {
        let mut points = Vec::new();
        one.chain.end(&mut points, &self.work)?;
        self.give(&points).await?;
        self.writer.close_result();
        self.work.release_to(one.held);
        Ok(())
    }

    /// Questions about those ranges alone that have points, where all ranges are too many. `None`
    /// where that is no less work than reading the points.
    pub(super) async fn sparse(
        &mut self,
        part: Part<'_>,
        filter: &TagFilter,
        push: &Push,
    ) -> Result<Option<Vec<Push>>, Failure> {
        let Some((starts, rows)) = self.starts(part, filter, push).await? else { return Ok(None) };
        let most = push.ranges_max(self.options.memory_bytes).max(1);
        let groups = part.groups.len() as u64;
        let states = groups.saturating_mul(starts.len() as u64);
        let large = groups > 1 && (starts.len() > most || states > rows.saturating_mul(4));
        if large || (starts.len() as u64) > rows / 2 {
            return Ok(None);
        }
        Ok(starts.chunks(most).map(|some| push.over(some)).collect())
    }

    /// The starts of all ranges with points (ns), and the number of rows; `None` when they are too
    /// many.
    async fn starts(
        &mut self,
        part: Part<'_>,
        filter: &TagFilter,
        push: &Push,
    ) -> Result<Option<(Vec<i64>, u64)>, Failure> {
        if !matches!(push.buckets, Buckets::Even { .. }) {
            return Ok(None);
        }
        let output = Output::Starts(push.buckets.clone());
        let (keys, fields) = (Vec::new(), Vec::new());
        let mut request = part.source.request(self.options, filter.clone(), keys, fields, output);
        request.memory_bytes = request.memory_bytes.min(STARTS_BYTES);
        // What is looked at here is read once more, and that counts.
        let options = Options { points_max: 0, ..self.options.clone() };
        let (mut lists, mut rows) = (Vec::new(), 0);
        for mut scan in scans(self.cluster, &options, request) {
            let mut starts = Vec::new();
            loop {
                match scan.next().await {
                    Ok(scan::Part::Rows(some)) => {
                        starts.extend(some.into_iter().flat_map(|rows| rows.times));
                    }
                    Ok(scan::Part::Groups(_)) => {}
                    Err(Ok(summary)) => break rows += summary.rows,
                    Err(Err(ScanError::Memory { .. })) => return Ok(None),
                    Err(Err(error)) => return Err(error.into()),
                }
            }
            lists.push(starts.into_iter().peekable());
        }
        let mut all: Vec<i64> = Vec::new();
        while let Some(next) = lists.iter_mut().filter_map(|list| list.peek().copied()).min() {
            for list in &mut lists {
                list.next_if_eq(&next);
            }
            all.push(next);
            if all.len() * size_of::<i64>() > STARTS_BYTES {
                return Ok(None);
            }
            if all.len().is_multiple_of(RANGES) {
                self.door.rest().await;
            }
        }
        Ok(Some((all, rows)))
    }
}
