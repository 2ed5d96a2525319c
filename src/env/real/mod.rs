//! The real world: files, clock and tasks of the runtime, one executor for each core.
//!
//! In: calls of the engine through `env`'s traits. Out: the same calls to glommio. Guards against
//! the runtime's traps live here and nowhere else:
//!
//! - a first open of an empty file breaks all later reads of that thread: `disk` probes each
//!   device with a full file before (`probe` does it at boot);
//! - a missing file makes the runtime's open panic: existence is looked up first, and files are
//!   removed only after their last reader;
//! - a read whose offset is not aligned returns bytes from behind the end of the file: `file`
//!   reads aligned and cuts by the true size;
//! - a file's size is asked by path, wrong after a rename: `file` asks the descriptor;
//! - completed disk calls are noticed only when the running queue is preempted, by default after
//!   100 ms: `boot` sets a shorter time;
//! - an executor may sleep while tasks are ready to run: `awake` keeps a timer that wakes it;
//! - directories, names and statistics go through plain system calls: on the blocking pool.

mod awake;
mod boot;
mod disk;
mod file;
mod processor;
pub mod tasks;
#[cfg(test)]
mod tests;
pub mod turns;

pub use boot::{Core, CoreHandle, io_memory, memlock_limit, run_on_core};
pub use disk::{RealDisk, probe};
pub use file::{Buffer, Bytes, RealFile};

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, Read};
use std::panic::Location;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use glommio::{Latency, Shares, TaskQueueHandle};

use super::rng::Rng;
use super::{Env, Queue, Task};

/// Ingest work is to run within this time although other queues are busy.
const INGEST_LATENCY: Duration = Duration::from_millis(2);

/// One core's outside world. It is made inside an executor and belongs to it.
#[derive(Clone)]
pub struct RealEnv {
    core: Rc<CoreState>,
}

struct CoreState {
    disk: RealDisk,
    ingest: TaskQueueHandle,
    query: TaskQueueHandle,
    background: TaskQueueHandle,
    rng: RefCell<Rng>,
    tasks: tasks::Register,
}

impl RealEnv {
    /// Makes the task queues of the executor that this runs in. Call it once for each executor; it
    /// panics outside of one, as the runtime does.
    ///
    /// # Errors
    /// When the system gives no random seed.
    pub fn new() -> io::Result<RealEnv> {
        let executor = glommio::executor();
        let queue = |shares, latency, name| {
            executor.create_task_queue(Shares::Static(shares), latency, name)
        };
        Ok(RealEnv {
            core: Rc::new(CoreState {
                disk: RealDisk::default(),
                ingest: queue(1000, Latency::Matters(INGEST_LATENCY), "ingest"),
                // Not stating a latency means the executor's interval, which is shorter than any
                // that a query could state: a stated one would make disk calls be noticed later.
                query: queue(400, Latency::NotImportant, "query"),
                background: queue(100, Latency::NotImportant, "background"),
                rng: RefCell::new(Rng::new(seed()?)),
                tasks: tasks::Register::new(),
            }),
        })
    }

    /// This core's tasks and progress.
    #[must_use]
    pub fn progress(&self) -> &'static tasks::Core {
        self.core.tasks.core
    }

    /// Time given to the queues ingest, query and background since it was asked last (ns).
    #[must_use]
    pub fn queue_times(&self) -> [u64; 3] {
        [Queue::Ingest, Queue::Query, Queue::Background].map(|queue| {
            let stats = glommio::executor().task_queue_stats(self.task_queue(queue));
            let time = stats.map_or(Duration::ZERO, |stats| stats.runtime());
            u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
        })
    }

    /// Says that the executor gets on; gives `Core::turns`.
    pub(super) fn beat(&self) -> u64 {
        self.core.tasks.core.beat();
        self.core.tasks.core.turns()
    }

    /// The runtime's name of a queue, for tasks that only the runtime can start.
    #[must_use]
    pub fn task_queue(&self, queue: Queue) -> TaskQueueHandle {
        match queue {
            Queue::Ingest => self.core.ingest,
            Queue::Query => self.core.query,
            Queue::Background => self.core.background,
        }
    }
}

fn seed() -> io::Result<u64> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Cores compare their monotonic times, so all count from one instant.
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

impl Env for RealEnv {
    type Disk = RealDisk;
    type Task<T: 'static> = RealTask<T>;

    fn disk(&self) -> &RealDisk {
        &self.core.disk
    }

    fn now_wall(&self) -> i64 {
        let nanoseconds = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => nanoseconds(after),
            Err(before) => -nanoseconds(before.duration()),
        }
    }

    fn now_mono(&self) -> u64 {
        u64::try_from(start().elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    async fn sleep(&self, duration: Duration) {
        glommio::timer::sleep(duration).await;
    }

    #[expect(
        clippy::expect_used,
        reason = "the queues live as long as the executor of this handle"
    )]
    fn spawn<F>(&self, queue: Queue, future: F) -> RealTask<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let counted = self.core.tasks.enter(Location::caller(), queue, future);
        let task = glommio::spawn_local_into(counted, self.task_queue(queue));
        RealTask { task: task.expect("task queue of this executor") }
    }

    async fn yield_now(&self) {
        // The whole queue gives way: a turn within the queue would let ingest wait for the timer.
        glommio::executor().yield_task_queue_now().await;
    }

    async fn blocking<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        glommio::executor().spawn_blocking(work).await
    }

    fn random(&self) -> u64 {
        self.core.rng.borrow_mut().next()
    }
}

/// A task of the runtime.
pub struct RealTask<T: 'static> {
    task: glommio::Task<T>,
}

impl<T: 'static> Task<T> for RealTask<T> {
    fn detach(self) {
        drop(self.task.detach());
    }

    async fn join(self) -> Option<T> {
        // A task ends without a value only by a panic, which ends the executor and this task too.
        Some(self.task.await)
    }
}
