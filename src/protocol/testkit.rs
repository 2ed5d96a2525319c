//! Test support: a catalog, a cache and shards that answer, so that whole bodies can be decoded and
//! read back as the slow obvious store: (series, time, column) to value, the last write winning.

use super::batcher::{Batcher, Outcome, Target};
use super::{Missing, Progress, Rejects, Tail, graphite, kairos, line, pickle, telnet};
use crate::catalog::State;
use crate::catalog::command::{Command, PolicyOptions};
use crate::model::{
    Batch, ColumnId, DbId, FieldType, PolicyId, SeriesId, SeriesKey, Value, Values, WriteRequest,
};
use crate::route::SeriesCache;
use std::collections::BTreeMap;

/// (series as text, time, field, type) to (partition, value as text).
pub type Store = BTreeMap<(String, i64, String, FieldType), String>;

pub struct World {
    pub state: State,
    pub cache: SeriesCache,
    pub batcher: Batcher,
    pub target: Target,
    pub shards: u32,
    pub now_ns: i64,
    /// Keys a shard knows, by id.
    keys: Vec<Vec<Box<[u8]>>>,
    /// Requests seen, for looking at their Batches.
    pub requests: Vec<WriteRequest>,
}

impl World {
    pub fn new(shards: u32, duration_ns: i64) -> World {
        let mut world = World {
            state: State::default(),
            cache: SeriesCache::new(42, 1000),
            batcher: Batcher::new(),
            target: Target { db: DbId(1), policy: PolicyId(1) },
            shards,
            now_ns: 1_500_000_000_123_456_789,
            keys: vec![Vec::new(); shards as usize],
            requests: Vec::new(),
        };
        let policy = PolicyOptions { duration_ns: Some(duration_ns), ..PolicyOptions::default() };
        world.command(&Command::CreateDatabase { name: "d".into(), policy: Some(policy) });
        world.target.db = world.state.database("d").unwrap().id;
        world.target.policy = world.state.database("d").unwrap().default_policy.unwrap();
        world
    }

    pub fn command(&mut self, command: &Command) {
        for record in self.state.decide(command).unwrap() {
            self.state.apply(&record);
        }
    }

    pub fn resolve(&mut self, missing: Missing, mix_types: bool) {
        assert!(!missing.is_empty());
        let before = self.state.version();
        self.command(&missing.resolve(self.target.policy, mix_types));
        assert!(self.state.version() > before, "nothing was made");
    }

    /// Decodes a body given in parts that end at `cuts`.
    pub fn lines(
        &mut self,
        body: &[u8],
        cuts: &[usize],
        precision: line::Precision,
    ) -> line::Report {
        self.batcher.begin(self.target);
        let (mut report, mut tail) = (line::Report::default(), Tail::default());
        let mut start = 0;
        for end in cuts.iter().copied().chain([body.len()]) {
            let more = end < body.len();
            loop {
                let mut ctx = line::Context {
                    catalog: &self.state,
                    cache: &mut self.cache,
                    report: &mut report,
                    tail: &mut tail,
                    now_ns: self.now_ns,
                    precision,
                    shards: self.shards,
                    more,
                    line_bytes_max: 100_000,
                    names_max: 3,
                };
                match line::decode(&body[start..end], &mut self.batcher, &mut ctx) {
                    Progress::Done { consumed } => {
                        start += consumed;
                        break;
                    }
                    Progress::NeedNames { resume_at, missing } => {
                        start += resume_at;
                        self.resolve(missing, false);
                    }
                }
            }
        }
        assert_eq!(start, body.len());
        report
    }

    /// Decodes telnet bytes given in parts; gives the number of `version` answers.
    pub fn telnet(&mut self, bytes: &[u8], cuts: &[usize], rejects: &mut Rejects) -> u32 {
        self.batcher.begin(self.target);
        let (mut tail, mut start) = (Tail::default(), 0);
        let mut replies = telnet::Replies::default();
        for end in cuts.iter().copied().chain([bytes.len()]) {
            loop {
                let mut ctx = telnet::Context {
                    catalog: &self.state,
                    cache: &mut self.cache,
                    rejects,
                    tail: &mut tail,
                    now_ns: self.now_ns,
                    shards: self.shards,
                    line_bytes_max: telnet::LINE_BYTES_MAX,
                    names_max: 3,
                    ttl_default_s: 0,
                    replies: &mut replies,
                };
                let progress = telnet::decode(&bytes[start..end], &mut self.batcher, &mut ctx);
                match progress {
                    Progress::Done { consumed } => {
                        start += consumed;
                        break;
                    }
                    Progress::NeedNames { resume_at, missing } => {
                        start += resume_at;
                        self.resolve(missing, true);
                    }
                }
            }
        }
        replies.versions()
    }

    /// Decodes Graphite's lines given in parts; gives the bytes of an unfinished line.
    pub fn graphite(
        &mut self,
        rules: &graphite::Rules,
        bytes: &[u8],
        cuts: &[usize],
        rejects: &mut Rejects,
    ) -> usize {
        self.batcher.begin(self.target);
        let (mut tail, mut start) = (Tail::default(), 0);
        for end in cuts.iter().copied().chain([bytes.len()]) {
            loop {
                let mut ctx = graphite::Context {
                    catalog: &self.state,
                    cache: &mut self.cache,
                    rejects,
                    rules,
                    tail: &mut tail,
                    now_ns: self.now_ns,
                    shards: self.shards,
                    line_bytes_max: graphite::LINE_BYTES_MAX,
                    names_max: 3,
                };
                match graphite::decode(&bytes[start..end], &mut self.batcher, &mut ctx) {
                    Progress::Done { consumed } => {
                        start += consumed;
                        break;
                    }
                    Progress::NeedNames { resume_at, missing } => {
                        start += resume_at;
                        self.resolve(missing, true);
                    }
                }
            }
        }
        bytes.len() - start
    }

    /// Decodes pickles given in parts; gives the bytes left over and whether the stream ends.
    pub fn pickle(
        &mut self,
        rules: &graphite::Rules,
        bytes: &[u8],
        cuts: &[usize],
        rejects: &mut Rejects,
    ) -> (usize, bool) {
        self.batcher.begin(self.target);
        let (mut reader, mut start) = (pickle::Reader::default(), 0);
        for end in cuts.iter().copied().chain([bytes.len()]) {
            loop {
                let mut ctx = pickle::Context {
                    catalog: &self.state,
                    cache: &mut self.cache,
                    rejects,
                    rules,
                    reader: &mut reader,
                    now_ns: self.now_ns,
                    shards: self.shards,
                    frame_bytes_max: pickle::FRAME_BYTES_MAX,
                    turn_bytes: 100,
                    names_max: 3,
                    frames: 0,
                    ends: false,
                };
                let progress = pickle::decode(&bytes[start..end], &mut self.batcher, &mut ctx);
                let ends = ctx.ends;
                match progress {
                    Progress::Done { consumed } => {
                        start += consumed;
                        if ends {
                            return (bytes.len() - start, true);
                        }
                        if consumed == 0 {
                            break;
                        }
                    }
                    Progress::NeedNames { resume_at, missing } => {
                        start += resume_at;
                        self.resolve(missing, true);
                    }
                }
            }
        }
        (bytes.len() - start, false)
    }

    /// Decodes a KairosDB body of which more and more is there: up to each cut, then all of it.
    pub fn kairos(&mut self, body: &[u8], cuts: &[usize]) -> kairos::Report {
        self.batcher.begin(self.target);
        let (mut report, mut document) = (kairos::Report::default(), kairos::Document::default());
        for end in cuts.iter().copied().chain([body.len()]) {
            loop {
                let mut ctx = kairos::Context {
                    catalog: &self.state,
                    cache: &mut self.cache,
                    report: &mut report,
                    now_ns: self.now_ns,
                    shards: self.shards,
                    names_max: 3,
                    ttl_default_s: 0,
                };
                let last = end == body.len();
                match document.step(&body[..end], last, &mut self.batcher, &mut ctx) {
                    kairos::Step::Again => {}
                    kairos::Step::Names(missing) => self.resolve(missing, true),
                    kairos::Step::Wait => {
                        assert!(!last, "waits for more than there is");
                        break;
                    }
                    kairos::Step::Done => break,
                }
            }
        }
        report
    }

    /// Ends the request: shards answer, the cache learns, rows are applied to `store`.
    pub fn finish(&mut self, store: &mut Store) -> (u64, u64) {
        let Outcome { writes, rows, values, .. } = self.batcher.finish();
        self.requests.clear();
        for mut write in writes {
            let lesson = write.take_lesson();
            let known = &mut self.keys[write.shard.index()];
            let ids: Vec<SeriesId> = write
                .request
                .new_series
                .iter()
                .map(|new| {
                    let key = SeriesKey::from_bytes(&new.key).expect("a well-formed key");
                    assert_eq!(key.shard(self.shards), write.shard);
                    let (_, name) = self.state.measurement_name(new.measurement).unwrap();
                    assert_eq!(key.measurement(), name);
                    let at = known.iter().position(|k| *k == new.key).unwrap_or_else(|| {
                        known.push(new.key.clone());
                        known.len() - 1
                    });
                    SeriesId(at as u32)
                })
                .collect();
            for batch in &write.request.batches {
                let known = &self.keys[write.shard.index()];
                apply(
                    &self.state,
                    batch,
                    |series| match series.resolve() {
                        Ok(id) => known[id.index()].clone(),
                        Err(index) => write.request.new_series[index as usize].key.clone(),
                    },
                    store,
                );
            }
            lesson.learned(&ids, &mut self.cache);
            self.requests.push(write.request.clone());
            self.batcher.recycle(write.request);
        }
        (rows, values)
    }
}

fn apply(
    state: &State,
    batch: &Batch,
    key: impl Fn(crate::model::SeriesRef) -> Box<[u8]>,
    store: &mut Store,
) {
    assert!(batch.columns.is_sorted_by(|left, right| left.id < right.id));
    assert!(batch.rows() > 0 && batch.series.len() == batch.rows());
    let range = state.partition(batch.partition).unwrap().range;
    for column in &batch.columns {
        assert_eq!(column.values.len(), batch.rows());
        assert_eq!(column.values.kind(), column.id.kind());
        assert!(column.validity.as_ref().is_none_or(|bits| bits.len() == batch.rows()));
    }
    for row in 0..batch.rows() {
        assert!(range.contains(batch.times[row]));
        let series = show_key(&SeriesKey::from_bytes(&key(batch.series[row])).unwrap());
        for column in batch.columns.iter().filter(|column| column.is_valid(row)) {
            let field = match column.id {
                ColumnId::EXPIRE => "(expire)".into(),
                id => text(state.field_name(id.field()).unwrap()),
            };
            let at = (series.clone(), batch.times[row], field, column.id.kind());
            store.insert(at, show(&value(&column.values, row)));
        }
    }
}

fn value(values: &Values, row: usize) -> Value {
    match values {
        Values::Float(values) => Value::Float(values[row]),
        Values::Integer(values) => Value::Integer(values[row]),
        Values::Unsigned(values) => Value::Unsigned(values[row]),
        Values::Boolean(values) => Value::Boolean(values[row]),
        Values::String(strings) => Value::String(strings.get(row).into()),
    }
}

/// A value as text in which different bits differ.
pub fn show(value: &Value) -> String {
    match value {
        Value::Float(value) => format!("{value:?}"),
        Value::Integer(value) => format!("{value}i"),
        Value::Unsigned(value) => format!("{value}u"),
        Value::Boolean(value) => format!("{value}"),
        Value::String(value) => format!("{:?}", text(value)),
    }
}

/// A key as text: `measurement|tag=value|...`.
pub fn show_key(key: &SeriesKey) -> String {
    let tags = key.tags().map(|(tag, value)| format!("|{}={}", text(tag), text(value)));
    text(key.measurement()) + &tags.collect::<String>()
}

/// Bytes as text, one character a byte.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
