//! Time to live: the winner of a point says when it expires, wherever its versions lie.

use super::*;
use crate::env::Env;
use crate::env::sim::{SimEnv, WALL_START_NS, test};
use crate::shard::index::TagFilter;
use proptest::prelude::*;
use roaring::RoaringBitmap;

/// An instant that has passed, and one that will not come.
const PAST: i64 = WALL_START_NS - 1;
const FUTURE: i64 = WALL_START_NS + 1_000 * DAY;

fn row(field: u32, value: f64, expire: Option<i64>) -> Row {
    let column = ColumnId::new(FieldNo(field), FieldType::Float);
    let mut row = Row::from([(column, Value::Float(value))]);
    row.extend(expire.map(|at| (ColumnId::EXPIRE, Value::Integer(at))));
    row
}

fn event() -> impl Strategy<Value = Event> {
    let rows = proptest::collection::vec((0..5u32, 0..9i64, 0..50i64), 1..8);
    let expire = prop_oneof![Just(None), Just(Some(PAST)), Just(Some(FUTURE))];
    prop_oneof![
        6 => (rows, expire).prop_map(|(rows, expire)| {
            let rows = rows.into_iter();
            Event::Write(rows.map(|(s, t, v)| (s, t * DAY / 3, row(1, v as f64, expire))).collect())
        }),
        1 => (0..5u32, 0..9i64).prop_map(|(series, at)| {
            Event::Delete(series, TimeRange::new(at * DAY / 3, at * DAY / 3 + DAY))
        }),
        2 => Just(Event::Flush),
        1 => Just(Event::Compact),
    ]
}

/// Everything that a reader can ask for says the same as the model.
async fn check(env: &SimEnv, shards: &Shards, events: &[Event]) {
    let table = model::table(events);
    let mut request = question(Output::Rows { visible: 1, limit: None });
    request.now_ns = env.now_wall();
    request.group_by = vec![b"n".as_slice().into()];
    for order in [Order::Ascending, Order::Descending] {
        request.order = order;
        let rows = merge_rows(&request, shards.ask(&request).await);
        assert_eq!(rows, model::rows(&table, &request, model::Where::All), "{events:?}");
    }
    request.order = Order::Ascending;
    let functions = [Function::Count, Function::Last, Function::First, Function::Sum];
    for functions in [&functions[..], &functions[..1], &functions[1..2], &functions[2..3]] {
        let aggregate = |function: &Function| {
            let function = *function;
            Aggregate { function, field: 0, aux: Vec::new(), range: TimeRange::ALL }
        };
        let aggregates: Vec<Aggregate> = functions.iter().map(aggregate).collect();
        request.output = Output::Aggregates { buckets: Buckets::One, aggregates };
        let groups = merge_groups(&request, shards.ask(&request).await);
        let mut found = model::shown(&groups);
        let mut expected = model::groups(&table, &request, model::Where::All);
        if model::may_end_early(&request) {
            found.iter_mut().chain(&mut expected).for_each(|group| (group.2, group.3) = (0, 0));
        }
        assert_eq!(found, expected, "{events:?}");
    }
    let alive = |series: u32| {
        table.iter().any(|((s, _), row)| {
            *s == series && row.get(&ColumnId::EXPIRE) != Some(&Value::Integer(PAST))
        })
    };
    let shard = &shards.0[0];
    let id = |series: u32| shard.index().lookup(DB, key_of(series).as_bytes());
    let known: Vec<(u32, u32)> = (0..9).filter_map(|s| Some((s, id(s)?.0))).collect();
    let all: RoaringBitmap = known.iter().map(|(_, id)| *id).collect();
    let dead: RoaringBitmap = known.iter().filter(|(s, _)| !alive(*s)).map(|(_, id)| *id).collect();
    assert_eq!(without_rows(shard, all).await, dead, "{events:?}");
    let lookup_count = Lookup {
        db: DB,
        measurements: Vec::new(),
        series: TagFilter::All,
        within: Some((vec![PartitionId(1), PartitionId(2)], TimeRange::ALL)),
        want: Want::Count,
    };
    let count = match lookup(shard, &lookup_count, || false).await {
        Found::Count(all) => all.first().map_or(0, |(_, count)| *count),
        other => panic!("{other:?}"),
    };
    assert_eq!(count, (0..9).filter(|series| alive(*series)).count() as u64, "{events:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn the_newest_write_of_a_point_decides_wherever_its_versions_lie(
        events in proptest::collection::vec(event(), 1..12),
        seed in 0..1_000_000u64,
    ) {
        test(seed, |env| async move {
            let shards = Shards::open(&env, 1).await;
            for event in &events {
                shards.apply(event).await;
            }
            check(&env, &shards, &events).await;
        })
        .unwrap();
    }
}

#[test]
fn a_later_write_of_another_field_without_a_time_to_live_keeps_the_point() {
    for (first, second) in [(false, false), (true, false), (true, true)] {
        test(31, |env| async move {
            let shards = Shards::open(&env, 1).await;
            let mut events = vec![Event::Write(vec![(0, 10, row(1, 1.0, Some(PAST)))])];
            events.extend(first.then_some(Event::Flush));
            events.push(Event::Write(vec![(0, 10, row(2, 2.0, None))]));
            events.extend(second.then_some(Event::Flush));
            for event in &events {
                shards.apply(event).await;
            }
            let mut request = question(Output::Rows { visible: 1, limit: None });
            request.fields.truncate(1);
            request.now_ns = env.now_wall();
            let rows = merge_rows(&request, shards.ask(&request).await);
            assert_eq!(rows, model::rows(&model::table(&events), &request, model::Where::All));
            assert_eq!(rows.len(), 1, "{first} {second}");
        })
        .unwrap();
    }
}

#[test]
fn a_merge_of_late_sections_keeps_what_hides_older_rows() {
    test(32, |env| async move {
        let shards = Shards::open(&env, 1).await;
        let old = (0..2_000).map(|at| (0, at * 1_000_000_007, row(1, at as f64, None)));
        let mut events = vec![Event::Write(old.collect()), Event::Compact];
        events.push(Event::Write(vec![(0, 0, row(1, 9.0, Some(PAST)))]));
        events.push(Event::Flush);
        for series in 1..8 {
            events.push(Event::Write(vec![(series, 5, row(1, 1.0, None))]));
            events.push(Event::Flush);
        }
        for event in &events {
            shards.apply(event).await;
        }
        let sections = || shards.0[0].version().sections.values().map(Vec::len).sum::<usize>();
        assert_eq!(sections(), 9);
        env.sleep(std::time::Duration::from_secs(3)).await;
        assert_eq!(sections(), 2, "the late sections were merged into one");
        check(&env, &shards, &events).await;
        shards.apply(&Event::Compact).await;
        assert_eq!(sections(), 1);
        check(&env, &shards, &events).await;
    })
    .unwrap();
}
