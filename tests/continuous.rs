//! Continuous queries from end to end: made by `/query`, run when they are due, counted, kept
//! through a restart, their results sent to subscribers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{DEADLINE, Server, folder, start};
use std::net::UdpSocket;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Looks for due queries all the time.
const FLAGS: [&str; 2] = ["--continuous-queries-run-interval", "10ms"];

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn until(server: &Server, text: &str, done: impl Fn(&str) -> bool) -> String {
    let end = Instant::now() + DEADLINE;
    loop {
        let found = server.query("d", text);
        if done(&found) {
            return found;
        }
        assert!(Instant::now() < end, "{text}: {found}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn write(server: &Server, lines: &str) {
    assert_eq!(server.post("/write?db=d&precision=s", lines.as_bytes()).status, 204);
}

#[test]
fn resampling_takes_late_points_in_and_goes_on_after_a_restart() {
    let (_dir, data) = folder();
    let server = start(&data, &FLAGS);
    server.query("", "CREATE DATABASE d");
    // Two whole minutes, both within the hour that is computed again each second.
    let minute = now().as_secs() / 60 * 60 - 1200;
    write(&server, &format!("cpu,host=a v=1 {minute}\ncpu,host=a v=3 {}\n", minute + 59));
    write(&server, &format!("cpu,host=b v=5 {}\n", minute + 60));
    let made = server.query(
        "",
        "CREATE CONTINUOUS QUERY c ON d RESAMPLE EVERY 1s FOR 1h BEGIN SELECT mean(v), count(v) \
         INTO rolled FROM cpu GROUP BY time(1m), host END",
    );
    assert!(!made.contains("error"), "{made}");
    let rolled = "SELECT mean, count FROM rolled GROUP BY host";
    let row = |host: &str, values: &str| format!("\"tags\":{{\"host\":\"{host}\"}},{values}");
    let time = |at: u64| format!("T{:02}:{:02}:00Z\"", at / 3600 % 24, at / 60 % 60);
    let expected = |mean: &str| format!("{},{mean}]]", time(minute));
    until(&server, rolled, |found| found.contains(&expected("2,2")));
    let found = until(&server, rolled, |found| found.contains("\"host\":\"b\""));
    assert!(found.contains(&row("a", "\"columns\":[\"time\",\"mean\",\"count\"]")), "{found}");
    assert!(found.contains(&format!("{},5,1]]", time(minute + 60))), "{found}");

    write(&server, &format!("cpu,host=a v=8 {}\n", minute + 30));
    until(&server, rolled, |found| found.contains(&expected("4,3")));
    assert!(server.counter("cq", "queryOk") >= 2);
    assert_eq!(server.counter("cq", "queryFail"), 0);
    let stats = server.query("", "SHOW STATS FOR 'cq'");
    assert!(stats.contains("\"columns\":[\"queryFail\",\"queryOk\"]"), "{stats}");
    let shown = server.query("", "SHOW CONTINUOUS QUERIES");
    assert!(shown.contains("RESAMPLE EVERY 1s FOR 1h BEGIN SELECT mean(v), count(v) INTO d.autogen.rolled FROM d.autogen.cpu GROUP BY time(1m), host END"), "{shown}");

    server.kill();
    let server = start(&data, &FLAGS);
    assert_eq!(server.query("", "SHOW CONTINUOUS QUERIES"), shown);
    write(&server, &format!("cpu,host=a v=0 {}\n", minute + 31));
    until(&server, rolled, |found| found.contains(&expected("3,4")));
    // One that is dropped is not run again: what it would change stays.
    server.query("", "DROP CONTINUOUS QUERY c ON d");
    assert!(!server.query("", "SHOW CONTINUOUS QUERIES").contains("RESAMPLE"));
}

#[test]
fn each_bucket_is_computed_when_it_has_ended() {
    let (_dir, data) = folder();
    let server = start(&data, &FLAGS);
    server.query("", "CREATE DATABASE d");
    server.query(
        "",
        "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT sum(v) INTO rolled FROM cpu GROUP BY time(1s) \
         END",
    );
    // A point for each of the coming seconds, long enough for a slow machine.
    let first = now().as_secs() + 1;
    let lines: String = (0..20).map(|n| format!("cpu v={n} {}\n", first + n)).collect();
    write(&server, &lines);
    until(&server, "SELECT sum FROM rolled", |found| found.matches("Z\",").count() >= 2);
    // Nothing is computed before its time.
    let newest = server.post("/query?db=d&epoch=s&q=SELECT+last(sum)+FROM+rolled", b"").text();
    let at = newest.find("\"values\":[[").unwrap() + 11;
    let end = newest[at..].find(',').unwrap() + at;
    let newest: u64 = newest[at..end].parse().unwrap();
    assert!(newest < now().as_secs(), "{newest}");
}

#[test]
fn what_fails_is_counted() {
    let (_dir, data) = folder();
    let server = start(&data, &FLAGS);
    server.query("", "CREATE DATABASE d");
    server.query("", "CREATE RETENTION POLICY p ON d DURATION 1h REPLICATION 1");
    write(&server, &format!("cpu v=1 {}\n", now().as_secs() - 600));
    server.query(
        "",
        "CREATE CONTINUOUS QUERY c ON d RESAMPLE EVERY 1s FOR 1h BEGIN SELECT sum(v) INTO d.p.rolled \
         FROM cpu GROUP BY time(1m) END",
    );
    until(&server, "SELECT sum FROM p.rolled", |found| found.contains(",1]]"));
    server.query("", "DROP RETENTION POLICY p ON d");
    let end = Instant::now() + DEADLINE;
    while server.counter("cq", "queryFail") == 0 {
        assert!(Instant::now() < end, "no failure is counted");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn results_that_are_written_go_to_subscribers() {
    let (_dir, data) = folder();
    let server = start(&data, &FLAGS);
    server.query("", "CREATE DATABASE d");
    write(&server, "cpu,host=a\\ b v=1,n=2i,s=\"x\\\"y\" 5\ncpu,host=c v=3 6");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let url = format!("udp://127.0.0.1:{}", socket.local_addr().unwrap().port());
    server.query("", &format!("CREATE SUBSCRIPTION s ON d.autogen DESTINATIONS ALL '{url}'"));
    let mut datagram = [0; 2000];
    let mut next = || {
        let (len, _) = socket.recv_from(&mut datagram).unwrap();
        String::from_utf8(datagram[..len].to_vec()).unwrap()
    };
    let written = server.query("d", "SELECT v, n, s INTO copied FROM cpu GROUP BY host");
    assert!(
        written.contains("\"written\"],\"values\":[[\"1970-01-01T00:00:00Z\",2]]"),
        "{written}"
    );
    let lines =
        "copied,host=a\\ b v=1,n=2i,s=\"x\\\"y\" 5000000000\ncopied,host=c v=3 6000000000\n";
    assert_eq!(next(), lines);
    let at = now().as_secs() / 60 * 60 - 600;
    // The points themselves come first.
    write(&server, &format!("mem v=7 {at}\n"));
    assert_eq!(next(), format!("mem v=7 {at}000000000\n"));
    server.query(
        "",
        "CREATE CONTINUOUS QUERY c ON d RESAMPLE FOR 1h BEGIN SELECT max(v) INTO rolled FROM mem \
         GROUP BY time(1m) END",
    );
    assert_eq!(next(), format!("rolled max=7 {at}000000000\n"));
}
