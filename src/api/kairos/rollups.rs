//! `rollups…`: tasks that save the results of queries on a schedule.
//!
//! Tasks and what became of their runs are texts of the catalog's metadata, so every core knows
//! them and they outlive the process. One core runs them; `backfill` runs a task where it is asked.

use super::{Call, answer, body, datapoints, query};
use crate::api::front::Front;
use crate::api::reply::{self, Reply};
use crate::catalog::{Command, ENTRY_BYTES_MAX, MetadataCommand, MetadataKey};
use crate::encode::scalar;
use crate::env::Env;
use crate::kairos::request::Terms;
use crate::kairos::request::json::{self, Json};
use crate::kairos::request::rollup::{self, Rollup, Task};
use crate::kairos::{self, Door, Failure, MS_NS, Saved};
use hyper::body::{Body, Bytes};
use hyper::{Method, StatusCode};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// The internal service that holds tasks and statuses.
const SERVICE: &str = "_Rollups";
const TASKS: &str = "tasks";
const STATUSES: &str = "statuses";
/// Periods of one roll-up in one run; what is left comes with the next run.
const PERIODS_MAX: usize = 10_000;
/// Periods of one roll-up that one request may fill.
const BACKFILL_MAX: u64 = 1_000_000;
/// How often the runner looks what is due.
const LOOK: Duration = Duration::from_millis(500);

fn key(kind: &str, id: &str) -> MetadataKey {
    (SERVICE.to_owned(), kind.to_owned(), id.to_owned())
}

/// `rollups`: creates a task or lists all.
pub(super) async fn all<E, B>(front: &Rc<Front<E>>, call: &Call<'_>, sent: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    if call.head.method == Method::POST {
        let id = front.ids.next(front.env.now_wall());
        return put(front, call, sent, &id).await;
    }
    let catalog = front.cluster.catalog();
    let texts: Vec<&str> = catalog.metadata().of(SERVICE, TASKS).map(|(_, text)| text).collect();
    answer::json(StatusCode::OK, format!("[{}]", texts.join(",")).into_bytes())
}

/// `rollups/{id}`: reads, changes or deletes a task.
pub(super) async fn one<E, B>(front: &Rc<Front<E>>, call: &Call<'_>, sent: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let id = call.arg(0);
    let Some(text) = task_text(front, id) else {
        return answer::error(StatusCode::NOT_FOUND, &format!("Resource not found for id {id}"));
    };
    match call.head.method {
        Method::PUT => put(front, call, sent, id).await,
        Method::DELETE => {
            for kind in [TASKS, STATUSES] {
                let command = MetadataCommand::Drop { key: key(kind, id) };
                if let Err(error) = front.cluster.decide(Command::Metadata(command)).await {
                    return failed(&Failure::internal(error.to_string()));
                }
            }
            reply::empty(StatusCode::NO_CONTENT)
        }
        _ => answer::json(StatusCode::OK, text.into_bytes()),
    }
}

/// `admin/scheduledjobs`: the ids of the tasks.
pub(super) fn jobs<E: Env>(front: &Rc<Front<E>>) -> Reply {
    let catalog = front.cluster.catalog();
    let tasks = catalog.metadata().of(SERVICE, TASKS).map(|(id, _)| id.as_bytes());
    let mut out = Vec::new();
    answer::list(tasks, &mut out);
    answer::json(StatusCode::OK, out)
}

/// `rollups/status/{id}`.
pub(super) fn status<E: Env>(front: &Rc<Front<E>>, call: &Call<'_>) -> Reply {
    let id = call.arg(0);
    let catalog = front.cluster.catalog();
    match catalog.metadata().get(&key(STATUSES, id)) {
        Some(text) => answer::json(StatusCode::OK, text.as_bytes().to_vec()),
        None => answer::error(StatusCode::NOT_FOUND, &format!("Status not found for id {id}")),
    }
}

/// `rollups/backfill/{id}`: runs a task over a time that the URL names.
pub(super) async fn backfill<E: Env>(front: &Rc<Front<E>>, call: &Call<'_>) -> Reply {
    let id = call.arg(0);
    let now = front.env.now_wall().div_euclid(MS_NS);
    let task = task_text(front, id).and_then(|text| read(&text, query::terms(front)).ok());
    let Some(task) = task else {
        return answer::error(StatusCode::NOT_FOUND, &format!("Resource not found for id {id}"));
    };
    let end = call.head.params.get("endTime");
    let end = if end.is_empty() { Some(now) } else { instant(end) };
    let Some((start, end)) = instant(call.head.params.get("startTime")).zip(end) else {
        let text = "startTime and endTime must be like yyyy-MM-dd-HH-mm-ss-SSS";
        return answer::error(StatusCode::BAD_REQUEST, text);
    };
    if task.rollups.iter().any(|rollup| rollup.count(start, end) > BACKFILL_MAX) {
        let text = format!("startTime and endTime are more than {BACKFILL_MAX} periods apart");
        return answer::error(StatusCode::BAD_REQUEST, &text);
    }
    for rollup in &task.rollups {
        for period in rollup.periods(start, end) {
            if let Err(failure) = run_period(front, rollup, period).await {
                return failed(&failure);
            }
        }
    }
    reply::empty(StatusCode::NO_CONTENT)
}

fn task_text<E: Env>(front: &Front<E>, id: &str) -> Option<String> {
    front.cluster.catalog().metadata().get(&key(TASKS, id)).map(str::to_owned)
}

fn read(text: &str, terms: Terms<'_>) -> Result<Task, Failure> {
    let json = json::parse(text.as_bytes()).map_err(|error| Failure::bad(error.to_string()))?;
    rollup::read(&json, terms)
}

fn failed(failure: &Failure) -> Reply {
    let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer::errors(status, failure.errors.iter().map(String::as_bytes))
}

/// Checks a task and keeps it under its id.
async fn put<E, B>(front: &Front<E>, call: &Call<'_>, sent: B, id: &str) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let bytes = match body::whole(front, call.head, sent, ENTRY_BYTES_MAX / 2).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refusal,
    };
    let json = match json::parse(&bytes) {
        Ok(json) => json,
        Err(error) => return answer::error(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let task = match rollup::read(&json, query::terms(front)) {
        Ok(task) => task,
        Err(failure) => return failed(&failure),
    };
    let command = MetadataCommand::Put { key: key(TASKS, id), text: stored(&json, id) };
    if let Err(error) = front.cluster.decide(Command::Metadata(command)).await {
        return failed(&Failure::internal(error.to_string()));
    }
    let mut out = format!("{{\"id\":\"{id}\",\"name\":").into_bytes();
    scalar::string(task.name.as_bytes(), &mut out);
    let url = format!(",\"attributes\":{{\"url\":\"/api/v1/rollups/{id}\"}}}}");
    out.extend_from_slice(url.as_bytes());
    answer::json(StatusCode::OK, out)
}

/// The task as it was sent, its id in front.
fn stored(json: &Json, id: &str) -> String {
    let mut out = format!("{{\"id\":\"{id}\"").into_bytes();
    if let Json::Object(members) = json {
        for (name, value) in members.iter().filter(|(name, _)| **name != *"id") {
            out.push(b',');
            scalar::string(name.as_bytes(), &mut out);
            out.push(b':');
            value.write(&mut out);
        }
    }
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

/// `yyyy-MM-dd-HH-mm-ss-SSS` in UTC (ms).
fn instant(text: &str) -> Option<i64> {
    let mut numbers = text.split('-').map(str::parse::<i16>);
    let mut next = || numbers.next()?.ok();
    let (year, month, day) = (next()?, next()?, next()?);
    let (hour, minute, second, milli) = (next()?, next()?, next()?, next()?);
    let small = |number: i16| i8::try_from(number).ok();
    let nanos = i32::from(milli).checked_mul(1_000_000)?;
    let time = jiff::civil::DateTime::new(
        year,
        small(month)?,
        small(day)?,
        small(hour)?,
        small(minute)?,
        small(second)?,
        nanos,
    );
    Some(time.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// Runs the query of one period; gives the number of points saved.
async fn run_period<E: Env>(
    front: &Front<E>,
    rollup: &Rollup,
    period: (i64, i64),
) -> Result<u64, Failure> {
    let database = front.config().kairosdb_database.as_str();
    let asked = rollup.query(period, query::terms(front))?;
    let mut saver = Saver { front, database, points: 0 };
    kairos::query(&front.cluster, &query::options(front, database), &asked, &mut saver).await?;
    Ok(saver.points)
}

/// Takes a query's points and lets its answer go.
struct Saver<'a, E: Env> {
    front: &'a Front<E>,
    database: &'a str,
    points: u64,
}

impl<E: Env> Door for Saver<'_, E> {
    async fn hand_over(&mut self, _: Vec<u8>) -> Result<(), Failure> {
        Ok(())
    }

    async fn save(&mut self, points: Vec<Saved>) -> Result<(), Failure> {
        self.points += points.len() as u64;
        let saved = datapoints::save(self.front, self.database, &kairos::body(&points)).await;
        saved.map_err(Failure::internal)
    }

    async fn rest(&self) {
        self.front.env.yield_now().await;
    }
}

/// A task that the runner knows.
struct Known {
    text: String,
    task: Option<Task>,
    /// When it ran last (ms).
    last: Option<i64>,
}

/// Runs tasks when they are due, for ever. One core of the process does.
pub(super) async fn run<E: Env>(front: Rc<Front<E>>) {
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    loop {
        front.env.sleep(LOOK).await;
        let now = front.env.now_wall().div_euclid(MS_NS);
        for id in due(&front, &mut known, now) {
            let Some(one) = known.get_mut(&id) else { continue };
            let Some(task) = &one.task else { continue };
            let (status, reached) = run_task(&front, task, one.last, now).await;
            one.last = Some(reached);
            // The task may have been deleted meanwhile.
            if task_text(&front, &id).is_some() {
                let command = MetadataCommand::Put { key: key(STATUSES, &id), text: status };
                if let Err(error) = front.cluster.decide(Command::Metadata(command)).await {
                    front.note(|| format!("the status of roll-up {id} is not kept: {error}"));
                }
            }
        }
    }
}

/// Brings the runner's tasks up to date and gives those whose time has come.
fn due<E: Env>(front: &Front<E>, known: &mut BTreeMap<String, Known>, now: i64) -> Vec<String> {
    let catalog = front.cluster.catalog();
    let metadata = catalog.metadata();
    known.retain(|id, _| metadata.get(&key(TASKS, id)).is_some());
    let mut out = Vec::new();
    for (id, text) in metadata.of(SERVICE, TASKS) {
        if known.get(id).is_none_or(|one| one.text != text) {
            let status = metadata.get(&key(STATUSES, id));
            let last = known.get(id).and_then(|one| one.last).or(status.and_then(last_run));
            let task = read(text, query::terms(front)).ok();
            known.insert(id.to_owned(), Known { text: text.to_owned(), task, last });
        }
        let Some(Known { task: Some(task), last, .. }) = known.get(id) else { continue };
        let utc = jiff::tz::TimeZone::UTC;
        // A shorter interval than a second would only write the same periods again and again.
        let next = last.map(|last| task.interval.after(last, &utc).max(last + 1000));
        if next.is_none_or(|next| next <= now) {
            out.push(id.to_owned());
        }
    }
    out
}

/// When a task ran last, by its status (ms).
fn last_run(status: &str) -> Option<i64> {
    let json = json::parse(status.as_bytes()).ok()?;
    let Some(Json::Array(all)) = json.get("statuses") else { return None };
    all.iter().filter_map(|one| one.get("last_execution_time")?.integer()).max()
}

/// Runs a task; gives its status as JSON, and up to when its periods were computed.
async fn run_task<E: Env>(
    front: &Front<E>,
    task: &Task,
    last: Option<i64>,
    now: i64,
) -> (String, i64) {
    let (mut statuses, mut all_reached) = (Vec::new(), now);
    for rollup in &task.rollups {
        let started = front.env.now_mono();
        let from = last.unwrap_or_else(|| rollup.first(task.interval, now));
        let (mut points, mut fault) = (0, String::new());
        let periods = || rollup.periods(from, now).take(PERIODS_MAX);
        let reached = periods().last().map_or(now, |(_, end)| end.min(now));
        all_reached = all_reached.min(reached);
        for period in periods() {
            match run_period(front, rollup, period).await {
                Ok(count) => points += count,
                Err(failure) => {
                    fault = failure.errors.join("; ");
                    break;
                }
            }
        }
        let took = front.env.now_mono().saturating_sub(started) / 1_000_000;
        let mut out = b"{\"metric_name\":".to_vec();
        scalar::string(rollup.save_as.as_bytes(), &mut out);
        let when = clock(now);
        let figures = format!(
            ",\"last_executed\":\"{when}\",\"data_point_count\":{points},\"execution_length\":{took},\
             \"error_message\":"
        );
        out.extend_from_slice(figures.as_bytes());
        scalar::string(fault.as_bytes(), &mut out);
        out.extend_from_slice(format!(",\"last_execution_time\":{reached}}}").as_bytes());
        statuses.push(String::from_utf8_lossy(&out).into_owned());
    }
    let next = clock(task.interval.after(now, &jiff::tz::TimeZone::UTC));
    let text = format!(
        "{{\"statuses\":[{}],\"executing_host\":\"{}\",\"next_scheduled\":\"{next}\"}}",
        statuses.join(","),
        front.server.facts.hostname
    );
    (text, all_reached)
}

/// An instant as KairosDB's statuses show it.
fn clock(ms: i64) -> String {
    let stamp = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    stamp.strftime("%d %b %Y %I:%M:%S %p").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_clocks() {
        assert_eq!(instant("2023-10-04-11-15-42-007"), Some(1_696_418_142_007));
        assert_eq!(instant("2023-13-04-11-15-42-007"), None);
        assert_eq!(instant("2023-10-04"), None);
        assert_eq!(clock(1_696_418_142_007), "04 Oct 2023 11:15:42 AM");
    }

    #[test]
    fn a_task_is_kept_as_it_was_sent() {
        let sent = r#"{"name":"r","id":"old","x":[1,2.50,"a\"b",null,true,{"y":{}}]}"#;
        let text = stored(&json::parse(sent.as_bytes()).unwrap(), "new");
        assert_eq!(text, r#"{"id":"new","name":"r","x":[1,2.50,"a\"b",null,true,{"y":{}}]}"#);
        let status = r#"{"statuses":[{"last_execution_time":5},{"last_execution_time":7}]}"#;
        assert_eq!(last_run(status), Some(7));
    }
}
