//! `verify`: whether everything a ledger calls acknowledged is stored, with its value.
//!
//! In: a ledger, from which the rows are made again. Out: the number of values that are missing or
//! different; an error when there are any. What was sent and not acknowledged may be there or not.

use crate::http::Client;
use crate::ledger;
use crate::workload::{Value, Workload};
use std::collections::HashMap;
use std::path::PathBuf;

/// Flags of `verify`.
#[derive(Clone, clap::Args)]
pub struct Args {
    /// Address of the server's HTTP listener.
    #[arg(long, default_value = "127.0.0.1:8086")]
    address: String,
    /// The ledger that `ingest --ledger` wrote.
    #[arg(long)]
    ledger: PathBuf,
}

/// Values that must be there, by host: (seconds, field) to value.
type Expected = HashMap<u32, HashMap<(i64, usize), f64>>;

/// Runs the command.
///
/// # Errors
/// Something acknowledged is missing or different; the server or the ledger cannot be read.
pub async fn run(args: Args) -> Result<(), String> {
    let ledger = ledger::read(&args.ledger)?;
    let mut workload = Workload::new(&ledger.shape);
    let (mut expected, mut rows, mut names) = (Expected::new(), 0u64, Vec::new());
    while let Some(row) = workload.row() {
        let request = rows / u64::from(ledger.batch.max(1));
        rows += 1;
        if !ledger.acknowledged.contains(&request) {
            continue;
        }
        let cells = expected.entry(row.host).or_default();
        for (at, value) in row.values.iter().enumerate() {
            let value = match value {
                Value::Hundredths(value) => *value as f64 / 100.0,
                Value::Double(value) => *value,
                Value::Integer(value) => *value as f64,
            };
            cells.insert((row.seconds, at), value);
        }
        if names.is_empty() {
            names = row.names.to_vec();
        }
    }
    let mut client = Client::connect(&args.address).await?;
    let (mut checked, mut missing) = (0, 0);
    for (host, cells) in expected {
        checked += cells.len();
        let found = stored(&mut client, &ledger.db, host, &names).await?;
        missing += cells.iter().filter(|(cell, value)| found.get(cell) != Some(value)).count();
    }
    println!("{checked} acknowledged values, {missing} missing or different");
    if missing > 0 { Err(format!("{missing} acknowledged values are lost")) } else { Ok(()) }
}

async fn stored(
    client: &mut Client,
    db: &str,
    host: u32,
    names: &[String],
) -> Result<HashMap<(i64, usize), f64>, String> {
    let statement = format!("SELECT {} FROM cpu WHERE hostname = 'host_{host}'", names.join(", "));
    let body = client.ask(db, &statement).await?;
    let answer: serde_json::Value =
        serde_json::from_slice(&body).map_err(|error| format!("the answer: {error}"))?;
    let rows = answer.pointer("/results/0/series/0/values").and_then(|rows| rows.as_array());
    let mut cells = HashMap::new();
    for row in rows.into_iter().flatten().filter_map(|row| row.as_array()) {
        let time = row.first().and_then(serde_json::Value::as_i64).unwrap_or(0) / 1_000_000_000;
        for (at, value) in row.iter().skip(1).enumerate() {
            value.as_f64().map(|value| cells.insert((time, at), value));
        }
    }
    Ok(cells)
}
