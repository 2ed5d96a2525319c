//! Any bytes as pickles, cut in two at a place the input chooses: must end, must not panic,
//! must give as many rows and dropped lines as the same bytes whole.
#![no_main]

#[path = "../../tests/common/decoding.rs"]
mod decoding;

use decoding::Core;
use libfuzzer_sys::fuzz_target;

fn decode(bytes: &[u8], cut: usize) -> (u64, u64) {
    let lines = ["a.* .host.measurement.field*", "measurement.host.measurement*"];
    let mut core = Core::new(100, 100).with_templates("_", &["src=gr"], &lines);
    let rejects = core.pickle_in_parts(bytes, &[cut, bytes.len()]);
    (core.outcome().rows, rejects.total())
}

fuzz_target!(|data: &[u8]| {
    // The input as a stream of its own, and as the inside of one frame.
    let Some((cut, bytes)) = data.split_first() else { return };
    let framed = [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    for stream in [bytes, &framed] {
        let cut = usize::from(*cut).min(stream.len());
        assert_eq!(decode(stream, stream.len()), decode(stream, cut));
    }
});
