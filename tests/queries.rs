//! The list of running queries, and everything the server says of itself, over real sockets.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{Server, escape, folder, read_answer, send, start};
use std::net::TcpStream;
use std::time::Instant;

/// Rows long enough that their answer does not fit what lies between server and client.
fn fill(server: &Server) {
    server.query("", "CREATE DATABASE d");
    for part in 0..3 {
        let text = "x".repeat(1000);
        let line = |n: usize| format!("m,host=h{} s=\"{text}\" {n}\n", n % 7);
        let body: String = (part * 10_000..(part + 1) * 10_000).map(line).collect();
        assert_eq!(server.post("/write?db=d", body.as_bytes()).status, 204);
    }
}

/// Begins a query whose answer nobody reads yet.
fn begin(server: &Server, text: &str) -> TcpStream {
    let mut stream = server.connect();
    let head = format!("GET /query?db=d&q={} HTTP/1.1\r\n", escape(text));
    send(&mut stream, &head, b"");
    stream
}

/// The same, after it was admitted. The list of running queries would not do to wait with: looking
/// at it is a query, too, and a short one may be over before it was seen.
fn begin_and_await(server: &Server, text: &str) -> TcpStream {
    let before = server.counter("ringtail", "queries_started");
    let stream = begin(server, text);
    let until = Instant::now() + common::DEADLINE;
    while server.counter("ringtail", "queries_started") == before {
        assert!(Instant::now() < until, "the query was not begun");
    }
    stream
}

/// Numbers of the running queries that hold a text.
fn running(server: &Server, text: &str) -> Vec<String> {
    let listed = server.query("", "SHOW QUERIES");
    let rows = listed.split("],[").filter(|row| row.contains(text));
    let number = |row: &str| {
        let at = row.rfind("[[").map_or(0, |at| at + 2);
        row[at..].split(',').next().unwrap().to_owned()
    };
    rows.map(number).collect()
}

fn await_running(server: &Server, text: &str, count: usize) -> Vec<String> {
    let until = Instant::now() + common::DEADLINE;
    loop {
        let found = running(server, text);
        if found.len() == count {
            return found;
        }
        assert!(Instant::now() < until, "{count} queries wanted, {found:?} run");
    }
}

#[test]
fn a_killed_query_says_so_and_the_rest_is_not_executed() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    fill(&server);
    let mut stream = begin(&server, "SELECT s FROM m; SELECT s FROM m LIMIT 1");
    let id = &await_running(&server, "SELECT s FROM m;", 1)[0];
    assert_eq!(
        server.query("", &format!("KILL QUERY {id} ON \"h\"")),
        "{\"results\":[{\"statement_id\":0}]}\n"
    );
    await_running(&server, "SELECT s FROM m;", 0);
    let answer = read_answer(&mut stream, false).text();
    assert!(
        answer.ends_with("\"error\":\"not executed\"}]}\n"),
        "{}",
        &answer[answer.len() - 200..]
    );
    await_running(&server, "SELECT s FROM m;", 0);
    let mut stream = begin(&server, "SELECT s FROM m");
    let id = &await_running(&server, "SELECT s FROM m", 1)[0];
    server.query("", &format!("KILL QUERY {id}"));
    let answer = read_answer(&mut stream, false).text();
    assert!(answer.ends_with("\"error\":\"query interrupted\"}]}\n"));
    let missing = server.query("", "KILL QUERY 99999");
    assert!(missing.contains("no such query id: 99999"), "{missing}");
}

#[test]
fn a_query_ends_with_its_connection() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    fill(&server);
    let stream = begin(&server, "SELECT s FROM m");
    await_running(&server, "SELECT s FROM m", 1);
    drop(stream);
    await_running(&server, "SELECT s FROM m", 0);
}

#[test]
fn no_more_queries_run_than_allowed() {
    let (_dir, data) = folder();
    let server = start(&data, &["--query-max-concurrent", "1"]);
    fill(&server);
    let stream = begin_and_await(&server, "SELECT s FROM m");
    let refused = "{\"results\":[{\"statement_id\":0,\"error\":\
                   \"max-concurrent-queries limit exceeded(1, 1)\"}]}\n";
    assert_eq!(server.query("", "SHOW DATABASES"), refused);
    let until = Instant::now() + common::DEADLINE;
    drop(stream);
    while server.query("", "SHOW DATABASES") == refused {
        assert!(Instant::now() < until);
    }
}

#[test]
fn a_query_that_takes_too_long_ends() {
    let (_dir, data) = folder();
    let server = start(&data, &["--query-timeout", "300ms"]);
    fill(&server);
    let mut stream = begin_and_await(&server, "SELECT s FROM m");
    let until = Instant::now() + common::DEADLINE;
    while !running(&server, "SELECT s FROM m").is_empty() {
        assert!(Instant::now() < until);
    }
    let answer = read_answer(&mut stream, false).text();
    assert!(answer.ends_with("\"error\":\"query-timeout limit exceeded\"}]}\n"));
}

#[test]
fn the_server_tells_of_itself() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    let ask = |text: &str| server.query("d", text);
    ask("CREATE DATABASE d");
    assert_eq!(server.post("/write?db=d", b"cpu v=1 1").status, 204);
    assert!(ask("SHOW SHARDS").contains(
        "{\"name\":\"d\",\"columns\":[\"id\",\"database\",\"retention_policy\",\"shard_group\",\
         \"start_time\",\"end_time\",\"expiry_time\",\"owners\"],\"values\":[[1,\"d\",\"autogen\",1,\
         \"1969-12-29T00:00:00Z\",\"1970-01-05T00:00:00Z\",\"1970-01-05T00:00:00Z\",\"\"]]}"
    ));
    assert!(ask("SHOW SHARD GROUPS").contains("\"name\":\"shard groups\""));
    let stats = ask("SHOW STATS");
    assert!(stats.contains("{\"name\":\"database\",\"tags\":{\"database\":\"d\"},\"columns\":[\"numMeasurements\",\"numSeries\"],\"values\":[[1,1]]}"), "{stats}");
    assert!(ask("SHOW STATS FOR 'indexes'").contains("\"columns\":[\"memoryBytes\"]"));
    assert_eq!(ask("SHOW STATS FOR 'nope'"), "{\"results\":[{\"statement_id\":0}]}\n");
    let build = ask("SHOW DIAGNOSTICS FOR 'build'");
    assert!(build.contains("[\"Branch\",\"Build Time\",\"Commit\",\"Version\"]"), "{build}");
    assert!(ask("SHOW DIAGNOSTICS").contains("\"name\":\"config-coordinator\""));
}

#[test]
fn users_and_standing_orders_survive_a_restart() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    let ask = |server: &Server, text: &str| server.query("d", text);
    let text = "CREATE DATABASE d; CREATE USER u WITH PASSWORD 'p'; CREATE USER u WITH PASSWORD 'p'; \
                CREATE USER a WITH PASSWORD 'p' WITH ALL PRIVILEGES; GRANT READ ON d TO u; \
                CREATE SUBSCRIPTION s ON d.autogen DESTINATIONS ANY 'udp://h:9'; CREATE CONTINUOUS \
                QUERY c ON d BEGIN SELECT mean(v) INTO x FROM cpu GROUP BY time(1m) END";
    assert!(!ask(&server, text).contains("error"));
    let other = ask(&server, "CREATE USER u WITH PASSWORD 'q'");
    assert!(other.contains("user already exists"), "{other}");
    let all = "SHOW USERS; SHOW GRANTS FOR u; SHOW CONTINUOUS QUERIES; SHOW SUBSCRIPTIONS";
    let before = ask(&server, all);
    assert!(before.contains("\"values\":[[\"u\",false],[\"a\",true]]"), "{before}");
    assert!(before.contains("[[\"d\",\"READ\"]]") && before.contains("INTO d.autogen.x FROM"));
    assert!(before.contains("[[\"autogen\",\"s\",\"ANY\",[\"udp://h:9\"]]]"), "{before}");
    assert!(server.stop().success());
    let server = start(&data, &[]);
    assert_eq!(ask(&server, all), before);
}

#[test]
fn who_asks_is_counted_while_somebody_watches() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    server.query("", "CREATE DATABASE d");
    assert_eq!(server.get("/debug/requests?seconds=0").text(), "{\n\n}\n");
    let mut watcher = server.connect();
    send(&mut watcher, "GET /debug/requests?seconds=1 HTTP/1.1\r\n", b"");
    // Requests go on until one falls into the window, which opens a moment later.
    let done = std::sync::atomic::AtomicBool::new(false);
    let text = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                server.post("/write?db=d", b"m v=1 1");
                server.query("d", "SHOW SERIES");
            }
        });
        let text = read_answer(&mut watcher, false).text();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        text
    });
    assert!(
        text.starts_with("{\n\"127.0.0.1\": {\"writes\":") && text.ends_with("}\n}\n"),
        "{text}"
    );
    assert!(!text.contains("\"writes\":0,") && !text.contains("\"queries\":0}"), "{text}");
    let long = server.get("/debug/requests?seconds=99999");
    assert_eq!((long.status, long.text().ends_with("6h\"}")), (400, true), "{}", long.text());
}

#[test]
fn a_select_reads_no_more_than_allowed() {
    let (_dir, data) = folder();
    let limits =
        ["--query-max-points", "50", "--query-max-series", "3", "--query-max-buckets", "5"];
    let server = start(&data, &[&["--cores", "2"], &limits[..]].concat());
    server.query("", "CREATE DATABASE d");
    let cpu = |n: usize| format!("cpu,host=h{} v={n} {n}000000000\n", n % 4);
    let mem = |n: usize| format!("mem,k=h{} v={n} {n}\n", n % 3);
    let body: String = (0..20).map(cpu).chain((0..60).map(mem)).collect();
    assert_eq!(server.post("/write?db=d", body.as_bytes()).status, 204);
    let error = |text: &str| {
        let answer = server.query("d", text);
        let (_, error) = answer.split_once("\"error\":\"").unwrap_or(("", "none\""));
        error.split('"').next().unwrap().to_owned()
    };
    assert_eq!(error("SELECT v FROM cpu"), "max-select-series limit exceeded: (4/3)");
    assert_eq!(error("SELECT v FROM cpu WHERE host != 'h0'"), "none");
    // 60 rows on two shards; each may read 50 of them.
    let points = "max-select-point limit exceeed: (60/50)";
    assert_eq!(error("SELECT v FROM mem"), points);
    assert_eq!(error("SELECT median(v) FROM mem"), points);
    assert_eq!(error("SELECT v FROM mem WHERE time < 50"), "none");
    let buckets = |range: &str| {
        error(&format!("SELECT mean(v) FROM cpu WHERE {range} AND host = 'h1' GROUP BY time(10s)"))
    };
    assert_eq!(buckets("time >= 0 AND time < 100s"), "max-select-buckets limit exceeded: (10/5)");
    assert_eq!(buckets("time >= 0 AND time < 50s"), "none");
    assert_eq!(buckets("time < 100s"), "none");
}

/// A gap of 20,000 empty buckets, longer than what is filled at once.
#[test]
fn long_runs_of_empty_buckets_are_filled_part_by_part() {
    const STEP: i64 = 20_000;
    let (_dir, data) = folder();
    let server = start(&data, &["--cores", "2"]);
    server.query("", "CREATE DATABASE d");
    let lines = format!("m v=10i 0\nm v=50i {STEP}000000000\nm v=30i {}000000000\n", 2 * STEP);
    assert_eq!(server.post("/write?db=d", lines.as_bytes()).status, 204);
    // From the point that comes first in the answer to the next.
    let between = |(from, a): (i64, f64), (to, b): (i64, f64), at: i64| {
        ((b - a) / (to - from) as f64 * (at - from) as f64 + a) as i64
    };
    let points = [(0, 10.0), (STEP, 50.0), (2 * STEP, 30.0)];
    let known = |at: i64| [10, 50, 30][(at / STEP) as usize];
    type Row<'r> = &'r dyn Fn(i64) -> String;
    let null = |at: i64| match at % STEP {
        0 => format!("{},1", known(at)),
        _ => "null,0".to_owned(),
    };
    let forwards = |at: i64| format!("{},1", known(at));
    let backwards = |at: i64| format!("{},1", known(at + STEP - 1));
    let number = |at: i64| match at % STEP {
        0 => format!("{},1", known(at)),
        _ => "7,7".to_owned(),
    };
    let piece = |at: i64| usize::from((STEP..2 * STEP).contains(&at));
    let up = |at: i64| match at % STEP {
        0 => forwards(at),
        _ => format!("{},1", between(points[piece(at)], points[piece(at) + 1], at)),
    };
    let down = |at: i64| match at % STEP {
        0 => forwards(at),
        _ => format!("{},1", between(points[piece(at) + 1], points[piece(at)], at)),
    };
    let cases: [(&str, bool, Row<'_>); 6] = [
        ("null", false, &null),
        ("7", true, &number),
        ("previous", false, &forwards),
        ("previous", true, &backwards),
        ("linear", false, &up),
        ("linear", true, &down),
    ];
    for (fill, descending, row) in cases {
        let order = if descending { " ORDER BY time DESC" } else { "" };
        let query = format!(
            "SELECT max(v), count(v) FROM m WHERE time >= 0 AND time <= {}s \
             GROUP BY time(1s) fill({fill}){order}",
            2 * STEP
        );
        let path = format!("/query?db=d&epoch=s&q={}", escape(&query));
        let text = server.get(&path).text();
        let rows = text.split("\"values\":[[").nth(1).unwrap().split("]]").next().unwrap();
        let mut times: Vec<i64> = (0..=2 * STEP).collect();
        if descending {
            times.reverse();
        }
        let mut found = rows.split("],[");
        for at in times {
            assert_eq!(found.next(), Some(&*format!("{at},{}", row(at))), "{query}");
        }
        assert_eq!(found.next(), None);
    }
}
