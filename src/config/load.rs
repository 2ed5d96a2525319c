//! Layers of configuration: defaults, then the TOML file, then the environment, then flags.
//!
//! In: the text of each layer. Out: a `Config` and where each value came from, or one sentence that
//! says what is wrong and where. Unknown keys are errors that name the nearest known one. A file or
//! an environment may use InfluxDB's names (`influxdb`); where both are there, the own one counts.

use super::influxdb::{self, Listeners, Meaning};
use super::options::{Config, Spec, TABLE};
use std::collections::BTreeMap;

/// Where an option's value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    Default,
    File(String),
    Variable(String),
    Flag(String),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File(path) => write!(f, "file {path}"),
            Source::Variable(name) => write!(f, "environment {name}"),
            Source::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// Values of options as text, by key, with their sources; later layers replace earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    texts: BTreeMap<&'static str, (String, Source)>,
    /// What InfluxDB's names say of listeners.
    listeners: Listeners,
    notes: Vec<String>,
}

/// A value of a file with its place: `section.key`, and which of several sections of the name.
struct Entry {
    key: String,
    instance: Option<usize>,
    value: toml::Value,
}

impl Layers {
    /// Adds a TOML file, this server's or InfluxDB's; `path` is for messages.
    pub fn add_file(&mut self, path: &str, text: &str) -> Result<(), String> {
        let table: toml::Table =
            text.parse().map_err(|error| format!("{path} is no TOML: {error}"))?;
        let entries = entries(&table);
        let is_own = |entry: &&Entry| entry.instance.is_none() && find(&entry.key).is_some();
        let foreign = |entry: &Entry| {
            let section = entry.key.split('.').next().unwrap_or_default();
            entry.instance.is_some()
                || influxdb::has_section(section)
                || influxdb::find(&entry.key).is_some()
        };
        let is_influxdb = entries.iter().any(|entry| !is_own(&entry) && foreign(entry));
        let source = Source::File(path.to_owned());
        for entry in entries.iter().filter(|entry| !is_own(entry)) {
            if let Some(name) = influxdb::find(&entry.key) {
                self.add_influxdb(
                    name,
                    (entry.instance, None),
                    text_of(&entry.value, "\n"),
                    &source,
                );
            } else if is_influxdb {
                self.notes.push(format!("{path}: {} is no key of InfluxDB 1.8", entry.key));
            } else {
                let (key, near) = (&entry.key, nearest(&entry.key));
                return Err(format!("{path}: unknown key \"{key}\"; did you mean \"{near}\"?"));
            }
        }
        for entry in entries.iter().filter(is_own) {
            if let Some(spec) = find(&entry.key) {
                self.texts.insert(spec.key, (text_of(&entry.value, spec.joint), source.clone()));
            }
        }
        Ok(())
    }

    /// Adds environment variables: InfluxDB's, then those that begin with `RINGTAIL_`; others are
    /// passed over.
    pub fn add_environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), String> {
        let (own, mut others): (Vec<_>, Vec<_>) =
            variables.partition(|(name, _)| name.starts_with("RINGTAIL_"));
        // Items of a list come in the order of their numbers.
        others.sort_by_key(|(name, _)| (name.len(), name.clone()));
        for (name, text) in others.into_iter().filter(|(_, text)| !text.is_empty()) {
            if !name.starts_with(influxdb::PREFIX) || name == influxdb::FILE_VARIABLE {
                continue;
            }
            let Some(found) = influxdb::variable(&name) else {
                self.notes.push(format!("{name} is no variable of InfluxDB 1.8"));
                continue;
            };
            let listed = matches!(found.name.0, "graphite.tags" | "graphite.templates");
            let text = if listed && found.item.is_none() { text.replace(',', "\n") } else { text };
            let place = (found.instance, found.item);
            self.add_influxdb(found.name, place, text, &Source::Variable(name));
        }
        for (name, text) in own {
            let spec = TABLE.iter().find(|spec| spec.variable() == name).ok_or_else(|| {
                let all = TABLE.iter().map(Spec::variable).collect::<Vec<_>>();
                let near = closest(&name, all.iter().map(String::as_str));
                format!("unknown environment variable {name}; did you mean {near}?")
            })?;
            self.texts.insert(spec.key, (text, Source::Variable(name)));
        }
        Ok(())
    }

    fn add_influxdb(
        &mut self,
        (name, meaning): influxdb::Name,
        (instance, item): (Option<usize>, Option<usize>),
        text: String,
        source: &Source,
    ) {
        let option = match meaning {
            Meaning::Nothing(why) => {
                return self.notes.push(format!("{source}: {name} has no meaning here: {why}"));
            }
            Meaning::Listener => {
                return self.listeners.set(name, instance, item, (text, source.clone()));
            }
            Meaning::Positive(_) if text == "0" => return,
            Meaning::Is(option) | Meaning::Positive(option) => option,
        };
        let Some(spec) = find(option) else { return };
        // InfluxDB takes an empty text for one that is not there.
        if !text.is_empty() || spec.default.is_empty() {
            let text = influxdb::spell(&text, spec.default);
            self.texts.insert(spec.key, (text, source.clone()));
        }
    }

    /// Ends the layers: what InfluxDB's names say of listeners counts where no own name does.
    pub fn settle(&mut self) {
        let outcome = std::mem::take(&mut self.listeners).outcome();
        for (key, setting) in outcome.options {
            self.texts.entry(key).or_insert(setting);
        }
        self.notes.extend(outcome.notes);
    }

    /// What of InfluxDB's configuration has no meaning here, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Adds a flag's values; several are joined to a list.
    pub fn add_flag(&mut self, spec: &Spec, values: &[String]) {
        self.texts.insert(spec.key, (values.join(spec.joint), Source::Flag(spec.flag())));
    }

    /// Where an option's value comes from.
    pub fn source(&self, key: &str) -> Source {
        self.texts.get(key).map_or(Source::Default, |(_, source)| source.clone())
    }

    /// The typed configuration, or one sentence naming the option that is wrong and its source.
    pub fn finish(&self) -> Result<Config, String> {
        let text_of = |key: &'static str| match self.texts.get(key) {
            Some((text, _)) => text.clone(),
            None => find(key).map_or(String::new(), |spec| spec.default.to_owned()),
        };
        Config::read(text_of)
            .map_err(|(key, error)| format!("{key} ({source}): {error}", source = self.source(key)))
    }
}

/// Every value of a file. The tables of InfluxDB's `[http.headers]` and the like are one value.
fn entries(table: &toml::Table) -> Vec<Entry> {
    let mut all = Vec::new();
    let mut section = |name: &str, instance: Option<usize>, inner: &toml::Table| {
        for (key, value) in inner {
            all.push(Entry { key: format!("{name}.{key}"), instance, value: value.clone() });
        }
    };
    let mut tops = Vec::new();
    for (name, value) in table {
        match value {
            toml::Value::Table(inner) => section(name, None, inner),
            toml::Value::Array(items) if influxdb::REPEATED.contains(&name.as_str()) => {
                for (number, inner) in items.iter().filter_map(toml::Value::as_table).enumerate() {
                    section(name, Some(number), inner);
                }
            }
            value => tops.push(Entry { key: name.clone(), instance: None, value: value.clone() }),
        }
    }
    all.extend(tops);
    all
}

/// A value as text; `joint` stands between those of a list.
fn text_of(value: &toml::Value, joint: &str) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(all) => {
            all.iter().filter_map(|one| one.as_str()).collect::<Vec<_>>().join(joint)
        }
        toml::Value::Table(all) => {
            let pair = |(name, value)| format!("{name}: {}", text_of(value, joint));
            all.iter().map(pair).collect::<Vec<_>>().join(joint)
        }
        other => other.to_string(),
    }
}

fn find(key: &str) -> Option<&'static Spec> {
    TABLE.iter().find(|spec| spec.key == key)
}

fn nearest(key: &str) -> &'static str {
    closest(key, TABLE.iter().map(|spec| spec.key))
}

fn closest<'a>(wanted: &str, all: impl Iterator<Item = &'a str>) -> &'a str {
    all.min_by_key(|name| distance(wanted, name)).unwrap_or_default()
}

/// Edit distance of two short names (Wagner and Fischer), row by row.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(right.chars()) {
            let cost = diagonal + usize::from(a != b);
            diagonal = *cell;
            before = cost.min(before + 1).min(*cell + 1);
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// The sample file: every option with its doc and default, commented out.
pub fn sample() -> String {
    let mut out = String::from(
        "# ringtail configuration: every option with its default.\n\
         # Later layers win: this file, then environment (RINGTAIL_HTTP_BIND), then flags (--http-bind).\n",
    );
    let (tops, rest): (Vec<&Spec>, Vec<&Spec>) = TABLE.iter().partition(|s| !s.key.contains('.'));
    let mut section = "";
    let mut rest = rest;
    rest.sort_by_key(|spec| spec.key.split_once('.').map(|(name, _)| name));
    for spec in tops.into_iter().chain(rest) {
        let (name, key) = spec.key.split_once('.').unwrap_or(("", spec.key));
        if name != section {
            out.push_str(&format!("\n[{name}]\n"));
            section = name;
        }
        let quote = if spec.bare { "" } else { "\"" };
        out.push_str(&format!("\n# {}\n#{key} = {quote}{}{quote}\n", spec.doc, spec.default));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_layers_win_and_sources_are_known() {
        let mut layers = Layers::default();
        layers
            .add_file("a.toml", "[http]\nbind = [\"127.0.0.1:1\"]\nidle-timeout = \"3s\"")
            .unwrap();
        let variable = ("RINGTAIL_HTTP_BIND".to_owned(), "127.0.0.1:2".to_owned());
        layers.add_environment([variable].into_iter()).unwrap();
        let config = layers.finish().unwrap();
        assert_eq!(config.text("http.bind").unwrap(), "127.0.0.1:2");
        assert_eq!(config.http_idle_timeout.as_secs(), 3);
        assert_eq!(layers.source("http.idle-timeout"), Source::File("a.toml".into()));
        assert_eq!(layers.source("cores"), Source::Default);
    }

    #[test]
    fn unknown_names_are_errors_that_help() {
        let mut layers = Layers::default();
        let error = layers.add_file("a.toml", "[http]\nbnd = 1").unwrap_err();
        assert_eq!(error, "a.toml: unknown key \"http.bnd\"; did you mean \"http.bind\"?");
        let variable = ("RINGTAIL_DATADIR".to_owned(), "x".to_owned());
        let error = layers.add_environment([variable].into_iter()).unwrap_err();
        assert!(error.ends_with("did you mean RINGTAIL_DATA_DIR?"), "{error}");
        layers.add_flag(find("cores").unwrap(), &["x".to_owned()]);
        let error = layers.finish().unwrap_err();
        assert!(error.starts_with("cores (flag --cores): expected all"), "{error}");
    }

    fn read(file: &str, variables: &[(&str, &str)]) -> (Layers, Config) {
        let mut layers = Layers::default();
        layers.add_file("influxdb.conf", file).unwrap();
        let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        layers.add_environment(variables.iter().map(own)).unwrap();
        layers.settle();
        let config = layers.finish().unwrap();
        (layers, config)
    }

    #[test]
    fn a_file_of_influxdb_sets_what_it_set_there() {
        let file = "reporting-disabled = true\n[meta]\ndir = \"/m\"\nretention-autocreate = false\n\
            [data]\ndir = \"/d\"\nmax-series-per-database = 7\n[coordinator]\nquery-timeout = \"1m0s\"\n\
            max-select-series = 3\nwrite-timeout = \"\"\n[http]\nbind-address = \":9086\"\n\
            auth-enabled = true\nmax-row-limit = 12\nmax-connection-limit = 0\nhttps-enabled = true\n\
            https-certificate = \"/c.pem\"\n[http.headers]\nX-A = \"b\"\n[continuous_queries]\n\
            run-interval = \"5s\"\n[nonsense]\nx = 1\n[[graphite]]\nenabled = true\n\
            templates = [\"a.* .host.measurement*\", \"measurement*\"]\n[[graphite]]\nenabled = true\n\
            bind-address = \":9003\"\nprotocol = \"udp\"\n[[opentsdb]]\nenabled = false\n[[udp]]\n\
            enabled = true\ndatabase = \"u\"\n";
        let variables = [
            ("INFLUXDB_COORDINATOR_MAX_SELECT_SERIES", "4"),
            ("INFLUXDB_HTTP_PING_AUTH_ENABLED", "1"),
            ("INFLUXDB_RETENTION_ENABLED", ""),
            ("INFLUXDB_ADMIN_PASSWORD", "secret"),
            ("RINGTAIL_QUERY_MAX_ROWS", "13"),
        ];
        let (layers, config) = read(file, &variables);
        let expected = [
            ("data-dir", "/d"),
            ("retention.autocreate", "false"),
            ("retention.enabled", "true"),
            ("data.max-series-per-database", "7"),
            ("query.timeout", "1m"),
            ("query.max-series", "4"),
            ("query.max-rows", "13"),
            ("write.timeout", "10s"),
            ("http.bind", "none"),
            ("https.bind", "0.0.0.0:9086"),
            ("https.certificate", "/c.pem"),
            ("http.auth-enabled", "true"),
            ("http.ping-auth-enabled", "true"),
            ("http.max-connections", "16384"),
            ("http.headers", "X-A: b"),
            ("continuous-queries.run-interval", "5s"),
            ("graphite.bind", "0.0.0.0:2003"),
            ("graphite.udp-bind", "0.0.0.0:9003"),
            ("graphite.database", "graphite"),
            ("graphite.templates", "a.* .host.measurement*; measurement*"),
            ("telnet.bind", "127.0.0.1:4242"),
        ];
        for (key, text) in expected {
            assert_eq!(config.text(key).as_deref(), Some(text), "{key}");
        }
        assert_eq!(layers.source("https.bind"), Source::File("influxdb.conf".into()));
        let notes = layers.notes().join("\n");
        for words in [
            "file influxdb.conf: reporting-disabled has no meaning here: nothing is ever reported",
            "file influxdb.conf: meta.dir has no meaning here: everything stored is under data-dir",
            "influxdb.conf: nonsense.x is no key of InfluxDB 1.8",
            "INFLUXDB_ADMIN_PASSWORD is no variable of InfluxDB 1.8",
            "udp.enabled has no meaning here: no listener takes line protocol over UDP",
            "graphite.templates differs between listeners: the first one's is used",
        ] {
            assert!(notes.contains(words), "{words} in {notes}");
        }
        assert!(!notes.contains("secret"));
        assert_eq!(layers.notes().len(), 6, "{notes}");
    }

    #[test]
    fn own_names_win_over_influxdbs() {
        let file = "[http]\nbind-address = \":1\"\nbind = \"127.0.0.1:2\"\nmax-row-limit = 1\n[query]\nmax-rows = 2";
        let (_, config) = read(file, &[]);
        assert_eq!(config.text("http.bind").unwrap(), "127.0.0.1:2");
        assert_eq!(config.query_max_rows, 2);
        let variables = [("INFLUXDB_HTTP_BIND_ADDRESS", ":3"), ("RINGTAIL_HTTP_BIND", ":4")];
        let (layers, config) = read("[http]\nbind-address = \":1\"", &variables);
        assert_eq!(config.text("http.bind").unwrap(), "0.0.0.0:4");
        assert_eq!(layers.notes(), [""; 0]);
        // Of two sources the environment counts.
        let variables =
            [("INFLUXDB_HTTP_AUTH_ENABLED", "true"), ("INFLUXDB_HTTP_ENABLED", "false")];
        let (_, config) = read("[http]\nauth-enabled = false", &variables);
        assert!(config.http_auth_enabled && config.http_bind.0.is_empty());
    }

    #[test]
    fn variables_set_listeners_and_lists() {
        let variables = [
            ("INFLUXDB_GRAPHITE_0_ENABLED", "true"),
            ("INFLUXDB_GRAPHITE_0_TEMPLATES_1", "measurement*"),
            ("INFLUXDB_GRAPHITE_0_TEMPLATES_0", "a.* .host.measurement*"),
            ("INFLUXDB_GRAPHITE_0_TAGS", "a=b,c=d"),
            ("INFLUXDB_OPENTSDB_ENABLED", "t"),
            ("INFLUXDB_OPENTSDB_DATABASE", "o"),
        ];
        let (_, config) = read("", &variables);
        assert_eq!(config.graphite_templates.0, ["a.* .host.measurement*", "measurement*"]);
        assert_eq!(config.graphite_tags.0, ["a=b", "c=d"]);
        assert_eq!(config.text("telnet.bind").unwrap(), "0.0.0.0:4242");
        assert_eq!(config.telnet_database, "o");
    }

    #[test]
    fn the_sample_with_its_comments_removed_is_the_default() {
        let text: String = sample()
            .lines()
            .map(|line| line.strip_prefix('#').filter(|l| !l.starts_with(' ')).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        let mut layers = Layers::default();
        layers.add_file("sample", &text).unwrap();
        assert_eq!(layers.finish(), Layers::default().finish());
        assert!(TABLE.iter().all(|spec| layers.source(spec.key) != Source::Default));
    }
}
