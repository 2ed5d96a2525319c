//! Bytes of the durable logs: the file header and the commit frame, shared with the journals.
//!
//! In: a commit's number, sequence and payload. Out: whole 4 KiB blocks that verify in one place
//! only. All integers are little-endian.
//!
//! File header, the first 4 KiB of a file:
//!
//! | offset | bytes | what |
//! |-------:|------:|------|
//! | 0 | 8 | xxh3 of bytes 8 to 4096 |
//! | 8 | 8 | magic `RINGLOG1` |
//! | 16 | 4 | version, 1 |
//! | 20 | 4 | shard |
//! | 24 | 8 | store id |
//! | 32 | 4 | store epoch |
//! | 36 | 4 | zero |
//! | 40 | 8 | generation |
//! | 48 | 8 | stream: 0 for a shard's log, else the hash of a journal's name |
//! | 56 | 4040 | zero |
//!
//! Commit, on a 4 KiB boundary, filled up with zeros to the next one:
//!
//! | offset | bytes | what |
//! |-------:|------:|------|
//! | 0 | 8 | xxh3 of all that follows, zeros included, seeded by place (see `Place::seed`) |
//! | 8 | 4 | magic `RTC1` |
//! | 12 | 4 | len: bytes of payload |
//! | 16 | 8 | generation of the file |
//! | 24 | 8 | commit_no: one more than the commit before, across files |
//! | 32 | 8 | synced_no: the newest commit known durable when this one was written |
//! | 40 | 8 | first_seq: sequence number of the first record |
//! | 48 | 8 | manifest_edit: the newest manifest edit known then |
//! | 56 | 4 | records |
//! | 60 | 4 | zero |
//! | 64 | len | payload |
//!
//! A commit is valid iff its checksum holds under the seed of the store, shard, stream, generation
//! and offset at which it is found. So a frame of an earlier generation, of another file or at
//! another offset never verifies, and every bit of a commit's blocks is covered. A cut at any byte
//! leaves a commit whose checksum fails; which of such commits may be dropped is decided in
//! `recover`.

use crate::env::BLOCK_BYTES;
use crate::model::ShardId;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const FILE_MAGIC: [u8; 8] = *b"RINGLOG1";
const VERSION: u32 = 1;
const COMMIT_MAGIC: [u8; 4] = *b"RTC1";
/// Bytes of a commit before its payload.
pub const HEAD_BYTES: usize = 64;
/// One block: the step in which commits are placed.
pub const BLOCK: u64 = BLOCK_BYTES as u64;
/// Where the first commit of a file lies.
pub const FIRST_COMMIT: u64 = BLOCK;

/// Whose files these are. A file of another store, shard or epoch is never replayed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Random number of the store, given when it is made.
    pub store: u64,
    pub shard: ShardId,
    /// Counts re-shardings of the store.
    pub epoch: u32,
}

/// An identity and one of its streams of commits: the log, or a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub identity: Identity,
    stream: u64,
}

impl Place {
    /// The log of a shard.
    pub fn log(identity: Identity) -> Place {
        Place { identity, stream: 0 }
    }

    /// The journal of this name.
    pub fn journal(identity: Identity, name: &str) -> Place {
        Place { identity, stream: xxh3_64(name.as_bytes()) | 1 }
    }

    /// The seed of the checksum of a commit at `offset` of a file of this generation.
    fn seed(&self, generation: u64, offset: u64) -> u64 {
        let mut bytes = [0u8; 40];
        put(&mut bytes, 0, &self.identity.store.to_le_bytes());
        put(&mut bytes, 8, &self.identity.shard.0.to_le_bytes());
        put(&mut bytes, 12, &self.identity.epoch.to_le_bytes());
        put(&mut bytes, 16, &self.stream.to_le_bytes());
        put(&mut bytes, 24, &generation.to_le_bytes());
        put(&mut bytes, 32, &offset.to_le_bytes());
        xxh3_64(&bytes)
    }
}

/// What the first block of a file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileHeader {
    /// A file of this place.
    Ours { generation: u64 },
    /// A well-formed header of another store, shard, epoch, stream or version.
    Foreign,
    /// No header: never finished, or damaged.
    Invalid,
}

/// Fills a zeroed block with the header of a file.
pub fn put_file_header(place: &Place, generation: u64, block: &mut [u8]) {
    assert_eq!(block.len(), BLOCK_BYTES, "a header fills one block");
    put(block, 8, &FILE_MAGIC);
    put(block, 16, &VERSION.to_le_bytes());
    put(block, 20, &place.identity.shard.0.to_le_bytes());
    put(block, 24, &place.identity.store.to_le_bytes());
    put(block, 32, &place.identity.epoch.to_le_bytes());
    put(block, 40, &generation.to_le_bytes());
    put(block, 48, &place.stream.to_le_bytes());
    let sum = block.get(8..).map_or(0, xxh3_64);
    put(block, 0, &sum.to_le_bytes());
}

/// Reads the first block of a file.
pub fn file_header(place: &Place, block: &[u8]) -> FileHeader {
    let Some((sum, rest)) = block.get(..BLOCK_BYTES).and_then(<[u8]>::split_first_chunk::<8>)
    else {
        return FileHeader::Invalid;
    };
    if u64::from_le_bytes(*sum) != xxh3_64(rest) || array(block, 8) != FILE_MAGIC {
        return FileHeader::Invalid;
    }
    let ours = u32_at(block, 16) == VERSION
        && u32_at(block, 20) == place.identity.shard.0
        && u64_at(block, 24) == place.identity.store
        && u32_at(block, 32) == place.identity.epoch
        && u64_at(block, 48) == place.stream;
    if ours { FileHeader::Ours { generation: u64_at(block, 40) } } else { FileHeader::Foreign }
}

/// The head of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Bytes of payload.
    pub len: u32,
    pub generation: u64,
    pub commit_no: u64,
    /// The newest commit known durable when this one was written. A commit up to this number that
    /// cannot be read is damage; a later one may have been lost with unsynced writes.
    pub synced_no: u64,
    pub first_seq: u64,
    pub manifest_edit: u64,
    pub records: u32,
}

impl Head {
    /// Reads a head without verifying the commit. `None` when it has not the form of one.
    pub fn peek(bytes: &[u8]) -> Option<Head> {
        let bytes = bytes.get(..HEAD_BYTES)?;
        (array(bytes, 8) == COMMIT_MAGIC).then(|| Head {
            len: u32_at(bytes, 12),
            generation: u64_at(bytes, 16),
            commit_no: u64_at(bytes, 24),
            synced_no: u64_at(bytes, 32),
            first_seq: u64_at(bytes, 40),
            manifest_edit: u64_at(bytes, 48),
            records: u32_at(bytes, 56),
        })
    }

    /// Bytes of the commit on disk, zeros at its end included.
    pub fn bytes(&self) -> u64 {
        frame_bytes(self.len as usize)
    }

    /// The sequence number behind the last record.
    pub fn end_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::from(self.records))
    }
}

/// Bytes on disk of a commit with `payload` bytes of payload.
pub fn frame_bytes(payload: usize) -> u64 {
    (payload as u64 + HEAD_BYTES as u64).next_multiple_of(BLOCK)
}

/// Fills a zeroed buffer of exactly `head.bytes()` bytes with the commit for `offset`.
pub fn put_commit(place: &Place, offset: u64, head: &Head, payload: &[u8], out: &mut [u8]) {
    assert_eq!(head.len as usize, payload.len(), "the head tells the payload's length");
    assert_eq!(out.len() as u64, head.bytes(), "a commit fills whole blocks");
    assert!(offset.is_multiple_of(BLOCK), "a commit starts on a block");
    put(out, 8, &COMMIT_MAGIC);
    put(out, 12, &head.len.to_le_bytes());
    put(out, 16, &head.generation.to_le_bytes());
    put(out, 24, &head.commit_no.to_le_bytes());
    put(out, 32, &head.synced_no.to_le_bytes());
    put(out, 40, &head.first_seq.to_le_bytes());
    put(out, 48, &head.manifest_edit.to_le_bytes());
    put(out, 56, &head.records.to_le_bytes());
    put(out, HEAD_BYTES, payload);
    let seed = place.seed(head.generation, offset);
    let sum = out.get(8..).map_or(0, |covered| xxh3_64_with_seed(covered, seed));
    put(out, 0, &sum.to_le_bytes());
}

/// Verifies the commit that begins at `bytes` and lies at `offset` of a file. `bytes` may be longer
/// than the commit. `None` when there is no valid commit here. The generation the head names is
/// part of the seed; whether it is the file's is for the caller to compare.
pub fn commit<'a>(place: &Place, offset: u64, bytes: &'a [u8]) -> Option<(Head, &'a [u8])> {
    let head = Head::peek(bytes)?;
    let whole = bytes.get(..usize::try_from(head.bytes()).ok()?)?;
    let (sum, covered) = whole.split_first_chunk::<8>()?;
    let seed = place.seed(head.generation, offset);
    if u64::from_le_bytes(*sum) != xxh3_64_with_seed(covered, seed) {
        return None;
    }
    let payload = whole.get(HEAD_BYTES..)?.get(..head.len as usize)?;
    Some((head, payload))
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    let room = out.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len()));
    debug_assert!(room.is_some(), "the buffer was sized for this");
    if let Some(room) = room {
        room.copy_from_slice(bytes);
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(<[u8]>::first_chunk::<N>).copied().unwrap_or([0; N])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity() -> Identity {
        Identity { store: 0x1234_5678_9abc, shard: ShardId(3), epoch: 2 }
    }

    fn head(len: usize) -> Head {
        Head {
            len: len as u32,
            generation: 9,
            commit_no: 41,
            synced_no: 40,
            first_seq: 1000,
            manifest_edit: 7,
            records: 3,
        }
    }

    fn written(place: &Place, offset: u64, payload: &[u8]) -> Vec<u8> {
        let head = head(payload.len());
        let mut out = vec![0; head.bytes() as usize];
        put_commit(place, offset, &head, payload, &mut out);
        out
    }

    #[test]
    fn a_commit_verifies_in_its_place_only() {
        let place = Place::log(identity());
        let payload = vec![0xab; 5000];
        let bytes = written(&place, 8192, &payload);
        assert_eq!(bytes.len(), 8192);
        assert_eq!(commit(&place, 8192, &bytes), Some((head(5000), payload.as_slice())));
        assert_eq!(commit(&place, 4096, &bytes), None);
        assert_eq!(commit(&Place::journal(identity(), "manifest"), 8192, &bytes), None);
        let mut other = identity();
        other.epoch += 1;
        assert_eq!(commit(&Place::log(other), 8192, &bytes), None);
        assert_eq!(commit(&place, 8192, &bytes[..8191]), None);
    }

    #[test]
    fn a_payload_that_just_fits_takes_one_block() {
        assert_eq!(frame_bytes(0), 4096);
        assert_eq!(frame_bytes(BLOCK_BYTES - HEAD_BYTES), 4096);
        assert_eq!(frame_bytes(BLOCK_BYTES - HEAD_BYTES + 1), 8192);
    }

    #[test]
    fn every_flipped_bit_of_a_small_commit_is_found() {
        let place = Place::log(identity());
        let mut bytes = written(&place, 4096, b"some records");
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(commit(&place, 4096, &bytes), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_file_header_tells_ours_foreign_and_damaged() {
        let place = Place::log(identity());
        let mut block = vec![0; BLOCK_BYTES];
        put_file_header(&place, 77, &mut block);
        assert_eq!(file_header(&place, &block), FileHeader::Ours { generation: 77 });
        assert_eq!(file_header(&Place::journal(identity(), "x"), &block), FileHeader::Foreign);
        for byte in [0, 9, 20, 40, 4095] {
            block[byte] ^= 1;
            assert_eq!(file_header(&place, &block), FileHeader::Invalid, "byte {byte}");
            block[byte] ^= 1;
        }
        assert_eq!(file_header(&place, &[0; 100]), FileHeader::Invalid);
    }

    proptest! {
        #[test]
        fn random_bytes_are_no_commit(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let place = Place::log(identity());
            prop_assert_eq!(commit(&place, 4096, &bytes), None);
            let mut marked = bytes;
            marked.resize(BLOCK_BYTES, 0);
            marked[8..12].copy_from_slice(&COMMIT_MAGIC);
            prop_assert_eq!(commit(&place, 4096, &marked), None);
        }
    }
}
