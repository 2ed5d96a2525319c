//! `ringtail inspect`: what is in a data folder.
//!
//! In: a data folder that no server uses, and which of log, segment, index or series is wanted.
//! Out: tables, a fact a line, numbers in plain digits. What is damaged is named, and the rest
//! shown all the same.

use super::store::{self, Opened};
use crate::codec::checksum::xxh3;
use crate::model::{DbId, FixedSet, MeasurementId, SeriesId};
use crate::shard::audit::{Audit, Fault};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// What can be asked for.
pub(super) const PARTS: [&str; 4] = ["log", "segment", "index", "series"];

/// Shows one part of a folder; the text, and whether nothing was damaged.
///
/// # Errors
/// One sentence when there is nothing to look at.
pub(super) fn inspect(dir: &Path, part: &str) -> Result<(String, bool), String> {
    let part = part.to_owned();
    store::with(dir, |opened| async move {
        let mut out = String::new();
        let mut series = Cardinality::default();
        let mut sound = true;
        opened
            .shards(false, |audit| {
                sound &= audit.faults.is_empty();
                match part.as_str() {
                    "log" => log(&audit, &mut out),
                    "segment" => segments(&opened, &audit, &mut out),
                    "index" => index(&audit, &mut out),
                    _ => series.add(&audit),
                }
                damaged(&audit, &mut out);
            })
            .await;
        if part == "series" {
            series.print(&opened, &mut out);
        }
        if let Some(fault) = &opened.catalog_fault {
            sound = false;
            name(fault, &mut out);
        }
        (out, sound)
    })
}

fn damaged(audit: &Audit, out: &mut String) {
    audit.faults.iter().for_each(|fault| name(fault, out));
}

fn name(fault: &Fault, out: &mut String) {
    let place = fault.offset.map_or(String::new(), |offset| format!(" offset {offset}"));
    // Writing into a string cannot fail.
    let _ = writeln!(out, "damaged {}{place}: {}", fault.file.display(), fault.what);
}

fn log(audit: &Audit, out: &mut String) {
    let id = audit.id.0;
    let from = audit.replay_from;
    let Some(log) = &audit.log else {
        let _ = writeln!(out, "shard {id}: the log cannot be read");
        return;
    };
    let torn = log.torn.as_ref().map_or(0, |torn| torn.bytes);
    let _ = writeln!(
        out,
        "shard {id}: first record wanted {from}, next record {}, records to replay {}, rows {}, \
         commits {}, bytes {}, unfinished bytes {torn}",
        log.next_seq, log.records, audit.log_rows, log.commits, log.bytes
    );
}

fn segments(opened: &Opened, audit: &Audit, out: &mut String) {
    let id = audit.id.0;
    let total: u64 = audit.segments.iter().map(|(meta, _)| meta.bytes).sum();
    let _ = writeln!(out, "shard {id}: {} files, {total} bytes", audit.segments.len());
    for (meta, packed) in &audit.segments {
        let kind = if *packed { "packed" } else { "light" };
        let _ = writeln!(out, "  {:016x}.segment: {} bytes, {kind}", meta.file_id, meta.bytes);
        for section in &meta.sections {
            let day = i64::from(section.key.day) * 86_400;
            let day = jiff::Timestamp::from_second(day)
                .map_or(String::new(), |time| time.strftime("%Y-%m-%d").to_string());
            let _ = writeln!(
                out,
                "    {} {day}: rows {}, series {}, values {}, chunks {}, bytes {}, records {} to {}",
                opened.partition(section.key.partition),
                section.rows,
                section.series,
                section.values,
                section.chunks,
                section.bytes,
                section.key.min_seq,
                section.key.max_seq
            );
        }
    }
}

fn index(audit: &Audit, out: &mut String) {
    let _ = writeln!(
        out,
        "shard {}: {} files, series {}, bytes in memory {}",
        audit.id.0,
        audit.indexes.len(),
        audit.index.live_series_of_all(),
        audit.index.memory_bytes()
    );
    for file in &audit.indexes {
        let _ = writeln!(out, "  {file:016x}.index");
    }
}

/// Series and tag values of each measurement, over all shards.
#[derive(Default)]
struct Cardinality(BTreeMap<(DbId, MeasurementId), Measured>);

#[derive(Default)]
struct Measured {
    series: u64,
    /// For each tag the hashes of its values.
    tags: BTreeMap<Vec<u8>, FixedSet<u64>>,
}

impl Cardinality {
    fn add(&mut self, audit: &Audit) {
        for (db, measurement) in audit.index.known_measurements() {
            let ids = audit.index.series_of(measurement);
            if ids.is_empty() {
                continue;
            }
            let measured = self.0.entry((db, measurement)).or_default();
            measured.series += ids.len();
            for id in ids {
                for (tag, value) in audit.index.tags(SeriesId(id)) {
                    if !measured.tags.contains_key(tag) {
                        measured.tags.insert(tag.to_vec(), FixedSet::default());
                    }
                    if let Some(values) = measured.tags.get_mut(tag) {
                        values.insert(xxh3(value));
                    }
                }
            }
        }
    }

    /// The measurements with the most series first.
    fn print(&self, opened: &Opened, out: &mut String) {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|(id, measured)| (std::cmp::Reverse(measured.series), **id));
        let total: u64 = all.iter().map(|(_, measured)| measured.series).sum();
        let _ = writeln!(out, "series {total}, measurements {}", all.len());
        for ((db, measurement), measured) in all {
            let name = opened.measurement(*db, *measurement);
            let _ = writeln!(out, "{name}: series {}", measured.series);
            let mut tags: Vec<_> = measured.tags.iter().collect();
            tags.sort_by_key(|(tag, values)| (std::cmp::Reverse(values.len()), tag.as_slice()));
            for (tag, values) in tags {
                let _ =
                    writeln!(out, "  {}: values {}", String::from_utf8_lossy(tag), values.len());
            }
        }
    }
}
