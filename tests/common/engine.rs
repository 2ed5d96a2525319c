//! A server of one core in the simulator: catalog, shards, front end and routes, without sockets.
//! In: requests. Out: status and body. Used where a disk has to be full at will, and by the fuzz
//! targets of queries.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use ringtail::api::{Facts, Front, routes};
use ringtail::catalog::{Owner, owner};
use ringtail::config::Layers;
use ringtail::env::sim::{ROOT, Sim, SimEnv};
use ringtail::model::ShardId;
use ringtail::route::message::Mesh;
use ringtail::route::{Cluster, CoreId, Host, Hub, host};
use ringtail::shard::log::Identity;
use ringtail::shard::store::Store;
use ringtail::shard::{self, Shard, journal, log};
use ringtail::stats;
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub struct Engine {
    pub sim: Sim,
    pub front: Rc<Front<SimEnv>>,
}

impl Engine {
    /// A server with an empty store of two shards; `config` is a configuration file's text.
    pub fn new(config: &str) -> Engine {
        let sim = Sim::new(1);
        let mut layers = Layers::default();
        layers.add_file("test", config).unwrap();
        let facts = Facts {
            config: Arc::new(layers.finish().unwrap()),
            doors: stats::doors(1),
            started_ns: 0,
            http_bind: "127.0.0.1:8086".to_owned(),
            hostname: "test".to_owned(),
        };
        let front = sim.run(start(sim.env(0), facts)).unwrap();
        Engine { sim, front }
    }

    /// POST; gives status and body.
    pub fn post(&self, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        self.sim.run(post(self.front.clone(), path, body)).unwrap()
    }

    /// GET; gives status and text.
    pub fn get(&self, path: &str) -> (u16, String) {
        let answer = ask(self.front.clone(), Request::get(path), b"");
        let (status, text) = self.sim.run(answer).unwrap();
        (status, String::from_utf8(text).unwrap())
    }
}

/// POST; gives status and body.
pub async fn post(front: Rc<Front<SimEnv>>, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
    ask(front, Request::post(path), body).await
}

async fn ask(
    front: Rc<Front<SimEnv>>,
    request: hyper::http::request::Builder,
    body: &[u8],
) -> (u16, Vec<u8>) {
    let body = Full::new(Bytes::copy_from_slice(body));
    let request = request.header("host", "localhost").body(body).unwrap();
    let reply = routes::answer(front, request).await;
    let status = reply.status().as_u16();
    (status, reply.into_body().collect().await.unwrap().to_bytes().to_vec())
}

async fn start(env: SimEnv, facts: Facts) -> Rc<Front<SimEnv>> {
    let store = Store { id: 3, shards: 2, epoch: 1 };
    let mesh: Mesh = Hub::new(CoreId(0), 1, 1 << 20);
    let identity = Identity { store: store.id, shard: ShardId(0), epoch: store.epoch };
    let opened = journal::open(env.clone(), Path::new(ROOT), "catalog", identity).await;
    let (journal, snapshot, edits) = opened.unwrap_or_else(|error| panic!("{error}"));
    let state = owner::restore(snapshot.as_deref(), &edits).unwrap();
    let mut shards = Vec::new();
    for id in host::shards_of(CoreId(0), store.shards, 1) {
        let opened = Shard::open(&env, Path::new(ROOT), &store, id, options()).await;
        shards.push(opened.unwrap_or_else(|error| panic!("{error}")).shard);
    }
    let catalog = Rc::new(RefCell::new(state.clone()));
    let sketches = shards.iter().map(|shard| shard.index().sketch()).collect();
    let cluster = Cluster::new(mesh, catalog, store.shards).with_sketches(sketches);
    Host::serve(env.clone(), &cluster, shards, Some(Owner::new(state, journal)));
    Rc::new(Front::new(env, cluster, facts))
}

/// Small files, so that a disk fills soon.
fn options() -> shard::Options {
    shard::Options {
        log: log::Options {
            file_bytes: 128 << 10,
            first_file_bytes: 64 << 10,
            spares: 1,
            spares_max: 3,
            ..log::Options::default()
        },
        head_bytes_max: 1 << 20,
        head_age_max: Duration::from_secs(600),
        log_bytes_max: 1 << 30,
        compact_idle: Duration::from_secs(300),
        cache_bytes: 1 << 20,
        free_bytes_min: 4096,
    }
}
