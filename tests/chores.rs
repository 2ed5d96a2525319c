//! What the server does by itself: partitions past their policy go, continuous queries run,
//! subscribers are told.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{DEADLINE, Server, connect, folder, start};
use std::io::Write;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn until(server: &Server, text: &str, done: impl Fn(&str) -> bool) {
    let end = Instant::now() + DEADLINE;
    loop {
        let found = server.query("d", text);
        if done(&found) {
            return;
        }
        assert!(Instant::now() < end, "{text}: {found}");
    }
}

#[test]
fn partitions_past_their_policy_go() {
    let (_dir, data) = folder();
    let server = start(&data, &["--retention-check-interval", "20ms"]);
    server.query("", "CREATE DATABASE d WITH DURATION 30d SHARD DURATION 1h NAME p");
    let (old, new) = (now_seconds() - 36_000, now_seconds());
    let body = format!("m v=1 {old}\nm v=2 {new}\n");
    assert_eq!(server.post("/write?db=d&precision=s", body.as_bytes()).status, 204);
    assert!(server.query("d", "SELECT count(v) FROM m").contains(",2]"));
    server.query("d", "ALTER RETENTION POLICY p ON d DURATION 2h SHARD DURATION 1h");
    until(&server, "SELECT count(v) FROM m", |found| found.contains(",1]"));
    until(&server, "SHOW SHARD GROUPS", |found| found.matches("\"p\"").count() == 1);
    let late = server.post("/write?db=d&precision=s", body.as_bytes());
    let text = "{\"error\":\"partial write: points beyond retention policy dropped=1\"}\n";
    assert_eq!((late.status, late.text().as_str()), (400, text));
}

/// A subscriber that keeps what it was sent.
fn subscriber() -> (u16, std::sync::mpsc::Receiver<String>) {
    use std::io::Read;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut text = Vec::new();
            let mut byte = [0; 1];
            while !text.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                text.push(byte[0]);
            }
            let head = String::from_utf8(text).unwrap();
            let line = head.lines().find(|line| line.starts_with("Content-Length")).unwrap();
            let mut body = vec![0; line.split(' ').nth(1).unwrap().parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            let first = head.lines().next().unwrap();
            let whole = format!("{first}\n{}", String::from_utf8(body).unwrap());
            if sender.send(whole).is_err() {
                return;
            }
        }
    });
    (port, receiver)
}

#[test]
fn subscribers_get_what_came_by_every_door() {
    let (_dir, data) = folder();
    let server = start(
        &data,
        &["--graphite-bind", "127.0.0.1:0", "--pickle-bind", "127.0.0.1:0", "--cores", "2"],
    );
    // Known series beforehand, by each door: their names are told all the same.
    let json =
        |ms: u64| format!(r#"{{"name":"k 1","timestamp":{ms},"value":7,"tags":{{"h":"a b"}}}}"#);
    let by_telnet = |line: &str| {
        connect(server.telnet).write_all(line.as_bytes()).unwrap();
    };
    let by_graphite = |line: &str| {
        connect(server.door("graphite")).write_all(line.as_bytes()).unwrap();
    };
    by_telnet("put t 1 1.5 h=a\n");
    server.await_counter("telnet_points_ok", 1);
    by_graphite("servers.a.load 2.5 2\n");
    server.await_counter("graphite_points_ok", 1);
    assert_eq!(server.post("/api/v1/datapoints", json(3000).as_bytes()).status, 204);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let url = format!("udp://{}", socket.local_addr().unwrap());
    let made = server
        .query("", &format!("CREATE SUBSCRIPTION s ON kairosdb.autogen DESTINATIONS ALL '{url}'"));
    assert!(!made.contains("error"), "{made}");
    let mut datagram = [0; 2000];
    let mut next = || {
        let (len, _) = socket.recv_from(&mut datagram).unwrap();
        String::from_utf8(datagram[..len].to_vec()).unwrap()
    };
    by_telnet("put t 11 1.5 h=a\nput t 12 3 h=b\n");
    let mut lines = next();
    // The lines may have come in two reads.
    if lines.matches('\n').count() == 1 {
        lines += &next();
    }
    assert_eq!(lines, "t,h=a value=1.5 11000000000\nt,h=b value=3i 12000000000\n");
    by_graphite("servers.a.load 2.5 12\n");
    assert_eq!(next(), "servers.a.load value=2.5 12000000000\n");
    let pickle = b"\x80\x02]U\x03p.qK\x0dG\x40\x12\x00\x00\x00\x00\x00\x00\x86\x86a.";
    let frame = [&(pickle.len() as u32).to_be_bytes()[..], pickle].concat();
    connect(server.door("pickle")).write_all(&frame).unwrap();
    assert_eq!(next(), "p.q value=4.5 13000000000\n");
    assert_eq!(server.post("/api/v1/datapoints", json(14_000).as_bytes()).status, 204);
    assert_eq!(next(), "k\\ 1,h=a\\ b value=7i 14000000000\n");
    // One series {__name__="up", job="x y"} with the sample 1 at 15,000 ms, as protobuf.
    let label = |name: &str, value: &str| {
        let text = |tag: u8, text: &str| [&[tag, text.len() as u8], text.as_bytes()].concat();
        let both = [text(0x0a, name), text(0x12, value)].concat();
        [&[0x0a, both.len() as u8], both.as_slice()].concat()
    };
    let sample = [&[0x12, 12, 0x09], 1f64.to_le_bytes().as_slice(), &[0x10, 0x98, 0x75]].concat();
    let series = [label("__name__", "up"), label("job", "x y"), sample].concat();
    let request = [&[0x0a, series.len() as u8], series.as_slice()].concat();
    let packed = snap::raw::Encoder::new().compress_vec(&request).unwrap();
    assert_eq!(server.post("/api/v1/prom/write?db=kairosdb", &packed).status, 204);
    assert_eq!(next(), "up,__name__=up,job=x\\ y value=1.0 15000000000\n");
    server.query("", "DROP SUBSCRIPTION s ON kairosdb.autogen");
    let taken = server.counter("ringtail", "subscriber_taken");
    by_telnet("put t 16 1.5 h=a\n");
    server.await_counter("telnet_points_ok", 4);
    assert_eq!(server.counter("ringtail", "subscriber_taken"), taken);
}

#[test]
fn subscribers_get_what_was_written() {
    let (_dir, data) = folder();
    let server = start(&data, &[]);
    server.query("", "CREATE DATABASE d");
    let (port, parcels) = subscriber();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let udp = socket.local_addr().unwrap().port();
    let made = server.query(
        "",
        &format!(
            "CREATE SUBSCRIPTION s ON d.autogen DESTINATIONS ALL 'http://127.0.0.1:{port}', \
             'udp://127.0.0.1:{udp}'"
        ),
    );
    assert!(!made.contains("error"), "{made}");
    assert_eq!(server.post("/write?db=d&precision=s", b"m v=1 5\n\nm,t=a v=2 6").status, 204);
    let lines = "m v=1 5000000000\nm,t=a v=2 6000000000\n";
    let parcel = parcels.recv_timeout(DEADLINE).unwrap();
    let first = "POST /write?consistency=&db=d&precision=ns&rp=autogen HTTP/1.1\n";
    assert_eq!(parcel, format!("{first}{lines}"));
    let mut datagram = [0; 2000];
    let (len, _) = socket.recv_from(&mut datagram).unwrap();
    assert_eq!(&datagram[..len], lines.as_bytes());
    server.await_counter("subscriber_sent", 4);
    for url in [format!("http://127.0.0.1:{port}"), format!("udp://127.0.0.1:{udp}")] {
        let name = format!("subscriber:d:autogen:s:{url}");
        assert_eq!(server.counter(&name, "pointsWritten"), 2);
        assert_eq!(server.counter(&name, "writeFailures"), 0);
    }
    server.query("", "DROP SUBSCRIPTION s ON d.autogen");
    assert_eq!(server.post("/write?db=d", b"m v=1 5").status, 204);
    server.await_counter("subscriber_taken", 2);
}

#[test]
fn a_subscriber_that_never_answers_holds_nobody_up() {
    let (_dir, data) = folder();
    let server = start(&data, &["--subscriber-queue-size", "1k", "--cores", "2"]);
    // The kernel takes connections for it, and nobody reads them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    server.query("", "CREATE DATABASE d; CREATE DATABASE kairosdb");
    for db in ["d", "kairosdb"] {
        let made = server
            .query("", &format!("CREATE SUBSCRIPTION s ON {db}.autogen DESTINATIONS ANY '{url}'"));
        assert!(!made.contains("error"), "{made}");
    }
    let body = "m v=1 1\n".repeat(50);
    for _ in 0..50 {
        assert_eq!(server.post("/write?db=d", body.as_bytes()).status, 204);
    }
    // Two cores have a queue each, which holds two bodies, and one on its way; those may give up.
    assert!(server.counter("ringtail", "subscriber_dropped") >= 30);
    let before = server.counter("ringtail", "subscriber_dropped");
    // More at once than a queue could hold.
    let lines: String = (1..=500).map(|n| format!("put t {n} 1 h=a\n")).collect();
    connect(server.telnet).write_all(lines.as_bytes()).unwrap();
    server.await_counter("telnet_points_ok", 500);
    assert!(server.counter("ringtail", "subscriber_dropped") > before);
    assert!(server.query("d", "SELECT count(v) FROM m").contains(",1]"));
    assert!(server.query("kairosdb", "SELECT count(value) FROM t").contains(",500]"));
}
