//! Asking and checking, end to end: every question has an answer, `mixed` tells its three phases
//! and what a question costs, and a ledger holds a killed server to what it acknowledged.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod common;

use common::{failure, start, text, until};
use serde_json::Value;
use std::process::Stdio;

#[test]
fn each_workloads_questions_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), &[]);
    for (workload, count) in [("cpu", 8), ("devops", 8), ("iot", 12)] {
        let shape =
            format!("--workload {workload} --db {workload} --hosts 200 --points 16 --step 300");
        server.ingest("http", &shape);
        let flags = format!("{shape} --count 8 --json");
        let out = text(&server.load("query", "http", &flags).output().unwrap());
        let lines: Vec<Value> =
            out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), count);
        for line in lines {
            // A single host need not have been busy.
            let may_be_empty = line["query"] == "high-cpu-1";
            assert!(may_be_empty || line["empty"].as_u64().unwrap() < 8, "no rows: {line}");
            assert!(line["count"] == 8 && line["cpu_ms"].as_f64().unwrap() > 0.0, "{line}");
        }
    }
    let some = server.load("query", "http", "--db cpu --types lastpoint --hosts 200 --points 16");
    let table = text(&{ some }.output().unwrap());
    assert!(table.lines().count() == 2 && table.contains("lastpoint"), "{table}");
    let none = server.load("query", "http", "--db cpu --types last-loc").output().unwrap();
    assert!(failure(&none).contains("there are single-groupby-1-1-1, "));
    let absent = server.load("query", "http", "--db absent --count 1").output().unwrap();
    assert!(failure(&absent).contains("database not found"));
}

#[test]
fn mixed_compares_ingest_alone_and_beside_queries() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), &[]);
    let page = dir.path().join("page.html");
    let flags = "--workload iot --hosts 20 --points 30 --step 60 --rate 20000 --seconds 1 --json";
    let mut run = server.load("mixed", "http", flags);
    let found: Value =
        serde_json::from_str(&text(&run.arg("--html").arg(&page).output().unwrap())).unwrap();
    let p99 = &found["ingest"]["latency p99 ms"];
    let of = |name: &str| p99[name].as_f64().unwrap();
    assert!(of("load") > 0.0, "{found}");
    assert!((of("beside queries") / of("alone") - of("ratio")).abs() < 0.01, "{found}");
    assert_eq!(found["ingest"]["values"]["load"], 20.0 * 16.0 * 30.0);
    let asked = found["queries beside ingest"].as_object().unwrap();
    assert_eq!(asked.len(), 12 + 1);
    assert!(asked["all"]["count"].as_f64().unwrap() > 0.0 && !asked["all"]["CPU ms"].is_null());
    let page = std::fs::read_to_string(page).unwrap();
    for part in ["alone", "beside queries", "<svg", "last-loc", "p99 beside queries : alone"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn a_ledger_holds_a_killed_server_to_its_word() {
    for protocol in ["influx", "kairos"] {
        let dir = tempfile::tempdir().unwrap();
        let (data, ledger) = (dir.path().join("data"), dir.path().join("ledger"));
        let server = start(&data, &[]);
        let endless = format!(
            "--protocol {protocol} --points 0 --hosts 5 --fields 3 --batch 7 --prepare 1 \
             --out-of-order 0.1 --duplicates 0.1"
        );
        let mut sender = server.load("ingest", "http", &endless);
        sender.arg("--ledger").arg(&ledger).stdout(Stdio::null()).stderr(Stdio::null());
        let mut sender = sender.spawn().unwrap();
        let noted = || std::fs::read_to_string(&ledger).map_or(0, |text| text.lines().count());
        until("nothing is acknowledged", || noted() > 40);
        drop(server);
        assert!(!sender.wait().unwrap().success(), "a server that is gone is an error");
        let server = start(&data, &[]);
        let verify = || server.load("verify", "http", "").arg("--ledger").arg(&ledger).output();
        let verdict = text(&verify().unwrap());
        assert!(verdict.ends_with("acknowledged values, 0 missing or different\n"), "{verdict}");
        let db = if protocol == "kairos" { "kairosdb" } else { "load" };
        server.ask(db, "DROP SERIES WHERE hostname = 'host_3'");
        assert!(failure(&verify().unwrap()).contains("acknowledged values are lost"));
    }
}
