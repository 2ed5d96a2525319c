//! Decoding speed: lines of ten float fields with ten tags (the cpu measurement of the TSBS suite,
//! 1,000 hosts), and telnet `put` lines, into recycled Batches with known names and series.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringtail::catalog::State;
use ringtail::catalog::command::Command;
use ringtail::model::SeriesId;
use ringtail::protocol::{Batcher, Missing, Progress, Tail, Target, line, telnet};
use ringtail::route::SeriesCache;
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SHARDS: u32 = 2;
const NOW_NS: i64 = 1_451_606_400_000_000_000;

struct Core {
    state: State,
    cache: SeriesCache,
    batcher: Batcher,
    target: Target,
}

impl Core {
    fn new() -> Core {
        let mut state = State::default();
        let command = Command::CreateDatabase { name: "d".into(), policy: None };
        for record in state.decide(&command).unwrap_or_default() {
            state.apply(&record);
        }
        let db = state.database("d").expect("just made");
        let target = Target { db: db.id, policy: db.default_policy.expect("just made") };
        Core { state, cache: SeriesCache::new(1, 1_000_000), batcher: Batcher::new(), target }
    }

    fn resolve(&mut self, missing: Missing, mix: bool) {
        let command = missing.resolve(self.target.policy, mix);
        for record in self.state.decide(&command).unwrap_or_default() {
            self.state.apply(&record);
        }
    }

    fn finish(&mut self) -> u64 {
        let outcome = self.batcher.finish();
        for mut write in outcome.writes {
            let ids: Vec<SeriesId> =
                (0..write.request.new_series.len()).map(|n| SeriesId(n as u32)).collect();
            write.take_lesson().learned(&ids, &mut self.cache);
            self.batcher.recycle(write.request);
        }
        outcome.rows
    }

    fn lines(&mut self, body: &[u8]) -> u64 {
        let (mut report, mut tail) = (line::Report::default(), Tail::default());
        self.batcher.begin(self.target);
        let mut rest = body;
        loop {
            let mut ctx = line::Context {
                catalog: &self.state,
                cache: &mut self.cache,
                report: &mut report,
                tail: &mut tail,
                now_ns: NOW_NS,
                precision: line::Precision::Nanoseconds,
                shards: SHARDS,
                more: false,
                line_bytes_max: 1 << 20,
                names_max: 10_000,
            };
            match line::decode(rest, &mut self.batcher, &mut ctx) {
                Progress::Done { .. } => return self.finish(),
                Progress::NeedNames { resume_at, missing } => {
                    rest = rest.get(resume_at..).unwrap_or(&[]);
                    self.resolve(missing, false);
                }
            }
        }
    }

    fn telnet(&mut self, bytes: &[u8]) -> u64 {
        let (mut rejects, mut tail) = (telnet::Rejects::default(), Tail::default());
        self.batcher.begin(self.target);
        let mut rest = bytes;
        loop {
            let mut ctx = telnet::Context {
                catalog: &self.state,
                cache: &mut self.cache,
                rejects: &mut rejects,
                tail: &mut tail,
                now_ns: NOW_NS,
                shards: SHARDS,
                line_bytes_max: telnet::LINE_BYTES_MAX,
                names_max: 10_000,
                ttl_default_s: 0,
                versions: 0,
            };
            match telnet::decode(rest, &mut self.batcher, &mut ctx) {
                Progress::Done { .. } => return self.finish(),
                Progress::NeedNames { resume_at, missing } => {
                    rest = rest.get(resume_at..).unwrap_or(&[]);
                    self.resolve(missing, true);
                }
            }
        }
    }
}

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
    let mut core = Core::new();
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
    let mut core = Core::new();
    for _ in 0..3 {
        core.telnet(lines.as_bytes());
    }
    group.bench_function("telnet put", |bencher| {
        bencher.iter(|| black_box(core.telnet(black_box(lines.as_bytes()))));
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
