//! `/debug/vars`: everything a scraper finds, one entry a line.
//!
//! In: the doors' counters of all cores, the shards' counters over the mesh, the allocator's
//! figures. Out: InfluxDB's document (`system`, `cmdline`, `memstats`, `runtime`, `httpd`,
//! `write`,
//! `queryExecutor`) and ringtail's own modules: `ringtail` is the sum of all cores,
//! `ringtail:core:N` one core, `ringtail_shard` the sum of all shards, `ringtail_shard:N` one
//! shard.

use super::front::Front;
use super::reply::{self, Reply};
use crate::env::Env;
use crate::model::ShardId;
use crate::protocol::telnet::Reject;
use crate::route::CoreId;
use crate::shard::{Counters, Gauges};
use crate::stats::{self, Doors};
use hdrhistogram::Histogram;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::rc::Rc;

/// Fields of one entry, sorted by name.
type Fields = BTreeMap<String, u64>;

/// What the shards of one core tell.
type ShardFigures = Vec<(ShardId, Counters, Gauges)>;

/// Answers with the present figures.
pub(super) async fn vars<E: Env>(front: &Rc<Front<E>>) -> Reply {
    let shards = front.cluster.report().await;
    let mut page = Page::new();
    page.raw("system", &system(front));
    page.raw("cmdline", &cmdline());
    let memory = Memory::read();
    page.raw("memstats", &memory.memstats());
    page.entry("runtime", "runtime", "{}", &memory.runtime());
    let all = &front.facts.doors;
    let sums: BTreeMap<&str, u64> =
        stats::TABLE.iter().map(|spec| spec.name).zip(stats::sums(all)).collect();
    influx_modules(&mut page, front, &sums);
    page.entry("ringtail", "ringtail", "null", &door_fields(all));
    for (core, doors) in all.iter().enumerate() {
        let tags = format!("{{\"core\":\"{core}\"}}");
        let one = std::slice::from_ref(doors);
        page.entry(&format!("ringtail:core:{core}"), "ringtail", &tags, &door_fields(one));
    }
    shard_modules(&mut page, front, shards);
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    reply::bytes(StatusCode::OK, kind, page.finish())
}

/// The document under construction.
struct Page(String);

impl Page {
    fn new() -> Page {
        Page("{\n".to_owned())
    }

    fn raw(&mut self, key: &str, json: &str) {
        let comma = if self.0.len() > 2 { ",\n" } else { "" };
        // Writing into a string cannot fail.
        let _ = write!(self.0, "{comma}{}: {json}", quoted(key));
    }

    fn entry(&mut self, key: &str, name: &str, tags: &str, fields: &Fields) {
        let mut values = String::new();
        for (field, value) in fields {
            let comma = if values.is_empty() { "" } else { "," };
            let _ = write!(values, "{comma}\"{field}\":{value}");
        }
        self.raw(key, &format!("{{\"name\":\"{name}\",\"tags\":{tags},\"values\":{{{values}}}}}"));
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push_str("\n}\n");
        self.0.into_bytes()
    }
}

fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    crate::encode::scalar::string(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn fields<'a>(pairs: impl IntoIterator<Item = (&'a str, u64)>) -> Fields {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn system<E: Env>(front: &Front<E>) -> String {
    let (now, started) = (front.env.now_wall(), front.facts.started_ns);
    let text = |ns| jiff::Timestamp::from_nanosecond(ns).map_or(String::new(), |t| t.to_string());
    let (now_text, started_text) = (text(i128::from(now)), text(i128::from(started)));
    let uptime = now.saturating_sub(started) / 1_000_000_000;
    format!("{{\"currentTime\":\"{now_text}\",\"started\":\"{started_text}\",\"uptime\":{uptime}}}")
}

fn cmdline() -> String {
    let all: Vec<String> = std::env::args().map(|argument| quoted(&argument)).collect();
    format!("[{}]", all.join(","))
}

/// What the allocator says.
#[derive(Default)]
struct Memory {
    allocated: u64,
    active: u64,
    resident: u64,
    mapped: u64,
    retained: u64,
}

impl Memory {
    fn read() -> Memory {
        use tikv_jemalloc_ctl::{epoch, stats};
        // Figures are of the last epoch; advancing it refreshes them.
        if epoch::advance().is_err() {
            return Memory::default();
        }
        let figure = |found: Result<usize, _>| found.map_or(0, |bytes: usize| bytes as u64);
        Memory {
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

    fn runtime(&self) -> Fields {
        fields([
            ("Alloc", self.allocated),
            ("Frees", 0),
            ("HeapAlloc", self.allocated),
            ("HeapIdle", self.idle()),
            ("HeapInUse", self.active),
            ("HeapObjects", 0),
            ("HeapReleased", self.retained),
            ("HeapSys", self.mapped),
            ("Lookups", 0),
            ("Mallocs", 0),
            ("NumGC", 0),
            ("NumGoroutine", 0),
            ("PauseTotalNs", 0),
            ("Sys", self.resident),
            ("TotalAlloc", self.allocated),
        ])
    }

    /// Go's memory statistics with what there is of them; what Go's collector alone has is 0.
    fn memstats(&self) -> String {
        let figures = [
            ("Alloc", self.allocated),
            ("TotalAlloc", self.allocated),
            ("Sys", self.resident),
            ("HeapAlloc", self.allocated),
            ("HeapSys", self.mapped),
            ("HeapIdle", self.idle()),
            ("HeapInuse", self.active),
            ("HeapReleased", self.retained),
        ];
        let zeros = [
            "Lookups",
            "Mallocs",
            "Frees",
            "HeapObjects",
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

fn influx_modules<E: Env>(page: &mut Page, front: &Front<E>, sums: &BTreeMap<&str, u64>) {
    let of = |name: &str| sums.get(name).copied().unwrap_or(0);
    let bind = &front.facts.http_bind;
    let httpd = fields([
        ("authFail", 0),
        ("clientError", of("http_client_errors")),
        ("fluxQueryReq", 0),
        ("fluxQueryReqDurationNs", 0),
        ("pingReq", of("http_ping_requests")),
        ("pointsWrittenDropped", of("http_points_dropped")),
        ("pointsWrittenFail", of("http_points_failed")),
        ("pointsWrittenOK", of("http_points_ok")),
        ("promReadReq", 0),
        ("promWriteReq", 0),
        ("queryReq", of("http_query_requests")),
        ("queryReqDurationNs", of("http_query_ns")),
        ("queryRespBytes", of("http_query_bytes")),
        ("recoveredPanics", 0),
        ("req", of("http_requests")),
        ("reqActive", of("http_active")),
        ("reqDurationNs", of("http_request_ns")),
        ("serverError", of("http_server_errors")),
        ("statusReq", 0),
        ("valuesWrittenOK", of("http_values_ok")),
        ("writeReq", of("http_write_requests")),
        ("writeReqActive", of("http_write_active")),
        ("writeReqBytes", of("http_write_bytes")),
        ("writeReqDurationNs", of("http_write_ns")),
    ]);
    page.entry(
        &format!("httpd:{bind}"),
        "httpd",
        &format!("{{\"bind\":{}}}", quoted(bind)),
        &httpd,
    );
    let points = of("http_points_ok") + of("telnet_points_ok");
    let failed = of("http_points_failed") + of("telnet_points_failed");
    let write = fields([
        ("pointReq", points + failed),
        ("pointReqLocal", points),
        ("req", of("http_write_requests")),
        ("subWriteDrop", 0),
        ("subWriteOk", 0),
        ("writeDrop", of("http_points_dropped")),
        ("writeError", failed),
        ("writeOk", of("http_write_requests")),
        ("writeTimeout", 0),
    ]);
    page.entry("write", "write", "null", &write);
    let active = of("http_query_active");
    let executor = fields([
        ("queriesActive", active),
        ("queriesExecuted", of("http_query_requests")),
        ("queriesFinished", of("http_query_requests").saturating_sub(active)),
        ("queryDurationNs", of("http_query_ns")),
        ("recoveredPanics", 0),
    ]);
    page.entry("queryExecutor", "queryExecutor", "null", &executor);
}

/// The doors' counters of some cores, summed.
fn door_fields(cores: &[Doors]) -> Fields {
    let names = stats::TABLE.iter().map(|spec| spec.name.to_owned());
    let mut all: Fields = names.zip(stats::sums(cores)).collect();
    for (at, why) in Reject::ALL.iter().enumerate() {
        let dropped = cores.iter().filter_map(|core| core.telnet_dropped.get(at));
        let count = dropped.map(stats::Counter::get).sum();
        all.insert(format!("telnet_dropped_{}", why.name()), count);
    }
    all
}

fn shard_modules<E: Env>(page: &mut Page, front: &Front<E>, report: Vec<(CoreId, ShardFigures)>) {
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
    total.insert("shards".to_owned(), u64::from(front.cluster.shard_count()));
    page.entry("ringtail_shard", "ringtail_shard", "null", &total);
    for (id, core, counters, gauges) in &shards {
        let mut all = shard_fields(counters, gauges);
        all.extend(latency_fields(counters.commit_ns.as_deref()));
        let tags = format!("{{\"core\":\"{}\",\"shard\":\"{}\"}}", core.0, id.0);
        page.entry(&format!("ringtail_shard:{}", id.0), "ringtail_shard", &tags, &all);
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
    fn a_page_is_json_with_an_entry_a_line() {
        let mut page = Page::new();
        page.raw("cmdline", &cmdline());
        page.entry("a:\"b\"", "a", "null", &fields([("y", 2), ("x", 1)]));
        page.raw("memstats", &Memory::default().memstats());
        page.entry("ringtail", "ringtail", "null", &door_fields(&[Doors::default()]));
        let text = page.finish();
        assert!(text.starts_with(b"{\n\"cmdline\": [") && text.ends_with(b"\n}\n"));
        let at = String::from_utf8(text.clone()).unwrap();
        assert!(at.contains(
            "\"a:\\\"b\\\"\": {\"name\":\"a\",\"tags\":null,\"values\":{\"x\":1,\"y\":2}},"
        ));
        assert!(at.contains("\"telnet_dropped_bad_value\":0"));
        assert!(simd_json::to_owned_value(&mut text.clone()).is_ok());
    }
}
