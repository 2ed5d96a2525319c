//! The server's log: lines on standard error, for people and for machines.
//!
//! In: events with a level, the module they come from, a text and fields. Out: lines as logfmt,
//! JSON or for a terminal (`format`), written by a thread of its own. Nobody who logs waits: the
//! way to that thread is bounded, what finds no room is counted, and the next line says how much
//! was lost. Of one kind of event at most ten a second are let through (`flood`); the rest is
//! counted, too. Before `start`, in tests and tools, nothing is written.

mod flood;
pub mod format;
mod levels;

pub use format::Format;
pub use levels::{Level, Levels};

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Events on their way to the writer.
const QUEUE: usize = 4096;
/// Longest line (bytes); longer texts are cut.
const TEXT_MAX: usize = 16 << 10;

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Lines that found no room.
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// Lines held back because there were too many of their kind.
static HELD_BACK: AtomicU64 = AtomicU64::new(0);
static WRITTEN: AtomicU64 = AtomicU64::new(0);

struct Logger {
    levels: Levels,
    queue: SyncSender<Message>,
    seen: flood::Seen,
    started: Instant,
}

enum Message {
    Event(Box<Event>),
    /// Everything before it is written; tells so.
    Flush(SyncSender<()>),
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    pub level: Level,
    /// `http`, `query`, `shard`, …
    pub module: &'static str,
    pub text: String,
    pub fields: Vec<(&'static str, String)>,
    /// Wall clock (ns).
    pub time_ns: i64,
    /// Events of this kind that were held back before it.
    pub held_back: u64,
}

/// Starts the writer; a second start changes nothing.
///
/// # Errors
/// When no thread can be made.
pub fn start(levels: Levels, format: Format) -> std::io::Result<()> {
    let (queue, inbox) = sync_channel(QUEUE);
    let thread = std::thread::Builder::new().name("log".to_owned());
    thread.spawn(move || write_all(&inbox, format))?;
    let logger = Logger { levels, queue, seen: flood::Seen::default(), started: Instant::now() };
    // The first one stays.
    let _ = LOGGER.set(logger);
    Ok(())
}

/// Whether events of a level and module are written at all.
pub fn enabled(level: Level, module: &str) -> bool {
    LOGGER.get().is_some_and(|logger| logger.levels.allow(level, module))
}

/// Logs an event; its text is made only when it is written.
pub fn log(level: Level, module: &'static str, text: impl FnOnce() -> String) {
    log_with(level, module, Vec::new(), text);
}

/// Logs an event with fields.
pub fn log_with(
    level: Level,
    module: &'static str,
    fields: Vec<(&'static str, String)>,
    text: impl FnOnce() -> String,
) {
    let Some(logger) = LOGGER.get().filter(|logger| logger.levels.allow(level, module)) else {
        return;
    };
    let second = logger.started.elapsed().as_secs();
    // Events of one kind: of one module and level.
    let Some(held_back) = logger.seen.let_through(module, level, second) else {
        HELD_BACK.fetch_add(1, Ordering::Relaxed);
        return;
    };
    logger.send(level, module, text(), fields, held_back);
}

/// Writes a line of the access log, which is not held back.
pub fn access(line: String) {
    if let Some(logger) = LOGGER.get() {
        logger.send(Level::Info, "access", line, Vec::new(), 0);
    }
}

impl Logger {
    fn send(
        &self,
        level: Level,
        module: &'static str,
        mut text: String,
        fields: Vec<(&'static str, String)>,
        held_back: u64,
    ) {
        if text.len() > TEXT_MAX {
            let end = (0..=TEXT_MAX).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or(0));
            text.push('…');
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time_ns = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        let event = Event { level, module, text, fields, time_ns, held_back };
        match self.queue.try_send(Message::Event(Box::new(event))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Waits until everything logged before is written, at most so long.
pub fn flush(limit: Duration) {
    let Some(logger) = LOGGER.get() else { return };
    let (done, told) = sync_channel(1);
    let until = Instant::now() + limit;
    let mut message = Message::Flush(done);
    while let Err(TrySendError::Full(back)) = logger.queue.try_send(message) {
        if Instant::now() >= until {
            return;
        }
        message = back;
        std::thread::yield_now();
    }
    let _ = told.recv_timeout(until.saturating_duration_since(Instant::now()));
}

/// Lines written, lines lost for want of room, lines held back in floods.
pub fn counts() -> [u64; 3] {
    [&WRITTEN, &DROPPED, &HELD_BACK].map(|counter| counter.load(Ordering::Relaxed))
}

fn write_all(inbox: &Receiver<Message>, format: Format) {
    let mut told = 0;
    for message in inbox {
        let event = match message {
            Message::Event(event) => event,
            Message::Flush(done) => {
                let _ = done.try_send(());
                continue;
            }
        };
        let mut out = Vec::new();
        let dropped = DROPPED.load(Ordering::Relaxed);
        if dropped > told {
            let lost = dropped - std::mem::replace(&mut told, dropped);
            let note = Event {
                level: Level::Warn,
                module: "log",
                text: format!(
                    "{lost} lines were lost: they came faster than they could be written"
                ),
                fields: Vec::new(),
                time_ns: event.time_ns,
                held_back: 0,
            };
            format::write(&note, format, &mut out);
        }
        format::write(&event, format, &mut out);
        // A closed standard error is no reason to stop.
        let _ = std::io::stderr().lock().write_all(&out);
        WRITTEN.fetch_add(1, Ordering::Relaxed);
    }
}
