//! The table of routes, and what every answer carries.
//!
//! In: a request with its body still coming. Out: an answer. Paths match exactly; what the table
//! does not have is 404, a method it does not have 405, both in the words of the reference. What
//! lies under `/api/v1` is KairosDB's and has a table of its own.

use super::front::Front;
use super::params::Params;
use super::reply::{self, Reply, TEXT};
use super::watch::Peer;
use super::write::Version;
use super::{
    access, debug, head, kairos, metrics, ping, pprof, prometheus, query, vars, watch, write,
};
use crate::encode::Format;
use crate::env::Env;
use hyper::body::{Body, Bytes};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use std::rc::Rc;

/// What answers a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Handler {
    Ping,
    Status,
    Health,
    Query,
    Write,
    WriteTwo,
    /// InfluxDB's other query language, which is turned off.
    Flux,
    PromWrite,
    PromRead,
    /// ringtail's own: `POST /debug/maintain?work=flush|compact`.
    Maintain,
    Vars,
    /// `/debug/requests`
    Requests,
    /// `/debug/pprof/`: profiles.
    Pprof,
    Metrics,
}

/// A line of the table. Routes without `ids` are the debugging ones: no request ids, no CORS.
struct Route {
    path: &'static str,
    methods: &'static [Method],
    handler: Handler,
    ids: bool,
}

const READ: &[Method] = &[Method::GET, Method::HEAD];
const POST: &[Method] = &[Method::POST];
const ANY: &[Method] = &[];

const ROUTES: &[Route] = &[
    Route { path: "/ping", methods: READ, handler: Handler::Ping, ids: true },
    Route { path: "/status", methods: READ, handler: Handler::Status, ids: true },
    Route { path: "/health", methods: &[Method::GET], handler: Handler::Health, ids: true },
    Route {
        path: "/query",
        methods: &[Method::GET, Method::POST, Method::OPTIONS],
        handler: Handler::Query,
        ids: true,
    },
    Route {
        path: "/write",
        methods: &[Method::POST, Method::OPTIONS],
        handler: Handler::Write,
        ids: true,
    },
    Route { path: "/metrics", methods: &[Method::GET], handler: Handler::Metrics, ids: true },
    Route { path: "/api/v2/write", methods: POST, handler: Handler::WriteTwo, ids: true },
    Route { path: "/api/v2/query", methods: POST, handler: Handler::Flux, ids: true },
    Route { path: "/api/v1/prom/write", methods: POST, handler: Handler::PromWrite, ids: true },
    Route { path: "/api/v1/prom/read", methods: POST, handler: Handler::PromRead, ids: true },
    Route {
        path: "/debug/maintain",
        methods: &[Method::POST],
        handler: Handler::Maintain,
        ids: false,
    },
];

/// These match by prefix and take every method.
const PREFIXES: &[Route] = &[
    Route { path: "/debug/vars", methods: ANY, handler: Handler::Vars, ids: false },
    Route { path: "/debug/requests", methods: ANY, handler: Handler::Requests, ids: false },
    Route { path: pprof::PREFIX, methods: ANY, handler: Handler::Pprof, ids: false },
];

/// Every path with one of its methods, and which privilege it needs, for tests: `read` or `write`
/// on a database, or empty where it is not as simple as that.
pub fn all() -> Vec<(Method, String, &'static str)> {
    let one = |route: &Route| route.methods.first().cloned().unwrap_or(Method::GET);
    let own = ROUTES.iter().chain(PREFIXES);
    let own = own.map(|route| (one(route), route.path.to_owned(), ""));
    own.chain(kairos::all()).collect()
}

/// What a handler gets of a request beside its body.
pub(super) struct Head {
    pub method: Method,
    pub headers: HeaderMap,
    pub params: Params,
    /// Where the request came from.
    pub peer: Option<Peer>,
    /// Who asks, when users matter.
    pub user: Option<String>,
    /// The form in which answers and errors are wanted.
    pub format: Format,
}

impl Head {
    /// A request whose user is not known yet; `query` is that of the URL.
    pub fn new(method: Method, headers: HeaderMap, query: Option<&str>) -> Head {
        let params = Params::parse(query.unwrap_or("").as_bytes());
        let mut head =
            Head { method, headers, params, peer: None, user: None, format: Format::Json };
        head.format = Format::of(head.header("accept"));
        head
    }

    /// A header as text; empty when missing or no text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// Whether errors and results are to be indented.
    pub fn pretty(&self) -> bool {
        self.params.get("pretty") == "true"
    }
}

/// Answers a request.
pub async fn answer<E, B>(front: Rc<Front<E>>, request: Request<B>) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let doors = front.doors();
    doors.http_requests.add(1);
    doors.http_active.add(1);
    let started = front.env.now_mono();
    let active = Active(front.clone());
    let line = access::Line::begin(&front, &request);
    let reply = route(&front, request).await;
    drop(active);
    let took = front.env.now_mono().saturating_sub(started);
    doors.http_request_ns.add(took);
    if let Some(line) = line {
        line.end(&front, &reply, took);
    }
    match reply.status().as_u16() {
        400..500 => doors.http_client_errors.add(1),
        500.. => doors.http_server_errors.add(1),
        _ => {}
    }
    reply
}

/// Counts a request as active until it is answered or dropped.
struct Active<E: Env>(Rc<Front<E>>);

impl<E: Env> Drop for Active<E> {
    fn drop(&mut self) {
        self.0.doors().http_active.sub(1);
    }
}

async fn route<E, B>(front: &Rc<Front<E>>, request: Request<B>) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let (parts, body) = request.into_parts();
    if let Some((status, text)) = head::broken(&parts) {
        return with_version(head::refuse(status, text));
    }
    let path = parts.uri.path();
    if path == "*" && parts.method == Method::OPTIONS {
        // The server as a whole is asked whether it is there.
        return with_version(Reply::new(reply::Body::Whole(None)));
    }
    let known = ROUTES.iter().find(|route| route.path == path);
    if known.is_none() && path.starts_with(kairos::PREFIX) {
        let mut head = Head::new(parts.method, parts.headers, parts.uri.query());
        return kairos::answer(front, &mut head, path, body).await;
    }
    let debug = || PREFIXES.iter().find(|route| path.starts_with(route.path));
    let Some(route) = known.or_else(debug) else { return with_version(not_found()) };
    if !route.methods.is_empty() && !route.methods.contains(&parts.method) {
        return with_version(wrong_method(route));
    }
    let mut head = Head::new(parts.method, parts.headers, parts.uri.query());
    head.peer = parts.extensions.get::<Peer>().copied();
    let mut reply = if head.method == Method::OPTIONS {
        reply::empty(StatusCode::OK)
    } else {
        match let_in(front, route.handler, &mut head).await {
            Some(refusal) => refusal,
            None => handle(front, route.handler, (&head, &parts.uri), body).await,
        }
    };
    if route.ids {
        add_ids(front, &head, reply.headers_mut());
        front.extras.add(reply.headers_mut());
    }
    with_version(reply)
}

/// Who must be known to ask for something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Guard {
    /// As an option says.
    Ping,
    /// Nobody, or an administrator, as an option says.
    Debug,
    /// Somebody; what he may do is seen later.
    User,
    Admin,
}

impl Handler {
    fn guard(self) -> Guard {
        match self {
            Handler::Ping | Handler::Status | Handler::Health => Guard::Ping,
            Handler::Metrics => Guard::Ping,
            Handler::Query | Handler::Write | Handler::WriteTwo => Guard::User,
            Handler::Flux | Handler::PromWrite | Handler::PromRead => Guard::User,
            Handler::Maintain | Handler::Pprof => Guard::Admin,
            Handler::Vars | Handler::Requests => Guard::Debug,
        }
    }
}

/// Finds out who asks; a refusal when he must be known and is not.
async fn let_in<E: Env>(front: &Front<E>, handler: Handler, head: &mut Head) -> Option<Reply> {
    let guard = handler.guard();
    let open = match guard {
        Guard::Ping => !front.config().http_ping_auth_enabled,
        Guard::Debug => !front.config().http_debug_auth_enabled,
        Guard::User | Guard::Admin => false,
    };
    if open {
        return None;
    }
    match front.authenticate(head).await {
        Ok(user) => head.user = user,
        Err(text) => {
            front.doors().http_auth_failures.add(1);
            let challenge = front.extras.challenge.clone();
            return Some(reply::unauthorized(head, &text, challenge));
        }
    }
    if matches!(handler, Handler::Query | Handler::Write) {
        watch::note(front, head, handler == Handler::Write);
    }
    let refused = matches!(guard, Guard::Admin | Guard::Debug) && !front.may_administer(head);
    refused.then(|| reply::refuse(head, StatusCode::FORBIDDEN, b"error authorizing admin access"))
}

async fn handle<E, B>(
    front: &Rc<Front<E>>,
    handler: Handler,
    (head, uri): (&Head, &Uri),
    body: B,
) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    match handler {
        Handler::Ping | Handler::Health => front.doors().http_ping_requests.add(1),
        Handler::Status => front.doors().http_status_requests.add(1),
        _ => {}
    }
    match handler {
        Handler::Ping => ping::ping(&head.params),
        Handler::Status => ping::status(),
        Handler::Health => ping::health(front).await,
        Handler::Query => query::query(front, head, body).await,
        Handler::Write => write::write(front, head, Version::One, body).await,
        Handler::WriteTwo => write::write(front, head, Version::Two, body).await,
        Handler::Flux => ping::no_flux(),
        Handler::PromWrite => prometheus::write(front, head, body).await,
        Handler::PromRead => prometheus::read(front, head, body).await,
        Handler::Maintain => debug::maintain(front, head).await,
        Handler::Vars => vars::vars(front).await,
        Handler::Requests => watch::requests(front, head).await,
        Handler::Pprof => pprof::answer(front, head, uri, body).await,
        Handler::Metrics => metrics::metrics(front).await,
    }
}

fn not_found() -> Reply {
    plain(StatusCode::NOT_FOUND, b"404 page not found\n")
}

/// A refusal in the form of Go's HTTP library.
fn plain(status: StatusCode, text: &[u8]) -> Reply {
    let mut reply = reply::bytes(status, TEXT, text.to_vec());
    let value = HeaderValue::from_static("nosniff");
    reply.headers_mut().insert("X-Content-Type-Options", value);
    reply
}

fn wrong_method(route: &Route) -> Reply {
    let mut reply = plain(StatusCode::METHOD_NOT_ALLOWED, b"Method Not Allowed\n");
    let allowed: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
    if let Ok(value) = HeaderValue::from_str(&allowed.join(", ")) {
        reply.headers_mut().insert("Allow", value);
    }
    reply
}

fn with_version(mut reply: Reply) -> Reply {
    let headers = reply.headers_mut();
    headers.insert("X-Influxdb-Version", HeaderValue::from_static(ping::VERSION));
    headers.insert("X-Influxdb-Build", HeaderValue::from_static("OSS"));
    reply
}

/// Request ids, and the CORS headers when the request names an origin.
fn add_ids<E: Env>(front: &Front<E>, head: &Head, headers: &mut HeaderMap) {
    let sent = ["x-request-id", "request-id"]
        .into_iter()
        .find_map(|name| head.headers.get(name).filter(|value| !value.is_empty()));
    let id = match sent {
        Some(value) => Some(value.clone()),
        None => HeaderValue::from_str(&front.ids.next(front.env.now_wall())).ok(),
    };
    if let Some(id) = id {
        headers.insert("Request-Id", id.clone());
        headers.insert("X-Request-Id", id);
    }
    let Some(origin) = head.headers.get("origin").filter(|origin| !origin.is_empty()) else {
        return;
    };
    let fixed = [
        ("access-control-allow-methods", "DELETE, GET, OPTIONS, POST, PUT"),
        (
            "access-control-allow-headers",
            "Accept, Accept-Encoding, Authorization, Content-Length, Content-Type, X-CSRF-Token, \
             X-HTTP-Method-Override",
        ),
        ("access-control-expose-headers", "Date, X-InfluxDB-Version, X-InfluxDB-Build"),
    ];
    headers.insert("access-control-allow-origin", origin.clone());
    for (name, value) in fixed {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}
