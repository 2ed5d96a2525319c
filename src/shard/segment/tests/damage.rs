//! Damage: flipped bits, cut files, noise. Never a wrong row, always a file and an offset.

use super::*;
use crate::env::{BLOCK_BYTES, Disk, File, Open, sim};

/// A small file with everything in it: two days, strings, irregular runs, several chunks.
fn sections() -> Vec<(SectionKey, Vec<Block>)> {
    let mut random = Random(11);
    let mut sections = Vec::new();
    while sections.len() < 2 {
        let day = sections.len() as i32;
        let blocks = random_blocks(&mut random, day, 60);
        let rows: usize = blocks.iter().map(Block::rows).sum();
        if rows > 100 && blocks.iter().any(|block| block.columns.len() > 3) {
            sections.push((key(day), blocks));
        }
    }
    sections
}

fn models(sections: &[(SectionKey, Vec<Block>)]) -> Vec<Model> {
    let of = |blocks: &Vec<Block>| {
        let mut model = Model::new();
        blocks.iter().for_each(|block| add(&mut model, block));
        model
    };
    sections.iter().map(|(_, blocks)| of(blocks)).collect()
}

/// Scans all; whatever comes out must be rows of the model. Gives the number of errors.
async fn scan_around(reader: &Rc<Reader<SimEnv>>, models: &[Model]) -> usize {
    let mut errors = 0;
    for (section, model) in models.iter().enumerate() {
        let mut cursor = reader.cursor(section, Select::all());
        let mut found = Model::new();
        let before = errors;
        loop {
            match cursor.next().await {
                Ok(Some(block)) => add(&mut found, &block),
                Ok(None) => break,
                Err(SegmentError::Damaged { file, offset, .. }) => {
                    assert!(file == path("f") && offset < reader.bytes());
                    errors += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        if errors == before {
            assert_eq!(&found, model);
        }
        for (key, values) in found {
            let known = &model[&key];
            assert!(values.iter().all(|(id, value)| known.get(id) == Some(value)));
        }
    }
    errors
}

#[test]
fn a_flipped_bit_is_an_error_or_lies_where_no_row_is_read_from() {
    sim::test(1, |env| async move {
        let sections = sections();
        let models = models(&sections);
        let meta = write(&env, "f", IDENT, Effort::Light, &sections).await;
        let (mut refused, mut errors, mut silent) = (0, 0, 0);
        let mut random = Random(5);
        let mut bit = 0;
        while bit < meta.bytes * 8 {
            assert!(env.disk().flip_bit(&path("f"), bit));
            match open(&env, "f").await {
                Err(SegmentError::Damaged { file, offset, .. }) => {
                    assert!(file == path("f") && offset <= bit / 8);
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
                Ok(reader) => {
                    let found = scan_around(&reader, &models).await;
                    errors += usize::from(found > 0);
                    silent += usize::from(found == 0);
                    let damages = reader.verify().await;
                    assert_eq!(damages.len(), 1, "bit {bit}: {damages:?}");
                    assert!(damages[0].offset <= bit / 8, "{damages:?}");
                }
            }
            assert!(env.disk().flip_bit(&path("f"), bit));
            bit += 1 + random.below(700);
        }
        assert!(refused > 50 && errors > 50 && silent > 50, "{refused} {errors} {silent}");
    })
    .unwrap();
}

#[test]
fn the_chunks_beside_a_damaged_one_stay_readable() {
    sim::test(1, |env| async move {
        let row = |series: u32| {
            let id = ColumnId(8);
            let values = BTreeMap::from([(id, Value::Float(f64::from(series)))]);
            block(&[((MeasurementId(1), SeriesId(series), 5), values)], &[id])
        };
        let blocks: Vec<Block> = (0..20).rev().map(row).collect();
        write(&env, "f", IDENT, Effort::Light, &[(key(0), blocks)]).await;
        let reader = open(&env, "f").await.unwrap();
        let mut cursor = reader.cursor(0, Select::all());
        let mut offsets = Vec::new();
        while let Some(info) = cursor.peek().await.unwrap() {
            offsets.push(info.offset);
            cursor.skip();
        }
        assert!(env.disk().flip_bit(&path("f"), offsets[7] * 8 + 99));
        let mut cursor = reader.cursor(0, Select::all());
        for (number, expected) in offsets.iter().enumerate() {
            match cursor.next().await {
                Ok(Some(block)) => assert_eq!(block.runs[0].series.0, 19 - number as u32),
                Ok(None) => panic!("a chunk is missing"),
                Err(SegmentError::Damaged { offset, .. }) => {
                    assert_eq!((number, offset), (7, *expected));
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(cursor.next().await.unwrap().is_none());
        let mut writer =
            Writer::create(&env, &path("g"), FileIdent { file_id: 9, ..IDENT }).await.unwrap();
        let copied = writer.copy_section(&reader, 0, key(0)).await;
        assert!(matches!(copied, Err(SegmentError::Damaged { .. })));
    })
    .unwrap();
}

#[test]
fn a_cut_file_does_not_open() {
    sim::test(1, |env| async move {
        let meta = write(&env, "f", IDENT, Effort::Light, &sections()).await;
        let mut size = meta.bytes;
        while size > 0 {
            size = size.saturating_sub(if size % 4096 == 0 { 1 } else { 4095 });
            let file = env.disk().open(&path("f"), Open::Write).await.unwrap();
            file.truncate(size).await.unwrap();
            drop(file);
            let opened = open(&env, "f").await;
            assert!(matches!(opened, Err(SegmentError::Damaged { .. })), "{size} bytes");
        }
    })
    .unwrap();
}

#[test]
fn noise_is_not_a_file() {
    sim::test(1, |env| async move {
        let mut random = Random(9);
        for blocks in 0..6 {
            let name = format!("noise{blocks}");
            let file = env.disk().open(&path(&name), Open::Create).await.unwrap();
            if blocks > 0 {
                let mut buffer = file.buffer(blocks * BLOCK_BYTES);
                buffer.iter_mut().for_each(|byte| *byte = random.next() as u8);
                file.write_at(0, buffer).await.unwrap();
            }
            drop(file);
            let opened = open(&env, &name).await;
            assert!(matches!(opened, Err(SegmentError::Damaged { .. })));
        }
    })
    .unwrap();
}

#[test]
fn a_failed_write_or_sync_is_an_error_that_names_the_file() {
    for kind in [sim::Kind::Write, sim::Kind::Sync] {
        sim::test(1, |env| async move {
            env.disk().fail_nth(1, kind, 5);
            let mut writer = Writer::create(&env, &path("f"), IDENT).await.unwrap();
            let sections = sections();
            writer.begin_section(sections[0].0, Effort::Light).await.unwrap();
            for block in &sections[0].1 {
                writer.push(block).await.unwrap();
            }
            match writer.finish().await {
                Err(SegmentError::Io { file, .. }) => assert_eq!(file, path("f")),
                other => panic!("{other:?}"),
            }
        })
        .unwrap();
    }
}
