//! What the server does by itself, on the catalog's core: retention, continuous queries, its own
//! figures as points.
//!
//! In: the catalog and the clock. Out: partitions dropped when their policy allows no more, and
//! continuous queries run when they are due. Both begin one interval after the start.

use super::front::Front;
use super::{kairos, monitor};
use crate::catalog::Command;
use crate::env::{Env, Queue, Task};
use crate::influxql::Statement;
use crate::model::FixedMap;
use crate::query::continuous;
use crate::query::{self, Limits, ResultPart};
use std::rc::Rc;
use std::time::Duration;

/// Shortest time between two looks.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Starts them, as the options say, and what KairosDB's API does by itself.
pub fn start<E: Env>(front: &Rc<Front<E>>) {
    kairos::start(front);
    if front.config().monitor_store_enabled {
        front.env.spawn(Queue::Background, monitor::run(front.clone())).detach();
    }
    if front.config().retention_enabled {
        let keeper = front.clone();
        let work = async move {
            loop {
                keeper.env.sleep(keeper.config().retention_check_interval.max(PAUSE_MIN)).await;
                retire(&keeper).await;
            }
        };
        front.env.spawn(Queue::Background, work).detach();
    }
    if front.config().continuous_queries_enabled {
        let runner = front.clone();
        let work = async move {
            let mut ran = Ran::default();
            loop {
                let pause = runner.config().continuous_queries_run_interval.max(PAUSE_MIN);
                runner.env.sleep(pause).await;
                run_due(&runner, &mut ran).await;
            }
        };
        front.env.spawn(Queue::Query, work).detach();
    }
}

/// Drops the partitions that are past their policy.
async fn retire<E: Env>(front: &Rc<Front<E>>) {
    let expired = front.cluster.catalog().expired(front.env.now_wall());
    for id in expired {
        if let Err(error) = front.cluster.decide(Command::DropPartition { id }).await {
            front.note(|| format!("partition {} cannot be dropped: {error}", id.0));
        }
    }
}

/// When each query ran, by its text: one that is made anew begins anew.
type Ran = FixedMap<String, i64>;

async fn run_due<E: Env>(front: &Rc<Front<E>>, ran: &mut Ran) {
    let all: Vec<String> = {
        let catalog = front.cluster.catalog();
        catalog.standing().all_queries().iter().map(|query| query.text.clone()).collect()
    };
    ran.retain(|text, _| all.contains(text));
    for text in all {
        let now = front.env.now_wall();
        let outcome = match continuous::due(&text, ran.get(&text).copied(), now) {
            Ok(None) => continue,
            Ok(Some(due)) => {
                ran.insert(text.clone(), due.ran_ns);
                match due.statement {
                    None => continue,
                    Some(statement) => run(front, due.db, statement, now).await,
                }
            }
            Err(error) => {
                // It is looked at again when it could be due again.
                ran.entry(text.clone()).or_insert(i64::MAX);
                Err(error)
            }
        };
        match outcome {
            Ok(()) => front.doors().continuous_ok.add(1),
            Err(error) => {
                front.doors().continuous_failed.add(1);
                front.note(|| format!("continuous query failed: {error}: {text}"));
            }
        }
    }
}

async fn run<E: Env>(
    front: &Rc<Front<E>>,
    db: String,
    statement: Statement,
    now: i64,
) -> Result<(), String> {
    let config = front.config();
    let options = query::Options {
        server: front.server.clone(),
        user: None,
        db: Some(db.clone()),
        rp: None,
        read_only: false,
        now_ns: now,
        chunk: None,
        memory_bytes: usize::try_from(config.query_memory.0).unwrap_or(usize::MAX),
        deadline_ns: front.query_deadline(),
        limits: Limits::default(),
    };
    let running = front.enter_query(&statement.to_string(), &db)?;
    let mut parts: Vec<ResultPart> = Vec::new();
    let statements = [statement];
    // A list takes everything.
    let _ = query::run(&front.cluster, &statements, &options, &running.entry, &mut parts).await;
    parts.into_iter().find_map(|part| part.error).map_or(Ok(()), Err)
}
