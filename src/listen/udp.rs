//! Graphite's plaintext by datagrams.
//!
//! In: a bound socket of this core. Out: rows. Many datagrams are received by one system call and
//! decoded together; each ends its last line. One write is in flight; while it waits, the kernel
//! keeps what its buffer holds and drops the rest, which is counted.

use super::connections::Connections;
use super::{Front, RealDecoder};
use crate::api::stream::{self, Decoded};
use crate::env::{Env, Queue, Task};
use crate::stats::StreamDoor;
use futures_lite::future;
use glommio::net::UdpSocket;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

/// Datagrams of one system call.
const DATAGRAMS: usize = 32;
/// Room for the largest datagram.
const DATAGRAM_BYTES: usize = 65_536;
/// Bytes collected before they are decoded.
const TURN_BYTES: usize = 1 << 20;
/// Pause after an error of the socket, so that a lasting one does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Receives until the core drains.
pub async fn run(front: Rc<Front>, socket: OwnedFd, all: Connections) {
    // SAFETY: the descriptor is a bound socket that nobody else owns.
    let socket = unsafe { UdpSocket::from_raw_fd(socket.into_raw_fd()) };
    let door = StreamDoor::GraphiteUdp;
    let mut receiver = Receiver::new(socket.as_raw_fd());
    let mut decoder = RealDecoder::new(front.clone(), door);
    let mut writing: Option<<crate::env::real::RealEnv as Env>::Task<()>> = None;
    while !all.is_draining() {
        if let Err(error) = receiver.collect() {
            front.doors().accept_errors.add(1);
            front.note(|| format!("{}: cannot receive: {error}", door.name()));
            front.env.sleep(ERROR_PAUSE).await;
            continue;
        }
        if receiver.bytes.is_empty() {
            let waiting = async {
                // Errors come up again where they are told.
                if socket.peek_from(&mut [0]).await.is_err() {
                    front.env.sleep(ERROR_PAUSE).await;
                }
            };
            future::or(waiting, all.draining()).await;
            continue;
        }
        let lines = receiver.take(&front);
        let decoded = decoder.decode(&lines.bytes, |line| lines.sender_of(line), || true).await;
        if let Some(before) = writing.take() {
            before.join().await;
        }
        match decoded {
            Ok(part) => writing = Some(write(&front, &all, part, lines.bytes)),
            Err(error) => {
                let count = memchr::memchr_iter(b'\n', &lines.bytes).count() as u64;
                front.doors().stream(door).points_failed.add(count);
                front.note(|| format!("{}: {count} lines not stored: {error}", door.name()));
            }
        }
        front.env.yield_now().await;
    }
    if let Some(before) = writing.take() {
        before.join().await;
    }
}

fn write(
    front: &Rc<Front>,
    all: &Connections,
    part: Decoded,
    bytes: Vec<u8>,
) -> <crate::env::real::RealEnv as Env>::Task<()> {
    let (core, all) = (front.clone(), all.clone());
    let write = async move { stream::store(&core, part, &bytes, || all.is_draining()).await };
    front.env.spawn(Queue::Ingest, write)
}

/// The lines of some datagrams, with who sent them.
struct Lines {
    bytes: Vec<u8>,
    /// Ends of the datagrams in `bytes`.
    senders: Vec<(usize, Option<SocketAddr>)>,
}

impl Lines {
    /// Who sent a line, for the log: the first whose datagram has it.
    fn sender_of(&self, line: &[u8]) -> String {
        let mut start = 0;
        for (end, sender) in &self.senders {
            let datagram = self.bytes.get(start..*end).unwrap_or_default();
            if let Some(sender) = sender.filter(|_| memchr::memmem::find(datagram, line).is_some())
            {
                return sender.to_string();
            }
            start = *end;
        }
        "unknown".to_owned()
    }
}

/// Receives datagrams.
struct Receiver {
    socket: RawFd,
    /// Room for `DATAGRAMS` datagrams side by side; pages are used only as far as bytes come.
    room: Vec<u8>,
    bytes: Vec<u8>,
    senders: Vec<(usize, Option<SocketAddr>)>,
    /// Datagrams that the kernel had dropped when it was last asked.
    lost: u32,
}

impl Receiver {
    fn new(socket: RawFd) -> Receiver {
        let room = vec![0; DATAGRAMS * DATAGRAM_BYTES];
        Receiver { socket, room, bytes: Vec::new(), senders: Vec::new(), lost: 0 }
    }

    /// Takes what the kernel has, up to a turn's worth.
    fn collect(&mut self) -> io::Result<()> {
        while self.bytes.len() < TURN_BYTES {
            if self.receive()? < DATAGRAMS {
                break;
            }
        }
        Ok(())
    }

    /// One system call; the number of datagrams that it brought.
    fn receive(&mut self) -> io::Result<usize> {
        // SAFETY: these are plain numbers and pointers, for which zero is valid.
        let mut heads: [libc::mmsghdr; DATAGRAMS] = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut addresses: [libc::sockaddr_storage; DATAGRAMS] = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut parts: [libc::iovec; DATAGRAMS] = unsafe { std::mem::zeroed() };
        let rooms = self.room.chunks_exact_mut(DATAGRAM_BYTES);
        let slots = heads.iter_mut().zip(&mut parts).zip(&mut addresses).zip(rooms);
        for (((head, part), address), room) in slots {
            *part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
            head.msg_hdr.msg_iov = part;
            head.msg_hdr.msg_iovlen = 1;
            head.msg_hdr.msg_name = (&raw mut *address).cast();
            head.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        }
        // SAFETY: every head points to a part and an address above, every part to its own bytes of
        // `room`, with their true sizes; all of them outlive the call.
        let count = unsafe {
            let heads = heads.as_mut_ptr();
            let flags = libc::MSG_DONTWAIT;
            libc::recvmmsg(self.socket, heads, DATAGRAMS as u32, flags, std::ptr::null_mut())
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            let nothing = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
            return if nothing.contains(&error.kind()) { Ok(0) } else { Err(error) };
        };
        let rooms = self.room.chunks_exact(DATAGRAM_BYTES);
        for ((head, address), room) in heads.iter().zip(&addresses).zip(rooms).take(count) {
            let datagram = room.get(..head.msg_len as usize).unwrap_or(room);
            self.bytes.extend_from_slice(datagram);
            if datagram.last() != Some(&b'\n') {
                self.bytes.push(b'\n');
            }
            self.senders.push((self.bytes.len(), sender(address)));
        }
        Ok(count)
    }

    /// Hands over what was collected, and counts it.
    fn take(&mut self, front: &Front) -> Lines {
        let (bytes, senders) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.senders));
        let doors = front.doors();
        doors.graphite_udp_datagrams.add(senders.len() as u64);
        doors.graphite_udp_bytes.add(bytes.len() as u64);
        let lost = self.kernel_lost();
        doors.graphite_udp_lost.add(u64::from(lost.wrapping_sub(self.lost)));
        self.lost = lost;
        Lines { bytes, senders }
    }

    /// Datagrams that the kernel has dropped at this socket.
    fn kernel_lost(&self) -> u32 {
        /// The place of the drops among the figures.
        const DROPS: usize = 8;
        let mut figures = [0u32; DROPS + 1];
        let mut size = size_of_val(&figures) as libc::socklen_t;
        let into = figures.as_mut_ptr().cast();
        // SAFETY: the pointer is to figures of the size that is told.
        let result = unsafe {
            let level = libc::SOL_SOCKET;
            libc::getsockopt(self.socket, level, libc::SO_MEMINFO, into, &raw mut size)
        };
        let [.., drops] = figures;
        if result == 0 { drops } else { self.lost }
    }
}

fn sender(address: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(address.ss_family) {
        libc::AF_INET => {
            // SAFETY: an address of this family has this form, and the storage is large enough.
            let v4 = unsafe { &*(&raw const *address).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(v4.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*(&raw const *address).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddr::new(IpAddr::V6(ip), u16::from_be(v6.sin6_port)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket as Plain;

    #[test]
    fn datagrams_become_lines_with_their_senders() {
        let receiving = Plain::bind("127.0.0.1:0").unwrap();
        let one = Plain::bind("127.0.0.1:0").unwrap();
        let address = receiving.local_addr().unwrap();
        one.send_to(b"a 1 1\nb 2", address).unwrap();
        one.send_to(b"", address).unwrap();
        for n in 0..DATAGRAMS {
            one.send_to(format!("c{n} 1\n").as_bytes(), address).unwrap();
        }
        let mut receiver = Receiver::new(receiving.as_raw_fd());
        receiver.collect().unwrap();
        let (bytes, senders) = (receiver.bytes.clone(), receiver.senders.clone());
        let lines = Lines { bytes, senders };
        assert!(lines.bytes.starts_with(b"a 1 1\nb 2\n\nc0 1\nc1 1\n"));
        assert_eq!(lines.senders.len(), DATAGRAMS + 2);
        assert_eq!(lines.sender_of(b"b 2"), one.local_addr().unwrap().to_string());
        assert_eq!(lines.sender_of(b"nobody"), "unknown");
        receiver.bytes.clear();
        assert_eq!(receiver.receive().unwrap(), 0);
        assert_eq!(receiver.kernel_lost(), 0);
    }
}
