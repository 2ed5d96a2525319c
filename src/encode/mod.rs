//! Results as bytes: InfluxDB's JSON, CSV and MessagePack, each the bytes of the reference.
//!
//! In: the parts of results that `query` makes, and what the client accepts. Out: bodies, written
//! while the query runs.

pub mod chunks;
pub mod csv;
pub mod error;
#[cfg(test)]
mod golden_tests;
pub mod json;
mod limit;
#[cfg(test)]
mod nested_tests;
pub mod pack;
pub mod scalar;

pub use json::Options;

use crate::query::ResultPart;

/// The form of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    #[default]
    Json,
    /// Under either of its two names.
    Csv {
        as_text: bool,
    },
    Pack,
}

impl Format {
    /// The form that fits `Accept` best; JSON when nothing does. Types are tried by weight, then in
    /// the order in which they stand.
    pub fn of(accept: &str) -> Format {
        let weight = |params: &str| {
            let given = params.split(';').find_map(|one| one.trim().strip_prefix("q="));
            given.and_then(|text| text.parse::<f64>().ok()).unwrap_or(1.0)
        };
        let one = |entry: &str| {
            let (kind, params) = entry.split_once(';').unwrap_or((entry, ""));
            Some((Format::named(kind.trim())?, weight(params)))
        };
        let mut best: Option<(Format, f64)> = None;
        for (format, weight) in accept.split(',').filter_map(one).filter(|(_, w)| *w > 0.0) {
            if best.is_none_or(|(_, before)| weight > before) {
                best = Some((format, weight));
            }
        }
        best.map_or(Format::Json, |(format, _)| format)
    }

    fn named(kind: &str) -> Option<Format> {
        Some(match kind.to_ascii_lowercase().as_str() {
            "application/json" | "application/*" | "*/*" => Format::Json,
            "application/csv" => Format::Csv { as_text: false },
            "text/csv" | "text/*" => Format::Csv { as_text: true },
            "application/x-msgpack" => Format::Pack,
            _ => return None,
        })
    }

    /// The name in `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Csv { as_text: true } => "text/csv",
            Format::Csv { as_text: false } => "application/csv",
            Format::Pack => "application/x-msgpack",
        }
    }

    /// The body of a refused request.
    pub fn error(self, text: &[u8], pretty: bool) -> Vec<u8> {
        match self {
            Format::Json => error::body(text, pretty),
            Format::Csv { .. } => csv::error(text),
            Format::Pack => pack::error(text),
        }
    }
}

/// Writes one answer in any form.
pub enum Writer {
    Json(Box<json::Writer>),
    Csv(Box<csv::Writer>),
    Pack(Box<pack::Writer>),
}

/// Has the writer of either form do something.
macro_rules! each {
    ($writer:expr, $inner:ident => $work:expr) => {
        match $writer {
            Writer::Json($inner) => $work,
            Writer::Csv($inner) => $work,
            Writer::Pack($inner) => $work,
        }
    };
}

impl Writer {
    /// A writer at the start of an answer; a form that must be held as a whole may take so many
    /// bytes.
    pub fn new(format: Format, options: Options, bytes_max: usize) -> Writer {
        match format {
            Format::Json => Writer::Json(Box::new(json::Writer::new(options))),
            Format::Csv { .. } => Writer::Csv(Box::new(csv::Writer::new(options))),
            Format::Pack => Writer::Pack(Box::new(pack::Writer::new(options, bytes_max))),
        }
    }

    /// Bytes that wait to be taken.
    pub fn len(&self) -> usize {
        each!(self, inner => inner.len())
    }

    /// Whether no byte waits to be taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands out what is written so far.
    pub fn take(&mut self) -> Vec<u8> {
        each!(self, inner => inner.take())
    }

    /// Whether the rest of the answer will be dropped, so that the query may end.
    pub fn is_cut(&self) -> bool {
        each!(self, inner => inner.is_cut())
    }

    /// Writes the next part.
    pub fn part(&mut self, part: ResultPart) {
        each!(self, inner => inner.part(part));
    }

    /// Writes the end.
    pub fn finish(&mut self) {
        match self {
            Writer::Json(inner) => inner.finish(),
            Writer::Csv(_) => {}
            Writer::Pack(inner) => inner.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_form_that_is_accepted_is_chosen() {
        let cases = [
            ("", Format::Json),
            ("text/html", Format::Json),
            ("text/csv", Format::Csv { as_text: true }),
            ("application/csv; q=0.5, application/x-msgpack", Format::Pack),
            ("text/html, application/csv;q=0.9, */*;q=0.8", Format::Csv { as_text: false }),
            ("*/*, text/csv", Format::Json),
            ("text/csv;q=0", Format::Json),
        ];
        for (accept, format) in cases {
            assert_eq!(Format::of(accept), format, "{accept}");
        }
    }
}
