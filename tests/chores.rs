//! What the server does by itself: partitions past their policy go, continuous queries run.

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
