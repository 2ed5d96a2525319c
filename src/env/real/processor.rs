//! How a core's thread shares its processor with threads that it waits for.
//!
//! In: the start of a core; the end of a turn of a query or of background work. Out: other threads
//! run soon although the core has enough to do.
//!
//! A commit is finished by threads of the kernel, and asked for by clients, which may live on the
//! same host. A thread that wakes up may have to wait until the running thread's slice is over or
//! the scheduler's next tick: beside questions that compute all the time single steps of a write
//! were seen to take 3 ms. Giving way after a turn lets such a thread run at once.
//!
//! On Linux 6.18 who gives way forfeits the rest of its slice, so the slice is made short: a loop
//! that yields every 250 us, pinned beside one that never sleeps, got 16% of the processor with
//! the usual slice and 42% with this one.
//!
//! What this, commits written through and shorter turns do together for writes beside questions
//! stands in `perf/NOTES.md`, with the command.

use std::mem;

/// Other threads have a turn at least this often while a core computes for queries or in the
/// background (ns).
pub(super) const GIVE_WAY_NS: u64 = 250_000;

/// What the thread may run at a stretch while others want the processor (ns); the least that Linux
/// takes. It was made settable with Linux 6.12.
const SLICE_NS: u64 = 100_000;

/// `struct sched_attr` in its first form; the C library has no function that takes it.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

const SIZE: u32 = mem::size_of::<Attributes>() as u32;

fn attributes() -> Option<Attributes> {
    let mut found = Attributes::default();
    // SAFETY: the call fills in at most as many bytes as it is told.
    let done = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut found, SIZE, 0) };
    (done == 0).then_some(found)
}

/// Makes the slices of this thread, and of those it starts, short; all else stays. A kernel that
/// cannot do it, and a thread of another policy, is left alone.
pub(super) fn shorten_slices() {
    let Some(found) = attributes() else { return };
    if found.policy != libc::SCHED_OTHER as u32 {
        return;
    }
    let wanted = Attributes { size: SIZE, runtime: SLICE_NS, ..found };
    // SAFETY: the call reads the structure. It may fail where it is forbidden; then the thread
    // goes on as it is.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
}

/// Lets threads that wait for this processor run.
pub(super) fn give_way() {
    // SAFETY: the call asks nothing.
    unsafe { libc::sched_yield() };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_get_short_and_nothing_else_changes() {
        let found = std::thread::spawn(|| {
            let before = attributes().unwrap();
            shorten_slices();
            (before, attributes().unwrap())
        });
        let (before, after) = found.join().unwrap();
        assert_eq!((after.policy, after.nice), (before.policy, before.nice));
        // A kernel without slices to be set tells none.
        let expected = if before.runtime == 0 { 0 } else { SLICE_NS };
        assert_eq!(after.runtime, expected);
    }
}
