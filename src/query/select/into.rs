//! SELECT INTO: the rows of a query become points.
//!
//! In: the query's series, part by part. Out: points under the target's name, written in batches of
//! some thousand rows by the way that all writes go; a batch is durable before the next is made.
//! Tags of a series are its points' tags, all columns fields; what is null or no number is left
//! out. Nothing is held beyond a batch.

use super::super::gather::all;
use super::super::result::{CellRef, Closed, Column, ResultPart, Series, Sink};
use super::super::source::{database, policy};
use super::super::{Context, QueryError};
use crate::catalog::CatalogError;
use crate::influxql::ast::{Expr, Select, Target as Named};
use crate::protocol::batcher::Datum;
use crate::protocol::line::print::print;
use crate::protocol::points::{Point, Points, Put};
use crate::protocol::{Batcher, Target};
use crate::query::plan::columns::key_arguments;
use crate::route::SeriesCache;
use crate::shard::WriteError;

/// Rows written at once.
const BATCH_ROWS: usize = 10_000;
/// Series that are remembered between batches.
const SERIES_MAX: usize = 1 << 16;
/// How often a batch is made again when names are made or dropped under it.
const TRIES_MAX: usize = 5;

/// Where rows are written.
pub struct Into<'a> {
    context: Context<'a>,
    target: Target,
    named: &'a Named,
    /// Columns by which top() or bottom() chooses: they are tags again.
    keys: Vec<Box<[u8]>>,
    batcher: Batcher,
    cache: SeriesCache,
    waiting: Vec<Series>,
    rows: usize,
    written: u64,
    /// Why no more rows are taken.
    pub failed: Option<QueryError>,
}

impl<'a> Into<'a> {
    /// Resolves the target; `None`: the query has none.
    ///
    /// # Errors
    /// A database or policy that does not exist.
    pub fn new(context: Context<'a>, query: &'a Select) -> Result<Option<Into<'a>>, QueryError> {
        let Some(named) = &query.target else { return Ok(None) };
        let target = {
            let catalog = context.cluster.catalog();
            let own = context.options.db.as_deref();
            let database = database(&catalog, named.database.as_deref().or(own))?;
            let policy = policy(&catalog, database, named.retention_policy.as_deref())?;
            Target { db: database.id, policy }
        };
        Ok(Some(Into {
            context,
            target,
            named,
            keys: keys(query),
            batcher: Batcher::new(),
            cache: SeriesCache::new(context.options.now_ns as u64, SERIES_MAX),
            waiting: Vec::new(),
            rows: 0,
            written: 0,
            failed: None,
        }))
    }

    /// Writes what waits and gives the number of points.
    ///
    /// # Errors
    /// Those of the write.
    pub async fn finish(mut self) -> Result<Series, QueryError> {
        self.write().await?;
        Ok(Series {
            name: Some(b"result".as_slice().into()),
            columns: [b"time".as_slice(), b"written"].map(Box::from).into(),
            values: vec![
                Column::Times(vec![0]),
                Column::Values(crate::model::Values::Integer(vec![self.written as i64]), None),
            ],
            rows: 1,
            ..Series::default()
        })
    }

    async fn write(&mut self) -> Result<(), QueryError> {
        let waiting = std::mem::take(&mut self.waiting);
        self.rows = 0;
        for _ in 0..TRIES_MAX {
            match self.attempt(&waiting).await? {
                Some(written) => {
                    self.written += written;
                    return Ok(());
                }
                None => continue,
            }
        }
        Err(QueryError::Refused("a name in the write was dropped meanwhile".to_owned()))
    }

    /// Writes some series; `None` when it has to be done again.
    async fn attempt(&mut self, waiting: &[Series]) -> Result<Option<u64>, QueryError> {
        let cluster = self.context.cluster;
        let (unknown, refused, lines) = {
            let catalog = cluster.catalog();
            self.batcher.begin(self.target);
            let now_ns = self.context.options.now_ns;
            self.batcher.enter(&catalog, now_ns, cluster.shard_count());
            let (batcher, cache) = (&mut self.batcher, &mut self.cache);
            let mut points = Points { batcher, catalog: &catalog, cache };
            let services = &self.context.options.server.services;
            let lines = services.wants_copies(self.target).then(Vec::new);
            let mut made = Made { lines, ..Made::default() };
            let name = self.named.name.as_deref().map(str::as_bytes);
            let to = (name, self.keys.as_slice());
            waiting.iter().for_each(|series| put_all(series, to, &mut points, &mut made));
            let unknown = made.unknown.then(|| points.missing());
            (unknown, made.refused, made.lines)
        };
        if let Some(missing) = unknown {
            let command = missing.resolve(self.target.policy, false);
            return match cluster.decide(command).await {
                Err(CatalogError::PolicyNotFound(name)) => Err(QueryError::PolicyNotFound(name)),
                outcome => Ok(outcome.map(|()| None)?),
            };
        }
        let outcome = self.batcher.finish();
        let writes = outcome.writes.into_iter().map(|mut write| async move {
            let lesson = write.take_lesson();
            cluster.write(write.shard, write.request).await.map(|written| (lesson, written))
        });
        for result in all(writes.collect()).await {
            match result {
                Ok((lesson, written)) => {
                    lesson.learned(&written.ids, &mut self.cache);
                    if let Some(refused) = written.refused {
                        let (text, rows) = (refused.reason, refused.rows);
                        let text = format!("partial write: {text} dropped={rows}");
                        return Err(QueryError::Refused(text));
                    }
                }
                Err(WriteError::Stale) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(lines) = lines {
            self.context.options.server.services.copy(self.target, lines, outcome.rows);
        }
        if let Some((text, rows)) = refused {
            let text = String::from_utf8_lossy(&text);
            let text = format!("partial write: {text} dropped={rows}");
            return Err(QueryError::Refused(text));
        }
        Ok(Some(outcome.rows))
    }
}

impl Sink for Into<'_> {
    async fn part(&mut self, part: ResultPart) -> Result<(), Closed> {
        let Some(series) = part.series else { return Ok(()) };
        if series.columns.first().is_none_or(|name| **name != *b"time") {
            let text = "error finding time index in result";
            self.failed = Some(QueryError::Refused(text.to_owned()));
            return Err(Closed);
        }
        self.rows += series.rows;
        self.waiting.push(series);
        if self.rows < BATCH_ROWS {
            return Ok(());
        }
        self.write().await.map_err(|error| {
            self.failed = Some(error);
            Closed
        })
    }
}

/// What became of the points of a batch.
#[derive(Default)]
struct Made {
    unknown: bool,
    /// Why some cannot be stored: the first reason, and how many.
    refused: Option<(Vec<u8>, u64)>,
    /// The stored ones as line protocol, when somebody wants copies.
    lines: Option<Vec<u8>>,
}

/// The tags among the arguments of top() and bottom().
fn keys(query: &Select) -> Vec<Box<[u8]>> {
    let keys = query.fields.iter().flat_map(|field| key_arguments(&field.expr));
    let name = |expr: Expr| match expr {
        Expr::VarRef(var) => Some(Box::from(var.name.as_bytes())),
        _ => None,
    };
    keys.filter_map(name).collect()
}

fn put_all(
    series: &Series,
    (name, keys): (Option<&[u8]>, &[Box<[u8]>]),
    points: &mut Points<'_>,
    made: &mut Made,
) {
    let measurement = name.or(series.name.as_deref()).unwrap_or_default();
    let tags = series.tags.iter().filter(|(_, value)| !value.is_empty());
    let own: Vec<(&[u8], &[u8])> = tags.map(|(key, value)| (&**key, &**value)).collect();
    let mut tags = own.clone();
    let Some((Column::Times(times), columns)) = series.values.split_first() else { return };
    let names = || series.columns.iter().skip(1);
    let mut fields = Vec::with_capacity(columns.len());
    for (row, time) in times.iter().enumerate() {
        fields.clear();
        tags.clone_from(&own);
        let mut whole = true;
        for (name, column) in names().zip(columns) {
            let datum = match column.get(row) {
                CellRef::Float(value) if value.is_nan() => continue,
                CellRef::Float(value) if value.is_infinite() => {
                    whole = false;
                    continue;
                }
                CellRef::Float(value) => Datum::Float(value),
                CellRef::Integer(value) | CellRef::Time(value) => Datum::Integer(value),
                CellRef::Unsigned(value) => Datum::Unsigned(value),
                CellRef::Boolean(value) => Datum::Boolean(value),
                CellRef::Text(text) if keys.contains(name) => {
                    tags.push((&**name, text));
                    continue;
                }
                CellRef::Text(text) => Datum::String(text),
                CellRef::Null | CellRef::List(_) => continue,
            };
            fields.push((&**name, datum));
        }
        if fields.is_empty() || !whole {
            continue;
        }
        tags.sort_unstable();
        tags.dedup_by_key(|(key, _)| *key);
        let point = Point { measurement, tags: &tags, time: *time, fields: &fields };
        match points.put(&point) {
            Put::Stored => {
                if let Some(lines) = &mut made.lines {
                    print(&point, lines);
                }
            }
            Put::Unknown => made.unknown = true,
            Put::Refused(text) => made.refused.get_or_insert((text, 0)).1 += 1,
        }
    }
}
