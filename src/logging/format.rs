//! How a line of the log looks.
//!
//! In: an event. Out: one line, whatever the text has in it. Lines of the access log are printed
//! as they are, behind `[httpd]`, except in JSON.

use super::{Event, Level};
use std::io::Write;

/// The form of the lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Logfmt,
    Json,
    /// For a person in front of a terminal.
    Console,
}

/// Writes an event with its line end.
pub fn write(event: &Event, format: Format, out: &mut Vec<u8>) {
    let text = match event.held_back {
        0 => event.text.clone(),
        more => format!("{} (and {more} messages not shown)", event.text),
    };
    match format {
        Format::Json => json(event, &text, out),
        _ if event.module == "access" => {
            out.extend_from_slice(b"[httpd] ");
            plain(&text, out);
        }
        Format::Logfmt => logfmt(event, &text, out),
        Format::Console => console(event, &text, out),
    }
    out.push(b'\n');
}

fn time(ns: i64) -> String {
    let micros = ns.div_euclid(1000);
    jiff::Timestamp::from_microsecond(micros).map_or(String::new(), |time| format!("{time:.6}"))
}

fn logfmt(event: &Event, text: &str, out: &mut Vec<u8>) {
    let level = event.level.name();
    // Writing into memory does not fail.
    let _ = write!(out, "ts={} lvl={level} module={} msg=", time(event.time_ns), event.module);
    value(text, out);
    for (name, text) in &event.fields {
        let _ = write!(out, " {name}=");
        value(text, out);
    }
}

/// A value, in quotes where it needs them.
fn value(text: &str, out: &mut Vec<u8>) {
    let bare = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\');
    match !text.is_empty() && text.chars().all(bare) {
        true => out.extend_from_slice(text.as_bytes()),
        false => quoted(text, out),
    }
}

fn json(event: &Event, text: &str, out: &mut Vec<u8>) {
    let (level, module) = (event.level.name(), event.module);
    let ts = time(event.time_ns);
    let _ = write!(out, "{{\"ts\":\"{ts}\",\"lvl\":\"{level}\",\"module\":\"{module}\",\"msg\":");
    quoted(text, out);
    for (name, text) in &event.fields {
        let _ = write!(out, ",\"{name}\":");
        quoted(text, out);
    }
    out.push(b'}');
}

fn console(event: &Event, text: &str, out: &mut Vec<u8>) {
    let colour = match event.level {
        Level::Debug => 36,
        Level::Info => 32,
        Level::Warn => 33,
        Level::Error => 31,
    };
    let (level, module) = (event.level.name(), event.module);
    let _ = write!(out, "{} \x1b[{colour}m{level:5}\x1b[0m {module}: ", time(event.time_ns));
    plain(text, out);
    for (name, text) in &event.fields {
        let _ = write!(out, " {name}=");
        value(text, out);
    }
}

/// A text whose control characters are escaped.
fn plain(text: &str, out: &mut Vec<u8>) {
    for c in text.chars() {
        match c.is_control() {
            true => drop(write!(out, "{}", c.escape_default())),
            false => drop(write!(out, "{c}")),
        }
    }
}

/// A text as JSON has it.
fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            c if c.is_control() => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => drop(write!(out, "{c}")),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: &Event, format: Format) -> String {
        let mut out = Vec::new();
        write(event, format, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_is_one_line_in_every_form() {
        let event = Event {
            level: Level::Warn,
            module: "shard",
            text: "a \"b\"\nc".to_owned(),
            fields: vec![("shard", "3".to_owned()), ("file", "x y".to_owned())],
            time_ns: 1_488_327_378_000_001_999,
            held_back: 2,
        };
        let text = "a \\\"b\\\"\\nc (and 2 messages not shown)";
        let expected = format!(
            "ts=2017-03-01T00:16:18.000001Z lvl=warn module=shard msg=\"{text}\" shard=3 \
             file=\"x y\"\n"
        );
        assert_eq!(line(&event, Format::Logfmt), expected);
        let expected = format!(
            "{{\"ts\":\"2017-03-01T00:16:18.000001Z\",\"lvl\":\"warn\",\"module\":\"shard\",\
             \"msg\":\"{text}\",\"shard\":\"3\",\"file\":\"x y\"}}\n"
        );
        assert_eq!(line(&event, Format::Json), expected);
        assert_eq!(
            line(&event, Format::Console),
            "2017-03-01T00:16:18.000001Z \u{1b}[33mwarn \u{1b}[0m shard: a \"b\"\\nc (and 2 \
             messages not shown) shard=3 file=\"x y\"\n"
        );
        let access = Event { module: "access", held_back: 0, text: "1\t2".to_owned(), ..event };
        assert_eq!(line(&access, Format::Logfmt), "[httpd] 1\\t2\n");
    }
}
