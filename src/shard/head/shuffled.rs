//! Rows of a head table that did not come in order of time.
//!
//! In: row ids of series, in order of arrival. Out: the rows with their times, sorted. Several
//! connections that send side by side leave most series a little out of order, so this is as hot as
//! the way of rows in order: times of many series are read side by side, because each is a cache
//! miss, and a row is put right by moving it back the few places that it is off (an eighth of what
//! packing single values cost went into a general sort before).

use super::cursor::Snapshot;
use super::gather::{RowRef, push_times};
use crate::model::TimeRange;

/// Places that rows may move in all, per row, before they count as shuffled.
const MOVES_PER_ROW: usize = 4;

/// Rows of a table that did not come in order of time, of several series. Their times are read side
/// by side, because each is a cache miss.
#[derive(Default)]
pub struct Shuffled {
    rows: Vec<u32>,
    /// Rows of each series.
    lens: Vec<usize>,
    times: Vec<i64>,
    /// Series and rows given.
    given: (usize, usize),
}

impl Shuffled {
    /// Adds the rows of the next series, in order of arrival.
    pub fn add(&mut self, rows: &[u32]) {
        self.rows.extend_from_slice(rows);
        self.lens.push(rows.len());
    }

    pub fn read_times(&mut self, snapshot: &Snapshot<'_>, number: u32) {
        if let Some((table, _)) = snapshot.table(number) {
            push_times(table, &self.rows, &self.lens, &mut self.times);
        }
    }

    /// Appends the rows of the next series that lie in `range`, with their times and turns.
    pub fn push_next(
        &mut self,
        snapshot: &Snapshot<'_>,
        number: u32,
        range: TimeRange,
        out: &mut Vec<RowRef>,
    ) {
        let (series, start) = self.given;
        let end = start + self.lens.get(series).copied().unwrap_or(0);
        self.given = (series + 1, end);
        let (Some(rows), Some(times)) = (self.rows.get(start..end), self.times.get(start..end))
        else {
            return;
        };
        let (Some((table, _)), Some(first)) = (snapshot.table(number), rows.first()) else {
            return;
        };
        let mut turn = table.turn_index(*first);
        for (row, time) in rows.iter().zip(times) {
            if range.contains(*time) {
                let turn = table.turn(*row, &mut turn);
                out.push(RowRef { time: *time, turn, row: *row, table: number });
            }
        }
    }
}

/// Sorts rows that are nearly in order, as those of several connections are that send side by side:
/// each goes back the few places it is off. Rows that are shuffled cost what sorting costs.
pub fn sort_rows(rows: &mut [RowRef]) {
    let mut moves_left = rows.len() * MOVES_PER_ROW;
    for end in 1..rows.len() {
        let mut at = end;
        while let Some([before, row]) = rows.get_mut(at.wrapping_sub(1)..=at)
            && *before > *row
        {
            if moves_left == 0 {
                return rows.sort_unstable();
            }
            moves_left -= 1;
            std::mem::swap(before, row);
            at -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_come_sorted_however_far_they_are_off(
            mut keys in prop::collection::vec((0i64..50, 0u32..3), 0..200),
            near in any::<bool>(),
        ) {
            if near {
                keys.sort_unstable();
                keys.chunks_mut(4).for_each(|some| some.reverse());
            }
            let row = |(row, (time, turn)): (usize, &(i64, u32))| {
                RowRef { time: *time, turn: *turn, row: row as u32, table: 0 }
            };
            let mut rows: Vec<RowRef> = keys.iter().enumerate().map(row).collect();
            let mut sorted = rows.clone();
            sorted.sort();
            sort_rows(&mut rows);
            prop_assert_eq!(rows, sorted);
        }
    }
}
