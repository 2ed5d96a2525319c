//! The process as queries of unit tests see it: default options, and hashes that are none.

use super::facts::{Facts, Later, Server, Services};
use crate::config::Layers;
use crate::stats;
use std::rc::Rc;
use std::sync::Arc;

struct Plain;

impl Services for Plain {
    fn now_mono(&self) -> u64 {
        0
    }

    fn hash(&self, password: &str) -> Later<String> {
        Box::pin(std::future::ready(Ok(password.to_owned())))
    }

    fn wants_copies(&self, _: crate::protocol::Target) -> bool {
        false
    }

    fn copy(&self, _: crate::protocol::Target, _: Vec<u8>, _: u64) {}

    fn verify(&self, password: &str, hash: &str) -> Later<bool> {
        Box::pin(std::future::ready(Ok(password == hash)))
    }
}

/// A process of one core.
pub fn server() -> Rc<Server> {
    let facts = Facts {
        config: Arc::new(Layers::default().finish().unwrap()),
        doors: stats::doors(1),
        started_ns: 0,
        http_bind: "127.0.0.1:8086".to_owned(),
        hostname: "test".to_owned(),
    };
    Rc::new(Server { facts, services: Box::new(Plain) })
}
