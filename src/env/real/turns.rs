//! The turns of a core's tasks, noted one by one while a trace is taken.
//!
//! In: begin, end and place of each turn, from the core. Out: the list, for the thread that takes
//! the trace. The core alone writes the entries and their number, with plain stores; the other
//! thread reads what the number covers. While nothing is noted a turn costs one look at a flag. The
//! list is made with the first trace and kept; its end is the end of the noting.

use super::tasks::Spawned;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::Instant;

/// Turns that a core notes at most: 6 MiB, some seconds of a busy core.
pub const TURNS_MAX: usize = 1 << 18;

/// A turn of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// On the clock of `now_ns`.
    pub begin_ns: u64,
    pub end_ns: u64,
    /// Which of the core's places its task was spawned at (`number_of`).
    pub place: u64,
}

/// The number of a place; the same as long as the process runs.
pub fn number_of(spawned: &'static Spawned) -> u64 {
    std::ptr::from_ref(spawned).addr() as u64
}

/// Time since some moment in this process (ns).
pub fn now_ns() -> u64 {
    static BASE: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BASE.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The notes of one core.
#[derive(Debug, Default)]
pub struct Turns {
    on: AtomicBool,
    list: OnceLock<Box<[[AtomicU64; 3]]>>,
    filled: AtomicUsize,
}

impl Turns {
    /// The time, when turns are noted; for the core.
    #[inline]
    pub(super) fn begin(&self) -> Option<u64> {
        self.on.load(Ordering::Relaxed).then(now_ns)
    }

    /// Notes a turn that ends now; for the core.
    pub(super) fn end(&self, begin_ns: u64, place: &'static Spawned) {
        let at = self.filled.load(Ordering::Relaxed);
        let Some(slot) = self.list.get().and_then(|list| list.get(at)) else { return };
        let turn = [begin_ns, now_ns(), number_of(place)];
        slot.iter().zip(turn).for_each(|(into, value)| into.store(value, Ordering::Relaxed));
        self.filled.store(at + 1, Ordering::Release);
    }

    /// Begins to note; for the one thread that takes a trace.
    pub fn start(&self) {
        self.list.get_or_init(|| (0..TURNS_MAX).map(|_| Default::default()).collect());
        self.filled.store(0, Ordering::Relaxed);
        self.on.store(true, Ordering::Release);
    }

    /// Ends the noting and gives the turns that began at `since` or later, in their order, and
    /// whether there were too many. A core that was in a turn when the trace before this one ended
    /// may have noted that turn here; what does not fit into the order is left out.
    pub fn stop(&self, since: u64) -> (Vec<Turn>, bool) {
        self.on.store(false, Ordering::Relaxed);
        let filled = self.filled.load(Ordering::Acquire);
        let (mut turns, mut last) = (Vec::new(), since);
        for slot in self.list.get().into_iter().flatten().take(filled) {
            let [begin_ns, end_ns, place] = slot.each_ref().map(|v| v.load(Ordering::Relaxed));
            if begin_ns >= last && end_ns >= begin_ns {
                turns.push(Turn { begin_ns, end_ns, place });
                last = end_ns;
            }
        }
        (turns, filled >= TURNS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tasks::Register;
    use super::*;
    use crate::env::Queue;
    use std::panic::Location;

    #[test]
    fn turns_are_noted_in_their_order_and_only_when_wanted() {
        let register = Register::new();
        let place = Location::caller();
        let run = || {
            let task = register.enter(place, Queue::Query, async {});
            futures_lite::future::block_on(task);
        };
        run();
        let (turns, since) = (&register.core.noted, now_ns());
        turns.start();
        run();
        run();
        let (noted, full) = turns.stop(since);
        run();
        let number = number_of(register.core.places()[0]);
        let [first, second] = noted[..] else { panic!("{noted:?}") };
        assert!(!full && first.place == number && second.place == number);
        assert!(since <= first.begin_ns && first.begin_ns <= first.end_ns);
        assert!(first.end_ns <= second.begin_ns);
        assert_eq!(turns.stop(since).0, noted);
        assert_eq!(turns.stop(second.begin_ns + 1).0, []);
    }
}
