//! `query`: asks the TSBS questions and measures time and server CPU of each.
//!
//! In: the shape of the loaded data. Out: a line per question: latency percentiles, CPU
//! milliseconds a query, bytes of the answers.

use crate::asking::{Asked, Asking};
use crate::progress::{Timeline, ms};
use crate::queries::{self, Language};
use crate::report::{Output, Report, Table, number};
use crate::target::Target;
use crate::workload::Shape;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

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
    /// Connections that ask side by side.
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Queries a second, together; 0 = the next when the last is answered.
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    #[command(flatten)]
    output: Output,
}

const COLUMNS: [&str; 6] = ["count", "p50 ms", "p99 ms", "mean ms", "CPU ms", "bytes"];

/// The names that were asked for.
///
/// # Errors
/// There are no questions about the data, or none of such a name.
pub fn names(types: &[String], shape: &Shape) -> Result<Vec<String>, String> {
    let known = queries::names(shape);
    if known.is_empty() {
        return Err("the questions are about the workloads cpu, devops and iot".to_owned());
    }
    if let Some(name) = types.iter().find(|name| !known.contains(&name.as_str())) {
        let known = known.join(", ");
        return Err(format!("no question about this workload is called {name}; there are {known}"));
    }
    Ok(match types {
        [] => known.iter().map(|name| (*name).to_owned()).collect(),
        some => some.to_vec(),
    })
}

/// Runs the command.
///
/// # Errors
/// The server cannot be reached or refuses a statement; a name that no question has.
pub async fn run(args: Args) -> Result<(), String> {
    let names = names(&args.types, &args.shape)?;
    let mut report = Report::new("query", Rc::new(Timeline::new(args.target.pid, true)));
    let wide = names.iter().map(String::len).max().unwrap_or(0) + 2;
    if !args.output.json {
        let heads = COLUMNS.map(|name| format!("{name:>10}"));
        println!("{:<wide$}{}", "query", heads.concat());
    }
    let mut table = Table::of("queries", &COLUMNS);
    for name in names {
        let (asked, cpu_ms) = ask_many(&args, &name, &mut report).await?;
        let progress = asked.done.borrow();
        let (count, latency) = (asked.count(), &progress.latency_us);
        let (p50, p99, mean) = (ms(latency, 0.5), ms(latency, 0.99), latency.mean() / 1e3);
        let bytes = asked.bytes.get() / count.max(1);
        let cells =
            [(count as f64, 0), (p50, 2), (p99, 2), (mean, 2), (cpu_ms, 3), (bytes as f64, 0)];
        if args.output.json {
            let line = serde_json::json!({
                "query": name, "count": count, "p50_ms": p50, "p99_ms": p99, "mean_ms": mean,
                "cpu_ms": cpu_ms, "bytes": bytes, "empty": asked.empty.get(),
            });
            println!("{line}");
        } else {
            let shown = cells.map(|(value, digits)| format!("{:>10}", number(value, digits)));
            println!("{name:<wide$}{}", shown.concat());
        }
        table.cells(&name, cells.to_vec());
        report.notes.extend(asked.note());
        report.latencies.push((name, latency.clone()));
    }
    report.notes.iter().for_each(|note| eprintln!("{note}"));
    report.tables.push(table);
    report.write_html(&args.output)
}

/// Asks one question many times; server CPU in ms a query, no number where it is not known.
async fn ask_many(args: &Args, name: &str, report: &mut Report) -> Result<(Asked, f64), String> {
    let asking = |count| -> Result<Rc<Asking>, String> {
        let time = Duration::from_secs(args.seconds);
        let names = vec![name.to_owned()];
        let mut asking = Asking::new(&args.target, &args.shape, args.language, names, time)?;
        (asking.rate, asking.count) = (args.rate, count);
        Ok(Rc::new(asking))
    };
    let stop = Rc::new(Cell::new(false));
    // The first one of a kind warms caches and is not counted.
    asking(1)?.ask(stop.clone()).await?;
    let asking = asking(args.count)?;
    let progress = asking.asked.first().ok_or("no question")?.done.clone();
    let before = args.target.usage()?;
    report.timeline.mark(name);
    let watch = monoio::spawn(report.timeline.clone().watch(progress, stop.clone()));
    let lines = 0..args.connections.max(1);
    let lines: Vec<_> = lines.map(|_| monoio::spawn(asking.clone().ask(stop.clone()))).collect();
    for line in lines {
        line.await?;
    }
    let after = args.target.usage()?;
    stop.set(true);
    watch.await;
    let asking = Rc::into_inner(asking).ok_or("a connection is still asking")?;
    let asked = asking.asked.into_iter().next().ok_or("no question")?;
    let cpu_ms = before.zip(after).map_or(f64::NAN, |(before, after)| {
        (after.cpu_seconds - before.cpu_seconds) * 1e3 / asked.count().max(1) as f64
    });
    Ok((asked, cpu_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::shape;

    #[test]
    fn names_are_those_of_the_workload() {
        let of = |types: &[&str], flags: &str| {
            names(&types.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), &shape(flags))
        };
        assert_eq!(of(&[], "").unwrap().len(), 8);
        assert_eq!(of(&["last-loc"], "--workload iot").unwrap(), ["last-loc"]);
        assert!(of(&["last-loc"], "").unwrap_err().contains("lastpoint"));
        assert!(of(&[], "--workload gauges").is_err());
    }
}
