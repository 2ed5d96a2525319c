//! The log: what a `rows` record costs to encode, decode and frame, and how long a commit takes.
//!
//! A record of 5,000 rows and 10 columns, shaped like TSBS cpu-only: 1,000 hosts, five rows each 10
//! s apart, integer gauges and floats with two decimals. Commits of 4 KiB go to prewritten files
//! under `target/`, with `SyncPolicy::Always`. Run with `cargo bench --bench log`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement stops at the first failure"
)]

use ringtail::env::real::{Core, RealEnv, run_on_core};
use ringtail::env::{Env, Queue, Task};
use ringtail::model::{
    Batch, Column, ColumnId, FieldNo, FieldType, PartitionId, SeriesId, SeriesRef, ShardId, Values,
};
use ringtail::shard::log::record::{Record, put_rows};
use ringtail::shard::log::{Identity, Options, Origin, recover};
use std::path::Path;
use std::time::{Duration, Instant};

const ROWS: usize = 5_000;
const COLUMNS: usize = 10;
const COMMITS: u64 = 4_000;

fn main() {
    for floats in [0, 5, 10] {
        encode(floats);
    }
    commits();
}

fn batch(floats: usize) -> Batch {
    let mut state = 7u64;
    let mut random = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let columns = (0..COLUMNS).map(|nth| {
        let field = FieldNo(nth as u32 + 1);
        let (kind, values) = if nth < floats {
            let value = |_| random(10_000) as f64 / 100.0;
            (FieldType::Float, Values::Float((0..ROWS).map(value).collect()))
        } else {
            (FieldType::Integer, Values::Integer((0..ROWS).map(|_| random(100) as i64).collect()))
        };
        Column { id: ColumnId::new(field, kind), values, validity: None }
    });
    Batch {
        columns: columns.collect(),
        partition: PartitionId(1),
        series: (0..ROWS).map(|row| SeriesRef::known(SeriesId(row as u32 % 1_000))).collect(),
        times: (0..ROWS as i64)
            .map(|row| 1_700_000_000_000_000_000 + row / 1_000 * 10_000_000_000)
            .collect(),
    }
}

fn encode(floats: usize) {
    let batch = batch(floats);
    let series: Vec<SeriesId> = batch.series.iter().filter_map(|s| s.resolve().ok()).collect();
    let mut out = Vec::new();
    let values = (ROWS * COLUMNS) as f64;
    let time = |mut work: Box<dyn FnMut() + '_>| {
        let mut best = f64::MAX;
        for _ in 0..200 {
            let start = Instant::now();
            work();
            best = best.min(start.elapsed().as_nanos() as f64);
        }
        best / values
    };
    let put = time(Box::new(|| {
        out.clear();
        put_rows(&batch, &series, &mut out);
    }));
    let bytes = out.clone();
    let get = time(Box::new(|| {
        let record = Record::get(&mut bytes.as_slice());
        assert!(std::hint::black_box(record).is_ok());
    }));
    println!(
        "rows record, {floats} of {COLUMNS} columns float: {put:.2} ns a value to encode, \
         {get:.2} to decode, {:.2} bytes a value",
        bytes.len() as f64 / values
    );
}

fn commits() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-log");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let home = dir.clone();
    let core = Core { processor: None, name: "bench".to_owned(), io_memory: 1 << 20 };
    let handle = run_on_core(core, move |env| async move {
        let inner = env.clone();
        env.spawn(Queue::Ingest, async move { measure(&inner, &home).await }).join().await.unwrap();
    });
    handle.unwrap().join().unwrap();
    let _ = std::fs::remove_dir_all(&dir);
}

async fn measure(env: &RealEnv, dir: &Path) {
    let identity = Identity { store: 1, shard: ShardId(0), epoch: 1 };
    let origin = Origin { dir: &dir.join("log"), identity, from_seq: 0, manifest_edit: 0 };
    let start = Instant::now();
    let opened = recover(env.clone(), origin, Options::default(), |_, _| Ok(())).await;
    let (writer, _) = opened.unwrap();
    println!("first start, 8 MiB prewritten: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    while writer.stats().files_spare < 1 {
        env.sleep(Duration::from_millis(10)).await;
    }
    println!("a spare of 64 MiB ready after {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    let payload = vec![0x5a; 4_000];
    let mut spent: Vec<Duration> = Vec::new();
    for seq in 1..=COMMITS {
        let start = Instant::now();
        writer.commit(&payload, seq, 1, 0).await.unwrap();
        spent.push(start.elapsed());
    }
    spent.sort();
    let at = |percent: usize| spent[(spent.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    println!(
        "{COMMITS} commits of 4 KiB: p50 {:.0} us, p99 {:.0} us, max {:.0} us; {:?}",
        at(50),
        at(99),
        at(100),
        writer.stats()
    );
}
