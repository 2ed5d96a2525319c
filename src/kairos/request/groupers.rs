//! `group_by` of a metric: by tags, time, value, bins.
//!
//! In: the list. Out: groupers in its order, and the tags of the first tag grouper, which is the
//! only one that counts.

use super::fields::Fields;
use super::json::Json;
use crate::kairos::Failure;
use crate::kairos::range::Span;

/// How points of a tag group are told apart.
#[derive(Clone, PartialEq, Debug)]
pub enum Grouper {
    Time { range: Span, count: i64 },
    Value { range: i64 },
    Bin { bins: Vec<f64> },
}

/// The tags of a tag grouper.
type GroupTags = Option<Vec<Box<str>>>;

/// Reads the list.
///
/// # Errors
/// The first faulty grouper.
pub fn read(fields: &Fields<'_>, place: &str) -> Result<(Vec<Grouper>, GroupTags), Failure> {
    let (mut groupers, mut tags) = (Vec::new(), None);
    for (at, one) in fields.list("group_by")?.unwrap_or(&[]).iter().enumerate() {
        let place = format!("{place}.group_by[{at}]");
        let one = Fields::of(one, &place)?;
        match one.name()? {
            "tag" => {
                let found = by_tag(&one)?;
                tags.get_or_insert(found);
            }
            "time" => groupers.push(by_time(&one)?),
            "value" => groupers.push(by_value(&one)?),
            "bin" => groupers.push(by_bin(&one)?),
            other => return Err(one.failure(format!("{other} invalid group_by name"))),
        }
    }
    Ok((groupers, tags))
}

fn by_tag(fields: &Fields<'_>) -> Result<Vec<Box<str>>, Failure> {
    fields.only("tag", &["tags"])?;
    let Some(all) = fields.list("tags")? else {
        return Err(fields.failure("tags may not be null"));
    };
    if all.is_empty() {
        return Err(fields.failure("tags may not be empty"));
    }
    let name = |one: &Json| one.text().map(Box::from);
    let names: Option<Vec<Box<str>>> = all.iter().map(name).collect();
    let mut names = names.ok_or_else(|| fields.failure("tags must be texts"))?;
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(names)
}

fn by_time(fields: &Fields<'_>) -> Result<Grouper, Failure> {
    fields.only("time", &["range_size", "group_count"])?;
    let mut problems = Vec::new();
    let range = fields.span("range_size", &mut problems)?;
    let count = fields.integer("group_count")?.unwrap_or(0);
    if range.is_none() {
        problems.push("rangeSize may not be null".to_owned());
    }
    if count < 1 {
        problems.push("groupCount must be greater than or equal to 1".to_owned());
    }
    fields.check(&problems)?;
    match range.filter(|range| range.value > 0) {
        Some(range) => Ok(Grouper::Time { range, count }),
        None => Err(fields.failure("range_size.value must be greater than or equal to 1")),
    }
}

fn by_value(fields: &Fields<'_>) -> Result<Grouper, Failure> {
    fields.only("value", &["range_size"])?;
    match fields.integer("range_size")?.unwrap_or(0) {
        range @ 1.. => Ok(Grouper::Value { range }),
        _ => Err(fields.failure("rangeSize must be greater than or equal to 1")),
    }
}

fn by_bin(fields: &Fields<'_>) -> Result<Grouper, Failure> {
    fields.only("bin", &["bins"])?;
    let Some(all) = fields.list("bins")? else {
        return Err(fields.failure("bins may not be null"));
    };
    if all.is_empty() {
        return Err(fields.failure("bins may not be empty"));
    }
    let bins: Option<Vec<f64>> = all.iter().map(Json::number).collect();
    let bins = bins.ok_or_else(|| fields.failure("bins must be numbers"))?;
    Ok(Grouper::Bin { bins })
}
