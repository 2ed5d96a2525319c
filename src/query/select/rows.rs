//! Merges the rows of all shards and subqueries: by group, then by time, then by series.
//!
//! In: one stream of parts per shard, each in that order. Out: parts in that order, each of one
//! group. Where one shard's rows come before all others', they are taken as a stretch, so a shard
//! that is alone passes through without being looked at row by row.

use super::super::QueryError;
use crate::model::series_key;
use crate::route::cluster::Scan;
use crate::shard::scan::{Order, Part, Rows};
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows given at once.
const ROWS_MAX: usize = 4096;

/// One shard's stream, or the rows of a subquery.
struct Lane {
    /// Of rows of one time those of a lower rank come first.
    rank: usize,
    scan: Option<Scan>,
    /// Rows that are here and come before those of the scan.
    held: VecDeque<Rows>,
    head: Option<(Rows, usize)>,
}

/// The merged stream.
pub struct RowMerge {
    lanes: Vec<Lane>,
    order: Order,
}

impl RowMerge {
    /// Merges answers to questions for the same columns; none yet.
    pub fn new(order: Order) -> RowMerge {
        RowMerge { lanes: Vec::new(), order }
    }

    /// Adds a shard's answer.
    pub fn add(&mut self, rank: usize, scan: Scan) {
        self.lanes.push(Lane { rank, scan: Some(scan), held: VecDeque::new(), head: None });
    }

    /// Adds rows that are here, in output order.
    pub fn add_held(&mut self, rank: usize, rows: Vec<Rows>) {
        self.lanes.push(Lane { rank, scan: None, held: rows.into(), head: None });
    }

    /// The next rows of one group; `None` at the end.
    ///
    /// # Errors
    /// The failure of a shard.
    pub async fn next(&mut self) -> Result<Option<Rows>, QueryError> {
        let mut out: Option<Rows> = None;
        loop {
            for lane in &mut self.lanes {
                lane.fill().await?;
            }
            let Some((at, end)) = self.stretch() else { return Ok(out) };
            let Some(lane) = self.lanes.get_mut(at) else { return Ok(out) };
            let Some((rows, start)) = lane.head.take() else { return Ok(out) };
            if out.as_ref().is_some_and(|out| out.group != rows.group) {
                lane.head = Some((rows, start));
                return Ok(out);
            }
            let len = rows.times.len();
            match &mut out {
                None if start == 0 && end == len => out = Some(rows),
                None => {
                    let mut begun = empty_like(&rows);
                    append(&mut begun, &rows, start, end);
                    out = Some(begun);
                    lane.keep(rows, end);
                }
                Some(out) => {
                    append(out, &rows, start, end);
                    lane.keep(rows, end);
                }
            }
            if out.as_ref().is_some_and(|out| out.times.len() >= ROWS_MAX) {
                return Ok(out);
            }
        }
    }

    /// The lane whose rows come next, and up to which row nothing else comes between.
    fn stretch(&self) -> Option<(usize, usize)> {
        let mut first: Option<(usize, Spot<'_>)> = None;
        let mut second: Option<Spot<'_>> = None;
        for (at, lane) in self.lanes.iter().enumerate() {
            let Some((rows, row)) = &lane.head else { continue };
            let spot = Spot { rank: lane.rank, rows, row: *row };
            match first {
                Some((_, best)) if best.compare(&spot, self.order).is_le() => {
                    let nearer = |other: Spot<'_>| spot.compare(&other, self.order).is_lt();
                    if second.is_none_or(nearer) {
                        second = Some(spot);
                    }
                }
                _ => {
                    second = first.map(|(_, spot)| spot);
                    first = Some((at, spot));
                }
            }
        }
        let (at, spot) = first?;
        let (start, len) = (spot.row, spot.rows.times.len());
        let Some(other) = second else { return Some((at, len)) };
        let before = |row: usize| Spot { row, ..spot }.compare(&other, self.order).is_le();
        if before(len - 1) {
            return Some((at, len));
        }
        // The first row is before; the rest is ordered, so the border is found by halving.
        let (mut low, mut high) = (start + 1, len);
        while low < high {
            let middle = low.midpoint(high);
            if before(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Some((at, low))
    }
}

impl Lane {
    /// Waits for rows, unless there are some or the stream ended.
    async fn fill(&mut self) -> Result<(), QueryError> {
        while self.head.is_none() {
            if let Some(rows) = self.held.pop_front() {
                self.head = (!rows.times.is_empty()).then_some((rows, 0));
                continue;
            }
            let Some(scan) = &mut self.scan else { return Ok(()) };
            match scan.next().await {
                Ok(Part::Rows(pieces)) => self.held.extend(pieces),
                Ok(_) => {}
                Err(Ok(_)) => self.scan = None,
                Err(Err(error)) => {
                    self.scan = None;
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, rows: Rows, from: usize) {
        if from < rows.times.len() {
            self.head = Some((rows, from));
        }
    }
}

/// A row of a lane.
#[derive(Clone, Copy)]
struct Spot<'r> {
    rank: usize,
    rows: &'r Rows,
    row: usize,
}

impl Spot<'_> {
    fn compare(&self, other: &Spot<'_>, order: Order) -> Ordering {
        let turned = |found: Ordering| match order {
            Order::Descending => found.reverse(),
            Order::Ascending => found,
        };
        let ends = self.rows.group.cmp(&other.rows.group);
        let ends = turned(ends.then_with(|| self.time().cmp(&other.time())));
        let keys = || turned(series_key::compare(self.key(), other.key()));
        ends.then(self.rank.cmp(&other.rank)).then_with(keys)
    }

    fn time(&self) -> i64 {
        self.rows.times.get(self.row).copied().unwrap_or(i64::MAX)
    }

    fn key(&self) -> &[u8] {
        let place = self.rows.series_of.get(self.row);
        let key = place.and_then(|place| self.rows.series.get(*place as usize));
        key.map_or(&[], |key| key)
    }
}

fn empty_like(rows: &Rows) -> Rows {
    let column = |column: &crate::model::Column| crate::model::Column {
        id: column.id,
        values: crate::model::Values::empty(column.values.kind()),
        validity: None,
    };
    Rows {
        group: rows.group.clone(),
        series: Vec::new(),
        series_of: Vec::new(),
        times: Vec::new(),
        fields: rows.fields.iter().map(column).collect(),
    }
}

/// Appends rows `start..end` of `from`.
fn append(into: &mut Rows, from: &Rows, start: usize, end: usize) {
    let mut known: Vec<Option<u32>> = vec![None; from.series.len()];
    for at in from.series_of.get(start..end).unwrap_or_default() {
        let Some(slot) = known.get_mut(*at as usize) else { continue };
        let place = *slot.get_or_insert_with(|| {
            let series = from.series.get(*at as usize).cloned().unwrap_or_else(|| Arc::from([]));
            // A series lives on one shard; only that shard's previous stretch can have brought it.
            let known = into.series.iter().rposition(|known| Arc::ptr_eq(known, &series));
            known.unwrap_or_else(|| {
                into.series.push(series);
                into.series.len() - 1
            }) as u32
        });
        into.series_of.push(place);
    }
    into.times.extend_from_slice(from.times.get(start..end).unwrap_or_default());
    for (into, from) in into.fields.iter_mut().zip(&from.fields) {
        into.append(from, start..end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Column, ColumnId, FieldNo, FieldType, Values};
    use futures_lite::future::block_on;
    use proptest::prelude::*;

    /// (time, series): a series lives on one shard, so its number names the lane as well.
    fn part(rows: &[(i64, u8)]) -> Rows {
        let keys: Vec<Arc<[u8]>> = (0..=u8::MAX).map(|n| Arc::from([n])).collect();
        let values = rows.iter().map(|(at, n)| at * 256 + i64::from(*n)).collect();
        let id = ColumnId::new(FieldNo(1), FieldType::Integer);
        Rows {
            group: Vec::new().into(),
            series: keys,
            series_of: rows.iter().map(|(_, n)| u32::from(*n)).collect(),
            times: rows.iter().map(|(at, _)| *at).collect(),
            fields: vec![Column { id, values: Values::Integer(values), validity: None }],
        }
    }

    fn merged(lanes: &[Vec<(i64, u8)>], order: Order) -> Vec<(i64, u8)> {
        let lane = |rows: &Vec<(i64, u8)>| Lane {
            rank: 0,
            scan: None,
            held: rows.chunks(7).map(part).collect(),
            head: None,
        };
        let mut merge = RowMerge { lanes: lanes.iter().map(lane).collect(), order };
        let mut out = Vec::new();
        while let Some(rows) = block_on(merge.next()).unwrap() {
            let Values::Integer(values) = &rows.fields[0].values else { panic!() };
            for (row, at) in rows.times.iter().enumerate() {
                let series = rows.series[rows.series_of[row] as usize][0];
                assert_eq!(values[row], at * 256 + i64::from(series));
                out.push((*at, series));
            }
        }
        out
    }

    proptest! {
        #[test]
        fn rows_of_all_shards_come_in_order(
            rows in prop::collection::btree_set((0i64..40, 0u8..12), 0..200),
            shards in 1usize..5,
            descending in any::<bool>(),
        ) {
            let mut expected: Vec<(i64, u8)> = rows.into_iter().collect();
            let order = if descending { Order::Descending } else { Order::Ascending };
            if descending {
                expected.reverse();
            }
            let lane = |shard: usize| -> Vec<(i64, u8)> {
                let of = |(_, series): &&(i64, u8)| usize::from(*series) % shards == shard;
                expected.iter().filter(of).copied().collect()
            };
            let lanes: Vec<_> = (0..shards).map(lane).collect();
            prop_assert_eq!(merged(&lanes, order), expected);
        }
    }
}
