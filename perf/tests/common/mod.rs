//! What the tests share: a ringtail server in a folder of its own, runs of `ringtail-load` against
//! it, and a request of HTTP over a plain socket.
//!
//! The server's program lies beside the load generator's when the whole workspace is tested; when
//! it is not there it is built.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers; each test uses a part of them"
)]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Nothing in a test may take longer.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A running server; it is killed when it goes.
pub struct Server {
    child: Child,
    /// Listeners: protocol and address.
    doors: Vec<(String, SocketAddr)>,
}

/// The server's program.
fn program() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let path = Path::new(env!("CARGO_BIN_EXE_ringtail-load")).with_file_name("ringtail");
        if !path.exists() {
            let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "--bin", "ringtail"]).current_dir(workspace);
            assert!(build.status().unwrap().success());
        }
        path
    })
}

/// Starts a server with every door on a free port.
pub fn start(data: &Path, flags: &[&str]) -> Server {
    let mut command = Command::new(program());
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
    command.args(["serve", "--cores", "2", "--data-dir"]).arg(data);
    for door in ["http", "telnet", "graphite", "pickle"] {
        command.args([&format!("--{door}-bind"), "127.0.0.1:0"]);
    }
    let mut child = command.args(flags).spawn().unwrap();
    let mut doors = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
        if line == "ready" {
            return Server { child, doors };
        }
        let door = line.strip_prefix("listening  ").and_then(|door| door.split_once(' '));
        doors.extend(door.and_then(|(name, at)| Some((name.to_owned(), at.parse().ok()?))));
    }
    panic!("the server did not start: {:?}", child.wait());
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Server {
    /// The address of a listener.
    pub fn door(&self, name: &str) -> SocketAddr {
        let found = self.doors.iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("no {name} in {:?}", self.doors)).1
    }

    /// Its process, for `--pid`.
    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Runs `ringtail-load` against the listener; words of `flags` are set apart by blanks.
    pub fn load(&self, command: &str, door: &str, flags: &str) -> Command {
        let mut load = load(command, flags);
        load.args(["--address", &self.door(door).to_string(), "--pid", &self.pid()]);
        load
    }

    /// Sends points and gives the summary; every request must be accepted.
    pub fn ingest(&self, door: &str, flags: &str) -> Value {
        let out = self.load("ingest", door, flags).arg("--json").output().unwrap();
        let found: Value = serde_json::from_str(&text(&out)).unwrap();
        assert_eq!(found["errors"], 0.0, "{flags}: {}", String::from_utf8_lossy(&out.stderr));
        found
    }

    /// What `/query` answers.
    pub fn ask(&self, db: &str, statement: &str) -> Value {
        let coded = statement.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let mut stream = TcpStream::connect(self.door("http")).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let request = format!(
            "POST /query?db={db}&q={coded} HTTP/1.0\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Values stored in a database; KairosDB's metrics and Graphite's paths are measurements.
    pub fn count(&self, db: &str) -> u64 {
        let answer = self.ask(db, "SELECT count(*) FROM /.*/");
        let series = answer["results"][0]["series"].as_array().cloned().unwrap_or_default();
        let counts = series.iter().flat_map(|one| one["values"][0].as_array().unwrap().iter());
        // The first of each row is its time, 1970.
        counts.filter_map(Value::as_u64).sum()
    }
}

/// Runs `ringtail-load`.
pub fn load(command: &str, flags: &str) -> Command {
    let mut load = Command::new(env!("CARGO_BIN_EXE_ringtail-load"));
    load.arg(command).args(flags.split_whitespace()).stdin(Stdio::null());
    load
}

/// What a run that must go well printed.
pub fn text(out: &Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout.clone()).unwrap()
}

/// What a run that must fail says.
pub fn failure(out: &Output) -> String {
    assert!(!out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    String::from_utf8(out.stderr.clone()).unwrap()
}

/// Waits until something is so.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
