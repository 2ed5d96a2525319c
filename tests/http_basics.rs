//! The HTTP door without its queries: routes, headers, writes and their errors, byte for byte.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{Server, folder, read_answer, send, start};
use flate2::write::GzEncoder;
use std::io::{Read, Write};

fn server(flags: &[&str]) -> (tempfile::TempDir, Server) {
    let (dir, data) = folder();
    let server = start(&data, flags);
    server.query("", "CREATE DATABASE d");
    (dir, server)
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

const GZIP: &str = "POST /write?db=d HTTP/1.1\r\nContent-Encoding: gzip\r\n";

#[test]
fn every_answer_carries_version_and_ids() {
    let (_dir, server) = server(&[]);
    let ping = server.get("/ping");
    assert_eq!((ping.status, ping.body.len()), (204, 0));
    assert_eq!(ping.header("x-influxdb-version"), "1.8.10");
    assert_eq!(ping.header("x-influxdb-build"), "OSS");
    assert_eq!(ping.header("request-id").len(), 36);
    assert_eq!(ping.header("request-id"), ping.header("x-request-id"));
    assert_eq!(ping.header("content-type"), "application/json");
    assert_ne!(server.get("/ping").header("request-id"), ping.header("request-id"));
    let own = server.request("GET /ping HTTP/1.1\r\nRequest-Id: a\r\nX-Request-Id: b\r\n", b"");
    assert_eq!(own.header("request-id"), "b");
    let verbose = server.get("/ping?verbose=true");
    assert_eq!((verbose.status, verbose.text().as_str()), (200, "{\"version\":\"1.8.10\"}"));
    assert_eq!(server.request("HEAD /status HTTP/1.1\r\n", b"").status, 204);
    assert!(server.get("/health").text().starts_with("{\"checks\":[],\"message\":\"ready"));
}

#[test]
fn unknown_paths_and_methods_are_told_in_the_words_of_the_reference() {
    let (_dir, server) = server(&[]);
    for path in ["/", "/query/", "//query", "/nosuch", "/api/v2/buckets"] {
        let missing = server.get(path);
        assert_eq!(
            (missing.status, missing.text().as_str()),
            (404, "404 page not found\n"),
            "{path}"
        );
        assert_eq!(missing.header("x-content-type-options"), "nosniff");
        assert_eq!(missing.header("request-id"), "");
        assert_eq!(missing.header("x-influxdb-version"), "1.8.10");
    }
    let wrong = server.get("/write");
    assert_eq!((wrong.status, wrong.text().as_str()), (405, "Method Not Allowed\n"));
    assert_eq!(wrong.header("allow"), "POST, OPTIONS");
    assert_eq!(server.request("HEAD /query HTTP/1.1\r\n", b"").status, 405);
    let whole = server.request("OPTIONS * HTTP/1.1\r\n", b"");
    assert_eq!((whole.status, whole.header("content-length")), (200, "0"));
    let options = server.request("OPTIONS /write HTTP/1.1\r\nOrigin: http://x\r\n", b"");
    assert_eq!((options.status, options.header("content-length")), (200, "0"));
    assert_eq!(options.header("access-control-allow-origin"), "http://x");
    assert_eq!(options.header("access-control-allow-methods"), "DELETE, GET, OPTIONS, POST, PUT");
    assert_eq!(server.get("/ping").header("access-control-allow-origin"), "");
}

#[test]
fn writes_are_refused_in_the_order_of_the_reference() {
    let (_dir, server) = server(&[]);
    let cases = [
        ("/write", "cpu v=1", 400, "database is required"),
        ("/write?db=nosuch", "cpu v=1", 404, "database not found: \\\"nosuch\\\""),
        ("/write?db=d&rp=no", "cpu v=1", 500, "retention policy not found: no"),
        ("/write?db=d", "cpu", 400, "unable to parse 'cpu': missing fields"),
        ("/write?db=d&consistency=some", "cpu v=1", 400, "invalid consistency level"),
        (
            "/write?db=d&precision=us",
            "cpu v=1",
            400,
            "invalid precision \\\"us\\\" (use n, u, ms, s, m or h)",
        ),
    ];
    for (path, body, status, text) in cases {
        let answer = server.post(path, body.as_bytes());
        assert_eq!(answer.text(), format!("{{\"error\":\"{text}\"}}\n"), "{path} {body}");
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("x-influxdb-error"), text.replace("\\\"", "\""));
    }
    for body in ["", "\n\n", "# only words\n"] {
        assert_eq!(server.post("/write?db=d", body.as_bytes()).status, 204, "{body:?}");
    }
    let pretty = server.post("/write?pretty=true", b"");
    assert_eq!(pretty.text(), "{\n    \"error\": \"database is required\"\n}\n");
}

#[test]
fn good_lines_of_a_bad_body_are_stored() {
    let (_dir, server) = server(&[]);
    let body = b"cpu,host=a v=1 1\nbad\ncpu,host=b v=2 2\nbad2 x\n";
    let answer = server.post("/write?db=d", body);
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.text(),
        "{\"error\":\"partial write: unable to parse 'bad': missing fields\\n\
         unable to parse 'bad2 x': invalid field format dropped=0\"}\n"
    );
    assert_eq!(server.counter("ringtail_shard", "points"), 2);
    let answer = server.post("/write?db=d", b"cpu,host=a v=1i 3\ncpu,host=a v=4 4\n");
    assert_eq!(
        answer.text(),
        "{\"error\":\"partial write: field type conflict: input field \\\"v\\\" on measurement \
         \\\"cpu\\\" is type integer, already exists as type float dropped=1\"}\n"
    );
    assert_eq!(server.counter("ringtail_shard", "points"), 3);
    assert_eq!(server.counter("ringtail", "http_points_dropped"), 1);
    assert_eq!(server.counter("ringtail", "http_lines_refused"), 2);
}

#[test]
fn gzip_bodies_are_inflated_up_to_a_limit() {
    let (_dir, server) = server(&["--http-max-inflated-size", "10000"]);
    let good = packed(b"cpu v=1 1\ncpu v=2 2\n");
    assert_eq!(server.request(GZIP, &good).status, 204);
    assert_eq!(server.counter("ringtail_shard", "points"), 2);
    let errors = [
        (b"cpu,host=a v=1 1".to_vec(), 400, "gzip: invalid header"),
        (good[..good.len() - 3].to_vec(), 400, "unexpected EOF"),
        (packed(&[b'#'; 10_001]), 413, "Request Entity Too Large"),
    ];
    for (body, status, text) in errors {
        let answer = server.request(GZIP, &body);
        assert_eq!(answer.text(), format!("{{\"error\":\"{text}\"}}\n"));
        assert_eq!(answer.status, status);
    }
    assert_eq!(server.counter("ringtail_shard", "points"), 2);
}

#[test]
fn bodies_over_the_limit_are_refused_whole() {
    let (_dir, server) = server(&["--http-max-body-size", "100"]);
    let answer = server.post("/write?db=d", &[b'x'; 101]);
    assert_eq!(answer.status, 413);
    assert_eq!(answer.text(), "{\"error\":\"Request Entity Too Large\"}\n");
    let chunked = "POST /write?db=d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n";
    let body = format!("64\r\n{}\r\n1\r\nx\r\n0\r\n\r\n", "#".repeat(100));
    assert_eq!(server.request(chunked, body.as_bytes()).status, 413);
    let body = "9\r\ncpu v=1 1\r\n4\r\n\ncpu\r\n6\r\n v=2 2\r\n0\r\n\r\n";
    assert_eq!(server.request(chunked, body.as_bytes()).status, 204);
    assert_eq!(server.counter("ringtail_shard", "points"), 2);
}

#[test]
fn large_bodies_and_long_lines_are_decoded_in_slices() {
    let (_dir, server) = server(&["--http-max-line-size", "400k"]);
    let long = "x".repeat(390_000);
    let mut body = format!("text s=\"{long}\" 1\n");
    for n in 0..40_000 {
        body.push_str(&format!("cpu,host=h{} v={n} {n}\n", n % 500));
    }
    body.push_str(&format!("text s=\"{}\" 2\n", "y".repeat(900_000)));
    body.push_str("last v=1 1");
    let answer = server.post("/write?db=d", body.as_bytes());
    assert_eq!(answer.status, 400);
    assert!(answer.text().ends_with(": line too long dropped=0\"}\n"), "{}", answer.text());
    assert_eq!(server.counter("ringtail_shard", "points"), 40_002);
    assert_eq!(server.counter("ringtail_shard", "series"), 502);
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let (_dir, server) = server(&[]);
    let mut stream = server.connect();
    // Both are sent before the first answer is read.
    send(&mut stream, "POST /write?db=d HTTP/1.1\r\n", b"cpu v=1 1");
    send(&mut stream, "GET /nosuch HTTP/1.1\r\n", b"");
    assert_eq!(read_answer(&mut stream, false).status, 204);
    assert_eq!(read_answer(&mut stream, false).status, 404);
    send(&mut stream, "GET /ping HTTP/1.1\r\nConnection: close\r\n", b"");
    assert_eq!(read_answer(&mut stream, false).status, 204);
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_silent_connection_is_closed() {
    let (_dir, server) = server(&["--http-idle-timeout", "1ms"]);
    let mut stream = server.connect();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    server.await_counter("idle_closed", 1);
}

#[test]
fn malformed_requests_do_no_harm() {
    let (_dir, server) = server(&["--http-max-header-size", "8k"]);
    let bad: [&[u8]; 4] = [
        b"\x16\x03\x01\x00\xa5\x01\x00",
        b"GET\r\n\r\n",
        b"POST /write?db=d HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        &[b'x'; 100_000],
    ];
    for bytes in bad {
        let mut stream = server.connect();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(server.get("/ping").status, 204);
}

#[test]
fn many_writers_at_once_lose_nothing() {
    let (_dir, server) = server(&[]);
    std::thread::scope(|scope| {
        for writer in 0..16 {
            let mut stream = server.connect();
            scope.spawn(move || {
                for n in 0..25 {
                    let body = format!("cpu,writer=w{writer} v={n} {n}\nall,n=s{n} v=1 {writer}\n");
                    send(&mut stream, "POST /write?db=d HTTP/1.1\r\n", body.as_bytes());
                    assert_eq!(read_answer(&mut stream, false).status, 204);
                }
            });
        }
    });
    assert_eq!(server.counter("ringtail_shard", "points"), 16 * 25 * 2);
    assert_eq!(server.counter("ringtail_shard", "series"), 16 + 25);
    assert_eq!(server.counter("ringtail", "http_points_ok"), 16 * 25 * 2);
}

#[test]
fn series_over_a_limit_are_a_partial_write() {
    let (_dir, server) = server(&["--data-max-series-per-database", "3"]);
    let body = b"m,a=1 v=1 1\nm,a=2 v=1 1\nm,a=3 v=1 1\nm,a=3 v=2 2";
    assert_eq!(server.post("/write?db=d", body).status, 204);
    let answer = server.post("/write?db=d", b"m,a=1 v=3 3\nm,a=4 v=3 3\nm,a=5 v=3 3\nm,a=5 v=4 4");
    let text = "{\"error\":\"partial write: max-series-per-database limit exceeded: (3) \
                dropped=3\"}\n";
    assert_eq!((answer.status, answer.text().as_str()), (400, text));
    let rows = server.query("d", "SELECT count(v) FROM m");
    assert!(rows.contains("[\"1970-01-01T00:00:00Z\",5]"), "{rows}");
    drop(server);
    let (_dir, server) = self::server(&["--data-max-values-per-tag", "2"]);
    assert_eq!(server.post("/write?db=d", b"m,a=1 v=1 1\nm,a=2 v=1 1").status, 204);
    let answer = server.post("/write?db=d", b"m,a=2,b=x v=3 3\nm,a=4 v=3 3");
    let text = "{\"error\":\"partial write: max-values-per-tag limit exceeded (2/2): \
                measurement=\\\"m\\\" tag=\\\"a\\\" value=\\\"4\\\" dropped=1\"}\n";
    assert_eq!((answer.status, answer.text().as_str()), (400, text));
}
