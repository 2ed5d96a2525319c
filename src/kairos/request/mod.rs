//! A query as KairosDB's clients send it: JSON to types, with every check and its message.
//!
//! In: a JSON object. Out: a `Query`, whose times are absolute, or a `Failure` with the texts that
//! KairosDB has. Roll-ups and deletes use the same form. The first error ends the checks, except
//! that several faults of one object come together.

mod aggregators;
mod fields;
mod groupers;
pub mod json;
mod metric;
pub mod rollup;
#[cfg(test)]
mod tests;

pub use aggregators::{Aggregator, Boundary, Comparison, Deviation, RangeKind, Sampling, Trim};
pub use aggregators::{SaveAs, Threshold};
pub use groupers::Grouper;
pub use metric::{MetricQuery, TagCondition};

use super::Failure;
use super::range::Span;
use fields::Fields;
use jiff::tz::TimeZone;
use json::Json;

/// A query.
#[derive(Clone, Debug)]
pub struct Query {
    /// First instant, inclusive (ms); of no meaning without metrics.
    pub start: i64,
    /// Last instant, inclusive (ms); `None`: no end.
    pub end: Option<i64>,
    pub metrics: Vec<MetricQuery>,
    /// The request, where the answer is to repeat it.
    pub original: Option<Json>,
}

impl Query {
    /// Whether answering it writes points.
    pub fn saves(&self) -> bool {
        let mut all = self.metrics.iter().flat_map(|metric| &metric.aggregators);
        all.any(|aggregator| matches!(aggregator, Aggregator::SaveAs(_)))
    }
}

/// What reading a query depends on beside its text.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The present (ms).
    pub now: i64,
    /// What makes a filter's value a regular expression; empty: nothing does.
    pub regex_prefix: &'a str,
}

/// Reads a query from the bytes of a request.
///
/// # Errors
/// As `read`; text that is no JSON.
pub fn parse(bytes: &[u8], terms: Terms<'_>) -> Result<Query, Failure> {
    let json = json::parse(bytes).map_err(|error| Failure::bad(error.to_string()))?;
    read(&json, "", terms)
}

/// Reads a query. `prefix` stands before every place in messages (`rollup[0].`).
///
/// # Errors
/// What the query lacks or has wrong, with KairosDB's texts.
pub fn read(json: &Json, prefix: &str, terms: Terms<'_>) -> Result<Query, Failure> {
    let place = format!("{prefix}query");
    let Json::Object(_) = json else {
        return Err(Failure::bad("Not a JSON Object: a query is an object"));
    };
    let fields = Fields::of(json, &place)?;
    let mut problems = Vec::new();
    let start_relative = fields.span("start_relative", &mut problems)?;
    let end_relative = fields.span("end_relative", &mut problems)?;
    let zone = fields.zone("time_zone")?.unwrap_or(TimeZone::UTC);
    if fields.integer("cache_time")?.is_some_and(|seconds| seconds < 0) {
        problems.push("cache_time must be greater than or equal to 0".to_owned());
    }
    if !problems.is_empty() {
        return Err(Failure { status: 400, errors: problems });
    }
    let instant = |absolute: Option<i64>, relative: Option<Span>| {
        absolute.or_else(|| relative.map(|span| span.before(terms.now)))
    };
    let start = instant(fields.integer("start_absolute")?, start_relative);
    let end = instant(fields.integer("end_absolute")?, end_relative);
    metric::plugins(&fields, &place)?;
    let Some(metrics) = fields.list("metrics")? else {
        return Err(fields.failure("metric[] must have a size of at least 1"));
    };
    let read = |(at, one): (usize, &Json)| {
        let around = metric::Around { start, end, zone: &zone, regex_prefix: terms.regex_prefix };
        metric::read(one, &format!("{place}.metric[{at}]"), &around)
    };
    let metrics = metrics.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    Ok(Query { start: start.unwrap_or(0), end, metrics, original: None })
}
