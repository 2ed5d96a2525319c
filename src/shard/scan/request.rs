//! What a shard is asked: which series and rows, how they are grouped, and what to make of them.
//!
//! Plain data made once by the planner and shared by all shards (`Arc<Request>`). Names are
//! resolved: columns by id, tags by position in `Request::tags`.

use super::partial::Found;
use crate::model::{
    ColumnId, DbId, FieldType, MeasurementId, PartitionId, Strings, TimeRange, Value,
};
use crate::shard::index::TagFilter;
use std::sync::Arc;

/// One question over one measurement of one policy.
#[derive(Clone, Debug)]
pub struct Request {
    pub db: DbId,
    pub measurement: MeasurementId,
    /// The policy's partitions that meet `range`, oldest first.
    pub partitions: Vec<PartitionId>,
    /// Rows outside are not looked at (ns, inclusive).
    pub range: TimeRange,
    /// Rows whose time to live ended before this instant are not there (ns).
    pub now_ns: i64,
    /// Which series: decided by the index alone. A superset of what `filter` lets through.
    pub series: TagFilter,
    /// Which rows, evaluated after the merge. `None`: all.
    pub filter: Option<Expr>,
    /// Fields that `filter` and `output` refer to by position.
    pub fields: Vec<FieldRef>,
    /// Tag keys that `filter` and `output` refer to by position.
    pub tags: Vec<Box<[u8]>>,
    /// Tag keys of GROUP BY, sorted. Each distinct combination of values (missing = "") is a group.
    pub group_by: Vec<Box<[u8]>>,
    pub output: Output,
    /// Groups, and rows within a group, come in this order. Groups are ordered by their values.
    pub order: Order,
    /// Bytes of state a shard may hold for this question; beyond it the scan ends with an error.
    pub memory_bytes: usize,
    /// Rows that the scan may read on a shard; beyond it the scan ends with an error. 0 = no limit.
    pub rows_max: u64,
    /// The instant at which every scan of the query ends, by the monotonic clock that all cores of
    /// the process share (ns); 0 = no limit.
    pub deadline_ns: u64,
}

/// Direction of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    Ascending,
    Descending,
}

/// A field as a question sees it: the typed columns behind one name, read as one type.
///
/// Where several columns have a value at one time, the first in `columns` wins; every value is cast
/// to `kind` (number to number), and a value that cannot be cast counts as missing.
#[derive(Clone, PartialEq, Debug)]
pub struct FieldRef {
    pub columns: Vec<ColumnId>,
    pub kind: FieldType,
}

/// What becomes of the rows.
#[derive(Clone, Debug)]
pub enum Output {
    /// Rows in which one of `fields[..visible]` has a value, at most `limit` per group after
    /// skipping none (the coordinator applies OFFSET, so it asks for LIMIT + OFFSET rows).
    Rows { visible: usize, limit: Option<u64> },
    /// One state per group, bucket and aggregate.
    Aggregates { buckets: Buckets, aggregates: Vec<Aggregate> },
    /// The starts of the buckets that have a row of some series, whatever its fields, ascending: a
    /// time of a part's `Rows` each, which have nothing else.
    Starts(Buckets),
    /// No part, only the summary: what would be read (EXPLAIN).
    Cost,
}

/// How time is cut. A bucket is named by the instant at which it starts.
#[derive(Clone, PartialEq, Debug)]
pub enum Buckets {
    /// No cut: one bucket, numbered 0.
    One,
    /// Bucket `n` starts at `n * width_ns + offset_ns`, with 0 <= offset_ns < width_ns.
    Even { width_ns: i64, offset_ns: i64 },
    /// Bucket `n` reaches from `starts[n]` to before `starts[n + 1]` (the last one is a bound
    /// only); for calendar zones, where days have 23 to 25 hours.
    Starts(Arc<[i64]>),
}

/// One aggregate of one field.
#[derive(Clone, PartialEq, Debug)]
pub struct Aggregate {
    pub function: Function,
    /// Position in `Request::fields`.
    pub field: usize,
    /// Values that travel with a selected point.
    pub aux: Vec<Aux>,
    /// Rows outside do not count for this one (ns, inclusive).
    pub range: TimeRange,
}

/// A value beside a selected point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aux {
    /// Position in `Request::fields`.
    Field(usize),
    /// Position in `Request::tags`.
    Tag(usize),
}

/// What is computed on the shard. Functions whose parts cannot be merged ask for `Values`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Function {
    Count,
    /// Sum and count; also serves mean.
    Sum,
    Min,
    Max,
    First,
    Last,
    /// The first point; of those at one time the one with the smallest value.
    FirstLeast,
    /// Smallest and largest value.
    Spread,
    /// n, mean and sum of squared distances from it.
    Moments,
    /// Every value with its time, in time order: median, percentile, mode, stream functions.
    Values,
    /// Every distinct value with the first time it was seen.
    Distinct,
    /// The `count` largest (or smallest) points; of equal values the earlier. `by`: of points in
    /// which the first so many `aux`, all of them tags, are equal only the best takes part.
    Best {
        count: usize,
        smallest: bool,
        by: Option<usize>,
    },
    /// `count` points, each set of so many being as likely as any other. The choice depends on the
    /// seed, the series' keys and the times alone.
    Sample {
        count: usize,
        seed: u64,
    },
}

/// An expression over one row.
#[derive(Clone, Debug)]
pub enum Expr {
    Literal(Value),
    /// Position in `Request::fields`.
    Field(usize),
    /// Position in `Request::tags`; a missing tag is the empty string.
    Tag(usize),
    /// The row's time as an integer (ns).
    Time,
    Binary {
        op: Operator,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// A regular expression against a string; `negated` for `!~`.
    Matches {
        left: Box<Expr>,
        regex: regex::bytes::Regex,
        negated: bool,
    },
    Call {
        function: MathFunction,
        arguments: Vec<Expr>,
    },
    /// Number to number; anything else is missing.
    Cast {
        inner: Box<Expr>,
        kind: FieldType,
    },
}

/// Operators with InfluxQL's rules (`spec`: integer wraps, integer / integer is a float, x / 0 is
/// 0).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    BitAnd,
    BitOr,
    BitXor,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
}

/// Mathematical functions of one row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MathFunction {
    Abs,
    Ceil,
    Floor,
    Round,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Atan2,
    Exp,
    Ln,
    Log,
    Log2,
    Log10,
    Sqrt,
    Pow,
}

/// A question to the index alone.
#[derive(Clone, Debug)]
pub struct Lookup {
    pub db: DbId,
    /// Empty: every measurement of the database.
    pub measurements: Vec<MeasurementId>,
    pub series: TagFilter,
    /// Only series with a row in one of these partitions within the range; `None`: any series.
    pub within: Option<(Vec<PartitionId>, TimeRange)>,
    pub want: Want,
}

/// What is wanted of the series that match.
#[derive(Clone, Debug)]
pub enum Want {
    /// Measurements with a matching series.
    Measurements,
    /// Canonical keys.
    Keys,
    /// Tag keys by measurement.
    TagKeys,
    /// Values of the tag keys that pass, by measurement.
    TagValues(KeyFilter),
    /// Number of matching series by measurement.
    Count,
    /// Every tag name of the database, whatever else the look-up says.
    AllTagNames,
    /// Every tag value of the database, whatever else the look-up says.
    AllTagValues,
}

impl Want {
    /// Whether only series that match give anything.
    pub fn of_series(&self) -> bool {
        !matches!(self, Want::AllTagNames | Want::AllTagValues)
    }

    /// The answer when no series matches.
    pub fn nothing(&self) -> Found {
        match self {
            Want::Measurements => Found::Measurements(Vec::new()),
            Want::Keys => Found::Keys(Vec::new()),
            Want::TagKeys => Found::TagKeys(Vec::new()),
            Want::TagValues(_) => Found::TagValues(Vec::new()),
            Want::Count => Found::Count(Vec::new()),
            Want::AllTagNames | Want::AllTagValues => Found::Names(Strings::default()),
        }
    }
}

/// Which tag keys: WITH KEY of SHOW TAG VALUES.
#[derive(Clone, Debug)]
pub enum KeyFilter {
    In(Vec<Box<[u8]>>),
    NotEquals(Box<[u8]>),
    Matches(regex::bytes::Regex),
    NotMatches(regex::bytes::Regex),
}
