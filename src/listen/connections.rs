//! The open connections of one core: who is silent for too long, and how all of them are told to
//! end.
//!
//! Each connection has its own wake-up, so telling one costs the same however many there are. A
//! sweep once a second looks for silent ones.

use crate::env::notify::Notify;
use crate::model::FixedMap;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// How a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Order {
    Live,
    /// Finish what is under way, then end.
    Drain,
    /// End at once.
    Close,
}

/// One open connection.
pub struct Connection {
    /// When bytes last moved (monotonic ns).
    moved: Cell<u64>,
    idle_ns: u64,
    /// Whether the server, not the peer, is the one who has to act.
    working: Cell<bool>,
    order: Cell<Order>,
    changed: Notify,
}

impl Connection {
    /// Notes that bytes moved.
    pub fn moved(&self, now_ns: u64) {
        self.moved.set(now_ns);
    }

    /// Says who has to act: while the server works, silence is no fault of the peer.
    pub fn set_working(&self, working: bool) {
        self.working.set(working);
    }

    /// Whether the connection is to end.
    pub fn is_ending(&self) -> bool {
        self.order.get() > Order::Live
    }

    /// Comes back when the connection is to finish what is under way.
    pub async fn draining(&self) {
        self.changed.until(|| (self.order.get() >= Order::Drain).then_some(())).await;
    }

    /// Comes back when the connection is to end at once.
    pub async fn closing(&self) {
        self.changed.until(|| (self.order.get() == Order::Close).then_some(())).await;
    }

    fn tell(&self, order: Order) {
        if self.order.get() < order {
            self.order.set(order);
            self.changed.notify();
        }
    }
}

/// All open connections of a core. Cloning gives another handle.
#[derive(Clone, Default)]
pub struct Connections {
    all: Rc<RefCell<FixedMap<u64, Rc<Connection>>>>,
    next: Rc<Cell<u64>>,
    draining: Rc<Cell<bool>>,
    changed: Notify,
}

/// Keeps a connection in the list; dropping it takes it out.
pub struct Entry {
    pub connection: Rc<Connection>,
    number: u64,
    list: Connections,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.list.all.borrow_mut().remove(&self.number);
        self.list.changed.notify();
    }
}

impl Connections {
    /// Enters a connection that may be silent for `idle`.
    pub fn enter(&self, now_ns: u64, idle: Duration) -> Entry {
        let number = self.next.get();
        self.next.set(number + 1);
        let idle_ns = u64::try_from(idle.as_nanos()).unwrap_or(u64::MAX);
        let connection = Rc::new(Connection {
            moved: Cell::new(now_ns),
            idle_ns: if idle_ns == 0 { u64::MAX } else { idle_ns },
            working: Cell::new(false),
            order: Cell::new(if self.draining.get() { Order::Drain } else { Order::Live }),
            changed: Notify::default(),
        });
        self.all.borrow_mut().insert(number, connection.clone());
        Entry { connection, number, list: self.clone() }
    }

    /// Number of open connections.
    pub fn len(&self) -> usize {
        self.all.borrow().len()
    }

    /// Whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.all.borrow().is_empty()
    }

    /// Ends connections that were silent for too long; gives their number.
    pub fn sweep(&self, now_ns: u64) -> u64 {
        let silent: Vec<Rc<Connection>> = self
            .all
            .borrow()
            .values()
            .filter(|one| {
                !one.working.get() && now_ns.saturating_sub(one.moved.get()) > one.idle_ns
            })
            .cloned()
            .collect();
        silent.iter().for_each(|one| one.tell(Order::Close));
        silent.len() as u64
    }

    /// Tells every connection, and those to come, to finish.
    pub fn drain(&self) {
        self.draining.set(true);
        self.changed.notify();
        self.tell_all(Order::Drain);
    }

    /// Whether the core drains.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Ends every connection at once.
    pub fn close_all(&self) {
        self.tell_all(Order::Close);
    }

    fn tell_all(&self, order: Order) {
        let all: Vec<Rc<Connection>> = self.all.borrow().values().cloned().collect();
        all.iter().for_each(|one| one.tell(order));
    }

    /// Comes back when the core drains.
    pub async fn draining(&self) {
        self.changed.until(|| self.draining.get().then_some(())).await;
    }

    /// Comes back when no connection is open.
    pub async fn ended(&self) {
        self.changed.until(|| self.is_empty().then_some(())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn silent_connections_are_closed_unless_the_server_is_at_work() {
        let all = Connections::default();
        let (first, second) =
            (all.enter(0, Duration::from_nanos(10)), all.enter(0, Duration::ZERO));
        first.connection.set_working(true);
        assert_eq!(all.sweep(100), 0);
        first.connection.set_working(false);
        first.connection.moved(95);
        assert_eq!(all.sweep(100), 0);
        assert_eq!(all.sweep(106), 1);
        assert!(block_on(poll_once(first.connection.closing())).is_some());
        assert!(block_on(poll_once(second.connection.closing())).is_none());
    }

    #[test]
    fn draining_reaches_those_that_come_later_and_ends_with_the_last() {
        let all = Connections::default();
        let first = all.enter(0, Duration::ZERO);
        all.drain();
        let second = all.enter(0, Duration::ZERO);
        assert!(first.connection.is_ending() && second.connection.is_ending());
        assert!(block_on(poll_once(all.ended())).is_none());
        drop((first, second));
        assert!(block_on(poll_once(all.ended())).is_some() && all.is_empty());
    }
}
