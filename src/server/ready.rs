//! What the server prints when it is ready, for people and for scripts: one fact a line.

use crate::config::Sync;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The facts.
pub struct Report {
    /// Every listener: the name of its protocol, its address.
    pub doors: Vec<(&'static str, SocketAddr)>,
    pub cores: usize,
    pub pinned: bool,
    pub sync: Sync,
    pub sync_interval: Duration,
    pub data: PathBuf,
    /// Telnet and Graphite are turned off because they know no users.
    pub closed: bool,
    /// HTTP asks for users.
    pub users: bool,
}

impl Report {
    /// Prints it; `administered` says whether there is an administrator. A closed standard output
    /// is no reason to stop.
    pub fn print(&self, shards: u32, administered: bool) {
        let mut out = std::io::stdout().lock();
        let _ =
            out.write_all(self.text(shards, administered).as_bytes()).and_then(|()| out.flush());
    }

    fn text(&self, shards: u32, administered: bool) -> String {
        let mut lines = vec![format!("ringtail {}", env!("CARGO_PKG_VERSION"))];
        let door = |(name, address): &(&str, SocketAddr)| format!("listening  {name} {address}");
        lines.extend(self.doors.iter().map(door));
        if self.closed {
            lines.push(
                "closed     telnet closed: it knows no users (http.open-listeners)".to_owned(),
            );
        }
        let pinned = if self.pinned { "pinned" } else { "unpinned" };
        lines.push(format!("shards     {shards} on {} cores ({pinned})", self.cores));
        let durability = match self.sync {
            Sync::Always => "always (a write is on disk before it is acknowledged)".to_owned(),
            Sync::Interval => {
                let ms = self.sync_interval.as_millis();
                format!("interval (a power cut may take up to {ms} ms of acknowledged writes)")
            }
            Sync::Never => "never (a power cut may take acknowledged writes)".to_owned(),
        };
        lines.push(format!("durability {durability}"));
        lines.push(format!("data       {}", self.data.display()));
        lines.extend(self.warning(administered));
        lines.push("ready\n".to_owned());
        lines.join("\n")
    }

    /// What other machines can reach without a password.
    fn warning(&self, administered: bool) -> Option<String> {
        let asks = |name: &str| self.users && matches!(name, "http" | "https");
        let reached = |address: &SocketAddr| !address.ip().is_loopback();
        let list = |chosen: &dyn Fn(&str) -> bool| {
            let doors = self.doors.iter().filter(|(name, at)| chosen(name) && reached(at));
            doors.map(|(name, at)| format!("{name} {at}")).collect::<Vec<_>>().join(", ")
        };
        let open = list(&|name| !asks(name));
        if !open.is_empty() {
            return Some(format!(
                "warning    open to other machines without a password: {open} (http.auth-enabled)"
            ));
        }
        let early = list(&|name| asks(name));
        (!early.is_empty() && !administered).then(|| {
            format!("warning    open to everybody until there is an administrator: {early}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_has_its_line_and_open_ports_a_warning() {
        let mut report = Report {
            doors: vec![("http", "127.0.0.1:8086".parse().unwrap())],
            cores: 2,
            pinned: true,
            sync: Sync::Always,
            sync_interval: Duration::ZERO,
            data: "/data".into(),
            closed: false,
            users: false,
        };
        let text = report.text(4, false);
        assert!(
            text.contains("\nlistening  http 127.0.0.1:8086\nshards     4 on 2 cores (pinned)\n")
        );
        assert!(text.ends_with("\nready\n") && !text.contains("warning"));
        report.doors.push(("telnet", "0.0.0.0:4242".parse().unwrap()));
        let warned = report.text(4, true);
        let expected = "warning    open to other machines without a password: telnet 0.0.0.0:4242";
        assert!(warned.contains(expected), "{warned}");
        report.doors = vec![("https", "0.0.0.0:3242".parse().unwrap())];
        report.users = true;
        let early = report.text(4, false);
        assert!(early.contains("until there is an administrator: https 0.0.0.0:3242\n"), "{early}");
        assert!(!report.text(4, true).contains("warning"));
    }
}
