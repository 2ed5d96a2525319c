//! One file per family of routes, and what they stand on: the front end of one core.
//!
//! In: requests that `listen` read from its sockets. Out: answers. A front end decodes, asks the
//! cluster, and waits; nothing below waits for a front end. Nothing here names the runtime: time
//! comes from the environment, bytes from a body of any kind.

mod access;
mod auth;
mod bind;
mod body;
pub mod chores;
mod copies;
mod debug;
mod extras;
mod form;
pub mod front;
mod gzip;
mod head;
pub mod ingest;
mod join;
mod kairos;
mod metrics;
mod monitor;
mod params;
mod parts;
mod passwords;
mod ping;
mod pprof;
mod prometheus;
mod query;
pub mod reply;
mod request_id;
pub mod routes;
mod services;
pub mod stream;
pub mod subscriber;
mod vars;
pub mod watch;
mod write;

pub use crate::query::Facts;
pub use extras::Extras;
pub use front::Front;
pub use reply::{Body, Pipe};
