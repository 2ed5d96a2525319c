//! What every environment promises, as one test body that the real and the simulated world both
//! run.
//!
//! In: an environment and an empty folder in it. Out: a panic where the two worlds would differ.

use std::cell::Cell;
use std::io::ErrorKind;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::{BLOCK_BYTES, Disk, Env, File, Open, Queue, Task};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// Checks everything; `dir` exists and is empty.
pub(super) async fn conformance<E: Env>(env: E, dir: &Path) {
    bytes(&env, dir).await;
    sizes(&env, dir).await;
    names(&env, dir).await;
    open_modes(&env, dir).await;
    relative_paths(&env).await;
    handles(&env, dir).await;
    tasks(&env).await;
    clocks(&env).await;
}

/// Byte `i` of every test file; no period divides a sector.
fn pattern(i: u64) -> u8 {
    (i % 251) as u8
}

async fn fill<D: Disk>(disk: &D, path: &Path, blocks: u64) -> D::File {
    let file = disk.open(path, Open::Create).await.unwrap();
    let mut buffer = file.buffer((blocks * BLOCK) as usize);
    assert_eq!(buffer.len() as u64, blocks * BLOCK);
    assert!(buffer.iter().all(|&byte| byte == 0), "buffers come zeroed");
    assert_eq!(buffer.as_ptr() as usize % BLOCK_BYTES, 0);
    for (i, byte) in (0..).zip(buffer.iter_mut()) {
        *byte = pattern(i);
    }
    file.write_at(0, buffer).await.unwrap();
    file
}

async fn bytes<E: Env>(env: &E, dir: &Path) {
    let file = fill(env.disk(), &dir.join("bytes"), 3).await;
    let end = 3 * BLOCK;
    let places = [0, 1, 511, 512, 513, 4000, 4095, 4096, 8191, end - 1, end, end + 1, end + 5000];
    for offset in places {
        for len in [0, 1, 100, 512, 4096, 9000, 20_000] {
            let got = file.read_at(offset, len).await.unwrap();
            let expected: Vec<u8> = (offset..end.min(offset + len as u64)).map(pattern).collect();
            assert_eq!(got[..], expected[..], "offset {offset} len {len}");
            assert!(got.is_empty() || got.as_ptr() as u64 % 512 == offset % 512);
        }
    }
    file.sync().await.unwrap();

    // A write in the middle and one behind a gap.
    let mut buffer = file.buffer(BLOCK_BYTES);
    buffer.fill(0xaa);
    file.write_at(BLOCK, buffer).await.unwrap();
    let mut buffer = file.buffer(BLOCK_BYTES);
    buffer.fill(0xbb);
    file.write_at(5 * BLOCK, buffer).await.unwrap();
    assert_eq!(file.size().await.unwrap(), 6 * BLOCK);
    let got = file.read_at(BLOCK - 1, BLOCK_BYTES + 2).await.unwrap();
    assert_eq!((got[0], got[1], got[BLOCK_BYTES]), (pattern(BLOCK - 1), 0xaa, 0xaa));
    assert_eq!(got[BLOCK_BYTES + 1], pattern(2 * BLOCK));
    let got = file.read_at(3 * BLOCK, 3 * BLOCK_BYTES).await.unwrap();
    assert!(got[..2 * BLOCK_BYTES].iter().all(|&byte| byte == 0));
    assert!(got[2 * BLOCK_BYTES..].iter().all(|&byte| byte == 0xbb));

    // Only whole blocks are written.
    let mut wrong = file.write_at(512, file.buffer(BLOCK_BYTES)).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
    wrong = file.write_at(0, file.buffer(512)).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
    drop(file);
    env.disk().remove(&dir.join("bytes")).await.unwrap();
}

async fn sizes<E: Env>(env: &E, dir: &Path) {
    let path = dir.join("sizes");
    let file = fill(env.disk(), &path, 2).await;
    file.truncate(5000).await.unwrap();
    assert_eq!(file.size().await.unwrap(), 5000);
    let got = file.read_at(4096, 4096).await.unwrap();
    assert_eq!(got.len(), 904);
    assert_eq!(got[903], pattern(4999));
    let got = file.read_at(4990, 4096).await.unwrap();
    assert_eq!(got[..], (4990..5000).map(pattern).collect::<Vec<u8>>()[..]);
    assert!(file.read_at(5000, 10).await.unwrap().is_empty());

    file.truncate(3 * BLOCK).await.unwrap();
    let got = file.read_at(5000, BLOCK_BYTES).await.unwrap();
    assert_eq!(got.len(), BLOCK_BYTES);
    assert!(got.iter().all(|&byte| byte == 0), "what was cut does not come back");

    file.preallocate(16 * BLOCK).await.unwrap();
    assert_eq!(file.size().await.unwrap(), 3 * BLOCK, "reserving keeps the size");
    file.sync().await.unwrap();
    drop(file);
    env.disk().remove(&path).await.unwrap();
    assert!(env.disk().free_bytes(dir).await.unwrap() > 0);
}

async fn names<E: Env>(env: &E, dir: &Path) {
    let disk = env.disk();
    let sub = dir.join("a/b");
    disk.create_dir(&sub).await.unwrap();
    disk.create_dir(&sub).await.unwrap();
    for name in ["two", "one", "three"] {
        fill(disk, &sub.join(name), 1).await;
    }
    assert_eq!(disk.list(&sub).await.unwrap(), ["one", "three", "two"]);
    assert_eq!(disk.list(&dir.join("a")).await.unwrap(), ["b"]);
    disk.rename(&sub.join("one"), &sub.join("four")).await.unwrap();
    disk.rename(&sub.join("two"), &sub.join("three")).await.unwrap();
    disk.sync_dir(&sub).await.unwrap();
    disk.sync_dir(&dir.join("a")).await.unwrap();
    assert_eq!(disk.list(&sub).await.unwrap(), ["four", "three"]);
    disk.remove(&sub.join("four")).await.unwrap();
    disk.remove(&sub.join("three")).await.unwrap();
    assert!(disk.list(&sub).await.unwrap().is_empty());

    let gone = sub.join("gone");
    let kinds = [
        disk.remove(&gone).await.unwrap_err().kind(),
        disk.rename(&gone, &sub.join("to")).await.unwrap_err().kind(),
        disk.list(&gone).await.unwrap_err().kind(),
        disk.sync_dir(&gone).await.unwrap_err().kind(),
        disk.open(&gone.join("file"), Open::Create).await.err().unwrap().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::NotFound; 5]);
}

async fn open_modes<E: Env>(env: &E, dir: &Path) {
    let disk = env.disk();
    let path = dir.join("modes");
    for how in [Open::Read, Open::Write, Open::WriteThrough] {
        assert_eq!(disk.open(&path, how).await.err().unwrap().kind(), ErrorKind::NotFound);
    }
    fill(disk, &path, 1).await;
    let again = disk.open(&path, Open::Create).await;
    assert_eq!(again.err().unwrap().kind(), ErrorKind::AlreadyExists);

    let reader = disk.open(&path, Open::Read).await.unwrap();
    assert_eq!(reader.read_at(10, 1).await.unwrap()[0], pattern(10));
    assert!(reader.write_at(0, reader.buffer(BLOCK_BYTES)).await.is_err());
    assert!(reader.truncate(0).await.is_err());

    for (byte, how) in [(3, Open::Write), (4, Open::WriteThrough)] {
        let writer = disk.open(&path, how).await.unwrap();
        let mut buffer = writer.buffer(BLOCK_BYTES);
        buffer.fill(byte);
        writer.write_at(0, buffer).await.unwrap();
        assert_eq!(reader.read_at(10, 1).await.unwrap()[0], byte);
    }
    drop(reader);
    disk.remove(&path).await.unwrap();
}

async fn relative_paths<E: Env>(env: &E) {
    let disk = env.disk();
    let path = Path::new("some/where");
    let kinds = [
        disk.open(path, Open::Create).await.err().unwrap().kind(),
        disk.rename(path, path).await.unwrap_err().kind(),
        disk.remove(path).await.unwrap_err().kind(),
        disk.list(path).await.unwrap_err().kind(),
        disk.create_dir(path).await.unwrap_err().kind(),
        disk.sync_dir(path).await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::InvalidInput; 6]);
}

/// An open file stays the same file whatever becomes of its name.
async fn handles<E: Env>(env: &E, dir: &Path) {
    let disk = env.disk();
    let (first, second) = (dir.join("first"), dir.join("second"));
    let file = fill(disk, &first, 1).await;
    disk.rename(&first, &second).await.unwrap();
    assert_eq!(file.size().await.unwrap(), BLOCK);
    disk.remove(&second).await.unwrap();
    assert_eq!(file.read_at(100, 1).await.unwrap()[0], pattern(100));
    file.sync().await.unwrap();
    assert_eq!(file.size().await.unwrap(), BLOCK);

    // Calls in flight together, more than a ring has entries in some worlds.
    let file = Rc::new(file);
    let writes: Vec<_> = (0..64u64)
        .map(|i| {
            let file = file.clone();
            env.spawn(Queue::Background, async move {
                let mut buffer = file.buffer(BLOCK_BYTES);
                buffer.fill(i as u8);
                file.write_at(i * BLOCK, buffer).await.unwrap();
            })
        })
        .collect();
    for write in writes {
        write.join().await.unwrap();
    }
    for i in 0..64 {
        assert_eq!(file.read_at(i * BLOCK + 7, 1).await.unwrap()[0], i as u8);
    }
}

async fn tasks<E: Env>(env: &E) {
    for queue in [Queue::Ingest, Queue::Query, Queue::Background] {
        assert_eq!(env.spawn(queue, async move { queue }).join().await, Some(queue));
    }

    // Dropping a handle ends its task and drops what the task holds.
    let held = Rc::new(Cell::new(0));
    let inside = held.clone();
    let world = env.clone();
    let task = env.spawn(Queue::Query, async move {
        loop {
            inside.set(inside.get() + 1);
            world.yield_now().await;
        }
    });
    while held.get() < 3 {
        env.yield_now().await;
    }
    drop(task);
    while Rc::strong_count(&held) > 1 {
        env.yield_now().await;
    }

    // A detached one goes on.
    let seen = Rc::new(Cell::new(false));
    let inside = seen.clone();
    let world = env.clone();
    env.spawn(Queue::Background, async move {
        world.sleep(Duration::from_millis(1)).await;
        inside.set(true);
    })
    .detach();
    while !seen.get() {
        env.yield_now().await;
    }
}

async fn clocks<E: Env>(env: &E) {
    let (wall, mono) = (env.now_wall(), env.now_mono());
    env.sleep(Duration::from_millis(3)).await;
    assert!(env.now_mono() - mono >= 3_000_000);
    assert!(env.now_wall() - wall >= 2_900_000);
    assert!(wall > 1_700_000_000_000_000_000, "the wall clock counts from 1970");
    assert_ne!(env.random(), env.random());
}
