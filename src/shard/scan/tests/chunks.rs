//! Chunks that are not decoded: the answers are those of the model, and rows are left unread.

use super::model::Where;
use super::*;
use crate::env::sim::test;
use crate::shard::index::TagFilter;
use proptest::prelude::*;

/// A row with a float and an integer.
fn both(value: i64) -> Row {
    let float = (ColumnId::new(FieldNo(1), FieldType::Float), Value::Float(value as f64 / 4.0));
    let integer = (ColumnId::new(FieldNo(2), FieldType::Integer), Value::Integer(value));
    Row::from([float, integer])
}

fn even(series: std::ops::Range<u32>, start: i64, rows: i64, step: i64) -> Event {
    let value = move |s: u32, at: i64| (i64::from(s) * 7 + at * at) % 53 - 20 + start / DAY * 100;
    let rows = series
        .flat_map(move |s| (0..rows).map(move |at| (s, start + at * step, both(value(s, at)))));
    Event::Write(rows.collect())
}

fn asks(functions: &[(Function, usize)]) -> Vec<Aggregate> {
    let one = |(function, field): &(Function, usize)| Aggregate {
        function: *function,
        field: *field,
        aux: Vec::new(),
        range: TimeRange::ALL,
    };
    functions.iter().map(one).collect()
}

async fn summary(shards: &Shards, request: &Request) -> (Vec<Part>, Summary) {
    let parts = RefCell::new(Vec::new());
    let emit = async |part| {
        parts.borrow_mut().push(part);
        true
    };
    let request = Arc::new(request.clone());
    let summary = run(&shards.0[0], &request, emit, || false).await.unwrap();
    (parts.into_inner(), summary)
}

fn check(table: &model::Table, request: &Request, filter: Where, parts: Vec<Part>) {
    match request.output {
        Output::Rows { .. } => {
            assert_eq!(merge_rows(request, vec![parts]), model::rows(table, request, filter));
        }
        Output::Aggregates { .. } => {
            let mut found = model::shown(&merge_groups(request, vec![parts]));
            let mut expected = model::groups(table, request, filter);
            if model::may_end_early(request) {
                found.iter_mut().chain(&mut expected).for_each(|group| (group.2, group.3) = (0, 0));
            }
            assert_eq!(found, expected);
        }
        Output::Starts(_) | Output::Cost => assert!(parts.is_empty()),
    }
}

#[test]
fn statistics_answer_whole_chunks_and_nothing_that_is_touched() {
    test(41, |env| async move {
        let shards = Shards::open(&env, 1).await;
        let mut events: Vec<Event> = (0..4).map(|day| even(0..6, day * DAY, 500, 1_000)).collect();
        events.push(Event::Compact);
        for event in &events {
            shards.apply(event).await;
        }
        let all = [
            (Function::Count, 0),
            (Function::Sum, 1),
            (Function::Spread, 1),
            (Function::Min, 0),
            (Function::Max, 1),
            (Function::First, 1),
            (Function::Last, 0),
        ];
        let whole = [(Function::Count, 0), (Function::Sum, 1), (Function::Spread, 1)];
        let day = Buckets::Even { width_ns: DAY, offset_ns: 0 };
        let ask = |buckets: &Buckets, functions| {
            let (buckets, aggregates) = (buckets.clone(), asks(functions));
            question(Output::Aggregates { buckets, aggregates })
        };
        for buckets in [Buckets::One, day] {
            let request = ask(&buckets, &whole);
            let (parts, summary) = summary(&shards, &request).await;
            assert_eq!((summary.rows, summary.chunks_known), (0, 4), "{buckets:?}");
            check(&model::table(&events), &request, Where::All, parts);
            let request = ask(&buckets, &all);
            let (parts, _) = self::summary(&shards, &request).await;
            check(&model::table(&events), &request, Where::All, parts);
        }
        // The greatest are in the last day, the least in the first: the others cannot win.
        let request = ask(&Buckets::One, &[(Function::Min, 0)]);
        let (parts, summary) = summary(&shards, &request).await;
        assert_eq!((summary.rows, summary.chunks_known), (3_000, 3));
        check(&model::table(&events), &request, Where::All, parts);
        // What a later write, a delete or a time to live touches is read.
        let touched = [
            Event::Write(vec![(2, 3_000, both(900))]),
            Event::Delete(1, TimeRange::new(DAY, DAY + 9_000)),
        ];
        for (event, left) in touched.into_iter().zip([3, 2]) {
            shards.apply(&event).await;
            events.push(event);
            let request = ask(&Buckets::One, &whole);
            let (parts, summary) = self::summary(&shards, &request).await;
            assert_eq!(summary.chunks_known, left);
            check(&model::table(&events), &request, Where::All, parts);
        }
    })
    .unwrap();
}

#[test]
fn a_condition_on_values_passes_chunks_over() {
    test(42, |env| async move {
        let shards = Shards::open(&env, 1).await;
        let mut events: Vec<Event> = (0..4).map(|day| even(0..6, day * DAY, 500, 1_000)).collect();
        events.push(Event::Compact);
        for event in &events {
            shards.apply(event).await;
        }
        let filter = Where::FloatAbove(50);
        let count = asks(&[(Function::Count, 0), (Function::Moments, 0)]);
        let count = Output::Aggregates { buckets: Buckets::One, aggregates: count };
        for output in [Output::Rows { visible: 2, limit: None }, count] {
            let mut request = question(output);
            request.filter = filter.expr();
            let (parts, summary) = summary(&shards, &request).await;
            assert_eq!((summary.rows, summary.chunks_known), (6_000, 2));
            check(&model::table(&events), &request, filter, parts);
        }
        // A later write makes an old chunk's values those of nobody.
        let event = Event::Write(vec![(0, 5, both(900)), (0, 1_000, both(-900))]);
        shards.apply(&event).await;
        events.push(event);
        let mut request = question(Output::Rows { visible: 2, limit: None });
        request.filter = filter.expr();
        let (parts, summary) = summary(&shards, &request).await;
        assert_eq!(summary.chunks_known, 1);
        check(&model::table(&events), &request, filter, parts);
    })
    .unwrap();
}

#[test]
fn the_last_points_of_several_fields_are_found_from_the_end_of_time() {
    test(43, |env| async move {
        let shards = Shards::open(&env, 1).await;
        let mut events = Vec::new();
        for day in 0..5 {
            events.push(even(0..4, day * DAY, 4_000, DAY / 4_000));
            events.push(Event::Flush);
        }
        events.push(even(0..4, 5 * DAY, 4_000, DAY / 40_000));
        for event in &events {
            shards.apply(event).await;
        }
        for function in [Function::Last, Function::First, Function::FirstLeast] {
            let aggregates = asks(&[(function, 0), (function, 1)]);
            let mut request = question(Output::Aggregates { buckets: Buckets::One, aggregates });
            request.group_by = vec![b"n".as_slice().into()];
            let (parts, summary) = summary(&shards, &request).await;
            assert!(summary.rows < 4_000, "{} rows read", summary.rows);
            check(&model::table(&events), &request, Where::All, parts);
        }
    })
    .unwrap();
}

#[test]
fn the_starts_of_buckets_with_rows_are_told() {
    let mut events = vec![even(0..5, 3, 300, 1_000), Event::Flush, even(2..7, 500, 90, 700)];
    events.push(Event::Delete(2, TimeRange::new(0, 40_000)));
    let buckets = Buckets::Even { width_ns: 250, offset_ns: 7 };
    let (key, value) = (b"n".as_slice().into(), b"2".as_slice().into());
    let only = TagFilter::Equals { key, value };
    test(5, |env| async move {
        let shards = Shards::open(&env, 1).await;
        for event in &events {
            shards.apply(event).await;
        }
        for series in [TagFilter::All, only] {
            let mut request = question(Output::Starts(buckets.clone()));
            request.series = series;
            let (parts, _) = summary(&shards, &request).await;
            let starts = parts.into_iter().flat_map(|part| match part {
                Part::Rows(pieces) => pieces.into_iter().flat_map(|rows| rows.times),
                Part::Groups(_) => panic!("times"),
            });
            let rows = Request { output: Output::Rows { visible: 2, limit: None }, ..request };
            let found = model::rows(&model::table(&events), &rows, Where::All);
            let times = found.iter().flat_map(|(_, rows)| rows.iter().map(|row| row.0));
            let start = |time: i64| buckets.start(buckets.number(time).unwrap());
            let expected: std::collections::BTreeSet<i64> = times.map(start).collect();
            assert_eq!(starts.collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
        }
        let mut request = question(Output::Starts(buckets.clone()));
        request.memory_bytes = 1_000;
        let ended = run(&shards.0[0], &Arc::new(request), async |_| true, || false).await;
        assert_eq!(ended, Err(ScanError::Memory { limit: 1_000 }));
    })
    .unwrap();
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => (0..4u32, 1..4u32, 0..8i64, 1..40i64).prop_map(|(first, count, start, rows)| {
            even(first..first + count, start * DAY / 2, rows, 1_000)
        }),
        1 => (0..6u32, 0..8i64, 0..30i64, -300..300i64).prop_map(|(series, start, at, value)| {
            Event::Write(vec![(series, start * DAY / 2 + at * 500, both(value))])
        }),
        1 => (0..6u32, 0..8i64, 0..20i64).prop_map(|(series, start, rows)| {
            let first = start * DAY / 2;
            Event::Delete(series, TimeRange::new(first, first + rows * 1_000))
        }),
        3 => Just(Event::Flush),
        1 => Just(Event::Compact),
    ]
}

fn asked() -> impl Strategy<Value = (Request, Where)> {
    let function = prop_oneof![
        Just(Function::Count),
        Just(Function::Sum),
        Just(Function::Min),
        Just(Function::Max),
        Just(Function::Spread),
        Just(Function::First),
        Just(Function::FirstLeast),
        Just(Function::Last),
    ];
    let functions = proptest::collection::vec((function, 0..2usize), 1..3);
    let buckets = prop_oneof![
        Just(Buckets::One),
        Just(Buckets::Even { width_ns: DAY, offset_ns: 0 }),
        Just(Buckets::Even { width_ns: 3 * DAY, offset_ns: 7 }),
    ];
    let filter = prop_oneof![
        3 => Just(Where::All),
        1 => (-50..150i64).prop_map(Where::FloatAbove),
    ];
    (functions, buckets, filter, any::<(bool, bool)>()).prop_map(
        |(functions, buckets, filter, (grouped, rows))| {
            let aggregates = asks(&functions);
            let mut request = question(match rows && filter != Where::All {
                true => Output::Rows { visible: 2, limit: None },
                false => Output::Aggregates { buckets, aggregates },
            });
            request.filter = filter.expr();
            if grouped {
                request.group_by = vec![b"n".as_slice().into()];
            }
            (request, filter)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn answers_are_the_same_with_statistics(
        events in proptest::collection::vec(event(), 1..12),
        questions in proptest::collection::vec(asked(), 8),
        seed in 0..1_000_000u64,
    ) {
        test(seed, |env| async move {
            let shards = Shards::open(&env, 1).await;
            for event in &events {
                shards.apply(event).await;
            }
            let table = model::table(&events);
            for (request, filter) in questions {
                let (parts, _) = summary(&shards, &request).await;
                check(&table, &request, filter, parts);
            }
        })
        .unwrap();
    }
}
