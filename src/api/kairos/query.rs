//! `datapoints/query`, `datapoints/query/tags` and `datapoints/delete`.
//!
//! In: KairosDB's query object, in the body or in the URL's `query`. Out: its answer. A query runs
//! in a task of its own and stands in the list of queries; its answer goes through a bounded pipe,
//! so a slow client holds it back and one that goes away ends it. The status is told when the
//! answer is complete or longer than what is held back; a query that fails behind that leaves a
//! document that does not end.

use super::statistics::{self, Notes};
use super::{Call, answer, body, datapoints};
use crate::api::front::Front;
use crate::api::reply::{self, Pipe, Reply};
use crate::catalog::Rights;
use crate::env::{Env, Queue, Task};
use crate::kairos::request::{self, Query, Terms, json};
use crate::kairos::{self, Door, Failure, MS_NS, Options, Saved, metric};
use crate::route::queries::Stop;
use futures_lite::future;
use hyper::body::{Body, Bytes};
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Largest query (bytes).
const QUERY_BYTES_MAX: usize = 1 << 20;
/// Bytes of an answer that are held back while it may still fail.
const HOLD_BYTES: usize = 1 << 20;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=UTF-8");

/// `datapoints/query`, by POST and GET.
pub(super) async fn query<E, B>(front: &Rc<Front<E>>, call: &Call<'_>, sent: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    begin(front, call, sent, What::Points).await
}

/// `datapoints/query/tags`.
pub(super) async fn tags<E, B>(front: &Rc<Front<E>>, call: &Call<'_>, sent: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    begin(front, call, sent, What::Tags).await
}

/// `datapoints/delete`.
pub(super) async fn delete<E, B>(front: &Rc<Front<E>>, call: &Call<'_>, sent: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let question = match prepare(front, call, sent, What::Tags).await {
        Ok(question) => question,
        Err(reply) => return reply,
    };
    match kairos::delete(&front.cluster, &question.options, &question.query).await {
        Ok(()) => reply::empty(StatusCode::NO_CONTENT),
        Err(failure) => refusal(&failure),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Points,
    Tags,
}

/// A query that is understood.
struct Question {
    what: What,
    text: String,
    database: String,
    query: Query,
    options: Options,
}

fn refusal(failure: &Failure) -> Reply {
    let status = StatusCode::from_u16(failure.status);
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer::errors(status, failure.errors.iter().map(String::as_bytes))
}

async fn prepare<E, B>(
    front: &Front<E>,
    call: &Call<'_>,
    sent: B,
    what: What,
) -> Result<Question, Reply>
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let bytes = if call.head.method == Method::POST {
        body::whole(front, call.head, sent, QUERY_BYTES_MAX).await?
    } else {
        call.head.params.get("query").as_bytes().to_vec()
    };
    if bytes.is_empty() && call.head.method != Method::POST {
        let text = "query json must not be null or empty";
        return Err(answer::error(StatusCode::BAD_REQUEST, text));
    }
    let mut query = request::parse(&bytes, terms(front)).map_err(|failure| refusal(&failure))?;
    if what == What::Points && front.config().kairosdb_return_query {
        query.original = json::parse(&bytes).ok();
    }
    let database = call.database(front).to_owned();
    let config = front.config();
    if query.saves() && !(config.kairosdb_save_as && front.may(call.head, &database, Rights::WRITE))
    {
        return Err(answer::error(StatusCode::FORBIDDEN, "save_as is not allowed"));
    }
    let options = options(front, &database);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Question { what, text, database, query, options })
}

/// What reading a query of now depends on.
pub(super) fn terms<E: Env>(front: &Front<E>) -> Terms<'_> {
    let now = front.env.now_wall().div_euclid(MS_NS);
    Terms { now, regex_prefix: &front.config().kairosdb_regex_prefix }
}

/// What a query of a database that begins now is given.
pub(super) fn options<E: Env>(front: &Front<E>, database: &str) -> Options {
    let config = front.config();
    Options {
        place: metric::place(&front.cluster.catalog(), database),
        now_ns: front.env.now_wall(),
        memory_bytes: usize::try_from(config.query_memory.0).unwrap_or(usize::MAX),
        deadline_ns: front.query_deadline(),
        series_max: config.query_max_series as u64,
        points_max: config.query_max_points as u64,
        points: Rc::default(),
    }
}

async fn begin<E, B>(front: &Rc<Front<E>>, call: &Call<'_>, sent: B, what: What) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let question = match prepare(front, call, sent, what).await {
        Ok(question) => question,
        Err(reply) => return reply,
    };
    let (pipe, mut end) = reply::pipe();
    let failure = Rc::<RefCell<Option<Failure>>>::default();
    let (served, outcome) = (front.clone(), failure.clone());
    let task = async move {
        let result = run(&served, question, &pipe).await;
        // Set before the pipe ends: whoever reads it looks here then.
        *outcome.borrow_mut() = result.err();
        drop(pipe);
    };
    front.env.spawn(Queue::Query, task).detach();
    let first = end.next().await;
    if let Some(failure) = failure.borrow().as_ref().filter(|_| first.is_none()) {
        return refusal(failure);
    }
    match first {
        Some(first) if !end.is_over() => {
            end.put_back(first);
            reply::streamed(JSON, end)
        }
        first => reply::bytes(StatusCode::OK, JSON, first.unwrap_or_default().to_vec()),
    }
}

/// Runs the query while it stands in the list of queries.
async fn run<E: Env>(front: &Rc<Front<E>>, question: Question, pipe: &Pipe) -> Result<(), Failure> {
    let started = front.env.now_mono();
    let Question { what, text, database, query, options } = &question;
    let running = front.enter_query(text, database).map_err(Failure::internal)?;
    let notes = front.config().kairosdb_statistics.then(|| Notes::new(started));
    let mut out = Output { front, pipe, database, held: Vec::new(), sent: false, notes };
    let answered = async {
        match what {
            What::Points => kairos::query(&front.cluster, options, query, &mut out).await?,
            What::Tags => kairos::tags(&front.cluster, options, query, &mut out).await?,
        }
        out.finish().await
    };
    let stopped = async { Err(Failure::internal(running.entry.stopped().await.to_string())) };
    let late = async {
        match front.config().query_timeout {
            Duration::ZERO => future::pending().await,
            limit => front.env.sleep(limit).await,
        }
        running.entry.stop(Stop::Timeout);
        future::pending().await
    };
    let gone = async {
        pipe.abandoned().await;
        Err(Failure::internal("the client is gone"))
    };
    let result = future::or(future::or(answered, stopped), future::or(late, gone)).await;
    if let Some(notes) = out.notes.take() {
        statistics::note_query(front, &notes).await;
    }
    front.doors().http_query_ns.add(front.env.now_mono().saturating_sub(started));
    result
}

/// Where the answer goes.
struct Output<'a, E: Env> {
    front: &'a Front<E>,
    pipe: &'a Pipe,
    database: &'a str,
    /// What is held back while the query may fail.
    held: Vec<u8>,
    sent: bool,
    /// What is to be told of the metrics, where that is stored.
    notes: Option<Notes>,
}

impl<E: Env> Output<'_, E> {
    async fn send(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        if !self.pipe.room().await {
            return Err(Failure::internal("the client is gone"));
        }
        self.front.doors().http_query_bytes.add(bytes.len() as u64);
        self.sent = true;
        self.pipe.push(bytes);
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        let rest = std::mem::take(&mut self.held);
        self.send(rest).await
    }
}

impl<E: Env> Door for Output<'_, E> {
    async fn hand_over(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        if self.sent {
            return self.send(bytes).await;
        }
        self.held.extend_from_slice(&bytes);
        if self.held.len() < HOLD_BYTES {
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        self.send(held).await
    }

    async fn save(&mut self, points: Vec<Saved>) -> Result<(), Failure> {
        let body = kairos::body(&points);
        let saved = datapoints::save(self.front, self.database, &body).await;
        saved.map_err(|text| Failure::internal(format!("save_as: {text}")))
    }

    fn answered(&mut self, metric: &str, points: u64) {
        let now = self.front.env.now_mono();
        self.notes.iter_mut().for_each(|notes| notes.add(metric, points, now));
    }

    async fn rest(&self) {
        self.front.env.yield_now().await;
    }
}
