//! Identities as newtypes. Catalog ids (database, policy, measurement, field, partition) are given
//! by the catalog, start at 1 and are never used twice; series ids are dense per shard.
//!
//! Nothing here is looked up: what an id means is known by the catalog (`catalog::State`) or, for a
//! series, by the index of the shard that owns it.

use super::value::FieldType;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        #[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
        pub struct $name(pub u32);

        impl $name {
            /// The id as an index into a dense table.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id!(
    /// A database.
    DbId
);
id!(
    /// A retention policy of one database.
    PolicyId
);
id!(
    /// A measurement of one database. A measurement dropped and made again gets a new id.
    MeasurementId
);
id!(
    /// A field *name*, interned once for the whole store. Number 0 is the hidden expiry column.
    FieldNo
);
id!(
    /// A time range of one policy, its bounds fixed when it is made.
    PartitionId
);
id!(
    /// A series within one shard, dense from 0 across the shard's databases.
    SeriesId
);
id!(
    /// A shard of the store, 0 to S - 1. S is a property of the store, not of the machine.
    ShardId
);

impl SeriesId {
    /// No series: ids have 31 bits.
    pub const NONE: SeriesId = SeriesId(u32::MAX);
}

/// A stored column: a field name *and* a type. The type sits in the low three bits, so whoever
/// holds a column id knows how to read its values without asking the catalog.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ColumnId(pub u32);

impl ColumnId {
    /// The hidden column that holds the instant (ns) at which a row with a time to live expires.
    pub const EXPIRE: ColumnId = ColumnId(FieldType::Integer as u32);

    /// The column of `field` with values of `kind`.
    pub fn new(field: FieldNo, kind: FieldType) -> ColumnId {
        ColumnId(field.0 << 3 | kind as u32)
    }

    /// Reads an id from outside (a file); `None` when its type bits mean nothing.
    pub fn checked(raw: u32) -> Option<ColumnId> {
        FieldType::from_tag((raw & 7) as u8).map(|_| ColumnId(raw))
    }

    /// The field's name, interned.
    pub fn field(self) -> FieldNo {
        FieldNo(self.0 >> 3)
    }

    /// The type of the column's values.
    pub fn kind(self) -> FieldType {
        match self.0 & 7 {
            0 => FieldType::Float,
            1 => FieldType::Integer,
            2 => FieldType::Unsigned,
            3 => FieldType::String,
            _ => FieldType::Boolean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_id_carries_its_type() {
        for kind in FieldType::ALL {
            let id = ColumnId::new(FieldNo(77), kind);
            assert_eq!(id.kind(), kind);
            assert_eq!(id.field(), FieldNo(77));
            assert_eq!(ColumnId::checked(id.0), Some(id));
        }
        assert_eq!(ColumnId::checked(7), None);
        assert_eq!(ColumnId::EXPIRE, ColumnId::new(FieldNo(0), FieldType::Integer));
    }
}
