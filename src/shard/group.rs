//! A commit in the making: requests become records, and steps for when these are durable.
//!
//! In: writes, deletes and retirements in the order of the queue. Out: bytes of records, the places
//! where they are cut into commits, and the steps behind them. The index knows new series from here
//! on, so who refuses a group owes their definitions to the next.

use super::index::{Index, IndexError};
use super::log::{self, Definition, record};
use super::write::{WriteError, Written};
use crate::env::notify::Giver;
use crate::model::{
    Batch, DbId, MeasurementId, SeriesId, SeriesKey, SeriesRef, TimeRange, WriteRequest,
};
use roaring::RoaringBitmap;
use std::cell::RefMut;

/// Encoded records beyond this wait for the next commit (bytes).
const COMMIT_BYTES: usize = 4 << 20;
/// Most series of one delete or retirement.
const IDS_MAX: usize = 1 << 16;
/// Most bytes of an id in a record.
const ID_BYTES: usize = 5;

/// How large records and commits become, so that every commit fits into a log file.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// A commit ends with the record that brings it here (bytes).
    pub commit: usize,
    /// A Batch, or a list of definitions, larger than this becomes several records (bytes).
    pub record: usize,
}

impl Sizes {
    /// Those for a log.
    pub fn of(options: &log::Options) -> Sizes {
        let half = usize::try_from(options.file_bytes / 2).unwrap_or(usize::MAX);
        let commit = COMMIT_BYTES.min(half);
        Sizes { commit, record: commit / 2 }
    }

    /// Series of one delete or retirement; a larger set becomes several.
    pub fn ids_max(self) -> usize {
        IDS_MAX.min(self.record / ID_BYTES).max(1)
    }
}

/// A request whose series are known.
pub struct Resolved {
    /// The id of each new key.
    pub new: Vec<SeriesId>,
    /// The series of each row, by Batch.
    pub rows: Vec<Vec<SeriesId>>,
}

/// Finds the series of a request's rows, and makes those that are new.
pub struct Interner<'a> {
    pub index: RefMut<'a, Index>,
    /// Those that were made.
    pub definitions: Vec<Definition>,
}

impl Interner<'_> {
    /// Series of every row.
    pub fn resolve(&mut self, write: &WriteRequest) -> Result<Resolved, WriteError> {
        let mut new = Vec::with_capacity(write.new_series.len());
        for series in &write.new_series {
            new.push(self.intern(write.db, series.measurement, &series.key)?);
        }
        let mut rows = Vec::with_capacity(write.batches.len());
        for batch in &write.batches {
            let mut ids = Vec::with_capacity(batch.series.len());
            for series in &batch.series {
                ids.push(self.series(*series, &new)?);
            }
            rows.push(ids);
        }
        Ok(Resolved { new, rows })
    }

    fn series(&mut self, series: SeriesRef, new: &[SeriesId]) -> Result<SeriesId, WriteError> {
        match series.resolve() {
            Ok(id) if self.index.is_live(id) => Ok(id),
            Ok(retired) => self.intern_again(retired),
            Err(position) => new.get(position as usize).copied().ok_or(WriteError::Malformed),
        }
    }

    /// The sender's id is of a series that was dropped since: its key gets a new one.
    fn intern_again(&mut self, id: SeriesId) -> Result<SeriesId, WriteError> {
        let known = (self.index.db(id), self.index.measurement(id), self.index.key(id));
        let (Some(db), Some(measurement), Some(key)) = known else { return Err(WriteError::Stale) };
        self.intern(db, measurement, key.as_bytes())
    }

    fn intern(&mut self, db: DbId, m: MeasurementId, key: &[u8]) -> Result<SeriesId, WriteError> {
        let (id, new) = self.index.intern(db, m, key).map_err(|error| match error {
            IndexError::Full => WriteError::IndexFull,
            IndexError::Dropped => WriteError::Stale,
            _ => WriteError::Malformed,
        })?;
        if new {
            let key = SeriesKey::from_bytes(key).ok_or(WriteError::Malformed)?;
            self.definitions.push(Definition { db, measurement: m, id, key });
        }
        Ok(id)
    }
}

/// Records of one commit, and what to do when it is durable.
pub struct Group {
    pub sizes: Sizes,
    pub bytes: Vec<u8>,
    /// Number of records.
    pub count: u32,
    /// Where the records are cut into commits: bytes and records before each cut.
    pub cuts: Vec<(usize, u32)>,
    pub steps: Vec<Step>,
}

/// What one or more records of the commit mean.
pub enum Step {
    /// One record; the index knows the series already.
    Defined(Vec<Definition>),
    Write {
        write: WriteRequest,
        resolved: Resolved,
        records: u32,
        done: Giver<Result<Written, WriteError>>,
    },
    Delete {
        series: RoaringBitmap,
        range: TimeRange,
        done: Giver<Result<(), WriteError>>,
    },
    Retire {
        series: RoaringBitmap,
        done: Giver<Result<(), WriteError>>,
    },
    /// No record.
    Refused {
        error: WriteError,
        done: Giver<Result<Written, WriteError>>,
    },
}

impl Group {
    /// A group without records; `bytes` is an empty buffer for them.
    pub fn new(sizes: Sizes, bytes: Vec<u8>) -> Group {
        Group { sizes, bytes, count: 0, cuts: Vec::new(), steps: Vec::new() }
    }

    /// The records of a write.
    pub fn push_write(
        &mut self,
        write: WriteRequest,
        resolved: Resolved,
        done: Giver<Result<Written, WriteError>>,
    ) {
        self.cut_if_due();
        let before = self.count;
        for (batch, ids) in write.batches.iter().zip(&resolved.rows) {
            self.push_batch(batch, ids);
        }
        self.steps.push(Step::Write { write, resolved, records: self.count - before, done });
    }

    fn push_batch(&mut self, batch: &Batch, ids: &[SeriesId]) {
        let values: usize = batch.columns.iter().map(|column| column.values.bytes()).sum();
        let bytes = values + batch.rows() * 12;
        if bytes <= self.sizes.record {
            record::put_rows(batch, ids, &mut self.bytes);
            self.count += 1;
            return self.cut_if_due();
        }
        let step = (batch.rows() * self.sizes.record / bytes).max(1);
        for start in (0..batch.rows()).step_by(step) {
            let rows = start..(start + step).min(batch.rows());
            let part = batch.slice(rows.clone());
            record::put_rows(&part, ids.get(rows).unwrap_or(&[]), &mut self.bytes);
            self.count += 1;
            self.cut_if_due();
        }
    }

    /// Definitions of series, in records that each fit into a commit.
    pub fn push_definitions(&mut self, definitions: Vec<Definition>) {
        let record = self.sizes.record;
        let mut rest = definitions;
        while !rest.is_empty() {
            let mut bytes = 0;
            let mut fits = |one: &Definition| {
                bytes += one.key.as_bytes().len() + 16;
                bytes <= record
            };
            let count = rest.iter().take_while(|one| fits(one)).count().max(1);
            let behind = rest.split_off(count.min(rest.len()));
            record::put_definitions(&rest, &mut self.bytes);
            self.count += 1;
            self.steps.push(Step::Defined(rest));
            self.cut_if_due();
            rest = behind;
        }
    }

    /// Begins another commit where this one is long enough.
    fn cut_if_due(&mut self) {
        let cut = self.cuts.last().map_or(0, |(end, _)| *end);
        if self.bytes.len() - cut >= self.sizes.commit {
            self.cuts.push((self.bytes.len(), self.count));
        }
    }

    /// Whether a retirement is the last step.
    pub fn ends_series(&self) -> bool {
        matches!(self.steps.last(), Some(Step::Retire { .. }))
    }

    /// Nothing was to be committed.
    pub fn answer_only(self) {
        for step in self.steps {
            match step {
                Step::Refused { error, done } => done.keep(Err(error)),
                Step::Write { write, resolved, done, .. } => {
                    done.keep(Ok(Written { ids: resolved.new, spent: write, refused: None }));
                }
                Step::Defined(_) | Step::Delete { .. } | Step::Retire { .. } => {}
            }
        }
    }

    /// Nothing of it became durable.
    pub fn refuse(self, error: &WriteError) {
        for step in self.steps {
            match step {
                Step::Defined(_) => {}
                Step::Write { done, .. } => done.keep(Err(error.clone())),
                Step::Refused { error, done } => done.keep(Err(error)),
                Step::Delete { done, .. } | Step::Retire { done, .. } => {
                    done.keep(Err(error.clone()));
                }
            }
        }
    }
}
