//! The body of a refused request: `{"error":"…"}` and a line feed.
//!
//! In: the text of the error. Out: the body.

use super::scalar;

/// The body for `text`; `pretty` puts it on lines of its own.
pub fn body(text: &[u8], pretty: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 24);
    out.extend_from_slice(if pretty { b"{\n    \"error\": " } else { b"{\"error\":" });
    scalar::string(text, &mut out);
    out.extend_from_slice(if pretty { b"\n}\n" } else { b"}\n" });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_ends_with_a_line_feed() {
        assert_eq!(body(b"authorization failed", false).len(), 33);
        assert_eq!(body(b"a<\"", false), b"{\"error\":\"a\\u003c\\\"\"}\n");
        assert_eq!(body(b"a\xffb", false), b"{\"error\":\"a\\ufffdb\"}\n");
        assert_eq!(body(b"a", true), b"{\n    \"error\": \"a\"\n}\n");
    }
}
