//! `query`: asks the TSBS questions and measures time and server CPU of each.
//!
//! In: the shape of the loaded data. Out: a line per question: latency percentiles, CPU
//! milliseconds a query, bytes of the answers.

use crate::progress::{Progress, Timeline, ms};
use crate::queries::{self, Language};
use crate::report::{Output, Report, Table};
use crate::target::Target;
use crate::workload::{Random, Shape};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Flags of `query`.
#[derive(Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    shape: Shape,
    /// What the server understands.
    #[arg(long, value_enum, default_value = "influxql")]
    language: Language,
    /// Questions to ask, a comma list of TSBS's names; all of them when not given.
    #[arg(long, value_delimiter = ',')]
    types: Vec<String>,
    /// At most so many queries of each.
    #[arg(long, default_value_t = 200)]
    count: u64,
    /// At most so many seconds for each.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Queries a second, together; 0 = the next when the last is answered.
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    #[command(flatten)]
    output: Output,
}

/// What is asked, shared by the connections that ask.
pub struct Asking {
    pub target: Target,
    pub shape: Shape,
    pub language: Language,
    /// Asked in turn.
    pub names: Vec<String>,
    pub rate: f64,
    pub count: u64,
    /// When to ask no more.
    pub end: Instant,
    /// By name: counts and latencies. A "value" is a query here.
    pub done: Vec<Rc<RefCell<Progress>>>,
    pub bytes: Cell<u64>,
    pub asked: Cell<u64>,
    pub started: Instant,
    pub random: RefCell<Random>,
}

impl Asking {
    /// Asks until the count, the time, or `stop` says enough.
    ///
    /// # Errors
    /// The server cannot be reached or refuses a statement; a name that no question has.
    pub async fn ask(self: Rc<Self>, stop: Rc<Cell<bool>>) -> Result<(), String> {
        let mut client = self.target.client().await?;
        loop {
            let at = self.asked.get();
            let due = match self.rate > 0.0 {
                true => self.started + Duration::from_secs_f64(at as f64 / self.rate),
                false => Instant::now(),
            };
            if stop.get() || at >= self.count || due >= self.end {
                return Ok(());
            }
            self.asked.set(at + 1);
            let turn = at as usize % self.names.len().max(1);
            let Some((name, done)) = self.names.get(turn).zip(self.done.get(turn)) else {
                return Ok(());
            };
            if let Some(left) = due.checked_duration_since(Instant::now()) {
                monoio::time::sleep(left).await;
            }
            let bytes = self.one(&mut client, name).await?;
            self.bytes.set(self.bytes.get() + bytes);
            done.borrow_mut().done(1, due.elapsed(), Ok(()));
        }
    }

    async fn one(&self, client: &mut crate::http::Client, name: &str) -> Result<u64, String> {
        let random = self.random.borrow_mut().draw() >> 20;
        let Target { db, .. } = &self.target;
        let question = queries::question(self.language, name, db, &self.shape, random);
        let question = question.ok_or_else(|| format!("no question is called {name}"))?;
        let fields: Vec<_> = question.fields.iter().map(|(name, v)| (*name, v.as_str())).collect();
        Ok(client.form(question.path, &fields).await?.len() as u64)
    }
}

/// The names that were asked for.
///
/// # Errors
/// The data has no measurement `cpu`.
pub fn names(types: &[String], shape: &Shape) -> Result<Vec<String>, String> {
    if !queries::fits(shape) {
        return Err("the questions are about the workloads cpu and devops".to_owned());
    }
    Ok(match types {
        [] => queries::NAMES.iter().map(|name| (*name).to_owned()).collect(),
        some => some.to_vec(),
    })
}

/// Runs the command.
///
/// # Errors
/// The server cannot be reached or refuses a statement; a name that no question has.
pub async fn run(args: Args) -> Result<(), String> {
    let mut report = Report::new("query", Rc::new(Timeline::new(args.target.pid, true)));
    if !args.output.json {
        println!(
            "{:<24}{:>8}{:>10}{:>10}{:>10}{:>12}{:>12}",
            "query", "count", "p50 ms", "p99 ms", "mean ms", "CPU ms", "bytes"
        );
    }
    for name in names(&args.types, &args.shape)? {
        ask_many(&args, &name, &mut report).await?;
    }
    report.write_html(&args.output)
}

async fn ask_many(args: &Args, name: &str, report: &mut Report) -> Result<(), String> {
    let progress = Rc::new(RefCell::new(Progress::new(0, None)?));
    let asking = |count| {
        Rc::new(Asking {
            target: args.target.clone(),
            shape: args.shape.clone(),
            language: args.language,
            names: vec![name.to_owned()],
            rate: args.rate,
            count,
            end: Instant::now() + Duration::from_secs(args.seconds),
            done: vec![progress.clone()],
            bytes: Cell::new(0),
            asked: Cell::new(0),
            started: Instant::now(),
            random: RefCell::new(Random::new(args.shape.seed)),
        })
    };
    let stop = Rc::new(Cell::new(false));
    // The first one of a kind warms caches and is not counted.
    asking(1).ask(stop.clone()).await?;
    *progress.borrow_mut() = Progress::new(0, None)?;
    let before = args.target.usage()?;
    report.timeline.mark(name);
    let watch = report.timeline.clone().watch(progress.clone(), stop.clone());
    let watch = monoio::spawn(watch);
    let asking = asking(args.count);
    let lines = 0..args.connections.max(1);
    let lines: Vec<_> = lines.map(|_| monoio::spawn(asking.clone().ask(stop.clone()))).collect();
    for line in lines {
        line.await?;
    }
    let after = args.target.usage()?;
    stop.set(true);
    watch.await;
    let progress = progress.borrow();
    let count = progress.requests;
    let cpu_ms = before.zip(after).map_or(f64::NAN, |(before, after)| {
        (after.cpu_seconds - before.cpu_seconds) * 1e3 / count.max(1) as f64
    });
    let latency = &progress.latency_us;
    let (p50, p99, mean) = (ms(latency, 0.5), ms(latency, 0.99), latency.mean() / 1e3);
    let bytes = asking.bytes.get() / count.max(1);
    if args.output.json {
        let line = serde_json::json!({
            "query": name, "count": count, "p50_ms": p50, "p99_ms": p99, "mean_ms": mean,
            "cpu_ms": cpu_ms, "bytes": bytes,
        });
        println!("{line}");
    } else {
        println!("{name:<24}{count:>8}{p50:>10.2}{p99:>10.2}{mean:>10.2}{cpu_ms:>12.3}{bytes:>12}");
    }
    report.tables.push(Table::query(name, &progress, cpu_ms, bytes));
    report.latencies.push((name.to_owned(), latency.clone()));
    Ok(())
}
