//! `ringtail verify`: every checksum of a data folder.
//!
//! In: a data folder that no server uses. Out: a line for each fault with file and offset, a line
//! for each shard, and whether everything is sound.

use super::store::{self, Opened};
use crate::shard::audit::{Audit, Fault};
use std::fmt::Write;
use std::path::Path;

/// Checks a folder; the text, and whether it is sound.
///
/// # Errors
/// One sentence when there is nothing to check.
pub(super) fn verify(dir: &Path) -> Result<(String, bool), String> {
    store::with(dir, |opened| async move {
        let mut report = Report::default();
        report.store(&opened);
        opened.shards(true, |audit| report.shard(&audit)).await;
        report.finish()
    })
}

#[derive(Default)]
struct Report {
    text: String,
    faults: u64,
}

impl Report {
    fn line(&mut self, label: &str, text: &str) {
        // Writing into a string cannot fail.
        let _ = writeln!(self.text, "{label:10} {text}");
    }

    fn store(&mut self, opened: &Opened) {
        let (shards, epoch) = (opened.store.shards, opened.store.epoch);
        let data = opened.data.display();
        self.line("store", &format!("{data}: {shards} shards, epoch {epoch}"));
        match (&opened.catalog, &opened.catalog_fault) {
            (_, Some(fault)) => self.fault(fault),
            (catalog, None) => {
                let count = catalog.as_ref().map_or(0, |catalog| catalog.databases().count());
                self.line("catalog", &format!("{count} databases"));
            }
        }
    }

    fn fault(&mut self, fault: &Fault) {
        self.faults += 1;
        let place = fault.offset.map_or(String::new(), |offset| format!(" offset {offset}"));
        let text = format!("{}{place}: {}", fault.file.display(), fault.what);
        self.line("damaged", &text);
    }

    fn shard(&mut self, audit: &Audit) {
        let bytes: u64 = audit.segments.iter().map(|(meta, _)| meta.bytes).sum();
        let files = audit.segments.len();
        let (indexes, series) = (audit.indexes.len(), audit.index.live_series_of_all());
        let log = audit.log.as_ref().map_or("unreadable".to_owned(), |log| {
            format!("{} records in {} commits, {} bytes", log.records, log.commits, log.bytes)
        });
        self.line(
            &format!("shard {}", audit.id.0),
            &format!(
                "{files} segments of {bytes} bytes; {indexes} index files, {series} series; log: \
                 {log}"
            ),
        );
        if let Some(torn) = audit.log.as_ref().and_then(|log| log.torn.as_ref()) {
            let (file, offset, bytes) = (torn.file.display(), torn.offset, torn.bytes);
            let text = format!(
                "{file} offset {offset}: {bytes} bytes of a commit that was never acknowledged"
            );
            self.line("unfinished", &text);
        }
        audit.unknown.iter().for_each(|name| self.line("unknown", name));
        audit.faults.iter().for_each(|fault| self.fault(fault));
    }

    fn finish(mut self) -> (String, bool) {
        let text = match self.faults {
            0 => "everything is what was written".to_owned(),
            1 => "1 fault".to_owned(),
            more => format!("{more} faults"),
        };
        self.line(if self.faults == 0 { "sound" } else { "not sound" }, &text);
        (self.text, self.faults == 0)
    }
}
