//! Keeps an executor from sleeping while tasks are ready to run.
//!
//! The runtime looks for tasks only when its preemption ring is empty. When a preemption timer or a
//! wake-up of another thread arrives between its look at the rings and its look at the tasks, it takes
//! "nothing was run" for "nothing is there", and sleeps until some timer, call or thread wakes it,
//! however many tasks are ready. The shorter the preemption interval and the busier the machine, the
//! likelier that is: starts of three cores on two processors hung in more than half of all cases.
//!
//! So there is always a timer that will wake it: a beat, and behind it later ones for the case that the
//! beat itself is among the ready tasks. A wake-up that was missed costs one beat at most times.

use glommio::timer::Timer;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// When the executor is woken if nothing else does. The first is the rhythm; the next one counts only
/// when everything before it became ready together.
const BEATS: [Duration; 5] = [
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(800),
    Duration::from_secs(5),
];

/// Beats for ever.
pub(super) async fn beat() {
    loop {
        // Timers are in the runtime's list from their first poll until they are dropped.
        let mut timers = BEATS.map(Timer::new);
        poll_fn(|context| {
            let mut due = false;
            for timer in &mut timers {
                due |= Pin::new(timer).poll(context).is_ready();
            }
            if due { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
