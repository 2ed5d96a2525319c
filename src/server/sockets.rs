//! Sockets that all cores listen on together, and the check that nobody else does.
//!
//! In: addresses. Out: for each address one bound socket per core; they listen when the store is
//! open. SO_REUSEPORT would let a second server of the same user take part silently, so a socket
//! without it is bound first. Until they listen, the sockets lack SO_REUSEADDR, so that this check
//! fails against them too; they get it before they listen, so that connections of an ended server
//! do not hold the port.

use super::{ServeError, holder};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// A TCP connection silent for so long is asked whether its peer is still there, and given up after
/// some unanswered questions (s, s, number).
const KEEPALIVE: (i32, i32, i32) = (120, 30, 4);

/// What is sent through a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Tcp,
    /// Datagrams, with a receive buffer of so many bytes.
    Udp(u64),
}

/// How long the sockets of a killed server are waited for, and how often they are looked at.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_STEP: Duration = Duration::from_millis(20);

/// Connections that wait to be accepted, per core and address.
const BACKLOG: i32 = 1024;

/// An address with one socket per core.
#[derive(Debug)]
pub struct Reserved {
    /// With its real port.
    pub address: SocketAddr,
    pub sockets: Vec<OwnedFd>,
}

/// Binds an address for so many cores.
pub fn reserve(
    address: SocketAddr,
    cores: usize,
    (kind, what): (Kind, &str),
) -> Result<Reserved, ServeError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => ServeError::Failed(format!(
            "{what} cannot listen on {address}: another process listens there"
        )),
        _ => ServeError::io(format_args!("{what} cannot listen on {address}"), &error),
    };
    if address.port() != 0 {
        let alone = socket(address, kind).map_err(failed)?;
        if kind == Kind::Tcp {
            set(&alone, libc::SO_REUSEADDR).map_err(failed)?;
        }
        bind_in_time(&alone, address, kind).map_err(failed)?;
    }
    let mut sockets = Vec::with_capacity(cores);
    let mut address = address;
    for _ in 0..cores {
        let one = socket(address, kind).map_err(failed)?;
        set(&one, libc::SO_REUSEPORT).map_err(failed)?;
        if let Kind::Udp(bytes) = kind {
            set_receive_buffer(&one, bytes);
        }
        bind(&one, address).map_err(failed)?;
        address.set_port(port(&one).map_err(failed)?);
        sockets.push(one);
    }
    Ok(Reserved { address, sockets })
}

/// Binds a socket; where the address is in use and no living process is seen to hold it, again for
/// a moment. The sockets of a server that was killed outlive its process while the kernel takes its
/// rings down.
fn bind_in_time(socket: &OwnedFd, address: SocketAddr, kind: Kind) -> io::Result<()> {
    let until = Instant::now() + LINGER;
    loop {
        let bound = bind(socket, address);
        let in_use = bound.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AddrInUse);
        if !in_use || Instant::now() >= until || holder::is_held(address, kind) {
            return bound;
        }
        std::thread::sleep(LINGER_STEP);
    }
}

/// Begins to listen for connections.
pub fn listen(socket: &OwnedFd) -> io::Result<()> {
    set(socket, libc::SO_REUSEADDR)?;
    // Connections inherit this from the socket that accepts them.
    let (idle, pause, questions) = KEEPALIVE;
    set(socket, libc::SO_KEEPALIVE)?;
    set_level(socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, idle)?;
    set_level(socket, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, pause)?;
    set_level(socket, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, questions)?;
    // SAFETY: a plain system call on a descriptor that is open.
    check(unsafe { libc::listen(socket.as_raw_fd(), BACKLOG) })
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn socket(address: SocketAddr, kind: Kind) -> io::Result<OwnedFd> {
    let kind = if kind == Kind::Tcp { libc::SOCK_STREAM } else { libc::SOCK_DGRAM };
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: a plain system call; the descriptor it gives is owned by nobody else.
    let socket = unsafe {
        let number = libc::socket(family, kind | libc::SOCK_CLOEXEC, 0);
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(number)
    };
    if address.is_ipv6() {
        set_level(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    Ok(socket)
}

fn set(socket: &OwnedFd, option: i32) -> io::Result<()> {
    set_level(socket, libc::SOL_SOCKET, option, 1)
}

/// A large buffer, beyond the system's usual limit where that is permitted; less is no error.
fn set_receive_buffer(socket: &OwnedFd, bytes: u64) {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    if set_level(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes).is_err() {
        let _ = set_level(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes);
    }
}

fn set_level(socket: &OwnedFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    let size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the pointer is to an integer of the size that is told.
    check(unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), size)
    })
}

fn bind(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            let size = size_of_val(&raw) as libc::socklen_t;
            // SAFETY: the pointer is to an address of the size that is told.
            check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const raw).cast(), size) })
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            let size = size_of_val(&raw) as libc::socklen_t;
            // SAFETY: the pointer is to an address of the size that is told.
            check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const raw).cast(), size) })
        }
    }
}

fn port(socket: &OwnedFd) -> io::Result<u16> {
    let twin = std::net::TcpListener::from(socket.try_clone()?);
    Ok(twin.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn a_port_is_reserved_once_before_and_after_listening() {
        let first = reserve(local(), 2, (Kind::Tcp, "http")).unwrap();
        assert_eq!(first.sockets.len(), 2);
        assert_ne!(first.address.port(), 0);
        let taken = |address| {
            let error = reserve(address, 2, (Kind::Tcp, "http")).map(|_| ()).unwrap_err();
            assert!(error.to_string().ends_with("another process listens there"), "{error}");
        };
        taken(first.address);
        first.sockets.iter().for_each(|socket| listen(socket).unwrap());
        taken(first.address);
        let address = first.address;
        drop(first);
        assert!(reserve(address, 2, (Kind::Tcp, "http")).is_ok());
    }

    #[test]
    fn connections_of_an_ended_server_do_not_hold_its_port() {
        use std::io::Read;
        let first = reserve(local(), 1, (Kind::Tcp, "http")).unwrap();
        listen(&first.sockets[0]).unwrap();
        let address = first.address;
        let mut client = std::net::TcpStream::connect(address).unwrap();
        let listener = std::net::TcpListener::from(first.sockets.into_iter().next().unwrap());
        let (served, _) = listener.accept().unwrap();
        // The server ends the connection first, so its side waits for a while.
        drop((served, listener));
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
        drop(client);
        assert!(reserve(address, 1, (Kind::Tcp, "http")).is_ok());
    }

    #[test]
    fn sockets_of_a_killed_server_are_waited_for() {
        let first = reserve(local(), 1, (Kind::Tcp, "http")).unwrap();
        let address = first.address;
        let ending = std::thread::spawn(move || {
            std::thread::sleep(LINGER_STEP * 3);
            drop(first);
        });
        assert!(reserve(address, 1, (Kind::Tcp, "http")).is_ok());
        ending.join().unwrap();
    }

    #[test]
    fn ports_of_datagrams_are_reserved_once_too() {
        let first = reserve(local(), 2, (Kind::Udp(1 << 20), "graphite")).unwrap();
        let error = reserve(first.address, 1, (Kind::Udp(0), "graphite")).unwrap_err();
        assert!(error.to_string().ends_with("another process listens there"), "{error}");
        assert!(reserve(first.address, 1, (Kind::Tcp, "graphite")).is_ok());
    }
}
