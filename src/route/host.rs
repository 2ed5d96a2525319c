//! What a core does for others: its shards' work, and on one core the catalog's.
//!
//! In: requests from the mesh. Out: replies. Each request becomes a task of the queue it belongs
//! to, so nothing here waits in the mesh's own task.

use super::admission::Admission;
use super::cluster::{CATALOG_CORE, Cluster, core_of};
use super::hub::{CoreId, Responder};
use super::message::{Delete, Maintenance, Mesh, Reply, Request, Talk};
use super::queries::Queries;
use super::tally::{Counts, Tally};
use crate::catalog::{CatalogError, Command, Owner, Record, State};
use crate::env::notify::{Giver, Notify, promise};
use crate::env::{Env, Queue, Task};
use crate::model::batch::NewSeries;
use crate::model::{DbId, FixedMap, ShardId, TimeRange};
use crate::shard::index::{Index, SelectTask};
use crate::shard::scan;
use crate::shard::{Shard, WriteError};
use roaring::RoaringBitmap;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// How often it is looked whether anybody still wants to know who asks.
const WATCH_STEP: Duration = Duration::from_millis(500);
/// Index entries looked at between two turns of other tasks.
const STEP_ENTRIES: usize = 4096;

/// The shards of one core.
pub struct Host<E: Env> {
    env: E,
    mesh: Mesh,
    catalog: Rc<RefCell<State>>,
    queries: Queries,
    tally: Tally,
    shards: FixedMap<ShardId, Shard<E>>,
    /// On the catalog's core: questions waiting for the next group.
    decisions: Option<Rc<Decisions>>,
    /// On the catalog's core: what it knows of series where these are limited.
    admission: Admission,
}

type Answers = Vec<Result<(), CatalogError>>;

#[derive(Default)]
struct Decisions {
    queue: RefCell<VecDeque<(Vec<Command>, Giver<Answers>)>>,
    filled: Notify,
    /// Why nothing is decided any more.
    failure: RefCell<Option<String>>,
    failed: Notify,
}

impl Decisions {
    fn fail(&self, reason: &str) {
        self.failure.borrow_mut().get_or_insert_with(|| reason.to_owned());
        self.failed.notify();
    }
}

impl<E: Env> Host<E> {
    /// Serves this core's requests from now on. `owner` is given on the catalog's core.
    pub fn serve(
        env: E,
        cluster: &Cluster,
        shards: Vec<Shard<E>>,
        owner: Option<Owner<E>>,
    ) -> Rc<Host<E>> {
        let shards = shards.into_iter().map(|shard| (shard.id(), shard)).collect();
        let decisions = owner.as_ref().map(|_| Rc::<Decisions>::default());
        let (mesh, catalog) = (cluster.mesh().clone(), cluster.catalog_copy());
        let (queries, tally) = (cluster.queries().clone(), cluster.tally().clone());
        let admission = Admission::default();
        let host =
            Rc::new(Host { env, mesh, catalog, queries, tally, shards, decisions, admission });
        if let (Some(owner), Some(decisions)) = (owner, &host.decisions) {
            let task = decide_all(host.clone(), owner, decisions.clone());
            host.env.spawn(Queue::Ingest, task).detach();
        }
        host.forget_unknown();
        let server = host.clone();
        host.mesh
            .serve(move |from, request, responder| server.clone().accept(from, request, responder));
        host
    }

    /// What keeps this core's shards from taking writes.
    fn trouble(&self) -> Option<String> {
        self.shards.values().find_map(Shard::trouble)
    }

    /// This core's shards.
    pub fn shards(&self) -> impl Iterator<Item = &Shard<E>> {
        self.shards.values()
    }

    /// Comes back when the catalog can decide nothing any more, with the reason; never on a core
    /// that does not own it.
    pub async fn catalog_failed(&self) -> String {
        let Some(decisions) = &self.decisions else { return std::future::pending().await };
        decisions.failed.until(|| decisions.failure.borrow().clone()).await
    }

    fn accept(self: Rc<Self>, _from: CoreId, request: Request, responder: Responder<Talk>) {
        let queue = match &request {
            Request::Write { .. }
            | Request::Unknown { .. }
            | Request::Decide { .. }
            | Request::Admit(_) => Queue::Ingest,
            Request::Apply { version, records } => {
                self.apply(*version, records);
                return responder.reply(Reply::Applied);
            }
            Request::Queries => return responder.reply(Reply::Queries(self.queries.list())),
            Request::Health => return responder.reply(Reply::Health(self.trouble())),
            Request::Kill { id } => return responder.reply(Reply::Killed(self.queries.kill(*id))),
            Request::Scan { .. } | Request::Lookup { .. } | Request::Report => Queue::Query,
            Request::Delete { .. } | Request::Maintain { .. } | Request::Watch { .. } => {
                Queue::Query
            }
        };
        let host = self.clone();
        self.env.spawn(queue, async move { host.answer(request, responder).await }).detach();
    }

    async fn answer(&self, request: Request, responder: Responder<Talk>) {
        let reply = match request {
            Request::Write { shard, write } => match self.shards.get(&shard) {
                Some(shard) => Reply::Written(shard.write(write).await),
                None => Reply::Lost,
            },
            Request::Unknown { shard, db, series } => match self.shards.get(&shard) {
                Some(shard) => Reply::Unknown(unknown(&shard.index(), db, &series)),
                None => Reply::Lost,
            },
            Request::Admit(question) => {
                Reply::Admitted(self.admission.admit(&self.env, &self.mesh, question).await)
            }
            Request::Scan { shard, request } => match self.shards.get(&shard) {
                Some(shard) => Reply::Scanned(run_scan(shard, &request, &responder).await),
                None => Reply::Lost,
            },
            Request::Lookup { shard, lookup } => match self.shards.get(&shard) {
                Some(shard) => {
                    Reply::Found(scan::lookup(shard, &lookup, || responder.is_cancelled()).await)
                }
                None => Reply::Lost,
            },
            Request::Delete { shard, delete } => match self.shards.get(&shard) {
                Some(shard) => Reply::Deleted(self.delete(shard, &delete).await),
                None => Reply::Lost,
            },
            Request::Maintain { shard, work } => match self.shards.get(&shard) {
                Some(shard) => Reply::Maintained(maintain(shard, work).await),
                None => Reply::Lost,
            },
            Request::Decide { commands } => self.decide(commands).await,
            Request::Watch { for_ns } => Reply::Watched(self.watch(for_ns, &responder).await),
            Request::Apply { .. } | Request::Queries | Request::Health | Request::Kill { .. } => {
                Reply::Lost
            }
            Request::Report => Reply::Report(
                self.shards.values().map(|s| (s.id(), s.counters(), s.gauges())).collect(),
            ),
        };
        responder.reply(reply);
    }

    /// Counts who asks, until the time is over or nobody wants to know.
    async fn watch(&self, for_ns: u64, responder: &Responder<Talk>) -> Counts {
        let window = self.tally.open();
        let until = self.env.now_mono().saturating_add(for_ns);
        while !responder.is_cancelled() {
            let left = until.saturating_sub(self.env.now_mono());
            if left == 0 {
                break;
            }
            self.env.sleep(Duration::from_nanos(left).min(WATCH_STEP)).await;
        }
        window.counts()
    }

    async fn decide(&self, commands: Vec<Command>) -> Reply {
        let Some(decisions) = &self.decisions else { return Reply::Lost };
        let (giver, answers) = promise();
        decisions.queue.borrow_mut().push_back((commands, giver));
        decisions.filled.notify();
        answers.await.map_or(Reply::Lost, Reply::Decided)
    }

    /// Brings the read copy up to date and lets the shards forget what was dropped. A copy that is
    /// ahead already (it was read from the journal) passes over what it knows.
    fn apply(&self, version: u64, records: &Arc<[Record]>) {
        let known = self.catalog.borrow().version().saturating_sub(version) as usize;
        for record in records.iter().skip(known) {
            let dropped = Dropped::by(record, &self.catalog.borrow());
            self.catalog.borrow_mut().apply(record);
            for shard in self.shards.values() {
                self.drop_in(shard, &dropped);
            }
        }
    }

    fn drop_in(&self, shard: &Shard<E>, dropped: &Dropped) {
        dropped.measurements.iter().for_each(|id| shard.drop_measurement(*id));
        dropped.databases.iter().for_each(|id| shard.drop_database(*id));
        if !dropped.partitions.is_empty() {
            shard.refuse_partitions(&dropped.partitions);
            let (shard, partitions) = (shard.clone(), dropped.partitions.clone());
            let task = async move {
                // A failure has stopped the shard, which reports it itself; a full disk lets
                // compaction try it again.
                let _ = shard.drop_partitions(&partitions).await;
            };
            self.env.spawn(Queue::Background, task).detach();
        }
    }

    /// What the catalog dropped while the shards' own files still name it.
    fn forget_unknown(&self) {
        let catalog = self.catalog.borrow();
        for shard in self.shards.values() {
            let mut dropped = Dropped::default();
            let known: Vec<_> = shard.index().known_measurements().collect();
            for (db, measurement) in known {
                if catalog.database_by_id(db).is_none() {
                    dropped.databases.push(db);
                } else if catalog.measurement_name(measurement).is_none() {
                    dropped.measurements.push(measurement);
                }
            }
            dropped.databases.dedup();
            let partitions = shard.partitions();
            dropped.partitions = partitions;
            dropped.partitions.retain(|id| catalog.partition(*id).is_none());
            self.drop_in(shard, &dropped);
        }
    }

    async fn delete(&self, shard: &Shard<E>, delete: &Delete) -> Result<u64, WriteError> {
        let mut series = RoaringBitmap::new();
        for measurement in &delete.measurements {
            let mut task = SelectTask::new(&shard.index(), *measurement, &delete.series);
            loop {
                let step = task.step(&shard.index(), STEP_ENTRIES);
                if let Poll::Ready(found) = step {
                    series |= found;
                    break;
                }
                self.env.yield_now().await;
            }
        }
        let count = series.len();
        if count == 0 {
            return Ok(0);
        }
        let _watch = shard.watch_appends();
        shard.delete(series.clone(), delete.range.unwrap_or(TimeRange::ALL)).await?;
        let empty = match delete.range {
            None => series,
            Some(_) => scan::without_rows(shard, series).await,
        };
        if !empty.is_empty() {
            shard.retire(empty).await?;
        }
        Ok(count)
    }
}

/// Places of the keys that have no live series.
fn unknown(index: &Index, db: DbId, series: &[NewSeries]) -> Vec<u32> {
    let places = (0u32..).zip(series);
    let new = places.filter(|(_, one)| index.lookup(db, &one.key).is_none());
    new.map(|(place, _)| place).collect()
}

async fn maintain<E: Env>(shard: &Shard<E>, work: Maintenance) -> Result<(), String> {
    shard.flush().await?;
    match work {
        Maintenance::Flush => Ok(()),
        Maintenance::Compact => shard.compact().await,
    }
}

async fn run_scan<E: Env>(
    shard: &Shard<E>,
    request: &Arc<scan::Request>,
    responder: &Responder<Talk>,
) -> Result<scan::Summary, scan::ScanError> {
    scan::run(shard, request, async |part| responder.part(part).await, || responder.is_cancelled())
        .await
}

/// Things that a record takes away.
#[derive(Default)]
struct Dropped {
    databases: Vec<crate::model::DbId>,
    measurements: Vec<crate::model::MeasurementId>,
    partitions: Vec<crate::model::PartitionId>,
}

impl Dropped {
    /// What `record` takes away from `state`, which has not applied it yet.
    fn by(record: &Record, state: &State) -> Dropped {
        let mut dropped = Dropped::default();
        let all = |policy| state.partitions_in(policy, TimeRange::new(i64::MIN, i64::MAX));
        match record {
            Record::DropDatabase { id } => {
                dropped.databases.push(*id);
                let policies = state.database_by_id(*id).map(|db| db.policies.clone());
                let policies = policies.unwrap_or_default();
                dropped.partitions = policies.into_iter().flat_map(all).map(|p| p.id).collect();
            }
            Record::DropPolicy { policy } => {
                dropped.partitions = all(*policy).into_iter().map(|p| p.id).collect();
            }
            Record::DropMeasurement { id } => dropped.measurements.push(*id),
            Record::DropPartition { id } => dropped.partitions.push(*id),
            _ => {}
        }
        dropped
    }
}

/// The catalog's own task: groups of questions become one durable write, then every core applies
/// the records, then the askers are told. So whoever was told finds every core knowing it.
async fn decide_all<E: Env>(host: Rc<Host<E>>, mut owner: Owner<E>, decisions: Rc<Decisions>) {
    loop {
        let take = || {
            let mut queue = decisions.queue.borrow_mut();
            (!queue.is_empty()).then(|| std::mem::take(&mut *queue))
        };
        let group = decisions.filled.until(take).await;
        let version = owner.state().version();
        let commands: Vec<Command> =
            group.iter().flat_map(|(commands, _)| commands.iter().cloned()).collect();
        let (answers, records) = owner.submit(&commands, || host.catalog.borrow().clone()).await;
        if !records.is_empty() {
            broadcast(&host.mesh, version, records.into()).await;
        }
        let mut answers = answers.into_iter();
        for (commands, giver) in group {
            giver.keep(answers.by_ref().take(commands.len()).collect());
        }
        if decisions.queue.borrow().is_empty() {
            owner.rest().await;
        }
        if let Some(reason) = owner.failure() {
            decisions.fail(reason);
        }
    }
}

async fn broadcast(mesh: &Mesh, version: u64, records: Arc<[Record]>) {
    let apply = || Request::Apply { version, records: records.clone() };
    let mut waiting: Vec<_> = mesh.cores().map(|core| mesh.stream(core, apply())).collect();
    for stream in &mut waiting {
        stream.next().await;
    }
}

/// The shards that a core hosts.
pub fn shards_of(core: CoreId, shards: u32, cores: u32) -> Vec<ShardId> {
    (0..shards).map(ShardId).filter(|shard| core_of(*shard, cores) == core).collect()
}

/// Whether a core owns the catalog.
pub fn owns_catalog(core: CoreId) -> bool {
    core == CATALOG_CORE
}
