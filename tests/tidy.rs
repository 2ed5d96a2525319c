//! Checks of the source itself: layers, file heads, sizes, banned calls, dead files.
//!
//! Each rule is a sentence of `ARCHITECTURE.md` that a machine can hold. A failure lists every
//! place at fault, so one run is enough to mend them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules from the outside to the inside: each may use the ones behind it.
const LAYERS: [&str; 19] = [
    "cli", "server", "listen", "api", "kairos", "encode", "query", "influxql", "protocol", "route",
    "catalog", "shard", "codec", "profile", "model", "stats", "config", "env", "logging",
];
/// Where the runtime may be named.
const RUNTIME: [&str; 5] =
    ["src/env/real", "src/listen/", "src/server/", "src/route/mesh", "tests/"];
const LINES_MAX: usize = 1000;
const COLUMNS_MAX: usize = 100;

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The file without its tests at the end.
    fn body(&self) -> &str {
        let end = self.text.find("\n#[cfg(test)]\nmod tests").unwrap_or(self.text.len());
        &self.text[..end]
    }

    fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("tests")
            || self.path.contains("testing")
            || self.path.contains("conformance")
            || self.path.contains("/sim/")
    }

    /// Lines of code with their numbers, comments left out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.body().lines().enumerate().map(|(at, line)| (at + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn collect(dir: &Path, out: &mut Vec<Source>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, out);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            out.push(Source { path: name, text: fs::read_to_string(&path).unwrap() });
        }
    }
}

fn sources(dirs: &[&str]) -> Vec<Source> {
    let mut out = Vec::new();
    for dir in dirs.iter().map(|dir| root().join(dir)).filter(|dir| dir.is_dir()) {
        collect(&dir, &mut out);
    }
    out.sort_by(|left, right| left.path.cmp(&right.path));
    out
}

fn assert_none(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let mut faults = Vec::new();
    for source in sources(&["src"]) {
        let module = source.path.split('/').nth(1).unwrap_or("").trim_end_matches(".rs");
        let Some(here) = LAYERS.iter().position(|layer| *layer == module) else { continue };
        if source.is_test() {
            continue;
        }
        for (at, line) in source.code() {
            for used in line.split("crate::").skip(1) {
                let name: String =
                    used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let there = LAYERS.iter().position(|layer| *layer == name);
                if there.is_some_and(|there| there < here) {
                    faults.push(format!("{}:{at}: {module} uses {name}", source.path));
                }
            }
        }
    }
    assert_none("a module uses one above it", &faults);
}

#[test]
fn only_the_edges_name_the_runtime() {
    let mut faults = Vec::new();
    for source in sources(&["src"]) {
        if RUNTIME.iter().any(|edge| source.path.starts_with(edge)) {
            continue;
        }
        let named = source.code().filter(|(_, line)| line.contains("glommio"));
        faults.extend(named.map(|(at, _)| format!("{}:{at}", source.path)));
    }
    assert_none("the runtime is named outside its edges", &faults);
}

#[test]
fn every_file_opens_by_saying_what_it_is_for() {
    let mut faults = Vec::new();
    for source in sources(&["src", "tests", "benches", "perf"]) {
        let head = source.text.lines().take_while(|line| line.starts_with("//!")).count();
        if head < 1 || !source.text.starts_with("//!") {
            faults.push(source.path);
        }
    }
    assert_none("files without a head", &faults);
}

#[test]
fn files_and_lines_stay_short() {
    let mut faults = Vec::new();
    for source in sources(&["src", "tests", "benches", "perf"]) {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{}: {lines} lines", source.path));
        }
        for (at, line) in source.text.lines().enumerate() {
            // rustfmt holds the width of code; rows of tables and pictures cannot be broken.
            let comment = line.trim_start().starts_with("//");
            let drawn = line.contains('|') || line.contains('▸') || line.contains('─');
            if comment && !drawn && line.chars().count() > COLUMNS_MAX {
                faults.push(format!("{}:{}: too wide", source.path, at + 1));
            }
        }
    }
    assert_none("files over the limits", &faults);
}

#[test]
fn banned_calls_are_not_used() {
    let banned: [(&str, &[&str]); 5] = [
        (
            "Instant::now",
            &["src/env/real", "src/server/", "src/listen/", "src/profile/", "src/logging/"],
        ),
        ("SystemTime::now", &["src/env/real", "src/server/", "src/listen/", "src/logging/"]),
        ("std::thread::sleep", &["src/server/"]),
        ("println!", &["src/cli/", "src/server/", "src/main.rs"]),
        ("RandomState", &[]),
    ];
    let mut faults = Vec::new();
    for source in sources(&["src"]).into_iter().filter(|source| !source.is_test()) {
        for (call, allowed) in banned {
            if allowed.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            let is_call = |line: &str| match line.find(call) {
                // `eprintln!` is a report for a person, not output.
                Some(at) => !line[..at].ends_with('e'),
                None => false,
            };
            let used = source.code().filter(|(_, line)| is_call(line));
            faults.extend(used.map(|(at, _)| format!("{}:{at}: {call}", source.path)));
        }
    }
    assert_none("banned calls", &faults);
}

#[test]
fn nothing_is_left_for_later_in_comments() {
    let words =
        [concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK"), concat!("TO", "DO")];
    let mut faults = Vec::new();
    for source in sources(&["src", "tests", "benches", "perf"]) {
        for (at, line) in source.text.lines().enumerate() {
            let comment = line.split_once("//").map_or("", |(_, comment)| comment);
            let is_word = |word: &&str| {
                comment.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| *part == **word)
            };
            if words.iter().any(is_word) {
                faults.push(format!("{}:{}", source.path, at + 1));
            }
        }
    }
    assert_none("unfinished work in comments", &faults);
}

#[test]
fn every_unsafe_block_says_why_it_is_safe() {
    let mut faults = Vec::new();
    for source in sources(&["src"]) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            if !code.contains("unsafe {") && !code.contains("unsafe impl") {
                continue;
            }
            let before = &lines[at.saturating_sub(6)..at];
            if !before.iter().any(|line| line.contains("SAFETY:")) {
                faults.push(format!("{}:{}", source.path, at + 1));
            }
        }
    }
    assert_none("unsafe without a SAFETY comment", &faults);
}

#[test]
fn every_file_belongs_to_the_tree() {
    let all = sources(&["src"]);
    let mut declared = BTreeSet::from(["src/lib.rs".to_owned(), "src/main.rs".to_owned()]);
    for source in &all {
        let path = Path::new(&source.path);
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let parent = path.parent().unwrap();
        let dir = match stem {
            "mod" | "lib" | "main" => parent.to_owned(),
            _ => parent.join(stem),
        };
        for line in source.text.lines().map(str::trim) {
            let name = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            let name = name.trim_start_matches("pub(super) ");
            if let Some(name) = name.strip_prefix("mod ").and_then(|n| n.strip_suffix(';')) {
                declared.insert(dir.join(format!("{name}.rs")).to_str().unwrap().to_owned());
                declared.insert(dir.join(name).join("mod.rs").to_str().unwrap().to_owned());
            }
        }
    }
    let dead: Vec<String> =
        all.into_iter().map(|source| source.path).filter(|path| !declared.contains(path)).collect();
    assert_none("files that no module declares", &dead);
}
