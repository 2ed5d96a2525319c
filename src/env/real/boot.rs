//! Starting a core: a thread with an executor of the right sizes, and an environment in it.
//!
//! In: where the core runs and what it does. Out: a handle that gives the result, or the reason
//! when the core ended by a panic. What a dead core means for the process is the server's
//! business.

use std::any::Any;
use std::future::Future;
use std::io;
use std::time::Duration;

use glommio::{
    BuilderErrorKind, ExecutorJoinHandle, GlommioError, LocalExecutorBuilder, Placement,
    PoolPlacement,
};

use super::file::system_error;
use super::{RealEnv, awake, processor};
use crate::env::{Env, Queue, Task};

/// Entries of each of the three rings of a core. More calls than that wait in the executor.
const RING_DEPTH: usize = 512;

/// Completed disk calls are noticed at least this often while other tasks compute. It bounds what
/// a log commit waits beside a compaction: a write of 4 KiB with its sync beside a task that
/// always computes took 216 ms (median) with the runtime's 100 ms, 16 ms with 2 ms, 8 ms with 1 ms
/// and 3.4 ms with 0.5 ms (measured on two overloaded cores, ext4). It also bounds how late each
/// step of a write is noticed beside queries that never pause: with 0.2 ms the slowest hundredth
/// of requests took 18 ms, with 0.5 ms 22 ms, for the same processor time.
const PREEMPT_INTERVAL: Duration = Duration::from_micros(200);

/// Threads of a core for system calls that may wait. One long unlink must not delay every open.
const BLOCKING_THREADS: usize = 2;

/// The runtime registers the same buffers with each of its rings, and each counts as locked
/// memory.
const RINGS: u64 = 3;

/// Limits of what is useful: the runtime's own minimum, and what streams of 1 MiB writes can use.
const IO_MEMORY_MIN: u64 = 64 << 10;
const IO_MEMORY_MAX: u64 = 16 << 20;

/// A core to start.
#[derive(Clone, Debug)]
pub struct Core {
    /// The processor the thread is pinned to; `None` lets it wander, for tests and tools.
    pub processor: Option<usize>,
    /// The start of the thread's name.
    pub name: String,
    /// Bytes of registered buffers; see `io_memory`.
    pub io_memory: usize,
}

/// A running core.
pub struct CoreHandle<T: Send + 'static> {
    name: String,
    handle: ExecutorJoinHandle<io::Result<T>>,
}

/// Starts a thread with an executor and runs `body` in it, in the default queue: the body spawns
/// what it wants into the queues of its environment. The executor ends with the body; tasks that
/// are left are dropped.
///
/// # Errors
/// When the processor does not exist or no thread can be made. Errors that the new thread meets
/// (no ring, too little lockable memory) come from `CoreHandle::join`.
pub fn run_on_core<T, F>(
    core: Core,
    body: impl FnOnce(RealEnv) -> F + Send + 'static,
) -> io::Result<CoreHandle<T>>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let (beat, begun) = std::sync::mpsc::channel();
    let placement = core.processor.map_or(Placement::Unbound, Placement::Fixed);
    let handle = LocalExecutorBuilder::new(placement)
        .name(&core.name)
        .io_memory(core.io_memory)
        .ring_depth(RING_DEPTH)
        .preempt_timer(PREEMPT_INTERVAL)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(BLOCKING_THREADS))
        .spawn(move || async move {
            processor::shorten_slices();
            let env = RealEnv::new()?;
            let own = env.clone();
            env.spawn(Queue::Ingest, awake::beat(beat, move || own.beat())).detach();
            Ok(body(env).await)
        })
        .map_err(system_error)?;
    awake::await_beat(&begun);
    Ok(CoreHandle { name: core.name, handle })
}

impl<T: Send + 'static> CoreHandle<T> {
    /// Waits for the core's end, blocking this thread.
    ///
    /// # Errors
    /// When the executor could not start, or ended by a panic: then the text has its message.
    pub fn join(self) -> io::Result<T> {
        match self.handle.join() {
            Ok(outcome) => outcome,
            Err(GlommioError::BuilderError(BuilderErrorKind::ThreadPanic(payload))) => {
                let message = panic_message(payload.as_ref());
                Err(io::Error::other(format!("core {} panicked: {message}", self.name)))
            }
            Err(error) => Err(system_error(error)),
        }
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// How many bytes of registered buffers each of `cores` executors may have under this limit of
/// lockable memory (bytes). A quarter is left to others of the same user. Registering too much is
/// not fatal: the runtime goes on with plain buffers.
#[must_use]
pub fn io_memory(cores: usize, memlock_limit: u64) -> usize {
    let cores = u64::try_from(cores).unwrap_or(u64::MAX).max(1);
    let share = memlock_limit / 4 * 3 / RINGS / cores;
    let pages = share - share % 4096;
    usize::try_from(pages.clamp(IO_MEMORY_MIN, IO_MEMORY_MAX)).unwrap_or(usize::MAX)
}

/// The process's limit of lockable memory in bytes; `u64::MAX` when there is none.
///
/// # Errors
/// As `getrlimit`.
pub fn memlock_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call fills in the structure that it is given.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}
