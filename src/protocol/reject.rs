//! Why something that came by a stream was dropped: a closed list of reasons, a count and one
//! sampled line for each.
//!
//! These senders are not told (KairosDB and carbon answer nothing), so counters, samples and the
//! log are all there is. In: a reason and the bytes at fault. Out: counts by reason, and the
//! beginning of the first such bytes since the last sample was taken.

use crate::stats::StreamDoor;

/// Bytes of a sampled line that are kept.
const SAMPLE_BYTES_MAX: usize = 256;

/// Doors that a reason can occur at, as bits.
const TELNET: u8 = 1;
const GRAPHITE: u8 = 2;
const PICKLE: u8 = 4;
const LINES: u8 = TELNET | GRAPHITE;
const PATHS: u8 = GRAPHITE | PICKLE;
const ALL: u8 = TELNET | GRAPHITE | PICKLE;

/// What is spoken at a door; UDP and TCP speak the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Speech {
    Telnet = TELNET,
    Graphite = GRAPHITE,
    Pickle = PICKLE,
}

impl Speech {
    /// What is spoken at a door.
    pub fn at(door: StreamDoor) -> Speech {
        match door {
            StreamDoor::Telnet => Speech::Telnet,
            StreamDoor::Graphite | StreamDoor::GraphiteUdp => Speech::Graphite,
            StreamDoor::Pickle => Speech::Pickle,
        }
    }
}

macro_rules! rejects {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $doors:ident, $text:literal;)*) => {
        /// Why a line, or an element or frame of a pickle, was dropped.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Reject {
            $($(#[$doc])* $variant,)*
        }

        impl Reject {
            /// Every reason.
            pub const ALL: &'static [Reject] = &[$(Reject::$variant),*];

            /// The reason's name in counters and logs.
            pub fn name(self) -> &'static str {
                match self {
                    $(Reject::$variant => $name,)*
                }
            }

            /// The reason in a few words, for senders that want to be told.
            pub fn text(self) -> &'static str {
                match self {
                    $(Reject::$variant => $text,)*
                }
            }

            /// Whether the reason can occur where this is spoken.
            pub fn occurs_in(self, speech: Speech) -> bool {
                let doors = match self {
                    $(Reject::$variant => $doors,)*
                };
                doors & speech as u8 != 0
            }
        }
    };
}

rejects! {
    LineTooLong = "line_too_long", LINES, "the line is too long";
    NotUtf8 = "not_utf8", ALL, "not UTF-8";
    UnknownCommand = "unknown_command", TELNET, "unknown command";
    /// Fewer than four words.
    TooFewWords = "too_few_words", TELNET, "expected metric, timestamp and value";
    EmptyMetric = "empty_metric", TELNET, "the metric name is empty";
    /// Neither two nor three.
    FieldCount = "field_count", GRAPHITE, "expected path, value and timestamp";
    /// No path before the first `;`.
    EmptyPath = "empty_path", PATHS, "the path is empty";
    BadTime = "bad_time", ALL, "the timestamp is no number";
    /// Outside what can be stored.
    TimeRange = "time_range", ALL, "the timestamp is out of range";
    BadValue = "bad_value", ALL, "the value is no number";
    /// NaN and infinities.
    NotFinite = "not_finite", PATHS, "the value is not finite";
    /// Not `name=value`.
    TagFormat = "tag_format", ALL, "a tag must be in the format name=value";
    TagNameEmpty = "tag_name_empty", ALL, "a tag's name is empty";
    TagValueEmpty = "tag_value_empty", ALL, "a tag's value is empty";
    TagTwice = "tag_twice", TELNET, "a tag's name occurs twice";
    BadTtl = "bad_ttl", TELNET, "kairos_opt.ttl must be a number";
    /// A template made the field `time`, which is no name for a field.
    BadField = "bad_field", PATHS, "the field may not be called time";
    KeyTooLong = "key_too_long", ALL, "metric and tags are too long";
    BeyondRetention = "beyond_retention", ALL, "older than the retention policy keeps";
    /// An element that is no (path, (timestamp, value)).
    ElementShape = "element_shape", PICKLE, "the element is no (path, (timestamp, value))";
    /// A frame whose object is neither list nor tuple.
    FrameShape = "frame_shape", PICKLE, "the pickle is no list";
    /// A frame with an opcode that imports or calls.
    FrameForbidden = "frame_forbidden", PICKLE, "the pickle imports or calls";
    /// A frame that is no pickle, or a cut one.
    FrameMalformed = "frame_malformed", PICKLE, "the pickle is malformed";
    /// A frame that yields more elements than its length justifies.
    FrameElements = "frame_elements", PICKLE, "the pickle has too many elements";
    /// A frame above the limit; the connection is closed.
    FrameTooLong = "frame_too_long", PICKLE, "the message is too long";
}

/// What was dropped, by reason.
#[derive(Debug, Default)]
pub struct Rejects {
    counts: [u64; Reject::ALL.len()],
    samples: [Option<Box<[u8]>>; Reject::ALL.len()],
}

impl Rejects {
    /// Counts a dropped line; keeps it when it is the first of its reason since the last
    /// `take_sample`.
    pub fn count(&mut self, why: Reject, line: &[u8]) {
        self.count_with(why, || line.get(..SAMPLE_BYTES_MAX).unwrap_or(line).into());
    }

    /// The same for a sample that has to be made.
    pub fn count_with(&mut self, why: Reject, sample: impl FnOnce() -> Vec<u8>) {
        if let Some(count) = self.counts.get_mut(why as usize) {
            *count += 1;
        }
        if let Some(empty @ None) = self.samples.get_mut(why as usize) {
            *empty = Some(sample().into());
        }
    }

    /// How often there was this reason so far.
    pub fn of(&self, why: Reject) -> u64 {
        self.counts.get(why as usize).copied().unwrap_or(0)
    }

    /// All that was dropped so far.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// A line dropped for this reason, cut to 256 bytes, for the log; the next one is sampled anew.
    pub fn take_sample(&mut self, why: Reject) -> Option<Box<[u8]>> {
        self.samples.get_mut(why as usize).and_then(Option::take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_reason_is_the_sample_until_it_is_taken() {
        let mut rejects = Rejects::default();
        rejects.count(Reject::BadTime, &[b'x'; 1000]);
        rejects.count_with(Reject::BadTime, || panic!("there is a sample"));
        assert_eq!(rejects.take_sample(Reject::BadTime).map(|s| s.len()), Some(256));
        rejects.count(Reject::BadTime, b"next");
        assert_eq!(rejects.take_sample(Reject::BadTime).as_deref(), Some(&b"next"[..]));
        assert_eq!((rejects.of(Reject::BadTime), rejects.total()), (3, 3));
    }

    #[test]
    fn names_are_unique_and_every_reason_occurs_somewhere() {
        let mut names: Vec<_> = Reject::ALL.iter().map(|why| why.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reject::ALL.len());
        let doors = [Speech::Telnet, Speech::Graphite, Speech::Pickle];
        assert!(Reject::ALL.iter().all(|why| doors.iter().any(|door| why.occurs_in(*door))));
        assert!(!Reject::BadTtl.occurs_in(Speech::Pickle));
        assert!(Reject::ALL.len() <= crate::stats::REASONS_MAX);
    }
}
