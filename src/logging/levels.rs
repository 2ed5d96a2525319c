//! Levels, and which of them each module's events must have.
//!
//! In: a text such as `info,shard=debug,http=warn`. Out: whether an event is written.

use std::fmt;

/// How much an event matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// Every level, the least first.
    pub const ALL: [Level; 4] = [Level::Debug, Level::Info, Level::Warn, Level::Error];

    /// As it is written in options and lines.
    pub fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }

    fn read(text: &str) -> Result<Option<Level>, String> {
        match text.trim() {
            "off" => Ok(None),
            name => match Level::ALL.into_iter().find(|level| level.name() == name) {
                Some(level) => Ok(Some(level)),
                None => Err(format!("expected debug, info, warn, error or off, got \"{name}\"")),
            },
        }
    }
}

/// The least level of each module; `None`: nothing of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Levels {
    others: Option<Level>,
    modules: Vec<(String, Option<Level>)>,
}

impl Levels {
    /// Reads `LEVEL` and `MODULE=LEVEL`, joined by commas.
    ///
    /// # Errors
    /// What is expected.
    pub fn read(text: &str) -> Result<Levels, String> {
        let mut levels = Levels { others: Some(Level::Info), modules: Vec::new() };
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            match part.split_once('=') {
                None => levels.others = Level::read(part)?,
                Some((module, level)) => {
                    levels.modules.push((module.trim().to_owned(), Level::read(level)?));
                }
            }
        }
        Ok(levels)
    }

    /// Whether an event is written.
    pub fn allow(&self, level: Level, module: &str) -> bool {
        // Of several for one module the last counts.
        let own = self.modules.iter().rev().find(|(name, _)| name == module);
        own.map_or(self.others, |(_, least)| *least).is_some_and(|least| level >= least)
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |level: Option<Level>| level.map_or("off", Level::name);
        f.write_str(name(self.others))?;
        self.modules.iter().try_for_each(|(module, level)| write!(f, ",{module}={}", name(*level)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_has_the_level_that_names_it_last() {
        let levels = Levels::read("warn, shard=debug,http=off,shard=info").unwrap();
        assert!(levels.allow(Level::Warn, "query") && !levels.allow(Level::Info, "query"));
        assert!(levels.allow(Level::Info, "shard") && !levels.allow(Level::Debug, "shard"));
        assert!(!levels.allow(Level::Error, "http"));
        assert_eq!(levels.to_string(), "warn,shard=debug,http=off,shard=info");
        assert_eq!(Levels::read(&levels.to_string()), Ok(levels));
        assert!(Levels::read("").unwrap().allow(Level::Info, "x"));
        let error = Levels::read("http=loud").unwrap_err();
        assert_eq!(error, "expected debug, info, warn, error or off, got \"loud\"");
    }
}
