//! From a question to series, groups and sources: what is decided before a row is read.
//!
//! In: a `Request` and the shard. Out: a `Plan`: the sources as they are now, the series that pass
//! the tag predicate, and their groups in the order of their values.

use super::guard::Guard;
use super::partial::ScanError;
use super::read::{Partition, Stretch, Wanted};
use super::request::{Order, Request};
use crate::env::Env;
use crate::model::{ColumnId, SeriesId, TimeRange};
use crate::shard::Shard;
use crate::shard::index::{GroupTask, Grouping, SelectTask, TagKeyNo};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// Index entries looked at between two turns of other tasks.
pub const STEP_ENTRIES: usize = 1024;
/// From this share of a measurement's series on, all are read and the others passed over.
const ALL_SHARE: usize = 2;

/// A question, ready to read.
pub struct Plan<'r, E: Env> {
    pub shard: Shard<E>,
    pub request: &'r Request,
    pub partitions: Vec<Partition<E>>,
    /// All series, by group (in output order), ascending within a group.
    series: Vec<SeriesId>,
    /// For each group, the end of its series.
    ends: Vec<usize>,
    groups: Vec<Arc<[Box<[u8]>]>>,
    columns: Rc<[ColumnId]>,
    /// The keys of `Request::tags` in the index.
    pub tag_keys: Vec<Option<TagKeyNo>>,
    live: usize,
}

/// Some groups that are worked on together.
pub struct Batch {
    pub groups: Range<usize>,
    /// Ascending, each with its group's number within the batch.
    pub series: Vec<(SeriesId, u32)>,
    pub wanted: Wanted,
}

impl Batch {
    /// Number of the series in the batch.
    pub fn find(&self, series: SeriesId, hint: &mut usize) -> Option<(usize, u32)> {
        let at = self.series.get(*hint).filter(|(id, _)| *id == series).map(|_| *hint);
        let at = at.or_else(|| self.series.binary_search_by_key(&series, |(id, _)| *id).ok())?;
        *hint = at + 1;
        self.series.get(at).map(|(_, group)| (at, *group))
    }
}

impl<'r, E: Env> Plan<'r, E> {
    /// Pins the sources, then asks the index.
    pub async fn new<C: Fn() -> bool>(
        shard: &Shard<E>,
        request: &'r Request,
        guard: &Guard<'_, E, C>,
    ) -> Result<Plan<'r, E>, ScanError> {
        let source = |id: &_| Partition { id: *id, sources: shard.sources(*id) };
        let partitions: Vec<Partition<E>> = request.partitions.iter().map(source).collect();
        let mut select = SelectTask::new(&shard.index(), request.measurement, &request.series);
        let selected = loop {
            let step = select.step(&shard.index(), STEP_ENTRIES);
            if let Poll::Ready(found) = step {
                break found;
            }
            guard.note_work(STEP_ENTRIES);
            guard.check().await?;
        };
        let series: Vec<SeriesId> = selected.iter().map(SeriesId).collect();
        guard.note(|summary| summary.series = series.len() as u64);
        let keys: Vec<&[u8]> = request.group_by.iter().map(AsRef::as_ref).collect();
        let mut task = GroupTask::new(&keys);
        let grouping = loop {
            let step = task.step(&shard.index(), &series, STEP_ENTRIES);
            if let Poll::Ready(grouping) = step {
                break grouping;
            }
            // A step ends with a phase, too, however few series there are.
            guard.note_work(series.len().min(STEP_ENTRIES));
            guard.check().await?;
        };
        let tag_keys = {
            let index = shard.index();
            request.tags.iter().map(|key| index.tag_key(request.measurement, key)).collect()
        };
        let live = shard.index().live_series_of(request.measurement) as usize;
        guard.check().await?;
        let (series, ends, groups) = arrange(&series, grouping, request.order);
        guard.check().await?;
        let columns = columns_of(request);
        let shard = shard.clone();
        Ok(Plan { shard, request, partitions, series, ends, groups, columns, tag_keys, live })
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The values of a group.
    pub fn group(&self, number: usize) -> Arc<[Box<[u8]>]> {
        self.groups.get(number).cloned().unwrap_or_default()
    }

    /// Number of series of some groups.
    pub fn series_in(&self, groups: &Range<usize>) -> usize {
        self.places(groups).len()
    }

    fn places(&self, groups: &Range<usize>) -> Range<usize> {
        let end = |group: usize| match group {
            0 => 0,
            group => self.ends.get(group - 1).copied().unwrap_or(self.series.len()),
        };
        end(groups.start)..end(groups.end)
    }

    /// Prepares to work on some groups.
    pub fn batch(&self, groups: Range<usize>) -> Batch {
        let mut series = Vec::with_capacity(self.series_in(&groups));
        for group in groups.clone() {
            let places = self.places(&(group..group + 1));
            let local = (group - groups.start) as u32;
            let ids = self.series.get(places).unwrap_or(&[]);
            series.extend(ids.iter().map(|id| (*id, local)));
        }
        series.sort_unstable();
        let few = series.len().saturating_mul(ALL_SHARE) < self.live;
        let ids = || series.iter().map(|(id, _)| *id).collect::<Rc<[SeriesId]>>();
        let wanted = Wanted {
            measurement: self.request.measurement,
            series: few.then(ids),
            columns: self.columns.clone(),
            now_ns: self.request.now_ns,
        };
        Batch { groups, series, wanted }
    }

    /// The stretches of time that may have rows, oldest first.
    pub fn stretches(&self) -> Vec<Stretch<E>> {
        let all = self.partitions.iter().enumerate();
        all.flat_map(|(place, one)| one.stretches(place, self.request.range)).collect()
    }

    /// The times between which rows may lie; `None` when there are none.
    pub fn bounds(&self) -> Option<TimeRange> {
        let all = self.partitions.iter().filter_map(|one| one.bounds(self.request.range));
        all.reduce(|a, b| TimeRange::new(a.first.min(b.first), a.last.max(b.last)))
    }

    /// About how many rows so many series have in some stretches.
    pub fn estimate(&self, stretches: &[Stretch<E>], series: usize) -> f64 {
        let all = self.shard.index().next_id().index();
        let rows = |stretch: &Stretch<E>| {
            let partition = self.partitions.get(stretch.partition);
            partition.map_or(0.0, |one| one.estimate(stretch, series, all))
        };
        stretches.iter().map(rows).sum()
    }
}

type Arranged = (Vec<SeriesId>, Vec<usize>, Vec<Arc<[Box<[u8]>]>>);

/// Puts series in the output order of their groups, by counting.
fn arrange(series: &[SeriesId], grouping: Grouping, order: Order) -> Arranged {
    let count = grouping.groups.len();
    let place = |group: u32| match order {
        Order::Ascending => group as usize,
        Order::Descending => (count - 1).saturating_sub(group as usize),
    };
    let mut ends = vec![0; count];
    for group in &grouping.of {
        ends.get_mut(place(*group)).into_iter().for_each(|count| *count += 1);
    }
    // Counts become starts, and starts become ends as the groups fill.
    let mut sum = 0;
    for end in &mut ends {
        sum += std::mem::replace(end, sum);
    }
    let mut sorted = vec![SeriesId(0); series.len()];
    for (id, group) in series.iter().zip(&grouping.of) {
        let Some(end) = ends.get_mut(place(*group)) else { continue };
        sorted.get_mut(*end).into_iter().for_each(|slot| *slot = *id);
        *end += 1;
    }
    let mut groups: Vec<Arc<[Box<[u8]>]>> = grouping.groups.into_iter().map(Arc::from).collect();
    if order == Order::Descending {
        groups.reverse();
    }
    (sorted, ends, groups)
}

fn columns_of(request: &Request) -> Rc<[ColumnId]> {
    let fields = request.fields.iter().flat_map(|field| field.columns.iter().copied());
    let mut columns: Vec<ColumnId> = fields.chain([ColumnId::EXPIRE]).collect();
    columns.sort_unstable();
    columns.dedup();
    columns.into()
}
