//! Decoding speed: lines of ten float fields with ten tags (the cpu measurement of the TSBS suite,
//! 1,000 hosts), telnet `put` lines, Graphite lines and pickles, into recycled Batches with known
//! names and series.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark")]

#[path = "../tests/common/decoding.rs"]
mod decoding;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use decoding::{Core, NOW_NS, pickles};
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const FIELDS: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

/// One reading of `hosts` hosts, values a random walk's with two decimals.
fn cpu_lines(hosts: u64) -> String {
    let mut seed = 7u64;
    let mut text = String::new();
    for host in 0..hosts {
        text += &format!(
            "cpu,hostname=host_{host},region=eu-central-1,datacenter=eu-central-1a,rack={},\
             os=Ubuntu15.10,arch=x86,team=SF,service={},service_version=1,\
             service_environment=production ",
            host % 100,
            host % 20,
        );
        for (index, field) in FIELDS.iter().enumerate() {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let (whole, cents) = ((seed >> 33) % 100, (seed >> 20) % 100);
            let comma = if index == 0 { "" } else { "," };
            text += &format!("{comma}{field}={whole}.{cents:02}");
        }
        text += &format!(" {NOW_NS}\n");
    }
    text
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let body = cpu_lines(1000);
    let mut core = Core::new(1_000_000, 10_000);
    for _ in 0..3 {
        core.lines(body.as_bytes());
    }
    group.throughput(Throughput::Elements(1000));
    group.bench_function("line, 10 floats, 10 tags", |bencher| {
        bencher.iter(|| black_box(core.lines(black_box(body.as_bytes()))));
    });

    let lines: String = (0..1000)
        .map(|n| {
            format!(
                "put sys.cpu.{} 14516064{:02} {n}.25 host=web{:03} dc=lga\n",
                n % 10,
                n % 100,
                n / 10
            )
        })
        .collect();
    let mut core = Core::new(1_000_000, 10_000);
    for _ in 0..3 {
        core.telnet(lines.as_bytes());
    }
    group.bench_function("telnet put", |bencher| {
        bencher.iter(|| black_box(core.telnet(black_box(lines.as_bytes()))));
    });

    // 71 bytes a line, as in the comparison with the peers.
    let points: Vec<_> = (0..1000)
        .map(|n| {
            let path =
                format!("servers.host-{:04}.datacenter-eu.cpu.usage_user_{:02}", n / 4, n % 50);
            (path, f64::from(1_451_606_400 + n % 100), f64::from(n) + 0.25)
        })
        .collect();
    let lines: String =
        points.iter().map(|(path, time, value)| format!("{path} {value:.2} {time}\n")).collect();
    let mut core = Core::new(1_000_000, 10_000);
    for _ in 0..3 {
        core.graphite(lines.as_bytes());
    }
    group.bench_function("graphite", |bencher| {
        bencher.iter(|| black_box(core.graphite(black_box(lines.as_bytes()))));
    });

    let bytes = pickles(&points);
    let mut core = Core::new(1_000_000, 10_000);
    for _ in 0..3 {
        core.pickle(&bytes);
    }
    group.bench_function("pickle", |bencher| {
        bencher.iter(|| black_box(core.pickle(black_box(&bytes))));
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
