//! What a query may ask of the process: facts that do not change while it lives, its counters, and
//! work that a query cannot do itself. Told by SHOW DIAGNOSTICS, SHOW STATS and `/debug`.

use crate::config::Config;
use crate::protocol::Target;
use crate::stats::AllDoors;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The version that clients see and decide by.
pub const VERSION: &str = "1.8.10";

/// Facts of the process.
#[derive(Clone, Debug)]
pub struct Facts {
    pub config: Arc<Config>,
    pub doors: AllDoors,
    /// Wall clock at the start (ns).
    pub started_ns: i64,
    /// The first HTTP address, which names the module `httpd`.
    pub http_bind: String,
    pub hostname: String,
}

/// The process as a query sees it.
pub struct Server {
    pub facts: Facts,
    pub services: Box<dyn Services>,
}

/// The outcome of work that takes a while.
pub type Later<T> = Pin<Box<dyn Future<Output = Result<T, String>>>>;

/// What a query has others do.
pub trait Services {
    /// Nanoseconds of the clock by which queries are timed.
    fn now_mono(&self) -> u64;

    /// A new hash of a password, with a salt of its own. It takes milliseconds, so it is made off
    /// the core.
    fn hash(&self, password: &str) -> Later<String>;

    /// Whether a hash is of this password; off the core as well.
    fn verify(&self, password: &str, hash: &str) -> Later<bool>;

    /// Whether somebody is subscribed to what is written to a policy.
    fn wants_copies(&self, target: Target) -> bool;

    /// Sends lines with times in ns, so many points, to the subscribers of a policy.
    fn copy(&self, target: Target, lines: Vec<u8>, points: u64);
}
