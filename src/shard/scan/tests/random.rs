//! Random histories and questions.

use super::model::{self, Where};
use super::*;
use crate::env::sim::test;
use crate::shard::index::TagFilter;
use proptest::prelude::*;

const SERIES: u32 = 9;

/// Columns of a batch: subsets of float 1, integer 2, string 3, boolean 4.
fn row(mask: u8, value: i64) -> Row {
    let mut row = Row::new();
    let mut put = |bit: u8, field: u32, value: Value| {
        if mask & bit != 0 {
            row.insert(ColumnId::new(FieldNo(field), value.kind()), value);
        }
    };
    put(1, 1, Value::Float(value as f64 / 2.0));
    put(2, 2, Value::Integer(value));
    put(4, 3, Value::String("x".repeat(value as usize % 4).into_bytes().into()));
    put(8, 4, Value::Boolean(value % 3 == 0));
    row
}

/// Times on a coarse grid over three days, so that series and writes meet.
fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        3 => (0..40i64).prop_map(|at| at * DAY / 13),
        1 => (0..10i64).prop_map(|at| at * 1_000),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let rows = proptest::collection::vec((0..SERIES, time(), 0..20i64), 1..30);
    // Evenly spaced rows of some series, as most real ones are.
    let even = (0..SERIES, 1..4u32, 0..40i64, 1..20i64);
    prop_oneof![
        4 => (1..16u8, rows).prop_map(|(mask, rows)| {
            let rows = rows.into_iter().map(|(s, t, v)| (s, t, row(mask, v)));
            Event::Write(rows.collect())
        }),
        3 => (1..16u8, even).prop_map(|(mask, (first, series, start, count))| {
            let times = (0..count).map(move |at| (start + at) * DAY / 13);
            let rows = times.flat_map(move |t| (first..first + series).map(move |s| (s, t)));
            let rows = rows.map(|(s, t)| (s % SERIES, t, row(mask, i64::from(s) + t % 7)));
            Event::Write(rows.collect())
        }),
        1 => (0..SERIES, time(), 0..DAY).prop_map(|(series, first, len)| {
            Event::Delete(series, TimeRange::new(first, first + len))
        }),
        2 => Just(Event::Flush),
        1 => Just(Event::Compact),
    ]
}

fn tag_filter() -> impl Strategy<Value = TagFilter> {
    let host = || Box::<[u8]>::from(b"host".as_slice());
    prop_oneof![
        4 => Just(TagFilter::All),
        1 => Just(TagFilter::Equals { key: host(), value: b"h1".as_slice().into() }),
        1 => Just(TagFilter::NotEquals { key: host(), value: b"h1".as_slice().into() }),
        1 => Just(TagFilter::Equals { key: host(), value: b"".as_slice().into() }),
    ]
}

fn buckets() -> impl Strategy<Value = Buckets> {
    prop_oneof![
        Just(Buckets::One),
        (DAY / 40..DAY).prop_flat_map(|width_ns| (0..width_ns)
            .prop_map(move |offset_ns| Buckets::Even { width_ns, offset_ns })),
        proptest::collection::btree_set(-DAY..4 * DAY, 2..6)
            .prop_map(|starts| Buckets::Starts(starts.into_iter().collect())),
    ]
}

fn aggregate() -> impl Strategy<Value = Aggregate> {
    let ends = [Function::First, Function::FirstLeast, Function::Last];
    let any_type = [&ends[..], &[Function::Count, Function::Values, Function::Distinct]].concat();
    let number = [Function::Sum, Function::Min, Function::Max, Function::Spread, Function::Moments];
    let aux = prop_oneof![Just(Vec::new()), Just(vec![Aux::Tag(1), Aux::Field(2)]),];
    let range = prop_oneof![
        3 => Just(TimeRange::ALL),
        1 => (time(), 0..3 * DAY).prop_map(|(first, len)| TimeRange::new(first, first + len)),
    ];
    let best = (1..6usize, any::<bool>(), proptest::option::of(0..2usize))
        .prop_map(|(count, smallest, by)| Function::Best { count, smallest, by });
    let sample = (1..6usize, 0..9u64).prop_map(|(count, seed)| Function::Sample { count, seed });
    let numbers = proptest::sample::select(vec![0usize, 1, 4]);
    prop_oneof![
        5 => (proptest::sample::select(any_type.to_vec()), 0..5usize),
        5 => (proptest::sample::select(number.to_vec()), numbers.clone()),
        2 => (best, numbers),
        1 => (sample, 0..5usize),
    ]
    .prop_flat_map(move |(function, field)| {
        (aux.clone(), range.clone()).prop_map(move |(aux, range)| {
            let travels = !matches!(function, Function::Distinct);
            Aggregate { function, field, aux: if travels { aux } else { Vec::new() }, range }
        })
    })
}

fn output() -> impl Strategy<Value = Output> {
    prop_oneof![
        (1..6usize, proptest::option::of(1..12u64))
            .prop_map(|(visible, limit)| Output::Rows { visible, limit }),
        (buckets(), proptest::collection::vec(aggregate(), 1..4))
            .prop_map(|(buckets, aggregates)| Output::Aggregates { buckets, aggregates }),
    ]
}

fn asked() -> impl Strategy<Value = (Request, Where)> {
    let filter = prop_oneof![
        3 => Just(Where::All),
        1 => (0..8i64).prop_map(Where::FloatAbove),
        1 => Just(Where::IntegerOddOrHost0),
        1 => Just(Where::TextIs),
    ];
    let group_by = proptest::sample::subsequence(vec!["dc", "host", "nope"], 0..3);
    let range = prop_oneof![
        Just(TimeRange::ALL),
        (time(), 0..3 * DAY).prop_map(|(first, len)| TimeRange::new(first, first + len)),
    ];
    (output(), tag_filter(), filter, group_by, range, any::<(bool, bool)>()).prop_map(
        |(output, series, filter, group_by, range, (descending, small))| {
            let mut request = question(output);
            if small && matches!(request.output, Output::Rows { .. }) {
                // About a dozen rows to a slab.
                request.memory_bytes = 1_500;
            }
            request.series = series;
            request.filter = filter.expr();
            request.group_by = group_by.iter().map(|key| key.as_bytes().into()).collect();
            request.range = range;
            request.order = if descending { Order::Descending } else { Order::Ascending };
            (request, filter)
        },
    )
}

fn check(events: &[Event], questions: &[(Request, Where)], seed: u64) {
    let shards = [1, 2, 3, 8][seed as usize % 4];
    test(seed, |env| async move {
        let shards = Shards::open(&env, shards).await;
        for event in events {
            shards.apply(event).await;
        }
        let table = model::table(events);
        for (request, filter) in questions {
            let parts = shards.ask(request).await;
            match &request.output {
                Output::Starts(_) => panic!("not asked at random"),
                Output::Rows { .. } => {
                    let found = merge_rows(request, parts);
                    assert_eq!(found, model::rows(&table, request, *filter), "{request:?}");
                }
                Output::Aggregates { .. } => {
                    let mut found = model::shown(&merge_groups(request, parts));
                    let mut expected = model::groups(&table, request, *filter);
                    if model::may_end_early(request) {
                        let times = found.iter_mut().chain(&mut expected);
                        times.for_each(|group| (group.2, group.3) = (0, 0));
                    }
                    assert_eq!(found, expected, "{request:?}");
                }
                Output::Cost => {}
            }
        }
    })
    .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn every_answer_is_that_of_the_model(
        events in proptest::collection::vec(event(), 1..12),
        questions in proptest::collection::vec(asked(), 6),
        seed in 0..1_000_000u64,
    ) {
        check(&events, &questions, seed);
    }
}
