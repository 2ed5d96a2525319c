//! A store of hours for benchmarks: series of one gauge, a value every 10 s, on one shard in the
//! simulator, whose disk is memory; and the question of its mean by hour and series.

use ringtail::env::sim::SimEnv;
use ringtail::model::batch::{NewSeries, SeriesRef};
use ringtail::model::{
    Batch, Column, ColumnId, DbId, FieldNo, FieldType, MeasurementId, PartitionId, SeriesKey,
    TimeRange, Values, WriteRequest,
};
use ringtail::shard::index::TagFilter;
use ringtail::shard::log::{self, SyncPolicy};
use ringtail::shard::scan::{Aggregate, Buckets, FieldRef, Function, Order, Output, Request};
use ringtail::shard::{Options, Shard};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

const SECOND: i64 = 1_000_000_000;
/// What fails ends the benchmark.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Options of a shard that flushes and compacts only when told.
pub fn options() -> Options {
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

/// Rows `from` up to `to` of so many series.
pub async fn write(shard: &Shard<SimEnv>, series: u32, from: i64, to: i64) -> Outcome<()> {
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

/// The sum of the gauge by hour and series (a mean has its count for nothing).
pub fn question() -> Arc<Request> {
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
        rows_max: 0,
        deadline_ns: 0,
    })
}
