//! More than a server can take: a sender that never pauses, a disk that stands still, a full disk.
//! Who is told to come again, who is made to wait, and that nothing acknowledged is lost.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;
#[path = "common/disk.rs"]
mod disk;
#[path = "common/engine.rs"]
mod engine;

use common::{Answer, Server, connect, folder, read_answer, send, start};
use disk::OwnDisk;
use engine::Engine;
use ringtail::api::stream;
use ringtail::env::{Env, Queue, Task};
use ringtail::stats::StreamDoor;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Ends the sender when the test does, however it does.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Sends lines without a pause until it is told to stop.
fn send_greedily(mut stream: TcpStream, stop: &AtomicBool) {
    let lines: String = (0..10_000)
        .map(|n| format!("put greedy.{} {} {n}.5 host=h{}\n", n % 50, 1_700_000_000 + n, n % 100))
        .collect();
    while !stop.load(Ordering::SeqCst) {
        // The end may come while a write waits for its turn.
        if stream.write_all(lines.as_bytes()).is_err() {
            return;
        }
    }
}

/// Waits until the greedy sender has brought so many bytes more than `before`.
fn await_more(server: &Server, before: u64, more: u64) -> u64 {
    let until = Instant::now() + common::DEADLINE;
    loop {
        let found = server.counter("ringtail", "telnet_bytes");
        if found >= before + more {
            return found;
        }
        assert!(Instant::now() < until, "the greedy sender stands still at {found}");
    }
}

#[test]
fn a_greedy_connection_leaves_its_core_to_others() {
    const ROUNDS: usize = 15;
    let (_dir, data) = folder();
    let server = start(&data, &["--cores", "1", "--shards", "1"]);
    server.query("", "CREATE DATABASE d");
    let stop = AtomicBool::new(false);
    let mut times: [Vec<Duration>; 3] = Default::default();
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        let greedy = connect(server.telnet);
        scope.spawn(|| send_greedily(greedy, &stop));
        let mut bytes = await_more(&server, 0, 1 << 20);
        let (mut telnet, mut http) = (connect(server.telnet), server.connect());
        for n in 0..ROUNDS {
            let mut clock = |kind: usize, began: Instant| times[kind].push(began.elapsed());
            let began = Instant::now();
            writeln!(telnet, "put quiet {n} {n} a=b\nversion").unwrap();
            while {
                let mut byte = [0];
                telnet.read_exact(&mut byte).unwrap();
                byte[0] != b'\n'
            } {}
            clock(0, began);
            let began = Instant::now();
            send(&mut http, "GET /ping HTTP/1.1\r\n", b"");
            assert_eq!(read_answer(&mut http, false).status, 204);
            clock(1, began);
            let began = Instant::now();
            send(&mut http, "POST /write?db=d HTTP/1.1\r\n", format!("cpu v={n} {n}").as_bytes());
            assert_eq!(read_answer(&mut http, false).status, 204);
            clock(2, began);
            // It was greedy all the while.
            bytes = await_more(&server, bytes, 64 << 10);
        }
    });
    times.iter_mut().for_each(|times| times.sort_unstable());
    let medians = [0, 1, 2].map(|kind: usize| times[kind][ROUNDS / 2]);
    eprintln!("beside a greedy sender: telnet, ping, write: {medians:?}; all: {times:?}");
    assert!(medians.iter().all(|median| *median < Duration::from_secs(2)), "{times:?}");
    let count = |db: &str, text: &str| server.query(db, text);
    assert!(count("d", "SELECT count(v) FROM cpu").contains(&format!(",{ROUNDS}]")));
    let until = Instant::now() + common::DEADLINE;
    while !count("kairosdb", "SELECT count(value) FROM quiet").contains(&format!(",{ROUNDS}]")) {
        assert!(Instant::now() < until, "a quiet sender's points are missing");
    }
}

/// A body that takes more than what may be on its way.
fn large_body() -> String {
    (0..40_000).map(|n| format!("cpu,host=a-name-of-some-length-{n:07} v={n}.0625 {n}\n")).collect()
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.text())
}

/// Writes a line until it is stored.
fn await_stored(server: &Server, line: &str) {
    let until = Instant::now() + common::DEADLINE;
    loop {
        let answer = server.post("/write?db=d", line.as_bytes());
        if answer.status == 204 {
            return;
        }
        assert!(Instant::now() < until, "{answer:?} although the disk moves");
    }
}

#[test]
fn a_disk_that_stands_still_holds_streams_and_turns_requests_away() {
    let Some(disk) = OwnDisk::new() else { return };
    let flags = ["--cores", "1", "--mesh-in-flight", "1m", "--write-timeout", "300ms"];
    let server = start(&disk.data(), &[&flags[..], &["--log-file-size", "4m"]].concat());
    server.query("", "CREATE DATABASE d");
    assert_eq!(server.post("/write?db=d", b"cpu v=1 1").status, 204);
    let mut telnet = connect(server.telnet);
    telnet.write_all(b"put m 1 1 a=b\n").unwrap();
    server.await_counter("telnet_points_ok", 1);

    let frozen = disk.freeze();
    // Small writes only wait for the disk: their time runs out. They may be stored later.
    let timeout = (500, "{\"error\":\"timeout\"}\n".to_owned());
    let write = |lines: &str| server.post("/write?db=d", lines.as_bytes());
    assert_eq!(told(&write("cpu v=2 2")), timeout);
    assert_eq!(told(&write("new v=2 2")), timeout, "the catalog has to write down the name");
    // A large one finds no room beside them.
    let busy = (503, "{\"error\":\"request throttled, exceeds timeout\"}\n".to_owned());
    assert_eq!(told(&write(&large_body())), busy);
    drop(frozen);
    await_stored(&server, "cpu v=2 2");

    let frozen = disk.freeze();
    // It takes all the room, so that there is none for others, and all are told to come again.
    for lines in [&large_body(), "cpu v=3 3", "cpu v=4 4"] {
        let answer = write(lines);
        assert_eq!(told(&answer), busy);
        assert_eq!(answer.header("retry-after"), "1");
    }
    let json = br#"{"name":"m","timestamp":5000,"value":5,"tags":{"a":"b"}}"#;
    let answer = server.post("/api/v1/datapoints", json);
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    // A stream is not read on, but nothing of it is dropped, however long it takes.
    telnet.write_all(b"put m 2 2 a=b\n").unwrap();
    let until = Instant::now() + common::DEADLINE;
    while server.counter("ringtail", "writes_held") == 0 {
        assert!(Instant::now() < until, "the stream's write is not held");
    }
    telnet.write_all(b"put m 3 3 a=b\n").unwrap();
    assert_eq!(server.counter("ringtail", "telnet_points_ok"), 1);
    // What needs no disk is answered.
    assert_eq!(server.get("/ping").status, 204);
    assert!(server.query("d", "SELECT count(v) FROM cpu").contains(",2]]"));
    drop(frozen);

    server.await_counter("telnet_points_ok", 3);
    assert_eq!(server.counter("ringtail", "telnet_points_failed"), 0);
    assert!(server.query("kairosdb", "SELECT count(value) FROM m").contains(",3]]"));
    // Who was turned away comes again.
    await_stored(&server, "cpu v=3 3");
    await_stored(&server, "cpu v=4 4");
    let sums = server.query("d", "SELECT count(v), sum(v) FROM cpu WHERE host = ''");
    assert!(sums.contains(",4,10]]"), "{sums}");
}

#[test]
fn a_full_disk_holds_streams_and_refuses_requests_until_there_is_room() {
    let Some(disk) = OwnDisk::new() else { return };
    let flags = ["--cores", "1", "--log-file-size", "1m", "--head-max-size", "1m"];
    let server = start(&disk.data(), &flags);
    server.query("", "CREATE DATABASE d");
    assert_eq!(server.post("/write?db=d", b"cpu v=1 1").status, 204);
    let mut telnet = connect(server.telnet);
    telnet.write_all(b"put m 1 1 a=b\n").unwrap();
    server.await_counter("telnet_points_ok", 1);
    disk.fill("2600m");
    // The free space is looked at once a second; until then there is room.
    let until = Instant::now() + common::DEADLINE;
    let answer = loop {
        let answer = server.post("/write?db=d", b"cpu v=2 2");
        if answer.status != 204 {
            break answer;
        }
        assert!(Instant::now() < until, "a full disk is not noticed");
    };
    let text = "{\"error\":\"engine: no space left on the disk\"}\n";
    assert_eq!((answer.status, answer.text().as_str()), (500, text));
    let json = br#"{"name":"m","timestamp":5000,"value":5,"tags":{"a":"b"}}"#;
    let answer = server.post("/api/v1/datapoints", json);
    let text = "{\"errors\":[\"engine: no space left on the disk\"]}";
    assert_eq!((answer.status, answer.text().as_str()), (500, text));
    telnet.write_all(b"put m 2 2 a=b\nput m 3 3 a=b\n").unwrap();
    let until = Instant::now() + common::DEADLINE;
    while server.counter("ringtail", "writes_held") == 0 {
        assert!(Instant::now() < until, "the stream's write is not held");
    }
    assert_eq!(server.counter("ringtail", "telnet_points_ok"), 1);
    assert!(server.query("d", "SELECT count(v) FROM cpu").contains(",2]]"));
    assert!(!server.query("kairosdb", "SELECT count(value) FROM m").contains(",2]]"));
    disk.free();

    server.await_counter("telnet_points_ok", 3);
    assert_eq!(server.counter("ringtail", "telnet_points_failed"), 0);
    assert!(server.query("kairosdb", "SELECT count(value) FROM m").contains(",3]]"));
    assert_eq!(server.post("/write?db=d", b"cpu v=3 3").status, 204);
}

#[test]
fn a_full_disk_holds_streams_in_the_simulator_too() {
    let engine = Engine::new("");
    // What the catalog has to write down is there already.
    assert_eq!(engine.post("/query?q=CREATE+DATABASE+kairosdb", b"").0, 200);
    assert_eq!(engine.post("/write?db=kairosdb", b"m value=1i 1\nn value=1i 1").0, 204);
    assert_eq!(engine.get("/health").0, 200);
    engine.sim.disk().set_free_bytes(0);
    let refused = loop {
        let answer = engine.post("/write?db=kairosdb", b"m value=1i 1");
        if answer.0 != 204 {
            break answer;
        }
        engine.sim.run(engine.front.env.sleep(Duration::from_millis(100))).unwrap();
    };
    let text = "{\"error\":\"engine: no space left on the disk\"}\n";
    assert_eq!((refused.0, String::from_utf8(refused.1).unwrap().as_str()), (500, text));
    let (status, health) = engine.get("/health");
    assert!(health.contains("\"message\":\"no space left on the disk\",\"name\":\"influxdb\","));
    assert!(status == 503 && health.contains("\"status\":\"fail\""), "{status} {health}");
    let vars = engine.get("/debug/vars").1;
    assert!(vars.contains("\"disk_full\":2"), "two shards: {vars}");
    let front = engine.front.clone();
    let telnet = || front.doors().stream(StreamDoor::Telnet).points_ok.get();
    let bytes = b"put m 1 1 a=b\nput n 1 2 a=b\n";
    engine
        .sim
        .run(async {
            let mut decoder = stream::Decoder::new(front.clone(), StreamDoor::Telnet);
            let part = decoder.decode(bytes, |_| "peer".to_owned(), || false).await.unwrap();
            let core = front.clone();
            let storing = async move { stream::store(&core, part, bytes, || false).await };
            let storing = front.env.spawn(Queue::Ingest, storing);
            front.env.sleep(Duration::from_secs(100)).await;
            assert_eq!(telnet(), 0);
            assert!(front.doors().writes_held.get() > 50, "it is tried once a second");
            engine.sim.disk().set_free_bytes(1 << 30);
            storing.join().await;
            assert_eq!(telnet(), 2);
        })
        .unwrap();
    assert_eq!(engine.post("/write?db=kairosdb", b"m value=2i 2").0, 204);
    assert_eq!(engine.get("/health").0, 200);
}

#[test]
fn a_name_for_which_there_is_no_room_is_refused_until_there_is() {
    let engine = Engine::new("");
    let query = |text: &str| {
        let (status, text) = engine.post(&format!("/query?q={text}"), b"");
        assert_eq!(status, 200);
        String::from_utf8(text).unwrap()
    };
    let done = "{\"results\":[{\"statement_id\":0}]}\n";
    for name in ["kairosdb", "gone", "old"] {
        assert_eq!(query(&format!("CREATE+DATABASE+{name}")), done);
    }
    engine.sim.disk().set_free_bytes(0);
    for name in ["gone", "old", "gone"] {
        assert_eq!(query(&format!("DROP+DATABASE+{name}")), done, "what takes away is done");
        let refused = engine.post("/write?db=kairosdb", b"n value=1i 1");
        let text = b"{\"error\":\"no space left on the disk\"}\n".to_vec();
        assert_eq!(refused, (500, text));
        let text = "{\"results\":[{\"statement_id\":0,\"error\":\"no space left on the disk\"}]}\n";
        assert_eq!(query("CREATE+DATABASE+other"), text);
        // What is so already needs no room.
        assert_eq!(query("CREATE+DATABASE+kairosdb"), done);
    }
    let names = query("SHOW+DATABASES");
    assert!(names.contains("kairosdb") && !names.contains("other") && !names.contains("gone"));
    let (front, bytes) = (engine.front.clone(), b"put n 1 2 a=b\n");
    let held = |given_up: bool| {
        let core = front.clone();
        front.env.spawn(Queue::Ingest, async move {
            let mut decoder = stream::Decoder::new(core, StreamDoor::Telnet);
            let decoded = decoder.decode(bytes, |_| String::new(), || given_up).await;
            decoded.is_ok_and(|part| part.consumed == bytes.len())
        })
    };
    engine
        .sim
        .run(async {
            assert_eq!(held(true).join().await, Some(false), "nobody waits for it any more");
            let waiting = held(false);
            front.env.sleep(Duration::from_secs(10)).await;
            assert!(front.doors().writes_held.get() > 5, "it is tried once a second");
            engine.sim.disk().set_free_bytes(1 << 30);
            assert_eq!(waiting.join().await, Some(true));
        })
        .unwrap();
    // The shards look at the free space once a second.
    let mut seconds = 0;
    while engine.post("/write?db=kairosdb", b"m value=1i 1\nn value=2i 1").0 != 204 {
        assert!(seconds < 5, "there is room");
        engine.sim.run(engine.front.env.sleep(Duration::from_secs(1))).unwrap();
        seconds += 1;
    }
    assert_eq!(query("CREATE+DATABASE+other"), done);
}
