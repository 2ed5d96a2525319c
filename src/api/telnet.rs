//! The telnet door above its sockets: what a connection read becomes rows, in order.
//!
//! In: the bytes of one connection, as they come. Out: durable rows, answers to `version`, counted
//! drops. One write of a connection is in flight at a time, so its rows keep their order, and the
//! next bytes are decoded meanwhile. KairosDB tells a sender nothing of what was wrong, so the
//! counters and a line in the log now and then are all there is.

use super::front::Front;
use super::ingest::{IngestError, NAMES_MAX, Stored, TRIES_MAX};
use crate::catalog::CatalogError;
use crate::env::Env;
use crate::model::{DbId, PolicyId};
use crate::protocol::telnet::{self, Reject, Rejects};
use crate::protocol::{Batcher, Outcome, Progress, Tail, Target};
use std::rc::Rc;

/// The answer to `version`; KairosDB's clients look for its name.
pub const VERSION_LINE: &str = concat!("KairosDB 1.3.0-ringtail.", env!("CARGO_PKG_VERSION"), "\n");

/// The target of rows while their database is not there: the catalog knows nothing of it.
const NOWHERE: Target = Target { db: DbId(u32::MAX), policy: PolicyId(u32::MAX) };

/// Decoding of one connection.
pub struct Decoder<E: Env> {
    front: Rc<Front<E>>,
    tail: Tail,
    peer: String,
}

/// A decoded part of a connection, not written yet.
pub struct Decoded {
    outcome: Outcome,
    /// The complete lines, for decoding again.
    bytes: Vec<u8>,
    before: Tail,
    now_ns: i64,
    /// Answers to `version` that are due before the next part's.
    pub versions: u32,
    /// Bytes of the input that were used.
    pub consumed: usize,
}

impl<E: Env> Decoder<E> {
    /// A new connection of `peer` (for the log).
    pub fn new(front: Rc<Front<E>>, peer: String) -> Decoder<E> {
        Decoder { front, tail: Tail::default(), peer }
    }

    /// Decodes the complete lines of `input`; `spare` is a buffer of an earlier part to be used
    /// again.
    pub async fn decode(&mut self, input: &[u8], spare: Vec<u8>) -> Result<Decoded, IngestError> {
        let front = self.front.clone();
        let (before, now_ns) = (self.tail, front.env.now_wall());
        let mut rejects = Rejects::default();
        let mut pass = Pass { front: &front, rejects: &mut rejects, now_ns, tail: self.tail };
        let (outcome, consumed, versions) = pass.run(input).await?;
        self.tail = pass.tail;
        self.count(&mut rejects);
        let mut bytes = spare;
        bytes.clear();
        bytes.extend_from_slice(input.get(..consumed).unwrap_or(input));
        Ok(Decoded { outcome, bytes, before, now_ns, versions, consumed })
    }

    fn count(&self, rejects: &mut Rejects) {
        let total = rejects.total();
        if total == 0 {
            return;
        }
        let doors = self.front.doors();
        doors.telnet_lines_dropped.add(total);
        for (why, counter) in Reject::ALL.iter().zip(&doors.telnet_dropped) {
            counter.add(rejects.of(*why));
            if let Some(line) = rejects.take_sample(*why) {
                let line = String::from_utf8_lossy(&line);
                let reason = why.name();
                self.front.note(|| format!("telnet {}: dropped ({reason}): {line:?}", self.peer));
            }
        }
    }
}

/// Writes a decoded part; gives its buffer back. Rows that cannot be stored are counted and
/// logged.
pub async fn store<E: Env>(front: &Rc<Front<E>>, part: Decoded) -> Vec<u8> {
    let Decoded { outcome, bytes, before, now_ns, .. } = part;
    let rows = outcome.rows;
    let mut result = front.commit(outcome).await;
    for _ in 1..TRIES_MAX {
        if result != Err(IngestError::Stale) {
            break;
        }
        // What was wrong with lines was counted the first time.
        let mut rejects = Rejects::default();
        let mut pass = Pass { front, rejects: &mut rejects, now_ns, tail: before };
        result = match pass.run(&bytes).await {
            Ok((outcome, ..)) => front.commit(outcome).await,
            Err(error) => Err(error),
        };
    }
    match result {
        Ok(Stored { rows, refused, .. }) => {
            front.doors().telnet_points_ok.add(rows);
            if let Some(refused) = refused {
                front.doors().telnet_points_failed.add(refused.rows);
                let (rows, reason) = (refused.rows, refused.reason);
                front.note(|| format!("telnet: {rows} points not stored: {reason}"));
            }
        }
        Err(error) => {
            front.doors().telnet_points_failed.add(rows);
            front.note(|| format!("telnet: {rows} points not stored: {error}"));
        }
    }
    bytes
}

/// One pass over bytes, until they are all decoded.
struct Pass<'f, E: Env> {
    front: &'f Front<E>,
    rejects: &'f mut Rejects,
    now_ns: i64,
    tail: Tail,
}

impl<E: Env> Pass<'_, E> {
    async fn run(&mut self, input: &[u8]) -> Result<(Outcome, usize, u32), IngestError> {
        // Without a database nothing is known, so the first good line asks for names.
        let mut target = self.target()?;
        let mut batcher = self.front.take_batcher();
        batcher.begin(target.unwrap_or(NOWHERE));
        let (mut at, mut versions, mut stuck) = (0, 0, 0);
        loop {
            match self.step(input.get(at..).unwrap_or(&[]), &mut batcher, &mut versions) {
                Progress::Done { consumed } => {
                    let outcome = batcher.finish();
                    self.front.give_batcher(batcher);
                    return Ok((outcome, at + consumed, versions));
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
                    self.front.make_database(&self.front.config().telnet_database).await?;
                    target = self.target()?;
                    batcher.begin(target.ok_or(IngestError::Stale)?);
                }
            }
        }
    }

    fn step(&mut self, input: &[u8], batcher: &mut Batcher, versions: &mut u32) -> Progress {
        let config = self.front.config();
        let catalog = self.front.cluster.catalog();
        let mut context = telnet::Context {
            catalog: &catalog,
            cache: &mut self.front.cache.borrow_mut(),
            rejects: self.rejects,
            tail: &mut self.tail,
            now_ns: self.now_ns,
            shards: self.front.cluster.shard_count(),
            line_bytes_max: usize::try_from(config.telnet_max_line_size.0).unwrap_or(usize::MAX),
            names_max: NAMES_MAX,
            ttl_default_s: i64::try_from(config.kairosdb_ttl.as_secs()).unwrap_or(i64::MAX),
            versions: 0,
        };
        let progress = telnet::decode(input, batcher, &mut context);
        *versions += context.versions;
        progress
    }

    /// The door's database; `None` when it has to be made.
    fn target(&self) -> Result<Option<Target>, IngestError> {
        let catalog = self.front.cluster.catalog();
        let name = &self.front.config().telnet_database;
        let Some(database) = catalog.database(name) else { return Ok(None) };
        let lost = || CatalogError::PolicyNotFound(database.default_name.clone());
        let policy = database.default_policy.ok_or_else(lost)?;
        Ok(Some(Target { db: database.id, policy }))
    }
}
