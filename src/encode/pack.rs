//! Answers of queries as MessagePack, in the shape of the JSON ones.
//!
//! In: result parts. Out: maps. Lengths stand in front of what they count, so an answer that is not
//! chunked is held as a whole, up to a limit of bytes; chunked ones stream. Times are an extension
//! of type 5 (seconds as i64, nanoseconds as i32, big-endian), or integers when a unit was asked
//! for.

use super::chunks::{Chunks, Document};
use super::json::Options;
use super::limit::Limit;
use crate::query::{CellRef, Column, ResultPart, Series};
use rmp::encode as raw;

/// The type of the extension that holds times.
const TIME: i8 = 5;
const SECOND_NS: i64 = 1_000_000_000;

/// Writes one answer.
pub struct Writer {
    options: Options,
    bytes_max: usize,
    out: Vec<u8>,
    results: List,
    /// The statement being written.
    statement: Option<usize>,
    series: List,
    /// The series being written, and its rows.
    open: Option<(Series, List)>,
    messages: Vec<String>,
    error: Option<String>,
    limit: Limit,
    cut: bool,
    chunks: Option<Chunks>,
}

/// Items that were written, and how many.
#[derive(Default)]
struct List {
    bytes: Vec<u8>,
    count: u32,
}

impl List {
    fn write_to(&mut self, out: &mut Vec<u8>) {
        array(self.count, out);
        out.append(&mut self.bytes);
        self.count = 0;
    }
}

impl Writer {
    /// A writer at the start of an answer; one that is not chunked may take so many bytes.
    pub fn new(options: Options, bytes_max: usize) -> Writer {
        Writer {
            options,
            bytes_max,
            out: Vec::new(),
            results: List::default(),
            statement: None,
            series: List::default(),
            open: None,
            messages: Vec::new(),
            error: None,
            limit: Limit::of(&options),
            cut: false,
            chunks: options.chunk.map(Chunks::new),
        }
    }

    /// Bytes that wait to be taken.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Hands out what is written so far.
    pub fn take(&mut self) -> Vec<u8> {
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
        if let Some(chunks) = &mut self.chunks {
            chunks.part(part);
            return self.documents();
        }
        self.merged(part);
        let held = self.results.bytes.len() + self.series.bytes.len();
        if held + self.open.as_ref().map_or(0, |(_, rows)| rows.bytes.len()) > self.bytes_max {
            let text = format!("an answer in MessagePack of more than {} bytes", self.bytes_max);
            self.error = Some(format!("{text} must be asked for in chunks"));
            self.cut = true;
        }
    }

    /// Writes the end.
    pub fn finish(&mut self) {
        if let Some(chunks) = &mut self.chunks {
            chunks.finish();
            return self.documents();
        }
        self.close_statement();
        map(1, &mut self.out);
        text(b"results", &mut self.out);
        self.results.write_to(&mut self.out);
    }

    fn merged(&mut self, part: ResultPart) {
        if self.statement != Some(part.statement_id) {
            self.close_statement();
            self.statement = Some(part.statement_id);
        }
        if let Some(series) = part.series {
            let known = self.open.as_ref().is_some_and(|(head, _)| series.continues(head));
            if !known {
                self.close_series(false);
                self.open = Some((series.head(), List::default()));
            }
            self.limited(&series);
        }
        self.messages.extend(part.messages);
        if part.error.is_some() {
            self.error = part.error;
        }
    }

    fn limited(&mut self, series: &Series) {
        let rows = self.limit.take(series.rows);
        self.cut = self.limit.is_reached();
        if let Some((_, list)) = &mut self.open {
            write_rows(self.options.epoch_ns, series, 0..rows, list);
        }
        if self.cut {
            self.close_series(true);
        }
    }

    fn close_series(&mut self, partial: bool) {
        let Some((head, mut rows)) = self.open.take() else { return };
        write_series(&head, &mut rows, partial, &mut self.series.bytes);
        self.series.count += 1;
    }

    fn close_statement(&mut self) {
        let Some(id) = self.statement.take() else { return };
        self.close_series(false);
        let (error, messages) = (self.error.take(), std::mem::take(&mut self.messages));
        let out = &mut self.results.bytes;
        write_result(id, &messages, &mut self.series, (false, error.as_deref()), out);
        self.results.count += 1;
    }

    fn documents(&mut self) {
        while let Some(document) = self.chunks.as_mut().and_then(Chunks::pop) {
            self.document(&document);
        }
    }

    fn document(&mut self, document: &Document) {
        let mut series = List::default();
        if let Some((head, _)) = document.pieces.first() {
            let mut rows = List::default();
            for (part, range) in &document.pieces {
                write_rows(self.options.epoch_ns, part, range.clone(), &mut rows);
            }
            write_series(head, &mut rows, document.goes_on, &mut series.bytes);
            series.count = 1;
        }
        map(1, &mut self.out);
        text(b"results", &mut self.out);
        array(1, &mut self.out);
        let end = (document.partial, document.error.as_deref());
        write_result(document.statement_id, &document.messages, &mut series, end, &mut self.out);
    }
}

/// The body of a refused request.
pub fn error(reason: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    map(1, &mut out);
    text(b"error", &mut out);
    text(reason, &mut out);
    out
}

/// A result; an error stands alone.
fn write_result(
    id: usize,
    messages: &[String],
    series: &mut List,
    (partial, error): (bool, Option<&str>),
    out: &mut Vec<u8>,
) {
    if let Some(reason) = error {
        *series = List::default();
        out.extend_from_slice(&self::error(reason.as_bytes()));
        return;
    }
    map(2 + u32::from(!messages.is_empty()) + u32::from(partial), out);
    text(b"statement_id", out);
    integer(id as i64, out);
    if !messages.is_empty() {
        text(b"messages", out);
        array(messages.len() as u32, out);
        for message in messages {
            map(2, out);
            text(b"level", out);
            text(b"warning", out);
            text(b"text", out);
            text(message.as_bytes(), out);
        }
    }
    text(b"series", out);
    series.write_to(out);
    if partial {
        text(b"partial", out);
        boolean(true, out);
    }
}

fn write_series(head: &Series, rows: &mut List, partial: bool, out: &mut Vec<u8>) {
    let name = head.name.as_deref().filter(|name| !name.is_empty());
    let tagged = !head.tags.is_empty();
    map(2 + u32::from(name.is_some()) + u32::from(tagged) + u32::from(partial), out);
    if let Some(name) = name {
        text(b"name", out);
        text(name, out);
    }
    if tagged {
        text(b"tags", out);
        map(head.tags.len() as u32, out);
        for (key, value) in head.tags.iter() {
            text(key, out);
            text(value, out);
        }
    }
    text(b"columns", out);
    array(head.columns.len() as u32, out);
    head.columns.iter().for_each(|name| text(name, out));
    text(b"values", out);
    rows.write_to(out);
    if partial {
        text(b"partial", out);
        boolean(true, out);
    }
}

fn write_rows(
    epoch_ns: Option<i64>,
    series: &Series,
    rows: std::ops::Range<usize>,
    list: &mut List,
) {
    list.count += rows.len() as u32;
    for row in rows {
        array(series.values.len() as u32, &mut list.bytes);
        for column in &series.values {
            write_cell(epoch_ns, column, row, &mut list.bytes);
        }
    }
}

fn write_cell(epoch_ns: Option<i64>, column: &Column, row: usize, out: &mut Vec<u8>) {
    match column.get(row) {
        CellRef::Null => nil(out),
        CellRef::Time(at) => match epoch_ns {
            Some(unit) => integer(at / unit.max(1), out),
            None => {
                done(raw::write_ext_meta(out, 12, TIME).is_ok());
                out.extend_from_slice(&at.div_euclid(SECOND_NS).to_be_bytes());
                out.extend_from_slice(&(at.rem_euclid(SECOND_NS) as i32).to_be_bytes());
            }
        },
        CellRef::Float(value) if value.is_nan() => nil(out),
        CellRef::Float(value) => done(raw::write_f64(out, value).is_ok()),
        CellRef::Integer(value) => integer(value, out),
        CellRef::Unsigned(value) => done(raw::write_uint(out, value).is_ok()),
        CellRef::Boolean(value) => boolean(value, out),
        CellRef::Text(value) => text(value, out),
        CellRef::List(list) => {
            array(list.len() as u32, out);
            list.iter().for_each(|one| text(one.as_bytes(), out));
        }
    }
}

/// Writing into memory cannot fail.
fn done(written: bool) {
    debug_assert!(written);
}

fn nil(out: &mut Vec<u8>) {
    done(raw::write_nil(out).is_ok());
}

fn boolean(value: bool, out: &mut Vec<u8>) {
    done(raw::write_bool(out, value).is_ok());
}

fn map(len: u32, out: &mut Vec<u8>) {
    done(raw::write_map_len(out, len).is_ok());
}

fn array(len: u32, out: &mut Vec<u8>) {
    done(raw::write_array_len(out, len).is_ok());
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    done(raw::write_str_len(out, bytes.len() as u32).is_ok());
    out.extend_from_slice(bytes);
}

/// The shortest signed form, also of positive numbers, as the reference writes them.
fn integer(value: i64, out: &mut Vec<u8>) {
    if let Ok(small) = i8::try_from(value) {
        match small {
            0.. => done(raw::write_pfix(out, small as u8).is_ok()),
            -32..0 => done(raw::write_nfix(out, small).is_ok()),
            _ => done(raw::write_i8(out, small).is_ok()),
        }
    } else if let Ok(value) = i16::try_from(value) {
        done(raw::write_i16(out, value).is_ok());
    } else if let Ok(value) = i32::try_from(value) {
        done(raw::write_i32(out, value).is_ok());
    } else {
        done(raw::write_i64(out, value).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;
    use crate::query::Cell;

    fn part(value: Cell) -> ResultPart {
        let row = vec![Cell::Time(1_000_000_001), value];
        let mut series = Series::listing(Some(b"cpu"), &["time", "v"], vec![row]);
        series.whole = false;
        ResultPart::of_series(0, series)
    }

    fn write(options: Options, parts: Vec<ResultPart>) -> Vec<u8> {
        let mut writer = Writer::new(options, 1 << 20);
        parts.into_iter().for_each(|part| writer.part(part));
        writer.finish();
        writer.take()
    }

    #[test]
    fn the_bytes_are_those_of_the_reference() {
        let expected = b"\x81\xa7results\x91\x82\xacstatement_id\x00\xa6series\x91\x83\xa4name\
                         \xa3cpu\xa7columns\x92\xa4time\xa1v\xa6values\x92\x92\xc7\x0c\x05\x00\x00\
                         \x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\xcb?\xf8\x00\x00\x00\x00\x00\x00\
                         \x92\xc7\x0c\x05\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\xc0";
        let parts = vec![part(Cell::Value(Value::Float(1.5))), part(Cell::Null)];
        assert_eq!(write(Options::default(), parts), expected);
        let error = b"\x81\xa7results\x91\x81\xa5error\xa2no";
        let parts = vec![part(Cell::Null), ResultPart::of_error(0, "no")];
        assert_eq!(write(Options::default(), parts), error);
    }

    #[test]
    fn chunks_are_documents_of_their_own() {
        let options = Options { epoch_ns: Some(1_000_000), chunk: Some(1), ..Options::default() };
        let bytes = write(options, vec![part(Cell::Null), part(Cell::Null)]);
        let first = b"\x81\xa7results\x91\x83\xacstatement_id\x00\xa6series\x91\x84\xa4name\
                      \xa3cpu\xa7columns\x92\xa4time\xa1v\xa6values\x91\x92\xd1\x03\xe8\xc0\
                      \xa7partial\xc3\xa7partial\xc3\x81\xa7results";
        assert_eq!(&bytes[..first.len()], first);
    }

    #[test]
    fn an_answer_that_is_too_large_says_so() {
        let mut writer = Writer::new(Options::default(), 10);
        writer.part(part(Cell::Null));
        assert!(writer.is_cut());
        writer.finish();
        let text = String::from_utf8_lossy(&writer.take()).into_owned();
        assert!(text.contains("must be asked for in chunks"), "{text}");
    }

    #[test]
    fn integers_take_the_shortest_signed_form() {
        let cases: [(i64, &[u8]); 7] = [
            (127, b"\x7f"),
            (128, b"\xd1\x00\x80"),
            (-32, b"\xe0"),
            (-33, b"\xd0\xdf"),
            (-200, b"\xd1\xff\x38"),
            (70_000, b"\xd2\x00\x01\x11\x70"),
            (1 << 40, b"\xd3\x00\x00\x01\x00\x00\x00\x00\x00"),
        ];
        for (value, expected) in cases {
            let mut out = Vec::new();
            integer(value, &mut out);
            assert_eq!(out, expected);
        }
    }
}
