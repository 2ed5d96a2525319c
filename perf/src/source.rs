//! Requests, in order: made before the clock starts as far as memory allows, later ones as they
//! are taken.
//!
//! In: a workload. Out: numbered bodies. Making them beforehand keeps the generator's own work out
//! of the way of a server on the same processors.

use crate::workload::encode::{Body, Protocol};
use crate::workload::{Shape, Workload};
use std::collections::VecDeque;

/// The common list of requests.
pub struct Source {
    workload: Workload,
    protocol: Protocol,
    batch: u32,
    ready: VecDeque<Body>,
    taken: u64,
    /// Bytes of a body so far, to make room for the next at once.
    usual: usize,
}

impl Source {
    /// Makes requests of `batch` rows until `bytes` are ready.
    pub fn new(shape: &Shape, protocol: Protocol, batch: u32, bytes: usize) -> Source {
        let workload = Workload::new(shape);
        let ready = VecDeque::new();
        let batch = batch.max(1);
        let mut source = Source { workload, protocol, batch, ready, taken: 0, usual: 0 };
        let mut made = 0;
        while made < bytes {
            let Some(body) = source.make() else { break };
            made += body.bytes.len();
            source.ready.push_back(body);
        }
        source
    }

    /// The next request and its number.
    pub fn take(&mut self) -> Option<(u64, Body)> {
        let body = self.ready.pop_front().or_else(|| self.make())?;
        self.taken += 1;
        Some((self.taken - 1, body))
    }

    fn make(&mut self) -> Option<Body> {
        let bytes = Vec::with_capacity(self.usual + self.usual / 16);
        let mut body = Body { bytes, ..Body::default() };
        body.begin(self.protocol);
        while body.rows < self.batch {
            let Some(row) = self.workload.row() else { break };
            body.add(self.protocol, &row);
        }
        body.end(self.protocol);
        self.usual = self.usual.max(body.bytes.len());
        (body.rows > 0).then_some(body)
    }
}
