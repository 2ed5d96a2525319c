//! Several cores in one simulated thread: catalog, shards and mesh together, one packet at a time.

use super::cluster::Cluster;
use super::host::{Host, owns_catalog, shards_of};
use super::hub::{CoreId, Hub};
use super::message::{Maintenance, Mesh};
use crate::catalog::{CatalogError, Command, Names, Owner, State, owner};
use crate::env::sim::{Image, ROOT, Sim, SimEnv};
use crate::env::{Env, Queue, Task};
use crate::model::batch::NewSeries;
use crate::model::{
    Batch, ColumnId, FieldType, SeriesKey, SeriesRef, ShardId, TimeRange, Value, WriteRequest,
};
use crate::shard::log::{self, Identity};
use crate::shard::store::Store;
use crate::shard::{Options, Shard, journal, testing};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

const SHARDS: u32 = 5;

fn options() -> Options {
    let log =
        log::Options { file_bytes: 128 << 10, first_file_bytes: 64 << 10, ..Default::default() };
    Options {
        log,
        head_bytes_max: 1 << 20,
        head_age_max: Duration::from_secs(600),
        log_bytes_max: 1 << 30,
        compact_idle: Duration::from_secs(300),
        cache_bytes: 1 << 20,
        free_bytes_min: 0,
    }
}

/// Starts `cores` cores over the same store and gives the view of each.
pub(crate) async fn start(sim: &Sim, cores: u32) -> Vec<Cluster> {
    let store = Store { id: 3, shards: SHARDS, epoch: 1 };
    let hubs: Vec<Mesh> = (0..cores).map(|core| Hub::new(CoreId(core), cores, 1 << 20)).collect();
    for from in &hubs {
        for to in hubs.iter().filter(|to| to.here() != from.here()) {
            let (from, to) = (from.clone(), to.clone());
            let env = sim.env(from.here().0 as usize);
            let pump = {
                let env = env.clone();
                async move {
                    loop {
                        for packet in from.outgoing(to.here()).await {
                            env.yield_now().await;
                            to.receive(from.here(), packet);
                        }
                    }
                }
            };
            env.spawn(Queue::Ingest, pump).detach();
        }
    }
    let mut clusters = Vec::new();
    let (owner, state) = open_catalog(&sim.env(0), &store).await;
    let mut owner = Some(owner);
    for mesh in hubs {
        let env = sim.env(mesh.here().0 as usize);
        let mut shards = Vec::new();
        for id in shards_of(mesh.here(), SHARDS, cores) {
            let opened = Shard::open(&env, Path::new(ROOT), &store, id, options()).await;
            shards.push(opened.unwrap_or_else(|error| panic!("{error}")).shard);
        }
        let catalog = Rc::new(RefCell::new(state.clone()));
        let owner = if owns_catalog(mesh.here()) { owner.take() } else { None };
        let cluster = Cluster::new(mesh, catalog, SHARDS);
        Host::serve(env, &cluster, shards, owner);
        clusters.push(cluster);
    }
    clusters
}

async fn open_catalog(env: &SimEnv, store: &Store) -> (Owner<SimEnv>, State) {
    let identity = Identity { store: store.id, shard: ShardId(0), epoch: store.epoch };
    let opened = journal::open(env.clone(), Path::new(ROOT), "catalog", identity).await;
    let (journal, snapshot, edits) = opened.unwrap_or_else(|error| panic!("{error}"));
    let state = owner::restore(snapshot.as_deref(), &edits).unwrap();
    (Owner::new(state.clone(), journal), state)
}

fn create(name: &str) -> Command {
    Command::CreateDatabase { name: name.to_owned(), policy: None }
}

/// Writes one row of each of 40 series from this core's view.
async fn write(cluster: &Cluster, value: f64) {
    let (db, policy) = {
        let catalog = cluster.catalog();
        let db = catalog.database("d").unwrap();
        (db.id, db.default_policy.unwrap())
    };
    let names = Names {
        measurements: vec![b"m".as_slice().into()],
        fields: vec![(b"m".as_slice().into(), b"v".as_slice().into(), FieldType::Float)],
        times: vec![1000],
        mix_types: false,
    };
    cluster.decide(Command::Resolve { policy, names }).await.unwrap();
    for shard in cluster.shards() {
        let keys: Vec<SeriesKey> = (0..40u32)
            .map(|n| SeriesKey::build(b"m", &[(b"n", n.to_string().as_bytes())]).unwrap())
            .filter(|key| key.shard(SHARDS) == shard)
            .collect();
        let request = {
            let catalog = cluster.catalog();
            let measurement = catalog.measurement(db, b"m").unwrap();
            let id = ColumnId::new(catalog.field(b"v").unwrap(), FieldType::Float);
            let values = vec![Some(Value::Float(value)); keys.len()];
            let batch = Batch {
                partition: catalog.partition_at(policy, 1000).unwrap().id,
                series: (0..keys.len() as u32).map(SeriesRef::new_key).collect(),
                times: vec![1000; keys.len()],
                columns: vec![testing::column(id, &values)],
            };
            let new = |key: &SeriesKey| NewSeries { measurement, key: key.as_bytes().into() };
            WriteRequest { db, new_series: keys.iter().map(new).collect(), batches: vec![batch] }
        };
        let written = cluster.write(shard, request).await.unwrap();
        assert_eq!(written.ids.len(), keys.len());
    }
}

async fn points(cluster: &Cluster) -> u64 {
    let report = cluster.report().await;
    report.iter().flat_map(|(_, shards)| shards).map(|(_, _, gauges)| gauges.head_rows).sum()
}

#[test]
fn what_one_core_is_told_every_core_knows() {
    for cores in [1, 2, 3, 8] {
        let sim = Sim::new(u64::from(cores));
        sim.run(async {
            let clusters = start(&sim, cores).await;
            for (n, cluster) in clusters.iter().enumerate() {
                cluster.decide(create(&format!("d{n}"))).await.unwrap();
                for other in &clusters {
                    assert!(other.catalog().database(&format!("d{n}")).is_some());
                }
            }
            let bad = clusters[0].decide(create("a/b")).await;
            assert_eq!(bad, Err(CatalogError::InvalidName));
        })
        .unwrap();
    }
}

#[test]
fn any_core_writes_to_all_shards_and_a_drop_empties_them() {
    for cores in [1, 2, 8] {
        let sim = Sim::new(10 + u64::from(cores));
        sim.run(async {
            let clusters = start(&sim, cores).await;
            let last = clusters.last().unwrap();
            last.decide(create("d")).await.unwrap();
            write(last, 1.0).await;
            assert_eq!(points(&clusters[0]).await, 40);
            for shard in last.shards() {
                last.maintain(shard, Maintenance::Compact).await.unwrap();
            }
            let partition = {
                let catalog = last.catalog();
                let policy = catalog.database("d").unwrap().default_policy.unwrap();
                catalog.partitions_in(policy, TimeRange::ALL)[0].id
            };
            last.decide(Command::DropPartition { id: partition }).await.unwrap();
            sim.env(0).sleep(Duration::from_secs(3)).await;
            let files: u64 = last
                .report()
                .await
                .iter()
                .flat_map(|(_, shards)| shards)
                .map(|(_, _, gauges)| gauges.segment_files)
                .sum();
            assert_eq!(files, 0, "{cores} cores");
        })
        .unwrap();
    }
}

#[test]
fn a_store_is_served_by_another_number_of_cores() {
    let sim = Sim::new(30);
    sim.run(async {
        let clusters = start(&sim, 2).await;
        clusters[1].decide(create("d")).await.unwrap();
        write(&clusters[1], 2.0).await;
    })
    .unwrap();
    let image = sim.disk().power_cut(crate::env::sim::CutMode::DropAll);
    for cores in [1, 3, 5, 8] {
        let sim = Sim::restart(40 + u64::from(cores), Image::clone(&image));
        sim.run(async {
            let clusters = start(&sim, cores).await;
            assert!(clusters[0].catalog().database("d").is_some());
            assert_eq!(points(&clusters[0]).await, 40, "{cores} cores");
        })
        .unwrap();
    }
}
