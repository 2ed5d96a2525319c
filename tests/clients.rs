//! Real client programs send, then what they sent is read back through `/query`.
//!
//! The programs are installed by `tests/clients/install`; a test whose program is missing says so
//! and passes, unless REQUIRE_CLIENTS is set. Their scripts are in `tests/clients`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod common;

use common::{Server, folder, start};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn server() -> (tempfile::TempDir, Server) {
    let (dir, data) = folder();
    let flags = ["graphite", "graphite-udp", "pickle"].map(|door| format!("--{door}-bind"));
    let flags: Vec<&str> = flags.iter().flat_map(|flag| [flag.as_str(), "127.0.0.1:0"]).collect();
    let server = start(&data, &[&flags[..], &["--cores", "2"]].concat());
    (dir, server)
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Where `install` puts packages.
fn installed() -> PathBuf {
    let given = std::env::var_os("RINGTAIL_CLIENTS").map(PathBuf::from);
    given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients"))
}

/// Whether a check of a client passes; says what is missing when it does not.
fn has(what: &str, check: &mut Command) -> bool {
    let found = check.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(std::env::var_os("REQUIRE_CLIENTS").is_none(), "{what} is not installed");
    eprintln!("skipped: {what} is not installed; see tests/clients/install");
    false
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].map(|out| String::from_utf8_lossy(&out).into_owned());
    assert!(output.status.success(), "{command:?}: {}", text.concat());
}

fn python() -> Command {
    Command::new(installed().join("python/bin/python"))
}

/// Runs a Python script with the ports of some doors; false when its package is missing.
fn run_python(server: &Server, package: &str, script: &str, doors: &[&str]) -> bool {
    if !has(
        &format!("the Python package {package}"),
        python().args(["-c", &format!("import {package}")]),
    ) {
        return false;
    }
    let ports = doors.iter().map(|door| server.door(door).port().to_string());
    run(python().arg(here().join(script)).arg("127.0.0.1").args(ports));
    true
}

/// The values of a measurement by time, as the query answers them.
fn values(server: &Server, db: &str, measurement: &str) -> String {
    let text = server.query(db, &format!("SELECT * FROM \"{measurement}\""));
    let at = text.find("\"values\":").unwrap_or_else(|| panic!("no {measurement}: {text}"));
    text[at + 9..].trim_end().trim_end_matches("}]}]}").to_owned()
}

#[test]
fn graphyte() {
    let (_dir, server) = server();
    if !run_python(&server, "graphyte", "graphyte.py", &["graphite", "graphite-udp"]) {
        return;
    }
    server.await_counter("graphite_points_ok", 2);
    server.await_counter("graphite_udp_points_ok", 1);
    assert_eq!(
        values(&server, "kairosdb", "graphyte.cpu.load"),
        "[[\"2021-01-01T00:00:00Z\",null,42.5],[\"2021-01-01T00:00:01Z\",\"eu\",7]]"
    );
    assert_eq!(values(&server, "kairosdb", "graphyte.udp"), "[[\"2021-01-01T00:00:00Z\",1.25]]");
}

#[test]
fn graphitesend() {
    let (_dir, server) = server();
    if !run_python(&server, "graphitesend", "graphitesend.py", &["graphite", "pickle"]) {
        return;
    }
    server.await_counter("graphite_points_ok", 2);
    server.await_counter("pickle_points_ok", 2);
    for (name, expected) in [
        ("plain", "[[\"2021-01-01T00:00:00Z\",45]]"),
        ("dict", "[[\"2021-01-01T00:00:00Z\",50.5]]"),
        ("pickled", "[[\"2021-01-01T00:00:00Z\",1.5],[\"2021-01-01T00:00:01Z\",2]]"),
    ] {
        assert_eq!(values(&server, "kairosdb", &format!("graphitesend.{name}")), expected);
    }
}

#[test]
fn influxdb_python() {
    let (_dir, server) = server();
    if run_python(&server, "influxdb", "influxdb.py", &["http"]) {
        let count = "SELECT count(load) FROM cpu";
        assert!(server.query("pyclient", count).contains("[\"1970-01-01T00:00:00Z\",100]"));
    }
}

#[test]
fn influxdb_client_of_version_2() {
    let (_dir, server) = server();
    server.query("", "CREATE DATABASE v2client");
    if run_python(&server, "influxdb_client", "influxdb_client.py", &["http"]) {
        let count = "SELECT count(load) FROM cpu";
        assert!(server.query("v2client", count).contains("[\"1970-01-01T00:00:00Z\",20]"));
    }
}

#[test]
fn influx_node() {
    let (_dir, server) = server();
    let modules = installed().join("node_modules");
    let mut check = Command::new("node");
    if !has(
        "the npm package influx",
        check.env("NODE_PATH", &modules).args(["-e", "require('influx')"]),
    ) {
        return;
    }
    let port = server.http.port().to_string();
    let mut script = Command::new("node");
    run(script.env("NODE_PATH", &modules).arg(here().join("influx.js")).args(["127.0.0.1", &port]));
    let count = "SELECT count(load) FROM cpu";
    assert!(server.query("nodeclient", count).contains("[\"1970-01-01T00:00:00Z\",50]"));
}

#[test]
fn frames_of_pandas() {
    let (_dir, server) = server();
    if has("the Python package pandas", python().args(["-c", "import pandas"])) {
        run_python(&server, "influxdb", "influxdb_frames.py", &["http"]);
    }
}

#[test]
fn kairosdb_of_python() {
    let (_dir, server) = server();
    let folder = installed().join("kairosdb-python");
    let mut check = python();
    check.env("PYTHONPATH", &folder).args(["-c", "import kairosdb"]);
    if has("the Python package kairosdb-python", &mut check) {
        let port = server.http.port().to_string();
        let mut script = python();
        script.env("PYTHONPATH", &folder).arg(here().join("kairosdb-python.py"));
        run(script.args(["127.0.0.1", &port]));
    }
}

#[test]
fn kairosdb_of_node() {
    let (_dir, server) = server();
    let modules = installed().join("node_modules");
    let mut check = Command::new("node");
    check.env("NODE_PATH", &modules).args(["-e", "require('kairosdb')"]);
    if has("the npm package kairosdb", &mut check) {
        let port = server.http.port().to_string();
        let mut script = Command::new("node");
        script.env("NODE_PATH", &modules).arg(here().join("kairosdb.js"));
        run(script.args(["127.0.0.1", &port]));
    }
}

/// The shell of InfluxDB with its arguments; `None` when it is not installed.
fn shell(server: &Server) -> Option<Command> {
    let mut shell = Command::new("influx");
    shell.args(["-host", "127.0.0.1", "-port", &server.http.port().to_string()]);
    has("influx (influxdb-client)", Command::new("influx").arg("-version")).then_some(shell)
}

fn printed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].map(|out| String::from_utf8_lossy(&out).into_owned());
    assert!(output.status.success(), "{command:?}: {}", text.concat());
    text[0].clone()
}

const IMPORT: &str = "# DDL
CREATE DATABASE imported
CREATE RETENTION POLICY short ON imported DURATION 0s REPLICATION 1

# DML
# CONTEXT-DATABASE: imported
# CONTEXT-RETENTION-POLICY: short

cpu,host=a v=1 1609459200
cpu,host=b v=2.5 1609459201
cpu,host=c s=\"x y\" 1609459202
";

#[test]
fn the_shell_imports_and_prints_every_format() {
    let (dir, server) = server();
    let Some(mut import) = shell(&server) else { return };
    let file = dir.path().join("import");
    std::fs::write(&file, IMPORT).unwrap();
    run(import.args(["-import", "-precision", "s", "-path"]).arg(&file));
    let ask = |flags: &[&str], text: &str| {
        let mut shell = shell(&server).unwrap();
        printed(shell.args(["-database", "imported", "-execute", text]).args(flags))
    };
    let all = "SELECT * FROM short.cpu; SHOW MEASUREMENTS";
    assert_eq!(
        ask(&["-format", "csv", "-precision", "s"], all),
        "name,time,host,s,v\ncpu,1609459200,a,,1\ncpu,1609459201,b,,2.5\ncpu,1609459202,c,x y,\n\
         name,name\nmeasurements,cpu\n"
    );
    assert_eq!(
        ask(&["-format", "json", "-precision", "rfc3339"], "SELECT v FROM short.cpu"),
        "{\"results\":[{\"series\":[{\"name\":\"cpu\",\"columns\":[\"time\",\"v\"],\"values\":\
         [[\"2021-01-01T00:00:00Z\",1],[\"2021-01-01T00:00:01Z\",2.5]]}]}]}\n"
    );
    let column = ask(&["-format", "column", "-precision", "ms"], all);
    let lines: Vec<&str> = column.lines().map(str::trim_end).collect();
    let expected = [
        "name: cpu",
        "time          host s   v",
        "----          ---- -   -",
        "1609459200000 a        1",
        "1609459201000 b        2.5",
        "1609459202000 c    x y",
    ];
    assert_eq!(lines[..6], expected, "{column}");
    let mut broken = shell(&server).unwrap();
    let broken = broken.args(["-execute", "SELECT nope("]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(broken.status.code(), Some(1));
    let said = [broken.stdout, broken.stderr].concat();
    assert!(String::from_utf8_lossy(&said).contains("ERR: error parsing query: found EOF"));
}

#[test]
fn the_shell_takes_statements_from_a_pipe() {
    let (_dir, server) = server();
    let Some(mut shell) = shell(&server) else { return };
    server.query("", "CREATE DATABASE piped");
    assert_eq!(server.post("/write?db=piped", b"cpu v=1 1\ncpu v=2 2").status, 204);
    let shell = shell.args(["-database", "piped", "-format", "csv"]);
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let text = b"SELECT v FROM cpu; SELECT sum(v) FROM cpu;\nSHOW MEASUREMENTS\n";
    shell.stdin.take().unwrap().write_all(text).unwrap();
    let output = shell.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let expected =
        "name,time,v\ncpu,1,1\ncpu,2,2\nname,time,sum\ncpu,0,3\nname,name\nmeasurements,cpu\n";
    assert_eq!((text.replace("\n\n", "\n").as_str(), output.status.success()), (expected, true));
}

#[test]
fn the_shell_on_a_terminal() {
    let (_dir, server) = server();
    if shell(&server).is_some() && has("python3", Command::new("python3").arg("--version")) {
        let port = server.http.port().to_string();
        let script = here().join("influx_shell.py");
        run(Command::new("python3").arg(script).args(["127.0.0.1", &port]));
    }
}

#[test]
fn netcat_as_in_the_example_of_kairosdb() {
    let (_dir, server) = server();
    if !has("netcat (nc)", Command::new("nc").arg("-h")) {
        return;
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let port = server.telnet.port().to_string();
    let mut nc = Command::new("nc");
    let mut nc = nc.args(["-w", "30", "127.0.0.1", &port]).stdin(Stdio::piped()).spawn().unwrap();
    let line = format!("put load_value_test {} 42 host=A\n", now.as_secs());
    nc.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    server.await_counter("telnet_points_ok", 1);
    nc.kill().unwrap();
    nc.wait().unwrap();
    let found = values(&server, "kairosdb", "load_value_test");
    assert!(found.ends_with(",\"A\",42]]"), "{found}");
}

#[test]
fn collectd() {
    let (dir, server) = server();
    if !has("collectd", Command::new("collectd").arg("-h")) {
        return;
    }
    let text = std::fs::read_to_string(here().join("collectd.conf")).unwrap();
    let port = |door: &str| server.door(door).port().to_string();
    let text = text
        .replace("FOLDER", &dir.path().display().to_string())
        .replace("GRAPHITE_PORT", &port("graphite"))
        .replace("GRAPHITE_UDP_PORT", &port("graphite-udp"))
        .replace("TELNET_PORT", &port("telnet"))
        .replace("HTTP_PORT", &port("http"));
    let file = dir.path().join("collectd.conf");
    std::fs::write(&file, text).unwrap();
    let mut collectd = Command::new("collectd");
    collectd.args(["-f", "-C"]).arg(&file).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut collectd = collectd.spawn().unwrap();
    let lines = BufReader::new(collectd.stdout.take().unwrap()).lines().map(Result::unwrap);
    // Several readings, so that every writer has had some; it sends the rest when it ends.
    let seen = lines.filter(|line| line.starts_with("PUTVAL")).take(20).count();
    assert_eq!(seen, 20, "collectd ended by itself");
    let ended = Command::new("kill").arg(collectd.id().to_string()).status().unwrap();
    assert!(ended.success() && collectd.wait().unwrap().success());
    let show = || server.query("kairosdb", "SHOW MEASUREMENTS");
    let expected = [
        "collectd.web01.load.load.shortterm",
        "collectd_udp.web01.memory.memory-free",
        "memory.free.memory",
        "collectd_http.memory",
    ];
    for name in expected {
        let deadline = std::time::Instant::now() + common::DEADLINE;
        while !show().contains(&format!("\"{name}\"")) {
            assert!(std::time::Instant::now() < deadline, "no {name} in {}", show());
            std::thread::yield_now();
        }
    }
    assert_eq!(server.counter("ringtail", "telnet_lines_dropped"), 0);
    assert_eq!(server.counter("ringtail", "graphite_lines_dropped"), 0);
    assert_eq!(server.counter("ringtail", "graphite_udp_lines_dropped"), 0);
    let tags = server.query("kairosdb", "SHOW TAG VALUES WITH KEY = dc");
    assert!(tags.contains("\"eu\""), "{tags}");
}
