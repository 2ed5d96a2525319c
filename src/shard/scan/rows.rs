//! Rows of groups, in order, without holding the result.
//!
//! In: a plan. Out: parts of some thousand rows, group after group in output order, within
//! a group by (time, text of the key), backwards when the question is descending.
//! Groups with few rows are worked together, over all time; a group with many is read in *slabs*
//! of time that are sized from the directories and sent one by one.
//! Where the estimate was far too low the slab is read again in smaller pieces; what cannot be cut,
//! the rows of one group at one instant, may take the question's memory and not more. A limit
//! starts with a small slab and doubles; further back only the series of groups that still lack
//! rows are read, until none does.

use super::aggregate::{note, send};
use super::fields::{id_of, resolve};
use super::guard::Guard;
use super::known::Condition;
use super::partial::{Part, Rows, ScanError};
use super::plan::{Batch, Plan};
use super::read::{Stream, Stretch, Wanted};
use super::request::Order;
use super::rowset::Used;
use crate::env::Env;
use crate::model::{Column, FieldType, FixedMap, SeriesId, TimeRange, Values, series_key};
use crate::shard::block::Block;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes of rows that a slab aims at.
const SLAB_BYTES: f64 = 8e6;
/// A slab this many times over its aim is read again in pieces.
const SLAB_EXCESS: usize = 4;
/// Rows in a part.
const PART_ROWS: usize = 4096;
/// Values in a piece of a part: whoever prints one is busy for so long at a stretch.
const PIECE_VALUES: usize = 16_384;
/// What a piece of a part counts beside its rows: making it is as much work as so many rows.
const PIECE_ROWS: usize = 8;
/// Rows that the first slab of a question with a limit aims at, at least.
const FIRST_ROWS: f64 = 4096.0;
/// Groups of a batch.
const BATCH_GROUPS: usize = 1 << 16;

/// A question for rows under way.
pub struct Run<'p, E: Env, C: Fn() -> bool> {
    pub plan: &'p Plan<'p, E>,
    pub guard: &'p Guard<'p, E, C>,
    pub visible: usize,
    pub limit: Option<u64>,
    pub used: Option<Used>,
}

/// A row of a slab.
#[derive(Clone, Copy, Debug)]
struct Place {
    time: i64,
    /// Number of the series in the batch.
    series: u32,
    block: u32,
    row: u32,
}

/// Rows read and not sent yet.
struct Slab {
    /// Fields of the rows, by Block.
    blocks: Vec<Vec<Option<Column>>>,
    /// By group.
    places: Vec<Vec<Place>>,
    rows: usize,
    /// Bytes that all of this takes.
    bytes: usize,
}

/// What became of a try to read some time.
enum Tried {
    Read(Slab),
    /// The rows are too many, and the time can be cut.
    TooLong,
    /// The rows of an instant are too many for a batch of several groups.
    TooMany,
}

/// The rows of a batch that wait for the groups before them.
struct Held {
    slabs: Vec<Slab>,
    /// By group: rows so far.
    rows: Vec<u64>,
}

impl<E: Env, C: Fn() -> bool> Run<'_, E, C> {
    /// Answers the question part by part.
    pub async fn run(&self, emit: &impl AsyncFn(Part) -> bool) -> Result<(), ScanError> {
        if self.visible == 0 || self.limit == Some(0) {
            return Ok(());
        }
        let mut stretches = self.plan.stretches();
        if self.plan.request.order == Order::Descending {
            stretches.reverse();
        }
        let mut start = 0;
        while start < self.plan.groups() {
            let mut end = self.batch_end(start, &stretches);
            // Nothing of a batch of several groups is sent before all of it is read, so a batch
            // that turns out too large is done again with fewer.
            while !self.batch(&self.plan.batch(start..end), &stretches, emit).await? {
                end = start + ((end - start) / 4).max(1);
            }
            start = end;
        }
        Ok(())
    }

    /// About how many bytes a row takes in memory.
    fn row_bytes(&self) -> f64 {
        let value = |kind| if kind == FieldType::String { 40.0 } else { 9.0 };
        let fields: f64 = self.plan.request.fields.iter().map(|field| value(field.kind)).sum();
        fields + size_of::<Place>() as f64 + 8.0
    }

    fn batch_end(&self, start: usize, stretches: &[Stretch<E>]) -> usize {
        let mut end = start + 1;
        while end < self.plan.groups() && end - start < BATCH_GROUPS {
            let next = (start + 2 * (end - start)).min(self.plan.groups());
            let mut rows = self.plan.estimate(stretches, self.plan.series_in(&(start..next)));
            if let Some(limit) = self.limit {
                rows = rows.min(limit as f64 * (next - start) as f64);
            }
            if rows * self.row_bytes() > self.slab_bytes() {
                break;
            }
            end = next;
        }
        end
    }

    /// Answers for some groups; false when several of them have too many rows to be held.
    async fn batch(
        &self,
        batch: &Batch,
        stretches: &[Stretch<E>],
        emit: &impl AsyncFn(Part) -> bool,
    ) -> Result<bool, ScanError> {
        let ranks = self.ranks(batch).await?;
        let count = batch.groups.len();
        let mut held = Held { slabs: Vec::new(), rows: vec![0; count] };
        let full = self.slab_bytes() / self.row_bytes();
        let mut aim = match self.limit {
            Some(limit) => (2.0 * limit as f64 * count as f64).max(FIRST_ROWS.min(full)).min(full),
            None => full,
        };
        let mut wanted = batch.wanted.clone();
        let mut series = batch.series.len();
        for stretch in stretches {
            let estimate = self.plan.estimate(std::slice::from_ref(stretch), series);
            let mut rest = Some(stretch.range);
            // Nanoseconds of a slab.
            let whole = stretch.range.last as f64 - stretch.range.first as f64 + 1.0;
            let mut width = whole * (aim / estimate.max(1.0)).min(1.0);
            while let Some(range) = rest {
                let (range, behind) = self.piece(range, width);
                let mut slab = match self.read(stretch, range, batch, &wanted).await? {
                    Tried::Read(slab) => slab,
                    Tried::TooLong => {
                        // Denser than thought.
                        width = (range.last as f64 - range.first as f64 + 1.0) / SLAB_EXCESS as f64;
                        continue;
                    }
                    Tried::TooMany => return Ok(false),
                };
                rest = behind;
                let read = (slab.bytes as f64 / self.row_bytes()).max(1.0);
                let len = range.last as f64 - range.first as f64 + 1.0;
                self.order(&mut slab, &ranks, &mut held.rows);
                held.slabs.push(slab);
                if count == 1 {
                    self.send(batch, &mut held.slabs, emit).await?;
                }
                if self.is_full(&held.rows) {
                    self.send(batch, &mut held.slabs, emit).await?;
                    return Ok(true);
                }
                if count > 1 && self.is_too_much(&held) {
                    return Ok(false);
                }
                if let Some(open) = self.open_series(batch, &held.rows, series) {
                    series = open.len();
                    wanted.series = Some(open);
                }
                aim = (aim * 2.0).min(full);
                // By what was met, not by the estimate: behind a dense spot a stretch may be empty
                // for years, and pieces that stay small would never come to its end.
                width = (len * (aim / read).clamp(0.5, 8.0)).min(whole);
            }
        }
        self.send(batch, &mut held.slabs, emit).await?;
        Ok(true)
    }

    /// The next slab's times of a range, and what is left of it.
    fn piece(&self, range: TimeRange, width: f64) -> (TimeRange, Option<TimeRange>) {
        let len = range.last as f64 - range.first as f64 + 1.0;
        // The last piece takes what rounding leaves.
        if width >= len * 0.99 || range.first == range.last {
            return (range, None);
        }
        let width = (width as i64).max(1);
        match self.plan.request.order {
            Order::Ascending => {
                let last = range.first.saturating_add(width - 1).min(range.last - 1);
                (TimeRange::new(range.first, last), Some(TimeRange::new(last + 1, range.last)))
            }
            Order::Descending => {
                let first = range.last.saturating_sub(width - 1).max(range.first + 1);
                (TimeRange::new(first, range.last), Some(TimeRange::new(range.first, first - 1)))
            }
        }
    }

    /// The series of groups that want more rows, when they are fewer than `known`.
    fn open_series(&self, batch: &Batch, rows: &[u64], known: usize) -> Option<Rc<[SeriesId]>> {
        let limit = self.limit?;
        let wants = |group: u32| rows.get(group as usize).is_some_and(|rows| *rows < limit);
        let open = || batch.series.iter().filter(|(_, group)| wants(*group));
        (open().count() < known).then(|| open().map(|(id, _)| *id).collect())
    }

    fn is_full(&self, rows: &[u64]) -> bool {
        self.limit.is_some_and(|limit| rows.iter().all(|rows| *rows >= limit))
    }

    fn is_too_much(&self, held: &Held) -> bool {
        let bytes: usize = held.slabs.iter().map(|slab| slab.bytes).sum();
        bytes > self.slab_bytes_max()
    }

    fn slab_bytes_max(&self) -> usize {
        (self.slab_bytes() as usize).saturating_mul(SLAB_EXCESS)
    }

    fn slab_bytes(&self) -> f64 {
        SLAB_BYTES.min(self.plan.request.memory_bytes as f64)
    }

    /// The place of each series' key among the keys of its group; only ties of time ask for it.
    async fn ranks(&self, batch: &Batch) -> Result<Vec<u32>, ScanError> {
        let mut ranks = vec![0; batch.series.len()];
        if batch.series.len() == batch.groups.len() {
            return Ok(ranks);
        }
        let limit = self.plan.request.memory_bytes;
        let mut bytes = 0;
        let mut keys: Vec<(Vec<u8>, usize)> = Vec::new();
        for (place, (id, _)) in batch.series.iter().enumerate() {
            let mut key = Vec::new();
            self.plan.shard.index().write_key(*id, &mut key);
            bytes += key.len() + size_of::<(Vec<u8>, usize)>();
            keys.push((key, place));
            if bytes > limit {
                return Err(ScanError::Memory { limit });
            }
            self.guard.note_work(1);
            self.guard.check().await?;
        }
        keys.sort_unstable_by(|a, b| series_key::compare(&a.0, &b.0));
        for (rank, (_, place)) in keys.iter().enumerate() {
            if let Some(slot) = ranks.get_mut(*place) {
                *slot = rank as u32;
            }
        }
        Ok(ranks)
    }

    /// Reads the rows of some time.
    async fn read(
        &self,
        stretch: &Stretch<E>,
        range: TimeRange,
        batch: &Batch,
        wanted: &Wanted,
    ) -> Result<Tried, ScanError> {
        let places = vec![Vec::new(); batch.groups.len()];
        let mut slab = Slab { blocks: Vec::new(), places, rows: 0, bytes: 0 };
        let Some(partition) = self.plan.partitions.get(stretch.partition) else {
            return Ok(Tried::Read(slab));
        };
        let limit = self.plan.request.memory_bytes;
        let mut stream = Stream::open(self.guard, partition, stretch, range, wanted).await?;
        let mut condition = Condition::new(self.plan, batch, self.used.as_ref());
        while let Some(mut block) = stream.next(self.guard, &mut condition).await? {
            note(self.guard, &block);
            self.plan.filter(&mut block, batch, self.used.as_ref());
            self.take(&block, batch, &mut slab);
            self.guard.check().await?;
            if slab.bytes <= self.slab_bytes_max() {
                continue;
            }
            if range.first < range.last {
                return Ok(Tried::TooLong);
            }
            if batch.groups.len() > 1 {
                return Ok(Tried::TooMany);
            }
            if slab.bytes > limit {
                return Err(ScanError::Memory { limit });
            }
        }
        Ok(Tried::Read(slab))
    }

    /// Takes the rows of a Block that show something.
    fn take(&self, block: &Block, batch: &Batch, slab: &mut Slab) {
        let fields = self.plan.request.fields.iter();
        let columns: Vec<Option<Column>> =
            fields.map(|field| resolve(block, field).map(|column| column.into_owned())).collect();
        let shown: Vec<&Column> = columns.iter().take(self.visible).flatten().collect();
        let all = shown.iter().any(|column| column.validity.is_none());
        let number = slab.blocks.len() as u32;
        let before = slab.rows;
        let mut hint = 0;
        for run in &block.runs {
            let Some((series, group)) = batch.find(run.series, &mut hint) else { continue };
            let Some(places) = slab.places.get_mut(group as usize) else { continue };
            for row in run.range() {
                let Some(time) = block.times.get(row) else { continue };
                if all || shown.iter().any(|column| column.is_valid(row)) {
                    let (series, row) = (series as u32, row as u32);
                    places.push(Place { time: *time, series, block: number, row });
                    slab.rows += 1;
                }
            }
        }
        if slab.rows > before {
            let values = columns.iter().flatten().map(|column| column.values.bytes());
            slab.bytes += values.sum::<usize>() + (slab.rows - before) * size_of::<Place>();
            slab.blocks.push(columns);
        }
    }

    /// Brings each group's rows in order and cuts them at the limit.
    fn order(&self, slab: &mut Slab, ranks: &[u32], taken: &mut [u64]) {
        let rank = |place: &Place| ranks.get(place.series as usize).copied().unwrap_or(0);
        slab.rows = 0;
        for (places, taken) in slab.places.iter_mut().zip(taken) {
            match self.plan.request.order {
                Order::Ascending => places.sort_by_key(|place| (place.time, rank(place))),
                Order::Descending => {
                    places.sort_by_key(|place| std::cmp::Reverse((place.time, rank(place))));
                }
            }
            if let Some(limit) = self.limit {
                let room = limit.saturating_sub(*taken);
                places.truncate(usize::try_from(room).unwrap_or(usize::MAX));
            }
            *taken += places.len() as u64;
            slab.rows += places.len();
        }
        if slab.rows == 0 {
            (slab.blocks, slab.bytes) = (Vec::new(), 0);
        }
    }

    /// Sends what is held, group after group.
    async fn send(
        &self,
        batch: &Batch,
        slabs: &mut Vec<Slab>,
        emit: &impl AsyncFn(Part) -> bool,
    ) -> Result<(), ScanError> {
        let mut pending = Pending::default();
        let fields = self.plan.request.fields.len() + self.plan.request.tags.len();
        let piece = (PIECE_VALUES / fields.max(1)).clamp(1, PART_ROWS);
        for group in batch.groups.clone() {
            let local = group - batch.groups.start;
            let places = |slab: &Slab| slab.places.get(local).is_some_and(|all| !all.is_empty());
            if !slabs.iter().any(places) {
                continue;
            }
            let mut out = self.builder(group);
            for slab in slabs.iter() {
                let places = slab.places.get(local).map_or(&[][..], Vec::as_slice);
                for some in places.chunks(piece) {
                    if out.rows.times.len() + some.len() > piece {
                        let full = std::mem::replace(&mut out, self.builder(group));
                        self.put(full.rows, &mut pending, emit).await?;
                    }
                    self.append(batch, slab, some, &mut out);
                }
            }
            self.put(out.rows, &mut pending, emit).await?;
        }
        if !pending.pieces.is_empty() {
            send(self.guard, emit, Part::Rows(pending.pieces)).await?;
        }
        slabs.clear();
        Ok(())
    }

    /// Adds a piece to the part that is being filled, and sends that when it is full.
    async fn put(
        &self,
        rows: Rows,
        pending: &mut Pending,
        emit: &impl AsyncFn(Part) -> bool,
    ) -> Result<(), ScanError> {
        let more = rows.times.len() + PIECE_ROWS;
        self.guard.note_work(more);
        pending.rows += more;
        pending.pieces.push(rows);
        if pending.rows < PART_ROWS {
            return self.guard.check().await;
        }
        let full = std::mem::take(pending);
        send(self.guard, emit, Part::Rows(full.pieces)).await
    }

    fn builder(&self, group: usize) -> Builder {
        let column = |field: &super::request::FieldRef| Column {
            id: id_of(field),
            values: Values::empty(field.kind),
            validity: None,
        };
        let rows = Rows {
            group: self.plan.group(group),
            series: Vec::new(),
            series_of: Vec::new(),
            times: Vec::new(),
            fields: self.plan.request.fields.iter().map(column).collect(),
        };
        Builder { rows, numbers: FixedMap::default() }
    }

    /// Appends rows of one slab, in stretches that lie together.
    fn append(&self, batch: &Batch, slab: &Slab, places: &[Place], out: &mut Builder) {
        let together =
            |a: &Place, b: &Place| (a.series, a.block, a.row + 1) == (b.series, b.block, b.row);
        for stretch in places.chunk_by(together) {
            let Some(first) = stretch.first() else { continue };
            let Some(columns) = slab.blocks.get(first.block as usize) else { continue };
            let known = out.numbers.get(&first.series).copied();
            let number = known.unwrap_or_else(|| {
                let number = out.rows.series.len() as u32;
                out.rows.series.push(self.key(batch, first.series));
                out.numbers.insert(first.series, number);
                number
            });
            out.rows.times.extend(stretch.iter().map(|place| place.time));
            out.rows.series_of.extend(std::iter::repeat_n(number, stretch.len()));
            let start = first.row as usize;
            for (column, from) in out.rows.fields.iter_mut().zip(columns) {
                match from {
                    Some(from) => column.append(from, start..start + stretch.len()),
                    None => column.append_nulls(stretch.len()),
                }
            }
        }
    }

    fn key(&self, batch: &Batch, series: u32) -> Arc<[u8]> {
        let id = batch.series.get(series as usize).map_or(SeriesId(u32::MAX), |(id, _)| *id);
        let mut key = Vec::new();
        self.plan.shard.index().write_key(id, &mut key);
        key.into()
    }
}

/// A part that is being filled.
#[derive(Default)]
struct Pending {
    pieces: Vec<Rows>,
    rows: usize,
}

/// Rows of a piece and the numbers of its series.
struct Builder {
    rows: Rows,
    /// Number in the batch to number in the part.
    numbers: FixedMap<u32, u32>,
}
