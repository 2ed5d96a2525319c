//! Samples of what was refused: the newest of each door and reason, written by one core, readable
//! by all.
//!
//! In: a refused line, who sent it, when. Out: the same as text. A slot is plain atomic words
//! behind a version that is odd while they are being written; a reader that finds the version
//! changed looks again, so nobody waits for anybody.

use super::{REASONS_MAX, StreamDoor};
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Bytes kept of the peer's address and of the line.
const PEER_BYTES: usize = 64;
const LINE_BYTES: usize = 256;
const WORDS: usize = (PEER_BYTES + LINE_BYTES) / 8;
/// How often a reader looks at a slot that keeps changing.
const TRIES: usize = 8;

#[derive(Debug)]
struct Slot {
    /// 0 = nothing was written yet.
    version: AtomicU64,
    /// When (wall clock, ns).
    at_ns: AtomicU64,
    /// Bytes of the peer, then of the line in the upper half.
    lens: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl Default for Slot {
    fn default() -> Slot {
        Slot {
            version: AtomicU64::new(0),
            at_ns: AtomicU64::new(0),
            lens: AtomicU64::new(0),
            words: [const { AtomicU64::new(0) }; WORDS],
        }
    }
}

/// A refused line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// Wall clock (ns).
    pub at_ns: i64,
    pub peer: String,
    pub line: Vec<u8>,
}

/// The newest samples of one core.
#[derive(Debug)]
pub struct Samples(Box<[Slot]>);

impl Default for Samples {
    fn default() -> Samples {
        let slots = StreamDoor::ALL.len() * REASONS_MAX;
        Samples((0..slots).map(|_| Slot::default()).collect())
    }
}

impl Samples {
    fn slot(&self, door: StreamDoor, reason: usize) -> Option<&Slot> {
        self.0.get(door as usize * REASONS_MAX + reason.min(REASONS_MAX - 1))
    }

    /// Replaces a sample; only tasks of the owning core may. Peer and line are cut to what fits.
    pub fn put(&self, door: StreamDoor, reason: usize, at_ns: i64, peer: &str, line: &[u8]) {
        let Some(slot) = self.slot(door, reason) else { return };
        let peer = peer.as_bytes().get(..PEER_BYTES).unwrap_or(peer.as_bytes());
        let line = line.get(..LINE_BYTES).unwrap_or(line);
        let mut bytes = [0; WORDS * 8];
        bytes.iter_mut().zip(peer).for_each(|(into, byte)| *into = *byte);
        bytes.iter_mut().skip(PEER_BYTES).zip(line).for_each(|(into, byte)| *into = *byte);
        let version = slot.version.load(Ordering::Relaxed);
        slot.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        slot.at_ns.store(at_ns as u64, Ordering::Relaxed);
        slot.lens.store(peer.len() as u64 | (line.len() as u64) << 32, Ordering::Relaxed);
        for (word, chunk) in slot.words.iter().zip(bytes.as_chunks::<8>().0) {
            word.store(u64::from_le_bytes(*chunk), Ordering::Relaxed);
        }
        slot.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// The newest sample of a door and reason.
    pub fn get(&self, door: StreamDoor, reason: usize) -> Option<Sample> {
        let slot = self.slot(door, reason)?;
        for _ in 0..TRIES {
            let version = slot.version.load(Ordering::Acquire);
            if version == 0 {
                return None;
            }
            let at_ns = slot.at_ns.load(Ordering::Relaxed) as i64;
            let lens = slot.lens.load(Ordering::Relaxed);
            let mut bytes = Vec::with_capacity(WORDS * 8);
            for word in &slot.words {
                bytes.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
            }
            fence(Ordering::Acquire);
            if version.is_multiple_of(2) && slot.version.load(Ordering::Relaxed) == version {
                let (peer, line) = (lens as u32 as usize, (lens >> 32) as usize);
                let peer = bytes.get(..peer).unwrap_or_default();
                let line = bytes.get(PEER_BYTES..PEER_BYTES + line).unwrap_or_default();
                let peer = String::from_utf8_lossy(peer).into_owned();
                return Some(Sample { at_ns, peer, line: line.to_vec() });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn the_newest_of_each_door_and_reason_is_kept() {
        let samples = Samples::default();
        assert_eq!(samples.get(StreamDoor::Telnet, 3), None);
        samples.put(StreamDoor::Telnet, 3, 5, "a:1", b"first");
        samples.put(StreamDoor::Telnet, 3, 6, &"p".repeat(100), &[b'x'; 1000]);
        samples.put(StreamDoor::Pickle, 3, 7, "", b"");
        let found = samples.get(StreamDoor::Telnet, 3).unwrap();
        assert_eq!((found.at_ns, found.peer.len(), found.line.len()), (6, 64, 256));
        let empty = Sample { at_ns: 7, peer: String::new(), line: Vec::new() };
        assert_eq!(samples.get(StreamDoor::Pickle, 3), Some(empty));
        assert_eq!(samples.get(StreamDoor::Graphite, 3), None);
    }

    #[test]
    fn a_reader_never_sees_half_of_two_samples() {
        let (samples, stop) = (Arc::new(Samples::default()), Arc::new(AtomicBool::new(false)));
        let (writer, ended) = (samples.clone(), stop.clone());
        let writing = std::thread::spawn(move || {
            let mut byte = 0u8;
            while !ended.load(Ordering::Relaxed) {
                byte = byte.wrapping_add(1);
                let len = usize::from(byte);
                writer.put(StreamDoor::Graphite, 0, i64::from(byte), "p", &vec![byte; len]);
            }
        });
        let mut seen = 0;
        while seen < 1000 {
            if let Some(sample) = samples.get(StreamDoor::Graphite, 0) {
                assert_eq!(sample.line.len() as i64, sample.at_ns);
                assert!(sample.line.iter().all(|byte| i64::from(*byte) == sample.at_ns));
                seen += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
        writing.join().unwrap();
    }
}
