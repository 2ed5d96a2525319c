//! The walk over the commits on disk at a start, and the decision between a torn tail and damage.
//!
//! In: the log's files in order of generation. Out: each commit once, in order of its number, and
//! where the log ends. A commit is written only after the one before it is durable (or says up to
//! which number commits are, `synced_no`), which makes the decision possible:
//!
//! ```text
//!   next commit valid ──────────────────────────────────────────▶ take it
//!   else, a later file begins with its number ──────────────────▶ go on there
//!   else, a valid commit further on, written when this one was durable ─▶ damage
//!   else ───────────────────────────────────────────────────────▶ torn: the log ends here
//! ```
//!
//! A gap wholly before the first wanted record is stepped over: what it held is not needed.

use super::files::{FileOf, LogFile};
use super::frame::{self, BLOCK, FIRST_COMMIT, HEAD_BYTES, Head, Place};
use super::recover::{Lost, Torn};
use super::{LogError, Options};
use crate::env::{Env, File};
use std::rc::Rc;

/// Files are read in pieces of this size (bytes), larger only for a larger commit.
const WINDOW_BYTES: usize = 1 << 20;

/// Reads commits of one file through a window.
pub(crate) struct Reader<'a, F: File> {
    file: &'a F,
    path: &'a std::path::Path,
    size: u64,
    window: Option<(u64, F::Bytes)>,
}

impl<'a, F: File> Reader<'a, F> {
    /// Reads a file of `size` bytes; `path` is for errors.
    pub(crate) fn new(file: &'a F, path: &'a std::path::Path, size: u64) -> Reader<'a, F> {
        Reader { file, path, size, window: None }
    }

    /// The bytes at `offset`: `len` of them, fewer at the file's end.
    async fn load(&mut self, offset: u64, len: usize) -> Result<&[u8], LogError> {
        let len = len.min(usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX));
        let inside = self.window.as_ref().is_some_and(|(start, bytes)| {
            *start <= offset && offset + len as u64 <= *start + bytes.len() as u64
        });
        if !inside {
            let read = self.file.read_at(offset, len.max(WINDOW_BYTES)).await;
            self.window = Some((offset, read.map_err(|error| LogError::io(self.path, error))?));
        }
        let Some((start, bytes)) = &self.window else { return Ok(&[]) };
        let rest = bytes.get((offset - start) as usize..).unwrap_or(&[]);
        Ok(rest.get(..len).unwrap_or(rest))
    }

    /// What looks like the head of a commit at `offset`; not verified.
    pub(crate) async fn peek(&mut self, offset: u64) -> Result<Option<Head>, LogError> {
        Ok(Head::peek(self.load(offset, HEAD_BYTES).await?))
    }

    /// The valid commit at `offset`, of any generation.
    pub(crate) async fn any(
        &mut self,
        place: &Place,
        offset: u64,
    ) -> Result<Option<(Head, &[u8])>, LogError> {
        let Some(head) = self.peek(offset).await? else { return Ok(None) };
        if head.bytes() > self.size.saturating_sub(offset) {
            return Ok(None);
        }
        let bytes = self.load(offset, head.bytes() as usize).await?;
        Ok(frame::commit(place, offset, bytes))
    }

    /// The valid commit of `generation` at `offset`.
    pub(crate) async fn commit(
        &mut self,
        place: &Place,
        generation: u64,
        offset: u64,
    ) -> Result<Option<(Head, &[u8])>, LogError> {
        match self.peek(offset).await? {
            Some(head) if head.generation == generation => self.any(place, offset).await,
            _ => Ok(None),
        }
    }

    /// The next valid commit of `generation` (of any when `None`) at or behind `offset`, at steps
    /// of a block.
    pub(crate) async fn next(
        &mut self,
        place: &Place,
        generation: Option<u64>,
        mut offset: u64,
    ) -> Result<Option<(u64, Head)>, LogError> {
        while offset + BLOCK <= self.size {
            let wanted = self.peek(offset).await?.is_some_and(|head| {
                generation.is_none_or(|generation| head.generation == generation)
            });
            if wanted && let Some((head, _)) = self.any(place, offset).await? {
                return Ok(Some((offset, head)));
            }
            offset += BLOCK;
        }
        Ok(None)
    }
}

/// A file of the log as found.
pub(super) struct Found<E: Env> {
    pub file: Rc<LogFile<E>>,
    pub generation: u64,
    /// Its first commit, if that is valid.
    pub first: Option<Head>,
}

impl<E: Env> Found<E> {
    pub(super) fn reader(&self) -> Reader<'_, FileOf<E>> {
        Reader::new(&self.file.file, &self.file.path, self.file.size)
    }
}

/// Where a commit lies: the index of its file, and the offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Spot {
    pub file: usize,
    pub offset: u64,
}

/// What the walk needs to know.
pub(super) struct Walk<'a, E: Env> {
    pub place: &'a Place,
    pub options: &'a Options,
    /// In order of generation.
    pub files: &'a [Found<E>],
    /// The first record that is wanted.
    pub from_seq: u64,
}

/// What comes next at a spot without the expected commit.
pub(super) enum Next {
    /// Nothing: the log ends, with this much of a commit torn.
    End(Option<Torn>),
    /// A commit behind a gap.
    Resume { spot: Spot, commit_no: u64, lost: Option<Lost> },
}

impl<E: Env> Walk<'_, E> {
    /// Where to begin, and the number of the commit expected there: the newest file that begins at
    /// or before the first wanted record.
    pub(super) fn start(&self) -> (Spot, u64) {
        let begins = |found: &Found<E>| found.first.filter(|head| head.first_seq <= self.from_seq);
        let last = self.files.iter().enumerate().rev().find_map(|(at, found)| {
            begins(found).map(|head| (Spot { file: at, offset: FIRST_COMMIT }, head.commit_no))
        });
        last.unwrap_or((Spot { file: 0, offset: FIRST_COMMIT }, 1))
    }

    /// The later file that begins with commit `commit_no`.
    pub(super) fn continues(&self, after: usize, commit_no: u64) -> Option<usize> {
        let is_it = |found: &Found<E>| found.first.is_some_and(|head| head.commit_no == commit_no);
        (after + 1..self.files.len()).find(|at| self.files.get(*at).is_some_and(is_it))
    }

    /// Decides what it means that commit `expected` is not at `spot`.
    pub(super) async fn gap(
        &self,
        spot: Spot,
        expected: u64,
        next_seq: u64,
    ) -> Result<Next, LogError> {
        let Some((hole, later, head)) = self.proof(spot, expected).await? else {
            return Ok(Next::End(self.torn(spot, expected).await?));
        };
        let Some(found) = self.files.get(hole.file) else { return Ok(Next::End(None)) };
        let lost = Lost {
            file: found.file.path.clone(),
            offset: hole.offset,
            first_seq: next_seq,
            end_seq: head.first_seq,
        };
        if head.first_seq <= self.from_seq {
            return Ok(Next::Resume { spot: later, commit_no: head.commit_no, lost: None });
        }
        if self.options.accept_loss {
            return Ok(Next::Resume { spot: later, commit_no: head.commit_no, lost: Some(lost) });
        }
        let detail = format!(
            "commit {expected} cannot be read but commit {} is there; records {} to {} are missing",
            head.commit_no,
            lost.first_seq,
            lost.end_seq.saturating_sub(1),
        );
        Err(LogError::Damaged { file: lost.file, offset: lost.offset, detail })
    }

    /// Looks for a commit that was written when commit `expected` was durable. Returns where the
    /// damage lies, and the first valid commit behind it.
    async fn proof(
        &self,
        spot: Spot,
        expected: u64,
    ) -> Result<Option<(Spot, Spot, Head)>, LogError> {
        let mut first: Option<(Spot, Spot, Head)> = None;
        for (at, found) in self.files.iter().enumerate().skip(spot.file) {
            // Files are used in order, so only the very next one can have lost its beginning;
            // reading all spare files would make every start slow.
            if found.first.is_none() && at > spot.file + 1 {
                continue;
            }
            let begins_bad = at > spot.file && found.first.is_none();
            let hole = if begins_bad { Spot { file: at, offset: FIRST_COMMIT } } else { spot };
            let mut reader = found.reader();
            let mut offset = if at == spot.file { spot.offset } else { FIRST_COMMIT };
            while let Some((here, head)) =
                reader.next(self.place, Some(found.generation), offset).await?
            {
                offset = here + head.bytes();
                if head.commit_no <= expected {
                    continue;
                }
                first = first.or(Some((hole, Spot { file: at, offset: here }, head)));
                if head.synced_no >= expected {
                    return Ok(first);
                }
            }
        }
        Ok(None)
    }

    /// The commit that was being written when the log ended, if its head can be recognised.
    async fn torn(&self, spot: Spot, expected: u64) -> Result<Option<Torn>, LogError> {
        let next = Spot { file: spot.file + 1, offset: FIRST_COMMIT };
        for spot in [spot, next] {
            let Some(found) = self.files.get(spot.file) else { continue };
            let head = found.reader().peek(spot.offset).await?;
            if let Some(head) = head
                && head.generation == found.generation
                && head.commit_no == expected
            {
                let bytes = head.bytes().min(found.file.size.saturating_sub(spot.offset));
                let file = found.file.path.clone();
                return Ok(Some(Torn { file, offset: spot.offset, bytes }));
            }
        }
        Ok(None)
    }
}
