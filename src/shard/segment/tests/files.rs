//! Files as wholes: directories, statistics, copies, the cache.

use super::*;
use crate::env::sim;

fn sections(seed: u64, days: std::ops::Range<i32>) -> Vec<(SectionKey, Vec<Block>)> {
    let mut random = Random(seed);
    let mut sections = Vec::new();
    for day in days {
        let mut blocks = Vec::new();
        while blocks.is_empty() {
            blocks = random_blocks(&mut random, day, 40);
        }
        sections.push((key(day), blocks));
    }
    sections
}

fn model_of(blocks: &[Block]) -> Model {
    let mut model = Model::new();
    blocks.iter().for_each(|block| add(&mut model, block));
    model
}

#[test]
fn an_empty_file_is_a_file() {
    sim::test(1, |env| async move {
        let meta = write(&env, "f", IDENT, Effort::Light, &[(key(0), Vec::new())]).await;
        assert_eq!((meta.sections.len(), meta.bytes), (0, 12_288));
        let reader = open(&env, "f").await.unwrap();
        assert_eq!(reader.verify().await, []);
        assert_eq!(scan(&reader, 0, &Select::all()).await.unwrap(), Model::new());
    })
    .unwrap();
}

#[test]
fn many_chunks_have_several_directories_and_all_are_found() {
    sim::test(1, |env| async move {
        let ids: Vec<ColumnId> =
            (1..40).map(|n| ColumnId::new(FieldNo(n), FieldType::Boolean)).collect();
        let one = |series: u32| {
            let values = ids.iter().map(|id| (*id, Value::Boolean(true))).collect();
            block(&[((MeasurementId(1), SeriesId(series), 5), values)], &ids)
        };
        // Each lower key starts the order again, and so a chunk.
        let blocks: Vec<Block> = (0..1000).rev().map(one).collect();
        let meta = write(&env, "f", IDENT, Effort::Light, &[(key(0), blocks)]).await;
        assert_eq!(meta.sections[0].chunks, 1000);
        let reader = open(&env, "f").await.unwrap();
        assert!(reader.directories_of(0).count() >= 2);
        assert_eq!(reader.verify().await, []);
        let mut select = Select::all();
        select.series = Some([3, 500, 999].map(SeriesId).into());
        select.columns = Some([ids[0], ids[20]].into());
        let found = scan(&reader, 0, &select).await.unwrap();
        let series: Vec<u32> = found.keys().map(|key| key.1.0).collect();
        assert_eq!(series, [3, 500, 999]);
        assert!(found.values().all(|values| values.len() == 2));
        let mut cursor = reader.cursor(0, Select::all());
        let mut seen = 0;
        while let Some(info) = cursor.peek().await.unwrap() {
            let known = reader.statistics(info.id, ids[38]).await.unwrap().unwrap();
            let summary = Summary::Boolean { min: true, max: true };
            assert_eq!(known, Statistics { count: 1, summary });
            cursor.skip();
            seen += 1;
        }
        assert_eq!(seen, 1000);
    })
    .unwrap();
}

#[test]
fn statistics_are_those_of_the_chunk() {
    sim::test(2, |env| async move {
        let sections = sections(2, 0..3);
        write(&env, "f", IDENT, Effort::Light, &sections).await;
        let reader = open(&env, "f").await.unwrap();
        let mut compared = 0;
        for section in 0..3 {
            let mut cursor = reader.cursor(section, Select::all());
            while let Some(info) = cursor.peek().await.unwrap() {
                let block = cursor.next().await.unwrap().unwrap();
                assert_eq!((info.rows, info.runs), (block.rows() as u32, block.runs.len() as u32));
                for column in &block.columns {
                    let known = reader.statistics(info.id, column.id).await.unwrap();
                    assert_eq!(known, Statistics::of(column));
                    compared += 1;
                }
                let none = ColumnId::new(FieldNo(9999), FieldType::Float);
                assert_eq!(reader.statistics(info.id, none).await.unwrap(), None);
            }
        }
        assert!(compared > 5);
    })
    .unwrap();
}

#[test]
fn reading_past_the_cache_keeps_no_chunk() {
    sim::test(4, |env| async move {
        write(&env, "f", IDENT, Effort::Light, &sections(4, 0..1)).await;
        let reader = open(&env, "f").await.unwrap();
        let runs = |info| crate::shard::segment::read::runs_piece(&info);
        let mut cursor = reader.cursor(0, Select::all()).past_cache();
        let first = cursor.peek().await.unwrap().unwrap();
        let block = cursor.next().await.unwrap().unwrap();
        assert!(!reader.holds(&runs(first)));
        // A usual cursor keeps it, and gives the same rows.
        let again = reader.cursor(0, Select::all()).next().await.unwrap().unwrap();
        assert!(reader.holds(&runs(first)));
        assert_eq!(block, again);
    })
    .unwrap();
}

#[test]
fn copied_sections_are_the_same_rows_under_another_key() {
    sim::test(3, |env| async move {
        let sections = sections(3, 0..4);
        write(&env, "f", IDENT, Effort::Pco, &sections).await;
        let source = open(&env, "f").await.unwrap();
        let ident = FileIdent { file_id: 6, ..IDENT };
        let mut writer = Writer::create(&env, &path("g"), ident).await.unwrap();
        for number in [2, 0, 3] {
            let key = SectionKey { min_seq: 1, max_seq: 99, ..sections[number].0 };
            writer.copy_section(&source, number, key).await.unwrap();
        }
        let meta = writer.finish().await.unwrap();
        let copy = Reader::open(&env, &path("g"), ident, cache()).await.unwrap();
        assert_eq!(copy.verify().await, []);
        for (at, number) in [2usize, 0, 3].into_iter().enumerate() {
            let expected = SectionMeta {
                key: SectionKey { min_seq: 1, max_seq: 99, ..sections[number].0 },
                ..source.sections()[number]
            };
            assert_eq!(meta.sections[at], expected);
            let rows = scan(&copy, at, &Select::all()).await.unwrap();
            assert_eq!(rows, model_of(&sections[number].1));
            let (mut old, mut new) =
                (source.cursor(number, Select::all()), copy.cursor(at, Select::all()));
            while let (Some(left), Some(right)) =
                (old.peek().await.unwrap(), new.peek().await.unwrap())
            {
                let block = old.next().await.unwrap().unwrap();
                new.skip();
                for column in &block.columns {
                    let from = source.statistics(left.id, column.id).await.unwrap();
                    assert_eq!(copy.statistics(right.id, column.id).await.unwrap(), from);
                }
            }
            assert_eq!(new.peek().await.unwrap(), None);
        }
    })
    .unwrap();
}

#[test]
fn a_second_scan_reads_nothing_from_the_disk() {
    sim::test(4, |env| async move {
        let sections = sections(4, 0..2);
        write(&env, "f", IDENT, Effort::Light, &sections).await;
        let cache = Rc::new(BlockCache::new(64 << 20));
        let reader = Reader::open(&env, &path("f"), IDENT, cache.clone()).await.unwrap();
        let first = scan(&reader, 0, &Select::all()).await.unwrap();
        let (misses, reads) = (cache.stats().misses, env.disk().calls(sim::Kind::Read));
        assert_eq!(scan(&reader, 0, &Select::all()).await.unwrap(), first);
        assert_eq!(cache.stats().misses, misses);
        assert_eq!(env.disk().calls(sim::Kind::Read), reads);
        cache.forget_file(IDENT.file_id);
        assert_eq!(cache.stats().entries, 0);
        assert_eq!(scan(&reader, 0, &Select::all()).await.unwrap(), first);
    })
    .unwrap();
}

#[test]
fn a_file_opens_under_its_own_name_only() {
    sim::test(5, |env| async move {
        write(&env, "f", IDENT, Effort::Light, &sections(5, 0..1)).await;
        for ident in [
            FileIdent { store: 1, ..IDENT },
            FileIdent { shard: 2, ..IDENT },
            FileIdent { file_id: 1, ..IDENT },
        ] {
            let opened = Reader::open(&env, &path("f"), ident, cache()).await;
            assert!(matches!(opened, Err(SegmentError::Damaged { .. })));
        }
        let missing = open(&env, "g").await;
        assert!(matches!(missing, Err(SegmentError::Io { .. })));
    })
    .unwrap();
}
