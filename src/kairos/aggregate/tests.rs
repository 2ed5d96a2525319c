//! Chains against obvious models over whole lists, and the examples of KairosDB's documentation.

use super::*;
use crate::kairos::point::Datum;
use crate::kairos::range::{Span, Unit};
use crate::kairos::request::{Boundary, Comparison, Deviation, Sampling, SaveAs, Threshold, Trim};
use jiff::tz::TimeZone;
use proptest::prelude::*;

fn sampling(value: i64, unit: Unit, start: i64) -> Sampling {
    Sampling {
        span: Span { value, unit },
        align_sampling: false,
        align_start: false,
        align_end: false,
        start,
        own_start: false,
        zone: TimeZone::UTC,
    }
}

fn ranged(kind: RangeKind, value: i64) -> Aggregator {
    Aggregator::Range { kind, sampling: sampling(value, Unit::Milliseconds, 0) }
}

fn setting() -> Setting {
    Setting { end: Some(100), now: 1_000_000, text: false, saves: Vec::new() }
}

fn longs(points: &[(i64, i64)]) -> Vec<Point> {
    points.iter().map(|(time, value)| Point { time: *time, value: Datum::Long(*value) }).collect()
}

fn text(time: i64, text: &str) -> Point {
    Point { time, value: Datum::Text(text.as_bytes().into()) }
}

/// Runs a chain over points in blocks of `block`.
fn run_in(
    aggregators: &[Aggregator],
    setting: &Setting,
    points: Vec<Point>,
    block: usize,
) -> Result<Vec<Point>, Failure> {
    let work = Work::new(1 << 30);
    let mut chain = Chain::new(aggregators, setting);
    let mut out = Vec::new();
    for some in points.chunks(block) {
        let mut some = some.to_vec();
        chain.push(&mut some, &work)?;
        out.append(&mut some);
    }
    let mut rest = Vec::new();
    chain.end(&mut rest, &work)?;
    out.append(&mut rest);
    Ok(out)
}

fn run(aggregator: Aggregator, points: Vec<Point>) -> Vec<Point> {
    run_in(&[aggregator], &setting(), points, 2).unwrap()
}

fn numbers(points: &[Point]) -> Vec<(i64, f64)> {
    points.iter().map(|point| (point.time, point.value.number().unwrap_or(f64::NAN))).collect()
}

#[test]
fn percentiles_interpolate() {
    let points = longs(&[(0, 10), (1, 1), (2, 9), (3, 2), (4, 8), (5, 3), (6, 7), (7, 4), (8, 6)]);
    let points: Vec<Point> = points.into_iter().chain(longs(&[(9, 5)])).collect();
    for (rank, expected) in [(0.5, 5.5), (0.25, 2.75), (0.01, 1.0), (1.0, 10.0)] {
        let found = run(ranged(RangeKind::Percentile(rank), 100), points.clone());
        assert_eq!(numbers(&found), [(0, expected)], "{rank}");
    }
}

#[test]
fn a_line_has_two_ends() {
    let line =
        |points: &[(i64, i64)]| numbers(&run(ranged(RangeKind::LeastSquares, 1000), longs(points)));
    assert_eq!(line(&[(5, 7)]), [(5, 7.0)]);
    assert_eq!(line(&[(5, 7), (5, 9)]), [(5, 7.0), (5, 9.0)]);
    assert_eq!(line(&[(0, 1), (10, 2), (20, 6)]), [(0, 0.5), (20, 5.5)]);
    assert!(line(&[(5, 7), (5, 9), (5, 8)]).iter().all(|(_, value)| value.is_nan()));
}

#[test]
fn gaps_cover_the_query_and_trimmed_ones_the_points() {
    let gaps = |trim| Aggregator::Range {
        kind: RangeKind::Gaps { trim, end: Some(69) },
        sampling: sampling(10, Unit::Milliseconds, 5),
    };
    let points = longs(&[(16, 1), (18, 2), (36, 3)]);
    let times = |points: Vec<Point>| points.iter().map(|point| point.time).collect::<Vec<_>>();
    assert_eq!(times(run(gaps(false), points.clone())), [5, 16, 18, 25, 36, 45, 55, 65]);
    assert_eq!(times(run(gaps(true), points)), [16, 18, 25, 36]);
    assert_eq!(times(run(gaps(false), Vec::new())), [5, 15, 25, 35, 45, 55, 65]);
    assert!(run(gaps(true), Vec::new()).is_empty());
    let endless = Aggregator::Range {
        kind: RangeKind::Gaps { trim: false, end: None },
        sampling: sampling(1, Unit::Milliseconds, 0),
    };
    let far = Setting { end: None, now: i64::MAX, ..setting() };
    assert!(check(std::slice::from_ref(&endless), Some(999_998), i64::MAX).is_ok());
    assert_eq!(check(std::slice::from_ref(&endless), None, 1_000_000).unwrap_err().status, 400);
    assert_eq!(run_in(&[endless], &far, Vec::new(), 1).unwrap_err().status, 400);
}

#[test]
fn nulls_stop_arithmetic() {
    let gaps = Aggregator::Range {
        kind: RangeKind::Gaps { trim: false, end: None },
        sampling: sampling(10, Unit::Milliseconds, 0),
    };
    let scale = Aggregator::Scale { factor: 2.0 };
    let failure = run_in(&[gaps, scale], &setting(), Vec::new(), 1).unwrap_err();
    assert_eq!(failure.status, 500);
    assert!(failure.errors[0].starts_with("No aggregator can be chained after "));
}

#[test]
fn rates_need_time_to_pass() {
    let span = Span { value: 1, unit: Unit::Seconds };
    let zone = TimeZone::UTC;
    let rate = Aggregator::Rate { span, zone: zone.clone() };
    let points = longs(&[(0, 0), (10_000, 50), (20_000, 70)]);
    assert_eq!(numbers(&run(rate.clone(), points.clone())), [(10_000, 5.0), (20_000, 2.0)]);
    let back: Vec<Point> = points.iter().rev().cloned().collect();
    assert_eq!(numbers(&run(rate.clone(), back)), [(10_000, 2.0), (0, 5.0)]);
    let month = Span { value: 1, unit: Unit::Months };
    let sampler = Aggregator::Sampler { span: month, zone };
    let found = run(sampler, longs(&[(0, 1), (1000, 4)]));
    assert_eq!(numbers(&found), [(1000, 4.0 / 1000.0 * 31.0 * 86_400_000.0)]);
    let same = run_in(&[rate], &setting(), longs(&[(1, 1), (1, 2)]), 1).unwrap_err();
    assert_eq!(
        same.errors[0],
        "The rate aggregator cannot compute rate for data points with the same time stamp.  You \
         must precede rate with another aggregator."
    );
    assert_eq!(numbers(&run(Aggregator::Diff, longs(&[(1, 1), (1, 5)]))), [(1, 4.0)]);
}

#[test]
fn filters_drop_what_matches_and_what_cannot_be_compared() {
    let filter = |comparison, threshold: Threshold| Aggregator::Filter { comparison, threshold };
    let five = || Threshold { number: Some(5.0), text: None };
    let b = || Threshold { number: None, text: Some("b".into()) };
    let points = || {
        let mut points = longs(&[(1, 4), (2, 5), (3, 6)]);
        points.extend(["a", "b", "c"].iter().map(|one| text(9, one)));
        points
    };
    let left = |comparison, threshold| run(filter(comparison, threshold), points()).len();
    let all = [
        (Comparison::Lt, 2),
        (Comparison::Lte, 1),
        (Comparison::Gt, 2),
        (Comparison::Gte, 1),
        (Comparison::Equal, 2),
        (Comparison::Ne, 1),
    ];
    for (comparison, expected) in all {
        assert_eq!(left(comparison, five()), expected);
        assert_eq!(left(comparison, b()), expected);
    }
}

#[test]
fn scores_count_thresholds() {
    let thresholds = vec![(10.0, Boundary::Superior), (20.0, Boundary::Inferior)];
    let score = |descending| Aggregator::Score { thresholds: thresholds.clone(), descending };
    let points = longs(&[(1, 10), (2, 11), (3, 20)]);
    assert_eq!(numbers(&run(score(false), points.clone())), [(1, 0.0), (2, 1.0), (3, 2.0)]);
    assert_eq!(numbers(&run(score(true), points)), [(1, 2.0), (2, 1.0), (3, 0.0)]);
}

#[test]
fn trims_take_away_ends() {
    let times = |trim, count: i64| {
        let points: Vec<(i64, i64)> = (0..count).map(|at| (at, at)).collect();
        let found = run(Aggregator::Trim(trim), longs(&points));
        found.iter().map(|point| point.time).collect::<Vec<_>>()
    };
    assert_eq!(times(Trim::First, 4), [1, 2, 3]);
    assert_eq!(times(Trim::Last, 4), [0, 1, 2]);
    assert_eq!(times(Trim::Both, 4), [1, 2]);
    assert_eq!(times(Trim::None, 2), [0, 1]);
    assert!(times(Trim::Both, 1).is_empty() && times(Trim::Last, 0).is_empty());
}

#[test]
fn texts_pass_numbers_and_become_numbers_by_counting() {
    let texts = || vec![text(1, "a"), text(2, "b")];
    let as_text = Setting { text: true, ..setting() };
    let scale = Aggregator::Scale { factor: 3.0 };
    assert_eq!(run_in(std::slice::from_ref(&scale), &as_text, texts(), 1).unwrap(), texts());
    let count = ranged(RangeKind::Count, 100);
    let found = run_in(&[count, scale], &as_text, texts(), 1).unwrap();
    assert_eq!(numbers(&found), [(1, 6.0)]);
    let first = run_in(&[ranged(RangeKind::First, 100)], &as_text, texts(), 1).unwrap();
    assert_eq!(first, [text(1, "a")]);
}

#[test]
fn descending_points_are_one_range() {
    let found = run(ranged(RangeKind::Sum, 10), longs(&[(35, 1), (20, 2), (5, 4)]));
    assert_eq!(numbers(&found), [(35, 7.0)]);
}

#[test]
fn saved_points_know_their_series() {
    let save = SaveAs {
        metric: "n".into(),
        tags: vec![("own".into(), "x".into())],
        ttl: 0,
        saved_from: true,
    };
    let to = Destination::new(&save, "m", [("host", "a")].into_iter()).unwrap();
    let tags: Vec<(&str, &str)> = to.tags().collect();
    assert_eq!(tags, [("host", "a"), ("own", "x"), ("saved_from", "m")]);
    assert!(Destination::new(&save, "m", [("own", "a")].into_iter()).is_err());
    let setting = Setting { saves: vec![to.clone()], ..setting() };
    let (work, mut points) = (Work::new(1 << 20), longs(&[(1, 2)]));
    points.push(Point::double(2, f64::NAN));
    let mut chain = Chain::new(&[Aggregator::SaveAs(save)], &setting);
    chain.push(&mut points, &work).unwrap();
    assert_eq!(points.len(), 2);
    let saved = work.take_saved();
    assert_eq!((saved.len(), &saved[0].to, saved[0].point.time), (1, &to, 1));
    let text = String::from_utf8(body(&saved)).unwrap();
    let expected = concat!(
        r#"[{"name":"n","skip_validate":true,"ttl":0,"#,
        r#""tags":{"host":"a","own":"x","saved_from":"m"},"datapoints":[[1,2,"long"]]}]"#
    );
    assert_eq!(text, expected);
}

#[test]
fn memory_is_bounded() {
    let work = Work::new(4096);
    let mut chain = Chain::new(&[ranged(RangeKind::Percentile(0.5), 100_000)], &setting());
    let mut points: Vec<Point> = (0..2000).map(|at| Point::double(at, 1.0)).collect();
    assert_eq!(chain.push(&mut points, &work).unwrap_err().status, 500);
}

/// Points in order of time, some of equal times.
fn series() -> impl Strategy<Value = Vec<Point>> {
    let point = (0..40i64, -50..50i64, any::<bool>());
    proptest::collection::vec(point, 0..60).prop_map(|mut all| {
        all.sort();
        let value = |value: i64, double: bool| match double {
            true => Datum::Double(value as f64 / 4.0),
            false => Datum::Long(value),
        };
        let point = |(time, number, double)| Point { time, value: value(number, double) };
        all.into_iter().map(point).collect()
    })
}

/// What a kind makes of the points of one range.
fn model(kind: RangeKind, points: &[Point]) -> Vec<(i64, f64)> {
    let values: Vec<f64> = points.iter().map(|point| point.value.number().unwrap()).collect();
    let (first, last) = (points[0].time, points[points.len() - 1].time);
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let one = |value: f64| vec![(first, value)];
    match kind {
        RangeKind::Avg => one(mean),
        RangeKind::Count => one(count),
        RangeKind::Dev { .. } if values.len() == 1 => one(mean),
        RangeKind::Dev { .. } => {
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            one(mean + 2.0 * (squares / (count - 1.0)).sqrt())
        }
        RangeKind::First => one(values[0]),
        RangeKind::Last => vec![(last, values[values.len() - 1])],
        RangeKind::Max => one(values.iter().copied().fold(f64::MIN, f64::max)),
        RangeKind::Min => one(values.iter().copied().fold(f64::MAX, f64::min)),
        RangeKind::Sum => one(mean * count),
        RangeKind::Percentile(_) | RangeKind::Gaps { .. } | RangeKind::LeastSquares => Vec::new(),
    }
}

proptest! {
    #[test]
    fn ranges_agree_with_the_model(
        points in series(),
        width in 1..15i64,
        block in 1..9usize,
        align in 0..3u8,
    ) {
        let dev = RangeKind::Dev { result: Deviation::Above, count: 2.0 };
        use RangeKind as R;
        for kind in [R::Avg, R::Count, dev, R::First, R::Last, R::Max, R::Min, R::Sum] {
            let mut sampling = sampling(width, Unit::Milliseconds, 0);
            (sampling.align_start, sampling.align_end) = (align == 1, align == 2);
            let aggregator = Aggregator::Range { kind, sampling };
            let found = run_in(&[aggregator], &setting(), points.clone(), block).unwrap();
            let number = |point: &Point| point.time / width;
            let mut expected = Vec::new();
            for some in points.chunk_by(|a, b| number(a) == number(b)) {
                for (time, value) in model(kind, some) {
                    let start = number(&some[0]) * width;
                    expected.push(([time, start, start + width][usize::from(align)], value));
                }
            }
            let found = numbers(&found);
            prop_assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert_eq!(found.0, expected.0);
                prop_assert!((found.1 - expected.1).abs() < 1e-9, "{:?}", kind);
            }
        }
    }

    #[test]
    fn sliding_means_agree_with_the_model(
        points in series(),
        size in 1..9usize,
        block in 1..9usize,
    ) {
        let found = run_in(&[Aggregator::Sma { size }], &setting(), points.clone(), block);
        let found = numbers(&found.unwrap());
        let values = numbers(&points);
        let mean = |window: &[(i64, f64)]| {
            (window[size - 1].0, window.iter().map(|(_, value)| value).sum::<f64>() / size as f64)
        };
        let expected: Vec<(i64, f64)> = values.windows(size).map(mean).collect();
        prop_assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert_eq!(found.0, expected.0);
            prop_assert!((found.1 - expected.1).abs() < 1e-9);
        }
    }

    #[test]
    fn a_chain_is_its_parts_one_behind_the_other(points in series(), block in 1..9usize) {
        let both = [ranged(RangeKind::Sum, 3), ranged(RangeKind::Max, 9)];
        let whole = run_in(&both, &setting(), points.clone(), block).unwrap();
        let [first, second] = both;
        let between = run_in(&[first], &setting(), points, 1000).unwrap();
        prop_assert_eq!(whole, run_in(&[second], &setting(), between, 1000).unwrap());
    }
}
