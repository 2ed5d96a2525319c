//! The limit of rows of an answer that is not chunked: what is beyond it is left out, and the
//! answer ends there.
//!
//! In: how many rows come next. Out: how many of them are written.

use super::Options;

/// How many rows an answer still takes.
#[derive(Default)]
pub struct Limit {
    /// 0 = no limit.
    rows_max: u64,
    rows: u64,
    reached: bool,
}

impl Limit {
    /// That of an answer written so.
    pub fn of(options: &Options) -> Limit {
        let rows_max = if options.chunk.is_none() { options.rows_max } else { 0 };
        Limit { rows_max, ..Limit::default() }
    }

    /// How many of the next rows the answer has. With fewer than all of them it is at its end.
    pub fn take(&mut self, rows: usize) -> usize {
        let left = self.rows_max.saturating_sub(self.rows);
        self.reached |= self.rows_max > 0 && left < rows as u64;
        let taken = if self.reached { left as usize } else { rows };
        self.rows = self.rows.saturating_add(taken as u64);
        taken
    }

    /// Whether rows were left out.
    pub fn is_reached(&self) -> bool {
        self.reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_beyond_the_limit_are_left_out() {
        let mut limit = Limit::of(&Options { rows_max: 5, ..Options::default() });
        assert_eq!((limit.take(3), limit.take(2), limit.is_reached()), (3, 2, false));
        assert_eq!((limit.take(0), limit.is_reached()), (0, false));
        assert_eq!((limit.take(1), limit.is_reached(), limit.take(9)), (0, true, 0));
        for (rows_max, chunk) in [(0, None), (5, Some(3))] {
            let mut none = Limit::of(&Options { rows_max, chunk, ..Options::default() });
            let taken = (none.take(usize::MAX), none.take(7), none.is_reached());
            assert_eq!(taken, (usize::MAX, 7, false));
        }
    }
}
