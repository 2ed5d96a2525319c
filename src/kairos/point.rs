//! Points on their way through aggregators.
//!
//! In: stored values. Out: a time with a long, a double, a text, or nothing (what `gaps` puts
//! where no point is), and the order of points at one time.

use crate::model::Values;
use std::cmp::Ordering;
use std::sync::Arc;

/// A value.
#[derive(Clone, PartialEq, Debug)]
pub enum Datum {
    Null,
    Long(i64),
    Double(f64),
    Text(Arc<[u8]>),
}

/// A value at a time.
#[derive(Clone, PartialEq, Debug)]
pub struct Point {
    /// Of the unit its holder says; in aggregators ms since 1970 UTC.
    pub time: i64,
    pub value: Datum,
}

impl Point {
    /// A point of a double.
    pub fn double(time: i64, value: f64) -> Point {
        Point { time, value: Datum::Double(value) }
    }
}

impl Datum {
    /// A stored value; `Null` behind the end. Booleans are 1 and 0, what is too large for a long
    /// becomes a double.
    pub fn stored(values: &Values, row: usize) -> Datum {
        let found = match values {
            Values::Float(all) => all.get(row).map(|value| Datum::Double(*value)),
            Values::Integer(all) => all.get(row).map(|value| Datum::Long(*value)),
            Values::Unsigned(all) => all.get(row).map(|value| match i64::try_from(*value) {
                Ok(value) => Datum::Long(value),
                Err(_) => Datum::Double(*value as f64),
            }),
            Values::Boolean(all) => all.get(row).map(|value| Datum::Long(i64::from(*value))),
            Values::String(all) => (row < all.len()).then(|| Datum::Text(all.get(row).into())),
        };
        found.unwrap_or(Datum::Null)
    }

    /// As a number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Datum::Long(value) => Some(*value as f64),
            Datum::Double(value) => Some(*value),
            Datum::Null | Datum::Text(_) => None,
        }
    }

    /// Bytes of memory beyond the value itself.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Datum::Text(text) => text.len() + 16,
            _ => 0,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Datum::Null => 0,
            Datum::Long(_) => 1,
            Datum::Double(_) => 2,
            Datum::Text(_) => 3,
        }
    }

    /// The order of values at one time: numbers by value, texts by bytes.
    pub fn order(&self, other: &Datum) -> Ordering {
        let rest = || match (self, other) {
            (Datum::Long(a), Datum::Long(b)) => a.cmp(b),
            (Datum::Text(a), Datum::Text(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        };
        match (self.number(), other.number()) {
            (Some(a), Some(b)) => a.total_cmp(&b).then_with(rest),
            _ => rest(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_both_types_have_one_order() {
        let large = 1i64 << 53;
        let mut all = vec![
            Datum::Double(large as f64),
            Datum::Long(large + 1),
            Datum::Long(3),
            Datum::Double(2.5),
            Datum::Long(large),
            Datum::Double(-1.0),
        ];
        all.sort_by(Datum::order);
        let expected = [
            Datum::Double(-1.0),
            Datum::Double(2.5),
            Datum::Long(3),
            Datum::Long(large),
            Datum::Long(large + 1),
            Datum::Double(large as f64),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn stored_values_keep_their_type() {
        assert_eq!(Datum::stored(&Values::Boolean(vec![true]), 0), Datum::Long(1));
        assert_eq!(Datum::stored(&Values::Unsigned(vec![7, u64::MAX]), 0), Datum::Long(7));
        let large = Datum::stored(&Values::Unsigned(vec![u64::MAX]), 0);
        assert_eq!(large, Datum::Double(u64::MAX as f64));
        assert_eq!(Datum::stored(&Values::Float(Vec::new()), 0), Datum::Null);
    }
}
