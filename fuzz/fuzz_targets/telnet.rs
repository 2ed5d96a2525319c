//! Any bytes as a telnet connection, cut in two at a place the input chooses: must end, must not panic,
//! must give as many rows and dropped lines as the same bytes whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringtail::catalog::State;
use ringtail::catalog::command::Command;
use ringtail::protocol::{Batcher, Progress, Tail, Target, telnet};
use ringtail::route::SeriesCache;

fn decode(bytes: &[u8], cut: usize) -> (u64, u64, u32) {
    let mut state = State::default();
    let command = Command::CreateDatabase { name: "d".into(), policy: None };
    for record in state.decide(&command).unwrap() {
        state.apply(&record);
    }
    let db = state.database("d").unwrap();
    let target = Target { db: db.id, policy: db.default_policy.unwrap() };
    let (mut cache, mut batcher) = (SeriesCache::new(1, 100), Batcher::new());
    let (mut rejects, mut tail) = (telnet::Rejects::default(), Tail::default());
    batcher.begin(target);
    let (mut start, mut versions) = (0, 0);
    for end in [cut, bytes.len()] {
        loop {
            let mut ctx = telnet::Context {
                catalog: &state,
                cache: &mut cache,
                rejects: &mut rejects,
                tail: &mut tail,
                now_ns: 1_500_000_000_000_000_000,
                shards: 2,
                line_bytes_max: telnet::LINE_BYTES_MAX,
                names_max: 100,
                ttl_default_s: 0,
                versions,
            };
            let progress = telnet::decode(&bytes[start..end], &mut batcher, &mut ctx);
            versions = ctx.versions;
            match progress {
                Progress::Done { consumed } => {
                    start += consumed;
                    break;
                }
                Progress::NeedNames { resume_at, missing } => {
                    start += resume_at;
                    for record in state.decide(&missing.resolve(target.policy, true)).unwrap() {
                        state.apply(&record);
                    }
                }
            }
        }
    }
    (batcher.finish().rows, rejects.total(), versions)
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let cut = usize::from(*cut).min(bytes.len());
    assert_eq!(decode(bytes, bytes.len()), decode(bytes, cut));
});
