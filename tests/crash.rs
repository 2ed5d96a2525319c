//! kill -9 under load, again and again, with a ledger of what was acknowledged.
//!
//! Writers send numbered points, 50 a request. After each kill the server starts again on the same
//! folder, sometimes with another number of cores, and must have for each writer every point that
//! was acknowledged, none but whole requests beyond, and no value that was not sent.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::Server;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const WRITERS: usize = 6;
const ROWS: u64 = 50;
const ROUNDS: u64 = 20;

/// Rows acknowledged to each writer.
type Ledger = [AtomicU64; WRITERS];

/// Sends all bytes; false when the server is gone.
fn try_send(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).is_ok()
}

/// The status of an answer without a body; `None` when the server is gone.
fn try_status(stream: &mut TcpStream) -> Option<u16> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).split(' ').nth(1)?.parse().ok()
}

/// Sends requests until the connection breaks.
fn write_until_killed(server: &Server, writer: usize, ledger: &Ledger) {
    let mut stream = server.connect();
    loop {
        let first = ledger[writer].load(Ordering::SeqCst);
        let line = |n: u64| format!("w,writer={writer},third={} v={n}i {n}000000000\n", n % 3);
        let body: String = (first..first + ROWS).map(line).collect();
        let request = format!(
            "POST /write?db=crash HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if !try_send(&mut stream, request.as_bytes()) {
            return;
        }
        match try_status(&mut stream) {
            Some(204) => ledger[writer].store(first + ROWS, Ordering::SeqCst),
            Some(status) => panic!("a write was answered {status}"),
            None => return,
        }
    }
}

/// The points of a writer: their number and the sum of their values.
fn points_of(server: &Server, writer: usize) -> (u64, u64) {
    let query = format!("SELECT count(v), sum(v) FROM w WHERE writer = '{writer}'");
    let text = server.query("crash", &query);
    let Some((_, values)) = text.split_once("\"values\":[[\"1970-01-01T00:00:00Z\",") else {
        assert!(!text.contains("error"), "{text}");
        return (0, 0);
    };
    let (count, rest) = values.split_once(',').unwrap();
    let sum = rest.split(']').next().unwrap();
    (count.parse().unwrap(), sum.parse().unwrap())
}

fn check(server: &Server, ledger: &Ledger, round: u64) {
    for (writer, rows) in ledger.iter().enumerate() {
        let acknowledged = rows.load(Ordering::SeqCst);
        let (found, sum) = points_of(server, writer);
        assert!(found >= acknowledged, "round {round}: {found} of {acknowledged} points left");
        // A request under way may be there; it lies on up to three series, hence on several shards.
        assert!(found <= acknowledged + ROWS, "round {round}: {found} after {acknowledged}");
        if found == acknowledged {
            assert_eq!(sum, found * found.saturating_sub(1) / 2, "round {round}: a value changed");
        }
    }
}

fn one_round(data: &Path, ledger: &Ledger, round: u64) {
    let cores = ["2", "1", "3", "2"][(round % 4) as usize];
    let server = common::start(data, &["--cores", cores, "--head-max-size", "256k"]);
    server.query("", "CREATE DATABASE crash");
    check(&server, ledger, round);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let server = &server;
            scope.spawn(move || write_until_killed(server, writer, ledger));
        }
        let work = ["flush", "compact"][(round % 2) as usize];
        let maintain = format!(
            "POST /debug/maintain?work={work} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n"
        );
        let mut stream = server.connect();
        std::thread::sleep(Duration::from_millis(10 + round * 7 % 60));
        try_send(&mut stream, maintain.as_bytes());
        std::thread::sleep(Duration::from_millis(round * 13 % 90));
        server.signal("-KILL");
    });
    server.kill();
}

#[test]
fn acknowledged_points_survive_twenty_kills() {
    let (_dir, data) = common::folder();
    let ledger: Ledger = Default::default();
    for round in 0..ROUNDS {
        one_round(&data, &ledger, round);
    }
    let server = common::start(&data, &[]);
    check(&server, &ledger, ROUNDS);
    let total: u64 = ledger.iter().map(|rows| rows.load(Ordering::SeqCst)).sum();
    assert!(total > ROUNDS * ROWS, "the writers got only {total} rows acknowledged");
    assert!(server.stop().success());
}
