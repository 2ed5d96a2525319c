//! Which shard owns which series, the closed list of cross-core messages, and the mesh.

pub mod hub;

pub use hub::{CoreId, Hub};
