//! What lies on the stack of the pickle reader: small copies, never trees.
//!
//! Lists and tuples are chains of cells in one arena and items name them by number, so memo and
//! stack hold references, nothing is copied by value, and nothing has to be freed one by one.

/// The end of a chain.
pub const NIL: u32 = u32::MAX;

/// A value, or where it is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Item {
    None,
    Bool(bool),
    Int(i64),
    /// Integers beyond 64 bits become floats, too.
    Float(f64),
    /// Text or bytes as they stand in the frame.
    Text {
        start: u32,
        len: u32,
    },
    /// Text or bytes that had escapes, in the side buffer.
    Unescaped {
        start: u32,
        len: u32,
    },
    List(u32),
    Tuple(u32),
    /// A dict or a set: nothing that an element can use.
    Opaque,
    /// An unused slot of the memo.
    Unset,
}

/// A chain of cells.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    head: u32,
    tail: u32,
    pub len: u32,
}

/// Every chain of a frame.
#[derive(Default)]
pub struct Arena {
    chains: Vec<Chain>,
    cells: Vec<(Item, u32)>,
}

impl Arena {
    /// Forgets all chains; gives memory back beyond `cells_max`.
    pub fn clear(&mut self, cells_max: usize) {
        self.chains.clear();
        self.cells.clear();
        self.chains.shrink_to(cells_max);
        self.cells.shrink_to(cells_max);
    }

    /// A new chain of these items.
    #[inline]
    pub fn chain(&mut self, items: &[Item]) -> u32 {
        let number = self.chains.len() as u32;
        self.chains.push(Chain { head: NIL, tail: NIL, len: 0 });
        self.extend(number, items);
        number
    }

    /// Appends items to a chain.
    #[inline]
    pub fn extend(&mut self, chain: u32, items: &[Item]) {
        let Some(chain) = self.chains.get_mut(chain as usize) else { return };
        for item in items {
            let cell = self.cells.len() as u32;
            match self.cells.get_mut(chain.tail as usize) {
                Some((_, next)) => *next = cell,
                None => chain.head = cell,
            }
            chain.tail = cell;
            chain.len += 1;
            self.cells.push((*item, NIL));
        }
    }

    /// The number of items of a list or tuple; `None` for other items.
    pub fn len(&self, item: Item) -> Option<u32> {
        self.chain_of(item).map(|chain| chain.len)
    }

    /// The items of a list or tuple; none of other items.
    #[inline]
    pub fn items(&self, item: Item) -> impl Iterator<Item = Item> + '_ {
        let mut at = self.chain_of(item).map_or(NIL, |chain| chain.head);
        std::iter::from_fn(move || {
            let (item, next) = *self.cells.get(at as usize)?;
            at = next;
            Some(item)
        })
    }

    /// The two items of a list or tuple of two.
    #[inline]
    pub fn pair(&self, item: Item) -> Option<(Item, Item)> {
        let chain = self.chain_of(item).filter(|chain| chain.len == 2)?;
        let (first, next) = *self.cells.get(chain.head as usize)?;
        let (second, _) = *self.cells.get(next as usize)?;
        Some((first, second))
    }

    #[inline]
    fn chain_of(&self, item: Item) -> Option<&Chain> {
        match item {
            Item::List(chain) | Item::Tuple(chain) => self.chains.get(chain as usize),
            _ => None,
        }
    }
}
