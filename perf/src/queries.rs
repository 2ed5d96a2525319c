//! The eight questions of the TSBS devops set, as InfluxQL.
//!
//! In: the shape of the loaded data and a random number. Out: statements over random hosts and
//! windows inside that data.

use crate::workload::{FIELDS, Shape};

/// Their names, in TSBS's words.
pub const NAMES: [&str; 8] = [
    "single-groupby-1-1-1",
    "single-groupby-5-8-1",
    "cpu-max-all-8",
    "double-groupby-1",
    "double-groupby-all",
    "high-cpu-1",
    "lastpoint",
    "groupby-orderby-limit",
];

/// A statement of this name; `random` chooses hosts and window.
pub fn statement(name: &str, shape: &Shape, random: u64) -> Option<String> {
    let all = |function: &str, fields: usize| {
        let calls = FIELDS.iter().take(fields).map(|field| format!("{function}({field})"));
        calls.collect::<Vec<_>>().join(", ")
    };
    let hosts = |count: u64| {
        let host = |at| {
            (random.rotate_left(17) % u64::from(shape.hosts.max(1)) + at * 37)
                % u64::from(shape.hosts.max(1))
        };
        let names = (0..count).map(|at| format!("hostname = 'host_{}'", host(at)));
        format!("({})", names.collect::<Vec<_>>().join(" OR "))
    };
    let window = |hours: i64| {
        let last = shape.start + i64::from(shape.points) * shape.step;
        let room = (last - shape.start - hours * 3600).max(1);
        let first = shape.start + (random % room.unsigned_abs()) as i64;
        format!("time >= {first}s AND time < {}s", first + hours * 3600)
    };
    Some(match name {
        "single-groupby-1-1-1" => format!(
            "SELECT {} FROM cpu WHERE {} AND {} GROUP BY time(1m)",
            all("max", 1),
            hosts(1),
            window(1)
        ),
        "single-groupby-5-8-1" => format!(
            "SELECT {} FROM cpu WHERE {} AND {} GROUP BY time(1m)",
            all("max", 5),
            hosts(8),
            window(1)
        ),
        "cpu-max-all-8" => format!(
            "SELECT {} FROM cpu WHERE {} AND {} GROUP BY time(1h)",
            all("max", 10),
            hosts(8),
            window(8)
        ),
        "double-groupby-1" | "double-groupby-all" => format!(
            "SELECT {} FROM cpu WHERE {} GROUP BY time(1h), hostname",
            all("mean", if name == "double-groupby-1" { 1 } else { 10 }),
            window(12)
        ),
        "high-cpu-1" => {
            format!("SELECT * FROM cpu WHERE usage_user > 90.0 AND {} AND {}", hosts(1), window(12))
        }
        "lastpoint" => "SELECT * FROM cpu GROUP BY hostname ORDER BY time DESC LIMIT 1".to_owned(),
        "groupby-orderby-limit" => {
            let end = shape.start + i64::from(shape.points) * shape.step;
            let before = end - (random % 3600) as i64;
            format!(
                "SELECT max(usage_user) FROM cpu WHERE time < {before}s GROUP BY time(1m) \
                 ORDER BY time DESC LIMIT 5"
            )
        }
        _ => return None,
    })
}
