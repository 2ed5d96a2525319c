//! `POST /write` and `POST /api/v2/write`: line protocol in, durable rows out.
//!
//! Checks come in the order of the reference: database, size, gzip, lines, consistency. Good lines
//! of a body with bad ones are stored. 204 means that every row of the body is on disk and
//! visible.

use super::body::LineBody;
use super::front::Front;
use super::gzip::{self, Inflater, Trouble};
use super::ingest::{IngestError, Stored};
use super::parts::{self, CutShort};
use super::reply::{self, Reply};
use super::routes::Head;
use crate::catalog::Rights;
use crate::env::Env;
use crate::protocol::Target;
use crate::protocol::line::{Precision, Report, Verdict};
use hyper::StatusCode;
use hyper::body::{Body, Bytes};
use hyper::header::HeaderValue;
use std::rc::Rc;

/// Why a write is refused: status and text.
pub(super) struct Refused(pub StatusCode, pub Vec<u8>);

impl Refused {
    /// Refuses with a text.
    pub fn new(status: StatusCode, text: impl Into<Vec<u8>>) -> Refused {
        Refused(status, text.into())
    }

    /// Refuses a body for its size.
    pub fn too_large() -> Refused {
        Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
    }
}

/// Which of the two writing paths was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Version {
    /// `/write`, with `db` and `rp`.
    One,
    /// `/api/v2/write`, with `bucket`.
    Two,
}

/// Answers a write.
pub(super) async fn write<E, B>(
    front: &Rc<Front<E>>,
    head: &Head,
    version: Version,
    body: B,
) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let doors = front.doors();
    doors.http_write_requests.add(1);
    let _active = Active::new(front);
    let started = front.env.now_mono();
    let outcome = accept(front, head, version, body).await;
    doors.http_write_ns.add(front.env.now_mono().saturating_sub(started));
    match outcome {
        Ok(()) => reply::empty(StatusCode::NO_CONTENT),
        Err(Refused(status, text)) => {
            let mut reply = reply::refuse(head, status, &text);
            if status == StatusCode::SERVICE_UNAVAILABLE {
                reply.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
            }
            reply
        }
    }
}

/// Counts a write as active until it is answered or dropped.
struct Active<E: Env>(Rc<Front<E>>);

impl<E: Env> Active<E> {
    fn new(front: &Rc<Front<E>>) -> Active<E> {
        front.doors().http_write_active.add(1);
        Active(front.clone())
    }
}

impl<E: Env> Drop for Active<E> {
    fn drop(&mut self) {
        self.0.doors().http_write_active.sub(1);
    }
}

async fn accept<E, B>(
    front: &Rc<Front<E>>,
    head: &Head,
    version: Version,
    body: B,
) -> Result<(), Refused>
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let params = &head.params;
    let (db, rp, precision) = match version {
        Version::One => (params.get("db"), params.get("rp"), precision(params.get("precision"))?),
        Version::Two => {
            let precision = precision_two(params.get("precision"))?;
            let (db, rp) = bucket(params.get("bucket"))?;
            (db, rp, precision)
        }
    };
    let target = target(front, db, rp)?;
    authorize(front, head, db)?;
    let limit = body_limit(front, head)?;
    let line_body = LineBody::new(front, target, precision);
    let packed = head.header("content-encoding").eq_ignore_ascii_case("gzip");
    let (bytes, line_body) = if packed {
        inflate(front, body, limit, line_body).await?
    } else {
        collect(front, body, limit, line_body).await?
    };
    finish(front, head, line_body, bytes).await
}

/// Largest body, when that is not surpassed already by what the head says of it.
fn body_limit<E: Env>(front: &Front<E>, head: &Head) -> Result<u64, Refused> {
    let limit = Some(front.config().http_max_body_size.0).filter(|limit| *limit > 0);
    let sent: Option<u64> = head.header("content-length").parse().ok();
    match sent.zip(limit) {
        Some((sent, limit)) if sent > limit => Err(Refused::too_large()),
        _ => Ok(limit.unwrap_or(u64::MAX)),
    }
}

/// The whole body, as it was sent.
pub(super) async fn whole<E, B>(
    front: &Front<E>,
    head: &Head,
    mut body: B,
) -> Result<Vec<u8>, Refused>
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let limit = body_limit(front, head)?;
    let mut bytes = Vec::new();
    while let Some(part) = parts::next(&mut body).await? {
        if (bytes.len() + part.len()) as u64 > limit {
            return Err(Refused::too_large());
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// Stores lines that are there as a whole.
pub(super) async fn store<E: Env>(
    front: &Front<E>,
    head: &Head,
    (target, precision): (Target, Precision),
    lines: Vec<u8>,
) -> Result<(), Refused> {
    finish(front, head, LineBody::new(front, target, precision), lines).await
}

async fn finish<E: Env>(
    front: &Front<E>,
    head: &Head,
    line_body: LineBody<'_, E>,
    bytes: Vec<u8>,
) -> Result<(), Refused> {
    let (target, precision) = line_body.aim();
    let finished = line_body.finish(&bytes).await;
    if finished.is_ok() {
        front.forward(target, precision, &bytes);
    }
    front.give_body(bytes);
    let (report, stored) = finished.map_err(|error| refuse(&error))?;
    count(front, &report, &stored);
    let verdict = report.verdict();
    if matches!(verdict, Verdict::Stored | Verdict::Partial(_)) {
        consistency(head.params.get("consistency"))?;
    }
    match (verdict, stored.refused) {
        (Verdict::Stored, None) => Ok(()),
        (Verdict::Stored, Some(limited)) => {
            let text = format!("partial write: {} dropped={}", limited.reason, limited.rows);
            Err(Refused(StatusCode::BAD_REQUEST, text.into()))
        }
        (Verdict::AllRefused(text) | Verdict::Partial(text), _) => {
            Err(Refused(StatusCode::BAD_REQUEST, text))
        }
    }
}

/// Database and policy of a bucket: `database/policy`, or the database alone.
fn bucket(name: &str) -> Result<(&str, &str), Refused> {
    let missing =
        |text: &str| Refused::new(StatusCode::NOT_FOUND, format!("bucket name {name:?} {text}"));
    match name.split_once('/') {
        _ if name.is_empty() => {
            Err(missing("is missing a slash; not in \"database/retention-policy\" format"))
        }
        Some(("", _)) => Err(missing("is in db/rp form but has an empty database")),
        Some((db, rp)) => Ok((db, rp)),
        None => Ok((name, "")),
    }
}

/// The units of `/api/v2/write`.
fn precision_two(text: &str) -> Result<Precision, Refused> {
    match text {
        "" | "ns" => Ok(Precision::Nanoseconds),
        "us" => Ok(Precision::Microseconds),
        "ms" => Ok(Precision::Milliseconds),
        "s" => Ok(Precision::Seconds),
        _ => {
            let text = format!("invalid precision {text:?} (use ns, us, ms or s)");
            Err(Refused::new(StatusCode::BAD_REQUEST, text))
        }
    }
}

pub(super) fn authorize<E: Env>(front: &Front<E>, head: &Head, db: &str) -> Result<(), Refused> {
    if front.may(head, db, Rights::WRITE) {
        return Ok(());
    }
    let text = match &head.user {
        None => format!("user is required to write to database {db:?}"),
        Some(user) => format!("{user:?} user is not authorized to write to database {db:?}"),
    };
    Err(Refused::new(StatusCode::FORBIDDEN, text))
}

fn precision(text: &str) -> Result<Precision, Refused> {
    if text.is_empty() {
        return Ok(Precision::Nanoseconds);
    }
    let unknown = || format!("invalid precision {text:?} (use n, u, ms, s, m or h)");
    Precision::parse(text).ok_or_else(|| Refused::new(StatusCode::BAD_REQUEST, unknown()))
}

fn consistency(text: &str) -> Result<(), Refused> {
    let known = ["", "any", "one", "quorum", "all"];
    if known.iter().any(|name| text.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    Err(Refused::new(StatusCode::BAD_REQUEST, "invalid consistency level"))
}

/// Where rows for a database and one of its policies go; the default one when none is named.
pub(super) fn target<E: Env>(front: &Front<E>, db: &str, rp: &str) -> Result<Target, Refused> {
    if db.is_empty() {
        return Err(Refused::new(StatusCode::BAD_REQUEST, "database is required"));
    }
    let catalog = front.cluster.catalog();
    let database = catalog.database(db).ok_or_else(|| {
        Refused::new(StatusCode::NOT_FOUND, format!("database not found: {db:?}"))
    })?;
    let (found, name) = if rp.is_empty() {
        (database.default_policy, database.default_name.as_str())
    } else {
        (catalog.policy(database.id, rp).map(|policy| policy.id), rp)
    };
    let policy = found.ok_or_else(|| {
        let text = format!("retention policy not found: {name}");
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    })?;
    Ok(Target { db: database.id, policy })
}

/// A body and how far it is decoded.
type Under<'f, E> = (Vec<u8>, LineBody<'f, E>);

async fn collect<'f, E, B>(
    front: &Front<E>,
    mut body: B,
    limit: u64,
    mut line_body: LineBody<'f, E>,
) -> Result<Under<'f, E>, Refused>
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let mut bytes = front.take_body();
    while let Some(part) = parts::next(&mut body).await? {
        front.doors().http_write_bytes.add(part.len() as u64);
        if (bytes.len() + part.len()) as u64 > limit {
            return Err(Refused::too_large());
        }
        bytes.extend_from_slice(&part);
        line_body.advance(&bytes).await.map_err(|error| refuse(&error))?;
    }
    Ok((bytes, line_body))
}

async fn inflate<'f, E, B>(
    front: &Front<E>,
    mut body: B,
    limit: u64,
    mut line_body: LineBody<'f, E>,
) -> Result<Under<'f, E>, Refused>
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let mut inflater = Inflater::new(front.take_body(), front.config().http_max_inflated_size.0);
    let mut taken = 0u64;
    while let Some(part) = parts::next(&mut body).await? {
        taken += part.len() as u64;
        front.doors().http_write_bytes.add(part.len() as u64);
        if taken > limit {
            return Err(Refused::too_large());
        }
        for slice in part.chunks(gzip::SLICE_BYTES) {
            inflater.push(slice).map_err(not_gzip)?;
            front.env.yield_now().await;
        }
        line_body.advance(inflater.bytes()).await.map_err(|error| refuse(&error))?;
    }
    Ok((inflater.finish().map_err(not_gzip)?, line_body))
}

fn not_gzip(trouble: Trouble) -> Refused {
    match trouble {
        Trouble::TooLarge => Refused::too_large(),
        Trouble::Malformed(text) => Refused::new(StatusCode::BAD_REQUEST, text),
    }
}

impl From<CutShort> for Refused {
    fn from(error: CutShort) -> Refused {
        Refused::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

fn refuse(error: &IngestError) -> Refused {
    let status = match error {
        IngestError::Busy | IngestError::Stale => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refused::new(status, error.to_string())
}

fn count<E: Env>(front: &Front<E>, report: &Report, stored: &Stored) {
    let doors = front.doors();
    doors.http_points_ok.add(stored.rows);
    doors.http_values_ok.add(stored.values);
    let limited = stored.refused.as_ref().map_or(0, |refused| refused.rows);
    doors.http_points_dropped.add(report.dropped_points() + limited);
    doors.http_lines_refused.add(report.refused_lines());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_levels_are_those_of_the_reference() {
        assert!(matches!(precision(""), Ok(Precision::Nanoseconds)));
        assert!(matches!(precision("ms"), Ok(Precision::Milliseconds)));
        let Err(Refused(status, text)) = precision("us") else { panic!("us is no unit") };
        assert_eq!(status, 400);
        assert_eq!(text, b"invalid precision \"us\" (use n, u, ms, s, m or h)");
        assert!(precision_two("us").is_ok() && precision_two("m").is_err());
        assert!(consistency("Quorum").is_ok() && consistency("some").is_err());
    }
    #[test]
    fn buckets_name_a_database_and_a_policy() {
        assert_eq!(bucket("d/p").ok(), Some(("d", "p")));
        assert_eq!(bucket("d/").ok(), Some(("d", "")));
        assert_eq!(bucket("d").ok(), Some(("d", "")));
        for (name, text) in [
            ("", "is missing a slash; not in \"database/retention-policy\" format"),
            ("/x", "is in db/rp form but has an empty database"),
        ] {
            let Err(Refused(status, found)) = bucket(name) else { panic!("{name} is no bucket") };
            assert_eq!(status, 404);
            assert_eq!(found, format!("bucket name {name:?} {text}").into_bytes());
        }
    }
}
