//! `aggregators` of a metric: each with its properties, defaults and checks.
//!
//! In: the list. Out: `Aggregator`s in its order, with zones and starts filled in from the query. A
//! property that an aggregator does not have is an error, so a typing error never goes unnoticed.

use super::fields::Fields;
use super::json::Json;
use crate::kairos::Failure;
use crate::kairos::range::{Span, Unit};
use jiff::tz::TimeZone;

/// One step of a chain.
#[derive(Clone, Debug)]
pub enum Aggregator {
    Range {
        kind: RangeKind,
        sampling: Sampling,
    },
    Diff,
    Div {
        divisor: f64,
    },
    Filter {
        comparison: Comparison,
        threshold: Threshold,
    },
    Rate {
        span: Span,
        zone: TimeZone,
    },
    Sampler {
        span: Span,
        zone: TimeZone,
    },
    SaveAs(SaveAs),
    Scale {
        factor: f64,
    },
    /// Thresholds ascending.
    Score {
        thresholds: Vec<(f64, Boundary)>,
        descending: bool,
    },
    Sma {
        size: usize,
    },
    Trim(Trim),
}

/// What becomes of the points of a range.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum RangeKind {
    Avg,
    Count,
    Dev { result: Deviation, count: f64 },
    First,
    Gaps { trim: bool, end: Option<i64> },
    Last,
    LeastSquares,
    Max,
    Min,
    Percentile(f64),
    Sum,
}

/// What `dev` gives: the deviation, or so many of it above or below the mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deviation {
    Value,
    Above,
    Below,
}

/// How time is cut and results are stamped.
#[derive(Clone, Debug)]
pub struct Sampling {
    pub span: Span,
    pub align_sampling: bool,
    pub align_start: bool,
    pub align_end: bool,
    /// Where counting starts (ms).
    pub start: i64,
    /// Whether that is not the query's start.
    pub own_start: bool,
    pub zone: TimeZone,
}

/// Operation of `filter`: points for which it holds are dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    Lte,
    Lt,
    Gte,
    Gt,
    Equal,
    Ne,
}

/// What `filter` compares with: numbers with the number, texts with the text.
#[derive(Clone, PartialEq, Debug)]
pub struct Threshold {
    pub number: Option<f64>,
    pub text: Option<Box<str>>,
}

/// Whether a value equal to a threshold has passed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Boundary {
    Superior,
    Inferior,
}

/// Which ends `trim` takes away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trim {
    None,
    First,
    Last,
    Both,
}

/// Where points are written to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SaveAs {
    pub metric: Box<str>,
    pub tags: Vec<(Box<str>, Box<str>)>,
    /// Seconds; 0 = for ever.
    pub ttl: i64,
    pub saved_from: bool,
}

/// What an aggregator takes over from its query.
pub struct Around<'a> {
    /// ms
    pub start: i64,
    pub zone: &'a TimeZone,
}

const RANGE: [&str; 7] = [
    "sampling",
    "align_sampling",
    "align_start_time",
    "align_end_time",
    "start_time",
    "end_time",
    "time_zone",
];

/// Reads the list.
///
/// # Errors
/// The first faulty aggregator.
pub fn read(
    fields: &Fields<'_>,
    place: &str,
    around: &Around<'_>,
) -> Result<Vec<Aggregator>, Failure> {
    let all = fields.list("aggregators")?.unwrap_or(&[]);
    let one = |(at, one): (usize, &Json)| {
        let place = format!("{place}.aggregators[{at}]");
        let fields = Fields::of(one, &place)?;
        aggregator(&fields, fields.name()?, around)
    };
    all.iter().enumerate().map(one).collect()
}

fn aggregator(fields: &Fields<'_>, name: &str, around: &Around<'_>) -> Result<Aggregator, Failure> {
    let range = |more: &[&str], kind: &dyn Fn() -> Result<RangeKind, Failure>| {
        fields.only(name, &[&RANGE, more].concat())?;
        let sampling = sampling(fields, around)?;
        Ok(Aggregator::Range { kind: kind()?, sampling })
    };
    match name {
        "avg" => range(&[], &|| Ok(RangeKind::Avg)),
        "count" => range(&[], &|| Ok(RangeKind::Count)),
        "dev" => range(&["return_type", "dev_count"], &|| dev(fields)),
        "first" => range(&[], &|| Ok(RangeKind::First)),
        "gaps" => range(&["trim"], &|| {
            Ok(RangeKind::Gaps { trim: fields.flag("trim")?, end: fields.integer("end_time")? })
        }),
        "last" => range(&[], &|| Ok(RangeKind::Last)),
        "least_squares" => range(&[], &|| Ok(RangeKind::LeastSquares)),
        "max" => range(&[], &|| Ok(RangeKind::Max)),
        "min" => range(&[], &|| Ok(RangeKind::Min)),
        "percentile" => range(&["percentile"], &|| percentile(fields)),
        "sum" => range(&[], &|| Ok(RangeKind::Sum)),
        "rate" => {
            fields.only(name, &["unit", "sampling", "time_zone"])?;
            successive(fields, around).map(|(span, zone)| Aggregator::Rate { span, zone })
        }
        "sampler" => {
            fields.only(name, &["unit", "time_zone"])?;
            successive(fields, around).map(|(span, zone)| Aggregator::Sampler { span, zone })
        }
        "diff" => fields.only(name, &[]).map(|()| Aggregator::Diff),
        "div" => div(fields),
        "scale" => {
            fields.only(name, &["factor"])?;
            Ok(Aggregator::Scale { factor: fields.number("factor")?.unwrap_or(0.0) })
        }
        "filter" => filter(fields),
        "score" => score(fields),
        "sma" => sma(fields),
        "trim" => trim(fields),
        "save_as" => save_as(fields),
        other => Err(fields.failure(format!("{other} invalid aggregators name"))),
    }
}

fn sampling(fields: &Fields<'_>, around: &Around<'_>) -> Result<Sampling, Failure> {
    let mut problems = Vec::new();
    let given = fields.span("sampling", &mut problems)?;
    let start = fields.integer("start_time")?;
    let zone = fields.zone("time_zone")?;
    let sampling = Sampling {
        span: given.unwrap_or(Span { value: 1, unit: Unit::Milliseconds }),
        align_sampling: match fields.given("align_sampling") {
            None => true,
            Some(_) => fields.flag("align_sampling")?,
        },
        align_start: fields.flag("align_start_time")?,
        align_end: fields.flag("align_end_time")?,
        start: start.unwrap_or(around.start),
        own_start: start.is_some_and(|start| start != around.start),
        zone: zone.unwrap_or_else(|| around.zone.clone()),
    };
    if problems.is_empty() && sampling.span.value == 0 {
        problems.push("sampling.value must be greater than or equal to 1".to_owned());
    }
    fields.check(&problems)?;
    Ok(sampling)
}

/// The length and zone of `rate` and `sampler`.
fn successive(fields: &Fields<'_>, around: &Around<'_>) -> Result<(Span, TimeZone), Failure> {
    let mut problems = Vec::new();
    let given = fields.span("sampling", &mut problems)?;
    fields.check(&problems)?;
    let unit = fields.unit("unit")?;
    let short = Span { value: 1, unit: unit.unwrap_or(Unit::Milliseconds) };
    let span = if unit.is_some() { short } else { given.unwrap_or(short) };
    let zone = fields.zone("time_zone")?;
    Ok((span, zone.unwrap_or_else(|| around.zone.clone())))
}

fn dev(fields: &Fields<'_>) -> Result<RangeKind, Failure> {
    let wanted = fields.text("return_type")?.unwrap_or("value").to_ascii_lowercase();
    let result = match wanted.as_str() {
        "value" => Deviation::Value,
        "pos_sd" => Deviation::Above,
        "neg_sd" => Deviation::Below,
        other => {
            let text = format!(
                "{other} is not a valid return type, must be 'value', 'pos_sd' or 'neg_sd'."
            );
            return Err(fields.failure(text));
        }
    };
    Ok(RangeKind::Dev { result, count: fields.number("dev_count")?.unwrap_or(1.0) })
}

fn percentile(fields: &Fields<'_>) -> Result<RangeKind, Failure> {
    let rank = fields.number("percentile")?.unwrap_or(0.0);
    if rank == 0.0 {
        return Err(fields.failure("percentile may not be zero"));
    }
    if !(0.0..=1.0).contains(&rank) {
        return Err(fields.failure(format!("percentile {rank} is not in [0..1]")));
    }
    Ok(RangeKind::Percentile(rank))
}

fn div(fields: &Fields<'_>) -> Result<Aggregator, Failure> {
    fields.only("div", &["divisor"])?;
    match fields.number("divisor")? {
        Some(divisor) if divisor != 0.0 => Ok(Aggregator::Div { divisor }),
        _ => Err(fields.failure("m_divisor may not be zero")),
    }
}

fn filter(fields: &Fields<'_>) -> Result<Aggregator, Failure> {
    fields.only("filter", &["filter_op", "threshold"])?;
    let threshold = match fields.given("threshold") {
        None => Threshold { number: Some(0.0), text: None },
        Some(Json::Text(text)) => {
            let number = fields.given("threshold").and_then(Json::number);
            Threshold { number, text: Some(text.clone()) }
        }
        Some(_) => Threshold { number: fields.number("threshold")?, text: None },
    };
    let Some(operation) = fields.text("filter_op")? else {
        return Err(fields.failure("filter_op may not be null"));
    };
    let comparison = match operation.to_ascii_lowercase().as_str() {
        "lte" => Comparison::Lte,
        "lt" => Comparison::Lt,
        "gte" => Comparison::Gte,
        "gt" => Comparison::Gt,
        "equal" => Comparison::Equal,
        "ne" => Comparison::Ne,
        _ => {
            let text = format!(
                "{operation} is not a valid trim type, must be 'lte', 'lt', 'gte', 'gt', 'equal' \
                 or 'ne'."
            );
            return Err(fields.failure(text));
        }
    };
    Ok(Aggregator::Filter { comparison, threshold })
}

fn trim(fields: &Fields<'_>) -> Result<Aggregator, Failure> {
    fields.only("trim", &["trim"])?;
    let Some(ends) = fields.text("trim")? else { return Ok(Aggregator::Trim(Trim::None)) };
    match ends.to_ascii_lowercase().as_str() {
        "first" => Ok(Aggregator::Trim(Trim::First)),
        "last" => Ok(Aggregator::Trim(Trim::Last)),
        "both" => Ok(Aggregator::Trim(Trim::Both)),
        _ => Err(fields.failure(format!(
            "{ends} is not a valid trim type, must be 'first', 'last' or 'both'."
        ))),
    }
}

fn sma(fields: &Fields<'_>) -> Result<Aggregator, Failure> {
    fields.only("sma", &["size"])?;
    match fields.integer("size")?.unwrap_or(0) {
        size @ 1.. => Ok(Aggregator::Sma { size: usize::try_from(size).unwrap_or(usize::MAX) }),
        _ => Err(fields.failure("size must be greater than or equal to 1")),
    }
}

fn score(fields: &Fields<'_>) -> Result<Aggregator, Failure> {
    fields.only("score", &["thresholds", "order"])?;
    let descending = match fields.text("order")? {
        None => false,
        Some(order) if order.eq_ignore_ascii_case("ascending") => false,
        Some(order) if order.eq_ignore_ascii_case("descending") => true,
        Some(order) => {
            let text =
                format!("{order} is not a valid order, must be 'ascending' or 'descending'.");
            return Err(fields.failure(text));
        }
    };
    let Some(all) = fields.list("thresholds")? else {
        return Err(fields.failure("thresholds may not be null"));
    };
    let threshold = |one: &Json| -> Result<(f64, Boundary), Failure> {
        let value = one.given("value").and_then(Json::number);
        let value = value.ok_or_else(|| fields.failure("thresholds.value must be a number"))?;
        let boundary = match one.given("boundary").and_then(Json::text) {
            None => Boundary::Superior,
            Some(text) if text.eq_ignore_ascii_case("superior") => Boundary::Superior,
            Some(text) if text.eq_ignore_ascii_case("inferior") => Boundary::Inferior,
            Some(text) => {
                let text =
                    format!("{text} is not a valid boundary, must be 'superior' or 'inferior'.");
                return Err(fields.failure(text));
            }
        };
        Ok((value, boundary))
    };
    let mut thresholds = all.iter().map(threshold).collect::<Result<Vec<_>, _>>()?;
    thresholds.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(Aggregator::Score { thresholds, descending })
}

fn save_as(fields: &Fields<'_>) -> Result<Aggregator, Failure> {
    fields.only("save_as", &["metric_name", "tags", "ttl", "add_saved_from"])?;
    let metric = match fields.text("metric_name")? {
        None => return Err(fields.failure("metricName may not be null")),
        Some("") => return Err(fields.failure("metricName may not be empty")),
        Some(name) => name.into(),
    };
    let mut tags: Vec<(Box<str>, Box<str>)> = Vec::new();
    match fields.given("tags") {
        None => {}
        Some(Json::Object(all)) => {
            for (key, value) in all {
                let text = value.text().filter(|text| !text.is_empty() && !key.is_empty());
                let text = text.ok_or_else(|| fields.failure("tags may not be empty"))?;
                tags.retain(|(known, _)| known != key);
                tags.push((key.clone(), text.into()));
            }
        }
        Some(_) => return Err(fields.failure("tags must be an object")),
    }
    let saved_from = match fields.given("add_saved_from") {
        None => true,
        Some(_) => fields.flag("add_saved_from")?,
    };
    let ttl = fields.integer("ttl")?.unwrap_or(0);
    Ok(Aggregator::SaveAs(SaveAs { metric, tags, ttl, saved_from }))
}
