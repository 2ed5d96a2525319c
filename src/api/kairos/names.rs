//! `metricnames`, `tagnames`, `tagvalues`: everything that has live series, sorted, each name once.
//!
//! Shards list what they have; here the lists are merged. A metric's name is what `kairos::metric`
//! says. A million names are some work, so it is done in slices and the answer streams.

use super::{Call, answer};
use crate::api::front::Front;
use crate::api::join;
use crate::api::reply::{self, Reply};
use crate::encode::scalar;
use crate::env::{Env, Queue, Task};
use crate::kairos::metric::{self, Place};
use crate::model::{MeasurementId, Strings};
use crate::shard::index::TagFilter;
use crate::shard::scan::{Found, Lookup, Want};
use hyper::StatusCode;
use roaring::RoaringBitmap;
use std::rc::Rc;
use std::sync::Arc;

/// Names looked at between two turns of other tasks.
const SLICE_NAMES: usize = 4096;
/// Answers are handed over in pieces of about this size (bytes).
const PIECE_BYTES: usize = 64 << 10;

/// `metricnames`.
pub(super) async fn metrics<E: Env>(front: &Rc<Front<E>>, call: &Call<'_>) -> Reply {
    let place = metric::place(&front.cluster.catalog(), call.database(front));
    let Some(place) = place else { return results(front, Vec::new()).await };
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
    results(front, vec![names]).await
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
    let Some(place) = place else { return results(front, Vec::new()).await };
    match ask(front, place, want).await {
        Err(refusal) => refusal,
        Ok(found) => {
            let names = found.into_iter().filter_map(|found| match found {
                Found::Names(names) => Some(names),
                _ => None,
            });
            results(front, names.collect()).await
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

/// `{"results":[…]}` of sorted lists, equal names once: whole when it is short, else as it is made.
async fn results<E: Env>(front: &Rc<Front<E>>, mut lists: Vec<Strings>) -> Reply {
    let bytes: usize = lists.iter().map(|list| list.bytes.len() + list.len() * 3).sum();
    // All but two are brought together first, two by two.
    while lists.len() > 2 {
        let pair = lists.split_off(lists.len() - 2);
        let mut merged = Strings::default();
        let mut merge = Merge::new(&pair);
        while merge.step(SLICE_NAMES, |name| merged.push(name)) {
            front.env.yield_now().await;
        }
        lists.insert(0, merged);
    }
    if bytes <= PIECE_BYTES {
        let mut body = b"{\"results\":[".to_vec();
        write(&mut Merge::new(&lists), usize::MAX, &mut body, false);
        body.extend_from_slice(b"]}");
        return answer::json(StatusCode::OK, body);
    }
    let (pipe, end) = reply::pipe();
    let served = front.clone();
    let task = async move {
        let mut merge = Merge::new(&lists);
        let mut plain = true;
        for part in lists.iter().flat_map(|list| list.bytes.chunks(PIECE_BYTES)) {
            plain &= scalar::is_plain(part);
            served.env.yield_now().await;
        }
        let mut piece = b"{\"results\":[".to_vec();
        while write(&mut merge, SLICE_NAMES, &mut piece, plain) {
            served.env.yield_now().await;
            if piece.len() >= PIECE_BYTES {
                let full = std::mem::replace(&mut piece, Vec::with_capacity(2 * PIECE_BYTES));
                if !pipe.send(full).await {
                    return;
                }
            }
        }
        piece.extend_from_slice(b"]}");
        pipe.send(piece).await;
    };
    front.env.spawn(Queue::Query, task).detach();
    reply::streamed(reply::JSON, end)
}

/// Writes the next names; false behind the last. `plain`: none of them needs an escape.
fn write(merge: &mut Merge<'_>, count: usize, out: &mut Vec<u8>, plain: bool) -> bool {
    let mut first = merge.at == (0, 0);
    merge.step(count, |name| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        match plain {
            true => {
                out.push(b'"');
                out.extend_from_slice(name);
                out.push(b'"');
            }
            false => scalar::string(name, out),
        }
    })
}

/// Two sorted lists on their way to one.
struct Merge<'a> {
    lists: (&'a Strings, &'a Strings),
    at: (usize, usize),
}

impl<'a> Merge<'a> {
    /// The first two of some lists.
    fn new(lists: &'a [Strings]) -> Merge<'a> {
        const NONE: &Strings = &Strings { ends: Vec::new(), bytes: Vec::new() };
        let list = |at: usize| lists.get(at).unwrap_or(NONE);
        Merge { lists: (list(0), list(1)), at: (0, 0) }
    }

    /// Gives the next names, about `count`; false when there are no more.
    fn step(&mut self, count: usize, mut give: impl FnMut(&[u8])) -> bool {
        let (left, right) = self.lists;
        for _ in 0..count {
            let (a, b) = self.at;
            match (a < left.len(), b < right.len()) {
                (true, true) => {
                    let order = left.get(a).cmp(right.get(b));
                    give(if order.is_le() { left.get(a) } else { right.get(b) });
                    self.at = (a + usize::from(order.is_le()), b + usize::from(order.is_ge()));
                }
                (true, false) => {
                    give(left.get(a));
                    self.at.0 += 1;
                }
                (false, true) => {
                    give(right.get(b));
                    self.at.1 += 1;
                }
                (false, false) => return false,
            }
        }
        true
    }
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
    fn lists_become_one_in_slices() {
        let lists = [strings(&["a", "b\"", "d"]), strings(&["a", "c", "d", "e"])];
        for count in [1, 2, 100] {
            let (mut merge, mut out) = (Merge::new(&lists), Vec::new());
            while write(&mut merge, count, &mut out, false) {}
            assert_eq!(String::from_utf8(out).unwrap(), r#""a","b\"","c","d","e""#);
        }
        let mut out = Vec::new();
        assert!(!write(&mut Merge::new(&[]), 1, &mut out, true) && out.is_empty());
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
