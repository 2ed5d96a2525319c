//! Field types and single values. Single values appear at the edges only (literals, results);
//! inside, values move as columns (`Values`).

/// The type of a stored field. The numbers are part of the on-disk format.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[repr(u8)]
pub enum FieldType {
    Float = 0,
    Integer = 1,
    Unsigned = 2,
    String = 3,
    Boolean = 4,
}

impl FieldType {
    /// Every type, in the order in which InfluxDB prefers one when a field has several.
    pub const ALL: [FieldType; 5] = [
        FieldType::Float,
        FieldType::Integer,
        FieldType::Unsigned,
        FieldType::String,
        FieldType::Boolean,
    ];

    /// Reads a tag from a file; `None` for one that no version wrote.
    pub fn from_tag(tag: u8) -> Option<FieldType> {
        FieldType::ALL.get(tag as usize).copied()
    }

    /// The type's name in SHOW FIELD KEYS and in type conflict errors.
    pub fn name(self) -> &'static str {
        match self {
            FieldType::Float => "float",
            FieldType::Integer => "integer",
            FieldType::Unsigned => "unsigned",
            FieldType::String => "string",
            FieldType::Boolean => "boolean",
        }
    }
}

/// A set of field types, as a byte of bits (bit = type tag).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TypeSet(pub u8);

impl TypeSet {
    /// Whether no type is present.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `kind` is present.
    pub fn contains(self, kind: FieldType) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Adds `kind`.
    pub fn insert(&mut self, kind: FieldType) {
        self.0 |= 1 << kind as u8;
    }

    /// The present types, in order of preference.
    pub fn iter(self) -> impl Iterator<Item = FieldType> {
        FieldType::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }

    /// The preferred one of the present types.
    pub fn first(self) -> Option<FieldType> {
        self.iter().next()
    }
}

/// One value of a field.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    /// Usually UTF-8, but any bytes a client sent.
    String(Box<[u8]>),
    Boolean(bool),
}

impl Value {
    /// The value's type.
    pub fn kind(&self) -> FieldType {
        match self {
            Value::Float(_) => FieldType::Float,
            Value::Integer(_) => FieldType::Integer,
            Value::Unsigned(_) => FieldType::Unsigned,
            Value::String(_) => FieldType::String,
            Value::Boolean(_) => FieldType::Boolean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_set_prefers_float() {
        let mut set = TypeSet::default();
        assert!(set.is_empty() && set.first().is_none());
        set.insert(FieldType::Boolean);
        set.insert(FieldType::Integer);
        assert_eq!(set.first(), Some(FieldType::Integer));
        set.insert(FieldType::Float);
        assert_eq!(set.first(), Some(FieldType::Float));
        assert!(!set.contains(FieldType::String));
    }
}
