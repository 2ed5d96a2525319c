//! Decoders, with names and series known: every protocol's bytes of 500 points.

use crate::decoding::{Core, NOW_NS, pickles};
use std::hint::black_box;

/// Lines or points of a round.
pub const ROWS: u64 = 500;

/// Does rounds on a core that has seen the bytes before.
fn decode(rounds: u64, bytes: &[u8], mut take: impl FnMut(&mut Core, &[u8]) -> u64) {
    let mut core = Core::new(1_000_000, 10_000);
    for round in 0..rounds + 3 {
        let rows = take(&mut core, black_box(bytes));
        assert!(round == 0 || rows > 0, "nothing was decoded");
    }
}

fn hundredths(n: u64) -> String {
    let n = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    format!("{}.{:02}", n % 100, n / 100 % 100)
}

pub fn influx(rounds: u64) {
    let line = |host: u64| {
        let fields: Vec<_> =
            (0..10).map(|f| format!("usage_{f}={}", hundredths(host * 10 + f))).collect();
        format!(
            "cpu,arch=x86,datacenter=eu-central-1a,hostname=host_{host},os=Ubuntu15.10,rack={},\
             region=eu-central-1,service={},service_environment=production,service_version=1,\
             team=SF {} {NOW_NS}\n",
            host % 100,
            host % 20,
            fields.join(",")
        )
    };
    let text: String = (0..ROWS).map(line).collect();
    decode(rounds, text.as_bytes(), Core::lines);
}

pub fn telnet(rounds: u64) {
    let line = |n| {
        let (value, host) = (hundredths(n), n / 10);
        format!("put sys.cpu.{} 1451606400 {value} dc=lga host=web{host:03}\n", n % 10)
    };
    let text: String = (0..ROWS).map(line).collect();
    decode(rounds, text.as_bytes(), Core::telnet);
}

fn path(n: u64) -> String {
    format!("servers.host-{:04}.datacenter-eu.cpu.usage_user_{:02}", n / 4, n % 50)
}

pub fn graphite(rounds: u64) {
    let line = |n| format!("{} {} 1451606400\n", path(n), hundredths(n));
    let text: String = (0..ROWS).map(line).collect();
    decode(rounds, text.as_bytes(), Core::graphite);
}

pub fn pickle(rounds: u64) {
    let point = |n| (path(n), 1_451_606_400.0, n as f64 + 0.25);
    let points: Vec<_> = (0..ROWS).map(point).collect();
    decode(rounds, &pickles(&points), Core::pickle);
}

fn kairos_body(hosts: u64, points: u64) -> String {
    let metric = |host: u64| {
        let value = |n: u64| {
            let time = NOW_NS / 1_000_000 + n as i64 * 10_000;
            format!("[{time},{}]", hundredths(host * points + n))
        };
        let values: Vec<_> = (0..points).map(value).collect();
        format!(
            "{{\"name\":\"cpu.usage_user\",\"datapoints\":[{}],\"tags\":{{\"hostname\":\
             \"host_{host}\",\"region\":\"eu-central-1\",\"rack\":\"{}\"}}}}",
            values.join(","),
            host % 100
        )
    };
    let metrics: Vec<_> = (0..hosts).map(metric).collect();
    format!("[{}]", metrics.join(","))
}

pub fn kairos(rounds: u64) {
    decode(rounds, kairos_body(ROWS, 1).as_bytes(), Core::kairos);
}

pub fn kairos_batched(rounds: u64) {
    decode(rounds, kairos_body(ROWS / 100, 100).as_bytes(), Core::kairos);
}
