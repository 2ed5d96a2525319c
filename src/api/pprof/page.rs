//! The index of the profiles, and the trace.
//!
//! The trace is the smallest one that Go's tool reads: it says how many cores there are and has no
//! events, because tasks of this server are not goroutines.

use super::{BYTES, Kind, attached, failure, on_thread, seconds};
use crate::api::front::Front;
use crate::api::reply::{self, Reply};
use crate::api::routes::Head;
use crate::env::Env;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use std::fmt::Write;
use std::rc::Rc;

/// Profiles that are taken over a time, and what else there is to see.
const OTHERS: [(&str, &str); 5] = [
    ("profile", "processor time; ?seconds=30"),
    ("trace", "for Go's tools; without events"),
    ("cmdline", "the program's arguments"),
    ("symbol", "names of addresses"),
    ("all?cpu=true", "everything in one archive, with 30 s of processor time if cpu is given"),
];

fn about(kind: Kind) -> &'static str {
    match kind {
        Kind::Allocs => "allocations since the start, sampled",
        Kind::Block => "stalls: a task held its core for over 10 ms",
        Kind::Goroutine => "tasks, by core, queue and place of spawning",
        Kind::Heap => "memory in use, sampled",
        Kind::Mutex => "locks that were waited for: cores share none",
        Kind::Threadcreate => "threads by name",
    }
}

/// `/debug/pprof/`
pub(super) async fn index<E: Env>(front: &Rc<Front<E>>) -> Reply {
    let counts = on_thread(&**front, "index", |_| Kind::ALL.map(Kind::count));
    let counts = counts.await.unwrap_or_default();
    let mut rows = String::new();
    // Writing into a string cannot fail.
    for (kind, count) in Kind::ALL.into_iter().zip(counts) {
        let (name, about) = (kind.name(), about(kind));
        let _ = writeln!(
            rows,
            "<tr><td>{count}</td><td><a href='{name}?debug=1'>{name}</a></td><td>{about}</td></tr>"
        );
    }
    for (target, about) in OTHERS {
        let name = target.split('?').next().unwrap_or(target);
        let _ = writeln!(
            rows,
            "<tr><td></td><td><a href='{target}'>{name}</a></td><td>{about}</td></tr>"
        );
    }
    let page = format!(
        "<html>\n<head>\n<title>/debug/pprof/</title>\n<base href='/debug/pprof/'>\n</head>\n\
         <body>\n<h1>/debug/pprof/</h1>\n<table>\n\
         <thead><td>Count</td><td>Profile</td><td></td></thead>\n{rows}</table>\n\
         <a href='goroutine?debug=2'>full goroutine stack dump</a>\n\
         <p>For use with <code>go tool pprof http://HOST/debug/pprof/NAME</code>.</p>\n\
         </body>\n</html>\n"
    );
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    reply::bytes(StatusCode::OK, kind, page.into_bytes())
}

/// `/debug/pprof/trace?seconds=1`
pub(super) async fn trace<E: Env>(front: &Front<E>, head: &Head) -> Reply {
    let time = match seconds(head.params.get("seconds"), 1) {
        Ok(time) => time,
        Err(text) => return failure(StatusCode::BAD_REQUEST, &text),
    };
    front.env.sleep(time).await;
    attached(BYTES, "trace", empty_trace(front.server.facts.doors.len()))
}

/// Events are a byte with type and number of arguments, then varints.
fn empty_trace(cores: usize) -> Vec<u8> {
    let mut out = b"go 1.19 trace\0\0\0".to_vec();
    // A batch of processor 0 at tick 0.
    out.extend_from_slice(&[1 | 1 << 6, 0, 0]);
    // GOMAXPROCS after one tick, without a stack.
    let cores = u8::try_from(cores).unwrap_or(u8::MAX).min(127);
    out.extend_from_slice(&[4 | 2 << 6, 1, cores, 0]);
    // A frequency of a million ticks a second.
    out.extend_from_slice(&[2, 0xc0, 0x84, 0x3d]);
    out
}
