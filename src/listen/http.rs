//! HTTP/1.1 on one connection: framing by the HTTP library, requests answered by `api`.
//!
//! Keep-alive, chunked bodies and `Expect: 100-continue` are the library's. The connection ends
//! when the peer ends it, when nothing moved for too long while it was the peer's turn, or when
//! the server drains: then after the answer under way.

use super::Front;
use super::connections::Connection;
use super::stream::Stream;
use crate::api::routes;
use crate::api::watch::Peer;
use futures_lite::{AsyncRead, AsyncWrite, future};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

/// Most header lines of a request.
const HEADERS_MAX: usize = 100;
/// The library's smallest buffer.
const HEAD_BYTES_MIN: usize = 8192;
/// The library's read buffer grows up to this (bytes).
const READ_BYTES_MAX: usize = 256 << 10;

/// Serves a connection until its end.
pub async fn serve<S>(front: Rc<Front>, stream: S, peer: Option<Peer>, connection: Rc<Connection>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let head_max = usize::try_from(front.config().http_max_header_size.0).unwrap_or(usize::MAX);
    let io = Stream { stream, front: front.clone(), connection: connection.clone() };
    let turn = connection.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (front, turn) = (front.clone(), turn.clone());
        async move {
            turn.set_working(true);
            let mut request = request.map(|inner| Counted { inner, turn: turn.clone() });
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            let reply = routes::answer(front, request).await;
            turn.set_working(false);
            Ok::<_, Infallible>(reply.map(|inner| Sent { inner, turn }))
        }
    });
    let running = http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_header_size(head_max)
        .max_buf_size(READ_BYTES_MAX.max(head_max).max(HEAD_BYTES_MIN))
        .serve_connection(io, service);
    let mut running = pin!(running);
    let finished = async {
        // How a connection ended is of no interest: the peer knows.
        let _ = running.as_mut().await;
        true
    };
    let told = async {
        connection.draining().await;
        false
    };
    if future::or(finished, told).await {
        return;
    }
    running.as_mut().graceful_shutdown();
    let finished = async {
        let _ = running.as_mut().await;
    };
    future::or(finished, connection.closing()).await;
}

/// A request's body: while it is waited for, it is the peer's turn.
struct Counted {
    inner: Incoming,
    turn: Rc<Connection>,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let poll = Pin::new(&mut self.inner).poll_frame(context);
        self.turn.set_working(poll.is_ready());
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer's body: while nothing of it is there, it is the server's turn.
struct Sent {
    inner: crate::api::Body,
    turn: Rc<Connection>,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let poll = Pin::new(&mut self.inner).poll_frame(context);
        self.turn.set_working(poll.is_pending());
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
