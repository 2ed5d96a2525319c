//! The one place that says which measurement and field a metric of KairosDB is, both ways.
//!
//! A metric's name is a measurement's name, its values are the field `value`, and names are not
//! changed. Every other field of a measurement is the metric `measurement.field`. A name that could
//! be read in several ways is the first of these that exists: the measurement of the whole name
//! with a field `value`, then the longest measurement in front of a dot with a field behind it.
//! What KairosDB's doors write always goes to the measurement of the whole name. Policies: the
//! database's default one.

use crate::catalog::State;
use crate::model::{ColumnId, DbId, FieldNo, FieldType, MeasurementId, PolicyId, TypeSet};
pub use crate::protocol::telnet::FIELD;

/// Where metrics are: a database with its default policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub db: DbId,
    pub policy: PolicyId,
}

/// A metric that exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metric {
    pub place: Place,
    pub measurement: MeasurementId,
    pub field: FieldNo,
    /// The types that its values have.
    pub types: TypeSet,
    /// Whether the measurement has no other field, so that rows are this metric's alone.
    pub alone: bool,
}

impl Metric {
    /// The columns that hold its numbers, in order of their types; booleans read as 1 and 0.
    pub fn numbers(&self) -> Vec<ColumnId> {
        let kinds = self.types.iter().filter(|kind| *kind != FieldType::String);
        kinds.map(|kind| ColumnId::new(self.field, kind)).collect()
    }

    /// The column that holds its texts.
    pub fn texts(&self) -> Option<ColumnId> {
        let kind = FieldType::String;
        self.types.contains(kind).then(|| ColumnId::new(self.field, kind))
    }
}

/// The place in a database of this name; `None` when there is none, or it has no default policy.
pub fn place(catalog: &State, database: &str) -> Option<Place> {
    let database = catalog.database(database)?;
    Some(Place { db: database.id, policy: database.default_policy? })
}

/// The metric of a name; `None` when nothing was written under it.
pub fn find(catalog: &State, place: Place, name: &[u8]) -> Option<Metric> {
    let dots = name.iter().enumerate().rev().filter(|(_, byte)| **byte == b'.');
    let split = |(at, _): (usize, &u8)| {
        let (measurement, field) = name.split_at_checked(at)?;
        let field = field.get(1..).filter(|field| *field != FIELD)?;
        of_field(catalog, place, measurement, field)
    };
    of_field(catalog, place, name, FIELD).or_else(|| dots.into_iter().find_map(split))
}

fn of_field(catalog: &State, place: Place, measurement: &[u8], field: &[u8]) -> Option<Metric> {
    let measurement = catalog.measurement(place.db, measurement)?;
    let field = catalog.field(field)?;
    let fields = catalog.fields(place.policy, measurement);
    let known = fields.iter().find(|known| known.field == field)?;
    let alone = fields.len() == 1;
    Some(Metric { place, measurement, field, types: known.types, alone })
}

/// Gives the names of a measurement's metrics, in parts to be joined, in no order.
pub fn each_name(catalog: &State, place: Place, id: MeasurementId, mut take: impl FnMut(&[&[u8]])) {
    let Some((_, name)) = catalog.measurement_name(id) else { return };
    for known in catalog.fields(place.policy, id) {
        match catalog.field_name(known.field) {
            Some(FIELD) => take(&[name]),
            Some(field) => take(&[name, b".", field]),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::PolicySpec;
    use crate::catalog::Record;

    fn catalog(fields: &[(&str, &str, FieldType)]) -> State {
        let mut state = State::default();
        state.apply(&Record::CreateDatabase { id: DbId(1), name: "d".into() });
        let spec = PolicySpec {
            name: "autogen".into(),
            duration_ns: 0,
            shard_duration_ns: 7 * 86_400_000_000_000,
            replicas: 1,
        };
        state.apply(&Record::PutPolicy { db: DbId(1), policy: PolicyId(1), spec, default: true });
        for (measurement, field, kind) in fields {
            if state.measurement(DbId(1), measurement.as_bytes()).is_none() {
                let (id, name) = (state.next_ids().measurement, measurement.as_bytes().into());
                state.apply(&Record::CreateMeasurement { id, db: DbId(1), name });
            }
            if state.field(field.as_bytes()).is_none() {
                let (number, name) = (state.next_ids().field, field.as_bytes().into());
                state.apply(&Record::NameField { field: number, name });
            }
            let measurement = state.measurement(DbId(1), measurement.as_bytes()).unwrap();
            let field = state.field(field.as_bytes()).unwrap();
            let (policy, kind) = (PolicyId(1), *kind);
            state.apply(&Record::AddFieldType { policy, measurement, field, kind });
        }
        state
    }

    fn names(catalog: &State, place: Place, id: MeasurementId) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        each_name(catalog, place, id, |parts| all.push(parts.concat()));
        all
    }

    #[test]
    fn a_measurement_is_the_metric_of_its_field_value() {
        let kinds = [("a.b", "value", FieldType::Integer), ("a.b", "value", FieldType::Float)];
        let catalog = catalog(&kinds);
        let place = place(&catalog, "d").unwrap();
        let metric = find(&catalog, place, b"a.b").unwrap();
        assert!(metric.alone);
        let kinds: Vec<FieldType> = metric.numbers().iter().map(|id| id.kind()).collect();
        assert_eq!(kinds, [FieldType::Float, FieldType::Integer]);
        assert_eq!(metric.texts(), None);
        assert_eq!(find(&catalog, place, b"a.b.value"), None);
        assert_eq!(find(&catalog, place, b"a"), None);
        assert_eq!(names(&catalog, place, metric.measurement), [b"a.b".to_vec()]);
        assert_eq!(super::place(&catalog, "none"), None);
    }

    #[test]
    fn other_fields_are_named_behind_a_dot_and_whole_names_come_first() {
        let catalog = catalog(&[
            ("cpu", "user.time", FieldType::Float),
            ("cpu", "idle", FieldType::String),
            ("cpu.user", "time", FieldType::Float),
            ("cpu.idle", "value", FieldType::Integer),
        ]);
        let place = place(&catalog, "d").unwrap();
        let measurement = |name: &str| catalog.measurement(DbId(1), name.as_bytes()).unwrap();
        let found = |name: &str| find(&catalog, place, name.as_bytes()).unwrap().measurement;
        assert_eq!(found("cpu.idle"), measurement("cpu.idle"));
        assert_eq!(found("cpu.user.time"), measurement("cpu.user"));
        let mut all = names(&catalog, place, measurement("cpu"));
        all.sort();
        assert_eq!(all, [b"cpu.idle".to_vec(), b"cpu.user.time".to_vec()]);
        assert!(find(&catalog, place, b"cpu").is_none());
    }
}
