//! Everything one core can say to another. A new kind of work between cores is a new line here.

use super::admission::Admit;
use super::hub::{Hub, Traffic};
use super::queries::{Kill, QueryInfo};
use super::tally::Counts;
use crate::catalog::{CatalogError, Command, Record};
use crate::model::batch::NewSeries;
use crate::model::{DbId, SeriesId, ShardId, TimeRange, WriteRequest};
use crate::shard::index::TagFilter;
use crate::shard::scan;
use crate::shard::{Counters, Gauges, WriteError, Written};
use std::sync::Arc;

/// The traffic of a ringtail process.
pub struct Talk;

/// A core's end of the mesh.
pub type Mesh = Hub<Talk>;

/// What a core asks another.
pub enum Request {
    /// To the core that hosts the shard: make these rows durable.
    Write { shard: ShardId, write: WriteRequest },
    /// … which of these keys have no live series there.
    Unknown { shard: ShardId, db: DbId, series: Vec<NewSeries> },
    /// … answer its part of a question; parts, then `Reply::Scanned`.
    Scan { shard: ShardId, request: Arc<scan::Request> },
    /// … what the index knows.
    Lookup { shard: ShardId, lookup: Arc<scan::Lookup> },
    /// … delete rows (or whole series) of a measurement.
    Delete { shard: ShardId, delete: Arc<Delete> },
    /// … flush or compact now.
    Maintain { shard: ShardId, work: Maintenance },
    /// To the core that owns the catalog: decide these.
    Decide { commands: Vec<Command> },
    /// … may these series be made?
    Admit(Admit),
    /// From that core to all: these records are decided, and follow `version`.
    Apply { version: u64, records: Arc<[Record]> },
    /// To any core: its counters.
    Report,
    /// … what keeps its shards from taking writes.
    Health,
    /// … its running queries.
    Queries,
    /// … stop one of them.
    Kill { id: u64 },
    /// … count for so long who asks (ns).
    Watch { for_ns: u64 },
}

/// What one shard has done and has now.
pub type ShardReport = (ShardId, Counters, Gauges);

/// How it ends.
pub enum Reply {
    /// The task that should have answered is gone.
    Lost,
    Written(Result<Written, WriteError>),
    /// Places in the question.
    Unknown(Vec<u32>),
    /// One for each series; the error is the reason.
    Admitted(Vec<Result<(), String>>),
    Scanned(Result<scan::Summary, scan::ScanError>),
    Found(scan::Found),
    Deleted(Result<u64, WriteError>),
    Maintained(Result<(), String>),
    Decided(Vec<Result<(), CatalogError>>),
    Applied,
    Report(Vec<ShardReport>),
    Health(Option<String>),
    Queries(Vec<QueryInfo>),
    Killed(Kill),
    Watched(Counts),
}

/// Which rows to delete.
#[derive(Clone, Debug)]
pub struct Delete {
    pub measurements: Vec<crate::model::MeasurementId>,
    pub series: TagFilter,
    /// `None`: the whole series end (DROP SERIES).
    pub range: Option<TimeRange>,
}

/// Work that otherwise happens by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Maintenance {
    /// Bring the head to disk.
    Flush,
    /// Flush, then pack every day.
    Compact,
}

impl Traffic for Talk {
    type Request = Request;
    type Reply = Reply;
    type Part = scan::Part;

    fn lost() -> Reply {
        Reply::Lost
    }
}

/// Bytes a write occupies on its way.
pub fn write_bytes(write: &WriteRequest) -> usize {
    let batch = |batch: &crate::model::Batch| {
        let columns: usize = batch.columns.iter().map(|column| column.values.bytes()).sum();
        batch.rows() * (8 + size_of::<SeriesId>()) + columns
    };
    let keys: usize = write.new_series.iter().map(|series| series.key.len() + 16).sum();
    write.batches.iter().map(batch).sum::<usize>() + keys
}
