//! What the catalog's journal holds: one record per decided fact. Applying the same records in the
//! same order gives every core the same `State`.
//!
//! Bytes: a list of records is cut into groups; each group is `len u32 LE` and an rkyv archive of
//! `Vec<Record>` of that length. The journal's frame carries the checksum.

use super::metadata::MetadataKey;
use super::state::NextIds;
use super::users::Rights;
use crate::model::{DbId, FieldNo, FieldType, MeasurementId, PartitionId, PolicyId, TimeRange};

/// One decided fact.
#[derive(Clone, PartialEq, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
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
    /// The name of a default policy that was dropped: errors still name it.
    NameLostDefault {
        db: DbId,
        name: String,
    },
    /// Ids below these were given once and are not given again.
    Reserve {
        next: NextIds,
    },
    /// Creates a user, or changes the one of this name.
    PutUser {
        name: String,
        hash: String,
        admin: bool,
    },
    DropUser {
        name: String,
    },
    /// Sets what a user may do in a database.
    Grant {
        name: String,
        db: DbId,
        rights: Rights,
    },
    /// A continuous query: its whole statement.
    PutQuery {
        db: DbId,
        name: String,
        text: String,
    },
    DropQuery {
        db: DbId,
        name: String,
    },
    Subscribe {
        policy: PolicyId,
        name: String,
        all: bool,
        destinations: Vec<String>,
    },
    Unsubscribe {
        policy: PolicyId,
        name: String,
    },
    /// Creates or replaces a text of KairosDB's metadata service.
    PutMetadata {
        key: MetadataKey,
        text: String,
    },
    DropMetadata {
        key: MetadataKey,
    },
}

impl Record {
    /// Whether it only ends something, so that it leads to more room.
    pub fn takes_away(&self) -> bool {
        match self {
            Record::DropDatabase { .. }
            | Record::DropPolicy { .. }
            | Record::DropMeasurement { .. }
            | Record::DropPartition { .. }
            | Record::DropUser { .. }
            | Record::DropQuery { .. }
            | Record::DropMetadata { .. }
            | Record::Unsubscribe { .. }
            | Record::NameLostDefault { .. }
            | Record::Reserve { .. } => true,
            Record::CreateDatabase { .. }
            | Record::PutPolicy { .. }
            | Record::CreateMeasurement { .. }
            | Record::NameField { .. }
            | Record::AddFieldType { .. }
            | Record::CreatePartition { .. }
            | Record::PutUser { .. }
            | Record::Grant { .. }
            | Record::PutQuery { .. }
            | Record::Subscribe { .. }
            | Record::PutMetadata { .. } => false,
        }
    }
}

/// What an administrator says of a retention policy.
#[derive(Clone, PartialEq, Eq, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct PolicySpec {
    pub name: String,
    /// How long points are kept (ns); 0 = for ever.
    pub duration_ns: i64,
    /// Length of a partition (ns).
    pub shard_duration_ns: i64,
    /// Stored and shown, without effect.
    pub replicas: u32,
}

/// Records of one group: an archive stays far below the size whose validation would hold up a core.
const GROUP_RECORDS: usize = 2048;
/// A group ends behind the record that brings its texts to so many bytes.
const GROUP_BYTES: usize = 256 << 10;

/// How many records the next group has.
fn group(records: &[Record]) -> usize {
    let mut bytes = 0;
    let text = |record: &Record| match record {
        Record::PutMetadata { text, .. } => text.len(),
        _ => 0,
    };
    let small = records.iter().take(GROUP_RECORDS).take_while(|record| {
        let fits = bytes < GROUP_BYTES;
        bytes += text(record);
        fits
    });
    small.count()
}

/// Serialises records; `None` when the serialiser gives up (out of memory).
pub fn encode(records: &[Record]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = records;
    while !rest.is_empty() {
        let (now, later) = rest.split_at_checked(group(rest))?;
        rest = later;
        let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&now.to_vec()).ok()?;
        out.extend_from_slice(&u32::try_from(archive.len()).ok()?.to_le_bytes());
        out.extend_from_slice(&archive);
    }
    Some(out)
}

/// Reads what `encode` wrote; `None` for anything else.
pub fn decode(mut bytes: &[u8]) -> Option<Vec<Record>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let (archive, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        let mut aligned = rkyv::util::AlignedVec::<16>::with_capacity(archive.len());
        aligned.extend_from_slice(archive);
        let group = rkyv::from_bytes::<Vec<Record>, rkyv::rancor::Error>(&aligned).ok()?;
        out.extend(group);
        bytes = rest;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_and_damage_is_an_error() {
        let records: Vec<Record> = (1..5000u32)
            .map(|n| Record::CreateDatabase { id: DbId(n), name: format!("db{n}") })
            .collect();
        let bytes = encode(&records).unwrap();
        assert_eq!(decode(&bytes), Some(records));
        let key = |n: u32| ("s".to_owned(), "k".to_owned(), n.to_string());
        let texts: Vec<Record> = (0..5)
            .map(|n| Record::PutMetadata { key: key(n), text: "x".repeat(100 << 10) })
            .collect();
        assert_eq!((group(&texts), group(&texts[..2])), (3, 2));
        assert_eq!(decode(&encode(&texts).unwrap()), Some(texts));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(decode(&[9, 0, 0, 0, 1]), None);
    }
}
