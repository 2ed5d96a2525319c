//! What a running server says of itself: its log, its figures, the service manager, and what
//! `inspect` and `verify` say of its files.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod common;

use common::{DEADLINE, escape, folder, program, start, start_as};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Everything a server wrote to its log.
fn logged(flags: &[&str], work: impl FnOnce(&common::Server)) -> String {
    let (dir, data) = folder();
    let path = dir.path().join("log");
    let mut command = program();
    command.stderr(File::create(&path).unwrap());
    let server = start_as(command, &data, flags);
    work(&server);
    assert!(server.stop().success());
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_access_log_has_every_request_without_secrets() {
    let text = logged(&["--http-log-enabled", "true"], |server| {
        server.query("", "CREATE DATABASE d");
        let head = "POST /write?db=d&u=joe&p=secret HTTP/1.1\r\nUser-Agent: a\"b\r\n";
        assert_eq!(server.request(head, b"m v=1 1").status, 204);
        let set = escape("CREATE USER x WITH PASSWORD 'secret'");
        server.post(&format!("/query?q={set}"), b"");
        server.get("/nowhere");
    });
    assert!(!text.contains("secret"), "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("[httpd] ")).collect();
    let [_, write, set, nowhere] = lines[..] else { panic!("{text}") };
    assert!(write.starts_with("[httpd] 127.0.0.1 - joe ["), "{write}");
    let part = "\"POST /write?db=d&u=joe&p=[REDACTED] HTTP/1.1\" 204 ";
    assert!(write.contains(part) && write.contains("\"-\" \"a\\\"b\" "), "{write}");
    assert!(set.contains("\"POST /query?q=[REDACTED] HTTP/1.1\" 200 "), "{set}");
    assert!(nowhere.contains("\"GET /nowhere HTTP/1.1\" 404 19 "), "{nowhere}");
    let flags = ["--http-log-enabled", "true", "--http-suppress-write-log", "true"];
    let text = logged(&flags, |server| {
        server.post("/write?db=none", b"m v=1 1");
        server.get("/ping");
    });
    assert!(text.contains("/ping") && !text.contains("/write"), "{text}");
}

#[test]
fn slow_queries_are_logged_in_the_chosen_form() {
    for (form, start) in [("json", "{\"ts\":\""), ("logfmt", "ts=")] {
        let flags = ["--logging-format", form, "--query-log-after", "1ns"];
        let text = logged(&flags, |server| {
            server.query("", "CREATE DATABASE d");
            server.query("", "CREATE USER x WITH PASSWORD 'secret'");
        });
        let line = text.lines().find(|line| line.contains("CREATE DATABASE d")).unwrap();
        assert!(line.starts_with(start) && line.contains("slow query: "), "{line}");
        assert!(!text.contains("secret"), "{text}");
    }
    let quiet = logged(&["--query-log-after", "1ns", "--logging-level", "query=off"], |server| {
        server.query("", "CREATE DATABASE d");
    });
    assert!(!quiet.contains("slow query"), "{quiet}");
}

#[test]
fn a_wrong_level_is_refused() {
    let output = program().args(["serve", "--logging-level", "loud"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("expected debug, info, warn, error or off"), "{text}");
}

/// The next datagram as text.
fn receive(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 256];
    loop {
        match socket.recv(&mut bytes) {
            Ok(len) => return String::from_utf8(bytes[..len].to_vec()).unwrap(),
            // A thread that is stopped or let go sends this process a signal.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn the_service_manager_hears_of_start_life_and_end() {
    let (dir, data) = folder();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let next = |wanted: &str| while !receive(&socket).lines().any(|line| line == wanted) {};
    let mut command = program();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "3000000");
    let server = start_as(command, &data, &[]);
    next("READY=1");
    next("WATCHDOG=1");
    next("WATCHDOG=1");
    server.signal("-TERM");
    next("STOPPING=1");
}

/// A thread of a child process that is stopped alone, until it is let go.
struct Stopped(libc::pid_t);

impl Stopped {
    /// Stops the thread whose name begins so; `None` where the system does not let this process.
    fn new(process: u32, name: &str) -> Option<Stopped> {
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let task = tasks.map(|task| task.unwrap().path()).find(|task| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.starts_with(name))
        });
        let task = task.unwrap();
        let number: libc::pid_t = task.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: these requests take no memory, and the thread is of a child of this process.
        let stopped = unsafe {
            libc::ptrace(libc::PTRACE_SEIZE, number, none, none) == 0
                && libc::ptrace(libc::PTRACE_INTERRUPT, number, none, none) == 0
                && libc::waitpid(number, std::ptr::null_mut(), libc::__WALL) == number
        };
        if !stopped {
            eprintln!("skipped: this process may not stop a thread of another");
        }
        stopped.then_some(Stopped(number))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: as above.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, none, none) };
    }
}

#[test]
fn a_core_that_stands_still_silences_the_watchdog() {
    let (dir, data) = folder();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let alive = || while !receive(&socket).starts_with("WATCHDOG=1") {};
    let log = dir.path().join("log");
    let mut command = program();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1500000");
    command.stderr(File::create(&log).unwrap());
    let server = start_as(command, &data, &["--cores", "2"]);
    alive();
    let Some(stopped) = Stopped::new(server.pid(), "ringtail-1-") else { return };
    let until = Instant::now() + DEADLINE;
    let is_told = |line: &str| line.contains("core ringtail-1-") && line.contains("not get on");
    while !std::fs::read_to_string(&log).unwrap().lines().any(is_told) {
        assert!(Instant::now() < until, "nobody says that the core stands still");
    }
    // Life was told of at most until then.
    socket.set_nonblocking(true).unwrap();
    while socket.recv(&mut [0; 256]).is_ok() {}
    drop(stopped);
    socket.set_nonblocking(false).unwrap();
    alive();
    assert!(server.stop().success());
}

/// Runs the program on a folder.
fn run(words: &[&str], data: &Path) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        program().args(words).arg("--data-dir").arg(data).output().unwrap();
    let text = String::from_utf8([stdout, stderr].concat()).unwrap();
    (status.code(), text)
}

/// Files below a folder whose names end so.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry, ending));
        } else if entry.to_str().unwrap().ends_with(ending) {
            found.push(entry);
        }
    }
    found.sort();
    found
}

/// Flips a bit and gives back what undoes it.
fn flip(path: &Path, offset: u64) -> impl FnOnce() {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
    move || file.write_all_at(&byte, offset).unwrap()
}

/// A stopped store with segments, an index and a log.
fn stored(data: &Path) {
    let server = start(data, &["--shards", "2", "--cores", "2"]);
    server.query("", "CREATE DATABASE d");
    let lines = |time: u64| -> String {
        (0..60).map(|n| format!("cpu,host=h{n},dc=a v={n} {time}\n")).collect()
    };
    assert_eq!(server.post("/write?db=d", lines(1).as_bytes()).status, 204);
    assert_eq!(server.post("/write?db=d", b"mem v=1 1").status, 204);
    assert_eq!(server.post("/debug/maintain?work=flush", b"").status, 204);
    for time in 2..6 {
        assert_eq!(server.post("/write?db=d", lines(time).as_bytes()).status, 204);
    }
    assert!(server.stop().success());
}

#[test]
fn a_folder_is_inspected_and_verified() {
    let (_dir, data) = folder();
    assert_eq!(run(&["verify"], &data).0, Some(2), "there is no store");
    stored(&data);
    let (status, text) = run(&["verify"], &data);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("sound      everything is what was written"), "{text}");
    let (status, text) = run(&["inspect"], &data);
    assert_eq!(status, Some(0), "{text}");
    let expected = "series 61, measurements 2\nd.cpu: series 60\n  host: values 60\n  dc: values \
                    1\nd.mem: series 1\n";
    assert_eq!(text, expected);
    let (_, text) = run(&["inspect", "segment"], &data);
    assert!(text.contains("d.autogen 1970-01-01: rows "), "{text}");
    let (_, text) = run(&["inspect", "log"], &data);
    let rows = |line: &str| -> u64 {
        line.split("rows ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap()
    };
    assert_eq!(text.lines().map(rows).sum::<u64>(), 240, "{text}");
    let (_, text) = run(&["inspect", "index"], &data);
    assert!(text.contains(".index\n") && text.contains("shard 1: 1 files"), "{text}");
    assert_eq!(run(&["inspect", "nothing"], &data).0, Some(2));
    // The store still serves, and a folder in use is left alone.
    let server = start(&data, &["--cores", "2"]);
    assert!(server.query("d", "SELECT count(v) FROM cpu").contains("300"));
    let (status, text) = run(&["verify"], &data);
    assert!(status == Some(2) && text.contains("is in use by another ringtail"), "{text}");
}

#[test]
fn damage_is_named_with_file_and_offset() {
    let (_dir, data) = folder();
    stored(&data);
    let damaged = |path: &Path, offset: u64| {
        let undo = flip(path, offset);
        let until = Instant::now() + DEADLINE;
        let (status, text) = run(&["verify"], &data);
        assert!(Instant::now() < until);
        undo();
        let name = path.to_str().unwrap();
        let line = text.lines().find(|line| line.starts_with("damaged") && line.contains(name));
        assert_eq!((status, line.is_some()), (Some(1), true), "{name} {offset}: {text}");
        line.unwrap().to_owned()
    };
    for path in files(&data, ".segment") {
        let size = path.metadata().unwrap().len();
        // Header, first piece, and the tail.
        for offset in [20, 4096 + 30, size - 4000] {
            assert!(damaged(&path, offset).contains(" offset "));
        }
    }
    for path in files(&data, ".index") {
        assert!(damaged(&path, 4096 + 20).contains(" offset "));
    }
    for path in files(&data, "manifest-1").iter().chain(&files(&data, "catalog-1")) {
        // The first commit; later ones were written when it was durable.
        assert!(damaged(path, 4096 + 70).contains(" offset "));
    }
    let (status, text) = run(&["verify"], &data);
    assert_eq!(status, Some(0), "everything was undone: {text}");
}

#[test]
fn damage_of_the_log_is_told_from_an_unfinished_end() {
    let (_dir, data) = folder();
    stored(&data);
    let mut named = 0;
    for path in files(&data, "").iter().filter(|path| path.parent().unwrap().ends_with("log")) {
        let bytes = std::fs::read(path).unwrap();
        let name = path.to_str().unwrap();
        let blocks = (4096..bytes.len()).step_by(4096);
        for at in blocks.filter(|at| bytes[at + 8..at + 12] == *b"RTC1") {
            let undo = flip(path, at as u64 + 70);
            let (status, text) = run(&["verify"], &data);
            let (shown, listed) = run(&["inspect", "log"], &data);
            undo();
            let place = format!("{name} offset {at}");
            let is_damage = text.contains(&format!("damaged    {place}: "));
            // Records before the wanted ones are in segments; the last ones may be unfinished.
            let is_end = text.contains(&format!("unfinished {place}: "));
            assert!(is_damage || is_end || text.contains("sound "), "{place}: {text}");
            assert_eq!(status, Some(i32::from(is_damage)), "{place}: {text}");
            assert_eq!(shown, Some(i32::from(is_damage)), "{place}: {listed}");
            assert_eq!(is_damage, listed.contains(&format!("damaged {place}: ")), "{listed}");
            named += u32::from(is_damage);
        }
    }
    // Four writes behind the flush, on two shards, of which the last may be the end.
    assert!(named >= 6, "{named}");
}

#[test]
fn what_names_everything_else_is_looked_at_first() {
    let (_dir, data) = folder();
    stored(&data);
    let catalog = files(&data, "catalog-1").remove(0);
    let undo = flip(&catalog, 4096 + 70);
    let (status, text) = run(&["inspect"], &data);
    undo();
    assert_eq!(status, Some(1), "{text}");
    // Names are gone, numbers are shown all the same.
    assert!(text.contains("catalog-1 offset 4096: ") && text.contains("series 61"), "{text}");
    let segment = files(&data, ".segment").remove(0);
    let undo = flip(&segment, segment.metadata().unwrap().len() - 4000);
    let (status, text) = run(&["inspect", "segment"], &data);
    undo();
    let name = segment.to_str().unwrap();
    assert!(status == Some(1) && text.contains(&format!("damaged {name}")), "{text}");
    let index = files(&data, ".index").remove(0);
    let undo = flip(&index, 4096 + 20);
    let (status, text) = run(&["inspect", "index"], &data);
    undo();
    let name = index.to_str().unwrap();
    assert!(status == Some(1) && text.contains(&format!("damaged {name}")), "{text}");
    let manifest = files(&data, "manifest-1").remove(0);
    let undo = flip(&manifest, 4096 + 70);
    let (status, text) = run(&["inspect", "segment"], &data);
    undo();
    let name = manifest.to_str().unwrap();
    assert!(status == Some(1) && text.contains(&format!("damaged {name}")), "{text}");
    // Of the file that says which store this is one of two slots suffices.
    let store = data.join("STORE");
    let slots = [flip(&store, 10), flip(&store, 4096 + 10)];
    for part in ["verify", "inspect"] {
        let (status, text) = run(&[part], &data);
        assert!(status == Some(2) && text.contains("STORE"), "{part}: {text}");
    }
    slots.into_iter().for_each(|undo| undo());
    // A file cut short, and one that is gone.
    let whole = std::fs::read(&segment).unwrap();
    for cut in [0, 4096, whole.len() - 4096] {
        std::fs::write(&segment, &whole[..cut]).unwrap();
        let (status, text) = run(&["verify"], &data);
        let name = segment.to_str().unwrap();
        assert!(status == Some(1) && text.contains(&format!("damaged    {name}")), "{text}");
    }
    std::fs::remove_file(&segment).unwrap();
    assert_eq!(run(&["verify"], &data).0, Some(1));
    std::fs::write(&segment, &whole).unwrap();
    std::fs::write(segment.with_file_name("ffffffffffffffff.segment"), b"?").unwrap();
    let (status, text) = run(&["verify"], &data);
    assert!(status == Some(0) && text.contains("unknown    ffffffffffffffff.segment"), "{text}");
}

/// A figure of the page of `/metrics`: name, labels, value.
type Figure = (String, String, f64);

/// Reads Prometheus' text format, and fails where it is not that.
fn parse_metrics(text: &str) -> Vec<Figure> {
    let name_is_fine = |name: &str| {
        let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    let mut figures: Vec<Figure> = Vec::new();
    let (mut family, mut seen) = (String::new(), Vec::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, doc) = help.split_once(' ').unwrap();
            assert!(name_is_fine(name) && doc.ends_with('.'), "{line}");
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
            assert!(matches!(kind, "counter" | "gauge"), "{line}: {kind}");
            assert!(!seen.contains(&name.to_owned()), "{name} is there twice");
            family = name.to_owned();
            seen.push(family.clone());
            continue;
        }
        let (key, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = key
            .split_once('{')
            .map_or((key, ""), |(name, rest)| (name, rest.strip_suffix('}').unwrap()));
        assert_eq!(name, family, "{line}");
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (name, value) = label.split_once('=').unwrap();
            assert!(name_is_fine(name) && value.starts_with('"') && value.ends_with('"'), "{line}");
        }
        let figure = (name.to_owned(), labels.to_owned(), value.parse().unwrap());
        assert!(!figures.iter().any(|f| (&f.0, &f.1) == (&figure.0, &figure.1)), "{line} twice");
        figures.push(figure);
    }
    figures
}

/// The sum of a figure over its labels.
fn sum(figures: &[Figure], name: &str) -> f64 {
    let values = figures.iter().filter(|(known, ..)| known == name).map(|(.., value)| *value);
    values.sum()
}

/// Fifty points of a metric, as KairosDB's REST API takes them.
fn metric_of_50(time: u64) -> String {
    let points: Vec<String> = (0..50).map(|n| format!("[{},1.5]", time * 1000 + n)).collect();
    let points = points.join(",");
    format!(r#"{{"name":"k","tags":{{"a":"b"}},"datapoints":[{points}]}}"#)
}

/// Looks at the figures by partition, as InfluxDB's scrapers find them; flushes.
fn check_partitions(server: &common::Server, points: u64, values: u64) {
    let vars = server.get("/debug/vars").text();
    let sum = |module: &str, field: &str| -> u64 {
        let shards = vars.lines().filter(|line| line.starts_with(&format!("\"{module}:")));
        let value = |line: &str| -> u64 {
            let rest = line.split(&format!("\"{field}\":")).nth(1).unwrap();
            rest.split([',', '}']).next().unwrap().parse().unwrap()
        };
        shards.map(value).sum()
    };
    assert_eq!((sum("shard", "writePointsOk"), sum("shard", "writeValuesOk")), (points, values));
    assert!(sum("tsm1_cache", "memBytes") > 0);
    assert_eq!(server.post("/debug/maintain?work=flush", b"").status, 204);
    let vars = server.get("/debug/vars").text();
    assert!(vars.contains("\"tags\":{\"database\":\"d\",\"engine\":\"tsm1\",\"id\":\""), "{vars}");
    let bytes = |line: &&str| line.starts_with("\"shard:") && !line.contains("\"diskBytes\":0");
    assert!(vars.lines().filter(bytes).count() >= 2, "{vars}");
}

#[test]
fn figures_are_exact_whoever_looks_meanwhile() {
    let (_dir, data) = folder();
    let server = start(&data, &["--graphite-bind", "127.0.0.1:0"]);
    server.query("", "CREATE DATABASE d");
    let (requests, lines, puts, sets) = (30u32, 200u32, 5000u64, 20u64);
    let mut puts_text: String = (1..=puts).map(|n| format!("put t {n} 1 n={}\n", n % 7)).collect();
    puts_text.push_str("put t x 1 n=1\n");
    let paths_text: String = (1..=puts).map(|n| format!("g.{} {n} {n}\n", n % 9)).collect();
    let sent_bytes = (puts_text.len() + paths_text.len()) as u64;
    let most = f64::from(requests * lines) + 50.0 * sets as f64;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut last = 0.0;
            while !done.load(Ordering::Relaxed) {
                let page = parse_metrics(&server.get("/metrics").text());
                let points = sum(&page, "ringtail_http_points_ok");
                assert!(points >= last && points <= most, "{points}");
                last = points;
                let vars = server.get("/debug/vars").text();
                assert!(vars.starts_with("{\n\"system\"") && vars.ends_with("\n}\n"), "{vars}");
            }
        });
        let writing = scope.spawn(|| {
            for time in 0..requests {
                let body: String =
                    (0..lines).map(|n| format!("m,n={n} a=1,b=2i {time}\n")).collect();
                assert_eq!(server.post("/write?db=d", body.as_bytes()).status, 204);
            }
            assert_eq!(server.post("/write?db=d", b"m,n=1 a=\"x\" 1").status, 400);
        });
        let mut telnet = common::connect(server.telnet);
        telnet.write_all(puts_text.as_bytes()).unwrap();
        writing.join().unwrap();
        for time in 1..=sets {
            let body = metric_of_50(time);
            assert_eq!(server.post("/api/v1/datapoints", body.as_bytes()).status, 204);
        }
        let mut graphite = common::connect(server.door("graphite"));
        graphite.write_all(paths_text.as_bytes()).unwrap();
        server.await_counter("graphite_points_ok", puts);
        server.await_counter("telnet_points_ok", puts);
        server.await_counter("telnet_lines_dropped", 1);
        done.store(true, Ordering::Relaxed);
        looking.join().unwrap();
    });
    let count = |name| server.counter("ringtail", name);
    let (lines_sent, points) = (u64::from(requests * lines), most as u64);
    assert_eq!(count("http_points_ok"), points);
    assert_eq!(count("http_values_ok"), points + lines_sent);
    assert_eq!(count("kairos_points_ok"), 50 * sets);
    assert_eq!((count("telnet_points_ok"), count("graphite_points_ok")), (puts, puts));
    assert_eq!(count("telnet_bytes") + count("graphite_bytes"), sent_bytes);
    assert_eq!(count("http_points_dropped"), 1);
    assert_eq!(count("http_write_requests"), u64::from(requests) + 1);
    assert_eq!(server.counter("ringtail_shard", "points"), points + 2 * puts);
    check_partitions(&server, points + 2 * puts, 2 * lines_sent + 50 * sets + 2 * puts);
    let page = parse_metrics(&server.get("/metrics").text());
    assert_eq!(sum(&page, "ringtail_http_points_ok"), points as f64);
    assert_eq!(sum(&page, "ringtail_shard_points"), (points + 2 * puts) as f64);
    assert!(sum(&page, "process_cpu_seconds_total") > 0.0);
    for spec in ringtail::stats::TABLE {
        let name = format!("ringtail_{}", spec.name);
        assert_eq!(page.iter().filter(|figure| figure.0 == name).count(), 3, "{name}");
    }
}

#[test]
fn what_figures_mean_is_told() {
    let listed = program().arg("counters").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for name in
        ["ringtail_http_points_ok (counter): ", "ringtail_shard_log_commit_max_ns (gauge): "]
    {
        assert!(listed.contains(name), "{listed}");
    }
}

#[test]
fn the_servers_own_figures_are_stored_when_asked_for() {
    let (_dir, data) = folder();
    let server = start(&data, &["--cores", "2"]);
    assert!(!server.query("", "SHOW DATABASES").contains("_internal"));
    assert!(server.stop().success());
    let flags = ["--monitor-store-enabled", "true", "--monitor-store-interval", "100ms"];
    let server = start(&data, &[&["--cores", "2"], &flags[..]].concat());
    let until = Instant::now() + DEADLINE;
    let has = |text: &str, part: &str| {
        while !server.query("_internal", text).contains(part) {
            assert!(Instant::now() < until, "{text}: {}", server.query("_internal", text));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    has(
        "SELECT count(queriesExecuted) FROM monitor.queryExecutor",
        "\"columns\":[\"time\",\"count\"]",
    );
    has("SHOW TAG VALUES FROM ringtail WITH KEY = core", "[\"core\",\"1\"]");
    has("SHOW TAG KEYS FROM httpd", "[\"hostname\"]");
    has("SHOW RETENTION POLICIES ON _internal", "[\"monitor\",\"168h0m0s\",\"24h0m0s\",1,true]");
    // They are not counted as a client's.
    assert_eq!(server.counter("ringtail", "http_points_ok"), 0);
}
