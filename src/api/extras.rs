//! What an operator chooses of the heads of answers: the realm of credentials, headers of his own.
//!
//! In: `http.realm` and `http.headers`. Out: both as they are sent, or what is wrong with them.

use crate::config::Config;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// The realm and the headers.
pub struct Extras {
    /// The challenge of a 401.
    pub challenge: HeaderValue,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Default for Extras {
    fn default() -> Extras {
        let challenge = HeaderValue::from_static("Basic realm=\"InfluxDB\"");
        Extras { challenge, headers: Vec::new() }
    }
}

impl Extras {
    /// Reads the options.
    ///
    /// # Errors
    /// One sentence that names the option at fault.
    pub fn read(config: &Config) -> Result<Extras, String> {
        let realm = config.http_realm.replace('\\', "\\\\").replace('"', "\\\"");
        let challenge = HeaderValue::from_str(&format!("Basic realm=\"{realm}\""))
            .map_err(|_| "http.realm cannot be sent in a header".to_owned())?;
        let header = |text: &String| {
            let (name, value) = text.split_once(':')?;
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        };
        let wrong = |text: &String| format!("http.headers: expected Name: value, got \"{text}\"");
        let one = |text| header(text).ok_or_else(|| wrong(text));
        let headers = config.http_headers.0.iter().map(one).collect::<Result<_, _>>()?;
        Ok(Extras { challenge, headers })
    }

    /// Adds the headers to an answer.
    pub fn add(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    #[test]
    fn texts_that_no_header_can_have_are_refused() {
        let read = |text: &str| {
            let mut layers = Layers::default();
            layers.add_file("f", text).unwrap();
            Extras::read(&layers.finish().unwrap())
        };
        let good = read("[http]\nrealm = 'a\"b'\nheaders = [\"X-A: b: c\", \"y:\"]").unwrap();
        assert_eq!(good.challenge, "Basic realm=\"a\\\"b\"");
        let mut headers = HeaderMap::new();
        good.add(&mut headers);
        assert_eq!((headers["x-a"].as_bytes(), headers["y"].as_bytes()), (&b"b: c"[..], &b""[..]));
        for text in ["realm = \"a\\nb\"", "headers = [\"X A: b\"]", "headers = [\"x\"]"] {
            let error = read(&format!("[http]\n{text}")).err().unwrap();
            assert!(error.starts_with("http."), "{error}");
        }
        assert_eq!(read("").unwrap().challenge, Extras::default().challenge);
    }
}
