//! A reader of pickles that can do nothing but read: lists, tuples, text, bytes and numbers.
//!
//! In: one frame. Out: the object it describes, as items of an arena, or why it is refused. No
//! opcode imports or calls anything; all that could is refused by name. There is no recursion, and
//! every length is checked against what is left before anything is made. Memory is in proportion
//! to the frame, at most some forty bytes a byte, and used again for the next one.

use super::item::{Arena, Item};
use super::number;
use super::opcode;
use super::text;
use crate::model::FixedMap;

/// Items kept for the next frame, of each list.
const KEPT_MAX: usize = 1 << 16;
/// A memo slot so far behind those in use is kept apart.
const MEMO_GAP: usize = 1024;

/// Why a frame is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The opcode at fault; 0 when the frame ended without one.
    pub opcode: u8,
    /// Where it stands in the frame.
    pub at: usize,
    pub why: Trouble,
}

/// What is wrong with an opcode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// It would import or call.
    Forbidden,
    /// The frame is no pickle; what is missing or wrong.
    Malformed(&'static str),
}

impl From<&'static str> for Trouble {
    fn from(what: &'static str) -> Trouble {
        Trouble::Malformed(what)
    }
}

impl Refusal {
    /// The refusal in words, with the opcode's name.
    pub fn text(&self) -> String {
        let name = opcode::name(self.opcode);
        match self.why {
            Trouble::Forbidden => format!("opcode {name} at byte {}", self.at),
            Trouble::Malformed(what) => format!("{what}: opcode {name} at byte {}", self.at),
        }
    }
}

/// What is left of a frame.
struct Cursor<'f> {
    frame: &'f [u8],
    at: usize,
}

impl<'f> Cursor<'f> {
    #[inline]
    fn byte(&mut self) -> Result<u8, Trouble> {
        let byte = self.frame.get(self.at).copied().ok_or("cut off")?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Trouble> {
        let rest = self.frame.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        self.at += N;
        rest.copied().ok_or(Trouble::Malformed("cut off"))
    }

    /// The next `len` bytes.
    #[inline]
    fn take(&mut self, len: u64) -> Result<&'f [u8], Trouble> {
        let len = usize::try_from(len).map_err(|_| "a length beyond the frame")?;
        let end = self.at.checked_add(len).ok_or("a length beyond the frame")?;
        let bytes = self.frame.get(self.at..end).ok_or("a length beyond the frame")?;
        self.at = end;
        Ok(bytes)
    }

    /// The text up to the next line end.
    fn line(&mut self) -> Result<&'f [u8], Trouble> {
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let len = memchr::memchr(b'\n', rest).ok_or("a line without its end")?;
        self.at += len + 1;
        rest.get(..len).ok_or(Trouble::Malformed("cut off"))
    }
}

/// The reader; one serves a core, frame by frame.
#[derive(Default)]
pub struct Machine {
    stack: Vec<Item>,
    /// Heights of the stack at the marks.
    marks: Vec<u32>,
    pub arena: Arena,
    memo: Vec<Item>,
    /// Slots far beyond those in use.
    memo_apart: FixedMap<u32, Item>,
    memo_len: u32,
    /// Text that had escapes.
    side: Vec<u8>,
}

impl Machine {
    /// Reads a frame; gives the object on top when it stops. What follows is not looked at.
    pub fn load(&mut self, frame: &[u8]) -> Result<Item, Refusal> {
        self.clear();
        let mut cursor = Cursor { frame, at: 0 };
        loop {
            let at = cursor.at;
            let code = frame.get(at).copied().unwrap_or(0);
            let refusal = |why| Refusal { opcode: code, at, why };
            if at >= frame.len() {
                return Err(refusal("no STOP".into()));
            }
            cursor.at += 1;
            if code == opcode::STOP {
                return self.top().map_err(refusal);
            }
            self.step(code, &mut cursor).map_err(refusal)?;
        }
    }

    /// The bytes of a text.
    #[inline]
    pub fn text<'t>(&'t self, frame: &'t [u8], item: Item) -> Option<&'t [u8]> {
        let (from, start, len) = match item {
            Item::Text { start, len } => (frame, start, len),
            Item::Unescaped { start, len } => (self.side.as_slice(), start, len),
            _ => return None,
        };
        from.get(start as usize..start as usize + len as usize)
    }

    fn clear(&mut self) {
        self.arena.clear(KEPT_MAX);
        for list in [&mut self.stack, &mut self.memo] {
            list.clear();
            list.shrink_to(KEPT_MAX);
        }
        self.marks.clear();
        self.marks.shrink_to(KEPT_MAX);
        self.side.clear();
        self.side.shrink_to(KEPT_MAX);
        if !self.memo_apart.is_empty() {
            self.memo_apart = FixedMap::default();
        }
        self.memo_len = 0;
    }

    /// The opcodes that senders use for every point.
    #[inline]
    fn step(&mut self, code: u8, cursor: &mut Cursor<'_>) -> Result<(), Trouble> {
        let item = match code {
            b'X' => {
                let len = u64::from(u32::from_le_bytes(cursor.array()?));
                plain(cursor, len)?
            }
            b'U' | b'C' | 0x8c => {
                let len = u64::from(cursor.byte()?);
                plain(cursor, len)?
            }
            b'G' => Item::Float(f64::from_be_bytes(cursor.array()?)),
            b'J' => Item::Int(i64::from(i32::from_le_bytes(cursor.array()?))),
            b'K' => Item::Int(i64::from(cursor.byte()?)),
            b'M' => Item::Int(i64::from(u16::from_le_bytes(cursor.array()?))),
            0x86 => return self.tuple(2),
            b'q' => {
                let slot = u32::from(cursor.byte()?);
                return self.put(slot);
            }
            0x94 => return self.put(self.memo_len),
            b'h' => self.get(u32::from(cursor.byte()?))?,
            b'a' => {
                let item = self.pop()?;
                return self.append(&[item]);
            }
            b'e' => return self.appends(),
            b'(' => {
                self.marks.push(self.stack.len() as u32);
                return Ok(());
            }
            _ => return self.rare_step(code, cursor),
        };
        self.stack.push(item);
        Ok(())
    }

    fn rare_step(&mut self, code: u8, cursor: &mut Cursor<'_>) -> Result<(), Trouble> {
        let item = match code {
            b'N' => Item::None,
            0x88 => Item::Bool(true),
            0x89 => Item::Bool(false),
            b'I' => number::int_line(cursor.line()?)?,
            b'L' => number::long_line(cursor.line()?)?,
            b'F' => number::float_line(cursor.line()?)?,
            0x8a => {
                let len = u64::from(cursor.byte()?);
                number::long(cursor.take(len)?)
            }
            0x8b => {
                let len = i32::from_le_bytes(cursor.array()?);
                number::long(cursor.take(signed_len(len)?)?)
            }
            b'T' => {
                let len = signed_len(i32::from_le_bytes(cursor.array()?))?;
                plain(cursor, len)?
            }
            b'B' => {
                let len = u64::from(u32::from_le_bytes(cursor.array()?));
                plain(cursor, len)?
            }
            0x8d | 0x8e => {
                let len = u64::from_le_bytes(cursor.array()?);
                plain(cursor, len)?
            }
            b'S' => self.unescaped(cursor.line()?, text::string_line)?,
            b'V' => self.unescaped(cursor.line()?, text::unicode_line)?,
            b']' => Item::List(self.arena.chain(&[])),
            b')' => Item::Tuple(self.arena.chain(&[])),
            b'}' | 0x8f => Item::Opaque,
            b'2' => self.top()?,
            b'g' => self.get(number::slot_line(cursor.line()?)?)?,
            b'j' => self.get(u32::from_le_bytes(cursor.array()?))?,
            _ => return self.other_step(code, cursor),
        };
        self.stack.push(item);
        Ok(())
    }

    fn other_step(&mut self, code: u8, cursor: &mut Cursor<'_>) -> Result<(), Trouble> {
        match code {
            0x80 => {
                let version = cursor.byte()?;
                if version <= 5 { Ok(()) } else { Err("a protocol above 5".into()) }
            }
            0x95 => {
                let len = u64::from_le_bytes(cursor.array()?);
                let left = cursor.frame.len().saturating_sub(cursor.at) as u64;
                if len <= left { Ok(()) } else { Err("a frame beyond the message".into()) }
            }
            b'p' => self.put(number::slot_line(cursor.line()?)?),
            b'r' => self.put(u32::from_le_bytes(cursor.array()?)),
            b'0' => self.pop_or_mark(),
            b'1' => self.take_mark().map(|start| self.stack.truncate(start)),
            0x85 => self.tuple(1),
            0x87 => self.tuple(3),
            b't' | b'l' => {
                let start = self.take_mark()?;
                let chain = self.arena.chain(self.stack.get(start..).unwrap_or_default());
                let item = if code == b't' { Item::Tuple(chain) } else { Item::List(chain) };
                self.replace(start, item)
            }
            b'd' | 0x91 => {
                let start = self.take_mark()?;
                self.replace(start, Item::Opaque)
            }
            b's' => {
                self.pop()?;
                self.pop()?;
                self.top().map(|_| ())
            }
            b'u' | 0x90 => {
                let start = self.take_mark()?;
                self.stack.truncate(start);
                self.top().map(|_| ())
            }
            _ if opcode::is_forbidden(code) => Err(Trouble::Forbidden),
            _ => Err("unknown".into()),
        }
    }

    /// Items above the last mark; those below it belong to an outer object.
    #[inline]
    fn height(&self) -> usize {
        let fence = self.marks.last().map_or(0, |mark| *mark as usize);
        self.stack.len().saturating_sub(fence)
    }

    #[inline]
    fn top(&self) -> Result<Item, Trouble> {
        let top = self.stack.last().copied().filter(|_| self.height() > 0);
        top.ok_or(Trouble::Malformed("nothing on the stack"))
    }

    #[inline]
    fn pop(&mut self) -> Result<Item, Trouble> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_or_mark(&mut self) -> Result<(), Trouble> {
        match self.pop() {
            Ok(_) => Ok(()),
            Err(trouble) => self.marks.pop().map(|_| ()).ok_or(trouble),
        }
    }

    #[inline]
    fn take_mark(&mut self) -> Result<usize, Trouble> {
        self.marks.pop().map(|mark| mark as usize).ok_or(Trouble::Malformed("no mark"))
    }

    /// Puts an item in the place of all above a height.
    fn replace(&mut self, start: usize, item: Item) -> Result<(), Trouble> {
        self.stack.truncate(start);
        self.stack.push(item);
        Ok(())
    }

    #[inline]
    fn tuple(&mut self, len: usize) -> Result<(), Trouble> {
        if self.height() < len {
            return Err("nothing on the stack".into());
        }
        let start = self.stack.len() - len;
        let chain = self.arena.chain(self.stack.get(start..).unwrap_or_default());
        self.replace(start, Item::Tuple(chain))
    }

    fn append(&mut self, items: &[Item]) -> Result<(), Trouble> {
        let Item::List(chain) = self.top()? else { return Err("appends to no list".into()) };
        self.arena.extend(chain, items);
        Ok(())
    }

    fn appends(&mut self) -> Result<(), Trouble> {
        let start = self.take_mark()?;
        let below = start.checked_sub(1).filter(|below| {
            let fence = self.marks.last().map_or(0, |mark| *mark as usize);
            *below >= fence
        });
        let Some(Item::List(chain)) = below.and_then(|below| self.stack.get(below).copied()) else {
            return Err("appends to no list".into());
        };
        self.arena.extend(chain, self.stack.get(start..).unwrap_or_default());
        self.stack.truncate(start);
        Ok(())
    }

    #[inline]
    fn put(&mut self, slot: u32) -> Result<(), Trouble> {
        let item = self.top()?;
        let at = slot as usize;
        if at >= self.memo.len() + MEMO_GAP {
            self.memo_len += u32::from(self.memo_apart.insert(slot, item).is_none());
            return Ok(());
        }
        if at >= self.memo.len() {
            self.memo.resize(at + 1, Item::Unset);
        }
        if let Some(there) = self.memo.get_mut(at) {
            self.memo_len += u32::from(*there == Item::Unset);
            *there = item;
        }
        Ok(())
    }

    #[inline]
    fn get(&self, slot: u32) -> Result<Item, Trouble> {
        let found = self.memo.get(slot as usize).copied().filter(|item| *item != Item::Unset);
        let found = found.or_else(|| self.memo_apart.get(&slot).copied());
        found.ok_or(Trouble::Malformed("an empty slot of the memo"))
    }

    /// A line's text with its escapes resolved, in the side buffer.
    fn unescaped(
        &mut self,
        line: &[u8],
        read: impl Fn(&[u8], &mut Vec<u8>) -> Result<(), &'static str>,
    ) -> Result<Item, Trouble> {
        let start = self.side.len();
        read(line, &mut self.side)?;
        Ok(Item::Unescaped { start: start as u32, len: (self.side.len() - start) as u32 })
    }
}

/// Text or bytes of a length, as they stand.
#[inline]
fn plain(cursor: &mut Cursor<'_>, len: u64) -> Result<Item, Trouble> {
    let start = cursor.at as u32;
    let text = cursor.take(len)?;
    Ok(Item::Text { start, len: text.len() as u32 })
}

fn signed_len(len: i32) -> Result<u64, Trouble> {
    u64::try_from(len).map_err(|_| Trouble::Malformed("a negative length"))
}
