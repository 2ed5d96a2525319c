//! Where the process is in its life, as every core sees it, and what the cores tell the main
//! thread.
//!
//! A core looks at the phase every few milliseconds instead of being woken: one load, and nothing
//! to get wrong between threads.

use crate::catalog::State;
use crate::model::ShardId;
use crate::shard::index::TagSketch;
use crate::shard::store::Store;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What the process does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Store and shards are being opened.
    Opening = 0,
    /// Connections are accepted.
    Serving = 1,
    /// No further connections; requests under way finish.
    Draining = 2,
    /// Executors end.
    Ending = 3,
}

/// The phase, and what the first core found at the start.
#[derive(Default)]
pub struct Shared {
    phase: AtomicU8,
    found: OnceLock<Found>,
    sketches: Mutex<BTreeMap<ShardId, Arc<TagSketch>>>,
}

/// What the first core read before the others open their shards.
#[derive(Clone)]
pub struct Found {
    pub store: Store,
    pub catalog: Arc<State>,
}

impl Shared {
    /// Goes on to a phase; never back.
    pub fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::Release);
    }

    /// The present phase.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Opening,
            1 => Phase::Serving,
            2 => Phase::Draining,
            _ => Phase::Ending,
        }
    }

    /// Tells the other cores.
    pub fn publish(&self, found: Found) {
        // Only the first core publishes, and once.
        let _ = self.found.set(found);
    }

    /// Lets the other cores look at what a shard has.
    pub fn publish_sketch(&self, shard: ShardId, sketch: Arc<TagSketch>) {
        self.sketches.lock().unwrap_or_else(PoisonError::into_inner).insert(shard, sketch);
    }

    /// What the shards have, by shard: all of them when the phase is `Serving`.
    pub fn sketches(&self) -> Vec<Arc<TagSketch>> {
        let sketches = self.sketches.lock().unwrap_or_else(PoisonError::into_inner);
        sketches.values().cloned().collect()
    }

    /// What was published, if it was.
    pub fn found(&self) -> Option<Found> {
        self.found.get().cloned()
    }
}

/// What happens, for the main thread.
#[derive(Debug)]
pub enum Event {
    /// SIGTERM or SIGINT.
    Signal,
    /// SIGHUP.
    Reload,
    /// The store was read.
    StoreFound { shards: u32 },
    /// A shard is open; what its start met, if there is something to say.
    ShardOpen { notes: Vec<String> },
    /// A core answers requests of other cores.
    CoreReady,
    /// A core accepts connections.
    Listening,
    /// A core has no connection any more.
    Drained,
    /// Something failed for good; the reason.
    Failed(String),
    /// A core's thread ended.
    Ended(Result<(), String>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_never_goes_back() {
        let shared = Shared::default();
        assert_eq!(shared.phase(), Phase::Opening);
        shared.enter(Phase::Draining);
        shared.enter(Phase::Serving);
        assert_eq!(shared.phase(), Phase::Draining);
        assert!(shared.found().is_none());
    }
}
