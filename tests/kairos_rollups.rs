//! Roll-ups from outside: a task is kept, run, filled back and deleted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{Server, folder, start};
use std::time::Instant;

/// Sums of ten minutes of `m`, saved as `s`, computed every hour.
const TASK: &str = r#"{"name":"r","execution_interval":{"value":1,"unit":"hours"},"rollups":[
    {"save_as":"s","query":{"start_relative":{"value":"1","unit":"hours"},"metrics":[{"name":"m",
    "group_by":[{"name":"tag","tags":["h"]}],
    "aggregators":[{"name":"sum","align_start_time":true,"sampling":{"value":10,"unit":"minutes"}}]}]}}]}"#;

fn request(server: &Server, head: &str, body: &str) -> (u16, String) {
    let answer = server.request(&format!("{head} HTTP/1.1\r\n"), body.as_bytes());
    (answer.status, answer.text())
}

fn create(server: &Server) -> String {
    let (status, text) = request(server, "POST /api/v1/rollups/", TASK);
    assert_eq!(status, 200, "{text}");
    let id = text.split('"').nth(3).unwrap().to_owned();
    let rest = format!(r#"","name":"r","attributes":{{"url":"/api/v1/rollups/{id}"}}}}"#);
    assert_eq!(text, format!(r#"{{"id":"{id}{rest}"#));
    id
}

#[test]
fn tasks_are_kept_changed_and_deleted() {
    let (_dir, data) = folder();
    let first = start(&data, &["--kairosdb-rollups", "false"]);
    let id = create(&first);
    first.kill();
    let server = start(&data, &["--kairosdb-rollups", "false"]);
    let at = format!("/api/v1/rollups/{id}");
    let (status, text) = request(&server, &format!("GET {at}"), "");
    assert_eq!(status, 200);
    assert!(
        text.starts_with(&format!(r#"{{"id":"{id}","name":"r","execution_interval""#)),
        "{text}"
    );
    assert_eq!(request(&server, "GET /api/v1/rollups", "").1, format!("[{text}]"));
    let other = TASK.replace(r#""name":"r""#, r#""name":"q","id":"x""#);
    assert_eq!(request(&server, &format!("PUT {at}"), &other).0, 200);
    let changed = request(&server, &format!("GET {at}"), "").1;
    assert!(changed.contains(r#""name":"q""#) && !changed.contains(r#""id":"x""#), "{changed}");
    let (status, text) = request(&server, "POST /api/v1/rollups", "{}");
    assert_eq!((status, text.contains("executionInterval may not be null")), (400, true), "{text}");
    assert_eq!(request(&server, &format!("DELETE {at}"), "").0, 204);
    let gone = format!(r#"{{"errors":["Resource not found for id {id}"]}}"#);
    assert_eq!(request(&server, &format!("DELETE {at}"), ""), (404, gone));
    assert_eq!(request(&server, "GET /api/v1/rollups", "").1, "[]");
}

#[test]
fn a_task_runs_and_fills_back() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    let now_ms =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let body = format!(
        r#"[{{"name":"m","tags":{{"h":"a"}},"datapoints":[[{now_ms},5.5]]}},
            {{"name":"m","tags":{{"h":"b"}},"datapoints":[[1600000200000,1],[1600000500000,2],[1600000800000,4]]}}]"#
    );
    assert_eq!(request(&server, "POST /api/v1/datapoints", &body).0, 204);
    let id = create(&server);
    let until = Instant::now() + common::DEADLINE;
    let status = loop {
        let (status, text) = request(&server, &format!("GET /api/v1/rollups/status/{id}"), "");
        if status == 200 {
            break text;
        }
        assert!(Instant::now() < until, "{text}");
    };
    assert!(
        status.contains(r#""metric_name":"s""#) && status.contains(r#""error_message":"""#),
        "{status}"
    );
    let sums = |host: &str| {
        let query =
            format!(r#"{{"start_absolute":0,"metrics":[{{"name":"s","tags":{{"h":"{host}"}}}}]}}"#);
        request(&server, "POST /api/v1/datapoints/query", &query).1
    };
    assert!(sums("a").contains(",5.5]]"), "{}", sums("a"));
    assert!(sums("a").contains(r#""saved_from":["m"]"#), "{}", sums("a"));
    let fill = format!(
        "GET /api/v1/rollups/backfill/{id}?startTime=2020-09-13-12-30-00-000&endTime=2020-09-13-12-50-00-000"
    );
    assert_eq!(request(&server, &fill, "").0, 204);
    assert!(sums("b").contains("[[1600000200000,3.0],[1600000800000,4.0]]"), "{}", sums("b"));
    assert_eq!(
        request(&server, "GET /api/v1/rollups/status/x", "").1,
        r#"{"errors":["Status not found for id x"]}"#
    );
}
