//! A small HTTP/1.1 client on one connection: as much as a load generator needs.
//!
//! In: a head and a body. Out: status and body of the answer, whether it has a length or comes in
//! chunks.

use crate::stream::Stream;

/// A connection.
pub struct Client {
    stream: Stream,
    /// Header lines of every request.
    headers: String,
    /// Bytes read and not used yet.
    rest: Vec<u8>,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// What a body is.
#[derive(Clone, Copy)]
pub struct Kind {
    pub content: &'static str,
    pub gzip: bool,
}

impl Kind {
    pub const TEXT: Kind = Kind { content: "text/plain", gzip: false };
    pub const JSON: Kind = Kind { content: "application/json", gzip: false };
    pub const FORM: Kind = Kind { content: "application/x-www-form-urlencoded", gzip: false };
}

impl Client {
    /// Speaks HTTP on a connection; `headers` are whole lines that every request carries.
    pub fn new(stream: Stream, headers: String) -> Client {
        Client { stream, headers, rest: Vec::new() }
    }

    /// `POST` of a body.
    ///
    /// # Errors
    /// The connection broke, or what came back is no HTTP.
    pub async fn post(&mut self, path: &str, kind: Kind, body: Vec<u8>) -> Result<Answer, String> {
        let head = format!(
            "POST {path} HTTP/1.1\r\n{}Content-Type: {}\r\n{}Content-Length: {}\r\n\r\n",
            self.headers,
            kind.content,
            if kind.gzip { "Content-Encoding: gzip\r\n" } else { "" },
            body.len()
        );
        self.stream.write(head.into_bytes()).await?;
        self.stream.write(body).await?;
        self.answer().await
    }

    /// A form by `POST`; the body of its answer.
    ///
    /// # Errors
    /// As `post`; an answer that is not 200.
    pub async fn form(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Vec<u8>, String> {
        let escape = |text| percent_encoding::utf8_percent_encode(text, ESCAPED);
        let pairs = fields.iter().map(|(name, value)| format!("{name}={}", escape(value)));
        let body = pairs.collect::<Vec<_>>().join("&").into_bytes();
        let answer = self.post(path, Kind::FORM, body).await?;
        match answer.status {
            200 => Ok(answer.body),
            status => {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                Err(format!("the query was answered {status}: {text}"))
            }
        }
    }

    /// A statement of InfluxQL by `/query`, with times as nanoseconds.
    ///
    /// # Errors
    /// As `form`.
    pub async fn ask(&mut self, db: &str, statement: &str) -> Result<Vec<u8>, String> {
        self.form("/query", &[("db", db), ("epoch", "ns"), ("q", statement)]).await
    }

    async fn answer(&mut self) -> Result<Answer, String> {
        let head_end = loop {
            if let Some(at) = find(&self.rest, b"\r\n\r\n") {
                break at;
            }
            self.read_more().await?;
        };
        let behind = self.rest.split_off(head_end + 4);
        let head = String::from_utf8_lossy(&self.rest).to_ascii_lowercase();
        self.rest = behind;
        let status = head.split_whitespace().nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or("the answer is no HTTP")?;
        let body = match length_of(&head) {
            Some(length) => self.take(length).await?,
            None if head.contains("transfer-encoding: chunked") => self.chunks().await?,
            None => Vec::new(),
        };
        Ok(Answer { status, body })
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let line_end = loop {
                if let Some(at) = find(&self.rest, b"\r\n") {
                    break at;
                }
                self.read_more().await?;
            };
            let line = self.take(line_end + 2).await?;
            let text = String::from_utf8_lossy(&line);
            let size = usize::from_str_radix(text.trim(), 16).map_err(|_| "a broken chunk")?;
            let mut chunk = self.take(size + 2).await?;
            chunk.truncate(size);
            if chunk.is_empty() {
                return Ok(body);
            }
            body.append(&mut chunk);
        }
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>, String> {
        while self.rest.len() < length {
            self.read_more().await?;
        }
        let behind = self.rest.split_off(length);
        Ok(std::mem::replace(&mut self.rest, behind))
    }

    async fn read_more(&mut self) -> Result<(), String> {
        let mut bytes = self.stream.read().await?;
        if bytes.is_empty() {
            return Err("the server closed the connection".to_owned());
        }
        self.rest.append(&mut bytes);
        Ok(())
    }
}

const ESCAPED: &percent_encoding::AsciiSet = percent_encoding::NON_ALPHANUMERIC;

fn length_of(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
