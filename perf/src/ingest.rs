//! `ingest`: sends points and measures.
//!
//! In: what to send and where. Out: a line a second, then the summary.

use crate::ledger::Ledger;
use crate::progress::Timeline;
use crate::report::{Output, Report, Table};
use crate::send::{Flags, Pace, Sender};
use crate::target::Target;
use crate::workload::encode::Protocol;
use std::path::PathBuf;
use std::rc::Rc;

/// Flags of `ingest`.
#[derive(Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    flags: Flags,
    /// Values a second, together; 0 = as fast as answers come.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Stop after so many seconds, if the points last so long.
    #[arg(long)]
    seconds: Option<u64>,
    /// File that notes each acknowledged request, for `verify` (influx and kairos).
    #[arg(long)]
    ledger: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Runs the command.
///
/// # Errors
/// The server cannot be reached, closed a connection, or the ledger cannot be written.
pub async fn run(args: Args) -> Result<(), String> {
    let Args { target, output, .. } = &args;
    let mut flags = args.flags.clone();
    if flags.shape.points == 0 {
        // Points without end are made ready only as far as the time lasts.
        flags.shape.points =
            flags.shape.points_for(args.rate.saturating_mul(args.seconds.unwrap_or(0)));
    }
    let flags = &flags;
    flags.prepare_server(target).await?;
    let batch = flags.batch.unwrap_or(5000);
    let ledger = match &args.ledger {
        Some(_) if !matches!(flags.protocol, Protocol::Influx | Protocol::Kairos) => {
            return Err("only influx and kairos acknowledge what is noted in a ledger".to_owned());
        }
        Some(path) => Some(Ledger::create(path, flags, batch, &target.db)?),
        None => None,
    };
    let sender = Rc::new(Sender::new(target, flags, batch, ledger));
    let timeline = Rc::new(Timeline::new(target.pid, output.json));
    let pace = Pace { rate: args.rate, seconds: args.seconds };
    let done = sender.run(pace, &timeline).await?;
    let mut report = Report::new("ingest", timeline);
    let table = Table::ingest("ingest", &done);
    report.headlines_of(&table);
    report.tables.push(table);
    report.latencies.push(("ingest".to_owned(), done.progress.latency_us.clone()));
    report.give(output)?;
    if let Some(error) = &done.progress.first_error {
        eprintln!("first error: {error}");
    }
    done.failure.map_or(Ok(()), Err)
}
