//! Stalls: one task holds its core for longer than 10 ms, and everything else there waits.
//!
//! In: the turns of every core, looked at every 10 ms by a thread of its own. Out: how often and
//! for how long, and the stacks at which tasks were met. The core that stalls is looked at once
//! for each stall, by a signal with a copy of its stack; without stalls nothing is signalled. A
//! core that the system does not run looks the same as one that computes.

use super::modules;
use super::sampler::{Active, Kind, SLOTS};
use super::unwind::{Copy, Unwinder};
use super::{Place, Profile, Sample};
use crate::env::real::tasks::{self, Core};
use crate::env::real::turns::{self, Turn};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often cores are looked at, and the shortest stall that is sure to be seen twice.
pub const LOOK: Duration = Duration::from_millis(10);
/// Different stacks kept; further ones are counted without theirs.
const STACKS_MAX: usize = 256;
/// Stalls that a trace has with their stacks.
const EACH_MAX: usize = 1000;
/// A signal is answered within this time, or not at all.
const ANSWER: Duration = Duration::from_millis(50);

/// What was met, of all cores.
static MET: Mutex<BTreeMap<(String, Vec<u64>), Met>> = Mutex::new(BTreeMap::new());

/// Stalls of one stack.
#[derive(Clone, Copy, Default, Debug)]
struct Met {
    count: i64,
    ns: i64,
}

fn met() -> MutexGuard<'static, BTreeMap<(String, Vec<u64>), Met>> {
    // The map is whole at any time.
    MET.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stall, for a trace.
#[derive(Clone, Debug)]
pub struct Stalled {
    /// The core's name.
    pub core: String,
    /// From the last look at which the core still got on to the first at which it did again, on
    /// the clock of turns.
    pub began_ns: u64,
    pub ended_ns: u64,
    pub stack: Vec<u64>,
}

impl Stalled {
    /// Whether it was in this turn.
    pub fn is_of(&self, turn: &Turn) -> bool {
        turn.begin_ns < self.ended_ns && self.began_ns < turn.end_ns
    }
}

/// Stalls while a trace is taken.
static EACH: Mutex<Option<Vec<Stalled>>> = Mutex::new(None);

/// Begins or ends the noting of each stall; gives those that were noted.
pub fn note_each(on: bool) -> Vec<Stalled> {
    let mut each = EACH.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *each, on.then(Vec::new)).unwrap_or_default()
}

/// The profile of stalls since the start.
pub fn profile() -> Profile {
    let one = |((core, stack), met): (&(String, Vec<u64>), &Met)| Sample {
        stack: stack.iter().copied().map(Place::Code).collect(),
        values: vec![met.count, met.ns],
        thread: Some(core.clone()),
    };
    Profile {
        types: vec![("contentions", "count"), ("delay", "nanoseconds")],
        samples: met().iter().map(one).collect(),
        shown: 1,
        period: (("contentions", "count"), 1),
        duration_ns: 0,
    }
}

/// The profile of locks that were waited for: cores share none.
pub fn locks() -> Profile {
    Profile {
        types: vec![("contentions", "count"), ("delay", "nanoseconds")],
        samples: Vec::new(),
        shown: 1,
        period: (("contentions", "count"), 1),
        duration_ns: 0,
    }
}

/// One core as it was seen last.
struct Seen {
    core: &'static Core,
    turns: u64,
    since: Instant,
    /// The stack of the stall that goes on.
    stall: Option<Vec<u64>>,
}

/// Looks at the cores; for one thread.
pub struct Watch {
    active: Option<Active>,
    unwinder: Unwinder,
    seen: Vec<Seen>,
}

impl Watch {
    pub fn begin() -> Watch {
        let unwinder = Unwinder::new(&modules::list());
        // Without a handler stalls are counted all the same.
        Watch { active: Active::begin(Kind::Stall).ok(), unwinder, seen: Vec::new() }
    }

    /// Looks once; call it every `LOOK`.
    pub fn look(&mut self) {
        let now = Instant::now();
        for core in tasks::cores() {
            let known = self.seen.iter().any(|seen| std::ptr::eq(seen.core, core));
            if !known && self.seen.len() < SLOTS {
                self.seen.push(Seen { core, turns: 0, since: now, stall: None });
            }
        }
        for slot in 0..self.seen.len() {
            let Some(seen) = self.seen.get_mut(slot) else { break };
            let turns = seen.core.turns();
            if turns == seen.turns && turns % 2 == 1 {
                if seen.stall.is_none() {
                    let thread = seen.core.thread;
                    let stack = self.stack_of(slot, thread);
                    if let Some(seen) = self.seen.get_mut(slot) {
                        seen.stall = Some(stack);
                    }
                }
                continue;
            }
            let time = now.saturating_duration_since(seen.since);
            if let Some(stack) = seen.stall.take() {
                seen.core.note_stall(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
                note(&seen.core.name, stack, time);
            }
            (seen.turns, seen.since) = (turns, now);
        }
    }

    /// Where a core is; empty when it does not answer.
    fn stack_of(&mut self, slot: usize, thread: i32) -> Vec<u64> {
        let mut found = Vec::new();
        let Some(active) = &self.active else { return found };
        let Some(value) = active.prepare(slot) else { return found };
        if signal(thread, value).is_err() {
            return found;
        }
        let until = Instant::now() + ANSWER;
        while found.is_empty() && Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(1));
            active.take(slot, |registers, stack| {
                found = self.unwinder.walk(&Copy { registers: *registers, stack });
            });
        }
        found
    }
}

fn note(core: &str, stack: Vec<u64>, time: Duration) {
    let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    if let Some(each) = EACH.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
        && each.len() < EACH_MAX
    {
        let ended_ns = turns::now_ns();
        let (core, began_ns) = (core.to_owned(), ended_ns.saturating_sub(ns));
        each.push(Stalled { core, began_ns, ended_ns, stack: stack.clone() });
    }
    let mut all = met();
    let full = all.len() >= STACKS_MAX;
    let key = (core.to_owned(), stack);
    let key = if full && !all.contains_key(&key) { (key.0, Vec::new()) } else { key };
    let entry = all.entry(key).or_default();
    entry.count += 1;
    entry.ns = entry.ns.saturating_add(i64::try_from(ns).unwrap_or(i64::MAX));
}

/// Sends a thread the signal with a value.
fn signal(thread: i32, value: usize) -> io::Result<()> {
    /// The start of the kernel's structure, as `rt_tgsigqueueinfo` takes it.
    #[repr(C)]
    struct Info {
        signal: i32,
        errno: i32,
        code: i32,
        _gap: i32,
        process: i32,
        user: u32,
        value: usize,
        _rest: [u64; 12],
    }
    let process = i32::try_from(std::process::id()).unwrap_or(0);
    let info = Info {
        signal: libc::SIGPROF,
        errno: 0,
        code: libc::SI_QUEUE,
        _gap: 0,
        process,
        user: 0,
        value,
        _rest: [0; 12],
    };
    // SAFETY: the structure is as large as the kernel's and lives through the call.
    let done = unsafe {
        libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, libc::SIGPROF, &raw const info)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
