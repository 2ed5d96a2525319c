//! The access log: a line for each answered request, in InfluxDB's format, without secrets.
//!
//! In: the head of a request, and what became of it. Out: `IP - USER [TIME] "METHOD URI PROTO"
//! STATUS BYTES "REFERER" "AGENT" REQUEST-ID MICROSECONDS`. The time is UTC. Bytes of an answer
//! that is streamed are not known when its head is sent, and are `-`. Off unless
//! `http.log-enabled`.

use super::front::Front;
use super::params::Params;
use super::reply::Reply;
use super::watch::Peer;
use crate::env::Env;
use crate::logging::{self, Level};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Body;
use hyper::{Method, Request};

/// What hides a secret.
const HIDDEN: &str = "[REDACTED]";

/// A line under way.
pub(super) struct Line {
    peer: String,
    user: String,
    request: String,
    referer: String,
    agent: String,
}

impl Line {
    /// Begins the line of a request; `None` when none is wanted.
    pub fn begin<E: Env, B>(front: &Front<E>, request: &Request<B>) -> Option<Line> {
        let config = front.config();
        if !config.http_log_enabled || !logging::enabled(Level::Info, "access") {
            return None;
        }
        let (method, path) = (request.method(), request.uri().path());
        let writes = method == Method::POST && matches!(path, "/write" | "/api/v2/write");
        if writes && config.http_suppress_write_log {
            return None;
        }
        let header = |name: &str| {
            let found = request.headers().get(name).and_then(|value| value.to_str().ok());
            // What a client sends must not look like the end of its field.
            found.unwrap_or("-").replace('\\', "\\\\").replace('"', "\\\"")
        };
        let query = request.uri().query().unwrap_or("");
        let target =
            if query.is_empty() { path.to_owned() } else { format!("{path}?{}", hide(query)) };
        let peer = request.extensions().get::<Peer>();
        Some(Line {
            peer: peer.map_or("-".to_owned(), |Peer(address)| address.to_string()),
            user: user(query, &header("authorization")),
            request: format!("{method} {target} {:?}", request.version()),
            referer: header("referer"),
            agent: header("user-agent"),
        })
    }

    /// Writes it.
    pub fn end<E: Env>(self, front: &Front<E>, reply: &Reply, took_ns: u64) {
        let seconds = front.env.now_wall().div_euclid(1_000_000_000);
        let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        let time = time.strftime("%d/%b/%Y:%H:%M:%S +0000");
        let bytes = reply.body().size_hint().exact().map_or("-".to_owned(), |n| n.to_string());
        let id = reply.headers().get("request-id").and_then(|value| value.to_str().ok());
        let (status, id, micros) = (reply.status().as_u16(), id.unwrap_or("-"), took_ns / 1000);
        let Line { peer, user, request, referer, agent } = self;
        logging::access(format!(
            "{peer} - {user} [{time}] \"{request}\" {status} {bytes} \"{referer}\" \"{agent}\" {id} \
             {micros}"
        ));
    }
}

/// Who asks, as far as a request says so in the open.
fn user(query: &str, authorization: &str) -> String {
    let named = Params::parse(query.as_bytes()).get("u").to_owned();
    let basic = || {
        let bytes = STANDARD.decode(authorization.strip_prefix("Basic ")?.trim()).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        Some(text.split(':').next()?.to_owned())
    };
    let user = if named.is_empty() { basic().unwrap_or_default() } else { named };
    let plain: String = user.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    if plain.is_empty() { "-".to_owned() } else { plain }
}

/// The query of a URL without the password, and without passwords in statements.
fn hide(query: &str) -> String {
    let one = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let params = Params::parse(pair.as_bytes());
        match name {
            "p" => format!("p={HIDDEN}"),
            "q" | "params" => {
                let text = params.get(name);
                // Statements with passwords are rare; what cannot be read is not shown either.
                let secret = text.to_ascii_lowercase().contains("password")
                    || (text.is_empty() && !value.is_empty());
                if secret { format!("{name}={HIDDEN}") } else { pair.to_owned() }
            }
            _ => pair.to_owned(),
        }
    };
    query.split('&').map(one).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_users_named() {
        assert_eq!(hide("u=joe&p=x%26y&db=d"), "u=joe&p=[REDACTED]&db=d");
        assert_eq!(hide("q=SELECT+1&epoch=s"), "q=SELECT+1&epoch=s");
        assert_eq!(hide("q=SET+PASSWORD+FOR+a+%3D+%27b%27"), "q=[REDACTED]");
        assert_eq!(hide("q=set%20%50assword%20for%20a"), "q=[REDACTED]");
        assert_eq!(hide("q=%zz"), "q=[REDACTED]");
        assert_eq!(hide(""), "");
        assert_eq!(user("u=joe&p=x", "-"), "joe");
        assert_eq!(user("", "Basic am9lOnNlY3JldA=="), "joe");
        assert_eq!(user("u=a%0Ab", "-"), "ab");
        assert_eq!(user("", "Bearer x"), "-");
    }
}
