//! What the service manager is told: ready, what is going on, alive, stopping.
//!
//! In: lines such as `READY=1`. Out: a datagram to the socket that `NOTIFY_SOCKET` names, which
//! systemd sets for services of `Type=notify`; without it nothing happens. A name that begins with
//! `@` is one of the kernel's own name space.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Tells it, if somebody wants to know. Nothing waits for the reader.
pub fn tell(text: &str) {
    if let Some(name) = std::env::var_os("NOTIFY_SOCKET") {
        // A manager that does not listen is no reason to stop.
        let _ = send(&name, text);
    }
}

fn send(name: &OsStr, text: &str) -> std::io::Result<()> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(own) => SocketAddr::from_abstract_name(own)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(text.as_bytes(), &address).map(|_| ())
}

/// How often the manager wants to hear that the process is alive; `None`: it does not.
pub fn watchdog() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let meant =
        number("WATCHDOG_PID").is_none_or(|process| process == u64::from(std::process::id()));
    let micros = number("WATCHDOG_USEC").filter(|micros| meant && *micros > 0)?;
    Some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_reach_names_of_both_kinds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let named = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        let mut bytes = [0; 32];
        let len = named.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..len], b"READY=1");
        let own = format!("ringtail-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(own.as_bytes()).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        send(OsStr::new(&format!("@{own}")), "STOPPING=1").unwrap();
        let len = socket.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..len], b"STOPPING=1");
        assert!(send(OsStr::new("/nowhere/at/all"), "x").is_err());
    }
}
