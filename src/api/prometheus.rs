//! `/api/v1/prom/write` and `/api/v1/prom/read`: Prometheus' remote storage.
//!
//! In: snappy-packed protobuf. Out: 204 and durable rows; or the samples of the field `value` of
//! the series that the matchers select, packed alike. Writes go the way of line protocol, reads
//! the way of InfluxQL.

use super::front::Front;
use super::reply::{self, Reply};
use super::routes::Head;
use super::write::{self, Refused};
use crate::catalog::Rights;
use crate::env::Env;
use crate::influxql::{self, Params};
use crate::model::Values;
use crate::protocol::line::Precision;
use crate::protocol::prometheus::{self, Found, MatchKind, Query};
use crate::query::{self, CellRef, Closed, Column, Limits, ResultPart, Series, Sink};
use hyper::StatusCode;
use hyper::body::{Body, Bytes};
use hyper::header::{CONTENT_ENCODING, HeaderValue};
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
/// Bytes of one sample of an answer while it is held.
const SAMPLE_BYTES: usize = 16;
/// A larger body is unpacked off the core (bytes).
const LARGE_BYTES: usize = 128 << 10;

/// Answers a write.
pub(super) async fn write<E, B>(front: &Rc<Front<E>>, head: &Head, body: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    front.doors().prom_write_requests.add(1);
    match accept(front, head, body).await {
        Ok(()) => reply::empty(StatusCode::NO_CONTENT),
        Err(Refused(status, text)) => reply::refuse(head, status, &text),
    }
}

async fn accept<E, B>(front: &Rc<Front<E>>, head: &Head, body: B) -> Result<(), Refused>
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let (db, rp) = (head.params.get("db"), head.params.get("rp"));
    let target = write::target(front, db, rp)?;
    write::authorize(front, head, db)?;
    let packed = write::whole(front, head, body).await?;
    let limit = front.config().http_max_inflated_size.0;
    let lines = off_core(front, packed, move |packed| {
        let plain = unpack(&packed, limit)?;
        let mut lines = Vec::with_capacity(plain.len());
        prometheus::write_to_lines(&plain, &mut lines).map_err(bad)?;
        Ok(lines)
    })
    .await?;
    write::store(front, head, (target, Precision::Milliseconds), lines).await
}

/// Does work on a body, off the core when it is large.
async fn off_core<E: Env, T: Send + 'static>(
    front: &Front<E>,
    body: Vec<u8>,
    work: impl FnOnce(Vec<u8>) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    if body.len() < LARGE_BYTES {
        return work(body);
    }
    front.env.blocking(move || work(body)).await
}

fn bad(error: impl std::fmt::Display) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, error.to_string())
}

fn unpack(packed: &[u8], limit: u64) -> Result<Vec<u8>, Refused> {
    let corrupt = |_| bad("snappy: corrupt input");
    let len = snap::raw::decompress_len(packed).map_err(corrupt)?;
    if len as u64 > limit {
        return Err(Refused::too_large());
    }
    snap::raw::Decoder::new().decompress_vec(packed).map_err(corrupt)
}

/// Answers a read.
pub(super) async fn read<E, B>(front: &Rc<Front<E>>, head: &Head, body: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    front.doors().prom_read_requests.add(1);
    match search(front, head, body).await {
        Ok(packed) => {
            let mut reply = reply::bytes(StatusCode::OK, PROTOBUF, packed);
            reply.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
            reply
        }
        Err(Refused(status, text)) => reply::refuse(head, status, &text),
    }
}

async fn search<E, B>(front: &Rc<Front<E>>, head: &Head, body: B) -> Result<Vec<u8>, Refused>
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let packed = write::whole(front, head, body).await?;
    let plain = unpack(&packed, front.config().http_max_inflated_size.0)?;
    let queries = prometheus::read_queries(&plain).map_err(bad)?;
    let [query] = queries.as_slice() else {
        return Err(bad("Prometheus read endpoint currently only supports one query at a time"));
    };
    let (db, rp) = (head.params.get("db"), head.params.get("rp"));
    check_names(front, db, rp)?;
    if !front.may(head, db, Rights::READ) {
        let user = head.user.as_deref().unwrap_or_default();
        let text = format!("{user:?} user is not authorized to read from database {db:?}");
        return Err(Refused::new(StatusCode::FORBIDDEN, text));
    }
    let text = statement(query)?;
    let names = NameFilter::of(query)?;
    let statements = influxql::parse(&text, &Params::new()).map_err(bad)?;
    let running = front.enter_query(&text, db).map_err(bad)?;
    let options = options(front, head);
    let mut sink = Collected {
        names,
        series: Vec::new(),
        name: None,
        samples: 0,
        samples_max: options.memory_bytes / SAMPLE_BYTES,
        error: None,
    };
    let run = query::run(&front.cluster, &statements, &options, &running.entry, &mut sink);
    let ended = run.await;
    if let Some(error) = sink.error {
        return Err(bad(error));
    }
    ended.map_err(|_| bad("the answer needs more memory than a query may have"))?;
    let plain = prometheus::response(&sink.series);
    let packed = snap::raw::Encoder::new().compress_vec(&plain);
    packed.map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn check_names<E: Env>(front: &Front<E>, db: &str, rp: &str) -> Result<(), Refused> {
    let catalog = front.cluster.catalog();
    let database = catalog.database(db).ok_or_else(|| bad("no database"))?;
    let known = rp.is_empty() || catalog.policy(database.id, rp).is_some();
    if known { Ok(()) } else { Err(bad("invalid retention policy")) }
}

fn options<E: Env>(front: &Front<E>, head: &Head) -> query::Options {
    let name = |key| Some(head.params.get(key)).filter(|name| !name.is_empty());
    let config = front.config();
    query::Options {
        server: front.server.clone(),
        user: head.user.clone(),
        db: name("db").map(str::to_owned),
        rp: name("rp").map(str::to_owned),
        read_only: false,
        now_ns: front.env.now_wall(),
        chunk: None,
        memory_bytes: usize::try_from(config.query_memory.0).unwrap_or(usize::MAX),
        deadline_ns: front.query_deadline(),
        limits: Limits { select_series: config.query_max_series as u64, ..Limits::default() },
    }
}

/// The question in InfluxQL. A measurement that must be equal to a name is named, of others all are
/// read and then filtered.
fn statement(query: &Query) -> Result<String, Refused> {
    if query.matchers.is_empty() {
        return Err(bad("expected matcher"));
    }
    let equal = |kind| kind == MatchKind::Equal;
    let name = query.matchers.iter().find(|one| one.name == "__name__" && equal(one.kind));
    let from = name.map_or("/.*/".to_owned(), |one| quoted(&one.value, '"'));
    let (start, end) =
        (query.start_ms.saturating_mul(1_000_000), query.end_ms.saturating_mul(1_000_000));
    let (start, end) = (start.max(i64::MIN + 2), end.min(i64::MAX - 1));
    let mut text =
        format!("SELECT \"value\"::field FROM {from} WHERE time >= {start} AND time <= {end}");
    for one in query.matchers.iter().filter(|one| one.name != "__name__") {
        let name = quoted(&one.name, '"');
        let (operator, value) = match one.kind {
            MatchKind::Equal => ("=", quoted(&one.value, '\'')),
            MatchKind::NotEqual => ("!=", quoted(&one.value, '\'')),
            MatchKind::Matches => ("=~", regex_literal(&one.value)?),
            MatchKind::NotMatches => ("!~", regex_literal(&one.value)?),
        };
        // Writing into a string cannot fail.
        let _ = write!(text, " AND {name}::tag {operator} {value}");
    }
    text.push_str(" GROUP BY *");
    Ok(text)
}

fn quoted(text: &str, mark: char) -> String {
    let mut out = String::from(mark);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            c if c == mark || c == '\\' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push(mark);
    out
}

fn anchored(source: &str) -> String {
    format!("^(?:{source})$")
}

fn regex_literal(source: &str) -> Result<String, Refused> {
    influxql::ast::Regex { source: source.to_owned() }.compile().map_err(bad)?;
    Ok(format!("/{}/", anchored(source).replace('/', "\\/")))
}

/// What matchers say of the name of the measurement.
struct NameFilter(Vec<(MatchKind, String, Option<regex::bytes::Regex>)>);

impl NameFilter {
    fn of(query: &Query) -> Result<NameFilter, Refused> {
        let named = query.matchers.iter().filter(|one| one.name == "__name__");
        let filters = named.map(|one| {
            let regex = match one.kind {
                MatchKind::Equal | MatchKind::NotEqual => None,
                _ => Some(regex::bytes::Regex::new(&anchored(&one.value)).map_err(bad)?),
            };
            Ok((one.kind, one.value.clone(), regex))
        });
        filters.collect::<Result<_, Refused>>().map(NameFilter)
    }

    fn passes(&self, name: &[u8]) -> bool {
        self.0.iter().all(|(kind, value, regex)| {
            let matches = regex.as_ref().map_or(value.as_bytes() == name, |re| re.is_match(name));
            matches == matches!(kind, MatchKind::Equal | MatchKind::Matches)
        })
    }
}

/// Keeps the samples of an answer, up to a number.
struct Collected {
    names: NameFilter,
    series: Vec<Found>,
    /// Measurement of the last series.
    name: Option<Arc<[u8]>>,
    samples: usize,
    samples_max: usize,
    error: Option<String>,
}

impl Sink for Collected {
    async fn part(&mut self, part: ResultPart) -> Result<(), Closed> {
        self.error = self.error.take().or(part.error);
        let Some(series) = part.series else { return Ok(()) };
        if self.names.passes(series.name.as_deref().unwrap_or_default()) {
            self.take(&series);
        }
        if self.samples > self.samples_max { Err(Closed) } else { Ok(()) }
    }
}

impl Collected {
    fn take(&mut self, series: &Series) {
        let [times, values] = series.values.as_slice() else { return };
        // Only floats are samples.
        let other =
            matches!(values, Column::Values(values, _) if !matches!(values, Values::Float(_)));
        if other {
            return;
        }
        let sample = |row| match (times.get(row), values.get(row)) {
            (CellRef::Time(at), CellRef::Float(value)) => Some((at.div_euclid(1_000_000), value)),
            _ => None,
        };
        let samples: Vec<(i64, f64)> = (0..series.rows).filter_map(sample).collect();
        if samples.is_empty() {
            return;
        }
        self.samples += samples.len();
        let tags = series.tags.iter().filter(|(_, value)| !value.is_empty());
        let labels: Vec<_> = tags.cloned().collect();
        match self.series.last_mut() {
            Some(last) if last.labels == labels && self.name == series.name => {
                last.samples.extend(samples);
            }
            _ => self.series.push(Found { labels, samples }),
        }
        self.name.clone_from(&series.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::prometheus::Matcher;

    fn query(matchers: &[(MatchKind, &str, &str)]) -> Query {
        let one = |(kind, name, value): &(MatchKind, &str, &str)| Matcher {
            kind: *kind,
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        };
        Query { start_ms: 1, end_ms: 2, matchers: matchers.iter().map(one).collect() }
    }

    #[test]
    fn matchers_become_conditions() {
        let matchers = [
            (MatchKind::Equal, "__name__", "up\"x"),
            (MatchKind::NotEqual, "a", "it's"),
            (MatchKind::Matches, "b", "x/y|z"),
        ];
        let text = statement(&query(&matchers)).ok().unwrap();
        let expected = r#"SELECT "value"::field FROM "up\"x" WHERE time >= 1000000 AND time <= 2000000 AND "a"::tag != 'it\'s' AND "b"::tag =~ /^(?:x\/y|z)$/ GROUP BY *"#;
        assert_eq!(text, expected);
        assert_eq!(influxql::parse(&text, &Params::new()).unwrap().len(), 1);
        assert!(statement(&query(&[])).is_err());
        assert!(statement(&query(&[(MatchKind::Matches, "a", "(")])).is_err());
    }

    #[test]
    fn names_are_filtered_by_all_matchers() {
        let filter = NameFilter::of(&query(&[
            (MatchKind::Matches, "__name__", "c.*"),
            (MatchKind::NotEqual, "__name__", "cpu"),
        ]));
        let filter = filter.ok().unwrap();
        assert!(filter.passes(b"cat") && !filter.passes(b"cpu") && !filter.passes(b"acat"));
    }
}
