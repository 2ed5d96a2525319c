//! The telnet door: lines in any pieces, order, answers to `version`, what is dropped and counted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{Server, connect, folder, start};
use std::io::{BufRead, BufReader, Read, Write};

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

#[test]
fn refused_lines_can_be_answered_and_are_shown() {
    let (_dir, server) = server(&["--telnet-answer-errors", "true"]);
    let mut stream = connect(server.telnet);
    stream.write_all(b"put m 1 x a=b\nversion\nput m 1 1 a=b\nput m 1 1 a\n").unwrap();
    let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "error: the value is no number: put m 1 x a=b");
    assert!(lines.next().unwrap().starts_with("KairosDB "));
    assert_eq!(lines.next().unwrap(), "error: a tag must be in the format name=value: put m 1 1 a");
    server.await_counter("telnet_points_ok", 1);
    let page = server.get("/debug/vars").text();
    let peer = stream.local_addr().unwrap();
    let sample = format!(
        "\"ringtail_refused:telnet:bad_value\": {{\"name\":\"ringtail_refused\",\
         \"tags\":{{\"door\":\"telnet\",\"reason\":\"bad_value\"}},\"values\":{{\"age_s\":0,\
         \"peer\":\"{peer}\",\"line\":\"put m 1 x a=b\"}}}}"
    );
    assert!(page.contains(&sample), "{page}");
}

/// Files that this process may have open, after asking for as many as there can be.
fn descriptors() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the calls read and fill in the structure that they are given.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
    usize::try_from(limit.rlim_max).unwrap_or(usize::MAX)
}

#[test]
fn thousands_of_slow_senders_cost_little() {
    const SENDERS: usize = 5000;
    // Beside those of the senders, other tests of this process need descriptors, too.
    let count = SENDERS.min(descriptors().saturating_sub(500));
    let (_dir, server) = server(&["--cores", "1"]);
    let memory = || {
        let text = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    };
    put(&server, b"put m 1 1 a=b\n");
    server.await_counter("telnet_points_ok", 1);
    let before = memory();
    let mut senders: Vec<_> = (0..count).map(|_| connect(server.telnet)).collect();
    for byte in b"put m 1 1 a=" {
        senders.iter_mut().for_each(|sender| sender.write_all(&[*byte]).unwrap());
    }
    server.await_counter("telnet_bytes", (14 + count * 12) as u64);
    let each = memory().saturating_sub(before) * 1024 / count;
    eprintln!("{count} connections, {each} bytes each");
    assert!(each < 16 << 10, "{each} bytes a connection");
    // A quick sender is served among them, and they end their lines.
    put(&server, b"put m 2 1 a=b\n");
    server.await_counter("telnet_points_ok", 2);
    senders.iter_mut().for_each(|sender| sender.write_all(b"b\n").unwrap());
    server.await_counter("telnet_points_ok", (2 + count) as u64);
}

#[test]
fn rows_of_streams_wait_where_requests_time_out() {
    let (_dir, server) = server(&["--write-timeout", "1ns"]);
    let lines: String = (0..1000).map(|n| format!("put m{n} {n} {n} a=b\n")).collect();
    put(&server, lines.as_bytes());
    server.await_counter("telnet_points_ok", 1000);
    assert_eq!(server.counter("ringtail", "telnet_points_failed"), 0);
    assert!(server.counter("ringtail", "writes_held") > 0);
    let answer = server.post("/write?db=kairosdb", b"m,a=b value=1i 1");
    assert_eq!((answer.status, answer.text().trim_end()), (500, "{\"error\":\"timeout\"}"));
}

#[test]
fn a_peer_that_takes_no_answers_is_left() {
    for timeout in ["--telnet-idle-timeout", "--telnet-answer-timeout"] {
        let (_dir, server) = server(&[timeout, "300ms"]);
        let mut stream = connect(server.telnet);
        let sending = std::thread::spawn(move || {
            // Fails when the server closes the connection.
            let _ = stream.write_all(&b"version\n".repeat(1_000_000));
            stream
        });
        server.await_counter("idle_closed", 1);
        drop(sending.join().unwrap());
    }
}
