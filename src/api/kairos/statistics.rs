//! The server's own figures as metrics, under KairosDB's names, when asked for.
//!
//! In: the doors' counters of all cores, once a minute; what a query read, when it is over. Out:
//! points with the tag `host`, written like any others but not counted as a client's.

use super::datapoints;
use crate::api::front::Front;
use crate::encode::scalar;
use crate::env::Env;
use crate::kairos::MS_NS;
use crate::stats;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Metrics of one query that are told of.
const METRICS_MAX: usize = 100;
/// Time between two reports.
const PERIOD: Duration = Duration::from_secs(60);

/// A metric and the counter whose growth in a minute it shows: metric behind `kairosdb.`, a further
/// tag, counter, divisor.
type Figure = (&'static str, Option<(&'static str, &'static str)>, &'static str, u64);

const FIGURES: [Figure; 10] = [
    ("protocol.telnet_request_count", Some(("method", "put")), "telnet_points_ok", 1),
    ("protocol.telnet_request_count", Some(("method", "version")), "telnet_versions", 1),
    ("protocol.http_request_count", Some(("method", "datapoints")), "kairos_write_requests", 1),
    ("protocol.http_request_count", Some(("method", "all")), "http_requests", 1),
    ("http.ingest_count", None, "kairos_points_ok", 1),
    ("http.ingest_time", None, "kairos_write_ns", 1_000_000),
    ("http.query_time", None, "http_query_ns", 1_000_000),
    ("http.request_time", None, "http_request_ns", 1_000_000),
    ("telnet.lines_dropped", None, "telnet_lines_dropped", 1),
    ("http.metrics_refused", None, "kairos_metrics_refused", 1),
];

/// Reports for ever. One core of the process does.
pub(super) async fn run<E: Env>(front: Rc<Front<E>>) {
    let mut before = counters(&front);
    loop {
        front.env.sleep(PERIOD).await;
        let now = counters(&front);
        let body = report(
            &before,
            &now,
            &front.server.facts.hostname,
            front.env.now_wall().div_euclid(MS_NS),
        );
        before = now;
        let saved = datapoints::save(&front, &front.config().kairosdb_database, &body).await;
        if let Err(reason) = saved {
            front.note(|| format!("the server's own metrics are not stored: {reason}"));
        }
    }
}

/// What a query read: metric, points, time (ns), in the order of its metrics.
pub(super) struct Notes {
    metrics: Vec<(Box<str>, u64, u64)>,
    /// When the metric at hand was begun (monotonic ns).
    since: u64,
}

impl Notes {
    /// Of a query that began then (monotonic ns).
    pub fn new(since: u64) -> Notes {
        Notes { metrics: Vec::new(), since }
    }

    /// A metric is answered.
    pub fn add(&mut self, metric: &str, points: u64, now: u64) {
        if self.metrics.len() < METRICS_MAX {
            self.metrics.push((metric.into(), points, now.saturating_sub(self.since)));
        }
        self.since = now;
    }
}

/// Stores what a query read.
pub(super) async fn note_query<E: Env>(front: &Front<E>, notes: &Notes) {
    if notes.metrics.is_empty() {
        return;
    }
    let time = front.env.now_wall().div_euclid(MS_NS);
    let body = queried(&notes.metrics, &front.server.facts.hostname, time);
    let saved = datapoints::save(front, &front.config().kairosdb_database, &body).await;
    if let Err(reason) = saved {
        front.note(|| format!("what a query read is not stored: {reason}"));
    }
}

/// The body of `POST datapoints` that says what a query read.
fn queried(metrics: &[(Box<str>, u64, u64)], host: &str, time: i64) -> Vec<u8> {
    let mut out = b"[".to_vec();
    for (at, (metric, points, ns)) in metrics.iter().enumerate() {
        for (name, value) in [("query_sample_size", *points), ("query_time", ns / 1_000_000)] {
            out.extend_from_slice(if out.len() == 1 { b"" } else { b"," });
            let head = format!("{{\"name\":\"kairosdb.datastore.{name}\",\"timestamp\":{time},");
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(format!("\"value\":{value},\"tags\":{{\"host\":").as_bytes());
            scalar::string(host.as_bytes(), &mut out);
            out.extend_from_slice(b",\"metric_name\":");
            scalar::string(metric.as_bytes(), &mut out);
            out.extend_from_slice(format!(",\"query_index\":\"{at}\"}}}}").as_bytes());
        }
    }
    out.push(b']');
    out
}

fn counters<E: Env>(front: &Front<E>) -> BTreeMap<&'static str, u64> {
    let names = stats::TABLE.iter().map(|spec| spec.name);
    names.zip(stats::sums(&front.server.facts.doors)).collect()
}

/// The body of `POST datapoints` that says what grew.
fn report(
    before: &BTreeMap<&'static str, u64>,
    now: &BTreeMap<&'static str, u64>,
    host: &str,
    time: i64,
) -> Vec<u8> {
    let mut out = b"[".to_vec();
    for (at, (metric, tag, counter, divisor)) in FIGURES.iter().enumerate() {
        let of = |all: &BTreeMap<&'static str, u64>| all.get(counter).copied().unwrap_or(0);
        let grown = of(now).wrapping_sub(of(before)) / divisor;
        let comma = if at == 0 { "" } else { "," };
        let head = format!("{comma}{{\"name\":\"kairosdb.{metric}\",\"timestamp\":{time},");
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(format!("\"value\":{grown},\"tags\":{{\"host\":").as_bytes());
        scalar::string(host.as_bytes(), &mut out);
        if let Some((name, value)) = tag {
            out.extend_from_slice(format!(",\"{name}\":\"{value}\"").as_bytes());
        }
        out.extend_from_slice(b"}}");
    }
    out.push(b']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_told_metric_by_metric() {
        let mut notes = Notes::new(5_000_000);
        notes.add("m\"", 7, 8_000_000);
        notes.add("n", 0, 8_500_000);
        let text = String::from_utf8(queried(&notes.metrics, "h", 9)).unwrap();
        let tags = r#""tags":{"host":"h","metric_name":"m\"","query_index":"0"}}"#;
        let size = r#"{"name":"kairosdb.datastore.query_sample_size","timestamp":9,"value":7,"#;
        let time = r#"{"name":"kairosdb.datastore.query_time","timestamp":9,"value":3,"#;
        assert!(text.starts_with(&format!("[{size}{tags},{time}{tags},")), "{text}");
        assert!(text.ends_with(r#""metric_name":"n","query_index":"1"}}]"#), "{text}");
    }

    #[test]
    fn every_figure_has_its_counter_and_shows_its_growth() {
        let names: Vec<&str> = stats::TABLE.iter().map(|spec| spec.name).collect();
        assert!(FIGURES.iter().all(|(_, _, counter, _)| names.contains(counter)));
        let of = |count: u64| names.iter().map(|name| (*name, count * 5_000_000)).collect();
        let text = String::from_utf8(report(&of(1), &of(3), "h", 7)).unwrap();
        let time =
            r#"{"name":"kairosdb.http.ingest_time","timestamp":7,"value":10,"tags":{"host":"h"}}"#;
        assert!(text.contains(time), "{text}");
        assert!(text.contains(r#""tags":{"host":"h","method":"put"}"#), "{text}");
    }
}
