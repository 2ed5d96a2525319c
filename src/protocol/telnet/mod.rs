//! KairosDB's telnet door: `put`, `putm`, `puts` and `version`, one command a line.
//!
//! In: bytes of a connection. Out: rows of the field `value` (a column per type) in the `Batcher`,
//! dropped lines in `Rejects`, answers in `Replies`. A metric and tag words met
//! before are found by the hash of their bytes; all other lines are split into words and checked.
//! Lines take effect in order; an unfinished one stays with the caller.

mod command;
mod replies;
#[cfg(test)]
mod tests;

pub use replies::{Replies, VERSION_LINE};

use super::batcher::{Batcher, Cell, Datum, Owner, Placed};
use super::reject::{Reject, Rejects};
use super::{Progress, Tail, words};
use crate::catalog::State;
use crate::model::time::{TIME_MAX, TIME_MIN};
use crate::model::{ColumnId, FieldNo, FieldType, MeasurementId, PartitionId};
use crate::route::{KeyForm, SeriesCache};

/// KairosDB's default for the longest line (bytes, without its end).
pub const LINE_BYTES_MAX: usize = 1024;
/// The field that holds a metric's values.
pub const FIELD: &[u8] = b"value";

/// What a call to `decode` works with.
pub struct Context<'a> {
    pub catalog: &'a State,
    pub cache: &'a mut SeriesCache,
    pub rejects: &'a mut Rejects,
    /// Carried from call to call of one connection.
    pub tail: &'a mut Tail,
    /// Wall clock (ns).
    pub now_ns: i64,
    /// Shards of the store (1 to 4096).
    pub shards: u32,
    /// A longer line is dropped (bytes, without its end).
    pub line_bytes_max: usize,
    /// Unknown names collected before the catalog is asked.
    pub names_max: usize,
    /// Time to live of points that name none (s); 0 = for ever.
    pub ttl_default_s: i64,
    /// Answers that are due; each line decoded may add to them.
    pub replies: &'a mut Replies,
}

/// Decodes the complete lines of `input` into the batcher's request.
pub fn decode(input: &[u8], batcher: &mut Batcher, ctx: &mut Context<'_>) -> Progress {
    batcher.enter(ctx.catalog, ctx.now_ns, ctx.shards);
    let Some(start) = ctx.tail.skip(input) else {
        return Progress::Done { consumed: input.len() };
    };
    let field = ctx.catalog.field(FIELD);
    let mut decoder =
        Decoder { batcher, ctx, field, words: Vec::new(), key: Vec::new(), resume_at: None };
    decoder.run(input, start)
}

/// How the time and the value of a command are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Command {
    Put,
    PutMillis,
    PutString,
}

/// One call's working state.
struct Decoder<'a, 'b, 'c> {
    batcher: &'b mut Batcher,
    ctx: &'b mut Context<'c>,
    /// The number of the field `value`, once the catalog knows it.
    field: Option<FieldNo>,
    words: Vec<&'a [u8]>,
    key: Vec<u8>,
    /// The first line with an unknown name: from there on names are only collected.
    resume_at: Option<usize>,
}

impl<'a> Decoder<'a, '_, '_> {
    fn run(&mut self, input: &'a [u8], start: usize) -> Progress {
        let mut at = start;
        while let Some(rest) = input.get(at..)
            && let Some(len) = memchr::memchr(b'\n', rest)
        {
            if self.batcher.names.len() >= self.ctx.names_max.max(1) {
                break;
            }
            let line = rest.get(..len).unwrap_or(rest);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if let Err(why) = self.line(line, at)
                && self.resume_at.is_none()
            {
                self.refuse(why, line);
            }
            at += len + 1;
        }
        if let Some(resume_at) = self.resume_at {
            return Progress::NeedNames { resume_at, missing: self.batcher.names.take() };
        }
        let open = input.get(at..).unwrap_or(&[]);
        // One byte more may be the carriage return of a line of exactly the limit.
        if open.len() > self.ctx.line_bytes_max + 1 {
            self.refuse(Reject::LineTooLong, open);
            self.ctx.tail.skipping = true;
            return Progress::Done { consumed: input.len() };
        }
        Progress::Done { consumed: at }
    }

    fn refuse(&mut self, why: Reject, line: &[u8]) {
        self.ctx.rejects.count(why, line);
        self.ctx.replies.error(why, line);
    }

    #[inline]
    fn line(&mut self, line: &'a [u8], at: usize) -> Result<(), Reject> {
        if line.len() > self.ctx.line_bytes_max {
            return Err(Reject::LineTooLong);
        }
        if self.resume_at.is_none()
            && let Some(result) = self.fast_line(line)
        {
            return result;
        }
        self.exact_line(line, at)
    }

    /// A `put` of a series met before; `None` sends the line the exact way.
    #[inline]
    fn fast_line(&mut self, line: &[u8]) -> Option<Result<(), Reject>> {
        let (name, rest) = words::word(line);
        let command = Command::of(name)?;
        let (metric, rest) = words::word(words::skip_blanks(rest));
        let (time, rest) = words::word(words::skip_blanks(rest));
        let (value, rest) = words::word(words::skip_blanks(rest));
        if matches!(value.first(), None | Some(b'"')) {
            return None;
        }
        let hash = self.raw_hash(metric, words::skip_blanks(rest));
        let placed = self.batcher.find_series(self.ctx.cache, hash)?;
        let time = match command.time_ns(time) {
            Ok(time) => time,
            Err(why) => return Some(Err(why)),
        };
        let Some(datum) = command.value(value) else { return Some(Err(Reject::BadValue)) };
        if matches!(datum, Datum::String(text) if std::str::from_utf8(text).is_err()) {
            return Some(Err(Reject::NotUtf8));
        }
        let column = self.column(placed.measurement, datum)?;
        if self.batcher.is_beyond_retention(time) {
            return Some(Err(Reject::BeyondRetention));
        }
        let partition = self.batcher.partition(self.ctx.catalog, time)?;
        self.append(placed, partition, time, (column, datum), self.ctx.ttl_default_s);
        Some(Ok(()))
    }

    /// The hash of a series' words as sent. Words hold no byte up to 0x20, so 0 separates.
    fn raw_hash(&mut self, metric: &[u8], tags: &[u8]) -> u128 {
        self.key.clear();
        self.key.extend_from_slice(metric);
        self.key.push(0);
        self.key.extend_from_slice(tags);
        self.ctx.cache.hash(self.batcher.target().db, KeyForm::Telnet, &self.key)
    }

    /// The column of a metric's values of this type, if the catalog has it.
    #[inline]
    fn column(&self, measurement: MeasurementId, datum: Datum<'_>) -> Option<ColumnId> {
        let kind = kind_of(datum);
        let policy = self.batcher.target().policy;
        let field = self.field?;
        let types = self.ctx.catalog.field_types(policy, measurement, field);
        types.contains(kind).then(|| ColumnId::new(field, kind))
    }

    fn append(
        &mut self,
        placed: Placed,
        partition: PartitionId,
        time: i64,
        cell: Cell<'_>,
        ttl_s: i64,
    ) {
        let row = (placed.series, time);
        let owner = Owner::Single(cell.0);
        if ttl_s <= 0 {
            self.batcher.append(owner, placed.shard, partition, row, &[cell]);
            return;
        }
        let ttl_ns = ttl_s.saturating_mul(1_000_000_000);
        let expire = Datum::Integer(self.ctx.now_ns.saturating_add(ttl_ns));
        let cells = [(ColumnId::EXPIRE, expire), cell];
        self.batcher.append(owner, placed.shard, partition, row, &cells);
    }
}

/// Times below this are seconds in a `put`, others milliseconds.
const SECONDS_END: i64 = 3_000_000_000;

impl Command {
    #[inline]
    fn of(word: &[u8]) -> Option<Command> {
        match word {
            b"put" => Some(Command::Put),
            b"putm" => Some(Command::PutMillis),
            b"puts" => Some(Command::PutString),
            _ => None,
        }
    }

    /// The command's time in nanoseconds.
    #[inline]
    fn time_ns(self, text: &[u8]) -> Result<i64, Reject> {
        let sent = super::number::integer(text).map_err(|_| Reject::BadTime)?;
        let millis = match self {
            Command::Put if sent < SECONDS_END => sent.checked_mul(1000),
            _ => Some(sent),
        };
        let time = millis.and_then(|millis| millis.checked_mul(1_000_000));
        time.filter(|time| (TIME_MIN..=TIME_MAX).contains(time)).ok_or(Reject::TimeRange)
    }

    /// The command's value.
    #[inline]
    fn value(self, text: &[u8]) -> Option<Datum<'_>> {
        if self == Command::PutString {
            return Some(Datum::String(text));
        }
        if !text.contains(&b'.') {
            return super::number::integer(text).ok().map(Datum::Integer);
        }
        match super::number::float_prefix(text) {
            Some((value, len)) if len == text.len() => Some(Datum::Float(value)),
            _ => words::double(text).map(Datum::Float),
        }
    }
}

fn kind_of(datum: Datum<'_>) -> FieldType {
    match datum {
        Datum::Float(_) => FieldType::Float,
        Datum::String(_) | Datum::Escaped(_) => FieldType::String,
        _ => FieldType::Integer,
    }
}
