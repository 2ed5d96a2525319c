//! The one table of options. Each line is a key; from it come the TOML key (`section.key`), the
//! flag (`--section-key`), the environment name (`RINGTAIL_SECTION_KEY`), the help text, the sample
//! file and the typed field of `Config`.

use super::kinds::{
    Addresses, Bytes, Cores, Kind, List, LogFormat, LogLevels, Secret, ServerType, Sync,
};
use std::path::PathBuf;
use std::time::Duration;

/// What is known of an option beside its value.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// `section.key`, or a bare key at top level.
    pub key: &'static str,
    pub default: &'static str,
    pub doc: &'static str,
    /// Whether TOML writes the value without quotes.
    pub bare: bool,
    /// What stands between several values given as one text.
    pub joint: &'static str,
}

impl Spec {
    /// The flag, without its dashes.
    pub fn flag(&self) -> String {
        self.key.replace('.', "-")
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("RINGTAIL_{}", self.key.replace(['.', '-'], "_").to_ascii_uppercase())
    }
}

macro_rules! options {
    ($($key:literal $field:ident: $kind:ty = $default:literal, $doc:literal;)*) => {
        /// Every option's value.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $(#[doc = $doc] pub $field: $kind,)*
        }

        /// The table, in the order of the sample file.
        pub const TABLE: &[Spec] = &[
            $(Spec {
                key: $key,
                default: $default,
                doc: $doc,
                bare: <$kind as Kind>::BARE,
                joint: <$kind as Kind>::JOINT,
            },)*
        ];

        impl Config {
            /// Reads every option's text by key.
            pub(super) fn read(
                mut text_of: impl FnMut(&'static str) -> String,
            ) -> Result<Config, (&'static str, String)> {
                Ok(Config {
                    $($field: <$kind as Kind>::read(&text_of($key)).map_err(|e| ($key, e))?,)*
                })
            }

            /// An option's value as text, by key.
            pub fn text(&self, key: &str) -> Option<String> {
                match key {
                    $($key => Some(self.$field.write()),)*
                    _ => None,
                }
            }
        }
    };
}

options! {
    "data-dir" data_dir: PathBuf = "./ringtail-data",
        "Folder of the stored data; created when missing.";
    "cores" cores: Cores = "all",
        "Executors, one a core: all, a number, or a CPU list like 0,2-3. More than there are CPUs run unpinned.";
    "shards" shards: usize = "0",
        "Shards of a new store; 0 = one per core. A store keeps the number it was made with.";
    "http.bind" http_bind: Addresses = "127.0.0.1:8086,127.0.0.1:8080",
        "Addresses of the HTTP listeners, a comma list, or none.";
    "https.bind" https_bind: Addresses = "none",
        "Addresses of the HTTPS listeners, a comma list, or none.";
    "https.certificate" https_certificate: String = "",
        "PEM file of the certificate chain of the HTTPS listeners.";
    "https.private-key" https_private_key: String = "",
        "PEM file of its key; empty = in the same file.";
    "https.self-signed" https_self_signed: bool = "false",
        "Without https.certificate: make a certificate at the first start, in the data folder (tls/).";
    "telnet.bind" telnet_bind: Addresses = "127.0.0.1:4242",
        "Addresses of the KairosDB telnet listeners, a comma list, or none.";
    "graphite.bind" graphite_bind: Addresses = "none",
        "Addresses of the Graphite plaintext listeners (TCP), a comma list, or none.";
    "graphite.udp-bind" graphite_udp_bind: Addresses = "none",
        "Addresses of the Graphite plaintext listeners (UDP), a comma list, or none.";
    "pickle.bind" pickle_bind: Addresses = "none",
        "Addresses of the Graphite pickle listeners, a comma list, or none.";
    "http.max-body-size" http_max_body_size: Bytes = "25000000",
        "Largest request body; a larger one is answered 413. 0 = no limit.";
    "http.max-line-size" http_max_line_size: Bytes = "1m",
        "Longest line of a line protocol body; a longer one is refused, its neighbours are not.";
    "http.max-inflated-size" http_max_inflated_size: Bytes = "256m",
        "Largest size of a gzip body when inflated; a larger one is answered 413.";
    "http.max-header-size" http_max_header_size: Bytes = "64k",
        "Largest head of a request; a larger one is answered 431.";
    "http.idle-timeout" http_idle_timeout: Duration = "2m",
        "An HTTP connection that sends nothing for so long is closed.";
    "http.max-connections" http_max_connections: usize = "16384",
        "Open HTTP connections per core; further ones wait to be accepted.";
    "http.auth-enabled" http_auth_enabled: bool = "false",
        "Whether users must name themselves; from the first CREATE USER … WITH ALL PRIVILEGES on.";
    "http.shared-secret" http_shared_secret: Secret = "",
        "Secret with which JSON Web Tokens are signed; empty = none are accepted.";
    "http.ping-auth-enabled" http_ping_auth_enabled: bool = "false",
        "Whether /ping, /status and /health need credentials as well.";
    "http.debug-auth-enabled" http_debug_auth_enabled: bool = "false",
        "Whether /debug/vars and /debug/requests need an administrator as well.";
    "http.realm" http_realm: String = "InfluxDB",
        "Realm that is named when credentials are asked for.";
    "http.headers" http_headers: List = "[]",
        "Headers of every answer to a route but the debugging ones, Name: value each; outside TOML separated by ;.";
    "http.open-listeners" http_open_listeners: bool = "false",
        "Keep telnet and Graphite, which know no users, open although http.auth-enabled is on.";
    "telnet.database" telnet_database: String = "kairosdb",
        "Database of telnet data; made by the first write.";
    "telnet.max-line-size" telnet_max_line_size: Bytes = "1k",
        "Longest telnet line, line end not counted; a longer one is dropped and counted.";
    "telnet.idle-timeout" telnet_idle_timeout: Duration = "10m",
        "A telnet connection that sends nothing for so long is closed.";
    "telnet.answer-timeout" telnet_answer_timeout: Duration = "30s",
        "A telnet connection that does not take its answers for so long is closed.";
    "telnet.max-connections" telnet_max_connections: usize = "16384",
        "Open telnet connections per core; further ones wait to be accepted.";
    "telnet.read-size" telnet_read_size: Bytes = "1m",
        "Most bytes of a telnet connection that are decoded and written together.";
    "kairosdb.database" kairosdb_database: String = "kairosdb",
        "Database of KairosDB's REST API; made by the first write. A db parameter names another.";
    "kairosdb.ttl" kairosdb_ttl: Duration = "0s",
        "Time to live of points of telnet and KairosDB's REST API that name none; 0 = for ever.";
    "kairosdb.rollups" kairosdb_rollups: bool = "true",
        "Run the roll-up tasks of KairosDB's REST API when they are due.";
    "kairosdb.statistics" kairosdb_statistics: bool = "false",
        "Write the server's own figures once a minute as metrics kairosdb.* into kairosdb.database.";
    "kairosdb.save-as" kairosdb_save_as: bool = "true",
        "Whether KairosDB's queries may write by the aggregator save_as.";
    "kairosdb.server-type" kairosdb_server_type: ServerType = "ALL",
        "Which classes of KairosDB's REST API are on: ALL, or a comma list of INGEST, QUERY, DELETE.";
    "kairosdb.healthy-response-code" kairosdb_healthy_code: usize = "204",
        "usize of health/check when all is well; some load balancers want 200.";
    "kairosdb.regex-prefix" kairosdb_regex_prefix: String = "regex:",
        "What makes a tag filter's value of a KairosDB query a regular expression; empty = nothing does.";
    "kairosdb.return-query" kairosdb_return_query: bool = "false",
        "Whether answers to KairosDB queries repeat the query as original_query.";
    "telnet.answer-errors" telnet_answer_errors: bool = "false",
        "Whether a refused telnet line is answered with a line that says why; KairosDB answers nothing.";
    "graphite.database" graphite_database: String = "kairosdb",
        "Database of Graphite data, plaintext and pickle; made by the first write.";
    "graphite.retention-policy" graphite_retention_policy: String = "",
        "Retention policy of Graphite data; empty = the database's default.";
    "graphite.separator" graphite_separator: String = ".",
        "Text that joins the parts of a path that templates bring together.";
    "graphite.tags" graphite_tags: List = "[]",
        "Tags of all Graphite data that has none of the name, key=value each; outside TOML separated by ;.";
    "graphite.templates" graphite_templates: List = "[]",
        "Templates from path to measurement, tags and field: [filter] template [tag=value,...]; outside TOML separated by ;.";
    "graphite.max-line-size" graphite_max_line_size: Bytes = "16k",
        "Longest Graphite line, line end not counted; a longer one is dropped and counted.";
    "graphite.idle-timeout" graphite_idle_timeout: Duration = "0s",
        "A Graphite or pickle connection that sends nothing for so long is closed; 0 = never.";
    "graphite.max-connections" graphite_max_connections: usize = "16384",
        "Open Graphite plaintext connections per core, and as many pickle ones; further ones wait.";
    "graphite.read-size" graphite_read_size: Bytes = "1m",
        "Most bytes of a Graphite or pickle connection that are decoded and written together.";
    "graphite.udp-read-buffer" graphite_udp_read_buffer: Bytes = "4m",
        "Receive buffer of each UDP socket; the kernel may give less.";
    "pickle.max-size" pickle_max_size: Bytes = "1m",
        "Longest pickle; a longer one closes its connection.";
    "stop-timeout" stop_timeout: Duration = "8s",
        "Requests in flight have so long to finish when the server is stopped.";
    "log.sync" log_sync: Sync = "always",
        "When a commit becomes durable: always (before it is acknowledged), interval, never.";
    "log.sync-interval" log_sync_interval: Duration = "100ms",
        "Longest time between syncs with log.sync = interval.";
    "log.file-size" log_file_size: Bytes = "64m",
        "Size of a log file; files are written full once and then used again and again.";
    "log.max-size" log_max_size: Bytes = "512m",
        "Log bytes of a shard that make it flush its head.";
    "head.max-size" head_max_size: Bytes = "0",
        "Bytes of unflushed rows of a shard that make it flush; 0 = by memory (16 to 256 MiB).";
    "head.max-age" head_max_age: Duration = "10m",
        "Age of the oldest unflushed row that makes a shard flush.";
    "cache.size" cache_size: Bytes = "0",
        "Block cache of all shards together; 0 = an eighth of the memory.";
    "series-cache.entries" series_cache_entries: usize = "1048576",
        "Series a core remembers by the bytes of their keys (32 bytes each).";
    "compact.idle" compact_idle: Duration = "5m",
        "A day of a partition that got no rows for so long is packed for good.";
    "mesh.in-flight" mesh_in_flight: Bytes = "64m",
        "Bytes of writes a core may have on their way to the others, together.";
    "write.timeout" write_timeout: Duration = "10s",
        "A write that finds no room for so long is answered 503, one that takes so long 500; streams wait.";
    "query.memory" query_memory: Bytes = "256m",
        "Memory of one query on all shards together; beyond it the query ends with an error.";
    "query.timeout" query_timeout: Duration = "0s",
        "A query that takes longer ends with an error; 0 = no limit.";
    "query.max-concurrent" query_max_concurrent: usize = "0",
        "Queries that may run at the same time; further ones are refused. 0 = no limit.";
    "query.max-series" query_max_series: usize = "0",
        "Series that one SELECT may read; 0 = no limit.";
    "query.max-buckets" query_max_buckets: usize = "0",
        "Buckets of GROUP BY time() that one SELECT may make; 0 = no limit.";
    "query.max-points" query_max_points: usize = "0",
        "Points that one SELECT may read; 0 = no limit.";
    "query.max-rows" query_max_rows: usize = "0",
        "Rows of an answer that is not chunked; the rest is cut off. 0 = no limit.";
    "retention.autocreate" retention_autocreate: bool = "true",
        "Whether CREATE DATABASE makes the retention policy autogen.";
    "retention.enabled" retention_enabled: bool = "true",
        "Whether partitions older than their retention policy allows are removed.";
    "retention.check-interval" retention_check_interval: Duration = "30m",
        "How often they are looked for.";
    "continuous-queries.enabled" continuous_queries_enabled: bool = "true",
        "Whether continuous queries run.";
    "continuous-queries.run-interval" continuous_queries_run_interval: Duration = "1s",
        "How often it is looked whether one is due.";
    "subscriber.enabled" subscriber_enabled: bool = "true",
        "Whether written points are sent on to subscribers.";
    "subscriber.queue-size" subscriber_queue_size: Bytes = "16m",
        "Bytes that may wait for one subscriber on each core; more are dropped and counted.";
    "data.max-series-per-database" data_max_series: usize = "0",
        "Series of a database; points of further ones are refused, others are not. 0 = no limit.";
    "data.max-values-per-tag" data_max_values: usize = "0",
        "Values of one tag of a measurement; points with further ones are refused. 0 = no limit.";
    "logging.level" logging_level: LogLevels = "info",
        "Least level of the log's lines: debug, info, warn, error, off; MODULE=LEVEL for some, joined by commas.";
    "logging.format" logging_format: LogFormat = "auto",
        "Form of the log on standard error: logfmt, json, console, or auto = console on a terminal, else logfmt.";
    "http.log-enabled" http_log_enabled: bool = "false",
        "Whether each HTTP request is logged, in InfluxDB's format, without passwords.";
    "http.suppress-write-log" http_suppress_write_log: bool = "false",
        "Whether requests of /write are left out of that.";
    "query.log-after" query_log_after: Duration = "0s",
        "A query that takes longer is logged; 0 = none is.";
    "monitor.store-enabled" monitor_store_enabled: bool = "false",
        "Whether the server's own figures are stored, as InfluxDB does by default.";
    "monitor.store-interval" monitor_store_interval: Duration = "10s",
        "How often.";
    "monitor.store-database" monitor_store_database: String = "_internal",
        "Where: the database, made when it is missing, with the policy monitor (7 days).";
    "debug.heap-profile" debug_heap_profile: bool = "true",
        "Note the stack of one allocation in 2 MiB, for /debug/pprof/heap and allocs.";
    "accept-log-loss" accept_log_loss: bool = "false",
        "Start although acknowledged log records are damaged, and drop what follows them.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_unique_flag_and_a_sentence() {
        let mut flags: Vec<String> = TABLE.iter().map(Spec::flag).collect();
        flags.sort_unstable();
        flags.dedup();
        assert_eq!(flags.len(), TABLE.len());
        assert!(TABLE.iter().all(|spec| spec.doc.ends_with('.')));
        let http = TABLE.iter().find(|spec| spec.key == "http.max-body-size").unwrap();
        assert_eq!(http.variable(), "RINGTAIL_HTTP_MAX_BODY_SIZE");
    }
}
