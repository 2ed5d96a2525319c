//! The eight questions of the devops set, about the measurement `cpu`.
//!
//! In: a name, the shape of the data, a random number. Out: InfluxQL, or a request in MetricsQL.

use super::{Question, instant};
use crate::workload::{FIELDS, Schema, Shape};

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

/// What a question is about.
struct About {
    hosts: Vec<String>,
    /// Fields asked for.
    fields: usize,
    /// Seconds, half open.
    start: i64,
    end: i64,
}

fn about(name: &str, shape: &Shape, random: u64) -> Option<About> {
    let (hosts, fields, hours): (u64, usize, i64) = match name {
        "single-groupby-1-1-1" => (1, 1, 1),
        "single-groupby-5-8-1" => (8, 5, 1),
        "cpu-max-all-8" => (8, 10, 8),
        "double-groupby-1" => (0, 1, 12),
        "double-groupby-all" => (0, 10, 12),
        "high-cpu-1" => (1, 10, 12),
        "lastpoint" => (0, 10, 0),
        "groupby-orderby-limit" => (0, 1, 0),
        _ => return None,
    };
    let schema = Schema::new(shape);
    let count = u64::from(shape.hosts.max(1));
    let host = |at: u64| (random.rotate_left(17) % count + at * 37) % count;
    let hosts = (0..hosts).map(|at| schema.host_name(host(at) as u32)).collect();
    let last = shape.start + i64::from(shape.points) * shape.step;
    let room = (last - shape.start - hours * 3600).max(1);
    let start = shape.start + (random % room.unsigned_abs()) as i64;
    let end = match name {
        "lastpoint" => last,
        "groupby-orderby-limit" => {
            // Within the last hour, and never before the first point.
            let most = ((last - shape.start) / 2).clamp(1, 3600);
            last - (random % most.unsigned_abs()) as i64
        }
        _ => start + hours * 3600,
    };
    Some(About { hosts, fields: fields.min(FIELDS.len()), start, end })
}

/// The question as InfluxQL.
pub fn influxql(name: &str, shape: &Shape, random: u64) -> Option<String> {
    let about = about(name, shape, random)?;
    let all = |function: &str| {
        let fields = FIELDS.iter().take(about.fields);
        fields.map(|field| format!("{function}({field})")).collect::<Vec<_>>().join(", ")
    };
    let hosts = about.hosts.iter().map(|host| format!("hostname = '{host}'"));
    let hosts = format!("({})", hosts.collect::<Vec<_>>().join(" OR "));
    let window = format!("time >= {}s AND time < {}s", about.start, about.end);
    Some(match name {
        "single-groupby-1-1-1" | "single-groupby-5-8-1" => {
            format!("SELECT {} FROM cpu WHERE {hosts} AND {window} GROUP BY time(1m)", all("max"))
        }
        "cpu-max-all-8" => {
            format!("SELECT {} FROM cpu WHERE {hosts} AND {window} GROUP BY time(1h)", all("max"))
        }
        "double-groupby-1" | "double-groupby-all" => {
            format!("SELECT {} FROM cpu WHERE {window} GROUP BY time(1h), hostname", all("mean"))
        }
        "high-cpu-1" => {
            format!("SELECT * FROM cpu WHERE usage_user > 90.0 AND {hosts} AND {window}")
        }
        "lastpoint" => "SELECT * FROM cpu GROUP BY hostname ORDER BY time DESC LIMIT 1".to_owned(),
        "groupby-orderby-limit" => format!(
            "SELECT max(usage_user) FROM cpu WHERE time < {}s GROUP BY time(1m) \
             ORDER BY time DESC LIMIT 5",
            about.end
        ),
        _ => return None,
    })
}

/// The question as MetricsQL.
pub fn promql(name: &str, shape: &Shape, random: u64) -> Option<Question> {
    let about = about(name, shape, random)?;
    let fields = FIELDS.iter().take(about.fields).copied().collect::<Vec<_>>().join("|");
    let mut select = format!("__name__=~\"cpu_({fields})\"");
    let hosts = about.hosts.join("|");
    if !about.hosts.is_empty() {
        select += &format!(",hostname=~\"{hosts}\"");
    }
    let minute = format!("max(max_over_time({{{select}}}[1m])) by (__name__)");
    let (query, step) = match name {
        "single-groupby-1-1-1" | "single-groupby-5-8-1" | "groupby-orderby-limit" => (minute, 60),
        "cpu-max-all-8" => (format!("max(max_over_time({{{select}}}[1h])) by (__name__)"), 3600),
        "double-groupby-1" | "double-groupby-all" => {
            (format!("avg(avg_over_time({{{select}}}[1h])) by (__name__, hostname)"), 3600)
        }
        "high-cpu-1" => {
            let high = format!("cpu_usage_user{{hostname=\"{hosts}\"}} > 90");
            (format!("{{{select}}} and on(hostname) ({high})"), shape.step)
        }
        "lastpoint" => {
            return Some(instant(format!("last_over_time({{{select}}}[5m])"), about.end));
        }
        _ => return None,
    };
    let mut form = vec![("query", query), ("nocache", "1".to_owned())];
    // A point at t looks back over (t - step, t], so the first bucket's point is its end.
    let start = if name == "groupby-orderby-limit" { about.end - 5 * step } else { about.start };
    form.push(("start", (start + step).to_string()));
    form.push(("end", about.end.to_string()));
    form.push(("step", format!("{step}s")));
    Some(Question { path: "/api/v1/query_range", fields: form })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::shape;

    #[test]
    fn both_languages_ask_for_the_same_host_and_window() {
        let shape = shape("--hosts 20 --points 8640");
        for name in NAMES {
            for random in [0, 7, u64::MAX] {
                let text = influxql(name, &shape, random).unwrap();
                let promql = promql(name, &shape, random).unwrap();
                let end = promql.fields.iter().find(|(name, _)| *name == "end");
                if let (Some((_, end)), true) = (end, name != "groupby-orderby-limit") {
                    assert!(text.contains(&format!("time < {end}s")), "{text}");
                }
                if let Some(host) = text.split("host_").nth(1).and_then(|t| t.split('\'').next()) {
                    assert!(promql.fields[0].1.contains(&format!("host_{host}")));
                }
            }
        }
    }

    #[test]
    fn windows_lie_in_the_data() {
        let (brief, shape) = (shape("--points 2 --step 10"), shape("--points 8640 --step 10"));
        for random in [0, 12_345, u64::MAX / 3, u64::MAX] {
            let about = about("double-groupby-1", &shape, random).unwrap();
            assert!(about.start >= shape.start && about.end <= shape.start + 86_400);
            assert_eq!(about.end - about.start, 12 * 3600);
            let short = super::about("groupby-orderby-limit", &brief, random).unwrap();
            assert!(short.end > brief.start + 5);
        }
    }
}
