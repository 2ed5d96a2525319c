//! The manifest of a shard: which files live, which of their sections, and where the log is
//! replayed from. One edit covers everything that a flush or a compaction changes.
//!
//! Bytes: a journal (`journal`, files `manifest-<n>`) whose snapshot and edits are rkyv archives of
//! `State` and `Edit`. Validity and the survival of cuts are the journal's: an edit counts when its
//! frame is whole, and an edit that was acknowledged is never lost.

use super::segment::{FileMeta, SectionKey};
use crate::model::PartitionId;
use std::collections::{BTreeMap, BTreeSet};

/// One durable change.
#[derive(Clone, PartialEq, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum Edit {
    /// A head went to disk: everything before `replay_from` is in files now.
    Flush {
        replay_from: u64,
        file: Option<FileMeta>,
        index: Option<u64>,
        /// All deletes that are still needed (`tombstone`).
        tombstones: Vec<u8>,
    },
    /// Sections were merged into one, or dropped.
    Compact {
        added: Option<FileMeta>,
        /// Whether the added file is packed for good.
        packed: bool,
        removed: Vec<(u64, SectionKey)>,
        tombstones: Vec<u8>,
    },
    /// Index files were merged into one.
    MergeIndex { base: u64, merged: Vec<u64> },
    /// Removed files are gone from the folder.
    Forget { files: Vec<u64> },
}

/// What the manifest says.
#[derive(Clone, PartialEq, Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct State {
    /// Files with this id or a larger one were never added: leftovers of a crash.
    pub next_file_id: u64,
    /// The first log record that is in no file.
    pub replay_from: u64,
    /// Living segment files, each with its living sections.
    pub files: BTreeMap<u64, FileMeta>,
    /// Living segment files whose sections are packed for good.
    pub packed: BTreeSet<u64>,
    /// Living index files, oldest first.
    pub indexes: Vec<u64>,
    /// Files that are dead but perhaps not unlinked.
    pub removed: BTreeSet<u64>,
    pub tombstones: Vec<u8>,
}

impl State {
    /// Applies an edit.
    pub fn apply(&mut self, edit: &Edit) {
        match edit {
            Edit::Flush { replay_from, file, index, tombstones } => {
                self.replay_from = self.replay_from.max(*replay_from);
                self.add(file.as_ref());
                self.indexes.extend(index);
                self.note_id(index.unwrap_or(0));
                self.tombstones.clone_from(tombstones);
            }
            Edit::Compact { added, packed, removed, tombstones } => {
                removed.iter().for_each(|(file, key)| self.remove_section(*file, key));
                self.add(added.as_ref());
                self.packed.extend(added.iter().filter(|_| *packed).map(|file| file.file_id));
                self.tombstones.clone_from(tombstones);
            }
            Edit::MergeIndex { base, merged } => {
                self.indexes.retain(|id| !merged.contains(id));
                self.indexes.insert(0, *base);
                self.removed.extend(merged);
                self.note_id(*base);
            }
            Edit::Forget { files } => files.iter().for_each(|file| {
                self.removed.remove(file);
            }),
        }
    }

    fn add(&mut self, file: Option<&FileMeta>) {
        if let Some(file) = file {
            self.note_id(file.file_id);
            self.files.insert(file.file_id, file.clone());
        }
    }

    fn note_id(&mut self, id: u64) {
        self.next_file_id = self.next_file_id.max(id + 1);
    }

    fn remove_section(&mut self, file: u64, key: &SectionKey) {
        let Some(meta) = self.files.get_mut(&file) else { return };
        meta.sections.retain(|section| section.key != *key);
        if meta.sections.is_empty() {
            self.files.remove(&file);
            self.packed.remove(&file);
            self.removed.insert(file);
        }
    }

    /// Living sections of the given partitions, as an edit's `removed` list.
    pub fn sections_of(&self, partitions: &[PartitionId]) -> Vec<(u64, SectionKey)> {
        let all = self.files.values().flat_map(|f| f.sections.iter().map(|s| (f.file_id, s.key)));
        all.filter(|(_, key)| partitions.contains(&key.partition)).collect()
    }

    /// The oldest record that some living section may hold.
    pub fn oldest_seq(&self) -> Option<u64> {
        self.files.values().flat_map(|f| &f.sections).map(|s| s.key.min_seq).min()
    }
}

macro_rules! archived {
    ($encode:ident, $decode:ident, $kind:ty) => {
        #[doc = concat!("Serialises; `None` when memory runs out.")]
        pub fn $encode(value: &$kind) -> Option<Vec<u8>> {
            rkyv::to_bytes::<rkyv::rancor::Error>(value).ok().map(|bytes| bytes.to_vec())
        }

        #[doc = concat!("Reads what `", stringify!($encode), "` wrote; `None` for anything else.")]
        pub fn $decode(bytes: &[u8]) -> Option<$kind> {
            let mut aligned = rkyv::util::AlignedVec::<16>::with_capacity(bytes.len());
            aligned.extend_from_slice(bytes);
            rkyv::from_bytes::<$kind, rkyv::rancor::Error>(&aligned).ok()
        }
    };
}

archived!(encode_edit, decode_edit, Edit);
archived!(encode_state, decode_state, State);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TimeRange;
    use crate::shard::segment::SectionMeta;

    fn key(partition: u32, min_seq: u64) -> SectionKey {
        SectionKey { partition: PartitionId(partition), day: 0, min_seq, max_seq: min_seq + 9 }
    }

    fn file(file_id: u64, keys: &[SectionKey]) -> FileMeta {
        let section = |key: &SectionKey| SectionMeta {
            key: *key,
            rows: 1,
            series: 1,
            runs: 1,
            time: TimeRange::new(0, 0),
            bytes: 1,
            chunks: 1,
            values: 1,
        };
        FileMeta { file_id, bytes: 8192, sections: keys.iter().map(section).collect() }
    }

    fn flush(file: FileMeta, replay_from: u64) -> Edit {
        let index = Some(file.file_id + 1);
        Edit::Flush { replay_from, file: Some(file), index, tombstones: Vec::new() }
    }

    #[test]
    fn a_file_dies_with_its_last_section() {
        let mut state = State::default();
        let (a, b) = (key(1, 0), key(2, 0));
        state.apply(&flush(file(5, &[a, b]), 10));
        assert_eq!((state.next_file_id, state.replay_from), (7, 10));
        assert_eq!(state.sections_of(&[PartitionId(2)]), [(5, b)]);
        let merged =
            |removed, added| Edit::Compact { added, packed: true, removed, tombstones: Vec::new() };
        state.apply(&merged(vec![(5, a)], Some(file(9, &[a]))));
        assert!(state.files.contains_key(&5) && state.removed.is_empty());
        state.apply(&merged(vec![(5, b)], None));
        assert!(!state.files.contains_key(&5) && state.removed.contains(&5));
        state.apply(&Edit::Forget { files: vec![5] });
        assert!(state.removed.is_empty());
        assert_eq!(state.oldest_seq(), Some(0));
    }

    #[test]
    fn merged_index_files_give_way_to_their_base() {
        let mut state = State { indexes: vec![1, 2, 3], ..State::default() };
        state.apply(&Edit::MergeIndex { base: 7, merged: vec![1, 2] });
        assert_eq!(state.indexes, [7, 3]);
        assert_eq!(state.removed.iter().copied().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn edits_and_states_read_back_and_damage_is_an_error() {
        let edit = flush(file(5, &[key(1, 0)]), 10);
        let bytes = encode_edit(&edit).unwrap();
        assert_eq!(decode_edit(&bytes), Some(edit.clone()));
        assert_eq!(decode_edit(&bytes[..bytes.len() / 2]), None);
        let mut state = State::default();
        state.apply(&edit);
        assert_eq!(decode_state(&encode_state(&state).unwrap()), Some(state));
        assert_eq!(decode_state(&[1, 2, 3]), None);
    }
}
