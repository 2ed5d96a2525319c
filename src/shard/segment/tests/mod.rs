//! Whole files in the simulated world: what goes in comes out, and damage never passes for data.

mod damage;
mod files;
mod rows;

use super::gather::check;
use super::*;
use crate::codec::chunk::Effort;
use crate::env::Env;
use crate::env::sim::{ROOT, SimEnv};
use crate::model::time::DAY_NS;
use crate::model::{Column, ColumnId, FieldNo, FieldType, MeasurementId, SeriesId, Value, Values};
use crate::shard::block::{Block, Run, step_of};
use crate::shard::cache::BlockCache;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

const IDENT: FileIdent = FileIdent { store: 77, shard: 1, file_id: 5 };

type Key = (MeasurementId, SeriesId, i64);
/// The slow, obvious form of rows.
type Model = BTreeMap<Key, BTreeMap<ColumnId, Value>>;

/// Pseudo-random numbers from a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 ^ self.0 >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd) >> 16
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    fn value(&mut self, kind: FieldType) -> Value {
        match kind {
            FieldType::Float => Value::Float(self.below(100_000) as f64 / 100.0 - 300.0),
            FieldType::Integer => Value::Integer(self.below(1000) as i64 - 500),
            FieldType::Unsigned => Value::Unsigned(self.next() << self.below(16)),
            FieldType::Boolean => Value::Boolean(self.chance(2)),
            FieldType::String => {
                let len = self.below(12) as usize;
                Value::String(format!("{:012}", self.below(50)).as_bytes()[..len].into())
            }
        }
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(ROOT).join(name)
}

fn cache() -> Rc<BlockCache> {
    Rc::new(BlockCache::new(1 << 20))
}

fn key(day: i32) -> SectionKey {
    SectionKey { partition: PartitionId(3), day, min_seq: 10, max_seq: 20 }
}

fn day_times(day: i32) -> std::ops::Range<i64> {
    i64::from(day) * DAY_NS..i64::from(day + 1) * DAY_NS
}

/// Builds a block from rows in order; a column is made for each id, with nulls where a row has
/// none.
fn block(rows: &[(Key, BTreeMap<ColumnId, Value>)], ids: &[ColumnId]) -> Block {
    let mut block = Block::default();
    for ((measurement, series, time), _) in rows {
        let start = block.times.len() as u32;
        match block.runs.last_mut() {
            Some(run) if (run.measurement, run.series) == (*measurement, *series) => run.rows += 1,
            _ => block.runs.push(Run {
                measurement: *measurement,
                series: *series,
                start,
                rows: 1,
                step: 0,
            }),
        }
        block.times.push(*time);
    }
    for run in &mut block.runs {
        run.step = step_of(&block.times[run.range()]);
    }
    for id in ids {
        let mut column = Column::empty(*id);
        for (_, values) in rows {
            match values.get(id) {
                None => column.append_nulls(1),
                Some(value) => push_value(&mut column, value),
            }
        }
        block.columns.push(column);
    }
    block
}

fn push_value(column: &mut Column, value: &Value) {
    match (&mut column.values, value) {
        (Values::Float(values), Value::Float(value)) => values.push(*value),
        (Values::Integer(values), Value::Integer(value)) => values.push(*value),
        (Values::Unsigned(values), Value::Unsigned(value)) => values.push(*value),
        (Values::Boolean(values), Value::Boolean(value)) => values.push(*value),
        (Values::String(values), Value::String(value)) => values.push(value),
        _ => panic!("value of another type"),
    }
    if let Some(bits) = &mut column.validity {
        bits.push(true);
    }
}

fn value_at(column: &Column, row: usize) -> Option<Value> {
    column.is_valid(row).then(|| match &column.values {
        Values::Float(values) => Value::Float(values[row]),
        Values::Integer(values) => Value::Integer(values[row]),
        Values::Unsigned(values) => Value::Unsigned(values[row]),
        Values::Boolean(values) => Value::Boolean(values[row]),
        Values::String(values) => Value::String(values.get(row).into()),
    })
}

/// Adds a block's rows to a model; each value may come once.
fn add(model: &mut Model, block: &Block) {
    for run in &block.runs {
        for row in run.range() {
            let values = model.entry((run.measurement, run.series, block.times[row])).or_default();
            for column in &block.columns {
                if let Some(value) = value_at(column, row) {
                    assert!(values.insert(column.id, value).is_none(), "a value came twice");
                }
            }
        }
    }
}

/// Reads all selected rows; every block must keep what a Block promises.
async fn scan(
    reader: &Rc<Reader<SimEnv>>,
    section: usize,
    select: &Select,
) -> Result<Model, SegmentError> {
    let mut cursor = reader.cursor(section, select.clone());
    let mut model = Model::new();
    while let Some(block) = cursor.next().await? {
        assert_eq!(check(&block, i64::MIN..i64::MAX), Ok(()));
        assert!(block.rows() > 0);
        for run in &block.runs {
            assert_eq!(run.step, step_of(&block.times[run.range()]));
        }
        add(&mut model, &block);
    }
    Ok(model)
}

/// What a selection gives of a model. With a list of columns, rows that have none of them may be
/// left out.
fn filter(model: &Model, select: &Select) -> Model {
    let wanted = |(measurement, series, time): &Key| {
        select.measurement.is_none_or(|id| id == *measurement)
            && select.series.as_ref().is_none_or(|ids| ids.contains(series))
            && select.range.contains(*time)
    };
    let mut rows = Model::new();
    for (key, values) in model.iter().filter(|(key, _)| wanted(key)) {
        let mut values = values.clone();
        if let Some(ids) = &select.columns {
            values.retain(|id, _| ids.contains(id));
        }
        rows.insert(*key, values);
    }
    rows
}

/// Drops rows without values.
fn dense(mut model: Model) -> Model {
    model.retain(|_, values| !values.is_empty());
    model
}

/// Writes sections of blocks into a file.
async fn write(
    env: &SimEnv,
    name: &str,
    ident: FileIdent,
    effort: Effort,
    sections: &[(SectionKey, Vec<Block>)],
) -> FileMeta {
    let mut writer = Writer::create(env, &path(name), ident).await.unwrap();
    for (key, blocks) in sections {
        writer.begin_section(*key, effort).await.unwrap();
        for block in blocks {
            writer.push(block).await.unwrap();
        }
    }
    writer.finish().await.unwrap()
}

async fn open(env: &SimEnv, name: &str) -> Result<Rc<Reader<SimEnv>>, SegmentError> {
    Reader::open(env, &path(name), IDENT, cache()).await
}

/// Random rows of a day, in stretches that each start from the lowest key and have fields of their
/// own, cut into blocks anywhere. `rows_max` bounds the rows of a series.
fn random_blocks(random: &mut Random, day: i32, rows_max: u64) -> Vec<Block> {
    let mut blocks = Vec::new();
    for stretch in 0..=random.below(3) as u32 {
        let ids: Vec<ColumnId> = (0..=random.below(6) as u32)
            .flat_map(|n| {
                let kind = FieldType::ALL[random.below(5) as usize];
                (!random.chance(5)).then(|| ColumnId::new(FieldNo(stretch * 100 + n + 1), kind))
            })
            .collect();
        let rows = random_rows(random, day, rows_max, &ids);
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let len = (1 + random.below(rows_max * 4) as usize).min(rest.len());
            let (now, later) = rest.split_at(len);
            let own: Vec<ColumnId> = ids.iter().copied().filter(|_| !random.chance(4)).collect();
            blocks.push(block(now, &own));
            rest = later;
        }
    }
    blocks
}

fn random_rows(
    random: &mut Random,
    day: i32,
    rows_max: u64,
    ids: &[ColumnId],
) -> Vec<(Key, BTreeMap<ColumnId, Value>)> {
    let mut rows = Vec::new();
    for measurement in 1..=1 + random.below(3) as u32 {
        let mut series = random.below(4) as u32;
        for _ in 0..random.below(12) {
            let count = 1 + if random.chance(3) { random.below(rows_max) } else { random.below(9) };
            let regular = random.chance(2);
            let mut time = day_times(day).start + random.below(1000) as i64 * 1_000_000_000;
            for _ in 0..count {
                let mut values = BTreeMap::new();
                for id in ids {
                    if !random.chance(6) {
                        values.insert(*id, random.value(id.kind()));
                    }
                }
                rows.push(((MeasurementId(measurement), SeriesId(series), time), values));
                let gap = if regular { 10 } else { 1 + random.below(20) as i64 };
                time += gap * 1_000_000_000;
            }
            series += 1 + random.below(5) as u32;
        }
    }
    rows
}

fn random_select(random: &mut Random, model: &Model) -> Select {
    let mut select = Select::all();
    if random.chance(2) {
        select.measurement = Some(MeasurementId(random.below(5) as u32));
    }
    if random.chance(2) {
        let one_in = 1 + random.below(6);
        select.series = Some((0..60).filter(|_| random.chance(one_in)).map(SeriesId).collect());
    }
    let times: Vec<i64> = model.keys().map(|key| key.2).collect();
    if !times.is_empty() && !random.chance(3) {
        let at = |random: &mut Random| times[random.below(times.len() as u64) as usize];
        let spread = random.below(3) as i64 - 1;
        select.range = TimeRange::new(at(random) + spread, at(random) + spread);
    }
    if random.chance(2) {
        let all: std::collections::BTreeSet<ColumnId> =
            model.values().flat_map(|values| values.keys().copied()).collect();
        select.columns = Some(all.into_iter().filter(|_| random.chance(3)).collect());
    }
    select
}
