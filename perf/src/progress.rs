//! What a run has done so far, and how it went over time.
//!
//! In: finished requests; the server's process. Out: a line a second while it runs; counts, a
//! histogram of latencies, and a sample every 200 ms for the report.

use crate::proc::{self, Usage};
use hdrhistogram::Histogram;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Time between two samples.
const TICK: Duration = Duration::from_millis(200);
/// Samples a printed line.
const TICKS_A_LINE: u32 = 5;

/// Counts of a run that goes on.
pub struct Progress {
    /// Values to be sent in all; 0 = not known.
    total: u64,
    /// Time it is to take; it ends at what comes first.
    seconds: Option<u64>,
    planned: u64,
    pub values: u64,
    pub requests: u64,
    pub errors: u64,
    pub first_error: Option<String>,
    pub latency_us: Histogram<u64>,
    /// Latencies since the last sample, and those since the last line.
    tick_us: Histogram<u64>,
    line_us: Histogram<u64>,
}

/// One moment of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Since the first phase began.
    pub seconds: f64,
    pub values_per_second: f64,
    /// Of the requests that ended since the sample before.
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Of the server.
    pub cpu_cores: f64,
    pub rss_mb: f64,
}

/// All moments, over all phases.
pub struct Timeline {
    started: Instant,
    pid: Option<u32>,
    quiet: bool,
    pub samples: RefCell<Vec<Sample>>,
    /// When phases began (seconds), and their names.
    pub marks: RefCell<Vec<(f64, String)>>,
}

/// A histogram of microseconds, up to ten minutes.
///
/// # Errors
/// Never for these bounds.
pub fn histogram() -> Result<Histogram<u64>, String> {
    Histogram::new_with_bounds(1, 600_000_000, 3).map_err(|error| error.to_string())
}

/// A quantile in milliseconds; 0 of an empty histogram.
pub fn ms(latency_us: &Histogram<u64>, quantile: f64) -> f64 {
    latency_us.value_at_quantile(quantile) as f64 / 1e3
}

impl Progress {
    /// Nothing done of `total` values (0 = not known).
    ///
    /// # Errors
    /// The histogram's bounds are refused.
    pub fn new(total: u64, seconds: Option<u64>) -> Result<Progress, String> {
        Ok(Progress {
            total,
            seconds,
            planned: 0,
            values: 0,
            requests: 0,
            errors: 0,
            first_error: None,
            latency_us: histogram()?,
            tick_us: histogram()?,
            line_us: histogram()?,
        })
    }

    /// Notes a finished request, whose values count when it was accepted.
    pub fn done(&mut self, values: u64, latency: Duration, outcome: Result<(), String>) {
        self.requests += 1;
        match outcome {
            Ok(()) => self.values += values,
            Err(error) => {
                self.errors += 1;
                self.first_error.get_or_insert(error);
            }
        }
        let micros = (latency.as_micros() as u64).max(1);
        for histogram in [&mut self.latency_us, &mut self.tick_us, &mut self.line_us] {
            histogram.saturating_record(micros);
        }
    }

    /// Plans a request of so many values: how many were planned before it.
    pub fn plan(&mut self, values: u64) -> u64 {
        let before = self.planned;
        self.planned += values;
        before
    }

    /// Seconds until the end, as it looks now.
    fn seconds_left(&self, elapsed: f64) -> Option<f64> {
        let by_time = self.seconds.map(|seconds| seconds as f64 - elapsed);
        let rate = self.values as f64 / elapsed.max(1e-9);
        let left = self.total.saturating_sub(self.values) as f64;
        let by_values = (self.total > 0 && rate > 0.0).then(|| left / rate);
        let soonest = by_time.into_iter().chain(by_values).reduce(f64::min);
        soonest.map(|seconds| seconds.max(0.0))
    }

    /// The line of a second in which `values` were accepted.
    fn line(&mut self, elapsed: f64, values: u64) -> String {
        let left = self.seconds_left(elapsed);
        let left = left.map_or(String::new(), |seconds| format!("{seconds:.0} s left"));
        let (p50, p99) = (ms(&self.line_us, 0.5), ms(&self.line_us, 0.99));
        self.line_us.reset();
        format!(
            "{elapsed:5.0} s  {values:>10} values/s  p50 {p50:8.2} ms  p99 {p99:8.2} ms  \
             {} errors  {left}",
            self.errors
        )
    }
}

impl Timeline {
    /// Begins; `pid` is the server's process, a quiet one prints no lines.
    pub fn new(pid: Option<u32>, quiet: bool) -> Timeline {
        Timeline {
            started: Instant::now(),
            pid,
            quiet,
            samples: RefCell::default(),
            marks: RefCell::default(),
        }
    }

    /// A phase begins.
    pub fn mark(&self, name: &str) {
        if !self.quiet {
            eprintln!("{name}");
        }
        let at = self.started.elapsed().as_secs_f64();
        self.marks.borrow_mut().push((at, name.to_owned()));
    }

    /// Looks at a phase until it is told to stop.
    pub async fn watch(self: Rc<Self>, progress: Rc<RefCell<Progress>>, stop: Rc<Cell<bool>>) {
        let began = Instant::now();
        let (mut at, mut usage) = (began, self.usage());
        let (mut values, mut line_values, mut ticks) = (0, 0, 0);
        loop {
            monoio::time::sleep(TICK).await;
            let (now, newer) = (Instant::now(), self.usage());
            let seconds = now.duration_since(at).as_secs_f64();
            let mut progress = progress.borrow_mut();
            let (before, after) = (usage.as_ref(), newer.as_ref());
            let cpu = before.zip(after).map_or(0.0, |(a, b)| b.cpu_seconds - a.cpu_seconds);
            self.samples.borrow_mut().push(Sample {
                seconds: now.duration_since(self.started).as_secs_f64(),
                values_per_second: (progress.values - values) as f64 / seconds,
                p50_ms: ms(&progress.tick_us, 0.5),
                p99_ms: ms(&progress.tick_us, 0.99),
                cpu_cores: cpu / seconds,
                rss_mb: after.map_or(0.0, |usage| usage.rss_bytes as f64 / 1e6),
            });
            progress.tick_us.reset();
            (at, usage, values, ticks) = (now, newer, progress.values, ticks + 1);
            if ticks % TICKS_A_LINE == 0 && !self.quiet {
                let fresh = values - line_values;
                line_values = values;
                eprintln!("{}", progress.line(began.elapsed().as_secs_f64(), fresh));
            }
            if stop.get() {
                return;
            }
        }
    }

    fn usage(&self) -> Option<Usage> {
        self.pid.and_then(|pid| proc::read(pid).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_values_count_and_the_first_error_is_kept() {
        let mut progress = Progress::new(100, None).unwrap();
        progress.done(10, Duration::from_millis(2), Ok(()));
        progress.done(10, Duration::from_millis(4), Err("one".to_owned()));
        progress.done(10, Duration::from_millis(4), Err("two".to_owned()));
        assert_eq!((progress.values, progress.requests, progress.errors), (10, 3, 2));
        assert_eq!(progress.first_error.as_deref(), Some("one"));
        assert!((ms(&progress.latency_us, 1.0) - 4.0).abs() < 0.01);
    }

    #[test]
    fn what_is_left_follows_rate_or_time_whichever_ends_first() {
        let mut progress = Progress::new(100, Some(60)).unwrap();
        assert_eq!(progress.seconds_left(10.0), Some(50.0));
        progress.done(50, Duration::from_millis(1), Ok(()));
        assert_eq!(progress.seconds_left(10.0), Some(10.0));
        assert!(progress.line(10.0, 50).ends_with("0 errors  10 s left"));
        let endless = Progress::new(0, None).unwrap();
        assert_eq!(endless.seconds_left(10.0), None);
    }

    #[test]
    fn a_plan_gives_each_request_the_values_before_it() {
        let mut progress = Progress::new(0, None).unwrap();
        assert_eq!((progress.plan(50), progress.plan(20), progress.plan(1)), (0, 50, 70));
    }
}
