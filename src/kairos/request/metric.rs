//! One metric of a query: name, tag filter, groupers, aggregators, limit, order.
//!
//! In: its object. Out: a `MetricQuery`. Checks come in KairosDB's order: tags, name, times,
//! groupers, aggregators, plug-ins, order.

use super::aggregators::{self, Aggregator};
use super::fields::Fields;
use super::groupers::{self, Grouper};
use super::json::Json;
use crate::kairos::Failure;
use crate::shard::index::TagFilter;
use jiff::tz::TimeZone;
use regex::bytes::Regex;

/// What is asked of one metric.
#[derive(Clone, Debug)]
pub struct MetricQuery {
    pub name: Box<str>,
    /// All of them hold.
    pub tags: Vec<TagCondition>,
    /// Without the tag groupers.
    pub groupers: Vec<Grouper>,
    /// Of the first tag grouper.
    pub group_tags: Option<Vec<Box<str>>>,
    pub aggregators: Vec<Aggregator>,
    pub exclude_tags: bool,
    /// Points of a series and of a result; `None`: all.
    pub limit: Option<u64>,
    pub descending: bool,
    pub alias: Option<Box<str>>,
}

/// One of these values.
#[derive(Clone, Debug)]
pub struct TagCondition {
    pub key: Box<str>,
    pub values: Vec<Box<str>>,
    /// Each has to match the whole value.
    pub expressions: Vec<Regex>,
}

/// What the query around it says; times in ms.
pub struct Around<'a> {
    pub start: Option<i64>,
    pub end: Option<i64>,
    pub zone: &'a TimeZone,
    /// What makes a filter's value a regular expression, unless it is empty.
    pub regex_prefix: &'a str,
}

/// Reads one metric.
///
/// # Errors
/// What it lacks or has wrong.
pub fn read(json: &Json, place: &str, query: &Around<'_>) -> Result<MetricQuery, Failure> {
    let fields = Fields::of(json, place)?;
    let tags = conditions(&fields, query.regex_prefix)?;
    let exclude_tags = fields.flag("exclude_tags")?;
    let limit = fields.integer("limit")?.unwrap_or(0);
    let name = match fields.text("name")? {
        None => return Err(fields.failure("name may not be null")),
        Some("") => return Err(fields.failure("name may not be empty")),
        Some(name) => name,
    };
    let limit = u64::try_from(limit)
        .map_err(|_| fields.failure("limit must be greater than or equal to 0"))?;
    let Some(start) = query.start else {
        return Err(fields.failure("start_time relative or absolute time must be set"));
    };
    if query.end.is_some_and(|end| end < start) {
        return Err(fields.failure("end_time must be greater than the start time"));
    }
    let (groupers, group_tags) = groupers::read(&fields, place)?;
    let around = aggregators::Around { start, zone: query.zone };
    let aggregators = aggregators::read(&fields, place, &around)?;
    plugins(&fields, place)?;
    Ok(MetricQuery {
        name: name.into(),
        tags,
        groupers,
        group_tags,
        aggregators,
        exclude_tags,
        limit: Some(limit).filter(|limit| *limit > 0),
        descending: is_descending(&fields)?,
        alias: fields.text("alias")?.map(Box::from),
    })
}

fn is_descending(fields: &Fields<'_>) -> Result<bool, Failure> {
    match fields.text("order")? {
        None => Ok(false),
        Some(order) if order.eq_ignore_ascii_case("asc") => Ok(false),
        Some(order) if order.eq_ignore_ascii_case("desc") => Ok(true),
        Some(_) => Err(fields.failure("order must be either 'asc' or 'desc'")),
    }
}

/// Every plug-in is unknown; the list may be there and empty.
pub fn plugins(fields: &Fields<'_>, place: &str) -> Result<(), Failure> {
    let Some(one) = fields.list("plugins")?.and_then(|all| all.first()) else { return Ok(()) };
    let place = format!("{place}.plugins[0]");
    let plugin = Fields::of(one, &place)?;
    let name = plugin.name()?;
    Err(plugin.failure(format!("{name} invalid query plugin name")))
}

fn conditions(fields: &Fields<'_>, prefix: &str) -> Result<Vec<TagCondition>, Failure> {
    let all = match fields.given("tags") {
        None => return Ok(Vec::new()),
        Some(Json::Object(all)) => all,
        Some(_) => return Err(fields.failure("tags must be an object")),
    };
    let mut out: Vec<TagCondition> = Vec::new();
    for (at, (key, value)) in all.iter().enumerate() {
        if key.is_empty() {
            return Err(fields.failure(format!("tags[{at}] name must not be empty")));
        }
        let condition = condition(fields, (at, key), value, prefix)?;
        match out.iter_mut().find(|known| known.key == *key) {
            Some(known) => {
                known.values.extend(condition.values);
                known.expressions.extend(condition.expressions);
            }
            None => out.push(condition),
        }
    }
    // An empty list of values lets everything through.
    out.retain(|one| !one.values.is_empty() || !one.expressions.is_empty());
    Ok(out)
}

fn condition(
    fields: &Fields<'_>,
    (at, key): (usize, &str),
    value: &Json,
    prefix: &str,
) -> Result<TagCondition, Failure> {
    let one = std::slice::from_ref(value);
    let values = if let Json::Array(all) = value { all.as_slice() } else { one };
    let mut out = TagCondition { key: key.into(), values: Vec::new(), expressions: Vec::new() };
    for value in values {
        let empty = || fields.failure(format!("tags[{at}].{key} value must not be null or empty"));
        let text = value.text().filter(|text| !text.is_empty()).ok_or_else(empty)?;
        match text.strip_prefix(prefix).filter(|_| !prefix.is_empty()) {
            None => out.values.push(text.into()),
            Some(expression) => {
                let whole = Regex::new(&format!(r"\A(?:{expression})\z"));
                let wrong = |error| {
                    fields.failure(format!(
                        "tags[{at}].{key} value is no regular expression: {error}"
                    ))
                };
                // The expression alone first: it must not close the parenthesis around it.
                Regex::new(expression).map_err(wrong)?;
                out.expressions.push(whole.map_err(wrong)?);
            }
        }
    }
    Ok(out)
}

impl MetricQuery {
    /// The series that the tag conditions let through. A series without a tag never passes a
    /// condition on it.
    pub fn filter(&self) -> TagFilter {
        if self.tags.is_empty() {
            return TagFilter::All;
        }
        TagFilter::And(self.tags.iter().map(TagCondition::filter).collect())
    }
}

impl TagCondition {
    fn filter(&self) -> TagFilter {
        let key: Box<[u8]> = self.key.as_bytes().into();
        let equals =
            |value: &str| TagFilter::Equals { key: key.clone(), value: value.as_bytes().into() };
        let matches = |regex: &Regex| {
            let (key, regex) = (key.clone(), regex.clone());
            TagFilter::Matches { key, regex }
        };
        let values = self.values.iter().map(|value| equals(value));
        let any = TagFilter::Or(values.chain(self.expressions.iter().map(matches)).collect());
        if !self.expressions.iter().any(|regex| regex.is_match(b"")) {
            return any;
        }
        let value = Box::default();
        TagFilter::And(vec![TagFilter::NotEquals { key, value }, any])
    }
}
