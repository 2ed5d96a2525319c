//! `POST /debug/maintain?work=flush|compact`, ringtail's own: brings heads to disk or packs every
//! day now, for tests and operators; otherwise that happens by itself. Answers 204 when all shards
//! are done.

use super::front::Front;
use super::join;
use super::reply::{self, Reply};
use super::routes::Head;
use crate::env::Env;
use crate::route::message::Maintenance;
use hyper::StatusCode;
use std::rc::Rc;

/// Does the work on all shards.
pub(super) async fn maintain<E: Env>(front: &Rc<Front<E>>, head: &Head) -> Reply {
    let work = match head.params.get("work") {
        "flush" => Maintenance::Flush,
        "compact" => Maintenance::Compact,
        _ => return reply::error(StatusCode::BAD_REQUEST, b"work must be flush or compact", false),
    };
    let shards = front.cluster.shards().map(|shard| front.cluster.maintain(shard, work));
    let failed = join::all(shards).await.into_iter().find_map(Result::err);
    match failed {
        None => reply::empty(StatusCode::NO_CONTENT),
        Some(reason) => {
            reply::error(StatusCode::INTERNAL_SERVER_ERROR, reason.as_bytes(), head.pretty())
        }
    }
}
