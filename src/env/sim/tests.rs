//! Tests of the simulated world as a whole: repeatability, what survives a power cut, faults.
//!
//! In: seeds. Out: nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::env::conformance::conformance;
use crate::env::{BLOCK_BYTES, Disk, Env, File, Open, Queue, Task};

const BLOCK: u64 = BLOCK_BYTES as u64;

fn at(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

async fn put(file: &SimFile, block: u64, value: u8) -> io::Result<()> {
    let mut buffer = file.buffer(BLOCK_BYTES);
    buffer.fill(value);
    file.write_at(block * BLOCK, buffer).await
}

/// A durable file of one block of ones, ready for experiments.
async fn durable_file(env: &SimEnv, name: &str) -> SimFile {
    let file = env.disk().open(&at(name), Open::Create).await.unwrap();
    put(&file, 0, 1).await.unwrap();
    file.sync().await.unwrap();
    env.disk().sync_dir(ROOT.as_ref()).await.unwrap();
    file
}

fn names(image: &Image) -> Vec<String> {
    let paths = image.paths();
    paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn keeps_the_promises_of_every_environment() {
    for seed in 0..20 {
        test(seed, |env| async move { conformance(env, ROOT.as_ref()).await }).unwrap();
    }
}

/// Three nodes that write, sleep and draw; gives the hash and the order in which things ended.
fn busy(seed: u64) -> (u64, Vec<(usize, u64)>, u64) {
    let sim = Sim::new(seed);
    let order = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..12)
        .map(|number| {
            let env = sim.env(number % 3);
            let order = order.clone();
            let world = env.clone();
            env.spawn(Queue::Ingest, async move {
                let file = world.disk().open(&at(&format!("f{number}")), Open::Create).await;
                let file = file.unwrap();
                for _ in 0..3 {
                    put(&file, world.random() % 8, number as u8).await.unwrap();
                    world.sleep(Duration::from_nanos(world.random() % 1_000_000)).await;
                }
                file.sync().await.unwrap();
                order.borrow_mut().push((number, world.random()));
            })
        })
        .collect();
    sim.run(async {
        for task in tasks {
            task.join().await.unwrap();
        }
    })
    .unwrap();
    let order = order.take();
    (sim.event_hash(), order, sim.env(0).now_mono())
}

#[test]
fn a_seed_repeats_exactly() {
    let mut hashes = BTreeSet::new();
    let mut orders = BTreeSet::new();
    for seed in 0..50 {
        let (hash, order, end) = busy(seed);
        assert_eq!((hash, order.clone(), end), busy(seed));
        hashes.insert(hash);
        orders.insert(order.iter().map(|(number, _)| *number).collect::<Vec<_>>());
    }
    assert_eq!(hashes.len(), 50, "different seeds give different runs");
    assert!(orders.len() > 40);
}

#[test]
fn waiting_for_nothing_is_told() {
    assert_eq!(test(1, |_| std::future::pending::<()>()), Err(Stopped::Deadlock));
    let sim = Sim::new(1);
    sim.set_step_limit(1000);
    let env = sim.env(0);
    let forever = async {
        loop {
            env.yield_now().await;
        }
    };
    assert_eq!(sim.run(forever), Err::<(), _>(Stopped::StepLimit));
}

#[test]
fn dropping_the_world_ends_its_tasks() {
    let held = Rc::new(());
    let sim = Sim::new(1);
    let (env, inside) = (sim.env(0), held.clone());
    let world = env.clone();
    env.spawn(Queue::Query, async move {
        world.sleep(Duration::from_secs(1 << 20)).await;
        drop(inside);
    })
    .detach();
    sim.run(env.sleep(Duration::from_millis(1))).unwrap();
    assert_eq!(Rc::strong_count(&held), 2);
    drop(sim);
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn yielding_does_not_hold_the_clock() {
    let end = test(3, |env| async move {
        let due = Rc::new(Cell::new(false));
        let (world, inside) = (env.clone(), due.clone());
        env.spawn(Queue::Query, async move {
            world.sleep(Duration::from_millis(5)).await;
            inside.set(true);
        })
        .detach();
        while !due.get() {
            env.yield_now().await;
        }
        env.now_mono()
    });
    assert!((5_000_000..6_000_000).contains(&end.unwrap()));
}

#[test]
fn wall_clock_steps_alone() {
    let sim = Sim::new(1);
    let env = sim.env(0);
    let (wall, mono) = (env.now_wall(), env.now_mono());
    sim.step_wall(-3_600_000_000_000);
    assert_eq!(env.now_wall(), wall - 3_600_000_000_000);
    assert_eq!(env.now_mono(), mono);
}

#[test]
fn names_need_their_folder_synced() {
    let sim = Sim::new(5);
    let env = sim.env(0);
    let disk = env.disk();
    sim.run(async {
        let file = disk.open(&at("fresh"), Open::Create).await.unwrap();
        put(&file, 0, 9).await.unwrap();
        file.sync().await.unwrap();
        assert!(disk.power_cut(CutMode::DropAll).paths().is_empty(), "a sync makes no name");
        disk.sync_dir(ROOT.as_ref()).await.unwrap();
        assert_eq!(names(&disk.power_cut(CutMode::DropAll)), ["fresh"]);

        disk.rename(&at("fresh"), &at("other")).await.unwrap();
        assert_eq!(names(&disk.power_cut(CutMode::DropAll)), ["fresh"]);
        assert_eq!(names(&disk.power_cut(CutMode::KeepAll)), ["other"]);
        disk.sync_dir(ROOT.as_ref()).await.unwrap();
        assert_eq!(names(&disk.power_cut(CutMode::DropAll)), ["other"]);

        disk.remove(&at("other")).await.unwrap();
        drop(file);
        let image = disk.power_cut(CutMode::DropAll);
        assert_eq!(image.read(&at("other")).unwrap(), [9; BLOCK_BYTES]);
        assert!(disk.power_cut(CutMode::KeepAll).paths().is_empty());
        disk.sync_dir(ROOT.as_ref()).await.unwrap();
        assert!(disk.power_cut(CutMode::DropAll).paths().is_empty());
    })
    .unwrap();
}

#[test]
fn what_is_written_through_needs_no_sync() {
    let sim = Sim::new(5);
    let env = sim.env(0);
    let disk = env.disk();
    sim.run(async {
        drop(durable_file(&env, "f").await);
        let first = || disk.power_cut(CutMode::DropAll).read(&at("f")).unwrap()[0];
        let file = disk.open(&at("f"), Open::Write).await.unwrap();
        put(&file, 0, 2).await.unwrap();
        assert_eq!(first(), 1);
        let file = disk.open(&at("f"), Open::WriteThrough).await.unwrap();
        put(&file, 0, 3).await.unwrap();
        assert_eq!(first(), 3);
        disk.fail_nth(1, Kind::Sync, libc::EIO);
        assert!(put(&file, 0, 4).await.is_err(), "a write that is not durable has failed");
    })
    .unwrap();
}

#[test]
fn a_folder_is_lost_with_all_it_holds() {
    let sim = Sim::new(5);
    let env = sim.env(0);
    let disk = env.disk();
    sim.run(async {
        disk.create_dir(&at("a/b")).await.unwrap();
        drop(disk.open(&at("a/b/file"), Open::Create).await.unwrap());
        for dir in ["a/b", "a"] {
            disk.sync_dir(&at(dir)).await.unwrap();
            assert!(disk.power_cut(CutMode::DropAll).paths().is_empty());
        }
        disk.sync_dir(ROOT.as_ref()).await.unwrap();
        assert_eq!(disk.power_cut(CutMode::DropAll).paths(), [at("a/b/file")]);
    })
    .unwrap();
}

#[test]
fn bytes_and_sizes_need_a_sync() {
    let sim = Sim::new(5);
    let env = sim.env(0);
    sim.run(async {
        let file = durable_file(&env, "f").await;
        put(&file, 0, 2).await.unwrap();
        put(&file, 1, 2).await.unwrap();
        let cut = |mode| env.disk().power_cut(mode).read(&at("f")).unwrap();
        assert_eq!(cut(CutMode::DropAll), [1; BLOCK_BYTES]);
        assert_eq!(cut(CutMode::KeepAll), [2; 2 * BLOCK_BYTES]);
        file.sync().await.unwrap();
        assert_eq!(cut(CutMode::DropAll), [2; 2 * BLOCK_BYTES]);
        file.truncate(100).await.unwrap();
        assert_eq!(cut(CutMode::DropAll).len(), 2 * BLOCK_BYTES);
        file.sync().await.unwrap();
        assert_eq!(cut(CutMode::DropAll), [2; 100]);
    })
    .unwrap();
}

#[test]
fn a_sync_covers_only_what_was_done_before_it() {
    let mut lost = 0;
    for seed in 0..40 {
        let sim = Sim::new(seed);
        let env = sim.env(0);
        sim.run(async {
            let file = Rc::new(durable_file(&env, "f").await);
            let writer = file.clone();
            let write = env.spawn(Queue::Ingest, async move { put(&writer, 0, 2).await });
            env.yield_now().await;
            file.sync().await.unwrap();
            write.join().await.unwrap().unwrap();
            let image = env.disk().power_cut(CutMode::DropAll);
            lost += u32::from(image.read(&at("f")).unwrap() == [1; BLOCK_BYTES]);
        })
        .unwrap();
    }
    assert!(lost > 30, "a write in flight must not count as synced: {lost}");
}

#[test]
fn cut_blocks_are_kept_lost_or_torn_by_sectors() {
    let (mut kept, mut dropped, mut torn) = (0, 0, 0);
    let sim = Sim::new(77);
    let env = sim.env(0);
    sim.run(async {
        let file = durable_file(&env, "f").await;
        put(&file, 0, 2).await.unwrap();
        for _ in 0..200 {
            let bytes = env.disk().power_cut(CutMode::Random).read(&at("f")).unwrap();
            let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
            assert!(bytes.chunks(512).all(|sector| sector.iter().all(|&b| b == sector[0])));
            match sectors.iter().filter(|&&value| value == 2).count() {
                0 => dropped += 1,
                8 => kept += 1,
                _ => torn += 1,
            }
        }
    })
    .unwrap();
    assert!(kept > 20 && dropped > 20 && torn > 20, "{kept} {dropped} {torn}");
}

#[test]
fn later_bytes_survive_without_earlier_ones() {
    let mut seen = BTreeSet::new();
    let sim = Sim::new(3);
    let env = sim.env(0);
    sim.run(async {
        let file = durable_file(&env, "f").await;
        put(&file, 1, 2).await.unwrap();
        put(&file, 2, 3).await.unwrap();
        for name in ["x", "y"] {
            drop(env.disk().open(&at(name), Open::Create).await.unwrap());
        }
        for _ in 0..500 {
            let image = env.disk().power_cut(CutMode::Random);
            let bytes = image.read(&at("f")).unwrap();
            let value = |block: usize| bytes.get(block * BLOCK_BYTES).copied();
            seen.insert((value(1), value(2), names(&image).concat()));
        }
    })
    .unwrap();
    let has = |one, two| seen.iter().any(|state| (state.0, state.1) == (one, two));
    assert!(has(Some(0), Some(3)) && has(Some(2), Some(0)) && has(Some(2), None));
    assert!(has(None, None) && has(Some(2), Some(3)));
    for left in ["f", "fx", "fy", "fxy"] {
        assert!(seen.iter().any(|state| state.2 == left), "{left}");
    }
}

/// The classic safe replacement of a file; every cut must leave the old or the new one.
async fn replace(env: SimEnv) -> io::Result<()> {
    let disk = env.disk();
    let file = disk.open(&at("f.tmp"), Open::Create).await?;
    put(&file, 0, 2).await?;
    file.sync().await?;
    disk.rename(&at("f.tmp"), &at("f")).await?;
    disk.sync_dir(ROOT.as_ref()).await
}

#[test]
fn a_cut_at_every_step_leaves_old_or_new() {
    let mut states = BTreeSet::new();
    for seed in 0..20 {
        for n in 1.. {
            let sim = Sim::new(seed);
            let env = sim.env(0);
            sim.run(async { drop(durable_file(&env, "f").await) }).unwrap();
            let before = sim.disk().changes();
            sim.disk().cut_after(n);
            let end = sim.run(replace(env.clone()));
            let image = sim.disk().power_cut(CutMode::Random);
            let value = image.read(&at("f")).unwrap();
            assert!(value == [1; BLOCK_BYTES] || value == [2; BLOCK_BYTES]);
            states.insert((n, value[0]));
            if end.is_ok() {
                assert_eq!((n - 1, value[0]), (sim.disk().changes() - before, 2));
                break;
            }
            assert_eq!(end.err(), Some(Stopped::PowerCut));
            assert_eq!(sim.disk().changes() - before, n - 1);
            // The next life starts from it.
            let sim = Sim::restart(seed, image);
            let env = sim.env(0);
            let read = async { env.disk().open(&at("f"), Open::Read).await?.read_at(0, 1).await };
            assert_eq!(sim.run(read).unwrap().unwrap()[0], value[0]);
        }
    }
    // create, write, sync, rename, sync_dir: five places, the rename is open only before the last.
    let expected = [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (5, 2), (6, 2)];
    assert_eq!(states, expected.into());
}

#[test]
fn every_place_of_a_life_is_cut() {
    let mut start = Image::new();
    start.write(&at("f"), &[1; BLOCK_BYTES]);
    let mut values = BTreeSet::new();
    let mut images = 0;
    let life = |env| async move { replace(env).await.unwrap() };
    let places = cut_everywhere(3, &start, life, |name, image| {
        values.insert(image.read(&at("f")).expect(name)[0]);
        images += 1;
    });
    assert_eq!(places, Ok(5));
    assert_eq!((images, values), (6 * 6, [1, 2].into()));

    let stuck = cut_everywhere(3, &start, |_| std::future::pending::<()>(), |_, _| {});
    assert_eq!(stuck, Err(Stopped::Deadlock));
}

#[test]
fn a_rename_without_sync_is_found() {
    let broken = (0..50).any(|seed| {
        let sim = Sim::new(seed);
        let env = sim.env(0);
        let disk = env.disk();
        sim.run(async {
            drop(durable_file(&env, "f").await);
            let file = disk.open(&at("f.tmp"), Open::Create).await.unwrap();
            put(&file, 0, 2).await.unwrap();
            disk.rename(&at("f.tmp"), &at("f")).await.unwrap();
            disk.sync_dir(ROOT.as_ref()).await.unwrap();
        })
        .unwrap();
        let value = disk.power_cut(CutMode::Random).read(&at("f")).unwrap();
        value != [1; BLOCK_BYTES] && value != [2; BLOCK_BYTES]
    });
    assert!(broken);
}

#[test]
fn calls_in_flight_at_a_cut_may_be_on_disk() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let sim = Sim::new(seed);
        let env = sim.env(0);
        let file = sim.run(async { Rc::new(durable_file(&env, "f").await) }).unwrap();
        let writer = file.clone();
        env.spawn(Queue::Ingest, async move { put(&writer, 0, 2).await }).detach();
        sim.run(async {
            env.yield_now().await;
            env.yield_now().await;
        })
        .unwrap();
        for mode in [CutMode::DropAll, CutMode::KeepAll, CutMode::Random] {
            let bytes = sim.disk().power_cut(mode).read(&at("f")).unwrap();
            let changed = bytes.iter().filter(|&&byte| byte == 2).count();
            seen.insert((mode as u8, changed.min(1) + changed / BLOCK_BYTES));
        }
    }
    let expected = [(0, 0), (1, 2), (2, 0), (2, 1), (2, 2)];
    assert!(expected.iter().all(|state| seen.contains(state)), "{seen:?}");
    assert!(!seen.contains(&(0, 2)));
}

#[test]
fn the_nth_call_fails_once() {
    let sim = Sim::new(1);
    let env = sim.env(0);
    let disk = env.disk();
    disk.fail_nth(2, Kind::Write, libc::EIO);
    disk.fail_nth(1, Kind::Rename, libc::ENOSPC);
    disk.fail_nth(2, Kind::Read, libc::EIO);
    sim.run(async {
        let file = disk.open(&at("f"), Open::Create).await.unwrap();
        put(&file, 0, 1).await.unwrap();
        assert_eq!(put(&file, 1, 1).await.unwrap_err().raw_os_error(), Some(libc::EIO));
        put(&file, 2, 1).await.unwrap();
        let full = disk.rename(&at("f"), &at("g")).await.unwrap_err();
        assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
        disk.rename(&at("f"), &at("g")).await.unwrap();
        file.read_at(0, 1).await.unwrap();
        assert_eq!(disk.failures_pending(), 1);
        assert!(file.read_at(0, 1).await.is_err());
        file.read_at(0, 1).await.unwrap();
        assert_eq!((disk.calls(Kind::Write), disk.calls(Kind::Rename)), (3, 2));
    })
    .unwrap();
}

#[test]
fn a_failed_sync_forgets_and_a_second_one_lies() {
    let mut lost = 0;
    for seed in 0..50 {
        let sim = Sim::new(seed);
        let env = sim.env(0);
        sim.run(async {
            let file = durable_file(&env, "f").await;
            put(&file, 0, 2).await.unwrap();
            env.disk().fail_nth(1, Kind::Sync, libc::EIO);
            assert!(file.sync().await.is_err());
            file.sync().await.unwrap();
            assert_eq!(file.read_at(0, 1).await.unwrap()[0], 2, "what is read still looks well");
            let image = env.disk().power_cut(CutMode::DropAll);
            lost += u32::from(image.read(&at("f")).unwrap()[0] == 1);
        })
        .unwrap();
    }
    assert!((10..50).contains(&lost), "{lost}");
}

#[test]
fn space_runs_out_and_comes_back() {
    let sim = Sim::new(1);
    let env = sim.env(0);
    let disk = env.disk();
    disk.set_free_bytes(2 * BLOCK);
    sim.run(async {
        let file = disk.open(&at("f"), Open::Create).await.unwrap();
        put(&file, 0, 1).await.unwrap();
        put(&file, 0, 2).await.unwrap();
        file.preallocate(2 * BLOCK).await.unwrap();
        assert_eq!(disk.free_bytes(ROOT.as_ref()).await.unwrap(), 0);
        put(&file, 1, 1).await.unwrap();
        let full = put(&file, 2, 1).await.unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert!(file.preallocate(3 * BLOCK).await.is_err());
        file.truncate(BLOCK).await.unwrap();
        assert_eq!(disk.free_bytes(ROOT.as_ref()).await.unwrap(), BLOCK);
        disk.remove(&at("f")).await.unwrap();
        assert_eq!(disk.free_bytes(ROOT.as_ref()).await.unwrap(), BLOCK, "a handle holds it");
        drop(file);
        assert_eq!(disk.free_bytes(ROOT.as_ref()).await.unwrap(), 2 * BLOCK);
    })
    .unwrap();
}

#[test]
fn a_flipped_bit_is_read() {
    test(1, |env| async move {
        let file = durable_file(&env, "f").await;
        assert!(env.disk().flip_bit(&at("f"), 8 * 100 + 7));
        assert!(!env.disk().flip_bit(&at("f"), 8 * BLOCK));
        assert!(!env.disk().flip_bit(&at("g"), 0));
        assert_eq!(file.read_at(99, 3).await.unwrap()[..], [1, 0x81, 1]);
        let image = env.disk().power_cut(CutMode::DropAll);
        assert_eq!(image.read(&at("f")).unwrap()[100], 0x81);
    })
    .unwrap();
}
