//! `ringtail-load`: sends generated points to a server and says what that cost.
//!
//! In: what to send (hosts, fields, kind of values, batch) and where. Out: one line a second while
//! it runs, and at the end a table: values a second, server CPU-seconds per million values, bytes
//! the server wrote, latency percentiles. Bodies are made before the clock starts, so that the
//! generator costs little beside the server on the same machine.

mod client;
mod proc;
mod workload;

use clap::Parser;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use workload::{Kind, Protocol, Workload};

/// Command line.
#[derive(Parser, Clone)]
#[command(about = "Sends generated points to a server and says what that cost")]
struct Args {
    /// Address of the server's listener.
    #[arg(long, default_value = "127.0.0.1:8086")]
    address: String,
    /// influx (POST /write) or telnet (put).
    #[arg(long, default_value = "influx")]
    protocol: Protocol,
    /// Database of /write; made before the run.
    #[arg(long, default_value = "load")]
    db: String,
    /// float2 (random walk of two decimals), integer (random walk), gauge (slow integer).
    #[arg(long, default_value = "float2")]
    kind: Kind,
    #[arg(long, default_value_t = 4000)]
    hosts: u32,
    #[arg(long, default_value_t = 10)]
    fields: u32,
    /// Lines a request.
    #[arg(long, default_value_t = 5000)]
    batch: u32,
    /// Points of each host, one every 10 s of data time.
    #[arg(long, default_value_t = 360)]
    points: u32,
    #[arg(long, default_value_t = 4)]
    connections: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Process of the server, for CPU-seconds, memory and bytes written.
    #[arg(long)]
    pid: Option<u32>,
    /// Time of the first point (seconds since 1970).
    #[arg(long, default_value_t = 1_700_000_000)]
    start: i64,
}

/// What the connections report together.
struct Progress {
    values: u64,
    requests: u64,
    errors: u64,
    latency_us: hdrhistogram::Histogram<u64>,
}

fn main() -> Result<(), String> {
    let args = Args::parse();
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime does not start: {error}"))?;
    runtime.block_on(run(args))
}

async fn run(args: Args) -> Result<(), String> {
    if args.protocol == Protocol::Influx {
        client::create_database(&args.address, &args.db).await?;
    }
    let histogram = hdrhistogram::Histogram::new_with_bounds(1, 120_000_000, 3)
        .map_err(|error| error.to_string())?;
    let progress = Progress { values: 0, requests: 0, errors: 0, latency_us: histogram };
    let progress = Rc::new(RefCell::new(progress));
    let mut bodies = Workload::new(&args).bodies();
    let lines: u64 = bodies.iter().map(|body| u64::from(body.lines)).sum();
    let bytes: usize = bodies.iter().map(|body| body.bytes.len()).sum();
    println!("{} requests, {lines} lines, {} MB made", bodies.len(), bytes / 1_000_000);
    bodies.reverse();
    let bodies = Rc::new(RefCell::new(bodies));
    let before = args.pid.map(proc::read).transpose()?;
    let started = Instant::now();
    let senders: Vec<_> = (0..args.connections.max(1))
        .map(|_| monoio::spawn(client::send(args.clone(), bodies.clone(), progress.clone())))
        .collect();
    let ticker = monoio::spawn(report_each_second(progress.clone(), started));
    let mut failure = None;
    for sender in senders {
        if let Err(error) = sender.await {
            failure = Some(error);
        }
    }
    let elapsed = started.elapsed();
    drop(ticker);
    let after = args.pid.map(proc::read).transpose()?;
    print_result(&progress.borrow(), elapsed, before.zip(after));
    failure.map_or(Ok(()), Err)
}

async fn report_each_second(progress: Rc<RefCell<Progress>>, started: Instant) {
    let mut last = 0;
    loop {
        monoio::time::sleep(Duration::from_secs(1)).await;
        let progress = progress.borrow();
        let p99 = progress.latency_us.value_at_quantile(0.99) as f64 / 1e3;
        println!(
            "{:5.0} s  {:>10} values/s  p99 {p99:8.2} ms  {} errors",
            started.elapsed().as_secs_f64(),
            progress.values - last,
            progress.errors
        );
        last = progress.values;
    }
}

fn print_result(
    progress: &Progress,
    elapsed: Duration,
    server: Option<(proc::Usage, proc::Usage)>,
) {
    let values = progress.values as f64;
    let ms = |quantile: f64| progress.latency_us.value_at_quantile(quantile) as f64 / 1e3;
    println!("values               {:>14}", progress.values);
    println!("requests             {:>14}", progress.requests);
    println!("errors               {:>14}", progress.errors);
    println!("seconds              {:>14.2}", elapsed.as_secs_f64());
    println!("values/s             {:>14.0}", values / elapsed.as_secs_f64());
    println!("latency p50 ms       {:>14.2}", ms(0.5));
    println!("latency p99 ms       {:>14.2}", ms(0.99));
    println!("latency max ms       {:>14.2}", ms(1.0));
    if let Some((before, after)) = server {
        let cpu = after.cpu_seconds - before.cpu_seconds;
        println!("server CPU s         {cpu:>14.2}");
        println!("server CPU s/M values{:>14.3}", cpu / values * 1e6);
        let written = (after.write_bytes - before.write_bytes) as f64;
        println!("bytes written/value  {:>14.2}", written / values);
        println!("server RSS MB        {:>14.0}", after.rss_bytes as f64 / 1e6);
    }
}
