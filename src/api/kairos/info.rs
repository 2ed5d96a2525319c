//! What the server says of itself: `version` and `health/…`.

use super::answer;
use crate::api::reply::Reply;
use hyper::StatusCode;

/// `version`: the product's name is what clients look for.
pub fn version() -> Reply {
    let line = crate::protocol::telnet::VERSION_LINE.trim_end();
    answer::json(StatusCode::OK, format!("{{\"version\": \"{line}\"}}\n").into_bytes())
}

/// `health/status`: KairosDB's two checks. That this is answered shows that the core's tasks run.
pub fn health() -> Reply {
    let body = b"[\"JVM-Thread-Deadlock: OK\",\"Datastore-Query: OK\"]".to_vec();
    answer::json(StatusCode::OK, body)
}
