//! Bad input, a table for every door: what is sent, what comes back, what is stored.
//!
//! Each row is sent between good ones, which must be stored whatever stands beside them; rows that
//! only look odd are stored, too. At the end of a table the names that are there are listed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{Server, connect, folder, start};
use simd_json::prelude::*;
use std::io::{BufRead, BufReader, Read, Write};

fn server(flags: &[&str]) -> (tempfile::TempDir, Server) {
    let (dir, data) = folder();
    let server = start(&data, flags);
    (dir, server)
}

/// The series of a database, as SHOW SERIES has them.
fn series(server: &Server, db: &str) -> Vec<String> {
    let mut text = server.query(db, "SHOW SERIES").into_bytes();
    let answer = simd_json::to_owned_value(&mut text).unwrap();
    let rows = answer["results"][0]["series"][0]["values"].as_array().unwrap();
    rows.iter().map(|row| row[0].as_str().unwrap().to_owned()).collect()
}

/// Lines of telnet and what is answered; an empty answer is that of a line that is stored.
const TELNET: &[(&[u8], &str)] = &[
    (b"put \xff\xfe 1 1 a=b", "not UTF-8"),
    (b"put m 1 1 a=\xc3", "not UTF-8"),
    (b"put m 1 \0 a=b", "the value is no number"),
    (b"\0put leading 1 1 a=b", ""),
    (b"pu\0t m 1 1 a=b", "unknown command"),
    (b"put nul\0name 1 1 a=b", "the timestamp is no number"),
    (b"put m 1 NaN a=b", "the value is no number"),
    (b"put m 1 -Infinity a=b", "the value is no number"),
    (b"put m 1 1e5 a=b", "the value is no number"),
    (b"put m 1 99999999999999999999 a=b", "the value is no number"),
    (b"put m 99999999999999999999 1 a=b", "the timestamp is no number"),
    (b"put m 1.5 1 a=b", "the timestamp is no number"),
    (b"putm m 9223372036854775 1 a=b", "the timestamp is out of range"),
    (b"put m -9223372036854775807 1 a=b", "the timestamp is out of range"),
    (b"put m", "expected metric, timestamp and value"),
    (b"put \"\" 1 1 a=b", "the metric name is empty"),
    (b"put m 1 1 a=", "a tag's value is empty"),
    (b"put m 1 1 =b", "a tag's name is empty"),
    (b"put m 1 1 a", "a tag must be in the format name=value"),
    (b"put m 1 1 a=b a=c", "a tag's name occurs twice"),
    (b"put m 1 1 a=b kairos_opt.ttl=-x", "kairos_opt.ttl must be a number"),
    (b"GET / HTTP/1.1", "unknown command"),
    (b"put \"odd, =name\" 1 1 \"t g=v,=\"", ""),
    ("put \u{1f600} 1 1 \u{e9}=\u{2603}".as_bytes(), ""),
    (b"put back\\slash 1 1 a=b\\", ""),
    (b"put time 1 1 time=1", ""),
];

#[test]
fn telnet() {
    let (_dir, server) = server(&["--telnet-answer-errors", "true", "--cores", "2"]);
    let stream = connect(server.telnet);
    let mut answers = BufReader::new(&stream).lines().map(Result::unwrap);
    for (number, (line, answer)) in TELNET.iter().enumerate() {
        let good = format!("\nput ok {number} 1 a=b\nversion\n");
        (&stream).write_all(&[line, good.as_bytes()].concat()).unwrap();
        let mut found = answers.next().unwrap();
        if !answer.is_empty() {
            let expected = format!("error: {answer}: ");
            assert!(found.starts_with(&expected), "{found} to {}", line.escape_ascii());
            found = answers.next().unwrap();
        }
        assert!(found.starts_with("KairosDB "), "{found} to {}", line.escape_ascii());
    }
    let stored = TELNET.iter().filter(|(_, answer)| answer.is_empty()).count();
    server.await_counter("telnet_points_ok", (TELNET.len() + stored) as u64);
    assert_eq!(
        series(&server, "kairosdb"),
        [
            "back\\slash,a=b\\",
            "leading,a=b",
            "odd\\,\\ =name,t\\ g=v\\,",
            "ok,a=b",
            "time,time=1",
            "\u{1f600},\u{e9}=\u{2603}",
        ]
    );
}

/// Lines of Graphite and why they are dropped; those without a reason are stored.
const GRAPHITE: &[(&[u8], &str)] = &[
    (b"m\xff 1 1", "not_utf8"),
    (b"m;a=\xc3 1 1", "not_utf8"),
    (b"m 1\0 1", "bad_value"),
    (b"m NaN 1", "not_finite"),
    (b"m -inf 1", "not_finite"),
    (b"m 1e999 1", "not_finite"),
    (b"m 1 NaN", "bad_time"),
    (b"m 1 99999999999", "time_range"),
    (b"m 1 -1e300", "time_range"),
    (b"m 1 1 1", "field_count"),
    (b";a=b 1 1", "empty_path"),
    (b"m; 1 1", "tag_format"),
    (b"m;=b 1 1", "tag_name_empty"),
    (b"m;a= 1 1", "tag_value_empty"),
    (b"nul\0name 1 1", ""),
    (b"twice;a=1;a=2 1 1", ""),
    (b"odd,=\"name;t,g=v= 1 1", ""),
    ("\u{1f600};\u{e9}=\u{2603} 1 1".as_bytes(), ""),
    (b"a..b.;x=. 1 1", ""),
];

/// The counters of these reasons are as the table says.
fn assert_counted(server: &Server, door: &str, reasons: impl Iterator<Item = &'static str>) {
    let mut wanted = std::collections::BTreeMap::new();
    for reason in reasons.filter(|reason| !reason.is_empty()) {
        *wanted.entry(reason).or_insert(0) += 1;
    }
    for (reason, count) in wanted {
        let counter = format!("{door}_dropped_{reason}");
        assert_eq!(server.counter("ringtail", &counter), count, "{counter}");
    }
}

#[test]
fn graphite() {
    let (_dir, server) = server(&["--graphite-bind", "127.0.0.1:0", "--cores", "2"]);
    let lines: Vec<Vec<u8>> =
        GRAPHITE.iter().map(|(line, _)| [line, b"\nok 1 1\n".as_slice()].concat()).collect();
    connect(server.door("graphite")).write_all(&lines.concat()).unwrap();
    let stored = GRAPHITE.iter().filter(|(_, reason)| reason.is_empty()).count();
    server.await_counter("graphite_points_ok", (GRAPHITE.len() + stored) as u64);
    server.await_counter("graphite_lines_dropped", (GRAPHITE.len() - stored) as u64);
    assert_counted(&server, "graphite", GRAPHITE.iter().map(|(_, reason)| *reason));
    assert_eq!(
        series(&server, "kairosdb"),
        [
            "a..b.,x=.",
            "nul\0name",
            "odd\\,=\"name,t\\,g=v\\=",
            "ok",
            "twice,a=2",
            "\u{1f600},\u{e9}=\u{2603}",
        ]
    );
}

/// Pickles, without their lengths, and why they or an element of them are dropped.
const PICKLES: &[(&[u8], &str)] = &[
    (b"cos\nsystem\n(S'true'\ntR.", "frame_forbidden"),
    (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "frame_forbidden"),
    // Cut: within a text, a number, before the end.
    (b"\x80\x02]X\x05\0\0\0ab", "frame_malformed"),
    (b"\x80\x02]U\x01mK\x01G\0\0", "frame_malformed"),
    (b"\x80\x02]U\x01mK\x01K\x01\x86\x86a", "frame_malformed"),
    // Lengths and counts that no frame of this size can hold.
    (b"\x80\x02]X\xff\xff\xff\xffm.", "frame_malformed"),
    (b"\x80\x02]\x8e\xff\xff\xff\xff\xff\xff\xff\x7fm.", "frame_malformed"),
    (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f].", "frame_malformed"),
    (b"\x80\x02]r\xff\xff\xff\xffj\xff\xff\xff\xfea.", "frame_malformed"),
    (b"\x80\x02]\x8b\xff\xff\xff\x7f\x01.", "frame_malformed"),
    (b"GET / HTTP/1.1\r\n\r\n", "frame_forbidden"),
    // No list, and lists of something else.
    (b"K\x07.", "frame_shape"),
    (b"}.", "frame_shape"),
    (b"]K\x07a.", "element_shape"),
    (b"]U\x01mK\x01\x86a.", "element_shape"),
    (b"]U\x01mK\x01K\x01K\x01\x87\x86a.", "element_shape"),
    (b"]K\x01K\x01K\x01\x86\x86a.", "element_shape"),
    // Elements with something wrong in them.
    (b"]U\x02m\xffK\x01K\x01\x86\x86a.", "not_utf8"),
    (b"]U\x01mK\x01N\x86\x86a.", "bad_value"),
    (b"]U\x01mK\x01G\x7f\xf8\0\0\0\0\0\0\x86\x86a.", "not_finite"),
    (b"]U\x01mG\x7f\xf0\0\0\0\0\0\0K\x01\x86\x86a.", "bad_time"),
    (b"]U\x01m\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\x01\x86\x86a.", "time_range"),
    (b"]U\0K\x01K\x01\x86\x86a.", "empty_path"),
    (b"]U\x04m;a=K\x01K\x01\x86\x86a.", "tag_value_empty"),
    (b"]U\x05\0 ,=;K\x01K\x01\x86\x86a.", "tag_format"),
    (b"]U\x06a b\nc\0K\x01K\x01\x86\x86a.", ""),
];

/// A pickle with its length in front.
fn frame(pickle: &[u8]) -> Vec<u8> {
    [&(pickle.len() as u32).to_be_bytes()[..], pickle].concat()
}

#[test]
fn pickles() {
    let (_dir, server) = server(&["--pickle-bind", "127.0.0.1:0", "--cores", "2"]);
    let good = frame(b"]U\x02okK\x01K\x01\x86\x86a.");
    let frames: Vec<Vec<u8>> =
        PICKLES.iter().map(|(pickle, _)| [frame(pickle), good.clone()].concat()).collect();
    let mut stream = connect(server.door("pickle"));
    stream.write_all(&frames.concat()).unwrap();
    let stored = PICKLES.iter().filter(|(_, reason)| reason.is_empty()).count();
    server.await_counter("pickle_points_ok", (PICKLES.len() + stored) as u64);
    assert_counted(&server, "pickle", PICKLES.iter().map(|(_, reason)| *reason));
    assert_eq!(server.counter("ringtail", "pickle_frames"), 2 * PICKLES.len() as u64);
    assert_eq!(series(&server, "kairosdb"), ["a\\ b\nc\0", "ok"]);
    // A length that cannot be: the connection ends, nothing is waited for.
    stream.write_all(&[0xff; 4]).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert_eq!(server.counter("ringtail", "pickle_dropped_frame_too_long"), 1);
    // A frame that never comes whole is dropped with its connection.
    let mut stream = connect(server.door("pickle"));
    stream.write_all(&[&1000u32.to_be_bytes()[..], b"]U\x02ok"].concat()).unwrap();
    drop(stream);
    server.await_counter("pickle_rests_dropped", 2);
}

/// Bodies of line protocol and what is answered; 204 has no words.
const LINES: &[(&[u8], &str)] = &[
    (b"m f=NaN 1", "unable to parse 'm f=NaN 1': invalid number"),
    (b"m f=Inf 1", "unable to parse 'm f=Inf 1': invalid boolean"),
    (b"m f=1e400 1", "unable to parse 'm f=1e400 1': invalid float"),
    (b"m f=1\0 1", "unable to parse 'm f=1\\u0000 1': invalid number"),
    (
        b"m f=1 9223372036854775807",
        "unable to parse 'm f=1 9223372036854775807': time outside range \
         -9223372036854775806 - 9223372036854775806",
    ),
    (
        b"m f=1 99999999999999999999",
        "unable to parse 'm f=1 99999999999999999999': strconv.ParseInt: parsing \
         \\\"99999999999999999999\\\": value out of range",
    ),
    (b"m,t= f=1 1", "unable to parse 'm,t= f=1 1': missing tag value"),
    (b"m,=v f=1 1", "unable to parse 'm,=v f=1 1': missing tag key"),
    (b"m,t=1,t=2 f=1 1", "unable to parse 'm,t=1,t=2 f=1 1': duplicate tags"),
    (b",t=1 f=1 1", "unable to parse ',t=1 f=1 1': missing measurement"),
    (b"m f= 1", "unable to parse 'm f= 1': missing field value"),
    (b"m f=\"open 1", "unable to parse 'm f=\\\"open 1': unbalanced quotes"),
    (b"nul\0name,a\0=b\0 f=1 1", ""),
    (b"odd\\,\\ =name,t\\,g=v\\= f\\ d=1 1", ""),
    ("\u{1f600},\u{e9}=\u{2603} f=1 1".as_bytes(), ""),
    (b"bytes,t=\xff\xfe f=1 1", ""),
    (b"time f=1 1", ""),
];

#[test]
fn line_protocol() {
    let (_dir, server) = server(&["--cores", "2"]);
    server.query("", "CREATE DATABASE d");
    for (number, (line, answer)) in LINES.iter().enumerate() {
        let body = [format!("ok f=1 {number}\n").as_bytes(), line].concat();
        let found = server.post("/write?db=d", &body);
        let shown = line.escape_ascii();
        if answer.is_empty() {
            assert_eq!((found.status, found.text().as_str()), (204, ""), "{shown}");
        } else {
            let expected = format!("{{\"error\":\"partial write: {answer} dropped=0\"}}\n");
            assert_eq!((found.status, found.text()), (400, expected), "{shown}");
        }
    }
    let count = format!("[\"1970-01-01T00:00:00Z\",{}]", LINES.len());
    assert!(server.query("d", "SELECT count(f) FROM ok").contains(&count));
    assert_eq!(
        series(&server, "d"),
        [
            "bytes,t=\u{fffd}\u{fffd}",
            "nul\0name,a\0=b\0",
            "odd\\,\\ =name,t\\,g=v\\=",
            "ok",
            "time",
            "\u{1f600},\u{e9}=\u{2603}",
        ]
    );
}

/// What stands in a metric of KairosDB's REST API, and what is answered.
const METRICS: &[(&[u8], &str)] = &[
    (b"\"name\":\"\xff\",\"value\":1", "String is not valid UTF-8 at offset 8"),
    (b"\"name\":\"a\0b\",\"value\":1", "Unescaped control character in string at offset 8"),
    (b"\"name\":\"m\",\"value\":NaN", "Unexpected character at offset 20"),
    (b"\"name\":\"m\",\"value\":\"NaN\",\"type\":\"double\"", "For input string: \\\"NaN\\\""),
    (b"\"name\":\"m\",\"value\":1e400", "For input string: \\\"1e400\\\""),
    (
        b"\"name\":\"m\",\"datapoints\":[[9223372036854775807,1]]",
        "metric[0](name=m).datapoints[0].timestamp is out of range.",
    ),
    (
        b"\"name\":\"m\",\"datapoints\":[[1e30,1]]",
        "metric[0](name=m).datapoints[0].timestamp is out of range.",
    ),
    (
        b"\"name\":\"m\",\"value\":1,\"tags\":{\"h\":\"\"}",
        "metric[0](name=m).tag[h].value may not be empty.",
    ),
    (
        b"\"name\":\"m\",\"value\":1,\"tags\":{\"\":\"v\"}",
        "metric[0](name=m).tag[0].name may not be empty.",
    ),
    (
        b"\"name\":\"m\",\"value\":1,\"tags\":{}",
        "metric[0](name=m).tags count must be greater than or equal to 1.",
    ),
    (b"\"name\":\"m\",\"value\":1,\"tags\":{\"h\":\"1\",\"h\":\"2\"}", "duplicate key: h"),
    (b"\"name\":\"m\",\"value\":{}", "metric[0](name=m) value is an invalid type"),
    (b"\"name\":\"nul\\u0000name\",\"value\":1,\"tags\":{\"a\\u0000\":\"b\\u0000\"}", ""),
    (b"\"name\":\"odd, =name\",\"value\":1,\"tags\":{\"t,g\":\"v= \"}", ""),
    ("\"name\":\"\u{1f600}\",\"value\":1,\"tags\":{\"\u{e9}\":\"\u{2603}\"}".as_bytes(), ""),
    (b"\"name\":\"half\\ud83d\",\"value\":1", ""),
];

#[test]
fn kairosdb_metrics() {
    let (_dir, server) = server(&["--cores", "2"]);
    for (members, answer) in METRICS {
        let shown = members.escape_ascii().to_string();
        let tags = if shown.contains("tags") { "" } else { ",\"tags\":{\"h\":\"a\"}" };
        let time = if shown.contains("datapoints") { "" } else { ",\"timestamp\":1000" };
        let body = [b"{", *members, tags.as_bytes(), time.as_bytes(), b"}"].concat();
        let found = server.post("/api/v1/datapoints", &body);
        let expected = match answer.is_empty() {
            true => (204, String::new()),
            false => (400, format!("{{\"errors\":[\"{answer}\"]}}")),
        };
        assert_eq!((found.status, found.text()), expected, "{shown}");
    }
    assert_eq!(
        series(&server, "kairosdb"),
        [
            "half\u{fffd},h=a",
            "nul\0name,a\0=b\0",
            "odd\\,\\ =name,t\\,g=v\\=\\ ",
            "\u{1f600},\u{e9}=\u{2603}",
        ]
    );
}
