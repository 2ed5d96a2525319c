//! Any bytes as a body of line protocol, cut in two at a place the input chooses: must end, must not
//! panic, must give as many rows and refused lines as the same bytes whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringtail::catalog::State;
use ringtail::catalog::command::Command;
use ringtail::protocol::{Batcher, Progress, Tail, Target, line};
use ringtail::route::SeriesCache;

fn decode(body: &[u8], cut: usize) -> (u64, u64, u64) {
    let mut state = State::default();
    let command = Command::CreateDatabase { name: "d".into(), policy: None };
    for record in state.decide(&command).unwrap() {
        state.apply(&record);
    }
    let db = state.database("d").unwrap();
    let target = Target { db: db.id, policy: db.default_policy.unwrap() };
    let (mut cache, mut batcher) = (SeriesCache::new(1, 100), Batcher::new());
    let (mut report, mut tail) = (line::Report::default(), Tail::default());
    batcher.begin(target);
    let mut start = 0;
    for end in [cut, body.len()] {
        loop {
            let mut ctx = line::Context {
                catalog: &state,
                cache: &mut cache,
                report: &mut report,
                tail: &mut tail,
                now_ns: 1_500_000_000_000_000_000,
                precision: line::Precision::Nanoseconds,
                shards: 2,
                more: end < body.len(),
                line_bytes_max: 1 << 20,
                names_max: 100,
            };
            match line::decode(&body[start..end], &mut batcher, &mut ctx) {
                Progress::Done { consumed } => {
                    start += consumed;
                    break;
                }
                Progress::NeedNames { resume_at, missing } => {
                    start += resume_at;
                    for record in state.decide(&missing.resolve(target.policy, false)).unwrap() {
                        state.apply(&record);
                    }
                }
            }
        }
    }
    let outcome = batcher.finish();
    (outcome.rows, outcome.values, report.refused_lines())
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, body)) = data.split_first() else { return };
    let cut = usize::from(*cut).min(body.len());
    assert_eq!(decode(body, body.len()), decode(body, cut));
});
