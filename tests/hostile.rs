//! Queries that ask for too much: each is answered quickly, exactly, and in bounded memory.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{Answer, Server, escape, folder, start};

const NESTING: &str = "error parsing query: more than 128 levels of nesting";
const MEMORY: &str = "query needs more than 268435456 bytes of memory on one shard";
const EMPTY: &str = "{\"results\":[{\"statement_id\":0}]}\n";

/// What `POST /query` with a form answers.
fn ask(server: &Server, text: &str) -> String {
    post_form(server, &format!("db=d&epoch=s&q={}", escape(text))).text()
}

fn post_form(server: &Server, body: &str) -> Answer {
    let head = "POST /query HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    server.request(head, body.as_bytes())
}

fn error(server: &Server, text: &str) -> String {
    let answer = ask(server, text);
    let found = answer.split_once("\"error\":\"").map(|(_, error)| error);
    found.and_then(|error| error.split('"').next()).unwrap_or(&answer).to_owned()
}

fn loaded(server: &Server) {
    server.query("", "CREATE DATABASE d");
    let lines = "cpu,host=a v=1,s=\"aaaaaaaaaaaaaaaaaaaaaaaaaaaa\" 0\ncpu,host=b v=2 10000000000\n";
    assert_eq!(server.post("/write?db=d", lines.as_bytes()).status, 204);
}

#[test]
fn deep_and_long_texts() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    loaded(&server);
    let (open, close) = ("(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(error(&server, &format!("SELECT {open}v{close} FROM cpu")), NESTING);
    assert_eq!(error(&server, &format!("SELECT v FROM cpu WHERE {open}v > 1{close}")), NESTING);
    let calls = "abs(".repeat(100_000);
    assert_eq!(error(&server, &format!("SELECT {calls}v{close} FROM cpu")), NESTING);
    let selects = "SELECT v FROM (".repeat(1_000);
    let text = format!("{selects}SELECT v FROM cpu{}", &close[..1_000]);
    assert_eq!(error(&server, &text), NESTING);
    let terms = |term: &str, by: &str| [term].repeat(20_000).join(by);
    let row = |rows: &str| {
        format!(
            "{{\"results\":[{{\"statement_id\":0,\"series\":[{{\"name\":\"cpu\",\
             \"columns\":[\"time\",\"v\"],\"values\":[{rows}]}}]}}]}}\n"
        )
    };
    for (by, term) in [(" AND ", "host = 'b'"), (" OR ", "v = 2"), (" OR ", "(host='b' AND v=2)")] {
        let text = format!("SELECT v FROM cpu WHERE {}", terms(term, by));
        assert_eq!(ask(&server, &text), row("[10,2]"), "{term}");
    }
    let text = format!("SELECT {} FROM cpu", terms("v", "+"));
    assert_eq!(error(&server, &text), "expression is too long");
    let text = format!("SELECT v FROM {}", terms("cpu", ","));
    assert_eq!(error(&server, &text), "too many sources");
    assert_eq!(ask(&server, "SELECT v FROM cpu, cpu LIMIT 1"), row("[0,1]"));
    let text: Vec<String> = (0..11_000).map(|n| format!("percentile(v,{n})")).collect();
    let text = format!("SELECT {} FROM cpu", text.join(","));
    assert_eq!(error(&server, &text), "too many functions");
}

#[test]
fn a_million_statements() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    loaded(&server);
    let one = "SHOW+DATABASES;".repeat(1_000_000);
    let refused = post_form(&server, &format!("db=d&q={one}"));
    assert_eq!(
        (refused.status, refused.text()),
        (400, "{\"error\":\"http: POST too large\"}\n".into())
    );
    // Empty statements are none, and the first that fails ends them all.
    assert_eq!(ask(&server, &";".repeat(1_000_000)), "{}\n");
    let text = format!("{}SELEC", ";".repeat(1_000_000));
    assert!(error(&server, &text).starts_with("error parsing query: found SELEC, expected SELECT"));
    let many = ["DROP MEASUREMENT x"; 2_000].join(";");
    assert_eq!(ask(&server, &many).matches("statement_id").count(), 2_000);
}

#[test]
fn large_numbers() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    loaded(&server);
    let most = i64::MAX;
    for text in [
        format!("SELECT v FROM cpu LIMIT {most} OFFSET {most}"),
        format!("SELECT mean(v) FROM cpu GROUP BY host SLIMIT {most} SOFFSET {most}"),
        format!("SELECT moving_average(v, {most}) FROM cpu"),
        format!("SELECT exponential_moving_average(v, {most}) FROM cpu"),
    ] {
        assert_eq!(ask(&server, &text), EMPTY, "{text}");
    }
    for text in [
        format!("SELECT v FROM cpu LIMIT {most}"),
        format!("SELECT top(v, {most}) AS v FROM cpu"),
        format!("SELECT sample(v, {most}) AS v FROM cpu"),
    ] {
        assert!(ask(&server, &text).ends_with("\"values\":[[0,1],[10,2]]}]}]}\n"), "{text}");
    }
    let range = "time >= 0 AND time < 40s";
    let text = format!(
        "SELECT holt_winters(mean(v), {most}, 0) FROM cpu WHERE {range} GROUP BY time(10s)"
    );
    assert_eq!(error(&server, &text), MEMORY);
    let desc = "ORDER BY time DESC";
    for (tail, order) in [
        ("", ""),
        ("fill(none)", ""),
        ("fill(previous) LIMIT 3", ""),
        ("fill(linear)", ""),
        (desc, desc),
    ] {
        let range = "time >= 0 AND time < '1980-01-01'";
        let text = format!("SELECT mean(v) FROM cpu WHERE {range} GROUP BY time(1ns) {tail}");
        assert_eq!(error(&server, &text), MEMORY, "{text}");
        let text = format!("SELECT max(mean) FROM ({text}) {order}");
        assert_eq!(error(&server, &text), MEMORY, "{text}");
    }
    let text = "SELECT mean(v) FROM cpu WHERE time >= 0 GROUP BY time(1s) tz('Europe/Berlin')";
    assert_eq!(error(&server, text), "too many buckets");
}

#[test]
fn expensive_regular_expressions() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    loaded(&server);
    let large = "error parsing query: regular expression is too large at line 1, char 29";
    for regex in ["((a{100}){100}){100}".to_owned(), "(a?){1000}".repeat(100)] {
        assert_eq!(error(&server, &format!("SELECT v FROM cpu WHERE s =~ /{regex}/")), large);
    }
    for regex in ["(a*)*b".to_owned(), "(x+x+)+".repeat(50) + "y", "(a|a)*c".to_owned()] {
        assert_eq!(ask(&server, &format!("SELECT v FROM cpu WHERE s =~ /{regex}/")), EMPTY);
    }
    let many: Vec<String> = (0..2_000).map(|n| format!("s =~ /a{n}/")).collect();
    let text = format!("SELECT v FROM cpu WHERE {}", many.join(" OR "));
    let error = error(&server, &text);
    assert_eq!(error, "error parsing query: more than 1000 regular expressions in one query");
}
