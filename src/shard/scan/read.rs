//! Reading the merged rows of one partition, stretch of time by stretch of time.
//!
//! In: the sources of a partition as they were when the question arrived, the wanted series,
//! columns and times. Out: Blocks in (series, time) order, each (series, time) once: what deletes
//! took is gone from each source before the merge, what has expired goes after it. A stretch is a
//! UTC day with sections, or the time between such days, in which only heads have rows.

use super::ScanError;
use super::guard::Guard;
use super::known::{Chunk, Judge};
use crate::env::Env;
use crate::model::time::{DAY_NS, day_of};
use crate::model::{ColumnId, MeasurementId, SeriesId, TimeRange};
use crate::shard::block::Block;
use crate::shard::head::{self, HeadCursor, HeadView};
use crate::shard::merge::{Merger, drop_expired};
use crate::shard::segment::{Select, Step};
use crate::shard::source::{Pass, passes};
use crate::shard::tombstone::Tombstones;
use crate::shard::version::{Later, Section, Sources};
use std::collections::VecDeque;
use std::rc::Rc;

/// Rows of a Block from a head or a merge, at most.
pub const STEP_ROWS: usize = 8192;
/// Values of such a Block: merging them takes some tenths of a millisecond.
const STEP_VALUES: usize = 16_384;

/// What is read of a stretch.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub measurement: MeasurementId,
    /// Sorted; `None`: all (who reads passes over those it does not know).
    pub series: Option<Rc<[SeriesId]>>,
    /// Sorted; the hidden expiry included.
    pub columns: Rc<[ColumnId]>,
    pub now_ns: i64,
}

/// A time range of one partition and the sections that have rows in it.
pub struct Stretch<E: Env> {
    pub range: TimeRange,
    pub sections: Vec<Section<E>>,
    /// Place in the list of partitions.
    pub partition: usize,
}

impl<E: Env> Clone for Stretch<E> {
    fn clone(&self) -> Self {
        let sections = self.sections.clone();
        Stretch { range: self.range, sections, partition: self.partition }
    }
}

/// Partition sources, with the id of the partition.
pub struct Partition<E: Env> {
    pub id: crate::model::PartitionId,
    pub sources: Sources<E>,
}

impl<E: Env> Partition<E> {
    /// What is in memory, each with the newest record it may hold.
    pub fn views(&self) -> impl Iterator<Item = (&HeadView, u64)> {
        let frozen = self.sources.frozen.iter().map(|view| (view, self.sources.frozen_seq));
        frozen.chain(self.sources.active.iter().map(|view| (view, u64::MAX)))
    }

    /// The times between which rows may lie, within `range`; `None` when there is none.
    pub fn bounds(&self, range: TimeRange) -> Option<TimeRange> {
        let sections = self.sources.version.sections_in(self.id, range);
        let sections = sections.flat_map(|(_, all)| all.iter().map(|section| section.meta.time));
        let views = self.views().map(|(view, _)| view.range());
        let all = sections.chain(views).map(|time| time.intersect(range));
        all.filter(|time| !time.is_empty())
            .reduce(|a, b| TimeRange::new(a.first.min(b.first), a.last.max(b.last)))
    }

    /// The stretches that may have rows within `range`, oldest first, no longer than need be.
    pub fn stretches(&self, place: usize, range: TimeRange) -> Vec<Stretch<E>> {
        let mut out = Vec::new();
        let gap = |first: i64, last: i64, out: &mut Vec<Stretch<E>>| {
            let range = TimeRange::new(first, last).intersect(range);
            let held = self.views().any(|(view, _)| view.range().overlaps(range));
            if !range.is_empty() && held {
                out.push(Stretch { range, sections: Vec::new(), partition: place });
            }
        };
        let mut next = Some(range.first);
        for (day, all) in self.sources.version.sections_in(self.id, range) {
            let start = i64::from(day).saturating_mul(DAY_NS);
            if let Some(next) = next.filter(|next| *next < start) {
                gap(next, start - 1, &mut out);
            }
            let last = start.saturating_add(DAY_NS - 1);
            let time = TimeRange::new(start, last).intersect(range);
            let sections = all.iter().filter(|section| section.meta.time.overlaps(time)).cloned();
            debug_assert_eq!(day_of(start), day);
            out.push(Stretch { range: time, sections: sections.collect(), partition: place });
            next = last.checked_add(1);
        }
        if let Some(next) = next {
            gap(next, range.last, &mut out);
        }
        out.retain_mut(|stretch| match self.bounds(stretch.range) {
            Some(range) => {
                stretch.range = range;
                true
            }
            None => false,
        });
        out
    }

    /// About how many rows `series` of the shard's `series_all` series have in a stretch.
    pub fn estimate(&self, stretch: &Stretch<E>, series: usize, series_all: usize) -> f64 {
        let share = |of: usize| (series as f64 / of.max(1) as f64).min(1.0);
        let overlap = |time: TimeRange| {
            let both = time.intersect(stretch.range);
            let len = |range: TimeRange| range.last as f64 - range.first as f64 + 1.0;
            if both.is_empty() { 0.0 } else { len(both) / len(time).max(1.0) }
        };
        let section = |section: &Section<E>| {
            let meta = &section.meta;
            meta.rows as f64 * share(meta.series as usize) * overlap(meta.time)
        };
        let view = |view: &HeadView| view.rows() as f64 * share(series_all) * overlap(view.range());
        let sections: f64 = stretch.sections.iter().map(section).sum();
        sections + self.views().map(|(one, _)| view(one)).sum::<f64>()
    }
}

/// One source of a stretch.
enum Input<E: Env> {
    Pass(Pass<E>),
    Head { view: HeadView, cursor: Box<HeadCursor>, max_seq: u64 },
}

/// Sources that meet in time. Clusters follow each other in time, so only what is inside one is
/// merged. The passes of one section hold different series (`head::SectionCursor`) and are read one
/// after the other.
struct Cluster<E: Env> {
    inputs: Vec<Input<E>>,
    /// `None`: the inputs have no row in common.
    merger: Option<Merger>,
    /// Without a merger: the input that is being read.
    at: usize,
}

impl<E: Env> Cluster<E> {
    fn new(mut sources: Vec<Vec<Input<E>>>) -> Cluster<E> {
        let apart = sources.len() == 1;
        let inputs: Vec<Input<E>> = sources.drain(..).flatten().collect();
        let seqs: Vec<u64> = inputs.iter().map(Input::max_seq).collect();
        let merger = (!apart).then(|| Merger::new(&seqs));
        Cluster { inputs, merger, at: 0 }
    }
}

/// Joins sources that meet in time; the clusters come in time order.
fn clusters<E: Env>(mut sources: Vec<(TimeRange, Vec<Input<E>>)>) -> VecDeque<Cluster<E>> {
    sources.sort_by_key(|(time, _)| time.first);
    let mut out = VecDeque::new();
    let mut open: Vec<Vec<Input<E>>> = Vec::new();
    let mut last = i64::MIN;
    for (time, inputs) in sources {
        if !open.is_empty() && time.first > last {
            out.push_back(Cluster::new(std::mem::take(&mut open)));
        }
        last = last.max(time.last);
        open.push(inputs);
    }
    if !open.is_empty() {
        out.push_back(Cluster::new(open));
    }
    out
}

/// The merged rows of a stretch. Blocks of one cluster are in the order of series; rows of a series
/// come in time order throughout.
pub struct Stream<E: Env> {
    wanted: Wanted,
    range: TimeRange,
    clusters: VecDeque<Cluster<E>>,
    tombstones: Rc<Tombstones>,
    later: Later,
    /// Rows may have a time to live.
    expiring: bool,
}

impl<E: Env> Stream<E> {
    /// Opens what has rows of the stretch within `range`. Reads directories only.
    ///
    /// # Errors
    /// When the question was cancelled or its time is over, or a file cannot be read.
    pub async fn open<C: Fn() -> bool>(
        guard: &Guard<'_, E, C>,
        partition: &Partition<E>,
        stretch: &Stretch<E>,
        range: TimeRange,
        wanted: &Wanted,
    ) -> Result<Stream<E>, ScanError> {
        let mut wanted = wanted.clone();
        let expiring = expires(partition, stretch, range).await?;
        if !expiring {
            wanted.columns = without_expiry(&wanted.columns).into();
        }
        let select = Select {
            measurement: Some(wanted.measurement),
            series: wanted.series.clone(),
            range,
            columns: Some(wanted.columns.clone()),
        };
        let mut sources: Vec<(TimeRange, Vec<Input<E>>)> = Vec::new();
        for section in stretch.sections.iter().filter(|s| s.meta.time.overlaps(range)) {
            let all = passes(section, &select).await.map_err(storage)?;
            guard.check().await?;
            if !all.is_empty() {
                let time = section.meta.time.intersect(range);
                sources.push((time, all.into_iter().map(Input::Pass).collect()));
            }
        }
        for (view, max_seq) in partition.views().filter(|(view, _)| view.range().overlaps(range)) {
            let time = view.range().intersect(range);
            let (view, cursor) = (view.clone(), Box::default());
            sources.push((time, vec![Input::Head { view, cursor, max_seq }]));
        }
        let tombstones = partition.sources.version.tombstones.clone();
        let later = partition.sources.later.clone();
        let clusters = clusters(sources);
        Ok(Stream { wanted, range, clusters, tombstones, later, expiring })
    }

    /// The next rows, at least one; `None` at the end. Tasks of the core have turns in between.
    /// Chunks whose rows stand alone are shown to `judge` first.
    ///
    /// # Errors
    /// As `open`.
    pub async fn next<C: Fn() -> bool>(
        &mut self,
        guard: &Guard<'_, E, C>,
        judge: &mut impl Judge<E>,
    ) -> Result<Option<Block>, ScanError> {
        while let Some(mut cluster) = self.clusters.pop_front() {
            guard.check().await?;
            let found = self.next_of(guard, judge, &mut cluster).await?;
            let Some(mut block) = found else { continue };
            self.clusters.push_front(cluster);
            drop_expired(&mut block, self.wanted.now_ns);
            self.later.borrow().apply(0, &mut block);
            if block.rows() > 0 {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    fn step_rows(&self) -> usize {
        (STEP_VALUES / self.wanted.columns.len().max(1)).clamp(1024, STEP_ROWS)
    }

    async fn next_of<C: Fn() -> bool>(
        &self,
        guard: &Guard<'_, E, C>,
        judge: &mut impl Judge<E>,
        cluster: &mut Cluster<E>,
    ) -> Result<Option<Block>, ScanError> {
        let Cluster { inputs, merger, at } = cluster;
        let Some(merger) = merger else {
            while let Some(input) = inputs.get_mut(*at) {
                let found = match input {
                    Input::Pass(pass) => self.read_alone(guard, judge, pass).await?,
                    Input::Head { .. } => self.read(guard, input).await?,
                };
                match found {
                    Some(block) => return Ok(Some(block)),
                    None => *at += 1,
                }
            }
            return Ok(None);
        };
        while !merger.is_done() {
            while let Some(at) = merger.wants() {
                let read = match inputs.get_mut(at) {
                    Some(input) => self.read(guard, input).await?,
                    None => None,
                };
                match read {
                    Some(block) => merger.push(at, block),
                    None => merger.finish(at),
                }
            }
            if let Some(block) = merger.next(self.step_rows()) {
                return Ok(Some(block));
            }
            guard.rest().await;
        }
        Ok(None)
    }

    /// The next Block of a section that no other source meets, never empty.
    async fn read_alone<C: Fn() -> bool>(
        &self,
        guard: &Guard<'_, E, C>,
        judge: &mut impl Judge<E>,
        pass: &mut Pass<E>,
    ) -> Result<Option<Block>, ScanError> {
        while let Some(info) = pass.peek().await.map_err(storage)? {
            guard.check().await?;
            let touched = self.expiring
                || self.tombstones.overlaps(pass.max_seq, None, info.time)
                || !self.later.borrow().is_empty();
            let mut sieve = None;
            if !touched {
                let chunk = Chunk { reader: pass.reader().clone(), info };
                if judge.passes_over(&chunk).await? {
                    pass.skip();
                    guard.note(|summary| summary.chunks_known += 1);
                    continue;
                }
                sieve = judge.sieve();
            }
            match pass.step(sieve).await.map_err(storage)? {
                Step::Rows(mut block, taken) => {
                    looked_at(guard, taken);
                    self.tombstones.apply(pass.max_seq, &mut block);
                    if block.rows() > 0 {
                        return Ok(Some(block));
                    }
                }
                Step::Nothing(taken) => looked_at(guard, taken),
                Step::End => break,
            }
        }
        Ok(None)
    }

    /// The next Block of one source, never empty.
    async fn read<C: Fn() -> bool>(
        &self,
        guard: &Guard<'_, E, C>,
        input: &mut Input<E>,
    ) -> Result<Option<Block>, ScanError> {
        loop {
            guard.check().await?;
            let (block, max_seq) = match input {
                Input::Pass(pass) => (pass.next().await.map_err(storage)?, pass.max_seq),
                Input::Head { view, cursor, max_seq } => {
                    let select = head::Select {
                        measurement: Some(self.wanted.measurement),
                        series: self.wanted.series.as_deref(),
                        range: self.range,
                        columns: Some(&*self.wanted.columns),
                    };
                    let block = view.gather(&select, cursor, self.step_rows());
                    if block.as_ref().is_some_and(|block| block.rows() == 0) {
                        guard.rest().await;
                    }
                    (block, *max_seq)
                }
            };
            let Some(mut block) = block else { return Ok(None) };
            self.tombstones.apply(max_seq, &mut block);
            if block.rows() > 0 {
                return Ok(Some(block));
            }
        }
    }
}

impl<E: Env> Input<E> {
    fn max_seq(&self) -> u64 {
        match self {
            Input::Pass(pass) => pass.max_seq,
            Input::Head { max_seq, .. } => *max_seq,
        }
    }
}

/// Counts rows that were read and not given.
fn looked_at<E: Env, C: Fn() -> bool>(guard: &Guard<'_, E, C>, rows: usize) {
    guard.note_work(rows);
    guard.note(|summary| summary.rows += rows as u64);
}

/// Whether a row of the stretch may have a time to live. Then all of its sources are read whole:
/// the newest version of a point decides, whatever its columns.
async fn expires<E: Env>(
    partition: &Partition<E>,
    stretch: &Stretch<E>,
    range: TimeRange,
) -> Result<bool, ScanError> {
    for section in stretch.sections.iter().filter(|s| s.meta.time.overlaps(range)) {
        if section.reader.expires(section.index).await.map_err(storage)? {
            return Ok(true);
        }
    }
    let mut views = partition.views().filter(|(view, _)| view.range().overlaps(range));
    Ok(views.any(|(view, _)| view.has_column(ColumnId::EXPIRE)))
}

/// The expiry has the lowest id of all columns.
fn without_expiry(columns: &[ColumnId]) -> &[ColumnId] {
    match columns.split_first() {
        Some((first, rest)) if *first == ColumnId::EXPIRE => rest,
        _ => columns,
    }
}

/// A file that cannot be read ends the question: a wrong number is worse than none.
pub fn storage(error: crate::shard::segment::SegmentError) -> ScanError {
    ScanError::Storage(error.to_string())
}
