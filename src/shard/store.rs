//! Which store this is: an identity, the number of shards, and the epoch whose folder is in use.
//!
//! File `STORE`: two slots of 4 KiB. A slot holds, little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | magic `RINGSTOR` |
//! | 8..12 | version, 1 |
//! | 12..16 | shards |
//! | 16..24 | store id |
//! | 24..28 | epoch |
//! | 28..36 | sequence of this writing |
//! | 36..44 | xxh3 of bytes 0..36 |
//!
//! The valid slot with the larger sequence counts. A change overwrites the other slot and syncs, so
//! a cut at any byte leaves the slot before it valid.

use crate::codec::checksum::xxh3;
use crate::env::{BLOCK_BYTES, Disk, Env, File, Open};
use std::io;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"RINGSTOR";
const VERSION: u32 = 1;
const SLOT_BYTES: usize = 44;
/// The most shards a store can have: the hash bucket has 12 bits.
pub const SHARDS_MAX: u32 = 4096;

/// What the `STORE` file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Store {
    pub id: u64,
    /// Number of shards; a property of the store, whatever the machine has.
    pub shards: u32,
    pub epoch: u32,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{}: {source}", .file.display())]
    Io { file: PathBuf, source: io::Error },
    #[error("{} is damaged: neither of its two slots is valid", .file.display())]
    Damaged { file: PathBuf },
    #[error("{} was written by a newer version ({version})", .file.display())]
    Newer { file: PathBuf, version: u32 },
}

/// The folder of an epoch.
pub fn epoch_dir(data: &Path, epoch: u32) -> PathBuf {
    data.join(format!("epoch-{epoch}"))
}

/// Opens the store of a data folder, or makes one of `shards` shards when there is none.
pub async fn open_or_create<E: Env>(
    env: &E,
    data: &Path,
    shards: u32,
) -> Result<Store, StoreError> {
    let path = data.join("STORE");
    let failed = |source| StoreError::Io { file: path.clone(), source };
    env.disk().create_dir(data).await.map_err(failed)?;
    let names = env.disk().list(data).await.map_err(failed)?;
    if names.iter().any(|name| name == "STORE") {
        return read(env, &path).await;
    }
    let store = Store { id: env.random(), shards: shards.clamp(1, SHARDS_MAX), epoch: 1 };
    let temporary = data.join("STORE.tmp");
    if names.iter().any(|name| name == "STORE.tmp") {
        env.disk().remove(&temporary).await.map_err(failed)?;
    }
    create(env, data, &temporary, &path, store).await.map_err(failed)?;
    Ok(store)
}

/// The store of a data folder that has one.
///
/// # Errors
/// When its file is not there, cannot be read, or is damaged.
pub async fn look<E: Env>(env: &E, data: &Path) -> Result<Store, StoreError> {
    read(env, &data.join("STORE")).await
}

async fn create<E: Env>(
    env: &E,
    data: &Path,
    temporary: &Path,
    path: &Path,
    store: Store,
) -> io::Result<()> {
    let file = env.disk().open(temporary, Open::Create).await?;
    let mut buffer = file.buffer(2 * BLOCK_BYTES);
    let slot = encode(store, 1);
    buffer.iter_mut().zip(slot).for_each(|(to, from)| *to = from);
    file.write_at(0, buffer).await?;
    file.sync().await?;
    drop(file);
    env.disk().create_dir(&epoch_dir(data, store.epoch)).await?;
    env.disk().rename(temporary, path).await?;
    env.disk().sync_dir(data).await
}

async fn read<E: Env>(env: &E, path: &Path) -> Result<Store, StoreError> {
    let failed = |source| StoreError::Io { file: path.to_owned(), source };
    let file = env.disk().open(path, Open::Read).await.map_err(failed)?;
    let bytes = file.read_at(0, 2 * BLOCK_BYTES).await.map_err(failed)?;
    let newest = bytes.chunks(BLOCK_BYTES).filter_map(decode).max_by_key(|slot| slot.sequence);
    let slot = newest.ok_or_else(|| StoreError::Damaged { file: path.to_owned() })?;
    if slot.version != VERSION {
        return Err(StoreError::Newer { file: path.to_owned(), version: slot.version });
    }
    Ok(slot.store)
}

struct Slot {
    version: u32,
    sequence: u64,
    store: Store,
}

fn encode(store: Store, sequence: u64) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&store.shards.to_le_bytes());
    out.extend_from_slice(&store.id.to_le_bytes());
    out.extend_from_slice(&store.epoch.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    let sum = xxh3(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

fn decode(block: &[u8]) -> Option<Slot> {
    let (body, sum) = block.get(..SLOT_BYTES)?.split_at_checked(SLOT_BYTES - 8)?;
    if xxh3(body).to_le_bytes() != sum {
        return None;
    }
    let (magic, rest) = body.split_first_chunk::<8>()?;
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let (shards, rest) = rest.split_first_chunk::<4>()?;
    let (id, rest) = rest.split_first_chunk::<8>()?;
    let (epoch, rest) = rest.split_first_chunk::<4>()?;
    let (sequence, _) = rest.split_first_chunk::<8>()?;
    let shards = u32::from_le_bytes(*shards);
    let store = Store { id: u64::from_le_bytes(*id), shards, epoch: u32::from_le_bytes(*epoch) };
    (magic == MAGIC && (1..=SHARDS_MAX).contains(&shards)).then(|| Slot {
        version: u32::from_le_bytes(*version),
        sequence: u64::from_le_bytes(*sequence),
        store,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_reads_back_and_every_flipped_bit_is_seen() {
        let store = Store { id: 77, shards: 3, epoch: 2 };
        let mut bytes = encode(store, 5);
        assert_eq!(decode(&bytes).map(|slot| (slot.store, slot.sequence)), Some((store, 5)));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_none(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(decode(&bytes[..SLOT_BYTES - 1]).is_none());
    }
}
