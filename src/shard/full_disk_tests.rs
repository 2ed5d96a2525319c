//! A disk that fills up: background work takes back what it made and is done later, acknowledged
//! rows stay, writes are refused when the head has reached its bound, and room sets all going.

use super::life_tests::{STORE, Step, key_of, model, read, request, run_step};
use super::log;
use super::testing::options;
use super::{Opened, Options, Shard, WriteError};
use crate::env::sim::{CutMode, Kind, ROOT, Sim, SimEnv};
use crate::env::{Disk, Env};
use crate::model::{DbId, ShardId, TimeRange};
use roaring::RoaringBitmap;
use std::path::Path;
use std::time::Duration;

async fn opened(env: &SimEnv, options: Options) -> Opened<SimEnv> {
    let opened = Shard::open(env, Path::new(ROOT), &STORE, ShardId(0), options).await;
    opened.unwrap_or_else(|error| panic!("{error}"))
}

fn rows(series: u32, count: i64) -> Step {
    Step::Write((0..count).map(|n| (series, n, 1, n * 7_919_777_777)).collect())
}

/// What a restart after a power cut reads; every file it finds must have been named.
fn restarted(sim: &Sim) -> super::testing::Rows {
    let again = Sim::restart(99, sim.disk().power_cut(CutMode::KeepAll));
    let life = async {
        let opened = opened(&again.env(0), options()).await;
        assert!(opened.quarantined.is_empty(), "{:?}", opened.quarantined);
        read(&opened.shard).await
    };
    again.run(life).unwrap()
}

/// Names of files in the shard's folder that its manifest does not name.
async fn strays(shard: &Shard<SimEnv>) -> Vec<String> {
    let mut names = shard.env().disk().list(&shard.inner.dir).await.unwrap();
    let manifest = shard.inner.manifest.borrow();
    let files = manifest.files.keys().map(|id| format!("{id:016x}.segment"));
    let indexes = manifest.indexes.iter().map(|id| format!("{id:016x}.index"));
    let living: Vec<String> = files.chain(indexes).collect();
    names.retain(|name| !living.contains(name) && name != "log" && !name.starts_with("manifest-"));
    names
}

/// A shard that took some steps and then had `rest_ms` to itself; the `n`-th call of a kind from
/// now on finds no room.
async fn about_to_fail(
    sim: &Sim,
    steps: &[Step],
    rest_ms: u64,
    (kind, n): (Kind, u64),
) -> Shard<SimEnv> {
    let shard = opened(&sim.env(0), options()).await.shard;
    for step in steps {
        run_step(&shard, step).await;
    }
    sim.env(0).sleep(Duration::from_millis(rest_ms)).await;
    sim.disk().fail_nth(n, kind, libc::ENOSPC);
    shard
}

#[test]
fn a_disk_that_fills_at_any_moment_of_a_flush_leaves_nothing_behind_and_is_survived() {
    let steps = [rows(1, 30), Step::Flush, rows(2, 40), Step::Flush, rows(1, 50), rows(3, 5)];
    for kind in [Kind::Create, Kind::Write, Kind::Rename, Kind::SyncDir, Kind::Preallocate] {
        let mut failed = 0;
        for n in 1..20 {
            let sim = Sim::new(n);
            sim.run(async {
                let shard = about_to_fail(&sim, &steps, 1000, (kind, n)).await;
                let outcome = shard.flush().await;
                assert_eq!(shard.failure(), None, "{kind:?} {n}");
                if let Err(reason) = outcome {
                    assert_eq!(reason, "no space left on the disk", "{kind:?} {n}");
                    assert_eq!(shard.trouble(), Some(reason));
                    assert!(strays(&shard).await.is_empty(), "{kind:?} {n}");
                    failed += 1;
                }
                shard.flush().await.unwrap();
                assert_eq!((shard.trouble(), shard.gauges().disk_full), (None, 0));
                assert!(read(&shard).await == model(&steps), "{kind:?} {n}");
            })
            .unwrap();
            assert!(restarted(&sim) == model(&steps), "{kind:?} {n}");
        }
        assert!(failed > 0 || kind == Kind::Preallocate, "{kind:?}");
    }
}

#[test]
fn a_disk_that_fills_at_any_moment_of_a_compaction_leaves_nothing_behind_and_is_survived() {
    let steps = [rows(1, 30), Step::Flush, rows(2, 40), Step::Flush];
    for kind in [Kind::Create, Kind::Write, Kind::Rename, Kind::SyncDir, Kind::Preallocate] {
        let mut failed = 0;
        for n in 1..20 {
            let sim = Sim::new(n);
            sim.run(async {
                let shard = about_to_fail(&sim, &steps, 50, (kind, n)).await;
                let outcome = shard.compact().await;
                assert_eq!(shard.failure(), None, "{kind:?} {n}");
                if let Err(reason) = outcome {
                    assert_eq!(reason, "no space left on the disk", "{kind:?} {n}");
                    failed += 1;
                }
                let removed = shard.inner.manifest.borrow().removed.len();
                assert!(strays(&shard).await.len() <= removed, "{kind:?} {n}");
                shard.compact().await.unwrap();
                assert!(shard.inner.manifest.borrow().removed.is_empty(), "{kind:?} {n}");
                assert!(strays(&shard).await.is_empty(), "{kind:?} {n}");
                assert_eq!(shard.inner.manifest.borrow().files.len(), 1);
                assert!(read(&shard).await == model(&steps), "{kind:?} {n}");
            })
            .unwrap();
            assert!(restarted(&sim) == model(&steps), "{kind:?} {n}");
        }
        assert!(failed > 0 || kind == Kind::Preallocate, "{kind:?}");
    }
}

#[test]
fn without_room_writes_are_taken_until_the_head_is_full_and_again_when_there_is_room() {
    let sim = Sim::new(21);
    let log = log::Options { first_file_bytes: 16 << 20, file_bytes: 16 << 20, ..options().log };
    let small = Options { log, head_bytes_max: 64 << 10, ..options() };
    let mut taken = Vec::new();
    let mut series = 0;
    sim.run(async {
        let env = sim.env(0);
        let shard = opened(&env, small).await.shard;
        env.sleep(Duration::from_secs(1)).await;
        sim.disk().set_free_bytes(0);
        loop {
            series += 1;
            let Step::Write(all) = rows(series, 200) else { unreachable!() };
            match shard.write(request(&all)).await {
                Ok(_) => taken.push(rows(series, 200)),
                Err(error) => {
                    assert_eq!(error, WriteError::DiskFull);
                    break;
                }
            }
        }
        assert!(shard.gauges().head_bytes >= 2 * small.head_bytes_max as u64);
        assert_eq!((shard.failure(), shard.gauges().disk_full), (None, 1));
        assert!(read(&shard).await == model(&taken));
        // What makes room is not refused.
        let first = shard.index().lookup(DbId(1), key_of(1).as_bytes()).unwrap().0;
        shard.delete(RoaringBitmap::from_iter([first]), TimeRange::new(0, 9)).await.unwrap();
        taken.push(Step::Delete(1, TimeRange::new(0, 9)));
        // However long it takes.
        env.sleep(Duration::from_secs(1_000)).await;
        let tries = shard.counters().failed_tasks;
        assert!((20..100).contains(&tries), "it is tried ever less often: {tries}");
        assert!(shard.trouble().is_some() && read(&shard).await == model(&taken));
        sim.disk().set_free_bytes(1 << 30);
        env.sleep(Duration::from_secs(2)).await;
        assert_eq!(shard.trouble(), None);
        run_step(&shard, &rows(series, 10)).await;
        taken.push(rows(series, 10));
        assert!(read(&shard).await == model(&taken));
    })
    .unwrap();
    assert!(restarted(&sim) == model(&taken));
}
