//! Request ids: time-based UUIDs (RFC 9562, version 1), as InfluxDB gives them.
//!
//! In: the wall clock. Out: 36 characters. The node and the clock sequence are random for each
//! core, and the time never repeats on one, so two requests never share an id.

use std::cell::Cell;
use std::fmt::Write;

/// 100 ns intervals from 1582-10-15 to 1970-01-01.
const GREGORIAN: u64 = 0x01B2_1DD2_1381_4000;

/// A core's generator.
pub struct Ids {
    node: u64,
    sequence: u16,
    last: Cell<u64>,
}

impl Ids {
    /// A generator; both numbers are random.
    pub fn new(node: u64, sequence: u64) -> Ids {
        // The multicast bit says that the node is no address of a network card.
        let node = (node & 0xFFFF_FFFF_FFFF) | 0x0100_0000_0000;
        Ids { node, sequence: (sequence as u16 & 0x3FFF) | 0x8000, last: Cell::new(0) }
    }

    /// The next id, at this wall clock time (ns).
    pub fn next(&self, now_ns: i64) -> String {
        let now = (now_ns.max(0) as u64 / 100).wrapping_add(GREGORIAN);
        let time = now.max(self.last.get().wrapping_add(1));
        self.last.set(time);
        let (low, middle) = (time as u32, (time >> 32) as u16);
        let high = ((time >> 48) as u16 & 0x0FFF) | 0x1000;
        let mut id = String::with_capacity(36);
        let (sequence, node) = (self.sequence, self.node);
        // Writing into a string cannot fail.
        let _ = write!(id, "{low:08x}-{middle:04x}-{high:04x}-{sequence:04x}-{node:012x}");
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_version_one_and_differ_at_one_instant() {
        let ids = Ids::new(0xABCD_EF01_2345_6789, 7);
        let (first, second) =
            (ids.next(1_500_000_000_000_000_000), ids.next(1_500_000_000_000_000_000));
        assert_eq!(first.len(), 36);
        assert_eq!(&first[14..15], "1");
        assert_eq!(&first[19..], "8007-ef0123456789");
        assert_ne!(first, second);
        // 2017-07-14 02:40:00 UTC.
        let time = GREGORIAN + 15_000_000_000_000_000;
        assert_eq!(first[..8], format!("{:08x}", time as u32));
    }
}
