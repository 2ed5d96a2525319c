//! Points of groups from all shards, merged by time.
//!
//! In: one stream of rows per shard, each by group, then by time. Out: group after group, blocks of
//! points in order: by time, equal times by value, both backwards when the question is descending.
//! Of each shard at most a part and what came at the same instant is held: what lies before the
//! last time of every shard that goes on can be given away.

use super::Failure;
use super::point::{Datum, Point};
use crate::model::FixedMap;
use crate::route::cluster::Scan;
use crate::shard::scan::{Order, Part, Rows, ScanError, Summary};
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

/// Values of a group's tags.
pub type Values = Arc<[Box<[u8]>]>;

/// A shard's answer, part by part.
pub trait Parts {
    /// The next part; `Err` with the outcome at the end.
    fn next(&mut self) -> impl Future<Output = Result<Part, Result<Summary, ScanError>>>;
}

impl Parts for Scan {
    async fn next(&mut self) -> Result<Part, Result<Summary, ScanError>> {
        Scan::next(self).await
    }
}

/// What a shard still has to give.
struct Lane<S> {
    scan: Option<S>,
    /// What came of it and was not looked at.
    waiting: VecDeque<Rows>,
    /// The group whose turn it is.
    group: Option<Values>,
    /// A part of a group whose turn has not come.
    next: Option<Rows>,
    /// Points of the present group, in order.
    points: Vec<Point>,
    /// Those before it were given.
    at: usize,
    /// Whether more of the present group may come.
    open: bool,
}

/// The merged points; times are in ns.
pub struct Fetch<S> {
    lanes: Vec<Lane<S>>,
    order: Order,
    limit: Option<Limit>,
    /// Whether points at one time may come in any order.
    pub by_time_alone: bool,
}

/// Points of each series that count, the first ones.
struct Limit {
    max: u64,
    taken: FixedMap<Arc<[u8]>, u64>,
}

impl<S: Parts> Fetch<S> {
    /// Merges the answers to one request. `limit`: points of each series that are taken.
    pub fn new(scans: Vec<S>, order: Order, limit: Option<u64>) -> Fetch<S> {
        let lane = |scan| Lane {
            scan: Some(scan),
            waiting: VecDeque::new(),
            group: None,
            next: None,
            points: Vec::new(),
            at: 0,
            open: false,
        };
        let limit = limit.map(|max| Limit { max, taken: FixedMap::default() });
        let lanes = scans.into_iter().map(lane).collect();
        Fetch { lanes, order, limit, by_time_alone: false }
    }

    /// Goes on to the next group, in the order of the groups' values.
    ///
    /// # Errors
    /// The failure of a shard.
    pub async fn next_group(&mut self) -> Result<Option<Values>, Failure> {
        for lane in &mut self.lanes {
            lane.points.clear();
            lane.at = 0;
            if lane.next.is_none() {
                lane.next = lane.part().await?;
            }
        }
        let heads = self.lanes.iter().filter_map(|lane| Some(&lane.next.as_ref()?.group));
        let next = match self.order {
            Order::Ascending => heads.min(),
            Order::Descending => heads.max(),
        };
        let Some(next) = next.cloned() else { return Ok(None) };
        if let Some(limit) = &mut self.limit {
            limit.taken.clear();
        }
        for lane in &mut self.lanes {
            lane.open = lane.next.as_ref().is_some_and(|rows| rows.group == next);
            lane.group = Some(next.clone());
            if let Some(rows) = lane.next.take_if(|rows| rows.group == next) {
                lane.append(&rows, self.limit.as_mut());
            }
        }
        Ok(Some(next))
    }

    /// Adds the group's next points to `out`; false when there are no more.
    ///
    /// # Errors
    /// The failure of a shard.
    pub async fn next(&mut self, out: &mut Vec<Point>) -> Result<bool, Failure> {
        loop {
            for lane in &mut self.lanes {
                while lane.open && lane.at >= lane.points.len() {
                    lane.more(self.limit.as_mut()).await?;
                }
            }
            let order = self.order;
            let ends = self.lanes.iter().filter(|lane| lane.open).filter_map(Lane::last);
            let bound = match order {
                Order::Ascending => ends.min(),
                Order::Descending => ends.max(),
            };
            let start = out.len();
            for lane in &mut self.lanes {
                lane.give(bound, order, out);
            }
            if let Some(given) = out.get_mut(start..).filter(|given| !given.is_empty()) {
                let compare = |a: &Point, b: &Point| match (self.by_time_alone, order) {
                    (false, _) => compare(order, a, b),
                    (true, Order::Ascending) => a.time.cmp(&b.time),
                    (true, Order::Descending) => b.time.cmp(&a.time),
                };
                // Each lane's points are in order: the sort finds that and merges them.
                if !given.is_sorted_by(|a, b| compare(a, b).is_le()) {
                    given.sort_by(compare);
                }
                return Ok(true);
            }
            let Some(bound) = bound else { return Ok(false) };
            for lane in &mut self.lanes {
                if lane.open && lane.last() == Some(bound) {
                    lane.more(self.limit.as_mut()).await?;
                }
            }
        }
    }
}

/// The order of points in a result.
pub fn compare(order: Order, a: &Point, b: &Point) -> Ordering {
    let ascending = a.time.cmp(&b.time).then_with(|| a.value.order(&b.value));
    if order == Order::Descending { ascending.reverse() } else { ascending }
}

impl<S: Parts> Lane<S> {
    /// The stream's next rows; `None` at its end.
    async fn part(&mut self) -> Result<Option<Rows>, Failure> {
        loop {
            match self.waiting.pop_front() {
                Some(rows) if !rows.times.is_empty() => return Ok(Some(rows)),
                Some(_) => continue,
                None => {}
            }
            let Some(scan) = &mut self.scan else { return Ok(None) };
            match scan.next().await {
                Ok(Part::Rows(pieces)) => self.waiting.extend(pieces),
                Ok(_) => {}
                Err(Ok(_)) => self.scan = None,
                Err(Err(error)) => {
                    self.scan = None;
                    return Err(error.into());
                }
            }
        }
    }

    /// The group's next rows, or the end of the group.
    async fn more(&mut self, limit: Option<&mut Limit>) -> Result<(), Failure> {
        match self.part().await? {
            None => self.open = false,
            Some(rows) if self.group.as_ref() == Some(&rows.group) => self.append(&rows, limit),
            Some(rows) => {
                self.open = false;
                self.next = Some(rows);
            }
        }
        Ok(())
    }

    /// Takes the points of some rows: one for each value.
    fn append(&mut self, rows: &Rows, mut limit: Option<&mut Limit>) {
        self.points.drain(..self.at.min(self.points.len()));
        self.at = 0;
        for (row, time) in rows.times.iter().enumerate() {
            for column in rows.fields.iter().filter(|column| column.is_valid(row)) {
                if let Some(limit) = &mut limit
                    && !limit.takes(rows, row)
                {
                    continue;
                }
                let value = Datum::stored(&column.values, row);
                self.points.push(Point { time: *time, value });
            }
        }
    }

    fn last(&self) -> Option<i64> {
        self.points.last().map(|point| point.time)
    }

    /// Gives the points before `bound`.
    fn give(&mut self, bound: Option<i64>, order: Order, out: &mut Vec<Point>) {
        let rest = self.points.get(self.at..).unwrap_or_default();
        let count = match (bound, order) {
            (None, _) => rest.len(),
            (Some(bound), Order::Ascending) => rest.partition_point(|point| point.time < bound),
            (Some(bound), Order::Descending) => rest.partition_point(|point| point.time > bound),
        };
        out.extend_from_slice(rest.get(..count).unwrap_or_default());
        self.at += count;
        if self.at >= self.points.len() {
            self.points.clear();
            self.at = 0;
        }
    }
}

impl Limit {
    /// Whether a row's value is among the first ones of its series.
    fn takes(&mut self, rows: &Rows, row: usize) -> bool {
        let place = rows.series_of.get(row).copied().unwrap_or(0) as usize;
        let Some(series) = rows.series.get(place) else { return false };
        if !self.taken.contains_key(series) {
            self.taken.insert(series.clone(), 0);
        }
        let Some(taken) = self.taken.get_mut(series) else { return false };
        *taken += 1;
        *taken <= self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Column, ColumnId, FieldNo, FieldType, Values as Stored};
    use futures_lite::future::block_on;
    use proptest::prelude::*;

    impl Parts for VecDeque<Rows> {
        async fn next(&mut self) -> Result<Part, Result<Summary, ScanError>> {
            let pieces: Vec<Rows> = self.drain(..self.len().min(3)).collect();
            if pieces.is_empty() { Err(Ok(Summary::default())) } else { Ok(Part::Rows(pieces)) }
        }
    }

    /// A row of the model: group, time, series, value.
    type Row = (u8, i64, u8, i64);

    fn part(rows: &[Row]) -> Rows {
        let group: Box<[u8]> = [rows[0].0].into();
        let id = ColumnId::new(FieldNo(1), FieldType::Integer);
        let values = Stored::Integer(rows.iter().map(|row| row.3).collect());
        Rows {
            group: vec![group].into(),
            series: (0..=u8::MAX).map(|series| Arc::from([series])).collect(),
            series_of: rows.iter().map(|row| u32::from(row.2)).collect(),
            times: rows.iter().map(|row| row.1).collect(),
            fields: vec![Column { id, values, validity: None }],
        }
    }

    fn sort(rows: &mut [Row], order: Order, key: impl Fn(&Row) -> (u8, i64, i64)) {
        match order {
            Order::Ascending => rows.sort_by_key(key),
            Order::Descending => rows.sort_by_key(|row| std::cmp::Reverse(key(row))),
        }
    }

    fn fetched(mut fetch: Fetch<VecDeque<Rows>>) -> Vec<(u8, i64, i64)> {
        let mut out = Vec::new();
        block_on(async {
            while let Some(group) = fetch.next_group().await.unwrap() {
                let mut points = Vec::new();
                while fetch.next(&mut points).await.unwrap() {}
                for point in points {
                    let Datum::Long(value) = point.value else { panic!("longs stay longs") };
                    out.push((group[0][0], point.time, value));
                }
            }
        });
        out
    }

    proptest! {
        #[test]
        fn all_points_come_by_group_time_and_value(
            rows in proptest::collection::vec((0..3u8, 0..12i64, 0..6u8, 0..5i64), 0..80),
            cuts in proptest::collection::vec(1..6usize, 1..20),
            descending in any::<bool>(),
            limit in proptest::option::of(1..5u64),
        ) {
            let order = if descending { Order::Descending } else { Order::Ascending };
            // A series has one row at a time, and lives on one shard.
            let mut rows = rows;
            rows.sort_by_key(|row| (row.0, row.2, row.1));
            rows.dedup_by_key(|row| (row.0, row.2, row.1));
            let mut cuts = cuts.iter().cycle();
            let lanes = (0..3u8).map(|shard| {
                let mut mine: Vec<Row> =
                    rows.iter().filter(|row| row.2 % 3 == shard).copied().collect();
                sort(&mut mine, order, |row| (row.0, row.1, i64::from(row.2)));
                let mut parts = VecDeque::new();
                for group in mine.chunk_by(|a, b| a.0 == b.0) {
                    let mut rest = group;
                    while !rest.is_empty() {
                        let (some, more) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                        parts.push_back(part(some));
                        rest = more;
                    }
                }
                parts
            });
            let found = fetched(Fetch::new(lanes.collect(), order, limit));
            let mut expected = rows.clone();
            sort(&mut expected, order, |row| (row.0, row.1, row.3));
            if let Some(limit) = limit {
                let mut seen: std::collections::BTreeMap<(u8, u8), u64> = Default::default();
                let mut by_series = expected;
                sort(&mut by_series, order, |row| (row.0, row.1, i64::from(row.2)));
                by_series.retain(|row| {
                    let taken = seen.entry((row.0, row.2)).or_default();
                    *taken += 1;
                    *taken <= limit
                });
                sort(&mut by_series, order, |row| (row.0, row.1, row.3));
                expected = by_series;
            }
            let expected: Vec<_> = expected.iter().map(|row| (row.0, row.1, row.3)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
