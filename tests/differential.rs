//! Statements with the answers that InfluxDB 1.x gives to them, byte for byte.
//!
//! `tests/queries/*.txt` hold the cases: `write DB` is followed by lines of line protocol up to an
//! empty line, `> STATEMENT` by the answer (database `d`, times in seconds). With
//! `ASK_INFLUXD=1` the answers are asked from the `influxd` that is installed and written
//! down again; a statement behind `! ` keeps the answer that stands there, because ringtail
//! differs on purpose.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "common/mod.rs"]
mod common;

use common::{Server, folder, start};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Something that answers queries.
trait Asked {
    fn write(&self, db: &str, lines: &str);
    fn query(&self, text: &str) -> String;
}

impl Asked for Server {
    fn write(&self, db: &str, lines: &str) {
        self.query("", &format!("create database {db}"));
        assert_eq!(self.post(&format!("/write?db={db}"), lines.as_bytes()).status, 204);
    }

    fn query(&self, text: &str) -> String {
        ask(self.http, text)
    }
}

/// The reference, on ports of its own.
struct Reference {
    child: Child,
    http: SocketAddr,
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Asked for Reference {
    fn write(&self, db: &str, lines: &str) {
        ask(self.http, &format!("create database {db}"));
        let head = format!("POST /write?db={db} HTTP/1.0\r\n");
        let answer = exchange(self.http, &head, lines.as_bytes());
        assert!(answer.contains(" 204 "), "{answer}");
    }

    fn query(&self, text: &str) -> String {
        ask(self.http, text)
    }
}

fn exchange(to: SocketAddr, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    let head = format!("{head}Host: test\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn ask(to: SocketAddr, text: &str) -> String {
    let body = format!("db=d&epoch=s&q={}", common::escape(text));
    let kind = "Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n";
    let answer = exchange(to, &format!("POST /query HTTP/1.0\r\n{kind}"), body.as_bytes());
    answer.split_once("\r\n\r\n").unwrap().1.trim_end().to_owned()
}

fn reference(dir: &Path) -> Reference {
    let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (http, backup) = (port(), port());
    let config = format!(
        "reporting-disabled = true\nbind-address = \"{backup}\"\n\
         [meta]\ndir = \"{0}/meta\"\n[data]\ndir = \"{0}/data\"\nwal-dir = \"{0}/wal\"\n\
         [monitor]\nstore-enabled = false\n[http]\nbind-address = \"{http}\"\n",
        dir.display()
    );
    let file = dir.join("influxd.conf");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new("influxd");
    command.arg("-config").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(15);
    while TcpStream::connect(http).is_err() {
        assert!(Instant::now() < until, "influxd does not start");
        std::thread::yield_now();
    }
    Reference { child, http }
}

/// One file of cases.
fn run(file: &Path, asked: &dyn Asked, record: bool) {
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines = text.lines();
    let mut out = String::new();
    let mut wrong = Vec::new();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        if let Some(db) = line.strip_prefix("write ") {
            let data: Vec<&str> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            let data = data.join("\n");
            asked.write(db, &data);
            out.push_str(&format!("{data}\n\n"));
            continue;
        }
        let own = line.strip_prefix("! ");
        let Some(statement) = line.strip_prefix("> ").or(own) else { continue };
        let expected = lines.next().unwrap_or_default();
        let found = asked.query(statement);
        let kept = if record && own.is_none() { found.as_str() } else { expected };
        out.push_str(kept);
        out.push('\n');
        if found != kept {
            wrong.push(format!("{statement}\n  expected {expected}\n  found    {found}"));
        }
    }
    if record {
        std::fs::write(file, out).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{}: {}\n{}", file.display(), wrong.len(), wrong.join("\n"));
}

#[test]
fn answers_are_those_of_the_reference() {
    let folder_of_cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/queries");
    let entries = std::fs::read_dir(folder_of_cases).unwrap().map(|entry| entry.unwrap().path());
    // Folders beside the files hold cases of `tests/answers.rs`.
    let mut files: Vec<_> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let (_dir, data) = folder();
        if std::env::var_os("ASK_INFLUXD").is_some() {
            std::fs::create_dir_all(&data).unwrap();
            run(&file, &reference(&data), true);
        }
        let server = start(&data.join("own"), &["--cores", "2"]);
        run(&file, &server, false);
    }
}
