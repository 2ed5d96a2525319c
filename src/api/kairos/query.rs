//! `datapoints/query`, `datapoints/query/tags` and `datapoints/delete`.
//!
//! In: KairosDB's query object. Out: refusals only.

use super::{Call, answer, body};
use crate::api::front::Front;
use crate::api::reply::Reply;
use crate::env::Env;
use hyper::StatusCode;
use hyper::body::{Body, Bytes};
use std::rc::Rc;

/// Largest query (bytes).
const QUERY_BYTES_MAX: usize = 1 << 20;

async fn refuse<E, B>(front: &Front<E>, call: &Call<'_>, sent: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    match body::whole(front, call.head, sent, QUERY_BYTES_MAX).await {
        Err(reply) => reply,
        Ok(_) => {
            let text = format!("queries of {} are not supported", call.database(front));
            answer::error(StatusCode::NOT_IMPLEMENTED, &text)
        }
    }
}

/// `datapoints/query`, by POST and GET.
pub(super) async fn query<E, B>(front: &Rc<Front<E>>, call: &Call<'_>, sent: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    refuse(front, call, sent).await
}

/// `datapoints/query/tags`.
pub(super) async fn tags<E, B>(front: &Rc<Front<E>>, call: &Call<'_>, sent: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    refuse(front, call, sent).await
}

/// `datapoints/delete`.
pub(super) async fn delete<E, B>(front: &Rc<Front<E>>, call: &Call<'_>, sent: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    refuse(front, call, sent).await
}
