//! Graphite's plaintext: `path value timestamp`, one point a line.
//!
//! In: bytes of a connection, or datagrams with a line end behind each. Out: float rows in the
//! `Batcher`, dropped lines in `Rejects`. A path met before is found by the hash of its bytes, some
//! lines ahead so that their look-ups overlap; any other goes through the templates (`rules`). An
//! unfinished line stays with the caller.

mod filter;
mod number;
mod place;
mod rules;
#[cfg(test)]
mod tests;

pub use rules::{Applied, Rules};

pub(super) use number::{exact_time, time_of_float, time_of_integer, value};
pub(super) use place::{Place, Places};

use super::batcher::{Batcher, Placed};
use super::reject::{Reject, Rejects};
use super::{LINES_AHEAD, Progress, Tail, words};
use crate::catalog::State;
use crate::route::SeriesCache;

/// carbon's limit of a line (bytes, without its end).
pub const LINE_BYTES_MAX: usize = 16_384;

/// What a call to `decode` works with.
pub struct Context<'a> {
    pub catalog: &'a State,
    pub cache: &'a mut SeriesCache,
    pub rejects: &'a mut Rejects,
    pub rules: &'a Rules,
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
}

/// Decodes the complete lines of `input` into the batcher's request.
pub fn decode(input: &[u8], batcher: &mut Batcher, ctx: &mut Context<'_>) -> Progress {
    batcher.enter(ctx.catalog, ctx.now_ns, ctx.shards);
    ctx.cache.enter(ctx.catalog.narrowed());
    let Some(start) = ctx.tail.skip(input) else {
        return Progress::Done { consumed: input.len() };
    };
    let places = Places { batcher, catalog: ctx.catalog, cache: ctx.cache, rules: ctx.rules };
    let mut decoder = Decoder {
        places,
        rejects: ctx.rejects,
        now_ns: ctx.now_ns,
        line_bytes_max: ctx.line_bytes_max,
        ahead: Vec::with_capacity(LINES_AHEAD),
        found: Vec::with_capacity(LINES_AHEAD),
        resume_at: None,
    };
    let progress = decoder.run(input, start, ctx.names_max);
    let open = match &progress {
        Progress::Done { consumed } => input.get(*consumed..).unwrap_or_default(),
        Progress::NeedNames { .. } => return progress,
    };
    // One byte more may be the carriage return of a line of exactly the limit.
    if open.len() > ctx.line_bytes_max + 1 {
        ctx.rejects.count(Reject::LineTooLong, open);
        ctx.tail.skipping = true;
        return Progress::Done { consumed: input.len() };
    }
    progress
}

/// A line that was read and is good if its path was met before.
struct Row<'a> {
    line: &'a [u8],
    /// Its offset in the input.
    at: usize,
    hash: u128,
    time: i64,
    value: f64,
}

/// One call's working state.
struct Decoder<'a, 'b> {
    places: Places<'b>,
    rejects: &'b mut Rejects,
    now_ns: i64,
    line_bytes_max: usize,
    /// Lines read whose paths are not looked up yet, and what the look-up found.
    ahead: Vec<Row<'a>>,
    found: Vec<Option<Placed>>,
    /// The first line with an unknown name: from there on names are only collected.
    resume_at: Option<usize>,
}

impl<'a> Decoder<'a, '_> {
    fn run(&mut self, input: &'a [u8], start: usize, names_max: usize) -> Progress {
        let mut at = start;
        while let Some(rest) = input.get(at..)
            && let Some(len) = memchr::memchr(b'\n', rest)
        {
            if self.places.batcher.names.len() >= names_max.max(1) {
                break;
            }
            let line = rest.get(..len).unwrap_or(rest);
            self.line(line.strip_suffix(b"\r").unwrap_or(line), at);
            at += len + 1;
        }
        self.place_ahead();
        match self.resume_at {
            Some(resume_at) => {
                let missing = self.places.batcher.names.take();
                Progress::NeedNames { resume_at, missing }
            }
            None => Progress::Done { consumed: at },
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
    fn odd_line(&mut self, line: &[u8], at: usize) {
        let result = match line.len() > self.line_bytes_max {
            true => Err(Reject::LineTooLong),
            false => self.exact_line(line, at),
        };
        if let Err(why) = result {
            self.refuse(why, line);
        }
    }

    fn refuse(&mut self, why: Reject, line: &[u8]) {
        if self.resume_at.is_none() {
            self.rejects.count(why, line);
        }
    }

    /// A line of three good fields, apart by blanks; `None` sends the line the exact way.
    #[inline]
    fn read(&mut self, line: &'a [u8], at: usize) -> Option<Row<'a>> {
        if line.len() > self.line_bytes_max || self.resume_at.is_some() {
            return None;
        }
        let (path, rest) = words::word(line);
        let (value, rest) = words::word(after_blanks(rest)?);
        let (time, rest) = words::word(after_blanks(rest)?);
        if !rest.is_empty() || time.is_empty() {
            return None;
        }
        let value = number::value(value).ok()?;
        let time = number::time(time, self.now_ns).ok()?;
        Some(Row { line, at, hash: self.places.hash(path), time, value })
    }

    /// The lines read ahead take effect, in order.
    fn place_ahead(&mut self) {
        let (mut ahead, mut found) =
            (std::mem::take(&mut self.ahead), std::mem::take(&mut self.found));
        self.places.find_many(ahead.iter().map(|row| row.hash), &mut found);
        for (Row { line, at, hash, time, value }, placed) in ahead.drain(..).zip(&found) {
            // From the first line on that needs names, nothing is placed.
            let placed = placed.filter(|_| self.resume_at.is_none());
            match placed.and_then(|placed| self.places.place(placed, hash, time)) {
                Some(_) if self.places.batcher.is_beyond_retention(time) => {
                    self.refuse(Reject::BeyondRetention, line);
                }
                Some(place) => self.places.append(place, time, value),
                None => self.odd_line(line, at),
            }
        }
        (self.ahead, self.found) = (ahead, found);
    }

    /// Reads the line at offset `at` of the input.
    fn exact_line(&mut self, line: &[u8], at: usize) -> Result<(), Reject> {
        if std::str::from_utf8(line).is_err() {
            return Err(Reject::NotUtf8);
        }
        let mut fields = line.split(|byte| is_blank(*byte)).filter(|field| !field.is_empty());
        let Some(path) = fields.next() else { return Ok(()) };
        let (value, time, more) = (fields.next(), fields.next(), fields.next());
        let Some(value) = value.filter(|_| more.is_none()) else {
            return Err(Reject::FieldCount);
        };
        let value = number::value(value)?;
        // InfluxDB takes a line without a timestamp to be of now.
        let time = time.map_or(Ok(self.now_ns), |time| number::time(time, self.now_ns))?;
        if self.places.batcher.is_beyond_retention(time) {
            return Err(Reject::BeyondRetention);
        }
        let hash = self.places.hash(path);
        let asking = self.resume_at.is_some();
        match self.places.make((path, hash), time, asking)? {
            Some(place) => self.places.append(place, time, value),
            None => self.resume_at = self.resume_at.or(Some(at)),
        }
        Ok(())
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c | b'\r')
}

/// The text behind its leading blanks; `None` when it does not begin with one.
#[inline]
fn after_blanks(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b' ', rest @ ..] if rest.first().is_some_and(|byte| *byte > b' ') => Some(rest),
        [first, ..] if is_blank(*first) => {
            let blanks = text.iter().take_while(|byte| is_blank(**byte)).count();
            text.get(blanks..)
        }
        _ => None,
    }
}
