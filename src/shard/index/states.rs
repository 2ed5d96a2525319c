//! What is known of each series id: where its key lies, its measurement, whether it is live.
//!
//! Ids are dense while series live, but long stretches of old ones may be gone after years of
//! churn; entries are held in chunks of 4,096 and a chunk without a series takes no memory.

use super::arena::Chunked;

const CHUNK_BITS: u32 = 12;

/// A series.
#[derive(Clone, Copy)]
pub(super) struct State {
    /// Handle of the key: `tags` cell numbers, in order of tag key.
    pub(super) key: u32,
    /// The measurement's number in this index; `ABSENT` where the id has no series.
    pub(super) measurement: u32,
    pub(super) tags: u16,
    pub(super) retired: bool,
}

const ABSENT: u32 = u32::MAX;
const HOLE: State = State { key: 0, measurement: ABSENT, tags: 0, retired: true };

/// States by id.
#[derive(Default)]
pub(super) struct States {
    chunks: Chunked<Vec<State>, 12>,
}

impl States {
    /// The state of a series, retired or not; `None` when the id has none.
    pub(super) fn get(&self, id: u32) -> Option<&State> {
        let chunk = self.chunks.get(id >> CHUNK_BITS)?;
        chunk.get(offset(id)).filter(|state| state.measurement != ABSENT)
    }

    /// Marks a series retired; false when it was or there is none.
    pub(super) fn retire(&mut self, id: u32) -> bool {
        let chunk = self.chunks.get_mut(id >> CHUNK_BITS);
        match chunk.and_then(|chunk| chunk.get_mut(offset(id))) {
            Some(state) if !state.retired => {
                state.retired = true;
                true
            }
            _ => false,
        }
    }

    /// Gives an id its series.
    pub(super) fn put(&mut self, id: u32, state: State) -> Option<()> {
        while self.chunks.len() <= (id >> CHUNK_BITS) as usize {
            self.chunks.push(Vec::new())?;
        }
        let chunk = self.chunks.get_mut(id >> CHUNK_BITS)?;
        if chunk.len() <= offset(id) {
            chunk.resize(offset(id) + 1, HOLE);
        }
        *chunk.get_mut(offset(id))? = state;
        Some(())
    }

    /// Bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks.memory_bytes()
            + self.chunks.iter().map(|chunk| chunk.capacity() * size_of::<State>()).sum::<usize>()
    }
}

fn offset(id: u32) -> usize {
    (id & ((1 << CHUNK_BITS) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_take_no_memory() {
        let mut states = States::default();
        let state = State { key: 3, measurement: 1, tags: 2, retired: false };
        states.put(10_000_000, state).unwrap();
        states.put(10_000_001, state).unwrap();
        assert!(states.get(9_999_999).is_none() && states.get(5).is_none());
        assert_eq!(states.get(10_000_001).map(|state| state.key), Some(3));
        assert!(states.retire(10_000_001) && !states.retire(10_000_001) && !states.retire(5));
        assert!(states.memory_bytes() < 400_000);
    }
}
