//! What a process has used: its processor's clock, and what /proc says.

use std::fs;

/// Totals since the process began.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub cpu_seconds: f64,
    /// Bytes handed to the disk.
    pub write_bytes: u64,
    pub rss_bytes: u64,
    /// The most it ever was.
    pub peak_bytes: u64,
}

/// Reads the totals of `pid`.
///
/// # Errors
/// There is no such process, or it is another user's.
pub fn read(pid: u32) -> Result<Usage, String> {
    let file = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
    };
    let line = |text: &str, name: &str| -> u64 {
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        found.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    let status = file("status")?;
    Ok(Usage {
        cpu_seconds: cpu_seconds(pid).ok_or_else(|| format!("there is no process {pid}"))?,
        write_bytes: line(&file("io")?, "write_bytes:"),
        rss_bytes: line(&status, "VmRSS:") * 1024,
        peak_bytes: line(&status, "VmHWM:") * 1024,
    })
}

/// Processor time of all threads of `pid`, those that ended included. /proc has it in hundredths
/// of a second only, which is more than a hundred small questions take.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both pointers are to living values of the right type, which the calls fill in.
    let done = unsafe {
        libc::clock_getcpuclockid(pid, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    done.then(|| time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_uses_time_and_memory() {
        let own = std::process::id();
        let before = read(own).unwrap();
        let mut kept = Vec::new();
        while read(own).unwrap().cpu_seconds < before.cpu_seconds + 0.002 {
            kept.push(vec![1u8; 1 << 10]);
        }
        assert!(before.rss_bytes > 0 && before.peak_bytes >= before.rss_bytes);
        assert!(read(u32::MAX / 2).is_err() && cpu_seconds(u32::MAX).is_none());
    }
}
