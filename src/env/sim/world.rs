//! The simulator's heart: the tasks of all nodes, virtual time, and disk calls in flight.
//!
//! In: tasks, timers and disk calls of any number of nodes, and one seed. Out: one possible order
//! of events. `step` lets due events happen, then runs one ready task picked at random; when none
//! is ready, time jumps to the next event. Running a task costs a little virtual time, so that a
//! task that only yields cannot hold the clock. Everything that happens goes into one running hash.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::faults::Faults;
use super::image::{CutMode, Image};
use super::op::{Op, Reply};
use super::storage::{Storage, errno};
use super::{Queue, Stopped};
use crate::env::rng::{Rng, mix};

pub(super) type TaskId = u64;

/// The future given to `run`; it belongs to no node and lives on the caller's stack.
const MAIN: TaskId = 0;

type Ready = Arc<Mutex<Vec<TaskId>>>;

/// Puts a task among the ready ones, once until it runs.
struct Notice {
    id: TaskId,
    queued: AtomicBool,
    ready: Ready,
}

impl Wake for Notice {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(self.id);
        }
    }
}

struct Job {
    /// Taken out while it runs.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    notice: Arc<Notice>,
}

/// The waker of a sleeping future, as of its last poll.
pub(super) type Alarm = Rc<RefCell<Option<Waker>>>;

/// What time brings.
enum Event {
    Timer(Alarm),
    Disk { op: Op, outcome: Option<i32>, slot: Rc<Slot> },
}

/// Where a disk call's answer waits for its caller.
#[derive(Default)]
pub(super) struct Slot {
    reply: RefCell<Option<io::Result<Reply>>>,
    waker: RefCell<Option<Waker>>,
}

pub(super) struct World {
    pub(super) seed: u64,
    now: Cell<u64>,
    wall_offset: Cell<i64>,
    rng: RefCell<Rng>,
    node_rngs: RefCell<BTreeMap<usize, Rng>>,
    hash: Cell<u64>,
    steps_left: Cell<u64>,
    next_task: Cell<TaskId>,
    next_event: Cell<u64>,
    jobs: RefCell<BTreeMap<TaskId, Job>>,
    ready: Ready,
    main: Arc<Notice>,
    events: RefCell<BTreeMap<(u64, u64), Event>>,
    pub(super) storage: RefCell<Storage>,
    pub(super) faults: RefCell<Faults>,
}

impl World {
    pub(super) fn new(seed: u64, image: Image) -> World {
        let ready = Ready::default();
        let main =
            Arc::new(Notice { id: MAIN, queued: AtomicBool::new(false), ready: ready.clone() });
        World {
            seed,
            now: Cell::new(0),
            wall_offset: Cell::new(super::WALL_START_NS),
            rng: RefCell::new(Rng::new(mix(seed))),
            node_rngs: RefCell::default(),
            hash: Cell::new(seed),
            steps_left: Cell::new(super::STEPS_MAX),
            next_task: Cell::new(MAIN + 1),
            next_event: Cell::new(0),
            jobs: RefCell::default(),
            ready,
            main,
            events: RefCell::default(),
            storage: RefCell::new(Storage::new(image)),
            faults: RefCell::default(),
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.now.get()
    }

    pub(super) fn wall(&self) -> i64 {
        self.wall_offset.get().saturating_add_unsigned(self.now.get())
    }

    pub(super) fn step_wall(&self, delta_ns: i64) {
        self.wall_offset.set(self.wall_offset.get().saturating_add(delta_ns));
    }

    pub(super) fn set_steps(&self, steps: u64) {
        self.steps_left.set(steps);
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash.get()
    }

    /// Adds one fact to the hash of all that happened.
    pub(super) fn note(&self, fact: u64) {
        self.hash.set(mix(self.hash.get().rotate_left(17) ^ fact ^ self.now.get()));
    }

    pub(super) fn random(&self, node: usize) -> u64 {
        let mut rngs = self.node_rngs.borrow_mut();
        let fresh = || Rng::new(mix(self.seed ^ mix(node as u64 + 1)));
        rngs.entry(node).or_insert_with(fresh).next()
    }

    // Tasks.

    pub(super) fn spawn(
        &self,
        node: usize,
        queue: Queue,
        future: impl Future<Output = ()> + 'static,
    ) -> TaskId {
        let id = self.next_task.get();
        self.next_task.set(id + 1);
        self.note(mix(id) ^ mix(node as u64) ^ queue as u64);
        let queued = AtomicBool::new(false);
        let notice = Arc::new(Notice { id, queued, ready: self.ready.clone() });
        notice.wake_by_ref();
        let job = Job { future: Some(Box::pin(future)), notice };
        self.jobs.borrow_mut().insert(id, job);
        id
    }

    /// Ends a task; its future is dropped at once, or after it gave way when it is the running one.
    pub(super) fn cancel(&self, id: TaskId) {
        let job = self.jobs.borrow_mut().remove(&id);
        drop(job);
    }

    /// Drops all tasks and events: they own handles of this world.
    pub(super) fn clear(&self) {
        loop {
            let jobs = std::mem::take(&mut *self.jobs.borrow_mut());
            let events = std::mem::take(&mut *self.events.borrow_mut());
            if jobs.is_empty() && events.is_empty() {
                return;
            }
        }
    }

    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> Result<T, Stopped> {
        let mut future = std::pin::pin!(future);
        let waker = Waker::from(self.main.clone());
        self.main.wake_by_ref();
        loop {
            self.fire_due();
            let Some(id) = self.pick() else {
                self.jump()?;
                continue;
            };
            self.note(id);
            if id == MAIN {
                self.main.queued.store(false, Ordering::SeqCst);
                if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return if self.is_cut() { Err(Stopped::PowerCut) } else { Ok(value) };
                }
            } else {
                self.poll_job(id);
            }
            self.check_stop()?;
            self.now.set(self.now.get() + 200 + self.rng.borrow_mut().below(4_000));
        }
    }

    fn poll_job(&self, id: TaskId) {
        let taken = self.jobs.borrow_mut().get_mut(&id).and_then(|job| {
            job.notice.queued.store(false, Ordering::SeqCst);
            Some((job.future.take()?, Waker::from(job.notice.clone())))
        });
        let Some((mut future, waker)) = taken else { return };
        let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut jobs = self.jobs.borrow_mut();
        match jobs.get_mut(&id) {
            Some(job) if !done => job.future = Some(future),
            _ => {
                let job = jobs.remove(&id);
                drop(jobs);
                drop(job);
                drop(future);
            }
        }
    }

    fn pick(&self) -> Option<TaskId> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.is_empty() {
            return None;
        }
        let index = self.rng.borrow_mut().index(ready.len());
        Some(ready.swap_remove(index))
    }

    fn is_cut(&self) -> bool {
        self.faults.borrow().is_cut()
    }

    fn check_stop(&self) -> Result<(), Stopped> {
        if self.is_cut() {
            return Err(Stopped::PowerCut);
        }
        let left = self.steps_left.get().checked_sub(1).ok_or(Stopped::StepLimit)?;
        self.steps_left.set(left);
        Ok(())
    }

    // Time.

    fn at(&self, time: u64, event: Event) {
        let number = self.next_event.get();
        self.next_event.set(number + 1);
        self.events.borrow_mut().insert((time, number), event);
    }

    pub(super) fn timer(&self, time: u64, alarm: Alarm) {
        self.at(time, Event::Timer(alarm));
    }

    fn jump(&self) -> Result<(), Stopped> {
        let first = self.events.borrow().keys().next().copied();
        let (time, _) = first.ok_or(Stopped::Deadlock)?;
        self.now.set(self.now.get().max(time));
        Ok(())
    }

    fn fire_due(&self) {
        loop {
            let mut events = self.events.borrow_mut();
            let Some(entry) = events.first_entry() else { return };
            if entry.key().0 > self.now.get() {
                return;
            }
            let ((_, number), event) = entry.remove_entry();
            drop(events);
            self.note(number);
            match event {
                Event::Timer(alarm) => {
                    let waker = alarm.borrow_mut().take();
                    waker.into_iter().for_each(Waker::wake);
                }
                Event::Disk { op, outcome, slot } => {
                    let reply = self.perform(op, outcome);
                    *slot.reply.borrow_mut() = Some(reply);
                    let waker = slot.waker.borrow_mut().take();
                    waker.into_iter().for_each(Waker::wake);
                }
            }
        }
    }

    // Disk.

    /// Sends a disk call off; it takes effect after a random time, whether anybody waits or not.
    pub(super) fn issue(&self, op: Op) -> Rc<Slot> {
        let slot = Rc::new(Slot::default());
        self.note(op.fact());
        let outcome = self.faults.borrow_mut().admit(op.kind());
        if self.is_cut() {
            // The call never happens and nobody hears of it again.
            return slot;
        }
        let delay = op.delay(&mut self.rng.borrow_mut());
        self.at(self.now.get() + delay, Event::Disk { op, outcome, slot: slot.clone() });
        slot
    }

    fn perform(&self, op: Op, outcome: Option<i32>) -> io::Result<Reply> {
        let mut storage = self.storage.borrow_mut();
        match outcome {
            None => op.perform(&mut storage),
            Some(code) => {
                op.fail(&mut storage, &mut self.rng.borrow_mut());
                Err(errno(code))
            }
        }
    }

    /// The disk as a power cut at this instant leaves it.
    pub(super) fn power_cut(&self, mode: CutMode) -> Image {
        let mut rng = self.rng.borrow_mut();
        let mut storage = self.storage.borrow().clone();
        for event in self.events.borrow().values() {
            let Event::Disk { op, outcome: None, .. } = event else { continue };
            let reaches = match mode {
                CutMode::DropAll => false,
                CutMode::KeepAll => true,
                CutMode::Random => rng.once_in(2),
            };
            if reaches {
                // What fails here would have failed for its caller too, who is gone.
                let _ = op.clone().perform(&mut storage);
            }
        }
        storage.power_cut(mode, &mut rng)
    }
}

impl Slot {
    /// The answer, once it is there.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<io::Result<Reply>> {
        if let Some(reply) = self.reply.borrow_mut().take() {
            return Poll::Ready(reply);
        }
        *self.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}
