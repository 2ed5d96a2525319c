//! A connection of telnet, Graphite's plaintext or its pickles.
//!
//! Reads into a buffer that is lent for the time, decodes what is complete, and hands it to a write
//! while the next bytes are read and decoded: at most one write of a connection is in flight, so
//! rows keep their order and a slow store slows the sender down. The start of an unfinished line or
//! frame is kept; at the end of the connection it is dropped and counted, because it may be cut in
//! the middle of a number.

use super::buffers::{Buffers, Kept};
use super::connections::Connection;
use super::{Front, RealDecoder};
use crate::api::stream::{self, Decoded};
use crate::env::{Env, Queue, Task};
use crate::stats::StreamDoor;
use futures_lite::{AsyncRead, AsyncWriteExt, future};
use glommio::net::TcpStream;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

/// What the first read of a connection may bring.
const READ_BYTES_FIRST: usize = 16 << 10;
/// Fewer bytes are copied out of a buffer, so that it can be lent again.
const COPY_BYTES_MAX: usize = 4 << 10;

/// Serves a connection until its end.
pub async fn serve(
    front: Rc<Front>,
    stream: TcpStream,
    door: StreamDoor,
    (connection, buffers): (Rc<Connection>, Buffers),
) {
    let peer = stream.peer_addr().map_or_else(|_| "unknown".to_owned(), |peer| peer.to_string());
    let mut session = Session {
        decoder: RealDecoder::new(front.clone(), door),
        front,
        door,
        stream,
        peer,
        connection,
        account: buffers.account(),
        buffers,
        rest: Vec::new(),
        kept: None,
        filled: 0,
        read_bytes: READ_BYTES_FIRST,
        writing: None,
    };
    session.run().await;
    session.settle().await;
    if session.filled > 0
        && let Some([_, _, rests]) = session.front.doors().connections(door)
    {
        rests.add(1);
    }
}

type Writing = <crate::env::real::RealEnv as Env>::Task<()>;

struct Session {
    front: Rc<Front>,
    door: StreamDoor,
    stream: TcpStream,
    peer: String,
    connection: Rc<Connection>,
    buffers: Buffers,
    decoder: RealDecoder,
    /// What is read and not decoded, when it is little.
    rest: Vec<u8>,
    /// What is read and not decoded, when it is much: the first `filled` bytes.
    kept: Option<Vec<u8>>,
    account: Kept,
    /// Bytes that are read and not decoded.
    filled: usize,
    /// What one read may bring now; doubled by each read that brought so much.
    read_bytes: usize,
    /// The write in flight.
    writing: Option<Writing>,
}

impl Session {
    async fn run(&mut self) {
        while !self.connection.is_ending() {
            let Some((buffer, read)) = self.read().await else { return };
            self.front.doors().stream(self.door).bytes.add(read as u64);
            self.connection.moved(self.front.env.now_mono());
            self.filled += read;
            self.adapt(read);
            self.connection.set_working(true);
            let going = self.take(buffer).await;
            self.connection.set_working(false);
            if !self.account.set(self.kept.as_ref().map_or(0, Vec::capacity)) {
                let door = self.door.name();
                self.front.note(|| format!("{door} {}: too much is unfinished", self.peer));
                return;
            }
            if !going {
                return;
            }
        }
    }

    /// A busy sender gets larger reads, up to the limit, and so larger writes: 64 KiB a write cost
    /// three times the CPU of 1 MiB.
    fn adapt(&mut self, read: usize) {
        let config = self.front.config();
        let most = match self.door {
            StreamDoor::Telnet => config.telnet_read_size,
            _ => config.graphite_read_size,
        };
        let most = usize::try_from(most.0).unwrap_or(usize::MAX).max(4096);
        if read >= self.read_bytes {
            self.read_bytes = self.read_bytes.saturating_mul(2);
        }
        self.read_bytes = self.read_bytes.min(most);
    }

    /// A buffer with what was not decoded and what was read behind it, and the number of bytes
    /// read; `None` at the end. While nothing comes, no buffer is held for a short rest.
    async fn read(&mut self) -> Option<(Vec<u8>, usize)> {
        let Session { stream, connection, buffers, rest, kept, filled, read_bytes, .. } = self;
        let wanted = filled.saturating_add(*read_bytes);
        let reading = poll_fn(|context| {
            let is_kept = kept.is_some();
            let mut buffer = kept.take().unwrap_or_else(|| buffers.take(wanted));
            if buffer.len() < wanted {
                buffer.resize(wanted, 0);
            }
            let polled = match buffer.get_mut(*filled..wanted) {
                Some(free) => Pin::new(&mut *stream).poll_read(context, free),
                None => Poll::Ready(Ok(0)),
            };
            match polled {
                Poll::Ready(Ok(read)) if read > 0 => {
                    if let Some(start) = buffer.get_mut(..rest.len()).filter(|_| !is_kept) {
                        start.copy_from_slice(rest);
                    }
                    return Poll::Ready(Some((buffer, read)));
                }
                _ if is_kept => *kept = Some(buffer),
                _ => buffers.give(buffer),
            }
            if polled.is_pending() { Poll::Pending } else { Poll::Ready(None) }
        });
        let told = async {
            connection.draining().await;
            None
        };
        future::or(reading, told).await
    }

    /// Decodes what is complete and starts its write; false when the connection is to end.
    async fn take(&mut self, buffer: Vec<u8>) -> bool {
        let input = buffer.get(..self.filled).unwrap_or_default();
        let peer = &self.peer;
        let decoded = {
            let connection = &self.connection;
            self.decoder.decode(input, |_| peer.clone(), || connection.is_ending()).await
        };
        let mut decoded = match decoded {
            Ok(decoded) => decoded,
            Err(error) => {
                // What cannot be placed at all is lost; the sender has no way to learn of it.
                let lines = memchr::memchr_iter(b'\n', input).count() as u64;
                self.front.doors().stream(self.door).points_failed.add(lines);
                let door = self.door.name();
                self.front.note(|| format!("{door}: {lines} lines not stored: {error}"));
                let end = memchr::memrchr(b'\n', input).map_or(0, |at| at + 1);
                self.keep_rest(buffer, end);
                return self.door != StreamDoor::Pickle;
            }
        };
        let (ends, consumed) = (decoded.ends, decoded.consumed);
        let answers = std::mem::take(&mut decoded.answers);
        let bytes = self.keep_rest(buffer, consumed);
        self.settle().await;
        self.write(decoded, bytes);
        self.answer(&answers).await && !ends
    }

    /// Keeps what is not decoded; gives the bytes that were.
    fn keep_rest(&mut self, buffer: Vec<u8>, consumed: usize) -> Vec<u8> {
        let left = buffer.get(consumed..self.filled).unwrap_or_default();
        self.filled = left.len();
        self.rest.clear();
        if left.len() <= COPY_BYTES_MAX {
            self.rest.extend_from_slice(left);
        } else if consumed == 0 {
            self.kept = Some(buffer);
            return Vec::new();
        } else {
            let mut next = self.buffers.take(left.len());
            if let Some(start) = next.get_mut(..left.len()) {
                start.copy_from_slice(left);
            }
            self.kept = Some(next);
        }
        if consumed > COPY_BYTES_MAX {
            return buffer;
        }
        let bytes = buffer.get(..consumed).unwrap_or_default().to_vec();
        self.buffers.give(buffer);
        bytes
    }

    /// Starts the write of a part; `bytes` begin with what it was decoded from.
    fn write(&mut self, part: Decoded, bytes: Vec<u8>) {
        let (front, buffers) = (self.front.clone(), self.buffers.clone());
        let connection = self.connection.clone();
        let write = async move {
            let used = bytes.get(..part.consumed).unwrap_or(&bytes);
            stream::store(&front, part, used, || connection.is_ending()).await;
            if bytes.len() > COPY_BYTES_MAX {
                buffers.give(bytes);
            }
        };
        self.writing = Some(self.front.env.spawn(Queue::Ingest, write));
    }

    /// Sends answers; false when the peer does not take them.
    async fn answer(&mut self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        // It is the peer's turn, so the idle time-out holds, too.
        self.connection.set_working(false);
        let sent = async { self.stream.write_all(bytes).await.is_ok() };
        let late = async {
            self.front.env.sleep(self.front.config().telnet_answer_timeout).await;
            self.front.doors().idle_closed.add(1);
            false
        };
        let told = async {
            self.connection.closing().await;
            false
        };
        future::or(sent, future::or(late, told)).await
    }

    /// Waits for the write in flight.
    async fn settle(&mut self) {
        if let Some(writing) = self.writing.take() {
            writing.join().await;
        }
    }
}
