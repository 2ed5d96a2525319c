//! Layers of configuration: defaults, then the TOML file, then the environment, then flags.
//!
//! In: the text of each layer. Out: a `Config` and where each value came from, or one sentence that
//! says what is wrong and where. Unknown keys are errors that name the nearest known one.

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
}

impl Layers {
    /// Adds a TOML file; `path` is for messages.
    pub fn add_file(&mut self, path: &str, text: &str) -> Result<(), String> {
        let table: toml::Table =
            text.parse().map_err(|error| format!("{path} is no TOML: {error}"))?;
        for (name, value) in &table {
            match value {
                toml::Value::Table(section) => {
                    for (key, value) in section {
                        self.add_file_value(path, &format!("{name}.{key}"), value)?;
                    }
                }
                value => self.add_file_value(path, name, value)?,
            }
        }
        Ok(())
    }

    fn add_file_value(&mut self, path: &str, key: &str, value: &toml::Value) -> Result<(), String> {
        let spec = find(key).ok_or_else(|| {
            format!("{path}: unknown key \"{key}\"; did you mean \"{}\"?", nearest(key))
        })?;
        let text = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Array(all) => {
                let texts = all.iter().filter_map(|one| one.as_str());
                texts.collect::<Vec<_>>().join(spec.joint)
            }
            other => other.to_string(),
        };
        self.texts.insert(spec.key, (text, Source::File(path.to_owned())));
        Ok(())
    }

    /// Adds environment variables; those that do not begin with `RINGTAIL_` are passed over.
    pub fn add_environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), String> {
        for (name, text) in variables.filter(|(name, _)| name.starts_with("RINGTAIL_")) {
            let spec = TABLE.iter().find(|spec| spec.variable() == name).ok_or_else(|| {
                let all = TABLE.iter().map(Spec::variable).collect::<Vec<_>>();
                let near = closest(&name, all.iter().map(String::as_str));
                format!("unknown environment variable {name}; did you mean {near}?")
            })?;
            self.texts.insert(spec.key, (text, Source::Variable(name)));
        }
        Ok(())
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
