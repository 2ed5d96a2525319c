//! Answers to queries as JSON, written as results come.
//!
//! In: heads of results and their points. Out: bytes that are taken away piece by piece. The number
//! of points read stands before the results where their bytes are still here when it is known, and
//! behind them otherwise. Numbers that JSON cannot hold are left out.

use super::group;
use super::point::{Datum, Point};
use super::request::json::Json;
use super::request::{Grouper, MetricQuery};
use super::source::{Group, Kind, Tags};
use crate::encode::scalar;

/// Writes one answer.
#[derive(Default)]
pub struct Writer {
    out: Vec<u8>,
    /// Bytes taken away so far.
    gone: usize,
    /// Where the number of points read is to stand, counted from the answer's first byte.
    sample_at: usize,
    queries: usize,
    results: usize,
    points: usize,
    /// What stands in front of the answers to the metrics.
    head: Vec<u8>,
}

/// What a result says of itself beside its points.
pub struct Head<'a> {
    pub metric: &'a MetricQuery,
    pub kind: Kind,
    pub group: &'a Group,
    /// Numbers under the groupers of the metric.
    pub numbers: &'a [i64],
}

impl Writer {
    /// An answer that repeats this request, if it is given.
    pub fn new(original: Option<&Json>) -> Writer {
        let mut head = b"{".to_vec();
        if let Some(original) = original {
            head.extend_from_slice(b"\"original_query\":");
            original.write(&mut head);
            head.push(b',');
        }
        head.extend_from_slice(b"\"queries\":[");
        Writer { head, ..Writer::default() }
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.out.len()
    }

    /// Takes the bytes that wait.
    pub fn take(&mut self) -> Vec<u8> {
        self.gone += self.out.len();
        std::mem::take(&mut self.out)
    }

    /// Begins the answer to a metric.
    pub fn open_query(&mut self) {
        match self.queries {
            0 => self.out.append(&mut self.head),
            _ => self.out.push(b','),
        }
        self.out.push(b'{');
        self.queries += 1;
        self.results = 0;
        self.sample_at = self.gone + self.out.len();
        self.raw(b"\"results\":[");
    }

    /// Ends it. `sample`: the number of points read, if it is told.
    pub fn close_query(&mut self, sample: Option<u64>) {
        self.raw(b"]");
        if let Some(sample) = sample {
            let mut text = b"\"sample_size\":".to_vec();
            scalar::integer(sample, &mut text);
            match self.sample_at.checked_sub(self.gone) {
                Some(at) => {
                    text.push(b',');
                    self.out.splice(at..at, text);
                }
                None => {
                    self.raw(b",");
                    self.raw(&text);
                }
            }
        }
        self.raw(b"}");
    }

    /// Ends the answer.
    pub fn finish(&mut self) {
        self.out.append(&mut self.head);
        self.raw(b"]}");
    }

    /// Begins a result.
    pub fn open_result(&mut self, head: &Head<'_>) {
        self.begin(head.metric);
        self.raw(b",\"group_by\":[");
        for (grouper, number) in head.metric.groupers.iter().zip(head.numbers) {
            self.grouper(grouper, *number);
            self.raw(b",");
        }
        if let Some(keys) = &head.metric.group_tags {
            self.tag_group(keys, head.group);
            self.raw(b",");
        }
        self.raw(b"{\"name\":\"type\",\"type\":\"");
        self.raw(head.kind.name().as_bytes());
        self.raw(b"\"}]");
        if !head.metric.exclude_tags {
            self.raw(b",");
            self.tags(&head.group.tags);
        }
        self.raw(b",\"values\":[");
    }

    /// Begins the result of a metric without points, or of a question for tags.
    pub fn open_bare(&mut self, metric: &MetricQuery, tags: &Tags) {
        self.begin(metric);
        self.raw(b",");
        self.tags(tags);
        self.raw(b",\"values\":[");
    }

    fn begin(&mut self, metric: &MetricQuery) {
        self.raw(if self.results == 0 { b"{\"name\":" } else { b",{\"name\":" });
        self.results += 1;
        self.points = 0;
        self.text(metric.name.as_bytes());
        if let Some(alias) = &metric.alias {
            self.raw(b",\"alias\":");
            self.text(alias.as_bytes());
        }
    }

    /// Writes points of the open result.
    pub fn points(&mut self, points: &[Point]) {
        for point in points {
            if matches!(point.value, Datum::Double(value) if !value.is_finite()) {
                continue;
            }
            self.raw(if self.points == 0 { b"[" } else { b",[" });
            self.points += 1;
            scalar::integer(point.time, &mut self.out);
            self.out.push(b',');
            match &point.value {
                Datum::Null => self.raw(b"null"),
                Datum::Long(value) => scalar::integer(*value, &mut self.out),
                Datum::Double(value) => double(*value, &mut self.out),
                Datum::Text(text) => scalar::string(text, &mut self.out),
            }
            self.out.push(b']');
        }
    }

    /// Ends a result.
    pub fn close_result(&mut self) {
        self.raw(b"]}");
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &[u8]) {
        scalar::string(text, &mut self.out);
    }

    fn tags(&mut self, tags: &Tags) {
        self.raw(b"\"tags\":{");
        for (at, (key, values)) in tags.iter().enumerate() {
            if at > 0 {
                self.raw(b",");
            }
            self.text(key);
            self.raw(b":");
            self.list(values.iter().map(|value| &**value));
        }
        self.raw(b"}");
    }

    fn list<'a>(&mut self, texts: impl Iterator<Item = &'a [u8]>) {
        self.raw(b"[");
        for (at, text) in texts.enumerate() {
            if at > 0 {
                self.raw(b",");
            }
            self.text(text);
        }
        self.raw(b"]");
    }

    fn tag_group(&mut self, keys: &[Box<str>], group: &Group) {
        self.raw(b"{\"name\":\"tag\",\"tags\":");
        self.list(keys.iter().map(|key| key.as_bytes()));
        self.raw(b",\"group\":{");
        for (at, (key, value)) in keys.iter().zip(&group.values).enumerate() {
            if at > 0 {
                self.raw(b",");
            }
            self.text(key.as_bytes());
            self.raw(b":");
            self.text(value);
        }
        self.raw(b"}}");
    }

    fn grouper(&mut self, grouper: &Grouper, number: i64) {
        let (name, properties, group) = match grouper {
            Grouper::Time { range, count } => {
                let (value, unit) = (range.value, range.unit.name());
                let size = format!("\"range_size\":{{\"value\":{value},\"unit\":\"{unit}\"}}");
                ("time", format!("{size},\"group_count\":{count}"), "group_number")
            }
            Grouper::Value { range } => {
                ("value", format!("\"range_size\":{range}"), "group_number")
            }
            Grouper::Bin { bins } => {
                let mut all = b"\"bins\":[".to_vec();
                for (at, bound) in bins.iter().enumerate() {
                    if at > 0 {
                        all.push(b',');
                    }
                    double(*bound, &mut all);
                }
                all.push(b']');
                ("bin", String::from_utf8(all).unwrap_or_default(), "bin_number")
            }
        };
        let text =
            format!("{{\"name\":\"{name}\",{properties},\"group\":{{\"{group}\":{number}}}}}");
        self.raw(text.as_bytes());
    }
}

/// A finite double: whole ones keep a point, so that they are told from longs.
fn double(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
}

/// The numbers of a point under all groupers of a metric.
pub fn numbers(metric: &MetricQuery, point: &Point, start: i64) -> Vec<i64> {
    metric.groupers.iter().map(|grouper| group::number(grouper, point, start)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kairos::request;

    fn metric() -> MetricQuery {
        let text = br#"{"start_absolute":0,"metrics":[{"name":"m\"","exclude_tags":true}]}"#;
        request::parse(text, request::Terms { now: 0, regex_prefix: "" }).unwrap().metrics.remove(0)
    }

    fn answer(taken_away: bool) -> String {
        let (metric, group) = (metric(), Group::default());
        let mut writer = Writer::new(None);
        writer.open_query();
        let mut all = if taken_away { writer.take() } else { Vec::new() };
        let head = Head { metric: &metric, kind: Kind::Numbers, group: &group, numbers: &[] };
        writer.open_result(&head);
        let values = [Datum::Long(1), Datum::Double(f64::NAN), Datum::Null, Datum::Double(2.0)];
        let point = |(time, value): (i64, &Datum)| Point { time, value: value.clone() };
        writer.points(&(0..).zip(&values).map(point).collect::<Vec<_>>());
        writer.close_result();
        writer.close_query(Some(4));
        writer.open_query();
        writer.close_query(Some(0));
        writer.finish();
        all.extend(writer.take());
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn the_number_of_points_stands_first_while_it_can() {
        let result = r#"{"name":"m\"","group_by":[{"name":"type","type":"number"}],"values":[[0,1],[2,null],[3,2.0]]}"#;
        let second = r#"{"sample_size":0,"results":[]}"#;
        let whole = format!(r#"{{"queries":[{{"sample_size":4,"results":[{result}]}},{second}]}}"#);
        assert_eq!(answer(false), whole);
        let cut = format!(r#"{{"queries":[{{"results":[{result}],"sample_size":4}},{second}]}}"#);
        assert_eq!(answer(true), cut);
    }

    #[test]
    fn groupers_say_what_they_are() {
        let mut writer = Writer::default();
        writer.grouper(&Grouper::Bin { bins: vec![1.5, 20.0] }, 2);
        let text = String::from_utf8(writer.take()).unwrap();
        assert_eq!(text, r#"{"name":"bin","bins":[1.5,20.0],"group":{"bin_number":2}}"#);
    }
}
