//! Counters of the doors, one set per core, and the one table of their names.
//!
//! In: the tasks of one core, which alone write its set. Out: `/debug/vars`, which any core
//! answers by reading all sets. An entry is written by a plain load and store, never by a locked
//! instruction, so counting costs what it costs in a thread of its own; a reader sees each entry a
//! little early or late. Counters of shards are kept by the shards and asked for over the mesh.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reasons for which telnet lines are dropped, at most; the decoder names them.
pub const REASONS_MAX: usize = 24;

/// A number that one core changes and all may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only tasks of the owning core may.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.get().wrapping_add(count), Ordering::Relaxed);
    }

    /// Subtracts, for gauges; only tasks of the owning core may.
    #[inline]
    pub fn sub(&self, count: u64) {
        self.0.store(self.get().wrapping_sub(count), Ordering::Relaxed);
    }

    /// The present number.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is known of a counter beside its value.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub name: &'static str,
    pub doc: &'static str,
}

macro_rules! counters {
    ($($name:ident: $doc:literal;)*) => {
        /// The counters of one core's doors. On lines of their own in the processor's cache.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Doors {
            $(#[doc = $doc] pub $name: Counter,)*
            /// Telnet lines dropped, by reason.
            pub telnet_dropped: [Counter; REASONS_MAX],
        }

        /// Names and meanings, in the order of `Doors::values`.
        pub const TABLE: &[Spec] = &[$(Spec { name: stringify!($name), doc: $doc },)*];

        impl Doors {
            /// The present values, in the order of `TABLE`.
            pub fn values(&self) -> Vec<u64> {
                vec![$(self.$name.get(),)*]
            }
        }
    };
}

counters! {
    http_connections: "HTTP connections that are open.";
    http_accepted: "HTTP connections accepted.";
    http_requests: "HTTP requests, all paths.";
    http_active: "HTTP requests being worked on.";
    http_client_errors: "HTTP requests answered 4xx.";
    http_server_errors: "HTTP requests answered 5xx.";
    http_request_ns: "Time from the head of a request to the head of its answer (ns).";
    http_ping_requests: "Requests of /ping, /status and /health.";
    http_write_requests: "Requests of /write.";
    http_write_active: "Requests of /write being worked on.";
    http_write_bytes: "Bytes of the bodies of /write, as sent.";
    http_write_ns: "Time spent on requests of /write (ns).";
    http_points_ok: "Points written by HTTP and durable.";
    http_values_ok: "Field values written by HTTP and durable.";
    http_points_dropped: "Points of HTTP refused: type conflicts, beyond retention.";
    http_lines_refused: "Lines of HTTP bodies that could not be read.";
    http_points_failed: "Points of HTTP that could not be stored (disk, time-out).";
    kairos_write_requests: "Requests of /api/v1/datapoints.";
    kairos_write_ns: "Time spent on requests of /api/v1/datapoints (ns).";
    kairos_points_ok: "Points written by KairosDB's REST API and durable.";
    kairos_metrics_refused: "Metrics of KairosDB's REST API of which nothing was stored.";
    http_query_requests: "Requests of /query.";
    http_query_ns: "Time spent on requests of /query (ns).";
    http_query_bytes: "Bytes of answers of /query.";
    http_auth_failures: "Requests refused for their credentials (401).";
    prom_write_requests: "Requests of /api/v1/prom/write.";
    prom_read_requests: "Requests of /api/v1/prom/read.";
    queries_active: "Queries running, all protocols.";
    queries_started: "Queries begun, all protocols.";
    continuous_ok: "Runs of continuous queries that ended well.";
    continuous_failed: "Runs of continuous queries that failed.";
    subscriber_taken: "Writes taken over for subscribers.";
    subscriber_dropped: "Writes not sent to a subscriber because its queue was full.";
    subscriber_sent: "Points sent to subscribers.";
    subscriber_failed: "Writes that a subscriber did not take.";
    telnet_connections: "Telnet connections that are open.";
    telnet_accepted: "Telnet connections accepted.";
    telnet_bytes: "Bytes read from telnet connections.";
    telnet_points_ok: "Points written by telnet and durable.";
    telnet_points_failed: "Points of telnet that could not be stored.";
    telnet_lines_dropped: "Telnet lines dropped, all reasons.";
    telnet_rests_dropped: "Unfinished last lines of closed telnet connections.";
    telnet_versions: "Answers to the telnet command version.";
    accept_errors: "Connections that could not be accepted.";
    idle_closed: "Connections closed because nothing moved on them for too long.";
    catalog_rounds: "Questions to the catalog for names that rows needed.";
    stale_writes: "Writes decoded again because a name was dropped meanwhile.";
    mesh_queued: "Packets that waited to leave for other cores, looked at once a second.";
}

/// The sets of all cores.
pub type AllDoors = Arc<[Doors]>;

/// Sets for so many cores.
pub fn doors(cores: usize) -> AllDoors {
    (0..cores).map(|_| Doors::default()).collect()
}

/// Sums of all cores, in the order of `TABLE`.
pub fn sums(all: &[Doors]) -> Vec<u64> {
    let mut sums = vec![0u64; TABLE.len()];
    for core in all {
        sums.iter_mut().zip(core.values()).for_each(|(sum, value)| *sum = sum.wrapping_add(value));
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_values_follow_the_table() {
        let mut names: Vec<_> = TABLE.iter().map(|spec| spec.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
        assert!(TABLE.iter().all(|spec| spec.doc.ends_with('.')));
        let all = doors(2);
        all[0].telnet_bytes.add(5);
        all[1].telnet_bytes.add(7);
        all[1].telnet_bytes.sub(1);
        let at = TABLE.iter().position(|spec| spec.name == "telnet_bytes").unwrap();
        assert_eq!((sums(&all)[at], all[0].values()[at]), (11, 5));
    }
}
