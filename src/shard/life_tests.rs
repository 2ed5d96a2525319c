//! A shard's whole life in the simulator, cut before every changing disk call.
//!
//! The life writes, overwrites, deletes, flushes, compacts and retires, one acknowledged step after
//! the other. What a restart finds must be the rows after the acknowledged steps, or after one more
//! (the step under way counts whole or not at all); then the shard must go on working.

use super::log;
use super::merge::Merger;
use super::segment::Select;
use super::source::passes;
use super::store::Store;
use super::testing::{self, Row, Rows, options};
use super::{Options, Shard, head};
use crate::env::Env;
use crate::env::sim::{Image, Kind, ROOT, SimEnv, cut_everywhere, test};
use crate::model::batch::NewSeries;
use crate::model::{
    Batch, ColumnId, DbId, FieldNo, FieldType, MeasurementId, PartitionId, SeriesId, SeriesKey,
    SeriesRef, ShardId, TimeRange, Value, WriteRequest,
};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

pub(super) const STORE: Store = Store { id: 7, shards: 1, epoch: 1 };
pub(super) const DAY: i64 = crate::model::time::DAY_NS;

pub(super) async fn open(env: &SimEnv) -> Shard<SimEnv> {
    let opened = Shard::open(env, Path::new(ROOT), &STORE, ShardId(0), options()).await;
    opened.unwrap_or_else(|error| panic!("{error}")).shard
}

/// One step of the life.
#[derive(Clone)]
pub(super) enum Step {
    /// Series number, time, field, value.
    Write(Vec<(u32, i64, u32, i64)>),
    Delete(u32, TimeRange),
    Retire(u32),
    Flush,
    Compact,
}

fn script() -> Vec<Step> {
    let rows = |series: std::ops::Range<u32>, times: std::ops::Range<i64>, field, value| {
        let all = series.flat_map(|s| times.clone().map(move |t| (s, t * DAY / 4, field, value)));
        Step::Write(all.collect())
    };
    vec![
        rows(0..4, 0..6, 1, 10),
        rows(0..2, 0..3, 2, 20),
        Step::Flush,
        rows(1..6, 2..8, 1, 30),
        Step::Delete(1, TimeRange::new(0, DAY)),
        rows(1..2, 0..1, 1, 40),
        Step::Flush,
        rows(0..1, 0..8, 2, 50),
        Step::Compact,
        Step::Retire(3),
        rows(3..4, 5..7, 1, 60),
        Step::Compact,
        Step::Delete(0, TimeRange::ALL),
        rows(5..7, 0..2, 1, 70),
    ]
}

pub(super) fn column(field: u32) -> ColumnId {
    ColumnId::new(FieldNo(field), FieldType::Integer)
}

pub(super) fn key_of(series: u32) -> SeriesKey {
    SeriesKey::build(b"m", &[(b"s", series.to_string().as_bytes())]).unwrap()
}

pub(super) fn request(rows: &[(u32, i64, u32, i64)]) -> WriteRequest {
    let mut keys: Vec<u32> = rows.iter().map(|row| row.0).collect();
    keys.sort_unstable();
    keys.dedup();
    let place = |series: u32| keys.iter().position(|key| *key == series).unwrap() as u32;
    let id = column(rows[0].2);
    let values: Vec<Option<Value>> = rows.iter().map(|row| Some(Value::Integer(row.3))).collect();
    let batch = Batch {
        partition: PartitionId(1),
        series: rows.iter().map(|row| SeriesRef::new_key(place(row.0))).collect(),
        times: rows.iter().map(|row| row.1).collect(),
        columns: vec![testing::column(id, &values)],
    };
    let new = |series: &u32| NewSeries {
        measurement: MeasurementId(1),
        key: key_of(*series).as_bytes().into(),
    };
    WriteRequest { db: DbId(1), new_series: keys.iter().map(new).collect(), batches: vec![batch] }
}

pub(super) fn model(steps: &[Step]) -> Rows {
    let mut rows = Rows::new();
    for step in steps {
        match step {
            Step::Write(all) => {
                for (series, time, field, value) in all {
                    let place = (MeasurementId(1), SeriesId(*series), *time);
                    let row = Row::from([(column(*field), Value::Integer(*value))]);
                    testing::overwrite(rows.entry(place).or_default(), &row);
                }
            }
            Step::Delete(series, range) => {
                rows.retain(|(_, s, time), _| s.0 != *series || !range.contains(*time));
            }
            Step::Retire(series) => rows.retain(|(_, s, _), _| s.0 != *series),
            Step::Flush | Step::Compact => {}
        }
    }
    rows
}

pub(super) async fn run_step(shard: &Shard<SimEnv>, step: &Step) {
    let one = |series: u32| {
        let id = shard.index().lookup(DbId(1), key_of(series).as_bytes());
        id.map(|id| id.0).into_iter().collect()
    };
    match step {
        Step::Write(rows) => {
            shard.write(request(rows)).await.unwrap();
        }
        Step::Delete(series, range) => shard.delete(one(*series), *range).await.unwrap(),
        Step::Retire(series) => shard.retire(one(*series)).await.unwrap(),
        Step::Flush => shard.flush().await.unwrap(),
        Step::Compact => {
            shard.flush().await.unwrap();
            shard.compact().await.unwrap();
        }
    }
}

/// All rows that a reader sees, by series number instead of id.
pub(super) async fn read(shard: &Shard<SimEnv>) -> Rows {
    let sources = shard.sources(PartitionId(1));
    let mut blocks = Vec::new();
    let mut seqs = Vec::new();
    for (_, sections) in sources.version.sections_in(PartitionId(1), TimeRange::ALL) {
        for section in sections {
            for mut pass in passes(section, &Select::all()).await.unwrap() {
                let mut all = Vec::new();
                while let Some(mut block) = pass.next().await.unwrap() {
                    sources.version.tombstones.apply(pass.max_seq, &mut block);
                    all.push(block);
                }
                blocks.push(all.into_iter());
                seqs.push(pass.max_seq);
            }
        }
    }
    let views = [(&sources.frozen, sources.frozen_seq), (&sources.active, u64::MAX)];
    for (view, seq) in views {
        let Some(view) = view else { continue };
        let mut cursor = head::HeadCursor::default();
        let mut all = Vec::new();
        while let Some(mut block) = view.gather(&head::Select::ALL, &mut cursor, 100) {
            sources.version.tombstones.apply(seq, &mut block);
            all.push(block);
        }
        blocks.push(all.into_iter());
        seqs.push(seq);
    }
    let mut merger = Merger::new(&seqs);
    let mut rows = Vec::new();
    while !merger.is_done() {
        while let Some(input) = merger.wants() {
            match blocks[input].next() {
                Some(block) => merger.push(input, block),
                None => merger.finish(input),
            }
        }
        if let Some(block) = merger.next(50) {
            testing::read(&block, &mut rows);
        }
    }
    let index = shard.index();
    let number = |id: SeriesId| {
        let key = index.key(id)?;
        let value = key.tags().next()?.1;
        index.is_live(id).then(|| SeriesId(std::str::from_utf8(value).unwrap().parse().unwrap()))
    };
    rows.into_iter().filter_map(|((m, s, t), row)| Some(((m, number(s)?, t), row))).collect()
}

#[test]
fn a_life_without_faults_reads_what_it_wrote_after_every_step() {
    test(1, |env| async move {
        let shard = open(&env).await;
        let steps = script();
        for done in 0..steps.len() {
            run_step(&shard, &steps[done]).await;
            assert_eq!(read(&shard).await, model(&steps[..=done]), "after step {done}");
        }
    })
    .unwrap();
}

#[test]
fn a_request_larger_than_a_commit_is_cut_and_comes_back_whole() {
    let sim = crate::env::sim::Sim::new(3);
    let rows: Vec<(u32, i64, u32, i64)> =
        (0..1_000_000i64).map(|n| (n as u32 % 10, n, 1, (n * n) ^ (n << 40))).collect();
    let steps = [Step::Write(rows)];
    let large = Options {
        log: log::Options { file_bytes: 16 << 20, ..options().log },
        head_bytes_max: 64 << 20,
        ..options()
    };
    let open = async || {
        let env = sim.env(0);
        let opened = Shard::open(&env, Path::new(ROOT), &STORE, ShardId(0), large).await;
        opened.unwrap_or_else(|error| panic!("{error}")).shard
    };
    sim.run(async {
        let shard = open().await;
        run_step(&shard, &steps[0]).await;
        assert!(shard.counters().commits > 1);
    })
    .unwrap();
    let again =
        crate::env::sim::Sim::restart(4, sim.disk().power_cut(crate::env::sim::CutMode::DropAll));
    again
        .run(async {
            let env = again.env(0);
            let opened = Shard::open(&env, Path::new(ROOT), &STORE, ShardId(0), large).await;
            let shard = opened.unwrap_or_else(|error| panic!("{error}")).shard;
            assert!(read(&shard).await == model(&steps));
        })
        .unwrap();
}

/// A flush that failed behind its index file owed the series definitions to the next one and forgot
/// them: after a restart the rows were nobody's.
#[test]
fn r1_a_flush_that_fails_anywhere_keeps_the_series_it_defines() {
    let steps = [Step::Write(vec![(1, 5, 1, 10), (2, 6, 1, 20)])];
    for kind in [Kind::Create, Kind::Write, Kind::Sync, Kind::Rename, Kind::SyncDir, Kind::Open] {
        for n in 1..4 {
            let sim = crate::env::sim::Sim::new(n);
            sim.run(async {
                let shard = open(&sim.env(0)).await;
                run_step(&shard, &steps[0]).await;
                sim.env(0).sleep(Duration::from_secs(1)).await;
                sim.disk().fail_nth(n, kind, 5);
                // A log or manifest that fails stops the shard; what was acknowledged stays.
                let _ = shard.flush().await;
                if shard.failure().is_none() {
                    let _ = shard.compact().await;
                    let _ = shard.flush().await;
                }
            })
            .unwrap();
            let image = sim.disk().power_cut(crate::env::sim::CutMode::DropAll);
            let again = crate::env::sim::Sim::restart(9, image);
            again
                .run(async {
                    let shard = open(&again.env(0)).await;
                    assert!(read(&shard).await == model(&steps), "{kind:?} {n}");
                })
                .unwrap();
        }
    }
}

#[test]
fn segments_without_a_manifest_are_not_a_new_store() {
    let sim = crate::env::sim::Sim::new(8);
    sim.run(async {
        let shard = open(&sim.env(0)).await;
        run_step(&shard, &script()[0]).await;
        run_step(&shard, &Step::Flush).await;
    })
    .unwrap();
    let mut image = sim.disk().power_cut(crate::env::sim::CutMode::DropAll);
    let is_manifest = |path: &std::path::PathBuf| path.to_string_lossy().contains("manifest-");
    let lost: Vec<_> = image.paths().into_iter().filter(is_manifest).collect();
    assert!(lost.iter().all(|path| image.remove(path)) && !lost.is_empty());
    let again = crate::env::sim::Sim::restart(9, image);
    again
        .run(async {
            let env = again.env(0);
            let opened = Shard::open(&env, Path::new(ROOT), &STORE, ShardId(0), options()).await;
            let error = opened.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.ends_with("is missing although there are segments"), "{error}");
        })
        .unwrap();
    let left = again.disk().power_cut(crate::env::sim::CutMode::DropAll).paths();
    assert!(left.iter().any(|path| path.to_string_lossy().ends_with(".segment")));
}

#[test]
fn a_life_cut_anywhere_keeps_what_was_acknowledged() {
    let acknowledged = Rc::new(RefCell::new(0));
    let life = |env: SimEnv| {
        let acknowledged = acknowledged.clone();
        async move {
            *acknowledged.borrow_mut() = 0;
            let shard = open(&env).await;
            for step in script() {
                run_step(&shard, &step).await;
                *acknowledged.borrow_mut() += 1;
            }
        }
    };
    let steps = script();
    let check = |name: &str, image: Image| {
        let done = *acknowledged.borrow();
        let (before, after) = (model(&steps[..done]), model(&steps[..(done + 1).min(steps.len())]));
        let sim = crate::env::sim::Sim::restart(99, image);
        let env = sim.env(0);
        sim.run(async {
            let shard = open(&env).await;
            let found = read(&shard).await;
            assert!(found == before || found == after, "{name}: {done} steps acknowledged");
            let more = Step::Write(vec![(9, 5, 1, 1)]);
            run_step(&shard, &more).await;
            run_step(&shard, &Step::Compact).await;
            let mut expected = found;
            expected.extend(model(&[more]));
            assert_eq!(read(&shard).await, expected, "{name}: after going on");
        })
        .unwrap_or_else(|stopped| panic!("{name}: {stopped}"));
    };
    let cuts = cut_everywhere(5, &Image::new(), life, check).unwrap();
    assert!(cuts > 50, "the life has {cuts} places to be cut");
}
