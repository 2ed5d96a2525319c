//! Tests of the real world: the common promises on ext4-like and memory file systems, and one test
//! for each guard against the runtime.
//!
//! In: fresh folders below `target` and in `/dev/shm`. Out: nothing.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::env::conformance::conformance;
use crate::env::{BLOCK_BYTES, Disk, Env, File, Open, Queue};

/// Runs a body on an unpinned core with little locked memory: tests run side by side.
fn on_core<T, F>(body: impl FnOnce(RealEnv) -> F + Send + 'static) -> io::Result<T>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let core = Core { processor: None, name: "test".to_owned(), io_memory: 64 << 10 };
    run_on_core(core, body).unwrap().join()
}

/// A fresh folder on the disk of the build and one in memory.
fn folders() -> Vec<tempfile::TempDir> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    std::fs::create_dir_all(&target).unwrap();
    let bases = [target, PathBuf::from("/dev/shm")];
    bases.iter().filter(|base| base.is_dir()).map(|base| fresh(base)).collect()
}

fn fresh(base: &Path) -> tempfile::TempDir {
    tempfile::tempdir_in(base).unwrap()
}

#[test]
fn keeps_the_promises_of_every_environment() {
    for folder in folders() {
        let dir = folder.path().to_path_buf();
        on_core(|env| async move { conformance(env, &dir).await }).unwrap();
    }
}

/// Whether the kernel makes what is written to a path durable at once; of the one descriptor that
/// this process has of it.
fn writes_through(path: &Path) -> bool {
    let is_it = |number: &String| {
        std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|target| target == path)
    };
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let numbers = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let number = numbers.collect::<Vec<_>>().into_iter().find(is_it).unwrap();
    let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    let flags = about.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    i32::from_str_radix(flags.trim(), 8).unwrap() & libc::O_DSYNC != 0
}

#[test]
fn a_file_is_written_through_only_when_asked() {
    for folder in folders() {
        let dir = folder.path().canonicalize().unwrap();
        on_core(|env| async move {
            for (how, expected) in [(Open::Write, false), (Open::WriteThrough, true)] {
                let path = dir.join(format!("{how:?}"));
                std::fs::write(&path, [1; BLOCK_BYTES]).unwrap();
                let file = env.disk().open(&path, how).await.unwrap();
                assert_eq!(writes_through(&path), expected);
                drop(file);
            }
        })
        .unwrap();
    }
}

#[test]
fn an_empty_first_file_does_not_break_reads() {
    for folder in folders() {
        let dir = folder.path().to_path_buf();
        std::fs::write(dir.join("empty"), b"").unwrap();
        std::fs::write(dir.join("short"), b"abc").unwrap();
        std::fs::write(dir.join("long"), [7; 10_000]).unwrap();
        on_core(|env| async move {
            let disk = env.disk();
            let empty = disk.open(&dir.join("empty"), Open::Read).await.unwrap();
            assert!(empty.read_at(0, 10).await.unwrap().is_empty());
            let short = disk.open(&dir.join("short"), Open::Read).await.unwrap();
            assert_eq!(short.read_at(1, 10).await.unwrap()[..], *b"bc");
            let long = disk.open(&dir.join("long"), Open::Write).await.unwrap();
            assert_eq!(long.read_at(9_999, 10).await.unwrap()[..], [7]);
            assert_eq!(disk.list(&dir).await.unwrap(), ["empty", "long", "short"]);
        })
        .unwrap();
    }
}

#[test]
fn probing_leaves_nothing_behind() {
    for folder in folders() {
        let dir = folder.path().to_path_buf();
        on_core(|env| async move {
            probe(&dir).await.unwrap();
            assert!(env.disk().list(&dir).await.unwrap().is_empty());
            assert!(probe(&dir.join("missing")).await.is_err());
            assert!(probe(Path::new("relative")).await.is_err());
        })
        .unwrap();
    }
}

#[test]
fn a_length_out_of_damaged_bytes_takes_no_memory() {
    for folder in folders() {
        let path = folder.path().join("file");
        std::fs::write(&path, [1; 5000]).unwrap();
        on_core(|env| async move {
            let file = env.disk().open(&path, Open::Read).await.unwrap();
            assert_eq!(file.read_at(1, usize::MAX / 2).await.unwrap().len(), 4999);
            assert!(file.read_at(u64::MAX, usize::MAX).await.unwrap().is_empty());
        })
        .unwrap();
    }
}

#[test]
fn folders_and_links_are_not_files() {
    let folder = fresh(Path::new("/dev/shm"));
    let dir = folder.path().to_path_buf();
    std::os::unix::fs::symlink("/nowhere", dir.join("link")).unwrap();
    on_core(|env| async move {
        for how in [Open::Read, Open::Write] {
            let error = env.disk().open(&dir, how).await.err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        }
        let error = env.disk().open(&dir.join("link"), Open::Create).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    })
    .unwrap();
}

#[test]
fn a_panic_is_told_to_whoever_joins() {
    let outcome: io::Result<()> = on_core(|env| async move {
        env.spawn(Queue::Query, async { panic!("out of {}", "luck") }).join().await.unwrap();
    });
    assert_eq!(outcome.unwrap_err().to_string(), "core test panicked: out of luck");
}

#[test]
fn a_processor_that_does_not_exist_is_refused() {
    let core = Core { processor: Some(1 << 20), name: "test".to_owned(), io_memory: 0 };
    assert!(run_on_core(core, |_| async {}).is_err());
}

/// A sync beside a background task that computes all the time must not wait for the runtime's
/// usual 100 ms of preemption.
#[test]
fn a_sync_beside_busy_work_is_quick() {
    let folder = fresh(Path::new("/dev/shm"));
    let path = folder.path().join("file");
    let quickest = on_core(|env| async move {
        let file = env.disk().open(&path, Open::Create).await.unwrap();
        let stop = Rc::new(Cell::new(false));
        let (world, inside) = (env.clone(), stop.clone());
        let work = env.spawn(Queue::Background, async move {
            while !inside.get() {
                let start = world.now_mono();
                while world.now_mono() - start < 500_000 {}
                world.yield_now().await;
            }
        });
        let world = env.clone();
        let commits = env.spawn(Queue::Ingest, async move {
            let mut quickest = u64::MAX;
            for block in 0..20 {
                let start = world.now_mono();
                file.write_at(block * BLOCK_BYTES as u64, file.buffer(BLOCK_BYTES)).await.unwrap();
                file.sync().await.unwrap();
                quickest = quickest.min(world.now_mono() - start);
            }
            quickest
        });
        let quickest = crate::env::Task::join(commits).await.unwrap();
        stop.set(true);
        crate::env::Task::join(work).await.unwrap();
        quickest
    })
    .unwrap();
    assert!(quickest < Duration::from_millis(40).as_nanos() as u64, "{quickest} ns");
}

#[test]
fn locked_memory_is_shared_out() {
    assert_eq!(io_memory(2, 8 << 20), 1 << 20);
    assert_eq!(io_memory(64, 8 << 20), 64 << 10);
    assert_eq!(io_memory(1, u64::MAX), 16 << 20);
    assert_eq!(io_memory(0, 0), 64 << 10);
    for cores in [1, 2, 3, 8] {
        let all = 3 * cores as u64 * io_memory(cores, 8 << 20) as u64;
        assert!(all <= 8 << 20, "{cores} cores lock {all} bytes");
    }
    assert!(memlock_limit().unwrap() > 0);
}

/// Cores that wait for each other on fewer processors: the wake-up of one that is about to sleep
/// comes while it is not looking, in every second round without the beat.
#[test]
fn a_core_does_not_sleep_through_the_wake_up_of_another() {
    use glommio::channels::channel_mesh::MeshBuilder;
    const CORES: usize = 4;
    for round in 0..8 {
        let mesh = MeshBuilder::<u8, _>::full(CORES, 64);
        let (done, ended) = std::sync::mpsc::channel();
        let start = |_| {
            let (mesh, done) = (mesh.clone(), done.clone());
            let core = Core { processor: None, name: "mesh".to_owned(), io_memory: 64 << 10 };
            run_on_core(core, move |_env| async move {
                let joined = mesh.join().await.is_ok();
                done.send(joined).unwrap();
            })
            .unwrap()
        };
        let cores: Vec<_> = (0..CORES).map(start).collect();
        for _ in 0..CORES {
            let joined = ended.recv_timeout(Duration::from_secs(10));
            assert_eq!(joined, Ok(true), "round {round}: a core sleeps");
        }
        cores.into_iter().for_each(|core| core.join().unwrap());
    }
}
