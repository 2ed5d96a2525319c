//! What the generators promise: the same seed gives the same rows, the shares and counts that were
//! asked for, the measurements and fields of each workload.

use super::encode::{Body, Protocol};
use super::*;
use clap::Parser;
use std::collections::{BTreeMap, BTreeSet};

#[derive(clap::Parser)]
#[command(args_override_self = true)]
struct Flags {
    #[command(flatten)]
    shape: Shape,
}

/// A shape from flags, as a user gives it; small unless told otherwise.
pub fn shape(flags: &str) -> Shape {
    let words = format!("load --hosts 7 --points 20 {flags}");
    Flags::try_parse_from(words.split_whitespace()).unwrap_or_else(|e| panic!("{e}")).shape
}

#[derive(Clone, PartialEq, Debug)]
struct Plain {
    host: u32,
    nth: usize,
    tags: Vec<(&'static str, String)>,
    seconds: i64,
    values: Vec<Value>,
}

fn rows(shape: &Shape) -> Vec<Plain> {
    let (mut workload, mut rows) = (Workload::new(shape), Vec::new());
    while let Some(row) = workload.row() {
        assert_eq!(row.values.len(), row.measurement.fields.len());
        rows.push(Plain {
            host: row.host,
            nth: row.nth,
            tags: row.tags.into_iter().flatten().cloned().collect(),
            seconds: row.seconds,
            values: row.values.to_vec(),
        });
    }
    rows
}

const SETS: [&str; 4] = ["cpu", "devops", "iot", "gauges"];
const PROTOCOLS: [Protocol; 5] =
    [Protocol::Influx, Protocol::Telnet, Protocol::Kairos, Protocol::Graphite, Protocol::Pickle];

fn bytes(shape: &Shape, protocol: Protocol) -> Vec<u8> {
    let (mut workload, mut body) = (Workload::new(shape), Body::default());
    body.begin(protocol);
    while let Some(row) = workload.row() {
        body.add(protocol, &row);
    }
    body.end(protocol);
    body.bytes
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    for set in SETS {
        let flags = format!("--workload {set} --out-of-order 0.2 --duplicates 0.1 --churn 20");
        let other = shape(&format!("{flags} --seed 2"));
        let shape = shape(&flags);
        for protocol in PROTOCOLS {
            let first = bytes(&shape, protocol);
            assert_eq!(first, bytes(&shape, protocol), "{set} {protocol:?}");
            assert_ne!(first, bytes(&other, protocol), "{set} {protocol:?}");
        }
    }
}

#[test]
fn each_workload_has_its_measurements_and_as_many_values_as_announced() {
    for (set, measurements, fields) in
        [("cpu", 1, 10), ("devops", 9, 101), ("iot", 2, 16), ("gauges", 10, 10)]
    {
        let shape = shape(&format!("--workload {set}"));
        let schema = Schema::new(&shape);
        assert_eq!((schema.measurements.len(), schema.fields()), (measurements, fields), "{set}");
        let rows = rows(&shape);
        assert_eq!(rows.len(), 7 * 20 * measurements);
        let values: usize = rows.iter().map(|row| row.values.len()).sum();
        assert_eq!(values as u64, shape.values());
        let series: BTreeSet<_> = rows.iter().map(|row| (row.nth, &row.tags)).collect();
        assert_eq!(series.len(), 7 * measurements, "tags of a series stay as they are");
    }
}

#[test]
fn times_go_up_by_the_step_and_rows_come_in_order_unless_asked_otherwise() {
    let rows = rows(&shape("--step 30 --start 1000"));
    assert!(rows.is_sorted_by_key(|row| (row.seconds, row.host)));
    assert_eq!((rows[0].seconds, rows[7].seconds), (1000, 1030));
    assert_eq!(rows[rows.len() - 1].seconds, 1000 + 19 * 30);
}

#[test]
fn the_asked_share_of_rows_comes_late_and_none_is_lost() {
    let base = "--hosts 50 --points 400";
    let (plain, mixed) = (rows(&shape(base)), rows(&shape(&format!("{base} --out-of-order 0.1"))));
    let (mut newest, mut late) = (BTreeMap::new(), 0);
    for row in &mixed {
        let newest = newest.entry(row.host).or_insert(i64::MIN);
        late += usize::from(row.seconds < *newest);
        *newest = (*newest).max(row.seconds);
    }
    let share = late as f64 / mixed.len() as f64;
    assert!((0.08..0.12).contains(&share), "{share}");
    let sorted = |mut rows: Vec<Plain>| {
        rows.sort_by_key(|row| (row.seconds, row.host));
        rows
    };
    assert_eq!(sorted(mixed), sorted(plain));
}

#[test]
fn the_asked_share_of_rows_comes_twice_with_the_same_values() {
    let shape = shape("--hosts 50 --points 400 --duplicates 0.05");
    let (mut first, mut twice) = (BTreeMap::new(), 0);
    for row in rows(&shape) {
        match first.get(&(row.host, row.seconds)) {
            Some(values) => {
                assert_eq!(*values, row.values);
                twice += 1;
            }
            None => drop(first.insert((row.host, row.seconds), row.values)),
        }
    }
    assert_eq!(first.len(), 50 * 400);
    assert!((800..1200).contains(&twice), "{twice} of 20,000");
}

#[test]
fn churn_replaces_the_asked_share_of_hosts_in_an_hour() {
    // Two hours, a point a minute: a quarter of 40 hosts an hour, up to the last point.
    let rows = rows(&shape("--hosts 40 --points 121 --step 60 --churn 0.25"));
    let hosts: BTreeSet<u32> = rows.iter().map(|row| row.host).collect();
    assert_eq!(hosts.len(), 40 + 20);
    assert_eq!(rows.len(), 40 * 121, "as many hosts at any time");
    let gone = rows.iter().filter(|row| row.host == 0).map(|row| row.seconds).max().unwrap();
    let come = rows.iter().filter(|row| row.host == 40).map(|row| row.seconds).min().unwrap();
    assert_eq!(gone + 60, come);
}

#[test]
fn points_have_no_end_when_none_is_given() {
    let mut workload = Workload::new(&shape("--points 0"));
    let seen = (0..1000).filter(|_| workload.row().is_some()).count();
    assert_eq!(seen, 1000);
}

#[test]
fn values_stay_in_their_bounds() {
    for kind in ["float2", "double", "integer", "gauge"] {
        for row in rows(&shape(&format!("--kind {kind} --points 300"))) {
            assert!(row.values.iter().all(|value| (0.0..=100.0).contains(&value.as_f64())));
        }
    }
    for row in rows(&shape("--workload devops --points 300")) {
        assert!(row.values.iter().all(|value| value.as_f64() >= 0.0));
    }
}

#[test]
fn normal_steps_have_mean_0_and_deviation_1() {
    for kind in ["float2", "integer"] {
        let flags = format!("--kind {kind} --steps normal --hosts 40 --points 2000 --fields 1");
        let mut before = BTreeMap::new();
        let mut steps = Vec::new();
        for row in rows(&shape(&flags)) {
            let value = row.values[0].as_f64();
            if let Some(last) = before.insert(row.host, value) {
                steps.push(value - last);
            }
        }
        let mean = steps.iter().sum::<f64>() / steps.len() as f64;
        let square = steps.iter().map(|step| step * step).sum::<f64>() / steps.len() as f64;
        // An integer's step is that of its walk and the difference of two roundings.
        let wanted = if kind == "integer" { 1.0 + 2.0 / 12.0 } else { 1.0 };
        assert!(mean.abs() < 0.03 && (square - wanted).abs() < 0.05, "{kind} {mean} {square}");
    }
}

#[test]
fn trucks_stand_and_drive_and_carry_what_their_model_can() {
    let (mut standing, mut seen) = (0, 0);
    for row in rows(&shape("--workload iot --hosts 50 --points 500")) {
        let value = |at: usize| row.values[at].as_f64();
        if row.nth == 0 {
            standing += usize::from(value(3) == 0.0);
            seen += 1;
            continue;
        }
        let model = &row.tags.iter().find(|(name, _)| *name == "model").unwrap().1;
        let capacity = [("F-150", 2000.0), ("G-2000", 5000.0), ("H-2", 1500.0)];
        let capacity = capacity.into_iter().find(|(name, _)| name == model).unwrap().1;
        assert!(value(1) <= capacity && value(3) == capacity);
    }
    assert!((0.3..0.7).contains(&(standing as f64 / f64::from(seen))));
}

#[test]
fn a_row_is_written_as_each_protocol_wants_it() {
    let shape = shape("--workload gauges --hosts 1 --points 1 --fields 1 --kind integer");
    let row = rows(&shape).remove(0);
    let tag = |name: &str| &row.tags.iter().find(|(found, _)| *found == name).unwrap().1;
    let (place, rack) = (tag("datacenter"), tag("rack"));
    let value = row.values[0].as_f64();
    let text = |protocol| String::from_utf8_lossy(&bytes(&shape, protocol)).into_owned();
    assert_eq!(
        text(Protocol::Influx),
        format!(
            "cpu_usage_user,datacenter={place},hostname=host_0,rack={rack} value={value}i \
             1700000000000000000\n"
        )
    );
    assert_eq!(
        text(Protocol::Telnet),
        format!(
            "put cpu_usage_user.value 1700000000 {value} datacenter={place} hostname=host_0 \
             rack={rack}\n"
        )
    );
    assert_eq!(
        text(Protocol::Kairos),
        format!(r#"[{{"name":"cpu_usage_user.value","timestamp":1700000000000,"value":{value},"#)
            + &format!(
                r#""tags":{{"datacenter":"{place}","hostname":"host_0","rack":"{rack}"}}}}]"#
            )
    );
    assert_eq!(
        text(Protocol::Graphite),
        format!("servers.{place}.host_0.none.cpu_usage_user.value {value} 1700000000\n")
    );
    let pickle = bytes(&shape, Protocol::Pickle);
    let length = u32::from_be_bytes(*pickle.first_chunk().unwrap());
    assert_eq!(length as usize + 4, pickle.len());
}
