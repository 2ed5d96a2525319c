//! Line protocol of InfluxDB 1.x: bytes to rows.
//!
//! In: a body or a part of one. Out: rows in the `Batcher`, troubles in the `Report`. A line is
//! tried the fast way (`fast`): the key's hash is known, the fields follow a known shape. Whatever
//! does not fit is read from its start the exact way (`exact`), with InfluxDB 1.6's quirks and
//! error texts.

mod exact;
mod fast;
mod fields;
mod key;
pub mod print;
pub(super) mod report;
mod split;
pub mod stamp;
#[cfg(test)]
mod tests;

pub use report::{Refusal, Report, Verdict};

use super::batcher::{Batcher, Cell, Shape};
use super::{Progress, Tail};
use crate::catalog::State;
use crate::model::time::{TIME_MAX, TIME_MIN};
use crate::route::SeriesCache;
use fields::RawField;
use key::KeyParts;

/// Unit of the times in a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Precision {
    #[default]
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
}

impl Precision {
    /// Reads a `precision` parameter: `n`, `ns`, `u`, `ms`, `s`, `m`, `h`.
    pub fn parse(text: &str) -> Option<Precision> {
        Some(match text {
            "n" | "ns" => Precision::Nanoseconds,
            "u" => Precision::Microseconds,
            "ms" => Precision::Milliseconds,
            "s" => Precision::Seconds,
            "m" => Precision::Minutes,
            "h" => Precision::Hours,
            _ => return None,
        })
    }

    /// The unit in nanoseconds.
    pub fn unit_ns(self) -> i64 {
        match self {
            Precision::Nanoseconds => 1,
            Precision::Microseconds => 1_000,
            Precision::Milliseconds => 1_000_000,
            Precision::Seconds => 1_000_000_000,
            Precision::Minutes => 60_000_000_000,
            Precision::Hours => 3_600_000_000_000,
        }
    }
}

/// What a call to `decode` works with.
pub struct Context<'a> {
    pub catalog: &'a State,
    pub cache: &'a mut SeriesCache,
    pub report: &'a mut Report,
    /// Carried from part to part of one body; `Tail::default()` at its start.
    pub tail: &'a mut Tail,
    /// Wall clock at the arrival of the body; the same for all its parts.
    pub now_ns: i64,
    pub precision: Precision,
    /// Shards of the store (1 to 4096).
    pub shards: u32,
    /// Whether more of the body follows.
    pub more: bool,
    /// A longer line is refused alone (bytes, with room for its newline).
    pub line_bytes_max: usize,
    /// Unknown names collected before the catalog is asked.
    pub names_max: usize,
}

/// Decodes a body, or a part of one, into the batcher's request.
pub fn decode(input: &[u8], batcher: &mut Batcher, ctx: &mut Context<'_>) -> Progress {
    batcher.enter(ctx.catalog, ctx.now_ns, ctx.shards);
    let Some(start) = ctx.tail.skip(input) else {
        return Progress::Done { consumed: input.len() };
    };
    let unit_ns = ctx.precision.unit_ns();
    let default_time = ctx.now_ns - ctx.now_ns % unit_ns;
    let mut decoder = Decoder {
        batcher,
        ctx,
        input,
        unit_ns,
        default_time,
        cells: Vec::new(),
        fields: Vec::new(),
        key: KeyParts::default(),
        name: Vec::new(),
        text: Vec::new(),
        shape: Shape::default(),
        resume_at: None,
    };
    decoder.run(start)
}

/// One call's working state.
struct Decoder<'a, 'b, 'c> {
    batcher: &'b mut Batcher,
    ctx: &'b mut Context<'c>,
    input: &'a [u8],
    unit_ns: i64,
    default_time: i64,
    /// The row at hand, sorted by column.
    cells: Vec<Cell<'a>>,
    fields: Vec<RawField<'a>>,
    key: KeyParts,
    /// The measurement's name without escapes.
    name: Vec<u8>,
    /// A field's name without escapes.
    text: Vec<u8>,
    shape: Shape,
    /// The first line with an unknown name: from there on names are only collected.
    resume_at: Option<usize>,
}

impl Decoder<'_, '_, '_> {
    fn run(&mut self, start: usize) -> Progress {
        let mut at = start;
        while at < self.input.len() {
            if self.resume_at.is_none()
                && let Some(next) = self.fast_line(at)
            {
                at = next;
                continue;
            }
            if self.batcher.names.len() >= self.ctx.names_max.max(1) {
                break;
            }
            match self.exact_line(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        match self.resume_at {
            Some(resume_at) => {
                Progress::NeedNames { resume_at, missing: self.batcher.names.take() }
            }
            None => self.leave(at.min(self.input.len())),
        }
    }

    /// Ends the call at an open line; one that is already too long is given up.
    fn leave(&mut self, at: usize) -> Progress {
        let open = self.input.get(at..).unwrap_or(&[]);
        if open.len() <= self.ctx.line_bytes_max {
            return Progress::Done { consumed: at };
        }
        self.ctx.report.refuse_line(cut(open), b"line too long");
        self.ctx.tail.skipping = true;
        Progress::Done { consumed: self.input.len() }
    }
}

/// The part of a far too long line that is quoted.
fn cut(line: &[u8]) -> &[u8] {
    line.get(..128).unwrap_or(line)
}

/// Whether a point may have this time.
fn is_storable(time: i64) -> bool {
    (TIME_MIN..=TIME_MAX).contains(&time)
}
