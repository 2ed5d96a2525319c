//! Any bytes as a telnet connection.
#![no_main]

#[path = "../shared/doors.rs"]
mod doors;

use libfuzzer_sys::fuzz_target;
use ringtail::protocol::Rejects;

fuzz_target!(|data: &[u8]| {
    doors::check(data, |core, bytes, cuts| {
        let mut rejects = Rejects::default();
        let versions = core.decode_telnet(bytes, cuts, &mut rejects);
        (versions, doors::counts(&rejects))
    });
});
