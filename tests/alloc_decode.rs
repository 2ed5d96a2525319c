//! Decoding allocates nothing per line in steady state: with known names, known series and recycled
//! buffers the number of allocations of a request does not depend on its number of lines.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "common/decoding.rs"]
mod decoding;

use decoding::Core;
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

/// Allocations of a request that do not depend on its lines: lists of the outcome, scratch lists.
const PER_REQUEST: u64 = 24;

/// A request of 5,000 rows allocates no more than that once everything in it is known.
fn assert_steady(mut request: impl FnMut(&mut Core) -> u64) {
    let _alone = ALONE.lock().unwrap();
    let mut core = Core::new(100_000, 10_000);
    for _ in 0..3 {
        request(&mut core);
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let rows = request(&mut core);
    let count = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert_eq!(rows, 5_000);
    assert!(count <= PER_REQUEST, "{count} allocations");
}

#[test]
fn line_protocol_allocates_nothing_per_line() {
    let body: String = (0..5_000)
        .map(|n| {
            let (host, state) = (n % 100, n % 2 == 0);
            let time = 1_500_000_000_000_000_000i64 + n;
            format!("cpu,host=h{host} u={n}.25,i={n}i,s=\"text\",b={state} {time}\n")
        })
        .collect();
    assert_steady(|core| core.lines(body.as_bytes()));
}

#[test]
fn telnet_allocates_nothing_per_line() {
    let lines: String = (0..5_000)
        .map(|n| format!("put metric.{} {} {n}.5 host=h{}\n", n % 50, 1_500_000_000 + n, n % 100))
        .collect();
    assert_steady(|core| core.telnet(lines.as_bytes()));
}

#[test]
fn kairosdbs_json_allocates_nothing_per_point() {
    let metrics: Vec<String> = (0..1_000)
        .map(|n| {
            let time = 1_500_000_000_000i64 + n;
            format!(
                "{{\"name\":\"metric.{}\",\"tags\":{{\"host\":\"h{}\",\"dc\":\"x\"}},\"timestamp\":{time},\
                 \"value\":{n}.5,\"datapoints\":[[{time},{n}],[{time}, \"7\"],[{time},\"text\"],[{},-1.25e3]]}}",
                n % 50, n % 100, time + 1,
            )
        })
        .collect();
    let body = format!("[{}]", metrics.join(","));
    assert_steady(|core| core.kairos(body.as_bytes()));
}

#[test]
fn graphite_allocates_nothing_per_line() {
    let lines: String = (0..5_000)
        .map(|n| format!("host{}.cpu.load{} {n}.25 {}\n", n % 100, n % 7, 1_500_000_000 + n))
        .collect();
    assert_steady(|core| core.graphite(lines.as_bytes()));
}

#[test]
fn pickle_allocates_nothing_per_element() {
    let points: Vec<_> = (0..5_000)
        .map(|n| (format!("host{}.cpu", n % 100), f64::from(1_500_000_000 + n), f64::from(n) / 4.0))
        .collect();
    let bytes = decoding::pickles(&points);
    assert_steady(|core| core.pickle(&bytes));
}
