//! Any bytes as a body of KairosDB's data points, of which first a part and then all is there: must
//! end, must not panic, must give as many rows and messages as the same bytes whole.
#![no_main]

#[path = "../../tests/common/decoding.rs"]
mod decoding;

use decoding::Core;
use libfuzzer_sys::fuzz_target;

fn decode(bytes: &[u8], cut: usize) -> (u64, Vec<String>) {
    let mut core = Core::new(100, 100);
    let report = core.kairos_in_parts(bytes, &[cut, bytes.len()]);
    (core.outcome().rows, report.into_messages())
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let cut = usize::from(*cut).min(bytes.len());
    assert_eq!(decode(bytes, bytes.len()), decode(bytes, cut));
});
