//! The names InfluxDB 1.x gives its options, so that a file or an environment made for it works.
//!
//! In: a key of `influxdb.conf` (`section.key`) or a variable (`INFLUXDB_SECTION_KEY`). Out: the
//! option of this server that says the same, a setting of a listener (`Listeners` puts those
//! together), or why the key has no meaning here. The table has every key of InfluxDB 1.8's
//! sample file, and those of 1.6 that are gone from it.

mod listeners;

pub use listeners::{Listeners, Setting};

use Meaning::{Is, Listener, Nothing, Positive};

/// What a name of InfluxDB is to this server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// This option, in the same words.
    Is(&'static str),
    /// This option; 0 stands for its default.
    Positive(&'static str),
    /// With others of its section, where and how a listener listens.
    Listener,
    /// Nothing; what is so instead.
    Nothing(&'static str),
}

/// A name of InfluxDB.
pub type Name = (&'static str, Meaning);

/// Sections that InfluxDB repeats, `[[graphite]]`.
pub const REPEATED: [&str; 4] = ["graphite", "collectd", "opentsdb", "udp"];
/// What its variables begin with.
pub const PREFIX: &str = "INFLUXDB_";
/// The variable that names InfluxDB's file.
pub const FILE_VARIABLE: &str = "INFLUXDB_CONFIG_PATH";

const ONE_FOLDER: &str = "everything stored is under data-dir";
const INDEX: &str = "the index has one form, in memory and durable";
const SEGMENTS: &str = "data is packed in the background, day by day (compact.idle)";
const FLUSH: &str = "head.max-size and head.max-age say when rows leave memory";
const LOG: &str = "logging.level says what is logged";
const WRITES: &str = "writes that are too many wait (write.timeout, mesh.in-flight)";
const SHARD_GROUPS: &str = "partitions are made when the first point needs them";
const NO_FLUX: &str = "there is no Flux";
const NO_SOCKET: &str = "there are no Unix sockets";
const COPIES: &str = "each subscriber has a queue on each core (subscriber.queue-size)";
const TLS: &str = "TLS 1.2 and 1.3 with the suites of rustls";

/// Every name, by section.
pub const NAMES: &[Name] = &[
    ("reporting-disabled", Nothing("nothing is ever reported to anybody")),
    ("reporting-enabled", Nothing("nothing is ever reported to anybody")),
    ("bind-address", Nothing("there is no port for backups")),
    ("meta.dir", Nothing(ONE_FOLDER)),
    ("meta.retention-autocreate", Is("retention.autocreate")),
    ("meta.logging-enabled", Nothing(LOG)),
    ("data.dir", Is("data-dir")),
    ("data.wal-dir", Nothing(ONE_FOLDER)),
    ("data.wal-fsync-delay", Nothing("commits are grouped without a delay (log.sync)")),
    ("data.index-version", Nothing(INDEX)),
    ("data.trace-logging-enabled", Nothing(LOG)),
    ("data.query-log-enabled", Nothing(LOG)),
    ("data.ingress-metric-by-measurement-enabled", Nothing("points are counted by door")),
    ("data.ingress-metric-by-login-enabled", Nothing("points are counted by door")),
    ("data.strict-error-handling", Nothing("what cannot be written is always an error")),
    ("data.validate-keys", Nothing("names are stored as they were sent")),
    ("data.cache-max-memory-size", Nothing(FLUSH)),
    ("data.cache-snapshot-memory-size", Nothing(FLUSH)),
    ("data.cache-snapshot-write-cold-duration", Nothing(FLUSH)),
    ("data.compact-full-write-cold-duration", Is("compact.idle")),
    ("data.compact-throughput", Nothing(SEGMENTS)),
    ("data.compact-throughput-burst", Nothing(SEGMENTS)),
    ("data.max-concurrent-compactions", Nothing(SEGMENTS)),
    ("data.max-concurrent-deletes", Nothing("deletes of a shard run one after the other")),
    ("data.aggressive-points-per-block", Nothing(SEGMENTS)),
    ("data.tsm-use-madv-willneed", Nothing("files are read by direct I/O")),
    ("data.max-series-per-database", Is("data.max-series-per-database")),
    ("data.max-values-per-tag", Is("data.max-values-per-tag")),
    ("data.max-index-log-file-size", Nothing(INDEX)),
    ("data.series-id-set-cache-size", Nothing(INDEX)),
    ("data.series-file-max-concurrent-snapshot-compactions", Nothing(INDEX)),
    ("data.tar-stream-buffer-size", Nothing("there is no port for backups")),
    ("coordinator.write-timeout", Is("write.timeout")),
    ("coordinator.max-concurrent-queries", Is("query.max-concurrent")),
    ("coordinator.query-timeout", Is("query.timeout")),
    ("coordinator.log-queries-after", Is("query.log-after")),
    ("coordinator.log-timedout-queries", Nothing(LOG)),
    ("coordinator.max-select-point", Is("query.max-points")),
    ("coordinator.max-select-series", Is("query.max-series")),
    ("coordinator.max-select-buckets", Is("query.max-buckets")),
    ("coordinator.termination-query-log", Nothing(LOG)),
    ("retention.enabled", Is("retention.enabled")),
    ("retention.check-interval", Is("retention.check-interval")),
    ("shard-precreation.enabled", Nothing(SHARD_GROUPS)),
    ("shard-precreation.check-interval", Nothing(SHARD_GROUPS)),
    ("shard-precreation.advance-period", Nothing(SHARD_GROUPS)),
    ("monitor.store-enabled", Is("monitor.store-enabled")),
    ("monitor.store-database", Is("monitor.store-database")),
    ("monitor.store-interval", Is("monitor.store-interval")),
    ("http.enabled", Listener),
    ("http.bind-address", Listener),
    ("http.https-enabled", Listener),
    ("http.https-certificate", Is("https.certificate")),
    ("http.https-private-key", Is("https.private-key")),
    ("http.https-insecure-certificate", Nothing("permissions of the files are not looked at")),
    ("http.auth-enabled", Is("http.auth-enabled")),
    ("http.realm", Is("http.realm")),
    ("http.shared-secret", Is("http.shared-secret")),
    ("http.ping-auth-enabled", Is("http.ping-auth-enabled")),
    ("http.pprof-auth-enabled", Is("http.debug-auth-enabled")),
    ("http.prom-read-auth-enabled", Nothing("reading always needs credentials, when users do")),
    ("http.max-row-limit", Is("query.max-rows")),
    ("http.max-connection-limit", Positive("http.max-connections")),
    ("http.max-body-size", Is("http.max-body-size")),
    ("http.max-concurrent-write-limit", Nothing(WRITES)),
    ("http.max-enqueued-write-limit", Nothing(WRITES)),
    ("http.enqueued-write-timeout", Nothing(WRITES)),
    ("http.headers", Is("http.headers")),
    ("http.log-enabled", Is("http.log-enabled")),
    ("http.suppress-write-log", Is("http.suppress-write-log")),
    ("http.access-log-path", Nothing("requests are logged to standard error (http.log-enabled)")),
    (
        "http.access-log-status-filters",
        Nothing("requests are logged to standard error (http.log-enabled)"),
    ),
    ("http.write-tracing", Nothing("requests are logged to standard error (http.log-enabled)")),
    ("http.pprof-enabled", Nothing("/debug/pprof is always there, for administrators")),
    ("http.debug-pprof-enabled", Nothing("/debug/pprof is there once the server is ready")),
    ("http.flux-enabled", Nothing(NO_FLUX)),
    ("http.flux-log-enabled", Nothing(NO_FLUX)),
    ("http.flux-testing", Nothing(NO_FLUX)),
    ("http.unix-socket-enabled", Nothing(NO_SOCKET)),
    ("http.unix-socket-permissions", Nothing(NO_SOCKET)),
    ("http.unix-socket-group", Nothing(NO_SOCKET)),
    ("http.bind-socket", Nothing(NO_SOCKET)),
    ("ifql.enabled", Nothing(NO_FLUX)),
    ("ifql.log-enabled", Nothing(NO_FLUX)),
    ("ifql.bind-address", Nothing(NO_FLUX)),
    ("logging.format", Is("logging.format")),
    ("logging.level", Is("logging.level")),
    ("logging.suppress-logo", Nothing(LOG)),
    ("subscriber.enabled", Is("subscriber.enabled")),
    ("subscriber.http-timeout", Nothing(COPIES)),
    ("subscriber.insecure-skip-verify", Nothing("subscribers are not spoken to in TLS")),
    ("subscriber.ca-certs", Nothing("subscribers are not spoken to in TLS")),
    ("subscriber.write-concurrency", Nothing(COPIES)),
    ("subscriber.write-buffer-size", Nothing(COPIES)),
    ("subscriber.total-buffer-bytes", Nothing(COPIES)),
    ("continuous_queries.enabled", Is("continuous-queries.enabled")),
    ("continuous_queries.run-interval", Is("continuous-queries.run-interval")),
    ("continuous_queries.log-enabled", Nothing(LOG)),
    ("continuous_queries.query-stats-enabled", Nothing("/debug/vars counts them (cq)")),
    ("tls.ciphers", Nothing(TLS)),
    ("tls.min-version", Nothing(TLS)),
    ("tls.max-version", Nothing(TLS)),
    ("graphite.enabled", Listener),
    ("graphite.bind-address", Listener),
    ("graphite.database", Listener),
    ("graphite.retention-policy", Listener),
    ("graphite.protocol", Listener),
    ("graphite.separator", Listener),
    ("graphite.tags", Listener),
    ("graphite.templates", Listener),
    ("graphite.udp-read-buffer", Listener),
    ("graphite.consistency-level", Nothing("one server has every point")),
    ("graphite.batch-size", Nothing("what has arrived is written together")),
    ("graphite.batch-pending", Nothing("what has arrived is written together")),
    ("graphite.batch-timeout", Nothing("what has arrived is written together")),
    ("opentsdb.enabled", Listener),
    ("opentsdb.bind-address", Listener),
    ("opentsdb.database", Listener),
    ("opentsdb.retention-policy", Listener),
    ("opentsdb.consistency-level", Nothing("one server has every point")),
    ("opentsdb.tls-enabled", Nothing("telnet is spoken in the clear")),
    ("opentsdb.certificate", Nothing("telnet is spoken in the clear")),
    ("opentsdb.private-key", Nothing("telnet is spoken in the clear")),
    ("opentsdb.insecure-certificate", Nothing("telnet is spoken in the clear")),
    ("opentsdb.log-point-errors", Nothing("refused lines are counted, with samples")),
    ("opentsdb.batch-size", Nothing("what has arrived is written together")),
    ("opentsdb.batch-pending", Nothing("what has arrived is written together")),
    ("opentsdb.batch-timeout", Nothing("what has arrived is written together")),
    ("collectd.enabled", Listener),
    ("udp.enabled", Listener),
];

/// A name, if InfluxDB has it. Of the sections whose listeners do not exist here, every key.
pub fn find(key: &str) -> Option<Name> {
    let absent = |section: &'static str| (section, Listener);
    NAMES.iter().find(|(name, _)| *name == key).copied().or_else(|| match key.split_once('.') {
        Some(("collectd", _)) => Some(absent("collectd")),
        Some(("udp", _)) => Some(absent("udp")),
        _ => None,
    })
}

/// Whether a file has a section that only InfluxDB's files have.
pub fn has_section(name: &str) -> bool {
    ["meta", "coordinator", "monitor", "shard-precreation", "continuous_queries", "logging"]
        .contains(&name)
}

/// A variable taken apart: the name, and which of the repeated sections and of the items of a
/// list is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Variable {
    pub name: Name,
    pub instance: Option<usize>,
    pub item: Option<usize>,
}

/// What a variable names; `None` when InfluxDB has no such variable.
pub fn variable(name: &str) -> Option<Variable> {
    let rest = name.strip_prefix(PREFIX)?;
    let plain = |key: &str| key.replace(['.', '-'], "_").to_ascii_uppercase();
    let whole = |rest: &str| NAMES.iter().find(|(key, _)| plain(key) == rest).copied();
    if let Some(name) = whole(rest) {
        return Some(Variable { name, instance: None, item: None });
    }
    let section = REPEATED.into_iter().find(|one| rest.starts_with(&plain(one)))?;
    let (head, inner) = rest.split_at_checked(section.len())?;
    let inner = inner.strip_prefix('_')?;
    let first = inner.split_once('_').and_then(|(number, rest)| Some((number.parse().ok()?, rest)));
    let (instance, key) = first.map_or((None, inner), |(number, rest)| (Some(number), rest));
    if let Some(name) = whole(&format!("{head}_{key}")) {
        return Some(Variable { name, instance, item: None });
    }
    if let Some((list, item)) = key.rsplit_once('_').filter(|(_, item)| item.parse::<u8>().is_ok())
    {
        let name = whole(&format!("{head}_{list}"))?;
        return Some(Variable { name, instance, item: item.parse().ok() });
    }
    let absent = find(&format!("{section}.{key}"))?;
    Some(Variable { name: absent, instance, item: None })
}

/// A value in this server's spelling; `default` is that of the option.
pub fn spell(text: &str, default: &str) -> String {
    let truth = matches!(default, "true" | "false");
    match text {
        "1" | "t" | "T" | "TRUE" | "True" if truth => "true".to_owned(),
        "0" | "f" | "F" | "FALSE" | "False" if truth => "false".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TABLE;

    #[test]
    fn every_option_that_is_named_exists_and_no_name_comes_twice() {
        for (name, meaning) in NAMES {
            if let Is(option) | Positive(option) = meaning {
                assert!(TABLE.iter().any(|spec| spec.key == *option), "{name}: {option}");
            }
            assert_eq!(NAMES.iter().filter(|(other, _)| other == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn variables_name_sections_instances_and_items() {
        let cases = [
            ("INFLUXDB_HTTP_AUTH_ENABLED", ("http.auth-enabled", None, None)),
            (
                "INFLUXDB_COORDINATOR_MAX_SELECT_BUCKETS",
                ("coordinator.max-select-buckets", None, None),
            ),
            ("INFLUXDB_CONTINUOUS_QUERIES_ENABLED", ("continuous_queries.enabled", None, None)),
            ("INFLUXDB_GRAPHITE_ENABLED", ("graphite.enabled", None, None)),
            ("INFLUXDB_GRAPHITE_0_BIND_ADDRESS", ("graphite.bind-address", Some(0), None)),
            ("INFLUXDB_GRAPHITE_12_TEMPLATES_3", ("graphite.templates", Some(12), Some(3))),
            ("INFLUXDB_GRAPHITE_TAGS_1", ("graphite.tags", None, Some(1))),
            ("INFLUXDB_UDP_0_DATABASE", ("udp", Some(0), None)),
        ];
        for (text, (key, instance, item)) in cases {
            let found = variable(text).unwrap();
            assert_eq!((found.name.0, found.instance, found.item), (key, instance, item), "{text}");
        }
        for text in ["INFLUXDB_DB", "INFLUXDB_HTTP_", "INFLUXDB_GRAPHITE_0_", "INFLUXDB_é", "X"] {
            assert_eq!(variable(text), None, "{text}");
        }
    }
}
