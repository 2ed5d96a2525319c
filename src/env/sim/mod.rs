//! The simulated world: seeded tasks, virtual time, a disk that can lose power.
//!
//! One `Sim` runs any number of nodes (cores) over one disk in one thread. Everything that could go
//! either way (which ready task runs, how long a disk call takes, what survives a power cut) comes
//! from the seed, so that a run is repeated exactly by its seed; `event_hash` tells whether it was.
//! A test starts it, cuts the power, and starts the next one from what is left:
//!
//! ```
//! use ringtail::env::sim::{CutMode, ROOT, Sim, Stopped};
//! use ringtail::env::{Disk, Env, Open};
//!
//! let sim = Sim::new(7);
//! let env = sim.env(0);
//! sim.disk().cut_after(2);
//! let path = std::path::Path::new(ROOT).join("file");
//! let stopped = sim.run(async {
//!     env.disk().open(&path, Open::Create).await?;
//!     env.disk().sync_dir(ROOT.as_ref()).await
//! });
//! assert!(matches!(stopped, Err(Stopped::PowerCut)));
//! let sim = Sim::restart(8, sim.disk().power_cut(CutMode::DropAll));
//! let env = sim.env(0);
//! assert!(sim.run(async { env.disk().open(&path, Open::Read).await.is_err() }).unwrap());
//! ```

mod buffer;
mod content;
mod disk;
mod faults;
mod image;
mod op;
mod storage;
mod task;
#[cfg(test)]
mod tests;
mod world;

pub use buffer::Buffer;
pub use disk::{SimDisk, SimFile};
pub use faults::Kind;
pub use image::{CutMode, Image};
pub use task::SimTask;

use std::future::Future;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use super::{Env, Queue};
use world::World;

/// The folder that exists, durably, on every new disk.
pub const ROOT: &str = "/store";

/// The wall clock at the start of a simulation: 2024-01-01 00:00:00 UTC.
pub const WALL_START_NS: i64 = 1_704_067_200_000_000_000;

/// Task runs after which a simulation gives up, when nothing else was set.
const STEPS_MAX: u64 = 50_000_000;

/// Why a simulation ended before its main task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Stopped {
    /// `SimDisk::cut_after` came true.
    #[error("the power was cut")]
    PowerCut,
    /// No task is ready and neither a timer nor a disk call is under way.
    #[error("all tasks wait and nothing will wake them")]
    Deadlock,
    /// The tasks ran too often without coming to an end.
    #[error("step limit reached")]
    StepLimit,
}

/// A simulated machine. Dropping it ends all its tasks.
pub struct Sim {
    world: Rc<World>,
}

impl Sim {
    /// A machine with an empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Sim {
        Sim::restart(seed, Image::new())
    }

    /// A machine with this disk: the next life after a power cut or a prepared start. Its monotonic
    /// clock starts at 0 again.
    #[must_use]
    pub fn restart(seed: u64, image: Image) -> Sim {
        Sim { world: Rc::new(World::new(seed, image)) }
    }

    /// The world as core `node` sees it. Cores share the disk and the clock.
    #[must_use]
    pub fn env(&self, node: usize) -> SimEnv {
        SimEnv { node, disk: SimDisk::new(self.world.clone()) }
    }

    /// The disk, with its faults and its state after a power cut.
    #[must_use]
    pub fn disk(&self) -> SimDisk {
        SimDisk::new(self.world.clone())
    }

    /// Runs all tasks until this future is done. It may be called again: tasks go on where they
    /// were.
    ///
    /// # Errors
    /// When the power was cut, when all tasks wait for ever, or when the step limit is reached.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> Result<T, Stopped> {
        self.world.run(future)
    }

    /// A hash over everything that happened: equal for equal seeds and programs.
    #[must_use]
    pub fn event_hash(&self) -> u64 {
        self.world.hash()
    }

    /// Moves the wall clock; the monotonic one does not notice.
    pub fn step_wall(&self, delta_ns: i64) {
        self.world.step_wall(delta_ns);
    }

    /// Gives up after so many further task runs (`Stopped::StepLimit`).
    pub fn set_step_limit(&self, steps: u64) {
        self.world.set_steps(steps);
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The seed is what repeats the failure; there is nothing to do when it cannot be shown.
            let _ = writeln!(std::io::stderr(), "simulation seed: {}", self.world.seed);
        }
        self.world.clear();
    }
}

/// Runs a one-node simulation on an empty disk.
///
/// # Errors
/// As `Sim::run`.
pub fn test<T, F>(seed: u64, body: impl FnOnce(SimEnv) -> F) -> Result<T, Stopped>
where
    F: Future<Output = T>,
{
    let sim = Sim::new(seed);
    sim.run(body(sim.env(0)))
}

/// Cuts the power before every changing disk call of a life, n = 1, 2, … until a life runs through,
/// and gives each disk that may be left to `check`: nothing unsynced kept, all kept, and four times
/// a random part. Returns the number of places that were cut. `life` must be the same for the same
/// environment; `check` starts what it wants from the image, whose name is for messages.
///
/// # Errors
/// When a life waits for ever or reaches the step limit.
pub fn cut_everywhere<T, F>(
    seed: u64,
    start: &Image,
    life: impl Fn(SimEnv) -> F,
    mut check: impl FnMut(&str, Image),
) -> Result<u64, Stopped>
where
    F: Future<Output = T>,
{
    let random = [CutMode::Random; 4];
    for n in 1.. {
        let sim = Sim::restart(seed.wrapping_add(n), start.clone());
        sim.disk().cut_after(n);
        let end = sim.run(life(sim.env(0)));
        for mode in [CutMode::DropAll, CutMode::KeepAll].into_iter().chain(random) {
            let name = format!("seed {seed} cut {n} {mode:?}");
            check(&name, sim.disk().power_cut(mode));
        }
        match end {
            Ok(_) => return Ok(n - 1),
            Err(Stopped::PowerCut) => {}
            Err(stopped) => return Err(stopped),
        }
    }
    Ok(u64::MAX)
}

/// One core of a simulated machine.
#[derive(Clone)]
pub struct SimEnv {
    node: usize,
    disk: SimDisk,
}

impl SimEnv {
    fn world(&self) -> &World {
        self.disk.world()
    }
}

impl Env for SimEnv {
    type Disk = SimDisk;
    type Task<T: 'static> = SimTask<T>;

    fn disk(&self) -> &SimDisk {
        &self.disk
    }

    fn now_wall(&self) -> i64 {
        self.world().wall()
    }

    fn now_mono(&self) -> u64 {
        self.world().now()
    }

    async fn sleep(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        task::sleep_until(self.world(), self.now_mono().saturating_add(nanoseconds)).await;
    }

    fn spawn<F>(&self, queue: Queue, future: F) -> SimTask<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        SimTask::spawn(self.disk.shared(), self.node, queue, future)
    }

    async fn yield_now(&self) {
        task::yield_now().await;
    }

    async fn blocking<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        work()
    }

    fn random(&self) -> u64 {
        self.world().random(self.node)
    }
}
