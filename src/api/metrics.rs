//! `/metrics`: the server's figures as Prometheus text.
//!
//! In: the figures of `/debug/vars`. Out: the `go_*` and `process_*` names that InfluxDB's page
//! has, with what there is of them, and ringtail's own: `ringtail_<field>` by core,
//! `ringtail_shard_<field>` by shard.

use super::front::Front;
use super::reply::{self, Reply};
use crate::env::Env;
use crate::query::stats::{self, Memory, Module};
use hyper::StatusCode;
use hyper::header::HeaderValue;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::rc::Rc;

/// Answers with the present figures.
pub(super) async fn metrics<E: Env>(front: &Rc<Front<E>>) -> Reply {
    let modules = stats::modules(&front.cluster, &front.server.facts).await;
    let mut page = String::new();
    gauge(&mut page, "go_goroutines", 0);
    gauge(&mut page, "go_threads", front.server.facts.doors.len() as u64);
    page.push_str("# TYPE go_info gauge\ngo_info{version=\"none\"} 1\n");
    for (name, value) in Memory::read().figures() {
        gauge(&mut page, name, value);
    }
    let started = front.server.facts.started_ns.div_euclid(1_000_000_000);
    gauge(&mut page, "process_start_time_seconds", u64::try_from(started).unwrap_or(0));
    gauge(&mut page, "process_resident_memory_bytes", Memory::read().resident());
    own(&mut page, &modules);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    reply::bytes(StatusCode::OK, kind, page.into_bytes())
}

fn gauge(page: &mut String, name: &str, value: u64) {
    // Writing into a string cannot fail.
    let _ = write!(page, "# TYPE {name} gauge\n{name} {value}\n");
}

/// Modules that are of one core or one shard; the sums are for the reader to make.
fn own(page: &mut String, modules: &[Module]) {
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for module in modules.iter().filter(|module| module.name.starts_with("ringtail")) {
        let Some((tag, id)) = module.tags.last() else { continue };
        for (field, value) in &module.fields {
            let name = format!("{}_{field}", module.name);
            let line = lines.entry(name.clone()).or_default();
            let _ = writeln!(line, "{name}{{{tag}=\"{id}\"}} {value}");
        }
    }
    for (name, text) in lines {
        let _ = write!(page, "# TYPE {name} untyped\n{text}");
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
            fields: [("b".to_owned(), value), ("a".to_owned(), 1)].into(),
        };
        let mut page = String::new();
        own(&mut page, &[module("0", 2), module("1", 3)]);
        let expected = "# TYPE ringtail_a untyped\nringtail_a{core=\"0\"} 1\nringtail_a{core=\"1\"} 1\n\
                        # TYPE ringtail_b untyped\nringtail_b{core=\"0\"} 2\nringtail_b{core=\"1\"} 3\n";
        assert_eq!(page, expected);
    }
}
