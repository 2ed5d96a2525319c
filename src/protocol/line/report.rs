//! What went wrong in a body of line protocol, and the one text InfluxDB answers with.
//!
//! Bounded: at most 100 texts of refused lines or 64 KiB of them are kept, the others are counted.
//! Of several kinds of trouble one is named: a refused point before points beyond retention before
//! refused lines.

/// Texts of refused lines kept.
const TEXTS_MAX: u64 = 100;
/// No further text is kept once this many bytes are there.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// Why points that were read well were not stored. Of several the smallest one's text is answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Refusal {
    /// A tag named `time`; checked before all others.
    Tag,
    /// `max-series-per-database`, `max-values-per-tag`.
    Limit,
    /// Type conflict, or no field but `time`: whichever comes first.
    Field,
}

/// What a body came to.
#[derive(Default, Debug)]
pub struct Report {
    /// Texts of refused lines, joined by newlines.
    texts: Vec<u8>,
    texts_kept: u64,
    refused_lines: u64,
    refusal: Option<(Refusal, Vec<u8>)>,
    refused_points: u64,
    beyond_retention: u64,
    /// Lines that were read well, stored or not.
    points: u64,
}

/// The outcome of a write as InfluxDB's HTTP door tells it. Texts are bytes because lines are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Everything was stored, or there was nothing (204).
    Stored,
    /// No line could be read (400).
    AllRefused(Vec<u8>),
    /// Something was not stored (400); the text begins with `partial write: `.
    Partial(Vec<u8>),
}

impl Report {
    /// Counts a line that was read well.
    #[inline]
    pub fn count_point(&mut self) {
        self.points += 1;
    }

    /// Counts a point older than the policy keeps.
    pub fn count_beyond_retention(&mut self) {
        self.beyond_retention += 1;
    }

    /// Notes a line that could not be read.
    pub fn refuse_line(&mut self, line: &[u8], reason: &[u8]) {
        self.refused_lines += 1;
        if self.texts_kept >= TEXTS_MAX || self.texts.len() >= TEXT_BYTES_MAX {
            return;
        }
        self.texts_kept += 1;
        if self.texts_kept > 1 {
            self.texts.push(b'\n');
        }
        for part in [b"unable to parse '".as_slice(), line, b"': ", reason] {
            self.texts.extend_from_slice(part);
        }
    }

    /// Notes `count` points that could not be stored. The text is made only if it will be answered.
    pub fn refuse_points(&mut self, why: Refusal, count: u64, text: impl FnOnce() -> Vec<u8>) {
        self.refused_points += count;
        if self.refusal.as_ref().is_none_or(|(known, _)| why < *known) {
            self.refusal = Some((why, text()));
        }
    }

    /// Lines that could not be read.
    pub fn refused_lines(&self) -> u64 {
        self.refused_lines
    }

    /// Points that were read but not stored, those beyond retention included.
    pub fn dropped_points(&self) -> u64 {
        self.refused_points + self.beyond_retention
    }

    /// Lines that were read well, stored or not.
    pub fn points(&self) -> u64 {
        self.points
    }

    /// The outcome, once the points have been stored.
    pub fn verdict(&self) -> Verdict {
        let partial = |reason: &[u8], dropped: u64| {
            let dropped = format!(" dropped={dropped}");
            Verdict::Partial([b"partial write: ", reason, dropped.as_bytes()].concat())
        };
        if let Some((_, text)) = &self.refusal {
            return partial(text, self.refused_points);
        }
        if self.beyond_retention > 0 {
            return partial(b"points beyond retention policy", self.beyond_retention);
        }
        match (self.refused_lines, self.points) {
            (0, _) => Verdict::Stored,
            (_, 0) => Verdict::AllRefused(self.line_texts()),
            _ => partial(&self.line_texts(), 0),
        }
    }

    fn line_texts(&self) -> Vec<u8> {
        let lines = self.refused_lines - self.texts_kept;
        let mut texts = self.texts.clone();
        if lines > 0 {
            texts.extend_from_slice(format!("\nand {lines} lines more").as_bytes());
        }
        texts
    }
}

/// The text of a type conflict.
pub fn type_conflict(field: &[u8], measurement: &[u8], sent: &str, stored: &str) -> Vec<u8> {
    let parts: [&[u8]; 9] = [
        b"field type conflict: input field \"",
        field,
        b"\" on measurement \"",
        measurement,
        b"\" is type ",
        sent.as_bytes(),
        b", already exists as type ",
        stored.as_bytes(),
        b"",
    ];
    parts.concat()
}

/// The text about a tag or field named `time`.
pub fn invalid_time(what: &str, measurement: &[u8]) -> Vec<u8> {
    let head = match what {
        "tag" => "invalid tag key: input tag \"time\" on measurement \"",
        _ => "invalid field name: input field \"time\" on measurement \"",
    };
    [head.as_bytes(), measurement, b"\" is invalid"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trouble_is_named_by_rank() {
        let mut report = Report::default();
        report.count_point();
        report.refuse_line(b"m", b"missing fields");
        report.refuse_line(b"n x", b"invalid field format");
        let text = "partial write: unable to parse 'm': missing fields\n\
                    unable to parse 'n x': invalid field format dropped=0";
        assert_eq!(report.verdict(), Verdict::Partial(text.into()));
        report.count_beyond_retention();
        let text = "partial write: points beyond retention policy dropped=1";
        assert_eq!(report.verdict(), Verdict::Partial(text.into()));
        report.refuse_points(Refusal::Field, 2, || b"a".to_vec());
        report.refuse_points(Refusal::Tag, 1, || b"b".to_vec());
        report.refuse_points(Refusal::Limit, 1, || b"c".to_vec());
        assert_eq!(report.verdict(), Verdict::Partial("partial write: b dropped=4".into()));
    }

    #[test]
    fn texts_are_bounded_and_the_rest_is_counted() {
        let mut report = Report::default();
        for _ in 0..1000 {
            report.refuse_line(b"m", b"missing fields");
        }
        let Verdict::AllRefused(text) = report.verdict() else { panic!("nothing was stored") };
        assert_eq!(text.split(|byte| *byte == b'\n').count(), 101);
        assert!(text.ends_with(b"and 900 lines more"));
        let mut report = Report::default();
        for _ in 0..1000 {
            report.refuse_line(&[b'x'; 10_000], b"missing fields");
        }
        let Verdict::AllRefused(text) = report.verdict() else { panic!("nothing was stored") };
        assert!(text.len() < 80_000 && text.ends_with(b"and 993 lines more"));
    }
}
