//! `/ping`, `/status`, `/health`: whether the server is there.

use super::Front;
use super::params::Params;
use super::reply::{self, JSON, Reply, TEXT};
use super::vars::quoted;
use crate::env::Env;
use hyper::StatusCode;

pub use crate::query::VERSION;

/// `/ping`: 204, or the version when asked to be verbose.
pub fn ping(params: &Params) -> Reply {
    if matches!(params.get("verbose"), "" | "0" | "false") {
        return reply::empty(StatusCode::NO_CONTENT);
    }
    let body = format!("{{\"version\":\"{VERSION}\"}}");
    reply::bytes(StatusCode::OK, JSON, body.into_bytes())
}

/// `/status`: always 204.
pub fn status() -> Reply {
    reply::empty(StatusCode::NO_CONTENT)
}

/// `/api/v2/query`: Flux is not spoken.
pub fn no_flux() -> Reply {
    let text = "Flux query service disabled. Verify flux-enabled=true in the [http] section of the \
                InfluxDB config.\n";
    reply::bytes(StatusCode::FORBIDDEN, TEXT, text.as_bytes().to_vec())
}

/// `/health` of 1.8; 503 while some shard has no room on its disk.
pub async fn health<E: Env>(front: &Front<E>) -> Reply {
    let (code, message, status) = match front.cluster.trouble().await {
        None => (StatusCode::OK, "ready for queries and writes".to_owned(), "pass"),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, trouble, "fail"),
    };
    let message = quoted(&message);
    let body = format!(
        "{{\"checks\":[],\"message\":{message},\"name\":\"influxdb\",\
         \"status\":\"{status}\",\"version\":\"{VERSION}\"}}"
    );
    reply::bytes(code, JSON, body.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbose_is_asked_for_in_influx_words() {
        for quiet in ["", "verbose=", "verbose=0", "verbose=false"] {
            assert_eq!(ping(&Params::parse(quiet.as_bytes())).status(), 204, "{quiet}");
        }
        assert_eq!(ping(&Params::parse(b"verbose=x")).status(), 200);
    }
}
