//! Decoding speed of KairosDB's JSON: one point a metric (what collectors send) and a hundred
//! points a metric (what backfills send), into recycled Batches with known names and series.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark")]

#[path = "../tests/common/decoding.rs"]
mod decoding;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use decoding::{Core, NOW_NS};
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Metrics of `hosts` hosts with so many points each.
fn body(hosts: u64, points: u64) -> String {
    let metrics: Vec<String> = (0..hosts)
        .map(|host| {
            let values = (0..points).map(|n| {
                let time = NOW_NS / 1_000_000 + n as i64 * 10_000;
                format!("[{time},{}.{:02}]", (host * 7 + n) % 100, (host + n * 13) % 100)
            });
            let values = values.collect::<Vec<_>>().join(",");
            format!(
                "{{\"name\":\"cpu.usage_user\",\"datapoints\":[{values}],\"tags\":{{\"hostname\":\
                 \"host_{host}\",\"region\":\"eu-central-1\",\"rack\":\"{}\"}}}}",
                host % 100
            )
        })
        .collect();
    format!("[{}]", metrics.join(","))
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("kairos");
    for (name, hosts, points) in [("one point a metric", 1000, 1), ("100 points a metric", 10, 100)]
    {
        let body = body(hosts, points);
        let mut core = Core::new(1_000_000, 10_000);
        for _ in 0..3 {
            core.kairos(body.as_bytes());
        }
        group.throughput(Throughput::Elements(hosts * points));
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(core.kairos(black_box(body.as_bytes()))));
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
