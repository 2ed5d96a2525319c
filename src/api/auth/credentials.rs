//! Where a request names its user: URL, `Authorization: Bearer`, `Token`, `Basic`, in that order.
//!
//! In: parameters of the URL and the header. Out: credentials as sent, checked by nobody yet. None
//! of this may ever be shown: nothing here can be printed.

use crate::api::params::Params;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a request says of its user.
#[derive(PartialEq, Eq)]
pub enum Credentials {
    Password { user: String, password: String },
    Bearer(String),
}

impl Credentials {
    /// Reads them; `None` when there is nothing usable.
    pub fn read(params: &Params, header: &str) -> Option<Credentials> {
        let (user, password) = (params.get("u"), params.get("p"));
        if !user.is_empty() && !password.is_empty() {
            return Some(pair(user, password));
        }
        let mut words = header.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("Bearer"), Some(token), None) => Some(Credentials::Bearer(token.to_owned())),
            (Some("Token"), Some(text), None) => {
                text.split_once(':').map(|(user, password)| pair(user, password))
            }
            (Some(scheme), Some(text), None) if scheme.eq_ignore_ascii_case("basic") => {
                let bytes = STANDARD.decode(text).ok()?;
                let text = String::from_utf8(bytes).ok()?;
                text.split_once(':').map(|(user, password)| pair(user, password))
            }
            _ => None,
        }
    }
}

fn pair(user: &str, password: &str) -> Credentials {
    Credentials::Password { user: user.to_owned(), password: password.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, header: &str) -> Option<(String, String)> {
        match Credentials::read(&Params::parse(url.as_bytes()), header)? {
            Credentials::Password { user, password } => Some((user, password)),
            Credentials::Bearer(token) => Some(("Bearer".to_owned(), token)),
        }
    }

    #[test]
    fn the_first_place_that_names_a_user_counts() {
        let some = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        let basic = "Basic am9lOmE6Yg==";
        assert_eq!(read("", basic), some("joe", "a:b"));
        assert_eq!(read("", "basic Onh4"), some("", "xx"));
        assert_eq!(read("u=x&p=y", basic), some("x", "y"));
        assert_eq!(read("u=x", basic), some("joe", "a:b"));
        assert_eq!(read("u=x", ""), None);
        assert_eq!(read("", "Token joe:a:b"), some("joe", "a:b"));
        assert_eq!(read("", "Token joe"), None);
        assert_eq!(read("", "Bearer a.b.c"), some("Bearer", "a.b.c"));
        for none in ["", "Bearer", "Digest x", "Basic %%%", "Basic am9l", "Token a:b c"] {
            assert_eq!(read("", none), None, "{none}");
        }
    }
}
