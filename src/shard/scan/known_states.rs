//! Aggregates of whole chunks, from their statistics.
//!
//! In: a chunk that stands alone (`known`), the states of a batch. Out: whether the chunk may be
//! passed over; what its rows add has been added then.

use super::ScanError;
use super::aggregate::{Run, Table};
use super::known::{Chunk, Condition, Judge};
use super::plan::Batch;
use crate::env::Env;
use crate::model::{ColumnId, SeriesId, TimeRange};
use crate::shard::segment::Sieve;

/// Answers chunks by their statistics: those that lie in one group and one bucket, with a value in
/// every row, so that their times are those of the values.
pub struct Known<'a, 'p, E: Env, C: Fn() -> bool> {
    pub run: &'a Run<'p, E, C>,
    pub condition: &'a Condition<'a, E>,
    /// Of each aggregate; `None`: statistics do not answer all of them.
    pub columns: &'a Option<Vec<ColumnId>>,
    /// The times that are read.
    pub range: TimeRange,
    pub batch: &'a Batch,
    pub table: &'a mut Table,
}

impl<E: Env, C: Fn() -> bool> Judge<E> for Known<'_, '_, E, C> {
    async fn passes_over(&mut self, chunk: &Chunk<E>) -> Result<bool, ScanError> {
        if self.condition.refuse(chunk).await? {
            return Ok(true);
        }
        let Some(columns) = self.columns else { return Ok(false) };
        let Some((slot, group)) = self.slot(chunk) else { return Ok(false) };
        if !self.run.aggregates.iter().all(|one| one.range.covers(chunk.info.time)) {
            return Ok(false);
        }
        let mut known = Vec::with_capacity(columns.len());
        for (column, accumulator) in columns.iter().zip(&self.table.accumulators) {
            let stats = chunk.statistics(*column).await?;
            if let Some(stats) = &stats
                && (stats.count != chunk.info.rows
                    || !accumulator.knows(slot, stats, chunk.info.time))
            {
                return Ok(false);
            }
            known.push(stats);
        }
        let here = |series: &SeriesId| self.group(*series) == Some(group);
        if !chunk.series().await?.iter().all(here) {
            return Ok(false);
        }
        for (stats, accumulator) in known.iter().zip(&mut self.table.accumulators) {
            stats.iter().for_each(|stats| accumulator.add_known(slot, stats));
        }
        if let Some(times) = self.table.times.get_mut(group)
            && known.iter().any(Option::is_some)
        {
            times.first = times.first.min(chunk.info.time.first);
            times.last = times.last.max(chunk.info.time.last);
        }
        Ok(true)
    }

    fn sieve(&self) -> Option<&dyn Sieve> {
        self.condition.sieve()
    }
}

impl<E: Env, C: Fn() -> bool> Known<'_, '_, E, C> {
    fn group(&self, series: SeriesId) -> Option<usize> {
        self.batch.find(series, &mut 0).map(|(_, group)| group as usize)
    }

    /// The place of a chunk's rows and their group, if it is one, as far as its ends tell.
    fn slot(&self, chunk: &Chunk<E>) -> Option<(usize, usize)> {
        let info = &chunk.info;
        let one = info.first.0 == info.last.0 && self.range.covers(info.time);
        let buckets = self.run.buckets.number(info.time.first).filter(|_| one)?;
        let bucket = self.run.buckets.number(info.time.last).filter(|last| *last == buckets)?;
        let group = self.group(info.first.1)?;
        self.group(info.last.1).filter(|last| *last == group)?;
        let place = usize::try_from(bucket.wrapping_sub(self.table.first_bucket)).ok()?;
        Some((group * self.table.width + place, group))
    }
}
