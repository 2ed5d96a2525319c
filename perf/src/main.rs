//! `ringtail-load`: sends generated points to a server, asks it the questions of dashboards, and
//! checks that what it acknowledged is there.
//!
//! In: a command and what to send or ask. Out: a line a second while it runs, and at the end a
//! table (or JSON, or a page with plots): values a second, server CPU-seconds per million values,
//! bytes written, latency percentiles. The same seed makes the same bytes, whatever the protocol.

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

/// Command line.
#[derive(Parser)]
#[command(about = "Loads, asks and checks a time-series server")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sends points and says what that cost the server.
    Ingest(ingest::Args),
    /// Asks the eight questions of the TSBS devops set over loaded data.
    Query(query::Args),
    /// Loads, then sends at a fixed rate alone and beside queries, and compares the latencies.
    Mixed(mixed::Args),
    /// Compares what is stored with what a ledger says was acknowledged.
    Verify(verify::Args),
}

fn main() -> Result<(), String> {
    let args = Args::parse();
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
        }
    })
}
