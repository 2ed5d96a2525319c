//! A roll-up task as clients send it, and the queries that its runs ask.
//!
//! In: the task's JSON. Out: a `Task`, or KairosDB's texts for what is wrong. A roll-up's period is
//! the sampling of its last range aggregator; each run asks its query once for every period, with
//! the results saved under another name.

use super::aggregators::{Aggregator, Sampling};
use super::fields::Fields;
use super::json::Json;
use super::{Query, Terms, read as read_query};
use crate::kairos::Failure;
use crate::kairos::range::{Ranges, Span};
use jiff::tz::TimeZone;
use std::ops::RangeInclusive;

/// A task: roll-ups that run together.
#[derive(Clone, Debug)]
pub struct Task {
    pub name: Box<str>,
    /// Time between two runs.
    pub interval: Span,
    pub rollups: Vec<Rollup>,
}

/// One query whose results are saved.
#[derive(Clone, Debug)]
pub struct Rollup {
    /// The metric that the results go to.
    pub save_as: Box<str>,
    query: Json,
    period: Span,
    zone: TimeZone,
}

/// Reads a task.
///
/// # Errors
/// What it lacks or has wrong.
pub fn read(json: &Json, terms: Terms<'_>) -> Result<Task, Failure> {
    let fields = Fields::of(json, "task")?;
    let mut problems = Vec::new();
    match fields.text("name")? {
        None => problems.push("name may not be null".to_owned()),
        Some("") => problems.push("name may not be empty".to_owned()),
        Some(_) => {}
    }
    let mut wrong = Vec::new();
    let interval = fields.span("execution_interval", &mut wrong)?;
    if interval.is_none() {
        problems.push("executionInterval may not be null".to_owned());
    }
    problems.append(&mut wrong);
    let mut rollups = Vec::new();
    for (at, one) in fields.list("rollups")?.unwrap_or(&[]).iter().enumerate() {
        match rollup(one, at, terms) {
            Ok(one) => rollups.push(one),
            Err(failure) => problems.extend(failure.errors),
        }
    }
    if !problems.is_empty() {
        return Err(Failure { status: 400, errors: problems });
    }
    let name = fields.text("name")?.unwrap_or("").into();
    let none = || Failure::bad("executionInterval may not be null");
    Ok(Task { name, interval: interval.ok_or_else(none)?, rollups })
}

fn rollup(json: &Json, at: usize, terms: Terms<'_>) -> Result<Rollup, Failure> {
    let place = format!("rollup[{at}]");
    let fields = Fields::of(json, &place)?;
    let save_as = match fields.text("save_as")? {
        None => return Err(fields.failure("saveAs may not be null")),
        Some("") => return Err(fields.failure("saveAs may not be empty")),
        Some(name) => name,
    };
    let Some(query) = fields.given("query") else {
        return Err(fields.failure("query may not be null"));
    };
    let zone = fields.zone("time_zone")?;
    let query = match (&zone, fields.given("time_zone")) {
        (Some(_), Some(name)) => with(query, &[("time_zone", name.clone())]),
        _ => query.clone(),
    };
    let checked = read_query(&query, &format!("{place}."), terms)?;
    let mut period = None;
    for (at, metric) in checked.metrics.iter().enumerate() {
        match metric.aggregators.iter().rev().find_map(sampling) {
            Some(sampling) => period = Some(sampling.span),
            None => {
                let text = "aggregator At least one aggregator must be a range aggregator";
                return Err(Failure::bad(format!("{place}.query[{at}].{text}")));
            }
        }
    }
    let Some(period) = period.filter(|span| span.value > 0) else {
        return Err(fields.failure("query.metric[] must have a size of at least 1"));
    };
    let zone = zone.unwrap_or(TimeZone::UTC);
    Ok(Rollup { save_as: save_as.into(), query, period, zone })
}

fn sampling(aggregator: &Aggregator) -> Option<&Sampling> {
    match aggregator {
        Aggregator::Range { sampling, .. } => Some(sampling),
        _ => None,
    }
}

impl Rollup {
    /// The periods from the one that holds `from` to the one that holds `to` (ms): first and last
    /// instant of each.
    pub fn periods(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, i64)> + use<> {
        let (ranges, numbers) = self.ranges(from, to);
        numbers.map(move |at| (ranges.start(at), ranges.start(at.saturating_add(1)) - 1))
    }

    /// How many these are.
    pub fn count(&self, from: i64, to: i64) -> u64 {
        let (_, numbers) = self.ranges(from, to);
        if numbers.is_empty() { 0 } else { numbers.end().abs_diff(*numbers.start()) + 1 }
    }

    fn ranges(&self, from: i64, to: i64) -> (Ranges, RangeInclusive<i64>) {
        let ranges = Ranges::new(from, self.period, true, self.zone.clone());
        let numbers = ranges.number(from)..=ranges.number(to);
        (ranges, numbers)
    }

    /// From when on a first run at `now` works, given the task's interval (ms).
    pub fn first(&self, interval: Span, now: i64) -> i64 {
        self.period.before(interval.before(now))
    }

    /// The query of one period, its results saved.
    ///
    /// # Errors
    /// None that reading the task did not find.
    pub fn query(&self, (first, last): (i64, i64), terms: Terms<'_>) -> Result<Query, Failure> {
        let time = |time: i64| Json::Number(time.to_string().into());
        let metrics: Vec<Json> = match self.query.given("metrics") {
            Some(Json::Array(metrics)) => metrics.iter().map(|one| self.saved(one)).collect(),
            _ => Vec::new(),
        };
        let changes = [
            ("start_absolute", time(first)),
            ("end_absolute", time(last)),
            ("metrics", Json::Array(metrics)),
        ];
        read_query(&with(&self.query, &changes), "", terms)
    }

    /// A metric of the query with `save_as` behind its aggregators. The last range aggregator
    /// counts from the period's start, so that the period is one range whatever its length.
    fn saved(&self, metric: &Json) -> Json {
        let mut aggregators = match metric.given("aggregators") {
            Some(Json::Array(all)) => all.clone(),
            _ => Vec::new(),
        };
        let ranged = aggregators.iter_mut().rev().find(|one| one.given("sampling").is_some());
        if let Some(one) = ranged {
            *one = with(one, &[("align_sampling", Json::Bool(false))]);
        }
        let text = |text: &str| Json::Text(text.into());
        aggregators.push(Json::Object(vec![
            ("name".into(), text("save_as")),
            ("metric_name".into(), text(&self.save_as)),
        ]));
        with(metric, &[("aggregators", Json::Array(aggregators))])
    }
}

/// An object with some members replaced or added.
fn with(object: &Json, changes: &[(&str, Json)]) -> Json {
    let Json::Object(members) = object else { return object.clone() };
    let changed = |name: &str| changes.iter().any(|(key, _)| *key == name);
    let kept = members.iter().filter(|(name, _)| !changed(name)).cloned();
    let new = changes.iter().map(|(name, value)| (Box::from(*name), value.clone()));
    Json::Object(kept.chain(new).collect())
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    const HOUR: i64 = 3_600_000;
    const TERMS: Terms<'static> = Terms { now: 0, regex_prefix: "regex:" };

    fn task(text: &str) -> Result<Task, Vec<String>> {
        read(&json::parse(text.as_bytes()).unwrap(), TERMS).map_err(|failure| failure.errors)
    }

    fn good(more: &str) -> String {
        format!(
            r#"{{"name":"r","execution_interval":{{"value":1,"unit":"hours"}},"rollups":[{{"save_as":"s",{more}
            "query":{{"start_relative":{{"value":"1","unit":"hours"}},"metrics":[{{"name":"m","aggregators":[
            {{"name":"sum","sampling":{{"value":10,"unit":"minutes"}}}}]}}]}}}}]}}"#
        )
    }

    #[test]
    fn faults_are_kairosdbs() {
        let cases = [
            ("{}", vec!["name may not be null", "executionInterval may not be null"]),
            (
                r#"{"name":"","execution_interval":{"value":1,"unit":"hours"}}"#,
                vec!["name may not be empty"],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(task(text).unwrap_err(), expected, "{text}");
        }
        let with = |from: &str, to: &str| task(&good("").replace(from, to)).unwrap_err();
        assert_eq!(
            with(r#""save_as":"s""#, r#""save_as":"""#),
            ["rollup[0].saveAs may not be empty"]
        );
        let none =
            "rollup[0].query[0].aggregator At least one aggregator must be a range aggregator";
        let whole = r#"{"name":"sum","sampling":{"value":10,"unit":"minutes"}}"#;
        assert_eq!(with(whole, r#"{"name":"diff"}"#), [none]);
        assert_eq!(with(r#""name":"m","#, ""), ["rollup[0].query.metric[0].name may not be null"]);
    }

    #[test]
    fn periods_are_whole_and_in_the_zone() {
        let task = task(&good(r#""time_zone":"Asia/Kolkata","#)).unwrap();
        let [rollup] = task.rollups.as_slice() else { panic!() };
        let periods: Vec<_> = rollup.periods(HOUR + 1, HOUR + 600_000).collect();
        assert_eq!(periods, [(HOUR, HOUR + 599_999), (HOUR + 600_000, HOUR + 1_199_999)]);
        assert_eq!(rollup.count(HOUR + 1, HOUR + 600_000), 2);
        assert_eq!(rollup.count(HOUR, 0), 0);
        assert_eq!(rollup.first(task.interval, 10 * HOUR), 9 * HOUR - 600_000);
        let query = rollup.query(periods[0], TERMS).unwrap();
        assert_eq!((query.start, query.end), (HOUR, Some(HOUR + 599_999)));
        let [metric] = query.metrics.as_slice() else { panic!() };
        assert!(
            matches!(metric.aggregators.last(), Some(Aggregator::SaveAs(to)) if &*to.metric == "s")
        );
    }
}
