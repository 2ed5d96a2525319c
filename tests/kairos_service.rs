//! What KairosDB's REST API says of itself and how it is set up: health, classes, admin, CORS.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{Server, folder, start};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const ALL_WELL: &str = r#"["JVM-Thread-Deadlock: OK","Datastore-Query: OK"]"#;

fn options(server: &Server, path: &str) -> u16 {
    server.request(&format!("OPTIONS /api/v1/{path} HTTP/1.1\r\n"), b"").status
}

#[test]
fn classes_that_are_off_answer_403() {
    let (_dir, data) = folder();
    let server = start(&data, &["--kairosdb-server-type", "INGEST , DELETE"]);
    let refused = server.get("/api/v1/metricnames");
    assert_eq!(
        (refused.status, refused.text().as_str()),
        (
            403,
            r#"{"errors":["Forbidden: QUERY API methods are disabled on this KairosDB instance."]}"#
        )
    );
    for path in ["datapoints/query", "datapoints/query/tags", "metricnames", "tagnames"] {
        assert_eq!(options(&server, path), 403, "{path}");
    }
    assert_eq!(server.post("/api/v1/datapoints/query", b"{}").status, 403);
    assert_eq!(server.post("/api/v1/datapoints", b"[]").status, 204);
    for path in ["datapoints", "datapoints/delete", "metric/x", "version", "rollups"] {
        assert_eq!(options(&server, path), 200, "{path}");
    }
    drop(server);
    let server = start(&data, &["--kairosdb-server-type", "QUERY"]);
    let refused = server.post("/api/v1/datapoints", b"[]");
    assert!(refused.status == 403 && refused.text().contains("INGEST API methods are disabled"));
    let refused = server.request("DELETE /api/v1/metric/x HTTP/1.1\r\n", b"");
    assert!(refused.status == 403 && refused.text().contains("DELETE API methods are disabled"));
    assert_eq!(server.get("/api/v1/metricnames").status, 200);
    for path in ["version", "health/check", "health/status", "features", "metadata/a", "rollups"] {
        assert!(server.get(&format!("/api/v1/{path}")).status < 300, "{path}");
    }
}

/// The files of a folder and those below it whose names end so.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files(&path, end));
        } else if path.to_str().unwrap().ends_with(end) {
            out.push(path);
        }
    }
    out
}

#[test]
fn health_is_asked_of_the_store() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    assert_eq!(server.get("/api/v1/health/check").status, 204);
    assert_eq!(server.get("/api/v1/health/status").text(), ALL_WELL);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let body = format!(
        r#"{{"name":"kairosdb.http.request_time","timestamp":{},"value":1,"tags":{{"host":"a"}}}}"#,
        now.as_millis()
    );
    assert_eq!(server.post("/api/v1/datapoints", body.as_bytes()).status, 204);
    assert_eq!(server.post("/debug/maintain?work=flush", b"").status, 204);
    assert_eq!(server.get("/api/v1/health/check").status, 204);
    assert!(server.stop().success());
    let segments = files(&data, ".segment");
    assert!(!segments.is_empty());
    for path in segments {
        // The first piece of the first chunk.
        let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 4096 + 30).unwrap();
        file.write_all_at(&[!byte[0]], 4096 + 30).unwrap();
    }
    let server = start(&data, &["--kairosdb-healthy-response-code", "200"]);
    assert_eq!(server.get("/api/v1/health/check").status, 500);
    let status = server.get("/api/v1/health/status");
    let expected = r#"["JVM-Thread-Deadlock: OK","Datastore-Query: FAIL"]"#;
    assert_eq!((status.status, status.text().as_str()), (200, expected));
    let gone = server.request("DELETE /api/v1/metric/kairosdb.http.request_time HTTP/1.1\r\n", b"");
    assert_eq!(gone.status, 204);
    assert_eq!(server.get("/api/v1/health/check").status, 200);
}

#[test]
fn the_query_comes_back_where_that_is_wanted() {
    let (_dir, data) = folder();
    let flags = ["--kairosdb-return-query", "true", "--kairosdb-regex-prefix", "~"];
    let server = start(&data, &flags);
    let point = br#"{"name":"m","timestamp":1000,"value":1,"tags":{"h":"regex:ab"}}"#;
    assert_eq!(server.post("/api/v1/datapoints", point).status, 204);
    let text = r#"{"start_absolute":0,"metrics":[{"name":"m","exclude_tags":true,"tags":{"h":["~.*ab","regex:a"]}}]}"#;
    let answer = server.post("/api/v1/datapoints/query", text.as_bytes()).text();
    let rest = r#""queries":[{"sample_size":1,"results":[{"name":"m","group_by":[{"name":"type","type":"number"}],"values":[[1000,1]]}]}]}"#;
    assert_eq!(answer, format!(r#"{{"original_query":{text},{rest}"#));
    let lenient = "{start_absolute: '0', metrics: []}";
    let answer = server.post("/api/v1/datapoints/query", lenient.as_bytes()).text();
    let expected = r#"{"original_query":{"start_absolute":"0","metrics":[]},"queries":[]}"#;
    assert_eq!(answer, expected);
}

#[test]
fn short_answers_and_refusals_are_packed_when_asked_for() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    for (path, status) in [("version", 200), ("metricnames", 200), ("nothing", 404)] {
        let head = format!("GET /api/v1/{path} HTTP/1.1\r\nAccept-Encoding: gzip\r\n");
        let answer = server.request(&head, b"");
        assert_eq!((answer.status, answer.header("content-encoding")), (status, "gzip"), "{path}");
        assert_eq!(answer.header("content-type"), "application/json; charset=UTF-8");
        let mut text = String::new();
        let mut unpacked = flate2::read::GzDecoder::new(&answer.body[..]);
        std::io::Read::read_to_string(&mut unpacked, &mut text).unwrap();
        let plain = server.get(&format!("/api/v1/{path}"));
        assert_eq!((plain.text(), plain.header("content-encoding")), (text, ""));
    }
    let head = "GET /api/v1/health/check HTTP/1.1\r\nAccept-Encoding: gzip\r\n";
    assert_eq!(server.request(head, b"").header("content-encoding"), "");
}

#[test]
fn jobs_are_the_ids_of_rollups_and_unknown_queries_are_killed_in_vain() {
    let (_dir, data) = folder();
    let server = start(&data, &["--kairosdb-rollups", "false"]);
    assert_eq!(server.get("/api/v1/admin/scheduledjobs").text(), "[]");
    let task = r#"{"name":"r","execution_interval":{"value":1,"unit":"hours"},"rollups":[{"save_as":"s",
        "query":{"start_absolute":1,"metrics":[{"name":"m","aggregators":[{"name":"sum",
        "sampling":{"value":1,"unit":"minutes"}}]}]}}]}"#;
    let made = server.post("/api/v1/rollups", task.as_bytes()).text();
    let id = made.split('"').nth(3).unwrap();
    assert_eq!(server.get("/api/v1/admin/scheduledjobs").text(), format!("[\"{id}\"]"));
    let far = format!("/api/v1/rollups/backfill/{id}?startTime=1800-01-01-00-00-00-000");
    let far = server.get(&far);
    assert!(far.status == 400 && far.text().contains("periods apart"), "{}", far.text());
    let none = r#"{"queries":[],"queries waiting":0}"#;
    assert_eq!(server.get("/api/v1/admin/runningqueries").text(), none);
    for hash in ["7", "x%20y", "18446744073709551616"] {
        let path = format!("/api/v1/admin/killquery/{hash}");
        assert_eq!(server.get(&path).status, 204, "{hash}");
    }
}
