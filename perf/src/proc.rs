//! What a process has used, read from /proc.

use std::fs;

/// Totals since the process began.
#[derive(Clone, Copy)]
pub struct Usage {
    pub cpu_seconds: f64,
    /// Bytes handed to the disk.
    pub write_bytes: u64,
    pub rss_bytes: u64,
    /// The most it ever was.
    pub peak_bytes: u64,
}

/// Reads the totals of `pid`.
pub fn read(pid: u32) -> Result<Usage, String> {
    let file = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
    };
    let stat = file("stat")?;
    // The name in brackets may hold blanks; user and system ticks are fields 14 and 15.
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let ticks: u64 = behind.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
    let line = |text: &str, name: &str| -> u64 {
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        found.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    let status = file("status")?;
    Ok(Usage {
        cpu_seconds: ticks as f64 / 100.0,
        write_bytes: line(&file("io")?, "write_bytes:"),
        rss_bytes: line(&status, "VmRSS:") * 1024,
        peak_bytes: line(&status, "VmHWM:") * 1024,
    })
}
