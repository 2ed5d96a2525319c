//! Decoding allocates nothing per line in steady state: with known names, known series and recycled
//! buffers the number of allocations of a request does not depend on its number of lines.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use ringtail::catalog::State;
use ringtail::catalog::command::Command;
use ringtail::model::SeriesId;
use ringtail::protocol::{Batcher, Progress, Tail, Target, line, telnet};
use ringtail::route::SeriesCache;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// The counter is the process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

// SAFETY: forwards to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

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
        for record in state.decide(&command).unwrap() {
            state.apply(&record);
        }
        let db = state.database("d").unwrap();
        let target = Target { db: db.id, policy: db.default_policy.unwrap() };
        Core { state, cache: SeriesCache::new(1, 100_000), batcher: Batcher::new(), target }
    }

    fn resolve(&mut self, missing: ringtail::protocol::Missing, mix: bool) {
        for record in self.state.decide(&missing.resolve(self.target.policy, mix)).unwrap() {
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
        let mut start = 0;
        loop {
            let mut ctx = line::Context {
                catalog: &self.state,
                cache: &mut self.cache,
                report: &mut report,
                tail: &mut tail,
                now_ns: 1_500_000_000_000_000_000,
                precision: line::Precision::Nanoseconds,
                shards: 2,
                more: false,
                line_bytes_max: 1 << 20,
                names_max: 10_000,
            };
            match line::decode(&body[start..], &mut self.batcher, &mut ctx) {
                Progress::Done { .. } => return self.finish(),
                Progress::NeedNames { resume_at, missing } => {
                    start += resume_at;
                    self.resolve(missing, false);
                }
            }
        }
    }

    fn telnet(&mut self, bytes: &[u8]) -> u64 {
        let (mut rejects, mut tail) = (telnet::Rejects::default(), Tail::default());
        self.batcher.begin(self.target);
        let mut start = 0;
        loop {
            let mut ctx = telnet::Context {
                catalog: &self.state,
                cache: &mut self.cache,
                rejects: &mut rejects,
                tail: &mut tail,
                now_ns: 1_500_000_000_000_000_000,
                shards: 2,
                line_bytes_max: telnet::LINE_BYTES_MAX,
                names_max: 10_000,
                ttl_default_s: 0,
                versions: 0,
            };
            match telnet::decode(&bytes[start..], &mut self.batcher, &mut ctx) {
                Progress::Done { .. } => return self.finish(),
                Progress::NeedNames { resume_at, missing } => {
                    start += resume_at;
                    self.resolve(missing, true);
                }
            }
        }
    }
}

fn allocations(mut work: impl FnMut() -> u64) -> (u64, u64) {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let rows = work();
    (ALLOCATIONS.load(Ordering::Relaxed) - before, rows)
}

/// Allocations of a request that do not depend on its lines: lists of the outcome, scratch lists.
const PER_REQUEST: u64 = 24;

#[test]
fn line_protocol_allocates_nothing_per_line() {
    let _alone = ALONE.lock().unwrap();
    let body: String = (0..5_000)
        .map(|n| {
            let (host, state) = (n % 100, n % 2 == 0);
            let time = 1_500_000_000_000_000_000i64 + n;
            format!("cpu,host=h{host} u={n}.25,i={n}i,s=\"text\",b={state} {time}\n")
        })
        .collect();
    let mut core = Core::new();
    for _ in 0..3 {
        core.lines(body.as_bytes());
    }
    let (count, rows) = allocations(|| core.lines(body.as_bytes()));
    assert_eq!(rows, 5_000);
    assert!(count <= PER_REQUEST, "{count} allocations");
}

#[test]
fn telnet_allocates_nothing_per_line() {
    let _alone = ALONE.lock().unwrap();
    let lines: String = (0..5_000)
        .map(|n| format!("put metric.{} {} {n}.5 host=h{}\n", n % 50, 1_500_000_000 + n, n % 100))
        .collect();
    let mut core = Core::new();
    for _ in 0..3 {
        core.telnet(lines.as_bytes());
    }
    let (count, rows) = allocations(|| core.telnet(lines.as_bytes()));
    assert_eq!(rows, 5_000);
    assert!(count <= PER_REQUEST, "{count} allocations");
}
