//! What a shard's readers see: the living sections, the frozen head, the deletes. A change makes a
//! new `Version`; readers keep the one they started with, and a file is unlinked after its last
//! reader.

use super::head::{Frozen, HeadView};
use super::segment::{Reader, SectionMeta};
use super::tombstone::Tombstones;
use crate::env::Env;
use crate::model::{PartitionId, TimeRange};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// One living section of a file.
pub struct Section<E: Env> {
    pub reader: Rc<Reader<E>>,
    /// The section's place in its file.
    pub index: usize,
    pub meta: SectionMeta,
}

impl<E: Env> Clone for Section<E> {
    fn clone(&self) -> Self {
        Section { reader: self.reader.clone(), index: self.index, meta: self.meta }
    }
}

/// Everything but the active head, at one moment.
pub struct Version<E: Env> {
    /// By partition and UTC day, oldest records first.
    pub sections: BTreeMap<(PartitionId, i32), Vec<Section<E>>>,
    pub frozen: Option<Rc<Frozen>>,
    pub tombstones: Rc<Tombstones>,
}

impl<E: Env> Clone for Version<E> {
    fn clone(&self) -> Self {
        Version {
            sections: self.sections.clone(),
            frozen: self.frozen.clone(),
            tombstones: self.tombstones.clone(),
        }
    }
}

impl<E: Env> Default for Version<E> {
    fn default() -> Self {
        Version { sections: BTreeMap::new(), frozen: None, tombstones: Rc::default() }
    }
}

impl<E: Env> Version<E> {
    /// Adds the sections of a file that `living` accepts.
    pub fn add_file(&mut self, reader: &Rc<Reader<E>>, living: impl Fn(&SectionMeta) -> bool) {
        for (index, meta) in reader.sections().iter().enumerate().filter(|(_, m)| living(m)) {
            let place = (meta.key.partition, meta.key.day);
            let sections = self.sections.entry(place).or_default();
            sections.push(Section { reader: reader.clone(), index, meta: *meta });
            sections.sort_by_key(|section| section.meta.key.min_seq);
        }
    }

    /// Takes sections out.
    pub fn remove(&mut self, removed: &[(u64, super::segment::SectionKey)]) {
        for (file, key) in removed {
            let place = (key.partition, key.day);
            let Some(sections) = self.sections.get_mut(&place) else { continue };
            sections.retain(|s| s.reader.ident().file_id != *file || s.meta.key != *key);
            if sections.is_empty() {
                self.sections.remove(&place);
            }
        }
    }

    /// The living sections of a partition that meet a time range, by day.
    pub fn sections_in(
        &self,
        partition: PartitionId,
        range: TimeRange,
    ) -> impl Iterator<Item = (i32, &[Section<E>])> {
        let days = self.sections.range((partition, i32::MIN)..=(partition, i32::MAX));
        days.filter(move |(_, all)| all.iter().any(|s| s.meta.time.overlaps(range)))
            .map(|((_, day), all)| (*day, all.as_slice()))
    }
}

/// Deletes that came after a scan had taken its sources. The active head loses their rows at once,
/// so what these rows had overwritten elsewhere must go, too. All rows of the scan are older.
pub type Later = Rc<RefCell<Tombstones>>;

/// What one scan sees of one partition: all sources, oldest records first.
pub struct Sources<E: Env> {
    pub version: Rc<Version<E>>,
    pub later: Later,
    pub frozen: Option<HeadView>,
    pub active: Option<HeadView>,
    /// Sequence numbers up to which the frozen head reaches; the active head is newer than all.
    pub frozen_seq: u64,
}
