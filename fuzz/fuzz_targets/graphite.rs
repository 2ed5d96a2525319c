//! Any bytes as Graphite's lines, with templates.
#![no_main]

#[path = "../shared/doors.rs"]
mod doors;

use libfuzzer_sys::fuzz_target;
use ringtail::protocol::Rejects;

fuzz_target!(|data: &[u8]| {
    doors::check(data, |core, bytes, cuts| {
        let mut rejects = Rejects::default();
        let rest = core.decode_graphite(bytes, cuts, &mut rejects);
        (rest, doors::counts(&rejects))
    });
});
