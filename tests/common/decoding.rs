//! A front end without sockets: a catalog of one database, a series cache, a decoder, and shards
//! that answer, for the unit tests of the decoders, their benchmarks, the test of their allocations
//! and the fuzz targets. In: bytes, whole or in parts. Out: numbers of rows, or all of them as the
//! slow obvious store has them: (series, time, column) to value, the last write winning.

#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use ringtail::catalog::State;
use ringtail::catalog::command::{Command, PolicyOptions};
use ringtail::model::{
    Batch, ColumnId, FieldType, SeriesId, SeriesKey, SeriesRef, Value, Values, WriteRequest,
};
use ringtail::protocol::{
    Batcher, Missing, Outcome, Progress, Reject, Rejects, Tail, Target, graphite, kairos, line,
    pickle, telnet,
};
use ringtail::route::SeriesCache;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// What `now` is for benchmarks (ns).
pub const NOW_NS: i64 = 1_500_000_000_000_000_000;

/// (series as text, time, field, type) to value as text.
pub type Store = BTreeMap<(String, i64, String, FieldType), String>;

pub struct Core {
    pub state: State,
    pub cache: SeriesCache,
    pub batcher: Batcher,
    pub target: Target,
    pub shards: u32,
    pub now_ns: i64,
    /// Where Graphite's paths go.
    pub rules: graphite::Rules,
    /// Longest line of line protocol and Graphite.
    pub line_bytes_max: usize,
    /// Unknown names before the catalog is asked.
    pub names_max: usize,
    /// Bytes of pickles decoded at a time.
    pub turn_bytes: usize,
    reader: pickle::Reader,
    /// Keys that each shard knows, by id.
    keys: Vec<Vec<Box<[u8]>>>,
    /// Requests stored last, for looking at their Batches.
    pub requests: Vec<WriteRequest>,
}

impl Core {
    /// One with room, for measuring. `series`: entries of the cache; `names_max`: unknown names
    /// before the catalog is asked.
    pub fn new(series: usize, names_max: usize) -> Core {
        let mut core = Core::tight(2, 0);
        core.cache = SeriesCache::new(1, series);
        (core.now_ns, core.names_max) = (NOW_NS, names_max);
        (core.line_bytes_max, core.turn_bytes) = (1 << 20, 1 << 20);
        core
    }

    /// One that stops often: its limits are small. `duration_ns` is that of the retention policy.
    pub fn tight(shards: u32, duration_ns: i64) -> Core {
        let mut state = State::default();
        let policy = PolicyOptions { duration_ns: Some(duration_ns), ..PolicyOptions::default() };
        command(&mut state, &Command::CreateDatabase { name: "d".into(), policy: Some(policy) });
        let db = state.database("d").unwrap();
        let target = Target { db: db.id, policy: db.default_policy.unwrap() };
        Core {
            state,
            cache: SeriesCache::new(42, 1000),
            batcher: Batcher::new(),
            target,
            shards,
            now_ns: 1_500_000_000_123_456_789,
            rules: graphite::Rules::default(),
            line_bytes_max: 100_000,
            names_max: 3,
            turn_bytes: 100,
            reader: pickle::Reader::default(),
            keys: vec![Vec::new(); shards as usize],
            requests: Vec::new(),
        }
    }

    /// Has Graphite's paths go where these templates say.
    pub fn with_templates(mut self, separator: &str, tags: &[&str], lines: &[&str]) -> Core {
        let own = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        self.rules = graphite::Rules::new(separator, &own(tags), &own(lines)).unwrap();
        self
    }

    /// Has the catalog do something.
    pub fn command(&mut self, wanted: &Command) {
        command(&mut self.state, wanted);
    }

    /// Has the catalog make names.
    pub fn resolve(&mut self, missing: Missing, mix_types: bool) {
        assert!(!missing.is_empty());
        let before = self.state.version();
        self.command(&missing.resolve(self.target.policy, mix_types));
        assert!(self.state.version() > before, "nothing was made");
    }

    /// Hands over bytes that come in parts, which end at `cuts` and at the end of all; each part is
    /// decoded until nothing of it is complete any more. Gives the bytes used. `decode` is told
    /// whether more follows, and says whether the stream ends.
    fn feed(
        &mut self,
        bytes: &[u8],
        cuts: &[usize],
        mix_types: bool,
        mut decode: impl FnMut(&mut Core, &[u8], bool) -> (Progress, bool),
    ) -> (usize, bool) {
        self.batcher.begin(self.target);
        let mut start = 0;
        for end in cuts.iter().copied().chain([bytes.len()]) {
            loop {
                match decode(self, &bytes[start..end], end < bytes.len()) {
                    (Progress::Done { consumed }, ends) => {
                        start += consumed;
                        if ends {
                            return (start, true);
                        }
                        if consumed == 0 {
                            break;
                        }
                    }
                    (Progress::NeedNames { resume_at, missing }, _) => {
                        start += resume_at;
                        self.resolve(missing, mix_types);
                    }
                }
            }
        }
        (start, false)
    }

    /// Decodes line protocol; gives what was wrong.
    pub fn decode_lines(
        &mut self,
        body: &[u8],
        cuts: &[usize],
        precision: line::Precision,
    ) -> line::Report {
        let (mut report, mut tail) = (line::Report::default(), Tail::default());
        let (used, _) = self.feed(body, cuts, false, |core, input, more| {
            let mut ctx = line::Context {
                catalog: &core.state,
                cache: &mut core.cache,
                report: &mut report,
                tail: &mut tail,
                now_ns: core.now_ns,
                precision,
                shards: core.shards,
                more,
                line_bytes_max: core.line_bytes_max,
                names_max: core.names_max,
            };
            (line::decode(input, &mut core.batcher, &mut ctx), false)
        });
        assert_eq!(used, body.len());
        report
    }

    /// Decodes telnet lines; gives how often `version` was asked for.
    pub fn decode_telnet(&mut self, bytes: &[u8], cuts: &[usize], rejects: &mut Rejects) -> u32 {
        let (mut tail, mut replies) = (Tail::default(), telnet::Replies::new(true));
        self.feed(bytes, cuts, true, |core, input, _| {
            let mut ctx = telnet::Context {
                catalog: &core.state,
                cache: &mut core.cache,
                rejects,
                tail: &mut tail,
                now_ns: core.now_ns,
                shards: core.shards,
                line_bytes_max: telnet::LINE_BYTES_MAX,
                names_max: core.names_max,
                ttl_default_s: 0,
                replies: &mut replies,
            };
            (telnet::decode(input, &mut core.batcher, &mut ctx), false)
        });
        replies.versions()
    }

    /// Decodes Graphite's lines; gives the bytes of an unfinished one.
    pub fn decode_graphite(
        &mut self,
        bytes: &[u8],
        cuts: &[usize],
        rejects: &mut Rejects,
    ) -> usize {
        let mut tail = Tail::default();
        let (used, _) = self.feed(bytes, cuts, true, |core, input, _| {
            let mut ctx = graphite::Context {
                catalog: &core.state,
                cache: &mut core.cache,
                rejects,
                rules: &core.rules,
                tail: &mut tail,
                now_ns: core.now_ns,
                shards: core.shards,
                line_bytes_max: graphite::LINE_BYTES_MAX.min(core.line_bytes_max),
                names_max: core.names_max,
            };
            (graphite::decode(input, &mut core.batcher, &mut ctx), false)
        });
        bytes.len() - used
    }

    /// Decodes pickles; gives the bytes left over and whether the stream ends.
    pub fn decode_pickle(
        &mut self,
        bytes: &[u8],
        cuts: &[usize],
        rejects: &mut Rejects,
    ) -> (usize, bool) {
        let (used, ends) = self.feed(bytes, cuts, true, |core, input, _| {
            let mut ctx = pickle::Context {
                catalog: &core.state,
                cache: &mut core.cache,
                rejects,
                rules: &core.rules,
                reader: &mut core.reader,
                now_ns: core.now_ns,
                shards: core.shards,
                frame_bytes_max: pickle::FRAME_BYTES_MAX,
                turn_bytes: core.turn_bytes,
                names_max: core.names_max,
                frames: 0,
                ends: false,
            };
            let progress = pickle::decode(input, &mut core.batcher, &mut ctx);
            (progress, ctx.ends)
        });
        (bytes.len() - used, ends)
    }

    /// Decodes a body of KairosDB's data points, of which more and more is there: up to each cut,
    /// then all of it. Gives what was wrong.
    pub fn decode_kairos(&mut self, body: &[u8], cuts: &[usize]) -> kairos::Report {
        self.batcher.begin(self.target);
        let (mut report, mut document) = (kairos::Report::default(), kairos::Document::default());
        for end in cuts.iter().copied().chain([body.len()]) {
            let last = end == body.len();
            loop {
                let mut ctx = kairos::Context {
                    catalog: &self.state,
                    cache: &mut self.cache,
                    report: &mut report,
                    now_ns: self.now_ns,
                    shards: self.shards,
                    names_max: self.names_max,
                    ttl_default_s: 0,
                };
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

    /// A request of line protocol that came whole; gives its rows, as all of these do.
    pub fn lines(&mut self, body: &[u8]) -> u64 {
        self.decode_lines(body, &[], line::Precision::Nanoseconds);
        self.finish()
    }

    /// A part of a telnet connection.
    pub fn telnet(&mut self, bytes: &[u8]) -> u64 {
        self.decode_telnet(bytes, &[], &mut Rejects::default());
        self.finish()
    }

    /// A part of a connection of Graphite's plaintext.
    pub fn graphite(&mut self, bytes: &[u8]) -> u64 {
        self.decode_graphite(bytes, &[], &mut Rejects::default());
        self.finish()
    }

    /// A part of a connection of pickles.
    pub fn pickle(&mut self, bytes: &[u8]) -> u64 {
        self.decode_pickle(bytes, &[], &mut Rejects::default());
        self.finish()
    }

    /// A body of KairosDB's data points that came whole and without faults.
    pub fn kairos(&mut self, body: &[u8]) -> u64 {
        assert!(self.decode_kairos(body, &[]).is_clean());
        self.finish()
    }

    /// Three times over, decodes by `decode` and stores, which must have one outcome: unknown names
    /// and series, then known ones. Gives the rows, by their times as `time` shows them, and what
    /// `decode` gave.
    pub fn thrice<T: PartialEq + Debug>(
        &mut self,
        time: impl Fn(i64) -> String,
        mut decode: impl FnMut(&mut Core) -> T,
    ) -> (Vec<String>, T) {
        let mut outcomes = (0..3).map(|_| {
            let (mut store, told) = (Store::new(), decode(self));
            self.store(&mut store);
            let row = |((series, at, field, _), value): (&(String, i64, String, _), &String)| {
                format!("{series} {} {field}={value}", time(*at))
            };
            (store.iter().map(row).collect::<Vec<_>>(), told)
        });
        let first = outcomes.next().unwrap();
        for later in outcomes {
            assert_eq!(first, later, "another outcome when names are known");
        }
        first
    }

    /// Ends the request, as if all rows had been written: their series are known from now on.
    pub fn finish(&mut self) -> u64 {
        let outcome = self.batcher.finish();
        for mut write in outcome.writes {
            let ids: Vec<SeriesId> =
                (0..write.request.new_series.len()).map(|n| SeriesId(n as u32)).collect();
            write.take_lesson().learned(&ids, &mut self.cache);
            self.batcher.recycle(write.request);
        }
        outcome.rows
    }

    /// Ends the request: shards answer, the cache learns, rows are applied to `store`. Gives rows
    /// and values.
    pub fn store(&mut self, store: &mut Store) -> (u64, u64) {
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
                    let key = SeriesKey::from_bytes(&new.key).unwrap();
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
                let key = |series: SeriesRef| match series.resolve() {
                    Ok(id) => known[id.index()].clone(),
                    Err(index) => write.request.new_series[index as usize].key.clone(),
                };
                apply(&self.state, batch, key, store);
            }
            lesson.learned(&ids, &mut self.cache);
            self.requests.push(write.request.clone());
            self.batcher.recycle(write.request);
        }
        (rows, values)
    }
}

/// What was dropped: names of reasons, with how often.
pub fn counts(rejects: &Rejects) -> Vec<(&'static str, u64)> {
    let all = Reject::ALL.iter().map(|why| (why.name(), rejects.of(*why)));
    all.filter(|(_, count)| *count > 0).collect()
}

fn command(state: &mut State, wanted: &Command) {
    for record in state.decide(wanted).unwrap() {
        state.apply(&record);
    }
}

fn apply(state: &State, batch: &Batch, key: impl Fn(SeriesRef) -> Box<[u8]>, store: &mut Store) {
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

/// Frames of 500 elements each, as carbon's relay packs them: path, seconds, value.
pub fn pickles(points: &[(String, f64, f64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for points in points.chunks(500) {
        let mut frame = b"\x80\x02]q\x00(".to_vec();
        for (number, (path, time, value)) in points.iter().enumerate() {
            let slot = number as u32 * 3 + 1;
            frame.push(b'X');
            frame.extend_from_slice(&(path.len() as u32).to_le_bytes());
            frame.extend_from_slice(path.as_bytes());
            put(slot, &mut frame);
            frame.push(b'G');
            frame.extend_from_slice(&time.to_be_bytes());
            frame.push(b'G');
            frame.extend_from_slice(&value.to_be_bytes());
            frame.push(0x86);
            put(slot + 1, &mut frame);
            frame.push(0x86);
            put(slot + 2, &mut frame);
        }
        frame.extend_from_slice(b"e.");
        out.extend_from_slice(&(frame.len() as u32).to_be_bytes());
        out.extend_from_slice(&frame);
    }
    out
}

fn put(slot: u32, frame: &mut Vec<u8>) {
    match u8::try_from(slot) {
        Ok(slot) => frame.extend_from_slice(&[b'q', slot]),
        Err(_) => {
            frame.push(b'r');
            frame.extend_from_slice(&slot.to_le_bytes());
        }
    }
}
