//! `/debug/pprof/` over real sockets: every profile is opened by `go tool pprof` where there is
//! one, refusals, the archive, who may see it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod common;

use common::{Answer, DEADLINE, Server, folder, read_answer, send, start};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Profiles of one moment.
const PRESENT: [&str; 6] = ["allocs", "block", "goroutine", "heap", "mutex", "threadcreate"];

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

/// Whether there is a `go tool pprof` to test with.
fn go() -> bool {
    let found = Command::new("go").args(["tool", "-n", "pprof"]).output();
    let found = found.is_ok_and(|output| output.status.success());
    assert!(found || std::env::var_os("REQUIRE_CLIENTS").is_none(), "go tool pprof is missing");
    if !found {
        eprintln!("skipped: there is no go tool pprof");
    }
    found
}

/// What `go tool pprof` says of a profile.
fn pprof(dir: &Path, how: &str, bytes: &[u8]) -> String {
    let file = dir.join("profile.pb.gz");
    std::fs::write(&file, bytes).unwrap();
    let mut command = Command::new("go");
    command.args(["tool", "pprof", how, "-symbolize=none"]).arg(&file).env("HOME", dir);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{how}: {}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Writes and asks until it is told to stop.
fn load(server: &Server, stop: &AtomicBool) {
    let mut stream = server.connect();
    let body: String = (0..2000).map(|n| format!("m,host=h{} v={n}.5\n", n % 50)).collect();
    while !stop.load(Ordering::Relaxed) {
        send(&mut stream, "POST /write?db=d HTTP/1.1\r\n", body.as_bytes());
        assert_eq!(read_answer(&mut stream, false).status, 204);
    }
}

/// A file of an archive by its name.
fn members(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut at = 0;
    while tar[at] != 0 {
        let text = |range: std::ops::Range<usize>| {
            let field = &tar[at + range.start..at + range.end];
            String::from_utf8(field.split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap()
        };
        assert_eq!(text(100..108), "0000600");
        let size = usize::from_str_radix(&text(124..136), 8).unwrap();
        found.insert(text(0..100), tar[at + 512..at + 512 + size].to_vec());
        at += 512 + size.next_multiple_of(512);
    }
    found
}

#[test]
fn every_profile_opens_and_names_functions() {
    let (dir, data) = folder();
    let server = start(&data, &["--cores", "2"]);
    server.query("", "CREATE DATABASE d");
    let stop = AtomicBool::new(false);
    let go = go();
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| load(&server, &stop));
        let until = Instant::now() + 4 * DEADLINE;
        // A machine that has little time for the server may see nothing of it at first.
        loop {
            let cpu = server.get("/debug/pprof/profile?seconds=2");
            assert_eq!((cpu.status, cpu.header("content-type")), (200, "application/octet-stream"));
            let names = unpacked(&cpu.body);
            let seen = names.windows(10).any(|part| part == b"ringtail::");
            assert!(seen || Instant::now() < until, "no function of the server is named");
            if seen && go {
                let top = pprof(dir.path(), "-top", &cpu.body);
                assert!(top.contains("ringtail::") && top.contains("Type: cpu"), "{top}");
                let raw = pprof(dir.path(), "-raw", &cpu.body);
                assert!(raw.contains("src/") && raw.contains("thread:[ringtail-"), "{raw}");
            }
            if seen {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        loading.join().unwrap();
    });
    for name in PRESENT {
        let answer = server.get(&format!("/debug/pprof/{name}"));
        assert_eq!((answer.status, name), (200, name), "{}", answer.text());
        let file = format!("attachment; filename=\"{name}\"");
        assert_eq!(answer.header("content-disposition"), file);
        if go {
            pprof(dir.path(), "-top", &answer.body);
            let raw = pprof(dir.path(), "-raw", &answer.body);
            match name {
                "heap" | "allocs" => {
                    assert!(raw.contains("ringtail::"), "{name}: {raw}");
                }
                "goroutine" => assert!(raw.contains("spawned at src/"), "{raw}"),
                "threadcreate" => assert!(raw.contains("ringtail-"), "{raw}"),
                _ => {}
            }
        }
        let text = server.get(&format!("/debug/pprof/{name}?debug=1"));
        assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
        assert!(text.text().starts_with(&format!("{name} profile: total ")), "{}", text.text());
    }
    assert!(server.stop().success());
}

#[test]
fn a_trace_has_the_turns_of_all_cores() {
    let (dir, data) = folder();
    let server = start(&data, &["--cores", "2"]);
    server.query("", "CREATE DATABASE d");
    let stop = AtomicBool::new(false);
    let trace = std::thread::scope(|scope| {
        let loading = scope.spawn(|| load(&server, &stop));
        let trace = server.get("/debug/pprof/trace?seconds=1");
        stop.store(true, Ordering::Relaxed);
        loading.join().unwrap();
        trace
    });
    assert_eq!(trace.header("content-disposition"), "attachment; filename=\"trace\"");
    assert!(trace.body.starts_with(b"go 1.19 trace\0\0\0"));
    let places = trace.body.windows(15).filter(|part| part == b"spawned at src/").count();
    assert!(places > 1, "{places}");
    if !go() {
        return;
    }
    let file = dir.path().join("trace.out");
    std::fs::write(&file, &trace.body).unwrap();
    let mut command = Command::new("go");
    let output = command.args(["tool", "trace", "-d"]).arg(&file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for core in ["p=0", "p=1"] {
        let turns = text.lines().filter(|line| line.contains(&format!("GoStart {core} ")));
        // Each core has at least the task that keeps it awake.
        assert!(turns.count() > 1, "{text}");
    }
    let mut second = server.connect();
    send(&mut second, "GET /debug/pprof/trace?seconds=3600 HTTP/1.1\r\n", b"");
    let until = Instant::now() + DEADLINE;
    while !server.get("/debug/pprof/threadcreate?debug=1").text().contains("pprof-trace") {
        assert!(Instant::now() < until);
    }
    let refused = server.get("/debug/pprof/trace?seconds=1");
    let text = "Could not enable tracing: tracing is already enabled\n";
    assert_eq!((refused.status, refused.text().as_str()), (500, text));
}

#[test]
fn the_archive_has_everything() {
    let (dir, data) = folder();
    let server = start(&data, &["--cores", "2"]);
    let answer = server.get("/debug/pprof/all?cpu=true&seconds=1");
    assert_eq!(answer.header("content-type"), "application/gzip");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"profiles.tar.gz\"");
    let all = members(&unpacked(&answer.body));
    for name in PRESENT.iter().chain(&["cpu"]) {
        assert!(all.contains_key(&format!("{name}.pb.gz")), "{name}: {:?}", all.keys());
        assert!(all.contains_key(&format!("{name}.txt")), "{name}");
    }
    for (name, part) in [("shards", ""), ("stats", "queryExecutor"), ("diagnostics", "GOMAXPROCS")]
    {
        let text = String::from_utf8(all[&format!("{name}.txt")].clone()).unwrap();
        assert!(text.contains(part), "{text}");
    }
    if go() {
        for name in ["cpu", "heap", "goroutine"] {
            pprof(dir.path(), "-top", &all[&format!("{name}.pb.gz")]);
        }
    }
    let without = server.get("/debug/pprof/all?cpu=false");
    let all = members(&unpacked(&without.body));
    assert!(!all.contains_key("cpu.pb.gz") && all.contains_key("heap.pb.gz"));
}

#[test]
fn pages_and_refusals() {
    let (_dir, data) = folder();
    let server = start(&data, &["--cores", "2"]);
    for path in ["/debug/pprof", "/debug/pprof/"] {
        let index = server.get(path);
        assert_eq!(index.header("content-type"), "text/html; charset=utf-8");
        let text = index.text();
        let links = PRESENT.iter().all(|name| text.contains(&format!("'{name}?debug=1'")));
        assert!(links && text.contains("<title>/debug/pprof/</title>"), "{text}");
    }
    let status = |path: &str| server.get(&format!("/debug/pprof/{path}"));
    let is = |answer: Answer, status: u16, text: &str| {
        assert_eq!((answer.status, answer.text().as_str()), (status, text));
    };
    is(status("nonsense"), 404, "Unknown profile\n");
    is(status("profile?seconds=x"), 400, "seconds: \"x\" is not a number\n");
    for far in ["0", "-1", "3601"] {
        let text = format!("seconds: {far} is not within 1 to 3600\n");
        is(status(&format!("profile?seconds={far}")), 400, &text);
        is(status(&format!("trace?seconds={far}")), 400, &text);
        is(status(&format!("all?cpu=true&seconds={far}")), 400, &text);
    }
    let arguments = status("cmdline").text();
    assert!(arguments.contains("\0serve\0"), "{arguments}");
    is(status("symbol"), 200, "num_symbols: 1\n");
    is(status("symbol?0x8"), 200, "num_symbols: 1\n0x8 [? 0x8]\n");
    let posted = server.post("/debug/pprof/symbol", b"0x8+0x9");
    is(posted, 200, "num_symbols: 1\n0x8 [? 0x8]\n0x9 [? 0x9]\n");
}

#[test]
fn a_second_profile_is_refused_until_the_first_client_has_gone() {
    let (_dir, data) = folder();
    let server = start(&data, &["--cores", "2"]);
    let mut first = server.connect();
    send(&mut first, "GET /debug/pprof/profile?seconds=3600 HTTP/1.1\r\n", b"");
    let until = Instant::now() + DEADLINE;
    // The first has begun when its thread is there.
    while !server.get("/debug/pprof/threadcreate?debug=1").text().contains("pprof-cpu") {
        assert!(Instant::now() < until);
    }
    let second = server.get("/debug/pprof/profile?seconds=1");
    let text = "Could not enable CPU profiling: cpu profiling already in use\n";
    assert_eq!((second.status, second.text().as_str()), (500, text));
    drop(first);
    while server.get("/debug/pprof/profile?seconds=1").status != 200 {
        assert!(Instant::now() < until);
    }
}
