//! Every name that a shard's folder holds.
//!
//! ```text
//! shard-<s>/manifest-<n>        which files live, which log records they hold      (`manifest`)
//! shard-<s>/<id>.segment        sorted column files                                (`segment`)
//! shard-<s>/<id>.index          series defined since the file before               (`index_file`)
//! shard-<s>/log/…               commits not yet in a segment                       (`log`)
//! shard-<s>/quarantine/…        files that nothing names, kept for a person to see (`open`)
//! ```
//! `<id>` is 16 hexadecimal digits, one sequence for segments and indexes; `*.tmp` is never live.

use crate::model::ShardId;
use std::path::{Path, PathBuf};

/// The folder of a shard inside the store's epoch folder.
pub fn shard_dir(store: &Path, shard: ShardId) -> PathBuf {
    store.join(format!("shard-{:04}", shard.0))
}

/// The folder of a shard's log files.
pub fn log_dir(shard: &Path) -> PathBuf {
    shard.join("log")
}

/// Where files go that nothing names.
pub fn quarantine_dir(shard: &Path) -> PathBuf {
    shard.join("quarantine")
}

/// A segment file.
pub fn segment(shard: &Path, id: u64) -> PathBuf {
    shard.join(format!("{id:016x}.segment"))
}

/// An index file.
pub fn index(shard: &Path, id: u64) -> PathBuf {
    shard.join(format!("{id:016x}.index"))
}

/// A segment or index file while it is written.
pub fn temporary(shard: &Path, id: u64) -> PathBuf {
    shard.join(format!("{id:016x}.tmp"))
}

/// What a name in a shard's folder is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Segment(u64),
    Index(u64),
    /// The manifest's own files, the log's folder, the quarantine.
    Own,
    /// Left behind by a write that never finished.
    Temporary,
    Unknown,
}

/// Tells what a name is.
pub fn kind_of(name: &str) -> Kind {
    let id = |stem: &str| (stem.len() == 16).then(|| u64::from_str_radix(stem, 16).ok()).flatten();
    if let Some(id) = name.strip_suffix(".segment").and_then(id) {
        return Kind::Segment(id);
    }
    if let Some(id) = name.strip_suffix(".index").and_then(id) {
        return Kind::Index(id);
    }
    match name {
        "log" | "quarantine" => Kind::Own,
        name if name.starts_with("manifest-") => Kind::Own,
        name if name.ends_with(".tmp") => Kind::Temporary,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_what_they_are() {
        let dir = Path::new("/d");
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(kind_of(&name(segment(dir, 0x1f))), Kind::Segment(0x1f));
        assert_eq!(kind_of(&name(index(dir, 7))), Kind::Index(7));
        assert_eq!(kind_of("manifest-000001"), Kind::Own);
        assert_eq!(kind_of(&name(temporary(dir, 7))), Kind::Temporary);
        assert_eq!(kind_of("1f.segment"), Kind::Unknown);
        assert_eq!(kind_of("lost+found"), Kind::Unknown);
    }
}
