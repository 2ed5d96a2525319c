//! Aggregates on the asking side: states of shards merged, then finished.
//!
//! In: groups of states as shards send them. Out: one value, or several, per bucket.

pub mod finish;
pub mod merge;

pub use finish::{Point, finish};
pub use merge::merge;
