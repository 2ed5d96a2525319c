//! Copies for subscribers of rows that came in another form than line protocol: telnet, Graphite,
//! pickles, KairosDB's JSON.
//!
//! In: the rows of a request, before they are written. Out: lines, sent on when the rows are
//! durable. A row names its series by an id that only the owner can turn back into a name; so where
//! somebody is subscribed, decoders get an empty series cache, and the keys travel with the rows.
//! Where nobody is, nothing of this is done. Lines are made a slice at a time, and no more of them
//! than a subscriber's queue could hold.

use super::front::Front;
use super::ingest::{IngestError, Stored};
use crate::catalog::State;
use crate::env::Env;
use crate::model::{Batch, Column, ColumnId, SeriesKey, Values, WriteRequest};
use crate::protocol::batcher::Datum;
use crate::protocol::line::print;
use crate::protocol::points::Point;
use crate::protocol::{Outcome, Target};
use crate::route::SeriesCache;
use std::cell::RefMut;

/// Rows made into lines between two turns of other tasks, well under 0.5 ms.
const SLICE_ROWS: usize = 512;

/// Lines that wait for their rows to be durable.
pub struct Copies {
    target: Target,
    lines: Vec<u8>,
    points: u64,
    /// There are more lines than a queue holds.
    overflowed: bool,
}

impl<E: Env> Front<E> {
    /// The series cache for decoding rows of a target.
    pub(super) fn series_cache(&self, target: Target) -> RefMut<'_, SeriesCache> {
        let copied = self.outlets.wanted(&self.cluster, &self.server.facts, target);
        if copied { self.no_series.borrow_mut() } else { self.cache.borrow_mut() }
    }

    /// Makes rows durable, however long it takes, and sends copies of them on. For doors that
    /// decode with `series_cache`.
    pub(super) async fn write_and_copy(&self, outcome: Outcome) -> Result<Stored, IngestError> {
        let copies = self.copies(&outcome).await;
        let stored = self.write_all(outcome).await?;
        self.send_copies(copies);
        Ok(stored)
    }

    /// The lines of rows that are about to be written; `None` when nobody is subscribed.
    async fn copies(&self, outcome: &Outcome) -> Option<Copies> {
        let target = outcome.target;
        if !self.outlets.wanted(&self.cluster, &self.server.facts, target) {
            return None;
        }
        let mut copies = Copies { target, lines: Vec::new(), points: 0, overflowed: false };
        let room = self.outlets.room(&self.server.facts);
        for write in &outcome.writes {
            for batch in &write.request.batches {
                let mut from = 0;
                while from < batch.rows() {
                    let to = batch.rows().min(from + SLICE_ROWS);
                    copies.add(&self.cluster.catalog(), &write.request, batch, from..to);
                    if copies.lines.len() > room {
                        copies.overflowed = true;
                        copies.lines = Vec::new();
                        return Some(copies);
                    }
                    from = to;
                    self.env.yield_now().await;
                }
            }
        }
        Some(copies)
    }

    /// Sends lines whose rows are durable.
    fn send_copies(&self, copies: Option<Copies>) {
        let Some(Copies { target, lines, points, overflowed }) = copies else { return };
        if overflowed {
            self.doors().subscriber_dropped.add(1);
            return;
        }
        self.outlets.send(&self.cluster, &self.server.facts, target, (lines, points));
    }
}

impl Copies {
    /// Adds rows. One whose series is known by its id alone came before somebody subscribed.
    fn add(
        &mut self,
        catalog: &State,
        request: &WriteRequest,
        batch: &Batch,
        rows: std::ops::Range<usize>,
    ) {
        let shown = |column: &&Column| column.id != ColumnId::EXPIRE;
        let columns: Vec<(&[u8], &Column)> = batch
            .columns
            .iter()
            .filter(shown)
            .filter_map(|column| Some((catalog.field_name(column.id.field())?, column)))
            .collect();
        for row in rows {
            let key = batch.series.get(row).and_then(|series| series.resolve().err());
            let key = key.and_then(|index| request.new_series.get(index as usize));
            let Some(key) = key.and_then(|new| SeriesKey::from_bytes(&new.key)) else { continue };
            let tags: Vec<_> = key.tags().collect();
            let fields: Vec<_> = columns
                .iter()
                .filter_map(|(name, column)| Some((*name, datum(column, row)?)))
                .collect();
            let Some(time) = batch.times.get(row).copied().filter(|_| !fields.is_empty()) else {
                continue;
            };
            let measurement = key.measurement();
            print::print(
                &Point { measurement, tags: &tags, time, fields: &fields },
                &mut self.lines,
            );
            self.points += 1;
        }
    }
}

/// The value of a row; `None` when it has none.
fn datum(column: &Column, row: usize) -> Option<Datum<'_>> {
    if !column.is_valid(row) {
        return None;
    }
    Some(match &column.values {
        Values::Float(values) => Datum::Float(*values.get(row)?),
        Values::Integer(values) => Datum::Integer(*values.get(row)?),
        Values::Unsigned(values) => Datum::Unsigned(*values.get(row)?),
        Values::Boolean(values) => Datum::Boolean(*values.get(row)?),
        Values::String(values) => Datum::String(values.get(row)),
    })
}
