//! Password hashes: Argon2id, computed off the core, one at a time.
//!
//! In: a password, and a hash for checking. Out: a hash as text, or whether both belong together.
//!
//! The text is the usual one: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`, both in base64 without
//! padding. Cost and salt are read from it, so that hashes made with other costs stay valid.

use crate::env::Env;
use crate::env::notify::Gate;
use crate::query::Later;
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Memory of one hash (KiB), passes over it, lanes: the least that OWASP recommends.
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// No stored hash may ask for more (KiB, passes, lanes).
const COST_MAX: (u32, u32, u32) = (1 << 20, 64, 16);
const HASH_BYTES: usize = 32;

/// Hashes on behalf of one core.
pub struct Passwords<E: Env> {
    env: E,
    /// A hash takes memory: this core makes one at a time.
    gate: Gate,
}

impl<E: Env> Passwords<E> {
    /// Hashing in `env`.
    pub fn new(env: E) -> Passwords<E> {
        Passwords { env, gate: Gate::default() }
    }

    /// As `Services::hash`.
    pub fn hash(&self, password: &str) -> Later<String> {
        let (env, gate, password) = (self.env.clone(), self.gate.clone(), password.to_owned());
        Box::pin(async move {
            let _pass = gate.enter().await;
            let salt = u128::from(env.random()) << 64 | u128::from(env.random());
            env.blocking(move || make(password.as_bytes(), &salt.to_le_bytes(), COST)).await
        })
    }

    /// As `Services::verify`.
    pub fn verify(&self, password: &str, hash: &str) -> Later<bool> {
        let (env, gate) = (self.env.clone(), self.gate.clone());
        let (password, hash) = (password.to_owned(), hash.to_owned());
        Box::pin(async move {
            let _pass = gate.enter().await;
            env.blocking(move || check(password.as_bytes(), &hash)).await
        })
    }
}

fn argon2(cost: (u32, u32, u32)) -> Result<Argon2<'static>, String> {
    let params = Params::new(cost.0, cost.1, cost.2, Some(HASH_BYTES));
    let params = params.map_err(|error| error.to_string())?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn make(password: &[u8], salt: &[u8], cost: (u32, u32, u32)) -> Result<String, String> {
    let mut hash = [0; HASH_BYTES];
    argon2(cost)?
        .hash_password_into(password, salt, &mut hash)
        .map_err(|error| error.to_string())?;
    let (memory, passes, lanes) = cost;
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    Ok(format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${hash}"))
}

fn check(password: &[u8], text: &str) -> Result<bool, String> {
    let (cost, salt) = read(text).ok_or("a stored password hash is damaged")?;
    let made = make(password, &salt, cost)?;
    // Both are hashes of one length; all of them is looked at.
    let differences = made.bytes().zip(text.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    Ok(made.len() == text.len() && differences == 0)
}

fn read(text: &str) -> Option<((u32, u32, u32), Vec<u8>)> {
    let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
    let mut costs = parts.next()?.split(',');
    let mut cost = |name: &str| costs.next()?.strip_prefix(name)?.parse::<u32>().ok();
    let cost = (cost("m=")?, cost("t=")?, cost("p=")?);
    let salt = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
    let (memory, passes, lanes) = COST_MAX;
    (cost.0 <= memory && cost.1 <= passes && cost.2 <= lanes).then_some((cost, salt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::sim::Sim;

    #[test]
    fn a_hash_is_of_its_password_alone() {
        let cheap = (64, 1, 1);
        let hash = make(b"secret", b"0123456789abcdef", cheap).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"));
        assert_eq!(check(b"secret", &hash), Ok(true));
        assert_eq!(check(b"Secret", &hash), Ok(false));
        assert!(check(b"secret", "$argon2id$v=19$m=9999999,t=1,p=1$AAAA$AAAA").is_err());
        assert!(check(b"secret", "secret").is_err());
    }

    #[test]
    fn salts_differ() {
        let sim = Sim::new(1);
        let passwords = Passwords::new(sim.env(0));
        let hash = async || passwords.hash("x").await.unwrap();
        let pair = sim.run(async { (hash().await, hash().await) }).unwrap();
        assert_ne!(pair.0, pair.1);
    }
}
