//! `ringtail-load`: sends generated points to a server, asks it the questions of dashboards, and
//! checks that what it acknowledged is there.
//!
//! In: a command and what to send or ask. Out: a line a second while it runs, and at the end a
//! table (or JSON, or a page with plots): values a second, server CPU-seconds per million values,
//! bytes written, latency percentiles. The same seed makes the same bytes, whatever the protocol.

mod asking;
mod data;
mod html;
mod http;
mod ingest;
mod ledger;
mod mixed;
mod proc;
mod progress;
mod queries;
mod query;
mod report;
mod send;
mod source;
mod stream;
mod target;
mod verify;
mod workload;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Command line.
#[derive(Parser)]
#[command(about = "Loads, asks and checks a time-series server", after_long_help = EXAMPLES)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples, all against a server on this machine:
  ringtail-load ingest --pid $(pgrep -x ringtail) --html report.html
      14.4 M values by line protocol as fast as answers come, and what that cost
  ringtail-load ingest --protocol graphite --address 127.0.0.1:2003 --hosts 100
      the same data as Graphite's lines; telnet, kairos and pickle have ports of their own
  ringtail-load ingest --rate 1000000 --seconds 60 --points 0
      a million values a second for a minute; a stall is charged to all requests that were due
  ringtail-load query --pid $(pgrep -x ringtail)
      TSBS's questions over what was loaded: give the same shape flags as to ingest
  ringtail-load mixed --workload iot --pid $(pgrep -x ringtail)
      what those questions do to the latency of ingest, and what they cost
  ringtail-load ingest --ledger L; kill -9 ...; ringtail-load verify --ledger L
      whether all that was acknowledged outlived the server
  ringtail-load data --workload iot --lines 3
      what would be sent";

#[derive(Subcommand)]
enum Command {
    /// Sends points and says what that cost the server.
    ///
    /// Without --rate each connection sends its next request when the last is answered (closed
    /// loop). With it requests are due at fixed times, and latency counts from then (open loop).
    Ingest(ingest::Args),
    /// Asks TSBS's questions over loaded data, one kind after the other.
    ///
    /// The workloads cpu and devops have eight, iot has twelve. The shape flags (--workload,
    /// --hosts, --points, --step, --start, --seed) must be those the data was loaded with.
    Query(query::Args),
    /// Loads, then sends at a fixed rate alone and beside queries, and compares the latencies.
    ///
    /// What a question costs is the server's processor time beside it, less what the ingest of
    /// that time took while nobody asked.
    Mixed(mixed::Args),
    /// Compares what is stored with what a ledger says was acknowledged.
    ///
    /// Ends with status 1 when an acknowledged value is missing or different.
    Verify(verify::Args),
    /// Shows what a workload is made of, without a server: counts, bytes, entropy, or lines.
    Data(data::Args),
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringtail-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), String> {
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime does not start: {error}"))?;
    runtime.block_on(async {
        match args.command {
            Command::Ingest(args) => ingest::run(args).await,
            Command::Query(args) => query::run(args).await,
            Command::Mixed(args) => mixed::run(args).await,
            Command::Verify(args) => verify::run(args).await,
            Command::Data(args) => data::run(&args),
        }
    })
}
