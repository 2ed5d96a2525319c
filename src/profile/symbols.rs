//! Names of addresses: function, file and line, inlined functions included.
//!
//! In: addresses of this process. Out: lines, innermost first. The program's own debug sections
//! are read when the first name is asked for, which takes a while and some memory; both are given
//! back when the last `Symbols` is dropped. Never used on a reactor.

use super::modules::{self, Module};
use crate::model::FixedMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Users of the process-wide tables of debug sections.
static USERS: AtomicUsize = AtomicUsize::new(0);

/// A line of code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub function: String,
    /// Empty when it is not known.
    pub file: String,
    /// 0 when it is not known.
    pub line: u32,
}

/// Names that were looked up, and the modules they come from.
pub struct Symbols {
    modules: Vec<Module>,
    known: FixedMap<u64, Vec<Line>>,
}

impl Default for Symbols {
    fn default() -> Symbols {
        USERS.fetch_add(1, Ordering::Relaxed);
        Symbols { modules: modules::list(), known: FixedMap::default() }
    }
}

impl Drop for Symbols {
    fn drop(&mut self) {
        if USERS.fetch_sub(1, Ordering::Relaxed) == 1 {
            backtrace::clear_symbol_cache();
        }
    }
}

impl Symbols {
    /// What is mapped.
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// The number of the module that has an address.
    pub fn module_of(&self, address: u64) -> Option<usize> {
        self.modules.iter().position(|module| module.has(address))
    }

    /// The lines of an address: the innermost inlined function first, at least one.
    pub fn lines(&mut self, address: u64) -> Vec<Line> {
        if let Some(lines) = self.known.get(&address) {
            return lines.clone();
        }
        let mut lines = Vec::new();
        // What is asked for is taken as a return address, which lies behind its call.
        let behind = usize::try_from(address).unwrap_or(0).wrapping_add(1);
        let place = std::ptr::without_provenance_mut(behind);
        backtrace::resolve(place, |symbol| {
            let function = symbol.name().map_or(String::new(), |name| format!("{name:#}"));
            let file = symbol.filename().map_or(String::new(), |path| path.display().to_string());
            if !function.is_empty() {
                let function = full_name(&function, &file);
                lines.push(Line { function, file, line: symbol.lineno().unwrap_or(0) });
            }
        });
        if lines.is_empty() {
            lines.push(Line { function: self.stand_in(address), file: String::new(), line: 0 });
        }
        self.known.insert(address, lines.clone());
        lines
    }

    /// What stands for a name that nobody knows.
    fn stand_in(&self, address: u64) -> String {
        let module = self.module_of(address).and_then(|at| self.modules.get(at));
        let path = module.map_or("?", |module| match module.path.rsplit('/').next() {
            Some("") | None => "kernel",
            Some(name) => name,
        });
        format!("[{path} {address:#x}]")
    }
}

/// Inlined functions are named without their module: the file says which it is. Their parameters
/// are left out.
fn full_name(function: &str, file: &str) -> String {
    let end = function.find('<').filter(|at| *at > 0).unwrap_or(function.len());
    let (bare, _) = function.split_at_checked(end).unwrap_or((function, ""));
    if bare.contains("::") || function.starts_with('<') || function.starts_with('_') {
        return function.to_owned();
    }
    let Some(file) = file.strip_suffix(".rs") else { return function.to_owned() };
    let (root, path) = match file.strip_prefix(env!("CARGO_MANIFEST_DIR")) {
        Some(own) => (env!("CARGO_PKG_NAME"), own.strip_prefix("/src/").unwrap_or(own)),
        None => match file.rsplit_once("/src/") {
            Some((before, path)) => (before.rsplit('/').next().unwrap_or(before), path),
            None => return function.to_owned(),
        },
    };
    // Folders of packages end in their version.
    let versioned =
        root.rsplit_once('-').filter(|(_, end)| end.starts_with(|c: char| c.is_ascii_digit()));
    let root = versioned.map_or(root, |(name, _)| name).replace('-', "_");
    let module = path.split('/').filter(|part| !matches!(*part, "mod" | "lib" | ""));
    let module: Vec<&str> = module.collect();
    let all = [root.as_str()].into_iter().chain(module).chain([bare]);
    all.collect::<Vec<_>>().join("::")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_of_this_program_is_named() {
        let mut symbols = Symbols::default();
        let address = modules::list as fn() -> Vec<Module> as usize as u64;
        let lines = symbols.lines(address);
        assert!(lines[0].function.ends_with("modules::list"), "{lines:?}");
        assert!(lines[0].file.ends_with("modules.rs") && lines[0].line > 0, "{lines:?}");
        assert_eq!(symbols.lines(address), lines);
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/mod.rs");
        assert_eq!(full_name("{async_fn#0}<a::B>", own), "ringtail::api::{async_fn#0}");
        assert_eq!(full_name("new", "/r/simd-json-0.19.1/src/value.rs"), "simd_json::value::new");
        assert_eq!(full_name("a::b<C>", own), "a::b<C>");
        assert_eq!(full_name("malloc", "jemalloc.c"), "malloc");
        assert_eq!(symbols.lines(8)[0].function, "[? 0x8]");
    }
}
