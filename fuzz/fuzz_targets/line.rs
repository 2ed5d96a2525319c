//! Any bytes as a body of line protocol, cut in two at a place the input chooses: must end, must not
//! panic, must give as many rows and refused lines as the same bytes whole.
#![no_main]

#[path = "../../tests/common/decoding.rs"]
mod decoding;

use decoding::Core;
use libfuzzer_sys::fuzz_target;

fn decode(body: &[u8], cut: usize) -> (u64, u64, u64) {
    let mut core = Core::new(100, 100);
    let report = core.lines_in_parts(body, &[cut, body.len()]);
    let outcome = core.outcome();
    (outcome.rows, outcome.values, report.refused_lines())
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, body)) = data.split_first() else { return };
    let cut = usize::from(*cut).min(body.len());
    assert_eq!(decode(body, body.len()), decode(body, cut));
});
