//! InfluxDB's listeners: which of its settings together say where this server listens.
//!
//! In: the settings of `[http]`, `[[graphite]]`, `[[opentsdb]]`, `[[udp]]` and `[[collectd]]`: of
//! the file first and those of the environment over them. Out: texts of options of this server,
//! and a line for everything that cannot be had.

use super::spell;
use crate::config::Source;
use std::collections::BTreeMap;

/// A setting's text and where it comes from.
pub type Setting = (String, Source);

/// InfluxDB's own addresses, which count when a listener is turned on without one.
const HTTP: &str = ":8086";
const GRAPHITE: &str = ":2003";
const OPENTSDB: &str = ":4242";

/// The settings so far, by name and number of the section.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    all: BTreeMap<(&'static str, usize), Setting>,
}

/// What the settings come to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Options with their texts.
    pub options: Vec<(&'static str, Setting)>,
    /// What cannot be had.
    pub notes: Vec<String>,
}

impl Listeners {
    /// Sets a value. Without a number it is that of every section of the name that is known, or of
    /// the first; an item goes behind the items that the same source has given before.
    pub fn set(
        &mut self,
        name: &'static str,
        instance: Option<usize>,
        item: Option<usize>,
        value: Setting,
    ) {
        let section = name.split('.').next().unwrap_or_default();
        let known = match instance {
            Some(number) => vec![number],
            None => self.instances(section),
        };
        for number in if known.is_empty() { vec![0] } else { known } {
            let slot = self.all.entry((name, number));
            let before = slot.or_insert_with(|| (String::new(), value.1.clone()));
            match item {
                Some(1..) => {
                    before.0.push('\n');
                    before.0.push_str(&value.0);
                }
                _ => *before = value.clone(),
            }
        }
    }

    fn instances(&self, section: &str) -> Vec<usize> {
        let of = |name: &str| name.split('.').next() == Some(section);
        let mut all: Vec<usize> =
            self.all.keys().filter(|(name, _)| of(name)).map(|(_, number)| *number).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn get(&self, name: &'static str, number: usize) -> Option<&Setting> {
        self.all.get(&(name, number)).filter(|(text, _)| !text.is_empty())
    }

    fn is_on(&self, name: &'static str, number: usize, default: bool) -> bool {
        self.get(name, number).map_or(default, |(text, _)| spell(text, "true") == "true")
    }

    /// Puts everything together.
    pub fn outcome(&self) -> Outcome {
        let mut out = Outcome::default();
        self.http(&mut out);
        self.graphite(&mut out);
        self.opentsdb(&mut out);
        for (section, name, what) in [
            ("udp", "udp.enabled", "line protocol over UDP"),
            ("collectd", "collectd.enabled", "collectd's packets"),
        ] {
            for number in self.instances(section) {
                if self.is_on(name, number, false) {
                    out.notes.push(format!("{name} has no meaning here: no listener takes {what}"));
                }
            }
        }
        out
    }

    fn http(&self, out: &mut Outcome) {
        let bind = self.get("http.bind-address", 0);
        let chosen = |name: &'static str| self.get(name, 0).map(|(_, source)| source.clone());
        let none = |source: &Source| ("none".to_owned(), source.clone());
        if !self.is_on("http.enabled", 0, true) {
            let source = chosen("http.enabled").unwrap_or(Source::Default);
            out.options.extend([("http.bind", none(&source)), ("https.bind", none(&source))]);
        } else if self.is_on("http.https-enabled", 0, false) {
            let source = chosen("http.https-enabled").unwrap_or(Source::Default);
            let address = bind.cloned().unwrap_or_else(|| (HTTP.to_owned(), source.clone()));
            out.options.extend([("http.bind", none(&source)), ("https.bind", address)]);
        } else if let Some(bind) = bind {
            out.options.push(("http.bind", bind.clone()));
        }
    }

    fn graphite(&self, out: &mut Outcome) {
        let on = |number: &usize| self.is_on("graphite.enabled", *number, false);
        let numbers: Vec<usize> = self.instances("graphite").into_iter().filter(on).collect();
        let is_udp = |number: &usize| {
            let protocol = self.get("graphite.protocol", *number);
            protocol.is_some_and(|(text, _)| text.eq_ignore_ascii_case("udp"))
        };
        let (udp, tcp): (Vec<usize>, Vec<usize>) = numbers.iter().copied().partition(is_udp);
        for (option, numbers) in [("graphite.bind", tcp), ("graphite.udp-bind", udp)] {
            out.options.extend(self.bind(option, "graphite", &numbers, GRAPHITE));
        }
        let Some(first) = numbers.first().copied() else { return };
        for (name, option, default) in [
            ("graphite.database", "graphite.database", "graphite"),
            ("graphite.retention-policy", "graphite.retention-policy", ""),
            ("graphite.separator", "graphite.separator", ""),
            ("graphite.tags", "graphite.tags", ""),
            ("graphite.templates", "graphite.templates", ""),
            ("graphite.udp-read-buffer", "graphite.udp-read-buffer", ""),
        ] {
            match self.get(name, first).filter(|(text, _)| text != "0") {
                Some(setting) => out.options.push((option, setting.clone())),
                None if !default.is_empty() => {
                    out.options.push((
                        option,
                        (default.to_owned(), self.origin("graphite.enabled", first)),
                    ));
                }
                None => {}
            }
            let differs = |number: &&usize| self.get(name, **number) != self.get(name, first);
            if numbers.iter().skip(1).any(|number| differs(&number)) {
                out.notes
                    .push(format!("{name} differs between listeners: the first one's is used"));
            }
        }
    }

    fn opentsdb(&self, out: &mut Outcome) {
        let on = |number: &usize| self.is_on("opentsdb.enabled", *number, false);
        let numbers: Vec<usize> = self.instances("opentsdb").into_iter().filter(on).collect();
        out.options.extend(self.bind("telnet.bind", "opentsdb", &numbers, OPENTSDB));
        let Some(first) = numbers.first().copied() else { return };
        let own = ("opentsdb".to_owned(), self.origin("opentsdb.enabled", first));
        let database = self.get("opentsdb.database", first).cloned().unwrap_or(own);
        out.options.push(("telnet.database", database));
        if numbers.iter().any(|number| self.get("opentsdb.retention-policy", *number).is_some()) {
            let text =
                "opentsdb.retention-policy has no meaning here: the database's default is used";
            out.notes.push(text.to_owned());
        }
    }

    /// The addresses of listeners as one option.
    fn bind(
        &self,
        option: &'static str,
        section: &str,
        numbers: &[usize],
        default: &str,
    ) -> Option<(&'static str, Setting)> {
        let (address, enabled) = match section {
            "graphite" => ("graphite.bind-address", "graphite.enabled"),
            _ => ("opentsdb.bind-address", "opentsdb.enabled"),
        };
        let first = *numbers.first()?;
        let texts = numbers
            .iter()
            .map(|number| self.get(address, *number).map_or(default, |(text, _)| text));
        let texts: Vec<&str> = texts.collect();
        let source = match self.get(address, first) {
            Some((_, source)) => source.clone(),
            None => self.origin(enabled, first),
        };
        Some((option, (texts.join(","), source)))
    }

    fn origin(&self, name: &'static str, number: usize) -> Source {
        self.get(name, number).map_or(Source::Default, |(_, source)| source.clone())
    }
}
