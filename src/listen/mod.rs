//! Bytes in, bytes out, on one core: accept loops, HTTP framing, telnet lines, deadlines.
//!
//! In: listening sockets of this core and its front end. Out: connections served until they end,
//! the peer is silent for too long, or the server drains. Knows nothing of what requests mean.

pub mod accept;
pub mod connections;
pub mod forward;
pub mod http;
mod stream;
pub mod telnet;

pub use accept::Door;
pub use connections::Connections;

/// The front end as sockets use it.
pub type Front = crate::api::Front<crate::env::real::RealEnv>;
