//! Rows as the bytes of each protocol.
//!
//! In: rows. Out: bodies, each a whole request, message or run of lines.

use super::{Row, Value};
use clap::ValueEnum;
use std::io::Write;

/// How points are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Protocol {
    /// Line protocol by `POST /write`.
    Influx,
    /// `put` lines on a KairosDB telnet port.
    Telnet,
    /// JSON by `POST /api/v1/datapoints`.
    Kairos,
    /// Graphite's plaintext lines.
    Graphite,
    /// Graphite's pickle messages, as carbon-relay sends them.
    Pickle,
}

/// One request.
#[derive(Default)]
pub struct Body {
    pub bytes: Vec<u8>,
    pub rows: u32,
    pub values: u64,
}

impl Body {
    /// Begins a request.
    pub fn begin(&mut self, protocol: Protocol) {
        match protocol {
            Protocol::Kairos => self.bytes.push(b'['),
            // Length, PROTO 2, EMPTY_LIST, MARK.
            Protocol::Pickle => self.bytes.extend_from_slice(&[0, 0, 0, 0, 0x80, 2, b']', b'(']),
            _ => {}
        }
    }

    /// Adds a row.
    pub fn add(&mut self, protocol: Protocol, row: &Row) {
        match protocol {
            Protocol::Influx => influx(&mut self.bytes, row),
            Protocol::Telnet => telnet(&mut self.bytes, row),
            Protocol::Kairos => kairos(&mut self.bytes, row),
            Protocol::Graphite => graphite(&mut self.bytes, row),
            Protocol::Pickle => pickle(&mut self.bytes, row),
        }
        self.rows += 1;
        self.values += row.values.len() as u64;
    }

    /// Ends the request.
    pub fn end(&mut self, protocol: Protocol) {
        match protocol {
            Protocol::Kairos => {
                self.bytes.pop();
                self.bytes.push(b']');
            }
            Protocol::Pickle => {
                self.bytes.extend_from_slice(b"e.");
                let length = (self.bytes.len() as u32).saturating_sub(4).to_be_bytes();
                if let Some(head) = self.bytes.first_chunk_mut() {
                    *head = length;
                }
            }
            _ => {}
        }
    }
}

/// Writing into a vector cannot fail, so results of `write!` are dropped here.
fn number(out: &mut Vec<u8>, value: Value) {
    let _ = match value {
        Value::Hundredths(value) => write!(out, "{}.{:02}", value / 100, value % 100),
        Value::Double(value) => write!(out, "{value}"),
        Value::Integer(value) => write!(out, "{value}"),
    };
}

fn influx(out: &mut Vec<u8>, row: &Row) {
    out.extend_from_slice(row.measurement.name.as_bytes());
    for (name, value) in tags(row) {
        let _ = write!(out, ",{name}={value}");
    }
    for (at, (name, value)) in fields(row).enumerate() {
        let _ = write!(out, "{}{name}=", if at == 0 { ' ' } else { ',' });
        number(out, value);
        if let Value::Integer(_) = value {
            out.push(b'i');
        }
    }
    let _ = writeln!(out, " {}", row.seconds * 1_000_000_000);
}

fn telnet(out: &mut Vec<u8>, row: &Row) {
    for (name, value) in fields(row) {
        let _ = write!(out, "put {}.{name} {} ", row.measurement.name, row.seconds);
        number(out, value);
        for (name, value) in tags(row) {
            let _ = write!(out, " {name}={value}");
        }
        out.push(b'\n');
    }
}

fn kairos(out: &mut Vec<u8>, row: &Row) {
    for (name, value) in fields(row) {
        let (metric, time) = (&row.measurement.name, row.seconds * 1000);
        let _ = write!(out, r#"{{"name":"{metric}.{name}","timestamp":{time},"value":"#);
        number(out, value);
        out.extend_from_slice(b",\"tags\":{");
        for (at, (name, value)) in tags(row).enumerate() {
            let _ = write!(out, "{}\"{name}\":\"{value}\"", if at == 0 { "" } else { "," });
        }
        out.extend_from_slice(b"}},");
    }
}

fn tags<'a>(row: &Row<'a>) -> impl Iterator<Item = &'a (&'static str, String)> {
    row.tags.into_iter().flatten()
}

fn fields<'a>(row: &Row<'a>) -> impl Iterator<Item = (&'a String, Value)> {
    row.measurement.fields.iter().zip(row.values.iter().copied())
}

/// `servers.<place>.<host>.<architecture>.<measurement>.<field>`.
fn path(row: &Row, name: &str) -> String {
    let tag = |wanted: [&str; 2]| {
        let found = tags(row).find(|(name, _)| wanted.contains(name));
        found.map_or("none", |(_, value)| value)
    };
    let (place, host) = (tag(["datacenter", "fleet"]), tag(["hostname", "name"]));
    format!("servers.{place}.{host}.{}.{}.{name}", tag(["arch", "driver"]), row.measurement.name)
}

fn graphite(out: &mut Vec<u8>, row: &Row) {
    for (name, value) in fields(row) {
        let _ = write!(out, "{} ", path(row, name));
        number(out, value);
        let _ = writeln!(out, " {}", row.seconds);
    }
}

/// `(path, (time, value))` as BINUNICODE, BINFLOAT, BINFLOAT, TUPLE2, TUPLE2.
fn pickle(out: &mut Vec<u8>, row: &Row) {
    for (name, value) in fields(row) {
        let path = path(row, name);
        out.push(b'X');
        out.extend_from_slice(&(path.len() as u32).to_le_bytes());
        out.extend_from_slice(path.as_bytes());
        for number in [row.seconds as f64, value.as_f64()] {
            out.push(b'G');
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&[0x86, 0x86]);
    }
}
