//! A profile as protobuf, gzip-compressed: pprof's `profile.proto`.
//!
//! In: a profile and what names its addresses. Out: bytes. Functions and lines are named here, so
//! whoever opens the file needs neither the program nor its symbols. Field numbers are those of
//! `profile.proto`; a message is a list of (number and wire type, value), nested ones with their
//! length before them.

use super::symbols::{Line, Symbols};
use super::{Place, Profile, ValueType};
use crate::model::FixedMap;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::hash::Hash;
use std::io::Write;

/// Encodes a profile that was taken at `time_ns` (wall clock).
pub fn encode(profile: &Profile, symbols: &mut Symbols, time_ns: i64) -> Vec<u8> {
    let mut page = Page::default();
    page.strings.number(String::new());
    for kind in &profile.types {
        let message = page.value_type(*kind);
        page.out.message(1, &message);
    }
    for sample in &profile.samples {
        let mut message = Message::default();
        let mut leaf = true;
        let places = sample.stack.iter().map(|place| {
            let id = page.location(place, leaf, symbols);
            leaf = false;
            id
        });
        let ids: Vec<u64> = places.collect();
        message.packed(1, ids);
        message.packed(2, sample.values.iter().map(|value| *value as u64));
        if let Some(thread) = &sample.thread {
            let mut label = Message::default();
            label.number(1, page.strings.number("thread".to_owned()));
            label.number(2, page.strings.number(thread.clone()));
            message.message(3, &label);
        }
        page.out.message(2, &message);
    }
    page.finish(profile, symbols, time_ns)
}

/// Packs bytes as gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing into memory does not fail.
    let _ = packer.write_all(bytes);
    packer.finish().unwrap_or_default()
}

/// Values in the order of their first use.
struct Table<K>(FixedMap<K, u64>, Vec<K>);

impl<K> Default for Table<K> {
    fn default() -> Table<K> {
        Table(FixedMap::default(), Vec::new())
    }
}

impl<K: Clone + Eq + Hash> Table<K> {
    /// The value's number, counted from 0.
    fn number(&mut self, value: K) -> u64 {
        let next = self.1.len() as u64;
        let number = *self.0.entry(value.clone()).or_insert(next);
        if number == next {
            self.1.push(value);
        }
        number
    }
}

/// The profile under construction.
#[derive(Default)]
struct Page {
    out: Message,
    strings: Table<String>,
    /// Name and file of each function.
    functions: Table<(String, String)>,
    /// A place, and whether it is the innermost one.
    locations: Table<(Place, bool)>,
    lines: Message,
}

impl Page {
    fn value_type(&mut self, (kind, unit): ValueType) -> Message {
        let mut message = Message::default();
        message.number(1, self.strings.number(kind.to_owned()));
        message.number(2, self.strings.number(unit.to_owned()));
        message
    }

    /// The id of a place; its message is written when it is met first.
    fn location(&mut self, place: &Place, leaf: bool, symbols: &mut Symbols) -> u64 {
        let known = self.locations.1.len();
        let id = self.locations.number((place.clone(), leaf)) + 1;
        if self.locations.1.len() == known {
            return id;
        }
        let mut message = Message::default();
        message.number(1, id);
        let lines = match place {
            Place::Code(address) => {
                // A return address is behind its call, which may be the last of its function.
                let address = if leaf { *address } else { address.saturating_sub(1) };
                if let Some(mapping) = symbols.module_of(address) {
                    message.number(2, mapping as u64 + 1);
                }
                message.number(3, address);
                symbols.lines(address)
            }
            Place::Named { name, file, line } => {
                vec![Line { function: name.clone(), file: file.clone(), line: *line }]
            }
        };
        for line in lines {
            let mut inner = Message::default();
            inner.number(1, self.functions.number((line.function, line.file)) + 1);
            inner.number(2, u64::from(line.line));
            message.message(4, &inner);
        }
        self.lines.message(4, &message);
        id
    }

    fn finish(mut self, profile: &Profile, symbols: &Symbols, time_ns: i64) -> Vec<u8> {
        for (at, module) in symbols.modules().iter().enumerate() {
            let mut message = Message::default();
            message.number(1, at as u64 + 1);
            message.number(2, module.start);
            message.number(3, module.end);
            message.number(5, self.strings.number(module.path.clone()));
            // Functions, files and lines are here; nobody has to look for them.
            (7..=10).for_each(|field| message.number(field, 1));
            self.out.message(3, &message);
        }
        self.out.0.extend_from_slice(&self.lines.0);
        for (at, (name, file)) in self.functions.1.iter().enumerate() {
            let mut message = Message::default();
            message.number(1, at as u64 + 1);
            let name = self.strings.number(name.clone());
            message.number(2, name);
            // Without a name of the linker's, readers take the name as it stands.
            message.number(4, self.strings.number(file.clone()));
            self.out.message(5, &message);
        }
        let shown = profile.types.get(profile.shown).map_or("", |(kind, _)| kind);
        let shown = self.strings.number(shown.to_owned());
        let (kind, period) = profile.period;
        let kind = self.value_type(kind);
        for text in &self.strings.1 {
            self.out.bytes(6, text.as_bytes());
        }
        self.out.number(9, time_ns as u64);
        self.out.number(10, profile.duration_ns as u64);
        self.out.message(11, &kind);
        self.out.number(12, period as u64);
        self.out.number(14, shown);
        gzip(&self.out.0)
    }
}

/// A message of protobuf.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.varint(field << 3);
            self.varint(value);
        }
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u64, inner: &Message) {
        self.bytes(field, &inner.0);
    }

    fn packed(&mut self, field: u64, values: impl IntoIterator<Item = u64>) {
        let mut inner = Message::default();
        values.into_iter().for_each(|value| inner.varint(value));
        self.message(field, &inner);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sample;
    use super::*;
    use std::io::Read;

    #[test]
    fn a_profile_has_its_names_and_values() {
        let place = Place::Named { name: "queue".to_owned(), file: "a.rs".to_owned(), line: 300 };
        let sample = Sample { stack: vec![place], values: vec![-1], thread: Some("t".to_owned()) };
        let profile = Profile::counting("tasks", vec![sample.clone(), sample]);
        assert_eq!(profile.total(), -2);
        let packed = encode(&profile, &mut Symbols::default(), 5);
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
        let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        // One location for both samples: id 1, function 1, line 300.
        assert!(has(&[34, 9, 8, 1, 34, 5, 8, 1, 16, 172, 2, 42]));
        // The value -1 takes ten bytes.
        assert!(has(&[18, 10, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]));
        assert!(has(b"tasks") && has(b"count") && has(b"queue") && has(b"a.rs"));
        assert!(has(&[9 << 3, 5]), "the time");
    }
}
