//! `POST datapoints`: metrics in JSON, durable rows out.
//!
//! The body is decoded as it comes, in slices with turns for other tasks between them, and written
//! when it is over. Its bytes stay until then, because a write that meets a dropped name is decoded
//! again. 204 means that all points are on disk and visible; 400 tells what was wrong, and what was
//! good is stored then too.

use super::{Call, answer, body};
use crate::api::front::Front;
use crate::api::gzip::{self, Inflater};
use crate::api::ingest::{IngestError, NAMES_MAX, SLICE_BYTES, Stored, TRIES_MAX};
use crate::api::parts;
use crate::api::reply::{self, Reply};
use crate::env::Env;
use crate::model::{DbId, PolicyId};
use crate::protocol::kairos::{Context, Document, Report, Step};
use crate::protocol::{Batcher, Target};
use hyper::StatusCode;
use hyper::body::{Body, Bytes};
use hyper::header::HeaderValue;
use std::rc::Rc;

/// The target of rows while their database is not there: the catalog knows nothing of it.
const NOWHERE: Target = Target { db: DbId(u32::MAX), policy: PolicyId(u32::MAX) };

/// Why nothing of a body is stored.
struct Refused(StatusCode, String);

impl From<Refused> for Reply {
    fn from(Refused(status, text): Refused) -> Reply {
        let mut reply = answer::error(status, &text);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            reply.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
        }
        reply
    }
}

impl From<&IngestError> for Refused {
    fn from(error: &IngestError) -> Refused {
        let status = match error {
            IngestError::Timeout | IngestError::Busy | IngestError::Stale => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refused(status, error.to_string())
    }
}

/// Answers a request.
pub(super) async fn add<E, B>(front: &Rc<Front<E>>, call: &Call<'_>, body: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let doors = front.doors();
    doors.kairos_write_requests.add(1);
    let started = front.env.now_mono();
    let reply = accept(front, call, body).await.unwrap_or_else(|refusal| refusal);
    doors.kairos_write_ns.add(front.env.now_mono().saturating_sub(started));
    reply
}

/// Writes points that the server itself made, as a body of this path says them.
///
/// # Errors
/// Why they are not stored, or not all of them.
pub(super) async fn save<E: Env>(
    front: &Front<E>,
    database: &str,
    body: &[u8],
) -> Result<(), String> {
    let may_make = database == front.config().kairosdb_database;
    let intake = Intake::new(front, database.to_owned(), may_make);
    let intake = intake.map_err(|Refused(_, text)| text)?;
    let (report, _) = intake.finish(body).await.map_err(|Refused(_, text)| text)?;
    report.into_messages().into_iter().next().map_or(Ok(()), Err)
}

async fn accept<E, B>(front: &Rc<Front<E>>, call: &Call<'_>, body: B) -> Result<Reply, Reply>
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let database = call.database(front).to_owned();
    let may_make = database == front.config().kairosdb_database;
    let mut intake = Intake::new(front, database, may_make)?;
    let limit = Some(front.config().http_max_body_size.0).filter(|limit| *limit > 0);
    let sent: Option<u64> = call.head.header("content-length").parse().ok();
    if sent.zip(limit).is_some_and(|(sent, limit)| sent > limit) {
        return Err(body::too_large());
    }
    let limit = limit.unwrap_or(u64::MAX);
    let bytes = if body::is_packed(call.head) {
        inflate(front, body, limit, &mut intake).await?
    } else {
        collect(front, body, limit, &mut intake).await?
    };
    let finished = intake.finish(&bytes).await;
    front.give_body(bytes);
    let (report, stored) = finished?;
    let doors = front.doors();
    doors.kairos_points_ok.add(stored.rows);
    doors.http_points_ok.add(stored.rows);
    doors.http_values_ok.add(stored.values);
    doors.http_points_dropped.add(report.refused_points);
    doors.kairos_metrics_refused.add(report.refused_metrics);
    if report.is_clean() {
        return Ok(reply::empty(StatusCode::NO_CONTENT));
    }
    let messages = report.into_messages();
    Ok(answer::errors(StatusCode::BAD_REQUEST, messages.iter().map(String::as_bytes)))
}

async fn collect<E, B>(
    front: &Front<E>,
    mut sent: B,
    limit: u64,
    intake: &mut Intake<'_, E>,
) -> Result<Vec<u8>, Reply>
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let mut bytes = front.take_body();
    while let Some(part) = parts::next(&mut sent).await? {
        if (bytes.len() + part.len()) as u64 > limit {
            return Err(body::too_large());
        }
        bytes.extend_from_slice(&part);
        if intake.advance(&bytes).await? {
            break;
        }
    }
    Ok(bytes)
}

async fn inflate<E, B>(
    front: &Front<E>,
    mut sent: B,
    limit: u64,
    intake: &mut Intake<'_, E>,
) -> Result<Vec<u8>, Reply>
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let mut inflater = Inflater::new(front.take_body(), front.config().http_max_inflated_size.0);
    let mut taken = 0u64;
    while let Some(part) = parts::next(&mut sent).await? {
        taken += part.len() as u64;
        if taken > limit {
            return Err(body::too_large());
        }
        for slice in part.chunks(gzip::SLICE_BYTES) {
            inflater.push(slice).map_err(body::not_gzip)?;
            front.env.yield_now().await;
        }
        if intake.advance(inflater.bytes()).await? {
            return Ok(inflater.bytes().to_vec());
        }
    }
    inflater.finish().map_err(body::not_gzip)
}

/// A body under way.
struct Intake<'f, E: Env> {
    front: &'f Front<E>,
    database: String,
    /// Whether the database is made when it is missing.
    may_make: bool,
    target: Option<Target>,
    batcher: Batcher,
    document: Document,
    report: Report,
    now_ns: i64,
    /// Bytes of the body that were there at the last look.
    seen: usize,
}

impl<'f, E: Env> Intake<'f, E> {
    fn new(
        front: &'f Front<E>,
        database: String,
        may_make: bool,
    ) -> Result<Intake<'f, E>, Refused> {
        let mut intake = Intake {
            front,
            database,
            may_make,
            target: None,
            batcher: front.take_batcher(),
            document: Document::default(),
            report: Report::default(),
            now_ns: front.env.now_wall(),
            seen: 0,
        };
        intake.restart()?;
        Ok(intake)
    }

    /// Begins with the body's first byte.
    fn restart(&mut self) -> Result<(), Refused> {
        self.target = self.find_target()?;
        self.batcher.begin(self.target.unwrap_or(NOWHERE));
        (self.document, self.report) = (Document::default(), Report::default());
        Ok(())
    }

    fn find_target(&self) -> Result<Option<Target>, Refused> {
        let catalog = self.front.cluster.catalog();
        let Some(database) = catalog.database(&self.database) else {
            let text = format!("database not found: {}", self.database);
            let missing = Refused(StatusCode::NOT_FOUND, text);
            return if self.may_make { Ok(None) } else { Err(missing) };
        };
        let policy = database.default_policy.ok_or_else(|| {
            let text = format!("retention policy not found: {}", database.default_name);
            Refused(StatusCode::INTERNAL_SERVER_ERROR, text)
        })?;
        Ok(Some(Target { db: database.id, policy }))
    }

    /// Decodes what came in when it is worth a slice; true when nothing more is wanted.
    async fn advance(&mut self, bytes: &[u8]) -> Result<bool, Refused> {
        if bytes.len() - self.seen.min(bytes.len()) < SLICE_BYTES {
            return Ok(false);
        }
        self.seen = bytes.len();
        self.decode(bytes, false).await
    }

    /// Decodes the rest and writes it; gives what was wrong and what was stored.
    async fn finish(mut self, bytes: &[u8]) -> Result<(Report, Stored), Refused> {
        let mut tries = 1;
        loop {
            self.decode(bytes, true).await?;
            let outcome = self.batcher.finish();
            let rows = outcome.rows;
            let stored = self.front.in_time(self.front.write_and_copy(outcome)).await;
            match stored {
                Ok(stored) => {
                    if let Some(limited) = &stored.refused {
                        self.report.refused_points += limited.rows;
                        let (rows, reason) = (limited.rows, &limited.reason);
                        self.report.add(|| format!("{rows} data points dropped: {reason}"));
                    }
                    self.front.give_batcher(self.batcher);
                    return Ok((self.report, stored));
                }
                Err(IngestError::Stale) if tries < TRIES_MAX => tries += 1,
                Err(error) => {
                    self.front.doors().http_points_failed.add(rows);
                    return Err(Refused::from(&error));
                }
            }
            self.restart()?;
        }
    }

    async fn decode(&mut self, bytes: &[u8], last: bool) -> Result<bool, Refused> {
        let (mut mark, mut stuck) = (None, 0);
        loop {
            match self.step(bytes, last) {
                Step::Done => return Ok(true),
                Step::Wait => return Ok(false),
                Step::Again => {}
                Step::Names(missing) => {
                    let here = Some(self.document.mark());
                    stuck = if here == mark { stuck + 1 } else { 0 };
                    mark = here;
                    if stuck > TRIES_MAX {
                        return Err(Refused::from(&IngestError::Stale));
                    }
                    let making = async {
                        match self.target {
                            Some(it) => self.front.make_names(missing, it.policy, true).await,
                            None => self.front.make_database(&self.database).await,
                        }
                    };
                    let made = self.front.in_time(making).await;
                    made.map_err(|error| Refused::from(&error))?;
                    if self.target.is_none() {
                        self.restart()?;
                    }
                }
            }
            self.front.env.yield_now().await;
        }
    }

    fn step(&mut self, bytes: &[u8], last: bool) -> Step {
        let front = self.front;
        let catalog = front.cluster.catalog();
        let ttl_s = i64::try_from(front.config().kairosdb_ttl.as_secs()).unwrap_or(i64::MAX);
        let mut context = Context {
            catalog: &catalog,
            cache: &mut front.series_cache(self.batcher.target()),
            report: &mut self.report,
            now_ns: self.now_ns,
            shards: front.cluster.shard_count(),
            names_max: NAMES_MAX,
            ttl_default_s: ttl_s,
        };
        self.document.step(bytes, last, &mut self.batcher, &mut context)
    }
}
