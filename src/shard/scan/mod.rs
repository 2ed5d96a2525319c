//! Answers one shard's part of a question: prune, read, merge, filter, and aggregate or stream
//! rows.
//!
//! In: a `Request` (plain data, the same for every shard). Out: `Part`s, in the order the request
//! asks for; the coordinator merges the parts of all shards.

pub mod partial;
pub mod request;

pub use partial::{Found, Group, Part, Picked, Rows, Samples, ScanError, States, Summary, TagPair};
pub use request::{
    Aggregate, Aux, Buckets, Expr, FieldRef, Function, KeyFilter, Lookup, MathFunction, Operator,
    Order, Output, Request, Want,
};
