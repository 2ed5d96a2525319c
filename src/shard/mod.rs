//! One core's share of the data: log, head, segments, index, compaction, scans.
//!
//! A shard owns every series whose canonical key hashes to it, alone, and needs no lock.

pub mod block;
pub mod cache;
pub mod head;
pub mod index;
pub mod journal;
pub mod log;
pub mod merge;
pub mod segment;
pub mod tombstone;

pub mod scan;
#[cfg(test)]
pub mod testing;
