//! What the machine offers and what each part gets of it: processors, memory, descriptors.

use super::ServeError;
use crate::config::{Config, Cores, Sync};
use crate::shard::{self, log};
use std::fs;

/// Bytes of unflushed rows of a shard: at least, at most.
const HEAD_MIN: u64 = 16 << 20;
const HEAD_MAX: u64 = 256 << 20;
/// Free disk space below which writes are refused, at least.
const FREE_MIN: u64 = 1 << 30;
/// Smallest block cache of a shard.
const CACHE_MIN: u64 = 1 << 20;

/// Where the executors run: a processor each, or `None` for one that wanders.
pub fn processors(cores: &Cores) -> Result<Vec<Option<usize>>, ServeError> {
    let allowed = allowed_processors();
    match cores {
        Cores::All => Ok(allowed.into_iter().map(Some).collect()),
        Cores::Count(count) if *count <= allowed.len() => {
            Ok(allowed.into_iter().take(*count).map(Some).collect())
        }
        Cores::Count(count) => Ok(vec![None; *count]),
        Cores::List(list) => match list.iter().find(|cpu| !allowed.contains(cpu)) {
            Some(cpu) => {
                Err(ServeError::Config(format!("cores: this process may not run on CPU {cpu}")))
            }
            None => Ok(list.iter().copied().map(Some).collect()),
        },
    }
}

/// CPUs this process may run on, at least one.
fn allowed_processors() -> Vec<usize> {
    // SAFETY: the set is plain bits, for which zero is valid, and the call fills it in.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let size = size_of::<libc::cpu_set_t>();
        if libc::sched_getaffinity(0, size, &raw mut set) != 0 {
            return vec![0];
        }
        set
    };
    // SAFETY: the numbers are below the size of the set.
    let is_set = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
    let found: Vec<usize> = (0..libc::CPU_SETSIZE as usize).filter(is_set).collect();
    if found.is_empty() { vec![0] } else { found }
}

/// Lets the process open as many files as the system permits.
pub fn raise_descriptors() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the calls read and fill in the structure that they are given.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            // Staying with the lower limit is no reason not to start.
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Memory this process may use: the machine's, or its control group's if that is less (bytes).
pub fn memory() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let total = total.map_or(1 << 30, |kib| kib.saturating_mul(1024));
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").unwrap_or_default();
    group.trim().parse::<u64>().map_or(total, |limit| limit.min(total))
}

/// Limits of each of `shards` shards.
pub fn shard_options(config: &Config, shards: u32, memory: u64) -> shard::Options {
    let shards = u64::from(shards).max(1);
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let head = match config.head_max_size.0 {
        0 => (memory / 8 / shards).clamp(HEAD_MIN, HEAD_MAX),
        set => set,
    };
    let cache = match config.cache_size.0 {
        0 => memory / 8,
        set => set,
    };
    // A file is whole blocks.
    let file_bytes = config.log_file_size.0.clamp(1 << 20, 1 << 30) & !4095;
    let defaults = log::Options::default();
    let log = log::Options {
        file_bytes,
        first_file_bytes: defaults.first_file_bytes.min(file_bytes),
        sync: match config.log_sync {
            Sync::Always => log::SyncPolicy::Always,
            Sync::Interval => log::SyncPolicy::Interval(config.log_sync_interval),
            Sync::Never => log::SyncPolicy::Never,
        },
        accept_loss: config.accept_log_loss,
        ..defaults
    };
    shard::Options {
        log,
        head_bytes_max: bytes(head),
        head_age_max: config.head_max_age,
        log_bytes_max: config.log_max_size.0,
        compact_idle: config.compact_idle,
        cache_bytes: bytes((cache / shards).max(CACHE_MIN)),
        free_bytes_min: FREE_MIN.max(head.saturating_mul(2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    #[test]
    fn more_cores_than_processors_run_unpinned() {
        let many = processors(&Cores::Count(500)).unwrap();
        assert!(many.len() == 500 && many.iter().all(Option::is_none));
        let one = processors(&Cores::Count(1)).unwrap();
        assert!(one.len() == 1 && one[0].is_some());
        assert!(processors(&Cores::List(vec![4000])).is_err());
    }

    #[test]
    fn memory_is_shared_out_within_bounds() {
        let config = Layers::default().finish().unwrap();
        let options = shard_options(&config, 2, 16 << 30);
        assert_eq!(options.head_bytes_max, 256 << 20);
        assert_eq!(options.cache_bytes, 1 << 30);
        let options = shard_options(&config, 64, 1 << 30);
        assert_eq!(options.head_bytes_max, 16 << 20);
        assert_eq!(options.free_bytes_min, 1 << 30);
        assert!(memory() > 0);
    }
}
