//! What random questions do not reach: sums whose order shows, time to live, names, limits, ends.

use super::*;
use crate::env::Env;
use crate::env::sim::{Sim, test};
use crate::shard::index::TagFilter;
use roaring::RoaringBitmap;

fn sum(field: usize) -> Vec<Aggregate> {
    vec![Aggregate { function: Function::Sum, field, aux: Vec::new(), range: TimeRange::ALL }]
}

fn float(value: f64) -> Row {
    Row::from([(ColumnId::new(FieldNo(1), FieldType::Float), Value::Float(value))])
}

/// Values of very different sizes, so that every order of adding them gives another sum.
fn rough(series: u32, at: i64) -> f64 {
    let n = (i64::from(series) * 7919 + at * 104_729) % 1009;
    (n as f64).sqrt() * 10f64.powi((n % 13) as i32 - 6)
}

#[test]
fn float_sums_do_not_tell_shards_or_flushes() {
    let write = |from: i64, to: i64| {
        let rows = (0..9).flat_map(|s| (from..to).map(move |t| (s, t * DAY / 50, rough(s, t))));
        Event::Write(rows.map(|(s, t, value)| (s, t, float(value))).collect())
    };
    let whole = vec![write(0, 150)];
    let cut = vec![
        write(100, 150),
        Event::Flush,
        write(0, 70),
        Event::Compact,
        write(60, 110),
        Event::Flush,
        write(20, 30),
    ];
    let buckets = Buckets::Even { width_ns: DAY / 3, offset_ns: 0 };
    let request = question(Output::Aggregates { buckets, aggregates: sum(0) });
    let mut answers = Vec::new();
    for events in [whole, cut] {
        for count in [1, 2, 3, 8] {
            let groups = test(u64::from(count), |env| {
                let (request, events) = (&request, &events);
                async move {
                    let shards = Shards::open(&env, count).await;
                    for event in events {
                        shards.apply(event).await;
                    }
                    merge_groups(request, shards.ask(request).await)
                }
            });
            answers.push(model::shown(&groups.unwrap()));
        }
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
    let straight: f64 = (0..150).map(|t| rough(0, t)).sum();
    let back: f64 = (0..150).rev().map(|t| rough(0, t)).sum();
    assert_ne!(straight, back, "the values must be such that order matters");
}

#[test]
fn the_winner_of_a_point_says_when_it_expires() {
    let with = |value: f64, expire: Option<i64>| {
        let mut row = float(value);
        row.extend(expire.map(|at| (ColumnId::EXPIRE, Value::Integer(at))));
        row
    };
    let events = [
        Event::Write(vec![(0, 10, with(1.0, Some(100))), (0, 20, with(2.0, Some(100)))]),
        Event::Flush,
        Event::Write(vec![(0, 10, with(3.0, None))]),
        Event::Write(vec![(0, 30, with(4.0, Some(900))), (0, 40, with(5.0, Some(50)))]),
    ];
    test(3, |env| async move {
        let shards = Shards::open(&env, 1).await;
        for event in &events {
            shards.apply(event).await;
        }
        let mut request = question(Output::Rows { visible: 1, limit: None });
        request.now_ns = 500;
        let rows = merge_rows(&request, shards.ask(&request).await);
        assert_eq!(rows, model::rows(&model::table(&events), &request, model::Where::All));
        let times: Vec<i64> = rows[0].1.iter().map(|row| row.0).collect();
        assert_eq!(times, [10, 30]);
    })
    .unwrap();
}

#[test]
fn rows_of_many_groups_share_parts() {
    test(9, |env| async move {
        let shards = Shards::open(&env, 1).await;
        let rows = (0..2000).flat_map(|one| (0..3).map(move |at| (one, at, float(f64::from(one)))));
        shards.apply(&Event::Write(rows.collect())).await;
        for order in [Order::Ascending, Order::Descending] {
            let mut request = question(Output::Rows { visible: 1, limit: Some(1) });
            request.group_by = request.tags.clone();
            request.order = order;
            let parts = shards.ask(&request).await;
            assert!(parts[0].len() < 8, "{} parts", parts[0].len());
            let groups = merge_rows(&request, parts);
            let newest = if order == Order::Ascending { 0 } else { 2 };
            let whole = |rows: &Vec<Shown>| rows.len() == 1 && rows[0].0 == newest;
            assert!(groups.len() > 100 && groups.iter().all(|(_, rows)| whole(rows)));
        }
    })
    .unwrap();
}

#[test]
fn a_limit_stops_the_reading_early() {
    test(4, |env| async move {
        let shards = Shards::open(&env, 1).await;
        for part in 0..6 {
            let rows = (0..20_000).map(|at| (0, part * DAY / 2 + at * 1_000, float(1.0)));
            shards.apply(&Event::Write(rows.collect())).await;
            shards.apply(&Event::Flush).await;
        }
        let shard = &shards.0[0];
        let read = async |limit, order| {
            let mut request = question(Output::Rows { visible: 1, limit });
            request.order = order;
            let rows = RefCell::new(Vec::new());
            let emit = async |part| {
                let Part::Rows(pieces) = part else { panic!("rows") };
                rows.borrow_mut().extend(pieces.into_iter().flat_map(|piece| piece.times));
                true
            };
            let summary = run(shard, &Arc::new(request), emit, || false).await.unwrap();
            (rows.into_inner(), summary.rows)
        };
        let (all, _) = read(None, Order::Ascending).await;
        assert!(all.len() == 120_000 && all.is_sorted());
        let (some, count) = read(Some(3), Order::Ascending).await;
        assert_eq!(some, &all[..3]);
        assert!(count < 45_000, "{count} rows read for three");
        let (some, count) = read(Some(3), Order::Descending).await;
        assert!(some.iter().eq(all.iter().rev().take(3)), "{some:?}");
        assert!(count < 45_000, "{count} rows read for three");
    })
    .unwrap();
}

#[test]
fn a_scan_ends_when_it_is_cancelled_too_long_or_too_large() {
    test(5, |env| async move {
        let shards = Shards::open(&env, 1).await;
        let rows = (0..5_000).map(|at| (at as u32 % 9, at * 1_000_000, float(1.0))).collect();
        shards.apply(&Event::Write(rows)).await;
        let shard = &shards.0[0];
        let all = Output::Rows { visible: 1, limit: None };
        let request = Arc::new(question(all.clone()));
        let gone = run(shard, &request, async |_| false, || false).await;
        assert_eq!(gone, Err(ScanError::Cancelled));
        let killed = run(shard, &request, async |_| true, || true).await;
        assert_eq!(killed, Err(ScanError::Cancelled));
        let mut late = question(all);
        late.deadline_ns = env.now_mono() + 1_000_000;
        let emit = async |_| {
            env.sleep(Duration::from_millis(2)).await;
            true
        };
        let late = Arc::new(late);
        assert_eq!(run(shard, &late, emit, || false).await, Err(ScanError::Timeout));
        // The next scan of the same query has no time of its own.
        assert_eq!(run(shard, &late, async |_| true, || false).await, Err(ScanError::Timeout));
        let buckets = Buckets::Even { width_ns: 1_000_000, offset_ns: 0 };
        let mut large = question(Output::Aggregates { buckets, aggregates: sum(0) });
        large.memory_bytes = 10_000;
        let large = run(shard, &Arc::new(large), async |_| true, || false).await;
        assert_eq!(large, Err(ScanError::Memory { limit: 10_000 }));
        let values = vec![Aggregate {
            function: Function::Values,
            field: 0,
            aux: Vec::new(),
            range: TimeRange::ALL,
        }];
        let output = Output::Aggregates { buckets: Buckets::One, aggregates: values };
        let mut large = question(output);
        large.memory_bytes = 10_000;
        let large = run(shard, &Arc::new(large), async |_| true, || false).await;
        assert_eq!(large, Err(ScanError::Memory { limit: 10_000 }));
    })
    .unwrap();
}

#[test]
fn small_memory_makes_batches_and_changes_nothing() {
    test(6, |env| async move {
        let shards = Shards::open(&env, 1).await;
        let rows = (0..900).map(|at| (at as u32 % 9, at * DAY / 300, float(at as f64))).collect();
        shards.apply(&Event::Write(rows)).await;
        shards.apply(&Event::Flush).await;
        let buckets = Buckets::Even { width_ns: DAY / 10, offset_ns: 5 };
        let mut request = question(Output::Aggregates { buckets, aggregates: sum(0) });
        request.group_by = vec![b"n".as_slice().into()];
        let large = shards.ask(&request).await;
        request.memory_bytes = 2_000;
        let small = shards.ask(&request).await;
        assert!(small[0].len() > large[0].len());
        let flat = |parts: &[Part]| -> Vec<Group> {
            let groups = parts.iter().flat_map(|part| match part {
                Part::Groups(groups) => groups.clone(),
                Part::Rows(_) => panic!("groups"),
            });
            // Only a scan of one batch knows that it met few values.
            groups.map(|group| Group { few: Vec::new(), ..group }).collect()
        };
        assert_eq!(flat(&small[0]), flat(&large[0]));
        assert_eq!(flat(&large[0]).len(), 9);
    })
    .unwrap();
}

#[test]
fn a_damaged_file_ends_the_scan_with_its_place() {
    let sim = Sim::new(7);
    let env = sim.env(0);
    sim.run(async {
        let shards = Shards::open(&env, 1).await;
        let rows = (0..5_000).map(|at| (at as u32 % 3, at * 1_000_003, float(at as f64 / 7.0)));
        shards.apply(&Event::Write(rows.collect())).await;
        shards.apply(&Event::Flush).await;
        let file = {
            let version = shards.0[0].version();
            let section = version.sections.values().next().unwrap()[0].clone();
            section.reader.path().to_owned()
        };
        use crate::env::{Disk, File, Open};
        let open = env.disk().open(&file, Open::Write).await.unwrap();
        let mut block = open.buffer(4096);
        let bytes = open.read_at(4096, 4096).await.unwrap();
        block.copy_from_slice(&bytes);
        block.iter_mut().for_each(|byte| *byte ^= 0x55);
        open.write_at(4096, block).await.unwrap();
        let request = Arc::new(question(Output::Rows { visible: 1, limit: None }));
        let found = run(&shards.0[0], &request, async |_| true, || false).await;
        let Err(ScanError::Storage(text)) = found else { panic!("{found:?}") };
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(text.contains(&name) && text.contains("byte"), "{text}");
    })
    .unwrap();
}

#[test]
fn names_come_from_the_index_and_rows_where_times_are_asked() {
    test(8, |env| async move {
        let shards = Shards::open(&env, 1).await;
        let rows = |series: std::ops::Range<u32>, time: i64| {
            Event::Write(series.map(|s| (s, time, float(1.0))).collect())
        };
        shards.apply(&rows(0..4, 100)).await;
        shards.apply(&Event::Flush).await;
        shards.apply(&rows(2..6, 5 * DAY)).await;
        let shard = &shards.0[0];
        let ask = async |want: Want, series: TagFilter, range: Option<(i64, i64)>| {
            let parts = vec![PartitionId(1), PartitionId(2)];
            let within = range.map(|(first, last)| (parts, TimeRange::new(first, last)));
            let question = Lookup { db: DB, measurements: Vec::new(), series, within, want };
            lookup(shard, &question, || false).await
        };
        let count = |found: Found| match found {
            Found::Count(all) => all.first().map_or(0, |(_, count)| *count),
            other => panic!("{other:?}"),
        };
        assert_eq!(count(ask(Want::Count, TagFilter::All, None).await), 6);
        assert_eq!(count(ask(Want::Count, TagFilter::All, Some((0, 99))).await), 0);
        assert_eq!(count(ask(Want::Count, TagFilter::All, Some((0, 100))).await), 4);
        assert_eq!(count(ask(Want::Count, TagFilter::All, Some((101, 9 * DAY))).await), 4);
        let h0 =
            TagFilter::Equals { key: b"host".as_slice().into(), value: b"h0".as_slice().into() };
        let keys = ask(Want::Keys, h0.clone(), None).await;
        let expected = [0, 1].map(|s| key_of(s).as_bytes().into()).to_vec();
        assert_eq!(keys, Found::Keys(vec![(MEASUREMENT, expected)]));
        let names = |names: &[&str]| -> Vec<Box<[u8]>> {
            names.iter().map(|name| name.as_bytes().into()).collect()
        };
        let keys = ask(Want::TagKeys, TagFilter::All, None).await;
        assert_eq!(keys, Found::TagKeys(vec![(MEASUREMENT, names(&["dc", "host", "n"]))]));
        let filter = KeyFilter::Matches(regex::bytes::Regex::new("^[dh]").unwrap());
        let values = ask(Want::TagValues(filter), h0, None).await;
        let pairs = [("dc", "dc0"), ("dc", "dc1"), ("host", "h0")];
        let pairs = pairs.map(|(k, v)| (k.as_bytes().into(), v.as_bytes().into())).to_vec();
        assert_eq!(values, Found::TagValues(vec![(MEASUREMENT, pairs)]));
        assert_eq!(
            ask(Want::Measurements, TagFilter::None, None).await,
            Found::Measurements(vec![])
        );
    })
    .unwrap();
}

#[test]
fn series_without_rows_are_those_all_of_whose_rows_were_deleted() {
    test(9, |env| async move {
        let shards = Shards::open(&env, 1).await;
        let write = |series: u32, time: i64| Event::Write(vec![(series, time, float(1.0))]);
        let events = [
            write(0, 10),
            write(1, 10),
            write(2, 3 * DAY),
            Event::Flush,
            write(1, 3 * DAY),
            write(3, 20),
            Event::Delete(0, TimeRange::new(0, 50)),
            Event::Delete(1, TimeRange::new(0, 50)),
            Event::Delete(2, TimeRange::new(0, 50)),
            Event::Delete(3, TimeRange::new(0, 50)),
        ];
        for event in &events {
            shards.apply(event).await;
        }
        let shard = &shards.0[0];
        let id = |series: u32| shard.index().lookup(DB, key_of(series).as_bytes()).unwrap().0;
        let all: RoaringBitmap = (0..4).map(id).collect();
        let expected: RoaringBitmap = [0, 3].map(id).into_iter().collect();
        assert_eq!(without_rows(shard, all).await, expected);
    })
    .unwrap();
}

#[test]
fn the_last_point_is_found_from_the_end_of_time() {
    test(10, |env| async move {
        let shards = Shards::open(&env, 1).await;
        for part in 0..6 {
            let rows = (0..9_000).map(|at| {
                let series = at as u32 % 3;
                (series, part * DAY / 2 + at * DAY / 20_000, float(at as f64))
            });
            shards.apply(&Event::Write(rows.collect())).await;
            shards.apply(&Event::Flush).await;
        }
        // A series whose only points are old.
        shards.apply(&Event::Write(vec![(5, 7, float(1.0)), (5, 9, float(2.0))])).await;
        for (function, old) in [(Function::Last, false), (Function::First, true)] {
            let aggregates = vec![Aggregate {
                function,
                field: 0,
                aux: vec![Aux::Tag(1)],
                range: TimeRange::ALL,
            }];
            let mut request = question(Output::Aggregates { buckets: Buckets::One, aggregates });
            request.group_by = vec![b"n".as_slice().into()];
            let parts = RefCell::new(Vec::new());
            let emit = async |part| {
                parts.borrow_mut().push(part);
                true
            };
            let all = Arc::new(request.clone());
            let summary = run(&shards.0[0], &all, emit, || false).await.unwrap();
            let groups = merge_groups(&request, vec![parts.into_inner()]);
            assert_eq!(groups.len(), 4);
            let time = |group: &Group| {
                let States::Picked(picked) = &group.states[0] else { panic!("a point") };
                picked[0].as_ref().unwrap().time
            };
            assert_eq!(time(&groups[3]), if old { 7 } else { 9 });
            let last = 5 * DAY / 2 + 8_997 * DAY / 20_000;
            assert_eq!(time(&groups[0]), if old { 0 } else { last });
            assert!(summary.rows < 9_000, "{} rows read", summary.rows);
        }
    })
    .unwrap();
}
