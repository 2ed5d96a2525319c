//! Any text as reading statements over data of every type: names are resolved, the plan is made and
//! run on the shards, the answer is encoded. Must end, must not panic, must answer 200 with JSON.
#![no_main]

#[path = "../shared/questions.rs"]
mod questions;

use libfuzzer_sys::fuzz_target;
use ringtail::influxql::{Params, Statement, parse};

/// What does not change the data for the inputs that follow.
fn only_reads(statement: &Statement) -> bool {
    match statement {
        Statement::Select(select) => select.target.is_none(),
        _ => statement.to_string().starts_with("SHOW "),
    }
}

fuzz_target!(|text: &str| {
    let Ok(statements) = parse(text, &Params::default()) else { return };
    if statements.is_empty() || !statements.iter().all(only_reads) {
        return;
    }
    let escape = |byte: u8| format!("%{byte:02X}");
    let query: String = text.trim().bytes().map(escape).collect();
    let (status, answer) = questions::ask(&format!("/query?db=d&q={query}"), b"");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    // Infinite values have no JSON; then the answer is the encoder's error, as InfluxDB has it.
    let starts = [b"{\"results\":[".as_slice(), b"json: error calling MarshalJSON for type "];
    let is_one = starts.iter().any(|start| answer.starts_with(start));
    assert!(is_one, "{}", String::from_utf8_lossy(&answer));
});
