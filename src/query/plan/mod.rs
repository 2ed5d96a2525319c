//! From the syntax tree to what shards are asked: names, columns, conditions, buckets.
//!
//! In: a query and its resolved sources. Out: expressions over numbered columns, the filter of
//! series and of rows, the shape of time.

pub mod buckets;
pub mod calls;
pub mod columns;
pub mod condition;
pub mod expr;
pub mod reduce;
pub mod transforms;
pub mod types;

pub use buckets::Timing;
pub use columns::Selected;
