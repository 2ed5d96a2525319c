//! Bytes to Batches: line protocol, telnet, numbers and escapes.
//!
//! In: bytes of one connection. Out: rows appended to one Batch per shard and layout.
//! Does no I/O and never panics, whatever the bytes are.
