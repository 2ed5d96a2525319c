//! From the registers and a copy of a stack to the addresses on it, by the program's own unwind
//! tables.
//!
//! In: what a signal handler copied. Out: the interrupted address and the return addresses behind
//! it. The tables are trusted to be those of the loader; the stack is not: every read is within
//! the copy, and a frame that does not lie behind the one before ends the walk.

use super::modules::Module;
use crate::model::FixedMap;
use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, EndianSlice, NativeEndian, ParsedEhFrameHdr,
    Pointer, RegisterRule, UnwindContext, UnwindSection,
};

/// Registers that tables speak of: sixteen, and the return address.
pub const REGISTERS: usize = 17;
/// The stack pointer's number.
pub const STACK_POINTER: usize = 7;
/// The return address's number; in a copy of registers, the interrupted address.
pub const ADDRESS: usize = 16;
/// Longest stack (frames).
const FRAMES_MAX: usize = 256;
/// Remembered addresses.
const RULES_MAX: usize = 1 << 16;

type Slice = EndianSlice<'static, NativeEndian>;

/// What a signal handler saw.
pub struct Copy<'c> {
    /// By their numbers in the tables.
    pub registers: [u64; REGISTERS],
    /// Bytes of the stack from the stack pointer on.
    pub stack: &'c [u8],
}

/// How to get from a frame to the one that called it.
#[derive(Clone, Copy)]
struct Rule {
    /// The frame's end is this register plus an offset.
    base: (usize, i64),
    /// Where registers were saved, from the frame's end.
    saved: [Option<i64>; REGISTERS],
}

struct Tables {
    module: Module,
    bases: BaseAddresses,
    header: ParsedEhFrameHdr<Slice>,
    frames: EhFrame<Slice>,
}

/// The unwind tables of all modules, and rules met before.
pub struct Unwinder {
    tables: Vec<Tables>,
    context: UnwindContext<usize>,
    rules: FixedMap<u64, Option<Rule>>,
}

impl Unwinder {
    pub fn new(modules: &[Module]) -> Unwinder {
        Unwinder {
            tables: modules.iter().filter_map(Tables::of).collect(),
            context: UnwindContext::new(),
            rules: FixedMap::default(),
        }
    }

    /// The addresses, innermost first.
    pub fn walk(&mut self, copy: &Copy) -> Vec<u64> {
        let mut registers = copy.registers;
        let value = |registers: &[u64; REGISTERS], at: usize| registers.get(at).copied();
        let bottom = value(&registers, STACK_POINTER).unwrap_or(0);
        let read = |address: u64| {
            let offset = usize::try_from(address.checked_sub(bottom)?).ok()?;
            let bytes = copy.stack.get(offset..)?.first_chunk::<8>()?;
            Some(u64::from_ne_bytes(*bytes))
        };
        let mut found = vec![value(&registers, ADDRESS).unwrap_or(0)];
        while found.len() < FRAMES_MAX {
            let last = found.last().copied().unwrap_or(0);
            // A return address is behind its call, which may be the last of its function.
            let address = if found.len() == 1 { last } else { last.wrapping_sub(1) };
            let Some(rule) = self.rule(address) else { break };
            let Some(base) = value(&registers, rule.base.0) else { break };
            let end = base.wrapping_add_signed(rule.base.1);
            let before = value(&registers, STACK_POINTER).unwrap_or(0);
            let back = rule.saved.get(ADDRESS).copied().flatten();
            let back = back.and_then(|offset| read(end.wrapping_add_signed(offset)));
            let Some(back) = back.filter(|back| *back != 0 && end > before) else { break };
            for (register, saved) in registers.iter_mut().zip(rule.saved) {
                let saved = saved.and_then(|offset| read(end.wrapping_add_signed(offset)));
                *register = saved.unwrap_or(*register);
            }
            if let Some(pointer) = registers.get_mut(STACK_POINTER) {
                *pointer = end;
            }
            found.push(back);
        }
        found
    }

    fn rule(&mut self, address: u64) -> Option<Rule> {
        if let Some(rule) = self.rules.get(&address) {
            return *rule;
        }
        let tables = self.tables.iter().find(|tables| tables.module.has(address));
        let rule = tables.and_then(|tables| tables.rule(&mut self.context, address));
        if self.rules.len() >= RULES_MAX {
            self.rules.clear();
        }
        self.rules.insert(address, rule);
        rule
    }
}

impl Tables {
    fn of(module: &Module) -> Option<Tables> {
        let (address, bytes) = module.unwind_table()?;
        let bases = BaseAddresses::default().set_eh_frame_hdr(address);
        let header = EhFrameHdr::new(bytes, NativeEndian).parse(&bases, 8).ok()?;
        let Pointer::Direct(frames) = header.eh_frame_ptr() else { return None };
        let bases = bases.set_eh_frame(frames);
        let frames = EhFrame::new(module.bytes(frames)?, NativeEndian);
        Some(Tables { module: module.clone(), bases, header, frames })
    }

    fn rule(&self, context: &mut UnwindContext<usize>, address: u64) -> Option<Rule> {
        let table = self.header.table()?;
        let row = table
            .unwind_info_for_address(
                &self.frames,
                &self.bases,
                context,
                address,
                EhFrame::cie_from_offset,
            )
            .ok()?;
        let base = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => (usize::from(register.0), *offset),
            CfaRule::Expression(_) => return None,
        };
        let mut saved = [None; REGISTERS];
        for (register, rule) in row.registers() {
            if let (Some(slot), RegisterRule::Offset(offset)) =
                (saved.get_mut(usize::from(register.0)), rule)
            {
                *slot = Some(*offset);
            }
        }
        Some(Rule { base, saved })
    }
}

#[cfg(test)]
mod tests {
    use super::super::modules;
    use super::*;

    #[test]
    fn rubbish_ends_the_walk() {
        let mut unwinder = Unwinder::new(&modules::list());
        assert!(!unwinder.tables.is_empty());
        let here = modules::list as fn() -> Vec<Module> as usize as u64;
        for stack in [&[][..], &[0xff; 64], &[0; 64]] {
            let mut registers = [u64::MAX; REGISTERS];
            registers[ADDRESS] = here;
            assert!(unwinder.walk(&Copy { registers, stack }).len() <= 2);
            registers[STACK_POINTER] = 0x1000;
            let found = unwinder.walk(&Copy { registers, stack });
            assert_eq!(found[0], here);
            assert!(found.len() <= 2, "{found:x?}");
        }
    }
}
