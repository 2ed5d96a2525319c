//! `/debug/vars`: everything a scraper finds, one entry a line.
//!
//! In: the server's figures, module by module. Out: InfluxDB's document: `system`, `cmdline`,
//! `memstats`, then every module under its key, then the newest line that each door of streams
//! refused, by reason (`ringtail_refused:…`).

use super::front::Front;
use super::reply::{self, Reply};
use crate::env::Env;
use crate::protocol::Reject;
use crate::query::stats::{self, Memory, Module};
use crate::stats::{Doors, StreamDoor};
use hyper::StatusCode;
use hyper::header::HeaderValue;
use std::fmt::Write;
use std::rc::Rc;

/// Answers with the present figures.
pub(super) async fn vars<E: Env>(front: &Rc<Front<E>>) -> Reply {
    let modules = stats::modules(&front.cluster, &front.server.facts).await;
    let mut page = Page::new();
    page.raw("system", &system(front));
    page.raw("cmdline", &cmdline());
    page.raw("memstats", &Memory::read().memstats());
    modules.iter().for_each(|module| page.module(module));
    page.refused(&front.server.facts.doors, front.env.now_wall());
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

    fn module(&mut self, module: &Module) {
        let pairs = module.tags.iter().map(|(tag, text)| format!("\"{tag}\":{}", quoted(text)));
        let tags = match module.name {
            "runtime" => "{}".to_owned(),
            _ if module.tags.is_empty() => "null".to_owned(),
            _ => format!("{{{}}}", pairs.collect::<Vec<_>>().join(",")),
        };
        let values = module.fields.iter().map(|(field, value)| format!("\"{field}\":{value}"));
        let values = values.collect::<Vec<_>>().join(",");
        let name = module.name;
        let entry = format!("{{\"name\":\"{name}\",\"tags\":{tags},\"values\":{{{values}}}}}");
        self.raw(&module.key, &entry);
    }

    /// The newest refused line of each door and reason, over all cores.
    fn refused(&mut self, cores: &[Doors], now_ns: i64) {
        for door in StreamDoor::ALL {
            for (at, why) in Reject::ALL.iter().enumerate() {
                let samples = cores.iter().filter_map(|core| core.samples.get(door, at));
                let Some(newest) = samples.max_by_key(|sample| sample.at_ns) else { continue };
                let (door, reason) = (door.name(), why.name());
                let peer = quoted(&newest.peer);
                let line = quoted(&String::from_utf8_lossy(&newest.line));
                let age = now_ns.saturating_sub(newest.at_ns).max(0) / 1_000_000_000;
                let json = format!(
                    "{{\"name\":\"ringtail_refused\",\"tags\":{{\"door\":\"{door}\",\
                     \"reason\":\"{reason}\"}},\"values\":{{\"age_s\":{age},\"peer\":{peer},\
                     \"line\":{line}}}}}"
                );
                self.raw(&format!("ringtail_refused:{door}:{reason}"), &json);
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push_str("\n}\n");
        self.0.into_bytes()
    }
}

/// A text as JSON has it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    crate::encode::scalar::string(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn system<E: Env>(front: &Front<E>) -> String {
    let (now, started) = (front.env.now_wall(), front.server.facts.started_ns);
    let text = |ns| jiff::Timestamp::from_nanosecond(ns).map_or(String::new(), |t| t.to_string());
    let (now_text, started_text) = (text(i128::from(now)), text(i128::from(started)));
    let uptime = now.saturating_sub(started) / 1_000_000_000;
    format!("{{\"currentTime\":\"{now_text}\",\"started\":\"{started_text}\",\"uptime\":{uptime}}}")
}

/// The program's arguments; the value of one that is a secret is not shown.
pub(super) fn arguments() -> Vec<String> {
    hide_secrets(std::env::args())
}

fn hide_secrets(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut hide = false;
    all.map(|argument| {
        if std::mem::take(&mut hide) {
            return "[REDACTED]".to_owned();
        }
        let (flag, value) = argument.split_once('=').map_or((&*argument, ""), |(f, v)| (f, v));
        match (flag.starts_with("--") && flag.ends_with("-secret"), value) {
            (false, _) => argument,
            (true, "") => {
                hide = true;
                argument
            }
            (true, _) => format!("{flag}=[REDACTED]"),
        }
    })
    .collect()
}

fn cmdline() -> String {
    let all: Vec<String> = arguments().iter().map(|argument| quoted(argument)).collect();
    format!("[{}]", all.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_command_line_are_hidden() {
        let all = ["r", "--http-shared-secret", "a", "--cores", "b", "--x-secret=c"];
        let shown = hide_secrets(all.iter().map(|text| (*text).to_owned()));
        let expected =
            ["r", "--http-shared-secret", "[REDACTED]", "--cores", "b", "--x-secret=[REDACTED]"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_page_is_json_with_an_entry_a_line() {
        let mut page = Page::new();
        page.raw("cmdline", &cmdline());
        let fields = [("y".to_owned(), 2), ("x".to_owned(), 1)].into();
        let module = Module { name: "a", key: "a:\"b\"".to_owned(), tags: Vec::new(), fields };
        page.module(&module);
        page.raw("memstats", &Memory::read().memstats());
        page.module(&Module { tags: vec![("t", "\"".to_owned())], ..module });
        let text = page.finish();
        assert!(text.starts_with(b"{\n\"cmdline\": [") && text.ends_with(b"\n}\n"));
        let at = String::from_utf8(text.clone()).unwrap();
        assert!(at.contains(
            "\"a:\\\"b\\\"\": {\"name\":\"a\",\"tags\":null,\"values\":{\"x\":1,\"y\":2}},"
        ));
        assert!(simd_json::to_owned_value(&mut text.clone()).is_ok());
    }
}
