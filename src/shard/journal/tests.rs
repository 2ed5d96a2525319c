//! Journals in the simulator: every edit that `append` returned survives cuts, failures and
//! rewrites; every flipped bit in front of the last commit is found.

use super::*;
use crate::env::sim::{CutMode, Image, Kind, ROOT, Sim, SimEnv, Stopped};
use crate::model::ShardId;
use std::cell::RefCell;

const IDENTITY: Identity = Identity { store: 5, shard: ShardId(0), epoch: 1 };

fn dir() -> PathBuf {
    Path::new(ROOT).join("shard")
}

fn edit(number: u64) -> Vec<u8> {
    // Every seventh edit is large, so that a few lives rewrite the file.
    let len = if number.is_multiple_of(7) { 300_000 } else { 20 + number as usize };
    vec![number as u8; len]
}

/// The edits 1 to `count` in one byte string, as a snapshot.
fn snapshot(count: u64) -> Vec<u8> {
    [count.to_le_bytes().as_slice(), &[7; 900]].concat()
}

/// Opens, checks that edits 1 to at least `acked` are there and returns the journal.
async fn opened(env: &SimEnv, acked: u64) -> Result<Journal<SimEnv>, JournalError> {
    let (journal, found, edits) = open(env.clone(), &dir(), "manifest", IDENTITY).await?;
    let covered = match &found {
        Some(bytes) => u64::from_le_bytes(bytes[..8].try_into().unwrap()),
        None => 0,
    };
    assert!(found.is_none_or(|bytes| bytes == snapshot(covered)));
    for (number, bytes) in (covered + 1..).zip(&edits) {
        assert!(*bytes == edit(number), "edit {number} is the one appended");
    }
    let last = covered + edits.len() as u64;
    assert_eq!(last, journal.last_edit());
    assert!(last == acked || last == acked + 1, "{acked} acknowledged, {last} found");
    Ok(journal)
}

async fn life(env: &SimEnv, acked: &RefCell<u64>, edits: u64) -> Result<(), JournalError> {
    let before = *acked.borrow();
    let mut journal = opened(env, before).await?;
    *acked.borrow_mut() = journal.last_edit();
    for _ in 0..edits {
        let next = journal.last_edit() + 1;
        assert_eq!(journal.append(&edit(next)).await?, next);
        *acked.borrow_mut() = next;
        journal.rewrite_if_large(|| Some(snapshot(next))).await?;
        if next % 3 == 0 {
            journal.seal().await?;
        }
    }
    Ok(())
}

fn lived(edits: u64) -> Image {
    let sim = Sim::new(1);
    sim.run(life(&sim.env(0), &RefCell::new(0), edits)).unwrap().unwrap();
    sim.disk().power_cut(CutMode::DropAll)
}

#[test]
fn acknowledged_edits_survive_a_cut_after_any_disk_call() {
    let mut n = 0;
    loop {
        n += 1;
        let sim = Sim::new(n);
        sim.disk().cut_after(n);
        let acked = RefCell::new(0);
        let end = sim.run(life(&sim.env(0), &acked, 40));
        if let Ok(end) = end {
            end.unwrap();
            break;
        }
        assert_eq!(end.err(), Some(Stopped::PowerCut));
        for mode in [CutMode::DropAll, CutMode::KeepAll, CutMode::Random, CutMode::Random] {
            let next = Sim::restart(n, sim.disk().power_cut(mode));
            let end = next.run(life(&next.env(0), &acked.clone(), 3)).unwrap();
            end.unwrap_or_else(|error| panic!("cut {n}, {mode:?}: {error}"));
        }
    }
    assert!(n > 90, "{n} places to cut");
}

#[test]
fn many_lives_with_a_cut_in_each() {
    for seed in 0..40u64 {
        let (acked, mut image) = (RefCell::new(0), Image::new());
        for number in 0..8 {
            let sim = Sim::restart(seed * 10 + number, image);
            sim.disk().cut_after(1 + (seed * 31 + number * 17) % 60);
            if let Ok(end) = sim.run(life(&sim.env(0), &acked, 40)) {
                end.unwrap();
            }
            image = sim.disk().power_cut(CutMode::Random);
        }
    }
}

#[test]
fn growth_is_rewritten_into_the_next_file() {
    let image = lived(60);
    let paths = image.paths();
    assert_eq!(paths.len(), 1, "{paths:?}");
    assert!(paths[0] > dir().join("manifest-1"));
    assert!(image.read(&paths[0]).unwrap().len() < 2 << 20);
}

#[test]
fn a_failed_write_or_sync_ends_all_appending() {
    for kind in [Kind::Write, Kind::Sync] {
        for n in 4..40 {
            let sim = Sim::new(n);
            let env = sim.env(0);
            sim.disk().fail_nth(n, kind, libc::EIO);
            let last = sim.run(async {
                let mut journal = opened(&env, 0).await.unwrap();
                let mut last = 0;
                while let Ok(number) = journal.append(&edit(last + 1)).await {
                    last = number;
                }
                assert!(journal.poisoned().is_some());
                let again = journal.append(b"x").await;
                assert!(matches!(again, Err(LogError::Poisoned { .. })));
                last
            });
            let next = Sim::restart(n, sim.disk().power_cut(CutMode::Random));
            next.run(life(&next.env(0), &RefCell::new(last.unwrap()), 2)).unwrap().unwrap();
        }
    }
}

#[test]
fn flipped_bits_are_found_where_they_are() {
    let image = lived(6);
    let path = image.paths().pop().unwrap();
    let size = image.read(&path).unwrap().len() as u64;
    let place = Place::journal(IDENTITY, "manifest");
    let bytes = image.read(&path).unwrap();
    let mut offset = 0;
    while offset < size {
        let head = frame::commit(&place, offset, &bytes[offset as usize..]).map(|(head, _)| head);
        let len = head.map_or(4096, |head| head.bytes());
        let is_last = offset + len == size;
        for at in [0, 9, 17, 33, 60, 70, len - 1] {
            let mut image = image.clone();
            assert!(image.flip_bit(&path, (offset + at) * 8 + at % 8));
            let sim = Sim::restart(1, image);
            let found = sim.run(open(sim.env(0), &dir(), "manifest", IDENTITY)).unwrap();
            match found {
                Err(LogError::Damaged { offset: here, .. }) => assert_eq!(here, offset),
                Ok((journal, ..)) => assert!(is_last && journal.torn_bytes() == len),
                Err(error) => panic!("{error}"),
            }
        }
        offset += len;
    }
}

#[test]
fn another_store_or_name_is_refused() {
    let image = lived(3);
    let path = image.paths().pop().unwrap();
    let sim = Sim::restart(1, image.clone());
    let other = Identity { store: 6, ..IDENTITY };
    let refused = sim.run(open(sim.env(0), &dir(), "manifest", other)).unwrap();
    assert!(matches!(refused, Err(LogError::Damaged { offset: 0, .. })));
    let mut copied = image.clone();
    copied.write(&dir().join("catalog-1"), &image.read(&path).unwrap());
    let sim = Sim::restart(1, copied);
    let refused = sim.run(open(sim.env(0), &dir(), "catalog", IDENTITY)).unwrap();
    assert!(matches!(refused, Err(LogError::Damaged { offset: 0, .. })));
}

#[test]
fn a_full_disk_during_a_rewrite_changes_nothing() {
    let sim = Sim::new(1);
    let env = sim.env(0);
    let acked = RefCell::new(0);
    let done = sim.run(async {
        let mut journal = opened(&env, 0).await.unwrap();
        while journal.current.offset <= REWRITE_BYTES + 16384 {
            let next = journal.last_edit() + 1;
            journal.append(&edit(next)).await.unwrap();
        }
        sim.disk().set_free_bytes(4096);
        let last = journal.last_edit();
        let full = journal.rewrite_if_large(|| Some(snapshot(last))).await;
        assert!(matches!(full, Err(LogError::Full)), "{full:?}");
        sim.disk().set_free_bytes(1 << 30);
        journal.append(&edit(last + 1)).await.unwrap();
        *acked.borrow_mut() = last + 1;
    });
    done.unwrap();
    let next = Sim::restart(2, sim.disk().power_cut(CutMode::KeepAll));
    next.run(life(&next.env(0), &acked, 2)).unwrap().unwrap();
}

#[test]
fn a_snapshot_is_made_only_for_a_large_file_and_without_one_nothing_changes() {
    let sim = Sim::new(3);
    sim.run(async {
        let mut journal = opened(&sim.env(0), 0).await.unwrap();
        let mut asked = Vec::new();
        for next in 1..=40u64 {
            journal.append(&edit(next)).await.unwrap();
            let ask = || {
                asked.push(next);
                None
            };
            journal.rewrite_if_large(ask).await.unwrap();
        }
        // Four edits of 300 KB make the file large; without a snapshot it stays so.
        assert_eq!(asked, (28..=40).collect::<Vec<_>>());
        drop(journal);
        opened(&sim.env(0), 40).await.unwrap();
    })
    .unwrap();
}
