//! ringtail: a time-series storage server, one pinned thread and one io_uring per core.
//!
//! Modules are listed from the outside to the inside, the way data flows; a module imports only
//! from modules below it in this list (held by `tests/tidy.rs`):
//!
//! `cli` > `server` > `listen` > `api` > `kairos` > `encode` > `query` > `influxql` > `protocol` >
//! `route` > `catalog` > `shard` > `codec` > `profile` > `model` > `stats` > `config` > `env` >
//! `logging`
//!
//! `ARCHITECTURE.md` has the picture, the invariants and the on-disk formats.

// Helpers that unit tests share with benchmarks and fuzz targets name the crate from outside.
#[cfg(test)]
extern crate self as ringtail;

pub mod api;
pub mod catalog;
pub mod cli;
pub mod codec;
pub mod config;
pub mod encode;
pub mod env;
pub mod influxql;
pub mod kairos;
pub mod listen;
pub mod logging;
pub mod model;
pub mod profile;
pub mod protocol;
pub mod query;
pub mod route;
pub mod server;
pub mod shard;
pub mod stats;
