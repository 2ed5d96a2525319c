//! Answers of SHOW as aligned text, for the archive of diagnostics.
//!
//! In: a statement without rows beyond measure. Out: for each of its series a line with name and
//! tags, the column line, the rows, and a blank line.

use crate::api::front::Front;
use crate::encode::scalar;
use crate::env::Env;
use crate::influxql::{self, Params, Statement};
use crate::query::{self, Limits, ResultPart, Series};
use std::fmt::Write;
use std::rc::Rc;

/// What a statement answers, as text; the reason where it has no answer.
pub(super) async fn table<E: Env>(front: &Rc<Front<E>>, text: &str) -> String {
    let config = front.config();
    let options = query::Options {
        server: front.server.clone(),
        user: None,
        db: None,
        rp: None,
        read_only: true,
        now_ns: front.env.now_wall(),
        chunk: None,
        memory_bytes: usize::try_from(config.query_memory.0).unwrap_or(usize::MAX),
        deadline_ns: front.query_deadline(),
        limits: Limits::default(),
    };
    let statements: Vec<Statement> = match influxql::parse(text, &Params::default()) {
        Ok(statements) => statements,
        Err(error) => return format!("{error}\n"),
    };
    let running = match front.enter_query(text, "") {
        Ok(running) => running,
        Err(refusal) => return format!("{refusal}\n"),
    };
    let mut parts: Vec<ResultPart> = Vec::new();
    // A list takes everything.
    let _ = query::run(&front.cluster, &statements, &options, &running.entry, &mut parts).await;
    let mut out = String::new();
    for part in parts {
        if let Some(series) = &part.series {
            print(series, &mut out);
        }
        if let Some(error) = part.error {
            // Writing into a string cannot fail.
            let _ = writeln!(out, "{error}");
        }
    }
    out
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn print(series: &Series, out: &mut String) {
    let tags = series.tags.iter().map(|(key, value)| format!("{}={}", lossy(key), lossy(value)));
    let tags = tags.collect::<Vec<_>>().join(", ");
    let name = series.name.as_deref().map_or(String::new(), lossy);
    // Writing into a string cannot fail.
    match (name.as_str(), tags.as_str()) {
        ("", "") => {}
        (name, "") => drop(writeln!(out, "{name}")),
        (name, tags) => drop(writeln!(out, "{name} {tags}")),
    }
    let mut lines = vec![series.columns.iter().map(|name| lossy(name)).collect::<Vec<_>>()];
    for row in 0..series.rows {
        lines.push(series.values.iter().map(|column| cell(column.get(row))).collect());
    }
    let width = |at: usize| lines.iter().filter_map(|line| line.get(at)).map(String::len).max();
    let widths: Vec<usize> = (0..series.columns.len()).filter_map(width).collect();
    for line in &lines {
        let padded = line.iter().zip(&widths).map(|(text, width)| format!("{text:width$}"));
        let padded = padded.collect::<Vec<_>>().join("  ");
        let _ = writeln!(out, "{}", padded.trim_end());
    }
    out.push('\n');
}

fn cell(value: query::CellRef) -> String {
    let mut out = Vec::new();
    match value {
        query::CellRef::Null => {}
        query::CellRef::Time(ns) | query::CellRef::Integer(ns) => return ns.to_string(),
        query::CellRef::Float(number) => return number.to_string(),
        query::CellRef::Unsigned(number) => return number.to_string(),
        query::CellRef::Boolean(flag) => return flag.to_string(),
        query::CellRef::Text(text) => return lossy(text),
        query::CellRef::List(texts) => {
            texts.iter().for_each(|text| scalar::string(text.as_bytes(), &mut out));
        }
    }
    lossy(&out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Cell;

    #[test]
    fn columns_are_aligned() {
        let rows = vec![vec![Cell::text("a"), Cell::Null], vec![Cell::text("long"), Cell::Time(5)]];
        let series = Series::listing(Some(b"name"), &["x", "y"], rows);
        let mut out = String::new();
        print(&series, &mut out);
        assert_eq!(out, "name\nx     y\na\nlong  5\n\n");
    }
}
