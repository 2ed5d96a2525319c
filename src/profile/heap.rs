//! The profile of memory: what jemalloc noted of about every 2 MiB that were allocated.
//!
//! In: jemalloc's own report, which it writes to a file. Out: `heap` with what is in use, `allocs`
//! with all since the start, both scaled from the noted allocations to all. The report has a block
//! for each stack:
//!
//! ```text
//! heap_v2/524288
//!   t*: 2: 1048704 [5: 2621760]
//! @ 0x55d0 0x55d8
//!   t*: 1: 524352 [2: 1048704]
//!   t0: 1: 524352 [2: 1048704]
//! ```
//!
//! where `t*` has the objects and bytes of all threads in use, and in brackets those since the
//! start.

use super::symbols::Symbols;
use super::{Place, Profile, Sample};
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// So many places of a stack may be the allocator's.
const ALLOCATOR_FRAMES_MAX: usize = 16;

/// Switches the noting on or off; whether the allocator can note at all.
pub fn note_allocations(on: bool) -> bool {
    // SAFETY: the name ends with a zero byte, the value is of the type that the name asks for.
    unsafe { tikv_jemalloc_ctl::raw::write(b"prof.active\0", on).is_ok() }
}

/// What is in use; samples without anything are left out.
///
/// # Errors
/// As `report`.
pub fn in_use() -> io::Result<Profile> {
    let mut profile = report()?;
    profile.samples.retain(|sample| sample.values.get(2).is_some_and(|objects| *objects > 0));
    profile.shown = 3;
    Ok(profile)
}

/// All that was allocated since the start.
///
/// # Errors
/// As `report`.
pub fn since_start() -> io::Result<Profile> {
    report()
}

/// Takes the allocator's own functions off the stacks.
pub fn trim(profile: &mut Profile, symbols: &mut Symbols) {
    for sample in &mut profile.samples {
        let mut inside = 0;
        for (at, place) in sample.stack.iter().take(ALLOCATOR_FRAMES_MAX).enumerate() {
            let Place::Code(address) = place else { break };
            // All of these are return addresses.
            let lines = symbols.lines(address.saturating_sub(1));
            if lines.iter().any(|line| is_allocator(&line.function)) {
                inside = at + 1;
            }
        }
        if inside < sample.stack.len() {
            // What is innermost now is a return address still; encoders take leaves as they are.
            sample.stack.drain(..inside);
            if let Some(Place::Code(address)) = sample.stack.first_mut() {
                *address = address.saturating_sub(1);
            }
        }
    }
}

fn is_allocator(function: &str) -> bool {
    let name = function.rsplit("::").next().unwrap_or(function);
    ["_rjem_", "prof_", "__rust_alloc", "__rust_realloc", "__rdl_", "__rg_"]
        .iter()
        .any(|start| name.starts_with(start))
        || function.contains("tikv_jemallocator")
}

/// The present profile; its samples have objects and bytes since the start, then those in use.
///
/// # Errors
/// When the allocator notes nothing, or its report cannot be written or read.
fn report() -> io::Result<Profile> {
    let path = report_path();
    let made = dump(&path).and_then(|()| std::fs::read_to_string(&path));
    // Nothing else knows the name.
    let _ = std::fs::remove_file(&path);
    parse(&made?).ok_or_else(|| io::Error::other("the allocator's report cannot be read"))
}

/// A file in memory where there is a place for such, with a name of its own.
fn report_path() -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    dir.join(format!("ringtail-heap-{}-{number}", std::process::id()))
}

fn dump(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: both texts end with a zero byte and live through the call.
    let done = unsafe { tikv_jemalloc_ctl::raw::write(b"prof.dump\0", path.as_ptr()) };
    done.map_err(|error| io::Error::other(format!("the allocator notes nothing: {error}")))
}

/// Objects and bytes in use, and since the start.
fn counts(line: &str) -> Option<[f64; 4]> {
    let rest = line.trim().strip_prefix("t*:")?;
    let mut numbers = rest.split([':', '[', ']', ' ']).filter(|part| !part.is_empty());
    let mut next = || numbers.next()?.parse::<f64>().ok();
    Some([next()?, next()?, next()?, next()?])
}

/// What noted objects and bytes stand for: an object is noted with a likelihood of
/// 1 - exp(-size / rate).
fn scaled(objects: f64, bytes: f64, rate: f64) -> [i64; 2] {
    if objects <= 0.0 {
        return [0, 0];
    }
    let factor = 1.0 / (1.0 - (-(bytes / objects) / rate).exp());
    [(objects * factor) as i64, (bytes * factor) as i64]
}

fn parse(text: &str) -> Option<Profile> {
    let mut lines = text.lines();
    let rate: f64 = lines.next()?.strip_prefix("heap_v2/")?.parse().ok()?;
    let mut samples = Vec::new();
    let mut stack: Option<Vec<Place>> = None;
    for line in lines {
        if line.starts_with("MAPPED_LIBRARIES") {
            break;
        }
        if let Some(addresses) = line.strip_prefix('@') {
            let address = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
            let places = addresses.split_whitespace().filter_map(address).map(Place::Code);
            stack = Some(places.collect());
        } else if let (Some(found), Some(counts)) = (&mut stack, counts(line)) {
            let [objects, bytes, all_objects, all_bytes] = counts;
            let mut values = scaled(all_objects, all_bytes, rate).to_vec();
            values.extend(scaled(objects, bytes, rate));
            samples.push(Sample { stack: std::mem::take(found), values, thread: None });
            stack = None;
        }
    }
    Some(Profile {
        types: vec![
            ("alloc_objects", "count"),
            ("alloc_space", "bytes"),
            ("inuse_objects", "count"),
            ("inuse_space", "bytes"),
        ],
        samples,
        shown: 1,
        period: (("space", "bytes"), rate as i64),
        duration_ns: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_and_scaled() {
        let text = "heap_v2/524288\n  t*: 2: 1048704 [5: 2621760]\n  t0: 0: 0 [0: 0]\n\
                    @ 0x10 0x20\n  t*: 1: 524288 [2: 1048576]\n  t0: 1: 524288 [2: 1048576]\n\
                    @ 0x30\n  t*: 0: 0 [1: 8]\n\nMAPPED_LIBRARIES:\n@ 0x1\n  t*: 1: 1 [1: 1]\n";
        let profile = parse(text).unwrap();
        let [first, second] = &profile.samples[..] else { panic!("{profile:?}") };
        assert_eq!(first.stack, [Place::Code(0x10), Place::Code(0x20)]);
        // One noted object of the size of the rate stands for 1 / (1 - 1/e) = 1.58.
        assert_eq!(first.values, [3, 1_658_822, 1, 829_411]);
        assert_eq!(second.values, [65536, 524_292, 0, 0]);
        assert!(parse("").is_none() && parse("heap_v3/1").is_none());
        assert_eq!(parse("heap_v2/1\n@ zz\n t*: x").unwrap().samples, []);
    }
}
