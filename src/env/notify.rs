//! How tasks of one core wait for each other: a condition that is looked at again (`Notify`), a
//! section for one at a time (`Gate`), a value that arrives once (`promise`). No threads, no locks;
//! everything here is `Rc`.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Tasks that wait for some state of this core to change.
#[derive(Clone, Default)]
pub struct Notify {
    waiting: Rc<RefCell<Vec<Waker>>>,
}

impl Notify {
    /// Lets every waiting task look at its condition again.
    pub fn notify(&self) {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits until `ready` gives a value; it is asked now and after each `notify`.
    pub async fn until<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        poll_fn(|context| match ready() {
            Some(value) => Poll::Ready(value),
            None => {
                let mut waiting = self.waiting.borrow_mut();
                if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                    waiting.push(context.waker().clone());
                }
                Poll::Pending
            }
        })
        .await
    }
}

/// One task at a time: an async section that others wait for.
#[derive(Clone, Default)]
pub struct Gate {
    closed: Rc<Cell<bool>>,
    opened: Notify,
}

/// The right to be inside a gate; dropping it lets the next one in.
pub struct Pass(Gate);

impl Gate {
    /// Waits until nobody is inside, and enters.
    pub async fn enter(&self) -> Pass {
        self.opened.until(|| (!self.closed.replace(true)).then_some(())).await;
        Pass(self.clone())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.closed.set(false);
        self.0.opened.notify();
    }
}

struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
    closed: bool,
}

/// The giving end of a promise. Dropping it without `keep` tells the other end that nothing comes.
pub struct Giver<T>(Rc<RefCell<Slot<T>>>);

/// The waiting end: a future of the value, `None` when the giver was dropped.
pub struct Promise<T>(Rc<RefCell<Slot<T>>>);

/// A value that will be given once.
pub fn promise<T>() -> (Giver<T>, Promise<T>) {
    let slot = Rc::new(RefCell::new(Slot { value: None, waker: None, closed: false }));
    (Giver(slot.clone()), Promise(slot))
}

impl<T> Giver<T> {
    /// Gives the value.
    pub fn keep(self, value: T) {
        self.0.borrow_mut().value = Some(value);
    }

    /// Whether nobody waits any more.
    pub fn is_abandoned(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = self.0.borrow_mut();
            slot.closed = true;
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Promise<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = self.0.borrow_mut();
        if slot.value.is_some() || slot.closed {
            return Poll::Ready(slot.value.take());
        }
        slot.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once, zip};

    #[test]
    fn a_promise_is_kept_or_known_to_be_broken() {
        let (giver, waiter) = promise();
        giver.keep(7);
        assert_eq!(block_on(waiter), Some(7));
        let (giver, waiter) = promise::<u32>();
        drop(giver);
        assert_eq!(block_on(waiter), None);
        let (giver, waiter) = promise::<u32>();
        drop(waiter);
        assert!(giver.is_abandoned());
    }

    #[test]
    fn a_gate_lets_in_one_at_a_time() {
        let gate = Gate::default();
        let inside = block_on(gate.enter());
        assert!(block_on(poll_once(gate.enter())).is_none());
        drop(inside);
        assert!(block_on(poll_once(gate.enter())).is_some());
    }

    #[test]
    fn waiting_tasks_look_again_after_each_notify() {
        let (notify, count) = (Notify::default(), Rc::new(Cell::new(0)));
        let seen = notify.until(|| (count.get() >= 2).then(|| count.get()));
        let change = async {
            for _ in 0..2 {
                count.set(count.get() + 1);
                notify.notify();
                poll_once(std::future::pending::<()>()).await;
            }
        };
        assert_eq!(block_on(zip(seen, change)).0, 2);
    }
}
