//! The server's own figures as points, every ten seconds, when `monitor.store-enabled` is on.
//!
//! In: the modules of `/debug/vars`. Out: a point of each in the database `_internal`, policy
//! `monitor` (seven days), which is made when it is missing: measurement and tags are those of the
//! module, with the tag `hostname`. Written like any other points but not counted as a client's.

use super::body::LineBody;
use super::front::Front;
use super::write;
use crate::env::Env;
use crate::influxql::{self, Params};
use crate::protocol::line::Precision;
use crate::query::stats::{self, Module};
use crate::query::{self, Limits, ResultPart};
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

/// Shortest time between two samples.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// The policy's name.
const POLICY: &str = "monitor";

/// Writes for ever. One core of the process does.
pub(super) async fn run<E: Env>(front: Rc<Front<E>>) {
    loop {
        front.env.sleep(front.config().monitor_store_interval.max(INTERVAL_MIN)).await;
        if let Err(reason) = sample(&front).await {
            front.note(|| format!("the server's own figures are not stored: {reason}"));
        }
    }
}

async fn sample<E: Env>(front: &Rc<Front<E>>) -> Result<(), String> {
    let database = &front.config().monitor_store_database;
    let found = write::target(front, database, POLICY);
    let target = match found {
        Ok(target) => target,
        Err(_) => {
            make(front, database).await?;
            write::target(front, database, POLICY)
                .map_err(|write::Refused(_, text)| String::from_utf8_lossy(&text).into_owned())?
        }
    };
    let modules = stats::modules(&front.cluster, &front.server.facts).await;
    let lines = lines(&modules, &front.server.facts.hostname, front.env.now_wall());
    let body = LineBody::new(front, target, Precision::Nanoseconds);
    let stored = body.finish(lines.as_bytes()).await;
    stored.map(|_| ()).map_err(|error| error.to_string())
}

/// Makes the database and its policy.
async fn make<E: Env>(front: &Rc<Front<E>>, database: &str) -> Result<(), String> {
    let name = database.replace('\\', "\\\\").replace('"', "\\\"");
    let text = format!(
        "CREATE DATABASE \"{name}\" WITH DURATION 168h REPLICATION 1 SHARD DURATION 24h NAME \
         \"{POLICY}\""
    );
    let statements =
        influxql::parse(&text, &Params::default()).map_err(|error| error.to_string())?;
    let options = query::Options {
        server: front.server.clone(),
        user: None,
        db: None,
        rp: None,
        read_only: false,
        now_ns: front.env.now_wall(),
        chunk: None,
        memory_bytes: usize::try_from(front.config().query_memory.0).unwrap_or(usize::MAX),
        deadline_ns: 0,
        limits: Limits::default(),
    };
    let running = front.enter_query(&text, "")?;
    let mut parts: Vec<ResultPart> = Vec::new();
    // A list takes everything.
    let _ = query::run(&front.cluster, &statements, &options, &running.entry, &mut parts).await;
    parts.into_iter().find_map(|part| part.error).map_or(Ok(()), Err)
}

/// Each module as a line; without fields there is none.
fn lines(modules: &[Module], hostname: &str, now_ns: i64) -> String {
    let mut out = String::new();
    for module in modules.iter().filter(|module| !module.fields.is_empty()) {
        out.push_str(module.name);
        let host = ("hostname", hostname.to_owned());
        for (key, value) in module.tags.iter().chain([&host]).filter(|(_, text)| !text.is_empty()) {
            // Writing into a string cannot fail.
            let _ = write!(out, ",{key}={}", escaped(value));
        }
        for (at, (field, value)) in module.fields.iter().enumerate() {
            let comma = if at == 0 { ' ' } else { ',' };
            // Line protocol's integers are signed.
            let _ = write!(out, "{comma}{field}={}i", i64::try_from(*value).unwrap_or(i64::MAX));
        }
        let _ = writeln!(out, " {now_ns}");
    }
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            ',' | '=' | ' ' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_a_line_with_the_host() {
        let module = |tags, fields: &[(&str, u64)]| Module {
            name: "m",
            key: String::new(),
            tags,
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        };
        let all = [
            module(vec![("bind", "a b".to_owned())], &[("x", 1), ("y", u64::MAX)]),
            module(Vec::new(), &[]),
        ];
        let expected = "m,bind=a\\ b,hostname=h x=1i,y=9223372036854775807i 5\n";
        assert_eq!(lines(&all, "h", 5), expected);
    }
}
