//! What a query has this core do: hash passwords, send copies of results to subscribers.

use super::passwords::Passwords;
use super::subscriber::Outlets;
use crate::env::Env;
use crate::protocol::Target;
use crate::query::{Facts, Later, Services};
use crate::route::Cluster;
use std::rc::Rc;

/// The services of one core.
pub struct Own<E: Env> {
    pub env: E,
    pub passwords: Passwords<E>,
    pub outlets: Rc<Outlets>,
    pub cluster: Cluster,
    pub facts: Facts,
}

impl<E: Env> Services for Own<E> {
    fn now_mono(&self) -> u64 {
        self.env.now_mono()
    }

    fn hash(&self, password: &str) -> Later<String> {
        self.passwords.hash(password)
    }

    fn verify(&self, password: &str, hash: &str) -> Later<bool> {
        self.passwords.verify(password, hash)
    }

    fn wants_copies(&self, target: Target) -> bool {
        self.outlets.wanted(&self.cluster, &self.facts, target)
    }

    fn copy(&self, target: Target, lines: Vec<u8>, points: u64) {
        self.outlets.send(&self.cluster, &self.facts, target, (lines, points));
    }
}
