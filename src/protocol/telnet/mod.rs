//! KairosDB's telnet door: `put`, `putm`, `puts` and `version`, one command a line.
//!
//! In: bytes of a connection. Out: rows of the field `value` (a column per type) in the `Batcher`,
//! dropped lines in `Rejects`, answers in `Replies`. A metric and tag words met before are found by
//! the hash of their bytes, some lines ahead so that their look-ups overlap; all other lines are
//! split into words and checked. Lines take effect in order; an unfinished one stays with the
//! caller.

mod command;
mod replies;
#[cfg(test)]
mod tests;

pub use replies::{Replies, VERSION_LINE};

use super::batcher::{Batcher, Cell, Datum, Placed};
use super::reject::{Reject, Rejects};
use super::{LINES_AHEAD, Progress, Tail, words};
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
    ctx.cache.enter(ctx.catalog.narrowed());
    let Some(start) = ctx.tail.skip(input) else {
        return Progress::Done { consumed: input.len() };
    };
    let field = ctx.catalog.field(FIELD);
    let mut decoder = Decoder {
        batcher,
        ctx,
        field,
        words: Vec::new(),
        key: Vec::new(),
        ahead: Vec::with_capacity(LINES_AHEAD),
        found: Vec::with_capacity(LINES_AHEAD),
        resume_at: None,
    };
    decoder.run(input, start)
}

/// How the time and the value of a command are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Command {
    Put,
    PutMillis,
    PutString,
}

/// A line that was read and is good if its series was met before.
struct Row<'a> {
    line: &'a [u8],
    /// Its offset in the input.
    at: usize,
    hash: u128,
    time: i64,
    datum: Datum<'a>,
}

/// One call's working state.
struct Decoder<'a, 'b, 'c> {
    batcher: &'b mut Batcher,
    ctx: &'b mut Context<'c>,
    /// The number of the field `value`, once the catalog knows it.
    field: Option<FieldNo>,
    words: Vec<&'a [u8]>,
    key: Vec<u8>,
    /// Lines read whose series are not looked up yet, and what the look-up found.
    ahead: Vec<Row<'a>>,
    found: Vec<Option<Placed>>,
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
            self.line(line.strip_suffix(b"\r").unwrap_or(line), at);
            at += len + 1;
        }
        self.place_ahead();
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
        if self.resume_at.is_none() {
            self.ctx.rejects.count(why, line);
            self.ctx.replies.error(why, line);
        }
    }

    /// Reads the line at offset `at`; where it looks good it takes effect some lines later.
    #[inline]
    fn line(&mut self, line: &'a [u8], at: usize) {
        if let Some(row) = self.read(line, at) {
            self.ahead.push(row);
            if self.ahead.len() == LINES_AHEAD {
                self.place_ahead();
            }
            return;
        }
        self.place_ahead();
        self.odd_line(line, at);
    }

    /// A line that goes the exact way.
    fn odd_line(&mut self, line: &'a [u8], at: usize) {
        let result = match line.len() > self.ctx.line_bytes_max {
            true => Err(Reject::LineTooLong),
            false => self.exact_line(line, at),
        };
        if let Err(why) = result {
            self.refuse(why, line);
        }
    }

    /// A command whose time and value are good; `None` sends the line the exact way, which finds
    /// what is wrong with it.
    #[inline]
    fn read(&mut self, line: &'a [u8], at: usize) -> Option<Row<'a>> {
        if line.len() > self.ctx.line_bytes_max || self.resume_at.is_some() {
            return None;
        }
        let (name, rest) = words::word(line);
        let command = Command::of(name)?;
        let (metric, rest) = words::word(words::skip_blanks(rest));
        let (time, rest) = words::word(words::skip_blanks(rest));
        let (value, rest) = words::word(words::skip_blanks(rest));
        if matches!(value.first(), None | Some(b'"')) {
            return None;
        }
        let time = command.time_ns(time).ok()?;
        let datum = command.value(value)?;
        if matches!(datum, Datum::String(text) if std::str::from_utf8(text).is_err()) {
            return None;
        }
        let hash = self.raw_hash(metric, words::skip_blanks(rest));
        Some(Row { line, at, hash, time, datum })
    }

    /// The lines read ahead take effect, in order.
    fn place_ahead(&mut self) {
        let mut ahead = std::mem::take(&mut self.ahead);
        let mut found = std::mem::take(&mut self.found);
        let hashes = ahead.iter().map(|row| row.hash);
        self.batcher.find_many(self.ctx.cache, hashes, &mut found);
        for (row, placed) in ahead.drain(..).zip(&found) {
            // From the first line on that needs names, nothing is placed.
            let placed = placed.filter(|_| self.resume_at.is_none());
            if placed.and_then(|placed| self.place_row(&row, placed)).is_none() {
                self.odd_line(row.line, row.at);
            }
        }
        (self.ahead, self.found) = (ahead, found);
    }

    /// A row of a series met before; `None` when its names are not all known.
    #[inline]
    fn place_row(&mut self, row: &Row<'a>, placed: Placed) -> Option<()> {
        let Row { line, hash, time, datum, .. } = *row;
        let kind = kind_of(datum);
        let column = match placed.types.contains(kind) {
            true => ColumnId::new(self.field?, kind),
            false => self.confirm(hash, placed.measurement, kind)?,
        };
        if self.batcher.is_beyond_retention(time) {
            self.refuse(Reject::BeyondRetention, line);
            return Some(());
        }
        let partition = self.batcher.partition(self.ctx.catalog, time)?;
        self.append(placed, partition, time, (column, datum), self.ctx.ttl_default_s);
        Some(())
    }

    /// The column of a metric's values; the series cache is told what the catalog knows.
    fn confirm(
        &mut self,
        hash: u128,
        measurement: MeasurementId,
        kind: FieldType,
    ) -> Option<ColumnId> {
        let (field, policy) = (self.field?, self.batcher.target().policy);
        let types = self.ctx.catalog.field_types(policy, measurement, field);
        self.ctx.cache.confirm(hash, types);
        types.contains(kind).then(|| ColumnId::new(field, kind))
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
        let ttl_ns = ttl_s.saturating_mul(1_000_000_000);
        let expire = (ttl_s > 0).then(|| self.ctx.now_ns.saturating_add(ttl_ns));
        let row = (placed.series, time);
        self.batcher.append_single(placed.shard, partition, row, cell, expire);
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
