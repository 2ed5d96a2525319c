//! The head of a request, where it is framed well and wrong all the same.
//!
//! In: method, path and headers as the HTTP library read them. Out: nothing, or a refusal after
//! which the connection is closed: who sends such a head may mean another end of the request than
//! the one that was found.

use super::reply::{self, Reply, TEXT};
use hyper::header::{CONNECTION, EXPECT, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{StatusCode, Version};

/// What is wrong with the head.
pub fn broken(parts: &Parts) -> Option<(StatusCode, &'static str)> {
    let is = |name: HeaderName, wanted: &str| {
        let all = parts.headers.get_all(name);
        all.iter().all(|value| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    match parts.headers.get_all(HOST).iter().count() {
        0 if parts.version == Version::HTTP_11 => {
            return Some((StatusCode::BAD_REQUEST, "missing required Host header"));
        }
        0 | 1 => {}
        _ => return Some((StatusCode::BAD_REQUEST, "too many Host headers")),
    }
    if !is(TRANSFER_ENCODING, "chunked") {
        return Some((StatusCode::NOT_IMPLEMENTED, "unsupported transfer encoding"));
    }
    let expects = !is(EXPECT, "100-continue");
    expects.then_some((StatusCode::EXPECTATION_FAILED, "unknown expectation"))
}

/// The refusal.
pub fn refuse(status: StatusCode, text: &str) -> Reply {
    let mut reply = reply::bytes(status, TEXT, format!("{text}\n").into_bytes());
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    #[test]
    fn only_what_has_one_meaning_goes_on() {
        type Case<'c> = (&'c [(&'c str, &'c str)], Option<u16>);
        let cases: [Case<'_>; 7] = [
            (&[("host", "x")], None),
            (&[], Some(400)),
            (&[("host", "x"), ("host", "x")], Some(400)),
            (&[("host", "x"), ("transfer-encoding", "Chunked")], None),
            (&[("host", "x"), ("transfer-encoding", "gzip, chunked")], Some(501)),
            (&[("host", "x"), ("expect", "100-Continue")], None),
            (&[("host", "x"), ("expect", "more")], Some(417)),
        ];
        for (headers, status) in cases {
            let add = |request: hyper::http::request::Builder, (name, value): &(&str, &str)| {
                request.header(*name, *value)
            };
            let request = headers.iter().fold(Request::builder(), add).body(()).unwrap();
            let found = broken(&request.into_parts().0).map(|(status, _)| status.as_u16());
            assert_eq!(found, status, "{headers:?}");
        }
    }
}
