//! The profile of processor time: every thread is looked at once in ten milliseconds of its own
//! time.
//!
//! In: how long. Out: stacks with counts and nanoseconds. Each thread has a timer of its own that
//! runs with its processor time, so a thread that waits is left alone. One profile at a time.

use super::claim::Right;
use super::modules;
use super::sampler::{Active, Kind, SLOTS};
use super::unwind::{Copy, Unwinder};
use super::{Place, Profile, Sample, threads};
use crate::model::FixedMap;
use std::collections::BTreeMap;
use std::io;
use std::ptr;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Processor time between two looks at a thread.
const PERIOD: Duration = Duration::from_millis(10);
/// How often records are taken over, and every how many times new threads are looked for.
const TAKE: Duration = Duration::from_millis(20);
const LOOK: usize = 25;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The right to take the profile of processor time.
pub struct Claim(#[expect(dead_code, reason = "it is given back when dropped")] Right);

/// Claims it; `None` while another has it.
pub fn claim() -> Option<Claim> {
    Right::take(&TAKEN).map(Claim)
}

/// A timer that goes off with a thread's processor time.
struct Timer(libc::timer_t);

// SAFETY: a timer is a number of the process.
unsafe impl Send for Timer {}

impl Timer {
    fn new(thread: i32, value: usize) -> io::Result<Timer> {
        // A clock of a thread's processor time is named by the thread's number like this.
        let clock = !thread << 3 | 6;
        let time = libc::timespec { tv_sec: 0, tv_nsec: i64::from(PERIOD.subsec_nanos()) };
        let rhythm = libc::itimerspec { it_interval: time, it_value: time };
        let mut timer = ptr::null_mut();
        // SAFETY: the structures live through the calls; the event is plain numbers.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = libc::SIGPROF;
            event.sigev_notify_thread_id = thread;
            event.sigev_value.sival_ptr = value as *mut std::ffi::c_void;
            if libc::timer_create(clock, &raw mut event, &raw mut timer) != 0 {
                return Err(io::Error::last_os_error());
            }
            let timer = Timer(timer);
            match libc::timer_settime(timer.0, 0, &raw const rhythm, ptr::null_mut()) {
                0 => Ok(timer),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: it was made and is deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// A thread that is looked at.
struct Watched {
    number: i32,
    name: String,
    _timer: Timer,
}

impl Claim {
    /// Looks for `time`, or until `stop` is sent or dropped, on this thread.
    ///
    /// # Errors
    /// When the system gives no timers.
    pub fn run(self, time: Duration, stop: &Receiver<()>) -> io::Result<Profile> {
        let started = Instant::now();
        let active = Active::begin(Kind::Cpu)?;
        let mut unwinder = Unwinder::new(&modules::list());
        let mut counts: FixedMap<(usize, Vec<u64>), i64> = FixedMap::default();
        let mut watched: Vec<Watched> = Vec::new();
        // SAFETY: the call asks nothing.
        let here = unsafe { libc::gettid() };
        for turn in 0.. {
            if turn % LOOK == 0 {
                watch_new(&active, here, &mut watched)?;
            }
            let left = time.saturating_sub(started.elapsed());
            let stopped =
                !matches!(stop.recv_timeout(left.min(TAKE)), Err(RecvTimeoutError::Timeout));
            for slot in 0..watched.len() {
                active.take(slot, |registers, stack| {
                    let found = unwinder.walk(&Copy { registers: *registers, stack });
                    *counts.entry((slot, found)).or_default() += 1;
                });
            }
            if stopped || left.is_zero() {
                break;
            }
        }
        let lost = i64::try_from(active.lost()).unwrap_or(i64::MAX);
        let names: Vec<String> = watched.iter().map(|one| one.name.clone()).collect();
        // Timers go first, then what their signals are written to.
        drop(watched);
        drop(active);
        let mut made = profile(counts.into_iter(), &names, started.elapsed());
        if lost > 0 {
            let values = vec![lost, lost.saturating_mul(made.period.1)];
            let stack = vec![Place::name("lost: no room for its stack")];
            made.samples.push(Sample { stack, values, thread: None });
        }
        Ok(made)
    }
}

fn watch_new(active: &Active, here: i32, watched: &mut Vec<Watched>) -> io::Result<()> {
    for (number, name) in threads::list() {
        let slot = watched.len();
        let known = watched.iter().any(|one| one.number == number);
        if known || number == here || slot >= SLOTS {
            continue;
        }
        let Some(value) = active.prepare(slot) else { continue };
        match Timer::new(number, value) {
            Ok(_timer) => watched.push(Watched { number, name, _timer }),
            // It ended meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn profile(
    counts: impl Iterator<Item = ((usize, Vec<u64>), i64)>,
    names: &[String],
    time: Duration,
) -> Profile {
    let sorted: BTreeMap<(usize, Vec<u64>), i64> = counts.collect();
    let period = i64::from(PERIOD.subsec_nanos());
    let one = |((thread, stack), count): ((usize, Vec<u64>), i64)| Sample {
        stack: stack.into_iter().map(Place::Code).collect(),
        values: vec![count, count.saturating_mul(period)],
        thread: names.get(thread).cloned(),
    };
    Profile {
        types: vec![("samples", "count"), ("cpu", "nanoseconds")],
        samples: sorted.into_iter().map(one).collect(),
        shown: 1,
        period: (("cpu", "nanoseconds"), period),
        duration_ns: i64::try_from(time.as_nanos()).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::super::symbols::Symbols;
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::sync::mpsc::channel;

    #[inline(never)]
    fn spin_for_the_profile(stop: &AtomicBool) -> u64 {
        let mut sum = 0u64;
        while !stop.load(Ordering::Relaxed) {
            sum = std::hint::black_box(sum.wrapping_mul(3).wrapping_add(1));
        }
        sum
    }

    #[test]
    fn a_busy_function_is_seen_with_its_callers() {
        let stop = Arc::new(AtomicBool::new(false));
        let worker = stop.clone();
        let thread = std::thread::Builder::new().name("spinner".to_owned());
        let handle = thread.spawn(move || spin_for_the_profile(&worker)).unwrap();
        let mut seen = Vec::new();
        let until = Instant::now() + Duration::from_secs(60);
        while seen.is_empty() && Instant::now() < until {
            let first = claim().unwrap();
            assert!(claim().is_none(), "one at a time");
            let (_stop, told) = channel();
            let profile = first.run(Duration::from_millis(300), &told).unwrap();
            assert_eq!(profile.period.1, 10_000_000);
            let of_it = |sample: &Sample| sample.thread.as_deref() == Some("spinner");
            seen = profile.samples.into_iter().filter(of_it).collect();
        }
        stop.store(true, Ordering::Relaxed);
        handle.join().unwrap();
        // It ends early when nobody waits.
        let (gone, told) = channel();
        drop(gone);
        claim().unwrap().run(Duration::from_secs(3600), &told).unwrap();
        let mut symbols = Symbols::default();
        let mut has = |wanted: &str| {
            seen.iter().any(|sample| {
                let depth = sample.stack.len();
                sample.stack.iter().any(|place| match place {
                    Place::Code(address) => {
                        symbols.lines(*address - 1).iter().any(|l| l.function.contains(wanted))
                    }
                    Place::Named { .. } => false,
                }) && depth > 3
            })
        };
        assert!(has("spin_for_the_profile"), "{seen:?}");
        assert!(has("__rust_begin_short_backtrace"), "{seen:?}");
    }
}
