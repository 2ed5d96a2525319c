//! What code is mapped into the process: the program and its libraries.
//!
//! In: the loader's list. Out: address ranges with their paths, and where their unwind tables lie.
//! Nothing here is ever unloaded: the program opens no library itself, and those the C library
//! opens stay.

use std::ffi::{CStr, c_int, c_void};

/// A mapped file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Module {
    /// First and last address, the latter exclusive.
    pub start: u64,
    pub end: u64,
    /// Empty for the kernel's own.
    pub path: String,
    /// The mapped pieces.
    segments: Vec<(u64, u64)>,
    /// Where `.eh_frame_hdr` lies.
    table: Option<u64>,
}

impl Module {
    /// Whether an address lies in it.
    pub fn has(&self, address: u64) -> bool {
        self.segments.iter().any(|(start, end)| (*start..*end).contains(&address))
    }

    /// The bytes from an address of this module on to the end of their mapped piece.
    pub fn bytes(&self, address: u64) -> Option<&'static [u8]> {
        let (_, end) =
            self.segments.iter().find(|(start, end)| (*start..*end).contains(&address))?;
        let len = usize::try_from(end - address).ok()?;
        // SAFETY: the piece is mapped for reading as long as the process lives (see above).
        Some(unsafe { std::slice::from_raw_parts(address as *const u8, len) })
    }

    /// The table of unwind tables, and its address.
    pub fn unwind_table(&self) -> Option<(u64, &'static [u8])> {
        let address = self.table?;
        Some((address, self.bytes(address)?))
    }
}

/// Everything mapped now, in order of address.
pub fn list() -> Vec<Module> {
    let mut all: Vec<Module> = Vec::new();
    // SAFETY: the callback gets the pointer it is given here, which lives through the call.
    unsafe { libc::dl_iterate_phdr(Some(one), (&raw mut all).cast()) };
    if let Some(program) = all.first_mut().filter(|first| first.path.is_empty()) {
        let path = std::env::current_exe().unwrap_or_default();
        program.path = path.to_string_lossy().into_owned();
    }
    all.sort_by_key(|module| module.start);
    all
}

unsafe extern "C" fn one(info: *mut libc::dl_phdr_info, _size: usize, out: *mut c_void) -> c_int {
    // SAFETY: the loader hands over a filled structure whose headers and name live through the
    // call; `out` is the list of `list`.
    let (base, headers, name, out) = unsafe {
        let info = &*info;
        let headers: &[libc::Elf64_Phdr] = match info.dlpi_phdr.is_null() {
            true => &[],
            false => std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)),
        };
        let name = match info.dlpi_name.is_null() {
            true => String::new(),
            false => CStr::from_ptr(info.dlpi_name).to_string_lossy().into_owned(),
        };
        (info.dlpi_addr, headers, name, &mut *out.cast::<Vec<Module>>())
    };
    let readable = |header: &&libc::Elf64_Phdr| {
        header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_R != 0
    };
    let place = |header: &libc::Elf64_Phdr| base.wrapping_add(header.p_vaddr);
    let segments: Vec<(u64, u64)> = headers
        .iter()
        .filter(readable)
        .map(|header| (place(header), place(header).wrapping_add(header.p_memsz)))
        .collect();
    let start = segments.iter().map(|(start, _)| *start).min();
    let end = segments.iter().map(|(_, end)| *end).max();
    if let (Some(start), Some(end)) = (start, end) {
        let table = headers.iter().find(|header| header.p_type == libc::PT_GNU_EH_FRAME);
        let table = table.map(place);
        out.push(Module { start, end, path: name, segments, table });
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_and_its_functions_are_found() {
        let here = list as fn() -> Vec<Module> as usize as u64;
        let all = list();
        let module = all.iter().find(|module| module.has(here)).unwrap();
        assert!(module.path.contains("ringtail"), "{}", module.path);
        assert!(module.unwind_table().is_some_and(|(_, bytes)| bytes.first() == Some(&1)));
        assert!(module.bytes(0).is_none());
    }
}
