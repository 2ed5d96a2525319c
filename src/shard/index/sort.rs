//! A sort that can stop after any number of entries: runs first, then merges of neighbours.
//!
//! SHOW and GROUP BY order up to millions of strings; a reactor cannot wait for that at once.

use std::cmp::Ordering;
use std::task::Poll;

/// Sorts entries in steps; equal ones may change places.
pub(super) struct Sorter<T> {
    items: Vec<T>,
    merged: Vec<T>,
    /// Length of the sorted runs in `items`; 0 until they are made.
    width: usize,
    /// Entries sorted into runs.
    at: usize,
    /// The merge under way: how much of its left and right run is in `merged`.
    left: usize,
    right: usize,
}

/// Entries of a first run, at most: about 0.1 ms of comparing strings.
const RUN: usize = 1_024;

impl<T: Copy> Sorter<T> {
    pub(super) fn new(items: Vec<T>) -> Sorter<T> {
        Sorter { items, merged: Vec::new(), width: 0, at: 0, left: 0, right: 0 }
    }

    /// Moves about `budget` entries on; gives them all when they are in order.
    pub(super) fn step(
        &mut self,
        mut budget: usize,
        order: impl Fn(&T, &T) -> Ordering,
    ) -> Poll<Vec<T>> {
        if budget >= self.items.len() && self.width == 0 {
            self.items.sort_unstable_by(&order);
            return Poll::Ready(std::mem::take(&mut self.items));
        }
        while self.width == 0 {
            if budget == 0 {
                return Poll::Pending;
            }
            let len = RUN.min(self.items.len() - self.at);
            if let Some(run) = self.items.get_mut(self.at..self.at + len) {
                run.sort_unstable_by(&order);
            }
            self.at += len;
            budget = budget.saturating_sub(len);
            if self.at >= self.items.len() {
                self.width = RUN;
                self.merged = Vec::with_capacity(self.items.len());
            }
        }
        while self.width < self.items.len() {
            if budget == 0 {
                return Poll::Pending;
            }
            budget -= self.merge(budget, &order);
        }
        Poll::Ready(std::mem::take(&mut self.items))
    }

    /// Merges up to `budget` entries of the pair of runs at hand; gives how many (at least 1).
    fn merge(&mut self, budget: usize, order: &impl Fn(&T, &T) -> Ordering) -> usize {
        if self.merged.len() == self.items.len() {
            std::mem::swap(&mut self.items, &mut self.merged);
            self.merged.clear();
            self.width *= 2;
            (self.left, self.right) = (0, 0);
            return 1;
        }
        let start = self.merged.len() - self.left - self.right;
        let middle = (start + self.width).min(self.items.len());
        let end = (middle + self.width).min(self.items.len());
        let mut left = self.items.get(start + self.left..middle).unwrap_or(&[]).iter().peekable();
        let mut right = self.items.get(middle + self.right..end).unwrap_or(&[]).iter().peekable();
        let mut moved = 0;
        while moved < budget {
            let from_left = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => order(a, b) != Ordering::Greater,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => {
                    (self.left, self.right) = (0, 0);
                    return moved.max(1);
                }
            };
            let (side, count) =
                if from_left { (&mut left, &mut self.left) } else { (&mut right, &mut self.right) };
            self.merged.extend(side.next());
            *count += 1;
            moved += 1;
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_budget_gives_the_same_order(
            mut items in prop::collection::vec(0u32..5_000, 0..6_000),
            budget in 1usize..3_000,
        ) {
            let mut sorter = Sorter::new(items.clone());
            let sorted = loop {
                if let Poll::Ready(sorted) = sorter.step(budget, u32::cmp) {
                    break sorted;
                }
            };
            items.sort_unstable();
            prop_assert_eq!(sorted, items);
        }
    }
}
