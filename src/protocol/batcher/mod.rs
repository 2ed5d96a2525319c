//! Rows in, one `WriteRequest` per shard out. Every ingest decoder uses it; it lives as long as its
//! core, so that buffers, layouts and shapes are reused.
//!
//! In: `begin`, then rows (series, time, sorted typed values), then `finish`. A row goes to a Batch
//! of its (shard, partition) whose columns hold all its fields; `place` decides which. What comes
//! back from a shard goes to `ShardWrite::learned` and `Batcher::recycle`.

mod layout;
mod names;
mod place;
mod pool;
mod shape;
#[cfg(test)]
mod tests;

pub use layout::LayoutId;
pub use names::Missing;

pub(super) use names::Names;
pub(super) use shape::{Hot, MeasurementShapes, Shape, ShapeField};

use crate::catalog::State;
use crate::model::FixedMap;
use crate::model::batch::NewSeries;
use crate::model::{
    Batch, ColumnId, DbId, FieldNo, FieldType, MeasurementId, PartitionId, PolicyId, SeriesId,
    SeriesRef, ShardId, TimeRange, TypeSet, WriteRequest, series_key,
};
use crate::route::{SeriesCache, SeriesHandle};
use layout::Layouts;
use place::{BatchMeta, Order, Single};
use pool::Pool;
use shape::Shapes;

/// The expiry of a row without one that shares a Batch with rows that have one: never.
pub const EXPIRE_NEVER: i64 = i64::MAX;

/// Where the rows of a request go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    pub db: DbId,
    pub policy: PolicyId,
}

/// One value of a row, borrowed from the input.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Datum<'a> {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    String(&'a [u8]),
    /// A string of line protocol in which `\"` and `\\` stand for a quote and a backslash.
    Escaped(&'a [u8]),
}

/// A value with its column.
pub type Cell<'a> = (ColumnId, Datum<'a>);

/// Whose order of Batches counts: a measurement, or one of the single-value kinds of KairosDB's
/// doors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Owner {
    Measurement(MeasurementId),
    /// Rows of all metrics whose `value` has this column. Different kinds are different columns, so
    /// their Batches need no order between them.
    Single(ColumnId),
}

/// A row's series, found or made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    pub shard: ShardId,
    pub series: SeriesRef,
    pub measurement: MeasurementId,
    /// The field that the sender's key names beside the series; 0 for keys that name none.
    pub field: FieldNo,
    /// Types that the catalog has for the field, as far as the series cache knows.
    pub types: TypeSet,
}

/// What a request writes to one shard, and what can be learned from the answer.
#[derive(Debug)]
pub struct ShardWrite {
    pub shard: ShardId,
    pub request: WriteRequest,
    teaches: Vec<Taught>,
}

/// A keyed hash that waits for its series' id.
#[derive(Clone, Copy, Debug)]
struct Taught {
    hash: u128,
    /// Where its series stands in `new_series`.
    index: u32,
    measurement: MeasurementId,
    field: FieldNo,
}

impl ShardWrite {
    /// The hashes that wait for an id, apart from the request (which moves to its owner).
    pub fn take_lesson(&mut self) -> Lesson {
        Lesson { shard: self.shard, teaches: std::mem::take(&mut self.teaches) }
    }
}

/// The hashes of a request's new series at one shard, kept until the owner's answer comes.
#[derive(Debug, Default)]
pub struct Lesson {
    pub shard: ShardId,
    teaches: Vec<Taught>,
}

impl Lesson {
    /// Puts the owner's answer, one id per entry of `new_series` in its order, into the cache. Ids
    /// that are missing, or `SeriesId::NONE`, teach nothing.
    pub fn learned(self, ids: &[SeriesId], cache: &mut SeriesCache) {
        for Taught { hash, index, measurement, field } in self.teaches {
            let id = ids.get(index as usize).copied();
            if let Some(series) = id.filter(|id| *id != SeriesId::NONE) {
                let (shard, types) = (self.shard, TypeSet::default());
                cache.insert(hash, SeriesHandle { shard, series, measurement, field, types });
            }
        }
    }
}

/// All that a request came to.
#[derive(Debug)]
pub struct Outcome {
    pub target: Target,
    /// The catalog version the rows were checked with.
    pub version: u64,
    pub rows: u64,
    pub values: u64,
    /// Shards with rows, in order of their first row.
    pub writes: Vec<ShardWrite>,
}

/// Rows of one shard under construction.
#[derive(Default)]
struct ShardRows {
    new_series: Vec<NewSeries>,
    teaches: Vec<Taught>,
    batches: Vec<Batch>,
    meta: Vec<BatchMeta>,
    /// By type: where the last row of a single value went.
    singles: [Option<Single>; FieldType::ALL.len()],
}

impl ShardRows {
    /// Whether nothing is written to the shard yet in this request.
    fn is_untouched(&self) -> bool {
        self.new_series.is_empty() && self.batches.is_empty()
    }
}

/// Rows in, WriteRequests out.
pub struct Batcher {
    target: Target,
    version: u64,
    /// Number of the request; marks what belongs to an earlier one as stale.
    request: u32,
    /// Times before it are beyond the policy's retention (ns).
    oldest: i64,
    /// The partition of the row before.
    recent: Option<(TimeRange, PartitionId)>,
    shards: Vec<ShardRows>,
    touched: Vec<ShardId>,
    /// Series without an id met in this request.
    pending: FixedMap<u128, Placed>,
    orders: FixedMap<(Owner, ShardId, PartitionId), Order>,
    /// The Batch opened last for a layout.
    latest: FixedMap<(ShardId, PartitionId, LayoutId), u32>,
    layouts: Layouts,
    pub(super) shapes: Shapes,
    pub(super) names: Names,
    pool: Pool,
    key: Vec<u8>,
    rows: u64,
    values: u64,
}

impl Default for Batcher {
    fn default() -> Batcher {
        Batcher::new()
    }
}

impl Batcher {
    /// A batcher without buffers.
    pub fn new() -> Batcher {
        Batcher {
            target: Target { db: DbId(0), policy: PolicyId(0) },
            version: 0,
            request: 0,
            oldest: i64::MIN,
            recent: None,
            shards: Vec::new(),
            touched: Vec::new(),
            pending: FixedMap::default(),
            orders: FixedMap::default(),
            latest: FixedMap::default(),
            layouts: Layouts::default(),
            shapes: Shapes::default(),
            names: Names::default(),
            pool: Pool::default(),
            key: Vec::new(),
            rows: 0,
            values: 0,
        }
    }

    /// Starts a request, dropping one that was not finished.
    pub fn begin(&mut self, target: Target) {
        self.reset();
        self.target = target;
        if self.layouts.is_full() || self.shapes.is_full() {
            self.layouts.clear();
            self.shapes.clear();
            self.pool.clear();
        }
    }

    /// The database and policy of the request.
    pub fn target(&self) -> Target {
        self.target
    }

    /// The catalog version names are checked with.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Number of the request.
    pub(super) fn request(&self) -> u32 {
        self.request
    }

    /// Takes over the catalog's state at the start of a decoding call.
    pub fn enter(&mut self, catalog: &State, now_ns: i64, shards: u32) {
        if self.shards.len() < shards as usize {
            self.shards.resize_with(shards as usize, ShardRows::default);
        }
        if self.version != catalog.version() {
            self.version = catalog.version();
            self.recent = None;
        }
        let duration = catalog.policy_by_id(self.target.policy).map_or(0, |p| p.spec.duration_ns);
        self.oldest = if duration > 0 { now_ns.saturating_sub(duration) } else { i64::MIN };
        self.names.clear();
    }

    /// Whether a time lies before what the policy keeps.
    #[inline]
    pub fn is_beyond_retention(&self, time: i64) -> bool {
        time < self.oldest
    }

    /// The partition that holds `time`; `None` when the catalog has none there yet.
    #[inline]
    pub fn partition(&mut self, catalog: &State, time: i64) -> Option<PartitionId> {
        if let Some((range, id)) = self.recent
            && range.contains(time)
        {
            return Some(id);
        }
        let found = catalog.partition_at(self.target.policy, time)?;
        self.recent = Some((found.range, found.id));
        Some(found.id)
    }

    /// The series of a keyed hash: from the cache, or met earlier in this request.
    #[inline]
    pub fn find_series(&mut self, cache: &mut SeriesCache, hash: u128) -> Option<Placed> {
        if let Some(handle) = cache.get(hash) {
            let SeriesHandle { shard, series, measurement, field, types } = handle;
            let series = SeriesRef::known(series);
            return Some(Placed { shard, series, measurement, field, types });
        }
        self.pending.get(&hash).copied()
    }

    /// The series of several hashes at once: their places in the cache are far apart in memory and
    /// do not wait for one another. A loop that also decoded would look one up at a time.
    pub fn find_many(
        &mut self,
        cache: &mut SeriesCache,
        hashes: impl Iterator<Item = u128>,
        out: &mut Vec<Option<Placed>>,
    ) {
        out.clear();
        out.extend(hashes.map(|hash| self.find_series(cache, hash)));
    }

    /// A series that `find_series` did not find (or whose measurement is gone): its key travels
    /// with the request, and `hash` is taught when the owner answers. `tags` must be sorted and
    /// distinct. `None` when the key is too long.
    pub fn new_series(
        &mut self,
        hash: u128,
        measurement: MeasurementId,
        name: &[u8],
        tags: &[(&[u8], &[u8])],
    ) -> Option<Placed> {
        self.new_series_of_field(hash, (measurement, FieldNo(0)), name, tags)
    }

    /// The same for a key that names a field beside the series.
    pub fn new_series_of_field(
        &mut self,
        hash: u128,
        (measurement, field): (MeasurementId, FieldNo),
        name: &[u8],
        tags: &[(&[u8], &[u8])],
    ) -> Option<Placed> {
        if let Some(placed) = self.pending.get(&hash) {
            return Some(*placed);
        }
        self.key.clear();
        if !series_key::write_key(name, tags, &mut self.key) {
            return None;
        }
        let shards = self.shards.len() as u32;
        let shard = series_key::shard_of(&self.key, shards);
        let rows = self.shards.get_mut(shard.index())?;
        if rows.is_untouched() {
            self.touched.push(shard);
        }
        let index = rows.new_series.len() as u32;
        rows.new_series.push(NewSeries { measurement, key: self.key.as_slice().into() });
        rows.teaches.push(Taught { hash, index, measurement, field });
        let (series, types) = (SeriesRef::new_key(index), TypeSet::default());
        let placed = Placed { shard, series, measurement, field, types };
        self.pending.insert(hash, placed);
        Some(placed)
    }

    /// Ends the request and hands its rows over.
    pub fn finish(&mut self) -> Outcome {
        let mut writes = Vec::with_capacity(self.touched.len());
        for shard in self.touched.drain(..) {
            let Some(rows) = self.shards.get_mut(shard.index()) else { continue };
            rows.meta.clear();
            rows.singles = Default::default();
            let (new_series, batches) = self.pool.take_lists();
            let request = WriteRequest {
                db: self.target.db,
                new_series: std::mem::replace(&mut rows.new_series, new_series),
                batches: std::mem::replace(&mut rows.batches, batches),
            };
            writes.push(ShardWrite { shard, request, teaches: std::mem::take(&mut rows.teaches) });
        }
        let (target, version) = (self.target, self.version);
        let outcome = Outcome { target, version, rows: self.rows, values: self.values, writes };
        self.reset();
        outcome
    }

    /// Takes the buffers of a request back when its write is over.
    pub fn recycle(&mut self, request: WriteRequest) {
        self.pool.put(request);
    }

    fn reset(&mut self) {
        for shard in self.touched.drain(..) {
            if let Some(rows) = self.shards.get_mut(shard.index()) {
                *rows = ShardRows::default();
            }
        }
        self.request = self.request.wrapping_add(1).max(1);
        if self.request == 1 {
            self.shapes.clear();
        }
        self.recent = None;
        self.pending.clear();
        self.orders.clear();
        self.latest.clear();
        self.names.clear();
        (self.rows, self.values) = (0, 0);
    }
}
