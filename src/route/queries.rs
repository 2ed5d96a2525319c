//! The queries that run on one core: what SHOW QUERIES lists and KILL QUERY ends.
//!
//! In: a query's text when it begins. Out: an entry that leaves the list when it is dropped, and
//! that tells its query when it is to stop. Numbers are unique over all cores: core `c` of `n`
//! gives `c + 1`, `c + 1 + n`, and so on, so a number also says which core to ask.

use super::hub::CoreId;
use crate::env::notify::Notify;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Longest text that is kept of a query (bytes).
const TEXT_BYTES_MAX: usize = 64 << 10;

/// The running queries of one core. Cloning gives another handle.
#[derive(Clone)]
pub struct Queries {
    inner: Rc<Inner>,
}

struct Inner {
    core: u32,
    cores: u32,
    given: Cell<u64>,
    running: RefCell<BTreeMap<u64, Rc<Running>>>,
}

struct Running {
    text: Box<str>,
    database: Box<str>,
    started_ns: u64,
    stop: Cell<Option<Stop>>,
    changed: Notify,
}

/// Why a running query is stopped, in InfluxDB's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Stop {
    #[error("query interrupted")]
    Killed,
    #[error("query-timeout limit exceeded")]
    Timeout,
}

/// What came of killing a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kill {
    Done,
    Already,
    Unknown,
}

/// A running query as others see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueryInfo {
    pub id: u64,
    /// Normalised, without passwords.
    pub text: Box<str>,
    /// Empty when the request named none.
    pub database: Box<str>,
    /// Monotonic (ns), the same clock on every core.
    pub started_ns: u64,
    pub killed: bool,
}

/// A query's place in the list; dropping it takes the query out.
pub struct Entry {
    queries: Queries,
    id: u64,
    running: Rc<Running>,
}

impl Queries {
    /// The list of core `core` of `cores`.
    pub fn new(core: CoreId, cores: u32) -> Queries {
        let inner = Inner {
            core: core.0,
            cores: cores.max(1),
            given: Cell::new(0),
            running: RefCell::default(),
        };
        Queries { inner: Rc::new(inner) }
    }

    /// Lists a query that begins now.
    pub fn enter(&self, text: &str, database: &str, now_ns: u64) -> Entry {
        let turn = self.inner.given.replace(self.inner.given.get() + 1);
        let id = turn * u64::from(self.inner.cores) + u64::from(self.inner.core) + 1;
        let end = text.floor_char_boundary(TEXT_BYTES_MAX);
        let running = Rc::new(Running {
            text: text.get(..end).unwrap_or_default().into(),
            database: database.into(),
            started_ns: now_ns,
            stop: Cell::new(None),
            changed: Notify::default(),
        });
        self.inner.running.borrow_mut().insert(id, running.clone());
        Entry { queries: self.clone(), id, running }
    }

    /// The queries of this core, by number.
    pub fn list(&self) -> Vec<QueryInfo> {
        let running = self.inner.running.borrow();
        let info = |(id, one): (&u64, &Rc<Running>)| QueryInfo {
            id: *id,
            text: one.text.clone(),
            database: one.database.clone(),
            started_ns: one.started_ns,
            killed: one.stop.get().is_some(),
        };
        running.iter().map(info).collect()
    }

    /// Stops a query of this core.
    pub fn kill(&self, id: u64) -> Kill {
        let found = self.inner.running.borrow().get(&id).cloned();
        match found {
            None => Kill::Unknown,
            Some(running) if running.stop.get().is_some() => Kill::Already,
            Some(running) => {
                running.stop(Stop::Killed);
                Kill::Done
            }
        }
    }

    /// The core that runs a query of this number.
    pub fn core_of(&self, id: u64) -> Option<CoreId> {
        let core = id.checked_sub(1)? % u64::from(self.inner.cores);
        u32::try_from(core).ok().map(CoreId)
    }
}

impl Running {
    fn stop(&self, why: Stop) {
        if self.stop.get().is_none() {
            self.stop.set(Some(why));
            self.changed.notify();
        }
    }
}

impl Entry {
    /// The query's number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Has the query stop; the first reason counts.
    pub fn stop(&self, why: Stop) {
        self.running.stop(why);
    }

    /// Comes back when the query is to stop.
    pub async fn stopped(&self) -> Stop {
        self.running.changed.until(|| self.running.stop.get()).await
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.queries.inner.running.borrow_mut().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn numbers_say_which_core_they_are_of() {
        let lists: Vec<Queries> = (0..3).map(|core| Queries::new(CoreId(core), 3)).collect();
        let entries: Vec<Entry> =
            lists.iter().chain(&lists).map(|list| list.enter("q", "", 0)).collect();
        let ids: Vec<u64> = entries.iter().map(Entry::id).collect();
        assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
        assert_eq!(lists[0].core_of(5), Some(CoreId(1)));
        assert_eq!(lists[0].core_of(0), None);
    }

    #[test]
    fn a_query_is_killed_once_and_leaves_with_its_entry() {
        let list = Queries::new(CoreId(0), 1);
        let entry = list.enter("SELECT 1", "d", 7);
        assert!(block_on(poll_once(entry.stopped())).is_none());
        assert_eq!(list.kill(9), Kill::Unknown);
        assert_eq!(list.kill(entry.id()), Kill::Done);
        assert_eq!(list.kill(entry.id()), Kill::Already);
        entry.stop(Stop::Timeout);
        assert_eq!(block_on(entry.stopped()), Stop::Killed);
        let listed = list.list();
        assert_eq!(
            (&*listed[0].text, listed[0].started_ns, listed[0].killed),
            ("SELECT 1", 7, true)
        );
        drop(entry);
        assert!(list.list().is_empty());
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let list = Queries::new(CoreId(0), 1);
        let entry = list.enter(&"é".repeat(TEXT_BYTES_MAX), "", 0);
        assert_eq!(list.list()[0].text.len(), TEXT_BYTES_MAX);
        assert_eq!(entry.id(), 1);
    }
}
