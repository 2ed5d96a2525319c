//! Which shard owns which series, the closed list of cross-core messages, and the mesh.
//!
//! `hub` (calls, streams, credits) ▸ `mesh` (between executors) ▸ `message` (what is said) ▸ `host`
//! (what a core does for others) and `cluster` (what a front end sees of all of them); `cache`
//! remembers which shard and series a raw key is; `admission` holds the limits on new series.

pub mod admission;
pub mod cache;
pub mod cluster;
#[cfg(test)]
pub(crate) mod cluster_tests;
pub mod host;
pub mod hub;
pub mod mesh;
pub mod message;
pub mod queries;
pub mod tally;

pub use cache::{KeyForm, SeriesCache, SeriesHandle};
pub use cluster::Cluster;
pub use host::Host;
pub use hub::{CoreId, Hub};
pub use queries::Queries;
