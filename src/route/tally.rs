//! Who asks how often, counted while somebody watches: `/debug/requests`.
//!
//! In: a note for each request of this core. Out: for each window that is open, writes and queries
//! by who asked. With no window open a note costs one look.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Names that one window holds; further ones are not counted.
const NAMES_MAX: usize = 10_000;

/// Writes and queries by who asked.
pub type Counts = BTreeMap<String, (u64, u64)>;

/// The open windows of one core. Cloning gives another handle.
#[derive(Clone, Default)]
pub struct Tally {
    windows: Rc<RefCell<BTreeMap<u64, Counts>>>,
    given: Rc<Cell<u64>>,
}

/// An open window; dropping it closes it.
pub struct Window {
    tally: Tally,
    number: u64,
}

impl Tally {
    /// Opens a window that counts from now on.
    pub fn open(&self) -> Window {
        let number = self.given.replace(self.given.get() + 1);
        self.windows.borrow_mut().insert(number, Counts::new());
        Window { tally: self.clone(), number }
    }

    /// Counts a request.
    pub fn note(&self, writes: bool, who: impl FnOnce() -> String) {
        let mut windows = self.windows.borrow_mut();
        if windows.is_empty() {
            return;
        }
        let who = who();
        for counts in windows.values_mut() {
            if counts.len() >= NAMES_MAX && !counts.contains_key(&who) {
                continue;
            }
            let (written, asked) = counts.entry(who.clone()).or_default();
            *if writes { written } else { asked } += 1;
        }
    }
}

impl Window {
    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.tally.windows.borrow().get(&self.number).cloned().unwrap_or_default()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.tally.windows.borrow_mut().remove(&self.number);
    }
}

/// Adds what another core counted.
pub fn add(sum: &mut Counts, more: Counts) {
    for (who, (writes, queries)) in more {
        let entry = sum.entry(who).or_default();
        *entry = (entry.0 + writes, entry.1 + queries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_count_what_happens_while_they_are_open() {
        let tally = Tally::default();
        tally.note(true, || panic!("nobody watches"));
        let first = tally.open();
        tally.note(true, || "a".to_owned());
        let second = tally.open();
        tally.note(false, || "a".to_owned());
        assert_eq!(first.counts(), [("a".to_owned(), (1, 1))].into());
        let mut sum = second.counts();
        drop(second);
        add(&mut sum, first.counts());
        assert_eq!(sum, [("a".to_owned(), (1, 2))].into());
        assert_eq!(tally.windows.borrow().len(), 1);
    }
}
