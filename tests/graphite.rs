//! Graphite's doors: plaintext over TCP and UDP, pickles; templates from the configuration; what
//! is dropped, counted and shown.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{Server, connect, folder, program, start};
use std::io::{Read, Write};
use std::net::UdpSocket;

const DOORS: [&str; 6] = [
    "--graphite-bind",
    "127.0.0.1:0",
    "--graphite-udp-bind",
    "127.0.0.1:0",
    "--pickle-bind",
    "127.0.0.1:0",
];

fn server(flags: &[&str]) -> (tempfile::TempDir, Server) {
    let (dir, data) = folder();
    let server = start(&data, &[&DOORS, flags].concat());
    (dir, server)
}

fn send(server: &Server, door: &str, bytes: &[u8]) {
    connect(server.door(door)).write_all(bytes).unwrap();
}

/// All values of a measurement, as the query answers them.
fn values(server: &Server, measurement: &str) -> String {
    let text = server.query("kairosdb", &format!("SELECT * FROM \"{measurement}\""));
    let start = text.find("\"columns\"").unwrap_or(0);
    text[start..].trim_end().trim_end_matches("}]}]}").to_owned()
}

/// A pickle of one point with its length in front.
fn pickle(path: &str, time: u8, value: f64) -> Vec<u8> {
    let mut pickle = b"\x80\x02]U".to_vec();
    pickle.push(path.len() as u8);
    pickle.extend_from_slice(path.as_bytes());
    pickle.extend_from_slice(&[b'K', time, b'G']);
    pickle.extend_from_slice(&value.to_be_bytes());
    pickle.extend_from_slice(b"\x86\x86a.");
    [&(pickle.len() as u32).to_be_bytes()[..], &pickle].concat()
}

#[test]
fn lines_in_any_pieces_are_stored_and_an_open_end_is_not() {
    let (_dir, server) = server(&[]);
    let mut stream = connect(server.door("graphite"));
    stream.set_nodelay(true).unwrap();
    for piece in b"a.b 1.5 1\r\na.b;dc=eu 2 1\nbad\na.b 3 2\na.b 4".chunks(3) {
        stream.write_all(piece).unwrap();
    }
    server.await_counter("graphite_points_ok", 3);
    drop(stream);
    server.await_counter("graphite_rests_dropped", 1);
    assert_eq!(
        values(&server, "a.b"),
        "\"columns\":[\"time\",\"dc\",\"value\"],\"values\":[[\"1970-01-01T00:00:01Z\",null,1.5],\
         [\"1970-01-01T00:00:01Z\",\"eu\",2],[\"1970-01-01T00:00:02Z\",null,3]]"
    );
    assert_eq!(server.counter("ringtail", "graphite_dropped_field_count"), 1);
    assert_eq!(server.counter("ringtail", "graphite_lines_dropped"), 1);
}

#[test]
fn each_datagram_ends_its_last_line() {
    let (_dir, server) = server(&["--cores", "1"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = server.door("graphite-udp");
    for datagram in [b"u 1 1\r\nu 2 2".as_slice(), b"u 3 3", b"u x 4\nu 5 5\n", b"\xff 1 1\nu 6 6"]
    {
        socket.send_to(datagram, to).unwrap();
    }
    server.await_counter("graphite_udp_points_ok", 5);
    assert_eq!(server.counter("ringtail", "graphite_udp_datagrams"), 4);
    assert_eq!(server.counter("ringtail", "graphite_udp_dropped_bad_value"), 1);
    assert_eq!(server.counter("ringtail", "graphite_udp_dropped_not_utf8"), 1);
    assert_eq!(server.counter("ringtail", "graphite_points_ok"), 0);
    let samples = server.get("/debug/vars").text();
    let sender = socket.local_addr().unwrap();
    assert!(samples.contains(&format!("\"peer\":\"{sender}\",\"line\":\"u x 4\"")), "{samples}");
}

#[test]
fn many_datagrams_arrive() {
    let (_dir, server) = server(&["--cores", "1"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..500 {
        let lines: String = (0..10).map(|k| format!("m{k} {n} {n}\n")).collect();
        socket.send_to(lines.as_bytes(), server.door("graphite-udp")).unwrap();
    }
    server.await_counter("graphite_udp_points_ok", 5000);
    assert_eq!(server.counter("ringtail_shard", "points"), 5000);
}

#[test]
fn pickles_are_stored_whatever_stands_between_them() {
    let (_dir, server) = server(&["--pickle-max-size", "1k"]);
    let global = b"\0\0\0\x0ccos\nsystem\n.";
    let bytes = [
        pickle("p", 1, 1.5).as_slice(),
        global,
        &pickle("p;t=v", 1, 2.5),
        b"\0\0\0\0",
        &pickle("p", 1, f64::NAN),
        &pickle("p", 2, 3.0),
    ]
    .concat();
    let mut stream = connect(server.door("pickle"));
    stream.set_nodelay(true).unwrap();
    for piece in bytes.chunks(7) {
        stream.write_all(piece).unwrap();
    }
    server.await_counter("pickle_points_ok", 3);
    assert_eq!(server.counter("ringtail", "pickle_dropped_frame_forbidden"), 1);
    assert_eq!(server.counter("ringtail", "pickle_dropped_not_finite"), 1);
    assert_eq!(server.counter("ringtail", "pickle_frames"), 5);
    // A frame beyond the limit ends the connection; what came before it is stored.
    stream.write_all(&[&pickle("p", 3, 4.0)[..], &1025u32.to_be_bytes()].concat()).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    server.await_counter("pickle_points_ok", 4);
    assert_eq!(server.counter("ringtail", "pickle_dropped_frame_too_long"), 1);
    let samples = server.get("/debug/vars").text();
    assert!(samples.contains("opcode GLOBAL at byte 0, in a frame of 12 bytes"), "{samples}");
}

#[test]
fn a_large_pickle_may_come_slowly() {
    let (_dir, server) = server(&[]);
    let mut frame = b"\x80\x02](".to_vec();
    for n in 0..20_000u32 {
        frame.extend_from_slice(format!("U\x06p{:05}", n % 100).as_bytes());
        frame.push(b'J');
        frame.extend_from_slice(&n.to_le_bytes());
        frame.extend_from_slice(b"K\x01\x86\x86");
    }
    frame.extend_from_slice(b"e.");
    let bytes = [&(frame.len() as u32).to_be_bytes()[..], &frame].concat();
    let mut stream = connect(server.door("pickle"));
    for piece in bytes.chunks(5000) {
        stream.write_all(piece).unwrap();
    }
    server.await_counter("pickle_points_ok", 20_000);
    assert_eq!(server.counter("ringtail_shard", "series"), 100);
}

#[test]
fn templates_come_from_the_configuration() {
    let (_dir, server) = server(&[
        "--graphite-tags",
        "src=gr",
        "--graphite-templates",
        "tpa.* .host.resource.measurement*",
        "--graphite-templates",
        "if.* .host.measurement.field dc=x",
    ]);
    let lines = b"tpa.web01.cpu.load.10 5 1\nif.web.net.rx 1 1\nif.web.net.tx 2 1\nplain 1 1\n";
    send(&server, "graphite", lines);
    server.await_counter("graphite_points_ok", 4);
    send(&server, "pickle", &pickle("if.web.net.rx", 2, 7.0));
    server.await_counter("pickle_points_ok", 1);
    assert_eq!(
        values(&server, "load.10"),
        "\"columns\":[\"time\",\"host\",\"resource\",\"src\",\"value\"],\
         \"values\":[[\"1970-01-01T00:00:01Z\",\"web01\",\"cpu\",\"gr\",5]]"
    );
    assert_eq!(
        values(&server, "net"),
        "\"columns\":[\"time\",\"dc\",\"host\",\"rx\",\"src\",\"tx\"],\
         \"values\":[[\"1970-01-01T00:00:01Z\",\"x\",\"web\",1,\"gr\",2],\
         [\"1970-01-01T00:00:02Z\",\"x\",\"web\",7,\"gr\",null]]"
    );
    assert!(values(&server, "plain").ends_with("[[\"1970-01-01T00:00:01Z\",\"gr\",1]]"));
}

#[test]
fn a_configuration_that_means_nothing_is_refused() {
    let (_dir, data) = folder();
    let mut command = program();
    command.args(["serve", "--graphite-templates", "a.b c.d", "--data-dir"]).arg(&data);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text, "ringtail: graphite: no measurement in template `c.d`\n");
}

#[test]
fn database_and_policy_are_options() {
    let flags = ["--graphite-database", "carbon", "--graphite-retention-policy", "week"];
    let (_dir, server) = server(&flags);
    server.query("", "CREATE DATABASE carbon");
    server.query("", "CREATE RETENTION POLICY week ON carbon DURATION 7d REPLICATION 1");
    send(&server, "graphite", b"m 1 1\nm 2 -1\nm 3\n");
    server.await_counter("graphite_points_ok", 2);
    assert_eq!(server.counter("ringtail", "graphite_dropped_beyond_retention"), 1);
    assert!(server.query("carbon", "SELECT * FROM week.m").contains("values"));
    assert!(!server.query("carbon", "SELECT * FROM autogen.m").contains("values"));
}

#[test]
fn more_lines_than_a_buffer_holds_all_arrive() {
    let (_dir, server) = server(&["--graphite-read-size", "4k"]);
    let lines: String =
        (0..20_000).map(|n| format!("host{}.cpu.load {n} {n}\n", n % 100)).collect();
    send(&server, "graphite", lines.as_bytes());
    server.await_counter("graphite_points_ok", 20_000);
    assert_eq!(server.counter("ringtail_shard", "points"), 20_000);
    assert_eq!(server.counter("ringtail_shard", "series"), 100);
    assert_eq!(server.counter("ringtail", "graphite_bytes"), lines.len() as u64);
}

#[test]
fn a_dry_run_says_what_becomes_of_paths() {
    let mut command = program();
    command.args(["graphite", "servers.web01.cpu.load;dc=eu", ";x=1"]);
    command.args(["--graphite-templates", "servers.* .host.measurement*"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "servers.web01.cpu.load;dc=eu\n  template     servers.* .host.measurement*\n  \
         measurement  cpu.load\n  tags         dc=eu host=web01\n  field        value\n\
         ;x=1: refused: the path is empty\n"
    );
}
