//! Measurements, their tag keys (columns) and tag values (cells), and the postings of each.
//!
//! A cell belongs to one measurement, so that a predicate looks only at values which that
//! measurement has, and the values of a column are a chain through its cells.

use super::posting::Posting;
use super::states::State;
use super::symbols::Symbol;
use super::{Index, IndexError};
use crate::model::{DbId, MeasurementId};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// No cell: the end of a chain.
pub(super) const END: u32 = u32::MAX;

/// A tag key of one measurement, by its number in one `Index`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TagKeyNo(pub(super) u32);

#[derive(Default)]
pub(super) struct Database {
    /// Number of live series.
    pub(super) live: u64,
    pub(super) measurements: Vec<u32>,
    pub(super) dropped: bool,
}

pub(super) struct Measurement {
    pub(super) id: MeasurementId,
    pub(super) db: DbId,
    pub(super) name: Symbol,
    pub(super) dropped: bool,
    /// Number of live series.
    pub(super) live: u64,
    pub(super) series: Posting,
    /// Its columns, sorted by tag key.
    pub(super) columns: Vec<u32>,
}

/// A tag key of one measurement.
pub(super) struct Column {
    pub(super) measurement: u32,
    pub(super) key: Symbol,
    /// The cell made last; the others follow through `Cell::next`.
    pub(super) first: u32,
    /// Number of cells.
    pub(super) cells: u32,
    /// Number of live series with a value (not an empty one).
    pub(super) live: u32,
}

/// A tag value of one column.
pub(super) struct Cell {
    pub(super) column: u32,
    pub(super) value: Symbol,
    /// The cell of the same column made before.
    pub(super) next: u32,
    /// Live series.
    pub(super) series: Posting,
}

impl Index {
    /// A tag key of a measurement by name; `None` when no series has had it.
    pub fn tag_key(&self, measurement: MeasurementId, key: &[u8]) -> Option<TagKeyNo> {
        self.find_column(self.known(measurement)?.1, key).ok().map(TagKeyNo)
    }

    pub(super) fn known(&self, id: MeasurementId) -> Option<(u32, &Measurement)> {
        let number = *self.measurement_numbers.get(&id)?;
        let measurement = self.measurements.get(number as usize)?;
        (!measurement.dropped).then_some((number, measurement))
    }

    pub(super) fn is_dropped(&self, number: u32) -> bool {
        self.measurements.get(number as usize).is_none_or(|measurement| measurement.dropped)
    }

    /// Finds or makes a measurement.
    pub(super) fn measurement_number(
        &mut self,
        db: DbId,
        id: MeasurementId,
        name: &[u8],
    ) -> Result<u32, IndexError> {
        if let Some(number) = self.measurement_numbers.get(&id) {
            let known = self.measurements.get(*number as usize);
            let same = known.is_some_and(|m| m.db == db && self.symbols.text(m.name) == name);
            return if same { Ok(*number) } else { Err(IndexError::Conflict) };
        }
        let number = self.measurements.len() as u32;
        let name = self.symbols.intern(name).ok_or(IndexError::Full)?;
        let database = self.databases.entry(db).or_default();
        let dropped = database.dropped;
        if !dropped {
            database.measurements.push(number);
        }
        let (series, columns) = (Posting::EMPTY, Vec::new());
        self.measurements.push(Measurement { id, db, name, dropped, live: 0, series, columns });
        self.measurement_numbers.insert(id, number);
        self.sketch.add_measurement(id);
        Ok(number)
    }

    /// A column by tag key, else where in the sorted columns it would be.
    fn find_column(&self, measurement: &Measurement, key: &[u8]) -> Result<u32, usize> {
        let at =
            measurement.columns.binary_search_by(|column| self.column_key(*column).cmp(key))?;
        measurement.columns.get(at).copied().ok_or(at)
    }

    pub(super) fn column_key(&self, column: u32) -> &[u8] {
        self.columns.get(column).map_or(&[], |column| self.symbols.text(column.key))
    }

    /// Finds or makes a column. `hint` is its likely place among the measurement's columns: most
    /// series of a measurement have all its tag keys.
    pub(super) fn column(
        &mut self,
        number: u32,
        key: &[u8],
        hint: &mut usize,
    ) -> Result<u32, IndexError> {
        let measurement = self.measurements.get(number as usize).ok_or(IndexError::Full)?;
        if let Some(column) = measurement.columns.get(*hint)
            && self.column_key(*column) == key
        {
            *hint += 1;
            return Ok(*column);
        }
        let place = match self.find_column(measurement, key) {
            Ok(column) => return Ok(column),
            Err(place) => place,
        };
        let key = self.symbols.intern(key).ok_or(IndexError::Full)?;
        let column = Column { measurement: number, key, first: END, cells: 0, live: 0 };
        let column = self.columns.push(column).ok_or(IndexError::Full)?;
        if let Some(measurement) = self.measurements.get_mut(number as usize) {
            measurement.columns.insert(place, column);
        }
        *hint = place + 1;
        Ok(column)
    }

    /// A cell by its column and value.
    pub(super) fn find_cell(&self, column: u32, value: &[u8]) -> Option<u32> {
        self.cell_table.find(hash_cell(column, value), |at| {
            self.cells
                .get(at)
                .is_some_and(|cell| cell.column == column && self.symbols.text(cell.value) == value)
        })
    }

    /// Finds or makes a cell.
    pub(super) fn cell(&mut self, column: u32, value: &[u8]) -> Result<u32, IndexError> {
        if let Some(cell) = self.find_cell(column, value) {
            return Ok(cell);
        }
        let symbol = self.symbols.intern(value).ok_or(IndexError::Full)?;
        let owner = self.columns.get_mut(column).ok_or(IndexError::Full)?;
        let cell = Cell { column, value: symbol, next: owner.first, series: Posting::EMPTY };
        let at = self.cells.push(cell).ok_or(IndexError::Full)?;
        owner.first = at;
        owner.cells += 1;
        let (measurement, key) = (owner.measurement, owner.key);
        self.cell_table.insert(hash_cell(column, value), at);
        if let Some(measurement) = self.measurements.get(measurement as usize) {
            self.sketch.add_tag(measurement.id, self.symbols.text(key), value);
        }
        Ok(at)
    }

    /// Puts a new series into the postings.
    pub(super) fn count_in(
        &mut self,
        number: u32,
        cells: &[u32],
        id: u32,
    ) -> Result<(), IndexError> {
        let mut fits = true;
        for at in cells {
            let Some(cell) = self.cells.get_mut(*at) else { continue };
            fits &= self.postings.insert(&mut cell.series, id);
            if cell.value != Symbol::EMPTY
                && let Some(column) = self.columns.get_mut(cell.column)
            {
                column.live += 1;
                if column.live == 1 {
                    self.sketch.change_keys();
                }
            }
        }
        if let Some(measurement) = self.measurements.get_mut(number as usize) {
            fits &= self.postings.insert(&mut measurement.series, id);
            measurement.live += 1;
            if let Some(database) = self.databases.get_mut(&measurement.db) {
                database.live += 1;
            }
        }
        if fits { Ok(()) } else { Err(IndexError::Full) }
    }

    /// Takes a retired series out of the postings.
    pub(super) fn count_out(&mut self, state: &State, id: u32) {
        let cells = self.keys.at(state.key).get(..state.tags as usize).unwrap_or(&[]);
        for at in cells {
            let Some(cell) = self.cells.get_mut(*at) else { continue };
            self.postings.remove(&mut cell.series, id);
            if cell.value != Symbol::EMPTY
                && let Some(column) = self.columns.get_mut(cell.column)
            {
                column.live -= 1;
                if column.live == 0 {
                    self.sketch.change_keys();
                }
            }
        }
        let measurement = self.measurements.get_mut(state.measurement as usize);
        let Some(measurement) = measurement.filter(|measurement| !measurement.dropped) else {
            return;
        };
        self.postings.remove(&mut measurement.series, id);
        measurement.live -= 1;
        if let Some(database) = self.databases.get_mut(&measurement.db) {
            database.live -= 1;
        }
    }
}

fn hash_cell(column: u32, value: &[u8]) -> u32 {
    xxh3_64_with_seed(value, u64::from(column)) as u32
}
