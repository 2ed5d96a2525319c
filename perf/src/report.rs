//! What a run came to: tables for a person, JSON for a program, a page with plots for both.
//!
//! In: the counts of its phases, the server's use before and after, the timeline. Out: text.

use crate::html;
use crate::progress::{Progress, Timeline, ms};
use crate::send::Done;
use hdrhistogram::Histogram;
use std::path::PathBuf;
use std::rc::Rc;

/// Flags that say where the report goes.
#[derive(Clone, Default, clap::Args)]
pub struct Output {
    /// JSON instead of tables.
    #[arg(long)]
    pub json: bool,
    /// Also write a page with the tables, plots over time and histograms of latency.
    #[arg(long)]
    pub html: Option<PathBuf>,
}

/// Figures under a title: name, value, digits behind the point.
#[derive(Clone, PartialEq, Debug)]
pub struct Table {
    pub title: String,
    pub rows: Vec<(String, f64, usize)>,
}

/// Everything about a run.
pub struct Report {
    pub title: &'static str,
    pub timeline: Rc<Timeline>,
    pub tables: Vec<Table>,
    /// By phase or question, in microseconds.
    pub latencies: Vec<(String, Histogram<u64>)>,
}

impl Table {
    /// A table without rows.
    pub fn new(title: &str) -> Table {
        Table { title: title.to_owned(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, name: &str, value: f64, digits: usize) {
        self.rows.push((name.to_owned(), value, digits));
    }

    /// Figures of sending.
    pub fn ingest(title: &str, done: &Done) -> Table {
        let Done { progress, elapsed, server, .. } = done;
        let (values, seconds) = (progress.values as f64, elapsed.as_secs_f64());
        let mut table = Table::new(title);
        table.row("values", values, 0);
        table.row("requests", progress.requests as f64, 0);
        table.row("errors", progress.errors as f64, 0);
        table.row("seconds", seconds, 2);
        table.row("values/s", values / seconds, 0);
        table.latency(&progress.latency_us);
        if let Some((before, after)) = server {
            let cpu = after.cpu_seconds - before.cpu_seconds;
            let written = after.write_bytes.saturating_sub(before.write_bytes) as f64;
            table.row("server CPU s", cpu, 2);
            table.row("server CPU s/M values", cpu / values * 1e6, 4);
            table.row("bytes written/value", written / values, 2);
            table.row("server RSS MB", after.rss_bytes as f64 / 1e6, 0);
            table.row("server peak RSS MB", after.peak_bytes as f64 / 1e6, 0);
        }
        table
    }

    /// Figures of a question; a CPU that is not a number and no bytes are left out.
    pub fn query(title: &str, progress: &Progress, cpu_ms: f64, bytes: u64) -> Table {
        let mut table = Table::new(title);
        table.row("queries", progress.requests as f64, 0);
        table.latency(&progress.latency_us);
        if !cpu_ms.is_nan() {
            table.row("server CPU ms/query", cpu_ms, 3);
        }
        if bytes > 0 {
            table.row("bytes/answer", bytes as f64, 0);
        }
        table
    }

    fn latency(&mut self, latency_us: &Histogram<u64>) {
        for (name, quantile) in
            [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)]
        {
            self.row(&format!("latency {name} ms"), ms(latency_us, quantile), 2);
        }
    }

    fn json(&self) -> serde_json::Value {
        let rows = self.rows.iter();
        serde_json::Value::Object(rows.map(|(name, v, _)| (name.clone(), (*v).into())).collect())
    }
}

impl Report {
    /// Nothing to tell yet.
    pub fn new(title: &'static str, timeline: Rc<Timeline>) -> Report {
        Report { title, timeline, tables: Vec::new(), latencies: Vec::new() }
    }

    /// Prints tables or JSON, and writes the page where one is wanted.
    ///
    /// # Errors
    /// The page cannot be written.
    pub fn give(&self, output: &Output) -> Result<(), String> {
        println!("{}", if output.json { self.json() } else { self.text() });
        self.write_html(output)
    }

    /// Writes the page where one is wanted.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_html(&self, output: &Output) -> Result<(), String> {
        let Some(path) = &output.html else { return Ok(()) };
        let command: Vec<String> = std::env::args().collect();
        std::fs::write(path, html::page(self, &command.join(" ")))
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The tables in columns; a single one has no title.
    fn text(&self) -> String {
        let names = self.tables.iter().flat_map(|table| &table.rows);
        let wide = names.map(|(name, ..)| name.len()).max().unwrap_or(0) + 2;
        let mut lines = Vec::new();
        for table in &self.tables {
            if self.tables.len() > 1 {
                lines.push(format!("-- {}", table.title));
            }
            let rows = table.rows.iter();
            lines.extend(rows.map(|(name, v, digits)| format!("{name:<wide$}{v:>14.digits$}")));
        }
        lines.join("\n")
    }

    /// One table is an object of its rows, several are an object of objects by title.
    fn json(&self) -> String {
        match self.tables.as_slice() {
            [table] => table.json(),
            tables => {
                let pairs = tables.iter().map(|table| (table.title.clone(), table.json()));
                serde_json::Value::Object(pairs.collect())
            }
        }
        .to_string()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::proc::Usage;
    use std::time::Duration;

    /// A run of two phases, 1,000 requests of 1 to 1,000 ms each.
    pub fn sample() -> Report {
        let mut progress = Progress::new(0, None).unwrap();
        for n in 1..=1000 {
            progress.done(50, Duration::from_millis(n), Ok(()));
        }
        let usage = |cpu_seconds, write_bytes| Usage {
            cpu_seconds,
            write_bytes,
            rss_bytes: 20_000_000,
            peak_bytes: 30_000_000,
        };
        let mut report = Report::new("mixed", Rc::new(Timeline::new(None, true)));
        let server = Some((usage(1.0, 0), usage(1.5, 100_000)));
        let done = Done { progress, elapsed: Duration::from_secs(2), server, failure: None };
        report.tables.push(Table::ingest("one", &done));
        report.tables.push(Table::query("two <&>", &done.progress, f64::NAN, 0));
        report.latencies.push(("one".to_owned(), done.progress.latency_us));
        report
    }

    fn value(table: &Table, name: &str) -> f64 {
        table.rows.iter().find(|(found, ..)| found == name).map_or(f64::NAN, |(_, value, _)| *value)
    }

    #[test]
    fn figures_follow_from_counts_and_the_servers_totals() {
        let table = sample().tables.remove(0);
        assert_eq!(value(&table, "values"), 50_000.0);
        assert_eq!(value(&table, "values/s"), 25_000.0);
        assert_eq!(value(&table, "server CPU s/M values"), 10.0);
        assert_eq!(value(&table, "bytes written/value"), 2.0);
        assert!((value(&table, "latency p99 ms") - 990.0).abs() < 1.0);
        assert!(value(&sample().tables[1], "server CPU ms/query").is_nan());
    }

    #[test]
    fn json_is_flat_for_one_table_and_by_title_for_more() {
        let mut report = sample();
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["one"]["values"], 50_000.0);
        assert_eq!(json["two <&>"]["queries"], 1000.0);
        report.tables.truncate(1);
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["values/s"], 25_000.0);
    }
}
