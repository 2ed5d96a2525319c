//! Why telnet lines were dropped: a closed list of reasons, a count and one sampled line for each.
//!
//! The sender is never told (KairosDB answers nothing), so counters and the log are all there is.

/// Bytes of a sampled line that are kept.
const SAMPLE_BYTES_MAX: usize = 256;

macro_rules! rejects {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a line was dropped.
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
        }
    };
}

rejects! {
    /// Longer than the limit.
    LineTooLong = "line_too_long",
    NotUtf8 = "not_utf8",
    UnknownCommand = "unknown_command",
    /// Fewer than four words.
    TooFewWords = "too_few_words",
    EmptyMetric = "empty_metric",
    BadTime = "bad_time",
    /// Outside what can be stored.
    TimeRange = "time_range",
    BadValue = "bad_value",
    /// Not `name=value`.
    TagFormat = "tag_format",
    TagNameEmpty = "tag_name_empty",
    TagValueEmpty = "tag_value_empty",
    TagTwice = "tag_twice",
    BadTtl = "bad_ttl",
    KeyTooLong = "key_too_long",
    BeyondRetention = "beyond_retention",
}

/// Dropped lines by reason.
#[derive(Debug, Default)]
pub struct Rejects {
    counts: [u64; Reject::ALL.len()],
    samples: [Option<Box<[u8]>>; Reject::ALL.len()],
}

impl Rejects {
    /// Counts a dropped line; keeps it when it is the first of its reason since the last
    /// `take_sample`.
    pub fn count(&mut self, why: Reject, line: &[u8]) {
        if let Some(count) = self.counts.get_mut(why as usize) {
            *count += 1;
        }
        if let Some(sample @ None) = self.samples.get_mut(why as usize) {
            *sample = Some(line.get(..SAMPLE_BYTES_MAX).unwrap_or(line).into());
        }
    }

    /// Lines dropped for this reason so far.
    pub fn of(&self, why: Reject) -> u64 {
        self.counts.get(why as usize).copied().unwrap_or(0)
    }

    /// Lines dropped so far.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// A line dropped for this reason, cut to 256 bytes, for the log; the next one is sampled anew.
    pub fn take_sample(&mut self, why: Reject) -> Option<Box<[u8]>> {
        self.samples.get_mut(why as usize).and_then(Option::take)
    }
}
