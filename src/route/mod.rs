//! Which shard owns which series, the closed list of cross-core messages, and the mesh.

pub mod hub;
pub mod mesh;

pub use hub::{CoreId, Hub};

pub mod cache;

pub use cache::{KeyForm, SeriesCache, SeriesHandle};
