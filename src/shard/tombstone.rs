//! Tombstones: deletes that sources written before them must still obey.
//!
//! In: the delete records of the log (resolved series, a time range, the sequence number). Out:
//! Blocks without the deleted rows, until compaction has rewritten every older source. A source
//! obeys a tombstone when its newest row is older than the delete; the active head obeys deletes by
//! itself.
//!
//! Bytes, in a manifest record (whose frame has the checksum and decides about a cut: a record is
//! whole or not there). Numbers are little-endian.
//!
//! | field | size | meaning |
//! |---|---|---|
//! | count | u32 | number of tombstones; for each: |
//! | seq | u64 | sequence number of the delete, ascending or equal |
//! | first, last | 2 x i64 | time range, both ends inclusive |
//! | len | u32 | bytes of the series set |
//! | series | len | roaring bitmap of series ids, portable form |
//!
//! Valid when every field lies inside, each set uses exactly its `len` bytes, and nothing is left.

use crate::model::{Bitmap, SeriesId, TimeRange};
use crate::shard::block::Block;
use roaring::RoaringBitmap;

/// Bytes that are no tombstones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("tombstones are damaged at byte {offset}")]
pub struct Damaged {
    /// Where reading failed, counted from the first byte given.
    pub offset: usize,
}

/// One delete.
#[derive(Clone, PartialEq, Debug)]
pub struct Tombstone {
    pub seq: u64,
    pub series: RoaringBitmap,
    pub range: TimeRange,
}

impl Tombstone {
    /// Whether a source with this newest row must obey.
    fn binds(&self, source_max_seq: u64) -> bool {
        source_max_seq < self.seq
    }
}

/// The deletes that some source must still obey, by sequence number.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Tombstones {
    list: Vec<Tombstone>,
}

impl Tombstones {
    /// Adds a delete; one without series or time is left out.
    pub fn push(&mut self, tombstone: Tombstone) {
        if tombstone.series.is_empty() || tombstone.range.is_empty() {
            return;
        }
        let at = self.list.partition_point(|known| known.seq <= tombstone.seq);
        self.list.insert(at, tombstone);
    }

    /// The deletes, by sequence number.
    pub fn iter(&self) -> impl Iterator<Item = &Tombstone> {
        self.list.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Number of deletes.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether a delete may take rows from a source: cheap, to be asked before `apply` and before
    /// statistics are used. `series`: those of the source's rows (`None`: any).
    pub fn overlaps(
        &self,
        source_max_seq: u64,
        series: Option<&[SeriesId]>,
        range: TimeRange,
    ) -> bool {
        self.list.iter().rev().take_while(|tombstone| tombstone.binds(source_max_seq)).any(
            |tombstone| {
                let holds = |ids: &[SeriesId]| ids.iter().any(|id| tombstone.series.contains(id.0));
                tombstone.range.overlaps(range) && series.is_none_or(holds)
            },
        )
    }

    /// Removes the rows of a source that newer deletes name. True when rows were removed.
    pub fn apply(&self, source_max_seq: u64, block: &mut Block) -> bool {
        let mut keep: Option<Bitmap> = None;
        let newer = self.list.iter().rev().take_while(|tombstone| tombstone.binds(source_max_seq));
        for tombstone in newer {
            for run in &block.runs {
                if !tombstone.series.contains(run.series.0) {
                    continue;
                }
                let times = block.times.get(run.range()).unwrap_or(&[]);
                let first = times.partition_point(|time| *time < tombstone.range.first);
                let end = times.partition_point(|time| *time <= tombstone.range.last);
                for row in first..end {
                    let keep = keep.get_or_insert_with(|| Bitmap::filled(block.times.len(), true));
                    keep.set(run.start as usize + row, false);
                }
            }
        }
        if let Some(keep) = &keep {
            block.retain(keep);
        }
        keep.is_some()
    }

    /// Forgets the deletes that no source must obey any more, the oldest source's newest row being
    /// `oldest_source_seq`.
    pub fn retain_newer_than(&mut self, oldest_source_seq: u64) {
        self.list.retain(|tombstone| tombstone.binds(oldest_source_seq));
    }

    /// Appends the bytes of the table above.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.list.len() as u32).to_le_bytes());
        for tombstone in &self.list {
            out.extend_from_slice(&tombstone.seq.to_le_bytes());
            out.extend_from_slice(&tombstone.range.first.to_le_bytes());
            out.extend_from_slice(&tombstone.range.last.to_le_bytes());
            out.extend_from_slice(&(tombstone.series.serialized_size() as u32).to_le_bytes());
            let written = tombstone.series.serialize_into(&mut *out);
            debug_assert!(written.is_ok(), "a vector takes all bytes");
        }
    }

    /// Reads what `write` wrote; the bytes are used up whole.
    pub fn read(bytes: &[u8]) -> Result<Tombstones, Damaged> {
        let mut rest = bytes;
        let damaged = |rest: &[u8]| Damaged { offset: bytes.len() - rest.len() };
        let count = take_u32(&mut rest).ok_or(damaged(rest))?;
        let mut list: Vec<Tombstone> = Vec::new();
        for _ in 0..count {
            let at = rest;
            let tombstone = read_one(&mut rest).ok_or(damaged(at))?;
            if list.last().is_some_and(|last| last.seq > tombstone.seq) {
                return Err(damaged(at));
            }
            list.push(tombstone);
        }
        if rest.is_empty() { Ok(Tombstones { list }) } else { Err(damaged(rest)) }
    }
}

fn read_one(rest: &mut &[u8]) -> Option<Tombstone> {
    let seq = u64::from_le_bytes(take(rest)?);
    let range = TimeRange::new(i64::from_le_bytes(take(rest)?), i64::from_le_bytes(take(rest)?));
    let len = take_u32(rest)?;
    let (mut bytes, after) = rest.split_at_checked(len as usize)?;
    if containers(bytes)?.checked_mul(4)? > bytes.len() {
        return None;
    }
    let series = RoaringBitmap::deserialize_from(&mut bytes).ok()?;
    if !bytes.is_empty() || series.is_empty() || range.is_empty() {
        return None;
    }
    *rest = after;
    Some(Tombstone { seq, series, range })
}

/// Number of containers that a set in portable form claims: each has 4 bytes of description, so
/// more than the bytes allow is refused before the reader makes room for them.
fn containers(bytes: &[u8]) -> Option<usize> {
    const WITH_RUNS: u32 = 12_347;
    let (cookie, rest) = bytes.split_first_chunk::<4>()?;
    let cookie = u32::from_le_bytes(*cookie);
    if cookie & 0xffff == WITH_RUNS {
        return Some((cookie >> 16) as usize + 1);
    }
    rest.first_chunk::<4>().map(|count| u32::from_le_bytes(*count) as usize)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*bytes)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    take(rest).map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::testing::{Rows, block_of, column_ids, measurement_of, read, value_of};
    use proptest::prelude::*;

    fn tombstone(seq: u64, series: &[u32], first: i64, last: i64) -> Tombstone {
        let series = series.iter().copied().collect();
        Tombstone { seq, series, range: TimeRange::new(first, last) }
    }

    fn some() -> Tombstones {
        let mut list = Tombstones::default();
        list.push(tombstone(20, &[1, 2], 0, 5));
        list.push(tombstone(10, &[3], 2, 3));
        list.push(tombstone(15, &[], 0, 100));
        list.push(tombstone(15, &[1], 9, 8));
        list
    }

    #[test]
    fn older_sources_obey_and_newer_ones_do_not() {
        let list = some();
        assert_eq!(list.len(), 2);
        let at = |seq, series: &[SeriesId]| list.overlaps(seq, Some(series), TimeRange::new(3, 30));
        assert!(at(19, &[SeriesId(1)]) && !at(20, &[SeriesId(1)]));
        assert!(at(9, &[SeriesId(3)]) && !at(10, &[SeriesId(3)]) && !at(9, &[SeriesId(4)]));
        assert!(!list.overlaps(0, None, TimeRange::new(6, 9)));
        assert!(list.overlaps(0, None, TimeRange::new(5, 9)));
    }

    #[test]
    fn only_tombstones_of_the_past_are_forgotten() {
        let mut list = some();
        list.retain_newer_than(9);
        assert_eq!(list.len(), 2);
        list.retain_newer_than(10);
        assert_eq!(list.iter().map(|tombstone| tombstone.seq).collect::<Vec<_>>(), [20]);
        list.retain_newer_than(20);
        assert!(list.is_empty());
    }

    proptest! {
        #[test]
        fn applying_removes_what_a_model_removes(
            keys in prop::collection::btree_set((0u32..5, 0i64..20), 0..60),
            deletes in prop::collection::vec((0u64..9, 0u32..5, 0i64..20, 0i64..9), 0..5),
            seq in 0u64..9,
        ) {
            let id = column_ids()[1];
            let row = |(series, time): &(u32, i64)| {
                let series = SeriesId(*series);
                let values = [(id, value_of(id, *time as u64))].into();
                ((measurement_of(series), series, *time), values)
            };
            let mut model: Rows = keys.iter().map(row).collect();
            let mut block = block_of(&model);
            let mut list = Tombstones::default();
            for (at, series, first, rows) in &deletes {
                list.push(tombstone(*at, &[*series, 77], *first, first + rows));
            }
            let before = model.len();
            model.retain(|key, _| !deletes.iter().any(|(at, series, first, rows)| {
                seq < *at && key.1.0 == *series && *first <= key.2 && key.2 <= first + rows
            }));
            prop_assert_eq!(list.apply(seq, &mut block), model.len() < before);
            let mut rows = Vec::new();
            read(&block, &mut rows);
            prop_assert_eq!(rows, model.into_iter().collect::<Vec<_>>());
            let mut bytes = Vec::new();
            list.write(&mut bytes);
            prop_assert_eq!(Tombstones::read(&bytes), Ok(list));
        }

        #[test]
        fn damaged_bytes_are_refused_or_read_but_never_fatal(
            cut in 0usize..200, at in 0usize..200, bit in 0u8..8,
        ) {
            let mut bytes = Vec::new();
            some().write(&mut bytes);
            let cut = cut % bytes.len();
            prop_assert!(Tombstones::read(&bytes[..cut]).is_err());
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let _ = Tombstones::read(&bytes);
        }
    }

    #[test]
    fn a_set_that_claims_more_than_its_bytes_is_refused() {
        let mut bytes = Vec::new();
        some().write(&mut bytes);
        let set = 4 + 8 + 16 + 4;
        bytes[set..set + 4].copy_from_slice(&0xffff_303bu32.to_le_bytes());
        assert_eq!(Tombstones::read(&bytes), Err(Damaged { offset: 4 }));
    }
}
