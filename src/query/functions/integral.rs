//! integral(): the area under the straight lines between points.
//!
//! In: numbers in output order. Out: one area, or one for each bucket that a point lies in; where
//! a line crosses the border of a bucket it is cut there. Of points with equal times the last one
//! counts. The last bucket is left out when its last point lies on its border, since it has no area
//! yet. What lies between two buckets with points belongs to the later one. All of this as InfluxDB
//! has it, also that a bucket is named by its end under ORDER BY time DESC, that an integral of
//! floats without buckets stands at time 0, which is that border for it, and that integers take
//! the first piece behind a border to reach from the value before it to the value at the border.

use super::{Stream, number, timed};
use crate::model::Value;
use crate::model::time::TIME_MIN;
use crate::query::select::fill::Timed;

/// The areas in `unit_ns` times the unit of the values.
pub fn integral(
    values: impl Iterator<Item = (i64, Value)>,
    unit_ns: i64,
    stream: Stream<'_>,
) -> Vec<Timed> {
    let units = |from: i64, to: i64| to.wrapping_sub(from) as f64 / unit_ns as f64;
    let mut out = Vec::new();
    let mut before: Option<(i64, f64)> = None;
    let mut window = (0, 0);
    let mut sum = 0.0;
    for (at, value) in values {
        let whole = !matches!(value, Value::Float(_));
        let Some(value) = number(&value) else { continue };
        let Some((mut earlier, mut known)) = before.replace((at, value)) else {
            window = window_of(at, stream, whole);
            continue;
        };
        if earlier == at {
            continue;
        }
        let mut reached = value;
        if stream.timing.width_ns > 0 && is_behind(at, window.1, stream.descending) {
            let border = window.1;
            if earlier != border {
                let slope = (value - known) / at.wrapping_sub(earlier) as f64;
                let cut = slope * border.wrapping_sub(earlier) as f64 + known;
                sum += 0.5 * (cut + known) * units(earlier, border);
                earlier = border;
                if whole {
                    reached = cut;
                } else {
                    known = cut;
                }
            }
            out.push(timed(window.0, Value::Float(sum)));
            window = window_of(at, stream, whole);
            sum = 0.0;
        }
        sum += 0.5 * (reached + known) * units(earlier, at);
    }
    if before.is_some_and(|(at, _)| at != window.0) {
        // The beginning of all time is shown as 0.
        let start = if window.0 == TIME_MIN { 0 } else { window.0 };
        out.push(timed(start, Value::Float(sum)));
    }
    out
}

/// First and last border of an instant's bucket, in the direction of the stream.
fn window_of(at: i64, stream: Stream<'_>, whole: bool) -> (i64, i64) {
    let timing = stream.timing;
    if timing.width_ns == 0 {
        let (first, end) = (timing.range.first, timing.range.last.saturating_add(1));
        return match (whole, stream.descending) {
            (false, _) => (0, 0),
            (true, false) => (first, end),
            (true, true) => (end, first),
        };
    }
    let bucket = timing.bucket(at);
    let (start, end) = (timing.start(bucket), timing.start(bucket.saturating_add(1)));
    if stream.descending { (end, start) } else { (start, end) }
}

fn is_behind(at: i64, border: i64, descending: bool) -> bool {
    if descending { at <= border } else { at >= border }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TimeRange;
    use crate::query::plan::Timing;
    use crate::shard::scan::Buckets;

    fn areas(points: &[(i64, f64)], width_ns: i64, descending: bool) -> Vec<(i64, f64)> {
        let buckets = match width_ns {
            0 => Buckets::One,
            _ => Buckets::Even { width_ns, offset_ns: 0 },
        };
        let range = TimeRange::new(0, 100);
        let timing = Timing { range, buckets, width_ns, offset_ns: 0, zone: None };
        let stream = Stream { timing: &timing, descending, memory_bytes: 0 };
        let values = points.iter().map(|(at, value)| (*at, Value::Float(*value)));
        let area = |(at, point): Timed| (at, number(&point.value.unwrap()).unwrap());
        integral(values, 1, stream).into_iter().map(area).collect()
    }

    #[test]
    fn areas_of_the_golden_data() {
        let points = [(0, 1.0), (10, 2.0), (20, 3.0), (60, 4.0), (70, 5.0), (80, 6.0)];
        assert_eq!(areas(&points, 0, false), [(0, 280.0)]);
        assert_eq!(areas(&points, 30, false), [(0, 71.25), (60, 208.75)]);
        let mut back = points;
        back.reverse();
        assert_eq!(areas(&back, 0, true), []);
        let expected = [(90, -100.0), (90, 0.0), (30, -180.0), (30, 0.0)];
        assert_eq!(areas(&back, 30, true), expected);
    }

    #[test]
    fn integers_have_a_border_of_their_own() {
        let buckets = Buckets::Even { width_ns: 40, offset_ns: 0 };
        let range = TimeRange::new(5, 199);
        let mut timing = Timing { range, buckets, width_ns: 40, offset_ns: 0, zone: None };
        let points = [(1, 3), (12, 5), (33, -2), (47, 7), (95, 1), (111, 4)];
        let areas = |timing: &Timing| -> Vec<(i64, f64)> {
            let stream = Stream { timing, descending: false, memory_bytes: 0 };
            let values = points.iter().map(|(at, value)| (*at, Value::Integer(*value)));
            let area = |(at, point): Timed| (at, number(&point.value.unwrap()).unwrap());
            integral(values, 1, stream).into_iter().map(area).collect()
        };
        assert_eq!(areas(&timing), [(0, 77.25), (40, 164.6875), (80, 114.0625)]);
        (timing.buckets, timing.width_ns) = (Buckets::One, 0);
        assert_eq!(areas(&timing), [(5, 342.5)]);
        timing.range = TimeRange::ALL;
        assert_eq!(areas(&timing), [(0, 342.5)]);
    }

    #[test]
    fn the_last_of_equal_times_counts_and_a_border_has_no_area() {
        assert_eq!(areas(&[(5, 9.0), (5, 1.0), (10, 3.0)], 10, false), [(0, 10.0)]);
        assert_eq!(areas(&[(7, 4.0)], 0, false), [(0, 0.0)]);
        assert_eq!(areas(&[(0, 4.0)], 0, false), []);
    }
}
