//! `/debug/requests`: who wrote and asked how often, while the request lasts.
//!
//! In: `seconds` (10 when not given). Out: an entry for each user and address, counted over all
//! cores. A client that goes away ends the counting.

use super::front::Front;
use super::reply::{self, JSON, Reply};
use super::routes::Head;
use crate::encode::{error, scalar};
use crate::env::Env;
use crate::route::tally::Counts;
use hyper::StatusCode;
use hyper::header::{CONNECTION, HeaderValue};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// Longest time of counting (s).
const SECONDS_MAX: u64 = 6 * 3600;
const SECONDS: u64 = 10;

/// The address a request came from, put to it by who read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer(pub IpAddr);

/// Counts a write or a query for whoever watches.
pub(super) fn note<E: Env>(front: &Front<E>, head: &Head, writes: bool) {
    front.cluster.tally().note(writes, || {
        let address = head.peer.map_or("unknown".to_owned(), |Peer(address)| address.to_string());
        match &head.user {
            Some(user) => format!("{user}:{address}"),
            None => address,
        }
    });
}

/// Counts for a while and answers.
pub(super) async fn requests<E: Env>(front: &Rc<Front<E>>, head: &Head) -> Reply {
    let time = match seconds(head.params.get("seconds")) {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(text) => {
            let mut body = error::body(text.as_bytes(), false);
            body.truncate(body.trim_ascii_end().len());
            let mut reply = reply::bytes(StatusCode::BAD_REQUEST, JSON, body);
            if let Ok(value) = HeaderValue::from_str(&text) {
                reply.headers_mut().insert(reply::ERROR_HEADER, value);
            }
            return reply;
        }
    };
    let counts = front.cluster.watch(time).await;
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    let mut reply = reply::bytes(StatusCode::OK, kind, page(&counts));
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

fn seconds(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Ok(SECONDS);
    }
    let number: i64 =
        text.parse().map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))?;
    match u64::try_from(number) {
        Ok(seconds) if seconds > SECONDS_MAX => {
            Err(format!("exceeded maximum interval time: {seconds}s > 6h"))
        }
        Ok(seconds) => Ok(seconds),
        Err(_) => Ok(0),
    }
}

fn page(counts: &Counts) -> Vec<u8> {
    let mut out = b"{\n".to_vec();
    for (at, (who, (writes, queries))) in counts.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b",\n");
        }
        scalar::string(who.as_bytes(), &mut out);
        out.extend_from_slice(
            format!(": {{\"writes\":{writes},\"queries\":{queries}}}").as_bytes(),
        );
    }
    out.extend_from_slice(b"\n}\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_an_entry_a_line() {
        assert_eq!(page(&Counts::new()), b"{\n\n}\n");
        let counts = [("u:1.2.3.4".to_owned(), (1, 0)), ("::1".to_owned(), (0, 2))].into();
        let expected = "{\n\"::1\": {\"writes\":0,\"queries\":2},\n\
                        \"u:1.2.3.4\": {\"writes\":1,\"queries\":0}\n}\n";
        assert_eq!(page(&counts), expected.as_bytes());
    }

    #[test]
    fn seconds_are_a_number_of_at_most_six_hours() {
        assert_eq!((seconds(""), seconds("0"), seconds("-1")), (Ok(10), Ok(0), Ok(0)));
        let text = "strconv.ParseInt: parsing \"x\": invalid syntax";
        assert_eq!(seconds("x"), Err(text.to_owned()));
        let text = "exceeded maximum interval time: 99999s > 6h";
        assert_eq!(seconds("99999"), Err(text.to_owned()));
    }
}
