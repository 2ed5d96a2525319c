//! The one place where the catalog is decided: commands in, durable records out.
//!
//! Lives on one core. A group of commands is decided one after the other, their records are written
//! in one journal append, and only then do they leave for the other cores. Where the disk has no
//! room for it the group is refused, and things are as before; what takes things away is written
//! where room is kept for it. Any other failed append poisons the journal: nothing is decided any
//! more and the process is expected to end.

use super::command::{CatalogError, Command};
use super::record::{self, Record};
use super::state::State;
use crate::env::Env;
use crate::shard::journal::Journal;
use crate::shard::log::LogError;

/// The deciding copy of the catalog and its journal.
pub struct Owner<E: Env> {
    state: State,
    journal: Journal<E>,
    /// Why nothing is decided any more: the state is ahead of what is durable.
    failed: Option<String>,
    /// There is no room for more than what takes things away.
    is_full: bool,
}

/// Why records are not durable.
enum Trouble {
    /// Nothing is written, and a later attempt may be.
    Full,
    Lasting(String),
}

impl<E: Env> Owner<E> {
    /// Takes over a journal that was read into `state` (see `restore`).
    pub fn new(state: State, journal: Journal<E>) -> Owner<E> {
        Owner { state, journal, failed: None, is_full: false }
    }

    /// The state decided so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Why nothing is decided any more, if so; the process is to end then.
    pub fn failure(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Decides commands in order. Answers per command; the records are durable on return and have
    /// to be applied by every copy in this order. `copy` gives the state before this group.
    pub async fn submit(
        &mut self,
        commands: &[Command],
        copy: impl FnOnce() -> State,
    ) -> (Vec<Result<(), CatalogError>>, Vec<Record>) {
        if let Some(reason) = &self.failed {
            let refusal = || Err(CatalogError::Unwritable(reason.clone()));
            return (commands.iter().map(|_| refusal()).collect(), Vec::new());
        }
        self.is_full = self.is_full && !self.journal.reserve().await;
        let mut answers = Vec::with_capacity(commands.len());
        let mut records = Vec::new();
        for command in commands {
            let decided = self.state.decide(command).and_then(|decided| {
                let fits = !self.is_full || decided.iter().all(Record::takes_away);
                if fits { Ok(decided) } else { Err(CatalogError::DiskFull) }
            });
            answers.push(decided.map(|decided| {
                decided.iter().for_each(|record| self.state.apply(record));
                records.extend(decided);
            }));
        }
        if records.is_empty() {
            return (answers, records);
        }
        let refusal = match self.persist(&records).await {
            Ok(()) => return (answers, records),
            Err(Trouble::Full) => {
                self.is_full = true;
                self.state = copy();
                CatalogError::DiskFull
            }
            Err(Trouble::Lasting(reason)) => {
                self.failed = Some(reason.clone());
                CatalogError::Unwritable(reason)
            }
        };
        let refuse = |answer: Result<(), CatalogError>| answer.and(Err(refusal.clone()));
        (answers.into_iter().map(refuse).collect(), Vec::new())
    }

    /// To be called when nothing is to be decided for now: seals the journal, which proves at the
    /// next start that its last edit was acknowledged, and keeps room. See `failure` afterwards.
    pub async fn rest(&mut self) {
        match self.journal.seal().await {
            // It is sealed when there is room.
            Ok(()) | Err(LogError::Full) => {}
            Err(error) => {
                self.failed.get_or_insert(error.to_string());
            }
        }
        self.is_full = !self.journal.reserve().await;
    }

    async fn persist(&mut self, records: &[Record]) -> Result<(), Trouble> {
        let lasting = |error: LogError| Trouble::Lasting(error.to_string());
        let bytes = record::encode(records);
        let bytes = bytes.ok_or_else(|| Trouble::Lasting("out of memory".to_owned()))?;
        match self.journal.append(&bytes).await {
            Err(LogError::Full) => return Err(Trouble::Full),
            appended => appended.map_err(lasting)?,
        };
        let state = &self.state;
        let snapshot = || record::encode(&state.to_records());
        match self.journal.rewrite_if_large(snapshot).await {
            // The records are durable; the file is rewritten when there is room.
            Ok(()) | Err(LogError::Full) => Ok(()),
            Err(error) => Err(lasting(error)),
        }
    }
}

/// Rebuilds the state from a journal's snapshot and edits; `None` when one of them is no list of
/// records.
pub fn restore(snapshot: Option<&[u8]>, edits: &[Vec<u8>]) -> Option<State> {
    let mut state = State::default();
    let all = snapshot.into_iter().chain(edits.iter().map(Vec::as_slice));
    for bytes in all {
        record::decode(bytes)?.iter().for_each(|record| state.apply(record));
    }
    Some(state)
}
