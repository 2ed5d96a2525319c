//! One telnet line the exact way: split into words, checked, its names looked up.

use super::super::batcher::{Datum, Placed};
use super::super::words;
use super::{Command, Decoder, FIELD, Reject, kind_of};
use crate::model::{MeasurementId, series_key};
use crate::route::KeyForm;

/// The tag that KairosDB supplies when none is sent.
const NO_TAG: (&[u8], &[u8]) = (b"add", b"tag");
/// The option that looks like a tag and sets a time to live in seconds.
const TTL: &[u8] = b"kairos_opt.ttl";

/// Tag names and values.
type Tags<'a> = Vec<(&'a [u8], &'a [u8])>;

impl<'a> Decoder<'a, '_, '_> {
    /// Reads the line at offset `at` of the input.
    pub(super) fn exact_line(&mut self, line: &'a [u8], at: usize) -> Result<(), Reject> {
        if std::str::from_utf8(line).is_err() {
            return Err(Reject::NotUtf8);
        }
        words::split(line, &mut self.words);
        let Some(name) = self.words.first().copied() else { return Ok(()) };
        match Command::of(name) {
            Some(command) => self.put(command, line, at),
            None if name == b"version" => {
                if self.resume_at.is_none() {
                    self.ctx.replies.version();
                }
                Ok(())
            }
            None => Err(Reject::UnknownCommand),
        }
    }

    fn put(&mut self, command: Command, line: &'a [u8], at: usize) -> Result<(), Reject> {
        let &[_, metric, time, value, ref tags @ ..] = self.words.as_slice() else {
            return Err(Reject::TooFewWords);
        };
        if metric.is_empty() {
            return Err(Reject::EmptyMetric);
        }
        let time = command.time_ns(time)?;
        let datum = command.value(value).ok_or(Reject::BadValue)?;
        let (tags, ttl_s) = read_tags(tags)?;
        if self.batcher.is_beyond_retention(time) {
            return Err(Reject::BeyondRetention);
        }
        let measurement = self.ctx.catalog.measurement(self.batcher.target().db, metric);
        let column = measurement.and_then(|measurement| self.column(measurement, datum));
        let partition = self.batcher.partition(self.ctx.catalog, time);
        let (Some(measurement), Some(column), Some(partition)) = (measurement, column, partition)
        else {
            self.resume_at = self.resume_at.or(Some(at));
            self.need_names((metric, measurement), datum, time);
            return Ok(());
        };
        if self.resume_at.is_some() {
            return Ok(());
        }
        // Raw words stand for the series only if plain splitting gives them and they name no TTL.
        let plain = ttl_s.is_none() && !line.contains(&b'"');
        let placed = self.place(plain.then_some(line), (metric, measurement), &tags)?;
        let ttl_s = ttl_s.filter(|ttl| *ttl > 0).unwrap_or(self.ctx.ttl_default_s);
        self.append(placed, partition, time, (column, datum), ttl_s);
        Ok(())
    }

    fn need_names(
        &mut self,
        (metric, measurement): (&[u8], Option<MeasurementId>),
        datum: Datum<'_>,
        time: i64,
    ) {
        if measurement.is_none() {
            self.batcher.names.need_measurement(metric);
        }
        if measurement.and_then(|measurement| self.column(measurement, datum)).is_none() {
            self.batcher.names.need_field(metric, FIELD, kind_of(datum));
        }
        if self.batcher.partition(self.ctx.catalog, time).is_none() {
            let policy = self.batcher.target().policy;
            self.batcher.names.need_partition(self.ctx.catalog, policy, time);
        }
    }

    fn place(
        &mut self,
        plain: Option<&[u8]>,
        (metric, measurement): (&[u8], MeasurementId),
        tags: &[(&[u8], &[u8])],
    ) -> Result<Placed, Reject> {
        let hash = match plain {
            Some(line) => {
                let mut rest = line;
                for _ in 0..4 {
                    rest = words::word(words::skip_blanks(rest)).1;
                }
                self.raw_hash(metric, words::skip_blanks(rest))
            }
            None => {
                self.key.clear();
                if !series_key::write_key(metric, tags, &mut self.key) {
                    return Err(Reject::KeyTooLong);
                }
                self.ctx.cache.hash(self.batcher.target().db, KeyForm::Canonical, &self.key)
            }
        };
        let found = self.batcher.find_series(self.ctx.cache, hash);
        if let Some(placed) = found.filter(|placed| placed.measurement == measurement) {
            return Ok(placed);
        }
        self.batcher.new_series(hash, measurement, metric, tags).ok_or(Reject::KeyTooLong)
    }
}

/// Tags sorted by name, and the TTL if one is named.
fn read_tags<'a>(words: &[&'a [u8]]) -> Result<(Tags<'a>, Option<i64>), Reject> {
    let (mut tags, mut ttl) = (Tags::with_capacity(words.len().max(1)), None);
    for word in words {
        let mut parts = word.split(|byte| *byte == b'=');
        let name = parts.next().unwrap_or(&[]);
        let Some(value) = parts.next() else { return Err(Reject::TagFormat) };
        if name.is_empty() {
            return Err(Reject::TagNameEmpty);
        }
        if value.is_empty() {
            return Err(Reject::TagValueEmpty);
        }
        if name == TTL {
            let seconds = super::super::number::integer(value).map_err(|_| Reject::BadTtl)?;
            if ttl.replace(seconds).is_some() {
                return Err(Reject::TagTwice);
            }
            continue;
        }
        tags.push((name, value));
    }
    tags.sort_unstable();
    if tags.iter().zip(tags.iter().skip(1)).any(|(left, right)| left.0 == right.0) {
        return Err(Reject::TagTwice);
    }
    if tags.is_empty() {
        tags.push(NO_TAG);
    }
    Ok((tags, ttl))
}
