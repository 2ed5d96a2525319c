//! The start of a shard's log: what is on disk is replayed, then writing goes on in a file of its
//! own.
//!
//! In: the log's folder, the first record that is wanted, the manifest's last edit. Out: each
//! wanted record once, in order, to the caller; a writer; and what was found besides. Steps, each
//! safe to be cut anywhere and done again:
//!
//! ```text
//!   list ▸ read headers ▸ walk the commits (replay) ▸ sync the file of the last one
//!        ▸ give every unused file a generation of its own ▸ seal ▸ make spares in the background
//! ```
//!
//! The last commit found may never have been acknowledged and may exist only in the disk's cache;
//! it is synced before the first one that builds upon it. Files without accepted commits lose what
//! they hold *before* the first commit of the new generation, so a later start cannot take it for a
//! part of the log.

use super::files::{self, LogFile, number_of, path_of};
use super::frame::{self, FIRST_COMMIT, FileHeader, Head, Identity, Place};
use super::walk::{Found, Next, Reader, Spot, Walk};
use super::writer::{Full, Spare, Start, Writer};
use super::{LogError, Options, Record};
use crate::env::{BLOCK_BYTES, Disk, Env, File};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Other tasks get a turn after this much of replayed payload (bytes).
const YIELD_BYTES: usize = 256 << 10;

/// What a start found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovered {
    /// The number that the next record gets.
    pub next_seq: u64,
    /// Commits read, seals included.
    pub commits: u64,
    /// Records replayed.
    pub records: u64,
    /// Bytes of the commits read.
    pub bytes: u64,
    /// A commit that was never finished, hence never acknowledged, and was dropped.
    pub torn: Option<Torn>,
    /// Acknowledged records that are gone, accepted by `Options::accept_loss`. The replay went on
    /// behind them, so the caller meets rows of series whose definition may be among the lost. The
    /// damage stays on disk until a flush releases the file.
    pub lost: Vec<Lost>,
    /// Names in the folder that are no files of this log, for quarantine.
    pub unknown: Vec<String>,
}

/// A torn commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Torn {
    pub file: PathBuf,
    pub offset: u64,
    pub bytes: u64,
}

/// Records that cannot be read, `first_seq` to before `end_seq`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    pub file: PathBuf,
    pub offset: u64,
    pub first_seq: u64,
    pub end_seq: u64,
}

/// Where a log begins.
pub struct Origin<'a> {
    /// The log's folder; made if it is not there.
    pub dir: &'a Path,
    pub identity: Identity,
    /// The first record that is not safe elsewhere (the manifest's `replay_from`); 0 or 1 when a
    /// store is new, and a log without any commit is refused when it is larger.
    pub from_seq: u64,
    /// The manifest's last edit.
    pub manifest_edit: u64,
}

/// Opens the log: replays every record from `origin.from_seq` on, in order, and readies it for
/// commits. `apply` gets each record with its number; what it refuses refuses the start.
///
/// Errors: `Damaged` or `ManifestBehind` when acknowledged data is missing and the loss is not
/// accepted; `Io`; `Full` when there is no room for a first file.
pub async fn recover<E: Env>(
    env: E,
    origin: Origin<'_>,
    options: Options,
    mut apply: impl FnMut(u64, Record) -> Result<(), String>,
) -> Result<(Writer<E>, Recovered), LogError> {
    assert!(files::is_usable(options.file_bytes), "a log file holds a header and a commit");
    assert!(files::is_usable(options.first_file_bytes), "so does the first one");
    let place = Place::log(origin.identity);
    make_dir(&env, origin.dir).await?;
    let mut opened = open_files(&env, &origin, &place, &options).await?;
    let seen = (&place, &options);
    let Replay { ends, commit_no, out, .. } =
        replay(&env, &origin, seen, &mut opened, &mut apply).await?;
    for path in &opened.unready {
        files::remove(&env, origin.dir, path).await?;
    }
    let files = Files { found: opened.found, ends, next_number: opened.next_number };
    let start = files.ready(&env, &origin, &place, &options, (commit_no, out.next_seq)).await?;
    let writer = Writer::new(env, origin.dir.into(), place, options, start);
    writer.seal().await?;
    writer.sync().await?;
    writer.prepare();
    Ok((writer, out))
}

/// Reads a log as `recover` does and changes nothing; what is lost is told in `Recovered::lost`.
///
/// Errors: as `recover`.
pub async fn check<E: Env>(
    env: &E,
    origin: Origin<'_>,
    mut apply: impl FnMut(u64, Record) -> Result<(), String>,
) -> Result<Recovered, LogError> {
    let options = Options { accept_loss: true, ..Options::default() };
    let place = Place::log(origin.identity);
    let mut opened = open_files(env, &origin, &place, &options).await?;
    let seen = (&place, &options);
    Ok(replay(env, &origin, seen, &mut opened, &mut apply).await?.out)
}

/// Reads the open files: every record from the log's beginning on goes to `apply`.
async fn replay<'f, E: Env>(
    env: &E,
    origin: &Origin<'_>,
    (place, options): (&'f Place, &'f Options),
    opened: &'f mut Opened<E>,
    apply: &mut impl FnMut(u64, Record) -> Result<(), String>,
) -> Result<Replay<'f, E>, LogError> {
    let from_seq = origin.from_seq.max(1);
    let unknown = std::mem::take(&mut opened.unknown);
    let mut replay = Replay {
        walk: Walk { place, options, files: &opened.found, from_seq },
        manifest_edit: origin.manifest_edit,
        commit_no: 0,
        ends: vec![None; opened.found.len()],
        out: Recovered { next_seq: from_seq, unknown, ..Recovered::default() },
    };
    replay.run(env, apply).await?;
    if replay.commit_no == 0 && from_seq > 1 {
        replay.missing(origin.dir)?;
    }
    Ok(replay)
}

/// Makes the folder, durably.
async fn make_dir<E: Env>(env: &E, dir: &Path) -> Result<(), LogError> {
    env.disk().create_dir(dir).await.map_err(|error| LogError::io(dir, error))?;
    match dir.parent() {
        Some(above) => env.disk().sync_dir(above).await.map_err(|e| LogError::io(above, e)),
        None => Ok(()),
    }
}

/// The folder's files, open.
struct Opened<E: Env> {
    /// In order of generation.
    found: Vec<Found<E>>,
    unknown: Vec<String>,
    /// Files whose making was cut short.
    unready: Vec<PathBuf>,
    next_number: u64,
}

async fn open_files<E: Env>(
    env: &E,
    origin: &Origin<'_>,
    place: &Place,
    options: &Options,
) -> Result<Opened<E>, LogError> {
    let dir = origin.dir;
    let mut opened =
        Opened { found: Vec::new(), unknown: Vec::new(), unready: Vec::new(), next_number: 1 };
    for name in env.disk().list(dir).await.map_err(|error| LogError::io(dir, error))? {
        let Some(number) = number_of(&name) else {
            opened.unknown.push(name);
            continue;
        };
        opened.next_number = opened.next_number.max(number.saturating_add(1));
        let path = path_of(dir, number);
        let fail = |error| LogError::io(&path, error);
        let file = env.disk().open(&path, options.sync.open()).await.map_err(fail)?;
        let size = file.size().await.map_err(fail)?;
        let header = file.read_at(0, BLOCK_BYTES).await.map_err(fail)?;
        let mut reader = Reader::new(&file, &path, size);
        let generation = match frame::file_header(place, &header) {
            FileHeader::Ours { generation } => Some(generation),
            FileHeader::Invalid => salvage(&mut reader, &path, place, origin, options).await?,
            FileHeader::Foreign => {
                opened.unknown.push(name);
                continue;
            }
        };
        let Some(generation) = generation else {
            opened.unready.push(path);
            continue;
        };
        let first = reader.commit(place, generation, FIRST_COMMIT).await?.map(|(head, _)| head);
        let file = Rc::new(LogFile { number, path, file, size });
        opened.found.push(Found { file, generation, first });
    }
    opened.set_copies_aside();
    Ok(opened)
}

impl<E: Env> Opened<E> {
    /// Sorts the files by generation. Of two files of one generation, the first by number is the
    /// file and the other a stray copy.
    fn set_copies_aside(&mut self) {
        self.found.sort_by_key(|found| (found.generation, found.file.number));
        let mut last = None;
        let mut copies = Vec::new();
        self.found.retain(|found| {
            let is_first = last.replace(found.generation) != Some(found.generation);
            if !is_first {
                copies.push(format!("log-{:06}", found.file.number));
            }
            is_first
        });
        self.unknown.append(&mut copies);
    }
}

/// A file without a valid header: it was being made ready, or its header is damaged. Only in the
/// second case does it hold wanted records. Returns its generation if that loss is to be accepted.
async fn salvage<F: File>(
    reader: &mut Reader<'_, F>,
    path: &Path,
    place: &Place,
    origin: &Origin<'_>,
    options: &Options,
) -> Result<Option<u64>, LogError> {
    let mut generation = None;
    let mut offset = FIRST_COMMIT;
    while let Some((at, head)) = reader.next(place, None, offset).await? {
        offset = at + head.bytes();
        if head.end_seq() > origin.from_seq.max(1) {
            generation = generation.max(Some(head.generation));
        }
    }
    if generation.is_some() && !options.accept_loss {
        let detail = "the file header is damaged, commits follow it".to_owned();
        return Err(LogError::Damaged { file: path.into(), offset: 0, detail });
    }
    Ok(generation)
}

/// The replay of the commits on disk.
struct Replay<'a, E: Env> {
    walk: Walk<'a, E>,
    manifest_edit: u64,
    /// The last commit accepted.
    commit_no: u64,
    /// For each file with accepted commits, where they end and the sequence number behind them.
    ends: Vec<Option<(u64, u64)>>,
    out: Recovered,
}

impl<E: Env> Replay<'_, E> {
    async fn run(
        &mut self,
        env: &E,
        apply: &mut impl FnMut(u64, Record) -> Result<(), String>,
    ) -> Result<(), LogError> {
        let files = self.walk.files;
        self.check_manifest()?;
        let (mut spot, mut expected) = self.walk.start();
        let mut unyielded = 0;
        while let Some(mut found) = files.get(spot.file) {
            if let Some(later) = self.walk.continues(spot.file, expected)
                && let Some(file) = files.get(later)
            {
                spot = Spot { file: later, offset: FIRST_COMMIT };
                found = file;
            }
            let mut reader = found.reader();
            // One reader serves all commits of a file that follow each other.
            loop {
                let read = reader.commit(self.walk.place, found.generation, spot.offset).await?;
                let Some((head, payload)) = read.filter(|(head, _)| head.commit_no == expected)
                else {
                    break;
                };
                self.take(found, spot, &head, payload, apply)?;
                unyielded += payload.len() + BLOCK_BYTES;
                spot.offset += head.bytes();
                expected += 1;
                if unyielded >= YIELD_BYTES {
                    unyielded = 0;
                    env.yield_now().await;
                }
                if self.walk.continues(spot.file, expected).is_some() {
                    break;
                }
            }
            if self.walk.continues(spot.file, expected).is_some() {
                continue;
            }
            match self.walk.gap(spot, expected, self.out.next_seq).await? {
                Next::End(torn) => {
                    self.out.torn = torn;
                    break;
                }
                Next::Resume { spot: later, commit_no, lost } => {
                    self.out.lost.extend(lost);
                    (spot, expected) = (later, commit_no);
                }
            }
        }
        Ok(())
    }

    /// Accepts one commit and replays its wanted records.
    fn take(
        &mut self,
        found: &Found<E>,
        spot: Spot,
        head: &Head,
        payload: &[u8],
        apply: &mut impl FnMut(u64, Record) -> Result<(), String>,
    ) -> Result<(), LogError> {
        let damaged = |detail: String| LogError::Damaged {
            file: found.file.path.clone(),
            offset: spot.offset,
            detail,
        };
        if head.manifest_edit > self.manifest_edit && !self.walk.options.accept_loss {
            return Err(self.manifest_behind(found, spot.offset, head));
        }
        let mut input = payload;
        let wanted = head.end_seq() > self.walk.from_seq;
        for seq in (head.first_seq..head.end_seq()).take_while(|_| wanted) {
            let record = Record::get(&mut input)
                .map_err(|error| damaged(format!("record {seq} cannot be read: {error}")))?;
            if seq >= self.walk.from_seq {
                apply(seq, record).map_err(|why| damaged(format!("record {seq}: {why}")))?;
                self.out.records += 1;
            }
        }
        if wanted && !input.is_empty() {
            return Err(damaged(format!("{} bytes behind the last record", input.len())));
        }
        self.out.commits += 1;
        self.out.bytes += head.bytes();
        self.out.next_seq = self.out.next_seq.max(head.end_seq());
        self.commit_no = head.commit_no;
        if let Some(end) = self.ends.get_mut(spot.file) {
            *end = Some((spot.offset + head.bytes(), head.end_seq()));
        }
        Ok(())
    }

    /// Refuses a manifest that lacks edits before anything else is judged by it.
    fn check_manifest(&self) -> Result<(), LogError> {
        let newer = self.walk.files.iter().find_map(|found| {
            let head = found.first.filter(|head| head.manifest_edit > self.manifest_edit)?;
            Some(self.manifest_behind(found, FIRST_COMMIT, &head))
        });
        match newer {
            Some(error) if !self.walk.options.accept_loss => Err(error),
            _ => Ok(()),
        }
    }

    fn manifest_behind(&self, found: &Found<E>, offset: u64, head: &Head) -> LogError {
        LogError::ManifestBehind {
            file: found.file.path.clone(),
            offset,
            named: head.manifest_edit,
            last: self.manifest_edit,
        }
    }

    /// A log that was written to before has no commit at all.
    fn missing(&mut self, dir: &Path) -> Result<(), LogError> {
        let from_seq = self.walk.from_seq;
        if self.walk.options.accept_loss {
            let (file, offset) = (dir.to_path_buf(), 0);
            self.out.lost.push(Lost { file, offset, first_seq: from_seq, end_seq: from_seq });
            return Ok(());
        }
        let detail = format!("there is no commit, the replay should begin at record {from_seq}");
        Err(LogError::Damaged { file: dir.to_path_buf(), offset: 0, detail })
    }
}

/// What becomes of the files after the replay.
struct Files<E: Env> {
    found: Vec<Found<E>>,
    ends: Vec<Option<(u64, u64)>>,
    next_number: u64,
}

impl<E: Env> Files<E> {
    /// Makes what was accepted durable and readies files for what comes. `last` is the number of
    /// the last commit, and of the next record.
    async fn ready(
        self,
        env: &E,
        origin: &Origin<'_>,
        place: &Place,
        options: &Options,
        last: (u64, u64),
    ) -> Result<Start<E>, LogError> {
        let newest = self.found.last().map_or(0, |found| found.generation);
        let mut next_generation = newest + 1;
        let first_used = self.ends.iter().position(Option::is_some);
        let mut full: VecDeque<Full<E>> = VecDeque::new();
        let (mut spares, mut released) = (VecDeque::new(), VecDeque::new());
        for (at, (found, end)) in self.found.into_iter().zip(self.ends).enumerate() {
            let file = found.file;
            if let Some((bytes, end_seq)) = end {
                full.push_back(Full { file, end_seq, bytes });
            } else if first_used.is_some_and(|first| at < first) {
                released.push_back(file);
            } else if file.size == options.file_bytes {
                files::ready(&file, place, next_generation).await?;
                spares.push_back(Spare { file, generation: next_generation });
                next_generation += 1;
            } else {
                files::remove(env, origin.dir, &file.path).await?;
            }
        }
        if let Some(last) = full.back() {
            let sync = last.file.file.sync().await;
            sync.map_err(|error| LogError::io(&last.file.path, error))?;
        }
        let mut next_number = self.next_number;
        if spares.is_empty() {
            let bytes = options.first_file_bytes;
            let how = options.sync.open();
            let made = files::create(env, origin.dir, next_number, bytes, how).await;
            let file = Rc::new(made.map_err(full_or)?);
            files::ready(&file, place, next_generation).await?;
            spares.push_back(Spare { file, generation: next_generation });
            (next_number, next_generation) = (next_number + 1, next_generation + 1);
        }
        let Some(Spare { file: active, generation }) = spares.pop_front() else {
            return Err(LogError::Full);
        };
        Ok(Start {
            active,
            generation,
            full,
            spares,
            released,
            next_generation,
            next_number,
            commit_no: last.0,
            next_seq: last.1,
            manifest_edit: origin.manifest_edit,
        })
    }
}

fn full_or(error: LogError) -> LogError {
    match error {
        LogError::Io { source, .. } if super::is_full(&source) => LogError::Full,
        other => other,
    }
}
