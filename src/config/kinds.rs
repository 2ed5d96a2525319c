//! The kinds of values an option can have, and how each is written: sizes and durations in
//! InfluxDB's spelling (`25m`, `1h30m`), address lists, CPU lists.

use crate::logging::{Format, Levels};
use std::fmt;
use std::io::IsTerminal;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// A value an option can have: read from text, written back as text.
pub trait Kind: Sized {
    /// Reads the text; the error says in a few words what is expected.
    fn read(text: &str) -> Result<Self, String>;
    /// Writes the value so that `read` takes it again.
    fn write(&self) -> String;
    /// Whether TOML writes it without quotes.
    const BARE: bool = false;
    /// What stands between several values given as one text.
    const JOINT: &str = ",";
}

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Bytes(pub u64);

/// Where a listener listens; empty = turned off.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Addresses(pub Vec<SocketAddr>);

/// Texts: an array in TOML, elsewhere lines or parts separated by `;`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct List(pub Vec<String>);

/// Which CPUs carry an executor each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cores {
    /// Every CPU this process may run on.
    All,
    /// So many executors: pinned while there are CPUs enough, else unpinned.
    Count(usize),
    /// Exactly these CPUs.
    List(Vec<usize>),
}

/// When a commit of the log is made durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sync {
    /// Before it is acknowledged.
    Always,
    /// At most `log.sync-interval` after it was acknowledged.
    Interval,
    /// When the kernel likes.
    Never,
}

/// Which classes of KairosDB's REST API are on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerType {
    pub ingest: bool,
    pub query: bool,
    pub delete: bool,
}

impl Kind for ServerType {
    fn read(text: &str) -> Result<ServerType, String> {
        let mut all = ServerType { ingest: false, query: false, delete: false };
        for word in text.split(',').map(str::trim) {
            match word.to_ascii_uppercase().as_str() {
                "ALL" => all = ServerType { ingest: true, query: true, delete: true },
                "INGEST" => all.ingest = true,
                "QUERY" => all.query = true,
                "DELETE" => all.delete = true,
                _ => return Err(format!("expected ALL, INGEST, QUERY or DELETE, got \"{word}\"")),
            }
        }
        Ok(all)
    }

    fn write(&self) -> String {
        if self.ingest && self.query && self.delete {
            return "ALL".to_owned();
        }
        let all = [(self.ingest, "INGEST"), (self.query, "QUERY"), (self.delete, "DELETE")];
        let on = all.iter().filter(|(on, _)| *on).map(|(_, name)| *name);
        on.collect::<Vec<_>>().join(",")
    }
}

/// Least levels of the log's lines, by module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLevels(pub Levels);

impl Kind for LogLevels {
    fn read(text: &str) -> Result<LogLevels, String> {
        Levels::read(text).map(LogLevels)
    }

    fn write(&self) -> String {
        self.0.to_string()
    }
}

/// Form of the log's lines; `None`: by where they go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogFormat(pub Option<Format>);

impl LogFormat {
    /// The form to use now.
    pub fn resolve(self) -> Format {
        let terminal = || match std::io::stderr().is_terminal() {
            true => Format::Console,
            false => Format::Logfmt,
        };
        self.0.unwrap_or_else(terminal)
    }
}

impl Kind for LogFormat {
    fn read(text: &str) -> Result<LogFormat, String> {
        match text {
            "auto" => Ok(LogFormat(None)),
            "logfmt" => Ok(LogFormat(Some(Format::Logfmt))),
            "json" => Ok(LogFormat(Some(Format::Json))),
            "console" => Ok(LogFormat(Some(Format::Console))),
            _ => Err(format!("expected auto, logfmt, json or console, got \"{text}\"")),
        }
    }

    fn write(&self) -> String {
        match self.0 {
            None => "auto",
            Some(Format::Logfmt) => "logfmt",
            Some(Format::Json) => "json",
            Some(Format::Console) => "console",
        }
        .to_owned()
    }
}

impl Kind for Bytes {
    fn read(text: &str) -> Result<Bytes, String> {
        let expected = || format!("expected a size like 25m or 1g, got \"{text}\"");
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match &text.to_ascii_lowercase()[digits.len()..] {
            "" | "b" => 1,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            _ => return Err(expected()),
        };
        let number: u64 = digits.parse().map_err(|_| expected())?;
        number.checked_mul(factor).map(Bytes).ok_or_else(expected)
    }

    fn write(&self) -> String {
        let units = [(1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")];
        let fitting =
            units.iter().find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit));
        fitting.map_or(self.0.to_string(), |(unit, name)| format!("{}{name}", self.0 / unit))
    }
}

/// Units of durations, longest first (ns).
const UNITS: [(&str, u64); 8] = [
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl Kind for Duration {
    fn read(text: &str) -> Result<Duration, String> {
        let expected = || format!("expected a duration like 10s or 1h30m, got \"{text}\"");
        if text == "0" {
            return Ok(Duration::ZERO);
        }
        let (mut rest, mut total) = (text, 0u64);
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, behind) = rest.split_at(digits);
            let letters =
                behind.len() - behind.trim_start_matches(|c: char| c.is_alphabetic()).len();
            let (unit, behind) = behind.split_at(letters);
            let (_, ns) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(expected)?;
            let number: u64 = number.parse().map_err(|_| expected())?;
            let part = number.checked_mul(*ns).ok_or_else(expected)?;
            total = total.checked_add(part).ok_or_else(expected)?;
            rest = behind;
        }
        if text.is_empty() { Err(expected()) } else { Ok(Duration::from_nanos(total)) }
    }

    fn write(&self) -> String {
        let mut rest = u64::try_from(self.as_nanos()).unwrap_or(u64::MAX);
        let mut out = String::new();
        for (name, ns) in UNITS.iter().skip(2) {
            if rest >= *ns {
                out.push_str(&format!("{}{name}", rest / ns));
                rest %= ns;
            }
        }
        if out.is_empty() { "0s".to_owned() } else { out }
    }
}

impl Kind for Addresses {
    fn read(text: &str) -> Result<Addresses, String> {
        if text.is_empty() || text == "none" {
            return Ok(Addresses::default());
        }
        let mut all = Vec::new();
        for part in text.split(',').map(str::trim) {
            let full =
                if part.starts_with(':') { format!("0.0.0.0{part}") } else { part.to_owned() };
            let found = full.to_socket_addrs().map_err(|_| {
                format!("expected ADDRESS:PORT, a comma list of them, or none, got \"{part}\"")
            })?;
            all.extend(found.take(1));
        }
        Ok(Addresses(all))
    }

    fn write(&self) -> String {
        if self.0.is_empty() {
            return "none".to_owned();
        }
        self.0.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
    }
}

impl Kind for List {
    const BARE: bool = true;
    const JOINT: &str = "\n";

    fn read(text: &str) -> Result<List, String> {
        if text.is_empty() || text == "[]" {
            return Ok(List::default());
        }
        Ok(List(text.split([';', '\n']).map(|part| part.trim().to_owned()).collect()))
    }

    fn write(&self) -> String {
        if self.0.is_empty() { "[]".to_owned() } else { self.0.join("; ") }
    }
}

impl Kind for Cores {
    fn read(text: &str) -> Result<Cores, String> {
        let expected =
            || format!("expected all, a number, or a CPU list like 0,2-3, got \"{text}\"");
        if text == "all" {
            return Ok(Cores::All);
        }
        if let Ok(count) = text.parse::<usize>() {
            let valid = (1..=1024).contains(&count);
            return if valid { Ok(Cores::Count(count)) } else { Err(expected()) };
        }
        let mut list = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let bound = |text: &str| text.trim().parse::<usize>().map_err(|_| expected());
            let (first, last) = (bound(first)?, bound(last)?);
            if first > last || last >= 4096 {
                return Err(expected());
            }
            list.extend(first..=last);
        }
        if list.is_empty() { Err(expected()) } else { Ok(Cores::List(list)) }
    }

    fn write(&self) -> String {
        match self {
            Cores::All => "all".to_owned(),
            Cores::Count(count) => count.to_string(),
            Cores::List(list) => {
                let list = list.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
                if list.contains(',') { list } else { format!("{list},") }
            }
        }
    }
}

impl Kind for Sync {
    fn read(text: &str) -> Result<Sync, String> {
        match text {
            "always" => Ok(Sync::Always),
            "interval" => Ok(Sync::Interval),
            "never" => Ok(Sync::Never),
            _ => Err(format!("expected always, interval or never, got \"{text}\"")),
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sync::Always => "always",
            Sync::Interval => "interval",
            Sync::Never => "never",
        })
    }
}

impl Kind for String {
    fn read(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    fn write(&self) -> String {
        self.clone()
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl Kind for Secret {
    fn read(text: &str) -> Result<Secret, String> {
        Ok(Secret(text.to_owned()))
    }

    /// What is shown instead; a secret cannot be read back.
    fn write(&self) -> String {
        if self.0.is_empty() { String::new() } else { "[REDACTED]".to_owned() }
    }
}

impl Kind for PathBuf {
    fn read(text: &str) -> Result<PathBuf, String> {
        if text.is_empty() { Err("expected a path".to_owned()) } else { Ok(text.into()) }
    }

    fn write(&self) -> String {
        self.display().to_string()
    }
}

impl Kind for usize {
    const BARE: bool = true;

    fn read(text: &str) -> Result<usize, String> {
        text.parse().map_err(|_| format!("expected a number, got \"{text}\""))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Kind for bool {
    const BARE: bool = true;

    fn read(text: &str) -> Result<bool, String> {
        text.parse().map_err(|_| format!("expected true or false, got \"{text}\""))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again<K: Kind + PartialEq + fmt::Debug>(text: &str) -> String {
        let value = K::read(text).unwrap();
        assert_eq!(K::read(&value.write()).as_ref(), Ok(&value));
        value.write()
    }

    #[test]
    fn values_are_written_as_they_can_be_read() {
        assert_eq!(again::<Bytes>("25MB"), "25m");
        assert_eq!(again::<Bytes>("1025"), "1025");
        assert_eq!(again::<Duration>("90m"), "1h30m");
        assert_eq!(again::<Duration>("0"), "0s");
        assert_eq!(again::<Addresses>(":80, 127.0.0.1:81"), "0.0.0.0:80,127.0.0.1:81");
        assert_eq!(again::<Addresses>("none"), "none");
        assert_eq!(again::<Cores>("0,2-3"), "0,2,3");
        assert_eq!(again::<Cores>("2-2"), "2,");
        assert_eq!(again::<Sync>("interval"), "interval");
        assert_eq!(again::<List>(""), "[]");
        assert_eq!(again::<List>("a b=c,d=e;x\ny"), "a b=c,d=e; x; y");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in ["", "x", "-1", "1q", "99999999999g", "é"] {
            assert!(Bytes::read(text).is_err(), "{text}");
        }
        for text in ["", "10", "s", "1y", "1h30", "1é", "99999999999w"] {
            assert!(Duration::read(text).is_err(), "{text}");
        }
        assert!(Cores::read("0").is_err() && Cores::read("3-1").is_err());
        assert!(Addresses::read("nowhere").is_err());
    }
}
