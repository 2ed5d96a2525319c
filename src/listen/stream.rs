//! A connection as the HTTP library reads and writes it.
//!
//! In: polls of the library. Out: polls of the runtime's socket, or of TLS over it, which receives
//! into the library's own buffer; each time bytes move, the connection's clock is set.

use super::Front;
use super::connections::Connection;
use crate::env::Env;
use futures_lite::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Write};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// The adapter.
pub struct Stream<S> {
    pub stream: S,
    pub front: Rc<Front>,
    pub connection: Rc<Connection>,
}

impl<S> Stream<S> {
    fn note(&self, moved: usize) {
        if moved > 0 {
            self.connection.moved(self.front.env.now_mono());
        }
    }
}

impl<S: AsyncRead + Unpin> Read for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // SAFETY: the slice is only handed to the socket (or the decryption over it), which writes
        // to it and never reads it;
        // the cursor is advanced by exactly what was written.
        let read = unsafe {
            let free = buffer.as_mut();
            let free = std::slice::from_raw_parts_mut(free.as_mut_ptr().cast::<u8>(), free.len());
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, free))?;
            buffer.advance(read);
            read
        };
        self.note(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Write for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.note(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}
