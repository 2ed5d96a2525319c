//! Connections: each takes the next request from the common list, sends it, and waits for the
//! answer (telnet has none: the kernel's buffer is the only brake).

use crate::workload::{Body, Protocol};
use crate::{Args, Progress};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

/// Sends requests until the list is empty.
pub async fn send(
    args: Args,
    bodies: Rc<RefCell<Vec<Body>>>,
    progress: Rc<RefCell<Progress>>,
) -> Result<(), String> {
    let mut stream = connect(&args.address).await?;
    loop {
        let Some(body) = bodies.borrow_mut().pop() else { return Ok(()) };
        let started = Instant::now();
        let status = match args.protocol {
            Protocol::Influx => {
                let head = format!(
                    "POST /write?db={} HTTP/1.1\r\nHost: load\r\nContent-Length: {}\r\n\r\n",
                    args.db,
                    body.bytes.len()
                );
                request(&mut stream, head.into_bytes(), body.bytes).await?.0
            }
            Protocol::Telnet => {
                let (done, _) = stream.write_all(body.bytes).await;
                done.map_err(|error| error.to_string())?;
                204
            }
        };
        let mut progress = progress.borrow_mut();
        progress.requests += 1;
        match status {
            200..=299 => progress.values += body.values,
            _ => progress.errors += 1,
        }
        let elapsed = started.elapsed().as_micros() as u64;
        progress.latency_us.saturating_record(elapsed.max(1));
    }
}

/// Makes the database of a run.
pub async fn create_database(address: &str, db: &str) -> Result<(), String> {
    let mut stream = connect(address).await?;
    let body = format!("q=CREATE DATABASE \"{db}\"");
    let head = format!(
        "POST /query HTTP/1.1\r\nHost: load\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    match request(&mut stream, head.into_bytes(), body.into_bytes()).await? {
        (200, _) => Ok(()),
        (status, text) => Err(format!("CREATE DATABASE was answered {status}: {text}")),
    }
}

async fn connect(address: &str) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("{address} does not answer: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

async fn request(
    stream: &mut TcpStream,
    head: Vec<u8>,
    body: Vec<u8>,
) -> Result<(u16, String), String> {
    for part in [head, body] {
        let (done, _) = stream.write_all(part).await;
        done.map_err(|error| format!("the server closed the connection: {error}"))?;
    }
    let mut answer: Vec<u8> = Vec::new();
    loop {
        let (read, buffer) = stream.read(Vec::with_capacity(4096)).await;
        if read.map_err(|error| error.to_string())? == 0 {
            return Err("the server closed the connection".to_owned());
        }
        answer.extend_from_slice(&buffer);
        if is_complete(&answer) {
            break;
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    status.map(|status| (status, text)).ok_or_else(|| "the answer is no HTTP".to_owned())
}

/// Whether head and body of the one answer are there.
fn is_complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    match length.and_then(|text| text.trim().parse::<usize>().ok()) {
        Some(length) => body.len() >= length,
        None if head.contains("transfer-encoding: chunked") => body.ends_with("0\r\n\r\n"),
        None => true,
    }
}
