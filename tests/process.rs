//! The life of the process as a person sees it: start, readiness, refusals, signals, exit codes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{folder, program, read_answer, send, start, start_to_fail};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Instant;

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = program().args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn ready_lines_tell_where_the_server_listens() {
    let (_dir, data) = folder();
    let server = start(&data, &["--cores", "2", "--shards", "5"]);
    assert!(server.lines[0].starts_with("ringtail 0."), "{:?}", server.lines);
    let shards = server.lines.iter().find(|line| line.starts_with("shards")).unwrap();
    assert!(shards.contains("5 on 2 cores"), "{shards}");
    assert!(server.lines.iter().any(|line| line.starts_with("durability always")));
    assert!(server.lines.iter().any(|line| line.ends_with(data.to_str().unwrap())));
    assert!(!server.lines.iter().any(|line| line.starts_with("warning")));
    assert_eq!(server.get("/ping").status, 204);
}

#[test]
fn both_signals_end_it_in_order() {
    for signal in ["-TERM", "-INT"] {
        let (_dir, data) = folder();
        let mut server = start(&data, &[]);
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{signal}");
    }
}

#[test]
fn idle_connections_do_not_hold_the_end_back() {
    let (_dir, data) = folder();
    let mut server = start(&data, &["--stop-timeout", "1h"]);
    let mut idle = server.connect();
    send(&mut idle, "GET /ping HTTP/1.1\r\n", b"");
    assert_eq!(read_answer(&mut idle, false).status, 204);
    let telnet = common::connect(server.telnet);
    server.await_counter("telnet_accepted", 1);
    server.signal("-TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0);
    drop(telnet);
}

#[test]
fn a_request_under_way_is_finished_before_the_end() {
    let (_dir, data) = folder();
    let mut server = start(&data, &[]);
    server.query("", "CREATE DATABASE d");
    let mut stream = server.connect();
    let head = "POST /write?db=d HTTP/1.1\r\nContent-Length: 8\r\nExpect: 100-continue\r\n";
    send(&mut stream, head, b"");
    // The server waits for the body now.
    assert_eq!(read_answer(&mut stream, false).status, 100);
    server.signal("-TERM");
    // Nobody is accepted any more once the drain has begun.
    while std::net::TcpStream::connect(server.http).is_ok() {
        std::thread::yield_now();
    }
    std::io::Write::write_all(&mut stream, b"cpu v=1\n").unwrap();
    let answer = read_answer(&mut stream, false);
    assert_eq!((answer.status, answer.header("connection")), (204, "close"));
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_second_server_is_refused_at_once() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    let folder_text = data.to_str().unwrap();
    let (code, _, text) = run(&["--data-dir", folder_text, "--http-bind", "none"]);
    assert_eq!(code, 1);
    assert!(text.contains("is in use by another ringtail"), "{text}");
    let other = data.parent().unwrap().join("other");
    let http = server.http.to_string();
    let (code, _, text) = run(&["--data-dir", other.to_str().unwrap(), "--http-bind", &http]);
    assert_eq!(code, 1);
    assert_eq!(
        text,
        format!("ringtail: http cannot listen on {http}: another process listens there\n")
    );
    assert_eq!(server.get("/ping").status, 204);
}

#[test]
fn an_address_can_be_used_again_at_once() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    assert_eq!(server.get("/ping").status, 204);
    let http = server.http.to_string();
    assert_eq!(server.stop().code(), Some(0));
    // A test beside this one may be given the port for a moment.
    let until = std::time::Instant::now() + common::DEADLINE;
    let mut ready = false;
    while !ready && std::time::Instant::now() < until {
        let again = program()
            .args(["--data-dir", data.to_str().unwrap(), "--http-bind", &http])
            .args(["--telnet-bind", "none", "--cores", "1"])
            .stdout(std::process::Stdio::piped())
            .spawn();
        let mut again = again.unwrap();
        let lines = std::io::BufReader::new(again.stdout.take().unwrap());
        ready = std::io::BufRead::lines(lines).map_while(Result::ok).any(|line| line == "ready");
        again.kill().unwrap();
        again.wait().unwrap();
    }
    assert!(ready);
}

#[test]
fn wrong_options_are_refused_with_a_sentence() {
    let cases: [(&[&str], &str); 5] = [
        (&["--nonsense", "1"], "--nonsense"),
        (&["--cores", "none"], "cores (flag --cores): expected all, a number"),
        (
            &["--https-bind", "127.0.0.1:1"],
            "https.bind is set: https.certificate must name a PEM file",
        ),
        (&["--config", "/nowhere/x.toml"], "/nowhere/x.toml"),
        (&["--http-bind", "nowhere"], "http.bind (flag --http-bind): expected ADDRESS:PORT"),
    ];
    for (arguments, expected) in cases {
        let (code, out, text) = run(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
}

#[test]
fn help_version_and_configuration_are_printed() {
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, 0);
    assert!(out.contains("--http-bind <VALUE>") && out.contains("RINGTAIL_HTTP_BIND"));
    let (code, out, _) = run(&["--version"]);
    assert_eq!((code, out.starts_with("ringtail 0.")), (0, true));
    let (code, out, _) = run(&["config"]);
    assert!(code == 0 && out.contains("[http]"));
    let (code, out, _) = run(&["config", "--effective", "--cores", "2"]);
    assert!(code == 0 && out.contains("cores = 2  (flag --cores)\n"), "{out}");
    assert!(out.contains("log.sync = always  (default)\n"));
}

#[test]
fn acknowledged_points_survive_kill_and_another_number_of_cores() {
    let (_dir, data) = folder();
    let server = start(&data, &["--cores", "2"]);
    server.query("", "CREATE DATABASE d");
    for round in 0..20 {
        let lines: String = (0..50).map(|n| format!("cpu,host=h{n} v={round} {round}\n")).collect();
        assert_eq!(server.post("/write?db=d", lines.as_bytes()).status, 204);
    }
    server.kill();
    let server = start(&data, &["--cores", "3"]);
    let rows: u64 = server.counter("ringtail_shard", "head_rows");
    assert_eq!((rows, server.counter("ringtail_shard", "series")), (1000, 50));
    assert_eq!(server.post("/debug/maintain?work=flush", b"").status, 204);
    assert_eq!(server.counter("ringtail_shard", "head_rows"), 0);
    assert_eq!(server.stop().code(), Some(0));
    let server = start(&data, &["--cores", "1"]);
    assert_eq!(server.counter("ringtail_shard", "segment_values"), 1000);
    assert_eq!(server.counter("ringtail_shard", "series"), 50);
    assert!(server.query("", "SHOW DATABASES").contains("[\"d\"]"));
}

/// Waits until every shard has written its log file full, so that nothing is written to files in
/// the background any more.
fn await_log_files(data: &Path, bytes: u64) {
    let full = |dir: PathBuf| {
        let files = std::fs::read_dir(dir.join("log")).unwrap().map(Result::unwrap);
        let sizes: Vec<u64> = files.map(|file| file.metadata().unwrap().len()).collect();
        sizes == [bytes]
    };
    let until = Instant::now() + common::DEADLINE;
    loop {
        let names = std::fs::read_dir(data.join("epoch-1")).unwrap().map(Result::unwrap);
        let shards = names.filter(|one| one.file_name().to_string_lossy().starts_with("shard-"));
        if shards.map(|one| one.path()).all(full) {
            return;
        }
        assert!(Instant::now() < until, "log files are not made ready");
        std::thread::yield_now();
    }
}

#[test]
fn a_disk_that_refuses_ends_the_process_with_a_reason() {
    for (request, reason) in [
        ("POST /write?db=d HTTP/1.1\r\n", "has failed: "),
        ("POST /query?q=CREATE+DATABASE+e HTTP/1.1\r\n", "the catalog has failed: "),
    ] {
        let (dir, data) = folder();
        let errors = dir.path().join("errors");
        let mut server = start_to_fail(&data, &errors, &["--log-file-size", "1m"]);
        server.query("", "CREATE DATABASE d");
        assert_eq!(server.post("/write?db=d", b"cpu v=1 1").status, 204);
        await_log_files(&data, 1 << 20);
        if request.contains("/query") {
            // The catalog's file becomes longer than what the shards have written of their logs.
            (0..40).for_each(|n| drop(server.query("", &format!("CREATE DATABASE d{n}"))));
            server.limit_files(128 << 10);
        } else {
            server.limit_files(4096);
        }
        let mut stream = server.connect();
        let lines: String = (0..50).map(|n| format!("cpu,n={n} v=2 2\n")).collect();
        send(&mut stream, request, lines.as_bytes());
        assert_eq!(server.wait().code(), Some(1));
        let text = std::fs::read_to_string(&errors).unwrap();
        let line = text.lines().find(|line| line.contains("has failed: ")).unwrap();
        let file = data.to_str().unwrap();
        assert!(line.contains(reason) && line.contains(file), "{text}");
        assert!(line.contains("File too large"), "{text}");
        // What was acknowledged is there again.
        let server = start(&data, &[]);
        let rows = server.query("d", "SELECT v FROM cpu WHERE time = 1");
        assert!(rows.contains("[\"1970-01-01T00:00:00.000000001Z\",1]"), "{rows}");
    }
}

#[test]
fn a_store_that_lost_its_catalog_is_refused() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    server.query("", "CREATE DATABASE d");
    assert_eq!(server.stop().code(), Some(0));
    let epoch = data.join("epoch-1");
    let names: Vec<_> = std::fs::read_dir(&epoch).unwrap().map(|entry| entry.unwrap()).collect();
    let lost = names.iter().filter(|one| one.file_name().to_string_lossy().starts_with("catalog-"));
    let lost: Vec<_> = lost.map(|entry| std::fs::remove_file(entry.path()).unwrap()).collect();
    assert_eq!(lost.len(), 1);
    let arguments = ["--data-dir", data.to_str().unwrap(), "--http-bind", "none"];
    let (code, _, text) = run(&arguments);
    assert_eq!(code, 1);
    let expected = "epoch-1 has shards and no catalog; bring the file back or move the data away";
    assert!(text.contains(expected), "{text}");
    assert!(std::fs::read_dir(&epoch).unwrap().count() == names.len() - 1, "nothing was made");
}
