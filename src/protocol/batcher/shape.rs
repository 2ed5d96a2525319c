//! Shapes: what the last lines of a measurement looked like, so that the next one is compared
//! instead of parsed.
//!
//! A shape is a sequence of field names as sent, each with its `=`, the column it goes to, and
//! where that column stands among the row's sorted columns. A measurement keeps up to four. Shapes
//! are checked against one version of the catalog; another version drops them.

use crate::model::FixedMap;
use crate::model::{ColumnId, MeasurementId, PartitionId, PolicyId};

/// Shapes a measurement keeps.
const SHAPES_MAX: usize = 4;
/// Measurements kept before all are forgotten (between two requests).
const MEASUREMENTS_MAX: usize = 65_536;

/// One field of a shape.
#[derive(Clone, Copy, Debug)]
pub struct ShapeField {
    /// End of the name in `Shape::names`; it starts where the one before ends.
    pub end: u32,
    pub column: ColumnId,
    /// Position of the column among the row's sorted columns.
    pub at: u32,
}

/// The fields of a line, in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// Names with their `=`, back to back.
    pub names: Vec<u8>,
    pub fields: Vec<ShapeField>,
    /// Bytes of the longest name with its `=`.
    pub longest: usize,
}

/// The Batch that takes rows of one shape and shard without asking.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hot {
    /// Number of the request it was found in; 0 = none.
    pub request: u32,
    pub partition: PartitionId,
    pub batch: u32,
    pub shape: u8,
}

/// Shapes of one measurement.
#[derive(Debug, Default)]
pub struct MeasurementShapes {
    /// The catalog version that the shapes were checked with.
    pub version: u64,
    pub shapes: Vec<Shape>,
    /// The shape to try first.
    pub guess: usize,
    replace: usize,
    /// By shard.
    pub hot: Vec<Hot>,
}

impl MeasurementShapes {
    /// Adds a shape, replacing the oldest at the limit; gives its index.
    pub fn add(&mut self, shape: &Shape) -> usize {
        self.hot.clear();
        if self.shapes.len() < SHAPES_MAX {
            self.shapes.push(shape.clone());
            self.guess = self.shapes.len() - 1;
        } else {
            self.guess = self.replace;
            self.replace = (self.replace + 1) % SHAPES_MAX;
            if let Some(slot) = self.shapes.get_mut(self.guess) {
                slot.names.clone_from(&shape.names);
                slot.fields.clone_from(&shape.fields);
                slot.longest = shape.longest;
            }
        }
        self.guess
    }

    /// The shard's entry of `hot`.
    pub fn hot_mut(&mut self, shard: usize) -> &mut Hot {
        if self.hot.len() <= shard {
            self.hot.resize(shard + 1, Hot::default());
        }
        // The list was just made long enough; the fallback is never taken.
        let last = self.hot.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "bounded by the resize above")]
        &mut self.hot[shard.min(last)]
    }

    /// Drops the shapes when the catalog has changed since they were checked.
    pub fn check(&mut self, version: u64) {
        if self.version != version {
            self.version = version;
            self.shapes.clear();
            self.hot.clear();
            (self.guess, self.replace) = (0, 0);
        }
    }
}

/// Shapes by policy and measurement.
#[derive(Default)]
pub struct Shapes {
    index: FixedMap<(PolicyId, MeasurementId), u32>,
    list: Vec<MeasurementShapes>,
    recent: Option<((PolicyId, MeasurementId), u32)>,
}

impl Shapes {
    /// The shapes of a measurement, if any were learned.
    #[inline]
    pub fn get(&mut self, key: (PolicyId, MeasurementId)) -> Option<&mut MeasurementShapes> {
        let at = match self.recent {
            Some((recent, at)) if recent == key => at,
            _ => {
                let at = *self.index.get(&key)?;
                self.recent = Some((key, at));
                at
            }
        };
        self.list.get_mut(at as usize)
    }

    /// The shapes of a measurement, made when missing.
    pub fn get_or_add(&mut self, key: (PolicyId, MeasurementId)) -> &mut MeasurementShapes {
        let next = self.list.len() as u32;
        let at = *self.index.entry(key).or_insert(next);
        if at == next {
            self.list.push(MeasurementShapes::default());
        }
        #[expect(clippy::indexing_slicing, reason = "every index value is below the list's length")]
        &mut self.list[at as usize]
    }

    /// Whether it is time to forget them.
    pub fn is_full(&self) -> bool {
        self.list.len() >= MEASUREMENTS_MAX
    }

    /// Forgets all shapes.
    pub fn clear(&mut self) {
        *self = Shapes::default();
    }
}
