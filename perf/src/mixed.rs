//! `mixed`: what queries do to ingest, and ingest to queries.
//!
//! In: what to send and what to ask. Three phases: the points are loaded as fast as answers come;
//! later points follow at a fixed rate, alone; then as many again, while the questions go round in
//! a loop. Out: latency of ingest alone and beside queries and their ratio, latency of each
//! question. The rate is fixed, so both phases ask the same of the server.

use crate::progress::{Progress, Timeline, ms};
use crate::queries::Language;
use crate::query::{self, Asking};
use crate::report::{Output, Report, Table};
use crate::send::{Done, Flags, Pace, Sender};
use crate::target::Target;
use crate::workload::{Random, Shape};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Flags of `mixed`.
#[derive(Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    flags: Flags,
    /// Values a second of the two phases that are compared; 0 = as fast as answers come.
    #[arg(long, default_value_t = 500_000)]
    rate: u64,
    /// Seconds of each of the two.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Questions to ask, a comma list of TSBS's names; all of them when not given.
    #[arg(long, value_delimiter = ',')]
    types: Vec<String>,
    /// What the server understands.
    #[arg(long, value_enum, default_value = "influxql")]
    language: Language,
    #[arg(long, default_value_t = 1)]
    query_connections: usize,
    /// The points are there already.
    #[arg(long)]
    no_load: bool,
    #[command(flatten)]
    output: Output,
}

/// Runs the command.
///
/// # Errors
/// The server cannot be reached, closed a connection or refuses a statement.
pub async fn run(args: Args) -> Result<(), String> {
    let names = query::names(&args.types, &args.flags.shape)?;
    let (flags, target) = (&args.flags, &args.target);
    flags.prepare_server(target).await?;
    let batch = flags.batch.unwrap_or(1000);
    let timeline = Rc::new(Timeline::new(target.pid, args.output.json));
    let mut report = Report::new("mixed", timeline.clone());
    let mut failures = Vec::new();
    if !args.no_load {
        let sender = Rc::new(Sender::new(target, flags, batch, None));
        failures.extend(phase(&sender, Pace::default(), "load", &mut report).await?.failure);
    }
    let flags = Flags { shape: later(&flags.shape, args.rate * 2 * args.seconds), ..flags.clone() };
    let sender = Rc::new(Sender::new(target, &flags, batch, None));
    let pace = Pace { rate: args.rate, seconds: Some(args.seconds) };
    let alone = phase(&sender, pace, "ingest alone", &mut report).await?;
    let asking = asking(&args, names)?;
    let stop = Rc::new(Cell::new(false));
    let lines = 0..args.query_connections.max(1);
    let lines: Vec<_> = lines.map(|_| monoio::spawn(asking.clone().ask(stop.clone()))).collect();
    let name = "ingest beside queries";
    let beside = phase(&sender, pace, name, &mut report).await?;
    stop.set(true);
    for line in lines {
        failures.extend(line.await.err());
    }
    report.tables.push(questions(&asking));
    for (name, done) in asking.names.iter().zip(&asking.done) {
        report.latencies.push((name.clone(), done.borrow().latency_us.clone()));
    }
    report.tables.push(ratio(&alone.progress, &beside.progress));
    report.give(&args.output)?;
    for done in [alone, beside] {
        done.progress.first_error.iter().for_each(|error| eprintln!("first error: {error}"));
        failures.extend(done.failure);
    }
    failures.into_iter().next().map_or(Ok(()), Err)
}

/// The same hosts from where the loaded points end, for at least so many values (0 = no end).
fn later(shape: &Shape, values: u64) -> Shape {
    let per_point = Shape { points: 1, ..shape.clone() }.values().max(1);
    let points = match values {
        0 => 0,
        // The last request may be a whole one more a connection.
        values => u32::try_from(values * 11 / 10 / per_point + 2).unwrap_or(0),
    };
    let start = shape.start + i64::from(shape.points) * shape.step;
    Shape { points, start, ..shape.clone() }
}

async fn phase(
    sender: &Rc<Sender>,
    pace: Pace,
    name: &str,
    report: &mut Report,
) -> Result<Done, String> {
    report.timeline.mark(name);
    let done = sender.run(pace, &report.timeline).await?;
    report.tables.push(Table::ingest(name, &done));
    report.latencies.push((name.to_owned(), done.progress.latency_us.clone()));
    Ok(done)
}

fn asking(args: &Args, names: Vec<String>) -> Result<Rc<Asking>, String> {
    let done = || Ok(Rc::new(RefCell::new(Progress::new(0, None)?)));
    Ok(Rc::new(Asking {
        target: args.target.clone(),
        shape: args.flags.shape.clone(),
        language: args.language,
        done: names.iter().map(|_| done()).collect::<Result<_, String>>()?,
        names,
        rate: 0.0,
        count: u64::MAX,
        end: Instant::now() + Duration::from_secs(args.seconds * 10),
        bytes: Cell::new(0),
        asked: Cell::new(0),
        started: Instant::now(),
        random: RefCell::new(Random::new(args.flags.shape.seed)),
    }))
}

fn questions(asking: &Asking) -> Table {
    let mut table = Table::new("queries beside ingest");
    for (name, done) in asking.names.iter().zip(&asking.done) {
        let done = done.borrow();
        table.row(&format!("{name} count"), done.requests as f64, 0);
        for (quantile, share) in [("p50", 0.5), ("p99", 0.99)] {
            table.row(&format!("{name} {quantile} ms"), ms(&done.latency_us, share), 2);
        }
    }
    table
}

fn ratio(alone: &Progress, beside: &Progress) -> Table {
    let of =
        |quantile| ms(&beside.latency_us, quantile) / ms(&alone.latency_us, quantile).max(1e-3);
    let mut table = Table::new("ingest latency beside queries, times that alone");
    table.row("p50 ratio", of(0.5), 2);
    table.row("p99 ratio", of(0.99), 2);
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::shape;

    #[test]
    fn the_later_points_follow_the_loaded_ones_and_last_long_enough() {
        let shape = shape("--hosts 10 --points 100 --step 10 --start 1000");
        let later = later(&shape, 100_000);
        assert_eq!(later.start, 1000 + 100 * 10);
        assert!(later.values() >= 100_000 && later.values() < 120_000);
        assert_eq!(super::later(&shape, 0).points, 0);
    }

    #[test]
    fn the_ratio_is_of_the_same_quantile() {
        let mut phases = [Progress::new(0, None).unwrap(), Progress::new(0, None).unwrap()];
        for (factor, progress) in phases.iter_mut().enumerate() {
            for n in 1..=100 {
                progress.done(1, Duration::from_millis(n * (1 + factor as u64)), Ok(()));
            }
        }
        let table = ratio(&phases[0], &phases[1]);
        assert!(table.rows.iter().all(|(_, value, _)| (1.98..2.02).contains(value)));
    }
}
