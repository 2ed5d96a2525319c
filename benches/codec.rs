//! Speed and size of the value codecs on the three kinds of columns that fill a store.
//!
//! Run by `cargo bench --bench codec`. Prints bytes a value of each codec first, then values a
//! second in and out, by CPU time: other work on the machine does not count. The columns are 32 k
//! rows in pages of 1,024, as a closed day has them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringtail::codec::chunk::{self, Effort};
use ringtail::codec::reduced;
use ringtail::model::{Column, ColumnId, FieldNo, FieldType, Values};
use std::hint::black_box;
use std::time::Duration;

const ROWS: usize = 32_768;
const PAGES: [u32; 32] = [1024; 32];
/// Rows of one column in a log record.
const RECORD_ROWS: usize = 4096;

/// CPU time of this process that `iterations` calls take.
fn cpu_time<T>(iterations: u64, mut work: impl FnMut() -> T) -> Duration {
    let start = cpu_clock();
    for _ in 0..iterations {
        black_box(work());
    }
    cpu_clock().saturating_sub(start)
}

fn cpu_clock() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec of this frame, which the call only writes.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((self.0 >> 33) % bound) as i64
    }
}

fn column(values: Values) -> Column {
    Column { id: ColumnId::new(FieldNo(1), values.kind()), values, validity: None }
}

/// Runs of 360 rows a series (an hour at 10 s), each starting anew.
fn columns(rows: usize) -> Vec<(&'static str, Column)> {
    let mut random = Random(7);
    let mut level = 0;
    let mut walk = |row: usize, start: u64, step: u64| {
        level = if row.is_multiple_of(360) {
            random.below(start)
        } else {
            level + (0..4).map(|_| random.below(step) - step as i64 / 2).sum::<i64>()
        };
        level
    };
    let walk_floats = (0..rows).map(|row| walk(row, 10_000, 21) as f64 / 100.0).collect();
    let gauge = (0..rows).scan(0, |last, row| {
        let moved = row.is_multiple_of(360) || row % 9 == row / 360 % 9;
        *last = if moved { walk(row, 1_000_000, 5) } else { *last };
        Some(*last)
    });
    let gauge = gauge.collect();
    let times =
        (0..rows).map(|row| 1_700_000_000_000_000_000 + (row % 360) as i64 * 10_000_000_000);
    let times = times.collect();
    let noise = (0..rows).map(|row| (walk(row, 1 << 30, 1 << 20) as f64).sqrt()).collect();
    vec![
        ("walk_2_decimals", column(Values::Float(walk_floats))),
        ("slow_gauge", column(Values::Integer(gauge))),
        ("regular_times", column(Values::Integer(times))),
        ("noise_floats", column(Values::Float(noise))),
    ]
}

fn chunks(c: &mut Criterion) {
    let mut group = c.benchmark_group("chunk");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, column) in columns(ROWS) {
        for effort in [Effort::Light, Effort::Pco] {
            let mut bytes = Vec::new();
            assert!(chunk::encode(&column, &PAGES, effort, &mut bytes).is_ok());
            let size = bytes.len() as f64 / ROWS as f64;
            println!("chunk/{name}/{effort:?}: {size:.3} bytes a value");
            group.bench_function(format!("{name}/{effort:?}/in"), |bench| {
                let mut out = Vec::new();
                bench.iter_custom(|n| {
                    cpu_time(n, || {
                        out.clear();
                        chunk::encode(black_box(&column), &PAGES, effort, &mut out)
                    })
                });
            });
            group.bench_function(format!("{name}/{effort:?}/out"), |bench| {
                let mut out = Column::empty(column.id);
                bench.iter_custom(|n| {
                    cpu_time(n, || {
                        clear(&mut out);
                        chunk::Reader::open(black_box(&bytes))?.decode(0..PAGES.len(), &mut out)
                    })
                });
            });
        }
    }
}

fn records(c: &mut Criterion) {
    let mut group = c.benchmark_group("reduced");
    group.throughput(Throughput::Elements(RECORD_ROWS as u64));
    let ids: Vec<u32> =
        (0..RECORD_ROWS as u32).map(|row| row.wrapping_mul(7919) % 100_000).collect();
    let mut out = Vec::new();
    group.bench_function("random_ids/in", |bench| {
        bench.iter_custom(|n| {
            cpu_time(n, || {
                out.clear();
                reduced::put_u32s(black_box(&ids), &mut out);
            })
        });
    });
    for (name, column) in columns(RECORD_ROWS) {
        let mut out = Vec::new();
        reduced::put_column(&column, &mut out);
        let size = out.len() as f64 / RECORD_ROWS as f64;
        println!("reduced/{name}: {size:.3} bytes a value");
        let bytes = out.clone();
        group.bench_function(format!("{name}/in"), |bench| {
            bench.iter_custom(|n| {
                cpu_time(n, || {
                    out.clear();
                    reduced::put_column(black_box(&column), &mut out);
                })
            });
        });
        group.bench_function(format!("{name}/out"), |bench| {
            bench.iter_custom(|n| {
                cpu_time(n, || reduced::get_column(&mut black_box(bytes.as_slice())))
            });
        });
    }
}

fn clear(column: &mut Column) {
    match &mut column.values {
        Values::Float(values) => values.clear(),
        Values::Integer(values) => values.clear(),
        _ => assert_eq!(column.id.kind(), FieldType::Integer),
    }
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
}

criterion_group! { name = codec; config = quick(); targets = chunks, records }
criterion_main!(codec);
