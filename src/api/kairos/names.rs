//! `metricnames`, `tagnames`, `tagvalues`: everything that has live series, sorted, each name once.
//!
//! Shards list what they have; here the lists are merged. A metric's name is what `kairos::metric`
//! says. A million names take some tenths of a second of work, so it is done in slices.

use super::{Call, answer};
use crate::api::front::Front;
use crate::api::join;
use crate::api::reply::Reply;
use crate::encode::scalar;
use crate::env::Env;
use crate::kairos::metric::{self, Place};
use crate::model::{MeasurementId, Strings};
use crate::shard::index::TagFilter;
use crate::shard::scan::{Found, Lookup, Want};
use hyper::StatusCode;
use roaring::RoaringBitmap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::rc::Rc;
use std::sync::Arc;

/// Names looked at between two turns of other tasks.
const SLICE_NAMES: usize = 4096;

/// `metricnames`.
pub(super) async fn metrics<E: Env>(front: &Rc<Front<E>>, call: &Call<'_>) -> Reply {
    let place = metric::place(&front.cluster.catalog(), call.database(front));
    let Some(place) = place else { return results(front, &[]).await };
    let found = match ask(front, place, Want::Measurements).await {
        Ok(found) => found,
        Err(refusal) => return refusal,
    };
    let mut live = RoaringBitmap::new();
    for found in found {
        if let Found::Measurements(ids) = found {
            live.extend(ids.into_iter().map(|MeasurementId(id)| id));
        }
    }
    let names = metric_names(front, place, &live, call.head.params.get("prefix")).await;
    results(front, &[names]).await
}

/// The names of the metrics of live measurements that begin so, sorted.
async fn metric_names<E: Env>(
    front: &Front<E>,
    place: Place,
    live: &RoaringBitmap,
    prefix: &str,
) -> Strings {
    let mut names = Strings::default();
    let mut last: Option<Box<[u8]>> = None;
    loop {
        let slice = slice_names(front, place, live, (last.as_deref(), prefix), &mut names);
        if slice.is_none() {
            break;
        }
        last = slice;
        front.env.yield_now().await;
    }
    sorted(names)
}

/// Adds the metrics of the next measurements; gives the last of these, `None` behind all.
fn slice_names<E: Env>(
    front: &Front<E>,
    place: Place,
    live: &RoaringBitmap,
    (behind, prefix): (Option<&[u8]>, &str),
    names: &mut Strings,
) -> Option<Box<[u8]>> {
    let (catalog, prefix) = (front.cluster.catalog(), prefix.as_bytes());
    let mut last = None;
    for (name, id) in catalog.measurements_behind(place.db, behind).take(SLICE_NAMES) {
        last = Some(name);
        let near = name.starts_with(prefix) || prefix.starts_with(name);
        if near && live.contains(id.0) {
            metric::each_name(&catalog, place, id, |parts| push(names, parts, prefix));
        }
    }
    last.map(Box::from)
}

/// Adds a name given in parts if it begins with a prefix.
fn push(names: &mut Strings, parts: &[&[u8]], prefix: &[u8]) {
    let start = names.bytes.len();
    parts.iter().for_each(|part| names.bytes.extend_from_slice(part));
    if names.bytes.get(start..).is_some_and(|name| name.starts_with(prefix)) {
        names.ends.push(names.bytes.len() as u32);
    } else {
        names.bytes.truncate(start);
    }
}

/// The names in order. Measurements come sorted, so only fields beside `value` disturb it.
fn sorted(names: Strings) -> Strings {
    let order = |at: &usize| names.get(*at);
    let mut places: Vec<usize> = (0..names.len()).collect();
    if places.is_sorted_by_key(order) {
        return names;
    }
    places.sort_by(|a, b| names.get(*a).cmp(names.get(*b)));
    let mut out = Strings::default();
    places.iter().for_each(|at| out.push(names.get(*at)));
    out
}

/// `tagnames` and `tagvalues`.
pub(super) async fn tags<E: Env>(front: &Rc<Front<E>>, call: &Call<'_>, want: Want) -> Reply {
    let place = metric::place(&front.cluster.catalog(), call.database(front));
    let Some(place) = place else { return results(front, &[]).await };
    match ask(front, place, want).await {
        Err(refusal) => refusal,
        Ok(found) => {
            let names = found.into_iter().filter_map(|found| match found {
                Found::Names(names) => Some(names),
                _ => None,
            });
            results(front, &names.collect::<Vec<_>>()).await
        }
    }
}

async fn ask<E: Env>(front: &Front<E>, place: Place, want: Want) -> Result<Vec<Found>, Reply> {
    let (measurements, series) = (Vec::new(), TagFilter::All);
    let lookup = Arc::new(Lookup { db: place.db, measurements, series, within: None, want });
    let cluster = &front.cluster;
    let answers = join::all(cluster.shards().map(|shard| cluster.lookup(shard, lookup.clone())));
    let failed = |text: &str| answer::error(StatusCode::INTERNAL_SERVER_ERROR, text);
    let mut out = Vec::new();
    for found in answers.await {
        match found {
            Some(Found::Failed(error)) => return Err(failed(&error.to_string())),
            Some(found) => out.push(found),
            None => return Err(failed("a shard is gone")),
        }
    }
    Ok(out)
}

/// `{"results":[…]}` of sorted lists, equal names once.
async fn results<E: Env>(front: &Front<E>, lists: &[Strings]) -> Reply {
    let bytes: usize = lists.iter().map(|list| list.bytes.len() + list.len() * 3).sum();
    let mut body = Vec::with_capacity(bytes + 16);
    body.extend_from_slice(b"{\"results\":[");
    let heads = lists.iter().enumerate().filter(|(_, list)| !list.is_empty());
    let mut heap: BinaryHeap<Reverse<(&[u8], usize, usize)>> =
        heads.map(|(which, list)| Reverse((list.get(0), which, 0))).collect();
    let mut last: Option<&[u8]> = None;
    let mut written = 0usize;
    while let Some(mut least) = heap.peek_mut() {
        let Reverse((name, which, at)) = *least;
        if last != Some(name) {
            if last.is_some() {
                body.push(b',');
            }
            scalar::string(name, &mut body);
            last = Some(name);
        }
        // The next of the same list sinks from the top: one way through the heap, not two.
        match lists.get(which).filter(|list| at + 1 < list.len()) {
            Some(list) => {
                *least = Reverse((list.get(at + 1), which, at + 1));
                drop(least);
            }
            None => drop(PeekMut::pop(least)),
        }
        written += 1;
        if written.is_multiple_of(SLICE_NAMES) {
            front.env.yield_now().await;
        }
    }
    body.extend_from_slice(b"]}");
    answer::json(StatusCode::OK, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Strings {
        let mut out = Strings::default();
        texts.iter().for_each(|text| out.push(text.as_bytes()));
        out
    }

    #[test]
    fn names_in_parts_pass_a_prefix_and_are_put_in_order() {
        let mut names = Strings::default();
        let parts: [&[&[u8]]; 4] = [&[b"cpu", b".", b"idle"], &[b"cpu-x"], &[b"mem"], &[b"cpu"]];
        for parts in parts {
            push(&mut names, parts, b"cp");
        }
        assert_eq!(sorted(names), strings(&["cpu", "cpu-x", "cpu.idle"]));
        let already = strings(&["a", "b"]);
        assert_eq!(sorted(already.clone()), already);
    }
}
