//! The life of one core: joins the mesh, opens its shards, serves the others, listens, drains,
//! ends.
//!
//! In: a plan made by the main thread. Out: events. The first core also reads the `STORE` file and
//! the catalog's journal; the others wait for what it finds.

use super::phase::{Event, Found, Phase, Shared};
use super::sockets;
use crate::api::{Facts, Front, chores};
use crate::catalog::{Owner, State, owner};
use crate::config::Config;
use crate::env::real::{self, RealEnv};
use crate::env::{Disk, Env, Queue, Task};
use crate::listen::accept::{self, Floor};
use crate::listen::tls::Tls;
use crate::listen::{Connections, Door, forward, udp};
use crate::model::ShardId;
use crate::route::Cluster;
use crate::route::admission::SeriesLimits;
use crate::route::cluster::CATALOG_CORE;
use crate::route::host::{self, Host};
use crate::route::mesh;
use crate::route::message::{Mesh, Talk};
use crate::shard::journal::{self, Journal};
use crate::shard::log::Identity;
use crate::shard::{Opened, Shard, store};
use crate::stats::StreamDoor;
use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// How often the phase is looked at while the server starts or ends, and while it serves.
const LOOK_SOON: Duration = Duration::from_millis(2);
const LOOK: Duration = Duration::from_millis(20);
/// How often counters and silent connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);
/// The journal's name in the epoch's folder.
const CATALOG: &str = "catalog";

/// What a core is given.
pub struct Plan {
    pub config: Arc<Config>,
    pub facts: Facts,
    pub data: PathBuf,
    pub cores: usize,
    /// Shards of a new store.
    pub new_shards: u32,
    pub memory: u64,
    pub mesh: mesh::Plan<Talk>,
    pub shared: Arc<Shared>,
    pub events: Sender<Event>,
    /// This core's sockets, bound and not listening.
    pub sockets: Vec<(Door, OwnedFd)>,
    /// Certificate and key of the HTTPS listeners.
    pub tls: Option<Tls>,
}

/// Runs a core until the process ends.
pub async fn run(plan: Plan, env: RealEnv) -> Result<(), String> {
    real::probe(&plan.data).await.map_err(|error| format!("{}: {error}", plan.data.display()))?;
    let budget = usize::try_from(plan.config.mesh_in_flight.0).unwrap_or(usize::MAX) / plan.cores;
    let mesh: Mesh = mesh::join(plan.mesh.clone(), plan.cores, budget.max(1 << 20), &env).await?;
    let (found, owner) = find(&plan, &env, &mesh).await?;
    let catalog = Rc::new(RefCell::new(State::clone(&found.catalog)));
    let shards = open_shards(&plan, &env, &mesh, &found).await?;
    for shard in &shards {
        watch_shard(&env, shard.clone(), plan.events.clone());
    }
    let limits = SeriesLimits {
        series: plan.config.data_max_series as u64,
        values: plan.config.data_max_values as u64,
    };
    let cluster = Cluster::new(mesh, catalog, found.store.shards).with_limits(limits);
    let host = Host::serve(env.clone(), &cluster, shards, owner);
    watch_catalog(&env, host, plan.events.clone());
    tell(&plan.events, Event::CoreReady);
    wait_for(&env, &plan.shared, Phase::Serving, LOOK_SOON).await;
    let cluster = cluster.with_sketches(plan.shared.sketches());
    let front = Rc::new(Front::new(env.clone(), cluster, plan.facts.clone()));
    serve(plan, &env, front).await
}

fn tell(events: &Sender<Event>, event: Event) {
    // The main thread outlives the cores; when it is gone the process is, too.
    let _ = events.send(event);
}

async fn wait_for(env: &RealEnv, shared: &Shared, phase: Phase, pause: Duration) {
    while shared.phase() < phase {
        env.sleep(pause).await;
    }
}

/// The store and the catalog: read on the catalog's core, published to the others.
async fn find(
    plan: &Plan,
    env: &RealEnv,
    mesh: &Mesh,
) -> Result<(Found, Option<Owner<RealEnv>>), String> {
    if mesh.here() == CATALOG_CORE {
        let (found, owner) = read(plan, env).await?;
        plan.shared.publish(found.clone());
        tell(&plan.events, Event::StoreFound { shards: found.store.shards });
        return Ok((found, Some(owner)));
    }
    loop {
        if let Some(found) = plan.shared.found() {
            return Ok((found, None));
        }
        if plan.shared.phase() > Phase::Serving {
            return Err("the start was given up".to_owned());
        }
        env.sleep(LOOK_SOON).await;
    }
}

async fn read(plan: &Plan, env: &RealEnv) -> Result<(Found, Owner<RealEnv>), String> {
    let store = store::open_or_create(env, &plan.data, plan.new_shards)
        .await
        .map_err(|error| error.to_string())?;
    let dir = store::epoch_dir(&plan.data, store.epoch);
    // The journal is the whole store's; its name keeps it apart from the first shard's manifest.
    let identity = Identity { store: store.id, shard: ShardId(0), epoch: store.epoch };
    refuse_lost_catalog(env, &dir).await?;
    let (journal, snapshot, edits): (Journal<RealEnv>, _, _) =
        journal::open(env.clone(), &dir, CATALOG, identity)
            .await
            .map_err(|error| format!("the catalog cannot be read: {error}"))?;
    let state = owner::restore(snapshot.as_deref(), &edits)
        .ok_or_else(|| format!("the catalog in {} is damaged", dir.display()))?;
    let found = Found { store, catalog: Arc::new(state.clone()) };
    Ok((found, Owner::new(state, journal)))
}

/// With shards and without a catalog everything stored would count as dropped.
async fn refuse_lost_catalog(env: &RealEnv, dir: &std::path::Path) -> Result<(), String> {
    let names = env.disk().list(dir).await.map_err(|e| format!("{}: {e}", dir.display()))?;
    let has = |prefix: &str| names.iter().any(|name| name.starts_with(prefix));
    if has("shard-") && !has(&format!("{CATALOG}-")) {
        let dir = dir.display();
        return Err(format!(
            "{dir} has shards and no {CATALOG}; bring the file back or move the data away"
        ));
    }
    Ok(())
}

async fn open_shards(
    plan: &Plan,
    env: &RealEnv,
    mesh: &Mesh,
    found: &Found,
) -> Result<Vec<Shard<RealEnv>>, String> {
    let dir = store::epoch_dir(&plan.data, found.store.epoch);
    let options = super::limits::shard_options(&plan.config, found.store.shards, plan.memory);
    let mut shards = Vec::new();
    for id in host::shards_of(mesh.here(), found.store.shards, plan.cores as u32) {
        let opened = Shard::open(env, &dir, &found.store, id, options)
            .await
            .map_err(|error| format!("shard {} cannot be opened: {error}", id.0))?;
        plan.shared.publish_sketch(id, opened.shard.index().sketch());
        tell(&plan.events, Event::ShardOpen { notes: notes(id, &opened) });
        shards.push(opened.shard);
    }
    Ok(shards)
}

/// What a person should know of a shard's start.
fn notes(id: ShardId, opened: &Opened<RealEnv>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(torn) = &opened.recovered.torn {
        let (file, offset, bytes) = (torn.file.display(), torn.offset, torn.bytes);
        notes.push(format!(
            "shard {}: a commit that was never finished was dropped ({file}, offset {offset}, \
             {bytes} bytes); nothing acknowledged is missing",
            id.0
        ));
    }
    for lost in &opened.recovered.lost {
        notes.push(format!("shard {}: acknowledged records are lost: {lost:?}", id.0));
    }
    for name in &opened.quarantined {
        notes.push(format!("shard {}: {name} is unknown and was moved to quarantine", id.0));
    }
    notes
}

fn watch_shard(env: &RealEnv, shard: Shard<RealEnv>, events: Sender<Event>) {
    let watch = async move {
        let reason = shard.failed().await;
        tell(&events, Event::Failed(format!("shard {} has failed: {reason}", shard.id().0)));
    };
    env.spawn(Queue::Ingest, watch).detach();
}

fn watch_catalog(env: &RealEnv, host: Rc<Host<RealEnv>>, events: Sender<Event>) {
    let watch = async move {
        let reason = host.catalog_failed().await;
        tell(&events, Event::Failed(format!("the catalog has failed: {reason}")));
    };
    env.spawn(Queue::Ingest, watch).detach();
}

async fn serve(plan: Plan, env: &RealEnv, front: Rc<Front<RealEnv>>) -> Result<(), String> {
    let floor = Floor::new(plan.tls.clone());
    let connections = floor.connections.clone();
    for (door, socket) in plan.sockets {
        if door == Door::Stream(StreamDoor::GraphiteUdp) {
            let receiving = udp::run(front.clone(), socket, connections.clone());
            env.spawn(Queue::Ingest, receiving).detach();
            continue;
        }
        sockets::listen(&socket).map_err(|error| format!("a socket cannot listen: {error}"))?;
        let accepting = accept::run(front.clone(), socket, door, floor.clone());
        env.spawn(Queue::Ingest, accepting).detach();
    }
    forward::start(&front);
    tell(&plan.events, Event::Listening);
    if front.cluster.mesh().here() == CATALOG_CORE {
        chores::start(&front);
    }
    sweep_for_ever(env, front.clone(), connections.clone());

    wait_for(env, &plan.shared, Phase::Draining, LOOK).await;
    connections.drain();
    let ended = async {
        connections.ended().await;
        tell(&plan.events, Event::Drained);
        std::future::pending::<()>().await;
    };
    // The other cores may still need this one's shards.
    let told = wait_for(env, &plan.shared, Phase::Ending, LOOK_SOON);
    futures_lite::future::or(ended, told).await;
    connections.close_all();
    Ok(())
}

fn sweep_for_ever(env: &RealEnv, front: Rc<Front<RealEnv>>, connections: Connections) {
    let sweeper = env.clone();
    let sweep = async move {
        loop {
            sweeper.sleep(SWEEP).await;
            front.doors().idle_closed.add(connections.sweep(sweeper.now_mono()));
            let mesh = front.cluster.mesh();
            let queued: usize = mesh.cores().map(|core| mesh.queued(core)).sum();
            let (doors, sent) = (front.doors(), mesh.sent());
            doors.mesh_queued.set(queued as u64);
            doors.mesh_requests.set(sent.requests);
            doors.mesh_packets.set(sent.packets);
            doors.mesh_bundles.set(sent.bundles);
            let queues =
                [&doors.queue_ingest_ns, &doors.queue_query_ns, &doors.queue_background_ns];
            queues.iter().zip(sweeper.queue_times()).for_each(|(counter, ns)| counter.add(ns));
            let progress = sweeper.progress();
            let [stalls, stall_ns] = progress.stalls();
            doors.scheduler_stalls.set(stalls);
            doors.scheduler_stall_ns.set(stall_ns);
            doors.scheduler_turns.set(progress.turns() / 2);
            doors.tasks.set(progress.live());
        }
    };
    env.spawn(Queue::Ingest, sweep).detach();
}
