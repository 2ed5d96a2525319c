//! `/debug/vars`: everything a scraper finds, one entry a line.
//!
//! In: the server's figures, module by module. Out: InfluxDB's document: `system`, `cmdline`,
//! `memstats`, then every module under its key.

use super::front::Front;
use super::reply::{self, Reply};
use crate::env::Env;
use crate::query::stats::{self, Memory, Module};
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

fn system<E: Env>(front: &Front<E>) -> String {
    let (now, started) = (front.env.now_wall(), front.server.facts.started_ns);
    let text = |ns| jiff::Timestamp::from_nanosecond(ns).map_or(String::new(), |t| t.to_string());
    let (now_text, started_text) = (text(i128::from(now)), text(i128::from(started)));
    let uptime = now.saturating_sub(started) / 1_000_000_000;
    format!("{{\"currentTime\":\"{now_text}\",\"started\":\"{started_text}\",\"uptime\":{uptime}}}")
}

fn cmdline() -> String {
    let all: Vec<String> = std::env::args().map(|argument| quoted(&argument)).collect();
    format!("[{}]", all.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

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
