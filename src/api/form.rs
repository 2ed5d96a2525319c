//! Bodies of forms: `application/x-www-form-urlencoded` and `multipart/form-data`.
//!
//! In: the body of a POST. Out: its parameters. A file called `q` counts as the parameter `q` when
//! there is none, which is what `curl -F "q=@file"` sends. What is no form is no parameter.

use super::params::Params;
use super::routes::Head;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use hyper::{Method, StatusCode};

/// Largest form body, as the reference has it.
const BYTES_MAX: usize = 10 << 20;
/// Most parts of a multipart body.
const PARTS_MAX: usize = 1000;

/// The parameters of a request: those of its form first, then those of its URL.
///
/// # Errors
/// Status and text.
pub async fn params<B>(head: &Head, body: B) -> Result<Params, (StatusCode, String)>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut params = head.params.clone();
    let kind = head.header("content-type");
    let name = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if head.method != Method::POST {
        return Ok(params);
    }
    match name.as_str() {
        "application/x-www-form-urlencoded" => params.overlay(Params::parse(&collect(body).await?)),
        "multipart/form-data" => {
            if let Some(boundary) = boundary(kind) {
                params.overlay(multipart(&collect(body).await?, &boundary));
            }
        }
        _ => {}
    }
    Ok(params)
}

async fn collect<B>(mut body: B) -> Result<Vec<u8>, (StatusCode, String)>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let cut = |_| (StatusCode::BAD_REQUEST, "unexpected EOF".to_owned());
        let Ok(part) = frame.map_err(cut)?.into_data() else { continue };
        if bytes.len() + part.len() > BYTES_MAX {
            return Err((StatusCode::BAD_REQUEST, "http: POST too large".to_owned()));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

fn boundary(kind: &str) -> Option<String> {
    let found = attribute(kind, "boundary")?;
    (!found.is_empty()).then_some(found)
}

/// An attribute of a header: `name=value` or `name="value"` behind a semicolon.
fn attribute(header: &str, name: &str) -> Option<String> {
    let pairs = header.split(';').skip(1).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    let value = value.trim();
    let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    Some(bare.replace("\\\"", "\""))
}

/// Reads the parts of a multipart body.
fn multipart(body: &[u8], boundary: &str) -> Params {
    let mark = format!("--{boundary}");
    let mut plain = Vec::new();
    let mut files = Vec::new();
    for part in parts(body, mark.as_bytes()).into_iter().take(PARTS_MAX) {
        let Some(at) = memchr::memmem::find(part, b"\r\n\r\n") else { continue };
        let (head, content) = part.split_at_checked(at).unwrap_or_default();
        let content = content.get(4..).unwrap_or_default();
        let head = String::from_utf8_lossy(head);
        let line = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
        });
        let Some(line) = line else { continue };
        let Some(name) = attribute(line, "name") else { continue };
        let text = String::from_utf8_lossy(content).into_owned();
        match attribute(line, "filename") {
            Some(_) => files.push((name, text)),
            None => plain.push((name, text)),
        }
    }
    let given = plain.iter().any(|(name, text)| name == "q" && !text.trim().is_empty());
    if !given {
        plain.extend(files.into_iter().filter(|(name, _)| name == "q"));
    }
    Params::of(plain)
}

/// What lies between boundaries, line ends around it left out.
fn parts<'a>(body: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let mut starts: Vec<usize> = Vec::new();
    for at in memchr::memmem::find_iter(body, mark) {
        let begins_line = at == 0 || body.get(..at).is_some_and(|before| before.ends_with(b"\r\n"));
        if begins_line {
            starts.push(at);
        }
    }
    let between = starts.iter().zip(starts.iter().skip(1));
    let inner = between.filter_map(|(start, end)| {
        let part = body.get(start + mark.len()..*end)?;
        part.strip_prefix(b"\r\n")?.strip_suffix(b"\r\n")
    });
    inner.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "--x\r\nContent-Disposition: form-data; name=\"db\"\r\n\r\nd b\r\n\
                        --x\r\ncontent-disposition: form-data; name=\"q\"; filename=\"f.txt\"\r\n\
                        Content-Type: text/plain\r\n\r\nSHOW\r\n--xDATABASES\r\n--x--\r\n";

    #[test]
    fn a_file_is_the_query_when_there_is_no_other() {
        let body = BODY.replace("--xDATABASES", "DATABASES");
        let params = multipart(body.as_bytes(), "x");
        assert_eq!((params.get("db"), params.get("q")), ("d b", "SHOW\r\nDATABASES"));
        let both = format!("--x\r\nContent-Disposition: form-data; name=q\r\n\r\nplain\r\n{body}");
        assert_eq!(multipart(both.as_bytes(), "x").get("q"), "plain");
        for broken in ["", "--x", "--x\r\n\r\n--x", "--y\r\n\r\n--y--"] {
            assert_eq!(multipart(broken.as_bytes(), "x").get("q"), "", "{broken}");
        }
    }

    #[test]
    fn boundaries_may_be_quoted() {
        assert_eq!(boundary("multipart/form-data; boundary=\"a b\"").as_deref(), Some("a b"));
        assert_eq!(boundary("multipart/form-data; charset=x; Boundary=ab").as_deref(), Some("ab"));
        assert_eq!(boundary("multipart/form-data"), None);
    }
}
