//! Reading a head partition in steps: from a selection of series to Blocks.
//!
//! A cursor works through the series in order, in *groups*: it resolves keys to slots (some
//! thousands a step), lists the rows of each slot, and gives Blocks:
//!
//! ```text
//! Resolve --all keys of the group--> Order --all chunks--> Emit --group done--> Resolve ... Done
//! ```
//!
//! Rows are listed by a counting sort on the slot column for a table of which the group wants a
//! quarter or more, else by walking backlinks, eight chains side by side. A group ends at a bound
//! on keys and rows, so that a cursor's memory is bounded however much the head holds.

use super::big::Big;
use super::chunk::{NO_ROW, row_id};
use super::gather::{Builder, Key};
use super::part::Part;
use super::shuffled::{Shuffled, sort_rows};
use super::slots::Slot;
use super::table::Table;
use super::view::Select;
use crate::model::{MeasurementId, SeriesId, TimeRange};
use crate::shard::block::Block;
use std::ops::Range;

/// Keys looked at in a step of resolving (about 50 ns each and table).
const STEP_KEYS: usize = 4096;
/// Chunks sorted in a step: 32 k rows, about 2 ns each.
const STEP_CHUNKS: usize = 8;
/// Keys of a group: 16 bytes each, and 16 a table.
const GROUP_KEYS_MAX: usize = 1 << 18;
/// Rows of a group unless a third of the partition is more: 4 bytes each. A third keeps the share
/// of every group above the quarter at which counting sort pays.
const GROUP_ROWS_MIN: usize = 1 << 20;
/// Backlink chains followed side by side, to overlap their cache misses.
const CHAINS: usize = 8;

/// Which keys come next.
#[derive(Debug)]
pub enum Keys {
    /// The partition's series from this key on; `None` at the end.
    Members(Option<Key>),
    /// A list of keys, and how many are done.
    Listed(Vec<Key>, usize),
}

/// A key of the group and its hits.
#[derive(Debug)]
struct Entry {
    key: Key,
    hits: Range<usize>,
}

/// A series in one table.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    pub table: u32,
    pub slot: u32,
    /// At least the number of the slot's rows in the snapshot.
    rows: u32,
    /// First place in the table's order, if it has one.
    start: usize,
}

/// Rows of a table by slot.
#[derive(Debug, Default)]
struct Order {
    rows: Vec<u32>,
    /// By slot: the place of its next row, so after sorting the end of its rows.
    ends: Vec<u32>,
}

const UNWANTED: u32 = u32::MAX;

#[derive(Debug)]
enum Phase {
    Resolve,
    Order { table: usize, chunk: usize },
    Emit,
    Done,
}

/// Where a reader of one partition is.
#[derive(Debug)]
pub struct HeadCursor {
    keys: Keys,
    phase: Phase,
    entries: Vec<Entry>,
    hits: Vec<Hit>,
    /// By table: rows wanted in this group.
    wanted: Vec<usize>,
    /// By table.
    orders: Vec<Option<Order>>,
    next_entry: usize,
    big: Option<Big>,
}

/// The partition as the view holds it.
pub struct Snapshot<'a> {
    pub part: &'a Part,
    /// By table: the first row id that is not in the snapshot.
    pub ends: &'a [u32],
}

impl<'a> Snapshot<'a> {
    /// The table's rows below the snapshot's end.
    pub fn table(&self, number: u32) -> Option<(&'a Table, u32)> {
        Some((self.part.tables().get(number as usize)?, *self.ends.get(number as usize)?))
    }

    pub fn slot(&self, hit: &Hit) -> Option<&'a Slot> {
        self.part.tables().get(hit.table as usize)?.slots().get(hit.slot)
    }
}

impl Default for HeadCursor {
    fn default() -> HeadCursor {
        HeadCursor::new(Keys::Members(Some((MeasurementId(0), SeriesId(0)))))
    }
}

impl HeadCursor {
    pub(super) fn new(keys: Keys) -> HeadCursor {
        HeadCursor {
            keys,
            phase: Phase::Resolve,
            entries: Vec::new(),
            hits: Vec::new(),
            wanted: Vec::new(),
            orders: Vec::new(),
            next_entry: 0,
            big: None,
        }
    }

    /// One step. `None` at the end; an empty Block when the step went into preparation.
    pub(super) fn step(
        &mut self,
        snapshot: &Snapshot<'_>,
        select: &Select<'_>,
        rows_max: usize,
    ) -> Option<Block> {
        match self.phase {
            Phase::Resolve => self.resolve(snapshot, select),
            Phase::Order { table, chunk } => self.order(snapshot, select.range, table, chunk),
            Phase::Emit => return Some(self.emit(snapshot, select, rows_max.max(1))),
            Phase::Done => return None,
        }
        Some(Block::default())
    }

    fn resolve(&mut self, snapshot: &Snapshot<'_>, select: &Select<'_>) {
        let mut keys = Vec::new();
        let more = self.keys.take(snapshot.part, select, STEP_KEYS, &mut keys);
        self.wanted.resize(snapshot.ends.len(), 0);
        for key in keys {
            let start = self.hits.len();
            for number in 0..snapshot.ends.len() {
                let Some((table, end)) = snapshot.table(number as u32) else { continue };
                if end == 0 || !select.wants(table) {
                    continue;
                }
                let Some(slot) = table.slots().find(key.1) else { continue };
                let Some(state) = table.slots().get(slot) else { continue };
                if state.measurement != key.0 || !state.range().overlaps(select.range) {
                    continue;
                }
                let hit = Hit { table: number as u32, slot, rows: state.rows, start: 0 };
                self.hits.push(hit);
                if let Some(wanted) = self.wanted.get_mut(number) {
                    *wanted += state.rows as usize;
                }
            }
            if self.hits.len() > start {
                self.entries.push(Entry { key, hits: start..self.hits.len() });
            }
        }
        let rows: usize = self.wanted.iter().sum();
        let rows_max = GROUP_ROWS_MIN.max(snapshot.part.rows() / 3);
        if !more || self.entries.len() >= GROUP_KEYS_MAX || rows >= rows_max {
            self.plan(snapshot);
        }
    }

    /// Decides how each table's rows are listed.
    fn plan(&mut self, snapshot: &Snapshot<'_>) {
        self.orders = (0..snapshot.ends.len())
            .map(|number| {
                let (table, _) = snapshot.table(number as u32)?;
                let wanted = self.wanted.get(number).copied().unwrap_or(0);
                (wanted > 0 && wanted * 4 >= table.rows()).then(|| Order {
                    rows: vec![0; wanted],
                    ends: vec![UNWANTED; table.slots().len()],
                })
            })
            .collect();
        let mut starts = vec![0; self.orders.len()];
        for hit in &mut self.hits {
            let order = self.orders.get_mut(hit.table as usize).and_then(Option::as_mut);
            let (Some(order), Some(start)) = (order, starts.get_mut(hit.table as usize)) else {
                continue;
            };
            hit.start = *start;
            if let Some(end) = order.ends.get_mut(hit.slot as usize) {
                *end = *start as u32;
            }
            *start += hit.rows as usize;
        }
        self.phase = Phase::Order { table: 0, chunk: 0 };
    }

    /// Sorts some chunks of a table by slot.
    fn order(&mut self, snapshot: &Snapshot<'_>, range: TimeRange, number: usize, chunk: usize) {
        let Some((table, end)) = snapshot.table(number as u32) else {
            self.phase = Phase::Emit;
            return;
        };
        let mut next = usize::MAX;
        if let Some(order) = self.orders.get_mut(number).and_then(Option::as_mut) {
            next = chunk;
            let mut taken = 0;
            while taken < STEP_CHUNKS && next < table.chunks().len() {
                taken += usize::from(order.take_chunk(table, next, end, range));
                next += 1;
            }
        }
        self.phase = if next < table.chunks().len() {
            Phase::Order { table: number, chunk: next }
        } else {
            Phase::Order { table: number + 1, chunk: 0 }
        };
    }

    fn emit(&mut self, snapshot: &Snapshot<'_>, select: &Select<'_>, rows_max: usize) -> Block {
        if let Some(big) = &mut self.big {
            if let Some(block) = big.step(snapshot, select, rows_max) {
                return block;
            }
            self.big = None;
            self.next_entry += 1;
        }
        let first = self.next_entry;
        let mut rows = 0;
        for entry in self.entries.get(first..).unwrap_or(&[]) {
            let hits = self.hits.get(entry.hits.clone()).unwrap_or(&[]);
            let listed = |hit: &Hit| self.ordered(hit).map_or(hit.rows as usize, <[u32]>::len);
            rows += hits.iter().map(listed).sum::<usize>();
            if rows > rows_max {
                break;
            }
            self.next_entry += 1;
        }
        if self.next_entry == self.entries.len() && self.next_entry == first {
            self.end_group();
            return Block::default();
        }
        if self.next_entry == first {
            self.start_big(first);
            return Block::default();
        }
        self.emit_entries(first..self.next_entry, snapshot, select)
    }

    fn end_group(&mut self) {
        self.phase = if self.keys.is_done() { Phase::Done } else { Phase::Resolve };
        self.entries.clear();
        self.hits.clear();
        self.wanted.clear();
        self.orders.clear();
        self.next_entry = 0;
    }

    fn start_big(&mut self, entry: usize) {
        let Some(entry) = self.entries.get(entry) else { return };
        let hits = self.hits.get(entry.hits.clone()).unwrap_or(&[]);
        let listed = hits.iter().map(|hit| (*hit, self.ordered(hit).map(<[u32]>::to_vec)));
        self.big = Some(Big::new(entry.key, listed.collect()));
    }

    /// The rows of a hit in a table that was sorted.
    fn ordered(&self, hit: &Hit) -> Option<&[u32]> {
        let order = self.orders.get(hit.table as usize)?.as_ref()?;
        let end = order.ends.get(hit.slot as usize)?;
        order.rows.get(hit.start..*end as usize)
    }

    /// A Block of some entries.
    fn emit_entries(
        &self,
        entries: Range<usize>,
        snapshot: &Snapshot<'_>,
        select: &Select<'_>,
    ) -> Block {
        let entries = self.entries.get(entries).unwrap_or(&[]);
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Block::default();
        };
        let hits = self.hits.get(first.hits.start..last.hits.end).unwrap_or(&[]);
        let linked = hits.iter().filter(|hit| self.ordered(hit).is_none());
        let walked = walk(snapshot, linked, select.range);
        let mut walked = walked.iter();
        let rows_of = |hit: &Hit| match self.ordered(hit) {
            Some(rows) => rows,
            None => walked.next().map_or(&[][..], Vec::as_slice),
        };
        let rows: Vec<&[u32]> = hits.iter().map(rows_of).collect();
        let plain = |hits: &[Hit]| {
            let [hit] = hits else { return false };
            snapshot.slot(hit).is_some_and(|slot| slot.in_order)
        };
        let hits_of = |entry: &Entry| self.hits.get(entry.hits.clone()).unwrap_or(&[]);
        let listed = || entries.iter().map(hits_of).zip(split_by(&rows, entries));
        let mut shuffled = read_shuffled(snapshot, listed().filter(|(hits, _)| !plain(hits)));
        let mut builder = Builder::new(snapshot.part.tables());
        let mut refs = Vec::new();
        for (entry, (hits, rows)) in entries.iter().zip(listed()) {
            if let (true, [hit], [rows]) = (plain(hits), hits, rows) {
                builder.plain(entry.key, hit.table, clip(snapshot, hit, rows, select.range));
                continue;
            }
            refs.clear();
            for hit in hits {
                if let Some(shuffled) = shuffled.get_mut(hit.table as usize) {
                    shuffled.push_next(snapshot, hit.table, select.range, &mut refs);
                }
            }
            sort_rows(&mut refs);
            builder.mixed(entry.key, &refs);
        }
        builder.finish(select.columns)
    }
}

/// The part of `rows` that belongs to each entry; `rows` has one list a hit, in order.
fn split_by<'r, 'e>(
    rows: &'r [&'r [u32]],
    entries: &'e [Entry],
) -> impl Iterator<Item = &'r [&'r [u32]]> + use<'r, 'e> {
    let first = entries.first().map_or(0, |entry| entry.hits.start);
    entries
        .iter()
        .map(move |entry| rows.get(entry.hits.start - first..entry.hits.end - first).unwrap_or(&[]))
}

/// By table: the rows that have to be sorted, with their times.
fn read_shuffled<'h>(
    snapshot: &Snapshot<'_>,
    listed: impl Iterator<Item = (&'h [Hit], &'h [&'h [u32]])>,
) -> Vec<Shuffled> {
    let mut shuffled = Vec::new();
    shuffled.resize_with(snapshot.ends.len(), Shuffled::default);
    for (hit, rows) in listed.flat_map(|(hits, rows)| hits.iter().zip(rows)) {
        if let Some(shuffled) = shuffled.get_mut(hit.table as usize) {
            shuffled.add(rows);
        }
    }
    for (number, shuffled) in shuffled.iter_mut().enumerate() {
        shuffled.read_times(snapshot, number as u32);
    }
    shuffled
}

impl Order {
    /// Files the rows of one chunk that the snapshot holds and that lie in `range`; false when none
    /// can.
    #[expect(
        clippy::indexing_slicing,
        reason = "places were counted from the slots' rows, which a snapshot's rows cannot exceed"
    )]
    fn take_chunk(&mut self, table: &Table, number: usize, end: u32, range: TimeRange) -> bool {
        let Some(chunk) = table.chunks().get(number) else { return false };
        if !chunk.range().overlaps(range) {
            return false;
        }
        let rows = (end.saturating_sub(row_id(number, 0)) as usize).min(chunk.times.len());
        let plain = !chunk.has_dead() && range.covers(chunk.range());
        for (offset, (slot, time)) in chunk.slots.iter().zip(&chunk.times).take(rows).enumerate() {
            // Slots that came after the plan have no entry; all their rows are behind the snapshot.
            let Some(place) = self.ends.get_mut(*slot as usize) else { continue };
            let gone = !plain && (chunk.is_dead(offset) || !range.contains(*time));
            if *place == UNWANTED || gone {
                continue;
            }
            self.rows[*place as usize] = row_id(number, offset);
            *place += 1;
        }
        true
    }
}

impl Keys {
    fn is_done(&self) -> bool {
        match self {
            Keys::Members(next) => next.is_none(),
            Keys::Listed(keys, at) => *at >= keys.len(),
        }
    }

    /// Looks at up to `count` keys and appends the selected ones; false at the end.
    pub fn take(
        &mut self,
        part: &Part,
        select: &Select<'_>,
        count: usize,
        out: &mut Vec<Key>,
    ) -> bool {
        match self {
            Keys::Listed(keys, at) => {
                let rest = keys.get(*at..).unwrap_or(&[]);
                let some = rest.get(..count).unwrap_or(rest);
                out.extend_from_slice(some);
                *at += some.len();
            }
            Keys::Members(next) => {
                let mut budget = count;
                while let (Some(from), true) = (*next, budget > 0) {
                    *next = take_members(part, select, from, &mut budget, out);
                }
            }
        }
        !self.is_done()
    }
}

/// Takes keys of one measurement from `from` on; returns the key to go on at.
fn take_members(
    part: &Part,
    select: &Select<'_>,
    from: Key,
    budget: &mut usize,
    out: &mut Vec<Key>,
) -> Option<Key> {
    let from = match select.measurement {
        Some(wanted) if from.0 < wanted => (wanted, SeriesId(0)),
        _ => from,
    };
    let (measurement, members) = part.members().range(from.0..).next()?;
    if select.measurement.is_some_and(|wanted| wanted != *measurement) {
        return None;
    }
    let first = if *measurement == from.0 { from.1.0 } else { 0 };
    let mut take = |series: u32, wanted: bool| {
        if wanted {
            out.push((*measurement, SeriesId(series)));
        }
        *budget = budget.saturating_sub(1);
        (*budget == 0).then(|| series.checked_add(1)).flatten()
    };
    let stop = match select.series {
        None => members.range(first..).find_map(|series| take(series, true)),
        Some(list) if (list.len() as u64) < members.len() => {
            let at = list.partition_point(|series| series.0 < first);
            let rest = list.get(at..).unwrap_or(&[]).iter();
            rest.copied().find_map(|series| take(series.0, members.contains(series.0)))
        }
        Some(list) => members
            .range(first..)
            .find_map(|series| take(series, list.binary_search(&SeriesId(series)).is_ok())),
    };
    *budget = budget.saturating_sub(1);
    match stop {
        Some(series) => Some((*measurement, SeriesId(series))),
        None => measurement.0.checked_add(1).map(|next| (MeasurementId(next), SeriesId(0))),
    }
}

/// The rows of each hit in order of arrival, found by backlinks.
fn walk<'h>(
    snapshot: &Snapshot<'_>,
    hits: impl Iterator<Item = &'h Hit>,
    range: TimeRange,
) -> Vec<Vec<u32>> {
    let hits: Vec<&Hit> = hits.collect();
    let mut lists: Vec<Vec<u32>> = Vec::with_capacity(hits.len());
    for some in hits.chunks(CHAINS) {
        let start = lists.len();
        let mut tails: Vec<u32> =
            some.iter().map(|hit| snapshot.slot(hit).map_or(NO_ROW, |slot| slot.tail)).collect();
        lists.extend(some.iter().map(|_| Vec::new()));
        let lists = lists.get_mut(start..).unwrap_or_default();
        while tails.iter().any(|tail| *tail != NO_ROW) {
            for ((hit, tail), list) in some.iter().zip(&mut tails).zip(lists.iter_mut()) {
                *tail = walk_one(snapshot, hit, *tail, range, list);
            }
        }
        lists.iter_mut().for_each(|list| list.reverse());
    }
    lists
}

/// Takes one row of a chain, if it is in the snapshot and alive; returns the row before it. A chain
/// that is in order ends before the first row of `range`.
pub fn walk_one(
    snapshot: &Snapshot<'_>,
    hit: &Hit,
    row: u32,
    range: TimeRange,
    list: &mut Vec<u32>,
) -> u32 {
    if row == NO_ROW {
        return NO_ROW;
    }
    let Some((table, end)) = snapshot.table(hit.table) else { return NO_ROW };
    let before =
        || snapshot.slot(hit).is_some_and(|slot| slot.in_order && slot.time_min < range.first);
    if before() && table.time(row) < range.first {
        return NO_ROW;
    }
    if row < end && !table.is_dead(row) {
        list.push(row);
    }
    table.prev(row)
}

/// The part of rows with ascending times that lies in `range`.
pub fn clip<'r>(
    snapshot: &Snapshot<'_>,
    hit: &Hit,
    rows: &'r [u32],
    range: TimeRange,
) -> &'r [u32] {
    let Some((table, _)) = snapshot.table(hit.table) else { return &[] };
    if snapshot.slot(hit).is_some_and(|slot| range.covers(slot.range())) {
        return rows;
    }
    let start = rows.partition_point(|row| table.time(*row) < range.first);
    let end = rows.partition_point(|row| table.time(*row) <= range.last);
    rows.get(start..end).unwrap_or(&[])
}
