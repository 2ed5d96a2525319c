//! KairosDB's telnet protocol on one connection.
//!
//! Reads into one buffer, decodes the complete lines, and hands them to a write while the next
//! bytes are read and decoded: at most one write of a connection is in flight, so rows keep their
//! order and a slow store slows the sender down. The start of an unfinished line stays in the
//! buffer; at the end of the connection it is dropped and counted, because it may be cut in the
//! middle of a number.

use super::Front;
use super::connections::Connection;
use crate::api::telnet::{self as door, Decoder, VERSION_LINE};
use crate::env::{Env, Queue, Task};
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use glommio::net::TcpStream;
use std::rc::Rc;

/// Serves a connection until its end.
pub async fn serve(front: Rc<Front>, stream: TcpStream, connection: Rc<Connection>) {
    let peer = stream.peer_addr().map_or_else(|_| "unknown".to_owned(), |peer| peer.to_string());
    let mut session = Session {
        decoder: Decoder::new(front.clone(), peer),
        front,
        stream,
        connection,
        buffer: Vec::new(),
        read_bytes: READ_BYTES_FIRST,
        filled: 0,
        writing: None,
        spare: Vec::new(),
    };
    session.run().await;
    session.settle().await;
    if session.filled > 0 {
        session.front.doors().telnet_rests_dropped.add(1);
    }
}

/// What the first read of a connection may bring.
const READ_BYTES_FIRST: usize = 16 << 10;

type Writing = <crate::env::real::RealEnv as Env>::Task<Vec<u8>>;

struct Session {
    front: Rc<Front>,
    stream: TcpStream,
    connection: Rc<Connection>,
    decoder: Decoder<crate::env::real::RealEnv>,
    buffer: Vec<u8>,
    /// What one read may bring now; doubled by each read that brought so much.
    read_bytes: usize,
    /// Bytes of the buffer that are read and not decoded.
    filled: usize,
    /// The write in flight.
    writing: Option<Writing>,
    /// A buffer of an earlier write.
    spare: Vec<u8>,
}

impl Session {
    async fn run(&mut self) {
        while !self.connection.is_ending() {
            self.make_room();
            let Some(read) = self.read().await else { return };
            self.front.doors().telnet_bytes.add(read as u64);
            self.connection.moved(self.front.env.now_mono());
            if read >= self.read_bytes {
                self.read_bytes = self.read_bytes.saturating_mul(2);
            }
            self.filled += read;
            self.connection.set_working(true);
            let going = self.take_lines().await;
            self.connection.set_working(false);
            if !going {
                return;
            }
        }
    }

    /// Makes room for a read. A busy sender gets a larger buffer, up to the limit, and so larger
    /// writes: 64 KiB a write cost three times the CPU of 1 MiB. Thousands of quiet ones stay
    /// small.
    fn make_room(&mut self) {
        let config = self.front.config();
        let size = usize::try_from(config.telnet_read_size.0).unwrap_or(usize::MAX).max(4096);
        self.read_bytes = self.read_bytes.min(size);
        let longest = usize::try_from(config.telnet_max_line_size.0).unwrap_or(usize::MAX);
        let wanted = self.read_bytes.saturating_add(longest).saturating_add(2);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
    }

    /// Bytes read; `None` at the end.
    async fn read(&mut self) -> Option<usize> {
        let free = self.buffer.get_mut(self.filled..)?;
        let reading = async { self.stream.read(free).await.ok().filter(|read| *read > 0) };
        let told = async {
            self.connection.draining().await;
            None
        };
        future::or(reading, told).await
    }

    /// Decodes what is there and starts its write; false when the connection is to end.
    async fn take_lines(&mut self) -> bool {
        let spare = std::mem::take(&mut self.spare);
        let input = self.buffer.get(..self.filled).unwrap_or(&[]);
        let decoded = match self.decoder.decode(input, spare).await {
            Ok(decoded) => decoded,
            Err(error) => {
                // Lines that cannot be placed at all are lost; the sender has no way to learn it.
                self.front.note(|| format!("telnet: lines not stored: {error}"));
                self.filled = 0;
                return true;
            }
        };
        self.buffer.copy_within(decoded.consumed..self.filled, 0);
        self.filled -= decoded.consumed;
        let versions = decoded.versions as usize;
        self.front.doors().telnet_versions.add(u64::from(decoded.versions));
        self.settle().await;
        let front = self.front.clone();
        let write = async move { door::store(&front, decoded).await };
        self.writing = Some(self.front.env.spawn(Queue::Ingest, write));
        let answer = VERSION_LINE.repeat(versions);
        answer.is_empty() || self.stream.write_all(answer.as_bytes()).await.is_ok()
    }

    /// Waits for the write in flight.
    async fn settle(&mut self) {
        if let Some(writing) = self.writing.take() {
            self.spare = writing.join().await.unwrap_or_default();
        }
    }
}
