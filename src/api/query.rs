//! `/query`: InfluxQL in; JSON, CSV or MessagePack out, streamed while the query runs.
//!
//! Parameters come from a form body first, then from the URL. The query runs in a task of its own,
//! in the queue of queries; its answer goes through a bounded pipe, so a slow client holds it back
//! and one that goes away ends it.

use super::front::Front;
use super::params::Params;
use super::reply::{self, Pipe, Reply};
use super::routes::Head;
use super::{bind, form};
use crate::encode::{self, Format, Writer};
use crate::env::{Env, Queue, Task};
use crate::influxql::{self, Statement};
use crate::query::{self, Closed, Limits, ResultPart, Sink, privileges};
use crate::route::queries::Stop;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_lite::future;
use hyper::body::{Body, Bytes};
use hyper::header::{CONTENT_ENCODING, HeaderValue};
use hyper::{Method, StatusCode};
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

/// Answers are handed to the connection in pieces of this size (bytes).
const PIECE_BYTES: usize = 64 << 10;
/// Time that a query computes on this core between two turns of other tasks, at most (ns).
const SLICE_NS: u64 = 50_000;
/// A longer text takes longer to parse than a core should be busy at a stretch (bytes).
const LONG_BYTES: usize = 32 << 10;
/// Rows of a chunk when the request does not say.
const CHUNK_ROWS: usize = 10_000;

/// Why a query does not run: status and text.
type Refused = (StatusCode, String);

/// Answers a query.
pub(super) async fn query<E, B>(front: &Rc<Front<E>>, head: &Head, body: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    front.doors().http_query_requests.add(1);
    match prepare(front, head, body).await {
        Ok(question) => answer(front, question).await,
        Err((status, text)) => reply::refuse(head, status, text.as_bytes()),
    }
}

/// A query that is understood.
struct Question {
    statements: Vec<Statement>,
    options: query::Options,
    format: Format,
    json: encode::Options,
    detached: bool,
    packed: bool,
}

async fn prepare<E, B>(front: &Front<E>, head: &Head, body: B) -> Result<Question, Refused>
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let params = form::params(head, body).await?;
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let text = params.get("q").trim();
    if text.is_empty() {
        return Err(bad("missing required parameter \"q\"".to_owned()));
    }
    let bound = bind::bind(params.get("params")).map_err(bad)?;
    let statements = parse(front, text, bound)
        .await
        .map_err(|error| bad(format!("error parsing query: {error}")))?;
    if front.config().http_auth_enabled {
        let (user, db) = (head.user.as_deref(), params.get("db"));
        privileges::authorize(&front.cluster.catalog(), user, &statements, db)
            .map_err(|text| (StatusCode::FORBIDDEN, format!("error authorizing query: {text}")))?;
    }
    let name =
        |key| Some(params.get(key)).filter(|name: &&str| !name.is_empty()).map(str::to_owned);
    let chunk = chunk_rows(&params);
    let config = front.config();
    let options = query::Options {
        db: name("db"),
        rp: name("rp"),
        read_only: head.method != Method::POST,
        now_ns: front.env.now_wall(),
        chunk,
        memory_bytes: usize::try_from(config.query_memory.0).unwrap_or(usize::MAX),
        deadline_ns: front.query_deadline(),
        server: front.server.clone(),
        user: head.user.clone(),
        limits: Limits {
            select_series: config.query_max_series as u64,
            select_buckets: config.query_max_buckets as u64,
            select_points: config.query_max_points as u64,
        },
    };
    let epoch_ns = epoch(params.get("epoch"));
    let json = encode::Options {
        epoch_ns,
        pretty: head.pretty(),
        chunk,
        rows_max: config.query_max_rows as u64,
    };
    let packed = head.header("accept-encoding").contains("gzip");
    let detached = params.get("async") == "true";
    Ok(Question { statements, options, format: head.format, json, detached, packed })
}

/// Parses a query; one so long that it would hold up the core is parsed elsewhere.
async fn parse<E: Env>(
    front: &Front<E>,
    text: &str,
    bound: influxql::Params,
) -> Result<Vec<Statement>, influxql::ParseError> {
    if text.len() < LONG_BYTES {
        return influxql::parse(text, &bound);
    }
    let text = text.to_owned();
    front.env.blocking(move || influxql::parse(&text, &bound)).await
}

/// `chunked=true` with an optional size, or a number of rows as the Alibaba text has it.
fn chunk_rows(params: &Params) -> Option<usize> {
    let positive = |text: &str| text.parse::<usize>().ok().filter(|rows| *rows > 0);
    match params.get("chunked") {
        "true" => Some(positive(params.get("chunk_size")).unwrap_or(CHUNK_ROWS)),
        other => positive(other),
    }
}

/// The unit of times (ns); `None`: texts.
fn epoch(text: &str) -> Option<i64> {
    Some(match text {
        "" => return None,
        "u" | "us" | "µ" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => 1,
    })
}

async fn answer<E: Env>(front: &Rc<Front<E>>, question: Question) -> Reply {
    let (pipe, mut end) = reply::pipe();
    let served = front.clone();
    let packed = question.packed;
    let kind = HeaderValue::from_static(question.format.content_type());
    let detached = question.detached;
    let task = async move { run(&served, question, pipe).await };
    front.env.spawn(Queue::Query, task).detach();
    if detached {
        // The task writes into a pipe that nobody reads but somebody holds.
        front.env.spawn(Queue::Query, async move { while end.next().await.is_some() {} }).detach();
        return reply::empty(StatusCode::NO_CONTENT);
    }
    // Head and beginning leave together; without a length even when that is all, as from InfluxDB.
    if let Some(first) = end.next().await {
        end.put_back(first);
    }
    let mut reply = reply::streamed(kind, end);
    if packed {
        reply.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    reply
}

async fn run<E: Env>(front: &Rc<Front<E>>, question: Question, pipe: Pipe) {
    let doors = front.doors();
    let started = front.env.now_mono();
    let mut sink = Output {
        front,
        writer: Writer::new(question.format, question.json, question.options.memory_bytes),
        packer: question.packed.then(|| GzEncoder::new(Vec::new(), Compression::fast())),
        pipe: &pipe,
        chunked: question.json.chunk.is_some(),
        rested: started,
    };
    future::or(listed(front, &question, &mut sink), pipe.abandoned()).await;
    doors.http_query_ns.add(front.env.now_mono().saturating_sub(started));
}

/// Runs the query while it stands in the list of queries.
async fn listed<E: Env>(front: &Rc<Front<E>>, question: &Question, sink: &mut Output<'_, E>) {
    let (statements, options) = (&question.statements, &question.options);
    let texts: Vec<String> = statements.iter().map(Statement::to_string).collect();
    let db = options.db.as_deref().unwrap_or_default();
    let cut = match front.enter_query(&texts.join(";\n"), db) {
        Err(refusal) => sink.part(ResultPart::of_error(0, refusal)).await.is_err(),
        Ok(running) => {
            let run = query::run(&front.cluster, statements, options, &running.entry, sink);
            let late = async {
                let left = options.deadline_ns.saturating_sub(front.env.now_mono());
                front.env.sleep(Duration::from_nanos(left)).await;
                running.entry.stop(Stop::Timeout);
                future::pending().await
            };
            match options.deadline_ns {
                0 => run.await.is_err(),
                _ => future::or(run, late).await.is_err(),
            }
        }
    };
    if !cut || sink.writer.is_cut() {
        sink.writer.finish();
        sink.hand_over(true).await.ok();
    }
}

/// Where the parts of an answer become bytes.
struct Output<'a, E: Env> {
    front: &'a Front<E>,
    writer: Writer,
    packer: Option<GzEncoder<Vec<u8>>>,
    pipe: &'a Pipe,
    chunked: bool,
    /// When other tasks had a turn (monotonic, ns).
    rested: u64,
}

impl<E: Env> Output<'_, E> {
    /// Hands the bytes over when there is room. A query may be stopped while it waits here: until
    /// there is room nothing is taken out of the writer.
    async fn hand_over(&mut self, last: bool) -> Result<(), Closed> {
        if !self.pipe.room().await {
            return Err(Closed);
        }
        let plain = self.writer.take();
        let bytes = match &mut self.packer {
            None => plain,
            Some(packer) => {
                packer.write_all(&plain).map_err(|_| Closed)?;
                if last {
                    packer.try_finish().map_err(|_| Closed)?;
                } else if self.chunked {
                    packer.flush().map_err(|_| Closed)?;
                }
                std::mem::take(packer.get_mut())
            }
        };
        self.front.doors().http_query_bytes.add(bytes.len() as u64);
        self.pipe.push(bytes);
        Ok(())
    }
}

impl<E: Env> Sink for Output<'_, E> {
    async fn part(&mut self, part: ResultPart) -> Result<(), Closed> {
        // An error ends the answer, perhaps because the query was stopped while nobody read it: it
        // waits with the last bytes, when the query has left the list.
        let failed = part.error.is_some();
        self.writer.part(part);
        if self.writer.is_cut() {
            return Err(Closed);
        }
        if failed {
            return Ok(());
        }
        let due = self.chunked && !self.writer.is_empty();
        if due || self.writer.len() >= PIECE_BYTES {
            self.hand_over(false).await?;
            self.rested = 0;
        }
        // Between two parts lies the work of merging and finishing, too.
        let env = &self.front.env;
        if env.now_mono().saturating_sub(self.rested) >= SLICE_NS {
            env.yield_now().await;
            self.rested = env.now_mono();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_url_mean_what_they_mean_in_influxdb() {
        let rows = |text: &str| chunk_rows(&Params::parse(text.as_bytes()));
        assert_eq!(rows("chunked=true"), Some(10_000));
        assert_eq!(rows("chunked=true&chunk_size=7"), Some(7));
        assert_eq!(rows("chunked=true&chunk_size=-7"), Some(10_000));
        assert_eq!((rows("chunked=false&chunk_size=7"), rows("chunked=5")), (None, Some(5)));
        assert_eq!((epoch(""), epoch("n"), epoch("s")), (None, Some(1), Some(1_000_000_000)));
    }
}
