//! Scans of real shards in the simulator against a slow, obvious model.
//!
//! A history (writes, overwrites, deletes, flushes, compactions) goes to a store of 1, 2, 3 or 8
//! shards and to a map of rows; the merged parts of all shards must equal what the map says.

mod bounds;
mod chunks;
mod expiry;
mod model;
mod random;
mod special;

use super::*;
use crate::env::sim::{ROOT, SimEnv};
use crate::model::batch::NewSeries;
use crate::model::{
    Batch, Column, ColumnId, DbId, FieldNo, FieldType, MeasurementId, PartitionId, SeriesKey,
    SeriesRef, ShardId, TimeRange, Value, WriteRequest,
};
use crate::shard::store::Store;
use crate::shard::testing::{self, options};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub const DAY: i64 = crate::model::time::DAY_NS;
const DB: DbId = DbId(1);
const MEASUREMENT: MeasurementId = MeasurementId(1);

/// A row's values by column, as `testing` has them.
type Row = testing::Row;

/// One event of a history.
#[derive(Clone, Debug)]
pub enum Event {
    /// (series, time, values); all rows have the same columns.
    Write(Vec<(u32, i64, Row)>),
    Delete(u32, TimeRange),
    Flush,
    Compact,
}

/// Series `n`: its host and data centre, one of which it may lack.
pub fn tags_of(series: u32) -> Vec<(&'static str, String)> {
    let mut tags = Vec::new();
    if series % 4 != 3 {
        tags.push(("dc", format!("dc{}", series % 2)));
    }
    if series % 5 != 4 {
        tags.push(("host", format!("h{}", series / 2)));
    }
    tags.push(("n", series.to_string()));
    tags
}

pub fn key_of(series: u32) -> SeriesKey {
    let tags = tags_of(series);
    let tags: Vec<(&[u8], &[u8])> =
        tags.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes())).collect();
    SeriesKey::build(b"m", &tags).unwrap()
}

pub fn partition_of(time: i64) -> PartitionId {
    PartitionId(1 + u32::from(time >= 2 * DAY))
}

/// Some shards that share a store.
pub struct Shards(pub Vec<Shard<SimEnv>>);

impl Shards {
    pub async fn open(env: &SimEnv, count: u32) -> Shards {
        let mut all = Vec::new();
        for id in 0..count {
            let store = Store { id: 7, shards: count, epoch: count };
            let dir = format!("{ROOT}/{count}");
            let opened = Shard::open(env, Path::new(&dir), &store, ShardId(id), options()).await;
            all.push(opened.unwrap_or_else(|error| panic!("{error}")).shard);
        }
        Shards(all)
    }

    fn owner(&self, series: u32) -> &Shard<SimEnv> {
        let count = self.0.len() as u32;
        &self.0[key_of(series).shard(count).0 as usize]
    }

    pub async fn apply(&self, event: &Event) {
        match event {
            Event::Write(rows) => {
                for shard in &self.0 {
                    let mine = |row: &&(u32, i64, Row)| self.owner(row.0).id() == shard.id();
                    let rows: Vec<_> = rows.iter().filter(mine).cloned().collect();
                    for partition in [PartitionId(1), PartitionId(2)] {
                        let there = |row: &&(u32, i64, Row)| partition_of(row.1) == partition;
                        let rows: Vec<_> = rows.iter().filter(there).cloned().collect();
                        if !rows.is_empty() {
                            shard.write(request(&rows)).await.unwrap();
                        }
                    }
                }
            }
            Event::Delete(series, range) => {
                let shard = self.owner(*series);
                let id = shard.index().lookup(DB, key_of(*series).as_bytes());
                if let Some(id) = id {
                    shard.delete([id.0].into_iter().collect(), *range).await.unwrap();
                }
            }
            Event::Flush | Event::Compact => {
                for shard in &self.0 {
                    shard.flush().await.unwrap();
                    if matches!(event, Event::Compact) {
                        shard.compact().await.unwrap();
                    }
                }
            }
        }
    }

    /// The parts of every shard.
    pub async fn ask(&self, request: &Request) -> Vec<Vec<Part>> {
        let request = Arc::new(request.clone());
        let mut all = Vec::new();
        for shard in &self.0 {
            let parts = RefCell::new(Vec::new());
            let emit = async |part| {
                parts.borrow_mut().push(part);
                true
            };
            run(shard, &request, emit, || false).await.unwrap();
            all.push(parts.into_inner());
        }
        all
    }
}

fn request(rows: &[(u32, i64, Row)]) -> WriteRequest {
    let mut series: Vec<u32> = rows.iter().map(|row| row.0).collect();
    series.sort_unstable();
    series.dedup();
    let place = |one: u32| series.iter().position(|known| *known == one).unwrap() as u32;
    let column = |id: &ColumnId| {
        let values: Vec<Option<Value>> = rows.iter().map(|row| row.2.get(id).cloned()).collect();
        testing::column(*id, &values)
    };
    let mut ids: Vec<ColumnId> = rows.iter().flat_map(|row| row.2.keys().copied()).collect();
    ids.sort_unstable();
    ids.dedup();
    let columns: Vec<Column> = ids.iter().map(column).collect();
    let batch = Batch {
        partition: partition_of(rows[0].1),
        series: rows.iter().map(|row| SeriesRef::new_key(place(row.0))).collect(),
        times: rows.iter().map(|row| row.1).collect(),
        columns,
    };
    let new =
        |one: &u32| NewSeries { measurement: MEASUREMENT, key: key_of(*one).as_bytes().into() };
    WriteRequest { db: DB, new_series: series.iter().map(new).collect(), batches: vec![batch] }
}

/// A question for everything, to be changed.
pub fn question(output: Output) -> Request {
    Request {
        db: DB,
        measurement: MEASUREMENT,
        partitions: vec![PartitionId(1), PartitionId(2)],
        range: TimeRange::ALL,
        now_ns: 0,
        series: crate::shard::index::TagFilter::All,
        filter: None,
        fields: fields(),
        tags: vec![b"dc".as_slice().into(), b"host".as_slice().into()],
        group_by: Vec::new(),
        output,
        order: Order::Ascending,
        memory_bytes: 64 << 20,
        rows_max: 0,
        deadline_ns: 0,
    }
}

/// Fields of the tests by position: a float, an integer, a string, a boolean, and one that is float
/// or integer.
pub fn fields() -> Vec<FieldRef> {
    let one =
        |field: u32, kind| FieldRef { columns: vec![ColumnId::new(FieldNo(field), kind)], kind };
    vec![
        one(1, FieldType::Float),
        one(2, FieldType::Integer),
        one(3, FieldType::String),
        one(4, FieldType::Boolean),
        FieldRef {
            columns: vec![
                ColumnId::new(FieldNo(1), FieldType::Float),
                ColumnId::new(FieldNo(2), FieldType::Integer),
            ],
            kind: FieldType::Float,
        },
    ]
}

/// What the coordinator makes of the shards' groups.
pub fn merge_groups(request: &Request, parts: Vec<Vec<Part>>) -> Vec<Group> {
    let Output::Aggregates { aggregates, .. } = &request.output else { panic!("aggregates") };
    let mut groups: BTreeMap<Vec<Box<[u8]>>, Group> = BTreeMap::new();
    for shard in parts {
        let mut names = Vec::new();
        for part in shard {
            let Part::Groups(all) = part else { panic!("groups") };
            for group in all {
                names.push(group.values.to_vec());
                match groups.get_mut(&*group.values) {
                    Some(held) => held.merge(group, aggregates),
                    None => {
                        groups.insert(group.values.to_vec(), group);
                    }
                }
            }
        }
        let ascending = |a: &Vec<Box<[u8]>>, b: &Vec<Box<[u8]>>| a < b;
        match request.order {
            Order::Ascending => assert!(names.is_sorted_by(ascending)),
            Order::Descending => assert!(names.iter().rev().is_sorted_by(|a, b| ascending(a, b))),
        }
    }
    let all = groups.into_values();
    match request.order {
        Order::Ascending => all.collect(),
        Order::Descending => all.rev().collect(),
    }
}

/// A row of an answer: time, key, one value per field.
pub type Shown = (i64, Vec<u8>, Vec<Option<Value>>);

/// Group values and rows.
pub type ShownGroup = (Vec<Box<[u8]>>, Vec<Shown>);

/// What the coordinator makes of the shards' rows.
pub fn merge_rows(request: &Request, parts: Vec<Vec<Part>>) -> Vec<ShownGroup> {
    let Output::Rows { limit, .. } = request.output else { panic!("rows") };
    let sort = |rows: &mut Vec<Shown>| model::sort(rows, request.order);
    let mut groups: BTreeMap<Vec<Box<[u8]>>, Vec<Shown>> = BTreeMap::new();
    for shard in parts {
        let mut mine: Vec<ShownGroup> = Vec::new();
        let pieces = shard.into_iter().flat_map(|part| {
            let Part::Rows(pieces) = part else { panic!("rows") };
            assert!(!pieces.is_empty());
            pieces
        });
        for rows in pieces {
            assert!(!rows.times.is_empty() && rows.times.len() <= 4096);
            let shown = (0..rows.times.len()).map(|row| {
                let value = |column: &Column| {
                    let found = expr::value_at(&column.values, row);
                    found.filter(|_| column.is_valid(row))
                };
                let key = rows.series[rows.series_of[row] as usize].to_vec();
                (rows.times[row], key, rows.fields.iter().map(value).collect())
            });
            match mine.last_mut() {
                Some((group, held)) if **group == *rows.group => held.extend(shown),
                _ => mine.push((rows.group.to_vec(), shown.collect())),
            }
        }
        let names: Vec<_> = mine.iter().map(|(group, _)| group).collect();
        match request.order {
            Order::Ascending => assert!(names.is_sorted_by(|a, b| a < b)),
            Order::Descending => assert!(names.is_sorted_by(|a, b| a > b)),
        }
        for (group, rows) in mine {
            let mut sorted = rows.clone();
            sort(&mut sorted);
            assert_eq!(rows, sorted, "a shard's rows are in order");
            assert!(limit.is_none_or(|limit| rows.len() as u64 <= limit));
            groups.entry(group).or_default().extend(rows);
        }
    }
    let mut all: Vec<ShownGroup> = groups.into_iter().collect();
    for (_, rows) in &mut all {
        sort(rows);
        rows.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
    }
    if request.order == Order::Descending {
        all.reverse();
    }
    all
}
