//! `/query`: InfluxQL in, JSON out, streamed while the query runs.
//!
//! Parameters come from a form body first, then from the URL. The query runs in a task of its own,
//! in the queue of queries; its answer goes through a bounded pipe, so a slow client holds it back
//! and one that goes away ends it. An answer that fits one piece is sent whole.

use super::front::Front;
use super::params::Params;
use super::reply::{self, JSON, Pipe, Reply};
use super::routes::Head;
use crate::encode::json::{self, Writer};
use crate::env::{Env, Queue, Task};
use crate::influxql::{self, ParamValue, Statement};
use crate::query::{self, Closed, Limits, ResultPart, Sink};
use crate::route::queries::Stop;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_lite::future;
use hyper::body::{Body, Bytes};
use hyper::header::{CONTENT_ENCODING, HeaderValue};
use hyper::{Method, StatusCode};
use simd_json::prelude::*;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

/// Largest form body, as the reference has it.
const FORM_BYTES_MAX: usize = 10 << 20;
/// Answers are handed to the connection in pieces of this size (bytes).
const PIECE_BYTES: usize = 64 << 10;
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
        Err((status, text)) => reply::error(status, text.as_bytes(), head.pretty()),
    }
}

/// A query that is understood.
struct Question {
    statements: Vec<Statement>,
    options: query::Options,
    json: json::Options,
    detached: bool,
    packed: bool,
}

async fn prepare<E, B>(front: &Front<E>, head: &Head, body: B) -> Result<Question, Refused>
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let mut params = head.params.clone();
    if head.method == Method::POST && head.header("content-type").starts_with(FORM) {
        params.overlay(Params::parse(&form(body).await?));
    }
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let text = params.get("q").trim();
    if text.is_empty() {
        return Err(bad("missing required parameter \"q\"".to_owned()));
    }
    let bound = bind(params.get("params")).map_err(bad)?;
    let statements = influxql::parse(text, &bound)
        .map_err(|error| bad(format!("error parsing query: {error}")))?;
    let name =
        |key| Some(params.get(key)).filter(|name: &&str| !name.is_empty()).map(str::to_owned);
    let chunk = chunk_rows(&params);
    let config = front.config();
    let timeout = u64::try_from(config.query_timeout.as_nanos()).unwrap_or(u64::MAX);
    let options = query::Options {
        db: name("db"),
        rp: name("rp"),
        read_only: head.method != Method::POST,
        now_ns: front.env.now_wall(),
        chunk,
        memory_bytes: usize::try_from(config.query_memory.0).unwrap_or(usize::MAX),
        timeout_ns: timeout,
        server: front.server.clone(),
        limits: Limits {
            select_series: config.query_max_series as u64,
            select_buckets: config.query_max_buckets as u64,
            select_points: config.query_max_points as u64,
        },
    };
    let epoch_ns = epoch(params.get("epoch"));
    let json = json::Options {
        epoch_ns,
        pretty: head.pretty(),
        chunk,
        rows_max: config.query_max_rows as u64,
    };
    let packed = head.header("accept-encoding").contains("gzip");
    let detached = params.get("async") == "true";
    Ok(Question { statements, options, json, detached, packed })
}

const FORM: &str = "application/x-www-form-urlencoded";

async fn form<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Result<Vec<u8>, Refused> {
    use http_body_util::BodyExt;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let cut = |_| (StatusCode::BAD_REQUEST, "unexpected EOF".to_owned());
        let Ok(part) = frame.map_err(cut)?.into_data() else { continue };
        if bytes.len() + part.len() > FORM_BYTES_MAX {
            return Err((StatusCode::BAD_REQUEST, "http: POST too large".to_owned()));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
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

/// Bind parameters from their JSON object.
fn bind(text: &str) -> Result<influxql::Params, String> {
    let mut bound = influxql::Params::new();
    if text.is_empty() {
        return Ok(bound);
    }
    let mut bytes = text.as_bytes().to_vec();
    let value = simd_json::to_borrowed_value(&mut bytes)
        .map_err(|error| format!("error parsing query parameters: {error}"))?;
    let Some(object) = value.as_object() else {
        return Err("error parsing query parameters: an object is expected".to_owned());
    };
    for (name, value) in object {
        bound.set(name.as_ref(), param(value));
    }
    Ok(bound)
}

fn param(value: &simd_json::BorrowedValue<'_>) -> ParamValue {
    if let Some(object) = value.as_object() {
        let mut entries = object.iter();
        return match (entries.next(), entries.next()) {
            (Some((kind, value)), None) => typed_param(kind, value),
            _ => ParamValue::Invalid(
                "bound object parameter value must have exactly one entry".to_owned(),
            ),
        };
    }
    plain_param(value).unwrap_or_else(|| {
        let kind = format!("{:?}", value.value_type()).to_lowercase();
        ParamValue::Invalid(format!("unable to bind parameter with type {kind}"))
    })
}

fn plain_param(value: &simd_json::BorrowedValue<'_>) -> Option<ParamValue> {
    let text = value.as_str().map(|text| ParamValue::String(text.to_owned()));
    let integer = || value.as_i64().map(ParamValue::Integer);
    let float = || value.as_f64().map(ParamValue::Float);
    text.or_else(integer).or_else(float).or_else(|| value.as_bool().map(ParamValue::Boolean))
}

fn typed_param(kind: &str, value: &simd_json::BorrowedValue<'_>) -> ParamValue {
    let text = value.as_str().map(str::to_owned);
    let (made, wanted) = match kind {
        "ident" | "identifier" => {
            (text.map(ParamValue::Identifier), "identifier must be a string value")
        }
        "regex" => (text.map(ParamValue::Regex), "regex literal must be a string value"),
        "string" => (text.map(ParamValue::String), "string literal must be a string value"),
        "float" | "number" => {
            (value.cast_f64().map(ParamValue::Float), "number literal must be a float value")
        }
        "int" | "integer" => {
            let integer = value.as_i64().map(ParamValue::Integer);
            (integer, "integer literal must be an integer value")
        }
        "duration" => {
            let made = text.map(ParamValue::Duration);
            let made = made.or_else(|| value.as_i64().map(ParamValue::Nanoseconds));
            (made, "duration literal must be a string or integer value")
        }
        other => {
            return ParamValue::Invalid(format!("unknown bind object type: {other}"));
        }
    };
    made.unwrap_or_else(|| ParamValue::Invalid(wanted.to_owned()))
}

async fn answer<E: Env>(front: &Rc<Front<E>>, question: Question) -> Reply {
    let (pipe, mut end) = reply::pipe();
    let served = front.clone();
    let packed = question.packed;
    let detached = question.detached;
    let task = async move { run(&served, question, pipe).await };
    front.env.spawn(Queue::Query, task).detach();
    if detached {
        // The task writes into a pipe that nobody reads but somebody holds.
        front.env.spawn(Queue::Query, async move { while end.next().await.is_some() {} }).detach();
        return reply::empty(StatusCode::NO_CONTENT);
    }
    let first = end.next().await.unwrap_or_default();
    let mut reply = if end.is_over() {
        reply::bytes(StatusCode::OK, JSON, first.to_vec())
    } else {
        end.put_back(first);
        reply::streamed(JSON, end)
    };
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
        writer: Writer::new(question.json),
        packer: question.packed.then(|| GzEncoder::new(Vec::new(), Compression::fast())),
        pipe: &pipe,
        chunked: question.json.chunk.is_some(),
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
                front.env.sleep(Duration::from_nanos(options.timeout_ns)).await;
                running.entry.stop(Stop::Timeout);
                future::pending().await
            };
            match options.timeout_ns {
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
        self.writer.part(part);
        if self.writer.is_cut() {
            return Err(Closed);
        }
        let due = self.chunked && !self.writer.is_empty();
        if due || self.writer.len() >= PIECE_BYTES {
            self.hand_over(false).await?;
            self.front.env.yield_now().await;
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

    #[test]
    fn bound_values_have_kinds() {
        let text = r#"{"a":"x","b":1,"c":1.5,"d":true,"e":{"duration":"1m"},"f":{"regex":"a.*"}}"#;
        let bound = bind(text).unwrap();
        assert_eq!(bound.get("a"), Some(&ParamValue::String("x".into())));
        assert_eq!(bound.get("b"), Some(&ParamValue::Integer(1)));
        assert_eq!(bound.get("c"), Some(&ParamValue::Float(1.5)));
        assert_eq!(bound.get("d"), Some(&ParamValue::Boolean(true)));
        assert_eq!(bound.get("e"), Some(&ParamValue::Duration("1m".into())));
        assert_eq!(bound.get("f"), Some(&ParamValue::Regex("a.*".into())));
        assert!(bind("{").is_err() && bind("[]").is_err());
        let wrong = bind(r#"{"a":{"regex":1}}"#).unwrap();
        assert!(matches!(wrong.get("a"), Some(ParamValue::Invalid(_))));
    }
}
