//! Answers: status, headers and a body, whole or streamed.
//!
//! In: what a handler decided. Out: a response as the HTTP library takes it. A streamed body is a
//! `Pipe` of bounded size between the task that makes it and the connection that sends it: a slow
//! client slows the maker down, and a client that goes away stops it.

use super::routes::Head;
use crate::encode::Format;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::Write;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Bytes that wait in a pipe before its maker waits.
const PIPE_BYTES: usize = 256 << 10;
/// Longest text in the error header, as InfluxDB cuts it.
const HEADER_TEXT_MAX: usize = 1024;
/// Where the text of a refusal stands, too.
pub const ERROR_HEADER: &str = "X-Influxdb-Error";

pub const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A response of this server.
pub type Reply = Response<Body>;

/// The body of an answer.
pub enum Body {
    Whole(Option<Bytes>),
    Streamed(PipeEnd),
    /// A streamed body on its way through gzip.
    Packed(Box<Packed>),
}

/// Bytes of a pipe, packed as they come.
pub struct Packed {
    end: PipeEnd,
    /// `None` once the stream has its end.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Packed {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            let Some(encoder) = &mut self.encoder else { return Poll::Ready(None) };
            match self.end.poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(bytes)) => {
                    // A write into memory does not fail.
                    let _ = encoder.write_all(&bytes);
                    let out = std::mem::take(encoder.get_mut());
                    if !out.is_empty() {
                        return Poll::Ready(Some(out.into()));
                    }
                }
                Poll::Ready(None) => {
                    let rest = self.encoder.take().and_then(|encoder| encoder.finish().ok());
                    return Poll::Ready(rest.map(Bytes::from));
                }
            }
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Body::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Body::Streamed(end) => end.poll(context).map(|bytes| bytes.map(|b| Ok(Frame::data(b)))),
            Body::Packed(packed) => {
                packed.poll(context).map(|bytes| bytes.map(|b| Ok(Frame::data(b))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Body::Streamed(_) | Body::Packed(_) => SizeHint::default(),
        }
    }
}

#[derive(Default)]
struct Shared {
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// The maker is done.
    ended: bool,
    /// The connection is gone.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The making end of a streamed body. Dropping it ends the body.
pub struct Pipe(Rc<RefCell<Shared>>);

/// The sending end.
pub struct PipeEnd(Rc<RefCell<Shared>>);

/// A streamed body.
pub fn pipe() -> (Pipe, PipeEnd) {
    let shared = Rc::<RefCell<Shared>>::default();
    (Pipe(shared.clone()), PipeEnd(shared))
}

impl Pipe {
    /// Waits while too many bytes are there; false when nobody wants them any more.
    pub async fn room(&self) -> bool {
        poll_fn(|context| {
            let mut shared = self.0.borrow_mut();
            if shared.abandoned {
                return Poll::Ready(false);
            }
            if shared.bytes >= PIPE_BYTES {
                shared.writer = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(true)
        })
        .await
    }

    /// Hands bytes over at once.
    pub fn push(&self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let mut shared = self.0.borrow_mut();
        shared.bytes += bytes.len();
        shared.queue.push_back(Bytes::from(bytes));
        let reader = shared.reader.take();
        drop(shared);
        reader.into_iter().for_each(Waker::wake);
    }

    /// Hands bytes over, waiting while too many are there; false when nobody wants them any more.
    pub async fn send(&self, bytes: Vec<u8>) -> bool {
        let wanted = self.room().await;
        if wanted {
            self.push(bytes);
        }
        wanted
    }

    /// Comes back when the connection is gone.
    pub async fn abandoned(&self) {
        poll_fn(|context| {
            let mut shared = self.0.borrow_mut();
            if shared.abandoned {
                return Poll::Ready(());
            }
            shared.writer = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.0.borrow_mut().ended = true;
        let reader = self.0.borrow_mut().reader.take();
        reader.into_iter().for_each(Waker::wake);
    }
}

impl PipeEnd {
    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        poll_fn(|context| self.poll(context)).await
    }

    /// Whether nothing more will come.
    pub fn is_over(&self) -> bool {
        let shared = self.0.borrow();
        shared.ended && shared.queue.is_empty()
    }

    /// Gives bytes back that were taken last.
    pub fn put_back(&mut self, bytes: Bytes) {
        let mut shared = self.0.borrow_mut();
        shared.bytes += bytes.len();
        shared.queue.push_front(bytes);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut shared = self.0.borrow_mut();
        if let Some(bytes) = shared.queue.pop_front() {
            shared.bytes -= bytes.len();
            let writer = shared.writer.take();
            drop(shared);
            writer.into_iter().for_each(Waker::wake);
            return Poll::Ready(Some(bytes));
        }
        if shared.ended {
            return Poll::Ready(None);
        }
        shared.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.0.borrow_mut().abandoned = true;
        let writer = self.0.borrow_mut().writer.take();
        writer.into_iter().for_each(Waker::wake);
    }
}

/// An answer of bytes.
pub fn bytes(status: StatusCode, kind: HeaderValue, body: Vec<u8>) -> Reply {
    let mut reply = Response::new(Body::Whole(Some(body.into()).filter(|b: &Bytes| !b.is_empty())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Reply {
    bytes(status, JSON, Vec::new())
}

/// A streamed answer.
pub fn streamed(kind: HeaderValue, end: PipeEnd) -> Reply {
    let mut reply = Response::new(Body::Streamed(end));
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

/// The answer packed by gzip, unless its body is whole and shorter than `bytes_min`.
pub fn pack(mut reply: Reply, bytes_min: u64) -> Reply {
    let body = match std::mem::replace(reply.body_mut(), Body::Whole(None)) {
        Body::Whole(Some(bytes)) if bytes.len() as u64 >= bytes_min => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            // A write into memory does not fail.
            let _ = encoder.write_all(&bytes);
            Body::Whole(encoder.finish().ok().map(Bytes::from))
        }
        Body::Streamed(end) => {
            let encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
            Body::Packed(Box::new(Packed { end, encoder }))
        }
        other => {
            *reply.body_mut() = other;
            return reply;
        }
    };
    *reply.body_mut() = body;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    reply
}

/// A refusal in InfluxDB's form: the text as JSON, and in a header.
pub fn error(status: StatusCode, text: &[u8], pretty: bool) -> Reply {
    error_in(Format::Json, status, text, pretty)
}

/// A refusal in the form that the client accepts.
pub(super) fn refuse(head: &Head, status: StatusCode, text: &[u8]) -> Reply {
    error_in(head.format, status, text, head.pretty())
}

/// A refusal for want of credentials, which asks for them.
pub(super) fn unauthorized(head: &Head, text: &str, challenge: HeaderValue) -> Reply {
    let mut reply = refuse(head, StatusCode::UNAUTHORIZED, text.as_bytes());
    let headers = reply.headers_mut();
    headers.remove(ERROR_HEADER);
    headers.insert(WWW_AUTHENTICATE, challenge);
    reply
}

fn error_in(format: Format, status: StatusCode, text: &[u8], pretty: bool) -> Reply {
    let kind = HeaderValue::from_static(format.content_type());
    let mut reply = bytes(status, kind, format.error(text, pretty));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let cut = text.iter().copied().take(HEADER_TEXT_MAX);
    let cut: Vec<u8> =
        cut.map(|byte| if byte < b' ' || byte == 127 { b' ' } else { byte }).collect();
    if let Ok(value) = HeaderValue::from_bytes(&cut) {
        reply.headers_mut().insert(ERROR_HEADER, value);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn a_pipe_holds_its_maker_back_and_ends_with_it() {
        let (pipe, mut end) = pipe();
        assert!(block_on(pipe.send(vec![1; PIPE_BYTES])));
        let mut second = Box::pin(pipe.send(vec![2]));
        assert!(block_on(poll_once(&mut second)).is_none());
        let first = block_on(end.next());
        assert_eq!(first.map(|bytes| bytes.len()), Some(PIPE_BYTES));
        assert!(block_on(second));
        drop(pipe);
        assert_eq!(block_on(end.next()).as_deref(), Some(&[2][..]));
        assert_eq!(block_on(end.next()), None);
    }

    #[test]
    fn a_reader_that_goes_away_stops_the_maker() {
        let (pipe, end) = pipe();
        drop(end);
        assert!(!block_on(pipe.send(vec![1])));
    }

    #[test]
    fn a_packed_stream_is_the_stream() {
        let (pipe, end) = pipe();
        let text: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(n) >> 5) as u8).collect();
        let mut reply = pack(streamed(JSON, end), 0);
        assert_eq!(reply.headers()[CONTENT_ENCODING], "gzip");
        let mut packed = Vec::new();
        for part in text.chunks(50_000) {
            assert!(block_on(pipe.send(part.to_vec())));
        }
        drop(pipe);
        let mut next = || {
            let body = Pin::new(reply.body_mut());
            let mut context = Context::from_waker(Waker::noop());
            match body.poll_frame(&mut context) {
                Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
                _ => None,
            }
        };
        while let Some(bytes) = next() {
            packed.extend_from_slice(&bytes);
        }
        let mut decoder = flate2::write::MultiGzDecoder::new(Vec::new());
        decoder.write_all(&packed).unwrap();
        assert!(decoder.finish().unwrap() == text);
    }

    #[test]
    fn an_error_is_told_twice() {
        let reply = error(StatusCode::BAD_REQUEST, b"a\nb", false);
        assert_eq!(reply.headers().get("X-Influxdb-Error").unwrap(), "a b");
        assert_eq!(reply.body().size_hint().exact(), Some(17));
        let long = error(StatusCode::BAD_REQUEST, &[b'x'; 3000], false);
        assert_eq!(long.headers().get("X-Influxdb-Error").unwrap().len(), 1024);
    }
}
