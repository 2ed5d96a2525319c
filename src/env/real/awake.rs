//! Keeps an executor from sleeping while tasks are ready to run.
//!
//! The runtime looks for tasks only when its preemption ring is empty. When a preemption timer or
//! a wake-up of another thread arrives between its look at the rings and its look at the tasks, it
//! takes "nothing was run" for "nothing is there", and sleeps until some timer, call or thread
//! wakes it, however many tasks are ready. The shorter the preemption interval and the busier the
//! machine, the likelier that is: starts of three cores on two processors hung in more than half
//! of all cases.
//!
//! So there is always a timer that will wake it: a beat, and behind it later ones for the case
//! that the beat itself is among the ready tasks. A wake-up that was missed costs one beat at most
//! times. An executor that has had nothing to do for a second beats less often. Before the first
//! beat there is no timer, so whoever starts an executor wakes it until the beat has begun: by its
//! event descriptor, which the runtime gives nobody, so all of the process are written to. A
//! needless write only lets an executor look around once.

use glommio::timer::Timer;
use std::fs;
use std::future::{Future, poll_fn};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::pin::Pin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::task::Poll;
use std::time::Duration;

/// When the executor is woken if nothing else does. The first is the rhythm; the next one counts
/// only when everything before it became ready together.
const BEATS: [Duration; 5] = [
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(800),
    Duration::from_secs(5),
];

/// How long a start may take before the executor is woken, and woken again.
const START: Duration = Duration::from_millis(20);

/// An executor that did nothing for so many beats goes over to the second rhythm: a beat costs
/// about 90 us of its core, which is all that an idle server does.
const IDLE_AFTER: u32 = 200;

/// `Core::turns` from beat to beat up to which an executor does nothing: the beat's own turn, and
/// those of services that look at the clock.
const IDLE_TURNS: u64 = 10;

/// Beats for ever; says when it has begun. `tell` is told of each beat and gives `Core::turns`.
pub(super) async fn beat(begun: Sender<()>, tell: impl Fn() -> u64) {
    let mut begun = Some(begun);
    let (mut idle, mut turns) = (0, 0);
    loop {
        // Timers are in the runtime's list from their first poll until they are dropped.
        let mut timers = BEATS.map(Timer::new);
        let skipped = usize::from(idle >= IDLE_AFTER);
        poll_fn(|context| {
            let mut due = false;
            for timer in timers.iter_mut().skip(skipped) {
                due |= Pin::new(timer).poll(context).is_ready();
            }
            // Nobody may be waiting for it.
            begun.take().and_then(|begun| begun.send(()).ok());
            if due { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let now = tell();
        idle = if now.wrapping_sub(turns) <= IDLE_TURNS { idle.saturating_add(1) } else { 0 };
        turns = now;
    }
}

/// Waits until an executor's beat has begun, or the executor is gone, waking it now and then.
pub(super) fn await_beat(begun: &Receiver<()>) {
    while begun.recv_timeout(START) == Err(RecvTimeoutError::Timeout) {
        wake_all();
    }
}

/// Writes to every event descriptor of the process.
fn wake_all() {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    for entry in entries.flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        if let Some(number) = number.filter(|number| is_event(*number)) {
            wake(number);
        }
    }
}

fn is_event(descriptor: i32) -> bool {
    fs::read_link(format!("/proc/self/fd/{descriptor}"))
        .is_ok_and(|target| target.as_os_str() == "anon_inode:[eventfd]")
}

/// Writes to a descriptor if it is an event's. It is duplicated before that is made sure of, so
/// that it cannot become another file in between.
fn wake(descriptor: i32) {
    // SAFETY: duplicating any number is harmless; what comes back is owned here alone.
    let held = unsafe {
        let copy = libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0);
        if copy < 0 {
            return;
        }
        OwnedFd::from_raw_fd(copy)
    };
    if is_event(held.as_raw_fd()) {
        let one = 1u64;
        // SAFETY: eight bytes are read from the integer.
        unsafe { libc::write(held.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    }
}
