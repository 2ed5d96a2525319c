//! The writer of a shard's log: commits, one in flight, and the life of the files under them.
//!
//! In: encoded records from the shard's commit task, and from the flusher the sequence number up to
//! which records are safe elsewhere. Out: commits that are durable (or written, see `SyncPolicy`)
//! when the call comes back. A commit whose write or sync fails poisons the log: nobody knows what
//! is on disk, so nothing is acknowledged again until a restart has read it.

use super::files::{self, LogFile};
use super::frame::{self, FIRST_COMMIT, Head, Place};
use super::{COMMIT_BYTES_MAX, LogError, Options, SyncPolicy, is_full};
use crate::env::notify::Notify;
use crate::env::{Env, File, Queue, Task};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

/// The log of one shard, open for commits. Clones are handles to the same log.
pub struct Writer<E: Env> {
    inner: Rc<Inner<E>>,
}

impl<E: Env> Clone for Writer<E> {
    fn clone(&self) -> Writer<E> {
        Writer { inner: self.inner.clone() }
    }
}

/// Counters of a log since it was opened, and its state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Commits with records.
    pub commits: u64,
    /// Commits without.
    pub seals: u64,
    /// Bytes of records.
    pub payload_bytes: u64,
    /// Bytes written for commits, heads and padding included.
    pub written_bytes: u64,
    /// Files that hold records which are not released.
    pub files_live: u64,
    /// Files ready for use.
    pub files_spare: u64,
    /// Times that a commit waited for a file to be made ready.
    pub waits: u64,
}

/// What the writer goes on from.
pub(super) struct Start<E: Env> {
    /// Where commits go, and how far it is filled.
    pub active: Rc<LogFile<E>>,
    pub generation: u64,
    /// Full files with records not released, oldest first.
    pub full: VecDeque<Full<E>>,
    /// Ready files, in order of generation.
    pub spares: VecDeque<Spare<E>>,
    /// Files to be made ready again, oldest first.
    pub released: VecDeque<Rc<LogFile<E>>>,
    pub next_generation: u64,
    pub next_number: u64,
    /// Number of the last commit; it and all before are durable.
    pub commit_no: u64,
    pub next_seq: u64,
    pub manifest_edit: u64,
}

/// A file that takes no more commits.
pub(super) struct Full<E: Env> {
    pub file: Rc<LogFile<E>>,
    /// Sequence number behind its last record.
    pub end_seq: u64,
    /// Where its last commit ends.
    pub bytes: u64,
}

/// A file ready to be written.
pub(super) struct Spare<E: Env> {
    pub file: Rc<LogFile<E>>,
    pub generation: u64,
}

struct State<E: Env> {
    active: Rc<LogFile<E>>,
    generation: u64,
    offset: u64,
    full: VecDeque<Full<E>>,
    spares: VecDeque<Spare<E>>,
    released: VecDeque<Rc<LogFile<E>>>,
    next_generation: u64,
    next_number: u64,
    commit_no: u64,
    synced_no: u64,
    next_seq: u64,
    manifest_edit: u64,
    /// Number of the first commit in the active file, written or to come.
    active_first_no: u64,
    /// Records up to this one are safe elsewhere.
    released_seq: u64,
    /// The last commit has no records.
    sealed: bool,
    /// A commit found no file with room for it.
    short: bool,
    preparing: bool,
    /// Why the last preparation stopped, until a commit has reported it.
    prepare_error: Option<LogError>,
    sync_planned: bool,
    stats: Stats,
}

struct Inner<E: Env> {
    env: E,
    dir: PathBuf,
    place: Place,
    options: Options,
    state: RefCell<State<E>>,
    in_flight: Cell<bool>,
    poison: RefCell<Option<String>>,
    poisoned: Notify,
    /// The commit that waits for a spare file.
    waiting: RefCell<Option<Waker>>,
}

/// A commit in flight. A commit that is dropped half-way leaves an unknown state, so it poisons.
struct Flight<'a, E: Env> {
    inner: &'a Inner<E>,
    writing: bool,
}

impl<E: Env> Drop for Flight<'_, E> {
    fn drop(&mut self) {
        if self.writing {
            self.inner.poison("a commit was abandoned while it was written".to_owned());
        }
        self.inner.in_flight.set(false);
    }
}

impl<E: Env> Writer<E> {
    pub(super) fn new(
        env: E,
        dir: PathBuf,
        place: Place,
        options: Options,
        start: Start<E>,
    ) -> Writer<E> {
        let state = State {
            active: start.active,
            generation: start.generation,
            offset: FIRST_COMMIT,
            full: start.full,
            spares: start.spares,
            released: start.released,
            next_generation: start.next_generation,
            next_number: start.next_number,
            commit_no: start.commit_no,
            synced_no: start.commit_no,
            next_seq: start.next_seq,
            manifest_edit: start.manifest_edit,
            active_first_no: start.commit_no + 1,
            released_seq: 0,
            sealed: false,
            short: false,
            preparing: false,
            prepare_error: None,
            sync_planned: false,
            stats: Stats::default(),
        };
        let inner = Rc::new(Inner {
            env,
            dir,
            place,
            options,
            state: RefCell::new(state),
            in_flight: Cell::new(false),
            poison: RefCell::new(None),
            poisoned: Notify::default(),
            waiting: RefCell::new(None),
        });
        Writer { inner }
    }

    /// Writes `count` records, encoded back to back in `records`, as one commit. `first_seq`
    /// numbers the first of them and is at least `next_seq()`; `manifest_edit` is the newest
    /// manifest edit.
    ///
    /// Comes back when the commit is durable, or written, as the sync policy says. After `Io` or
    /// `Poisoned` the records may or may not be on disk and no later commit succeeds; after
    /// `TooLarge`, `Full` and `Busy` nothing was written. Dropping the future while it writes
    /// poisons.
    pub async fn commit(
        &self,
        records: &[u8],
        first_seq: u64,
        count: u32,
        manifest_edit: u64,
    ) -> Result<(), LogError> {
        let inner = &*self.inner;
        let bytes = frame::frame_bytes(records.len());
        let limit = (inner.options.file_bytes - FIRST_COMMIT).min(COMMIT_BYTES_MAX as u64);
        if records.len() > COMMIT_BYTES_MAX || bytes > inner.options.file_bytes - FIRST_COMMIT {
            return Err(LogError::TooLarge { bytes: records.len() as u64, limit });
        }
        let mut flight = inner.take_off()?;
        self.make_room(bytes).await?;
        let (file, offset, head) = {
            let mut state = inner.state.borrow_mut();
            assert!(first_seq >= state.next_seq, "sequence numbers only grow");
            state.manifest_edit = state.manifest_edit.max(manifest_edit);
            state.next_seq = first_seq + u64::from(count);
            (state.active.clone(), state.offset, state.head(records.len(), first_seq, count))
        };
        flight.writing = true;
        let mut buffer = file.file.buffer(bytes as usize);
        frame::put_commit(&inner.place, offset, &head, records, &mut buffer);
        // Durable at once where the policy says so: the file was opened that way.
        let done = file.file.write_at(offset, buffer).await;
        flight.writing = false;
        done.map_err(|error| inner.fail(LogError::io(&file.path, error)))?;
        inner.landed(&head, bytes);
        if inner.options.sync != SyncPolicy::Always {
            self.plan_sync();
        }
        self.prepare();
        Ok(())
    }

    /// Writes an empty commit, unless the last one is empty. It proves at the next start that the
    /// commit before it was acknowledged; the caller does so after `Options::seal_after` of
    /// idleness.
    pub async fn seal(&self) -> Result<(), LogError> {
        let (sealed, seq, edit) = {
            let state = self.inner.state.borrow();
            (state.sealed, state.next_seq, state.manifest_edit)
        };
        if sealed { Ok(()) } else { self.commit(&[], seq, 0, edit).await }
    }

    /// Makes every commit so far durable, whatever the sync policy. Not to be called while a commit
    /// is in flight.
    pub async fn sync(&self) -> Result<(), LogError> {
        let _flight = self.inner.take_off()?;
        self.inner.sync_active().await
    }

    /// Says that records up to `last_seq` are safe elsewhere, *durably*: files that hold no later
    /// ones are made ready for reuse in the background.
    pub fn release(&self, last_seq: u64) {
        let mut state = self.inner.state.borrow_mut();
        state.released_seq = state.released_seq.max(last_seq);
        drop(state);
        self.prepare();
    }

    /// Collects released files, and starts the preparation of spares where there is one to do.
    pub(super) fn prepare(&self) {
        let inner = &self.inner;
        inner.state.borrow_mut().collect();
        if inner.state.borrow().preparing || !inner.wants_preparation() {
            return;
        }
        let mut state = inner.state.borrow_mut();
        state.preparing = true;
        state.prepare_error = None;
        drop(state);
        inner.env.spawn(Queue::Background, prepare(inner.clone())).detach();
    }

    /// Makes the active file one that has `bytes` left. A file is durable before the next is used.
    async fn make_room(&self, bytes: u64) -> Result<(), LogError> {
        let inner = &*self.inner;
        let fits = |state: &State<E>| state.active.size - state.offset >= bytes;
        if fits(&inner.state.borrow()) {
            return Ok(());
        }
        inner.sync_active().await?;
        loop {
            if inner.state.borrow_mut().roll(bytes) {
                return Ok(());
            }
            {
                let mut state = inner.state.borrow_mut();
                state.stats.waits += 1;
                state.short = true;
            }
            self.prepare();
            inner.prepared().await;
            inner.check()?;
            if let Some(error) = inner.state.borrow_mut().prepare_error.take() {
                return Err(error);
            }
        }
    }

    /// The number that the next record gets.
    pub fn next_seq(&self) -> u64 {
        self.inner.state.borrow().next_seq
    }

    /// Bytes of log that a start now would read: all files with records that are not released.
    pub fn live_bytes(&self) -> u64 {
        let state = self.inner.state.borrow();
        state.full.iter().map(|full| full.bytes).sum::<u64>() + state.offset
    }

    /// Whether the last commit has records, so that a `seal` would write.
    pub fn needs_seal(&self) -> bool {
        !self.inner.state.borrow().sealed
    }

    /// Whether a commit is in flight.
    pub fn is_busy(&self) -> bool {
        self.inner.in_flight.get()
    }

    /// Why nothing is acknowledged any more, if so.
    pub fn poisoned(&self) -> Option<String> {
        self.inner.poison.borrow().clone()
    }

    /// Comes back when nothing is acknowledged any more, with the reason: also when a write or sync
    /// in the background was what failed.
    pub async fn failed(&self) -> String {
        self.inner.poisoned.until(|| self.poisoned()).await
    }

    /// The options the log was opened with.
    pub fn options(&self) -> Options {
        self.inner.options
    }

    /// Counters, and how many files there are.
    pub fn stats(&self) -> Stats {
        let state = self.inner.state.borrow();
        Stats {
            files_live: state.full.len() as u64 + 1,
            files_spare: state.spares.len() as u64,
            ..state.stats
        }
    }

    /// Plans a sync of what is written but not durable, under `SyncPolicy::Interval`.
    fn plan_sync(&self) {
        let SyncPolicy::Interval(after) = self.inner.options.sync else { return };
        let planned = std::mem::replace(&mut self.inner.state.borrow_mut().sync_planned, true);
        if !planned {
            let weak = Rc::downgrade(&self.inner);
            let env = self.inner.env.clone();
            self.inner.env.spawn(Queue::Ingest, sync_later(env, weak, after)).detach();
        }
    }
}

async fn sync_later<E: Env>(env: E, weak: Weak<Inner<E>>, after: Duration) {
    env.sleep(after).await;
    let Some(inner) = weak.upgrade() else { return };
    inner.state.borrow_mut().sync_planned = false;
    if inner.poison.borrow().is_none() {
        // A failure poisons the log, which tells who waits for that (`Writer::failed`).
        let _ = inner.sync_active().await;
    }
}

impl<E: Env> State<E> {
    fn head(&self, len: usize, first_seq: u64, records: u32) -> Head {
        Head {
            len: len as u32,
            generation: self.generation,
            commit_no: self.commit_no + 1,
            synced_no: self.synced_no,
            first_seq,
            manifest_edit: self.manifest_edit,
            records,
        }
    }

    /// Takes released files out of use. The newest full file stays until the active one has a
    /// durable commit: a log always has one, so that a start can tell an emptied log from a lost
    /// one.
    fn collect(&mut self) {
        let begun = self.active_first_no <= self.synced_no;
        while self.full.len() > usize::from(!begun)
            && self
                .full
                .front()
                .is_some_and(|full| full.end_seq <= self.released_seq.saturating_add(1))
        {
            self.released.extend(self.full.pop_front().map(|full| full.file));
        }
    }

    /// Makes the oldest spare that holds `bytes` the active file; false when there is none. Files
    /// that are too small (the first one may be) are used no more.
    fn roll(&mut self, bytes: u64) -> bool {
        while let Some(spare) = self.spares.pop_front() {
            if spare.file.size - FIRST_COMMIT < bytes {
                self.released.push_back(spare.file);
                continue;
            }
            let file = std::mem::replace(&mut self.active, spare.file);
            self.full.push_back(Full { file, end_seq: self.next_seq, bytes: self.offset });
            self.generation = spare.generation;
            self.short = false;
            self.offset = FIRST_COMMIT;
            self.active_first_no = self.commit_no + 1;
            return true;
        }
        false
    }
}

impl<E: Env> Inner<E> {
    fn take_off(&self) -> Result<Flight<'_, E>, LogError> {
        self.check()?;
        if self.in_flight.replace(true) {
            return Err(LogError::Busy);
        }
        Ok(Flight { inner: self, writing: false })
    }

    fn check(&self) -> Result<(), LogError> {
        match &*self.poison.borrow() {
            Some(reason) => Err(LogError::Poisoned { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    fn poison(&self, reason: String) {
        self.poison.borrow_mut().get_or_insert(reason);
        self.poisoned.notify();
    }

    fn fail(&self, error: LogError) -> LogError {
        self.poison(error.to_string());
        error
    }

    /// A commit was written.
    fn landed(&self, head: &Head, bytes: u64) {
        let mut state = self.state.borrow_mut();
        assert_eq!(state.commit_no + 1, head.commit_no, "one commit is in flight at a time");
        state.commit_no = head.commit_no;
        if self.options.sync == SyncPolicy::Always {
            state.synced_no = head.commit_no;
        }
        state.offset += bytes;
        state.sealed = head.records == 0;
        state.stats.commits += u64::from(head.records > 0);
        state.stats.seals += u64::from(head.records == 0);
        state.stats.payload_bytes += u64::from(head.len);
        state.stats.written_bytes += bytes;
    }

    /// Makes what was written to the active file durable.
    async fn sync_active(&self) -> Result<(), LogError> {
        let (file, written_no) = {
            let state = self.state.borrow();
            if state.synced_no == state.commit_no {
                return Ok(());
            }
            (state.active.clone(), state.commit_no)
        };
        file.file.sync().await.map_err(|error| self.fail(LogError::io(&file.path, error)))?;
        let mut state = self.state.borrow_mut();
        state.synced_no = state.synced_no.max(written_no);
        Ok(())
    }
}

/// The making of spare files.
impl<E: Env> Inner<E> {
    /// Waits until a spare is there, or nobody is making one.
    async fn prepared(&self) {
        std::future::poll_fn(|context| {
            let state = self.state.borrow();
            if !state.spares.is_empty() || !state.preparing {
                return Poll::Ready(());
            }
            *self.waiting.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn wake(&self) {
        if let Some(waker) = self.waiting.borrow_mut().take() {
            waker.wake();
        }
    }

    fn wants_preparation(&self) -> bool {
        let state = self.state.borrow();
        let left = state.active.size.saturating_sub(state.offset);
        let active = usize::from(!state.short && left >= self.options.file_bytes / 4 * 3);
        let wanted =
            state.spares.len() + active < self.options.spares || !state.released.is_empty();
        wanted && self.poison.borrow().is_none()
    }

    /// Reuses, or removes, the oldest released file; makes a new one when there is none.
    async fn prepare_one(&self) -> Result<(), LogError> {
        let (released, generation, number, keep) = {
            let mut state = self.state.borrow_mut();
            let released = state.released.pop_front();
            let number = state.next_number;
            state.next_number += u64::from(released.is_none());
            state.next_generation += 1;
            let keep = state.spares.len() < self.options.spares_max;
            (released, state.next_generation - 1, number, keep)
        };
        let file = match released {
            Some(file) if keep && file.size == self.options.file_bytes => file,
            Some(file) => return files::remove(&self.env, &self.dir, &file.path).await,
            None => {
                let (bytes, how) = (self.options.file_bytes, self.options.sync.open());
                Rc::new(files::create(&self.env, &self.dir, number, bytes, how).await?)
            }
        };
        files::ready(&file, &self.place, generation).await?;
        self.state.borrow_mut().spares.push_back(Spare { file, generation });
        Ok(())
    }
}

/// Makes spare files until there are enough. Files are reused strictly in their order, so that the
/// commits on disk always are an unbroken run up to the newest.
async fn prepare<E: Env>(inner: Rc<Inner<E>>) {
    let mut result = Ok(());
    while result.is_ok() && inner.wants_preparation() {
        result = inner.prepare_one().await;
        inner.wake();
    }
    if let Err(error) = result {
        let full = matches!(&error, LogError::Io { source, .. } if is_full(source));
        let error = if full { LogError::Full } else { inner.fail(error) };
        inner.state.borrow_mut().prepare_error = Some(error);
    }
    inner.state.borrow_mut().preparing = false;
    inner.wake();
}
