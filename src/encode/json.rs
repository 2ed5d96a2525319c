//! Answers of queries as InfluxDB's JSON, written while the query runs.
//!
//! In: result parts. Out: one document that grows, or with chunking one document per chunk, each
//! with a line feed behind it. The bytes are those of InfluxDB 1.x.
//!
//! Not chunked, an error of a statement takes the place of all the statement gave before, as long
//! as the bytes were not handed out; so does an infinite number of the whole answer.

use super::chunks::{Chunks, Document};
use super::limit::Limit;
use super::scalar;
use crate::query::{CellRef, Column, ResultPart, Series};
use jiff::tz::TimeZone;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Unit of times in ns; `None`: RFC3339 texts.
    pub epoch_ns: Option<i64>,
    /// On lines of its own, indented by four spaces.
    pub pretty: bool,
    /// Rows per document; `None`: one document.
    pub chunk: Option<usize>,
    /// Rows in the whole answer, not chunked; 0 = no limit.
    pub rows_max: u64,
}

/// Writes one answer.
pub struct Writer {
    options: Options,
    json: Emitter,
    /// Whether bytes left `json` already.
    handed_out: bool,
    /// The statement being written, and where its object begins in `json` if all of it is there.
    statement: Option<(usize, Option<usize>)>,
    /// Head of the series being written (no values), and whether `values` is open.
    series: Option<(Series, bool)>,
    series_listed: bool,
    messages: Vec<String>,
    error: Option<String>,
    limit: Limit,
    /// The row limit was reached, or the answer cannot be written: the rest is dropped.
    cut: bool,
    infinite: Option<f64>,
    /// Cuts a chunked answer.
    chunks: Option<Chunks>,
}

impl Writer {
    /// A writer at the start of an answer.
    pub fn new(options: Options) -> Writer {
        Writer {
            options,
            json: Emitter { out: Vec::new(), pretty: options.pretty, depth: 0, first: true },
            handed_out: false,
            statement: None,
            series: None,
            series_listed: false,
            messages: Vec::new(),
            error: None,
            limit: Limit::of(&options),
            cut: false,
            infinite: None,
            chunks: options.chunk.map(Chunks::new),
        }
    }

    /// Bytes that wait to be taken.
    pub fn len(&self) -> usize {
        self.json.out.len()
    }

    /// Whether no byte waits to be taken.
    pub fn is_empty(&self) -> bool {
        self.json.out.is_empty()
    }

    /// Hands out what is written so far.
    pub fn take(&mut self) -> Vec<u8> {
        self.handed_out |= !self.json.out.is_empty();
        if let Some((_, start)) = &mut self.statement {
            *start = None;
        }
        std::mem::take(&mut self.json.out)
    }

    /// Whether the rest of the answer will be dropped, so that the query may end.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Writes the next part.
    pub fn part(&mut self, part: ResultPart) {
        if self.cut {
            return;
        }
        match &mut self.chunks {
            None => self.merged(part),
            Some(chunks) => {
                chunks.part(part);
                self.documents();
            }
        }
    }

    /// Writes the end.
    pub fn finish(&mut self) {
        if let Some(chunks) = &mut self.chunks {
            chunks.finish();
            return self.documents();
        }
        if self.cut && self.infinite.is_some() {
            return;
        }
        self.close_statement();
        if self.json.depth == 0 {
            self.json.open(b'{');
        } else {
            self.json.close(b']');
        }
        self.json.close(b'}');
        self.json.out.push(b'\n');
    }

    fn merged(&mut self, part: ResultPart) {
        self.open_statement(part.statement_id);
        if let Some(series) = part.series {
            let known = self.series.as_ref().is_some_and(|(head, _)| series.continues(head));
            if !known {
                self.close_series(false);
                self.open_series(&series);
            }
            self.write_limited(&series);
        }
        self.messages.extend(part.messages);
        if part.error.is_some() {
            self.error = part.error;
            self.forget_rows();
        }
        if let Some(value) = self.infinite {
            self.give_up(value);
        }
    }

    /// Writes rows up to the limit of rows.
    fn write_limited(&mut self, series: &Series) {
        let rows = self.limit.take(series.rows);
        self.cut = self.limit.is_reached();
        self.write_rows(series, 0, rows);
        if self.cut {
            self.close_series(true);
        }
    }

    fn open_statement(&mut self, id: usize) {
        if self.statement.is_some_and(|(open, _)| open == id) {
            return;
        }
        self.close_statement();
        if self.json.depth == 0 {
            self.json.open(b'{');
            self.json.key("results");
            self.json.open(b'[');
        }
        self.json.item();
        self.statement = Some((id, Some(self.json.out.len())));
        self.open_result(id);
    }

    fn open_result(&mut self, id: usize) {
        self.json.open(b'{');
        self.json.key("statement_id");
        scalar::integer(id, &mut self.json.out);
        self.json.first = false;
    }

    /// An error stands alone: takes back what the statement gave.
    fn forget_rows(&mut self) {
        let Some((id, Some(start))) = self.statement else { return };
        let levels = 1 + usize::from(self.series_listed);
        let in_series = self.series.take().map_or(0, |(_, values)| 1 + usize::from(values));
        self.json.depth -= levels + in_series;
        self.json.out.truncate(start);
        self.series_listed = false;
        self.messages.clear();
        self.open_result(id);
    }

    fn close_statement(&mut self) {
        if self.statement.take().is_none() {
            return;
        }
        self.close_series(false);
        if self.series_listed {
            self.json.close(b']');
            self.series_listed = false;
        }
        self.write_end(false);
    }

    /// Messages, `partial` and the error, and the end of the result.
    fn write_end(&mut self, partial: bool) {
        if !self.messages.is_empty() {
            self.json.key("messages");
            self.json.open(b'[');
            for text in std::mem::take(&mut self.messages) {
                self.json.item();
                self.json.open(b'{');
                self.json.text("level", b"warning");
                self.json.text("text", text.as_bytes());
                self.json.close(b'}');
            }
            self.json.close(b']');
        }
        if partial {
            self.json.key("partial");
            self.json.out.extend_from_slice(b"true");
        }
        if let Some(error) = self.error.take() {
            self.json.text("error", error.as_bytes());
        }
        self.json.close(b'}');
    }

    fn open_series(&mut self, series: &Series) {
        if !self.series_listed {
            self.json.key("series");
            self.json.open(b'[');
            self.series_listed = true;
        }
        self.json.item();
        self.json.open(b'{');
        if let Some(name) = series.name.as_ref().filter(|name| !name.is_empty()) {
            self.json.text("name", name);
        }
        if !series.tags.is_empty() {
            self.json.key("tags");
            self.json.open(b'{');
            for (key, value) in series.tags.iter() {
                self.json.item();
                scalar::string(key, &mut self.json.out);
                self.json.colon();
                scalar::string(value, &mut self.json.out);
            }
            self.json.close(b'}');
        }
        self.json.key("columns");
        self.json.open(b'[');
        for name in series.columns.iter() {
            self.json.item();
            scalar::string(name, &mut self.json.out);
        }
        self.json.close(b']');
        self.series = Some((series.head(), false));
    }

    fn close_series(&mut self, partial: bool) {
        let Some((_, values)) = self.series.take() else { return };
        if values {
            self.json.close(b']');
        }
        if partial {
            self.json.key("partial");
            self.json.out.extend_from_slice(b"true");
        }
        self.json.close(b'}');
    }

    fn write_rows(&mut self, series: &Series, start: usize, end: usize) {
        if start >= end {
            return;
        }
        if let Some((_, values @ false)) = &mut self.series {
            *values = true;
            self.json.key("values");
            self.json.open(b'[');
        }
        let zone = series.zone.as_ref();
        for row in start..end {
            self.json.item();
            self.json.open(b'[');
            for column in &series.values {
                self.json.item();
                self.write_cell(column, row, zone);
            }
            self.json.close(b']');
        }
    }

    fn write_cell(&mut self, column: &Column, row: usize, zone: Option<&TimeZone>) {
        let out = &mut self.json.out;
        match column.get(row) {
            CellRef::Null => out.extend_from_slice(b"null"),
            CellRef::Time(at) => match self.options.epoch_ns {
                Some(unit) => scalar::integer(at / unit.max(1), out),
                None => {
                    out.push(b'"');
                    scalar::time(at, zone, out);
                    out.push(b'"');
                }
            },
            CellRef::Float(value) => {
                if !scalar::float(value, out) {
                    out.extend_from_slice(b"null");
                    self.infinite.get_or_insert(value);
                }
            }
            CellRef::Integer(value) => scalar::integer(value, out),
            CellRef::Unsigned(value) => scalar::integer(value, out),
            CellRef::Boolean(value) => {
                out.extend_from_slice(if value { b"true" } else { b"false" });
            }
            CellRef::Text(text) => scalar::string(text, out),
            CellRef::List(list) => {
                self.json.open(b'[');
                for text in list {
                    self.json.item();
                    scalar::string(text.as_bytes(), &mut self.json.out);
                }
                self.json.close(b']');
            }
        }
    }

    /// JSON has no infinity: the error takes the place of the answer if nothing was handed out.
    fn give_up(&mut self, value: f64) {
        if self.handed_out {
            self.infinite = None;
            return;
        }
        self.cut = true;
        self.json.out = unsupported(value);
    }

    /// Writes the documents that are whole.
    fn documents(&mut self) {
        while let Some(document) = self.chunks.as_mut().and_then(Chunks::pop) {
            self.document(document);
        }
    }

    fn document(&mut self, document: Document) {
        let start = self.json.out.len();
        self.json.open(b'{');
        self.json.key("results");
        self.json.open(b'[');
        self.json.item();
        self.open_result(document.statement_id);
        if let Some((head, _)) = document.pieces.first() {
            self.open_series(head);
            for (series, rows) in &document.pieces {
                self.write_rows(series, rows.start, rows.end);
            }
            self.close_series(document.goes_on);
            self.json.close(b']');
            self.series_listed = false;
        }
        (self.messages, self.error) = (document.messages, document.error);
        self.write_end(document.partial);
        self.json.close(b']');
        self.json.close(b'}');
        self.json.out.push(b'\n');
        if let Some(value) = self.infinite.take() {
            self.json.out.truncate(start);
            self.json.out.extend_from_slice(&unsupported(value));
        }
    }
}

/// What stands in place of a document with a number that JSON cannot hold: a line of plain text,
/// also where the answer is to be pretty. InfluxDB 1.8 puts the end of this text into an object;
/// the line is that of 1.6 and 1.7, which recorded answers have, and no client reads either.
fn unsupported(value: f64) -> Vec<u8> {
    let sign = if value > 0.0 { '+' } else { '-' };
    let line = format!(
        "json: error calling MarshalJSON for type httpd.Response: json: error calling MarshalJSON \
         for type *query.Result: json: unsupported value: {sign}Inf\n"
    );
    line.into_bytes()
}

/// Puts commas, line feeds and indentation where they belong.
struct Emitter {
    out: Vec<u8>,
    pretty: bool,
    depth: usize,
    /// Whether nothing stands yet in the innermost list or object.
    first: bool,
}

impl Emitter {
    fn open(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.depth += 1;
        self.first = true;
    }

    fn close(&mut self, bracket: u8) {
        self.depth = self.depth.saturating_sub(1);
        if self.pretty && !self.first {
            self.line();
        }
        self.out.push(bracket);
        self.first = false;
    }

    /// Before each entry of a list or object.
    fn item(&mut self) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        if self.pretty {
            self.line();
        }
    }

    fn key(&mut self, key: &str) {
        self.item();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.push(b'"');
        self.colon();
    }

    fn colon(&mut self) {
        self.out.extend_from_slice(if self.pretty { b": " } else { b":" });
    }

    fn text(&mut self, key: &str, text: &[u8]) {
        self.key(key);
        scalar::string(text, &mut self.out);
    }

    fn line(&mut self) {
        self.out.push(b'\n');
        self.out.extend(std::iter::repeat_n(b' ', 4 * self.depth));
    }
}

#[cfg(test)]
mod tests;
