//! The threads of the process and their names, from `/proc`.

use super::{Place, Profile, Sample};
use std::collections::BTreeMap;

/// Every thread's number and name, those of the kernel's own rings left out.
pub fn list() -> Vec<(i32, String)> {
    let Ok(entries) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let one = |entry: std::fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        // It may have ended meanwhile.
        let name = std::fs::read_to_string(entry.path().join("comm")).ok()?;
        Some((number, name.trim().to_owned()))
    };
    let all = entries.flatten().filter_map(one);
    all.filter(|(_, name)| !name.starts_with("iou-")).collect()
}

/// How many threads there are, by name.
pub fn profile() -> Profile {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for (_, name) in list() {
        *counts.entry(name).or_default() += 1;
    }
    let one = |(name, count)| Sample {
        stack: vec![Place::name(name)],
        values: vec![count],
        thread: None,
    };
    Profile::counting("threadcreate", counts.into_iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_thread_is_among_them() {
        // SAFETY: the call asks nothing.
        let here = unsafe { libc::gettid() };
        assert!(list().iter().any(|(number, _)| *number == here));
        assert!(profile().total() >= 1);
    }
}
