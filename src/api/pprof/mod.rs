//! `/debug/pprof/`: profiles of the running process, as `go tool pprof` asks for them.
//!
//! In: a profile's name and how it is wanted. Out: gzip-compressed protobuf, text with `debug=1`,
//! or everything as one archive. All of it is made on threads of its own, which the core only
//! looks at now and then: unwinding, names and jemalloc's report take from milliseconds to a
//! second. A client that goes away ends what was begun for it.

mod archive;
mod page;
mod tables;

use super::front::Front;
use super::reply::{self, Reply, TEXT};
use super::routes::Head;
use crate::env::Env;
use crate::profile::symbols::Symbols;
use crate::profile::text::text;
use crate::profile::{Profile, cpu, encode, heap, stalls, tasks, threads, trace};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use hyper::header::{CONTENT_DISPOSITION, HeaderValue};
use hyper::{StatusCode, Uri};
use std::io;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

/// What the paths begin with.
pub(super) const PREFIX: &str = "/debug/pprof";

/// How often a core looks whether a profile is there.
const LOOK: Duration = Duration::from_millis(10);
/// Longest time of looking (s).
const SECONDS_MAX: i64 = 3600;
/// Addresses that one question about symbols may have.
const ADDRESSES_MAX: usize = 1000;
/// Longest body of such a question.
const BODY_MAX: usize = 64 << 10;
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// A profile that shows the present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Allocs,
    Block,
    Goroutine,
    Heap,
    Mutex,
    Threadcreate,
}

impl Kind {
    const ALL: [Kind; 6] =
        [Kind::Goroutine, Kind::Block, Kind::Mutex, Kind::Heap, Kind::Allocs, Kind::Threadcreate];

    fn name(self) -> &'static str {
        match self {
            Kind::Allocs => "allocs",
            Kind::Block => "block",
            Kind::Goroutine => "goroutine",
            Kind::Heap => "heap",
            Kind::Mutex => "mutex",
            Kind::Threadcreate => "threadcreate",
        }
    }

    /// How many samples it has.
    fn count(self) -> usize {
        self.raw().map_or(0, |profile| profile.samples.len())
    }

    /// Takes it, on a thread that may wait.
    fn take(self, symbols: &mut Symbols) -> io::Result<Profile> {
        let mut profile = self.raw()?;
        if matches!(self, Kind::Heap | Kind::Allocs) {
            heap::trim(&mut profile, symbols);
        }
        Ok(profile)
    }

    /// As it is noted.
    fn raw(self) -> io::Result<Profile> {
        Ok(match self {
            Kind::Block => stalls::profile(),
            Kind::Goroutine => tasks::profile(),
            Kind::Mutex => stalls::locks(),
            Kind::Threadcreate => threads::profile(),
            Kind::Heap => heap::in_use()?,
            Kind::Allocs => heap::since_start()?,
        })
    }
}

/// Answers a request.
pub(super) async fn answer<E, B>(front: &Rc<Front<E>>, head: &Head, uri: &Uri, body: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let rest = uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let name = rest.trim_start_matches('/');
    let as_text = !matches!(head.params.get("debug"), "" | "0");
    match name {
        "" => page::index(front).await,
        "cmdline" => reply::bytes(StatusCode::OK, TEXT, super::vars::arguments().join("\0").into()),
        "profile" => processor(front, head, as_text).await,
        "symbol" => symbol(front, uri.query().unwrap_or_default(), body).await,
        "trace" => traced(front, head).await,
        "all" => archive::all(front, head).await,
        name => match Kind::ALL.into_iter().find(|kind| kind.name() == name) {
            Some(kind) => present(front, kind, as_text).await,
            None => failure(StatusCode::NOT_FOUND, "Unknown profile"),
        },
    }
}

/// A refusal in the form that Go's tools show to whoever asked.
fn failure(status: StatusCode, text: &str) -> Reply {
    let mut reply = reply::bytes(status, TEXT, format!("{text}\n").into());
    let headers = reply.headers_mut();
    headers.insert("X-Content-Type-Options", HeaderValue::from_static("nosniff"));
    headers.insert("X-Go-Pprof", HeaderValue::from_static("1"));
    reply
}

fn broken(error: &io::Error) -> Reply {
    failure(StatusCode::INTERNAL_SERVER_ERROR, &format!("Could not take the profile: {error}"))
}

/// Has work done on a thread of its own. The work is told to end when nobody waits any more.
async fn on_thread<E, T>(
    front: &Front<E>,
    name: &str,
    work: impl FnOnce(&Receiver<()>) -> T + Send + 'static,
) -> io::Result<T>
where
    E: Env,
    T: Send + 'static,
{
    let (_stop, told) = channel();
    let (give, take) = channel();
    let thread = std::thread::Builder::new().name(format!("pprof-{name}"));
    thread.spawn(move || {
        // Nobody listens when the client has gone.
        let _ = give.send(work(&told));
    })?;
    loop {
        match take.try_recv() {
            Ok(made) => return Ok(made),
            Err(TryRecvError::Empty) => front.env.sleep(LOOK).await,
            Err(TryRecvError::Disconnected) => return Err(io::Error::other("its thread ended")),
        }
    }
}

/// A file for `go tool pprof`, or a page of text.
fn shown(name: &str, bytes: Vec<u8>, as_text: bool) -> Reply {
    if as_text {
        return reply::bytes(StatusCode::OK, TEXT, bytes);
    }
    attached(BYTES, name, bytes)
}

/// A file to be saved.
fn attached(kind: HeaderValue, name: &str, bytes: Vec<u8>) -> Reply {
    let mut reply = reply::bytes(StatusCode::OK, kind, bytes);
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        reply.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    reply
}

async fn present<E: Env>(front: &Front<E>, kind: Kind, as_text: bool) -> Reply {
    let now = front.env.now_wall();
    let made = on_thread(front, kind.name(), move |_| {
        let mut symbols = Symbols::default();
        let profile = kind.take(&mut symbols)?;
        Ok(written(kind.name(), &profile, &mut symbols, (as_text, now)))
    });
    match made.await.flatten() {
        Ok(bytes) => shown(kind.name(), bytes, as_text),
        Err(error) => broken(&error),
    }
}

/// A profile as text or as a file, taken at a time.
fn written(
    name: &str,
    profile: &Profile,
    symbols: &mut Symbols,
    (as_text, now): (bool, i64),
) -> Vec<u8> {
    match as_text {
        true => text(name, profile, symbols).into_bytes(),
        false => encode::encode(profile, symbols, now),
    }
}

/// The seconds that a request names, or `default`.
fn seconds(text: &str, default: i64) -> Result<Duration, String> {
    let number = match text {
        "" => default,
        text => text.parse().map_err(|_| format!("seconds: {text:?} is not a number"))?,
    };
    match number {
        1..=SECONDS_MAX => Ok(Duration::from_secs(number.unsigned_abs())),
        _ => Err(format!("seconds: {number} is not within 1 to {SECONDS_MAX}")),
    }
}

/// The refusal while another takes a profile of processor time.
fn busy() -> Reply {
    let text = "Could not enable CPU profiling: cpu profiling already in use";
    failure(StatusCode::INTERNAL_SERVER_ERROR, text)
}

async fn processor<E: Env>(front: &Front<E>, head: &Head, as_text: bool) -> Reply {
    let time = match seconds(head.params.get("seconds"), 30) {
        Ok(time) => time,
        Err(text) => return failure(StatusCode::BAD_REQUEST, &text),
    };
    let Some(claim) = cpu::claim() else { return busy() };
    let now = front.env.now_wall();
    let made = on_thread(front, "cpu", move |stop| {
        let profile = claim.run(time, stop)?;
        Ok(written("cpu", &profile, &mut Symbols::default(), (as_text, now)))
    });
    match made.await.flatten() {
        Ok(bytes) => shown("profile", bytes, as_text),
        Err(error) => broken(&error),
    }
}

/// `trace?seconds=1`
async fn traced<E: Env>(front: &Front<E>, head: &Head) -> Reply {
    let time = match seconds(head.params.get("seconds"), 1) {
        Ok(time) => time,
        Err(text) => return failure(StatusCode::BAD_REQUEST, &text),
    };
    let Some(claim) = trace::claim() else {
        let text = "Could not enable tracing: tracing is already enabled";
        return failure(StatusCode::INTERNAL_SERVER_ERROR, text);
    };
    let made = on_thread(front, "trace", move |stop| {
        trace::encode(&claim.run(time, stop), &mut Symbols::default())
    });
    match made.await {
        Ok(bytes) => attached(BYTES, "trace", bytes),
        Err(error) => broken(&error),
    }
}

/// Names of addresses, `0x.. joined by `+`, in the query of the URL or in the body.
async fn symbol<E, B>(front: &Front<E>, query: &str, mut body: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let mut asked = query.to_owned();
    while let Some(Ok(frame)) = body.frame().await {
        asked.push_str(&String::from_utf8_lossy(frame.data_ref().map_or(&[], |bytes| bytes)));
        if asked.len() > BODY_MAX {
            return failure(StatusCode::PAYLOAD_TOO_LARGE, "too many addresses");
        }
    }
    let made = on_thread(front, "symbol", move |_| {
        let mut symbols = Symbols::default();
        let mut out = "num_symbols: 1\n".to_owned();
        let address = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        let words = asked.split(['+', '&', '\n']).filter_map(address);
        for address in words.take(ADDRESSES_MAX) {
            if let Some(line) = symbols.lines(address).first() {
                out.push_str(&format!("{address:#x} {}\n", line.function));
            }
        }
        out
    });
    match made.await {
        Ok(text) => reply::bytes(StatusCode::OK, TEXT, text.into()),
        Err(error) => broken(&error),
    }
}
