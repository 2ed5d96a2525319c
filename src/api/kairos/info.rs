//! What the server says of itself: `version` and `health/…`.
//!
//! Health is asked of the store each time: every shard has to answer a question to its index, and a
//! query over the server's own metrics of the last minutes has to work.

use super::{answer, query};
use crate::api::front::Front;
use crate::api::join;
use crate::api::reply::{self, Reply};
use crate::env::Env;
use crate::kairos::{self, Door, Failure, Saved, request};
use crate::model::DbId;
use crate::shard::index::TagFilter;
use crate::shard::scan::{Found, Lookup, Want};
use futures_lite::future;
use hyper::StatusCode;
use std::sync::Arc;
use std::time::Duration;

/// A store that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(5);
/// The metric that is asked for; `kairosdb.statistics` writes it.
const QUESTION: &[u8] = br#"{"start_relative":{"value":10,"unit":"minutes"},
    "metrics":[{"name":"kairosdb.http.request_time","exclude_tags":true}]}"#;

/// `version`: the product's name is what clients look for.
pub fn version() -> Reply {
    let line = crate::protocol::telnet::VERSION_LINE.trim_end();
    answer::json(StatusCode::OK, format!("{{\"version\": \"{line}\"}}\n").into_bytes())
}

/// `health/check`: whether all checks pass, as a status.
pub(super) async fn check<E: Env>(front: &Front<E>) -> Reply {
    let (answers, query) = health(front).await;
    let healthy = u16::try_from(front.config().kairosdb_healthy_code).unwrap_or(204);
    match answers && query {
        true => reply::empty(StatusCode::from_u16(healthy).unwrap_or(StatusCode::NO_CONTENT)),
        false => reply::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// `health/status`: KairosDB's two checks.
pub(super) async fn status<E: Env>(front: &Front<E>) -> Reply {
    let (answers, query) = health(front).await;
    let word = |good| if good { "OK" } else { "FAIL" };
    let text = format!(
        "[\"JVM-Thread-Deadlock: {}\",\"Datastore-Query: {}\"]",
        word(answers),
        word(query)
    );
    answer::json(StatusCode::OK, text.into_bytes())
}

/// Whether all cores answer, and whether a query works.
async fn health<E: Env>(front: &Front<E>) -> (bool, bool) {
    let late = || async {
        front.env.sleep(PATIENCE).await;
        false
    };
    let answers = future::or(shards_answer(front), late()).await;
    let query = answers && future::or(query_works(front), late()).await;
    (answers, query)
}

async fn shards_answer<E: Env>(front: &Front<E>) -> bool {
    // A database that never is: the answer costs nothing but the way there and back.
    let (measurements, series) = (Vec::new(), TagFilter::All);
    let (db, want) = (DbId(u32::MAX), Want::Measurements);
    let lookup = Arc::new(Lookup { db, measurements, series, within: None, want });
    let cluster = &front.cluster;
    let asked = cluster.shards().map(|shard| cluster.lookup(shard, lookup.clone()));
    join::all(asked).await.iter().all(|found| matches!(found, Some(Found::Measurements(_))))
}

async fn query_works<E: Env>(front: &Front<E>) -> bool {
    let Ok(asked) = request::parse(QUESTION, query::terms(front)) else { return false };
    let options = query::options(front, &front.config().kairosdb_database);
    kairos::query(&front.cluster, &options, &asked, &mut Nowhere(front)).await.is_ok()
}

/// Lets an answer go.
struct Nowhere<'a, E: Env>(&'a Front<E>);

impl<E: Env> Door for Nowhere<'_, E> {
    async fn hand_over(&mut self, _: Vec<u8>) -> Result<(), Failure> {
        Ok(())
    }

    async fn save(&mut self, _: Vec<Saved>) -> Result<(), Failure> {
        Ok(())
    }

    async fn rest(&self) {
        self.0.env.yield_now().await;
    }
}
