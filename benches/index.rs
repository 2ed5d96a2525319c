//! The series index at a million series with ten tags, shaped like TSBS cpu-only: a unique hostname
//! and nine tags of few values.
//!
//! Prints bytes a series by the index's own account and by the process's resident set, and the
//! times to define, find, save, load, select and list (processor time). Run with
//! `cargo bench --bench index`; the number of series is `INDEX_SERIES` (1,000,000).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

use ringtail::model::{DbId, MeasurementId, SeriesId, SeriesKey};
use ringtail::shard::index::{Index, TagFilter};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const DB: DbId = DbId(1);
const CPU: MeasurementId = MeasurementId(1);

fn main() {
    let count = std::env::var("INDEX_SERIES").ok().and_then(|text| text.parse().ok());
    let count: u32 = count.unwrap_or(1_000_000);
    let mut key = Vec::new();
    write_key(7, &mut key);
    assert_eq!(SeriesKey::from_bytes(&key).map_or(0, |key| key.tags().count()), 10);
    let before = resident_bytes();
    let mut index = Index::new();
    let mut longest = 0;
    let spent = timed(|| {
        for n in 0..count {
            write_key(n, &mut key);
            let start = Instant::now();
            assert!(index.intern(DB, CPU, &key).is_ok_and(|(_, new)| new));
            longest = longest.max(start.elapsed().as_micros());
        }
    });
    let resident = resident_bytes().saturating_sub(before);
    per_series("define (with making of the key)", spent, count);
    println!("longest single definition: {longest} us of wall time");
    println!("bytes a series: {} counted", index.memory_bytes() / count as usize);
    println!("bytes a series: {} resident", resident / count as usize);
    let spent = timed(|| (0..count).for_each(|n| write_key(n, &mut key)));
    per_series("making of the key alone", spent, count);
    let spent = timed(|| {
        for n in 0..count {
            let n = n.wrapping_mul(2_654_435_761) % count;
            write_key(n, &mut key);
            assert_eq!(index.lookup(DB, &key), Some(SeriesId(n)));
        }
    });
    per_series("look-up in random order (with the key)", spent, count);
    files(&index, count);
    reads(&index, count);
}

fn files(index: &Index, count: u32) {
    let mut bytes = Vec::new();
    let spent = timed(|| bytes = index.base().bytes);
    per_series("encode the base", spent, count);
    println!("base: {:.1} bytes a series", bytes.len() as f64 / f64::from(count));
    let before = resident_bytes();
    let mut again = Index::new();
    let spent = timed(|| assert!(again.load(&bytes).is_ok()));
    per_series("load the base", spent, count);
    let resident = resident_bytes().saturating_sub(before);
    println!("bytes a series: {} resident after loading", resident / count as usize);
    assert_eq!(again.live_series(DB), u64::from(count));
    let every_tenth = (0..count).step_by(10).collect();
    let spent = timed(|| again.retire(&every_tenth));
    per_series("retire every tenth", spent, count / 10);
}

fn reads(index: &Index, count: u32) {
    let Ok(regex) = regex::bytes::Regex::new("_12.*7$") else { return };
    let by_name = TagFilter::Matches { key: b"hostname".as_slice().into(), regex };
    let mut found = 0;
    let spent = timed(|| found = index.select(CPU, &by_name).len());
    println!("select hostname by expression, {found} found: {:.1} ms", spent * 1e3);
    let equal =
        TagFilter::Equals { key: b"region".as_slice().into(), value: b"us-1".as_slice().into() };
    let spent = timed(|| found = index.select(CPU, &equal).len());
    println!("select region by value, {found} found: {:.3} ms", spent * 1e3);
    let mut values = 0;
    let spent = timed(|| values = index.tag_values(CPU, b"hostname", None).len());
    println!("all {values} values of hostname: {:.1} ms", spent * 1e3);
    let ids: Vec<SeriesId> = (0..count).map(SeriesId).collect();
    let mut groups = 0;
    let spent = timed(|| groups = index.group(&ids, &[b"region", b"os"]).groups.len());
    println!("group all by region and os, {groups} groups: {:.1} ms", spent * 1e3);
    let spent = timed(|| groups = index.group(&ids, &[b"hostname"]).groups.len());
    println!("group all by hostname, {groups} groups: {:.1} ms", spent * 1e3);
}

/// Seconds of processor time, so that a busy machine does not blur the figure.
fn timed(work: impl FnOnce()) -> f64 {
    let start = processor_ns();
    work();
    processor_ns().saturating_sub(start) as f64 / 1e9
}

/// Nanoseconds this thread has run, by the kernel's account.
fn processor_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let field = text.split_ascii_whitespace().next();
    field.and_then(|field| field.parse().ok()).unwrap_or(0)
}

fn per_series(what: &str, seconds: f64, count: u32) {
    let ns = seconds * 1e9 / f64::from(count.max(1));
    println!("{what}: {seconds:.3} s, {ns:.0} ns a series");
}

/// The canonical key of host `n`; the nine tags are spread as a hash would spread them.
fn write_key(n: u32, key: &mut Vec<u8>) {
    use std::io::Write;
    key.clear();
    let mut part = |text: std::fmt::Arguments| {
        let start = key.len();
        key.extend_from_slice(&[0, 0]);
        let _ = key.write_fmt(text);
        let len = (key.len() - start - 2) as u16;
        for (place, byte) in key.iter_mut().skip(start).zip(len.to_le_bytes()) {
            *place = byte;
        }
    };
    let random = u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let pick = |shift: u32, of: u64| (random >> shift) % of;
    part(format_args!("cpu"));
    let tags: [(&str, &str, u64); 10] = [
        ("arch", "x", pick(8, 2)),
        ("datacenter", "us-east-1", pick(10, 25)),
        ("hostname", "host_", u64::from(n)),
        ("os", "Ubuntu16.", pick(14, 3)),
        ("rack", "", pick(16, 100)),
        ("region", "us-", pick(20, 9)),
        ("service", "", pick(24, 20)),
        ("service_environment", "env", pick(28, 3)),
        ("service_version", "", pick(32, 2)),
        ("team", "team", pick(36, 4)),
    ];
    for (tag, prefix, value) in tags {
        part(format_args!("{tag}"));
        part(format_args!("{prefix}{value}"));
    }
}

/// Bytes of the process that are in memory.
fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_ascii_whitespace().nth(1).and_then(|field| field.parse().ok());
    pages.unwrap_or(0usize) * 4096
}
