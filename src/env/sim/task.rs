//! Tasks, timers and turns of the simulated world.
//!
//! In: futures of a node. Out: handles with the meaning of `env::Task`: dropping one ends the task,
//! its future included, before the next task runs.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use super::world::{Alarm, TaskId, World};
use crate::env::{Queue, Task};

enum State<T> {
    Running(Option<Waker>),
    Finished(Option<T>),
}

/// A task of a simulated core.
pub struct SimTask<T: 'static> {
    id: TaskId,
    world: Weak<World>,
    state: Rc<RefCell<State<T>>>,
}

/// Tells the waiting handle of the end, also when the future is dropped unfinished.
struct Finish<T> {
    state: Rc<RefCell<State<T>>>,
}

impl<T> Finish<T> {
    fn set(&self, value: Option<T>) {
        let before = std::mem::replace(&mut *self.state.borrow_mut(), State::Finished(value));
        if let State::Running(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> Drop for Finish<T> {
    fn drop(&mut self) {
        let running = matches!(*self.state.borrow(), State::Running(_));
        if running {
            self.set(None);
        }
    }
}

impl<T: 'static> SimTask<T> {
    pub(super) fn spawn<F>(world: &Rc<World>, node: usize, queue: Queue, future: F) -> SimTask<T>
    where
        F: Future<Output = T> + 'static,
    {
        let state = Rc::new(RefCell::new(State::Running(None)));
        let finish = Finish { state: state.clone() };
        let id = world.spawn(node, queue, async move {
            let value = future.await;
            finish.set(Some(value));
        });
        SimTask { id, world: Rc::downgrade(world), state }
    }
}

impl<T> Drop for SimTask<T> {
    fn drop(&mut self) {
        if let Some(world) = self.world.upgrade() {
            world.cancel(self.id);
        }
    }
}

impl<T: 'static> Task<T> for SimTask<T> {
    fn detach(mut self) {
        self.world = Weak::new();
    }

    async fn join(self) -> Option<T> {
        poll_fn(|context| match &mut *self.state.borrow_mut() {
            State::Finished(value) => Poll::Ready(value.take()),
            State::Running(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

pub(super) async fn sleep_until(world: &World, time: u64) {
    let alarm = Alarm::default();
    world.timer(time, alarm.clone());
    poll_fn(|context| {
        if world.now() >= time {
            return Poll::Ready(());
        }
        *alarm.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    })
    .await;
}

pub(super) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
