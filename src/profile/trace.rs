//! The trace: every turn of every task over some seconds, and the stalls, as `go tool trace` opens
//! it.
//!
//! In: how long. Out: bytes in the format of Go 1.19's execution traces. A core stands where Go has
//! a processor. All tasks that were spawned at one line into one queue of a core are one goroutine,
//! named after that line: of them one runs at a time. It is made when the first of them runs,
//! unblocked and started at the begin of each turn, blocked at its end. A turn of over 10 ms ends
//! with the stack at which the core was met and a log message `stall`.
//!
//! The file: 16 bytes `go 1.19 trace`, filled up with zeros, then events. An event is a byte, its
//! type and above that the number of arguments less one (3 = more, after their length in bytes),
//! and the arguments as varints. First of all but a few is the time since the event before (ns).

use super::claim::Right;
use super::stalls::{self, Stalled};
use super::symbols::Symbols;
use crate::env::real::tasks::{self, Core, Spawned};
use crate::env::real::turns::{self, Turn};
use crate::model::FixedMap;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// Types of events.
const BATCH: u8 = 1;
const FREQUENCY: u8 = 2;
const STACK: u8 = 3;
const PROCESSORS: u8 = 4;
const PROCESSOR_START: u8 = 5;
const PROCESSOR_STOP: u8 = 6;
const CREATE: u8 = 13;
const BLOCK: u8 = 20;
const STRING: u8 = 37;
const START: u8 = 38;
const UNBLOCK: u8 = 39;
const LOG: u8 = 48;

/// Longest text that the format's readers take is a million bytes; names are cut far below.
const TEXT_MAX: usize = 4096;
/// Frames of a stack, of which readers take a thousand.
const FRAMES_MAX: usize = 500;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The right to take the trace.
pub struct Claim(#[expect(dead_code, reason = "it is given back when dropped")] Right);

/// Claims it; `None` while another has it.
pub fn claim() -> Option<Claim> {
    Right::take(&TAKEN).map(Claim)
}

/// What one core did.
struct CoreTrace {
    name: String,
    thread: i32,
    /// Number, source file, line and queue of each place that spawned tasks.
    places: Vec<(u64, &'static str, u32, &'static str)>,
    turns: Vec<Turn>,
    /// There were more turns than are noted.
    is_full: bool,
}

/// What all cores did.
pub struct Trace {
    since: u64,
    until: u64,
    cores: Vec<CoreTrace>,
    stalls: Vec<Stalled>,
}

impl Claim {
    /// Notes for `time`, or until `stop` is sent or dropped, on this thread.
    pub fn run(self, time: Duration, stop: &Receiver<()>) -> Trace {
        let (cores, since) = (tasks::cores(), turns::now_ns());
        stalls::note_each(true);
        cores.iter().for_each(|core| core.noted.start());
        // Nobody sends anything; it ends with the time or with who asked.
        let _ = stop.recv_timeout(time);
        let until = turns::now_ns();
        let noted = |core: &'static Core| {
            let (mut turns, is_full) = core.noted.stop(since);
            turns.retain(|turn| turn.end_ns <= until);
            CoreTrace {
                name: core.name.clone(),
                thread: core.thread,
                places: places(core),
                turns,
                is_full,
            }
        };
        let cores = cores.into_iter().map(noted).collect();
        // A stall is noted when it is over, which may be now.
        std::thread::park_timeout(2 * stalls::LOOK);
        Trace { since, until, cores, stalls: stalls::note_each(false) }
    }
}

fn places(core: &Core) -> Vec<(u64, &'static str, u32, &'static str)> {
    let one = |spawned: &'static Spawned| {
        let (file, line) = (spawned.place.file(), spawned.place.line());
        (turns::number_of(spawned), file, line, super::tasks::queue_name(spawned.queue))
    };
    core.places().into_iter().map(one).collect()
}

/// Writes a trace.
pub fn encode(trace: &Trace, symbols: &mut Symbols) -> Vec<u8> {
    let mut out = Out { bytes: b"go 1.19 trace\0\0\0".to_vec(), ..Out::default() };
    for (number, core) in trace.cores.iter().enumerate() {
        out.core(number as u64, core, trace, symbols);
    }
    out.event(FREQUENCY, &[1_000_000_000]);
    out.bytes
}

#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
    strings: FixedMap<String, u64>,
    stacks: u64,
    goroutines: u64,
    /// Time of the event before.
    time: u64,
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

impl Out {
    fn event(&mut self, kind: u8, arguments: &[u64]) {
        let more = arguments.len() > 3;
        let count = if more { 3 } else { arguments.len().saturating_sub(1) as u8 };
        self.bytes.push(kind | count << 6);
        let mut listed = Vec::new();
        arguments.iter().for_each(|value| varint(*value, &mut listed));
        if more {
            varint(listed.len() as u64, &mut self.bytes);
        }
        self.bytes.append(&mut listed);
    }

    /// An event at a time.
    fn at(&mut self, time: u64, kind: u8, arguments: &[u64]) {
        let since = time.saturating_sub(self.time);
        self.time = self.time.max(time);
        let all: Vec<u64> = std::iter::once(&since).chain(arguments).copied().collect();
        self.event(kind, &all);
    }

    fn text(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let bytes = bytes.get(..TEXT_MAX).unwrap_or(bytes);
        varint(bytes.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(bytes);
    }

    /// The number of a text; 0 for none.
    fn string(&mut self, text: &str) -> u64 {
        if text.is_empty() {
            return 0;
        }
        if let Some(known) = self.strings.get(text) {
            return *known;
        }
        let number = self.strings.len() as u64 + 1;
        self.strings.insert(text.to_owned(), number);
        self.bytes.push(STRING);
        varint(number, &mut self.bytes);
        self.text(text);
        number
    }

    /// The number of a stack of places: address, function, file and line.
    fn stack(&mut self, places: &[(u64, &str, &str, u32)]) -> u64 {
        self.stacks += 1;
        let places = places.get(..FRAMES_MAX).unwrap_or(places);
        let mut all = vec![self.stacks, places.len() as u64];
        for (address, function, file, line) in places {
            let (function, file) = (self.string(function), self.string(file));
            all.extend([*address, function, file, u64::from(*line)]);
        }
        self.event(STACK, &all);
        self.stacks
    }

    /// The stack at which a core was met.
    fn code(&mut self, stack: &[u64], symbols: &mut Symbols) -> u64 {
        let mut all = Vec::new();
        for (at, address) in stack.iter().enumerate() {
            // All but the innermost are return addresses.
            let address = if at == 0 { *address } else { address.saturating_sub(1) };
            all.extend(symbols.lines(address).into_iter().map(|line| (address, line)));
        }
        let places: Vec<(u64, &str, &str, u32)> = all
            .iter()
            .map(|(address, l)| (*address, l.function.as_str(), l.file.as_str(), l.line))
            .collect();
        if places.is_empty() { 0 } else { self.stack(&places) }
    }

    fn log(&mut self, time: u64, stack: u64, (key, text): (&str, &str)) {
        let key = self.string(key);
        self.at(time, LOG, &[0, key, stack]);
        self.text(text);
    }

    fn core(&mut self, number: u64, core: &CoreTrace, trace: &Trace, symbols: &mut Symbols) {
        self.event(BATCH, &[number, trace.since]);
        self.time = trace.since;
        if number == 0 {
            self.at(trace.since, PROCESSORS, &[trace.cores.len() as u64, 0]);
        }
        self.at(trace.since, PROCESSOR_START, &[u64::try_from(core.thread).unwrap_or(0)]);
        let mut known: FixedMap<u64, u64> = FixedMap::default();
        let mut stalls: Vec<&Stalled> =
            trace.stalls.iter().filter(|stall| stall.core == core.name).collect();
        for (at, turn) in core.turns.iter().enumerate() {
            match known.get(&turn.place) {
                Some(goroutine) => self.at(turn.begin_ns, UNBLOCK, &[*goroutine, 0]),
                None => {
                    self.goroutines += 1;
                    known.insert(turn.place, self.goroutines);
                    let stack = self.spawned(core, turn.place);
                    self.at(turn.begin_ns, CREATE, &[self.goroutines, stack, 0]);
                }
            }
            let goroutine = known.get(&turn.place).copied().unwrap_or(0);
            self.at(turn.begin_ns, START, &[goroutine]);
            let long = turn.end_ns - turn.begin_ns >= stalls::LOOK.as_nanos() as u64;
            let met = stalls.iter().position(|stall| long && stall.is_of(turn));
            let stack = met.map_or(0, |met| self.code(&stalls.remove(met).stack, symbols));
            if long {
                let took = Duration::from_nanos(turn.end_ns - turn.begin_ns);
                self.log(turn.end_ns, stack, ("stall", &format!("{} ms", took.as_millis())));
            }
            if core.is_full && at + 1 == core.turns.len() {
                self.log(turn.end_ns, 0, ("end", "so many turns that the rest was not noted"));
            }
            self.at(turn.end_ns, BLOCK, &[stack]);
        }
        self.at(trace.until, PROCESSOR_STOP, &[]);
    }

    /// The stack that names the tasks of a place.
    fn spawned(&mut self, core: &CoreTrace, place: u64) -> u64 {
        let found = core.places.iter().find(|(number, ..)| *number == place);
        let Some((_, file, line, queue)) = found.copied() else { return 0 };
        let name = &core.name;
        let function = format!("spawned at {file}:{line}");
        // Readers tell functions apart by their addresses; these are beyond all code.
        let address = place | 1 << 63;
        self.stack(&[
            (address, &function, file, line),
            (address | 1 << 62, &format!("queue {queue}"), "", 0),
            (address | 1 << 61, &format!("core {name}"), "", 0),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_their_length_where_they_are_long() {
        let mut out = Out::default();
        out.event(BLOCK, &[300, 1]);
        out.event(CREATE, &[1, 2, 3, 300]);
        let expected = [20 | 1 << 6, 0xac, 2, 1, 13 | 3 << 6, 5, 1, 2, 3, 0xac, 2];
        assert_eq!(out.bytes, expected);
        let mut out = Out::default();
        assert_eq!((out.string("a"), out.string(""), out.string("a")), (1, 0, 1));
        assert_eq!(out.bytes, [37, 1, 1, b'a']);
        out.at(7, PROCESSOR_STOP, &[]);
        out.at(9, PROCESSOR_STOP, &[]);
        assert_eq!(out.bytes[4..], [6, 7, 6, 2]);
    }

    #[test]
    fn turns_and_stalls_are_events_that_gos_tool_reads() {
        let turn = |begin_ns, end_ns, place| Turn { begin_ns, end_ns, place };
        let core = |name: &str, turns| CoreTrace {
            name: name.to_owned(),
            thread: 7,
            places: vec![(10, "a.rs", 5, "query"), (20, "b.rs", 6, "ingest")],
            turns,
            is_full: name == "two",
        };
        let ms = 1_000_000;
        let one = vec![turn(1000, 2000, 10), turn(2000, 2500, 20), turn(5 * ms, 30 * ms, 10)];
        let trace = Trace {
            since: 500,
            until: 40 * ms,
            cores: vec![core("one", one), core("two", vec![turn(600, 700, 10)])],
            stalls: vec![Stalled {
                core: "one".to_owned(),
                began_ns: 4 * ms,
                ended_ns: 31 * ms,
                stack: vec![8, 9],
            }],
        };
        let bytes = encode(&trace, &mut Symbols::default());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("trace.out");
        std::fs::write(&file, bytes).unwrap();
        let mut go = std::process::Command::new("go");
        let Ok(read) = go.args(["tool", "trace", "-d"]).arg(&file).output() else { return };
        let text = String::from_utf8(read.stdout).unwrap();
        assert!(read.status.success(), "{text}");
        // Each event is its time, its name, and more.
        let events: Vec<String> = text
            .lines()
            .filter_map(|line| {
                let mut words = line.split(' ');
                let (time, name) = (words.next()?, words.next()?);
                let core = words.next()?;
                (core == "p=0").then(|| format!("{time} {name}"))
            })
            .collect();
        let expected = [
            "0 Gomaxprocs",
            "0 ProcStart",
            "500 GoCreate",
            "500 GoStart",
            "1500 GoBlock",
            "1500 GoCreate",
            "1500 GoStart",
            "2000 GoBlock",
            "4999500 GoUnblock",
            "4999500 GoStart",
            "29999500 UserLog",
            "29999500 GoBlock",
            "39999500 ProcStop",
        ];
        assert_eq!(events, expected, "{text}");
        assert!(text.contains("stall") && text.contains("25 ms"), "{text}");
    }

    #[test]
    fn a_trace_is_of_one_at_a_time() {
        let claim = claim().unwrap();
        assert!(super::claim().is_none());
        let (give, stop) = std::sync::mpsc::channel();
        give.send(()).unwrap();
        let bytes = encode(&claim.run(Duration::from_secs(60), &stop), &mut Symbols::default());
        assert!(bytes.starts_with(b"go 1.19 trace\0\0\0"));
        assert!(super::claim().is_some());
    }
}
