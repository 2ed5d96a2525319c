//! SHOW QUERIES, STATS, DIAGNOSTICS, SHARDS, SHARD GROUPS: what the server says of itself.
//!
//! In: the statement. Out: listings in InfluxDB's shape. A shard of InfluxDB is a partition here.

use super::lists::send;
use super::stats;
use crate::catalog::State;
use crate::config::Config;
use crate::influxql::duration::print_go;
use crate::model::{TimeRange, Value};
use crate::query::facts::VERSION;
use crate::query::result::{Cell, ResultPart, Series, Sink};
use crate::query::{Context, QueryError};
use std::time::Duration;

const SECOND_NS: i64 = 1_000_000_000;

/// SHOW QUERIES: those of all cores, this one included.
pub async fn queries(context: Context<'_>, sink: &mut impl Sink) -> Result<(), QueryError> {
    let now = context.options.server.services.now_mono();
    let rows = context.cluster.all_queries().await.into_iter().map(|query| {
        let id = i64::try_from(query.id).unwrap_or(i64::MAX);
        let status = if query.killed { "killed" } else { "running" };
        vec![
            Cell::Value(Value::Integer(id)),
            Cell::text(query.text.as_bytes()),
            Cell::text(query.database.as_bytes()),
            Cell::text(age(now.saturating_sub(query.started_ns))),
            Cell::text(status),
        ]
    });
    let columns = ["qid", "query", "database", "duration", "status"];
    send(context, None, &columns, rows.collect(), sink).await
}

/// A duration cut to its largest unit below a minute, as Go prints it.
fn age(ns: u64) -> String {
    let ns = i64::try_from(ns).unwrap_or(i64::MAX);
    let unit = match ns {
        SECOND_NS.. => SECOND_NS,
        1_000_000.. => 1_000_000,
        1_000.. => 1_000,
        _ => 1,
    };
    print_go(ns - ns % unit)
}

/// SHOW STATS: one series a module.
pub async fn stats(
    context: Context<'_>,
    module: Option<&str>,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    if module == Some("indexes") {
        let bytes = stats::index_bytes(context.cluster).await;
        let row = vec![number(bytes)];
        return send(context, Some(b"indexes"), &["memoryBytes"], vec![row], sink).await;
    }
    for one in stats::modules(context.cluster, &context.options.server.facts).await {
        if module.is_some_and(|wanted| wanted != one.name) {
            continue;
        }
        let columns: Vec<&str> = one.fields.keys().map(String::as_str).collect();
        let row = one.fields.values().map(|value| number(*value)).collect();
        let mut series = Series::listing(Some(one.name.as_bytes()), &columns, vec![row]);
        let tags =
            one.tags.iter().map(|(tag, text)| (tag.as_bytes().into(), text.as_bytes().into()));
        series.tags = tags.collect();
        sink.part(ResultPart::of_series(context.statement_id, series)).await?;
    }
    Ok(())
}

fn number(value: u64) -> Cell {
    Cell::Value(Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)))
}

/// SHOW DIAGNOSTICS: one series a module, sorted by name.
pub async fn diagnostics(
    context: Context<'_>,
    module: Option<&str>,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    for (name, pairs) in facts(context) {
        if module.is_some_and(|wanted| wanted != name) {
            continue;
        }
        let (columns, row): (Vec<&str>, Vec<Cell>) = pairs.into_iter().unzip();
        send(context, Some(name.as_bytes()), &columns, vec![row], sink).await?;
    }
    Ok(())
}

/// A module of diagnostics and its columns, sorted.
type Diagnosis = (&'static str, Vec<(&'static str, Cell)>);

fn facts(context: Context<'_>) -> Vec<Diagnosis> {
    let facts = &context.options.server.facts;
    let config = &*facts.config;
    let text = |text: &str| Cell::text(text);
    let build = vec![
        ("Branch", text("")),
        ("Build Time", text("")),
        ("Commit", text("")),
        ("Version", text(VERSION)),
    ];
    let mut all = vec![("build", build)];
    all.extend(configured(config, &facts.http_bind));
    all.push(("network", vec![("hostname", text(&facts.hostname))]));
    let runtime = vec![
        ("GOARCH", text(if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" })),
        ("GOMAXPROCS", number(facts.doors.len() as u64)),
        ("GOOS", text("linux")),
        ("version", text(concat!("ringtail ", env!("CARGO_PKG_VERSION")))),
    ];
    all.push(("runtime", runtime));
    let now = context.options.now_ns;
    let system = vec![
        ("PID", number(u64::from(std::process::id()))),
        ("currentTime", text(&instant(now))),
        ("started", text(&instant(facts.started_ns))),
        ("uptime", text(&print_go(now.saturating_sub(facts.started_ns)))),
    ];
    all.push(("system", system));
    all
}

fn configured(config: &Config, http_bind: &str) -> Vec<Diagnosis> {
    let text = |text: &str| Cell::text(text);
    let flag = |set: bool| Cell::Value(Value::Boolean(set));
    let time =
        |time: Duration| Cell::text(print_go(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)));
    let count = |count: usize| number(count as u64);
    let data = config.data_dir.display().to_string();
    vec![
        ("config", vec![("bind-address", text("")), ("reporting-disabled", flag(true))]),
        (
            "config-coordinator",
            vec![
                ("log-queries-after", text("0s")),
                ("max-concurrent-queries", count(config.query_max_concurrent)),
                ("max-select-buckets", count(config.query_max_buckets)),
                ("max-select-point", count(config.query_max_points)),
                ("max-select-series", count(config.query_max_series)),
                ("query-timeout", time(config.query_timeout)),
                ("write-timeout", time(config.write_timeout)),
            ],
        ),
        (
            "config-cqs",
            vec![
                ("enabled", flag(config.continuous_queries_enabled)),
                ("query-stats-enabled", flag(false)),
                ("run-interval", time(config.continuous_queries_run_interval)),
            ],
        ),
        ("config-data", vec![("dir", text(&data)), ("wal-dir", text(&data))]),
        (
            "config-httpd",
            vec![
                ("access-log-path", text("")),
                ("bind-address", text(http_bind)),
                ("enabled", flag(!config.http_bind.0.is_empty())),
                ("https-enabled", flag(!config.https_bind.0.is_empty())),
                ("max-connection-limit", count(config.http_max_connections)),
                ("max-row-limit", count(config.query_max_rows)),
            ],
        ),
        ("config-meta", vec![("dir", text(&data))]),
        ("config-monitor", vec![("store-enabled", flag(config.monitor_store_enabled))]),
        (
            "config-retention",
            vec![
                ("check-interval", time(config.retention_check_interval)),
                ("enabled", flag(config.retention_enabled)),
            ],
        ),
        ("config-subscriber", vec![("enabled", flag(config.subscriber_enabled))]),
    ]
}

/// What SHOW SHARDS and SHOW SHARD GROUPS tell of a partition.
struct Shard {
    id: i64,
    policy: String,
    start: String,
    end: String,
    expiry: String,
}

/// The partitions of a database, by policy, oldest first.
fn shards_of(catalog: &State, db: &crate::catalog::Database) -> Vec<Shard> {
    let policies = db.policies.iter().filter_map(|id| catalog.policy_by_id(*id));
    policies
        .flat_map(|policy| {
            let of = |range: TimeRange, id: u32| {
                let end = range.last.saturating_add(1);
                Shard {
                    id: i64::from(id),
                    policy: policy.spec.name.clone(),
                    start: instant(range.first),
                    end: instant(end),
                    expiry: instant(end.saturating_add(policy.spec.duration_ns)),
                }
            };
            let found = catalog.partitions_in(policy.id, TimeRange::ALL);
            found.into_iter().map(move |one| of(one.range, one.id.0)).collect::<Vec<_>>()
        })
        .collect()
}

fn instant(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns)).map_or(String::new(), |at| at.to_string())
}

/// SHOW SHARDS: one series a database.
pub async fn shards(context: Context<'_>, sink: &mut impl Sink) -> Result<(), QueryError> {
    let all: Vec<(String, Vec<Shard>)> = {
        let catalog = context.cluster.catalog();
        catalog.databases().map(|db| (db.name.clone(), shards_of(&catalog, db))).collect()
    };
    let columns = [
        "id",
        "database",
        "retention_policy",
        "shard_group",
        "start_time",
        "end_time",
        "expiry_time",
        "owners",
    ];
    for (db, shards) in all {
        let row = |shard: &Shard| {
            let id = Cell::Value(Value::Integer(shard.id));
            vec![
                id.clone(),
                Cell::text(&db),
                Cell::text(&shard.policy),
                id,
                Cell::text(&shard.start),
                Cell::text(&shard.end),
                Cell::text(&shard.expiry),
                Cell::text(""),
            ]
        };
        let rows = shards.iter().map(row).collect();
        let series = Series::listing(Some(db.as_bytes()), &columns, rows);
        sink.part(ResultPart::of_series(context.statement_id, series)).await?;
    }
    Ok(())
}

/// SHOW SHARD GROUPS.
pub async fn shard_groups(context: Context<'_>, sink: &mut impl Sink) -> Result<(), QueryError> {
    let mut rows = Vec::new();
    {
        let catalog = context.cluster.catalog();
        for db in catalog.databases() {
            rows.extend(shards_of(&catalog, db).iter().map(|shard| {
                vec![
                    Cell::Value(Value::Integer(shard.id)),
                    Cell::text(&db.name),
                    Cell::text(&shard.policy),
                    Cell::text(&shard.start),
                    Cell::text(&shard.end),
                    Cell::text(&shard.expiry),
                ]
            }));
        }
    }
    let columns = ["id", "database", "retention_policy", "start_time", "end_time", "expiry_time"];
    let series = Series::listing(Some(b"shard groups"), &columns, rows);
    Ok(sink.part(ResultPart::of_series(context.statement_id, series)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_cut_to_one_unit() {
        let cases = [
            (999, "999ns"),
            (95_300, "95µs"),
            (12_999_999, "12ms"),
            (3_900_000_000, "3s"),
            (63_900_000_000, "1m3s"),
        ];
        for (ns, text) in cases {
            assert_eq!(age(ns), text);
        }
    }

    #[test]
    fn shards_are_listed_with_their_end_of_life() {
        use crate::catalog::{Command, Names, PolicyOptions};
        let mut state = State::default();
        let options = PolicyOptions { duration_ns: Some(3600 * SECOND_NS), ..Default::default() };
        let create = Command::CreateDatabase { name: "d".into(), policy: Some(options) };
        let records = state.decide(&create).unwrap();
        records.iter().for_each(|record| state.apply(record));
        let policy = state.database("d").unwrap().default_policy.unwrap();
        let names = Names { times: vec![1], ..Names::default() };
        let records = state.decide(&names.resolve(policy, false)).unwrap();
        records.iter().for_each(|record| state.apply(record));
        let shards = shards_of(&state, state.database("d").unwrap());
        let [one] = shards.as_slice() else { panic!("one partition") };
        assert_eq!((one.id, one.start.as_str()), (1, "1970-01-01T00:00:00Z"));
        assert_eq!(one.end, "1970-01-01T01:00:00Z");
        assert_eq!(one.expiry, "1970-01-01T02:00:00Z");
    }
}
