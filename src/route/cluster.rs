//! What a front end sees of the process: the catalog's read copy, and all shards behind one handle.
//!
//! Only front-end tasks wait here; shards and the catalog's owner never wait for a front end.
//! Writes take byte permits, so a slow shard slows its senders down and nobody else.

use super::admission::{self, SeriesLimits};
use super::hub::{CoreId, Event, Stream};
use super::message::{Delete, Maintenance, Mesh, Reply, Request, ShardReport, Talk, write_bytes};
use super::queries::{Kill, Queries, QueryInfo};
use super::tally::{self, Counts, Tally};
use crate::catalog::{CatalogError, Command, State};
use crate::model::{DbId, FixedMap, MeasurementId, ShardId, WriteRequest};
use crate::shard::index::{TagFilter, TagSketch};
use crate::shard::scan;
use crate::shard::{WriteError, Written};
use std::cell::{Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The core that owns the catalog's journal.
pub const CATALOG_CORE: CoreId = CoreId(0);

/// One core's view of the whole. Cloning gives another handle.
#[derive(Clone)]
pub struct Cluster {
    mesh: Mesh,
    catalog: Rc<RefCell<State>>,
    queries: Queries,
    tally: Tally,
    shards: u32,
    cores: u32,
    limits: SeriesLimits,
    /// By shard; none: every shard is asked.
    sketches: Rc<[Arc<TagSketch>]>,
    tag_keys: Rc<RefCell<TagKeys>>,
}

/// Keys of tags, sorted.
pub type TagNames = Rc<[Box<[u8]>]>;

/// The tag keys of measurements that were asked for, each with the versions of all shards from
/// before they were asked.
type TagKeys = FixedMap<MeasurementId, (Vec<u64>, TagNames)>;

/// Measurements whose tag keys are remembered.
const TAG_KEYS_MAX: usize = 4096;

/// The answer of one shard while it comes in.
pub struct Scan {
    /// `None`: the shard has nothing and was not asked.
    stream: Option<Stream<Talk>>,
    /// Who wants to know what the scan did.
    told: Vec<Told>,
}

/// Is told what a scan did when it is over, and may turn it into a failure.
pub type Told = Box<dyn Fn(&scan::Summary) -> Result<(), scan::ScanError>>;

impl Cluster {
    /// The view of the core at `mesh`, of a store of `shards` shards.
    pub fn new(mesh: Mesh, catalog: Rc<RefCell<State>>, shards: u32) -> Cluster {
        let cores = mesh.cores().count() as u32;
        let queries = Queries::new(mesh.here(), cores);
        let limits = SeriesLimits::default();
        let tally = Tally::default();
        let (sketches, tag_keys) = (Rc::new([]), Rc::default());
        Cluster { mesh, catalog, queries, tally, shards, cores, limits, sketches, tag_keys }
    }

    /// The same view with limits on new series.
    pub fn with_limits(self, limits: SeriesLimits) -> Cluster {
        Cluster { limits, ..self }
    }

    /// The same view, which asks only shards that may have something to say. `sketches`: one of
    /// each shard.
    pub fn with_sketches(self, sketches: Vec<Arc<TagSketch>>) -> Cluster {
        Cluster { sketches: sketches.into(), ..self }
    }

    /// The tag keys of the live series of some measurements, with those measurements. Shards are
    /// asked only when one of them has got or lost a tag key since.
    ///
    /// # Errors
    /// A shard that cannot answer.
    pub async fn tag_keys(
        &self,
        db: DbId,
        mut measurements: Vec<MeasurementId>,
    ) -> Result<Vec<(MeasurementId, TagNames)>, scan::ScanError> {
        measurements.sort_unstable();
        measurements.dedup();
        let versions: Vec<u64> = self.sketches.iter().map(|one| one.keys_version()).collect();
        if let Some(known) = self.known_tag_keys(&measurements, &versions) {
            return Ok(known);
        }
        let mut keys: BTreeMap<MeasurementId, BTreeSet<Box<[u8]>>> =
            measurements.iter().map(|id| (*id, BTreeSet::new())).collect();
        let (series, want) = (TagFilter::All, scan::Want::TagKeys);
        let lookup = Arc::new(scan::Lookup { db, measurements, series, within: None, want });
        let ask = |shard| {
            let lookup = lookup.clone();
            self.mesh.stream(self.core_of(shard), Request::Lookup { shard, lookup })
        };
        let mut waiting: Vec<_> = self.shards().map(ask).collect();
        for stream in &mut waiting {
            let found = match stream.next().await {
                Event::End(Reply::Found(scan::Found::TagKeys(found))) => found,
                Event::End(Reply::Found(scan::Found::Failed(error))) => return Err(error),
                _ => return Err(scan::ScanError::Lost),
            };
            for (measurement, names) in found {
                keys.entry(measurement).or_default().extend(names);
            }
        }
        let named = keys.into_iter().map(|(id, names)| (id, names.into_iter().collect()));
        let found: Vec<(MeasurementId, TagNames)> = named.collect();
        self.remember_tag_keys(&found, &versions);
        Ok(found)
    }

    /// What is remembered of all of these measurements and still holds.
    fn known_tag_keys(
        &self,
        measurements: &[MeasurementId],
        versions: &[u64],
    ) -> Option<Vec<(MeasurementId, TagNames)>> {
        let known = self.tag_keys.borrow();
        let of = |id: &MeasurementId| {
            let (at, names) = known.get(id)?;
            (*at == versions).then(|| (*id, names.clone()))
        };
        measurements.iter().map(of).collect()
    }

    /// Keeps an answer, with the versions from before it was asked for.
    fn remember_tag_keys(&self, found: &[(MeasurementId, TagNames)], versions: &[u64]) {
        if versions.len() < self.shards as usize || found.len() > TAG_KEYS_MAX {
            return;
        }
        let mut known = self.tag_keys.borrow_mut();
        if known.len() + found.len() > TAG_KEYS_MAX {
            known.clear();
        }
        for (id, names) in found {
            known.insert(*id, (versions.to_vec(), names.clone()));
        }
    }

    /// Whether a shard may have a series of a measurement that passes.
    fn may_match(&self, shard: ShardId, measurement: MeasurementId, series: &TagFilter) -> bool {
        let sketch = self.sketches.get(shard.index());
        sketch.is_none_or(|sketch| sketch.may_match(measurement, series))
    }

    /// The catalog as this core knows it. Not to be held over an await.
    pub fn catalog(&self) -> Ref<'_, State> {
        self.catalog.borrow()
    }

    /// The catalog's copy itself, for who keeps it up to date.
    pub(super) fn catalog_copy(&self) -> Rc<RefCell<State>> {
        self.catalog.clone()
    }

    /// The queries of this core.
    pub fn queries(&self) -> &Queries {
        &self.queries
    }

    /// Who asks this core.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Counts on all cores who asks, for a while.
    pub async fn watch(&self, time: Duration) -> Counts {
        let for_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let all = self.mesh.cores();
        let mut waiting: Vec<_> =
            all.map(|core| self.mesh.stream(core, Request::Watch { for_ns })).collect();
        let mut sum = Counts::new();
        for stream in &mut waiting {
            if let Event::End(Reply::Watched(counts)) = stream.next().await {
                tally::add(&mut sum, counts);
            }
        }
        sum
    }

    /// The queries of all cores, by number.
    pub async fn all_queries(&self) -> Vec<QueryInfo> {
        let mut out = Vec::new();
        for core in self.mesh.cores() {
            if let Reply::Queries(some) = self.mesh.call(core, Request::Queries).await {
                out.extend(some);
            }
        }
        out.sort_by_key(|query| query.id);
        out
    }

    /// Stops a query, whichever core runs it.
    pub async fn kill(&self, id: u64) -> Kill {
        let Some(core) = self.queries.core_of(id) else { return Kill::Unknown };
        match self.mesh.call(core, Request::Kill { id }).await {
            Reply::Killed(outcome) => outcome,
            _ => Kill::Unknown,
        }
    }

    /// This core's end of the mesh.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// Number of shards of the store.
    pub fn shard_count(&self) -> u32 {
        self.shards
    }

    /// All shards.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards).map(ShardId)
    }

    /// The core that hosts a shard.
    pub fn core_of(&self, shard: ShardId) -> CoreId {
        core_of(shard, self.cores)
    }

    /// Has the catalog decide; comes back when every core knows the outcome.
    pub async fn decide(&self, command: Command) -> Result<(), CatalogError> {
        let lost = || CatalogError::Unwritable("its core is gone".to_owned());
        let request = Request::Decide { commands: vec![command] };
        match self.mesh.call(CATALOG_CORE, request).await {
            Reply::Decided(mut answers) => answers.pop().unwrap_or_else(|| Err(lost())),
            _ => Err(lost()),
        }
    }

    /// Whether writes to some core wait for room, or soon will.
    pub fn is_crowded(&self) -> bool {
        self.mesh.cores().any(|core| self.mesh.is_crowded(core))
    }

    /// Writes to one shard; comes back when the rows are durable and visible.
    pub async fn write(&self, shard: ShardId, write: WriteRequest) -> Result<Written, WriteError> {
        if self.limits.is_off() || write.new_series.is_empty() {
            return self.write_admitted(shard, write).await;
        }
        admission::write(self, shard, write, self.limits).await
    }

    /// Writes without asking whether new series may be.
    pub(super) async fn write_admitted(
        &self,
        shard: ShardId,
        write: WriteRequest,
    ) -> Result<Written, WriteError> {
        let core = self.core_of(shard);
        let permit = self.mesh.permit(core, write_bytes(&write)).await;
        match self.mesh.call_with(core, Request::Write { shard, write }, permit).await {
            Reply::Written(result) => result,
            _ => Err(WriteError::Failed("the shard's core is gone".to_owned())),
        }
    }

    /// Begins one shard's part of a question.
    pub fn scan(&self, shard: ShardId, request: Arc<scan::Request>) -> Scan {
        let asked = self.may_match(shard, request.measurement, &request.series);
        let request = Request::Scan { shard, request };
        let stream = asked.then(|| self.mesh.stream(self.core_of(shard), request));
        Scan { stream, told: Vec::new() }
    }

    /// Asks one shard's index.
    pub async fn lookup(&self, shard: ShardId, lookup: Arc<scan::Lookup>) -> Option<scan::Found> {
        let may = |measurement: &_| self.may_match(shard, *measurement, &lookup.series);
        let all = lookup.measurements.is_empty();
        if !all && !lookup.measurements.iter().any(may) && lookup.want.of_series() {
            return Some(lookup.want.nothing());
        }
        match self.mesh.call(self.core_of(shard), Request::Lookup { shard, lookup }).await {
            Reply::Found(found) => Some(found),
            _ => None,
        }
    }

    /// Deletes on one shard; gives the number of series concerned.
    pub async fn delete(&self, shard: ShardId, delete: Arc<Delete>) -> Result<u64, WriteError> {
        match self.mesh.call(self.core_of(shard), Request::Delete { shard, delete }).await {
            Reply::Deleted(result) => result,
            _ => Err(WriteError::Failed("the shard's core is gone".to_owned())),
        }
    }

    /// Flushes or compacts one shard.
    pub async fn maintain(&self, shard: ShardId, work: Maintenance) -> Result<(), String> {
        match self.mesh.call(self.core_of(shard), Request::Maintain { shard, work }).await {
            Reply::Maintained(result) => result,
            _ => Err("the shard's core is gone".to_owned()),
        }
    }

    /// What keeps some shard from taking writes, or soon will.
    pub async fn trouble(&self) -> Option<String> {
        for core in self.mesh.cores() {
            if let Reply::Health(Some(trouble)) = self.mesh.call(core, Request::Health).await {
                return Some(trouble);
            }
        }
        None
    }

    /// Counters of every shard, by core.
    pub async fn report(&self) -> Vec<(CoreId, Vec<ShardReport>)> {
        let mut out = Vec::new();
        for core in self.mesh.cores() {
            if let Reply::Report(shards) = self.mesh.call(core, Request::Report).await {
                out.push((core, shards));
            }
        }
        out
    }
}

impl Scan {
    /// The same, telling somebody what the scan did.
    pub fn telling(mut self, told: Told) -> Scan {
        self.told.push(told);
        self
    }

    /// The next part; `Err` with the outcome at the end.
    pub async fn next(&mut self) -> Result<scan::Part, Result<scan::Summary, scan::ScanError>> {
        let Some(stream) = &mut self.stream else { return Err(self.tell(Default::default())) };
        match stream.next().await {
            Event::Part(part) => Ok(part),
            Event::End(Reply::Scanned(outcome)) => {
                Err(outcome.and_then(|summary| self.tell(summary)))
            }
            Event::End(_) => Err(Err(scan::ScanError::Lost)),
        }
    }

    fn tell(&self, summary: scan::Summary) -> Result<scan::Summary, scan::ScanError> {
        self.told.iter().try_for_each(|told| told(&summary)).map(|()| summary)
    }
}

/// The core that hosts a shard: round robin, so a store of S shards runs on any number of cores.
pub fn core_of(shard: ShardId, cores: u32) -> CoreId {
    CoreId(shard.0 % cores.max(1))
}
