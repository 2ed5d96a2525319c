//! The places of values in their order, equal ones as the reference leaves them.
//!
//! In: how many values, and which of two is the lesser. Out: the values' numbers in order. The
//! reference sorts with Go's unstable sort, a pattern-defeating quicksort, and then shows the time
//! and the columns of one of several equal values: so which of them it is follows from the steps
//! of that sort alone. Its rules were found by asking it for every rank of lists with repetitions.

use std::cmp::Ordering;

/// Lists up to this length are sorted by insertion.
const INSERTION_MAX: usize = 12;
/// From this length on the pivot is the median of three medians, and a nearly sorted list is
/// repaired by moving single elements.
const LONG: usize = 50;
/// Elements that are moved before a list no longer counts as nearly sorted.
const REPAIRS_MAX: usize = 5;

/// The numbers 0..count, sorted by `compare` of the values that they stand for.
pub fn places(count: usize, compare: impl Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut sort = Sort { order: (0..count).collect(), compare };
    sort.run(0, count, bits(count));
    sort.order
}

/// Bits of a number.
fn bits(number: usize) -> u32 {
    usize::BITS - number.leading_zeros()
}

struct Sort<C> {
    order: Vec<usize>,
    compare: C,
}

impl<C: Fn(usize, usize) -> Ordering> Sort<C> {
    /// Whether the element at one place is less than that at another.
    fn less(&self, a: usize, b: usize) -> bool {
        match (self.order.get(a), self.order.get(b)) {
            (Some(a), Some(b)) => (self.compare)(*a, *b) == Ordering::Less,
            _ => false,
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        if a < self.order.len() && b < self.order.len() {
            self.order.swap(a, b);
        }
    }

    /// Sorts `from..to`; `limit`: bad pivots before it turns to a heap.
    fn run(&mut self, from: usize, to: usize, limit: u32) {
        let (mut from, mut to, mut limit) = (from, to, limit);
        let (mut balanced, mut partitioned) = (true, true);
        loop {
            let length = to - from;
            if length <= INSERTION_MAX {
                return self.insertion(from, to);
            }
            if limit == 0 {
                return self.heap(from, to);
            }
            if !balanced {
                self.shuffle(from, to);
                limit -= 1;
            }
            let (mut pivot, swaps) = self.pivot(from, to);
            let mut rising = swaps == 0;
            if swaps == INSERTION_MAX {
                // All comparisons say that the list falls.
                (0..length / 2).for_each(|at| self.swap(from + at, to - 1 - at));
                pivot = (to - 1) - (pivot - from);
                rising = true;
            }
            if balanced && partitioned && rising && self.repair(from, to) {
                return;
            }
            // The element before the part is its least; where the pivot equals it, all equal ones
            // are put aside.
            if from > 0 && !self.less(from - 1, pivot) {
                from = self.equals(from, to, pivot);
                continue;
            }
            let (middle, already) = self.partition(from, to, pivot);
            partitioned = already;
            let (left, right) = (middle - from, to - middle);
            balanced = left.min(right) >= length / 8;
            if left < right {
                self.run(from, middle, limit);
                from = middle + 1;
            } else {
                self.run(middle + 1, to, limit);
                to = middle;
            }
        }
    }

    fn insertion(&mut self, from: usize, to: usize) {
        for end in from + 1..to {
            let mut at = end;
            while at > from && self.less(at, at - 1) {
                self.swap(at, at - 1);
                at -= 1;
            }
        }
    }

    fn heap(&mut self, from: usize, to: usize) {
        let length = to - from;
        (0..=length.saturating_sub(1) / 2).rev().for_each(|root| self.sift(root, length, from));
        for end in (0..length).rev() {
            self.swap(from, from + end);
            self.sift(0, end, from);
        }
    }

    fn sift(&mut self, root: usize, length: usize, from: usize) {
        let mut root = root;
        loop {
            let mut child = 2 * root + 1;
            if child >= length {
                return;
            }
            if child + 1 < length && self.less(from + child, from + child + 1) {
                child += 1;
            }
            if !self.less(from + root, from + child) {
                return;
            }
            self.swap(from + root, from + child);
            root = child;
        }
    }

    /// Swaps three elements in the middle with others, against patterns that make bad pivots.
    fn shuffle(&mut self, from: usize, to: usize) {
        let length = to - from;
        let mut random = length as u64;
        let mask = (1u64 << bits(length)) - 1;
        let middle = from + length / 4 * 2;
        for at in 0..3 {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            let other = (random & mask) as usize;
            let other = if other >= length { other - length } else { other };
            self.swap(middle + at - 1, from + other);
        }
    }

    /// The place of the pivot, and how many comparisons found the greater element first.
    fn pivot(&self, from: usize, to: usize) -> (usize, usize) {
        let quarter = (to - from) / 4;
        let (mut a, mut b, mut c) = (from + quarter, from + 2 * quarter, from + 3 * quarter);
        let mut swaps = 0;
        if to - from >= LONG {
            a = self.median(a - 1, a, a + 1, &mut swaps);
            b = self.median(b - 1, b, b + 1, &mut swaps);
            c = self.median(c - 1, c, c + 1, &mut swaps);
        }
        (self.median(a, b, c, &mut swaps), swaps)
    }

    fn median(&self, a: usize, b: usize, c: usize, swaps: &mut usize) -> usize {
        let mut ordered = |a: usize, b: usize| match self.less(b, a) {
            true => {
                *swaps += 1;
                (b, a)
            }
            false => (a, b),
        };
        let (a, b) = ordered(a, b);
        let (b, _) = ordered(b, c);
        ordered(a, b).1
    }

    /// Tries to sort what is nearly sorted; true when it is sorted then.
    fn repair(&mut self, from: usize, to: usize) -> bool {
        let mut at = from + 1;
        for _ in 0..REPAIRS_MAX {
            while at < to && !self.less(at, at - 1) {
                at += 1;
            }
            if at == to {
                return true;
            }
            if to - from < LONG {
                return false;
            }
            self.swap(at, at - 1);
            if at - from >= 2 {
                let mut down = at - 1;
                while down >= 1 && self.less(down, down - 1) {
                    self.swap(down, down - 1);
                    down -= 1;
                }
            }
            if to - at >= 2 {
                let mut up = at + 1;
                while up < to && self.less(up, up - 1) {
                    self.swap(up, up - 1);
                    up += 1;
                }
            }
        }
        false
    }

    /// Puts the elements that equal the pivot, the least one, first; the place behind them.
    fn equals(&mut self, from: usize, to: usize, pivot: usize) -> usize {
        self.swap(from, pivot);
        let (mut low, mut high) = (from + 1, to - 1);
        loop {
            while low <= high && !self.less(from, low) {
                low += 1;
            }
            while low <= high && self.less(from, high) {
                high -= 1;
            }
            if low > high {
                return low;
            }
            self.swap(low, high);
            low += 1;
            high -= 1;
        }
    }

    /// Puts lesser elements before the pivot and the others behind it: its place, and whether they
    /// stood so already.
    fn partition(&mut self, from: usize, to: usize, pivot: usize) -> (usize, bool) {
        self.swap(from, pivot);
        let (mut low, mut high) = (from + 1, to - 1);
        let mut already = true;
        loop {
            while low <= high && self.less(low, from) {
                low += 1;
            }
            while low <= high && !self.less(high, from) {
                high -= 1;
            }
            if low > high {
                self.swap(high, from);
                return (high, already);
            }
            already = false;
            self.swap(low, high);
            low += 1;
            high -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[i64]) -> Vec<usize> {
        places(values.len(), |a, b| values[a].cmp(&values[b]))
    }

    #[test]
    fn equal_values_stand_as_the_reference_leaves_them() {
        // Every rank of these lists was asked from InfluxDB 1.6.7.
        let values = [0, 2, 2, 0, 2, 0, 2, 1, 1, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1];
        let order = [10, 17, 18, 3, 16, 5, 15, 0, 13, 12, 11, 7, 19, 8, 1, 14, 6, 4, 9, 2];
        assert_eq!(of(&values), order);
        let values = [
            2, 2, 2, 1, 0, 2, 0, 2, 0, 0, 0, 2, 1, 1, 0, 1, 2, 2, 0, 2, 2, 0, 1, 0, 1, 0, 1, 2, 2,
            2,
        ];
        let order = [
            21, 10, 14, 25, 4, 23, 6, 18, 8, 9, 22, 24, 12, 13, 15, 26, 3, 19, 7, 11, 20, 0, 1, 5,
            17, 16, 2, 27, 28, 29,
        ];
        assert_eq!(of(&values), order);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn all_lists_are_sorted(list in prop::collection::vec(0i64..40, 0..400), pattern in 0..4) {
            let mut values = list;
            match pattern {
                0 => values.sort_unstable(),
                1 => values.sort_unstable_by(|a, b| b.cmp(a)),
                2 => values.iter_mut().for_each(|value| *value /= 20),
                _ => {}
            }
            let order = of(&values);
            prop_assert!(order.windows(2).all(|pair| values[pair[0]] <= values[pair[1]]));
            let mut all = order.clone();
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..values.len()));
        }
    }
}
