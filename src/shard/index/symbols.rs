//! Interned strings: measurement names, tag keys and tag values, each held once.
//!
//! A symbol is the place of its string in the arena (a length, then the bytes), so reading one is a
//! single access; two symbols are equal iff their strings are. Strings stay until the index is made
//! anew. Symbol 0 is the empty string, which is also the value of a tag that a series lacks.

use super::arena::Arena;
use super::table::Table;
use super::varint;
use xxhash_rust::xxh3::xxh3_64;

/// An interned string of one `Index`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Symbol(pub(super) u32);

impl Symbol {
    /// The empty string.
    pub const EMPTY: Symbol = Symbol(0);
}

/// See the module.
pub(super) struct Symbols {
    arena: Arena<u8, 20>,
    table: Table,
    scratch: Vec<u8>,
}

impl Default for Symbols {
    fn default() -> Symbols {
        let mut arena = Arena::default();
        arena.push(&[&[0]]);
        Symbols { arena, table: Table::default(), scratch: Vec::new() }
    }
}

impl Symbols {
    /// The string of a symbol; empty for one of another index.
    pub(super) fn text(&self, symbol: Symbol) -> &[u8] {
        varint::read_text(&mut self.arena.at(symbol.0)).unwrap_or(&[])
    }

    /// Finds or adds a string; `None` when 4 GiB are full.
    pub(super) fn intern(&mut self, text: &[u8]) -> Option<Symbol> {
        if text.is_empty() {
            return Some(Symbol::EMPTY);
        }
        let hash = xxh3_64(text) as u32;
        if let Some(at) = self.table.find(hash, |at| self.text(Symbol(at)) == text) {
            return Some(Symbol(at));
        }
        self.scratch.clear();
        varint::write(&mut self.scratch, text.len() as u32);
        let at = self.arena.push(&[&self.scratch, text]).filter(|at| *at != u32::MAX)?;
        self.table.insert(hash, at);
        Some(Symbol(at))
    }

    /// Bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.arena.memory_bytes() + self.table.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_are_one_symbol() {
        let mut symbols = Symbols::default();
        let long = vec![b'x'; 65_535];
        let first = symbols.intern(b"host").unwrap();
        let second = symbols.intern(&long).unwrap();
        assert_eq!(symbols.intern(b""), Some(Symbol::EMPTY));
        assert_eq!(symbols.intern(b"host"), Some(first));
        assert_eq!(symbols.text(first), b"host");
        assert_eq!(symbols.text(second), long);
        assert_eq!(symbols.text(Symbol::EMPTY), b"");
    }
}
