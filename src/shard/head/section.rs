//! Rows of a frozen head for one section of a flushed file: one partition, one UTC day.
//!
//! Out: passes, each in (measurement, series, time) order and of one set of columns: a series goes
//! into the pass of exactly the tables that hold it, so that series of one layout share wide chunks
//! and a series of several layouts is merged. Within the section each (series, time) occurs once.

use super::cursor::{HeadCursor, Keys, Snapshot};
use super::gather::Key;
use super::part::day_range;
use super::view::{HeadView, Select};
use crate::model::{MeasurementId, SeriesId};
use crate::shard::block::Block;
use std::collections::BTreeMap;

/// Keys sorted into passes in a step.
const STEP_KEYS: usize = 4096;

/// A reader of one section.
#[derive(Debug)]
pub struct SectionCursor {
    view: HeadView,
    day: i32,
    keys: Keys,
    /// Keys by the set of tables that hold them.
    passes: BTreeMap<u128, Vec<Key>>,
    pass: Option<HeadCursor>,
    planned: bool,
}

impl SectionCursor {
    pub(super) fn new(view: HeadView, day: i32) -> SectionCursor {
        SectionCursor {
            view,
            day,
            keys: Keys::Members(Some((MeasurementId(0), SeriesId(0)))),
            passes: BTreeMap::new(),
            pass: None,
            planned: false,
        }
    }

    /// Gives the next Block of at most `rows_max` rows; `None` at the end. An empty Block is a step
    /// of preparation: call again. The order starts again from the lowest key with each pass.
    pub fn next(&mut self, rows_max: usize) -> Option<Block> {
        let select = Select { range: day_range(self.day), ..Select::ALL };
        if !self.planned {
            let SectionCursor { view, keys, passes, .. } = self;
            self.planned = !view.with(|snapshot| plan(snapshot, &select, keys, passes));
            return Some(Block::default());
        }
        if let Some(cursor) = &mut self.pass
            && let Some(block) = self.view.gather(&select, cursor, rows_max)
        {
            return Some(block);
        }
        let (_, keys) = self.passes.pop_first()?;
        self.pass = Some(HeadCursor::new(Keys::Listed(keys, 0)));
        Some(Block::default())
    }
}

/// Sorts some keys into passes; false at the end.
fn plan(
    snapshot: &Snapshot<'_>,
    select: &Select<'_>,
    keys: &mut Keys,
    passes: &mut BTreeMap<u128, Vec<Key>>,
) -> bool {
    let mut some = Vec::new();
    let more = keys.take(snapshot.part, select, STEP_KEYS, &mut some);
    for key in some {
        let mut set = 0u128;
        for (number, table) in snapshot.part.tables().iter().enumerate() {
            let slot = table.slots().find(key.1).and_then(|slot| table.slots().get(slot));
            if slot.is_some_and(|slot| slot.range().overlaps(select.range)) {
                set |= 1 << number;
            }
        }
        if set != 0 {
            passes.entry(set).or_default().push(key);
        }
    }
    more
}
