//! `DELETE metric/{name}`: a metric goes with all its points and its name.

use super::{Call, answer};
use crate::api::front::Front;
use crate::api::reply::{self, Reply};
use crate::catalog::{CatalogError, Command};
use crate::env::Env;
use hyper::StatusCode;
use std::rc::Rc;

/// Deletes a metric. One that is not there is deleted already.
pub(super) async fn delete<E: Env>(front: &Rc<Front<E>>, call: &Call<'_>) -> Reply {
    let db = call.database(front).to_owned();
    let command = Command::DropMeasurement { db, name: call.arg(0).as_bytes().into() };
    match front.cluster.decide(command).await {
        Ok(()) | Err(CatalogError::DatabaseNotFound(_)) => reply::empty(StatusCode::NO_CONTENT),
        Err(error) => answer::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
