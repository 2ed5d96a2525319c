//! The ledger of a run: which requests were acknowledged.
//!
//! A file of lines: the first says how to make the requests again, each further one is the number
//! of an acknowledged request. A number is written after its answer came, so what the file names
//! was acknowledged; the process may be killed at any time.

use crate::send::Flags;
use crate::workload::encode::Protocol;
use crate::workload::{Kind, Set, Shape, Steps};
use clap::ValueEnum;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

/// A ledger being written.
pub struct Ledger(File);

/// A ledger that was read.
#[derive(PartialEq, Debug)]
pub struct Ledgered {
    pub protocol: Protocol,
    pub shape: Shape,
    pub batch: u32,
    pub db: String,
    pub acknowledged: BTreeSet<u64>,
}

impl Ledger {
    /// Begins a ledger.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path, flags: &Flags, batch: u32, db: &str) -> Result<Ledger, String> {
        Ledger::begin(path, &head(flags.protocol, &flags.shape, batch, db))
    }

    fn begin(path: &Path, head: &Value) -> Result<Ledger, String> {
        let fail = |error| format!("{}: {error}", path.display());
        let mut file = File::create(path).map_err(fail)?;
        writeln!(file, "{head}").map_err(fail)?;
        Ok(Ledger(file))
    }

    /// Notes an acknowledged request.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note(&mut self, number: u64) -> Result<(), String> {
        writeln!(self.0, "{number}").map_err(|error| format!("the ledger: {error}"))
    }
}

/// The name a user gives a choice.
fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn head(protocol: Protocol, shape: &Shape, batch: u32, db: &str) -> Value {
    // KairosDB's door has a database of its own.
    let db = if protocol == Protocol::Kairos { "kairosdb" } else { db };
    serde_json::json!({
        "protocol": name(&protocol), "batch": batch, "db": db,
        "workload": name(&shape.workload), "kind": name(&shape.kind),
        "steps": name(&shape.steps), "hosts": shape.hosts, "fields": shape.fields, "points": shape.points, "step": shape.step, "start": shape.start,
        "seed": shape.seed, "out_of_order": shape.out_of_order, "duplicates": shape.duplicates,
        "churn": shape.churn,
    })
}

/// Reads a ledger; a last line that was cut is left out.
///
/// # Errors
/// The file cannot be read or is no ledger.
pub fn read(path: &Path) -> Result<Ledgered, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let bad = || format!("{} is no ledger", path.display());
    let mut reader = BufReader::new(file);
    let mut line = String::new();
    reader.read_line(&mut line).map_err(|_| bad())?;
    let head: Value = serde_json::from_str(&line).map_err(|_| bad())?;
    let mut acknowledged = BTreeSet::new();
    loop {
        line.clear();
        let read = reader.read_line(&mut line).map_err(|_| bad())?;
        if read == 0 || !line.ends_with('\n') {
            break;
        }
        acknowledged.extend(line.trim_end().parse::<u64>().ok());
    }
    parse(&head, acknowledged).ok_or_else(bad)
}

fn parse(head: &Value, acknowledged: BTreeSet<u64>) -> Option<Ledgered> {
    let number = |key: &str| head.get(key)?.as_i64();
    let share = |key: &str| head.get(key)?.as_f64();
    let text = |key: &str| head.get(key)?.as_str();
    let shape = Shape {
        workload: Set::from_str(text("workload")?, true).ok()?,
        kind: Kind::from_str(text("kind")?, true).ok()?,
        steps: Steps::from_str(text("steps")?, true).ok()?,
        hosts: number("hosts")?.try_into().ok()?,
        fields: number("fields")?.try_into().ok()?,
        points: number("points")?.try_into().ok()?,
        step: number("step")?,
        start: number("start")?,
        seed: head.get("seed")?.as_u64()?,
        out_of_order: share("out_of_order")?,
        duplicates: share("duplicates")?,
        churn: share("churn")?,
    };
    Some(Ledgered {
        protocol: Protocol::from_str(text("protocol")?, true).ok()?,
        batch: number("batch")?.try_into().ok()?,
        db: text("db")?.to_owned(),
        acknowledged,
        shape,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::shape;

    #[test]
    fn what_is_written_is_read_and_a_cut_number_is_not() {
        let path = std::env::temp_dir().join(format!("ringtail-ledger-{}", std::process::id()));
        let shape = shape(
            "--workload iot --steps normal --churn 0.5 --duplicates 0.25 --seed 18446744073709551615",
        );
        let mut ledger = Ledger::begin(&path, &head(Protocol::Influx, &shape, 7, "d")).unwrap();
        for number in [0, 5, 3] {
            ledger.note(number).unwrap();
        }
        write!(ledger.0, "12").unwrap();
        let found = read(&path);
        std::fs::remove_file(&path).unwrap();
        let acknowledged = [0, 3, 5].into();
        let (protocol, db) = (Protocol::Influx, "d".to_owned());
        assert_eq!(found.unwrap(), Ledgered { protocol, shape, batch: 7, db, acknowledged });
        assert!(read(Path::new("Cargo.toml")).unwrap_err().ends_with("is no ledger"));
    }
}
