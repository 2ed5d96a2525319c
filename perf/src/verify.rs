//! `verify`: whether everything a ledger calls acknowledged is stored, with its value.
//!
//! In: a ledger, from which the rows are made again. Out: the number of values that are missing or
//! different; an error when there are any. What was sent and not acknowledged may be there or not.

use crate::http::Client;
use crate::ledger::{self, Ledgered};
use crate::target::Target;
use crate::workload::encode::Protocol;
use crate::workload::{Schema, Workload};
use std::collections::HashMap;
use std::path::PathBuf;

/// Flags of `verify`.
#[derive(Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// The ledger that `ingest --ledger` wrote.
    #[arg(long)]
    ledger: PathBuf,
}

/// Values of one host in one measurement: (seconds, field) to value.
type Cells = HashMap<(i64, usize), f64>;

/// Runs the command.
///
/// # Errors
/// Something acknowledged is missing or different; the server or the ledger cannot be read.
pub async fn run(args: Args) -> Result<(), String> {
    let ledger = ledger::read(&args.ledger)?;
    let schema = Schema::new(&ledger.shape);
    let mut client = args.target.client().await?;
    let (mut checked, mut missing) = (0, 0);
    for ((host, nth), cells) in expected(&ledger) {
        checked += cells.len();
        let found = stored(&mut client, &ledger, &schema, host, nth).await?;
        missing += cells.iter().filter(|(cell, value)| found.get(cell) != Some(value)).count();
    }
    println!("{checked} acknowledged values, {missing} missing or different");
    if missing > 0 { Err(format!("{missing} acknowledged values are lost")) } else { Ok(()) }
}

/// What must be there, by host and measurement.
fn expected(ledger: &Ledgered) -> HashMap<(u32, usize), Cells> {
    let mut workload = Workload::new(&ledger.shape);
    let (mut expected, mut rows) = (HashMap::<_, Cells>::new(), 0u64);
    let last = ledger.acknowledged.last().copied().unwrap_or(0);
    while let Some(row) = workload.row() {
        let request = rows / u64::from(ledger.batch.max(1));
        rows += 1;
        if request > last {
            break;
        }
        if ledger.acknowledged.contains(&request) {
            let cells = expected.entry((row.host, row.nth)).or_default();
            let values = row.values.iter().enumerate();
            cells.extend(values.map(|(at, value)| ((row.seconds, at), value.as_f64())));
        }
    }
    expected
}

/// What is there. KairosDB's metrics are a measurement each, of the field `value`.
async fn stored(
    client: &mut Client,
    ledger: &Ledgered,
    schema: &Schema,
    host: u32,
    nth: usize,
) -> Result<Cells, String> {
    let measurement = schema.measurements.get(nth).ok_or("no such measurement")?;
    let (name, fields) = (&measurement.name, &measurement.fields);
    let asked: Vec<(String, String)> = match ledger.protocol {
        Protocol::Kairos => {
            fields.iter().map(|field| (format!("{name}.{field}"), "value".to_owned())).collect()
        }
        _ => {
            let list: Vec<_> = fields.iter().map(|field| format!("\"{field}\"")).collect();
            vec![(name.clone(), list.join(", "))]
        }
    };
    let mut cells = Cells::new();
    for (first, (from, list)) in asked.iter().enumerate() {
        let statement = format!(
            "SELECT {list} FROM \"{from}\" WHERE \"{}\" = '{}'",
            schema.host_tag,
            schema.host_name(host)
        );
        let body = client.ask(&ledger.db, &statement).await?;
        let answer: serde_json::Value =
            serde_json::from_slice(&body).map_err(|error| format!("the answer: {error}"))?;
        let rows = answer.pointer("/results/0/series/0/values").and_then(|rows| rows.as_array());
        for row in rows.into_iter().flatten().filter_map(|row| row.as_array()) {
            let time = row.first().and_then(serde_json::Value::as_i64).unwrap_or(0) / 1_000_000_000;
            for (at, value) in row.iter().skip(1).enumerate() {
                value.as_f64().map(|value| cells.insert((time, first + at), value));
            }
        }
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::shape;

    #[test]
    fn what_was_acknowledged_is_expected_and_nothing_else() {
        let shape = shape("--workload devops --hosts 3 --points 4 --duplicates 0.3");
        let rows = {
            let mut workload = Workload::new(&shape);
            std::iter::from_fn(|| workload.row().map(|row| (row.host, row.nth, row.seconds)))
                .collect::<Vec<_>>()
        };
        let ledger = Ledgered {
            protocol: Protocol::Influx,
            batch: 10,
            db: "d".to_owned(),
            acknowledged: [0, 2].into(),
            shape,
        };
        let expected = expected(&ledger);
        let wanted = rows.iter().take(10).chain(rows.iter().skip(20).take(10));
        let mut seen = 0;
        for (host, nth, seconds) in wanted {
            assert!(expected[&(*host, *nth)].contains_key(&(*seconds, 0)));
            seen += 1;
        }
        let stored: usize = expected
            .values()
            .map(|cells| cells.keys().filter(|(_, field)| *field == 0).count())
            .sum();
        assert!(seen == 20 && stored <= 20 && stored > 10);
    }
}
