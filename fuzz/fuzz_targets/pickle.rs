//! Any bytes as pickles: as a stream of frames, and as the inside of one frame.
#![no_main]

#[path = "../shared/doors.rs"]
mod doors;

use libfuzzer_sys::fuzz_target;
use ringtail::protocol::Rejects;

fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let framed = [&[*cut], &(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    for stream in [data, &framed] {
        doors::check(stream, |core, bytes, cuts| {
            let mut rejects = Rejects::default();
            let rest = core.decode_pickle(bytes, cuts, &mut rejects);
            (rest, doors::counts(&rejects))
        });
    }
});
