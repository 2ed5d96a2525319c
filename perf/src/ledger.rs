//! The ledger of a run: which requests were acknowledged.
//!
//! A file of lines: the first says how to make the requests again, each further one is the number
//! of an acknowledged request. A number is written after its answer came, so what the file names
//! was acknowledged; the process may be killed at any time.

use crate::workload::{Kind, Shape};
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

/// A ledger being written.
pub struct Ledger(File);

/// A ledger that was read.
pub struct Read {
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
    pub fn create(path: &Path, shape: &Shape, batch: u32, db: &str) -> Result<Ledger, String> {
        let fail = |error| format!("{}: {error}", path.display());
        let mut file = File::create(path).map_err(fail)?;
        let kind = shape.kind.to_possible_value().map(|value| value.get_name().to_owned());
        let head = serde_json::json!({
            "kind": kind, "hosts": shape.hosts, "fields": shape.fields, "points": shape.points,
            "step": shape.step, "start": shape.start, "seed": shape.seed, "batch": batch, "db": db,
        });
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

/// Reads a ledger; a last line that was cut is left out.
///
/// # Errors
/// The file cannot be read or is no ledger.
pub fn read(path: &Path) -> Result<Read, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut lines = BufReader::new(file).lines();
    let head = lines.next().and_then(Result::ok).unwrap_or_default();
    let bad = || format!("{} is no ledger", path.display());
    let head: serde_json::Value = serde_json::from_str(&head).map_err(|_| bad())?;
    let number = |key: &str| head.get(key).and_then(serde_json::Value::as_i64).ok_or_else(bad);
    let text = |key: &str| head.get(key).and_then(|value| value.as_str()).ok_or_else(bad);
    let shape = Shape {
        kind: Kind::from_str(text("kind")?, true).map_err(|_| bad())?,
        hosts: number("hosts")? as u32,
        fields: number("fields")? as u32,
        points: number("points")? as u32,
        step: number("step")?,
        start: number("start")?,
        seed: number("seed")? as u64,
    };
    let acknowledged = lines.map_while(Result::ok).filter_map(|line| line.parse().ok()).collect();
    let (batch, db) = (number("batch")? as u32, text("db")?.to_owned());
    Ok(Read { shape, batch, db, acknowledged })
}
