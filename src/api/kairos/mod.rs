//! KairosDB's REST API: everything under `/api/v1`, on every HTTP port.
//!
//! In: a request whose path begins so. Out: an answer with KairosDB's headers, its errors as
//! `{"errors":[…]}`, packed when the client takes gzip. `paths` is the table; handlers make plain
//! answers and `answer` adds what they all carry.

mod admin;
mod answer;
mod body;
mod datapoints;
mod features;
mod info;
mod metadata;
mod metric;
mod names;
mod paths;
mod query;
mod rollups;
mod statistics;

use super::front::Front;
use super::reply::Reply;
use super::routes::Head;
use crate::catalog::Rights;
use crate::env::{Env, Queue, Task};
use crate::shard::scan::Want;
use hyper::body::{Body, Bytes};
use hyper::header::WWW_AUTHENTICATE;
use hyper::{Method, StatusCode};
use paths::{Handler, Route};
use std::rc::Rc;

/// What every path of this API begins with.
pub(super) const PREFIX: &str = "/api/v1/";

/// A request as handlers see it, beside its body.
pub(super) struct Call<'a> {
    pub head: &'a Head,
    /// The variable parts of the path, in order, percent signs resolved.
    pub args: Vec<String>,
}

impl Call<'_> {
    /// A variable part of the path; empty when the route has no such part.
    pub fn arg(&self, at: usize) -> &str {
        self.args.get(at).map_or("", String::as_str)
    }

    /// The database that is read and written: `db` of the URL, else the configured one.
    pub fn database<'f, E: Env>(&'f self, front: &'f Front<E>) -> &'f str {
        match self.head.params.get("db") {
            "" => &front.config().kairosdb_database,
            name => name,
        }
    }
}

/// Answers a request; `path` begins with `PREFIX`.
pub(super) async fn answer<E, B>(
    front: &Rc<Front<E>>,
    head: &mut Head,
    path: &str,
    body: B,
) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let Some((route, args)) = paths::find(path.strip_prefix(PREFIX).unwrap_or("")) else {
        return answer::dress(head, answer::error(StatusCode::NOT_FOUND, "Not Found"));
    };
    if let Some(refusal) = turned_off(front, route) {
        return answer::dress(head, refusal);
    }
    if head.method == Method::OPTIONS {
        return answer::preflight(head, route);
    }
    if !route.takes(&head.method) {
        return answer::dress(head, answer::wrong_method(route));
    }
    if let Some(refusal) = let_in(front, route, head).await {
        return answer::dress(head, refusal);
    }
    let call = Call { head, args };
    answer::dress(head, handle(front, route, &call, body).await)
}

/// Every path with one of its methods and the privilege that it needs.
pub(super) fn all() -> impl Iterator<Item = (Method, String, &'static str)> {
    paths::all().iter().map(|route| {
        let method = route.methods.first().cloned().unwrap_or(Method::GET);
        let needs = match needs(route.handler, &method) {
            Needs::Nothing | Needs::User => "",
            Needs::Rights(rights) if rights.write => "write",
            Needs::Rights(_) => "read",
        };
        (method, format!("{PREFIX}{}", route.pattern), needs)
    })
}

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// To be known.
    User,
    /// To be allowed this on the database.
    Rights(Rights),
}

const READ: Needs = Needs::Rights(Rights::READ);
const WRITE: Needs = Needs::Rights(Rights::WRITE);

/// What one has to be to ask.
fn needs(handler: Handler, method: &Method) -> Needs {
    match handler {
        Handler::Metadata if *method == Method::GET => READ,
        Handler::Metadata => WRITE,
        Handler::MetricNames | Handler::TagNames | Handler::TagValues => READ,
        Handler::Features | Handler::MetadataList => READ,
        Handler::Rollups | Handler::Rollup if *method == Method::GET => READ,
        Handler::RollupStatus => READ,
        Handler::Rollups | Handler::Rollup | Handler::Backfill => WRITE,
        Handler::HealthCheck | Handler::HealthStatus => Needs::Nothing,
        Handler::Version | Handler::RunningQueries => Needs::User,
        Handler::KillQuery | Handler::ScheduledJobs => Needs::User,
        Handler::Query | Handler::QueryTags => READ,
        Handler::Datapoints | Handler::Delete | Handler::Metric => WRITE,
    }
}

/// The refusal of a path whose class is turned off.
fn turned_off<E: Env>(front: &Front<E>, route: &Route) -> Option<Reply> {
    let on = front.config().kairosdb_server_type;
    let (class, on) = match route.handler {
        Handler::Datapoints => ("INGEST", on.ingest),
        Handler::Query | Handler::QueryTags => ("QUERY", on.query),
        Handler::MetricNames | Handler::TagNames | Handler::TagValues => ("QUERY", on.query),
        Handler::Delete | Handler::Metric => ("DELETE", on.delete),
        _ => return None,
    };
    let text = || format!("Forbidden: {class} API methods are disabled on this KairosDB instance.");
    (!on).then(|| answer::error(StatusCode::FORBIDDEN, &text()))
}

/// Finds out who asks; a refusal when he is not known or may not.
async fn let_in<E: Env>(front: &Front<E>, route: &Route, head: &mut Head) -> Option<Reply> {
    let method = if head.method == Method::HEAD { &Method::GET } else { &head.method };
    let needs = needs(route.handler, method);
    if needs == Needs::Nothing {
        return None;
    }
    match front.authenticate(head).await {
        Ok(user) => head.user = user,
        Err(text) => {
            front.doors().http_auth_failures.add(1);
            let mut reply = answer::error(StatusCode::UNAUTHORIZED, &text);
            reply.headers_mut().insert(WWW_AUTHENTICATE, front.extras.challenge.clone());
            return Some(reply);
        }
    }
    let Needs::Rights(wanted) = needs else { return None };
    let call = Call { head, args: Vec::new() };
    let allowed = front.may(head, call.database(front), wanted);
    (!allowed).then(|| answer::error(StatusCode::FORBIDDEN, "not authorized"))
}

/// Starts what runs by itself, as the options say: roll-ups, and the server's own metrics.
pub(super) fn start<E: Env>(front: &Rc<Front<E>>) {
    if front.config().kairosdb_rollups {
        front.env.spawn(Queue::Query, rollups::run(front.clone())).detach();
    }
    if front.config().kairosdb_statistics {
        front.env.spawn(Queue::Background, statistics::run(front.clone())).detach();
    }
}

async fn handle<E, B>(front: &Rc<Front<E>>, route: &Route, call: &Call<'_>, body: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    match route.handler {
        Handler::Datapoints => datapoints::add(front, call, body).await,
        Handler::Query => query::query(front, call, body).await,
        Handler::QueryTags => query::tags(front, call, body).await,
        Handler::Delete => query::delete(front, call, body).await,
        Handler::MetricNames => names::metrics(front, call).await,
        Handler::TagNames => names::tags(front, call, Want::AllTagNames).await,
        Handler::TagValues => names::tags(front, call, Want::AllTagValues).await,
        Handler::Rollups => rollups::all(front, call, body).await,
        Handler::Rollup => rollups::one(front, call, body).await,
        Handler::RollupStatus => rollups::status(front, call),
        Handler::Backfill => rollups::backfill(front, call).await,
        Handler::Features => features::features(call.arg(0)),
        Handler::Metadata => metadata::text(front, call, body).await,
        Handler::MetadataList => metadata::list(front, call),
        Handler::Metric => metric::delete(front, call).await,
        Handler::Version => info::version(),
        Handler::HealthCheck => info::check(front).await,
        Handler::HealthStatus => info::status(front).await,
        Handler::RunningQueries => admin::running(front, call).await,
        Handler::KillQuery => admin::kill(front, call).await,
        Handler::ScheduledJobs => rollups::jobs(front),
    }
}
