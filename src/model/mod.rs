//! Plain data used everywhere: ids, values, time ranges, series keys, and the Batch.
//!
//! Nothing here does I/O or knows a protocol; every type can be built in a test by hand.

pub mod batch;
pub mod bitmap;
pub mod ids;
pub mod map;
pub mod series_key;
pub mod time;
pub mod value;

pub use batch::{Batch, Column, SeriesRef, Strings, Values, WriteRequest};
pub use bitmap::Bitmap;
pub use ids::{ColumnId, DbId, FieldNo, MeasurementId, PartitionId, PolicyId, SeriesId, ShardId};
pub use map::{FixedMap, FixedSet, FixedState};
pub use series_key::SeriesKey;
pub use time::TimeRange;
pub use value::{FieldType, TypeSet, Value};
