//! A front end without sockets: a catalog of one database, a series cache and a decoder, as the
//! decoding benchmark, the test of its allocations and the fuzz targets need them. In: bytes. Out:
//! numbers of rows; names are made and series are taught as a server would do it.

#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use ringtail::catalog::State;
use ringtail::catalog::command::Command;
use ringtail::model::SeriesId;
use ringtail::protocol::{
    Batcher, Missing, Outcome, Progress, Rejects, Tail, Target, graphite, kairos, line, pickle,
    telnet,
};
use ringtail::route::SeriesCache;

/// What `now` is (ns).
pub const NOW_NS: i64 = 1_500_000_000_000_000_000;

pub struct Core {
    state: State,
    cache: SeriesCache,
    batcher: Batcher,
    target: Target,
    names_max: usize,
    rules: graphite::Rules,
    reader: pickle::Reader,
}

impl Core {
    /// `series`: entries of the cache; `names_max`: unknown names before the catalog is asked.
    pub fn new(series: usize, names_max: usize) -> Core {
        let mut state = State::default();
        let command = Command::CreateDatabase { name: "d".into(), policy: None };
        for record in state.decide(&command).unwrap() {
            state.apply(&record);
        }
        let db = state.database("d").unwrap();
        let target = Target { db: db.id, policy: db.default_policy.unwrap() };
        let (cache, batcher) = (SeriesCache::new(1, series), Batcher::new());
        let rules = graphite::Rules::default();
        let reader = pickle::Reader::default();
        Core { state, cache, batcher, target, names_max, rules, reader }
    }

    fn resolve(&mut self, missing: Missing, mix: bool) {
        for record in self.state.decide(&missing.resolve(self.target.policy, mix)).unwrap() {
            self.state.apply(&record);
        }
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

    /// Ends the request and gives all that it came to.
    pub fn outcome(&mut self) -> Outcome {
        self.batcher.finish()
    }

    /// A request of line protocol that came whole.
    pub fn lines(&mut self, body: &[u8]) -> u64 {
        self.lines_in_parts(body, &[body.len()]);
        self.finish()
    }

    /// Decodes line protocol that came in parts, which end at `ends`; gives what was wrong.
    pub fn lines_in_parts(&mut self, body: &[u8], ends: &[usize]) -> line::Report {
        let (mut report, mut tail) = (line::Report::default(), Tail::default());
        self.batcher.begin(self.target);
        let mut start = 0;
        for end in ends {
            loop {
                let mut ctx = line::Context {
                    catalog: &self.state,
                    cache: &mut self.cache,
                    report: &mut report,
                    tail: &mut tail,
                    now_ns: NOW_NS,
                    precision: line::Precision::Nanoseconds,
                    shards: 2,
                    more: *end < body.len(),
                    line_bytes_max: 1 << 20,
                    names_max: self.names_max,
                };
                match line::decode(&body[start..*end], &mut self.batcher, &mut ctx) {
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
        report
    }

    /// A part of a telnet connection.
    pub fn telnet(&mut self, bytes: &[u8]) -> u64 {
        self.telnet_in_parts(bytes, &[bytes.len()]);
        self.finish()
    }

    /// Decodes telnet lines that came in parts, which end at `ends`; gives what was dropped, and
    /// how often `version` was asked for.
    pub fn telnet_in_parts(&mut self, bytes: &[u8], ends: &[usize]) -> (Rejects, u32) {
        let (mut rejects, mut tail) = (Rejects::default(), Tail::default());
        self.batcher.begin(self.target);
        let (mut start, mut replies) = (0, telnet::Replies::new(true));
        for end in ends {
            loop {
                let mut ctx = telnet::Context {
                    catalog: &self.state,
                    cache: &mut self.cache,
                    rejects: &mut rejects,
                    tail: &mut tail,
                    now_ns: NOW_NS,
                    shards: 2,
                    line_bytes_max: telnet::LINE_BYTES_MAX,
                    names_max: self.names_max,
                    ttl_default_s: 0,
                    replies: &mut replies,
                };
                let progress = telnet::decode(&bytes[start..*end], &mut self.batcher, &mut ctx);
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
        (rejects, replies.versions())
    }

    /// Has Graphite's paths go where these templates say.
    pub fn with_templates(mut self, separator: &str, tags: &[&str], lines: &[&str]) -> Core {
        let own = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        self.rules = graphite::Rules::new(separator, &own(tags), &own(lines)).unwrap();
        self
    }

    /// A part of a connection of Graphite's plaintext.
    pub fn graphite(&mut self, bytes: &[u8]) -> u64 {
        self.graphite_in_parts(bytes, &[bytes.len()]);
        self.finish()
    }

    /// Decodes Graphite's lines that came in parts, which end at `ends`; gives what was dropped.
    pub fn graphite_in_parts(&mut self, bytes: &[u8], ends: &[usize]) -> Rejects {
        let (mut rejects, mut tail) = (Rejects::default(), Tail::default());
        self.batcher.begin(self.target);
        let mut start = 0;
        for end in ends {
            loop {
                let mut ctx = graphite::Context {
                    catalog: &self.state,
                    cache: &mut self.cache,
                    rejects: &mut rejects,
                    rules: &self.rules,
                    tail: &mut tail,
                    now_ns: NOW_NS,
                    shards: 2,
                    line_bytes_max: 1024,
                    names_max: self.names_max,
                };
                match graphite::decode(&bytes[start..*end], &mut self.batcher, &mut ctx) {
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
        rejects
    }

    /// A part of a connection of pickles.
    pub fn pickle(&mut self, bytes: &[u8]) -> u64 {
        self.pickle_in_parts(bytes, &[bytes.len()]);
        self.finish()
    }

    /// Decodes pickles that came in parts, which end at `ends`; gives what was dropped.
    pub fn pickle_in_parts(&mut self, bytes: &[u8], ends: &[usize]) -> Rejects {
        let mut rejects = Rejects::default();
        self.batcher.begin(self.target);
        let mut start = 0;
        for end in ends {
            loop {
                let mut ctx = pickle::Context {
                    catalog: &self.state,
                    cache: &mut self.cache,
                    rejects: &mut rejects,
                    rules: &self.rules,
                    reader: &mut self.reader,
                    now_ns: NOW_NS,
                    shards: 2,
                    frame_bytes_max: pickle::FRAME_BYTES_MAX,
                    turn_bytes: 1 << 20,
                    names_max: self.names_max,
                    frames: 0,
                    ends: false,
                };
                let progress = pickle::decode(&bytes[start..*end], &mut self.batcher, &mut ctx);
                let ends = ctx.ends;
                match progress {
                    Progress::Done { .. } if ends => return rejects,
                    Progress::Done { consumed: 0 } => break,
                    Progress::Done { consumed } => start += consumed,
                    Progress::NeedNames { resume_at, missing } => {
                        start += resume_at;
                        self.resolve(missing, true);
                    }
                }
            }
        }
        rejects
    }

    /// A body of KairosDB's data points that came whole.
    pub fn kairos(&mut self, body: &[u8]) -> u64 {
        let report = self.kairos_in_parts(body, &[body.len()]);
        assert!(report.is_clean());
        self.finish()
    }

    /// Decodes a body of which more and more is there, up to `ends`; gives what was wrong.
    pub fn kairos_in_parts(&mut self, body: &[u8], ends: &[usize]) -> kairos::Report {
        let (mut report, mut document) = (kairos::Report::default(), kairos::Document::default());
        self.batcher.begin(self.target);
        for end in ends {
            loop {
                let mut ctx = kairos::Context {
                    catalog: &self.state,
                    cache: &mut self.cache,
                    report: &mut report,
                    now_ns: NOW_NS,
                    shards: 2,
                    names_max: self.names_max,
                    ttl_default_s: 0,
                };
                let last = *end == body.len();
                match document.step(&body[..*end], last, &mut self.batcher, &mut ctx) {
                    kairos::Step::Again => {}
                    kairos::Step::Names(missing) => self.resolve(missing, true),
                    kairos::Step::Wait | kairos::Step::Done => break,
                }
            }
        }
        report
    }
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
