//! `metadata/…`: texts under a service, a service key and a key, kept by the catalog's journal.
//!
//! Services whose name begins with an underscore are internal: 401 on every verb.

use super::{Call, answer, body};
use crate::api::front::Front;
use crate::api::reply::{self, Reply, TEXT};
use crate::catalog::{CatalogError, Command, ENTRY_BYTES_MAX, MetadataCommand, MetadataKey};
use crate::env::Env;
use hyper::body::{Body, Bytes};
use hyper::{Method, StatusCode};
use std::rc::Rc;

/// Reads, writes or deletes a text.
pub(super) async fn text<E, B>(front: &Rc<Front<E>>, call: &Call<'_>, sent: B) -> Reply
where
    E: Env,
    B: Body<Data = Bytes> + Unpin,
{
    if let Some(refusal) = internal(call) {
        return refusal;
    }
    let key = (call.arg(0).to_owned(), call.arg(1).to_owned(), call.arg(2).to_owned());
    if call.head.method == Method::POST {
        let text = match body::whole(front, call.head, sent, ENTRY_BYTES_MAX).await {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(refusal) => return refusal,
        };
        return decide(front, MetadataCommand::Put { key, text }).await;
    }
    if call.head.method == Method::DELETE {
        return decide(front, MetadataCommand::Drop { key }).await;
    }
    read(front, call, &key)
}

fn read<E: Env>(front: &Front<E>, call: &Call<'_>, key: &MetadataKey) -> Reply {
    let catalog = front.cluster.catalog();
    let plain = call.head.header("accept").starts_with("text/plain");
    match catalog.metadata().get(key) {
        Some(text) => {
            let kind = if plain { TEXT } else { reply::JSON };
            reply::bytes(StatusCode::OK, kind, text.as_bytes().to_vec())
        }
        None if plain => reply::bytes(StatusCode::NOT_FOUND, TEXT, Vec::new()),
        None => answer::error(StatusCode::NOT_FOUND, "Key not found"),
    }
}

/// Lists the keys of a service key, or the service keys of a service.
pub(super) fn list<E: Env>(front: &Rc<Front<E>>, call: &Call<'_>) -> Reply {
    if let Some(refusal) = internal(call) {
        return refusal;
    }
    let catalog = front.cluster.catalog();
    let metadata = catalog.metadata();
    let begins = call.head.params.get("startsWith");
    let names: Vec<&str> = match call.arg(1) {
        "" => metadata.service_keys(call.arg(0)),
        service_key => {
            let keys = metadata.of(call.arg(0), service_key).map(|(key, _)| key);
            keys.filter(|key| key.starts_with(begins)).collect()
        }
    };
    let mut out = b"{\"results\":".to_vec();
    answer::list(names.iter().map(|name| name.as_bytes()), &mut out);
    out.push(b'}');
    answer::json(StatusCode::OK, out)
}

fn internal(call: &Call<'_>) -> Option<Reply> {
    call.arg(0).starts_with('_').then(|| reply::empty(StatusCode::UNAUTHORIZED))
}

async fn decide<E: Env>(front: &Front<E>, command: MetadataCommand) -> Reply {
    match front.cluster.decide(Command::Metadata(command)).await {
        Ok(()) => reply::empty(StatusCode::NO_CONTENT),
        Err(CatalogError::MetadataTooLarge) => body::too_large(),
        Err(error) => answer::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
