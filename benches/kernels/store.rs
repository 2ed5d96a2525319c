//! What a shard does: log records, head, merges, codecs, index, scans.

use crate::hours::{self, Outcome};
use ringtail::codec::chunk::{self, Effort};
use ringtail::env::sim::{ROOT, SimEnv, test};
use ringtail::model::batch::SeriesRef;
use ringtail::model::{
    Batch, Column, ColumnId, DbId, FieldNo, FieldType, MeasurementId, PartitionId, SeriesId,
    SeriesKey, ShardId, Values,
};
use ringtail::shard::Shard;
use ringtail::shard::block::Block;
use ringtail::shard::head::{Head, HeadCursor, Select};
use ringtail::shard::index::{Index, TagFilter};
use ringtail::shard::log::record::{Record, put_rows};
use ringtail::shard::merge::{Input, merge};
use ringtail::shard::scan::run;
use ringtail::shard::store::Store;
use std::hint::black_box;
use std::path::Path;

const SECOND: i64 = 1_000_000_000;
const HOSTS: u32 = 500;
const BATCHES: i64 = 20;
/// Rows that a head takes in a round.
pub const HEAD_ROWS: u64 = HOSTS as u64 * BATCHES as u64;
/// Values of a log record.
pub const RECORD_VALUES: u64 = HOSTS as u64 * 10;
/// Rows of both sides of a merge.
pub const MERGE_ROWS: u64 = 2 * 32 * 250;
/// Rows of a chunk: pages of 1,024.
pub const CHUNK_ROWS: u64 = 8 * 1024;
/// Series of the index.
pub const SERIES: u64 = 5_000;
const SCAN_SERIES: u32 = 40;
const SCAN_POINTS: i64 = 720;
/// Values that a scan reads.
pub const SCAN_ROWS: u64 = SCAN_SERIES as u64 * SCAN_POINTS as u64;

fn floats(id: u32, values: Vec<f64>) -> Column {
    let id = ColumnId::new(FieldNo(id), FieldType::Float);
    Column { id, values: Values::Float(values), validity: None }
}

/// One row of each host, two decimals.
fn batch(at: i64, columns: u32) -> Batch {
    let value =
        |host: u32, n: u32| f64::from((host * 31 + n * 7 + at as u32 * 13) % 10_000) / 100.0;
    let column = |n: u32| floats(n + 1, (0..HOSTS).map(|host| value(host, n)).collect());
    Batch {
        partition: PartitionId(1),
        series: (0..HOSTS).map(|host| SeriesRef::known(SeriesId(host))).collect(),
        times: vec![at * 10 * SECOND; HOSTS as usize],
        columns: (0..columns).map(column).collect(),
    }
}

fn hosts() -> Vec<SeriesId> {
    (0..HOSTS).map(SeriesId).collect()
}

pub fn record_put(rounds: u64) {
    let (batch, hosts, mut out) = (batch(1, 10), hosts(), Vec::new());
    for _ in 0..rounds {
        out.clear();
        put_rows(black_box(&batch), &hosts, &mut out);
    }
}

pub fn record_get(rounds: u64) {
    let mut bytes = Vec::new();
    put_rows(&batch(1, 10), &hosts(), &mut bytes);
    for _ in 0..rounds {
        assert!(Record::get(&mut black_box(bytes.as_slice())).is_ok());
    }
}

fn measurement(_: SeriesId) -> MeasurementId {
    MeasurementId(1)
}

fn fill(batches: &[Batch]) -> Head {
    let (mut head, hosts) = (Head::new(), hosts());
    for (seq, batch) in batches.iter().enumerate() {
        head.append(seq as u64, batch, &hosts, &measurement);
    }
    head
}

fn append(rounds: u64, columns: u32) {
    let batches: Vec<Batch> = (0..BATCHES).map(|at| batch(at, columns)).collect();
    for _ in 0..rounds {
        black_box(fill(&batches));
    }
}

pub fn append_narrow(rounds: u64) {
    append(rounds, 1);
}

pub fn append_wide(rounds: u64) {
    append(rounds, 10);
}

pub fn gather(rounds: u64) {
    let batches: Vec<Batch> = (0..BATCHES).map(|at| batch(at, 1)).collect();
    let head = fill(&batches);
    for _ in 0..rounds {
        let view = head.view(PartitionId(1)).expect("rows");
        let (mut cursor, mut rows) = (HeadCursor::default(), 0);
        while let Some(block) = view.gather(&Select::ALL, &mut cursor, 32_768) {
            rows += black_box(block).rows();
        }
        assert_eq!(rows as u64, HEAD_ROWS);
    }
}

/// Rows of 32 series in order, from `first` on.
fn block(first: i64) -> Block {
    let rows = MERGE_ROWS as i64 / 64;
    let mut block = Block::default();
    for series in 0..32 {
        block.push_run(MeasurementId(1), SeriesId(series), rows as usize);
        block.times.extend((first..first + rows).map(|at| at * SECOND));
    }
    block.refresh_steps();
    block.columns.push(floats(1, vec![1.5; 32 * rows as usize]));
    block
}

fn merging(rounds: u64, first: i64) {
    let (older, newer) = (block(0), block(first));
    let inputs = [Input { max_seq: 1, block: &older }, Input { max_seq: 2, block: &newer }];
    for _ in 0..rounds {
        let mut out = Block::default();
        merge(black_box(&inputs), &mut out);
        assert!(out.rows() > 0);
    }
}

pub fn merge_disjoint(rounds: u64) {
    merging(rounds, MERGE_ROWS as i64 / 64);
}

pub fn merge_overwritten(rounds: u64) {
    merging(rounds, 0);
}

/// A walk of hundredths in runs of 360 rows; integers are its whole part.
fn walk() -> Vec<i64> {
    let (mut state, mut level) = (7u64, 0);
    let mut below = move |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((state >> 33) % bound) as i64
    };
    let rows = 0..CHUNK_ROWS;
    rows.map(|row| {
        let fresh = row.is_multiple_of(360);
        level = if fresh { below(10_000) } else { level + below(201) - 100 };
        level
    })
    .collect()
}

fn chunk_in(rounds: u64, column: &Column, effort: Effort) -> Vec<u8> {
    let (pages, mut out) = ([1024; CHUNK_ROWS as usize / 1024], Vec::new());
    for _ in 0..rounds {
        out.clear();
        assert!(chunk::encode(black_box(column), &pages, effort, &mut out).is_ok());
    }
    out
}

fn chunk_out(rounds: u64, column: &Column, effort: Effort) {
    let bytes = chunk_in(1, column, effort);
    let pages = CHUNK_ROWS as usize / 1024;
    for _ in 0..rounds {
        let mut out = Column::empty(column.id);
        let reader = chunk::Reader::open(black_box(&bytes)).expect("what was just written");
        assert!(reader.decode(0..pages, &mut out).is_ok());
    }
}

fn float_walk() -> Column {
    floats(1, walk().into_iter().map(|level| level as f64 / 100.0).collect())
}

fn integer_walk() -> Column {
    let values = Values::Integer(walk().into_iter().map(|level| level / 100).collect());
    Column { id: ColumnId::new(FieldNo(1), FieldType::Integer), values, validity: None }
}

pub fn floats_light_in(rounds: u64) {
    chunk_in(rounds, &float_walk(), Effort::Light);
}

pub fn floats_light_out(rounds: u64) {
    chunk_out(rounds, &float_walk(), Effort::Light);
}

pub fn floats_packed_in(rounds: u64) {
    chunk_in(rounds, &float_walk(), Effort::Pco);
}

pub fn floats_packed_out(rounds: u64) {
    chunk_out(rounds, &float_walk(), Effort::Pco);
}

pub fn integers_light_in(rounds: u64) {
    chunk_in(rounds, &integer_walk(), Effort::Light);
}

pub fn integers_light_out(rounds: u64) {
    chunk_out(rounds, &integer_walk(), Effort::Light);
}

pub fn integers_packed_in(rounds: u64) {
    chunk_in(rounds, &integer_walk(), Effort::Pco);
}

pub fn integers_packed_out(rounds: u64) {
    chunk_out(rounds, &integer_walk(), Effort::Pco);
}

const DB: DbId = DbId(1);
const CPU: MeasurementId = MeasurementId(1);

fn keys() -> Vec<SeriesKey> {
    let key = |n: u64| {
        let (host, rack, team) = (format!("host_{n}"), (n % 100).to_string(), n % 4);
        let tags: [(&[u8], &[u8]); 5] = [
            (b"arch", b"x86"),
            (b"hostname", host.as_bytes()),
            (b"rack", rack.as_bytes()),
            (b"region", b"eu-central-1"),
            (b"team", [b"SF".as_slice(), b"NYC", b"LON", b"CHI"][team as usize]),
        ];
        SeriesKey::build(b"cpu", &tags).expect("a short key")
    };
    (0..SERIES).map(key).collect()
}

fn index(keys: &[SeriesKey]) -> Index {
    let mut index = Index::new();
    for key in keys {
        assert!(index.intern(DB, CPU, key.as_bytes()).is_ok());
    }
    index
}

pub fn define(rounds: u64) {
    let keys = keys();
    for _ in 0..rounds {
        black_box(index(&keys));
    }
}

pub fn look_up(rounds: u64) {
    let keys = keys();
    let index = index(&keys);
    for _ in 0..rounds {
        for n in 0..keys.len() {
            let key = &keys[n * 2_641 % keys.len()];
            assert!(index.lookup(DB, black_box(key.as_bytes())).is_some());
        }
    }
}

pub fn select_regex(rounds: u64) {
    let index = index(&keys());
    let regex = regex::bytes::Regex::new("_12.*7$").expect("a good expression");
    let filter = TagFilter::Matches { key: b"hostname".as_slice().into(), regex };
    for _ in 0..rounds {
        assert!(!index.select(CPU, black_box(&filter)).is_empty());
    }
}

pub fn group(rounds: u64) {
    let index = index(&keys());
    let ids: Vec<SeriesId> = (0..SERIES as u32).map(SeriesId).collect();
    for _ in 0..rounds {
        let groups = index.group(black_box(&ids), &[b"rack", b"team"]).groups;
        assert!(!groups.is_empty());
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Head,
    Light,
    Packed,
    Overlapped,
}

fn scan(rounds: u64, stage: Stage) {
    let done = test(1, move |env| async move { scans(env, rounds, stage).await });
    assert!(done.is_ok());
}

async fn scans(env: SimEnv, rounds: u64, stage: Stage) -> Outcome<()> {
    let store = Store { id: 7, shards: 1, epoch: 1 };
    let options = hours::options();
    let opened = Shard::open(&env, Path::new(ROOT), &store, ShardId(0), options).await?;
    let shard = opened.shard;
    for from in (0..SCAN_POINTS).step_by(60) {
        hours::write(&shard, SCAN_SERIES, from, from + 60).await?;
    }
    if stage != Stage::Head {
        shard.flush().await?;
    }
    if matches!(stage, Stage::Packed | Stage::Overlapped) {
        shard.compact().await?;
    }
    if stage == Stage::Overlapped {
        hours::write(&shard, SCAN_SERIES, SCAN_POINTS - 60, SCAN_POINTS).await?;
    }
    let request = hours::question();
    // The first reads what the others find in the cache.
    for _ in 0..rounds + 1 {
        let summary = run(&shard, &request, async |_| true, || false).await?;
        assert_eq!(summary.rows, SCAN_ROWS);
    }
    Ok(())
}

pub fn scan_head(rounds: u64) {
    scan(rounds, Stage::Head);
}

pub fn scan_light(rounds: u64) {
    scan(rounds, Stage::Light);
}

pub fn scan_packed(rounds: u64) {
    scan(rounds, Stage::Packed);
}

pub fn scan_overlapped(rounds: u64) {
    scan(rounds, Stage::Overlapped);
}
