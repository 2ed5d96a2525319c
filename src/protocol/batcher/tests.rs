//! The order rule against a model, and the bounds on Batches.

use super::*;
use crate::catalog::command::Command;
use crate::model::{FieldNo, FieldType, Values};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn column(n: u32) -> ColumnId {
    ColumnId::new(FieldNo(n), FieldType::Integer)
}

fn batcher() -> Batcher {
    let mut batcher = Batcher::new();
    batcher.enter(&State::default(), 0, 2);
    batcher.begin(Target { db: DbId(1), policy: PolicyId(1) });
    batcher
}

fn put(batcher: &mut Batcher, measurement: u32, time: i64, fields: &[u32], value: i64) {
    let cells: Vec<Cell<'_>> =
        fields.iter().map(|field| (column(*field), Datum::Integer(value))).collect();
    let owner = Owner::Measurement(MeasurementId(measurement));
    let series = SeriesRef::known(SeriesId(measurement));
    batcher.append(owner, ShardId(measurement % 2), PartitionId(1), (series, time), &cells);
}

/// (series, time, column) to value, Batches applied in order.
fn replay(outcome: &Outcome) -> BTreeMap<(u32, i64, ColumnId), i64> {
    let mut model = BTreeMap::new();
    for batch in outcome.writes.iter().flat_map(|write| &write.request.batches) {
        for column in &batch.columns {
            let Values::Integer(values) = &column.values else { panic!("integers only") };
            assert_eq!(values.len(), batch.rows());
            for row in (0..batch.rows()).filter(|row| column.is_valid(*row)) {
                let series = batch.series[row].resolve().unwrap().0;
                model.insert((series, batch.times[row], column.id), values[row]);
            }
        }
    }
    model
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn the_last_write_wins_whatever_its_fields(
        rows in prop::collection::vec(
            (0..3u32, 0..3i64, prop::collection::btree_set(1..7u32, 1..4)), 1..60),
        requests in 1..3usize,
    ) {
        let mut batcher = batcher();
        for _ in 0..requests {
            batcher.begin(Target { db: DbId(1), policy: PolicyId(1) });
            let mut model = BTreeMap::new();
            for (n, (measurement, time, fields)) in rows.iter().enumerate() {
                let fields: Vec<u32> = fields.iter().copied().collect();
                put(&mut batcher, *measurement, *time, &fields, n as i64);
                for field in fields {
                    model.insert((*measurement, *time, column(field)), n as i64);
                }
            }
            let outcome = batcher.finish();
            prop_assert_eq!(replay(&outcome), model);
            prop_assert_eq!(outcome.rows, rows.len() as u64);
            // Each measurement opens at most four exact Batches and one that grows.
            let batches: usize = outcome.writes.iter().map(|w| w.request.batches.len()).sum();
            prop_assert!(batches <= 3 * 5, "{} batches", batches);
            for write in outcome.writes {
                batcher.recycle(write.request);
            }
        }
    }
}

#[test]
fn measurements_of_one_layout_share_a_batch() {
    let mut batcher = batcher();
    for n in 0..1000 {
        put(&mut batcher, n * 2, i64::from(n), &[1, 2], 1);
    }
    let outcome = batcher.finish();
    assert_eq!(outcome.writes.len(), 1);
    assert_eq!(outcome.writes[0].request.batches.len(), 1);
    assert_eq!((outcome.rows, outcome.values), (1000, 2000));
}

#[test]
fn sparse_rows_stay_within_a_factor_of_their_values() {
    let mut batcher = batcher();
    for n in 0..20_000u32 {
        put(&mut batcher, 2, i64::from(n), &[1 + n * 7919 % 2000], 1);
    }
    let outcome = batcher.finish();
    let batches = &outcome.writes[0].request.batches;
    let cells: usize = batches.iter().map(|batch| batch.rows() * batch.columns.len()).sum();
    assert!(cells < 20_000 * 70, "{cells} cells for 20000 values");
    assert!(batches.len() < 400, "{} batches", batches.len());
    assert_eq!(replay(&outcome).len(), 20_000);
}

#[test]
fn buffers_come_back() {
    let mut batcher = batcher();
    for _ in 0..2 {
        for n in 0..100 {
            put(&mut batcher, 2, n, if n % 2 == 0 { &[1, 2] } else { &[1] }, 1);
        }
        let mut outcome = batcher.finish();
        let request = outcome.writes.remove(0).request;
        assert_eq!(request.batches.len(), 1);
        let column = &request.batches[0].columns[1];
        assert_eq!(column.validity.as_ref().map(|bits| bits.count_ones()), Some(50));
        batcher.recycle(request);
        batcher.begin(Target { db: DbId(1), policy: PolicyId(1) });
    }
}

#[test]
fn what_was_dropped_is_made_anew_although_the_cache_knows_it() {
    use crate::protocol::Rejects;
    use crate::protocol::testkit::Core;
    type Door<'a> = &'a dyn Fn(&mut Core, &mut Rejects);
    let telnet = b"put m 1 2 a=b\nput m 2 2.5 a=b\n";
    let kairos = br#"[{"name":"m","tags":{"a":"b"},"datapoints":[[1,2],[2,2.5]]}]"#;
    let doors: [Door<'_>; 3] = [
        &|core, rejects| _ = core.decode_telnet(telnet, &[], rejects),
        &|core, _| _ = core.decode_kairos(kairos, &[]),
        &|core, rejects| _ = core.decode_graphite(b"m 1 1\nm 2.5 2\n", &[], rejects),
    ];
    for door in doors {
        let (mut core, mut rejects) = (Core::tight(2, 0), Rejects::default());
        let (mut store, db) = (Default::default(), core.target.db);
        let mut seen = Vec::new();
        for round in 0..6 {
            if round == 3 {
                core.command(&Command::DropMeasurement { db: "d".into(), name: (*b"m").into() });
            }
            door(&mut core, &mut rejects);
            assert_eq!(core.store(&mut store), (2, 2));
            seen.push(core.state.measurement(db, b"m").unwrap());
        }
        assert_eq!(rejects.total(), 0);
        assert!(seen[0] == seen[2] && seen[3] == seen[5] && seen[2] != seen[3], "{seen:?}");
    }
}
