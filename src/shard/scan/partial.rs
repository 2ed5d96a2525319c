//! What a shard answers: rows, or states of groups that merge with those of other shards.
//!
//! A state's merge does not depend on the order of shards: float sums travel as double-double pairs
//! and are rounded once, ties have a rule.

use super::few::Few;
use crate::model::{Column, MeasurementId, Strings, Value};
use std::sync::Arc;

/// One message of an answer. Parts of a scan come in the request's order of groups.
#[derive(Clone, PartialEq, Debug)]
pub enum Part {
    /// Never none; the rows of a large group come in several pieces.
    Rows(Vec<Rows>),
    Groups(Vec<Group>),
}

/// Rows of one group in time order; equal times in the order of the series' canonical keys.
#[derive(Clone, PartialEq, Debug)]
pub struct Rows {
    /// Values of `Request::group_by`.
    pub group: Arc<[Box<[u8]>]>,
    /// Canonical keys of the series that occur here; they order rows of equal time and carry tags.
    pub series: Vec<Arc<[u8]>>,
    /// For each row its place in `series`.
    pub series_of: Vec<u32>,
    /// Nanoseconds since the epoch.
    pub times: Vec<i64>,
    /// One column per `Request::fields`, in that order (ids are the first column behind the field;
    /// values are of the field's type).
    pub fields: Vec<Column>,
}

/// States of one group: bucket `first_bucket + i` is entry `i` of every state.
#[derive(Clone, PartialEq, Debug)]
pub struct Group {
    /// Values of `Request::group_by`.
    pub values: Arc<[Box<[u8]>]>,
    pub first_bucket: i64,
    /// One per aggregate of the request, all of the same length.
    pub states: Vec<States>,
    /// The values behind float sums and moments, by aggregate, of a scan with few of them; may be
    /// empty.
    pub few: Vec<Option<Few>>,
    /// The smallest and largest time of a row that took part (ns). Where nothing but the first or
    /// the last point of all time is asked for, rows beyond it may have been left unread.
    pub first_time: i64,
    pub last_time: i64,
}

/// One aggregate's state for each bucket.
#[derive(Clone, PartialEq, Debug)]
pub enum States {
    Count(Vec<u64>),
    /// Wrapping sums.
    SumInteger {
        sum: Vec<i64>,
        count: Vec<u64>,
    },
    SumUnsigned {
        sum: Vec<u64>,
        count: Vec<u64>,
    },
    /// The sum is `high + low`, exact to about 106 bits.
    SumFloat {
        high: Vec<f64>,
        low: Vec<f64>,
        count: Vec<u64>,
    },
    /// Min, max, first, last.
    Picked(Vec<Option<Picked>>),
    /// Smallest and largest.
    Spread(Vec<Option<(Value, Value)>>),
    /// n, mean, sum of squared distances from the mean.
    Moments {
        count: Vec<u64>,
        mean: Vec<f64>,
        squares: Vec<f64>,
    },
    Samples(Vec<Samples>),
    /// Best, sample.
    Kept(Vec<Kept>),
}

/// Points of which only the best stay (`keep`).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Kept {
    pub points: Vec<Ranked>,
    /// So many at the front are in order, and the best of all that came before the others.
    pub settled: usize,
}

/// A point that may stay.
#[derive(Clone, PartialEq, Debug)]
pub struct Ranked {
    /// A random number by which samples are chosen, the least first.
    pub rank: u64,
    pub point: Picked,
}

/// A selected point.
#[derive(Clone, PartialEq, Debug)]
pub struct Picked {
    pub time: i64,
    pub value: Value,
    /// One per `Aggregate::aux`.
    pub aux: Vec<Option<Value>>,
}

/// Values with their times, in time order; equal times in the order of the series' canonical keys.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Samples {
    pub times: Vec<i64>,
    pub values: Vec<Value>,
    /// `Aggregate::aux` of each value, back to back.
    pub aux: Vec<Option<Value>>,
    /// Canonical keys, one may come several times. None for distinct values.
    pub series: Vec<Arc<[u8]>>,
    /// For each value its place in `series`.
    pub series_of: Vec<u32>,
}

/// What a scan did: for EXPLAIN, EXPLAIN ANALYZE, statistics and slow-query logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    pub series: u64,
    pub rows: u64,
    pub blocks: u64,
    pub bytes: u64,
    /// Chunks that were not decoded, because their statistics said enough.
    pub chunks_known: u64,
    /// Files with selected chunks, and values that wait in memory; counted by `Output::Cost` alone.
    pub files: u64,
    pub cached: u64,
    /// Time spent on the shard's core (ns).
    pub busy_ns: u64,
}

/// A tag's key and value.
pub type TagPair = (Box<[u8]>, Box<[u8]>);

/// What the index answered, by measurement id; every list is sorted.
#[derive(Clone, PartialEq, Debug)]
pub enum Found {
    Measurements(Vec<MeasurementId>),
    Keys(Vec<(MeasurementId, Vec<Box<[u8]>>)>),
    TagKeys(Vec<(MeasurementId, Vec<Box<[u8]>>)>),
    TagValues(Vec<(MeasurementId, Vec<TagPair>)>),
    Count(Vec<(MeasurementId, u64)>),
    /// Sorted, each once.
    Names(Strings),
    Failed(ScanError),
}

/// Why a scan has no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScanError {
    /// The asker is gone, or the question was killed.
    #[error("query interrupted")]
    Cancelled,
    #[error("query-timeout limit exceeded")]
    Timeout,
    /// More rows read than the operator allows.
    #[error("max-select-point limit exceeed: ({found}/{limit})")]
    Points { found: u64, limit: u64 },
    #[error("query needs more than {limit} bytes of memory on one shard")]
    Memory { limit: usize },
    /// A file cannot be read or is damaged; names file and offset.
    #[error("{0}")]
    Storage(String),
    #[error("a core of the server is gone")]
    Lost,
}
