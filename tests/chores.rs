//! What the server does by itself: partitions past their policy go, continuous queries run,
//! subscribers are told.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{DEADLINE, Server, folder, start};
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
    use std::io::{Read, Write};
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
    server.query("", "DROP SUBSCRIPTION s ON d.autogen");
    assert_eq!(server.post("/write?db=d", b"m v=1 5").status, 204);
    server.await_counter("subscriber_taken", 2);
}
