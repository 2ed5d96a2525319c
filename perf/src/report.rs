//! What a run came to: counted while it goes, printed when it is over.
//!
//! In: finished requests. Out: a line a second, and a table or a JSON object.

use crate::proc::Usage;
use hdrhistogram::Histogram;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Counts of a run that goes on.
pub struct Progress {
    /// Values to be sent in all; 0 = not known.
    total: u64,
    planned: u64,
    values: u64,
    requests: u64,
    errors: u64,
    latency_us: Histogram<u64>,
}

impl Progress {
    /// Nothing done of `total` values.
    ///
    /// # Errors
    /// The histogram's bounds are refused.
    pub fn new(total: u64) -> Result<Progress, String> {
        let latency_us =
            Histogram::new_with_bounds(1, 600_000_000, 3).map_err(|error| error.to_string())?;
        Ok(Progress { total, planned: 0, values: 0, requests: 0, errors: 0, latency_us })
    }

    /// Notes a finished request.
    pub fn done(&mut self, values: u64, latency: Duration, good: bool) {
        self.requests += 1;
        match good {
            true => self.values += values,
            false => self.errors += 1,
        }
        self.latency_us.saturating_record((latency.as_micros() as u64).max(1));
    }

    /// Plans a request of so many values: how many were planned before it.
    pub fn plan(&mut self, values: u64) -> u64 {
        let before = self.planned;
        self.planned += values;
        before
    }

    fn ms(&self, quantile: f64) -> f64 {
        self.latency_us.value_at_quantile(quantile) as f64 / 1e3
    }
}

/// Prints a line a second.
pub async fn each_second(progress: Rc<RefCell<Progress>>, started: Instant) {
    let mut last = 0;
    loop {
        monoio::time::sleep(Duration::from_secs(1)).await;
        let progress = progress.borrow();
        let seconds = started.elapsed().as_secs_f64();
        let mean = progress.values as f64 / seconds.max(1e-9);
        let left = progress.total.saturating_sub(progress.values) as f64 / mean.max(1.0);
        eprintln!(
            "{seconds:5.0} s  {:>10} values/s  p50 {:8.2} ms  p99 {:8.2} ms  {} errors  {left:.0} s left",
            progress.values - last,
            progress.ms(0.5),
            progress.ms(0.99),
            progress.errors,
        );
        last = progress.values;
    }
}

/// The end of a run.
pub struct Summary(Vec<(&'static str, f64, usize)>);

impl Summary {
    /// Figures of a run; `server` has the server's totals before and after.
    pub fn new(progress: &Progress, elapsed: Duration, server: Option<(Usage, Usage)>) -> Summary {
        let (values, seconds) = (progress.values as f64, elapsed.as_secs_f64());
        let mut rows = vec![
            ("values", values, 0),
            ("requests", progress.requests as f64, 0),
            ("errors", progress.errors as f64, 0),
            ("seconds", seconds, 2),
            ("values/s", values / seconds, 0),
            ("latency p50 ms", progress.ms(0.5), 2),
            ("latency p99 ms", progress.ms(0.99), 2),
            ("latency max ms", progress.ms(1.0), 2),
        ];
        if let Some((before, after)) = server {
            let cpu = after.cpu_seconds - before.cpu_seconds;
            let written = (after.write_bytes - before.write_bytes) as f64;
            rows.extend([
                ("server CPU s", cpu, 2),
                ("server CPU s/M values", cpu / values * 1e6, 4),
                ("bytes written/value", written / values, 2),
                ("server RSS MB", after.rss_bytes as f64 / 1e6, 0),
                ("server peak RSS MB", after.peak_bytes as f64 / 1e6, 0),
            ]);
        }
        Summary(rows)
    }

    /// Prints the table, or one JSON object.
    pub fn print(&self, json: bool) {
        if json {
            let rows = self.0.iter();
            let object: serde_json::Map<_, _> =
                rows.map(|(name, value, _)| ((*name).to_owned(), (*value).into())).collect();
            println!("{}", serde_json::Value::Object(object));
            return;
        }
        for (name, value, digits) in &self.0 {
            println!("{name:<22}{value:>14.digits$}");
        }
    }
}
