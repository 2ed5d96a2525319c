//! From bytes to durable rows: shared by every door that writes.
//!
//! In: what a decoder made of a part of a body. Out: rows on every shard concerned, or the reason
//! why not. Names that the catalog does not know are asked for in one question a round; the shards
//! are written side by side; ids of new series are taught to this core's cache. A write that meets
//! a name dropped meanwhile is decoded again from its bytes, at most `TRIES_MAX` times.

use super::front::Front;
use super::join;
use crate::catalog::{CatalogError, Command};
use crate::env::Env;
use crate::model::{PolicyId, ShardId, WriteRequest};
use crate::protocol::batcher::Lesson;
use crate::protocol::{Missing, Outcome};
use crate::shard::{Refused, WriteError};
use futures_lite::future;

/// How often a write is decoded when names are dropped under it.
pub const TRIES_MAX: usize = 3;
/// Input decoded between two turns of other tasks (bytes), about 0.2 ms.
pub const SLICE_BYTES: usize = 256 << 10;
/// Unknown names collected before the catalog is asked.
pub const NAMES_MAX: usize = 16_384;

/// Why rows were not stored.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IngestError {
    /// A name was dropped while it was used; decoding again helps.
    #[error("a name in the write was dropped meanwhile")]
    Stale,
    #[error("timeout")]
    Timeout,
    /// As many bytes as may be are on their way to some shard, or this write waits for room;
    /// InfluxDB's words.
    #[error("request throttled, exceeds timeout")]
    Busy,
    #[error("engine: {0}")]
    Shard(WriteError),
    #[error("{0}")]
    Catalog(#[from] CatalogError),
}

/// Rows and values that were stored.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stored {
    pub rows: u64,
    /// Those of refused rows included.
    pub values: u64,
    /// Rows that a limit on series kept out; they are not in `rows`.
    pub refused: Option<Refused>,
}

impl Stored {
    fn note(&mut self, refused: Option<Refused>) {
        let Some(more) = refused else { return };
        self.rows = self.rows.saturating_sub(more.rows);
        match &mut self.refused {
            Some(known) => known.rows += more.rows,
            None => self.refused = Some(more),
        }
    }
}

impl<E: Env> Front<E> {
    /// Has the catalog make names; every core knows them afterwards.
    pub(super) async fn make_names(
        &self,
        missing: Missing,
        policy: PolicyId,
        mix_types: bool,
    ) -> Result<(), IngestError> {
        self.doors().catalog_rounds.add(1);
        match self.cluster.decide(missing.resolve(policy, mix_types)).await {
            // The policy was there when the write began.
            Err(CatalogError::PolicyNotFound(_)) => Err(IngestError::Stale),
            other => Ok(other?),
        }
    }

    /// Creates a database; it may exist.
    pub(super) async fn make_database(&self, name: &str) -> Result<(), IngestError> {
        let command = Command::CreateDatabase { name: name.to_owned(), policy: None };
        Ok(self.cluster.decide(command).await?)
    }

    /// Makes the rows of a request durable, in bounded time. After `Timeout` they may be stored or
    /// not, and so they may after `Busy`, when many are on their way.
    pub(super) async fn commit(&self, outcome: Outcome) -> Result<Stored, IngestError> {
        if outcome.writes.is_empty() {
            return self.write_all(outcome).await;
        }
        self.in_time(self.write_all(outcome)).await
    }

    /// Gives up what takes longer than a request may wait. What it began may still be done.
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, IngestError>>,
    ) -> Result<T, IngestError> {
        let Some(limit) = self.write_timeout() else { return work.await };
        let late = async {
            self.env.sleep(limit).await;
            let crowded = self.cluster.is_crowded();
            Err(if crowded { IngestError::Busy } else { IngestError::Timeout })
        };
        future::or(work, late).await
    }

    /// Makes the rows of a request durable, however long it takes.
    pub(super) async fn write_all(&self, outcome: Outcome) -> Result<Stored, IngestError> {
        let mut stored = Stored { rows: outcome.rows, values: outcome.values, refused: None };
        let writes = outcome.writes.into_iter().map(|mut write| {
            let lesson = write.take_lesson();
            self.write_shard(write.shard, write.request, lesson)
        });
        let mut failed = Vec::new();
        for result in join::all(writes).await {
            match result {
                Ok(refused) => stored.note(refused),
                Err(error) => failed.push(error),
            }
        }
        // A lasting failure is told before one that decoding again would cure.
        let lasting = failed.iter().find(|error| **error != IngestError::Stale);
        match lasting.or(failed.first()) {
            None => Ok(stored),
            Some(error) => Err(error.clone()),
        }
    }

    async fn write_shard(
        &self,
        shard: ShardId,
        write: WriteRequest,
        lesson: Lesson,
    ) -> Result<Option<Refused>, IngestError> {
        match self.cluster.write(shard, write).await {
            Ok(written) => {
                lesson.learned(&written.ids, &mut self.cache.borrow_mut());
                self.recycle(written.spent);
                Ok(written.refused)
            }
            Err(WriteError::Stale) => {
                self.doors().stale_writes.add(1);
                Err(IngestError::Stale)
            }
            Err(error) => Err(IngestError::Shard(error)),
        }
    }
}
