//! The mean of one field by hour and series, on one shard: nanoseconds a value.
//!
//! In: `SCAN_SERIES` (default 400) series x 12 h at 10 s, in the simulator, whose disk is memory;
//! so decoding, merging and adding are measured, not the disk. Read from the head, from a light
//! segment, from a packed one, and from a segment that a head overlaps. Out: a line for each,
//! processor time of the best of some runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

use ringtail::env::sim::{ROOT, SimEnv, test};
use ringtail::model::batch::{NewSeries, SeriesRef};
use ringtail::model::{
    Batch, Column, ColumnId, DbId, FieldNo, FieldType, MeasurementId, PartitionId, SeriesKey,
    ShardId, TimeRange, Values, WriteRequest,
};
use ringtail::shard::index::TagFilter;
use ringtail::shard::log::{self, SyncPolicy};
use ringtail::shard::scan::{Aggregate, Buckets, FieldRef, Function, Order, Output, Request, run};
use ringtail::shard::store::Store;
use ringtail::shard::{Options, Shard};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECOND: i64 = 1_000_000_000;
const ROWS: i64 = 12 * 360;
/// Rows of each series in a write.
const WRITE_ROWS: i64 = 60;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn options() -> Options {
    Options {
        log: log::Options {
            file_bytes: 64 << 20,
            first_file_bytes: 8 << 20,
            spares: 1,
            spares_max: 3,
            sync: SyncPolicy::Always,
            seal_after: Duration::from_millis(20),
            accept_loss: false,
        },
        head_bytes_max: 1 << 30,
        head_age_max: Duration::from_secs(1 << 20),
        log_bytes_max: 1 << 40,
        compact_idle: Duration::from_secs(1 << 20),
        cache_bytes: 256 << 20,
        free_bytes_min: 0,
    }
}

/// A gauge with two decimals that walks.
fn value(series: u32, at: i64) -> f64 {
    let step = (i64::from(series) * 31 + at * at) % 41 - 20;
    (5_000 + i64::from(series) * 7 % 900 + step * 3) as f64 / 100.0
}

async fn write(shard: &Shard<SimEnv>, series: u32, from: i64, to: i64) -> Outcome<()> {
    let key = |n: u32| SeriesKey::build(b"cpu", &[(b"host", format!("host_{n}").as_bytes())]);
    let new_series: Option<Vec<NewSeries>> = (0..series)
        .map(|n| Some(NewSeries { measurement: MeasurementId(1), key: key(n)?.as_bytes().into() }))
        .collect();
    let rows = || (from..to).flat_map(|at| (0..series).map(move |n| (n, at)));
    let batch = Batch {
        partition: PartitionId(1),
        series: rows().map(|(n, _)| SeriesRef::new_key(n)).collect(),
        times: rows().map(|(_, at)| at * 10 * SECOND).collect(),
        columns: vec![Column {
            id: ColumnId::new(FieldNo(1), FieldType::Float),
            values: Values::Float(rows().map(|(n, at)| value(n, at)).collect()),
            validity: None,
        }],
    };
    let new_series = new_series.ok_or("a key is too long")?;
    shard.write(WriteRequest { db: DbId(1), new_series, batches: vec![batch] }).await?;
    Ok(())
}

fn question() -> Arc<Request> {
    let kind = FieldType::Float;
    let buckets = Buckets::Even { width_ns: 3600 * SECOND, offset_ns: 0 };
    let aggregates = vec![Aggregate {
        function: Function::Sum,
        field: 0,
        aux: Vec::new(),
        range: TimeRange::ALL,
    }];
    Arc::new(Request {
        db: DbId(1),
        measurement: MeasurementId(1),
        partitions: vec![PartitionId(1)],
        range: TimeRange::new(0, 12 * 3600 * SECOND),
        now_ns: 0,
        series: TagFilter::All,
        filter: None,
        fields: vec![FieldRef { columns: vec![ColumnId::new(FieldNo(1), kind)], kind }],
        tags: Vec::new(),
        group_by: vec![b"host".as_slice().into()],
        output: Output::Aggregates { buckets, aggregates },
        order: Order::Ascending,
        memory_bytes: 64 << 20,
        deadline_ns: 0,
    })
}

async fn measure(name: &str, shard: &Shard<SimEnv>) -> Outcome<()> {
    let request = question();
    let mut best = f64::INFINITY;
    for _ in 0..7 {
        let start = Instant::now();
        let summary = run(shard, &request, async |_| true, || false).await?;
        best = best.min(start.elapsed().as_nanos() as f64 / summary.rows.max(1) as f64);
    }
    println!("{name:<32} {best:>8.2} ns/value");
    Ok(())
}

async fn all(env: SimEnv) -> Outcome<()> {
    let series = std::env::var("SCAN_SERIES").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    let store = Store { id: 7, shards: 1, epoch: 1 };
    let shard = Shard::open(&env, Path::new(ROOT), &store, ShardId(0), options()).await?.shard;
    for from in (0..ROWS).step_by(WRITE_ROWS as usize) {
        write(&shard, series, from, from + WRITE_ROWS).await?;
    }
    measure("head", &shard).await?;
    shard.flush().await?;
    measure("light segment", &shard).await?;
    shard.compact().await?;
    measure("packed segment", &shard).await?;
    write(&shard, series, ROWS - WRITE_ROWS, ROWS).await?;
    measure("packed segment under a head", &shard).await
}

fn main() -> Outcome<()> {
    test(1, all)?
}
