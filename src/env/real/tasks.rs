//! Which tasks live on each core, and whether a core gets on.
//!
//! In: every task that is spawned, each turn it gets. Out: counts by place of spawning, for any
//! thread to read. The entries of a place and a core are made once and stay; a core writes its
//! own with plain stores, so counting costs what it costs in a thread of its own.

use super::processor;
use super::turns::{self, Turns};
use crate::env::Queue;
use std::cell::RefCell;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// Every core that was started in this process.
static CORES: Mutex<Vec<&'static Core>> = Mutex::new(Vec::new());

/// A core's progress and tasks.
#[derive(Debug)]
pub struct Core {
    /// The thread's name.
    pub name: String,
    /// The thread's number.
    pub thread: i32,
    /// Turns given to tasks, twice; odd while one runs.
    turns: AtomicU64,
    /// Times that the executor looked around.
    beats: AtomicU64,
    /// Turns that took too long, and their time.
    stalls: AtomicU64,
    stall_ns: AtomicU64,
    /// When other threads last had a turn of the processor (`turns::now_ns`).
    gave_way: AtomicU64,
    /// 1 once its executor has ended.
    ended: AtomicU64,
    places: Mutex<Vec<&'static Spawned>>,
    /// The turns one by one, while a trace is taken.
    pub noted: Turns,
}

/// The tasks of one place of spawning, queue and core.
#[derive(Debug)]
pub struct Spawned {
    pub place: &'static Location<'static>,
    pub queue: Queue,
    live: AtomicU64,
    all: AtomicU64,
}

fn add(counter: &AtomicU64, step: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(step), Ordering::Relaxed);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole at any time.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The cores whose executors run.
pub fn cores() -> Vec<&'static Core> {
    let running = |core: &&'static Core| core.ended.load(Ordering::Relaxed) == 0;
    lock(&CORES).iter().copied().filter(running).collect()
}

impl Core {
    /// Turns given to tasks, twice; odd while one runs.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Grows while the executor gets on.
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// Turns that took too long, and their time (ns).
    pub fn stalls(&self) -> [u64; 2] {
        [&self.stalls, &self.stall_ns].map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Counts a turn that took too long; for the one thread that watches.
    pub fn note_stall(&self, ns: u64) {
        add(&self.stalls, 1);
        add(&self.stall_ns, ns);
    }

    /// Tasks that have not ended.
    pub fn live(&self) -> u64 {
        lock(&self.places).iter().map(|spawned| spawned.live()).sum()
    }

    /// Lets other threads have the processor, unless they had it a moment ago.
    fn give_way(&self) {
        let now = turns::now_ns();
        if now.saturating_sub(self.gave_way.load(Ordering::Relaxed)) >= processor::GIVE_WAY_NS {
            processor::give_way();
            self.gave_way.store(turns::now_ns(), Ordering::Relaxed);
        }
    }

    /// Says that the executor got on.
    pub(super) fn beat(&self) {
        add(&self.beats, 1);
    }

    /// All places that have spawned a task here.
    pub fn places(&self) -> Vec<&'static Spawned> {
        lock(&self.places).clone()
    }
}

impl Spawned {
    /// Tasks that have not ended.
    pub fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// Tasks since the start.
    pub fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }
}

/// The register of the core that this is made on.
pub(super) struct Register {
    pub core: &'static Core,
    known: RefCell<Vec<&'static Spawned>>,
}

impl Register {
    /// Enters a core; once for each executor, on its thread.
    pub fn new() -> Register {
        let name = std::thread::current().name().unwrap_or("core").to_owned();
        // SAFETY: the call asks nothing.
        let thread = unsafe { libc::gettid() };
        let core: &'static Core = Box::leak(Box::new(Core {
            name,
            thread,
            turns: AtomicU64::new(0),
            beats: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
            stall_ns: AtomicU64::new(0),
            gave_way: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            places: Mutex::default(),
            noted: Turns::default(),
        }));
        lock(&CORES).push(core);
        Register { core, known: RefCell::default() }
    }

    /// Counts a task for as long as it lives.
    pub fn enter<F>(
        &self,
        place: &'static Location<'static>,
        queue: Queue,
        future: F,
    ) -> Counted<F> {
        let is_it =
            |known: &&&'static Spawned| std::ptr::eq(known.place, place) && known.queue == queue;
        let found = self.known.borrow().iter().find(is_it).copied();
        let spawned = found.unwrap_or_else(|| {
            let (live, all) = (AtomicU64::new(0), AtomicU64::new(0));
            let made: &'static Spawned = Box::leak(Box::new(Spawned { place, queue, live, all }));
            self.known.borrow_mut().push(made);
            lock(&self.core.places).push(made);
            made
        });
        add(&spawned.live, 1);
        add(&spawned.all, 1);
        Counted { future, guard: Guard { core: self.core, spawned } }
    }
}

impl Drop for Register {
    fn drop(&mut self) {
        self.core.ended.store(1, Ordering::Relaxed);
    }
}

struct Guard {
    core: &'static Core,
    spawned: &'static Spawned,
}

impl Drop for Guard {
    fn drop(&mut self) {
        add(&self.spawned.live, u64::MAX);
    }
}

/// A task that is counted, and so are its turns.
pub(super) struct Counted<F> {
    future: F,
    guard: Guard,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the future is never moved out of its pinned place, and nothing else of this
        // structure is pinned.
        let (future, guard) = unsafe {
            let inner = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut inner.future), &inner.guard)
        };
        let begin = guard.core.noted.begin();
        add(&guard.core.turns, 1);
        let polled = future.poll(context);
        add(&guard.core.turns, 1);
        if let Some(begin) = begin {
            guard.core.noted.end(begin, guard.spawned);
        }
        if guard.spawned.queue != Queue::Ingest {
            guard.core.give_way();
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_and_turns_are_counted_by_place() {
        let register = Register::new();
        let place = Location::caller();
        let one = register.enter(place, Queue::Query, async {});
        let two = register.enter(place, Queue::Query, async {});
        let other = register.enter(place, Queue::Ingest, async {});
        let places = register.core.places();
        assert_eq!((places.len(), places[0].live(), places[0].all()), (2, 2, 2));
        drop(two);
        assert_eq!(futures_lite::future::block_on(one), ());
        assert_eq!((places[0].live(), places[1].live(), places[0].all()), (0, 1, 2));
        assert_eq!(register.core.turns(), 2);
        let thread = register.core.thread;
        assert!(cores().iter().any(|core| core.thread == thread));
        drop((other, register));
        assert!(cores().iter().all(|core| core.thread != thread));
    }

    #[test]
    fn other_threads_have_a_turn_after_long_work_and_not_after_ingest() {
        let register = Register::new();
        let place = Location::caller();
        let given = || register.core.gave_way.load(Ordering::Relaxed);
        let busy = || async {
            let end = turns::now_ns() + 2 * processor::GIVE_WAY_NS;
            while turns::now_ns() < end {}
        };
        futures_lite::future::block_on(register.enter(place, Queue::Ingest, busy()));
        assert_eq!(given(), 0);
        let begin = turns::now_ns();
        futures_lite::future::block_on(register.enter(place, Queue::Query, busy()));
        let first = given();
        assert!(first > begin);
        futures_lite::future::block_on(register.enter(place, Queue::Background, busy()));
        assert!(given() > first);
    }
}
