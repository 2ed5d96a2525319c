//! What ends a KairosDB query early: limits of the operator, KILL QUERY, a client that goes away.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{DEADLINE, Server, folder, read_answer, send, start};
use std::net::TcpStream;
use std::time::Instant;

const QUERY: &str = "/api/v1/datapoints/query";

/// Points of `count` series at `times` instants each, from 1 s on, a second apart.
fn fill(server: &Server, count: usize, times: usize) {
    for series in 0..count {
        let point = |at: usize| format!("[{},{at}]", 1000 * at);
        let points = (1..=times).map(point).collect::<Vec<_>>().join(",");
        let body =
            format!(r#"{{"name":"m","tags":{{"host":"h{series}"}},"datapoints":[{points}]}}"#);
        assert_eq!(server.post("/api/v1/datapoints", body.as_bytes()).status, 204);
    }
}

fn ask(server: &Server, metrics: &str) -> (u16, String) {
    let body = format!("{{\"start_absolute\":0,\"metrics\":[{metrics}]}}");
    let answer = server.post(QUERY, body.as_bytes());
    (answer.status, answer.text())
}

/// Reads all rows, as sums of hours, and as values of their own: each goes another way.
const WAYS: [&str; 4] = [
    r#"{"name":"m"}"#,
    r#"{"name":"m","aggregators":[{"name":"sum","sampling":{"value":1,"unit":"hours"}}]}"#,
    r#"{"name":"m","aggregators":[{"name":"percentile","percentile":0.5,
        "sampling":{"value":1,"unit":"hours"}}]}"#,
    r#"{"name":"m","limit":1000}"#,
];

#[test]
fn no_more_points_and_series_are_read_than_allowed() {
    let (_dir, data) = folder();
    let flags = ["--query-max-points", "12", "--query-max-series", "5", "--cores", "2"];
    let server = start(&data, &flags);
    fill(&server, 4, 3);
    for way in WAYS {
        let (status, text) = ask(&server, way);
        assert_eq!(status, 200, "{way}: {text}");
        assert!(text.contains("\"sample_size\":12"), "{way}: {text}");
        // Two questions of one query read twice as much.
        let (status, text) = ask(&server, &format!("{way},{way}"));
        let refused = "{\"errors\":[\"max-select-point limit exceeed: (";
        assert!(status == 500 && text.starts_with(refused), "{way}: {text}");
    }
    fill(&server, 6, 1);
    for way in WAYS {
        let (status, text) = ask(&server, way);
        let refused = r#"{"errors":["max-select-series limit exceeded: (6/5)"]}"#;
        assert_eq!((status, text.as_str()), (500, refused), "{way}");
    }
}

#[test]
fn a_query_holds_no_more_memory_than_allowed() {
    let (_dir, data) = folder();
    let server = start(&data, &["--query-memory", "64k", "--cores", "2"]);
    fill(&server, 4, 3000);
    let (status, text) = ask(&server, WAYS[2]);
    assert!(status == 500 && text.contains("bytes of memory"), "{text}");
    for way in [WAYS[0], WAYS[1]] {
        let (status, text) = ask(&server, way);
        assert!(status == 200 && text.contains("\"sample_size\":12000"), "{way}");
    }
}

/// Points that make a query of many metrics last.
const MANY: (usize, usize) = (8, 5000);

/// A query of many metrics, each of which reads all points and gives none: it waits for nobody.
/// Its text is as long as one may be that is kept whole.
fn endless() -> String {
    let metric = r#"{"name":"m","aggregators":[{"name":"filter","filter_op":"gte"}]}"#;
    let metrics = vec![metric; 1000].join(",");
    format!("{{\"start_absolute\":0,\"metrics\":[{metrics}]}}")
}

fn begin(server: &Server) -> TcpStream {
    let mut stream = server.connect();
    send(&mut stream, &format!("POST {QUERY} HTTP/1.1\r\n"), endless().as_bytes());
    stream
}

/// The number of the endless query, once SHOW QUERIES lists it.
fn listed(server: &Server) -> String {
    let until = Instant::now() + DEADLINE;
    loop {
        let text = server.query("", "SHOW QUERIES");
        if let Some(at) = text.find(",\"{\\\"start_absolute\\\":0") {
            let start = text[..at].rfind('[').unwrap() + 1;
            assert!(text[at..].contains("\",\"kairosdb\",\""), "its database is told");
            return text[start..at].to_owned();
        }
        assert!(Instant::now() < until, "the query is not listed");
    }
}

fn await_end(server: &Server) {
    let until = Instant::now() + DEADLINE;
    while server.query("", "SHOW QUERIES").contains("start_absolute") {
        assert!(Instant::now() < until, "the query goes on");
    }
}

#[test]
fn a_query_is_listed_and_can_be_killed() {
    let (_dir, data) = folder();
    let server = start(&data, &["--cores", "2"]);
    fill(&server, MANY.0, MANY.1);
    let mut stream = begin(&server);
    let id = listed(&server);
    server.query("", &format!("KILL QUERY {id}"));
    let answer = read_answer(&mut stream, false);
    let text = r#"{"errors":["query interrupted"]}"#;
    assert_eq!((answer.status, answer.text().as_str()), (500, text));
    await_end(&server);
    assert_eq!(ask(&server, WAYS[1]).0, 200);
}

#[test]
fn a_query_is_listed_and_killed_in_kairosdbs_way() {
    let (_dir, data) = folder();
    let server = start(&data, &["--cores", "2"]);
    fill(&server, MANY.0, MANY.1);
    let mut stream = begin(&server);
    let id = listed(&server);
    let running = server.get("/api/v1/admin/runningqueries").text();
    let first = format!(
        r#"{{"queries":[{{"query hash":"{id}","metric name":"m","query JSON":{{"start_absolute":0,"#
    );
    assert!(running.starts_with(&first), "{}", &running[..200]);
    assert!(running.ends_with(r#"}],"queries waiting":0}"#));
    let path = format!("/api/v1/admin/killquery/{id}");
    assert_eq!(server.get(&path).status, 204);
    assert_eq!(read_answer(&mut stream, false).status, 500);
    await_end(&server);
}

#[test]
fn a_query_ends_with_its_time_and_with_its_client() {
    let (_dir, data) = folder();
    let server = start(&data, &["--cores", "2", "--query-timeout", "100ms"]);
    fill(&server, MANY.0, MANY.1);
    let mut stream = begin(&server);
    let answer = read_answer(&mut stream, false);
    let text = r#"{"errors":["query-timeout limit exceeded"]}"#;
    assert_eq!((answer.status, answer.text().as_str()), (500, text));
    drop(server);
    let server = start(&data, &["--cores", "2"]);
    let stream = begin(&server);
    listed(&server);
    drop(stream);
    await_end(&server);
}
