//! `/metrics`: the server's figures as Prometheus text.
//!
//! In: the figures of `/debug/vars`. Out: the `go_*` and `process_*` names that InfluxDB's page
//! has, with what there is of them, and ringtail's own: `ringtail_<field>` by core,
//! `ringtail_shard_<field>` by shard.

use super::front::Front;
use super::reply::{self, Reply};
use crate::env::Env;
use crate::profile::{tasks, threads};
use crate::query::stats::{self, Memory, Module};
use crate::stats::{SHARD_TABLE, TABLE};
use hyper::StatusCode;
use hyper::header::HeaderValue;
use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::rc::Rc;

/// Answers with the present figures.
pub(super) async fn metrics<E: Env>(front: &Rc<Front<E>>) -> Reply {
    let modules = stats::modules(&front.cluster, &front.server.facts).await;
    let process = front.env.blocking(process).await;
    let mut page = String::new();
    figure(&mut page, ("go_goroutines", "gauge", "Tasks that have not ended."), tasks::count());
    let info = ("go_info", "gauge", "Information about the Go environment: there is none.");
    head(&mut page, info);
    page.push_str("go_info{version=\"none\"} 1\n");
    for (name, value) in Memory::read().figures() {
        figure(
            &mut page,
            (name, "gauge", "Memory by the allocator, under the name Go has."),
            value,
        );
    }
    let started = front.server.facts.started_ns.div_euclid(1_000_000_000);
    let about = ("process_start_time_seconds", "gauge", "Start of the process since 1970 (s).");
    figure(&mut page, about, u64::try_from(started).unwrap_or(0));
    process.into_iter().for_each(|(about, value)| figure(&mut page, about, value));
    own(&mut page, &modules);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    reply::bytes(StatusCode::OK, kind, page.into_bytes())
}

/// Name, kind and meaning.
type About<'a> = (&'a str, &'a str, &'a str);

fn head(page: &mut String, (name, kind, doc): About) {
    // Writing into a string cannot fail.
    let _ = write!(page, "# HELP {name} {doc}\n# TYPE {name} {kind}\n");
}

fn figure(page: &mut String, about: About, value: impl Display) {
    head(page, about);
    let _ = writeln!(page, "{} {value}", about.0);
}

/// What the system says of the process.
fn process() -> Vec<(About<'static>, f64)> {
    let text =
        |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let pages: Vec<f64> =
        text("statm").split(' ').take(2).filter_map(|word| word.parse().ok()).collect();
    let pages = |at: usize| pages.get(at).copied().unwrap_or(0.0) * 4096.0;
    let limits = text("limits");
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let limit = limit.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let gauge = |name, doc, value| ((name, "gauge", doc), value);
    vec![
        (("process_cpu_seconds_total", "counter", "Processor time, user and system (s)."), cpu()),
        gauge("process_open_fds", "Open file descriptors.", open as f64),
        gauge("process_max_fds", "Most open file descriptors.", limit.unwrap_or(0.0)),
        gauge("process_virtual_memory_bytes", "Virtual memory (bytes).", pages(0)),
        gauge("process_resident_memory_bytes", "Resident memory (bytes).", pages(1)),
        gauge("go_threads", "Threads.", threads::list().len() as f64),
    ]
}

/// Processor time of the process so far (s).
fn cpu() -> f64 {
    // SAFETY: the structure is plain numbers, for which zero is valid, and the call fills it in.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Modules that are of one core or one shard, for the reader to sum, and those of the process.
fn own(page: &mut String, modules: &[Module]) {
    let mut families: BTreeMap<String, (String, bool, String)> = BTreeMap::new();
    for module in modules.iter().filter(|module| module.name.starts_with("ringtail")) {
        let label = match (module.tags.last(), module.name) {
            (Some((tag, id)), _) => format!("{{{tag}=\"{id}\"}}"),
            (None, "ringtail_log") => String::new(),
            (None, _) => continue,
        };
        for (field, value) in &module.fields {
            let name = format!("{}_{field}", module.name);
            let (doc, is_gauge) = about(module.name, field);
            let family = families.entry(name.clone()).or_insert((doc, is_gauge, String::new()));
            let _ = writeln!(family.2, "{name}{label} {value}");
        }
    }
    for (name, (doc, is_gauge, lines)) in families {
        head(page, (&name, if is_gauge { "gauge" } else { "counter" }, &doc));
        page.push_str(&lines);
    }
}

/// What a field means, and whether it may fall.
fn about(module: &str, field: &str) -> (String, bool) {
    let table = if module == "ringtail_shard" { SHARD_TABLE } else { TABLE };
    match table.iter().find(|spec| spec.name == field) {
        Some(spec) => (spec.doc.to_owned(), spec.is_gauge()),
        // Those by reason, which are named by the decoders.
        None => (format!("Counted since the start: {}.", field.replace('_', " ")), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_one_name_stand_together() {
        let module = |core: &str, value| Module {
            name: "ringtail",
            key: String::new(),
            tags: vec![("core", core.to_owned())],
            fields: [("tasks".to_owned(), value), ("a".to_owned(), 1)].into(),
        };
        let mut page = String::new();
        own(&mut page, &[module("0", 2), module("1", 3)]);
        let expected = "# HELP ringtail_a Counted since the start: a.\n# TYPE ringtail_a counter\n\
                        ringtail_a{core=\"0\"} 1\nringtail_a{core=\"1\"} 1\n\
                        # HELP ringtail_tasks Tasks that have not ended.\n\
                        # TYPE ringtail_tasks gauge\n\
                        ringtail_tasks{core=\"0\"} 2\nringtail_tasks{core=\"1\"} 3\n";
        assert_eq!(page, expected);
    }
}
