//! What a run came to: tables for a person, JSON for a program, a page with plots for both.
//!
//! In: the counts of its phases, the server's use before and after, the timeline. Out: text.

use crate::html;
use crate::progress::{Timeline, ms};
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

/// Figures under a title.
#[derive(Clone, PartialEq, Debug)]
pub struct Table {
    pub title: String,
    /// One for each cell of a row.
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
}

/// A line of a table.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    pub name: String,
    /// Values and their digits behind the point; no number is an empty cell.
    pub cells: Vec<(f64, usize)>,
}

/// Everything about a run.
pub struct Report {
    pub title: &'static str,
    pub timeline: Rc<Timeline>,
    /// What a reader wants first: name and figure with its unit.
    pub headlines: Vec<(String, String)>,
    pub tables: Vec<Table>,
    /// What has to be known to read them.
    pub notes: Vec<String>,
    /// By phase or question, in microseconds.
    pub latencies: Vec<(String, Histogram<u64>)>,
}

impl Row {
    /// The cells as they are shown.
    pub fn shown(&self) -> impl Iterator<Item = String> {
        self.cells.iter().map(|(value, digits)| number(*value, *digits))
    }
}

impl Table {
    /// A table of one column without rows.
    pub fn new(title: &str) -> Table {
        Table::of(title, &[title])
    }

    /// A table without rows.
    pub fn of(title: &str, columns: &[&str]) -> Table {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        Table { title: title.to_owned(), columns, rows: Vec::new() }
    }

    /// Adds a row of one cell.
    pub fn row(&mut self, name: &str, value: f64, digits: usize) {
        self.cells(name, vec![(value, digits)]);
    }

    /// Adds a row.
    pub fn cells(&mut self, name: &str, cells: Vec<(f64, usize)>) {
        self.rows.push(Row { name: name.to_owned(), cells });
    }

    /// The value of a row in its first column.
    pub fn value(&self, name: &str) -> f64 {
        let row = self.rows.iter().find(|row| row.name == name);
        row.and_then(|row| row.cells.first()).map_or(f64::NAN, |(value, _)| *value)
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
        for (name, quantile) in
            [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)]
        {
            table.row(&format!("latency {name} ms"), ms(&progress.latency_us, quantile), 2);
        }
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

    /// Tables of the same rows side by side.
    pub fn beside(title: &str, tables: &[Table]) -> Table {
        let columns = tables.iter().flat_map(|table| table.columns.clone()).collect();
        let names = tables.iter().flat_map(|table| &table.rows).map(|row| &row.name);
        let mut rows: Vec<Row> = Vec::new();
        for name in names {
            if rows.iter().all(|row| row.name != *name) {
                let found = |table: &Table| {
                    let row = table.rows.iter().find(|row| row.name == *name);
                    row.and_then(|row| row.cells.first().copied()).unwrap_or((f64::NAN, 0))
                };
                let cells = tables.iter().map(found).collect();
                rows.push(Row { name: name.clone(), cells });
            }
        }
        Table { title: title.to_owned(), columns, rows }
    }

    /// The lines of a terminal: names at the left, figures at the right.
    fn text(&self, lines: &mut Vec<String>) {
        let wide = |texts: Vec<usize>| texts.into_iter().max().unwrap_or(0) + 2;
        let first = wide(self.rows.iter().map(|row| row.name.chars().count()).collect());
        let heads = self.columns.len() > 1;
        let widths = self.columns.iter().enumerate().map(|(at, column)| {
            let cells = self.rows.iter().filter_map(|row| row.shown().nth(at));
            let head = if heads { column.len() } else { 12 };
            wide(cells.map(|cell| cell.len()).chain([head]).collect())
        });
        let widths: Vec<usize> = widths.collect();
        if heads {
            let cells = self.columns.iter().zip(&widths);
            let cells = cells.map(|(name, wide)| format!("{name:>wide$}"));
            lines.push(format!("{:first$}{}", "", cells.collect::<String>()));
        }
        for row in &self.rows {
            let cells = row.shown().zip(&widths).map(|(cell, wide)| format!("{cell:>wide$}"));
            lines.push(format!("{:<first$}{}", row.name, cells.collect::<String>()));
        }
    }

    /// An object of the rows: of numbers, or of objects when there are several columns.
    fn json(&self) -> serde_json::Value {
        let cells = |row: &Row| match row.cells.as_slice() {
            [(value, _)] if self.columns.len() == 1 => (*value).into(),
            cells => {
                let cells = self.columns.iter().zip(cells);
                let cells = cells.filter(|(_, (value, _))| !value.is_nan());
                serde_json::Value::Object(
                    cells.map(|(name, (value, _))| (name.clone(), (*value).into())).collect(),
                )
            }
        };
        let rows = self.rows.iter().map(|row| (row.name.clone(), cells(row)));
        serde_json::Value::Object(rows.collect())
    }
}

impl Report {
    /// Nothing to tell yet.
    pub fn new(title: &'static str, timeline: Rc<Timeline>) -> Report {
        Report {
            title,
            timeline,
            headlines: Vec::new(),
            tables: Vec::new(),
            notes: Vec::new(),
            latencies: Vec::new(),
        }
    }

    /// Tells a figure first, when it is known.
    pub fn headline(&mut self, name: &str, value: f64, digits: usize, unit: &str) {
        if value.is_finite() {
            self.headlines.push((name.to_owned(), format!("{}{unit}", number(value, digits))));
        }
    }

    /// Tells what sending came to first.
    pub fn headlines_of(&mut self, ingest: &Table) {
        self.headline("values a second", ingest.value("values/s"), 0, "");
        self.headline("latency, median", ingest.value("latency p50 ms"), 2, " ms");
        self.headline("latency, p99", ingest.value("latency p99 ms"), 2, " ms");
        let cpu = ingest.value("server CPU s/M values");
        self.headline("server CPU a million values", cpu, 3, " s");
        self.headline("written a value", ingest.value("bytes written/value"), 2, " bytes");
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
        let mut lines = Vec::new();
        for table in &self.tables {
            if self.tables.len() > 1 {
                lines.push(format!("-- {}", table.title));
            }
            table.text(&mut lines);
        }
        lines.extend(self.notes.iter().cloned());
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

/// A number with commas between its thousands; nothing for what is none.
pub fn number(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return String::new();
    }
    let text = format!("{value:.digits$}");
    let whole = text.split_once('.').map_or(text.len(), |(whole, _)| whole.len());
    let mut out = String::new();
    for (at, character) in text.chars().enumerate() {
        let follows_digit = out.ends_with(|last: char| last.is_ascii_digit());
        if at < whole && (whole - at).is_multiple_of(3) && follows_digit {
            out.push(',');
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::proc::Usage;
    use crate::progress::Progress;
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
        let mut second = Table::of("two <&>", &["p50 ms", "CPU ms"]);
        second.cells("lastpoint", vec![(1.25, 2), (f64::NAN, 3)]);
        second.cells("high-cpu-1", vec![(1234.5, 2), (3.0, 3)]);
        report.tables.push(second);
        report.headlines_of(&Table::ingest("one", &done));
        report.latencies.push(("one".to_owned(), done.progress.latency_us));
        report
    }

    #[test]
    fn figures_follow_from_counts_and_the_servers_totals() {
        let report = sample();
        let table = &report.tables[0];
        assert_eq!(table.value("values"), 50_000.0);
        assert_eq!(table.value("values/s"), 25_000.0);
        assert_eq!(table.value("server CPU s/M values"), 10.0);
        assert_eq!(table.value("bytes written/value"), 2.0);
        assert!((table.value("latency p99 ms") - 990.0).abs() < 1.0);
        assert_eq!(report.headlines[0], ("values a second".to_owned(), "25,000".to_owned()));
        assert_eq!(report.headlines.len(), 5);
    }

    #[test]
    fn json_is_flat_for_one_table_and_by_title_for_more() {
        let mut report = sample();
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["one"]["values"], 50_000.0);
        assert_eq!(json["two <&>"]["lastpoint"], serde_json::json!({"p50 ms": 1.25}));
        report.tables.truncate(1);
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["values/s"], 25_000.0);
    }

    #[test]
    fn text_has_its_figures_in_columns() {
        let mut lines = Vec::new();
        sample().tables[1].text(&mut lines);
        assert_eq!(
            lines,
            [
                "                p50 ms  CPU ms",
                "lastpoint         1.25        ",
                "high-cpu-1    1,234.50   3.000",
            ]
        );
        let plain = sample().text();
        assert!(plain.starts_with("-- one\nvalues                         50,000\n"), "{plain}");
    }

    #[test]
    fn tables_stand_side_by_side_by_their_rows_names() {
        let (mut one, mut two) = (Table::new("one"), Table::new("two"));
        one.row("a", 1.0, 0);
        two.row("b", 2.0, 1);
        two.row("a", 3.0, 0);
        let both = Table::beside("both", &[one, two]);
        assert_eq!(both.columns, ["one", "two"]);
        let shown = |at: usize| both.rows[at].shown().collect::<Vec<_>>();
        assert_eq!(
            (shown(0), shown(1)),
            (vec!["1".into(), "3".into()], vec!["".into(), "2.0".into()])
        );
    }

    #[test]
    fn thousands_are_set_apart() {
        for (value, digits, text) in [
            (0.0, 0, "0"),
            (999.0, 0, "999"),
            (1000.0, 0, "1,000"),
            (-1_234_567.891, 2, "-1,234,567.89"),
            (-123.0, 0, "-123"),
            (f64::NAN, 2, ""),
        ] {
            assert_eq!(number(value, digits), text);
        }
    }
}
