//! Limits on series, over all shards: so many of a database, so many values of a tag.
//!
//! In: a write with keys its sender does not know, and the limits. Out: the write without the rows
//! of series that would be one too many, and why. Costs nothing where no limit is set or all series
//! are known; else the owner is asked which keys are new, and the catalog's core whether they may
//! be. That core counts from what all shards told it once and asks them again before it refuses, so
//! what was dropped meanwhile makes room. Series that were admitted and not written count until
//! then; rows of one series from two senders at one time may count it twice, never not at all.

use super::cluster::{CATALOG_CORE, Cluster, core_of};
use super::message::{Mesh, Reply, Request};
use crate::env::Env;
use crate::env::notify::Gate;
use crate::model::batch::NewSeries;
use crate::model::{
    Batch, Bitmap, Column, DbId, FixedMap, FixedSet, MeasurementId, SeriesId, SeriesKey, SeriesRef,
    ShardId, WriteRequest,
};
use crate::shard::index::TagFilter;
use crate::shard::scan::{Found, KeyFilter, Lookup, Want};
use crate::shard::{Refused, WriteError, Written};
use std::cell::RefCell;
use std::sync::Arc;

/// What was counted is counted anew before a refusal when it is older than this (ns).
const STALE_NS: u64 = 1_000_000_000;

/// Limits that an operator sets; 0 = off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SeriesLimits {
    /// Series of a database.
    pub series: u64,
    /// Values of one tag key of a measurement.
    pub values: u64,
}

impl SeriesLimits {
    /// Whether there is none.
    pub fn is_off(self) -> bool {
        self == SeriesLimits::default()
    }
}

/// A question to the catalog's core: may these series be?
#[derive(Clone, Debug)]
pub struct Admit {
    pub db: DbId,
    pub limits: SeriesLimits,
    /// Shards of the store.
    pub shards: u32,
    pub series: Vec<NewSeries>,
}

/// Writes what may be written; `Written::refused` tells of the rest.
pub async fn write(
    cluster: &Cluster,
    shard: ShardId,
    write: WriteRequest,
    limits: SeriesLimits,
) -> Result<Written, WriteError> {
    let lost = || WriteError::Failed("a core of the server is gone".to_owned());
    let (db, series) = (write.db, write.new_series.clone());
    let request = Request::Unknown { shard, db, series };
    let Reply::Unknown(unknown) = cluster.mesh().call(cluster.core_of(shard), request).await else {
        return Err(lost());
    };
    if unknown.is_empty() {
        return cluster.write_admitted(shard, write).await;
    }
    let new = |at: &u32| write.new_series.get(*at as usize).cloned();
    let series = unknown.iter().filter_map(new).collect();
    let admit = Admit { db, limits, shards: cluster.shard_count(), series };
    let Reply::Admitted(answers) = cluster.mesh().call(CATALOG_CORE, Request::Admit(admit)).await
    else {
        return Err(lost());
    };
    let mut refused = vec![false; write.new_series.len()];
    let mut reason = None;
    for (at, answer) in unknown.iter().zip(answers) {
        let Err(why) = answer else { continue };
        refused.get_mut(*at as usize).into_iter().for_each(|slot| *slot = true);
        reason.get_or_insert(why);
    }
    let Some(reason) = reason else { return cluster.write_admitted(shard, write).await };
    let (write, rows) = without(write, &refused);
    let mut written = if write.batches.is_empty() {
        Written { ids: Vec::new(), spent: write, refused: None }
    } else {
        cluster.write_admitted(shard, write).await?
    };
    let mut ids = written.ids.into_iter();
    let id =
        |refused: &bool| if *refused { SeriesId::NONE } else { ids.next().unwrap_or_default() };
    written.ids = refused.iter().map(id).collect();
    written.refused = Some(Refused { reason, rows });
    Ok(written)
}

/// The write without the rows of refused keys, and the number of these rows.
fn without(write: WriteRequest, refused: &[bool]) -> (WriteRequest, u64) {
    let mut next = 0;
    let places: Vec<Option<u32>> = refused
        .iter()
        .map(|refused| {
            let place = (!refused).then_some(next);
            next += u32::from(!refused);
            place
        })
        .collect();
    let place = |series: &SeriesRef| match series.resolve() {
        Ok(_) => Some(*series),
        Err(at) => places.get(at as usize).copied().flatten().map(SeriesRef::new_key),
    };
    let mut rows = 0;
    let mut batches = Vec::new();
    for batch in write.batches {
        let series: Vec<Option<SeriesRef>> = batch.series.iter().map(place).collect();
        let gone = series.iter().filter(|one| one.is_none()).count();
        rows += gone as u64;
        if gone < series.len() {
            batches.push(keep(&batch, &series));
        }
    }
    let kept = write.new_series.into_iter().zip(refused).filter(|(_, refused)| !**refused);
    let new_series = kept.map(|(series, _)| series).collect();
    (WriteRequest { db: write.db, new_series, batches }, rows)
}

/// The rows of a Batch that still have a series.
fn keep(batch: &Batch, series: &[Option<SeriesRef>]) -> Batch {
    let rows = || series.iter().enumerate().filter_map(|(row, one)| Some((row, (*one)?)));
    let column = |from: &Column| {
        let mut column = Column::empty(from.id);
        column.validity = from.validity.as_ref().map(|_| Bitmap::default());
        rows().for_each(|(row, _)| column.append(from, row..row + 1));
        column
    };
    Batch {
        partition: batch.partition,
        series: rows().map(|(_, one)| one).collect(),
        times: rows().filter_map(|(row, _)| batch.times.get(row).copied()).collect(),
        columns: batch.columns.iter().map(column).collect(),
    }
}

type Values = FixedSet<Box<[u8]>>;
type TagOf = (MeasurementId, Box<[u8]>);

/// What the catalog's core knows of series; empty until the first question.
#[derive(Default)]
pub struct Admission {
    /// By database: its series, and when they were counted (monotonic ns).
    series: RefCell<FixedMap<DbId, (u64, u64)>>,
    /// By measurement and tag key, likewise.
    values: RefCell<FixedMap<TagOf, (Values, u64)>>,
    /// One question at a time.
    gate: Gate,
}

impl Admission {
    /// Says of each series whether it may be, or why not.
    pub async fn admit<E: Env>(
        &self,
        env: &E,
        mesh: &Mesh,
        question: Admit,
    ) -> Vec<Result<(), String>> {
        let _pass = self.gate.enter().await;
        let mut answers = Vec::with_capacity(question.series.len());
        for series in &question.series {
            answers.push(self.admit_one(env, mesh, &question, series).await);
        }
        answers
    }

    async fn admit_one<E: Env>(
        &self,
        env: &E,
        mesh: &Mesh,
        question: &Admit,
        series: &NewSeries,
    ) -> Result<(), String> {
        let limits = question.limits;
        let Some(key) = SeriesKey::from_bytes(&series.key) else { return Ok(()) };
        let tags = || key.tags().filter(|_| limits.values > 0);
        for (tag, value) in tags() {
            let of = (series.measurement, Box::<[u8]>::from(tag));
            let full = || {
                let all = self.values.borrow();
                let (values, _) = all.get(&of)?;
                let have = values.len() as u64;
                (have >= limits.values && !values.contains(value)).then_some(have)
            };
            let known = self.values.borrow().get(&of).map(|(_, counted)| *counted);
            if is_stale(env, known, || full().is_some()) {
                self.count_values(env, mesh, question, &of).await;
            }
            if let Some(have) = full() {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                return Err(format!(
                    "max-values-per-tag limit exceeded ({have}/{}): measurement={:?} tag={:?} \
                     value={:?}",
                    limits.values,
                    text(key.measurement()),
                    text(tag),
                    text(value)
                ));
            }
        }
        if limits.series > 0 {
            let db = question.db;
            let have = || self.series.borrow().get(&db).map_or(0, |(count, _)| *count);
            let known = self.series.borrow().get(&db).map(|(_, counted)| *counted);
            if is_stale(env, known, || have() >= limits.series) {
                self.count_series(env, mesh, question).await;
            }
            if have() >= limits.series {
                return Err(format!("max-series-per-database limit exceeded: ({})", limits.series));
            }
            self.series.borrow_mut().entry(db).and_modify(|(count, _)| *count += 1);
        }
        for (tag, value) in tags() {
            let of = (series.measurement, Box::<[u8]>::from(tag));
            if let Some((values, _)) = self.values.borrow_mut().get_mut(&of) {
                values.insert(value.into());
            }
        }
        Ok(())
    }

    async fn count_series<E: Env>(&self, env: &E, mesh: &Mesh, question: &Admit) {
        let (db, want) = (question.db, Want::Count);
        let measurements = Vec::new();
        let lookup = Lookup { db, measurements, series: TagFilter::All, within: None, want };
        let mut count = 0;
        for found in ask(mesh, question.shards, lookup).await {
            let Found::Count(all) = found else { continue };
            count += all.iter().map(|(_, count)| count).sum::<u64>();
        }
        self.series.borrow_mut().insert(db, (count, env.now_mono()));
    }

    async fn count_values<E: Env>(&self, env: &E, mesh: &Mesh, question: &Admit, of: &TagOf) {
        let (db, want) = (question.db, Want::TagValues(KeyFilter::In(vec![of.1.clone()])));
        let measurements = vec![of.0];
        let lookup = Lookup { db, measurements, series: TagFilter::All, within: None, want };
        let mut values = Values::default();
        for found in ask(mesh, question.shards, lookup).await {
            let Found::TagValues(all) = found else { continue };
            values.extend(all.into_iter().flat_map(|(_, pairs)| pairs).map(|(_, value)| value));
        }
        self.values.borrow_mut().insert(of.clone(), (values, env.now_mono()));
    }
}

/// Whether to count (again): never done, or done a while ago and about to refuse.
fn is_stale<E: Env>(env: &E, counted: Option<u64>, refuses: impl FnOnce() -> bool) -> bool {
    match counted {
        None => true,
        Some(counted) => env.now_mono().saturating_sub(counted) >= STALE_NS && refuses(),
    }
}

/// Asks the index of every shard.
async fn ask(mesh: &Mesh, shards: u32, lookup: Lookup) -> Vec<Found> {
    let lookup = Arc::new(lookup);
    let cores = mesh.cores().count() as u32;
    let mut found = Vec::new();
    for shard in (0..shards).map(ShardId) {
        let request = Request::Lookup { shard, lookup: lookup.clone() };
        if let Reply::Found(one) = mesh.call(core_of(shard, cores), request).await {
            found.push(one);
        }
    }
    found
}
