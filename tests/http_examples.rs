//! Requests and their answers, as examples: those of the HTTP API's document, and what clients and
//! dashboards are known to send.
//!
//! In: the files of `tests/http`, each asked of a new server from its first case to its last. A
//! case is `== name`, a request, and its answer:
//!
//! ```text
//! POST /query?db=d        the request line
//! Accept: text/csv        a header
//! ? q = SELECT 1          a parameter of the URL, escaped here
//! & q = SELECT 1          one of a form in the body
//! > line                  a line of the body (`>|` without its line end)
//! -- 200                  the status
//! Content-Type: text/csv  a header of the answer
//! < line                  a line of its body (`<|` without its line end); none: it has no body
//! <~ part                 or: what its body contains
//! ```
//! `RECORD_HTTP=ADDRESS:PORT` asks the server there (an InfluxDB 1.x that may lose its databases)
//! and writes its answers to the cases that have none; without it a case without one fails.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{Answer, connect, escape, folder, read_answer, send, start};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Default, Debug)]
struct Case {
    name: String,
    line: String,
    headers: Vec<String>,
    url: Vec<String>,
    form: Vec<String>,
    body: Option<String>,
    status: Option<u16>,
    expected: Vec<(String, String)>,
    answer: String,
    parts: Vec<String>,
}

fn pair(text: &str) -> String {
    let (key, value) = text.split_once(" = ").unwrap_or_else(|| panic!("no = in {text}"));
    format!("{key}={}", escape(value))
}

/// Appends a line's text, with its line end or without.
fn append(to: &mut String, rest: &str) {
    match rest.strip_prefix('|') {
        Some(text) => to.push_str(text.strip_prefix(' ').unwrap_or(text)),
        None => to.push_str(&format!("{}\n", rest.strip_prefix(' ').unwrap_or(rest))),
    }
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Case { name: name.to_owned(), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().unwrap();
        if case.line.is_empty() {
            case.line = line.to_owned();
        } else if let Some(rest) = line.strip_prefix("? ") {
            case.url.push(pair(rest));
        } else if let Some(rest) = line.strip_prefix("& ") {
            case.form.push(pair(rest));
        } else if let Some(rest) = line.strip_prefix('>') {
            append(case.body.get_or_insert_default(), rest);
        } else if let Some(status) = line.strip_prefix("-- ") {
            case.status = Some(status.parse().unwrap());
        } else if let Some(part) = line.strip_prefix("<~ ") {
            case.parts.push(part.to_owned());
        } else if let Some(rest) = line.strip_prefix('<') {
            append(&mut case.answer, rest);
        } else if case.status.is_none() {
            case.headers.push(line.to_owned());
        } else {
            let (name, value) = line.split_once(':').unwrap();
            case.expected.push((name.to_lowercase(), value.trim().to_owned()));
        }
    }
    cases
}

impl Case {
    fn ask(&self, address: SocketAddr) -> Answer {
        let (method, path) = self.line.split_once(' ').unwrap();
        let joint = if path.contains('?') { '&' } else { '?' };
        let url = self.url.join("&");
        let path = if url.is_empty() { path.to_owned() } else { format!("{path}{joint}{url}") };
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        self.headers.iter().for_each(|header| head.push_str(&format!("{header}\r\n")));
        let mut body = self.body.clone().unwrap_or_default();
        if !self.form.is_empty() {
            head.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
            body = self.form.join("&");
        }
        // Lines of a body that need the ends of lines of MIME.
        if self.headers.iter().any(|header| header.contains("multipart/")) {
            body = body.replace('\n', "\r\n");
        }
        let mut stream = connect(address);
        send(&mut stream, &head, body.as_bytes());
        read_answer(&mut stream, method == "HEAD")
    }

    fn differs(&self, found: &Answer) -> Option<String> {
        let text = String::from_utf8_lossy(&found.body);
        let same = if self.parts.is_empty() {
            text == self.answer
        } else {
            self.parts.iter().all(|part| text.contains(part))
        };
        let wrong = self.expected.iter().find(|(name, value)| found.header(name) != value);
        let wanted =
            if self.parts.is_empty() { self.answer.clone() } else { self.parts.join("…") };
        if Some(found.status) != self.status || !same {
            let (name, status) = (&self.name, self.status.unwrap_or_default());
            let got = found.status;
            return Some(format!("{name}:\n  wanted {status} {wanted}\n  got    {got} {text}"));
        }
        wrong.map(|(name, value)| {
            format!("{}: {name} is {:?}, not {value:?}", self.name, found.header(name))
        })
    }
}

fn files() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http");
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

/// Writes the answers of another server behind the cases that have none.
fn record(file: &Path, address: SocketAddr) {
    let text = std::fs::read_to_string(file).unwrap();
    let mut out = String::new();
    for (number, part) in text.split("\n== ").enumerate() {
        let part = if number == 0 { part.to_owned() } else { format!("== {part}") };
        out.push_str(part.trim_end());
        for case in parse(&part) {
            let answer = case.ask(address);
            if case.status.is_none() {
                out.push_str(&format!("\n-- {}", answer.status));
                for name in ["content-type", "x-influxdb-error"] {
                    let value = answer.header(name);
                    out.push_str(&if value.is_empty() {
                        String::new()
                    } else {
                        format!("\n{name}: {value}")
                    });
                }
                let body = answer.text();
                let whole = body.ends_with('\n');
                for line in body.lines() {
                    out.push_str(&format!("\n<{} {line}", if whole { "" } else { "|" }));
                }
            } else if let Some(text) = case.differs(&answer) {
                eprintln!("the other server differs: {text}");
            }
        }
        out.push_str("\n\n");
    }
    std::fs::write(file, format!("{}\n", out.trim_end())).unwrap();
}

#[test]
fn every_example_is_answered_so() {
    if let Some(other) = std::env::var_os("RECORD_HTTP") {
        let address = other.into_string().unwrap().parse().unwrap();
        return files().iter().for_each(|file| record(file, address));
    }
    let mut wrong = Vec::new();
    for file in files() {
        let (_dir, data) = folder();
        let server = start(&data, &["--cores", "2"]);
        let cases = parse(&std::fs::read_to_string(&file).unwrap());
        assert!(!cases.is_empty(), "{}", file.display());
        for case in cases {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            wrong
                .extend(case.differs(&case.ask(server.http)).map(|text| format!("{name}: {text}")));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
