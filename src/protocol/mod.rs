//! Bytes to Batches: line protocol, telnet, Graphite, numbers and escapes.
//!
//! In: bytes of one connection or body. Out: rows appended to one `WriteRequest` per shard, whose
//! Batches are keyed by (partition, layout). A decoder never waits: what the catalog does not know
//! is collected and handed to the caller (`Progress::NeedNames`), who has it made and comes back.
//! Does no I/O and never panics, whatever the bytes are; memory is bounded by the bytes given.

pub mod batcher;
pub mod graphite;
pub mod kairos;
pub mod line;
pub mod number;
pub mod pickle;
pub mod points;
pub mod prometheus;
pub mod reject;
pub mod telnet;
#[cfg(test)]
#[path = "../../tests/common/decoding.rs"]
mod testkit;
mod words;

pub use batcher::{Batcher, Missing, Outcome, ShardWrite, Target};
pub use reject::{Reject, Rejects, Speech};

/// Rows whose series are looked up together: their places in the series cache are far apart, and
/// look-ups one behind the other do not wait for each other's memory. More than a processor has
/// under way at a time gains nothing.
const LINES_AHEAD: usize = 32;

/// How far a decoder came.
#[derive(PartialEq, Debug)]
pub enum Progress {
    /// Every complete line is decoded. Bytes from `consumed` on are the start of an unfinished
    /// line, which the caller gives again together with what follows.
    Done { consumed: usize },
    /// Lines before `resume_at` are decoded. The catalog has to make the missing names; then the
    /// caller decodes again from `resume_at` with the catalog's next state.
    NeedNames { resume_at: usize, missing: Missing },
}

/// What a decoder remembers of a connection between two calls: whether it is inside a line that is
/// too long and is being skipped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tail {
    skipping: bool,
}

impl Tail {
    /// While a line is skipped: the offset behind its end, or `None` when it does not end here.
    fn skip(&mut self, input: &[u8]) -> Option<usize> {
        if !self.skipping {
            return Some(0);
        }
        let end = memchr::memchr(b'\n', input)?;
        self.skipping = false;
        Some(end + 1)
    }
}
