//! The telnet door: lines in any pieces, order, answers to `version`, what is dropped and counted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{Server, connect, folder, start};
use std::io::{Read, Write};

fn server(flags: &[&str]) -> (tempfile::TempDir, Server) {
    let (dir, data) = folder();
    let server = start(&data, flags);
    (dir, server)
}

fn put(server: &Server, bytes: &[u8]) {
    connect(server.telnet).write_all(bytes).unwrap();
}

#[test]
fn the_first_put_makes_the_database_and_a_version_does_not() {
    let (_dir, server) = server(&[]);
    let mut stream = connect(server.telnet);
    stream.write_all(b"version\r\nfoo\n").unwrap();
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"KairosDB ");
    assert!(!server.query("", "SHOW DATABASES").contains("kairosdb"));
    stream.write_all(b"put a.b 1700000000 1.5 host=x\n").unwrap();
    server.await_counter("telnet_points_ok", 1);
    assert!(server.query("", "SHOW DATABASES").contains("kairosdb"));
    assert_eq!(server.counter("ringtail", "telnet_dropped_unknown_command"), 1);
}

#[test]
fn lines_may_arrive_in_any_pieces_and_an_open_end_is_dropped() {
    let (_dir, server) = server(&[]);
    let mut stream = connect(server.telnet);
    stream.set_nodelay(true).unwrap();
    for piece in b"put m 1700000000 1 a=b\r\nputm m 1700000001000 2 a=b\nput m 170".chunks(3) {
        stream.write_all(piece).unwrap();
    }
    server.await_counter("telnet_points_ok", 2);
    drop(stream);
    server.await_counter("telnet_rests_dropped", 1);
    assert_eq!(server.counter("ringtail_shard", "points"), 2);
}

#[test]
fn bad_lines_are_counted_by_reason_and_their_neighbours_stored() {
    let (_dir, server) = server(&["--telnet-max-line-size", "100"]);
    let long = "x".repeat(5000);
    let lines = format!(
        "put m 1 1 a=b\nput m x 1 a=b\nput m 1 abc a=b\nput m 1 1 a\nput m 1\nput {long} 1 1\n\
         \n   \nput m 2 2 a=b\n"
    );
    put(&server, lines.as_bytes());
    server.await_counter("telnet_points_ok", 2);
    let count = |why: &str| server.counter("ringtail", &format!("telnet_dropped_{why}"));
    assert_eq!(
        ["bad_time", "bad_value", "tag_format", "too_few_words", "line_too_long"].map(count),
        [1; 5]
    );
    assert_eq!(server.counter("ringtail", "telnet_lines_dropped"), 5);
}

#[test]
fn more_lines_than_a_buffer_holds_all_arrive() {
    let (_dir, server) = server(&["--telnet-read-size", "4k"]);
    let mut lines = String::new();
    for n in 0..20_000 {
        lines.push_str(&format!(
            "put metric.{} {} {n} host=h{}\n",
            n % 50,
            1_700_000_000 + n,
            n % 20
        ));
    }
    put(&server, lines.as_bytes());
    server.await_counter("telnet_points_ok", 20_000);
    assert_eq!(server.counter("ringtail_shard", "points"), 20_000);
    assert_eq!(server.counter("ringtail_shard", "series"), 100);
    assert_eq!(server.counter("ringtail", "telnet_bytes"), lines.len() as u64);
}

#[test]
fn a_silent_connection_is_closed() {
    let (_dir, server) = server(&["--telnet-idle-timeout", "1ms"]);
    let mut stream = connect(server.telnet);
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn at_the_limit_of_connections_the_next_one_waits() {
    let (_dir, server) = server(&["--cores", "1", "--telnet-max-connections", "1"]);
    let first = connect(server.telnet);
    server.await_counter("telnet_connections", 1);
    let mut second = connect(server.telnet);
    second.write_all(b"put m 1 1 a=b\n").unwrap();
    assert_eq!(server.counter("ringtail", "telnet_connections"), 1);
    drop(first);
    server.await_counter("telnet_points_ok", 1);
}
