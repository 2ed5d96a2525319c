//! Rows against the model: random blocks, selections, times, layouts, and the shapes that matter.

use super::*;
use crate::env::sim;
use proptest::prelude::*;

fn round_trip(seed: u64, effort: Effort, rows_max: u64) {
    let mut random = Random(seed);
    let sections: Vec<(SectionKey, Vec<Block>)> = (0..1 + random.below(3) as i32)
        .map(|day| (key(day - 1), random_blocks(&mut random, day - 1, rows_max)))
        .collect();
    sim::test(seed, |env| async move {
        let meta = write(&env, "f", IDENT, effort, &sections).await;
        let reader = open(&env, "f").await.unwrap();
        assert_eq!(reader.sections(), meta.sections);
        assert_eq!(reader.verify().await, []);
        let written: Vec<_> = sections.iter().filter(|(_, blocks)| !blocks.is_empty()).collect();
        assert_eq!(meta.sections.len(), written.len());
        for (number, (key, blocks)) in written.into_iter().enumerate() {
            let mut model = Model::new();
            blocks.iter().for_each(|block| add(&mut model, block));
            check_meta(&meta.sections[number], *key, blocks, &model);
            assert_eq!(scan(&reader, number, &Select::all()).await.unwrap(), model);
            for _ in 0..12 {
                let select = random_select(&mut random, &model);
                let got = scan(&reader, number, &select).await.unwrap();
                let want = filter(&model, &select);
                if select.columns.as_ref().is_some_and(|ids| !ids.is_empty()) {
                    assert_eq!(dense(got), dense(want), "{select:?}");
                } else {
                    assert_eq!(got, want, "{select:?}");
                }
            }
        }
    })
    .unwrap();
}

fn check_meta(meta: &SectionMeta, key: SectionKey, blocks: &[Block], model: &Model) {
    let series: std::collections::BTreeSet<SeriesId> = model.keys().map(|key| key.1).collect();
    let times = model.keys().map(|key| key.2);
    let range = TimeRange::new(times.clone().min().unwrap(), times.max().unwrap());
    let rows: usize = blocks.iter().map(Block::rows).sum();
    let values: usize = model.values().map(BTreeMap::len).sum();
    assert_eq!((meta.key, meta.time), (key, range));
    assert_eq!((meta.rows, meta.values), (rows as u64, values as u64));
    assert_eq!(meta.series as usize, series.len());
    assert!(meta.chunks >= 1 && meta.runs >= u64::from(meta.chunks));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_goes_in_comes_out_light(seed in any::<u64>()) {
        round_trip(seed, Effort::Light, 60);
    }

    #[test]
    fn what_goes_in_comes_out_pco(seed in any::<u64>()) {
        round_trip(seed, Effort::Pco, 60);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn what_goes_in_comes_out_of_many_pages(seed in any::<u64>()) {
        round_trip(seed, Effort::Light, 3000);
    }
}

const FLOAT: ColumnId = ColumnId(8);

/// A run of whole seconds from `second` on, with the row number as value.
fn seconds(measurement: u32, series: u32, second: i64, rows: u32) -> Block {
    let (measurement, series) = (MeasurementId(measurement), SeriesId(series));
    let times: Vec<i64> = (0..i64::from(rows)).map(|row| (second + row) * 1_000_000_000).collect();
    let step = step_of(&times);
    let values = Values::Float((0..rows).map(f64::from).collect());
    Block {
        runs: vec![Run { measurement, series, start: 0, rows, step }],
        times,
        columns: vec![Column { id: FLOAT, values, validity: None }],
    }
}

#[test]
fn a_long_series_spans_chunks_and_reads_as_one() {
    sim::test(1, |env| async move {
        let parts = [seconds(1, 7, 0, 30_000), seconds(1, 7, 30_000, 50_000)];
        let meta = write(&env, "f", IDENT, Effort::Light, &[(key(0), parts.to_vec())]).await;
        assert_eq!((meta.sections[0].rows, meta.sections[0].series), (80_000, 1));
        assert_eq!(meta.sections[0].chunks, 5);
        assert!(meta.sections[0].runs == 5 && meta.bytes < 400_000, "{meta:?}");
        let reader = open(&env, "f").await.unwrap();
        let mut select = Select::all();
        select.range = TimeRange::new(16_000 * 1_000_000_000, 33_000 * 1_000_000_000);
        let rows = scan(&reader, 0, &select).await.unwrap();
        assert_eq!(rows.len(), 17_001);
        assert!(rows.keys().all(|key| select.range.contains(key.2)));
    })
    .unwrap();
}

#[test]
fn chunks_end_at_series_borders_when_one_is_near() {
    sim::test(1, |env| async move {
        let blocks: Vec<Block> = (0..200).map(|series| seconds(1, series, 0, 360)).collect();
        let meta = write(&env, "f", IDENT, Effort::Light, &[(key(0), blocks)]).await;
        assert_eq!(meta.sections[0].runs, 200, "no series is cut");
        assert_eq!(meta.sections[0].chunks, 5);
    })
    .unwrap();
}

#[test]
fn times_at_the_borders_of_a_day_stay_in_it() {
    sim::test(1, |env| async move {
        let mut writer = Writer::create(&env, &path("f"), IDENT).await.unwrap();
        writer.begin_section(key(-1), Effort::Light).await.unwrap();
        let border = |time: i64| {
            let values = BTreeMap::from([(FLOAT, Value::Float(1.0))]);
            block(&[((MeasurementId(1), SeriesId(1), time), values)], &[FLOAT])
        };
        writer.push(&border(-DAY_NS)).await.unwrap();
        writer.push(&border(-1)).await.unwrap();
        for time in [0, -DAY_NS - 1] {
            let refused = writer.push(&border(time)).await;
            assert!(matches!(refused, Err(SegmentError::Refused { .. })), "{time}");
        }
        let meta = writer.finish().await.unwrap();
        assert_eq!(meta.sections[0].time, TimeRange::new(-DAY_NS, -1));
        assert_eq!(meta.sections[0].chunks, 1);
    })
    .unwrap();
}

#[test]
fn few_rows_with_other_columns_share_a_chunk_up_to_a_width() {
    sim::test(1, |env| async move {
        let value = |n: u32| {
            let id = ColumnId::new(FieldNo(n), FieldType::Integer);
            let values = BTreeMap::from([(id, Value::Integer(i64::from(n)))]);
            block(&[((MeasurementId(1), SeriesId(n), 5), values)], &[id])
        };
        let blocks: Vec<Block> = (1..=130).map(value).collect();
        let mut model = Model::new();
        blocks.iter().for_each(|block| add(&mut model, block));
        let meta = write(&env, "f", IDENT, Effort::Light, &[(key(0), blocks)]).await;
        assert_eq!((meta.sections[0].chunks, meta.sections[0].values), (3, 130));
        let reader = open(&env, "f").await.unwrap();
        assert_eq!(scan(&reader, 0, &Select::all()).await.unwrap(), model);
        let mut cursor = reader.cursor(0, Select::all());
        assert_eq!(cursor.next().await.unwrap().unwrap().columns.len(), 64);
    })
    .unwrap();
}

#[test]
fn chunks_hold_a_bounded_amount_of_strings() {
    sim::test(1, |env| async move {
        let id = ColumnId::new(FieldNo(1), FieldType::String);
        let mut random = Random(3);
        let row = |n: u32| {
            let text: Vec<u8> = (0..30_000).map(|_| random.next() as u8).collect();
            let values = BTreeMap::from([(id, Value::String(text.into()))]);
            ((MeasurementId(1), SeriesId(1), i64::from(n)), values)
        };
        let rows: Vec<_> = (0..100).map(row).collect();
        let meta =
            write(&env, "f", IDENT, Effort::Light, &[(key(0), vec![block(&rows, &[id])])]).await;
        assert_eq!(meta.sections[0].chunks, 3);
        let reader = open(&env, "f").await.unwrap();
        let found = scan(&reader, 0, &Select::all()).await.unwrap();
        assert!(found == rows.into_iter().collect::<Model>());
    })
    .unwrap();
}

#[test]
fn rows_out_of_order_are_refused() {
    sim::test(1, |env| async move {
        let mut writer = Writer::create(&env, &path("f"), IDENT).await.unwrap();
        let rows = seconds(1, 1, 0, 4);
        assert!(writer.push(&rows).await.is_err(), "no section");
        writer.begin_section(key(0), Effort::Light).await.unwrap();
        let spoilt: [fn(&mut Block); 6] = [
            |block| block.times.swap(1, 2),
            |block| block.runs[0].step += 1,
            |block| block.runs[0].rows -= 1,
            |block| block.columns.push(block.columns[0].clone()),
            |block| block.columns[0].id = ColumnId::EXPIRE,
            |block| block.times.truncate(3),
        ];
        for spoil in spoilt {
            let mut block = rows.clone();
            spoil(&mut block);
            let refused = writer.push(&block).await;
            assert!(matches!(refused, Err(SegmentError::Refused { .. })));
        }
        writer.push(&rows).await.unwrap();
        assert_eq!(writer.finish().await.unwrap().sections[0].rows, 4);
    })
    .unwrap();
}
