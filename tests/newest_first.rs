//! ORDER BY time DESC LIMIT over buckets: asking the newest buckets first changes no answer.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{Server, folder, start};

/// The rows of the one series of an answer, as text.
fn rows(server: &Server, statement: &str) -> Vec<String> {
    let answer = server.query("d", statement);
    assert!(!answer.contains("error"), "{statement}: {answer}");
    let Some((_, values)) = answer.split_once("\"values\":[[") else { return Vec::new() };
    let (values, _) = values.split_once("]]").unwrap();
    values.split("],[").map(str::to_owned).collect()
}

#[test]
fn a_limit_cuts_what_the_whole_answer_begins_with() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    server.query("", "CREATE DATABASE d");
    // Rows of two series in a row of minutes, behind a gap of a day, and one far before.
    let mut lines = String::from("m,h=a v=1 1600000000\n");
    for minute in 0..300 {
        let time = 1_700_000_000 + minute * 60;
        let gap = if minute < 200 { 0 } else { 86_400 };
        lines += &format!("m,h={} v={minute} {}\n", ["a", "b"][minute % 2], time + gap);
    }
    assert_eq!(server.post("/write?db=d&precision=s", lines.as_bytes()).status, 204);
    let mut compared = 0;
    for until in [1_700_018_060u64, 1_700_150_000, 1_700_086_000 + 300 * 60] {
        for fill in ["null", "none", "7"] {
            let whole = format!(
                "SELECT max(v), count(v) FROM m WHERE time > 1699990000s AND time < {until}s \
                 GROUP BY time(1m) fill({fill}) ORDER BY time DESC"
            );
            let all = rows(&server, &whole);
            for (limit, offset) in [(1, 0), (3, 2), (40, 0), (150, 100), (5000, 10)] {
                let found = rows(&server, &format!("{whole} LIMIT {limit} OFFSET {offset}"));
                let expected: Vec<String> = all.iter().skip(offset).take(limit).cloned().collect();
                assert_eq!(found, expected, "{fill} {until} {limit} {offset}");
                compared += found.len();
            }
        }
    }
    assert!(compared > 1000);
    // Without a lower bound the oldest row is found, however far it lies before the others.
    let far = "SELECT max(v) FROM m WHERE time < 1699990000s GROUP BY time(1m) fill(none) \
               ORDER BY time DESC LIMIT 2";
    assert_eq!(rows(&server, far), ["\"2020-09-13T12:26:00Z\",1"]);
}
