//! A journal: a small durable list, as a snapshot and the edits since. Manifest and catalog are
//! two.
//!
//! In: edits, each durable when `append` returns; a snapshot when the file has grown. Out: at a
//! start, the last snapshot and the edits behind it, in order. A journal is the file `<name>-<n>`
//! with the highest n and a valid snapshot. Its bytes are those of `log::frame`, generation n:
//!
//! | part | commit_no | first_seq | records | payload |
//! |------|----------:|-----------|--------:|---------|
//! | file header | | | | |
//! | snapshot | 1 | number of the last edit it covers | 0 or 1 | the snapshot, if 1 |
//! | edit | 2, 3, … | the edit's number | 1 | the edit |
//! | seal | likewise | the last edit's number | 0 | empty |
//!
//! Validity: the header, then every commit up to the first that does not verify. A cut leaves a
//! last edit torn, which was never acknowledged; it is dropped, and the journal is written anew
//! before the next edit. An invalid commit, snapshot included, with a valid one behind it that was
//! written when the invalid one was durable (`synced_no`) is damage. A copied file gets its
//! snapshot last, when the edits behind it are durable, so a valid snapshot stands for the whole
//! file. A rewrite goes into n + 1, which is synced and named durably before n is removed: a cut
//! leaves n whole, or n + 1, or both, and the higher counts.

#[cfg(test)]
mod tests;

use super::log::frame::{self, FIRST_COMMIT, FileHeader, Head, Identity, Place};
use super::log::{LogError, Reader, is_full};
use crate::env::{BLOCK_BYTES, Disk, Env, File, Open};
use std::path::{Path, PathBuf};

/// What can go wrong: the same as with a log.
pub type JournalError = LogError;

/// A file with more bytes than this behind its snapshot is rewritten; with a larger snapshot, one
/// that has doubled.
pub const REWRITE_BYTES: u64 = 1 << 20;
/// Room that `reserve` takes behind the last commit (bytes).
const ROOM_BYTES: u64 = 64 << 10;
/// The largest snapshot or edit (bytes).
pub const PAYLOAD_BYTES_MAX: usize = 1 << 30;

type FileOf<E> = <<E as Env>::Disk as Disk>::File;

/// A snapshot (`None` until the first rewrite), and the edits behind it in order.
pub type Content = (Option<Vec<u8>>, Vec<Vec<u8>>);

/// An open journal. Calls are made one after the other.
pub struct Journal<E: Env> {
    env: E,
    dir: PathBuf,
    name: String,
    place: Place,
    current: Current<E>,
    torn_bytes: u64,
    poison: Option<String>,
}

/// The file that counts.
struct Current<E: Env> {
    number: u64,
    path: PathBuf,
    file: FileOf<E>,
    /// Where the next commit goes.
    offset: u64,
    /// Where the snapshot ends.
    snapshot_end: u64,
    commit_no: u64,
    /// The newest commit known durable.
    synced_no: u64,
    last_edit: u64,
    sealed: bool,
}

/// Opens the journal `name` in `dir`; makes it when it is not there. Returns its snapshot (`None`
/// until the first rewrite) and the edits behind it, in order.
///
/// Errors: `Damaged` when acknowledged bytes cannot be read; `Io`; `Full`.
pub async fn open<E: Env>(
    env: E,
    dir: &Path,
    name: &str,
    identity: Identity,
) -> Result<(Journal<E>, Option<Vec<u8>>, Vec<Vec<u8>>), JournalError> {
    let place = Place::journal(identity, name);
    let home = Home { env: &env, dir, name, place: &place };
    let numbers = home.numbers().await?;
    let newest = numbers.last().copied().unwrap_or(0);
    let mut found = None;
    let mut useless = Vec::new();
    for number in numbers.iter().rev().copied() {
        match &found {
            None => found = home.read(number).await?,
            Some(_) => useless.push(number),
        }
        if found.is_none() {
            useless.push(number);
        }
    }
    if found.is_none() && newest > 1 {
        let detail = "the snapshot cannot be read, and no other file has one".to_owned();
        return Err(LogError::Damaged { file: home.path(newest), offset: FIRST_COMMIT, detail });
    }
    for number in useless {
        home.remove(number).await?;
    }
    let (current, (snapshot, edits), torn_bytes) = match found {
        None => (home.create(1, 0, &(None, Vec::new())).await?, (None, Vec::new()), 0),
        Some(Found { mut current, content, torn_bytes: 0 }) => {
            // The last edit may be in the disk's cache only; the next one builds upon it.
            current.sync().await?;
            (current, content, 0)
        }
        Some(Found { current, content, torn_bytes }) => {
            let covered = current.last_edit - content.1.len() as u64;
            let next = home.create(current.number + 1, covered, &content).await?;
            home.remove(current.number).await?;
            (next, content, torn_bytes)
        }
    };
    let (dir, name) = (dir.to_path_buf(), name.to_owned());
    let mut journal = Journal { env, dir, name, place, current, torn_bytes, poison: None };
    journal.seal().await?;
    Ok((journal, snapshot, edits))
}

/// What a journal says, and the number of its last edit.
pub type Looked = (Option<Vec<u8>>, Vec<Vec<u8>>, u64);

/// Reads the journal `name` in `dir` and changes nothing. `None` when there is none.
///
/// Errors: as `open`.
pub async fn look<E: Env>(
    env: &E,
    dir: &Path,
    name: &str,
    identity: Identity,
) -> Result<Option<Looked>, JournalError> {
    let place = Place::journal(identity, name);
    let home = Home { env, dir, name, place: &place };
    let numbers = home.numbers().await?;
    for number in numbers.iter().rev().copied() {
        if let Some(Found { current, content: (snapshot, edits), .. }) = home.read(number).await? {
            return Ok(Some((snapshot, edits, current.last_edit)));
        }
    }
    match numbers.last() {
        Some(newest) if *newest > 1 => {
            let detail = "the snapshot cannot be read, and no other file has one".to_owned();
            Err(LogError::Damaged { file: home.path(*newest), offset: FIRST_COMMIT, detail })
        }
        _ => Ok(None),
    }
}

impl<E: Env> Journal<E> {
    /// Adds an edit, durable on return, and returns its number (from 1, one more each time). After
    /// an error nobody knows whether it is on disk, and every later call fails; except after
    /// `Full` and `TooLarge`, which leave everything as it was.
    pub async fn append(&mut self, edit: &[u8]) -> Result<u64, JournalError> {
        self.write(edit, 1).await?;
        Ok(self.current.last_edit)
    }

    /// Writes an empty commit, unless the last one is empty: proof at the next start that the last
    /// edit was acknowledged. For the caller to do when it is idle.
    pub async fn seal(&mut self) -> Result<(), JournalError> {
        if self.current.sealed { Ok(()) } else { self.write(&[], 0).await }
    }

    /// Replaces snapshot and edits by `snapshot`, which holds what all edits so far amount to, when
    /// the file has grown over `REWRITE_BYTES`; `snapshot` is asked only then. `Full`, and a
    /// snapshot that cannot be made (`None`: no memory), leave everything as it was.
    pub async fn rewrite_if_large(
        &mut self,
        snapshot: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Result<(), JournalError> {
        let current = &self.current;
        let grown = current.offset - current.snapshot_end;
        if grown <= REWRITE_BYTES.max(current.snapshot_end) {
            return Ok(());
        }
        self.check()?;
        let (number, last_edit) = (current.number, current.last_edit);
        // An empty snapshot would read as that of a new store: without memory none is written.
        let Some(snapshot) = snapshot() else { return Ok(()) };
        let content = (Some(snapshot), Vec::new());
        self.poison = Some("a rewrite was abandoned".to_owned());
        let home = Home { env: &self.env, dir: &self.dir, name: &self.name, place: &self.place };
        match home.create(number + 1, last_edit, &content).await {
            Ok(next) => self.current = next,
            Err(LogError::Full) => {
                // The next file is gone again, so this one counts.
                self.poison = None;
                return Err(LogError::Full);
            }
            Err(error) => return Err(self.fail(error)),
        }
        // A file that stays is removed by the next start.
        let _ = home.remove(number).await;
        self.poison = None;
        Ok(())
    }

    /// Takes room on the disk for some next edits of usual size; false when there is none.
    pub async fn reserve(&self) -> bool {
        let end = self.current.offset.saturating_add(ROOM_BYTES);
        match self.current.file.preallocate(end).await {
            Err(error) => !is_full(&error),
            Ok(()) => true,
        }
    }

    /// The number of the last edit; 0 when there was none.
    pub fn last_edit(&self) -> u64 {
        self.current.last_edit
    }

    /// Bytes of an unfinished, never acknowledged edit that `open` dropped.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Why nothing can be appended any more, if so.
    pub fn poisoned(&self) -> Option<&str> {
        self.poison.as_deref()
    }

    async fn write(&mut self, payload: &[u8], records: u32) -> Result<(), JournalError> {
        self.check()?;
        // Stays when this future is dropped half-way.
        self.poison = Some("an edit was abandoned while it was written".to_owned());
        match self.current.write(&self.place, payload, records).await {
            Ok(()) => {
                self.poison = None;
                Ok(())
            }
            Err(error @ (LogError::TooLarge { .. } | LogError::Full)) => {
                self.poison = None;
                Err(error)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn check(&self) -> Result<(), JournalError> {
        match &self.poison {
            Some(reason) => Err(LogError::Poisoned { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    fn fail(&mut self, error: LogError) -> LogError {
        self.poison = Some(error.to_string());
        error
    }
}

impl<E: Env> Current<E> {
    /// Writes a commit behind the last and makes it durable.
    async fn write(
        &mut self,
        place: &Place,
        payload: &[u8],
        records: u32,
    ) -> Result<(), JournalError> {
        self.put(place, payload, records).await?;
        self.sync().await
    }

    async fn sync(&mut self) -> Result<(), JournalError> {
        self.file.sync().await.map_err(|error| LogError::io(&self.path, error))?;
        self.synced_no = self.commit_no;
        Ok(())
    }

    async fn put(
        &mut self,
        place: &Place,
        payload: &[u8],
        records: u32,
    ) -> Result<(), JournalError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            let limit = PAYLOAD_BYTES_MAX as u64;
            return Err(LogError::TooLarge { bytes: payload.len() as u64, limit });
        }
        let is_edit = records > 0 && self.commit_no > 0;
        let head = Head {
            len: payload.len() as u32,
            generation: self.number,
            commit_no: self.commit_no + 1,
            synced_no: self.synced_no,
            first_seq: self.last_edit + u64::from(is_edit),
            manifest_edit: 0,
            records,
        };
        let mut buffer = self.file.buffer(head.bytes() as usize);
        frame::put_commit(place, self.offset, &head, payload, &mut buffer);
        match self.file.write_at(self.offset, buffer).await {
            // The next one is written over what there may be of this one; it counts on none of it.
            Err(error) if is_full(&error) => return Err(LogError::Full),
            written => written.map_err(|error| LogError::io(&self.path, error))?,
        }
        self.offset += head.bytes();
        self.commit_no = head.commit_no;
        self.last_edit = head.first_seq;
        self.sealed = records == 0;
        Ok(())
    }
}

/// A file as read.
struct Found<E: Env> {
    current: Current<E>,
    content: Content,
    torn_bytes: u64,
}

/// Where the files of a journal are.
struct Home<'a, E: Env> {
    env: &'a E,
    dir: &'a Path,
    name: &'a str,
    place: &'a Place,
}

impl<E: Env> Home<'_, E> {
    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{}-{number}", self.name))
    }

    /// Numbers of the files there are, ascending.
    async fn numbers(&self) -> Result<Vec<u64>, JournalError> {
        let disk = self.env.disk();
        disk.create_dir(self.dir).await.map_err(|error| LogError::io(self.dir, error))?;
        if let Some(above) = self.dir.parent() {
            disk.sync_dir(above).await.map_err(|error| LogError::io(above, error))?;
        }
        let names = disk.list(self.dir).await.map_err(|error| LogError::io(self.dir, error))?;
        let number = |name: &String| {
            let number = name.strip_prefix(self.name)?.strip_prefix('-')?.parse::<u64>().ok()?;
            (format!("{}-{number}", self.name) == *name).then_some(number)
        };
        let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    async fn remove(&self, number: u64) -> Result<(), JournalError> {
        let path = self.path(number);
        self.env.disk().remove(&path).await.map_err(|error| LogError::io(&path, error))?;
        self.env.disk().sync_dir(self.dir).await.map_err(|error| LogError::io(self.dir, error))
    }

    /// Makes file `number`, durable on return. On `Full` it is gone again, durably.
    async fn create(
        &self,
        number: u64,
        covered: u64,
        content: &Content,
    ) -> Result<Current<E>, JournalError> {
        match self.fill(number, covered, content).await {
            Err(LogError::Full) => {
                self.remove(number).await?;
                Err(LogError::Full)
            }
            Err(LogError::Io { source, .. }) if is_full(&source) => {
                self.remove(number).await?;
                Err(LogError::Full)
            }
            result => result,
        }
    }

    async fn fill(
        &self,
        number: u64,
        covered: u64,
        content: &Content,
    ) -> Result<Current<E>, JournalError> {
        let path = self.path(number);
        let fail = |error| LogError::io(&path, error);
        let file = self.env.disk().open(&path, Open::Create).await.map_err(fail)?;
        let mut block = file.buffer(BLOCK_BYTES);
        frame::put_file_header(self.place, number, &mut block);
        file.write_at(0, block).await.map_err(fail)?;
        let (snapshot, edits) = content;
        let bytes = snapshot.as_deref().unwrap_or(&[]);
        let snapshot_end = FIRST_COMMIT + frame::frame_bytes(bytes.len());
        let mut current: Current<E> = Current {
            number,
            path,
            file,
            offset: snapshot_end,
            snapshot_end,
            commit_no: 1,
            synced_no: 0,
            last_edit: covered,
            sealed: false,
        };
        for edit in edits {
            current.put(self.place, edit, 1).await?;
        }
        if !edits.is_empty() {
            current.file.sync().await.map_err(|error| LogError::io(&current.path, error))?;
        }
        // The snapshot comes last: where it is valid, the edits behind it are durable.
        let end = (current.offset, current.commit_no, current.last_edit);
        (current.offset, current.commit_no, current.last_edit) = (FIRST_COMMIT, 0, covered);
        current.put(self.place, bytes, u32::from(snapshot.is_some())).await?;
        (current.offset, current.commit_no, current.last_edit) = end;
        current.sealed = false;
        current.sync().await?;
        let named = self.env.disk().sync_dir(self.dir).await;
        named.map_err(|error| LogError::io(self.dir, error))?;
        Ok(current)
    }

    /// Reads file `number`. `None` when it was never finished: no valid snapshot, and no edit.
    async fn read(&self, number: u64) -> Result<Option<Found<E>>, JournalError> {
        let path = self.path(number);
        let fail = |error| LogError::io(&path, error);
        let damaged = |offset, detail: &str| LogError::Damaged {
            file: path.clone(),
            offset,
            detail: detail.to_owned(),
        };
        let file = self.env.disk().open(&path, Open::Write).await.map_err(fail)?;
        let size = file.size().await.map_err(fail)?;
        let header = file.read_at(0, BLOCK_BYTES).await.map_err(fail)?;
        let header = frame::file_header(self.place, &header);
        if header == FileHeader::Foreign {
            return Err(damaged(0, "the file belongs to another store, shard or epoch"));
        }
        let mut reader = Reader::new(&file, &path, size);
        let mut content: Content = (None, Vec::new());
        let mut last = None;
        let (mut offset, mut snapshot_end) = (FIRST_COMMIT, 0);
        while let Some((head, payload)) = reader.commit(self.place, number, offset).await? {
            if head.commit_no != last.map_or(1, |last: Head| last.commit_no + 1) {
                return Err(damaged(offset, "a commit is out of order"));
            }
            offset += head.bytes();
            match last.replace(head) {
                None if head.records > 0 => content.0 = Some(payload.to_vec()),
                Some(_) if head.records > 0 => content.1.push(payload.to_vec()),
                _ => {}
            }
            if head.commit_no == 1 {
                snapshot_end = offset;
            }
        }
        let expected = last.map_or(1, |last| last.commit_no + 1);
        let mut behind = offset;
        while let Some((at, head)) = reader.next(self.place, Some(number), behind).await? {
            if head.synced_no >= expected {
                return Err(damaged(offset, "a commit cannot be read but a later one is there"));
            }
            behind = at + head.bytes();
        }
        let is_ours = header == FileHeader::Ours { generation: number };
        let last = match last {
            Some(last) if is_ours => last,
            Some(last) if last.commit_no > 1 => {
                return Err(damaged(0, "the file header is damaged, commits follow it"));
            }
            _ => return Ok(None),
        };
        let current = Current {
            number,
            path: path.clone(),
            file,
            offset,
            snapshot_end,
            commit_no: last.commit_no,
            synced_no: last.synced_no,
            last_edit: last.first_seq,
            sealed: last.records == 0 && last.commit_no > 1,
        };
        Ok(Some(Found { current, content, torn_bytes: size - offset }))
    }
}
