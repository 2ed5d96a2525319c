//! Sends copies of written points to subscribers: HTTP `POST /write`, or UDP datagrams.
//!
//! In: parcels of the queues of `api::subscriber`. Out: bytes on sockets of this core, and counts
//! of what was taken. One parcel of a destination is on its way at a time; nothing is sent twice.

use super::Front;
use crate::api::subscriber::{Outlet, Parcel};
use crate::env::{Env, Queue, Task};
use crate::query::{Destination, Scheme};
use crate::stats::Sent;
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use glommio::net::{TcpStream, UdpSocket};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

/// Longest time for one parcel.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a failure, so that a dead subscriber costs little.
const PAUSE: Duration = Duration::from_millis(100);
/// Lines are put together into datagrams of this size; a longer line goes alone.
const DATAGRAM_BYTES: usize = 1400;

/// Serves every queue that this core's writes make.
pub fn start(front: &Rc<Front>) {
    let weak = Rc::downgrade(front);
    front.outlets.serve(move |outlet| {
        let Some(front) = weak.upgrade() else { return };
        let served = front.clone();
        front.env.spawn(Queue::Background, async move { run(&served, &outlet).await }).detach();
    });
}

async fn run(front: &Front, outlet: &Outlet) {
    while let Some(parcel) = outlet.next().await {
        let late = async {
            front.env.sleep(TIMEOUT).await;
            Err("no answer in time".to_owned())
        };
        match future::or(send(front, &outlet.destination, &parcel), late).await {
            Ok(()) => {
                front.doors().subscriber_sent.add(parcel.points);
                let sent = Sent { points: parcel.points, failures: 0 };
                front.doors().subscribers.note(&parcel.to, sent);
            }
            Err(error) => {
                front.doors().subscriber_failed.add(1);
                front.doors().subscribers.note(&parcel.to, Sent { points: 0, failures: 1 });
                let host = &outlet.destination.host;
                front.note(|| format!("subscriber {host} did not take points: {error}"));
                front.env.sleep(PAUSE).await;
            }
        }
    }
}

async fn send(front: &Front, to: &Destination, parcel: &Parcel) -> Result<(), String> {
    let (host, port) = (to.host.clone(), to.port);
    let found = front.env.blocking(move || (host.as_str(), port).to_socket_addrs());
    let found = found.await.map(|mut all| all.next()).map_err(|error| error.to_string())?;
    let address = found.ok_or("its name has no address")?;
    match to.scheme {
        Scheme::Udp => datagrams(address, &parcel.lines).await,
        Scheme::Http => post(address, to, parcel).await,
        Scheme::Https => Err("https is not spoken to subscribers".to_owned()),
    }
}

async fn datagrams(to: SocketAddr, lines: &[u8]) -> Result<(), String> {
    let here = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(here).map_err(|error| error.to_string())?;
    let mut datagram: Vec<u8> = Vec::new();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        if !datagram.is_empty() && datagram.len() + line.len() > DATAGRAM_BYTES {
            socket.send_to(&datagram, to).await.map_err(|error| error.to_string())?;
            datagram.clear();
        }
        datagram.extend_from_slice(line);
    }
    socket.send_to(&datagram, to).await.map(|_| ()).map_err(|error| error.to_string())
}

async fn post(address: SocketAddr, to: &Destination, parcel: &Parcel) -> Result<(), String> {
    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let head = format!(
        "POST {}/write?consistency=&db={}&precision=ns&rp={} HTTP/1.1\r\nHost: {}:{}\r\n\
         User-Agent: InfluxDBClient\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        to.path,
        escaped(&parcel.db),
        escaped(&parcel.rp),
        to.host,
        to.port,
        parcel.lines.len()
    );
    let io = |error: std::io::Error| error.to_string();
    stream.write_all(head.as_bytes()).await.map_err(io)?;
    stream.write_all(&parcel.lines).await.map_err(io)?;
    // Only the status line matters.
    let mut answer = [0; 64];
    let mut filled = 0;
    while let Some(free) = answer.get_mut(filled..).filter(|free| !free.is_empty()) {
        let read = stream.read(free).await.map_err(io)?;
        filled += read;
        let known = answer.get(..filled).unwrap_or(&[]);
        if read == 0 || known.contains(&b'\n') {
            break;
        }
    }
    let line = String::from_utf8_lossy(answer.get(..filled).unwrap_or(&[])).into_owned();
    match line.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(()),
        Some(status) => Err(format!("it answered {status}")),
        None => Err("it gave no answer".to_owned()),
    }
}
