//! `mixed`: what queries do to ingest, and ingest to queries.
//!
//! In: what to send and what to ask. Three phases: the points are loaded as fast as answers come;
//! later points follow at a fixed rate, alone; then as many again, while the questions go round in
//! a loop. Out: latency of ingest alone and beside queries and their ratio, latency and cost of
//! each question. The rate is fixed, so both phases ask the same of the server.

use crate::asking::{Asking, Meter};
use crate::progress::{Timeline, ms};
use crate::queries::Language;
use crate::query;
use crate::report::{Output, Report, Table};
use crate::send::{Done, Flags, Pace, Sender};
use crate::target::Target;
use crate::workload::Shape;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

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
    /// Connections that ask side by side; with more than one the cost of each question is unknown.
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
    let mut phases = Vec::new();
    if !args.no_load {
        let sender = Rc::new(Sender::new(target, flags, batch, None));
        phases.push(phase(&sender, Pace::default(), "load", &mut report).await?);
    }
    let flags = Flags { shape: later(&flags.shape, args.rate * 2 * args.seconds), ..flags.clone() };
    let sender = Rc::new(Sender::new(target, &flags, batch, None));
    let pace = Pace { rate: args.rate, seconds: Some(args.seconds) };
    let alone = phase(&sender, pace, "alone", &mut report).await?;
    let mut asking = asking(&args, names)?;
    asking.meter = meter(target, &alone, &sender);
    let asking = Rc::new(asking);
    let before = asking.meter.as_ref().map_or(f64::NAN, Meter::read);
    let stop = Rc::new(Cell::new(false));
    let lines = 0..args.query_connections.max(1);
    let lines: Vec<_> = lines.map(|_| monoio::spawn(asking.clone().ask(stop.clone()))).collect();
    let beside = phase(&sender, pace, "beside queries", &mut report).await?;
    stop.set(true);
    let mut failures = Vec::new();
    for line in lines {
        failures.extend(line.await.err());
    }
    let cpu_seconds = asking.meter.as_ref().map_or(f64::NAN, Meter::read) - before;
    phases.extend([alone, beside]);
    tell(&mut report, &phases, &asking, cpu_seconds, args.query_connections <= 1);
    report.give(&args.output)?;
    for done in phases {
        done.progress.first_error.iter().for_each(|error| eprintln!("first error: {error}"));
        failures.extend(done.failure);
    }
    failures.into_iter().next().map_or(Ok(()), Err)
}

/// The server's processor time less what a value took while nobody asked.
fn meter(target: &Target, alone: &Done, sender: &Sender) -> Option<Meter> {
    let (before, after) = alone.server?;
    let values = alone.progress.values.max(1) as f64;
    Some(Meter {
        pid: target.pid?,
        seconds_a_value: (after.cpu_seconds - before.cpu_seconds) / values,
        accepted: sender.accepted.clone(),
    })
}

/// The same hosts from where the loaded points end, for at least so many values (0 = no end).
fn later(shape: &Shape, values: u64) -> Shape {
    let start = shape.start + i64::from(shape.points) * shape.step;
    Shape { points: shape.points_for(values), start, ..shape.clone() }
}

async fn phase(
    sender: &Rc<Sender>,
    pace: Pace,
    name: &str,
    report: &mut Report,
) -> Result<Done, String> {
    report.timeline.mark(name);
    let done = sender.run(pace, &report.timeline).await?;
    report.latencies.push((format!("ingest, {name}"), done.progress.latency_us.clone()));
    Ok(done)
}

fn asking(args: &Args, names: Vec<String>) -> Result<Asking, String> {
    // The phase ends it; a statement that hangs does not keep it for ever.
    let time = Duration::from_secs(args.seconds * 10);
    Asking::new(&args.target, &args.flags.shape, args.language, names, time)
}

/// Fills the report; the last two phases are those that are compared.
fn tell(report: &mut Report, phases: &[Done], asking: &Asking, cpu_seconds: f64, alone: bool) {
    let names = ["beside queries", "alone", "load"];
    let tables = phases.iter().rev().zip(names).map(|(done, name)| Table::ingest(name, done));
    let mut tables: Vec<Table> = tables.collect();
    tables.reverse();
    if let [.., before, after] = tables.as_slice() {
        let ratio = ratio(before, after);
        report.headlines_of(after);
        report.headline("p99 beside queries : alone", ratio.value("latency p99 ms"), 2, "");
        tables.push(ratio);
    }
    report.tables.push(Table::beside("ingest", &tables));
    let count = asking.asked.iter().map(|asked| asked.count()).sum::<u64>();
    let each_ms = cpu_seconds * 1e3 / count.max(1) as f64;
    report.tables.push(questions(asking, count, each_ms, alone));
    report.headline("CPU a question", each_ms, 2, " ms");
    if !each_ms.is_nan() {
        report.notes.push(
            "CPU ms is the server's processor time while a question was asked, less what the \
             values accepted\nmeanwhile cost when nobody asked. Flushing and merging fall where \
             they fall: few questions, a rough figure."
                .to_owned(),
        );
    }
    report.notes.extend(asking.asked.iter().filter_map(|asked| asked.note()));
    for asked in &asking.asked {
        report.latencies.push((asked.name.clone(), asked.done.borrow().latency_us.clone()));
    }
}

/// What was asked; CPU of each only where one connection asked at a time.
fn questions(asking: &Asking, count: u64, each_ms: f64, alone: bool) -> Table {
    let mut table = Table::of("queries beside ingest", &["count", "p50 ms", "p99 ms", "CPU ms"]);
    for asked in &asking.asked {
        let (done, of_kind) = (asked.done.borrow(), asked.count());
        let known = asking.meter.is_some() && alone && of_kind > 0;
        let cpu_ms = asked.cpu_seconds.get() * 1e3 / of_kind as f64;
        let cells = [
            (of_kind as f64, 0),
            (ms(&done.latency_us, 0.5), 2),
            (ms(&done.latency_us, 0.99), 2),
            (if known { cpu_ms } else { f64::NAN }, 2),
        ];
        table.cells(&asked.name, cells.to_vec());
    }
    table.cells("all", vec![(count as f64, 0), (f64::NAN, 0), (f64::NAN, 0), (each_ms, 2)]);
    table
}

/// Latencies beside queries, times those alone.
fn ratio(alone: &Table, beside: &Table) -> Table {
    let mut table = Table::new("ratio");
    for row in &alone.rows {
        let (before, after) = (alone.value(&row.name), beside.value(&row.name));
        if row.name.starts_with("latency") && before > 0.0 {
            table.row(&row.name, after / before, 2);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;
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
        let phase = |factor: u64| {
            let mut progress = Progress::new(0, None).unwrap();
            for n in 1..=100 {
                progress.done(1, Duration::from_millis(n * factor), Ok(()));
            }
            let elapsed = Duration::from_secs(1);
            Table::ingest("phase", &Done { progress, elapsed, server: None, failure: None })
        };
        let table = ratio(&phase(1), &phase(2));
        assert_eq!(table.rows.len(), 5);
        assert!(table.rows.iter().all(|row| (1.98..2.02).contains(&row.cells[0].0)));
    }
}
