//! The body of a request, part by part as it arrives.
//!
//! In: a body of any form. Out: its bytes as they come; trailers are passed over.

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};

/// The body ended before its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unexpected EOF")]
pub struct CutShort;

/// The next bytes of a body; `None` at its end.
pub async fn next<B>(body: &mut B) -> Result<Option<Bytes>, CutShort>
where
    B: Body<Data = Bytes> + Unpin,
{
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.map_err(|_| CutShort)?.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;
    use http_body_util::Full;

    #[test]
    fn parts_come_until_the_end() {
        let mut body = Full::new(Bytes::from_static(b"abc"));
        assert_eq!(block_on(next(&mut body)), Ok(Some(Bytes::from_static(b"abc"))));
        assert_eq!(block_on(next(&mut body)), Ok(None));
    }
}
