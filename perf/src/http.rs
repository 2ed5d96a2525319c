//! A small HTTP/1.1 client on one connection: as much as a load generator needs.
//!
//! In: a head and a body. Out: status and body of the answer, whether it has a length or comes in
//! chunks.

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;

/// A connection.
pub struct Client {
    stream: TcpStream,
    address: String,
    /// Bytes read and not used yet.
    rest: Vec<u8>,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn connect(address: &str) -> Result<Client, String> {
        let stream = connect(address).await?;
        Ok(Client { stream, address: address.to_owned(), rest: Vec::new() })
    }

    /// `POST` of a body.
    ///
    /// # Errors
    /// The connection broke, or what came back is no HTTP.
    pub async fn post(&mut self, path: &str, kind: &str, body: Vec<u8>) -> Result<Answer, String> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        for part in [head.into_bytes(), body] {
            let (done, _) = self.stream.write_all(part).await;
            done.map_err(|error| format!("the server closed the connection: {error}"))?;
        }
        self.answer().await
    }

    /// A statement of InfluxQL by `/query`, with times as nanoseconds.
    ///
    /// # Errors
    /// As `post`; an answer that is not 200.
    pub async fn ask(&mut self, db: &str, statement: &str) -> Result<Vec<u8>, String> {
        let escape = percent_encoding::NON_ALPHANUMERIC;
        let statement = percent_encoding::utf8_percent_encode(statement, escape);
        let body = format!("db={db}&epoch=ns&q={statement}");
        let form = "application/x-www-form-urlencoded";
        let answer = self.post("/query", form, body.into_bytes()).await?;
        match answer.status {
            200 => Ok(answer.body),
            status => {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                Err(format!("the query was answered {status}: {text}"))
            }
        }
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
        let (read, mut buffer) = self.stream.read(Vec::with_capacity(256 << 10)).await;
        if read.map_err(|error| error.to_string())? == 0 {
            return Err("the server closed the connection".to_owned());
        }
        self.rest.append(&mut buffer);
        Ok(())
    }
}

/// A plain connection.
///
/// # Errors
/// Nobody listens there.
pub async fn connect(address: &str) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("{address} does not answer: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

fn length_of(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
