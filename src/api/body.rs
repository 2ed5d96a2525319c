//! A body of line protocol on its way in: bytes collected, decoded as they come, written at the
//! end.
//!
//! The bytes stay until the write is over, because a write that meets a dropped name is decoded
//! again. Decoding goes in slices with turns for other tasks between them.

use super::front::Front;
use super::ingest::{IngestError, NAMES_MAX, SLICE_BYTES, Stored, TRIES_MAX};
use crate::env::Env;
use crate::protocol::line::{self, Precision, Report};
use crate::protocol::{Batcher, Progress, Tail, Target};

/// A body under way.
pub struct LineBody<'f, E: Env> {
    front: &'f Front<E>,
    batcher: Option<Batcher>,
    target: Target,
    precision: Precision,
    now_ns: i64,
    report: Report,
    tail: Tail,
    /// Behind the last line decoded.
    decoded: usize,
}

impl<'f, E: Env> LineBody<'f, E> {
    /// Begins a body that arrives now.
    pub fn new(front: &'f Front<E>, target: Target, precision: Precision) -> LineBody<'f, E> {
        let mut batcher = front.take_batcher();
        batcher.begin(target);
        LineBody {
            front,
            batcher: Some(batcher),
            target,
            precision,
            now_ns: front.env.now_wall(),
            report: Report::default(),
            tail: Tail::default(),
            decoded: 0,
        }
    }

    /// Where the rows go, and the unit of their times.
    pub fn aim(&self) -> (Target, Precision) {
        (self.target, self.precision)
    }

    /// Decodes what came in when it is worth a slice.
    pub async fn advance(&mut self, bytes: &[u8]) -> Result<(), IngestError> {
        if bytes.len() - self.decoded.min(bytes.len()) < SLICE_BYTES {
            return Ok(());
        }
        self.decode(bytes, true).await
    }

    /// Decodes the rest and writes it; gives what was stored and what was wrong.
    pub async fn finish(mut self, bytes: &[u8]) -> Result<(Report, Stored), IngestError> {
        let mut tries = 1;
        loop {
            match self.decode_and_commit(bytes).await {
                Err(IngestError::Stale) if tries < TRIES_MAX => tries += 1,
                result => return result.map(|stored| (self.report, stored)),
            }
            self.restart();
        }
    }

    fn restart(&mut self) {
        let mut batcher = self.front.take_batcher();
        batcher.begin(self.target);
        self.batcher = Some(batcher);
        (self.report, self.tail, self.decoded) = (Report::default(), Tail::default(), 0);
    }

    async fn decode_and_commit(&mut self, bytes: &[u8]) -> Result<Stored, IngestError> {
        self.decode(bytes, false).await?;
        let Some(mut batcher) = self.batcher.take() else { return Err(IngestError::Stale) };
        let outcome = batcher.finish();
        self.front.give_batcher(batcher);
        let rows = outcome.rows;
        let stored = self.front.commit(outcome).await;
        if matches!(stored, Err(IngestError::Timeout | IngestError::Busy | IngestError::Shard(_))) {
            self.front.doors().http_points_failed.add(rows);
        }
        stored
    }

    async fn decode(&mut self, bytes: &[u8], more: bool) -> Result<(), IngestError> {
        let mut window = SLICE_BYTES;
        let mut stuck = 0;
        loop {
            let end = self.decoded.saturating_add(window).min(bytes.len());
            let last = end == bytes.len();
            let input = bytes.get(self.decoded..end).unwrap_or(&[]);
            match self.step(input, more || !last) {
                None => return Err(IngestError::Stale),
                Some(Progress::Done { consumed }) => {
                    self.decoded += consumed;
                    if last {
                        return Ok(());
                    }
                    // A line longer than the slice needs a larger one.
                    window = if consumed == 0 { window * 2 } else { SLICE_BYTES };
                    stuck = 0;
                }
                Some(Progress::NeedNames { resume_at, missing }) => {
                    self.decoded += resume_at;
                    stuck = if resume_at == 0 { stuck + 1 } else { 0 };
                    if stuck > TRIES_MAX {
                        return Err(IngestError::Stale);
                    }
                    let making = self.front.make_names(missing, self.target.policy, false);
                    self.front.in_time(making).await?;
                }
            }
            self.front.env.yield_now().await;
        }
    }

    fn step(&mut self, input: &[u8], more: bool) -> Option<Progress> {
        let front = self.front;
        let catalog = front.cluster.catalog();
        let mut context = line::Context {
            catalog: &catalog,
            cache: &mut front.cache.borrow_mut(),
            report: &mut self.report,
            tail: &mut self.tail,
            now_ns: self.now_ns,
            precision: self.precision,
            shards: front.cluster.shard_count(),
            more,
            line_bytes_max: usize::try_from(front.config().http_max_line_size.0)
                .unwrap_or(usize::MAX),
            names_max: NAMES_MAX,
        };
        Some(line::decode(input, self.batcher.as_mut()?, &mut context))
    }
}
