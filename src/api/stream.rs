//! The doors of streams above their sockets: what a connection or datagrams brought becomes rows,
//! in order. Telnet, Graphite's plaintext and its pickles.
//!
//! In: bytes as they come. Out: durable rows, telnet's answers, counted drops with a sample of
//! each. One write of a stream is in flight at a time, so its rows keep their order, and the next
//! bytes are decoded meanwhile. What came by TCP is never dropped because there is no room: its
//! write waits, and so does its sender.

use super::front::Front;
use super::ingest::{IngestError, NAMES_MAX, SLICE_BYTES, Stored, TRIES_MAX};
use crate::catalog::CatalogError;
use crate::config::Config;
use crate::env::Env;
use crate::model::{DbId, PolicyId};
use crate::protocol::{Batcher, Outcome, Progress, Reject, Rejects, Tail, Target};
use crate::protocol::{graphite, pickle, telnet};
use crate::shard::WriteError;
use crate::stats::StreamDoor;
use futures_lite::future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// The target of rows while their database is not there: the catalog knows nothing of it.
const NOWHERE: Target = Target { db: DbId(u32::MAX), policy: PolicyId(u32::MAX) };
/// Pause before a write is tried again for which the disk had no room.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// The longest line or frame of a door, ends and head included (bytes).
pub fn unit_bytes_max(config: &Config, door: StreamDoor) -> usize {
    let size = match door {
        StreamDoor::Telnet => config.telnet_max_line_size,
        StreamDoor::Graphite | StreamDoor::GraphiteUdp => config.graphite_max_line_size,
        StreamDoor::Pickle => config.pickle_max_size,
    };
    usize::try_from(size.0).unwrap_or(usize::MAX).saturating_add(4)
}

/// Decoding of one stream.
pub struct Decoder<E: Env> {
    front: Rc<Front<E>>,
    door: StreamDoor,
    tail: Tail,
}

/// A decoded part of a stream, not written yet.
pub struct Decoded {
    door: StreamDoor,
    outcome: Outcome,
    before: Tail,
    now_ns: i64,
    /// Bytes of the input that were used.
    pub consumed: usize,
    /// What the sender is answered.
    pub answers: Vec<u8>,
    /// Whether the stream cannot be followed any more.
    pub ends: bool,
}

impl<E: Env> Decoder<E> {
    /// A new stream.
    pub fn new(front: Rc<Front<E>>, door: StreamDoor) -> Decoder<E> {
        Decoder { front, door, tail: Tail::default() }
    }

    /// Decodes what is complete in `input`; `peer` names the sender of a dropped line. Where the
    /// disk has no room for a new name, waits for it until `given_up`.
    ///
    /// # Errors
    /// When nothing of it can be placed; it is lost then, and counted.
    pub async fn decode(
        &mut self,
        input: &[u8],
        peer: impl Fn(&[u8]) -> String,
        given_up: impl Fn() -> bool,
    ) -> Result<Decoded, IngestError> {
        loop {
            match self.decode_once(input, &peer).await {
                Err(IngestError::Catalog(CatalogError::DiskFull)) if !given_up() => {
                    pause(&self.front, self.door).await;
                }
                result => return result,
            }
        }
    }

    async fn decode_once(
        &mut self,
        input: &[u8],
        peer: impl Fn(&[u8]) -> String,
    ) -> Result<Decoded, IngestError> {
        let front = self.front.clone();
        let (before, now_ns) = (self.tail, front.env.now_wall());
        let mut rejects = Rejects::default();
        let says_errors = front.config().telnet_answer_errors;
        let mut pass = Pass::new(&front, self.door, (now_ns, self.tail), &mut rejects);
        pass.replies = telnet::Replies::new(says_errors);
        let (outcome, consumed) = pass.run(input).await?;
        self.tail = pass.tail;
        let doors = front.doors();
        doors.telnet_versions.add(u64::from(pass.replies.versions()));
        doors.pickle_frames.add(pass.frames);
        let (ends, answers) = (pass.ends, pass.replies.into_bytes());
        self.count(&mut rejects, now_ns, peer);
        Ok(Decoded { door: self.door, outcome, before, now_ns, consumed, answers, ends })
    }

    fn count(&self, rejects: &mut Rejects, now_ns: i64, peer: impl Fn(&[u8]) -> String) {
        let total = rejects.total();
        if total == 0 {
            return;
        }
        let doors = self.front.doors();
        let stream = doors.stream(self.door);
        stream.dropped.add(total);
        for (number, (why, counter)) in Reject::ALL.iter().zip(stream.dropped_by).enumerate() {
            counter.add(rejects.of(*why));
            let Some(line) = rejects.take_sample(*why) else { continue };
            let peer = peer(&line);
            doors.samples.put(self.door, number, now_ns, &peer, &line);
            let (door, reason) = (self.door.name(), why.name());
            self.front.note(|| {
                let line = String::from_utf8_lossy(&line);
                format!("{door} {peer}: dropped ({reason}): {line:?}")
            });
        }
    }
}

/// Writes a decoded part; `bytes` are those that it was decoded from. Waits as long as it takes
/// unless `given_up` says that nobody waits any more. Rows that cannot be stored are counted and
/// logged.
pub async fn store<E: Env>(
    front: &Rc<Front<E>>,
    part: Decoded,
    bytes: &[u8],
    given_up: impl Fn() -> bool,
) {
    let Decoded { door, outcome, before, now_ns, .. } = part;
    let rows = outcome.rows;
    let (mut result, mut stale) = (patiently(front, door, outcome).await, 1);
    loop {
        match result {
            Err(IngestError::Stale) if stale < TRIES_MAX => stale += 1,
            Err(IngestError::Shard(WriteError::DiskFull)) if !given_up() => {
                pause(front, door).await;
            }
            _ => break,
        }
        // What was wrong with lines was counted the first time.
        let mut rejects = Rejects::default();
        let mut pass = Pass::new(front, door, (now_ns, before), &mut rejects);
        result = match pass.run(bytes).await {
            Ok((outcome, _)) => patiently(front, door, outcome).await,
            Err(error) => Err(error),
        };
    }
    let stream = front.doors().stream(door);
    match result {
        Ok(Stored { rows, refused, .. }) => {
            stream.points_ok.add(rows);
            if let Some(refused) = refused {
                stream.points_failed.add(refused.rows);
                let (door, rows, reason) = (door.name(), refused.rows, refused.reason);
                front.note(|| format!("{door}: {rows} points not stored: {reason}"));
            }
        }
        Err(error) => {
            stream.points_failed.add(rows);
            front.note(|| format!("{}: {rows} points not stored: {error}", door.name()));
        }
    }
}

/// Holds a sender for a while because the disk is full.
async fn pause<E: Env>(front: &Front<E>, door: StreamDoor) {
    front.doors().writes_held.add(1);
    front.note(|| format!("{}: the disk is full, senders wait", door.name()));
    front.env.sleep(FULL_PAUSE).await;
}

/// Writes rows, however long it takes; says so when it takes long.
async fn patiently<E: Env>(
    front: &Rc<Front<E>>,
    door: StreamDoor,
    outcome: Outcome,
) -> Result<Stored, IngestError> {
    let mut writing = pin!(front.write_and_copy(outcome));
    if let Some(limit) = front.write_timeout() {
        let late = async {
            front.env.sleep(limit).await;
            None
        };
        if let Some(result) = future::or(async { Some(writing.as_mut().await) }, late).await {
            return result;
        }
        front.doors().writes_held.add(1);
        front.note(|| format!("{}: a write takes long, its sender waits", door.name()));
    }
    writing.await
}

/// One pass over bytes, until they are all decoded.
struct Pass<'f, E: Env> {
    front: &'f Front<E>,
    door: StreamDoor,
    rejects: &'f mut Rejects,
    replies: telnet::Replies,
    now_ns: i64,
    tail: Tail,
    frames: u64,
    ends: bool,
}

impl<'f, E: Env> Pass<'f, E> {
    fn new(
        front: &'f Front<E>,
        door: StreamDoor,
        (now_ns, tail): (i64, Tail),
        rejects: &'f mut Rejects,
    ) -> Pass<'f, E> {
        let replies = telnet::Replies::default();
        Pass { front, door, rejects, replies, now_ns, tail, frames: 0, ends: false }
    }

    async fn run(&mut self, input: &[u8]) -> Result<(Outcome, usize), IngestError> {
        // Without a database nothing is known, so the first good line asks for names.
        let mut target = self.target()?;
        let mut batcher = self.front.take_batcher();
        batcher.begin(target.unwrap_or(NOWHERE));
        let (mut at, mut stuck) = (0, 0);
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let slice = self.slice(rest);
            match self.step(slice, &mut batcher) {
                Progress::Done { consumed } => {
                    at += consumed;
                    let is_last = self.ends || consumed == 0 || at >= input.len();
                    if is_last || (slice.len() == rest.len() && self.door != StreamDoor::Pickle) {
                        let outcome = batcher.finish();
                        self.front.give_batcher(batcher);
                        return Ok((outcome, at));
                    }
                    self.front.env.yield_now().await;
                }
                Progress::NeedNames { resume_at, missing } => {
                    stuck = if resume_at == 0 { stuck + 1 } else { 0 };
                    if stuck > TRIES_MAX {
                        return Err(IngestError::Stale);
                    }
                    at += resume_at;
                    if let Some(target) = target {
                        self.front.make_names(missing, target.policy, true).await?;
                        continue;
                    }
                    self.front.make_database(database(self.front.config(), self.door)).await?;
                    target = self.target()?;
                    batcher.begin(target.ok_or(IngestError::Stale)?);
                }
            }
        }
    }

    /// What is decoded in one turn: a slice that ends anywhere; frames end by themselves.
    fn slice<'i>(&self, rest: &'i [u8]) -> &'i [u8] {
        if self.door == StreamDoor::Pickle {
            return rest;
        }
        let longest = unit_bytes_max(self.front.config(), self.door);
        rest.get(..SLICE_BYTES.max(longest)).unwrap_or(rest)
    }

    fn step(&mut self, input: &[u8], batcher: &mut Batcher) -> Progress {
        match self.door {
            StreamDoor::Telnet => self.telnet(input, batcher),
            StreamDoor::Graphite | StreamDoor::GraphiteUdp => self.graphite(input, batcher),
            StreamDoor::Pickle => self.pickle(input, batcher),
        }
    }

    fn telnet(&mut self, input: &[u8], batcher: &mut Batcher) -> Progress {
        let config = self.front.config();
        let catalog = self.front.cluster.catalog();
        let mut context = telnet::Context {
            catalog: &catalog,
            cache: &mut self.front.series_cache(batcher.target()),
            rejects: self.rejects,
            tail: &mut self.tail,
            now_ns: self.now_ns,
            shards: self.front.cluster.shard_count(),
            line_bytes_max: usize::try_from(config.telnet_max_line_size.0).unwrap_or(usize::MAX),
            names_max: NAMES_MAX,
            ttl_default_s: i64::try_from(config.kairosdb_ttl.as_secs()).unwrap_or(i64::MAX),
            replies: &mut self.replies,
        };
        telnet::decode(input, batcher, &mut context)
    }

    fn graphite(&mut self, input: &[u8], batcher: &mut Batcher) -> Progress {
        let config = self.front.config();
        let catalog = self.front.cluster.catalog();
        let mut context = graphite::Context {
            catalog: &catalog,
            cache: &mut self.front.series_cache(batcher.target()),
            rejects: self.rejects,
            rules: &self.front.graphite_rules,
            tail: &mut self.tail,
            now_ns: self.now_ns,
            shards: self.front.cluster.shard_count(),
            line_bytes_max: usize::try_from(config.graphite_max_line_size.0).unwrap_or(usize::MAX),
            names_max: NAMES_MAX,
        };
        graphite::decode(input, batcher, &mut context)
    }

    fn pickle(&mut self, input: &[u8], batcher: &mut Batcher) -> Progress {
        let config = self.front.config();
        let catalog = self.front.cluster.catalog();
        let mut context = pickle::Context {
            catalog: &catalog,
            cache: &mut self.front.series_cache(batcher.target()),
            rejects: self.rejects,
            rules: &self.front.graphite_rules,
            reader: &mut self.front.pickles.borrow_mut(),
            now_ns: self.now_ns,
            shards: self.front.cluster.shard_count(),
            frame_bytes_max: usize::try_from(config.pickle_max_size.0).unwrap_or(usize::MAX),
            turn_bytes: SLICE_BYTES,
            names_max: NAMES_MAX,
            frames: 0,
            ends: false,
        };
        let progress = pickle::decode(input, batcher, &mut context);
        let (frames, ends) = (context.frames, context.ends);
        self.frames += frames;
        self.ends = ends;
        progress
    }

    /// The door's database and policy; `None` when the database has to be made.
    fn target(&self) -> Result<Option<Target>, IngestError> {
        let catalog = self.front.cluster.catalog();
        let config = self.front.config();
        let Some(database) = catalog.database(database(config, self.door)) else {
            return Ok(None);
        };
        let named = match self.door {
            StreamDoor::Telnet => "",
            _ => config.graphite_retention_policy.as_str(),
        };
        let (name, policy) = if named.is_empty() {
            (database.default_name.as_str(), database.default_policy)
        } else {
            (named, catalog.policy(database.id, named).map(|policy| policy.id))
        };
        let policy = policy.ok_or_else(|| CatalogError::PolicyNotFound(name.to_owned()))?;
        Ok(Some(Target { db: database.id, policy }))
    }
}

fn database(config: &Config, door: StreamDoor) -> &str {
    match door {
        StreamDoor::Telnet => &config.telnet_database,
        _ => &config.graphite_database,
    }
}
