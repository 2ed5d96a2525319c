//! KairosDB's JSON of data points: an array of metrics, or one.
//!
//! In: a body, of which more and more may be there. Out: rows of the field `value` (a column per
//! type) in the `Batcher`, and what was wrong in a `Report`. The bytes are walked where they lie:
//! a metric's members are found and checked first (`members`), because its points may come before
//! its name; then the metric is looked at (`metric`) and its points are read (`points`). A metric
//! whose name and tags were met before in these bytes is found by their hash. Reading stops at any
//! token, so that a metric of any size is read in slices.
//!
//! A metric is stored only once its object was read to its end. What is wrong inside one metric
//! leaves the others alone; only bytes that are no JSON end the reading.

mod members;
mod metric;
mod points;
mod report;
mod scan;
#[cfg(test)]
mod tests;
mod value;

pub use report::Report;

use super::batcher::{Batcher, Missing};
use super::telnet::FIELD;
use crate::catalog::State;
use crate::model::FieldNo;
use crate::route::SeriesCache;
use members::{Found, Member};
use metric::Current;
use scan::{Skip, Trouble};

/// Bytes read between two turns of other tasks, about 0.3 ms.
const SLICE_BYTES: usize = 256 << 10;

const NO_CONTENT: &str = "Invalid json. No content due to end of input.";
const BAD_START: &str = "Invalid start of json.";

/// What a step works with.
pub struct Context<'a> {
    pub catalog: &'a State,
    pub cache: &'a mut SeriesCache,
    pub report: &'a mut Report,
    /// Wall clock (ns).
    pub now_ns: i64,
    /// Shards of the store (1 to 4096).
    pub shards: u32,
    /// Unknown names collected before the catalog is asked.
    pub names_max: usize,
    /// Time to live of points that name none (s); 0 = for ever.
    pub ttl_default_s: i64,
}

/// How far a step came.
#[derive(PartialEq, Debug)]
pub enum Step {
    /// There is more to read; others may have a turn.
    Again,
    /// All that is there is read.
    Wait,
    /// The body is read to its end, or to where it is no JSON.
    Done,
    /// The catalog has to make these names before reading goes on.
    Names(Missing),
}

/// Where in the body reading is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Stage {
    #[default]
    Start,
    /// Behind `[`.
    MetricOrEnd,
    /// Behind a comma.
    Metric,
    /// In something that should be a metric's object and is not.
    Stray,
    /// In a metric's object.
    Members,
    /// Behind a metric's object, which is to be looked at.
    Look,
    /// In a good metric's points.
    Points,
    /// Behind a metric.
    After,
    /// Behind the document.
    Tail,
    /// Nothing more is read.
    Over,
}

/// All that reading has to know to go on.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    at: usize,
    stage: Stage,
    in_array: bool,
    /// Which metric.
    number: u64,
    /// Which of its points.
    point: u64,
    member: Member,
    skip: Skip,
    found: Found,
    current: Current,
}

/// A body under way.
#[derive(Default)]
pub struct Document {
    place: Place,
    /// Scratch: the key of a series, an unescaped text.
    key: Vec<u8>,
    text: Vec<u8>,
}

impl Document {
    /// Where reading goes on: two equal marks are one place.
    pub fn mark(&self) -> (u64, u64, usize) {
        (self.place.number, self.place.point, self.place.at)
    }

    /// Reads a slice of `bytes`, the body as far as it is there; `last` when that is all of it.
    pub fn step(
        &mut self,
        bytes: &[u8],
        last: bool,
        batcher: &mut Batcher,
        ctx: &mut Context<'_>,
    ) -> Step {
        batcher.enter(ctx.catalog, ctx.now_ns, ctx.shards);
        ctx.cache.enter(ctx.catalog.narrowed());
        let field = ctx.catalog.field(FIELD);
        let until = self.place.at.saturating_add(SLICE_BYTES);
        let mut decoder = Decoder { doc: self, bytes, batcher, ctx, field, until, resume: None };
        decoder.refresh();
        decoder.run(last)
    }
}

/// One step's working state.
struct Decoder<'a, 'b, 'c> {
    doc: &'b mut Document,
    bytes: &'a [u8],
    batcher: &'b mut Batcher,
    ctx: &'b mut Context<'c>,
    /// The number of the field `value`, once the catalog knows it.
    field: Option<FieldNo>,
    /// The slice's end.
    until: usize,
    /// The first place with an unknown name: from there on names are only collected.
    resume: Option<Place>,
}

impl Decoder<'_, '_, '_> {
    fn run(&mut self, last: bool) -> Step {
        let step = loop {
            self.skip_blanks();
            let done = match self.advance() {
                Ok(()) => None,
                Err(Trouble::Cut) if !last => Some(Step::Wait),
                Err(Trouble::Cut) if self.doc.place.stage == Stage::Tail => {
                    self.doc.place.stage = Stage::Over;
                    None
                }
                Err(Trouble::Cut) => self.end(NO_CONTENT),
                Err(Trouble::Bad(text)) => self.end(text),
            };
            if let Some(step) = done {
                break step;
            }
            if self.doc.place.stage == Stage::Over {
                break Step::Done;
            }
            let full = self.batcher.names.len() >= self.ctx.names_max.max(1);
            if self.doc.place.at >= self.until || full {
                break Step::Again;
            }
        };
        match self.resume.take() {
            Some(place) => {
                self.doc.place = place;
                Step::Names(self.batcher.names.take())
            }
            None => step,
        }
    }

    /// Blanks in front of the next token are read once, however often the bytes end in them.
    fn skip_blanks(&mut self) {
        let at = self.doc.place.at;
        let rest = self.bytes.get(at..self.until.min(self.bytes.len())).unwrap_or(&[]);
        let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.doc.place.at += rest.iter().take_while(blank).count();
    }

    /// The body is no JSON from here on.
    fn end(&mut self, text: &'static str) -> Option<Step> {
        if self.resume.is_none() {
            // Blanks in front of the fault are read or not, depending on where the bytes were cut.
            let at = self.doc.place.at;
            let at = scan::peek(self.bytes, at).map_or(at, |(found, _)| found);
            self.ctx.report.add(|| match text {
                NO_CONTENT | BAD_START => text.to_owned(),
                text => format!("{text} at offset {at}"),
            });
        }
        self.doc.place.stage = Stage::Over;
        Some(Step::Done)
    }

    /// Reads something, at most the rest of the slice.
    fn advance(&mut self) -> Result<(), Trouble> {
        match self.doc.place.stage {
            Stage::Start => self.start(),
            Stage::MetricOrEnd | Stage::Metric => self.element(),
            Stage::Stray => self.stray(),
            Stage::Members => self.members(),
            Stage::Look => {
                self.metric();
                Ok(())
            }
            Stage::Points => self.points(),
            Stage::After => self.after(),
            Stage::Tail => match scan::peek(self.bytes, self.doc.place.at) {
                Ok(_) => Err(Trouble::Bad("Expected the end")),
                Err(trouble) => Err(trouble),
            },
            Stage::Over => Ok(()),
        }
    }

    fn start(&mut self) -> Result<(), Trouble> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if self.bytes.len() < MARK.len() && MARK.starts_with(self.bytes) {
            return Err(Trouble::Cut);
        }
        let place = &mut self.doc.place;
        if place.at == 0 && self.bytes.starts_with(MARK) {
            place.at = MARK.len();
        }
        let (at, first) = scan::peek(self.bytes, place.at)?;
        match first {
            b'[' => (place.in_array, place.stage, place.at) = (true, Stage::MetricOrEnd, at + 1),
            b'{' => self.open(at),
            _ => return Err(Trouble::Bad(BAD_START)),
        }
        Ok(())
    }

    fn element(&mut self) -> Result<(), Trouble> {
        let (at, first) = scan::peek(self.bytes, self.doc.place.at)?;
        let place = &mut self.doc.place;
        match first {
            b'{' => self.open(at),
            b']' if place.stage == Stage::MetricOrEnd => {
                (place.stage, place.at) = (Stage::Tail, at + 1);
            }
            _ => (place.stage, place.at, place.skip) = (Stage::Stray, at, Skip::default()),
        }
        Ok(())
    }

    /// Enters a metric's object.
    fn open(&mut self, at: usize) {
        let place = &mut self.doc.place;
        place.found = Found::default();
        (place.stage, place.member, place.at) = (Stage::Members, Member::KeyOrEnd, at + 1);
    }

    fn stray(&mut self) -> Result<(), Trouble> {
        let place = &mut self.doc.place;
        if place.skip.run(self.bytes, &mut place.at, self.until)? {
            place.stage = Stage::After;
            let number = place.number;
            if self.resume.is_none() {
                self.ctx.report.refused_metrics += 1;
                self.ctx.report.add(|| format!("metric[{number}] must be an object."));
            }
        }
        Ok(())
    }

    fn after(&mut self) -> Result<(), Trouble> {
        let place = &mut self.doc.place;
        if !place.in_array {
            place.stage = Stage::Tail;
            return Ok(());
        }
        let (at, first) = scan::peek(self.bytes, place.at)?;
        place.stage = match first {
            b',' => Stage::Metric,
            b']' => Stage::Tail,
            _ => return Err(Trouble::Bad("Expected ',' or ']'")),
        };
        place.at = at + 1;
        place.number += 1;
        Ok(())
    }
}
