//! `DELETE metric/{name}`: a metric goes with all its points and its name.
//!
//! A metric is dropped as its measurement. One that shares its measurement with others (fields that
//! line protocol wrote) cannot go alone and is refused.

use super::{Call, answer};
use crate::api::front::Front;
use crate::api::reply::{self, Reply};
use crate::catalog::{CatalogError, Command};
use crate::env::Env;
use crate::kairos::metric;
use hyper::StatusCode;
use std::rc::Rc;

/// Deletes a metric. One that is not there is deleted already.
pub(super) async fn delete<E: Env>(front: &Rc<Front<E>>, call: &Call<'_>) -> Reply {
    let db = call.database(front).to_owned();
    let found = {
        let catalog = front.cluster.catalog();
        let place = metric::place(&catalog, &db);
        let metric = place.and_then(|place| metric::find(&catalog, place, call.arg(0).as_bytes()));
        metric.and_then(|metric| {
            let (_, name) = catalog.measurement_name(metric.measurement)?;
            Some((metric.alone, Box::from(name)))
        })
    };
    let Some((alone, name)) = found else { return reply::empty(StatusCode::NO_CONTENT) };
    if !alone {
        let text = format!(
            "{} is one of several fields of the measurement {} and cannot be deleted alone",
            call.arg(0),
            String::from_utf8_lossy(&name)
        );
        return answer::error(StatusCode::BAD_REQUEST, &text);
    }
    match front.cluster.decide(Command::DropMeasurement { db, name }).await {
        Ok(()) | Err(CatalogError::DatabaseNotFound(_)) => reply::empty(StatusCode::NO_CONTENT),
        Err(error) => answer::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
