//! The profile of tasks: how many live on each core, by queue and place of spawning. It stands
//! where Go's programs have their goroutines.

use super::{Place, Profile, Sample};
use crate::env::Queue;
use crate::env::real::tasks;

/// The name of a queue.
pub(super) fn queue_name(queue: Queue) -> &'static str {
    match queue {
        Queue::Ingest => "ingest",
        Queue::Query => "query",
        Queue::Background => "background",
    }
}

/// How many tasks live now.
pub fn profile() -> Profile {
    let mut samples = Vec::new();
    for core in tasks::cores() {
        for spawned in core.places().iter().filter(|spawned| spawned.live() > 0) {
            let (file, line) = (spawned.place.file(), spawned.place.line());
            let place = Place::Named {
                name: format!("spawned at {file}:{line}"),
                file: file.to_owned(),
                line,
            };
            let queue = Place::name(format!("queue {}", queue_name(spawned.queue)));
            let stack = vec![place, queue, Place::name(format!("core {}", core.name))];
            let values = vec![i64::try_from(spawned.live()).unwrap_or(i64::MAX)];
            samples.push(Sample { stack, values, thread: Some(core.name.clone()) });
        }
    }
    Profile::counting("goroutine", samples)
}

/// How many tasks live now, all cores.
pub fn count() -> u64 {
    tasks::cores().iter().map(|core| core.live()).sum()
}
