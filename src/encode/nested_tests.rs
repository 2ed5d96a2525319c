//! Aggregates over subqueries against a slow model, on random data over one to three shards.
//!
//! Values are integers, so answers are compared byte for byte.

use super::golden_tests::{ask, write};
use crate::env::sim::Sim;
use crate::route::cluster_tests::start_with;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Host, time (s), value; a later value of one host and time wins.
type Points = BTreeMap<(u8, i64), i64>;

fn lines(points: &Points) -> String {
    let mut out = String::new();
    for ((host, time), value) in points {
        writeln!(out, "m,host=h{host} v={value}i {time}").unwrap();
    }
    out
}

/// The answer of one series per tag value: rows of (time, values).
fn answer(columns: &str, series: &BTreeMap<Option<u8>, BTreeMap<i64, Vec<i64>>>) -> String {
    let one = |(host, rows): (&Option<u8>, &BTreeMap<i64, Vec<i64>>)| {
        let tags = host.map_or(String::new(), |h| format!("\"tags\":{{\"host\":\"h{h}\"}},"));
        let row = |(time, values): (&i64, &Vec<i64>)| {
            let values: Vec<String> = values.iter().map(i64::to_string).collect();
            format!("[{time},{}]", values.join(","))
        };
        let rows: Vec<String> = rows.iter().map(row).collect();
        format!("{{\"name\":\"m\",{tags}\"columns\":[{columns}],\"values\":[{}]}}", rows.join(","))
    };
    let series: Vec<String> = series.iter().map(one).collect();
    match series.is_empty() {
        true => "{\"results\":[{\"statement_id\":0}]}\n".to_owned(),
        false => {
            let series = series.join(",");
            format!("{{\"results\":[{{\"statement_id\":0,\"series\":[{series}]}}]}}\n")
        }
    }
}

/// Sum, count, least and greatest of rows by group and bucket.
fn aggregated(rows: &[(Option<u8>, i64, i64)], width: i64) -> String {
    let mut series: BTreeMap<Option<u8>, BTreeMap<i64, Vec<i64>>> = BTreeMap::new();
    for (group, time, value) in rows {
        let start = time.div_euclid(width) * width;
        let row = series.entry(*group).or_default().entry(start);
        let row = row.or_insert_with(|| vec![0, 0, *value, *value]);
        row[0] += value;
        row[1] += 1;
        row[2] = row[2].min(*value);
        row[3] = row[3].max(*value);
    }
    answer("\"time\",\"sum\",\"count\",\"min\",\"max\"", &series)
}

#[derive(Clone, Debug)]
struct Case {
    points: Points,
    shards: u32,
    inner_width: i64,
    outer_width: i64,
    by_host: bool,
    first: i64,
    last: i64,
    least: i64,
}

fn cases() -> impl Strategy<Value = Case> {
    let points = prop::collection::btree_map((0u8..6, 0i64..200), -50i64..50, 0..80);
    let widths = (1i64..40, 1i64..60);
    let range = (0i64..120, 0i64..120);
    (points, 1u32..4, widths, any::<bool>(), range, -60i64..50).prop_map(
        |(points, shards, (inner_width, outer_width), by_host, (a, b), least)| Case {
            points,
            shards,
            inner_width,
            outer_width,
            by_host,
            first: a.min(b),
            last: a.max(b),
            least,
        },
    )
}

const OUTER: &str = "SELECT sum(x), count(x), min(x), max(x) FROM";

impl Case {
    fn tail(&self, condition: &str) -> String {
        let by = if self.by_host { ", host" } else { "" };
        format!(
            "WHERE {condition}time >= {}s AND time <= {}s GROUP BY time({}s){by} fill(none)",
            self.first, self.last, self.outer_width
        )
    }

    fn group(&self, host: u8) -> Option<u8> {
        self.by_host.then_some(host)
    }

    fn read(&self) -> impl Iterator<Item = (u8, i64, i64)> {
        let inside = |time: i64| (self.first..=self.last).contains(&time);
        let points = self.points.iter().filter(move |((_, time), _)| inside(*time));
        points.map(|((host, time), value)| (*host, *time, *value))
    }

    /// Greatest values of buckets by host, aggregated.
    fn of_buckets(&self) -> (String, String) {
        let mut inner: BTreeMap<(u8, i64), i64> = BTreeMap::new();
        for (host, time, value) in self.read() {
            let start = time.div_euclid(self.inner_width) * self.inner_width;
            let held = inner.entry((host, start)).or_insert(value);
            *held = value.max(*held);
        }
        let rows = inner.iter().filter(|(_, value)| **value >= self.least);
        let rows: Vec<_> =
            rows.map(|((host, start), value)| (self.group(*host), *start, *value)).collect();
        let width = self.inner_width;
        let inner = format!("SELECT max(v) AS x FROM m GROUP BY time({width}s), host");
        let tail = self.tail(&format!("x >= {} AND ", self.least));
        (format!("{OUTER} ({inner}) {tail}"), aggregated(&rows, self.outer_width))
    }

    /// Computed points of all hosts, aggregated.
    fn of_points(&self) -> (String, String) {
        let rows = self.read().map(|(host, time, value)| (host, time, value * 3 - 1));
        let rows = rows.filter(|(_, _, value)| *value >= self.least);
        let rows: Vec<_> =
            rows.map(|(host, time, value)| (self.group(host), time, value)).collect();
        let tail = self.tail(&format!("x >= {} AND ", self.least));
        let query = format!("{OUTER} (SELECT v * 3 - 1 AS x FROM m) {tail}");
        (query, aggregated(&rows, self.outer_width))
    }

    /// Two levels: sums of buckets of what the hosts have at most.
    fn of_two_levels(&self) -> (String, String) {
        let mut most: BTreeMap<(u8, i64), i64> = BTreeMap::new();
        for (host, time, value) in self.read() {
            let start = time.div_euclid(self.inner_width) * self.inner_width;
            let held = most.entry((host, start)).or_insert(value);
            *held = value.max(*held);
        }
        let wide = self.inner_width * 2;
        let mut sums: BTreeMap<(Option<u8>, i64), i64> = BTreeMap::new();
        for ((host, start), value) in most {
            *sums.entry((self.group(host), start.div_euclid(wide) * wide)).or_insert(0) += value;
        }
        let rows: Vec<_> = sums.iter().map(|((group, at), sum)| (*group, *at, *sum)).collect();
        let width = self.inner_width;
        let first = format!("SELECT max(v) AS y FROM m GROUP BY time({width}s), host");
        let second = format!("SELECT sum(y) AS x FROM ({first}) GROUP BY time({wide}s)");
        (format!("{OUTER} ({second}) {}", self.tail("")), aggregated(&rows, self.outer_width))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn aggregates_over_subqueries_are_those_of_a_model(case in cases(), seed in 0u64..1000) {
        let sim = Sim::new(seed);
        let outcome = sim.run(async {
            let clusters = start_with(&sim, case.shards.min(2), case.shards).await;
            let cluster = &clusters[0];
            ask(cluster, "create database d").await;
            write(cluster, &lines(&case.points)).await;
            let mut found = Vec::new();
            for (query, expected) in [case.of_buckets(), case.of_points(), case.of_two_levels()] {
                found.push((ask(cluster, &query).await, expected, query));
            }
            found
        });
        for (found, expected, query) in outcome.unwrap() {
            prop_assert_eq!(found, expected, "{}", query);
        }
    }
}
