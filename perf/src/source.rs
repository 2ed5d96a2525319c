//! Requests, in order: made before the clock starts as far as memory allows, later ones as they
//! are taken.
//!
//! In: a workload. Out: numbered bodies. Making them beforehand keeps the generator's own work out
//! of the way of a server on the same processors.

use crate::workload::encode::{Body, Protocol};
use crate::workload::{Shape, Workload};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::VecDeque;
use std::io::Write;

/// How requests are made.
#[derive(Clone, Copy)]
pub struct Making {
    pub protocol: Protocol,
    /// Rows a request.
    pub batch: u32,
    pub gzip: bool,
}

/// The common list of requests.
pub struct Source {
    workload: Workload,
    making: Making,
    ready: VecDeque<Body>,
    taken: u64,
    /// Bytes of a body so far, to make room for the next at once.
    usual: usize,
}

impl Source {
    /// Makes requests until `bytes` are ready.
    pub fn new(shape: &Shape, making: Making, bytes: usize) -> Source {
        let workload = Workload::new(shape);
        let making = Making { batch: making.batch.max(1), ..making };
        let mut source = Source { workload, making, ready: VecDeque::new(), taken: 0, usual: 0 };
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

    /// Values of the request that `take` gives next; 0 behind the last.
    pub fn next_values(&mut self) -> u64 {
        if self.ready.is_empty() {
            let made = self.make();
            self.ready.extend(made);
        }
        self.ready.front().map_or(0, |body| body.values)
    }

    fn make(&mut self) -> Option<Body> {
        let Making { protocol, batch, gzip } = self.making;
        let bytes = Vec::with_capacity(self.usual + self.usual / 16);
        let mut body = Body { bytes, ..Body::default() };
        body.begin(protocol);
        while body.rows < batch {
            let Some(row) = self.workload.row() else { break };
            body.add(protocol, &row);
        }
        body.end(protocol);
        self.usual = self.usual.max(body.bytes.len());
        if gzip {
            body.bytes = packed(&body.bytes);
        }
        (body.rows > 0).then_some(body)
    }
}

/// As agents do: the fastest level, which is several times smaller already.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    // Writing into a vector cannot fail.
    let _ = out.write_all(bytes);
    out.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::shape;
    use std::io::Read;

    fn all(making: Making, prepared: usize) -> Vec<(u64, u64, Vec<u8>)> {
        let mut source = Source::new(&shape("--hosts 7 --points 5"), making, prepared);
        let mut found = Vec::new();
        loop {
            let announced = source.next_values();
            let Some((number, body)) = source.take() else { break };
            assert_eq!(announced, body.values);
            found.push((number, body.values, body.bytes));
        }
        assert_eq!(source.next_values(), 0);
        found
    }

    #[test]
    fn requests_are_the_same_whether_made_before_or_when_taken() {
        let making = Making { protocol: Protocol::Influx, batch: 10, gzip: false };
        let found = all(making, 0);
        assert_eq!(found, all(making, 1 << 20));
        let values: Vec<_> = found.iter().map(|(number, values, _)| (*number, *values)).collect();
        assert_eq!(values, [(0, 100), (1, 100), (2, 100), (3, 50)]);
    }

    #[test]
    fn packed_bodies_unpack_to_the_plain_ones() {
        let plain = Making { protocol: Protocol::Influx, batch: 35, gzip: false };
        let packed = all(Making { gzip: true, ..plain }, 0);
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(packed[0].2.as_slice()).read_to_end(&mut text).unwrap();
        assert_eq!(text, all(plain, 0)[0].2);
        assert!(packed[0].2.len() * 2 < text.len());
    }
}
