//! The series index of one shard: key to id, id to key, and which series carry which tags.
//!
//! In: canonical keys, retirements, drops; delta files at start. Out: dense series ids, sets of ids
//! for tag predicates, names for SHOW, and delta files (`delta`) that hold what was defined or
//! retired since the last one. The whole index is in memory, about 150 bytes a series with ten
//! tags: a *cell* is an interned (measurement, tag key, tag value), a series' key is a list of cell
//! numbers, and each cell has the posting of its live series. Nothing here does I/O; what may be
//! long has a task with a `step`. Nothing ever moves or grows at once by more than a 64th (`arena`,
//! `table`).
//!
//! ```text
//! key bytes ─hash▸ table ▸ id ▸ state ▸ cells ▸ (column ▸ measurement, tag key; value; posting)
//! ```

mod all_values;
mod arena;
mod cells;
mod delta;
mod group;
mod load;
mod posting;
mod select;
mod sketch;
mod sort;
mod states;
mod symbols;
mod table;
#[cfg(test)]
mod tests;
mod values;
mod varint;

pub use all_values::AllValuesTask;
pub use cells::TagKeyNo;
pub use delta::{Delta, DeltaTask, Mark};
pub use group::{GroupTask, Grouping};
pub use load::Loader;
pub use select::{SelectTask, TagFilter};
pub use sketch::TagSketch;
pub use symbols::Symbol;
pub use values::TagValuesTask;

use crate::model::series_key::KEY_BYTES_MAX;
use crate::model::{DbId, MeasurementId, SeriesId, SeriesKey};
use arena::{Arena, Chunked};
use cells::{Cell, Column, Database, Measurement};
use posting::Pool;
use roaring::RoaringBitmap;
use states::{State, States};
use std::sync::Arc;
use symbols::Symbols;
use table::Table;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Hash map with fixed keys, so that one seed gives one history in the simulator.
type FixedMap<K, V> =
    std::collections::HashMap<K, V, std::hash::BuildHasherDefault<ahash::AHasher>>;

/// Series ids stay below this: the top bit is used by references in Batches.
const SERIES_MAX: u32 = 1 << 31;
/// Keeps the table's hash apart from the hash that places keys on shards, whose top bits are the
/// same for all series of a shard. Part of the delta format.
const HASH_SEED: u64 = 0x5E81_E5C0_0000_0000;

/// Why the index refuses something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IndexError {
    /// The bytes are no canonical series key.
    #[error("malformed series key")]
    Malformed,
    /// A measurement id came with another name or database before, or a series id with another key.
    #[error("series key contradicts an earlier definition")]
    Conflict,
    /// The measurement or its database was dropped.
    #[error("measurement was dropped")]
    Dropped,
    /// 2^31 series, 4 GiB of names or 2^32 tag pairs are there.
    #[error("series index is full")]
    Full,
    /// A delta file is damaged or not one; `offset` is the place of the bad block in bytes.
    #[error("damaged index delta at offset {offset}: {what}")]
    Corrupt { offset: usize, what: &'static str },
}

/// See the module.
#[derive(Default)]
pub struct Index {
    symbols: Symbols,
    databases: FixedMap<DbId, Database>,
    measurements: Vec<Measurement>,
    measurement_numbers: FixedMap<MeasurementId, u32>,
    columns: Chunked<Column, 12>,
    cells: Chunked<Cell, 14>,
    cell_table: Table,
    postings: Pool,
    keys: Arena<u32, 16>,
    states: States,
    series_table: Table,
    /// The id the next series gets.
    next: u32,
    /// Series below this id are in a delta file already.
    saved: u32,
    /// Series retired since the last delta.
    retired: RoaringBitmap,
    /// Whether some id below `next` has no live series.
    thinned: bool,
    /// Cells of the key at hand.
    scratch: Vec<u32>,
    sketch: Arc<TagSketch>,
}

impl Index {
    /// An index without series.
    pub fn new() -> Index {
        Index::default()
    }

    /// Finds or defines a series; `key` is its canonical key. Gives (id, true) when it is new; a
    /// key that was retired gets another id.
    pub fn intern(
        &mut self,
        db: DbId,
        measurement: MeasurementId,
        key: &[u8],
    ) -> Result<(SeriesId, bool), IndexError> {
        let hash = hash_key(db, key);
        let found = self.find(hash, db, key);
        if let Some(id) = found
            && self.is_live(SeriesId(id))
            && self.measurement(SeriesId(id)) == Some(measurement)
        {
            return Ok((SeriesId(id), false));
        }
        let number = self.resolve(db, measurement, key)?;
        if self.is_dropped(number) {
            return Err(IndexError::Dropped);
        }
        let id = self.next;
        self.add(id, number, hash, found)?;
        Ok((SeriesId(id), true))
    }

    /// Defines a series with the id it was given before: the replay of the log. What is there
    /// already changes nothing; a series of a dropped measurement only uses up its id.
    pub fn define(
        &mut self,
        id: SeriesId,
        db: DbId,
        measurement: MeasurementId,
        key: &[u8],
    ) -> Result<(), IndexError> {
        if let Some(state) = self.states.get(id.0) {
            let equal = self.measurement(id) == Some(measurement) && self.has_key(state, db, key);
            return if equal { Ok(()) } else { Err(IndexError::Conflict) };
        }
        let number = self.resolve(db, measurement, key)?;
        let hash = hash_key(db, key);
        let found = self.find(hash, db, key);
        self.add(id.0, number, hash, found)
    }

    /// What other cores may know of the tags here.
    pub fn sketch(&self) -> Arc<TagSketch> {
        self.sketch.clone()
    }

    /// The live series of a key.
    pub fn lookup(&self, db: DbId, key: &[u8]) -> Option<SeriesId> {
        self.find(hash_key(db, key), db, key).map(SeriesId).filter(|id| self.is_live(*id))
    }

    /// The id the next new series gets; all ids in use are below.
    pub fn next_id(&self) -> SeriesId {
        SeriesId(self.next)
    }

    /// Whether the id has a series that is neither retired nor dropped.
    #[inline]
    pub fn is_live(&self, id: SeriesId) -> bool {
        // Asked of every row that is written, so without a look at the series while all live.
        if !self.thinned {
            return id.0 < self.next;
        }
        self.states
            .get(id.0)
            .is_some_and(|state| !state.retired && !self.is_dropped(state.measurement))
    }

    /// The measurement of a series, retired or not.
    pub fn measurement(&self, id: SeriesId) -> Option<MeasurementId> {
        self.owner(id).map(|measurement| measurement.id)
    }

    /// The database of a series, retired or not.
    pub fn db(&self, id: SeriesId) -> Option<DbId> {
        self.owner(id).map(|measurement| measurement.db)
    }

    /// The canonical key of a series, retired or not.
    pub fn key(&self, id: SeriesId) -> Option<SeriesKey> {
        let mut bytes = Vec::new();
        self.write_key(id, &mut bytes).then(|| SeriesKey::from_bytes(&bytes)).flatten()
    }

    /// Appends the canonical key of a series; false for an unknown id.
    pub fn write_key(&self, id: SeriesId, out: &mut Vec<u8>) -> bool {
        let Some(owner) = self.owner(id) else { return false };
        let parts = self.tags(id).flat_map(|(key, value)| [key, value]);
        for part in std::iter::once(self.symbols.text(owner.name)).chain(parts) {
            out.extend_from_slice(&(part.len() as u16).to_le_bytes());
            out.extend_from_slice(part);
        }
        true
    }

    /// The value of one tag; `None` when the series lacks it.
    pub fn tag(&self, id: SeriesId, key: TagKeyNo) -> Option<&[u8]> {
        self.tag_symbol(self.states.get(id.0)?, key.0).map(|symbol| self.symbols.text(symbol))
    }

    /// The tags of a series, sorted by key; none for an unknown id.
    pub fn tags(&self, id: SeriesId) -> impl Iterator<Item = (&[u8], &[u8])> {
        let cells = self.states.get(id.0).map_or(&[][..], |state| self.cells_of(state));
        cells.iter().filter_map(|cell| {
            let cell = self.cells.get(*cell)?;
            let key = self.columns.get(cell.column)?.key;
            Some((self.symbols.text(key), self.symbols.text(cell.value)))
        })
    }

    /// The string of a symbol of this index.
    pub fn symbol(&self, symbol: Symbol) -> &[u8] {
        self.symbols.text(symbol)
    }

    /// Retires series (DROP SERIES, a DELETE or a retention that leaves no row): their ids are dead
    /// for good. About 1 µs a series; the caller passes a few thousand at a time.
    pub fn retire(&mut self, ids: &RoaringBitmap) {
        for id in ids {
            if self.retire_one(id) {
                self.retired.insert(id);
            }
        }
    }

    /// Forgets a measurement. Its series are dead at once; their memory is freed at the next start.
    pub fn drop_measurement(&mut self, id: MeasurementId) {
        let number = self.measurement_numbers.get(&id).copied();
        let Some(measurement) = number.and_then(|at| self.measurements.get_mut(at as usize)) else {
            return;
        };
        self.thinned = true;
        self.sketch.change_keys();
        let live = std::mem::take(&mut measurement.live);
        let dropped = std::mem::replace(&mut measurement.dropped, true);
        debug_assert!(!dropped || live == 0);
        if let Some(database) = self.databases.get_mut(&measurement.db) {
            database.live -= live;
        }
    }

    /// Forgets a database and all its measurements, also those that are still to come.
    pub fn drop_database(&mut self, db: DbId) {
        let database = self.databases.entry(db).or_default();
        database.dropped = true;
        for number in std::mem::take(&mut database.measurements) {
            if let Some(id) = self.measurements.get(number as usize).map(|m| m.id) {
                self.drop_measurement(id);
            }
        }
    }

    /// Number of live series of a database.
    pub fn live_series(&self, db: DbId) -> u64 {
        self.databases.get(&db).map_or(0, |database| database.live)
    }

    /// Number of live series of all databases.
    pub fn live_series_of_all(&self) -> u64 {
        self.databases.values().map(|database| database.live).sum()
    }

    /// Number of live series of a measurement.
    pub fn live_series_of(&self, measurement: MeasurementId) -> u64 {
        self.known(measurement).map_or(0, |(_, measurement)| measurement.live)
    }

    /// The measurements of a database that have a live series, in order of id.
    pub fn measurements(&self, db: DbId) -> Vec<MeasurementId> {
        let numbers = self.databases.get(&db).map_or(&[][..], |database| &database.measurements);
        let all = numbers.iter().filter_map(|number| self.measurements.get(*number as usize));
        let mut ids: Vec<_> = all.filter(|m| m.live > 0).map(|m| m.id).collect();
        ids.sort_unstable();
        ids
    }

    /// Every measurement that was defined and not dropped, in order of first definition. At start
    /// the owner drops those that the catalog does not know.
    pub fn known_measurements(&self) -> impl Iterator<Item = (DbId, MeasurementId)> {
        self.measurements.iter().filter(|m| !m.dropped).map(|m| (m.db, m.id))
    }

    /// The live series of a measurement.
    pub fn series_of(&self, measurement: MeasurementId) -> RoaringBitmap {
        self.known(measurement)
            .map(|(_, measurement)| self.postings.bitmap(measurement.series))
            .unwrap_or_default()
    }

    /// Bytes of memory held; walks the postings (about 20 ns each), for statistics.
    pub fn memory_bytes(&self) -> usize {
        let columns: usize = self.measurements.iter().map(|m| m.columns.capacity() * 4).sum();
        let map_entry = size_of::<(MeasurementId, u32)>() + 1;
        size_of::<Index>()
            + self.symbols.memory_bytes()
            + self.measurements.capacity() * size_of::<Measurement>()
            + columns
            + self.measurement_numbers.capacity() * map_entry
            + self.columns.memory_bytes()
            + self.cells.memory_bytes()
            + self.cell_table.memory_bytes()
            + self.postings.memory_bytes()
            + self.keys.memory_bytes()
            + self.states.memory_bytes()
            + self.series_table.memory_bytes()
    }

    /// Looks for a key in the table: the series that had it last, retired or not.
    fn find(&self, hash: u32, db: DbId, key: &[u8]) -> Option<u32> {
        self.series_table
            .find(hash, |id| self.states.get(id).is_some_and(|state| self.has_key(state, db, key)))
    }

    /// Whether a series has this key in this database.
    fn has_key(&self, state: &State, db: DbId, key: &[u8]) -> bool {
        let Some(owner) = self.measurements.get(state.measurement as usize) else { return false };
        let rest = (owner.db == db).then(|| take(key, self.symbols.text(owner.name))).flatten();
        let rest = self.cells_of(state).iter().try_fold(rest, |rest, cell| {
            let cell = self.cells.get(*cell)?;
            let column = self.columns.get(cell.column)?;
            let rest = take(rest?, self.symbols.text(column.key))?;
            Some(Some(take(rest, self.symbols.text(cell.value))?))
        });
        rest.flatten().is_some_and(<[u8]>::is_empty)
    }

    /// Whether a series has the key that these cells make in this measurement. The same key is
    /// there under another measurement after that was dropped and made again.
    fn same_key(&self, state: &State, measurement: u32, cells: &[u32]) -> bool {
        let mine = self.cells_of(state);
        if state.measurement == measurement {
            return mine == cells;
        }
        let owner = |number: u32| {
            self.measurements.get(number as usize).map(|owner| (owner.db, owner.name))
        };
        let tag = |cell: &u32| {
            let cell = self.cells.get(*cell)?;
            Some((self.columns.get(cell.column)?.key, cell.value))
        };
        owner(state.measurement) == owner(measurement)
            && mine.iter().map(tag).eq(cells.iter().map(tag))
    }

    /// Finds or makes the measurement and the cells of a key; the cells are left in `scratch`.
    fn resolve(
        &mut self,
        db: DbId,
        measurement: MeasurementId,
        key: &[u8],
    ) -> Result<u32, IndexError> {
        let (name, tags) = parse(key).ok_or(IndexError::Malformed)?;
        let number = self.measurement_number(db, measurement, name)?;
        let mut cells = std::mem::take(&mut self.scratch);
        cells.clear();
        let mut hint = 0;
        let mut rest = tags;
        while let Some((tag, value, behind)) = split_tag(rest) {
            rest = behind;
            let column = self.column(number, tag, &mut hint)?;
            cells.push(self.cell(column, value)?);
        }
        self.scratch = cells;
        Ok(number)
    }

    /// Makes the series whose cells are in `scratch`; `found` had its key before.
    fn add(
        &mut self,
        id: u32,
        measurement: u32,
        hash: u32,
        found: Option<u32>,
    ) -> Result<(), IndexError> {
        if id >= SERIES_MAX {
            return Err(IndexError::Full);
        }
        // Until the series is there, its id has none; ids passed over have none either.
        let whole = !std::mem::replace(&mut self.thinned, true) && id == self.next;
        self.next = self.next.max(id + 1);
        if self.is_dropped(measurement) {
            return Ok(());
        }
        let cells = std::mem::take(&mut self.scratch);
        let key = self.keys.push(&[&cells]).ok_or(IndexError::Full)?;
        let state = State { key, measurement, tags: cells.len() as u16, retired: false };
        self.states.put(id, state).ok_or(IndexError::Full)?;
        self.count_in(measurement, &cells, id)?;
        self.scratch = cells;
        match found {
            // A replayed definition may be older than one from a file: of the series that had a key
            // only the newest can be live.
            Some(other) if other > id => {}
            Some(other) => self.series_table.replace(hash, other, id),
            None => self.series_table.insert(hash, id),
        }
        self.thinned = !whole;
        Ok(())
    }

    fn retire_one(&mut self, id: u32) -> bool {
        let Some(state) = self.states.get(id).copied() else { return false };
        if !self.states.retire(id) {
            return false;
        }
        self.thinned = true;
        self.count_out(&state, id);
        true
    }

    fn owner(&self, id: SeriesId) -> Option<&Measurement> {
        self.measurements.get(self.states.get(id.0)?.measurement as usize)
    }

    /// The cell numbers of a series, in order of tag key.
    fn cells_of(&self, state: &State) -> &[u32] {
        self.keys.at(state.key).get(..state.tags as usize).unwrap_or(&[])
    }

    /// The value a series has in a column.
    fn tag_symbol(&self, state: &State, column: u32) -> Option<Symbol> {
        let cells = self.cells_of(state).iter().filter_map(|cell| self.cells.get(*cell));
        cells.into_iter().find(|cell| cell.column == column).map(|cell| cell.value)
    }
}

/// The hash under which the table holds a key. Part of the delta format.
fn hash_key(db: DbId, key: &[u8]) -> u32 {
    xxh3_64_with_seed(key, HASH_SEED ^ u64::from(db.0)) as u32
}

/// Checks a canonical key (whole parts, tags sorted by key and distinct) and cuts it into the
/// measurement's name and the bytes of its tags.
fn parse(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, tags) = split(key).filter(|_| key.len() <= KEY_BYTES_MAX)?;
    let (mut rest, mut last) = (tags, None);
    while !rest.is_empty() {
        let (tag, _, behind) = split_tag(rest)?;
        if last.is_some_and(|last| last >= tag) {
            return None;
        }
        (rest, last) = (behind, Some(tag));
    }
    Some((name, tags))
}

/// Takes a tag off the front: key, value, rest.
fn split_tag(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key, rest) = split(bytes)?;
    let (value, rest) = split(rest)?;
    Some((key, value, rest))
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_le_bytes(*len) as usize)
}

/// Takes a part off the front that must be `expected`.
fn take<'a>(bytes: &'a [u8], expected: &[u8]) -> Option<&'a [u8]> {
    let (part, rest) = split(bytes)?;
    (part == expected).then_some(rest)
}
