//! Copies of written points for subscribers.
//!
//! In: bodies that were stored. Out: parcels in a queue for each destination, which somebody with
//! sockets empties. A queue holds so many bytes and no more: a subscriber that is slow or away
//! loses points and holds nobody up.

use super::front::Front;
use crate::env::Env;
use crate::env::notify::Notify;
use crate::model::FixedMap;
use crate::protocol::Target;
use crate::protocol::line::{Precision, stamp};
use crate::query::{Destination, Facts};
use crate::route::Cluster;
use crate::stats::Subscriber;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

/// Lines on their way to a destination.
#[derive(Clone, Debug)]
pub struct Parcel {
    pub db: Rc<str>,
    pub rp: Rc<str>,
    /// With times in ns.
    pub lines: Rc<[u8]>,
    pub points: u64,
    /// Whose counts it enters.
    pub to: Rc<Subscriber>,
}

/// The queue of one destination.
pub struct Outlet {
    pub destination: Destination,
    waiting: RefCell<VecDeque<Parcel>>,
    bytes: Cell<usize>,
    closed: Cell<bool>,
    changed: Notify,
}

impl Outlet {
    fn new(destination: Destination) -> Outlet {
        Outlet {
            destination,
            waiting: RefCell::default(),
            bytes: Cell::new(0),
            closed: Cell::new(false),
            changed: Notify::default(),
        }
    }

    /// Takes a parcel in; false when there is no room.
    fn push(&self, parcel: Parcel, bytes_max: usize) -> bool {
        let bytes = self.bytes.get() + parcel.lines.len();
        if bytes > bytes_max {
            return false;
        }
        self.bytes.set(bytes);
        self.waiting.borrow_mut().push_back(parcel);
        self.changed.notify();
        true
    }

    /// The next parcel; `None` when nobody is subscribed any more.
    pub async fn next(&self) -> Option<Parcel> {
        let take = || {
            let parcel = self.waiting.borrow_mut().pop_front();
            match parcel {
                None if self.closed.get() => Some(None),
                None => None,
                some => Some(some),
            }
        };
        let parcel = self.changed.until(take).await;
        if let Some(parcel) = &parcel {
            self.bytes.set(self.bytes.get() - parcel.lines.len());
        }
        parcel
    }

    fn close(&self) {
        self.closed.set(true);
        self.changed.notify();
    }
}

type Starter = Box<dyn Fn(Rc<Outlet>)>;

/// The queues of one core, by URL.
#[derive(Default)]
pub struct Outlets {
    all: RefCell<FixedMap<String, Rc<Outlet>>>,
    starter: RefCell<Option<Starter>>,
    /// Whose turn it is among destinations of which one is enough.
    turn: Cell<usize>,
    /// Version of the catalog whose subscriptions the queues are of.
    version: Cell<u64>,
}

impl Outlets {
    /// Says who empties a queue that is new.
    pub fn serve(&self, starter: impl Fn(Rc<Outlet>) + 'static) {
        *self.starter.borrow_mut() = Some(Box::new(starter));
    }

    fn outlet(&self, url: &str) -> Option<Rc<Outlet>> {
        if let Some(known) = self.all.borrow().get(url) {
            return Some(known.clone());
        }
        let starter = self.starter.borrow();
        let outlet = Rc::new(Outlet::new(Destination::parse(url)?));
        starter.as_ref()?(outlet.clone());
        self.all.borrow_mut().insert(url.to_owned(), outlet.clone());
        Some(outlet)
    }

    /// Ends the queues of destinations to which nobody is subscribed any more.
    fn keep(&self, urls: &BTreeSet<&str>) {
        self.all.borrow_mut().retain(|url, outlet| {
            let kept = urls.contains(url.as_str());
            if !kept {
                outlet.close();
            }
            kept
        });
    }
}

impl Outlets {
    /// Whether somebody is subscribed to what is written to a policy.
    pub fn wanted(&self, cluster: &Cluster, facts: &Facts, target: Target) -> bool {
        let catalog = cluster.catalog();
        let standing = catalog.standing();
        if self.version.replace(catalog.version()) != catalog.version() {
            let all = standing.all_subscriptions().iter();
            let urls = all.flat_map(|one| one.destinations.iter().map(String::as_str)).collect();
            self.keep(&urls);
        }
        facts.config.subscriber_enabled && standing.subscriptions(target.policy).count() > 0
    }

    /// Bytes that a queue may hold.
    pub fn room(&self, facts: &Facts) -> usize {
        usize::try_from(facts.config.subscriber_queue_size.0).unwrap_or(usize::MAX)
    }

    /// Sends lines with times in ns, so many points, to the subscribers of a policy.
    pub fn send(
        &self,
        cluster: &Cluster,
        facts: &Facts,
        target: Target,
        (lines, points): (Vec<u8>, u64),
    ) {
        let catalog = cluster.catalog();
        let db = catalog.database_by_id(target.db).map(|db| db.name.as_str());
        let rp = catalog.policy_by_id(target.policy).map(|policy| policy.spec.name.as_str());
        let (Some(db), Some(rp)) = (db, rp) else { return };
        if points == 0 {
            return;
        }
        let room = self.room(facts);
        let doors = facts.doors.get(cluster.mesh().here().0 as usize);
        let (lines, db_name, rp_name): (Rc<[u8]>, Rc<str>, Rc<str>) =
            (lines.into(), db.into(), rp.into());
        for subscription in catalog.standing().subscriptions(target.policy) {
            let all = subscription.destinations.iter();
            let turn = self.turn.replace(self.turn.get().wrapping_add(1));
            let (skip, take) = match subscription.all {
                true => (0, usize::MAX),
                false => (turn % subscription.destinations.len().max(1), 1),
            };
            for url in all.skip(skip).take(take) {
                let outlet = self.outlet(url);
                let to = Rc::new(Subscriber {
                    db: db.to_owned(),
                    rp: rp.to_owned(),
                    name: subscription.name.clone(),
                    destination: url.clone(),
                });
                let (db, rp, lines) = (db_name.clone(), rp_name.clone(), lines.clone());
                let parcel = Parcel { db, rp, lines, points, to };
                let taken = outlet.is_some_and(|outlet| outlet.push(parcel, room));
                let Some(doors) = doors else { continue };
                if taken { &doors.subscriber_taken } else { &doors.subscriber_dropped }.add(1);
            }
        }
    }
}

impl<E: Env> Front<E> {
    /// Sends a stored body on to the subscribers of its policy.
    pub(super) fn forward(&self, target: Target, precision: Precision, body: &[u8]) {
        let facts = &self.server.facts;
        if !self.outlets.wanted(&self.cluster, facts, target) {
            return;
        }
        let mut lines = Vec::with_capacity(body.len());
        let points = stamp::stamp(body, precision, self.env.now_wall(), &mut lines);
        self.outlets.send(&self.cluster, facts, target, (lines, points));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    fn parcel(bytes: usize) -> Parcel {
        let to = Rc::new(Subscriber {
            db: "d".to_owned(),
            rp: "r".to_owned(),
            name: "s".to_owned(),
            destination: "udp://h:1".to_owned(),
        });
        Parcel { db: "d".into(), rp: "r".into(), lines: vec![b'x'; bytes].into(), points: 1, to }
    }

    #[test]
    fn a_queue_is_bounded_and_ends_when_nobody_is_subscribed() {
        let outlets = Outlets::default();
        assert!(outlets.outlet("udp://h:1").is_none(), "nobody would empty it");
        outlets.serve(|_| {});
        let outlet = outlets.outlet("udp://h:1").unwrap();
        assert!(outlet.push(parcel(6), 10) && !outlet.push(parcel(6), 10));
        assert_eq!(block_on(outlet.next()).map(|parcel| parcel.lines.len()), Some(6));
        assert!(outlet.push(parcel(6), 10));
        outlets.keep(&["udp://h:1"].into());
        assert!(outlets.all.borrow().len() == 1);
        outlets.keep(&BTreeSet::new());
        assert!(block_on(outlet.next()).is_some() && block_on(outlet.next()).is_none());
        let other = outlets.outlet("udp://h:1").unwrap();
        assert!(block_on(poll_once(other.next())).is_none());
    }
}
