//! A small store of texts under three names: KairosDB's metadata service, and what its API keeps
//! for itself under services that begin with an underscore.
//!
//! In: records. Out: texts and sorted lists of names. Bounded in bytes, because every core holds a
//! copy.

use super::command::CatalogError;
use super::record::Record;
use super::state::State;
use std::collections::BTreeMap;

/// Largest text with its names (bytes).
pub const ENTRY_BYTES_MAX: usize = 256 << 10;
/// Most bytes of all texts with their names.
const BYTES_MAX: usize = 64 << 20;

/// Service, service key, key.
pub type MetadataKey = (String, String, String);

/// All texts.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    texts: BTreeMap<MetadataKey, String>,
    bytes: usize,
}

/// A question about them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetadataCommand {
    /// Creates or replaces.
    Put { key: MetadataKey, text: String },
    /// Fine when it is missing.
    Drop { key: MetadataKey },
}

impl Metadata {
    /// A text.
    pub fn get(&self, key: &MetadataKey) -> Option<&str> {
        self.texts.get(key).map(String::as_str)
    }

    /// The keys under a service and a service key, with their texts, sorted.
    pub fn of(&self, service: &str, service_key: &str) -> impl Iterator<Item = (&str, &str)> {
        let first = (service.to_owned(), service_key.to_owned(), String::new());
        let inside =
            move |key: &MetadataKey| (key.0.as_str(), key.1.as_str()) == (&*first.0, &*first.1);
        let start = (service.to_owned(), service_key.to_owned(), String::new());
        let all = self.texts.range(start..).take_while(move |(key, _)| inside(key));
        all.map(|(key, text)| (key.2.as_str(), text.as_str()))
    }

    /// The service keys of a service, sorted, each once.
    pub fn service_keys(&self, service: &str) -> Vec<&str> {
        let start = (service.to_owned(), String::new(), String::new());
        let all = self.texts.range(start..).take_while(|(key, _)| key.0 == service);
        let mut keys: Vec<&str> = all.map(|(key, _)| key.1.as_str()).collect();
        keys.dedup();
        keys
    }

    pub(super) fn put(&mut self, key: &MetadataKey, text: &str) {
        self.remove(key);
        self.bytes += size(key, text);
        self.texts.insert(key.clone(), text.to_owned());
    }

    pub(super) fn remove(&mut self, key: &MetadataKey) {
        if let Some(text) = self.texts.remove(key) {
            self.bytes -= size(key, &text);
        }
    }

    pub(super) fn records(&self, out: &mut Vec<Record>) {
        let put = |(key, text): (&MetadataKey, &String)| Record::PutMetadata {
            key: key.clone(),
            text: text.clone(),
        };
        out.extend(self.texts.iter().map(put));
    }
}

fn size(key: &MetadataKey, text: &str) -> usize {
    key.0.len() + key.1.len() + key.2.len() + text.len()
}

/// Decides a command.
pub(super) fn decide(
    state: &State,
    command: &MetadataCommand,
) -> Result<Vec<Record>, CatalogError> {
    let metadata = state.metadata();
    match command {
        MetadataCommand::Put { key, text } => {
            let old = metadata.get(key);
            if old == Some(text.as_str()) {
                return Ok(Vec::new());
            }
            let left = metadata.bytes - old.map_or(0, |old| size(key, old));
            if size(key, text) > ENTRY_BYTES_MAX || left + size(key, text) > BYTES_MAX {
                return Err(CatalogError::MetadataTooLarge);
            }
            Ok(vec![Record::PutMetadata { key: key.clone(), text: text.clone() }])
        }
        MetadataCommand::Drop { key } => {
            let known = metadata.get(key).is_some();
            Ok(known.then(|| Record::DropMetadata { key: key.clone() }).into_iter().collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::Command;
    use super::*;

    fn key(service: &str, service_key: &str, key: &str) -> MetadataKey {
        (service.into(), service_key.into(), key.into())
    }

    fn run(state: &mut State, command: MetadataCommand) -> Result<usize, CatalogError> {
        let records = state.decide(&Command::Metadata(command))?;
        records.iter().for_each(|record| state.apply(record));
        Ok(records.len())
    }

    fn put(state: &mut State, at: MetadataKey, text: &str) -> Result<usize, CatalogError> {
        run(state, MetadataCommand::Put { key: at, text: text.into() })
    }

    #[test]
    fn texts_are_listed_by_their_names_and_survive_a_snapshot() {
        let mut state = State::default();
        for (service, service_key, name) in
            [("s", "k", "b"), ("s", "k", "a"), ("s", "l", "x"), ("t", "k", "y"), ("", "", "")]
        {
            assert_eq!(put(&mut state, key(service, service_key, name), name), Ok(1));
        }
        assert_eq!(put(&mut state, key("s", "k", "a"), "a"), Ok(0), "the same again");
        assert_eq!(put(&mut state, key("s", "k", "a"), "new"), Ok(1));
        let mut copy = State::default();
        state.to_records().iter().for_each(|record| copy.apply(record));
        for state in [&state, &copy] {
            let metadata = state.metadata();
            let found: Vec<_> = metadata.of("s", "k").collect();
            assert_eq!(found, [("a", "new"), ("b", "b")]);
            assert_eq!(metadata.service_keys("s"), ["k", "l"]);
            assert!(metadata.service_keys("u").is_empty());
        }
        let drop = || MetadataCommand::Drop { key: key("s", "k", "a") };
        assert_eq!(run(&mut state, drop()), Ok(1));
        assert_eq!(run(&mut state, drop()), Ok(0));
        assert_eq!(state.metadata().get(&key("s", "k", "a")), None);
    }

    #[test]
    fn texts_are_bounded() {
        let mut state = State::default();
        let large = "x".repeat(ENTRY_BYTES_MAX - 3);
        let too_large = "x".repeat(ENTRY_BYTES_MAX - 2);
        assert_eq!(put(&mut state, key("s", "k", "a"), &large), Ok(1));
        let refused = Err(CatalogError::MetadataTooLarge);
        assert_eq!(put(&mut state, key("s", "k", "b"), &too_large), refused);
        for n in 0..400 {
            let _ = put(&mut state, key("s", "k", &format!("{n:03}")), &large[..large.len() - 2]);
        }
        assert!(state.metadata().bytes <= BYTES_MAX);
        assert_eq!(put(&mut state, key("s", "k", "z"), &large), refused);
    }
}
