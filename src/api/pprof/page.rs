//! The index of the profiles: a page with links for people.
//!
//! In: how many samples each profile has. Out: HTML with a line for each, and for what else there
//! is to ask for.

use super::{Kind, on_thread};
use crate::api::front::Front;
use crate::api::reply::{self, Reply};
use crate::env::Env;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use std::fmt::Write;
use std::rc::Rc;

/// Profiles that are taken over a time, and what else there is to see.
const OTHERS: [(&str, &str); 5] = [
    ("profile", "processor time; ?seconds=30"),
    ("trace?seconds=1", "every turn of every task, for go tool trace"),
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
