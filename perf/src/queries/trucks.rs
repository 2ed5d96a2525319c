//! Twelve questions of the IoT set, about the trucks' `readings` and `diagnostics`.
//!
//! In: a name, the shape of the data, a random number that chooses truck, fleet and window. Out:
//! InfluxQL, or a request in MetricsQL. Windows are as long as TSBS has them (ten minutes, four
//! hours, a day) or as long as the data is, and what is asked of them ("drove for more than 22 of
//! 24 tens of minutes") shrinks alike. `avg-daily-driving-session` is not there: InfluxQL needs a
//! measurement in between, and a question should not write.

use super::{Question, instant};
use crate::workload::{FLEETS, Schema, Shape};

/// Their names, in TSBS's words.
pub const NAMES: [&str; 12] = [
    "single-last-loc",
    "last-loc",
    "low-fuel",
    "high-load",
    "stationary-trucks",
    "long-driving-sessions",
    "long-daily-sessions",
    "avg-vs-projected-fuel-consumption",
    "avg-daily-driving-duration",
    "avg-load",
    "daily-activity",
    "breakdown-frequency",
];

/// Seconds of a truck's mean speed or state.
const SPAN: i64 = 600;
const DAY: i64 = 86_400;

/// What a question is about.
struct About {
    truck: String,
    fleet: &'static str,
    /// Seconds, half open.
    start: i64,
    end: i64,
    /// Behind the last point.
    last: i64,
    /// More spans than this are a long time.
    many: i64,
}

fn about(name: &str, shape: &Shape, random: u64) -> Option<About> {
    let (window, share) = match name {
        "stationary-trucks" => (SPAN, 0.0),
        "long-driving-sessions" => (4 * 3600, 22.0 / 24.0),
        "long-daily-sessions" => (DAY, 60.0 / 144.0),
        "avg-daily-driving-duration" | "daily-activity" | "breakdown-frequency" => (DAY, 0.0),
        _ if NAMES.contains(&name) => (i64::MAX, 0.0),
        _ => return None,
    };
    let last = shape.start + i64::from(shape.points) * shape.step;
    let window = window.min(last - shape.start).max(1);
    let room = (last - shape.start - window + 1).unsigned_abs();
    let start = shape.start + (random % room) as i64;
    let truck = random.rotate_left(17) % u64::from(shape.hosts.max(1));
    let fleet = (random.rotate_left(29) % FLEETS.len() as u64) as usize;
    Some(About {
        truck: Schema::new(shape).host_name(truck as u32),
        fleet: FLEETS.get(fleet).copied()?,
        start,
        end: start + window,
        last,
        many: ((window / SPAN) as f64 * share) as i64,
    })
}

/// The question as InfluxQL.
pub fn influxql(name: &str, shape: &Shape, random: u64) -> Option<String> {
    let About { truck, fleet, start, end, many, .. } = about(name, shape, random)?;
    let fleet = format!("fleet = '{fleet}'");
    let window = format!("time >= {start}s AND time < {end}s");
    let each = "GROUP BY \"name\", driver";
    let latest = format!("{each} ORDER BY time DESC LIMIT 1");
    // Every truck's mean speed in each ten minutes.
    let speeds = |which: &str, more: &str| {
        format!(
            "SELECT mean(velocity) AS speed FROM readings WHERE {which}{window} \
             GROUP BY time(10m), {more}\"name\", driver"
        )
    };
    Some(match name {
        "single-last-loc" => {
            format!("SELECT latitude, longitude FROM readings WHERE \"name\" = '{truck}' {latest}")
        }
        "last-loc" => format!("SELECT latitude, longitude FROM readings WHERE {fleet} {latest}"),
        "low-fuel" => format!(
            "SELECT fuel FROM (SELECT last(fuel_state) AS fuel FROM \"diagnostics\" \
             WHERE {fleet} {each}) WHERE fuel <= 0.1 {each}"
        ),
        "high-load" => format!(
            "SELECT load, capacity FROM (SELECT last(current_load) AS load, \
             load_capacity AS capacity FROM \"diagnostics\" WHERE {fleet} {each}) \
             WHERE load >= 0.9 * capacity {each}"
        ),
        "stationary-trucks" => format!(
            "SELECT speed FROM (SELECT mean(velocity) AS speed FROM readings \
             WHERE {fleet} AND {window} {each}) WHERE speed < 1 {each}"
        ),
        "long-driving-sessions" | "long-daily-sessions" => format!(
            "SELECT spans FROM (SELECT count(speed) AS spans FROM ({}) WHERE speed > 1 {each}) \
             WHERE spans > {many} {each}",
            speeds(&format!("{fleet} AND "), "")
        ),
        "avg-vs-projected-fuel-consumption" => "SELECT mean(fuel_consumption) AS used, \
             mean(nominal_fuel_consumption) AS projected FROM readings WHERE velocity > 1 \
             GROUP BY fleet"
            .to_owned(),
        "avg-daily-driving-duration" => format!(
            "SELECT count(speed) / 6 AS hours FROM ({}) WHERE speed > 1 AND {window} \
             GROUP BY time(1d), fleet, \"name\", driver",
            speeds("", "fleet, ")
        ),
        "avg-load" => "SELECT mean(share) AS load FROM (SELECT current_load / load_capacity \
             AS share FROM \"diagnostics\" GROUP BY \"name\", fleet, model) GROUP BY fleet, model"
            .to_owned(),
        "daily-activity" => format!(
            "SELECT count(state) / 144 AS days FROM (SELECT mean(status) AS state FROM \"diagnostics\" \
             WHERE {window} GROUP BY time(10m), fleet, model, \"name\") \
             WHERE state < 1 AND {window} GROUP BY time(1d), fleet, model"
        ),
        // A status divided by itself is 1, or 0 for 0; a truck is broken while most are not 0.
        "breakdown-frequency" => format!(
            "SELECT count(change) AS breakdowns FROM (SELECT difference(broken) AS change FROM \
             (SELECT round(mean(bad)) AS broken FROM (SELECT status / status AS bad \
             FROM \"diagnostics\" WHERE {window}) WHERE {window} \
             GROUP BY time(10m), model, \"name\") GROUP BY model, \"name\") \
             WHERE change = 1 GROUP BY model"
        ),
        _ => return None,
    })
}

/// The question as MetricsQL.
pub fn promql(name: &str, shape: &Shape, random: u64) -> Option<Question> {
    let About { truck, fleet, start, end, last, many } = about(name, shape, random)?;
    let (window, step) = (end - start, shape.step);
    let fleet = format!("{{fleet=\"{fleet}\"}}");
    let recent = (2 * step).max(300);
    let place = "__name__=~\"readings_(latitude|longitude)\"";
    let last_of = |metric: &str| format!("last_over_time({metric}{fleet}[{recent}s])");
    let moving = |which: &str| {
        format!(
            "count_over_time((avg_over_time(readings_velocity{which}[10m]) > 1)[{window}s:10m])"
        )
    };
    let of_fleet = fleet.trim_matches(['{', '}']);
    let (query, at) = match name {
        "single-last-loc" => {
            (format!("last_over_time({{{place},name=\"{truck}\"}}[{recent}s])"), last)
        }
        "last-loc" => (format!("last_over_time({{{place},{of_fleet}}}[{recent}s])"), last),
        "low-fuel" => (format!("{} <= 0.1", last_of("diagnostics_fuel_state")), last),
        "high-load" => {
            let (load, most) =
                (last_of("diagnostics_current_load"), last_of("diagnostics_load_capacity"));
            (format!("{load} >= on(name) (0.9 * {most})"), last)
        }
        "stationary-trucks" => {
            (format!("avg_over_time(readings_velocity{fleet}[{window}s]) < 1"), end)
        }
        "long-driving-sessions" | "long-daily-sessions" => {
            (format!("{} > {many}", moving(&fleet)), end)
        }
        "avg-vs-projected-fuel-consumption" => {
            let used = "__name__=~\"readings_(nominal_)?fuel_consumption\"";
            let driving = format!("({{{used}}} and on(name) (readings_velocity > 1))");
            let mean = format!("avg_over_time({driving}[{window}s:{step}s])");
            (format!("avg by (__name__, fleet) ({mean})"), last)
        }
        "avg-daily-driving-duration" => (format!("{} / 6", moving("")), end),
        "avg-load" => {
            let of = "on(name, fleet, model)";
            let share = format!("(diagnostics_current_load / {of} diagnostics_load_capacity)");
            let mean = format!("avg_over_time({share}[{window}s:{step}s])");
            (format!("avg by (fleet, model) ({mean})"), last)
        }
        "daily-activity" => {
            let good = "(avg_over_time(diagnostics_status[10m]) < 1)";
            let count = format!("count_over_time({good}[{window}s:10m])");
            (format!("sum by (fleet, model) ({count}) / 144"), end)
        }
        "breakdown-frequency" => {
            let bad = format!("avg_over_time((diagnostics_status > bool 0)[10m:{step}s])");
            let count = format!("increases_over_time(round({bad})[{window}s:10m])");
            (format!("sum by (model) ({count})"), end)
        }
        _ => return None,
    };
    // A look back from t covers (t - length, t], and the last point is a step before the end.
    Some(instant(query, at - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::shape;

    #[test]
    fn windows_lie_in_the_data_and_shrink_with_it() {
        let day = shape("--workload iot --points 17280 --step 10");
        let hour = shape("--workload iot --points 360 --step 10");
        for random in [0, 12_345, u64::MAX / 3, u64::MAX] {
            let long = about("long-driving-sessions", &day, random).unwrap();
            assert_eq!((long.end - long.start, long.many), (4 * 3600, 22));
            assert_eq!(about("long-daily-sessions", &day, random).unwrap().many, 60);
            let short = about("long-driving-sessions", &hour, random).unwrap();
            assert_eq!((short.start, short.end, short.many), (hour.start, hour.start + 3600, 5));
            for name in NAMES {
                let about = about(name, &day, random).unwrap();
                assert!(about.start >= day.start && about.end <= about.last, "{name}");
            }
        }
    }

    #[test]
    fn both_languages_ask_about_the_same_truck_and_fleet() {
        let shape = shape("--workload iot --hosts 50");
        for random in [0, 12_345, u64::MAX / 3] {
            let About { truck, fleet, .. } = about("last-loc", &shape, random).unwrap();
            for (name, wanted) in [("single-last-loc", truck.as_str()), ("last-loc", fleet)] {
                let promql = promql(name, &shape, random).unwrap();
                assert!(influxql(name, &shape, random).unwrap().contains(wanted));
                assert!(promql.fields[0].1.contains(wanted));
            }
        }
    }
}
