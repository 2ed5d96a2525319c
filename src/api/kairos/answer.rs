//! What KairosDB's answers have in common: JSON with a charset, errors in a list, open to browsers
//! of any origin, never cached, packed when the client asks for it.

use super::paths::Route;
use crate::api::reply::{self, Reply};
use crate::api::routes::Head;
use crate::encode::scalar;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=UTF-8");
const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");
const ALLOW_ORIGIN: HeaderName = HeaderName::from_static("access-control-allow-origin");
const ALLOW_METHODS: HeaderName = HeaderName::from_static("access-control-allow-methods");
const ALLOW_HEADERS: HeaderName = HeaderName::from_static("access-control-allow-headers");
const MAX_AGE: HeaderName = HeaderName::from_static("access-control-max-age");
/// KairosDB's spelling, which clients made for it may look for.
const ALLOW_METHOD: HeaderName = HeaderName::from_static("access-control-allow_method");

/// An answer of JSON.
pub fn json(status: StatusCode, body: Vec<u8>) -> Reply {
    reply::bytes(status, JSON, body)
}

/// A refusal with one message.
pub fn error(status: StatusCode, message: &str) -> Reply {
    errors(status, [message.as_bytes()])
}

/// A refusal: `{"errors":[…]}`.
pub fn errors<'a>(status: StatusCode, messages: impl IntoIterator<Item = &'a [u8]>) -> Reply {
    let mut body = b"{\"errors\":".to_vec();
    list(messages, &mut body);
    body.push(b'}');
    json(status, body)
}

/// A list of texts as JSON.
pub fn list<'a>(texts: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, text) in texts.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        scalar::string(text, out);
    }
    out.push(b']');
}

/// A known path that is not to be asked so.
pub fn wrong_method(route: &Route) -> Reply {
    let mut reply = error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    let allowed: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
    if let Ok(value) = HeaderValue::from_str(&allowed.join(", ")) {
        reply.headers_mut().insert("Allow", value);
    }
    reply
}

/// The answer to a browser that asks whether it may ask.
pub fn preflight(head: &Head, route: &Route) -> Reply {
    let mut reply = reply::bytes(StatusCode::OK, JSON, Vec::new());
    let headers = reply.headers_mut();
    headers.insert(ALLOW_ORIGIN, ANY_ORIGIN);
    headers.insert(MAX_AGE, HeaderValue::from_static("86400"));
    if let Some(asked) = head.headers.get("access-control-request-headers") {
        headers.insert(ALLOW_HEADERS, asked.clone());
    }
    if let Some(asked) = head.headers.get("access-control-request-method") {
        headers.insert(ALLOW_METHOD, asked.clone());
        let allowed: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
        if let Ok(value) = HeaderValue::from_str(&allowed.join(", ")) {
            headers.insert(ALLOW_METHODS, value);
        }
    }
    reply
}

/// Adds what every answer carries and packs it if the client takes that.
pub fn dress(head: &Head, mut reply: Reply) -> Reply {
    let status = reply.status();
    let headers = reply.headers_mut();
    if headers.get("content-type").is_none_or(|kind| *kind == reply::JSON) {
        headers.insert("content-type", JSON);
    }
    headers.insert(ALLOW_ORIGIN, ANY_ORIGIN);
    if status != StatusCode::BAD_REQUEST {
        headers.insert("pragma", HeaderValue::from_static("no-cache"));
        headers.insert("cache-control", HeaderValue::from_static("no-cache"));
        headers.insert("expires", HeaderValue::from_static("0"));
    }
    if takes_gzip(head) { reply::pack(reply, 1) } else { reply }
}

/// Whether gzip is among the codings the client takes; `gzip;q=0` refuses it.
fn takes_gzip(head: &Head) -> bool {
    head.header("accept-encoding").split(',').any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let quality: String = quality.split_whitespace().collect();
        let refused = quality.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && refused.is_none_or(|quality| quality > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::HeaderMap;

    fn head(name: &'static str, value: &'static str) -> Head {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        Head::new(Method::GET, headers, None)
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (text, takes) in
            [("gzip", true), ("deflate, GZIP;q=0.5", true), ("gzip; q=0", false), ("br", false)]
        {
            assert_eq!(takes_gzip(&head("accept-encoding", text)), takes, "{text}");
        }
        let long = || json(StatusCode::OK, vec![b' '; 1000]);
        let packed = dress(&head("accept-encoding", "gzip"), long());
        assert_eq!(packed.headers()["content-encoding"], "gzip");
        let plain = dress(&head("x", "y"), long());
        assert!(plain.headers().get("content-encoding").is_none());
        assert_eq!(plain.headers()["expires"], "0");
        let bad = dress(&head("x", "y"), error(StatusCode::BAD_REQUEST, "no"));
        assert!(bad.headers().get("pragma").is_none());
        assert_eq!(bad.headers()[ALLOW_ORIGIN], "*");
    }
}
