//! Any bytes as a body of line protocol.
#![no_main]

#[path = "../shared/doors.rs"]
mod doors;

use libfuzzer_sys::fuzz_target;
use ringtail::protocol::line::Precision;

fuzz_target!(|data: &[u8]| {
    doors::check(data, |core, bytes, cuts| {
        let report = core.decode_lines(bytes, cuts, Precision::Milliseconds);
        (report.refused_lines(), report.dropped_points(), report.verdict())
    });
});
