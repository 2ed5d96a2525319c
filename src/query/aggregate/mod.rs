//! Aggregates on the asking side: merged states, finished.
//!
//! In: groups of states as shards send them, merged (`scan::Group::merge`). Out: one value, or
//! several, per bucket.

pub mod few;
pub mod finish;
mod places;

pub use finish::{Point, finish};
