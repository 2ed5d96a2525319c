//! Any bytes as a body of KairosDB's data points.
#![no_main]

#[path = "../shared/doors.rs"]
mod doors;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    doors::check(data, |core, bytes, cuts| core.decode_kairos(bytes, cuts).into_messages());
});
