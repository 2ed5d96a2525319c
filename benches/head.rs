//! Micro-benchmarks of the head: nanoseconds a value of an append and of a wide read.
//!
//! In: 4,000 series x 1,000 rows, arriving interleaved (a batch has one row of each series), as
//! agents send them. Reported per element; an element is a value.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ringtail::model::{
    Batch, Column, ColumnId, FieldNo, FieldType, MeasurementId, PartitionId, SeriesId, TimeRange,
    Values, batch::SeriesRef,
};
use ringtail::shard::block::Block;
use ringtail::shard::head::{Head, HeadCursor, Select};
use ringtail::shard::merge::{Input, merge};
use std::hint::black_box;

const SERIES: u32 = 4_000;
const SECOND: i64 = 1_000_000_000;
/// Rows a scan asks for in a step.
const STEP_ROWS: usize = 32_768;

fn ids() -> Vec<SeriesId> {
    (0..SERIES).map(SeriesId).collect()
}

fn batch(at: i64, columns: u32) -> Batch {
    let column = |n: u32| Column {
        id: ColumnId::new(FieldNo(n + 1), FieldType::Float),
        values: Values::Float((0..SERIES).map(|series| f64::from(series + n)).collect()),
        validity: None,
    };
    Batch {
        partition: PartitionId(1),
        series: (0..SERIES).map(|series| SeriesRef::known(SeriesId(series))).collect(),
        times: vec![at * 10 * SECOND; SERIES as usize],
        columns: (0..columns).map(column).collect(),
    }
}

fn measurement(_: SeriesId) -> MeasurementId {
    MeasurementId(1)
}

fn fill(rows: i64, columns: u32) -> Head {
    let (mut head, ids) = (Head::new(), ids());
    for at in 0..rows {
        head.append(at as u64, &batch(at, columns), &ids, &measurement);
    }
    head
}

fn drain(head: &Head, select: &Select<'_>) -> usize {
    let Some(view) = head.view(PartitionId(1)) else { return 0 };
    let (mut cursor, mut rows) = (HeadCursor::default(), 0);
    while let Some(block) = view.gather(select, &mut cursor, STEP_ROWS) {
        rows += black_box(block).rows();
    }
    rows
}

fn append(c: &mut Criterion) {
    let ids = ids();
    let mut group = c.benchmark_group("append");
    group.sample_size(10);
    for columns in [1, 10] {
        let batches: Vec<Batch> = (0..50).map(|at| batch(at, columns)).collect();
        group.throughput(Throughput::Elements(50 * u64::from(SERIES * columns)));
        group.bench_function(format!("{columns} columns"), |b| {
            b.iter_batched(
                Head::new,
                |mut head| {
                    for (seq, batch) in batches.iter().enumerate() {
                        head.append(seq as u64, batch, &ids, &measurement);
                    }
                    head
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn gather(c: &mut Criterion) {
    let head = fill(1_000, 1);
    let mut group = c.benchmark_group("gather");
    group.sample_size(10);
    group.throughput(Throughput::Elements(1_000 * u64::from(SERIES)));
    group.bench_function("all series", |b| b.iter(|| drain(&head, &Select::ALL)));
    let some: Vec<SeriesId> = (0..SERIES).step_by(40).map(SeriesId).collect();
    let select = Select { series: Some(&some), ..Select::ALL };
    group.throughput(Throughput::Elements(1_000 * some.len() as u64));
    group.bench_function("a series in 40", |b| b.iter(|| drain(&head, &select)));
    let range = TimeRange::new(600 * 10 * SECOND, 629 * 10 * SECOND);
    let select = Select { range, ..Select::ALL };
    group.throughput(Throughput::Elements(30 * u64::from(SERIES)));
    group.bench_function("5 minutes of all", |b| b.iter(|| drain(&head, &select)));
    group.finish();
}

/// Rows of 32 series in order, from `first` on, `rows` each.
fn block(first: i64, rows: i64) -> Block {
    let mut block = Block::default();
    for series in 0..32 {
        block.push_run(MeasurementId(1), SeriesId(series), rows as usize);
        block.times.extend((first..first + rows).map(|at| at * SECOND));
    }
    block.refresh_steps();
    block.columns.push(Column {
        id: ColumnId::new(FieldNo(1), FieldType::Float),
        values: Values::Float(vec![1.5; 32 * rows as usize]),
        validity: None,
    });
    block
}

fn merging(c: &mut Criterion) {
    let mut group = c.benchmark_group("merge");
    for (name, first) in [("disjoint", 500), ("overwritten", 0)] {
        let (older, newer) = (block(0, 500), block(first, 500));
        let inputs = [Input { max_seq: 1, block: &older }, Input { max_seq: 2, block: &newer }];
        group.throughput(Throughput::Elements(2 * 32 * 500));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut out = Block::default();
                merge(&inputs, &mut out);
                out
            });
        });
    }
    group.finish();
}

criterion_group!(benches, append, gather, merging);
criterion_main!(benches);
