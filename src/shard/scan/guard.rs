//! What ends a scan early, and what it did: cancelling, the deadline, turns of other tasks,
//! counters.

use super::partial::{ScanError, Summary};
use crate::env::Env;
use std::cell::Cell;

/// Rows worked on between two turns of other tasks, at most.
const SLICE_ROWS: u64 = 8192;
/// Time between two turns of other tasks, at most, where the work is not in rows (ns).
const SLICE_NS: u64 = 50_000;

/// Watches one scan.
pub struct Guard<'a, E: Env, C: Fn() -> bool> {
    env: &'a E,
    is_cancelled: C,
    /// Monotonic (ns); 0: none.
    deadline: u64,
    /// Rows that may be read; 0: any number.
    rows_max: u64,
    started: u64,
    /// Time spent waiting for others (ns).
    waited: Cell<u64>,
    /// Rows worked on since other tasks had a turn.
    work: Cell<u64>,
    /// When they had it (ns).
    rested: Cell<u64>,
    summary: Cell<Summary>,
}

impl<'a, E: Env, C: Fn() -> bool> Guard<'a, E, C> {
    /// Starts the clock. `deadline`: monotonic (ns), 0 = none.
    pub fn new(env: &'a E, deadline: u64, is_cancelled: C) -> Guard<'a, E, C> {
        let started = env.now_mono();
        Guard {
            env,
            is_cancelled,
            deadline,
            rows_max: 0,
            started,
            waited: Cell::new(0),
            work: Cell::new(0),
            rested: Cell::new(started),
            summary: Cell::new(Summary::default()),
        }
    }

    /// The same, with a limit on the rows that are read; 0 = none.
    pub fn with_rows_max(self, rows_max: u64) -> Guard<'a, E, C> {
        Guard { rows_max, ..self }
    }

    /// Counts what was read.
    pub fn note(&self, change: impl FnOnce(&mut Summary)) {
        let mut summary = self.summary.get();
        change(&mut summary);
        self.summary.set(summary);
    }

    /// Counts rows that were worked on.
    pub fn note_work(&self, rows: usize) {
        self.work.set(self.work.get() + rows as u64);
    }

    /// Gives other tasks a turn when a slice of work is done.
    ///
    /// # Errors
    /// When the question was cancelled, its time is over, or too much was read.
    pub async fn check(&self) -> Result<(), ScanError> {
        let mut now = self.env.now_mono();
        if self.work.get() >= SLICE_ROWS || now.saturating_sub(self.rested.get()) >= SLICE_NS {
            self.rest().await;
            now = self.rested.get();
        }
        self.test(now)
    }

    /// Gives other tasks a turn now.
    pub async fn rest(&self) {
        self.wait(self.env.yield_now()).await;
        self.work.set(0);
        self.rested.set(self.env.now_mono());
    }

    /// Waits for others, off the scan's own time.
    pub async fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let before = self.env.now_mono();
        let value = future.await;
        self.waited.set(self.waited.get() + self.env.now_mono().saturating_sub(before));
        value
    }

    fn test(&self, now: u64) -> Result<(), ScanError> {
        if (self.is_cancelled)() {
            return Err(ScanError::Cancelled);
        }
        if self.deadline > 0 && now >= self.deadline {
            return Err(ScanError::Timeout);
        }
        let (found, limit) = (self.summary.get().rows, self.rows_max);
        if limit > 0 && found > limit {
            return Err(ScanError::Points { found, limit });
        }
        Ok(())
    }

    /// What the scan did, all in all.
    pub fn summary(&self) -> Summary {
        let elapsed = self.env.now_mono().saturating_sub(self.started);
        Summary { busy_ns: elapsed.saturating_sub(self.waited.get()), ..self.summary.get() }
    }
}
