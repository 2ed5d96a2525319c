//! One question over all shards: plan, scatter, merge, fill, limits.
//!
//! In: a parsed InfluxQL statement. Out: result series for `encode`.
