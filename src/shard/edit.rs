//! Manifest edits of a living shard, and why work in the background stops half-way.
//!
//! In: what a flush, a compaction or a drop changes. Out: the same, durable and applied. An edit
//! for which the disk has no room leaves everything as it was: whoever asked takes back what it
//! made, and tries again. After any other failure nobody knows what the manifest says, and the
//! shard has failed.

use super::index_file::IndexFileError;
use super::journal::Journal;
use super::log::{LogError, is_full};
use super::segment::SegmentError;
use super::{Inner, manifest};
use crate::env::Env;
use std::io;

/// Why work in the background did not come to its end.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Trouble {
    #[error("no space left on the disk")]
    Full,
    #[error("{0}")]
    Failed(String),
}

impl Trouble {
    fn of(source: &io::Error, told: &impl ToString) -> Trouble {
        if is_full(source) { Trouble::Full } else { Trouble::Failed(told.to_string()) }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::of(&error, &error)
    }
}

impl From<SegmentError> for Trouble {
    fn from(error: SegmentError) -> Trouble {
        match &error {
            SegmentError::Io { source, .. } => Trouble::of(source, &error),
            _ => Trouble::Failed(error.to_string()),
        }
    }
}

impl From<IndexFileError> for Trouble {
    fn from(error: IndexFileError) -> Trouble {
        match &error {
            IndexFileError::Io { source, .. } => Trouble::of(source, &error),
            IndexFileError::Damaged { .. } => Trouble::Failed(error.to_string()),
        }
    }
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Trouble {
        match error {
            LogError::Full => Trouble::Full,
            error => Trouble::Failed(error.to_string()),
        }
    }
}

impl<E: Env> Inner<E> {
    /// Makes a manifest edit durable and applies it. The edit is made when no other is under way,
    /// so it says nothing that another has changed meanwhile. After an error other than `Full` the
    /// shard has failed.
    pub(super) async fn edit(&self, edit: impl FnOnce() -> manifest::Edit) -> Result<(), Trouble> {
        let _pass = self.editing.enter().await;
        let edit = edit();
        let journal = self.journal.borrow_mut().take();
        let Some(mut journal) = journal else {
            return Err(Trouble::Failed("the manifest is closed".to_owned()));
        };
        let done = self.write_edit(&mut journal, edit).await;
        *self.journal.borrow_mut() = Some(journal);
        if let Err(Trouble::Failed(reason)) = &done {
            self.fail(format!("manifest: {reason}"));
        }
        done
    }

    /// `Full` only before the edit is durable; what follows it is made up for by the next one.
    async fn write_edit(
        &self,
        journal: &mut Journal<E>,
        edit: manifest::Edit,
    ) -> Result<(), Trouble> {
        let bytes = manifest::encode_edit(&edit);
        let bytes = bytes.ok_or_else(|| Trouble::Failed("out of memory".to_owned()))?;
        let number = journal.append(&bytes).await?;
        self.edit.set(number);
        self.manifest.borrow_mut().apply(&edit);
        let snapshot = || manifest::encode_state(&self.manifest.borrow());
        unless_full(journal.rewrite_if_large(snapshot).await)?;
        // The seal proves at the next start that this edit was acknowledged, whatever happens to
        // it.
        unless_full(journal.seal().await)?;
        // What takes files away must find room on a full disk, too.
        journal.reserve().await;
        Ok(())
    }
}

fn unless_full(done: Result<(), LogError>) -> Result<(), LogError> {
    match done {
        Err(LogError::Full) => Ok(()),
        done => done,
    }
}
