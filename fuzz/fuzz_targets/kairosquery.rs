//! Any bytes as a query of KairosDB over data of every type. Must end, must not panic, must answer
//! with JSON.
#![no_main]

#[path = "../shared/questions.rs"]
mod questions;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (status, answer) = questions::ask("/api/v1/datapoints/query?db=d", data);
    assert!(matches!(status, 200 | 400), "{status}: {}", String::from_utf8_lossy(&answer));
    assert!(answer.starts_with(b"{"), "{}", String::from_utf8_lossy(&answer));
});
