//! The log in the simulator: a script of commits, and a ledger of what was promised.
//!
//! `cut` ends the script's lives by power cuts and failing calls; `damage` changes bytes of what a
//! life has left. Both check a start against the ledger.

mod cut;
mod damage;

use super::frame::{self, FIRST_COMMIT, Head, Place};
use super::record::{Record, put_retire};
use super::recover::{Origin, Recovered, recover};
use super::{Identity, LogError, Options, SyncPolicy, Writer};
use crate::env::Env;
use crate::env::sim::{CutMode, Image, ROOT, Sim, SimEnv};
use crate::model::{SeriesId, ShardId};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

pub(super) const IDENTITY: Identity = Identity { store: 77, shard: ShardId(2), epoch: 1 };

pub(super) fn dir() -> PathBuf {
    Path::new(ROOT).join("log")
}

pub(super) fn options() -> Options {
    Options {
        file_bytes: 64 << 10,
        first_file_bytes: 32 << 10,
        spares: 2,
        spares_max: 3,
        ..Options::default()
    }
}

/// What record `seq` of a life holds: up to five blocks, never the same twice.
pub(super) fn record(life: u32, seq: u64) -> Record {
    let len = match seq % 7 {
        0 => 18_000,
        1 | 2 => 3_000 + seq as u32 % 1_100,
        _ => 10 + seq as u32,
    };
    let start = seq as u32 * 64 + life;
    Record::Retire((0..len).map(|n| SeriesId(start + n * 100)).collect())
}

/// What was promised, and what may be found.
#[derive(Default, Debug)]
pub(super) struct Ledger {
    /// The life that submitted a record last.
    pub submitted: BTreeMap<u64, u32>,
    /// Records up to this one were acknowledged, or replayed.
    pub acked: u64,
    /// The manifest: the first record that is not safe elsewhere.
    pub from_seq: u64,
    pub manifest_edit: u64,
}

pub(super) type Shared = Rc<RefCell<Ledger>>;

/// Opens the log and checks the replay against the ledger; `must_keep`: what was acknowledged is
/// there.
pub(super) async fn open(
    env: &SimEnv,
    ledger: &Shared,
    options: Options,
    must_keep: bool,
) -> Result<(Writer<SimEnv>, Recovered), LogError> {
    let (from_seq, manifest_edit) =
        { (ledger.borrow().from_seq.max(1), ledger.borrow().manifest_edit) };
    let mut replayed = Vec::new();
    let origin = Origin { dir: &dir(), identity: IDENTITY, from_seq, manifest_edit };
    let (writer, recovered) = recover(env.clone(), origin, options, |seq, record| {
        replayed.push((seq, record));
        Ok(())
    })
    .await?;
    let mut ledger = ledger.borrow_mut();
    for (expected, (seq, found)) in (from_seq..).zip(&replayed) {
        assert_eq!(*seq, expected, "records come in order, without a gap");
        let life = *ledger.submitted.get(seq).expect("only what was submitted appears");
        assert!(*found == record(life, *seq), "record {seq} is the one submitted");
    }
    let end = from_seq + replayed.len() as u64;
    assert_eq!(recovered.next_seq, end);
    assert!(!must_keep || end > ledger.acked, "{} was acknowledged, {end} is next", ledger.acked);
    assert!(recovered.lost.is_empty() && recovered.unknown.is_empty());
    ledger.submitted.split_off(&end);
    ledger.acked = end - 1;
    Ok((writer, recovered))
}

/// Commits `count` records.
pub(super) async fn commit(
    writer: &Writer<SimEnv>,
    ledger: &Shared,
    life: u32,
    count: u32,
) -> Result<(), LogError> {
    let first = writer.next_seq();
    let mut bytes = Vec::new();
    for seq in first..first + u64::from(count) {
        let Record::Retire(set) = record(life, seq) else { unreachable!() };
        put_retire(&set, &mut bytes);
        ledger.borrow_mut().submitted.insert(seq, life);
    }
    let edit = ledger.borrow().manifest_edit;
    writer.commit(&bytes, first, count, edit).await?;
    ledger.borrow_mut().acked = first + u64::from(count) - 1;
    Ok(())
}

/// One life: commits of different sizes over several files, seals, flushes that release files.
pub(super) async fn script(
    env: &SimEnv,
    writer: &Writer<SimEnv>,
    ledger: &Shared,
    life: u32,
    steps: u32,
) -> Result<(), LogError> {
    for step in 0..steps {
        commit(writer, ledger, life, 1 + step % 3).await?;
        if step % 5 == 1 {
            writer.seal().await?;
        }
        if step % 6 == 4 {
            env.sleep(Duration::from_millis(40)).await;
        }
        if step % 8 == 7 {
            // A flush: its file and the manifest edit are durable when the log is told.
            let safe = {
                let mut ledger = ledger.borrow_mut();
                let safe = ledger.acked - 2;
                ledger.from_seq = safe + 1;
                ledger.manifest_edit += 1;
                safe
            };
            writer.release(safe);
        }
    }
    Ok(())
}

/// A commit on a disk at rest.
#[derive(Clone, Debug)]
pub(super) struct At {
    pub file: PathBuf,
    pub offset: u64,
    pub head: Head,
}

/// All valid commits of the generation that each file's header names, in order.
pub(super) fn commits(image: &Image) -> Vec<At> {
    let place = Place::log(IDENTITY);
    let mut all = Vec::new();
    for file in image.paths() {
        let bytes = image.read(&file).unwrap();
        let frame::FileHeader::Ours { generation } = frame::file_header(&place, &bytes) else {
            continue;
        };
        let mut offset = FIRST_COMMIT;
        while let Some(rest) = bytes.get(offset as usize..)
            && let Some((head, _)) = frame::commit(&place, offset, rest)
            && head.generation == generation
        {
            all.push(At { file: file.clone(), offset, head });
            offset += head.bytes();
        }
    }
    all.sort_by_key(|at| at.head.commit_no);
    all
}

/// A disk after one undisturbed life, and its ledger.
pub(super) fn lived(steps: u32, release: bool) -> (Image, Ledger) {
    let sim = Sim::new(11);
    let env = sim.env(0);
    let ledger = Shared::default();
    let done = sim.run(async {
        let (writer, _) = open(&env, &ledger, options(), true).await?;
        if release {
            return script(&env, &writer, &ledger, 1, steps).await;
        }
        for step in 0..steps {
            commit(&writer, &ledger, 1, 1 + step % 3).await?;
            env.sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    });
    done.unwrap().unwrap();
    (sim.disk().power_cut(CutMode::DropAll), ledger.take())
}

/// Starts from an image; the error, or what was recovered, and the writer's state at the end.
pub(super) fn start(
    image: Image,
    ledger: &Ledger,
    options: Options,
) -> Result<(Recovered, Vec<u64>), LogError> {
    let sim = Sim::restart(5, image);
    let env = sim.env(0);
    let mut seqs = Vec::new();
    let (from_seq, manifest_edit) = (ledger.from_seq, ledger.manifest_edit);
    let origin = Origin { dir: &dir(), identity: IDENTITY, from_seq, manifest_edit };
    let done = sim.run(recover(env, origin, options, |seq, _| {
        seqs.push(seq);
        Ok(())
    }));
    let (_, recovered) = done.unwrap()?;
    Ok((recovered, seqs))
}
