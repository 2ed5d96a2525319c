//! Several cores in one simulated thread: catalog, shards and mesh together, one packet at a time.

use super::admission::SeriesLimits;
use super::cluster::Cluster;
use super::host::{Host, owns_catalog, shards_of};
use super::hub::{CoreId, Hub};
use super::message::{Delete, Maintenance, Mesh};
use crate::catalog::{CatalogError, Command, Names, Owner, State, owner};
use crate::env::sim::{Image, Kind, ROOT, Sim, SimEnv};
use crate::env::{Env, Queue, Task};
use crate::model::batch::NewSeries;
use crate::model::{
    Batch, ColumnId, FieldType, SeriesKey, SeriesRef, ShardId, TimeRange, Value, WriteRequest,
};
use crate::shard::index::TagFilter;
use crate::shard::log::Identity;
use crate::shard::scan::{FieldRef, Found, Lookup, Order, Output, Request, Want};
use crate::shard::store::Store;
use crate::shard::{Shard, journal, testing};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const SHARDS: u32 = 5;

/// Starts `cores` cores over the same store and gives the view of each.
pub(crate) async fn start(sim: &Sim, cores: u32) -> Vec<Cluster> {
    start_with(sim, cores, SHARDS).await
}

/// Starts `cores` cores over the same store of so many shards and gives the view of each.
pub(crate) async fn start_with(sim: &Sim, cores: u32, shard_count: u32) -> Vec<Cluster> {
    let hosts = start_hosts(sim, cores, shard_count).await;
    hosts.into_iter().map(|(cluster, _)| cluster).collect()
}

/// As `start_with`, with the serving side of each core.
async fn start_hosts(sim: &Sim, cores: u32, shard_count: u32) -> Vec<(Cluster, Rc<Host<SimEnv>>)> {
    let store = Store { id: 3, shards: shard_count, epoch: 1 };
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
        for id in shards_of(mesh.here(), shard_count, cores) {
            let opened = Shard::open(&env, Path::new(ROOT), &store, id, testing::options()).await;
            shards.push(opened.unwrap_or_else(|error| panic!("{error}")).shard);
        }
        let catalog = Rc::new(RefCell::new(state.clone()));
        let owner = if owns_catalog(mesh.here()) { owner.take() } else { None };
        let cluster = Cluster::new(mesh, catalog, shard_count);
        let host = Host::serve(env, &cluster, shards, owner);
        clusters.push((cluster, host));
    }
    let shards = clusters.iter().flat_map(|(_, host)| host.shards());
    let sketches: BTreeMap<_, _> =
        shards.map(|shard| (shard.id(), shard.index().sketch())).collect();
    let sketches: Vec<_> = sketches.into_values().collect();
    let knowing = |(cluster, host): (Cluster, _)| (cluster.with_sketches(sketches.clone()), host);
    clusters.into_iter().map(knowing).collect()
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
    write_rows(cluster, value, 1).await;
}

/// Writes so many rows of each of 40 series, one every millisecond.
async fn write_rows(cluster: &Cluster, value: f64, rows: usize) {
    let (db, policy) = {
        let catalog = cluster.catalog();
        let db = catalog.database("d").unwrap();
        (db.id, db.default_policy.unwrap())
    };
    let names = Names {
        measurements: vec![b"m".as_slice().into()],
        fields: vec![(b"m".as_slice().into(), b"v".as_slice().into(), FieldType::Float)],
        times: vec![1000],
    };
    cluster.decide(names.resolve(policy, false)).await.unwrap();
    for shard in cluster.shards() {
        let keys: Vec<SeriesKey> = (0..40u32)
            .map(|n| SeriesKey::build(b"m", &[(b"n", n.to_string().as_bytes())]).unwrap())
            .filter(|key| key.shard(SHARDS) == shard)
            .collect();
        let request = {
            let catalog = cluster.catalog();
            let measurement = catalog.measurement(db, b"m").unwrap();
            let id = ColumnId::new(catalog.field(b"v").unwrap(), FieldType::Float);
            let values = vec![Some(Value::Float(value)); keys.len() * rows];
            let series = (0..keys.len() as u32).map(SeriesRef::new_key);
            let times = (0..rows as i64).map(|row| 1000 + row * 1_000_000);
            let batch = Batch {
                partition: catalog.partition_at(policy, 1000).unwrap().id,
                series: series.flat_map(|one| std::iter::repeat_n(one, rows)).collect(),
                times: (0..keys.len()).flat_map(|_| times.clone()).collect(),
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

/// A question for every row of the measurement that `write` fills.
fn all_rows(cluster: &Cluster) -> Arc<Request> {
    let catalog = cluster.catalog();
    let (db, policy) = {
        let db = catalog.database("d").unwrap();
        (db.id, db.default_policy.unwrap())
    };
    let column = ColumnId::new(catalog.field(b"v").unwrap(), FieldType::Float);
    Arc::new(Request {
        db,
        measurement: catalog.measurement(db, b"m").unwrap(),
        partitions: catalog.partitions_in(policy, TimeRange::ALL).iter().map(|p| p.id).collect(),
        range: TimeRange::ALL,
        now_ns: 0,
        series: TagFilter::All,
        filter: None,
        fields: vec![FieldRef { columns: vec![column], kind: FieldType::Float }],
        tags: Vec::new(),
        group_by: Vec::new(),
        output: Output::Rows { visible: 1, limit: None },
        order: Order::Ascending,
        memory_bytes: 64 << 20,
        rows_max: 0,
        deadline_ns: 0,
    })
}

/// The answers of all shards at once; a question is killed by dropping this future.
async fn read_all(cluster: &Cluster, request: &Arc<Request>) -> usize {
    let mut rows = 0;
    let scans: Vec<_> =
        cluster.shards().map(|shard| cluster.scan(shard, request.clone())).collect();
    for mut scan in scans {
        while let Ok(part) = scan.next().await {
            let crate::shard::scan::Part::Rows(pieces) = part else { panic!("rows") };
            rows += pieces.iter().map(|rows| rows.times.len()).sum::<usize>();
        }
    }
    rows
}

#[test]
fn shards_that_cannot_match_are_not_asked() {
    let sim = Sim::new(49);
    sim.run(async {
        let clusters = start(&sim, SHARDS).await;
        let asker = &clusters[0];
        asker.decide(create("d")).await.unwrap();
        write(asker, 1.0).await;
        let is = |value: &str| TagFilter::Equals {
            key: b"n".as_slice().into(),
            value: value.as_bytes().into(),
        };
        let ask = async |series: TagFilter| {
            let request = Arc::new(Request { series, ..Request::clone(&all_rows(asker)) });
            let before = asker.mesh().sent().requests;
            let rows = read_all(asker, &request).await;
            (rows, asker.mesh().sent().requests - before)
        };
        // Core 0 asks itself without a message.
        assert_eq!(ask(TagFilter::All).await, (40, u64::from(SHARDS) - 1));
        for number in 0..40u32 {
            let value = number.to_string();
            let key = SeriesKey::build(b"m", &[(b"n", value.as_bytes())]).unwrap();
            let away = u64::from(key.shard(SHARDS) != ShardId(0));
            assert_eq!(ask(is(&value)).await, (1, away), "series {value}");
        }
        assert_eq!(ask(is("nobody")).await, (0, 0));
        let count = async |series| {
            let (db, measurements) = (all_rows(asker).db, vec![all_rows(asker).measurement]);
            let lookup = Lookup { db, measurements, series, within: None, want: Want::Count };
            let (lookup, mut sum) = (Arc::new(lookup), 0);
            for shard in asker.shards() {
                let found = asker.lookup(shard, lookup.clone()).await;
                let Some(Found::Count(counts)) = found else { panic!("a count") };
                sum += counts.iter().map(|(_, count)| count).sum::<u64>();
            }
            sum
        };
        assert_eq!((count(is("7")).await, count(is("nobody")).await), (1, 0));
    })
    .unwrap();
}

#[test]
fn tag_keys_are_asked_for_when_one_comes_or_goes() {
    let sim = Sim::new(51);
    sim.run(async {
        let clusters = start(&sim, 3).await;
        let asker = &clusters[0];
        asker.decide(create("d")).await.unwrap();
        write(asker, 1.0).await;
        let measurement = all_rows(asker).measurement;
        let db = all_rows(asker).db;
        let ask = async || {
            let before = asker.mesh().sent().requests;
            let found = asker.tag_keys(db, vec![measurement]).await.unwrap();
            let names: Vec<Vec<u8>> = found[0].1.iter().map(|name| name.to_vec()).collect();
            (found.len(), names, asker.mesh().sent().requests > before)
        };
        assert_eq!(ask().await, (1, vec![b"n".to_vec()], true));
        assert_eq!(ask().await, (1, vec![b"n".to_vec()], false));
        // Another row of a known series changes nothing, another tag key does.
        write(&clusters[1], 2.0).await;
        assert_eq!(ask().await, (1, vec![b"n".to_vec()], false));
        let key = SeriesKey::build(b"m", &[(b"other", b"x")]).unwrap();
        let new = NewSeries { measurement, key: key.as_bytes().into() };
        let request = {
            let catalog = asker.catalog();
            let policy = catalog.database("d").unwrap().default_policy.unwrap();
            let id = ColumnId::new(catalog.field(b"v").unwrap(), FieldType::Float);
            let batch = Batch {
                partition: catalog.partition_at(policy, 1000).unwrap().id,
                series: vec![SeriesRef::new_key(0)],
                times: vec![1000],
                columns: vec![testing::column(id, &[Some(Value::Float(3.0))])],
            };
            WriteRequest { db, new_series: vec![new], batches: vec![batch] }
        };
        clusters[2].write(key.shard(SHARDS), request).await.unwrap();
        let both = vec![b"n".to_vec(), b"other".to_vec()];
        assert_eq!(ask().await, (1, both.clone(), true));
        assert_eq!(ask().await, (1, both, false));
        let delete = Delete {
            measurements: vec![measurement],
            series: TagFilter::Equals {
                key: b"other".as_slice().into(),
                value: b"x".as_slice().into(),
            },
            range: None,
        };
        let delete = Arc::new(delete);
        clusters[1].delete(key.shard(SHARDS), delete).await.unwrap();
        assert_eq!(ask().await, (1, vec![b"n".to_vec()], true));
    })
    .unwrap();
}

#[test]
fn dropping_a_question_ends_its_work_on_every_shard() {
    for cores in [1, 2, 5] {
        let sim = Sim::new(50 + u64::from(cores));
        sim.run(async {
            let clusters = start(&sim, cores).await;
            let env = sim.env(0);
            clusters[0].decide(create("d")).await.unwrap();
            write_rows(&clusters[0], 1.0, 4_000).await;
            let asker = clusters.last().unwrap();
            for shard in asker.shards() {
                asker.maintain(shard, Maintenance::Flush).await.unwrap();
            }
            let request = all_rows(asker);
            assert_eq!(read_all(asker, &request).await, 160_000);
            let working = || clusters.iter().map(|one| one.mesh().serving_now()).sum::<usize>();
            assert_eq!(working(), 0);
            // Killed before anything came, in the middle, and while all wait for credits.
            for micros in [0, 50, 300, 1_000, 5_000, 100_000] {
                let killed = async {
                    env.sleep(Duration::from_micros(micros)).await;
                    assert!(working() > 0, "{cores} cores, after {micros} us");
                    None
                };
                let mut scans: Vec<_> =
                    asker.shards().map(|shard| asker.scan(shard, request.clone())).collect();
                let slow = async {
                    let first = scans[0].next().await.ok();
                    std::future::pending::<()>().await;
                    first
                };
                let end = futures_lite::future::or(slow, killed).await;
                assert!(end.is_none());
                drop(scans);
                env.sleep(Duration::from_millis(5)).await;
                assert_eq!(working(), 0, "{cores} cores, after {micros} us");
            }
        })
        .unwrap();
    }
}

#[test]
fn a_catalog_that_cannot_be_written_says_so_at_once_and_decides_nothing_more() {
    for (kind, nth) in [(Kind::Write, 1), (Kind::Sync, 1), (Kind::Write, 2), (Kind::Sync, 2)] {
        let sim = Sim::new(60);
        sim.run(async {
            let cores = start_hosts(&sim, 2, SHARDS).await;
            let (asker, other) = (&cores[1].0, &cores[0].0);
            asker.decide(create("before")).await.unwrap();
            sim.env(0).sleep(Duration::from_secs(1)).await;
            sim.disk().fail_nth(nth, kind, 5);
            let decided = asker.decide(create("during")).await;
            let late = async {
                sim.env(0).sleep(Duration::from_millis(100)).await;
                None
            };
            let told = async { Some(cores[0].1.catalog_failed().await) };
            let reason = futures_lite::future::or(told, late).await.unwrap();
            assert!(reason.contains("catalog-"), "{reason}");
            // The second write is the seal: the decision before it stands.
            let refused = Err(CatalogError::Unwritable(reason));
            assert_eq!(decided, if nth == 1 { refused.clone() } else { Ok(()) });
            assert_eq!(other.decide(create("after")).await, refused);
            for cluster in [asker, other] {
                let catalog = cluster.catalog();
                assert_eq!(catalog.database("during").is_some(), nth == 2);
                assert!(catalog.database("after").is_none());
            }
        })
        .unwrap();
    }
}

/// A row of each of some series of one shard.
fn one_row_each(cluster: &Cluster, keys: &[&SeriesKey]) -> WriteRequest {
    let catalog = cluster.catalog();
    let db = catalog.database("d").unwrap();
    let (db, policy) = (db.id, db.default_policy.unwrap());
    let measurement = catalog.measurement(db, b"m").unwrap();
    let id = ColumnId::new(catalog.field(b"v").unwrap(), FieldType::Float);
    let values: Vec<_> = (0..keys.len()).map(|n| Some(Value::Float(n as f64))).collect();
    let batch = Batch {
        partition: catalog.partition_at(policy, 1000).unwrap().id,
        series: (0..keys.len() as u32).map(SeriesRef::new_key).collect(),
        times: vec![1000; keys.len()],
        columns: vec![testing::column(id, &values)],
    };
    let new = |key: &&SeriesKey| NewSeries { measurement, key: key.as_bytes().into() };
    WriteRequest { db, new_series: keys.iter().map(new).collect(), batches: vec![batch] }
}

/// Writes a row of some series, shard by shard, from one core; gives ids, refused rows, reasons.
async fn write_some(cluster: &Cluster, hosts: &[(&str, &str)]) -> (Vec<u32>, u64, Vec<String>) {
    let key = |(a, b): &(&str, &str)| {
        SeriesKey::build(b"m", &[(b"a", a.as_bytes()), (b"b", b.as_bytes())]).unwrap()
    };
    let keys: Vec<SeriesKey> = hosts.iter().map(key).collect();
    let (mut ids, mut rows, mut reasons) = (vec![0; hosts.len()], 0, Vec::new());
    for shard in cluster.shards() {
        let here = |at: &usize| keys[*at].shard(SHARDS) == shard;
        let places: Vec<usize> = (0..keys.len()).filter(here).collect();
        let mine: Vec<&SeriesKey> = places.iter().map(|at| &keys[*at]).collect();
        if mine.is_empty() {
            continue;
        }
        let write = one_row_each(cluster, &mine);
        let written = cluster.write(shard, write).await.unwrap();
        assert_eq!(written.ids.len(), mine.len());
        places.iter().zip(&written.ids).for_each(|(at, id)| ids[*at] = id.0);
        rows += written.refused.as_ref().map_or(0, |refused| refused.rows);
        reasons.extend(written.refused.map(|refused| refused.reason));
    }
    (ids, rows, reasons)
}

#[test]
fn limits_on_series_hold_over_all_shards_and_dropping_makes_room() {
    for cores in [1, 3] {
        let sim = Sim::new(70 + u64::from(cores));
        sim.run(async {
            let clusters = start(&sim, cores).await;
            clusters[0].decide(create("d")).await.unwrap();
            write(&clusters[0], 1.0).await;
            let limit = |series, values| SeriesLimits { series, values };
            let one = clusters[cores as usize - 1].clone().with_limits(limit(43, 0));
            let some = [("1", "x"), ("2", "x"), ("3", "x"), ("4", "x"), ("5", "x"), ("6", "x")];
            let (ids, rows, reasons) = write_some(&one, &some).await;
            assert_eq!((ids.len(), rows), (6, 3), "40 of 43 were there");
            assert_eq!(ids.iter().filter(|id| **id == u32::MAX).count(), 3);
            assert_eq!(reasons[0], "max-series-per-database limit exceeded: (43)");
            // Those that are there may be written as before.
            let known: Vec<_> = some.iter().zip(&ids).filter(|(_, id)| **id < 1 << 31).collect();
            let known: Vec<_> = known.into_iter().map(|(host, _)| *host).collect();
            assert_eq!(known.len(), 3);
            assert_eq!(write_some(&one, &known).await.1, 0);
            assert_eq!(points(&clusters[0]).await, 40 + 3 + 3);
            let measurements = {
                let catalog = one.catalog();
                vec![catalog.measurement(catalog.database("d").unwrap().id, b"m").unwrap()]
            };
            let series =
                TagFilter::Equals { key: b"b".as_slice().into(), value: b"x".as_slice().into() };
            let delete = Arc::new(Delete { measurements, series, range: None });
            for shard in one.shards() {
                one.delete(shard, delete.clone()).await.unwrap();
            }
            sim.env(0).sleep(Duration::from_secs(2)).await;
            assert_eq!(write_some(&one, &some).await.1, 3);
            let other = clusters[0].clone().with_limits(limit(0, 2));
            let some = [("7", "y"), ("8", "y"), ("9", "y"), ("8", "z")];
            let (_, rows, reasons) = write_some(&other, &some).await;
            assert_eq!(rows, 4, "of a there are three already");
            assert!(
                reasons[0].starts_with(
                    "max-values-per-tag limit exceeded (3/2): measurement=\"m\" tag=\"a\" value=\""
                ),
                "{reasons:?}"
            );
            let other = clusters[0].clone().with_limits(limit(0, 4));
            let (_, rows, reasons) = write_some(&other, &[("8", "x"), ("9", "x")]).await;
            assert_eq!(rows, 1, "one more value of a: {reasons:?}");
        })
        .unwrap();
    }
}
