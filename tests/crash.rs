//! kill -9 and power cuts under load, again and again, with a ledger of what was acknowledged.
//!
//! Writers send numbered points, 50 a request. After each end the server starts again on the same
//! folder, sometimes with another number of cores, and must have for each writer every point that
//! was acknowledged, none but whole requests beyond, and no value that was not sent.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod common;
#[path = "common/disk.rs"]
mod disk;

use common::{DEADLINE, Server};
use disk::OwnDisk;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WRITERS: usize = 6;
const ROWS: u64 = 50;
const ROUNDS: u64 = 20;
const POWER_CUTS: u64 = 6;

/// Rows acknowledged to each writer.
type Ledger = [AtomicU64; WRITERS];

/// Rows acknowledged to all.
fn rows_of(ledger: &Ledger) -> u64 {
    ledger.iter().map(|rows| rows.load(Ordering::SeqCst)).sum()
}

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

/// Sends requests until the connection breaks, or a write fails where the disk does.
fn write_until_killed(server: &Server, writer: usize, ledger: &Ledger, disk: Option<&OwnDisk>) {
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
            Some(500..) if disk.is_some() => return,
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

/// One life of a server: ended by a power cut where the disk can have one, else by a kill.
fn one_round(data: &Path, ledger: &Ledger, round: u64, disk: Option<&OwnDisk>) {
    let cores = ["2", "1", "3", "2"][(round % 4) as usize];
    let server = common::start(data, &["--cores", cores, "--head-max-size", "256k"]);
    server.query("", "CREATE DATABASE crash");
    check(&server, ledger, round);
    let before = rows_of(ledger);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let server = &server;
            scope.spawn(move || write_until_killed(server, writer, ledger, disk));
        }
        let work = ["flush", "compact"][(round % 2) as usize];
        let maintain = format!(
            "POST /debug/maintain?work={work} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n"
        );
        let mut stream = server.connect();
        std::thread::sleep(Duration::from_millis(10 + round * 7 % 60));
        try_send(&mut stream, maintain.as_bytes());
        std::thread::sleep(Duration::from_millis(round * 13 % 90));
        let until = Instant::now() + DEADLINE;
        while rows_of(ledger) == before && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        match disk {
            Some(disk) => disk.cut_power(),
            None => server.signal("-KILL"),
        }
    });
    server.kill();
    if let Some(disk) = disk {
        disk.restore_power(DEADLINE);
    }
}

#[test]
fn acknowledged_points_survive_twenty_kills() {
    let (_dir, data) = common::folder();
    let ledger: Ledger = Default::default();
    lives(&data, &ledger, ROUNDS, None);
}

/// What a kill leaves to the kernel, a power cut takes: names, sizes and blocks that no sync made
/// durable. Bytes written directly into blocks that are durable stay; a disk that loses them from
/// a cache of its own is simulated (`shard/fault_tests.rs`).
#[test]
fn acknowledged_points_survive_power_cuts() {
    let Some(disk) = OwnDisk::new() else { return };
    lives(&disk.data(), &Ledger::default(), POWER_CUTS, Some(&disk));
}

fn lives(data: &Path, ledger: &Ledger, rounds: u64, disk: Option<&OwnDisk>) {
    for round in 0..rounds {
        one_round(data, ledger, round, disk);
    }
    let server = common::start(data, &[]);
    check(&server, ledger, rounds);
    let total = rows_of(ledger);
    assert!(total > rounds * ROWS, "the writers got only {total} rows acknowledged");
    assert!(server.stop().success());
}
