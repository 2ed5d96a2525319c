//! Bodies of this API that are read whole before they are looked at: questions, tasks, values.
//!
//! In: a body of any size. Out: its bytes, inflated when it was packed, or the refusal.

use super::answer;
use crate::api::front::Front;
use crate::api::gzip::{self, Inflater, Trouble};
use crate::api::parts::{self, CutShort};
use crate::api::reply::Reply;
use crate::api::routes::Head;
use crate::env::Env;
use hyper::StatusCode;
use hyper::body::{Body, Bytes};

/// Reads a body of at most `bytes_max`, as sent and inflated.
pub async fn whole<E, B>(
    front: &Front<E>,
    head: &Head,
    mut body: B,
    bytes_max: usize,
) -> Result<Vec<u8>, Reply>
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    let mut bytes = Vec::new();
    while let Some(part) = parts::next(&mut body).await? {
        if bytes.len() + part.len() > bytes_max {
            return Err(too_large());
        }
        bytes.extend_from_slice(&part);
    }
    if !is_packed(head) {
        return Ok(bytes);
    }
    let mut inflater = Inflater::new(Vec::new(), bytes_max as u64);
    for slice in bytes.chunks(gzip::SLICE_BYTES) {
        inflater.push(slice).map_err(not_gzip)?;
        front.env.yield_now().await;
    }
    inflater.finish().map_err(not_gzip)
}

/// Whether a body is packed: by its encoding, or by its type as KairosDB's own client says it.
pub fn is_packed(head: &Head) -> bool {
    let kind = head.header("content-type").split(';').next().unwrap_or("").trim();
    head.header("content-encoding").eq_ignore_ascii_case("gzip")
        || kind.eq_ignore_ascii_case("application/gzip")
}

impl From<CutShort> for Reply {
    fn from(error: CutShort) -> Reply {
        answer::error(StatusCode::BAD_REQUEST, &error.to_string())
    }
}

/// The refusal of a body over its limit.
pub fn too_large() -> Reply {
    answer::error(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
}

/// The refusal of a body that cannot be inflated, in KairosDB's words where it has them.
pub fn not_gzip(trouble: Trouble) -> Reply {
    match trouble {
        Trouble::TooLarge => too_large(),
        Trouble::Malformed("gzip: invalid header") => {
            answer::error(StatusCode::BAD_REQUEST, "Not in GZIP format")
        }
        Trouble::Malformed(text) => answer::error(StatusCode::BAD_REQUEST, text),
    }
}
