//! Graphite's pickles: frames of a length and a list of `(path, (timestamp, value))`.
//!
//! In: bytes of a connection. Out: float rows in the `Batcher`; dropped elements and refused frames
//! in `Rejects`. A frame is read whole by a machine that can only read (`machine`), then its
//! elements are placed like lines of plaintext, by the hash of their path. A frame with names that
//! the catalog does not know is decoded again when it knows them, so none is taken in twice. An
//! unfinished frame stays with the caller.

mod item;
mod machine;
mod number;
mod opcode;
#[cfg(test)]
mod tests;
mod text;

pub use machine::{Machine, Refusal, Trouble};

use super::batcher::{Batcher, Placed};
use super::graphite::{self, Place, Places, Rules};
use super::reject::{Reject, Rejects};
use super::{LINES_AHEAD, Progress};
use crate::catalog::State;
use crate::route::SeriesCache;
use item::Item;

/// carbon's limit of a frame (bytes, without its length).
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// Bytes of the length before a frame.
const HEAD_BYTES: usize = 4;
/// A frame of N bytes yields at most N / 4 elements; the shortest that means anything is longer.
const BYTES_PER_ELEMENT: usize = 4;
/// Elements kept for the next frame.
const ELEMENTS_KEPT: usize = 1 << 16;

/// What a call to `decode` works with.
pub struct Context<'a> {
    pub catalog: &'a State,
    pub cache: &'a mut SeriesCache,
    pub rejects: &'a mut Rejects,
    pub rules: &'a Rules,
    pub reader: &'a mut Reader,
    /// Wall clock (ns).
    pub now_ns: i64,
    /// Shards of the store (1 to 4096).
    pub shards: u32,
    /// A longer frame ends the stream (bytes, without its length).
    pub frame_bytes_max: usize,
    /// Frames are begun until so many bytes are decoded.
    pub turn_bytes: usize,
    /// Unknown names collected before the catalog is asked.
    pub names_max: usize,
    /// Frames decoded or refused; each adds to it.
    pub frames: u64,
    /// Set when a frame is too long: the stream cannot be followed any more.
    pub ends: bool,
}

/// Buffers of the decoder, used again from frame to frame.
#[derive(Default)]
pub struct Reader {
    machine: Machine,
    /// Elements read whose paths are not looked up yet.
    ahead: Vec<Row>,
    found: Vec<Option<Placed>>,
    /// Elements whose place is known.
    placed: Vec<(Place, i64, f64)>,
    /// Elements to be dropped, by their position.
    dropped: Vec<(Reject, u32)>,
}

/// Decodes complete frames of `input` into the batcher's request. With `Done`, more may be
/// complete: they are not when nothing was consumed.
pub fn decode(input: &[u8], batcher: &mut Batcher, ctx: &mut Context<'_>) -> Progress {
    batcher.enter(ctx.catalog, ctx.now_ns, ctx.shards);
    ctx.cache.enter(ctx.catalog.narrowed());
    let mut decoder = Decoder {
        places: Places { batcher, catalog: ctx.catalog, cache: ctx.cache, rules: ctx.rules },
        reader: ctx.reader,
        rejects: ctx.rejects,
        now_ns: ctx.now_ns,
        resume_at: None,
    };
    let mut at = 0;
    while at < ctx.turn_bytes.max(1) && decoder.places.batcher.names.len() < ctx.names_max.max(1) {
        let rest = input.get(at..).unwrap_or_default();
        let Some((head, rest)) = rest.split_first_chunk::<HEAD_BYTES>() else { break };
        let len = u32::from_be_bytes(*head) as usize;
        if len > ctx.frame_bytes_max {
            if decoder.resume_at.is_none() {
                decoder.rejects.count(Reject::FrameTooLong, head);
                ctx.ends = true;
            }
            break;
        }
        let Some(frame) = rest.get(..len) else { break };
        if !frame.is_empty() {
            decoder.frame(frame, at);
            ctx.frames += u64::from(decoder.resume_at.is_none());
        }
        at += HEAD_BYTES + len;
    }
    match decoder.resume_at {
        Some(resume_at) => {
            let missing = decoder.places.batcher.names.take();
            Progress::NeedNames { resume_at, missing }
        }
        None => Progress::Done { consumed: at },
    }
}

/// One call's working state.
struct Decoder<'b> {
    places: Places<'b>,
    reader: &'b mut Reader,
    rejects: &'b mut Rejects,
    now_ns: i64,
    /// The first frame with an unknown name: from there on names are only collected.
    resume_at: Option<usize>,
}

/// An element, read.
struct Row {
    /// Which of the frame's elements.
    position: u32,
    hash: u128,
    path: Item,
    time: i64,
    value: f64,
}

impl Decoder<'_> {
    /// Decodes the frame at offset `at` of the input.
    fn frame(&mut self, frame: &[u8], at: usize) {
        match self.load(frame) {
            Ok(list) => self.elements(frame, list, at),
            Err((why, text)) if self.resume_at.is_none() => {
                self.rejects.count_with(why, || text().into_bytes());
            }
            Err(_) => {}
        }
    }

    /// The frame's list, or why it is refused and a way to say so.
    fn load(&mut self, frame: &[u8]) -> Result<Item, (Reject, impl FnOnce() -> String + use<>)> {
        let (why, text, opcode) = match self.reader.machine.load(frame) {
            Err(refusal) => {
                let forbidden = refusal.why == Trouble::Forbidden;
                let why = if forbidden { Reject::FrameForbidden } else { Reject::FrameMalformed };
                (why, "", Some(refusal))
            }
            Ok(list) => match self.reader.machine.arena.len(list) {
                None => (Reject::FrameShape, "the object is neither list nor tuple", None),
                Some(len) if len as usize > frame.len() / BYTES_PER_ELEMENT => {
                    (Reject::FrameElements, "the list repeats its elements", None)
                }
                Some(_) => return Ok(list),
            },
        };
        let bytes = frame.len();
        Err((why, move || {
            let text = opcode.map_or_else(|| text.to_owned(), |refusal| refusal.text());
            format!("{text}, in a frame of {bytes} bytes")
        }))
    }

    /// Places all elements of a frame, or asks for the names of all.
    fn elements(&mut self, frame: &[u8], list: Item, at: usize) {
        self.reader.placed.clear();
        self.reader.dropped.clear();
        let mut asking = self.resume_at.is_some();
        let (machine, now_ns) = (std::mem::take(&mut self.reader.machine), self.now_ns);
        for (position, item) in machine.arena.items(list).enumerate() {
            let position = position as u32;
            match element(&machine, frame, item, now_ns) {
                Ok((path, text, time, value)) => {
                    let hash = self.places.hash(text);
                    self.reader.ahead.push(Row { position, hash, path, time, value });
                    if self.reader.ahead.len() == LINES_AHEAD {
                        asking = self.place_ahead(&machine, frame, asking);
                    }
                }
                Err(why) => {
                    asking = self.place_ahead(&machine, frame, asking);
                    self.reader.dropped.push((why, position));
                }
            }
        }
        asking = self.place_ahead(&machine, frame, asking);
        self.reader.machine = machine;
        match asking {
            true => self.resume_at = self.resume_at.or(Some(at)),
            false => self.take_in(frame, list),
        }
    }

    /// Finds the places of the elements read ahead; true once names are asked for.
    fn place_ahead(&mut self, machine: &Machine, frame: &[u8], mut asking: bool) -> bool {
        let Decoder { places, reader, .. } = self;
        let Reader { ahead, found, placed, dropped, .. } = &mut **reader;
        places.find_many(ahead.iter().map(|row| row.hash), found);
        for (Row { position, hash, path, time, value }, known) in ahead.drain(..).zip(found) {
            if places.batcher.is_beyond_retention(time) {
                dropped.push((Reject::BeyondRetention, position));
                continue;
            }
            // Known names give no place while others are asked for.
            let known = known.filter(|_| !asking);
            if let Some(place) = known.and_then(|known| places.place(known, hash, time)) {
                placed.push((place, time, value));
                continue;
            }
            let path = machine.text(frame, path).unwrap_or_default();
            match places.make((path, hash), time, asking) {
                Ok(Some(place)) => placed.push((place, time, value)),
                Ok(None) => asking = true,
                Err(why) => dropped.push((why, position)),
            }
        }
        asking
    }

    /// All places of the frame are known: its rows go to their Batches, what is wrong is counted.
    fn take_in(&mut self, frame: &[u8], list: Item) {
        let Decoder { places, reader, rejects, .. } = self;
        let Reader { machine, placed, dropped, .. } = &mut **reader;
        for (place, time, value) in placed.drain(..) {
            places.append(place, time, value);
        }
        let mut items = machine.arena.items(list).enumerate();
        for (why, position) in dropped.drain(..) {
            let item = items.find(|(at, _)| *at == position as usize).map(|(_, item)| item);
            rejects.count_with(why, || sample(machine, frame, item, position));
        }
        placed.shrink_to(ELEMENTS_KEPT);
        dropped.shrink_to(ELEMENTS_KEPT);
    }
}

/// Reads `(path, (timestamp, value))`: the path's place and text, the time and the value.
#[inline]
fn element<'f>(
    machine: &'f Machine,
    frame: &'f [u8],
    item: Item,
    now_ns: i64,
) -> Result<(Item, &'f [u8], i64, f64), Reject> {
    let shape = Reject::ElementShape;
    let (path, pair) = machine.arena.pair(item).ok_or(shape)?;
    let (time, value) = machine.arena.pair(pair).ok_or(shape)?;
    let name = machine.text(frame, path).ok_or(shape)?;
    let text = |item| machine.text(frame, item).map(|text| text.trim_ascii());
    let value = match value {
        Item::Float(value) => value,
        Item::Int(value) => value as f64,
        Item::Bool(value) => f64::from(u8::from(value)),
        other => graphite::value(text(other).ok_or(Reject::BadValue)?)?,
    };
    if !value.is_finite() {
        return Err(Reject::NotFinite);
    }
    let time = match time {
        Item::Float(time) => graphite::time_of_float(time, now_ns)?,
        Item::Int(time) => graphite::time_of_integer(time, now_ns)?,
        Item::Bool(time) => graphite::time_of_integer(i64::from(time), now_ns)?,
        other => graphite::exact_time(text(other).ok_or(Reject::BadTime)?, now_ns)?,
    };
    Ok((path, name, time, value))
}

/// A dropped element for the log: its path, if it has one.
fn sample(machine: &Machine, frame: &[u8], item: Option<Item>, position: u32) -> Vec<u8> {
    let path = item.and_then(|item| machine.arena.items(item).next());
    let path = path.and_then(|path| machine.text(frame, path)).unwrap_or_default();
    let path = String::from_utf8_lossy(path.get(..200).unwrap_or(path)).into_owned();
    format!("element {position} {path}").into_bytes()
}
