//! `query`: asks the TSBS questions and measures time and server CPU of each.
//!
//! In: the shape of the loaded data. Out: a line per question: latency percentiles, CPU
//! milliseconds a query, bytes of the answers.

use crate::http::Client;
use crate::proc;
use crate::queries;
use crate::workload::Shape;
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// Flags of `query`.
#[derive(Clone, clap::Args)]
pub struct Args {
    /// Address of the server's HTTP listener.
    #[arg(long, default_value = "127.0.0.1:8086")]
    address: String,
    #[arg(long, default_value = "load")]
    db: String,
    #[command(flatten)]
    shape: Shape,
    /// Questions to ask, a comma list of TSBS's names; all of them when not given.
    #[arg(long, value_delimiter = ',')]
    types: Vec<String>,
    /// At most so many queries of each.
    #[arg(long, default_value_t = 200)]
    count: u64,
    /// At most so many seconds for each.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Process of the server, for CPU.
    #[arg(long)]
    pid: Option<u32>,
    /// One JSON object a line instead of the table.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The server cannot be reached or refuses a statement; a name that no question has.
pub async fn run(args: Args) -> Result<(), String> {
    let mut client = Client::connect(&args.address).await?;
    let names: Vec<String> = match args.types.is_empty() {
        true => queries::NAMES.iter().map(|name| (*name).to_owned()).collect(),
        false => args.types.clone(),
    };
    if !args.json {
        println!(
            "{:<24}{:>8}{:>10}{:>10}{:>10}{:>12}{:>12}",
            "query", "count", "p50 ms", "p99 ms", "mean ms", "CPU ms", "bytes"
        );
    }
    for name in names {
        ask_many(&args, &mut client, &name).await?;
    }
    Ok(())
}

async fn ask_many(args: &Args, client: &mut Client, name: &str) -> Result<(), String> {
    let mut latency: Histogram<u64> =
        Histogram::new_with_bounds(1, 600_000_000, 3).map_err(|error| error.to_string())?;
    let mut random = args.shape.seed;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        random >> 20
    };
    let statement = |random| {
        let found = queries::statement(name, &args.shape, random);
        found.ok_or_else(|| format!("no question is called {name}"))
    };
    // The first one of a kind warms caches and is not counted.
    client.ask(&args.db, &statement(next())?).await?;
    let before = args.pid.map(proc::read).transpose()?;
    let (started, mut bytes, mut count) = (Instant::now(), 0, 0u64);
    while count < args.count && started.elapsed() < Duration::from_secs(args.seconds) {
        let text = statement(next())?;
        let began = Instant::now();
        bytes += client.ask(&args.db, &text).await?.len();
        latency.saturating_record((began.elapsed().as_micros() as u64).max(1));
        count += 1;
    }
    let after = args.pid.map(proc::read).transpose()?;
    let cpu_ms = before.zip(after).map_or(f64::NAN, |(before, after)| {
        (after.cpu_seconds - before.cpu_seconds) * 1e3 / count.max(1) as f64
    });
    let (p50, p99) = (latency.value_at_quantile(0.5), latency.value_at_quantile(0.99));
    let (p50, p99, mean) = (p50 as f64 / 1e3, p99 as f64 / 1e3, latency.mean() / 1e3);
    let bytes = bytes / count.max(1) as usize;
    if args.json {
        let line = serde_json::json!({
            "query": name, "count": count, "p50_ms": p50, "p99_ms": p99, "mean_ms": mean,
            "cpu_ms": cpu_ms, "bytes": bytes,
        });
        println!("{line}");
    } else {
        println!("{name:<24}{count:>8}{p50:>10.2}{p99:>10.2}{mean:>10.2}{cpu_ms:>12.3}{bytes:>12}");
    }
    Ok(())
}
