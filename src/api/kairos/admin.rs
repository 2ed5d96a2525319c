//! `admin/…`: the KairosDB queries that run, and ending one.
//!
//! In: the lists of running queries of all cores, which SHOW QUERIES shows, too. Out: those of this
//! API, one entry a metric. A query's hash is its number there. A user sees and ends queries of
//! databases that he may read.

use super::{Call, answer};
use crate::api::front::Front;
use crate::api::reply::{self, Reply};
use crate::catalog::Rights;
use crate::encode::scalar;
use crate::env::Env;
use crate::kairos::request::json::{self, Json};
use crate::route::queries::QueryInfo;
use hyper::StatusCode;
use std::rc::Rc;

/// The running queries of this API that the user may know of, each with its text.
async fn queries<E: Env>(front: &Front<E>, call: &Call<'_>) -> Vec<(QueryInfo, Json)> {
    let all = front.cluster.all_queries().await.into_iter();
    let allowed = all.filter(|one| front.may(call.head, &one.database, Rights::READ));
    // Statements of InfluxQL never begin like an object.
    let text = |one: QueryInfo| {
        let json = json::parse(one.text.as_bytes()).ok()?;
        matches!(json, Json::Object(_)).then_some((one, json))
    };
    allowed.filter_map(text).collect()
}

/// `admin/runningqueries`.
pub(super) async fn running<E: Env>(front: &Rc<Front<E>>, call: &Call<'_>) -> Reply {
    let mut out = b"{\"queries\":[".to_vec();
    let mut first = true;
    for (info, json) in queries(front, call).await {
        let Some(Json::Array(metrics)) = json.get("metrics") else { continue };
        for metric in metrics {
            out.extend_from_slice(if first { b"" } else { b"," });
            first = false;
            let hash = format!("{{\"query hash\":\"{}\",\"metric name\":", info.id);
            out.extend_from_slice(hash.as_bytes());
            let name = metric.get("name").and_then(Json::text).unwrap_or("");
            scalar::string(name.as_bytes(), &mut out);
            out.extend_from_slice(b",\"query JSON\":");
            json.write(&mut out);
            out.push(b'}');
        }
    }
    // What may not run at once is refused, so nothing waits.
    out.extend_from_slice(b"],\"queries waiting\":0}");
    answer::json(StatusCode::OK, out)
}

/// `admin/killquery/{hash}`: 204, whether or not there is such a query.
pub(super) async fn kill<E: Env>(front: &Rc<Front<E>>, call: &Call<'_>) -> Reply {
    let wanted = call.arg(0).parse::<u64>().ok();
    let found = queries(front, call).await.into_iter().find(|(info, _)| Some(info.id) == wanted);
    if let Some((info, _)) = found {
        front.cluster.kill(info.id).await;
    }
    reply::empty(StatusCode::NO_CONTENT)
}
