//! The body of a refused request: `{"error":"…"}` and a line feed.
//!
//! In: the text of the error. Out: the body.

use super::scalar;

/// The body for `text`; `pretty` puts it on lines of its own.
pub fn body(text: &str, pretty: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 24);
    out.extend_from_slice(if pretty { b"{\n    \"error\": " } else { b"{\"error\":" });
    // Texts quote what a client sent; a replacement character in one stands for bytes that were no
    // UTF-8, which the reference writes as an escape.
    let quoted: Vec<&[u8]> = text.split('\u{fffd}').map(str::as_bytes).collect();
    scalar::string(&quoted.join(&0xff), &mut out);
    out.extend_from_slice(if pretty { b"\n}\n" } else { b"}\n" });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_ends_with_a_line_feed() {
        assert_eq!(body("authorization failed", false).len(), 33);
        assert_eq!(body("a<\"", false), b"{\"error\":\"a\\u003c\\\"\"}\n");
        assert_eq!(body("a\u{fffd}b", false), b"{\"error\":\"a\\ufffdb\"}\n");
        assert_eq!(body("a", true), b"{\n    \"error\": \"a\"\n}\n");
    }
}
