//! Failures and limits of a shard: disks that refuse, requests that are too large, races of
//! retirement.

use super::life_tests::{STORE, Step, key_of, model, open, read, run_step};
use super::log::{self, SyncPolicy};
use super::testing::options;
use super::{Options, Shard, WriteError};
use crate::env::sim::{CutMode, Kind, ROOT, Sim, SimEnv, test};
use crate::env::{Disk, Env};
use crate::model::{DbId, ShardId, TimeRange};
use futures_lite::future::{or, poll_once};
use roaring::RoaringBitmap;
use std::path::Path;
use std::time::Duration;

async fn open_with(env: &SimEnv, options: Options) -> Shard<SimEnv> {
    let opened = Shard::open(env, Path::new(ROOT), &STORE, ShardId(0), options).await;
    opened.unwrap_or_else(|error| panic!("{error}")).shard
}

/// What a restart after a power cut reads.
fn restarted(sim: &Sim) -> super::testing::Rows {
    let again = Sim::restart(99, sim.disk().power_cut(CutMode::DropAll));
    again.run(async { read(&open(&again.env(0)).await).await }).unwrap()
}

fn rows(series: u32, count: i64) -> Step {
    let value = |n: i64| (n * 7_919_777_777) ^ (n << 40);
    Step::Write((0..count).map(|n| (series, n, 1, value(n))).collect())
}

async fn within<T>(env: &SimEnv, millis: u64, future: impl Future<Output = T>) -> Option<T> {
    let late = async {
        env.sleep(Duration::from_millis(millis)).await;
        None
    };
    or(async { Some(future.await) }, late).await
}

#[test]
fn a_sync_in_the_background_that_fails_stops_the_shard_without_another_write() {
    let sim = Sim::new(11);
    sim.run(async {
        let env = sim.env(0);
        let sync = SyncPolicy::Interval(Duration::from_millis(50));
        let log = log::Options { sync, ..options().log };
        let shard = open_with(&env, Options { log, ..options() }).await;
        env.sleep(Duration::from_secs(1)).await;
        run_step(&shard, &rows(1, 3)).await;
        sim.disk().fail_nth(1, Kind::Sync, 5);
        let reason = within(&env, 200, shard.failed()).await.unwrap();
        assert!(reason.contains("log-"), "{reason}");
        let refused = shard.retire(RoaringBitmap::new()).await;
        assert!(matches!(refused, Err(WriteError::Failed(_))), "{refused:?}");
    })
    .unwrap();
}

#[test]
fn requests_larger_than_a_small_log_file_are_cut_to_fit_it() {
    let sim = Sim::new(12);
    let steps = [rows(1, 60_000), rows(2, 10), rows(3, 10)];
    let many = || RoaringBitmap::from_iter(2..400_000u32);
    sim.run(async {
        let shard = open(&sim.env(0)).await;
        for step in &steps {
            run_step(&shard, step).await;
        }
        assert!(shard.counters().commits > 5);
        let before = shard.counters().commits;
        let id = |series| shard.index().lookup(DbId(1), key_of(series).as_bytes()).unwrap().0;
        assert_eq!([id(1), id(2), id(3)], [0, 1, 2]);
        shard.delete(many(), TimeRange::new(0, 4)).await.unwrap();
        shard.retire(many()).await.unwrap();
        assert!(shard.counters().commits > before + 5);
    })
    .unwrap();
    let expected = model(&steps[..2]);
    assert!(restarted(&sim) == expected);
}

#[test]
fn definitions_of_a_refused_write_come_with_the_next() {
    let sim = Sim::new(13);
    let mut taken = Vec::new();
    sim.run(async {
        let shard = open(&sim.env(0)).await;
        sim.env(0).sleep(Duration::from_secs(1)).await;
        sim.disk().set_free_bytes(0);
        let mut series = 0;
        let refused = loop {
            series += 1;
            let Step::Write(all) = rows(series, 2_000) else { unreachable!() };
            match shard.write(super::life_tests::request(&all)).await {
                Ok(_) => taken.push(rows(series, 2_000)),
                Err(error) => break error,
            }
        };
        assert_eq!(refused, WriteError::DiskFull);
        sim.disk().set_free_bytes(1 << 30);
        taken.push(rows(series, 2));
        run_step(&shard, &taken[taken.len() - 1]).await;
        assert!(read(&shard).await == model(&taken));
    })
    .unwrap();
    assert!(taken.len() > 1 && restarted(&sim) == model(&taken));
}

#[test]
fn a_series_that_got_rows_under_a_watch_is_not_retired() {
    test(14, |env| async move {
        let shard = open(&env).await;
        run_step(&shard, &rows(1, 2)).await;
        run_step(&shard, &rows(2, 2)).await;
        let id = |series| shard.index().lookup(DbId(1), key_of(series).as_bytes()).unwrap();
        let both = || RoaringBitmap::from_iter([id(1).0, id(2).0]);
        let (first, second) = (id(1), id(2));
        let outer = shard.watch_appends();
        let watch = shard.watch_appends();
        run_step(&shard, &rows(1, 3)).await;
        drop(outer);
        shard.retire(both()).await.unwrap();
        assert!(shard.index().is_live(first) && !shard.index().is_live(second));
        // What deletes all of its rows takes a series out of the watch.
        let one = || RoaringBitmap::from_iter([first.0]);
        shard.delete(one(), TimeRange::new(0, 1)).await.unwrap();
        shard.retire(one()).await.unwrap();
        assert!(shard.index().is_live(first));
        drop(watch);
        let _watch = shard.watch_appends();
        shard.retire(one()).await.unwrap();
        assert!(!shard.index().is_live(first), "the watch before is over");
    })
    .unwrap();
}

#[test]
fn dead_files_are_unlinked_and_forgotten_whatever_fails_on_the_way() {
    for (kind, n) in [(Kind::Remove, 1), (Kind::Remove, 2), (Kind::SyncDir, 2)] {
        let sim = Sim::new(15);
        sim.run(async {
            let shard = open(&sim.env(0)).await;
            for series in 1..4 {
                run_step(&shard, &rows(series, 5)).await;
                run_step(&shard, &Step::Flush).await;
            }
            sim.disk().fail_nth(n, kind, 5);
            assert!(shard.compact().await.is_err(), "{kind:?} {n}");
            assert!(!shard.inner.manifest.borrow().removed.is_empty());
            shard.compact().await.unwrap();
            assert!(shard.inner.manifest.borrow().removed.is_empty(), "{kind:?} {n}");
            let names = sim.env(0).disk().list(&shard.inner.dir).await.unwrap();
            let segments = names.iter().filter(|name| name.ends_with(".segment")).count();
            assert_eq!((segments, shard.failure()), (1, None));
        })
        .unwrap();
    }
}

/// While a flush ran, series whose rows were in the frozen head alone counted as without rows, and
/// a delete of other rows ended them.
#[test]
fn r2_rows_of_a_frozen_head_keep_their_series() {
    let sim = Sim::new(16);
    sim.run(async {
        let env = sim.env(0);
        let shard = open(&env).await;
        run_step(&shard, &rows(1, 5)).await;
        let frozen = async {
            while shard.version().frozen.is_none() {
                env.yield_now().await;
            }
        };
        or(async { shard.flush().await.unwrap() }, frozen).await;
        assert!(shard.version().frozen.is_some() && shard.version().sections.is_empty());
        assert_eq!(shard.partitions(), [crate::model::PartitionId(1)]);
        let without = super::scan::without_rows(&shard, RoaringBitmap::from_iter([0u32])).await;
        assert!(without.is_empty());
    })
    .unwrap();
}

/// What was written to a partition stayed in a map after the partition was dropped, for ever.
#[test]
fn r3_nothing_is_remembered_of_a_dropped_partition() {
    test(17, |env| async move {
        let shard = open(&env).await;
        let partition = crate::model::PartitionId(1);
        run_step(&shard, &rows(1, 5)).await;
        run_step(&shard, &Step::Flush).await;
        let (late, second) = (rows(2, 5), rows(1, 9));
        let Step::Write(late) = late else { unreachable!() };
        run_step(&shard, &second).await;
        // One write is under way when the partition goes, another comes behind.
        let mut write = std::pin::pin!(shard.write(super::life_tests::request(&late)));
        while !shard.inner.log.is_busy() {
            assert!(poll_once(&mut write).await.is_none());
            env.yield_now().await;
        }
        shard.drop_partitions(&[partition]).await.unwrap();
        assert!(write.await.is_ok());
        let refused = shard.write(super::life_tests::request(&late)).await;
        assert_eq!(refused.err(), Some(WriteError::Stale));
        run_step(&shard, &Step::Flush).await;
        env.sleep(Duration::from_secs(3)).await;
        assert_eq!(shard.gauges().partitions.len(), 0, "{:?}", shard.gauges().partitions);
        assert!(shard.inner.touched.borrow().is_empty() && shard.partitions().is_empty());
        assert_eq!(shard.counters().points, 19);
    })
    .unwrap();
}
