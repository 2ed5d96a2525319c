//! Interned layouts: a sorted set of columns gets a small number, so that Batches are found by
//! number.

use crate::model::ColumnId;
use crate::model::FixedMap;

/// Layouts kept before the table is started afresh (between two requests).
const LAYOUTS_MAX: usize = 4096;

/// A layout's number, valid until the batcher forgets its layouts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LayoutId(pub u32);

/// Layouts by their columns.
#[derive(Default)]
pub struct Layouts {
    ids: FixedMap<Box<[ColumnId]>, LayoutId>,
    scratch: Vec<ColumnId>,
}

impl Layouts {
    /// The number of a layout; `columns` are sorted and distinct.
    pub fn intern(&mut self, columns: impl Iterator<Item = ColumnId>) -> LayoutId {
        self.scratch.clear();
        self.scratch.extend(columns);
        if let Some(id) = self.ids.get(self.scratch.as_slice()) {
            return *id;
        }
        let id = LayoutId(self.ids.len() as u32);
        self.ids.insert(self.scratch.as_slice().into(), id);
        id
    }

    /// Whether it is time to forget them.
    pub fn is_full(&self) -> bool {
        self.ids.len() >= LAYOUTS_MAX
    }

    /// Forgets all layouts.
    pub fn clear(&mut self) {
        self.ids = FixedMap::default();
    }
}
