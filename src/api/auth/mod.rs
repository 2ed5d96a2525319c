//! Who asks, and whether he may.
//!
//! In: a request's credentials, the users of the catalog. Out: the user's name, or a refusal in
//! InfluxDB's words. Credentials are asked for once an administrator exists. Checking a password
//! takes milliseconds by design, so one that was found right is remembered as a keyed digest, for
//! as long as the user's hash stays the same; the key is this process's own and never leaves it.

mod credentials;
mod token;

use super::front::Front;
use super::routes::Head;
use crate::catalog::{Rights, User};
use crate::env::Env;
use crate::model::FixedMap;
use credentials::Credentials;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::cell::RefCell;

/// Users whose password is remembered, per core.
const KNOWN_MAX: usize = 4096;

const FAILED: &str = "authorization failed";

/// Passwords that were found right: the hash they were checked against, and a digest of each.
pub(super) struct Known {
    key: [u8; 32],
    users: RefCell<FixedMap<String, (String, [u8; 32])>>,
}

impl Known {
    /// Remembers nothing yet; `random` gives the key.
    pub fn new(mut random: impl FnMut() -> u64) -> Known {
        let mut key = [0; 32];
        for part in key.chunks_exact_mut(8) {
            part.copy_from_slice(&random().to_le_bytes());
        }
        Known { key, users: RefCell::default() }
    }

    fn digest(&self, password: &str) -> Option<Hmac<Sha256>> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.key).ok()?;
        mac.update(password.as_bytes());
        Some(mac)
    }

    fn is_right(&self, user: &User, password: &str) -> bool {
        let users = self.users.borrow();
        let known = users.get(&user.name).filter(|(hash, _)| *hash == user.hash);
        // Digests are compared in constant time.
        known.is_some_and(|(_, digest)| {
            self.digest(password).is_some_and(|mac| mac.verify_slice(digest).is_ok())
        })
    }

    fn remember(&self, name: &str, hash: String, password: &str) {
        let Some(digest) = self.digest(password) else { return };
        let mut users = self.users.borrow_mut();
        if users.len() >= KNOWN_MAX {
            users.clear();
        }
        users.insert(name.to_owned(), (hash, digest.finalize().into_bytes().into()));
    }
}

impl<E: Env> Front<E> {
    /// The user who asks; `None` when nobody needs to be one.
    ///
    /// # Errors
    /// The text of the 401.
    pub(super) async fn authenticate(&self, head: &Head) -> Result<Option<String>, String> {
        if !self.config().http_auth_enabled || !self.cluster.catalog().users().has_admin() {
            return Ok(None);
        }
        let found = Credentials::read(&head.params, head.header("authorization"));
        match found.ok_or("unable to parse authentication credentials")? {
            Credentials::Bearer(token) => self.bearer(&token).map(Some),
            Credentials::Password { user, password } => self.login(user, &password).await.map(Some),
        }
    }

    fn bearer(&self, token: &str) -> Result<String, String> {
        let secret = &self.config().http_shared_secret.0;
        if secret.is_empty() {
            return Err("bearer auth disabled".to_owned());
        }
        let now = self.env.now_wall().div_euclid(1_000_000_000);
        let name = token::user(token, secret.as_bytes(), now)?;
        let known = self.cluster.catalog().users().get(&name).is_some();
        if known { Ok(name) } else { Err("user not found".to_owned()) }
    }

    async fn login(&self, name: String, password: &str) -> Result<String, String> {
        if name.is_empty() {
            return Err("username required".to_owned());
        }
        let hash = {
            let catalog = self.cluster.catalog();
            let user = catalog.users().get(&name).ok_or(FAILED)?;
            if self.known.is_right(user, password) {
                return Ok(name);
            }
            user.hash.clone()
        };
        if !self.server.services.verify(password, &hash).await? {
            return Err(FAILED.to_owned());
        }
        self.known.remember(&name, hash, password);
        Ok(name)
    }

    /// Whether a request may do something in a database.
    pub(super) fn may(&self, head: &Head, db: &str, wanted: Rights) -> bool {
        if !self.config().http_auth_enabled {
            return true;
        }
        let catalog = self.cluster.catalog();
        let user = head.user.as_deref().and_then(|name| catalog.users().get(name));
        user.is_some_and(|user| {
            let rights = catalog.database(db).map(|db| user.rights(db.id)).unwrap_or_default();
            user.admin || (rights.read || !wanted.read) && (rights.write || !wanted.write)
        })
    }

    /// Whether a request may do everything.
    pub(super) fn may_administer(&self, head: &Head) -> bool {
        if !self.config().http_auth_enabled {
            return true;
        }
        let catalog = self.cluster.catalog();
        let user = head.user.as_deref().and_then(|name| catalog.users().get(name));
        user.is_some_and(|user| user.admin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Command, State, UserCommand};

    fn state(hash: &str) -> State {
        let mut state = State::default();
        let (name, hash) = ("u".to_owned(), hash.to_owned());
        let command = Command::User(UserCommand::Create { name, hash, admin: false });
        let records = state.decide(&command).unwrap();
        records.iter().for_each(|record| state.apply(record));
        state
    }

    #[test]
    fn a_right_password_is_known_until_the_hash_changes() {
        let known = Known::new(|| 7);
        let state_one = state("h1");
        let user = state_one.users().get("u").unwrap();
        assert!(!known.is_right(user, "p"));
        known.remember("u", "h1".to_owned(), "p");
        assert!(known.is_right(user, "p") && !known.is_right(user, "q"));
        let state_two = state("h2");
        assert!(!known.is_right(state_two.users().get("u").unwrap(), "p"));
    }
}
