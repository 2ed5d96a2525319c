//! What a request needs and the catalog does not know yet.
//!
//! At the first line with an unknown name a decoder *discovers*: it parses on without appending and
//! collects here, so that one round to the catalog covers the whole input. Allocates; steady state
//! never comes here.

/// What the catalog has to make.
pub use crate::catalog::command::Names as Missing;

use crate::catalog::State;
use crate::model::{FieldType, FixedMap, PolicyId, TimeRange, TypeSet};

#[derive(Default)]
struct Asked {
    /// Whether the measurement itself was asked for.
    itself: bool,
    fields: FixedMap<Box<[u8]>, TypeSet>,
}

/// Collects what is missing.
#[derive(Default)]
pub struct Names {
    missing: Missing,
    /// What was asked for, by measurement.
    asked: FixedMap<Box<[u8]>, Asked>,
    ranges: Vec<TimeRange>,
}

impl Names {
    /// Forgets everything.
    pub fn clear(&mut self) {
        if !self.missing.is_empty() || !self.asked.is_empty() {
            *self = Names::default();
        }
    }

    /// Number of names collected.
    pub fn len(&self) -> usize {
        self.missing.len()
    }

    /// Hands over what was collected.
    pub fn take(&mut self) -> Missing {
        std::mem::take(self).missing
    }

    /// Types of a field asked for in this round.
    pub fn types(&self, measurement: &[u8], field: &[u8]) -> TypeSet {
        let asked = self.asked.get(measurement);
        asked.and_then(|asked| asked.fields.get(field)).copied().unwrap_or_default()
    }

    /// Asks for a measurement.
    pub fn need_measurement(&mut self, name: &[u8]) {
        let asked = self.asked_for(name);
        if !std::mem::replace(&mut asked.itself, true) {
            self.missing.measurements.push(name.into());
        }
    }

    /// Asks for a field of a type.
    pub fn need_field(&mut self, measurement: &[u8], field: &[u8], kind: FieldType) {
        let fields = &mut self.asked_for(measurement).fields;
        if !fields.contains_key(field) {
            fields.insert(field.into(), TypeSet::default());
        }
        let Some(types) = fields.get_mut(field) else { return };
        if !types.contains(kind) {
            types.insert(kind);
            self.missing.fields.push((measurement.into(), field.into(), kind));
        }
    }

    /// Asks for the partition that holds `time`.
    pub fn need_partition(&mut self, catalog: &State, policy: PolicyId, time: i64) {
        if self.ranges.iter().rev().any(|range| range.contains(time)) {
            return;
        }
        let range = catalog.partition_bounds(policy, time);
        self.ranges.push(range.unwrap_or(TimeRange::new(time, time)));
        self.missing.times.push(time);
    }

    fn asked_for(&mut self, measurement: &[u8]) -> &mut Asked {
        if !self.asked.contains_key(measurement) {
            self.asked.insert(measurement.into(), Asked::default());
        }
        self.asked.entry(measurement.into()).or_default()
    }
}
