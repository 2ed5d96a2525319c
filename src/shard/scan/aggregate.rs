//! Aggregates of groups: batches of groups in output order, each over all stretches of time.
//!
//! In: a plan. Out: one `Group` for each group with a row, in parts of some thousand states. Time
//! always runs forward here; a descending question only turns the order of the groups. Memory is
//! groups x buckets x state, bounded by the request's limit; a batch reads only its own series.

use super::accumulate::{Accumulator, RowsOf, Slice};
use super::buckets::cut;
use super::expr::value_at;
use super::few::ByGroup;
use super::fields::resolve;
use super::guard::Guard;
use super::known::{Condition, plain_column};
use super::known_states::Known;
use super::partial::{Group, Part, ScanError, States};
use super::plan::{Batch, Plan};
use super::read::{Stream, Stretch, Wanted};
use super::request::{Aggregate, Aux, Buckets, Function};
use super::rowset::Used;
use crate::env::Env;
use crate::model::{Column, ColumnId, FieldType, SeriesId, TimeRange, Value};
use crate::shard::block::Block;
use std::borrow::Cow;
use std::sync::Arc;

/// Bytes of states that a batch aims at, if the request allows as much.
const BATCH_BYTES: usize = 64 << 20;
/// States sent in one part.
const PART_STATES: usize = 16_384;
/// Bytes a shipped value takes.
const SAMPLE_BYTES: f64 = 44.0;

/// An aggregate question under way.
pub struct Run<'p, E: Env, C: Fn() -> bool> {
    pub plan: &'p Plan<'p, E>,
    pub guard: &'p Guard<'p, E, C>,
    pub buckets: &'p Buckets,
    pub aggregates: &'p [Aggregate],
    pub used: Option<Used>,
}

/// The states of a batch.
pub struct Table {
    pub first_bucket: i64,
    /// Buckets of a group.
    pub width: usize,
    pub accumulators: Vec<Accumulator>,
    /// By group: first and last time of a row that took part.
    pub times: Vec<TimeRange>,
}

impl Table {
    /// Whether some selector has no point of a group yet, of all time at once.
    fn lacks(&self, group: usize) -> bool {
        self.accumulators.iter().any(|one| one.lacks(group))
    }
}

/// Parts of a range from its first or last instant on, each some times as long as the one before.
fn pieces(range: TimeRange, end: Function) -> Vec<TimeRange> {
    let len = range.last.abs_diff(range.first);
    let mut cuts: Vec<u64> = [64, 16, 4].iter().map(|part| len / part).collect();
    cuts.retain(|cut| *cut > 0 && *cut < len);
    cuts.push(len);
    let mut out = Vec::new();
    let mut done = None;
    for cut in cuts {
        // `cut` nanoseconds from that end belong to this part, those up to `done` came before.
        let near = done.map_or(0, |done: u64| done + 1);
        out.push(match end {
            Function::First | Function::FirstLeast => TimeRange::new(
                range.first.saturating_add_unsigned(near),
                range.first.saturating_add_unsigned(cut),
            ),
            _ => TimeRange::new(
                range.last.saturating_sub_unsigned(cut),
                range.last.saturating_sub_unsigned(near),
            ),
        });
        done = Some(cut);
    }
    out.retain(|part| !part.is_empty());
    out
}

impl<E: Env, C: Fn() -> bool> Run<'_, E, C> {
    /// Answers the question part by part.
    pub async fn run(&self, emit: &impl AsyncFn(Part) -> bool) -> Result<(), ScanError> {
        let Some((first, last)) = self.plan.bounds().and_then(|range| self.buckets.span(range))
        else {
            return Ok(());
        };
        let stretches = self.plan.stretches();
        let mut start = 0;
        while start < self.plan.groups() {
            let end = self.batch_end(start, (first, last), &stretches)?;
            let batch = self.plan.batch(start..end);
            self.guard.check().await?;
            let mut table = self.table(&batch, (first, last)).await?;
            self.read_all(&stretches, &batch, &mut table).await?;
            self.send(&batch, table, emit).await?;
            start = end;
        }
        Ok(())
    }

    /// How many groups from `start` on fit into the memory of a batch.
    fn batch_end(
        &self,
        start: usize,
        (first, last): (i64, i64),
        stretches: &[Stretch<E>],
    ) -> Result<usize, ScanError> {
        let limit = self.plan.request.memory_bytes;
        let each: usize = self.aggregates.iter().map(|a| States::bytes_each(a.function)).sum();
        let width = usize::try_from(last.abs_diff(first)).unwrap_or(usize::MAX).saturating_add(1);
        let group_bytes = width.saturating_mul(each.max(1));
        if group_bytes > limit {
            return Err(ScanError::Memory { limit });
        }
        let ships = self.aggregates.iter().filter(|a| a.function == Function::Values).count();
        let row_bytes = SAMPLE_BYTES * ships as f64;
        let room = limit.min(BATCH_BYTES);
        let mut end = start + 1;
        // Twice as many groups each time, until they are too many.
        while end < self.plan.groups() {
            let next = (start + 2 * (end - start)).min(self.plan.groups());
            let series = self.plan.series_in(&(start..next));
            let values = if ships > 0 { self.plan.estimate(stretches, series) } else { 0.0 };
            let bytes = (group_bytes * (next - start)) as f64 + values * row_bytes;
            if bytes > room as f64 {
                break;
            }
            end = next;
        }
        Ok(end)
    }

    async fn table(&self, batch: &Batch, (first, last): (i64, i64)) -> Result<Table, ScanError> {
        let width = last.abs_diff(first) as usize + 1;
        let slots = width * batch.groups.len();
        let times = vec![TimeRange::new(i64::MAX, i64::MIN); batch.groups.len()];
        let mut table = Table { first_bucket: first, width, accumulators: Vec::new(), times };
        for aggregate in self.aggregates {
            let field = self.plan.request.fields.get(aggregate.field);
            let kind = field.map_or(FieldType::Float, |field| field.kind);
            let series = batch.series.len();
            table.accumulators.push(Accumulator::new(aggregate.function, kind, slots, series));
            self.guard.check().await?;
        }
        Ok(table)
    }

    async fn read_all(
        &self,
        stretches: &[Stretch<E>],
        batch: &Batch,
        table: &mut Table,
    ) -> Result<(), ScanError> {
        let Some(end) = self.only_end() else {
            for stretch in stretches {
                self.read(stretch, stretch.range, batch, &batch.wanted, table).await?;
            }
            return Ok(());
        };
        // From that end of time on, until every group has its point: what comes later cannot win.
        let ordered: Vec<&Stretch<E>> = match end {
            Function::First | Function::FirstLeast => stretches.iter().collect(),
            _ => stretches.iter().rev().collect(),
        };
        let mut wanted = batch.wanted.clone();
        for stretch in ordered {
            for range in pieces(stretch.range, end) {
                self.read(stretch, range, batch, &wanted, table).await?;
                let lacks = |group: u32| table.lacks(group as usize);
                let open = batch.series.iter().filter(|(_, group)| lacks(*group));
                let open: Vec<SeriesId> = open.map(|(id, _)| *id).collect();
                if open.is_empty() {
                    return Ok(());
                }
                if open.len() < batch.series.len() {
                    wanted.series = Some(open.into());
                }
            }
        }
        Ok(())
    }

    /// First or last when nothing but that is asked, of all time at once, of any fields.
    fn only_end(&self) -> Option<Function> {
        let first = self.aggregates.first()?;
        let ends =
            matches!(first.function, Function::First | Function::FirstLeast | Function::Last);
        let alike = |one: &Aggregate| (one.function, one.range) == (first.function, first.range);
        let alone = *self.buckets == Buckets::One && self.aggregates.iter().all(alike);
        (ends && alone).then_some(first.function)
    }

    async fn read(
        &self,
        stretch: &Stretch<E>,
        range: TimeRange,
        batch: &Batch,
        wanted: &Wanted,
        table: &mut Table,
    ) -> Result<(), ScanError> {
        self.guard.check().await?;
        let Some(partition) = self.plan.partitions.get(stretch.partition) else { return Ok(()) };
        let mut stream = Stream::open(self.guard, partition, stretch, range, wanted).await?;
        let mut slices = Vec::new();
        let condition = Condition::new(self.plan, batch, self.used.as_ref());
        let columns = self.plain_columns();
        loop {
            let mut judge =
                Known { run: self, condition: &condition, columns: &columns, range, batch, table };
            let Some(mut block) = stream.next(self.guard, &mut judge).await? else { break };
            note(self.guard, &block);
            self.plan.filter(&mut block, batch, self.used.as_ref());
            self.add(&block, batch, table, &mut slices).await?;
            let held: usize = table.accumulators.iter().map(|one| one.bytes).sum();
            if held > self.plan.request.memory_bytes {
                return Err(ScanError::Memory { limit: self.plan.request.memory_bytes });
            }
            self.guard.check().await?;
        }
        Ok(())
    }

    /// The column of each aggregate, where statistics may answer all of them.
    fn plain_columns(&self) -> Option<Vec<ColumnId>> {
        let request = self.plan.request;
        if request.filter.is_some() {
            return None;
        }
        let column = |aggregate: &Aggregate| {
            let field = request.fields.get(aggregate.field)?;
            let whole = !matches!(field.kind, FieldType::Float | FieldType::String);
            let answers = match aggregate.function {
                Function::Count | Function::Spread => true,
                Function::Sum => whole,
                Function::Min | Function::Max => true,
                Function::First | Function::FirstLeast | Function::Last => true,
                _ => false,
            };
            plain_column(field).filter(|_| answers)
        };
        self.aggregates.iter().map(column).collect()
    }

    /// Adds the rows of a Block, all of whose series are in the batch, one aggregate after the
    /// other. Tasks of the core have turns in between.
    async fn add(
        &self,
        block: &Block,
        batch: &Batch,
        table: &mut Table,
        slices: &mut Vec<Slice>,
    ) -> Result<(), ScanError> {
        slices.clear();
        let mut hint = 0;
        for run in &block.runs {
            let Some((series, group)) = batch.find(run.series, &mut hint) else { continue };
            let times = block.times.get(run.range()).unwrap_or(&[]);
            let start = run.start as usize;
            let base = group as usize * table.width;
            cut(self.buckets, times, run.step, |bucket, rows| {
                let slot = base + bucket.wrapping_sub(table.first_bucket) as usize;
                let rows = start + rows.start..start + rows.end;
                slices.push(Slice { slot, series, rows });
            });
        }
        let fields = &self.plan.request.fields;
        let columns: Vec<Option<Cow<'_, Column>>> =
            fields.iter().map(|field| resolve(block, field)).collect();
        let column = |at: usize| columns.get(at).and_then(Option::as_deref);
        for (aggregate, accumulator) in self.aggregates.iter().zip(&mut table.accumulators) {
            let Some(values) = column(aggregate.field) else { continue };
            self.guard.check().await?;
            let aux = |row: usize| self.aux(aggregate, block, row, &column);
            let key = |row: usize| self.key(block, row);
            let rows = RowsOf { times: &block.times, aux: &aux, key: &key };
            match inside(slices, &block.times, aggregate.range) {
                Some(some) => accumulator.update(&some, values, &rows),
                None => accumulator.update(slices, values, &rows),
            }
        }
        let mut known = Vec::new();
        for aggregate in self.aggregates {
            if known.contains(&aggregate.field) {
                continue;
            }
            known.push(aggregate.field);
            let Some(values) = column(aggregate.field) else { continue };
            for slice in slices.iter() {
                let group = slice.slot / table.width;
                if let Some(times) = table.times.get_mut(group) {
                    note_times(times, &block.times, values, slice);
                }
            }
        }
        Ok(())
    }

    /// Canonical key of a row's series.
    fn key(&self, block: &Block, row: usize) -> Arc<[u8]> {
        let mut key = Vec::new();
        if let Some(series) = series_at(block, row) {
            self.plan.shard.index().write_key(series, &mut key);
        }
        key.into()
    }

    /// What travels with a selected row.
    fn aux<'c>(
        &self,
        aggregate: &Aggregate,
        block: &Block,
        row: usize,
        column: &impl Fn(usize) -> Option<&'c Column>,
    ) -> Vec<Option<Value>> {
        let value = |aux: &Aux| match aux {
            Aux::Field(at) => {
                let column = column(*at).filter(|column| column.is_valid(row))?;
                value_at(&column.values, row)
            }
            Aux::Tag(at) => self.plan.tag(series_at(block, row)?, *at),
        };
        aggregate.aux.iter().map(value).collect()
    }

    /// The values of each aggregate by group, where they are few; empty where none has few.
    fn few(&self, batch: &Batch, table: &mut Table) -> Vec<Option<ByGroup>> {
        // What one batch met says nothing about the scan unless there is no other.
        if batch.groups != (0..self.plan.groups()) {
            return Vec::new();
        }
        let key = |series: SeriesId| {
            let mut key = Vec::new();
            self.plan.shard.index().write_key(series, &mut key);
            Arc::from(key)
        };
        let notes = table.accumulators.iter_mut().map(Accumulator::notes);
        let few: Vec<_> = notes.map(|one| one.by_group(&batch.series, key)).collect();
        if few.iter().all(Option::is_none) { Vec::new() } else { few }
    }

    async fn send(
        &self,
        batch: &Batch,
        table: Table,
        emit: &impl AsyncFn(Part) -> bool,
    ) -> Result<(), ScanError> {
        let (first, width) = (table.first_bucket, table.width);
        let mut table = table;
        let mut few = self.few(batch, &mut table);
        let mut all: Vec<States> =
            table.accumulators.into_iter().map(Accumulator::finish).collect();
        let mut groups = Vec::new();
        let mut held = 0;
        for (local, times) in table.times.iter().enumerate() {
            let Some((from, to)) = (!times.is_empty()).then(|| self.buckets.span(*times)).flatten()
            else {
                continue;
            };
            self.guard.check().await?;
            let base = local * width;
            let places = base + from.wrapping_sub(first) as usize;
            let places = places..base + to.wrapping_sub(first) as usize + 1;
            held += places.len() * all.len();
            let mut states: Vec<States> =
                all.iter_mut().map(|states| states.take(places.clone())).collect();
            for (states, aggregate) in states.iter_mut().zip(self.aggregates) {
                match states {
                    States::Samples(all) => {
                        for one in all {
                            self.guard.note_work(one.times.len());
                            one.sort(aggregate.function == Function::Distinct);
                            self.guard.check().await?;
                        }
                    }
                    States::Kept(all) => {
                        for one in all {
                            self.guard.note_work(one.points.len());
                            one.settle(aggregate.function);
                            self.guard.check().await?;
                        }
                    }
                    _ => {}
                }
            }
            groups.push(Group {
                values: self.plan.group(batch.groups.start + local),
                first_bucket: from,
                states,
                few: few.iter_mut().map(|one| Some(one.as_mut()?.take(local))).collect(),
                first_time: times.first,
                last_time: times.last,
            });
            if held >= PART_STATES {
                held = 0;
                send(self.guard, emit, Part::Groups(std::mem::take(&mut groups))).await?;
            }
        }
        if !groups.is_empty() {
            send(self.guard, emit, Part::Groups(groups)).await?;
        }
        Ok(())
    }
}

/// Gives a part to the asker.
pub async fn send<E: Env, C: Fn() -> bool>(
    guard: &Guard<'_, E, C>,
    emit: &impl AsyncFn(Part) -> bool,
    part: Part,
) -> Result<(), ScanError> {
    let taken = guard.wait(emit(part)).await;
    guard.check().await?;
    if taken { Ok(()) } else { Err(ScanError::Cancelled) }
}

/// Counts a Block that was read.
pub fn note<E: Env, C: Fn() -> bool>(guard: &Guard<'_, E, C>, block: &Block) {
    let columns: usize = block.columns.iter().map(|column| column.values.bytes()).sum();
    guard.note_work(block.rows());
    guard.note(|summary| {
        summary.rows += block.rows() as u64;
        summary.blocks += 1;
        summary.bytes += (8 * block.rows() + columns) as u64;
    });
}

/// The series of a row.
fn series_at(block: &Block, row: usize) -> Option<SeriesId> {
    let at = block.runs.partition_point(|run| run.range().end <= row);
    block.runs.get(at).map(|run| run.series)
}

/// The parts of slices that lie in a range; `None`: all of them do.
pub fn inside(slices: &[Slice], times: &[i64], range: TimeRange) -> Option<Vec<Slice>> {
    if range == TimeRange::ALL {
        return None;
    }
    let part = |slice: &Slice| {
        let some = times.get(slice.rows.clone()).unwrap_or(&[]);
        let first = slice.rows.start + some.partition_point(|time| *time < range.first);
        let end = slice.rows.start + some.partition_point(|time| *time <= range.last);
        (first < end).then(|| Slice { rows: first..end, ..slice.clone() })
    };
    Some(slices.iter().filter_map(part).collect())
}

/// Widens `range` to the rows of a slice that have a value.
fn note_times(range: &mut TimeRange, times: &[i64], column: &Column, slice: &Slice) {
    let mut valid = slice.rows.clone().filter(|row| column.is_valid(*row));
    let Some(first) = valid.next() else { return };
    let last = valid.next_back().unwrap_or(first);
    if let (Some(first), Some(last)) = (times.get(first), times.get(last)) {
        range.first = range.first.min(*first);
        range.last = range.last.max(*last);
    }
}
