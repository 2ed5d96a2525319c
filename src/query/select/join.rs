//! Puts the points of several calls side by side, by time.
//!
//! In: for each call its points in output order. Out: rows: a time, and for each call the point it
//! has there, if any. Where a call has several points at one time, they take rows of their own.

use super::fill::Timed;
use crate::query::aggregate::Point;

/// A row: its time and one entry per call.
pub type Row = (i64, Vec<Option<Point>>);

/// Joins the calls' points.
pub fn join(calls: Vec<Vec<Timed>>, descending: bool) -> Vec<Row> {
    let mut lanes: Vec<_> = calls.into_iter().map(|points| points.into_iter().peekable()).collect();
    let mut out = Vec::new();
    loop {
        let heads = lanes.iter_mut().filter_map(|lane| lane.peek().map(|(at, _)| *at));
        let next = if descending { heads.max() } else { heads.min() };
        let Some(next) = next else { return out };
        let take = |lane: &mut std::iter::Peekable<std::vec::IntoIter<Timed>>| {
            lane.next_if(|(at, _)| *at == next).map(|(_, point)| point)
        };
        out.push((next, lanes.iter_mut().map(take).collect()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;

    #[test]
    fn calls_meet_at_their_times() {
        let points = |times: &[i64]| -> Vec<Timed> {
            let point =
                |at: &i64| (*at, Point { value: Some(Value::Integer(*at)), ..Point::default() });
            times.iter().map(point).collect()
        };
        let rows = join(vec![points(&[0, 10, 10]), points(&[10, 20])], false);
        let shape: Vec<(i64, bool, bool)> =
            rows.iter().map(|(at, row)| (*at, row[0].is_some(), row[1].is_some())).collect();
        let expected = [(0, true, false), (10, true, true), (10, true, false), (20, false, true)];
        assert_eq!(shape, expected);
        let backwards = join(vec![points(&[10, 0]), points(&[20, 10])], true);
        assert_eq!(backwards.iter().map(|row| row.0).collect::<Vec<_>>(), [20, 10, 0]);
    }
}
