//! Requests that are wrong, or mean harm: each gets its status, and the connection is either as
//! good as before or closed. Nothing that follows a broken request is taken for a request.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{Server, connect, folder, start};
use flate2::write::GzEncoder;
use std::io::{Read, Write};

/// What follows each request on its connection.
const NEXT: &str = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// The statuses of all answers on a connection, and everything that came.
fn ask(server: &Server, request: &[u8]) -> (Vec<u16>, String) {
    let mut stream = connect(server.http);
    let mut all = request.to_vec();
    all.extend_from_slice(NEXT.as_bytes());
    // A server that has read enough reads no more.
    let _ = stream.write_all(&all);
    let mut came = Vec::new();
    let _ = stream.read_to_end(&mut came);
    let text = String::from_utf8_lossy(&came).into_owned();
    let statuses = text.split("HTTP/1.").skip(1).map(|part| part[2..5].parse().unwrap());
    (statuses.collect(), text)
}

fn server() -> (tempfile::TempDir, Server) {
    let (dir, data) = folder();
    let server = start(&data, &["--cores", "2", "--http-max-inflated-size", "1m"]);
    server.query("", "CREATE DATABASE d");
    (dir, server)
}

/// The case's name, the request, the statuses until the connection ends, a part of the answer.
type Case<'a> = (&'a str, &'a str, &'a [u16], &'a str);

fn check(server: &Server, cases: &[Case<'_>]) {
    for (name, request, expected, part) in cases {
        let (found, text) = ask(server, request.as_bytes());
        assert_eq!((&found[..], text.contains(part)), (*expected, true), "{name}: {text}");
    }
}

fn request(line: &str, headers: &str, body: &str) -> String {
    let length = match headers.contains("Transfer-Encoding") || headers.contains("Content-Length") {
        true => String::new(),
        false => format!("Content-Length: {}\r\n", body.len()),
    };
    format!("{line} HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n{body}")
}

#[test]
fn paths_have_one_spelling() {
    let (_dir, server) = server();
    for path in [
        "//query",
        "/%71uery",
        "/Query",
        "/QUERY",
        "/query/",
        "/./query",
        "/x/../query",
        "/query;x",
        "/api%2Fv2/write",
        "/api/v2//write",
        "/write%00",
        "/query%3Fq=SHOW",
        "/WRITE",
        "//",
        "/",
        "http://x//ping",
        "/pïng",
        "/debug//vars",
    ] {
        let text = request(&format!("GET {path}?q=SHOW+DATABASES"), "", "");
        check(&server, &[(path, &text, &[404, 200], "404 page not found\n")]);
    }
    let absolute = request("GET http://x/ping", "", "");
    check(&server, &[("absolute", &absolute, &[204, 200], "")]);
}

#[test]
fn of_parameters_that_come_twice_the_first_counts() {
    let (_dir, server) = server();
    let write = |query: &str| request(&format!("POST /write?{query}"), "", "m v=1 1");
    let get = |query: &str| request(&format!("GET /query?{query}"), "", "");
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let both = request("POST /query?q=SELEC", form, "q=SHOW+DATABASES&q=SELEC");
    check(
        &server,
        &[
            ("db", &write("db=d&db=nope"), &[204, 200], ""),
            ("db, the other way", &write("db=nope&db=d"), &[404, 200], "database not found"),
            ("precision", &write("db=d&precision=s&precision=zz"), &[204, 200], ""),
            ("q", &get("q=SHOW+DATABASES&q=SELEC"), &[200, 200], "[\"d\"]"),
            ("q, the other way", &get("q=SELEC&q=SHOW+DATABASES"), &[400, 200], "found SELEC"),
            ("q of a form before that of the URL", &both, &[200, 200], "[\"d\"]"),
        ],
    );
}

#[test]
fn a_request_has_one_end() {
    let (_dir, server) = server();
    let write = |headers: &str, body: &str| request("POST /write?db=d", headers, body);
    let chunks = "7\r\nm v=1 1\r\n0\r\n\r\n";
    let te = "Transfer-Encoding: chunked\r\n";
    let both = format!("Content-Length: 7\r\n{te}");
    let lengths =
        |values: [&str; 2]| values.map(|one| format!("Content-Length: {one}\r\n")).concat();
    let list = |value: &str| write(&format!("Transfer-Encoding: {value}\r\n"), chunks);
    let old = write(te, chunks).replace("HTTP/1.1", "HTTP/1.0");
    check(
        &server,
        &[
            // Chunks count, and what stands behind them is not read.
            ("length and chunks", &write(&both, chunks), &[204], "connection: close"),
            ("two lengths", &write(&lengths(["7", "8"]), "m v=1 1"), &[400], ""),
            ("one length twice", &write(&lengths(["7", "7"]), "m v=1 1"), &[204, 200], ""),
            ("a list of lengths", &write(&lengths(["7, 7", "7"]), "m v=1 1"), &[400], ""),
            ("less than nothing", &write("Content-Length: -7\r\n", "m v=1 1"), &[400], ""),
            ("a sign", &write("Content-Length: +7\r\n", "m v=1 1"), &[400], ""),
            (
                "too long a length",
                &write("Content-Length: 99999999999999999999\r\n", ""),
                &[400],
                "",
            ),
            ("chunks within chunks", &list("chunked, identity"), &[400], ""),
            ("another coding", &list("xchunked"), &[400], ""),
            ("a coding beneath chunks", &list("gzip, chunked"), &[501], "connection: close"),
            ("a blank before the colon", &list("chunked").replace("ing:", "ing :"), &[400], ""),
            ("chunks in HTTP/1.0", &old, &[400], ""),
            ("a size that is none", &write(te, "zz\r\nm v=1 1\r\n0\r\n\r\n"), &[400], ""),
            ("too large a size", &write(te, "fffffffffffffffff\r\nm\r\n0\r\n\r\n"), &[400], ""),
            ("extensions", &write(te, "7;a=b\r\nm v=1 1\r\n0\r\n\r\n"), &[204, 200], ""),
            ("trailers", &write(te, "7\r\nm v=1 1\r\n0\r\nX: y\r\n\r\n"), &[204, 200], ""),
        ],
    );
}

#[test]
fn heads_follow_the_rules() {
    let (_dir, server) = server();
    let ping = "GET /ping HTTP/1.1\r\n";
    check(
        &server,
        &[
            ("no host", &format!("{ping}\r\n"), &[400], "missing required Host header"),
            ("two hosts", &format!("{ping}Host: a\r\nHost: b\r\n\r\n"), &[400], "too many Host"),
            ("a folded line", &format!("{ping}Host: a\r\n b: c\r\n\r\n"), &[400], ""),
            ("a line without a colon", &format!("{ping}Host a\r\n\r\n"), &[400], ""),
            ("a byte that is none", "GET /pi\0ng HTTP/1.1\r\nHost: a\r\n\r\n", &[400], ""),
            ("another version", "GET /ping HTTP/9.9\r\nHost: a\r\n\r\n", &[400], ""),
            ("no HTTP", "\x16\x03\x01\x02\r\n\r\n", &[400], ""),
            ("no host in HTTP/1.0", "GET /ping HTTP/1.0\r\n\r\n", &[204], ""),
            (
                "an expectation",
                &request("POST /write?db=d", "Expect: more\r\n", "m v=1 1"),
                &[417],
                "connection: close",
            ),
            ("an upgrade", &request("GET /ping", "Upgrade: h2c\r\n", ""), &[204, 200], ""),
        ],
    );
    for (what, line, headers) in [
        ("a long header", "GET /ping".to_owned(), format!("X: {}\r\n", "a".repeat(100_000))),
        ("many headers", "GET /ping".to_owned(), "X: y\r\n".repeat(150)),
        ("a long URL", format!("GET /ping?{}", "a".repeat(70_000)), String::new()),
    ] {
        let (found, text) = ask(&server, request(&line, &headers, "").as_bytes());
        // What the server left unread may reset the connection before its answer is seen.
        assert!(found == [431] || found.is_empty(), "{what}: {text}");
    }
    assert_eq!(server.get("/ping").status, 204);
}

#[test]
fn texts_that_are_none_are_told() {
    let (_dir, server) = server();
    let get = |query: &str| request(&format!("GET /query?{query}"), "", "");
    let write = |query: &str| request(&format!("POST /write?{query}"), "", "m v=1 1");
    let bound =
        |params: &str| get(&format!("db=d&q=SELECT+v+FROM+m+WHERE+a%3D%24x&params={params}"));
    let many = bound(&format!("%7B%22x%22:{}", "[".repeat(20_000)));
    check(
        &server,
        &[
            ("q", &get("q=SELECT+%ff"), &[400, 200], "error parsing query: found"),
            ("q, half an escape", &get("q=SELECT+%f"), &[400, 200], "error"),
            ("db", &write("db=%ff%fe"), &[404, 200], "database not found"),
            ("db of a query", &get("db=%ff&q=SHOW+SERIES"), &[200, 200], "database not found"),
            ("rp", &write("db=d&rp=%ff"), &[500, 200], "retention policy not found"),
            ("precision", &write("db=d&precision=%ff"), &[400, 200], "invalid precision"),
            ("consistency", &write("db=d&consistency=%ff"), &[400, 200], "invalid consistency"),
            ("epoch", &get("q=SHOW+DATABASES&epoch=%ff"), &[200, 200], "[\"d\"]"),
            (
                "chunk size",
                &get("q=SHOW+DATABASES&chunked=true&chunk_size=%ff"),
                &[200, 200],
                "[\"d\"]",
            ),
            (
                "seconds",
                &request("GET /debug/requests?seconds=%ff", "", ""),
                &[400, 200],
                "ParseInt",
            ),
            (
                "params",
                &get("q=SHOW+DATABASES&params=%ff"),
                &[400, 200],
                "error parsing query parameters",
            ),
            ("params, a list", &bound("[1]"), &[400, 200], "cannot unmarshal array"),
            ("params, a text", &bound("%22x%22"), &[400, 200], "cannot unmarshal string"),
            ("params, cut off", &bound("%7B%22x%22"), &[400, 200], "unexpected EOF"),
            ("params, without value", &bound("%7B%22x%22:null%7D"), &[400, 200], "unable to bind"),
            (
                "params, too large",
                &bound("%7B%22x%22:1e999999%7D"),
                &[400, 200],
                "error parsing json value",
            ),
            (
                "params, two values",
                &bound("%7B%22x%22:%7B%22int%22:1,%22float%22:1.0%7D%7D"),
                &[400, 200],
                "exactly one entry",
            ),
            (
                "params, an unknown type",
                &bound("%7B%22x%22:%7B%22foo%22:1%7D%7D"),
                &[400, 200],
                "unknown bind object type: foo",
            ),
            ("params, missing", &bound("%7B%7D"), &[400, 200], "missing parameter: x"),
            ("params, deep", &many, &[400, 200], "exceeded max depth"),
        ],
    );
}

#[test]
fn forms_that_are_none_have_no_statement() {
    let (_dir, server) = server();
    let part = "Content-Disposition: form-data; name=\"q\"\r\n\r\nSHOW DATABASES\r\n";
    let form =
        |kind: &str, body: &str| request("POST /query", &format!("Content-Type: {kind}\r\n"), body);
    let missing = "missing required parameter";
    let multi = "multipart/form-data; boundary=x";
    let whole = form(multi, &format!("--x\r\n{part}--x--\r\n"));
    let long = format!("multipart/form-data; boundary={}", "y".repeat(300));
    check(
        &server,
        &[
            ("whole", &whole, &[200, 200], "[\"d\"]"),
            (
                "no boundary",
                &form("multipart/form-data", &format!("--x\r\n{part}--x--\r\n")),
                &[400, 200],
                missing,
            ),
            (
                "another boundary",
                &form(multi, &format!("--y\r\n{part}--y--\r\n")),
                &[400, 200],
                missing,
            ),
            (
                "too long a boundary",
                &form(&long, &format!("--x\r\n{part}--x--\r\n")),
                &[400, 200],
                missing,
            ),
            (
                "cut off in a part",
                &form(multi, &format!("--x\r\n{}", &part[..50])),
                &[400, 200],
                missing,
            ),
            (
                "a part without a name",
                &form(multi, "--x\r\n\r\nSHOW DATABASES\r\n--x--\r\n"),
                &[400, 200],
                missing,
            ),
            ("nothing", &form(multi, ""), &[400, 200], missing),
            ("JSON", &form("application/json", "{\"q\":\"SHOW DATABASES\"}"), &[400, 200], missing),
            (
                "no text",
                &form("application/x-www-form-urlencoded", "q=SELECT+%ff"),
                &[400, 200],
                "error parsing query",
            ),
        ],
    );
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn bodies_that_grow_are_bounded() {
    let (_dir, server) = server();
    let bomb = packed(&vec![b'\n'; 4 << 20]);
    // Two members, each small enough.
    let twice = [packed(&vec![b'\n'; 600 << 10]), packed(&vec![b'\n'; 600 << 10])].concat();
    for body in [&bomb, &twice] {
        for path in ["/write?db=d", "/api/v2/write?bucket=d/", "/api/v1/datapoints"] {
            let kind = if path.ends_with("datapoints") { "application/gzip" } else { "text/plain" };
            let head = format!(
                "POST {path} HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Type: {kind}\r\n"
            );
            let answer = server.request(&head, body);
            assert_eq!(answer.status, 413, "{path}: {}", answer.text());
        }
    }
    // A snappy block that says it holds 4 GiB.
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, b'x'];
    for path in ["/api/v1/prom/write?db=d", "/api/v1/prom/read?db=d"] {
        let answer = server.request(&format!("POST {path} HTTP/1.1\r\n"), &huge);
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.text());
    }
    assert_eq!(server.get("/ping").status, 204);
}
