//! Sending, end to end: every protocol, workload, kind of value and disorder arrives whole at a
//! real server; in TLS, as a user, gzipped; as fast as answers come and at a fixed rate.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod common;

use common::{failure, load, start, text, until};

const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/localhost.cert.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/localhost.key.pem");

#[test]
fn every_protocol_brings_every_workload() {
    // Protocol and flags, listener, database that its points go to (KairosDB and Graphite share).
    let doors = [
        ("influx", "http", "load"),
        ("influx --gzip", "http", "load"),
        ("telnet", "telnet", "kairosdb"),
        ("kairos", "http", "kairosdb"),
        ("kairos --gzip", "http", "kairosdb"),
        ("graphite", "graphite", "kairosdb"),
        ("pickle", "pickle", "kairosdb"),
    ];
    let shapes = [
        "--kind float2",
        "--kind double",
        "--kind integer --steps normal",
        "--workload gauges --kind gauge",
        "--workload devops",
        "--workload iot",
    ];
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), &[]);
    let (mut start, mut sent) = (1_700_000_000, std::collections::BTreeMap::new());
    for (nth, (protocol, door, db)) in doors.into_iter().enumerate() {
        // Every door has three of the shapes, and every shape is sent through several doors.
        for (at, shape) in shapes.iter().cycle().skip(nth * 2).take(3).enumerate() {
            // A field of InfluxDB's is a float or an integer for ever.
            let db = if db == "load" { format!("load_{nth}_{at}") } else { db.to_owned() };
            let flags = format!(
                "--protocol {protocol} {shape} --hosts 3 --points 4 --batch 5 --start {start} \
                 --db {db}"
            );
            let values = server.ingest(door, &flags)["values"].as_f64().unwrap() as u64;
            let sent = sent.entry(db.clone()).or_insert(0);
            *sent += values;
            start += 1000;
            until(&flags, || server.count(&db) == *sent);
        }
    }
}

#[test]
fn late_rows_rows_sent_twice_and_churn_leave_what_they_should() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), &[]);
    let base = "--hosts 8 --points 61 --step 60 --fields 2 --batch 40";
    let sent = |db: &str, flags: &str| {
        let found = server.ingest("http", &format!("{base} --db {db} {flags}"));
        found["values"].as_f64().unwrap() as u64
    };
    assert_eq!(sent("late", "--out-of-order 0.3"), 8 * 61 * 2);
    assert_eq!(server.count("late"), 8 * 61 * 2);
    assert!(sent("twice", "--duplicates 0.3") > 8 * 61 * 2);
    assert_eq!(server.count("twice"), 8 * 61 * 2, "a second sending replaces the first");
    // Half of eight hosts an hour, and an hour is sent.
    sent("churn", "--churn 0.5");
    assert_eq!(server.count("churn"), 8 * 61 * 2);
    let hosts = server.ask("churn", "SHOW TAG VALUES WITH KEY = hostname");
    assert_eq!(hosts["results"][0]["series"][0]["values"].as_array().unwrap().len(), 8 + 4);
}

#[test]
fn users_and_tls_are_spoken_and_refusals_told() {
    let dir = tempfile::tempdir().unwrap();
    let tls = ["--https-bind", "127.0.0.1:0", "--https-certificate", CERTIFICATE];
    let flags = [&tls[..], &["--https-private-key", KEY, "--http-auth-enabled", "true"]].concat();
    let server = start(dir.path(), &flags);
    let made = server.ask("", "CREATE USER root WITH PASSWORD 'r' WITH ALL PRIVILEGES");
    assert!(made["error"].is_null(), "{made}");
    let small = "--hosts 2 --points 3 --json";
    let ways = [
        "--user root:r".to_owned(),
        format!("--user root:r --gzip --tls-ca {CERTIFICATE}"),
        "--user root:r --tls-insecure --protocol kairos".to_owned(),
        "--user root:r --tls-insecure --protocol kairos --gzip".to_owned(),
    ];
    let run = |way: &str, command: &str| {
        let door = server.door(if way.contains("--tls") { "https" } else { "http" });
        // The certificate is of this name.
        let address = format!("localhost:{}", door.port());
        load(command, &format!("{way} {small} --address {address}")).output().unwrap()
    };
    assert!(text(&run(&ways[0], "ingest")).contains("\"errors\":0.0"));
    for way in &ways {
        assert!(text(&run(way, "ingest")).contains("\"errors\":0.0"), "{way}");
    }
    let trusting = format!("--user root:r --tls-ca {CERTIFICATE}");
    assert_eq!(text(&run(&trusting, "query")).lines().count(), 8);
    assert!(failure(&run("--user root:wrong", "ingest")).contains("401"));
    assert!(failure(&run("", "query")).contains("401"));
    let authority = format!("--user root:r --tls-ca {KEY}");
    assert!(failure(&run(&authority, "ingest")).contains("no certificate"));
}

#[test]
fn a_closed_loop_sends_all_and_an_open_one_what_is_due() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), &[]);
    let shape = "--hosts 10 --fields 5 --batch 10 --connections 3";
    let closed = server.ingest("http", &format!("{shape} --points 40"));
    assert_eq!(closed["values"], 2000.0);
    // Requests are due at fixed times, so a slow server is sent no less.
    let open = server.ingest("http", &format!("{shape} --points 0 --rate 4000 --seconds 1"));
    assert!((3900.0..=4100.0).contains(&open["values"].as_f64().unwrap()), "{open}");
    assert!(open["seconds"].as_f64().unwrap() > 0.9);
    assert!(open["server CPU s"].as_f64().unwrap() > 0.0);
    // Whatever ends first ends the run.
    let short = server.ingest("http", &format!("{shape} --points 4 --rate 400000 --seconds 50"));
    assert_eq!(short["values"], 200.0);
}

#[test]
fn data_is_shown_without_a_server() {
    let lines = text(&load("data", "--protocol telnet --hosts 3 --lines 4").output().unwrap());
    assert!(lines.lines().count() == 4 && lines.starts_with("put cpu.usage_user 1700000000 "));
    let counts = load("data", "--workload iot --hosts 3 --points 5 --json").output().unwrap();
    let counts: serde_json::Value = serde_json::from_str(&text(&counts)).unwrap();
    assert_eq!((&counts["rows"], &counts["values"]), (&30.0.into(), &240.0.into()));
    assert!(failure(&load("data", "--points 0").output().unwrap()).contains("without end"));
}
