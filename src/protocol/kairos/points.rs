//! A metric's `datapoints`, which were checked as JSON before: `[time, value]` or `[time, value,
//! type]`, each stored or refused by itself.

use super::super::batcher::Datum;
use super::super::number;
use super::members::Span;
use super::scan::{self, Skip, Trouble};
use super::value::{self, Kind};
use super::{Decoder, Stage};

/// The most elements of a point that mean something.
const ELEMENTS: usize = 3;

impl Decoder<'_, '_, '_> {
    /// Reads points up to the slice's end or the array's.
    pub(super) fn points(&mut self) -> Result<(), Trouble> {
        while self.doc.place.at < self.until {
            let (at, first) = scan::peek(self.bytes, self.doc.place.at)?;
            match first {
                b']' => {
                    self.doc.place.at = self.doc.place.found.end;
                    self.doc.place.stage = Stage::After;
                    return Ok(());
                }
                b',' => self.doc.place.at = at + 1,
                b'[' => {
                    self.doc.place.at = at;
                    self.point(at)?;
                    self.doc.place.point += 1;
                }
                _ => {
                    let mut end = at;
                    while !Skip::default().run(self.bytes, &mut end, usize::MAX)? {}
                    self.refuse_point(" must be an array.");
                    (self.doc.place.at, self.doc.place.point) = (end, self.doc.place.point + 1);
                }
            }
            if self.batcher.names.len() >= self.ctx.names_max.max(1) {
                return Ok(());
            }
        }
        Ok(())
    }

    #[inline]
    fn point(&mut self, at: usize) -> Result<(), Trouble> {
        if let Some((time, datum, end)) = self.quick(at) {
            self.store(time, datum);
            self.doc.place.at = end;
            return Ok(());
        }
        self.exact_point(at)
    }

    /// `[integer,number]` without blanks, but for one behind the comma.
    #[inline]
    fn quick(&self, at: usize) -> Option<(i64, Datum<'static>, usize)> {
        let rest = self.bytes.get(at + 1..)?;
        let (millis, len) = number::integer_prefix(rest)?;
        let time = value::millis_to_ns(millis)?;
        let rest = rest.get(len..)?.strip_prefix(b",")?;
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        let (datum, len) = match number::integer_prefix(rest) {
            Some((value, len)) if rest.get(len) == Some(&b']') => (Datum::Integer(value), len),
            _ => {
                let (value, len) = number::float_prefix(rest)?;
                let number = rest.get(..len)?;
                // Longs of more digits than the quick way reads look like floats here.
                if !number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
                    return None;
                }
                (Datum::Float(value), len)
            }
        };
        let datum = match (self.doc.place.current.kind, datum) {
            (Kind::Auto, datum) => datum,
            (Kind::Long, Datum::Integer(_)) | (Kind::Double, Datum::Float(_)) => datum,
            (Kind::Double, Datum::Integer(value)) => Datum::Float(value as f64),
            _ => return None,
        };
        let behind = rest.get(len..)?.strip_prefix(b"]")?;
        Some((time, datum, self.bytes.len() - behind.len()))
    }

    fn exact_point(&mut self, at: usize) -> Result<(), Trouble> {
        let (tokens, count, end) = self.elements(at)?;
        let [time, value, kind] = tokens.map(|span| span.of(self.bytes));
        if count < 2 {
            let missing = if count == 0 { "timestamp" } else { "value" };
            self.refuse_point(&format!(".{missing} cannot be null or empty."));
        } else if time == b"null" {
            self.refuse_point(".timestamp may not be null.");
        } else {
            let named = Kind::of(kind);
            let named = if kind.is_empty() || named == Kind::Auto {
                (self.doc.place.current.kind, self.doc.place.found.kind)
            } else {
                (named, tokens.get(2).copied())
            };
            self.value_at(time, value, named, true);
        }
        self.doc.place.at = end;
        Ok(())
    }

    /// The elements of the array at `at`, of which there are so many, and its end.
    fn elements(&self, at: usize) -> Result<([Span; ELEMENTS], usize, usize), Trouble> {
        let mut spans = [Span { start: 0, end: 0 }; ELEMENTS];
        let (mut count, mut here) = (0, at + 1);
        loop {
            let (next, first) = scan::peek(self.bytes, here)?;
            match first {
                b']' => return Ok((spans, count, next + 1)),
                b',' => here = next + 1,
                _ => {
                    let mut end = next;
                    while !Skip::default().run(self.bytes, &mut end, usize::MAX)? {}
                    if let Some(span) = spans.get_mut(count) {
                        *span = Span { start: next, end };
                    }
                    (count, here) = (count + 1, end);
                }
            }
        }
    }
}
