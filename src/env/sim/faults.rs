//! Faults on order: the n-th disk call fails, or the power goes before it.
//!
//! In: each disk call's kind at the instant it is issued. Out: whether it goes on, with which error
//! it will fail, and whether the power is gone. Calls are counted, so that a test can loop over
//! n = 1, 2, … until a run meets no fault.

use std::collections::BTreeMap;

/// What a disk call does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Opening a file that exists.
    Open,
    /// Making a file.
    Create,
    Read,
    Write,
    Sync,
    Truncate,
    Preallocate,
    Rename,
    Remove,
    List,
    CreateDir,
    SyncDir,
}

impl Kind {
    /// Whether the call can leave another disk behind; only such calls are places to cut the power.
    #[must_use]
    pub fn changes(self) -> bool {
        !matches!(self, Kind::Open | Kind::Read | Kind::List)
    }
}

struct Fault {
    kind: Kind,
    at: u64,
    errno: i32,
}

#[derive(Default)]
pub(super) struct Faults {
    counts: BTreeMap<Kind, u64>,
    changes: u64,
    plans: Vec<Fault>,
    cut_at: Option<u64>,
    cut: bool,
}

impl Faults {
    /// Counts a call and says which error it is to fail with, if any. The power may go here.
    pub(super) fn admit(&mut self, kind: Kind) -> Option<i32> {
        if kind.changes() {
            if self.cut_at.is_some_and(|at| self.changes + 1 >= at) {
                self.cut = true;
            }
            self.changes += u64::from(!self.cut);
        }
        if self.cut {
            return None;
        }
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let count = *count;
        let found = self.plans.iter().position(|plan| plan.kind == kind && plan.at == count)?;
        Some(self.plans.swap_remove(found).errno)
    }

    pub(super) fn count(&self, kind: Kind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    pub(super) fn plan_failure(&mut self, n: u64, kind: Kind, errno: i32) {
        let at = self.count(kind).saturating_add(n);
        self.plans.push(Fault { kind, at, errno });
    }

    pub(super) fn plan_cut(&mut self, n: u64) {
        self.cut_at = Some(self.changes.saturating_add(n));
    }

    pub(super) fn pending(&self) -> usize {
        self.plans.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nth_of_a_kind_fails_once() {
        let mut faults = Faults::default();
        faults.admit(Kind::Write);
        faults.plan_failure(2, Kind::Write, 5);
        assert_eq!(faults.admit(Kind::Write), None);
        assert_eq!(faults.admit(Kind::Sync), None);
        assert_eq!(faults.pending(), 1);
        assert_eq!(faults.admit(Kind::Write), Some(5));
        assert_eq!(faults.admit(Kind::Write), None);
        assert_eq!((faults.count(Kind::Write), faults.pending()), (4, 0));
    }

    #[test]
    fn power_goes_before_the_nth_change() {
        let mut faults = Faults::default();
        faults.plan_cut(2);
        faults.admit(Kind::Write);
        faults.admit(Kind::Read);
        assert!(!faults.is_cut());
        faults.admit(Kind::Sync);
        assert!(faults.is_cut());
        assert_eq!(faults.changes(), 1);
    }
}
