//! JSON Web Tokens signed with the server's shared secret (RFC 7519, HMAC with SHA-2).
//!
//! In: a token, the secret, the time. Out: the user it names, or why it is refused, in the words of
//! InfluxDB 1.x.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384, Sha512};
use simd_json::prelude::*;

/// Signing methods that exist and are not for a shared secret.
const OTHERS: [&str; 10] =
    ["none", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"];

/// The user whom a token names; it must be signed with `secret` and be valid now.
pub fn user(token: &str, secret: &[u8], now_seconds: i64) -> Result<String, String> {
    let parts: Vec<&str> = token.split('.').collect();
    let [head, claims, signature] = parts.as_slice() else {
        return Err("token contains an invalid number of segments".to_owned());
    };
    let mut head_bytes = decode(head)?;
    let head_value = json(&mut head_bytes)?;
    let method = head_value.get_str("alg").unwrap_or_default();
    if method.is_empty() {
        return Err("signing method (alg) is unspecified.".to_owned());
    }
    let mut claim_bytes = decode(claims)?;
    let claims_value = json(&mut claim_bytes)?;
    let signed = token.get(..head.len() + 1 + claims.len()).unwrap_or_default().as_bytes();
    let sent = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    let right = match method {
        "HS256" => verify::<Hmac<Sha256>>(secret, signed, &sent),
        "HS384" => verify::<Hmac<Sha384>>(secret, signed, &sent),
        "HS512" => verify::<Hmac<Sha512>>(secret, signed, &sent),
        other if OTHERS.contains(&other) => {
            return Err(format!("unexpected signing method: {other}"));
        }
        _ => return Err("signing method (alg) is unavailable.".to_owned()),
    };
    if !right {
        return Err("signature is invalid".to_owned());
    }
    check_times(&claims_value, now_seconds)?;
    match claims_value.get("username").and_then(|name| name.as_str()) {
        None => Err("username in token must be a string".to_owned()),
        Some("") => Err("token must contain a username".to_owned()),
        Some(name) => Ok(name.to_owned()),
    }
}

fn verify<M: Mac + KeyInit>(secret: &[u8], signed: &[u8], sent: &[u8]) -> bool {
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(secret) else { return false };
    mac.update(signed);
    // Compares in constant time.
    mac.verify_slice(sent).is_ok()
}

fn check_times(claims: &simd_json::BorrowedValue<'_>, now: i64) -> Result<(), String> {
    let time = |name: &str| claims.get(name).and_then(|value| value.cast_f64());
    let now = now as f64;
    if time("nbf").is_some_and(|from| now < from) {
        return Err("Token is not valid yet".to_owned());
    }
    if time("iat").is_some_and(|made| now < made) {
        return Err("Token used before issued".to_owned());
    }
    match time("exp") {
        Some(end) if end > 0.0 && now > end => Err("Token is expired".to_owned()),
        Some(end) if end > 0.0 => Ok(()),
        _ => Err("token expiration required".to_owned()),
    }
}

fn decode(part: &str) -> Result<Vec<u8>, String> {
    let digits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    URL_SAFE_NO_PAD.decode(part).map_err(|_| {
        let at = part.bytes().position(|byte| !digits(&byte)).unwrap_or(part.len());
        format!("illegal base64 data at input byte {at}")
    })
}

fn json(bytes: &mut [u8]) -> Result<simd_json::BorrowedValue<'_>, String> {
    let value = simd_json::to_borrowed_value(bytes);
    let value = value.ok().filter(|value| value.as_object().is_some());
    value.ok_or_else(|| "token is malformed: no JSON object".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(head: &str, claims: &str, secret: &[u8]) -> String {
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret).unwrap();
        mac.update(text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn tokens_are_refused_in_the_words_of_the_reference() {
        let ask = |head: &str, claims: &str| user(&token(head, claims, b"key"), b"key", 100);
        let good = r#"{"alg":"HS256","typ":"JWT"}"#;
        assert_eq!(ask(good, r#"{"username":"joe","exp":101}"#).as_deref(), Ok("joe"));
        let cases = [
            (good, r#"{"username":"joe","exp":99}"#, "Token is expired"),
            (good, r#"{"username":"joe"}"#, "token expiration required"),
            (good, r#"{"username":"joe","exp":0}"#, "token expiration required"),
            (good, r#"{"username":"joe","exp":"x"}"#, "token expiration required"),
            (good, r#"{"username":"joe","exp":101,"nbf":101}"#, "Token is not valid yet"),
            (good, r#"{"username":5,"exp":101}"#, "username in token must be a string"),
            (good, r#"{"exp":101}"#, "username in token must be a string"),
            (good, r#"{"username":"","exp":101}"#, "token must contain a username"),
            (r#"{"alg":"none"}"#, r#"{"exp":1}"#, "unexpected signing method: none"),
            (r#"{"alg":"HS384"}"#, r#"{"exp":1}"#, "signature is invalid"),
            (r#"{"alg":"x"}"#, r#"{"exp":1}"#, "signing method (alg) is unavailable."),
        ];
        for (head, claims, text) in cases {
            assert_eq!(ask(head, claims).unwrap_err(), text, "{claims}");
        }
        let other = token(good, r#"{"username":"joe","exp":101}"#, b"other");
        assert_eq!(user(&other, b"key", 100).unwrap_err(), "signature is invalid");
        let garbage = user("garbage", b"key", 100).unwrap_err();
        assert_eq!(garbage, "token contains an invalid number of segments");
        assert_eq!(user("a!.b.c", b"key", 1).unwrap_err(), "illegal base64 data at input byte 1");
    }
}
