//! KairosDB's REST door from outside: data points in, refusals, what is stored, lists, metadata.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{Answer, Server, connect, folder, read_answer, send, start};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

fn server(flags: &[&str]) -> (tempfile::TempDir, Server) {
    let (dir, data) = folder();
    let server = start(&data, flags);
    (dir, server)
}

fn add(server: &Server, body: &str) -> Answer {
    server.post("/api/v1/datapoints", body.as_bytes())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The values of a metric in order of time.
fn values(server: &Server, metric: &str) -> String {
    let text = server.query("kairosdb", &format!("SELECT value FROM \"{metric}\""));
    let start = text.find("\"values\":");
    start.map_or(String::new(), |at| text[at + 9..].trim_end_matches(['}', ']', '\n']).to_owned())
}

#[test]
fn points_are_stored_and_refusals_named() {
    let (_dir, server) = server(&[]);
    let cases: [(&str, u16, &str); 8] = [
        (r#"{"name":"a","timestamp":1000,"value":5,"tags":{"h":"x"}}"#, 204, ""),
        (r#"[{"name":"b","tags":{"h":"x"},"datapoints":[[1000,1.5],[2000,"2.5"]]}]"#, 204, ""),
        ("[]", 204, ""),
        ("", 400, r#"{"errors":["Invalid json. No content due to end of input."]}"#),
        ("7", 400, r#"{"errors":["Invalid start of json."]}"#),
        (
            r#"[{"name":"c","timestamp":1000,"value":1,"tags":{"h":"x"}},{"name":""},{"name":"c","timestamp":2000,"value":2,"tags":{"h":"x"}}]"#,
            400,
            r#"{"errors":["metric[1].name may not be empty.","metric[1].tags count must be greater than or equal to 1."]}"#,
        ),
        (
            r#"{"name":"d","tags":{"h":"x"},"datapoints":[[1],[1000,3]]}"#,
            400,
            r#"{"errors":["metric[0](name=d).datapoints[0].value cannot be null or empty."]}"#,
        ),
        (
            r#"{"name":"e","timestamp":1,"value":1,"tags":{"h":"x","h":"y"}}"#,
            400,
            r#"{"errors":["duplicate key: h"]}"#,
        ),
    ];
    for (body, status, text) in cases {
        let answer = add(&server, body);
        assert_eq!((answer.status, answer.text().as_str()), (status, text), "{body}");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("content-type"), "application/json; charset=UTF-8");
    }
    let first = "[[\"1970-01-01T00:00:01Z\",";
    assert_eq!(values(&server, "a"), format!("{first}5"));
    assert_eq!(values(&server, "b"), format!("{first}1.5],[\"1970-01-01T00:00:02Z\",2.5"));
    assert_eq!(values(&server, "c"), format!("{first}1],[\"1970-01-01T00:00:02Z\",2"));
    assert_eq!(values(&server, "d"), format!("{first}3"));
    assert_eq!(values(&server, "e"), "");
    assert_eq!(server.counter("ringtail", "kairos_points_ok"), 6);
}

#[test]
fn longs_doubles_and_texts_live_under_one_name() {
    let (_dir, server) = server(&[]);
    let body = r#"{"name":"m","tags":{"h":"x"},"datapoints":[[1000,9007199254740993],[2000,0.25],[3000,"up"],[4000,7],[4000,7.5]]}"#;
    assert_eq!(add(&server, body).status, 204);
    // InfluxQL: numbers of both types as floats, the float at equal times, no texts.
    let times = |n: u64, value: &str| format!("[\"1970-01-01T00:00:0{n}Z\",{value}]");
    let expected = [times(1, "9007199254740992"), times(2, "0.25"), times(4, "7.5")].join(",");
    assert_eq!(values(&server, "m"), format!("[{}", expected.trim_end_matches(']')));
    let kinds = server.query("kairosdb", "SHOW FIELD KEYS FROM m");
    for kind in ["float", "integer", "string"] {
        assert!(kinds.contains(&format!("[\"value\",\"{kind}\"]")), "{kinds}");
    }
    assert_eq!(
        add(&server, r#"{"name":"t","timestamp":1000,"value":"on","tags":{"h":"x"}}"#).status,
        204
    );
    assert_eq!(values(&server, "t"), "[[\"1970-01-01T00:00:01Z\",\"on\"");
}

#[test]
fn a_point_with_an_expired_time_to_live_is_gone() {
    let (_dir, server) = server(&["--kairosdb-ttl", "1s"]);
    let long = r#"{"name":"m","timestamp":1000,"value":1,"ttl":1000,"tags":{"h":"x"}}"#;
    let short = r#"{"name":"m","timestamp":2000,"value":2,"tags":{"h":"x"}}"#;
    assert_eq!((add(&server, long).status, add(&server, short).status), (204, 204));
    let until = std::time::Instant::now() + common::DEADLINE;
    while values(&server, "m") != "[[\"1970-01-01T00:00:01Z\",1" {
        assert!(std::time::Instant::now() < until, "{}", values(&server, "m"));
    }
}

#[test]
fn packed_bodies_are_taken_by_either_name_and_bombs_are_not() {
    let (_dir, server) = server(&["--http-max-inflated-size", "1m"]);
    let point = |name: &str| {
        format!("{{\"name\":\"{name}\",\"timestamp\":1000,\"value\":1,\"tags\":{{\"h\":\"x\"}}}}")
    };
    let post = |header: &str, body: &[u8]| {
        server.request(&format!("POST /api/v1/datapoints HTTP/1.1\r\n{header}\r\n"), body)
    };
    assert_eq!(post("Content-Type: application/gzip", &gzip(point("a").as_bytes())).status, 204);
    assert_eq!(post("Content-Encoding: gzip", &gzip(point("b").as_bytes())).status, 204);
    assert!(!values(&server, "a").is_empty() && !values(&server, "b").is_empty());
    let plain = post("Content-Type: application/gzip", point("c").as_bytes());
    assert_eq!(
        (plain.status, plain.text().as_str()),
        (400, r#"{"errors":["Not in GZIP format"]}"#)
    );
    let bomb = gzip(&vec![b' '; 20 << 20]);
    assert!(bomb.len() < 500_000);
    assert_eq!(post("Content-Encoding: gzip", &bomb).status, 413);
}

#[test]
fn large_bodies_and_metrics_are_no_problem() {
    let (_dir, server) = server(&[]);
    let points: Vec<String> =
        (0..160_000).map(|n| format!("[{},{n}.25]", 1_600_000_000_000i64 + n)).collect();
    let big = format!(
        "{{\"datapoints\":[{}],\"tags\":{{\"h\":\"x\"}},\"name\":\"big\"}}",
        points.join(",")
    );
    let many: Vec<String> = (0..60_000)
        .map(|n| {
            format!("{{\"name\":\"many\",\"timestamp\":1600000000000,\"value\":{n},\"tags\":{{\"h\":\"host_{n}\"}}}}")
        })
        .collect();
    let body = format!("[{big},{}]", many.join(",\n"));
    assert!(body.len() > 8 << 20);
    assert_eq!(add(&server, &body).status, 204);
    let count =
        |metric: &str| server.query("kairosdb", &format!("SELECT count(value) FROM {metric}"));
    assert!(count("big").contains(",160000]"), "{}", count("big"));
    assert!(count("many").contains(",60000]"), "{}", count("many"));
}

#[test]
fn endless_and_deep_bodies_are_refused_at_once() {
    let (_dir, server) = server(&["--http-max-body-size", "2m"]);
    let endless = |chunk: &[u8], limit: usize| {
        let mut stream = connect(server.http);
        let head = "POST /api/v1/datapoints HTTP/1.1\r\nTransfer-Encoding: chunked\r\n";
        send(&mut stream, head, b"");
        let mut sent = 0;
        let chunk = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
        // The server answers before the body is over, and may close the connection then.
        while sent < limit && stream.write_all(&chunk).is_ok() {
            sent += chunk.len();
        }
        sent
    };
    let deep = endless(&[b'['; 64 << 10], 64 << 20);
    assert!(deep < 64 << 20, "{deep} bytes of brackets were taken");
    let long = endless(&[b' '; 64 << 10], 64 << 20);
    assert!(long < 64 << 20, "{long} bytes of blanks were taken");
    let declared =
        server.request("POST /api/v1/datapoints HTTP/1.1\r\nContent-Length: 99999999\r\n", b"");
    assert_eq!(declared.status, 413);
    let deep = add(&server, &"[".repeat(1000));
    assert_eq!(
        (deep.status, deep.text().as_str()),
        (400, r#"{"errors":["Nesting too deep at offset 64"]}"#)
    );
}

#[test]
fn names_are_listed_once_and_go_with_their_metric() {
    let (_dir, server) = server(&[]);
    let list = |path: &str| {
        let text = server.get(&format!("/api/v1/{path}")).text();
        text.strip_prefix("{\"results\":").and_then(|t| t.strip_suffix('}')).unwrap().to_owned()
    };
    assert_eq!(list("metricnames"), "[]");
    for n in 0..20 {
        let body = format!(
            "{{\"name\":\"m{}\",\"timestamp\":1,\"value\":1,\"tags\":{{\"host\":\"h{n}\",\"dc\":\"x\"}}}}",
            n % 3
        );
        assert_eq!(add(&server, &body).status, 204);
    }
    server.post("/write?db=kairosdb", b"cpu,host=h1 idle=5,value=1 1\ncpu-x,rack=r1 value=2 1");
    assert_eq!(list("metricnames/"), r#"["cpu","cpu-x","cpu.idle","m0","m1","m2"]"#);
    assert_eq!(list("metricnames?prefix=cpu."), r#"["cpu.idle"]"#);
    assert_eq!(list("tagnames"), r#"["dc","host","rack"]"#);
    assert!(list("tagvalues").starts_with(r#"["h0","h1","h10","h11","#));
    assert!(list("tagvalues").ends_with(r#","h9","r1","x"]"#));
    assert_eq!(list("metricnames?db=none"), "[]");
    let delete =
        |path: &str| server.request(&format!("DELETE /api/v1/{path} HTTP/1.1\r\n"), b"").status;
    assert_eq!(
        (delete("metric/m%31"), delete("metric/none"), delete("metric/cpu.idle")),
        (204, 204, 400)
    );
    assert_eq!(list("metricnames?prefix=m"), r#"["m0","m2"]"#);
    let forms = server.request("GET /api/v1/features HTTP/1.1\r\nAccept-Encoding: gzip\r\n", b"");
    assert_eq!((forms.header("content-encoding"), &forms.body[..2]), ("gzip", &[0x1f, 0x8b][..]));
}

#[test]
fn metadata_outlives_the_process() {
    let (_dir, data) = folder();
    let first = start(&data, &[]);
    let request = |server: &Server, head: &str, body: &str| {
        let answer = server.request(&format!("{head} HTTP/1.1\r\n"), body.as_bytes());
        (answer.status, answer.text())
    };
    let at = "/api/v1/metadata/svc/sk";
    assert_eq!(request(&first, &format!("POST {at}/a%2Fb"), "one").0, 204);
    assert_eq!(request(&first, &format!("POST {at}/c"), "two").0, 204);
    assert_eq!(request(&first, &format!("POST {at}/c"), "three").0, 204);
    assert_eq!(request(&first, "POST /api/v1/metadata/_svc/a/b", "x"), (401, String::new()));
    first.kill();
    let server = start(&data, &[]);
    assert_eq!(request(&server, &format!("GET {at}/a%2Fb"), ""), (200, "one".into()));
    assert_eq!(
        request(&server, &format!("GET {at}"), ""),
        (200, r#"{"results":["a/b","c"]}"#.into())
    );
    assert_eq!(request(&server, &format!("GET {at}?startsWith=c"), "").1, r#"{"results":["c"]}"#);
    assert_eq!(request(&server, "GET /api/v1/metadata/svc", "").1, r#"{"results":["sk"]}"#);
    assert_eq!(request(&server, &format!("DELETE {at}/c"), "").0, 204);
    assert_eq!(
        request(&server, &format!("GET {at}/c"), ""),
        (404, r#"{"errors":["Key not found"]}"#.into())
    );
    let missing = server.request(&format!("GET {at}/c HTTP/1.1\r\nAccept: text/plain\r\n"), b"");
    assert_eq!((missing.status, missing.body.len()), (404, 0));
}

#[test]
fn paths_methods_and_browsers() {
    let (_dir, server) = server(&[]);
    assert_eq!(server.get("/api/v1/none").status, 404);
    assert_eq!(server.get("/api/v1/datapoints").status, 405);
    assert_eq!(server.get("/api/v1/health/check").status, 204);
    assert_eq!(
        server.get("/api/v1/health/status").text(),
        r#"["JVM-Thread-Deadlock: OK","Datastore-Query: OK"]"#
    );
    let version = server.get("/api/v1/version");
    assert!(
        version.text().starts_with("{\"version\": \"KairosDB ") && version.text().ends_with("}\n")
    );
    assert_eq!((version.header("pragma"), version.header("expires")), ("no-cache", "0"));
    assert_eq!(
        server.get("/api/v1/features/none").text(),
        r#"{"errors":["Unknown feature 'none'"]}"#
    );
    let head = "OPTIONS /api/v1/datapoints/query HTTP/1.1\r\nOrigin: http://x\r\n\
                Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: X-A, content-type\r\n";
    let preflight = server.request(head, b"");
    assert_eq!((preflight.status, preflight.body.len()), (200, 0));
    assert_eq!(preflight.header("access-control-allow-headers"), "X-A, content-type");
    assert_eq!(preflight.header("access-control-allow_method"), "POST");
    assert_eq!(preflight.header("access-control-max-age"), "86400");
    let missing = server.post("/api/v1/datapoints?db=none", b"[]");
    assert_eq!(
        (missing.status, missing.text().as_str()),
        (404, r#"{"errors":["database not found: none"]}"#)
    );
    // One connection, one request after the other.
    let mut stream = connect(server.http);
    for _ in 0..3 {
        send(&mut stream, "POST /api/v1/datapoints HTTP/1.1\r\n", b"[]");
        assert_eq!(read_answer(&mut stream, false).status, 204);
    }
}
