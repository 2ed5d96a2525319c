//! Lives that end by a power cut, a failing disk call, or a full disk.

use super::*;
use crate::env::sim::{Kind, Stopped};
use crate::env::{Queue, Task};

/// Runs one life from an image. Returns what its end leaves.
fn life(
    seed: u64,
    number: u32,
    image: Image,
    ledger: &Shared,
    options: Options,
    cut: Option<u64>,
) -> (Sim, Result<Result<(), LogError>, Stopped>) {
    let sim = Sim::restart(seed, image);
    let env = sim.env(0);
    if let Some(cut) = cut {
        sim.disk().cut_after(cut);
    }
    let must_keep = options.sync == SyncPolicy::Always;
    let end = sim.run(async {
        let (writer, _) = open(&env, ledger, options, must_keep).await?;
        script(&env, &writer, ledger, number, 40).await
    });
    (sim, end)
}

fn cut_everywhere(options: Options, stride: usize) {
    let whole = life(1, 1, Image::new(), &Shared::default(), options, None);
    whole.1.unwrap().unwrap();
    let changes = whole.0.disk().changes();
    assert!(changes > 100, "{changes} places to cut");
    for n in (1..=changes).step_by(stride) {
        let ledger = Shared::default();
        let (sim, end) = life(1, 1, Image::new(), &ledger, options, Some(n));
        assert_eq!(end.err(), Some(Stopped::PowerCut), "cut {n}");
        let before = ledger.take();
        for mode in [CutMode::DropAll, CutMode::KeepAll, CutMode::Random, CutMode::Random] {
            let ledger =
                Shared::new(RefCell::new(Ledger { submitted: before.submitted.clone(), ..before }));
            let (_, end) = life(n, 2, sim.disk().power_cut(mode), &ledger, options, None);
            end.unwrap().unwrap_or_else(|error| panic!("cut {n}, {mode:?}: {error}"));
        }
    }
}

#[test]
fn what_was_acknowledged_survives_a_cut_after_any_disk_call() {
    cut_everywhere(options(), 1);
}

#[test]
fn other_sync_policies_keep_a_beginning_and_never_refuse_to_start() {
    let interval = SyncPolicy::Interval(Duration::from_millis(3));
    for sync in [interval, SyncPolicy::Never] {
        cut_everywhere(Options { sync, ..options() }, 3);
    }
}

#[test]
fn many_lives_with_a_cut_in_each() {
    for seed in 0..60 {
        let ledger = Shared::default();
        let mut image = Image::new();
        let mut replayed = 0;
        for number in 1..8u32 {
            // The first calls of a life are those of the start, which are cut as well.
            let cut = 1 + (seed * 7919 + u64::from(number) * 104_729) % 120;
            let (sim, end) =
                life(seed * 100 + u64::from(number), number, image, &ledger, options(), Some(cut));
            if let Ok(Err(error)) = end {
                panic!("seed {seed}, life {number}: {error}");
            }
            replayed = ledger.borrow().acked;
            let mode = if seed % 3 == 0 { CutMode::KeepAll } else { CutMode::Random };
            image = sim.disk().power_cut(mode);
        }
        let (_, end) = life(seed, 9, image, &ledger, options(), None);
        end.unwrap().unwrap();
        assert!(ledger.borrow().acked >= replayed);
    }
}

#[test]
fn files_are_recycled_and_their_old_commits_are_still_on_disk() {
    let (image, ledger) = lived(60, true);
    let place = Place::log(IDENTITY);
    let mut stale = 0;
    for path in image.paths() {
        let bytes = image.read(&path).unwrap();
        let frame::FileHeader::Ours { generation } = frame::file_header(&place, &bytes) else {
            continue;
        };
        for offset in (FIRST_COMMIT..bytes.len() as u64).step_by(4096) {
            let found = frame::commit(&place, offset, &bytes[offset as usize..]);
            stale += usize::from(found.is_some_and(|(head, _)| head.generation != generation));
        }
    }
    assert!(stale > 10, "{stale} stale commits make this test worth something");
    assert!(image.paths().len() <= 8, "released files are used again");
    let (recovered, seqs) = start(image, &ledger, options()).unwrap();
    assert_eq!(seqs, (ledger.from_seq..=ledger.acked).collect::<Vec<_>>());
    assert_eq!((recovered.torn, recovered.lost), (None, Vec::new()));
}

#[test]
fn a_failed_write_or_sync_ends_all_acknowledgement() {
    for kind in [Kind::Write, Kind::Sync] {
        for n in 1..70 {
            let ledger = Shared::default();
            let sim = Sim::new(n);
            let env = sim.env(0);
            sim.disk().fail_nth(n, kind, libc::EIO);
            let end = sim.run(async {
                let (writer, _) = open(&env, &ledger, options(), true).await?;
                let end = script(&env, &writer, &ledger, 1, 30).await;
                if end.is_err() {
                    assert!(writer.poisoned().is_some());
                    let again = commit(&writer, &Shared::default(), 1, 1).await;
                    assert!(matches!(again, Err(LogError::Poisoned { .. })));
                }
                end
            });
            let end = end.unwrap();
            assert_eq!(end.is_err(), sim.disk().failures_pending() == 0, "{kind:?} {n}: {end:?}");
            let image = sim.disk().power_cut(CutMode::Random);
            let (_, end) = life(n, 2, image, &ledger, options(), None);
            end.unwrap().unwrap_or_else(|error| panic!("{kind:?} {n}: {error}"));
        }
    }
}

#[test]
fn a_full_disk_refuses_without_poison_and_room_helps() {
    let ledger = Shared::default();
    let sim = Sim::new(3);
    let env = sim.env(0);
    let done = sim.run(async {
        let (writer, _) = open(&env, &ledger, options(), true).await.unwrap();
        env.sleep(Duration::from_secs(1)).await;
        sim.disk().set_free_bytes(0);
        let mut end = Ok(());
        while end.is_ok() {
            end = commit(&writer, &ledger, 1, 1).await;
        }
        assert!(matches!(end, Err(LogError::Full)), "{end:?}");
        assert!(matches!(commit(&writer, &ledger, 1, 3).await, Err(LogError::Full)));
        assert_eq!(writer.poisoned(), None);
        sim.disk().set_free_bytes(1 << 30);
        script(&env, &writer, &ledger, 1, 20).await.unwrap();
    });
    done.unwrap();
    let image = sim.disk().power_cut(CutMode::DropAll);
    let ledger = ledger.take();
    let (_, seqs) = start(image, &ledger, options()).unwrap();
    assert_eq!(seqs.last(), Some(&ledger.acked));
}

#[test]
fn a_young_file_is_left_when_a_commit_does_not_fit() {
    let sim = Sim::new(3);
    let env = sim.env(0);
    let options = Options { first_file_bytes: 64 << 10, spares: 1, ..options() };
    let done = sim.run(async {
        let (writer, _) = open(&env, &Shared::default(), options, true).await.unwrap();
        writer.commit(&[1; 100], 1, 1, 0).await.unwrap();
        env.sleep(Duration::from_secs(1)).await;
        assert_eq!(writer.stats().files_spare, 0, "most of the active file is left");
        writer.commit(&[1; 58_000], 2, 1, 0).await.unwrap();
        assert_eq!(writer.stats().waits, 1);
        env.sleep(Duration::from_secs(1)).await;
        assert_eq!(writer.stats().files_spare, 1, "the active file is full");
    });
    done.unwrap();
}

#[test]
fn one_commit_is_in_flight_and_large_ones_are_refused() {
    let ledger = Shared::default();
    let sim = Sim::new(3);
    let env = sim.env(0);
    let done = sim.run(async {
        let (writer, _) = open(&env, &ledger, options(), true).await.unwrap();
        let other = writer.clone();
        let first = env.spawn(Queue::Ingest, async move { other.commit(b"", 1, 0, 0).await });
        while sim.disk().calls(Kind::Write) == 0 || !writer.is_busy() {
            env.yield_now().await;
        }
        assert!(matches!(writer.commit(b"", 1, 0, 0).await, Err(LogError::Busy)));
        first.join().await.unwrap().unwrap();
        let large = vec![0; 64 << 10];
        let refused = writer.commit(&large, 1, 0, 0).await;
        assert!(matches!(refused, Err(LogError::TooLarge { limit: 61_440, .. })), "{refused:?}");
        commit(&writer, &ledger, 1, 1).await.unwrap();
    });
    done.unwrap();
}

#[test]
fn a_commit_that_is_dropped_half_way_poisons() {
    let sim = Sim::new(4);
    let env = sim.env(0);
    let done = sim.run(async {
        let (writer, _) = open(&env, &Shared::default(), options(), true).await.unwrap();
        let other = writer.clone();
        let first = env.spawn(Queue::Ingest, async move { other.commit(b"", 1, 0, 0).await });
        while !writer.is_busy() {
            env.yield_now().await;
        }
        drop(first);
        while writer.is_busy() {
            env.yield_now().await;
        }
        assert!(matches!(writer.commit(b"", 1, 0, 0).await, Err(LogError::Poisoned { .. })));
    });
    done.unwrap();
}
