//! A metric's object: its members are found, checked as JSON and remembered as spans of the body.
//!
//! Of a name that comes twice the last one counts. Names that KairosDB does not know are read over.

use super::scan::{self, Skip, Trouble};
use super::{Decoder, Stage};

/// Tags longer than this are read token by token.
const KNOWN_TAGS_BYTES_MAX: usize = 4096;

/// A token of the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    /// Its bytes.
    #[inline]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start..self.end).unwrap_or(&[])
    }
}

/// A metric's members, as far as they were met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    pub name: Option<Span>,
    pub tags: Option<Span>,
    pub time: Option<Span>,
    pub timestamp: Option<Span>,
    pub value: Option<Span>,
    pub points: Option<Span>,
    pub kind: Option<Span>,
    pub ttl: Option<Span>,
    pub skip_validate: Option<Span>,
    /// The hash of name and tags, where it stands for a series met before.
    pub known: Option<u128>,
    /// Behind the object.
    pub end: usize,
}

/// A member's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    Name,
    Tags,
    Time,
    Timestamp,
    Value,
    Points,
    Kind,
    Ttl,
    SkipValidate,
    Other,
}

/// Where in the object reading is.
#[derive(Clone, Copy, Debug, Default)]
pub enum Member {
    #[default]
    KeyOrEnd,
    Key,
    Colon(Key),
    /// In front of a value.
    Before(Key),
    /// In a value that began there.
    Value(Key, usize),
    CommaOrEnd,
}

impl Key {
    fn of(token: &[u8]) -> Key {
        match token {
            b"\"name\"" => Key::Name,
            b"\"tags\"" => Key::Tags,
            b"\"time\"" => Key::Time,
            b"\"timestamp\"" => Key::Timestamp,
            b"\"value\"" => Key::Value,
            b"\"datapoints\"" => Key::Points,
            b"\"type\"" => Key::Kind,
            b"\"ttl\"" => Key::Ttl,
            b"\"skip_validate\"" => Key::SkipValidate,
            _ if memchr::memchr(b'\\', token).is_some() => {
                let quoted = [b"\"", &*scan::text(token), b"\""].concat();
                if quoted.contains(&b'\\') { Key::Other } else { Key::of(&quoted) }
            }
            _ => Key::Other,
        }
    }
}

impl Found {
    fn put(&mut self, key: Key, span: Span) {
        if matches!(key, Key::Name | Key::Tags) {
            self.known = None;
        }
        let slot = match key {
            Key::Name => &mut self.name,
            Key::Tags => &mut self.tags,
            Key::Time => &mut self.time,
            Key::Timestamp => &mut self.timestamp,
            Key::Value => &mut self.value,
            Key::Points => &mut self.points,
            Key::Kind => &mut self.kind,
            Key::Ttl => &mut self.ttl,
            Key::SkipValidate => &mut self.skip_validate,
            Key::Other => return,
        };
        *slot = Some(span);
    }
}

impl Decoder<'_, '_, '_> {
    /// Reads members up to the slice's end or the object's.
    pub(super) fn members(&mut self) -> Result<(), Trouble> {
        while self.doc.place.at < self.until {
            let place = &mut self.doc.place;
            if let Member::Value(key, start) = place.member {
                if !place.skip.run(self.bytes, &mut place.at, self.until)? {
                    return Ok(());
                }
                place.found.put(key, Span { start, end: place.at });
                place.member = Member::CommaOrEnd;
                continue;
            }
            let (at, first) = scan::peek(self.bytes, place.at)?;
            if matches!((place.member, first), (Member::Before(Key::Tags), b'{'))
                && self.known_tags(at)
            {
                continue;
            }
            let place = &mut self.doc.place;
            match (place.member, first) {
                (Member::KeyOrEnd | Member::CommaOrEnd, b'}') => {
                    (place.stage, place.at, place.found.end) = (Stage::Look, at + 1, at + 1);
                    return Ok(());
                }
                (Member::KeyOrEnd | Member::Key, b'"') => {
                    let end = scan::string_end(self.bytes, at)?;
                    let span = Span { start: at, end };
                    place.member = Member::Colon(Key::of(span.of(self.bytes)));
                    place.at = end;
                }
                (Member::Colon(key), b':') => {
                    (place.member, place.at) = (Member::Before(key), at + 1);
                }
                (Member::Before(key), _) => {
                    (place.member, place.at) = (Member::Value(key, at), at);
                    place.skip = Skip::default();
                }
                (Member::CommaOrEnd, b',') => {
                    (place.member, place.at) = (Member::Key, at + 1);
                }
                (Member::Colon(_), _) => return Err(Trouble::Bad("Expected ':'")),
                (Member::CommaOrEnd, _) => return Err(Trouble::Bad("Expected ',' or '}'")),
                _ => return Err(Trouble::Bad("Expected a name")),
            }
        }
        Ok(())
    }
    /// Reads over the tags that begin at `at` if, with the name before them, they were met before.
    ///
    /// Tags have no brace inside as a rule, so the first `}` is taken for their end. Where the
    /// series cache knows the hash of the name and these bytes, they are the bytes of tags that
    /// were read and checked, and an object's bytes tell its end: no look at each of them is
    /// needed.
    fn known_tags(&mut self, at: usize) -> bool {
        let Some(name) = self.doc.place.found.name else { return false };
        let rest = self.bytes.get(at..).unwrap_or(&[]);
        let rest = rest.get(..KNOWN_TAGS_BYTES_MAX).unwrap_or(rest);
        let Some(len) = memchr::memchr(b'}', rest) else { return false };
        let span = Span { start: at, end: at + len + 1 };
        let hash = self.hash_of(Some(name), Some(span));
        if self.batcher.find_series(self.ctx.cache, hash).is_none() {
            return false;
        }
        let place = &mut self.doc.place;
        place.found.put(Key::Tags, span);
        place.found.known = Some(hash);
        (place.member, place.at) = (Member::CommaOrEnd, span.end);
        true
    }
}
