//! Counters of the doors, one set per core, and the one table of their names.
//!
//! In: the tasks of one core, which alone write its set. Out: `/debug/vars`, which any core
//! answers by reading all sets. An entry is written by a plain load and store, never by a locked
//! instruction, so counting costs what it costs in a thread of its own; a reader sees each entry a
//! little early or late. Counters of shards are kept by the shards and asked for over the mesh.

mod samples;
mod subscribers;

pub use samples::{Sample, Samples};
pub use subscribers::{Sent, Subscriber, Subscribers};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reasons for which lines of a stream are dropped, at most; the decoders name them.
pub const REASONS_MAX: usize = 32;

/// A door whose senders are not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamDoor {
    Telnet,
    Graphite,
    GraphiteUdp,
    Pickle,
}

impl StreamDoor {
    /// Every door, in the order of its number.
    pub const ALL: [StreamDoor; 4] =
        [StreamDoor::Telnet, StreamDoor::Graphite, StreamDoor::GraphiteUdp, StreamDoor::Pickle];

    /// The door's name in counters, logs and messages.
    pub fn name(self) -> &'static str {
        match self {
            StreamDoor::Telnet => "telnet",
            StreamDoor::Graphite => "graphite",
            StreamDoor::GraphiteUdp => "graphite_udp",
            StreamDoor::Pickle => "pickle",
        }
    }
}

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

    /// Replaces, for gauges; only tasks of the owning core may.
    #[inline]
    pub fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
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

impl Spec {
    /// Whether it may fall as well as grow.
    pub fn is_gauge(&self) -> bool {
        GAUGES.contains(&self.name)
    }
}

/// Figures that may fall as well as grow; all others are counted since the start.
pub const GAUGES: &[&str] = &[
    "http_connections",
    "http_active",
    "http_write_active",
    "queries_active",
    "telnet_connections",
    "graphite_connections",
    "pickle_connections",
    "mesh_queued",
    "tasks",
    "log_bytes",
    "head_rows",
    "head_bytes",
    "segment_files",
    "segment_sections",
    "segment_values",
    "segment_bytes",
    "series",
    "index_bytes",
    "queued_writes",
    "disk_full",
    "cache_bytes",
    "cache_entries",
    "log_commit_p50_ns",
    "log_commit_p90_ns",
    "log_commit_p99_ns",
    "log_commit_p999_ns",
    "log_commit_max_ns",
    "log_commit_mean_ns",
];

macro_rules! specs {
    ($($name:ident: $doc:literal;)*) => {
        &[$(Spec { name: stringify!($name), doc: $doc },)*]
    };
}

/// The figures of a shard, which shards keep themselves.
pub const SHARD_TABLE: &[Spec] = specs! {
    points: "Points written.";
    values: "Field values written.";
    log_commits: "Commits of the log.";
    log_records: "Records in these commits.";
    log_commit_bytes: "Bytes of these commits.";
    log_bytes: "Bytes of the log that are not yet in segments.";
    log_commit_p50_ns: "Time until a commit is durable, half of them are faster (ns).";
    log_commit_p90_ns: "Time until a commit is durable, 90 of 100 are faster (ns).";
    log_commit_p99_ns: "Time until a commit is durable, 99 of 100 are faster (ns).";
    log_commit_p999_ns: "Time until a commit is durable, 999 of 1000 are faster (ns).";
    log_commit_max_ns: "Longest time until a commit was durable (ns).";
    log_commit_mean_ns: "Mean time until a commit is durable (ns).";
    flushes: "Heads written to segments.";
    flush_bytes: "Bytes of segments written by flushes.";
    compactions: "Compactions.";
    compaction_bytes: "Bytes of segments written by compactions.";
    failed_tasks: "Flushes and compactions that failed and are tried again.";
    head_rows: "Rows that are not yet in segments.";
    head_bytes: "Bytes of memory of these rows.";
    segment_files: "Segment files.";
    segment_sections: "Sections of the segment files.";
    segment_values: "Values in the segment files.";
    segment_bytes: "Bytes of the segment files.";
    series: "Series.";
    index_bytes: "Bytes of memory of the index of series.";
    queued_writes: "Writes that wait for a commit.";
    disk_full: "1 while the disk has too little room; the sum counts shards.";
    cache_hits: "Pieces found in the block cache.";
    cache_misses: "Pieces read from disk.";
    cache_bytes: "Bytes in the block cache.";
    cache_entries: "Pieces in the block cache.";
};

macro_rules! counters {
    ($($name:ident: $doc:literal;)*) => {
        /// The counters of one core's doors. On lines of their own in the processor's cache.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Doors {
            $(#[doc = $doc] pub $name: Counter,)*
            /// What was dropped, by door and reason.
            dropped: [[Counter; REASONS_MAX]; StreamDoor::ALL.len()],
            /// The newest line dropped of each door and reason.
            pub samples: Samples,
            /// What each subscriber was sent.
            pub subscribers: Subscribers,
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
    http_ping_requests: "Requests of /ping and /health.";
    http_status_requests: "Requests of /status.";
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
    graphite_connections: "Graphite plaintext connections that are open.";
    graphite_accepted: "Graphite plaintext connections accepted.";
    graphite_bytes: "Bytes read from Graphite plaintext connections.";
    graphite_points_ok: "Points written by Graphite plaintext and durable.";
    graphite_points_failed: "Points of Graphite plaintext that could not be stored.";
    graphite_lines_dropped: "Graphite plaintext lines dropped, all reasons.";
    graphite_rests_dropped: "Unfinished last lines of closed Graphite connections.";
    graphite_udp_datagrams: "Datagrams of Graphite lines received.";
    graphite_udp_bytes: "Bytes of datagrams of Graphite lines.";
    graphite_udp_points_ok: "Points written by Graphite datagrams and durable.";
    graphite_udp_points_failed: "Points of Graphite datagrams that could not be stored.";
    graphite_udp_lines_dropped: "Lines of Graphite datagrams dropped, all reasons.";
    graphite_udp_lost: "Datagrams that the kernel dropped because nobody read them in time.";
    pickle_connections: "Pickle connections that are open.";
    pickle_accepted: "Pickle connections accepted.";
    pickle_bytes: "Bytes read from pickle connections.";
    pickle_frames: "Pickles decoded.";
    pickle_points_ok: "Points written by pickles and durable.";
    pickle_points_failed: "Points of pickles that could not be stored.";
    pickle_lines_dropped: "Elements and whole frames of pickles dropped, all reasons.";
    pickle_rests_dropped: "Unfinished last frames of closed pickle connections.";
    writes_held: "Writes of streams that waited for longer than write.timeout; senders waited too.";
    accept_errors: "Connections that could not be accepted.";
    idle_closed: "Connections closed because nothing moved on them for too long.";
    catalog_rounds: "Questions to the catalog for names that rows needed.";
    stale_writes: "Writes decoded again because a name was dropped meanwhile.";
    queue_ingest_ns: "Time given to tasks of the queue ingest (ns).";
    queue_query_ns: "Time given to tasks of the queue query (ns).";
    queue_background_ns: "Time given to tasks of the queue background (ns).";
    scheduler_turns: "Turns given to tasks.";
    scheduler_stalls: "Turns of over 10 ms, in which all other tasks of the core waited.";
    scheduler_stall_ns: "Time of these turns (ns).";
    tasks: "Tasks that have not ended.";
    mesh_queued: "Packets that waited to leave for other cores, looked at once a second.";
    mesh_requests: "Requests sent to other cores, looked at once a second.";
    mesh_packets: "Requests, replies and parts sent to other cores, looked at once a second.";
    mesh_bundles: "Times that packets were handed to another core, looked at once a second.";
}

/// The counters of one door of streams.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'d> {
    pub bytes: &'d Counter,
    pub points_ok: &'d Counter,
    pub points_failed: &'d Counter,
    /// Lines, elements or frames, all reasons.
    pub dropped: &'d Counter,
    /// By reason.
    pub dropped_by: &'d [Counter; REASONS_MAX],
}

impl Doors {
    /// The counters of a door of streams.
    pub fn stream(&self, door: StreamDoor) -> Stream<'_> {
        let [telnet, graphite, udp, pickle] = &self.dropped;
        match door {
            StreamDoor::Telnet => Stream {
                bytes: &self.telnet_bytes,
                points_ok: &self.telnet_points_ok,
                points_failed: &self.telnet_points_failed,
                dropped: &self.telnet_lines_dropped,
                dropped_by: telnet,
            },
            StreamDoor::Graphite => Stream {
                bytes: &self.graphite_bytes,
                points_ok: &self.graphite_points_ok,
                points_failed: &self.graphite_points_failed,
                dropped: &self.graphite_lines_dropped,
                dropped_by: graphite,
            },
            StreamDoor::GraphiteUdp => Stream {
                bytes: &self.graphite_udp_bytes,
                points_ok: &self.graphite_udp_points_ok,
                points_failed: &self.graphite_udp_points_failed,
                dropped: &self.graphite_udp_lines_dropped,
                dropped_by: udp,
            },
            StreamDoor::Pickle => Stream {
                bytes: &self.pickle_bytes,
                points_ok: &self.pickle_points_ok,
                points_failed: &self.pickle_points_failed,
                dropped: &self.pickle_lines_dropped,
                dropped_by: pickle,
            },
        }
    }

    /// Open connections, connections accepted, and unfinished ends of a door of connections.
    pub fn connections(&self, door: StreamDoor) -> Option<[&Counter; 3]> {
        match door {
            StreamDoor::Telnet => {
                Some([&self.telnet_connections, &self.telnet_accepted, &self.telnet_rests_dropped])
            }
            StreamDoor::Graphite => Some([
                &self.graphite_connections,
                &self.graphite_accepted,
                &self.graphite_rests_dropped,
            ]),
            StreamDoor::GraphiteUdp => None,
            StreamDoor::Pickle => {
                Some([&self.pickle_connections, &self.pickle_accepted, &self.pickle_rests_dropped])
            }
        }
    }
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
        assert!(TABLE.iter().chain(SHARD_TABLE).all(|spec| spec.doc.ends_with('.')));
        let known = |name: &&str| TABLE.iter().chain(SHARD_TABLE).any(|spec| spec.name == *name);
        assert!(GAUGES.iter().all(known));
        let all = doors(2);
        all[0].telnet_bytes.add(5);
        all[1].telnet_bytes.add(7);
        all[1].telnet_bytes.sub(1);
        let at = TABLE.iter().position(|spec| spec.name == "telnet_bytes").unwrap();
        assert_eq!((sums(&all)[at], all[0].values()[at]), (11, 5));
    }
}
