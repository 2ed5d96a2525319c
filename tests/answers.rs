//! Answers to queries, held against those of InfluxDB.
//!
//! In: the folders of `tests/queries`. A file `NAME.lp` is data in line protocol; `NAME.txt` are
//! pairs of lines, a statement and the JSON that answers it over this data (times in ns). Lines
//! that are empty or begin with `#` are left out. With `RECORD_ANSWERS=ADDRESS:PORT` the answers
//! of the server there (an InfluxDB 1.x that may lose its database `corpus`) are written into the
//! files; otherwise each statement goes to a new server of our own and must be answered so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{Server, connect, escape, folder, read_answer, send, start};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

/// Who is asked.
enum Asked {
    Ours(Server),
    Other(SocketAddr),
}

impl Asked {
    fn connect(&self) -> TcpStream {
        match self {
            Asked::Ours(server) => server.connect(),
            Asked::Other(address) => connect(*address),
        }
    }

    fn post(&self, path: &str, body: &[u8]) -> String {
        let mut stream = self.connect();
        let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
        send(&mut stream, &format!("POST {path} HTTP/1.1\r\n{kind}"), body);
        read_answer(&mut stream, false).text()
    }

    fn query(&self, text: &str) -> String {
        let body = format!("db=corpus&epoch=ns&q={}", escape(text));
        self.post("/query", body.as_bytes()).trim_end().to_owned()
    }
}

/// Every `.lp` file below `tests/queries`.
fn data_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/queries")];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|end| end == "lp") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn answers_are_those_of_the_reference() {
    let (_dir, data) = folder();
    let recording = std::env::var("RECORD_ANSWERS").ok();
    let asked = match &recording {
        Some(address) => Asked::Other(address.parse().unwrap()),
        None => Asked::Ours(start(&data, &[])),
    };
    let mut wrong = Vec::new();
    for path in data_files() {
        asked.query("DROP DATABASE corpus");
        asked.query("CREATE DATABASE corpus");
        let refused = asked.post("/write?db=corpus", &std::fs::read(&path).unwrap());
        assert_eq!(refused, "", "{}", path.display());
        let answers = path.with_extension("txt");
        let text = std::fs::read_to_string(&answers).unwrap();
        let mut lines = text.lines();
        let mut recorded = String::new();
        while let Some(line) = lines.next() {
            recorded += &format!("{line}\n");
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let expected = lines.next().unwrap_or_default();
            let found = asked.query(line);
            if found != expected {
                wrong.push(format!("{line}\n  {found}\n  {expected}"));
            }
            recorded += &format!("{found}\n");
        }
        if recording.is_some() {
            std::fs::write(&answers, recorded).unwrap();
        }
    }
    assert!(recording.is_some() || wrong.is_empty(), "{}", wrong.join("\n"));
}
