//! The fields and the time of a line, read byte by byte: the exact way, with the reasons InfluxDB
//! gives.
//!
//! `scan_fields` finds where the section ends and checks every value; `walk` then cuts it into
//! names and values. The two disagree about odd texts (`f="a"=1,g`, `f\\=1`), and so do they here.

use super::super::batcher::Datum;
use super::super::number::{self, IntegerError};
use super::key::skip_blanks;
use crate::model::FieldType;
use std::borrow::Cow;

/// Why a line is refused.
pub type Reason = Cow<'static, [u8]>;

fn reason(text: &'static str) -> Reason {
    Cow::Borrowed(text.as_bytes())
}

/// The field section that starts behind `start`: (start, end).
pub fn scan_fields(line: &[u8], start: usize) -> Result<(usize, usize), Reason> {
    let start = skip_blanks(line, start);
    let (mut at, mut quoted) = (start, false);
    let (mut equals, mut commas) = (0usize, 0usize);
    while let Some(byte) = line.get(at) {
        match byte {
            b'\\' if at + 1 < line.len() => at += 1,
            b'"' if equals > commas => quoted = !quoted,
            _ if quoted => {}
            b'=' => {
                equals += 1;
                if let Some(end) = scan_value(line, at)? {
                    at = end;
                    continue;
                }
            }
            b',' => commas += 1,
            b' ' => break,
            _ => {}
        }
        at += 1;
    }
    if quoted {
        return Err(reason("unbalanced quotes"));
    }
    if equals == 0 || commas != equals - 1 {
        return Err(reason("invalid field format"));
    }
    Ok((start, at))
}

/// Checks what stands around the `=` at `at`. The end of the value, or `None` for a quoted one.
fn scan_value(line: &[u8], at: usize) -> Result<Option<usize>, Reason> {
    let before = at.checked_sub(1).and_then(|at| line.get(at));
    let second = at.checked_sub(2).and_then(|at| line.get(at));
    if matches!(before, Some(b' ' | b',')) && second != Some(&b'\\') {
        return Err(reason("missing field key"));
    }
    match line.get(at + 1) {
        None | Some(b',' | b' ') => Err(reason("missing field value")),
        Some(b'"') => Ok(None),
        Some(b'0'..=b'9' | b'.' | b'-' | b'N' | b'n') => scan_number(line, at + 1).map(Some),
        Some(_) => scan_boolean(line, at + 1).map(Some),
    }
}

fn value_end(line: &[u8], start: usize) -> usize {
    let rest = line.get(start..).unwrap_or(&[]);
    memchr::memchr2(b',', b' ', rest).map_or(line.len(), |at| start + at)
}

fn scan_number(line: &[u8], start: usize) -> Result<usize, Reason> {
    let end = value_end(line, start);
    let text = line.get(start..end).unwrap_or(&[]);
    let (negative, body) = match text.strip_prefix(b"-") {
        Some(body) => (true, body),
        None => (false, text),
    };
    let (mut integer, mut scientific, mut dots, mut before) = (false, false, 0, 0u8);
    for (at, byte) in body.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {}
            b'.' if dots == 0 => dots += 1,
            b'i' if !integer && (at > 0 || negative) => integer = true,
            b'e' | b'E' if at > 0 || negative => scientific = true,
            b'+' | b'-' if matches!(before, b'e' | b'E') => {}
            _ => return Err(reason("invalid number")),
        }
        before = *byte;
    }
    let digits = body.len() - usize::from(integer) - dots;
    if integer && (dots > 0 || scientific || body.last() != Some(&b'i')) || digits == 0 {
        return Err(reason("invalid number"));
    }
    if integer {
        let text = text.strip_suffix(b"i").unwrap_or(text);
        if number::integer(text) == Err(IntegerError::Range) {
            let quoted =
                [b"unable to parse integer ", text, b": strconv.ParseInt: parsing \"", text];
            return Err(Cow::Owned([&quoted.concat(), &b"\": value out of range"[..]].concat()));
        }
    } else if !number::float(text).is_some_and(f64::is_finite) {
        return Err(reason("invalid float"));
    }
    Ok(end)
}

fn scan_boolean(line: &[u8], start: usize) -> Result<usize, Reason> {
    let end = value_end(line, start);
    match boolean(line.get(start..end).unwrap_or(&[])) {
        Some(_) => Ok(end),
        None => Err(reason("invalid boolean")),
    }
}

fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => Some(true),
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => Some(false),
        _ => None,
    }
}

/// A field as sent: its name with escapes, and its value.
pub type RawField<'a> = (&'a [u8], Datum<'a>);

/// Cuts a scanned field section into names and values (appended to `out`).
pub fn walk<'a>(section: &'a [u8], out: &mut Vec<RawField<'a>>) -> Result<(), Reason> {
    let mut rest = section;
    while !rest.is_empty() {
        let equals = memchr::memchr_iter(b'=', rest)
            .find(|at| *at == 0 || rest.get(at - 1) != Some(&b'\\'))
            .unwrap_or(rest.len());
        let (name, value) = rest.split_at(equals);
        let Some((value, behind)) = value.get(1..).filter(|value| !value.is_empty()).map(cut_value)
        else {
            return Err(Cow::Owned([b"invalid value: field-key=".as_slice(), name].concat()));
        };
        out.push((name, datum(value)));
        rest = behind;
    }
    Ok(())
}

/// A value and what follows its comma.
fn cut_value(text: &[u8]) -> (&[u8], &[u8]) {
    let (mut at, mut quoted) = (0, false);
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' if matches!(text.get(at + 1), Some(b'"' | b'\\')) => at += 1,
            b'"' => quoted = !quoted,
            b',' if !quoted => break,
            _ => {}
        }
        at += 1;
    }
    let at = at.min(text.len());
    let (value, rest) = text.split_at(at);
    (value, rest.get(1..).unwrap_or(&[]))
}

/// A checked value. Of a quoted one the first and the last byte are taken off, whatever they are.
fn datum(value: &[u8]) -> Datum<'_> {
    match value {
        [b'"', inner @ ..] => {
            let text = inner.split_last().map_or(inner, |(_, text)| text);
            match memchr::memchr(b'\\', text) {
                Some(_) => Datum::Escaped(text),
                None => Datum::String(text),
            }
        }
        [text @ .., b'i'] => Datum::Integer(number::integer(text).unwrap_or(0)),
        [b'0'..=b'9' | b'.' | b'-', ..] => Datum::Float(number::float(value).unwrap_or(0.0)),
        _ => Datum::Boolean(boolean(value).unwrap_or(false)),
    }
}

/// The type a value is stored with.
pub fn kind_of(datum: Datum<'_>) -> FieldType {
    match datum {
        Datum::Float(_) => FieldType::Float,
        Datum::Integer(_) => FieldType::Integer,
        Datum::Unsigned(_) => FieldType::Unsigned,
        Datum::Boolean(_) => FieldType::Boolean,
        Datum::String(_) | Datum::Escaped(_) => FieldType::String,
    }
}

/// The time section behind `start`: its digits (empty: none), and where it ends.
pub fn scan_time(line: &[u8], start: usize) -> Result<(&[u8], usize), Reason> {
    let start = skip_blanks(line, start);
    let mut at = start;
    while let Some(byte) = line.get(at) {
        match byte {
            b'\n' | b' ' => break,
            b'-' if at == start => {}
            b'0'..=b'9' => {}
            _ => return Err(reason("bad timestamp")),
        }
        at += 1;
    }
    Ok((line.get(start..at).unwrap_or(&[]), at))
}
