//! Results whose points are read one by one, group after group.
//!
//! In: the raw points of a group, from the shards or held here. Out: its result, or with groupers
//! that look at points several, which are held until the group is over.

use super::{Door, Part, RANGES, Run};
use crate::kairos::Failure;
use crate::kairos::aggregate::{Chain, Work};
use crate::kairos::answer::numbers;
use crate::kairos::fetch::{Fetch, compare};
use crate::kairos::point::Point;
use crate::kairos::range::MS_NS;
use crate::kairos::source::{Group, scans};
use crate::model::FixedMap;
use crate::route::cluster::Scan;
use std::collections::{BTreeMap, BTreeSet};

/// Memory of a group that looks at points, beside its points (bytes).
const GROUP_BYTES: usize = 512;
/// Where the raw points of a group come from.
pub(super) enum Feed<'f> {
    Shards(&'f mut Fetch<Scan>),
    /// They are here, in order, and counted.
    Held(std::vec::IntoIter<Point>),
}

/// One result of a grouper that looks at points.
struct Split {
    numbers: Vec<i64>,
    chain: Chain,
    left: u64,
    pending: Vec<Point>,
    done: Vec<Point>,
}

impl<D: Door> Run<'_, D> {
    /// The first points of every series are read, series by series, so that the shards end each as
    /// soon as they have them; they are put in order here.
    pub(super) async fn limited(&mut self, part: Part<'_>, limit: u64) -> Result<(), Failure> {
        let all_keys: BTreeSet<_> =
            part.groups.iter().flat_map(|group| group.tags.keys().cloned()).collect();
        let all_keys: Vec<Box<[u8]>> = all_keys.into_iter().collect();
        let place = |key: &[u8]| all_keys.iter().position(|known| known.as_ref() == key);
        let keys = Self::group_by(part.metric);
        let places: Vec<Option<usize>> = keys.iter().map(|key| place(key)).collect();
        let filter = part.source.filter.clone();
        let request = self.row_request(part, filter, all_keys.clone(), Some(limit));
        let order = request.order;
        let mut fetch = Fetch::new(scans(self.cluster, self.options, request), order, Some(limit));
        let mut held: BTreeMap<Vec<Box<[u8]>>, Vec<Point>> = BTreeMap::new();
        let keeps = usize::try_from(limit).unwrap_or(usize::MAX);
        while let Some(values) = fetch.next_group().await? {
            let value = |place: &Option<usize>| {
                place.and_then(|at| values.get(at)).cloned().unwrap_or_default()
            };
            let points = held.entry(places.iter().map(value).collect()).or_default();
            let before = points.len();
            while fetch.next(points).await? {}
            let new = points.get(before..).unwrap_or_default();
            self.sample += new.len() as u64;
            self.work.hold(bytes_of(new))?;
            // Without other groupers no more than the first ones of all series are wanted.
            if part.metric.groupers.is_empty() && points.len() > 2 * keeps + RANGES {
                let bytes = bytes_of(points);
                points.sort_by(|a, b| compare(order, a, b));
                points.truncate(keeps);
                let freed = bytes - bytes_of(points);
                self.work.release_to(self.work.held().saturating_sub(freed));
            }
            self.door.rest().await;
        }
        for group in part.groups {
            let Some(mut points) = held.remove(&group.values) else { continue };
            points.sort_by(|a, b| compare(order, a, b));
            self.group(part, group, Feed::Held(points.into_iter())).await?;
        }
        Ok(())
    }

    /// The results of one tag group.
    pub(super) async fn group(
        &mut self,
        part: Part<'_>,
        group: &Group,
        feed: Feed<'_>,
    ) -> Result<(), Failure> {
        let held = self.work.held();
        match part.metric.groupers.is_empty() {
            true => self.whole(part, group, feed).await?,
            false => self.split(part, group, feed).await?,
        }
        self.work.release_to(held);
        Ok(())
    }

    /// The next block of raw points (ms); false at the end of the group.
    async fn block(
        &mut self,
        feed: &mut Feed<'_>,
        points: &mut Vec<Point>,
    ) -> Result<bool, Failure> {
        points.clear();
        let more = match feed {
            Feed::Shards(fetch) => {
                let more = fetch.next(points).await?;
                self.sample += points.len() as u64;
                more
            }
            Feed::Held(rest) => {
                points.extend(rest.take(RANGES));
                !points.is_empty()
            }
        };
        points.iter_mut().for_each(|point| point.time = point.time.div_euclid(MS_NS));
        self.door.rest().await;
        Ok(more)
    }

    /// A tag group as one result.
    async fn whole(
        &mut self,
        part: Part<'_>,
        group: &Group,
        mut feed: Feed<'_>,
    ) -> Result<(), Failure> {
        let Part { metric, kind, .. } = part;
        let mut left = metric.limit.unwrap_or(u64::MAX);
        let mut chain = None;
        let mut points = Vec::new();
        while self.block(&mut feed, &mut points).await? {
            let chain = match &mut chain {
                Some(chain) => chain,
                none => {
                    self.open(metric, kind, group, &[]);
                    none.insert(self.chain(metric, &metric.aggregators, kind, group)?)
                }
            };
            points.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= points.len() as u64;
            chain.push(&mut points, &self.work)?;
            self.give(&points).await?;
        }
        if let Some(mut chain) = chain {
            chain.end(&mut points, &self.work)?;
            self.give(&points).await?;
            self.writer.close_result();
        }
        Ok(())
    }

    /// A tag group whose points are told apart; its results are held until it is over.
    async fn split(
        &mut self,
        part: Part<'_>,
        group: &Group,
        mut feed: Feed<'_>,
    ) -> Result<(), Failure> {
        let Part { metric, kind, .. } = part;
        let mut places: FixedMap<Vec<i64>, usize> = FixedMap::default();
        let mut splits: Vec<Split> = Vec::new();
        let mut points = Vec::new();
        while self.block(&mut feed, &mut points).await? {
            for point in points.drain(..) {
                let numbers = numbers(metric, &point, self.query.start);
                let place = match places.get(&numbers) {
                    Some(place) => *place,
                    None => {
                        self.work.hold(GROUP_BYTES)?;
                        let chain = self.chain(metric, &metric.aggregators, kind, group)?;
                        let left = metric.limit.unwrap_or(u64::MAX);
                        let (pending, done) = (Vec::new(), Vec::new());
                        let numbers_of = numbers.clone();
                        splits.push(Split { numbers: numbers_of, chain, left, pending, done });
                        places.insert(numbers, splits.len() - 1);
                        splits.len() - 1
                    }
                };
                if let Some(split) = splits.get_mut(place).filter(|split| split.left > 0) {
                    split.left -= 1;
                    split.pending.push(point);
                }
            }
            for split in splits.iter_mut().filter(|split| !split.pending.is_empty()) {
                split.chain.push(&mut split.pending, &self.work)?;
                split.keep(&self.work)?;
            }
            self.save().await?;
        }
        for mut split in splits {
            split.chain.end(&mut split.pending, &self.work)?;
            split.keep(&self.work)?;
            self.open(metric, kind, group, &split.numbers);
            for points in split.done.chunks(RANGES) {
                self.give(points).await?;
            }
            self.writer.close_result();
        }
        self.save().await
    }
}

impl Split {
    /// Keeps what came out of the chain.
    fn keep(&mut self, work: &Work) -> Result<(), Failure> {
        work.hold(bytes_of(&self.pending))?;
        self.done.append(&mut self.pending);
        Ok(())
    }
}

/// Memory of points.
fn bytes_of(points: &[Point]) -> usize {
    size_of_val(points) + points.iter().map(|point| point.value.heap_bytes()).sum::<usize>()
}
