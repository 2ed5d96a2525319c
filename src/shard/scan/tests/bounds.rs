//! What bounds a scan while it runs: memory at one instant, passes over sparse time, deletes that
//! come meanwhile.

use super::super::known::ReadAll;
use super::super::read::{Partition, Stream, Wanted};
use super::*;
use crate::env::sim::{Sim, test};

fn float(value: f64) -> Row {
    Row::from([(ColumnId::new(FieldNo(1), FieldType::Float), Value::Float(value))])
}

#[test]
fn a_delete_under_a_scan_never_shows_what_it_overwrote() {
    for compact in [false, true] {
        test(21, |env| async move {
            let shards = Shards::open(&env, 1).await;
            let write = |value| {
                let rows = [10, 20, 30].map(|time| (0, time, float(value)));
                Event::Write(rows.to_vec())
            };
            for event in [write(1.0), Event::Flush, write(2.0)] {
                shards.apply(&event).await;
            }
            let shard = &shards.0[0];
            let id = PartitionId(1);
            let partition = Partition { id, sources: shard.sources(id) };
            let stretch = &partition.stretches(0, TimeRange::ALL)[0];
            let columns = [ColumnId::EXPIRE, ColumnId::new(FieldNo(1), FieldType::Float)];
            let wanted = Wanted {
                measurement: MEASUREMENT,
                series: None,
                columns: columns.into(),
                now_ns: 0,
            };
            let guard = Guard::new(&env, 0, || false);
            let opened = Stream::open(&guard, &partition, stretch, stretch.range, &wanted).await;
            let mut stream = opened.unwrap();
            shards.apply(&Event::Delete(0, TimeRange::new(20, 20))).await;
            if compact {
                shards.apply(&Event::Compact).await;
            }
            let mut rows = Vec::new();
            while let Some(block) = stream.next(&guard, &mut ReadAll).await.unwrap() {
                testing::read(&block, &mut rows);
            }
            let expected = [10, 30].map(|time| ((MEASUREMENT, rows[0].0.1, time), float(2.0)));
            assert_eq!(rows, expected);
        })
        .unwrap();
    }
}

#[test]
fn rows_of_one_instant_are_bounded_by_the_memory_of_the_question() {
    test(22, |env| async move {
        let shards = Shards::open(&env, 1).await;
        let rows = (0..3_000u32).map(|series| (series, 1_000, float(1.0)));
        shards.apply(&Event::Write(rows.collect())).await;
        for flushed in [false, true] {
            if flushed {
                shards.apply(&Event::Flush).await;
            }
            let mut request = question(Output::Rows { visible: 1, limit: None });
            request.memory_bytes = 100_000;
            let shard = &shards.0[0];
            let found = run(shard, &Arc::new(request.clone()), async |_| true, || false).await;
            assert_eq!(found, Err(ScanError::Memory { limit: 100_000 }));
            // Groups that can be worked one after the other are.
            request.group_by = vec![b"n".as_slice().into()];
            let rows = merge_rows(&request, shards.ask(&request).await);
            assert_eq!(rows.len(), 3_000);
            request.group_by.clear();
            request.memory_bytes = 4 << 20;
            assert_eq!(merge_rows(&request, shards.ask(&request).await)[0].1.len(), 3_000);
        }
    })
    .unwrap();
}

#[test]
fn a_dense_spot_in_years_of_sparse_rows_costs_few_passes() {
    for flushed in [false, true] {
        let sim = Sim::new(23);
        sim.set_step_limit(60_000);
        sim.run(async {
            let env = sim.env(0);
            let shards = Shards::open(&env, 1).await;
            let sparse = (0..240).map(|month| (0, month * 30 * DAY, float(1.0)));
            let dense = (1..8_000).map(|at| (0, 1_000 * DAY + at * 7, float(2.0)));
            shards.apply(&Event::Write(sparse.collect())).await;
            shards.apply(&Event::Write(dense.collect())).await;
            if flushed {
                shards.apply(&Event::Flush).await;
            }
            for order in [Order::Ascending, Order::Descending] {
                let mut request = question(Output::Rows { visible: 1, limit: None });
                request.memory_bytes = 100_000;
                request.order = order;
                let rows = merge_rows(&request, shards.ask(&request).await);
                assert_eq!(rows[0].1.len(), 240 + 7_999);
            }
        })
        .unwrap();
    }
}

#[test]
fn a_series_that_ended_long_ago_does_not_make_the_others_be_read() {
    test(24, |env| async move {
        let shards = Shards::open(&env, 1).await;
        shards.apply(&Event::Write(vec![(7, 5, float(1.0))])).await;
        for day in 0..6 {
            let rows =
                (0..2_000).flat_map(|at| (0..6).map(move |s| (s, day * DAY + at * 40_000_000_000)));
            let rows = rows.map(|(series, time)| (series, time, float(2.0)));
            shards.apply(&Event::Write(rows.collect())).await;
            shards.apply(&Event::Flush).await;
        }
        let mut request = question(Output::Rows { visible: 1, limit: Some(2) });
        request.group_by = vec![b"n".as_slice().into()];
        request.order = Order::Descending;
        let parts = RefCell::new(Vec::new());
        let emit = async |part| {
            parts.borrow_mut().push(part);
            true
        };
        let all = Arc::new(request.clone());
        let summary = run(&shards.0[0], &all, emit, || false).await.unwrap();
        let groups = merge_rows(&request, vec![parts.into_inner()]);
        assert_eq!(
            groups.iter().map(|(_, rows)| rows.len()).collect::<Vec<_>>(),
            [1, 2, 2, 2, 2, 2, 2]
        );
        assert!(summary.rows < 12_000, "{} of 72,001 rows read", summary.rows);
    })
    .unwrap();
}
