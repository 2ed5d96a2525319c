//! `save_as`: points pass, and a copy of each waits to be written to another metric.
//!
//! In: points. Out: the same; copies in `Work`, which whoever drives the chain writes. What has no
//! value, or none that can be stored, is not copied.

use super::{Operator, Work};
use crate::encode::scalar;
use crate::kairos::Failure;
use crate::kairos::point::{Datum, Point};
use crate::kairos::request::SaveAs;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Bytes that a waiting copy takes.
const SAVED_BYTES: usize = size_of::<Saved>();

/// A series to write to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination(Rc<Series>);

#[derive(PartialEq, Eq, Debug)]
struct Series {
    metric: Box<str>,
    /// Sorted by name.
    tags: BTreeMap<Box<str>, Box<str>>,
    ttl: i64,
}

/// A point to be written.
#[derive(Clone, PartialEq, Debug)]
pub struct Saved {
    pub to: Destination,
    pub point: Point,
}

impl Destination {
    /// Where points of a result go: the tags of the property, `saved_from`, and the tags that the
    /// result was grouped by.
    ///
    /// # Errors
    /// A tag that comes up twice.
    pub fn new<'a>(
        save: &'a SaveAs,
        queried: &'a str,
        group: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Destination, Failure> {
        let mut tags = BTreeMap::new();
        let own = save.tags.iter().map(|(key, value)| (&**key, &**value));
        let from = save.saved_from.then_some(("saved_from", queried));
        for (key, value) in own.chain(from).chain(group) {
            if tags.insert(key.into(), value.into()).is_some() {
                let text = format!("save_as: the tag {key} comes up twice");
                return Err(Failure::internal(text));
            }
        }
        let (metric, ttl) = (save.metric.clone(), save.ttl.max(0));
        Ok(Destination(Rc::new(Series { metric, tags, ttl })))
    }

    /// The metric's name.
    pub fn metric(&self) -> &str {
        &self.0.metric
    }

    /// Its tags, sorted by name.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.tags.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Time to live of its points (s); 0 = the default.
    pub fn ttl(&self) -> i64 {
        self.0.ttl
    }
}

/// Points as a body of `POST datapoints`, each with its type.
pub fn body(points: &[Saved]) -> Vec<u8> {
    let mut out = b"[".to_vec();
    for (at, some) in points.chunk_by(|a, b| a.to == b.to).enumerate() {
        let Some(to) = some.first().map(|one| &one.to) else { continue };
        out.extend_from_slice(if at == 0 { b"{\"name\":" } else { b",{\"name\":" });
        scalar::string(to.metric().as_bytes(), &mut out);
        out.extend_from_slice(b",\"skip_validate\":true,\"ttl\":");
        scalar::integer(to.ttl(), &mut out);
        out.extend_from_slice(b",\"tags\":{");
        for (at, (key, value)) in to.tags().enumerate() {
            out.extend_from_slice(if at == 0 { b"" } else { b"," });
            scalar::string(key.as_bytes(), &mut out);
            out.push(b':');
            scalar::string(value.as_bytes(), &mut out);
        }
        out.extend_from_slice(b"},\"datapoints\":[");
        for (at, Saved { point, .. }) in some.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"[" } else { b",[" });
            scalar::integer(point.time, &mut out);
            out.push(b',');
            let kind = value(&point.value, &mut out);
            out.extend_from_slice(b",\"");
            out.extend_from_slice(kind);
            out.extend_from_slice(b"\"]");
        }
        out.extend_from_slice(b"]}");
    }
    out.push(b']');
    out
}

/// Writes a value and gives the name of its type.
fn value(value: &Datum, out: &mut Vec<u8>) -> &'static [u8] {
    match value {
        Datum::Double(value) => {
            out.extend_from_slice(ryu::Buffer::new().format(*value).as_bytes());
            b"double"
        }
        Datum::Long(value) => {
            scalar::integer(*value, out);
            b"long"
        }
        Datum::Text(text) => {
            scalar::string(text, out);
            b"string"
        }
        Datum::Null => {
            out.extend_from_slice(b"null");
            b"string"
        }
    }
}

pub struct Save(pub Destination);

impl Operator for Save {
    fn take(
        &mut self,
        points: &mut Vec<Point>,
        out: &mut Vec<Point>,
        work: &Work,
    ) -> Result<(), Failure> {
        let storable = |value: &Datum| match value {
            Datum::Null => false,
            Datum::Double(value) => value.is_finite(),
            Datum::Long(_) | Datum::Text(_) => true,
        };
        let mut saved = work.saved.borrow_mut();
        for point in points.drain(..) {
            if storable(&point.value) {
                saved.push(Saved { to: self.0.clone(), point: point.clone() });
            }
            out.push(point);
        }
        if saved.len() * SAVED_BYTES > work.bytes_max {
            return Err(Failure::internal("save_as: too many points at once"));
        }
        Ok(())
    }
}
