//! Answers of queries as InfluxDB's CSV: `name,tags,` and the columns.
//!
//! In: result parts. Out: rows with line feeds; a header before each statement that has rows, and,
//! unless the answer is chunked, where the columns change. Times are integers, null is empty.
//! Messages and errors of statements have no form here; an error takes back what its statement
//! gave, as long as the bytes were not handed out.

use super::json::Options;
use super::limit::Limit;
use super::scalar;
use crate::query::{CellRef, Column, ResultPart, Series};

/// Writes one answer.
pub struct Writer {
    options: Options,
    out: Vec<u8>,
    /// The statement being written, and where it begins in `out`, if all of it is there,
    /// and whether a header stood before it.
    statement: Option<(usize, Option<(usize, bool)>)>,
    /// Columns of the header written last.
    header: Option<Series>,
    /// Whether a header was written at all.
    begun: bool,
    limit: Limit,
    cut: bool,
    /// A cell on its way, before quotes are put around it.
    cell: Vec<u8>,
}

impl Writer {
    /// A writer at the start of an answer.
    pub fn new(options: Options) -> Writer {
        Writer {
            options,
            out: Vec::new(),
            statement: None,
            header: None,
            begun: false,
            limit: Limit::of(&options),
            cut: false,
            cell: Vec::new(),
        }
    }

    /// Bytes that wait to be taken.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Hands out what is written so far.
    pub fn take(&mut self) -> Vec<u8> {
        if let Some((_, start)) = &mut self.statement {
            *start = None;
        }
        std::mem::take(&mut self.out)
    }

    /// Whether the rest of the answer will be dropped.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Writes the next part.
    pub fn part(&mut self, part: ResultPart) {
        if self.cut {
            return;
        }
        if self.statement.is_none_or(|(id, _)| id != part.statement_id) {
            self.statement = Some((part.statement_id, Some((self.out.len(), self.begun))));
            self.header = None;
        }
        if let Some(series) = part.series {
            self.series(&series);
        }
        if part.error.is_some()
            && self.options.chunk.is_none()
            && let Some((_, Some((start, begun)))) = self.statement
        {
            self.out.truncate(start);
            self.begun = begun;
        }
    }

    fn series(&mut self, series: &Series) {
        let repeats = self.options.chunk.is_none();
        let known =
            self.header.as_ref().is_some_and(|head| !repeats || head.columns == series.columns);
        if !known {
            self.open(series);
        }
        let rows = self.limit.take(series.rows);
        self.cut = self.limit.is_reached();
        let mut head = Vec::new();
        quoted(series.name.as_deref().unwrap_or_default(), &mut head);
        head.push(b',');
        quoted(&tags(series), &mut head);
        for row in 0..rows {
            self.out.extend_from_slice(&head);
            for column in &series.values {
                self.out.push(b',');
                self.write_cell(column, row);
            }
            self.out.push(b'\n');
        }
    }

    fn open(&mut self, series: &Series) {
        if self.begun {
            self.out.push(b'\n');
        }
        self.begun = true;
        self.out.extend_from_slice(b"name,tags");
        for column in series.columns.iter() {
            self.out.push(b',');
            quoted(column, &mut self.out);
        }
        self.out.push(b'\n');
        self.header = Some(series.head());
    }

    fn write_cell(&mut self, column: &Column, row: usize) {
        let out = &mut self.out;
        match column.get(row) {
            CellRef::Null => {}
            CellRef::Time(at) => {
                scalar::integer(at / self.options.epoch_ns.unwrap_or(1).max(1), out);
            }
            CellRef::Float(value) => scalar::plain_float(value, out),
            CellRef::Integer(value) => scalar::integer(value, out),
            CellRef::Unsigned(value) => scalar::integer(value, out),
            CellRef::Boolean(value) => {
                out.extend_from_slice(if value { b"true" } else { b"false" });
            }
            CellRef::Text(text) => quoted(text, out),
            CellRef::List(list) => {
                self.cell.clear();
                self.cell.extend_from_slice(list.join(",").as_bytes());
                quoted(&self.cell, out);
            }
        }
    }
}

/// The body of a refused request.
pub fn error(text: &[u8]) -> Vec<u8> {
    let mut out = b"error\n".to_vec();
    quoted(text, &mut out);
    out.push(b'\n');
    out
}

/// `k=v` joined by commas, in line protocol's escapes; tags without a value are left out.
fn tags(series: &Series) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in series.tags.iter().filter(|(_, value)| !value.is_empty()) {
        if !out.is_empty() {
            out.push(b',');
        }
        escaped(key, &mut out);
        out.push(b'=');
        escaped(value, &mut out);
    }
    out
}

fn escaped(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        if matches!(byte, b',' | b'=' | b' ') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
}

/// A cell, in quotes where RFC 4180 (as Go reads it) needs them.
fn quoted(text: &[u8], out: &mut Vec<u8>) {
    let special = |byte: &u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
    let first = text.first().is_some_and(|byte| matches!(byte, b' ' | b'\t' | 0x0b | 0x0c));
    if text != br"\." && !first && !text.iter().any(special) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;
    use crate::query::Cell;

    fn part(id: usize, name: &str, tag: &str, columns: &[&str], row: Vec<Cell>) -> ResultPart {
        let mut series = Series::listing(Some(name.as_bytes()), columns, vec![row]);
        if !tag.is_empty() {
            series.tags = [(b"t".as_slice().into(), tag.as_bytes().into())].into();
        }
        ResultPart::of_series(id, series)
    }

    fn write(options: Options, parts: Vec<ResultPart>) -> String {
        let mut writer = Writer::new(options);
        parts.into_iter().for_each(|part| writer.part(part));
        String::from_utf8(writer.take()).unwrap()
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let row = vec![
            Cell::Time(1_500_000_000),
            Cell::text("a,b\"c"),
            Cell::Null,
            Cell::Value(Value::Float(1e30)),
            Cell::text(" x"),
        ];
        let text = write(
            Options { epoch_ns: Some(1_000_000_000), ..Options::default() },
            vec![part(0, "m", "b c", &["time", "s", "n", "v", "w"], row)],
        );
        let expected = "name,tags,time,s,n,v,w\nm,t=b\\ c,1,\"a,b\"\"c\",,\
                        1000000000000000000000000000000,\" x\"\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn headers_stand_where_statements_or_columns_change() {
        let cell = || vec![Cell::text("1")];
        let parts = || {
            vec![
                part(0, "a", "", &["x"], cell()),
                part(0, "b", "", &["x"], cell()),
                part(0, "c", "", &["y"], cell()),
                ResultPart { statement_id: 0, ..ResultPart::default() },
                ResultPart { statement_id: 1, ..ResultPart::default() },
                part(2, "d", "", &["y"], cell()),
                part(3, "e", "", &["y"], cell()),
                ResultPart::of_error(3, "no"),
            ]
        };
        let text = write(Options::default(), parts());
        let expected = "name,tags,x\na,,1\nb,,1\n\nname,tags,y\nc,,1\n\nname,tags,y\nd,,1\n";
        assert_eq!(text, expected);
        let text = write(Options { chunk: Some(1), ..Options::default() }, parts());
        assert!(text.starts_with("name,tags,x\na,,1\nb,,1\nc,,1\n\nname,tags,y\nd,,1\n\nname"));
        let text = write(Options { rows_max: 2, ..Options::default() }, parts());
        assert_eq!(text, "name,tags,x\na,,1\nb,,1\n\nname,tags,y\n");
        assert_eq!(error(b"a, b"), b"error\n\"a, b\"\n");
        assert_eq!(write(Options::default(), vec![ResultPart::of_error(0, "no")]), "");
    }
}
