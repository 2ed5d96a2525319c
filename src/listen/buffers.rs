//! Read buffers of one core, lent to connections while they have something to read.
//!
//! A connection that waits for bytes holds no buffer, so thousands of quiet ones cost little; only
//! one in the middle of a large frame keeps its own, and the sum of those has a limit. Buffers keep
//! their length and old bytes: nothing is zeroed twice.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Buffers kept.
const SPARES_MAX: usize = 16;
/// A larger buffer is given back to the allocator (bytes).
const SPARE_BYTES_MAX: usize = 4 << 20;

/// Bytes that connections may keep in the middle of large frames, together.
const KEPT_BYTES_MAX: usize = 256 << 20;

/// The buffers. Cloning gives another handle.
#[derive(Clone, Default)]
pub struct Buffers {
    spares: Rc<RefCell<Vec<Vec<u8>>>>,
    kept: Rc<Cell<usize>>,
}

/// What one connection keeps, as counted.
#[derive(Default)]
pub struct Kept {
    all: Rc<Cell<usize>>,
    bytes: usize,
}

impl Kept {
    /// Says how much the connection keeps now; false when all of them keep too much.
    pub fn set(&mut self, bytes: usize) -> bool {
        let all = self.all.get() - self.bytes + bytes;
        self.bytes = bytes;
        self.all.set(all);
        bytes == 0 || all <= KEPT_BYTES_MAX
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Buffers {
    /// A buffer of at least this length, its bytes of no meaning.
    pub fn take(&self, len: usize) -> Vec<u8> {
        let mut buffer = self.spares.borrow_mut().pop().unwrap_or_default();
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        buffer
    }

    /// The account of one more connection.
    pub fn account(&self) -> Kept {
        Kept { all: self.kept.clone(), bytes: 0 }
    }

    /// Takes a buffer back.
    pub fn give(&self, buffer: Vec<u8>) {
        let mut spares = self.spares.borrow_mut();
        if spares.len() < SPARES_MAX && buffer.capacity() <= SPARE_BYTES_MAX {
            spares.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_long_enough() {
        let buffers = Buffers::default();
        let mut first = buffers.take(10);
        first[9] = 7;
        buffers.give(first);
        assert_eq!(buffers.take(5), [0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        buffers.give(vec![0; SPARE_BYTES_MAX + 1]);
        assert_eq!(buffers.take(3), [0; 3]);
    }

    #[test]
    fn what_is_kept_has_a_limit_for_all_together() {
        let buffers = Buffers::default();
        let (mut first, mut second) = (buffers.account(), buffers.account());
        assert!(first.set(KEPT_BYTES_MAX) && second.set(0) && !second.set(1));
        assert!(first.set(KEPT_BYTES_MAX - 1));
        drop(first);
        assert!(second.set(KEPT_BYTES_MAX));
        drop(second);
        assert_eq!(buffers.kept.get(), 0);
    }
}
