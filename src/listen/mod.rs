//! Bytes in, bytes out, on one core: accept loops, HTTP framing, streams, datagrams, deadlines.
//!
//! In: listening sockets of this core and its front end. Out: connections served until they end,
//! the peer is silent for too long, or the server drains. Knows nothing of what requests mean.

pub mod accept;
mod buffers;
pub mod connections;
pub mod forward;
pub mod http;
mod session;
mod stream;
pub mod tls;
pub mod udp;

pub use accept::Door;
pub use connections::Connections;

/// The front end as sockets use it.
pub type Front = crate::api::Front<crate::env::real::RealEnv>;

/// The decoder of a stream as sockets use it.
type RealDecoder = crate::api::stream::Decoder<crate::env::real::RealEnv>;
