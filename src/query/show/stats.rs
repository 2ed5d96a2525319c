//! Figures of the server, module by module: what SHOW STATS and `/debug/vars` tell.
//!
//! In: the doors' counters of all cores, the shards' counters over the mesh, the allocator's
//! figures. Out: InfluxDB's modules (`runtime`, `queryExecutor`, `database`, `httpd`, `write`,
//! `subscriber`, `cq`) and ringtail's own: `ringtail` is the sum of all cores, then one of each
//! core; `ringtail_shard` the sum of all shards, then one of each shard. What InfluxDB calls a
//! shard is in `partitions`.

use super::partitions;
use crate::logging;
use crate::model::{DbId, MeasurementId, ShardId};
use crate::profile::tasks;
use crate::protocol::{Reject, Speech};
use crate::query::facts::Facts;
use crate::route::{Cluster, CoreId};
use crate::shard::index::TagFilter;
use crate::shard::scan::{Found, Lookup, Want};
use crate::shard::{Counters, Gauges};
use crate::stats::{self, Doors, StreamDoor, Subscriber};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Fields of one module, sorted by name.
pub type Fields = BTreeMap<String, u64>;

/// What the shards of one core tell.
pub(super) type ShardFigures = Vec<(ShardId, Counters, Gauges)>;

/// One set of figures.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Module {
    pub name: &'static str,
    /// Its name in `/debug/vars`.
    pub key: String,
    pub tags: Vec<(&'static str, String)>,
    pub fields: Fields,
}

impl Module {
    fn new(name: &'static str, fields: Fields) -> Module {
        Module { name, key: name.to_owned(), tags: Vec::new(), fields }
    }

    fn of(name: &'static str, key: String, tag: (&'static str, String), fields: Fields) -> Module {
        Module { name, key, tags: vec![tag], fields }
    }
}

pub(super) fn fields<'a>(pairs: impl IntoIterator<Item = (&'a str, u64)>) -> Fields {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// All modules.
pub async fn modules(cluster: &Cluster, facts: &Facts) -> Vec<Module> {
    let shards = cluster.report().await;
    let doors: &[Doors] = &facts.doors;
    let sums: BTreeMap<&str, u64> =
        stats::TABLE.iter().map(|spec| spec.name).zip(stats::sums(doors)).collect();
    let mut all = vec![Module::new("runtime", Memory::read().runtime())];
    all.push(Module::new("queryExecutor", executor(&sums)));
    databases(cluster, &mut all).await;
    all.push(Module::new("write", write(&sums)));
    all.push(Module::new("subscriber", subscriber(&sums)));
    subscribers(cluster, doors, &mut all);
    all.push(Module::new("cq", continuous(&sums)));
    let bind = &facts.http_bind;
    all.push(Module::of("httpd", format!("httpd:{bind}"), ("bind", bind.clone()), httpd(&sums)));
    all.push(Module::new("ringtail", door_fields(doors)));
    for (core, doors) in doors.iter().enumerate() {
        let fields = door_fields(std::slice::from_ref(doors));
        all.push(Module::of(
            "ringtail",
            format!("ringtail:core:{core}"),
            ("core", core.to_string()),
            fields,
        ));
    }
    partitions::modules(cluster, facts, &shards, &mut all);
    shard_modules(cluster, shards, &mut all);
    let [written, lost, held_back] = logging::counts();
    all.push(Module::new(
        "ringtail_log",
        fields([("lines_written", written), ("lines_lost", lost), ("lines_held_back", held_back)]),
    ));
    all
}

/// Bytes that the indexes of all shards hold, the only figure of the module `indexes`.
pub async fn index_bytes(cluster: &Cluster) -> u64 {
    let cores = cluster.report().await;
    let shards = cores.iter().flat_map(|(_, shards)| shards);
    shards.map(|(_, _, gauges)| gauges.index_bytes).sum()
}

fn httpd(sums: &BTreeMap<&str, u64>) -> Fields {
    let of = |name: &str| sums.get(name).copied().unwrap_or(0);
    fields([
        ("authFail", of("http_auth_failures")),
        ("clientError", of("http_client_errors")),
        ("fluxQueryReq", 0),
        ("fluxQueryReqDurationNs", 0),
        ("pingReq", of("http_ping_requests")),
        ("pointsWrittenDropped", of("http_points_dropped")),
        ("pointsWrittenFail", of("http_points_failed")),
        ("pointsWrittenOK", of("http_points_ok")),
        ("promReadReq", of("prom_read_requests")),
        ("promWriteReq", of("prom_write_requests")),
        ("queryReq", of("http_query_requests")),
        ("queryReqDurationNs", of("http_query_ns")),
        ("queryRespBytes", of("http_query_bytes")),
        ("recoveredPanics", 0),
        ("req", of("http_requests")),
        ("reqActive", of("http_active")),
        ("reqDurationNs", of("http_request_ns")),
        ("serverError", of("http_server_errors")),
        ("statusReq", of("http_status_requests")),
        ("valuesWrittenOK", of("http_values_ok")),
        ("writeReq", of("http_write_requests")),
        ("writeReqActive", of("http_write_active")),
        ("writeReqBytes", of("http_write_bytes")),
        ("writeReqDurationNs", of("http_write_ns")),
    ])
}

fn write(sums: &BTreeMap<&str, u64>) -> Fields {
    let of = |name: &str| sums.get(name).copied().unwrap_or(0);
    let all = |what: &str| {
        let streams = StreamDoor::ALL.iter().map(|door| of(&format!("{}_{what}", door.name())));
        of(&format!("http_{what}")) + streams.sum::<u64>()
    };
    let (points, failed) = (all("points_ok"), all("points_failed"));
    fields([
        ("pointReq", points + failed),
        ("pointReqLocal", points),
        ("req", of("http_write_requests")),
        ("subWriteDrop", of("subscriber_dropped")),
        ("subWriteOk", of("subscriber_taken")),
        ("writeDrop", of("http_points_dropped")),
        ("writeError", failed),
        ("writeOk", of("http_write_requests")),
        ("writeTimeout", 0),
    ])
}

fn executor(sums: &BTreeMap<&str, u64>) -> Fields {
    let of = |name: &str| sums.get(name).copied().unwrap_or(0);
    fields([
        ("queriesActive", of("queries_active")),
        ("queriesExecuted", of("queries_started")),
        ("queriesFinished", of("queries_started").saturating_sub(of("queries_active"))),
        ("queryDurationNs", of("http_query_ns")),
        ("recoveredPanics", 0),
    ])
}

fn subscriber(sums: &BTreeMap<&str, u64>) -> Fields {
    let of = |name: &str| sums.get(name).copied().unwrap_or(0);
    fields([
        ("createFailures", 0),
        ("pointsWritten", of("subscriber_sent")),
        ("writeFailures", of("subscriber_failed")),
    ])
}

/// One module of each destination of each subscription.
fn subscribers(cluster: &Cluster, doors: &[Doors], all: &mut Vec<Module>) {
    let catalog = cluster.catalog();
    for one in catalog.standing().all_subscriptions() {
        let Some(policy) = catalog.policy_by_id(one.policy) else { continue };
        let Some(db) = catalog.database_by_id(policy.db) else { continue };
        let (db, rp, name) = (&db.name, &policy.spec.name, &one.name);
        for destination in &one.destinations {
            let to = Subscriber {
                db: db.clone(),
                rp: rp.clone(),
                name: name.clone(),
                destination: destination.clone(),
            };
            let counts = || doors.iter().map(|core| core.subscribers.of(&to));
            let tags = vec![
                ("database", db.clone()),
                ("destination", destination.clone()),
                ("mode", if one.all { "ALL" } else { "ANY" }.to_owned()),
                ("name", name.clone()),
                ("retention_policy", rp.clone()),
            ];
            let key = format!("subscriber:{db}:{rp}:{name}:{destination}");
            let fields = fields([
                ("pointsWritten", counts().map(|sent| sent.points).sum()),
                ("writeFailures", counts().map(|sent| sent.failures).sum()),
            ]);
            all.push(Module { name: "subscriber", key, tags, fields });
        }
    }
}

fn continuous(sums: &BTreeMap<&str, u64>) -> Fields {
    let of = |name: &str| sums.get(name).copied().unwrap_or(0);
    fields([("queryFail", of("continuous_failed")), ("queryOk", of("continuous_ok"))])
}

/// One module of each database.
async fn databases(cluster: &Cluster, all: &mut Vec<Module>) {
    let known: Vec<(DbId, String, Vec<MeasurementId>)> = {
        let catalog = cluster.catalog();
        let of = |db: &crate::catalog::Database| {
            let mut ids: Vec<_> = catalog.measurements(db.id).iter().map(|(_, id)| *id).collect();
            ids.sort_unstable();
            (db.id, db.name.clone(), ids)
        };
        catalog.databases().map(of).collect()
    };
    for (db, name, measurements) in known {
        let count = measurements.len() as u64;
        let series = if count == 0 { 0 } else { count_series(cluster, db, measurements).await };
        let fields = fields([("numMeasurements", count), ("numSeries", series)]);
        all.push(Module::of("database", format!("database:{name}"), ("database", name), fields));
    }
}

async fn count_series(cluster: &Cluster, db: DbId, measurements: Vec<MeasurementId>) -> u64 {
    let (series, want) = (TagFilter::All, Want::Count);
    let lookup = Arc::new(Lookup { db, measurements, series, within: None, want });
    let mut count = 0;
    for shard in cluster.shards() {
        if let Some(Found::Count(found)) = cluster.lookup(shard, lookup.clone()).await {
            count += found.iter().map(|(_, count)| count).sum::<u64>();
        }
    }
    count
}

/// What the allocator says.
#[derive(Default)]
pub struct Memory {
    allocated: u64,
    active: u64,
    resident: u64,
    mapped: u64,
    retained: u64,
    /// Allocations since the start, their bytes, and how many of them were freed.
    made: u64,
    made_bytes: u64,
    freed: u64,
}

impl Memory {
    /// The present figures.
    pub fn read() -> Memory {
        use tikv_jemalloc_ctl::{epoch, stats};
        // Figures are of the last epoch; advancing it refreshes them.
        if epoch::advance().is_err() {
            return Memory::default();
        }
        let figure = |found: Result<usize, _>| found.map_or(0, |bytes: usize| bytes as u64);
        let [made, made_bytes, freed] = since_start();
        Memory {
            made,
            made_bytes,
            freed,
            allocated: figure(stats::allocated::read()),
            active: figure(stats::active::read()),
            resident: figure(stats::resident::read()),
            mapped: figure(stats::mapped::read()),
            retained: figure(stats::retained::read()),
        }
    }

    fn idle(&self) -> u64 {
        self.resident.saturating_sub(self.active)
    }

    /// Bytes of memory that the process holds.
    pub fn resident(&self) -> u64 {
        self.resident
    }

    /// Under the names of Go's collector for Prometheus.
    pub fn figures(&self) -> [(&'static str, u64); 6] {
        [
            ("go_memstats_alloc_bytes", self.allocated),
            ("go_memstats_heap_alloc_bytes", self.allocated),
            ("go_memstats_heap_idle_bytes", self.idle()),
            ("go_memstats_heap_inuse_bytes", self.active),
            ("go_memstats_heap_sys_bytes", self.mapped),
            ("go_memstats_sys_bytes", self.resident),
        ]
    }

    /// As InfluxDB's module `runtime`.
    fn runtime(&self) -> Fields {
        fields([
            ("Alloc", self.allocated),
            ("Frees", self.freed),
            ("HeapAlloc", self.allocated),
            ("HeapIdle", self.idle()),
            ("HeapInUse", self.active),
            ("HeapObjects", self.made.saturating_sub(self.freed)),
            ("HeapReleased", self.retained),
            ("HeapSys", self.mapped),
            ("Lookups", 0),
            ("Mallocs", self.made),
            ("NumGC", 0),
            ("NumGoroutine", tasks::count()),
            ("PauseTotalNs", 0),
            ("Sys", self.resident),
            ("TotalAlloc", self.made_bytes),
        ])
    }

    /// Go's memory statistics with what there is of them; what Go's collector alone has is 0.
    pub fn memstats(&self) -> String {
        let figures = [
            ("Alloc", self.allocated),
            ("TotalAlloc", self.made_bytes),
            ("Mallocs", self.made),
            ("Frees", self.freed),
            ("HeapObjects", self.made.saturating_sub(self.freed)),
            ("Sys", self.resident),
            ("HeapAlloc", self.allocated),
            ("HeapSys", self.mapped),
            ("HeapIdle", self.idle()),
            ("HeapInuse", self.active),
            ("HeapReleased", self.retained),
        ];
        let zeros = [
            "Lookups",
            "StackInuse",
            "StackSys",
            "MSpanInuse",
            "MSpanSys",
            "MCacheInuse",
            "MCacheSys",
            "BuckHashSys",
            "GCSys",
            "OtherSys",
            "NextGC",
            "LastGC",
            "PauseTotalNs",
            "NumGC",
            "NumForcedGC",
            "GCCPUFraction",
        ];
        let known = figures.iter().map(|(name, value)| format!("\"{name}\":{value}"));
        let unknown = zeros.iter().map(|name| format!("\"{name}\":0"));
        let all: Vec<String> = known.chain(unknown).collect();
        let pauses = vec!["0"; 256].join(",");
        format!(
            "{{{},\"PauseNs\":[{pauses}],\"PauseEnd\":[{pauses}],\"EnableGC\":false,\
             \"DebugGC\":false,\"BySize\":[]}}",
            all.join(",")
        )
    }
}

/// Allocations of all arenas since the start: their number, their bytes, and how many were freed.
fn since_start() -> [u64; 3] {
    let read = |name: String| -> Option<u64> {
        // SAFETY: the name ends with a zero byte, and these figures have 64 bits.
        unsafe { tikv_jemalloc_ctl::raw::read(format!("{name}\0").as_bytes()).ok() }
    };
    let number = |name: &str| -> u32 {
        // SAFETY: as above; these have 32 bits.
        unsafe { tikv_jemalloc_ctl::raw::read(name.as_bytes()).unwrap_or(0) }
    };
    let mut sums = [0; 3];
    // Sizes of small and of large allocations; 4096 stands for all arenas.
    let kinds = [("bin", "arenas.nbins\0"), ("lextent", "arenas.nlextents\0")];
    for (kind, count) in kinds {
        for at in 0..number(count) {
            let all = |what| read(format!("stats.arenas.4096.{kind}s.{at}.{what}")).unwrap_or(0);
            let made = all("nmalloc");
            let size = read(format!("arenas.{kind}.{at}.size")).unwrap_or(0);
            let figures = [made, made.saturating_mul(size), all("ndalloc")];
            sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
        }
    }
    sums
}

/// The doors' counters of some cores, summed.
fn door_fields(cores: &[Doors]) -> Fields {
    let names = stats::TABLE.iter().map(|spec| spec.name.to_owned());
    let mut all: Fields = names.zip(stats::sums(cores)).collect();
    for door in StreamDoor::ALL {
        let reasons = Reject::ALL.iter().enumerate();
        for (at, why) in reasons.filter(|(_, why)| why.occurs_in(Speech::at(door))) {
            let of = |core: &Doors| core.stream(door).dropped_by.get(at).map(stats::Counter::get);
            let count = cores.iter().filter_map(of).sum();
            all.insert(format!("{}_dropped_{}", door.name(), why.name()), count);
        }
    }
    all
}

fn shard_modules(cluster: &Cluster, report: Vec<(CoreId, ShardFigures)>, all: &mut Vec<Module>) {
    let mut shards: Vec<_> = report
        .into_iter()
        .flat_map(|(core, shards)| shards.into_iter().map(move |(id, c, g)| (id, core, c, g)))
        .collect();
    shards.sort_by_key(|(id, ..)| *id);
    let mut total = Fields::new();
    let mut latency: Option<Box<Histogram<u64>>> = None;
    for (_, _, counters, gauges) in &shards {
        for (name, value) in shard_fields(counters, gauges) {
            *total.entry(name).or_default() += value;
        }
        match (&mut latency, &counters.commit_ns) {
            (None, Some(one)) => latency = Some(one.clone()),
            (Some(sum), Some(one)) => {
                // Histograms of one shape always add.
                let _ = sum.add(one.as_ref());
            }
            _ => {}
        }
    }
    total.extend(latency_fields(latency.as_deref()));
    total.insert("shards".to_owned(), u64::from(cluster.shard_count()));
    all.push(Module::new("ringtail_shard", total));
    for (id, core, counters, gauges) in &shards {
        let mut fields = shard_fields(counters, gauges);
        fields.extend(latency_fields(counters.commit_ns.as_deref()));
        let tags = vec![("core", core.0.to_string()), ("shard", id.0.to_string())];
        let key = format!("ringtail_shard:{}", id.0);
        all.push(Module { name: "ringtail_shard", key, tags, fields });
    }
}

fn shard_fields(counters: &Counters, gauges: &Gauges) -> Fields {
    fields([
        ("points", counters.points),
        ("values", counters.values),
        ("log_commits", counters.commits),
        ("log_records", counters.commit_records),
        ("log_commit_bytes", counters.commit_bytes),
        ("log_bytes", gauges.log_bytes),
        ("flushes", counters.flushes),
        ("flush_bytes", counters.flush_bytes),
        ("compactions", counters.compactions),
        ("compaction_bytes", counters.compaction_bytes),
        ("failed_tasks", counters.failed_tasks),
        ("head_rows", gauges.head_rows),
        ("head_bytes", gauges.head_bytes),
        ("segment_files", gauges.segment_files),
        ("segment_sections", gauges.segment_sections),
        ("segment_values", gauges.segment_values),
        ("segment_bytes", gauges.segment_bytes),
        ("series", gauges.series),
        ("index_bytes", gauges.index_bytes),
        ("queued_writes", gauges.queued_writes),
        ("disk_full", gauges.disk_full),
        ("cache_hits", gauges.cache.hits),
        ("cache_misses", gauges.cache.misses),
        ("cache_bytes", gauges.cache.bytes as u64),
        ("cache_entries", gauges.cache.entries as u64),
    ])
}

fn latency_fields(histogram: Option<&Histogram<u64>>) -> Fields {
    let Some(found) = histogram else { return Fields::new() };
    fields([
        ("log_commit_p50_ns", found.value_at_quantile(0.5)),
        ("log_commit_p90_ns", found.value_at_quantile(0.9)),
        ("log_commit_p99_ns", found.value_at_quantile(0.99)),
        ("log_commit_p999_ns", found.value_at_quantile(0.999)),
        ("log_commit_max_ns", found.max()),
        ("log_commit_mean_ns", found.mean() as u64),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_shards_are_those_of_the_table() {
        let mut found = shard_fields(&Counters::default(), &Gauges::default());
        let histogram = Histogram::new_with_bounds(1, 100, 2).unwrap();
        found.extend(latency_fields(Some(&histogram)));
        let mut named: Vec<&str> = stats::SHARD_TABLE.iter().map(|spec| spec.name).collect();
        named.sort_unstable();
        assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), named);
    }

    #[test]
    fn figures_follow_the_counters() {
        let doors = Doors::default();
        doors.queries_started.add(5);
        doors.queries_active.add(2);
        let fields = door_fields(&[doors]);
        assert_eq!(fields["telnet_dropped_bad_value"], 0);
        let sums: BTreeMap<&str, u64> = fields.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        assert_eq!(executor(&sums)["queriesFinished"], 3);
        assert_eq!(Memory::default().runtime().len(), 15);
        let [made, bytes, freed] = since_start();
        assert!(made > freed && bytes > made, "{made} {bytes} {freed}");
    }

    #[test]
    fn every_figure_that_is_asked_for_is_counted() {
        let source = include_str!("stats.rs");
        let body = source.split("#[cfg(test)]").next().unwrap();
        let asked = body.match_indices("of(\"").filter(|(at, _)| &body[at - 1..*at] != ":");
        for name in asked.filter_map(|(at, call)| body[at + call.len()..].split('"').next()) {
            assert!(stats::TABLE.iter().any(|spec| spec.name == name), "{name}");
        }
    }
}
