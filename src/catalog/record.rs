//! What the catalog's journal holds: one record per decided fact. Applying the same records in the
//! same order gives every core the same `State`.

use crate::model::{DbId, FieldNo, FieldType, MeasurementId, PartitionId, PolicyId, TimeRange};

/// One decided fact.
#[derive(Clone, PartialEq, Debug)]
pub enum Record {
    CreateDatabase {
        id: DbId,
        name: String,
    },
    DropDatabase {
        id: DbId,
    },
    /// Creates a policy, or changes one that has this id. `default` makes it the default one.
    PutPolicy {
        db: DbId,
        policy: PolicyId,
        spec: PolicySpec,
        default: bool,
    },
    DropPolicy {
        policy: PolicyId,
    },
    CreateMeasurement {
        id: MeasurementId,
        db: DbId,
        name: Box<[u8]>,
    },
    DropMeasurement {
        id: MeasurementId,
    },
    /// Interns a field name for the whole store.
    NameField {
        field: FieldNo,
        name: Box<[u8]>,
    },
    /// Adds a type to the set of types that a field has in one policy and measurement.
    AddFieldType {
        policy: PolicyId,
        measurement: MeasurementId,
        field: FieldNo,
        kind: FieldType,
    },
    CreatePartition {
        id: PartitionId,
        policy: PolicyId,
        range: TimeRange,
    },
    DropPartition {
        id: PartitionId,
    },
}

/// What an administrator says of a retention policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicySpec {
    pub name: String,
    /// How long points are kept (ns); 0 = for ever.
    pub duration_ns: i64,
    /// Length of a partition (ns).
    pub shard_duration_ns: i64,
    /// Stored and shown, without effect.
    pub replicas: u32,
}
