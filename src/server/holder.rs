//! Whether a process that lives holds an address.
//!
//! In: an address that cannot be bound. Out: whether some process has a socket there. The sockets
//! of a server that was killed outlive it for a moment, while the kernel takes its rings down: they
//! listen as before, but no process has them open any more. What the system tells is taken from
//! `/proc`: its list of sockets with their owners and inodes, and every process's descriptors.

use super::sockets::Kind;
use std::fs;
use std::net::{IpAddr, SocketAddr};

/// A socket in the system's list.
#[derive(PartialEq, Eq, Debug)]
struct Entry {
    uid: u32,
    inode: u64,
}

/// Whether a living process, as far as can be seen, holds a socket that an address conflicts with.
pub fn is_held(address: SocketAddr, kind: Kind) -> bool {
    let names = match kind {
        Kind::Tcp => ["tcp", "tcp6"],
        Kind::Udp(_) => ["udp", "udp6"],
    };
    let lists = names.map(|name| fs::read_to_string(format!("/proc/net/{name}")));
    let lists: String = lists.into_iter().flatten().collect();
    let found = entries(&lists, address);
    // SAFETY: the call has no arguments and cannot fail.
    let own = unsafe { libc::geteuid() };
    // Another user's processes cannot be looked into; a killed server of theirs is theirs to mend.
    found.iter().any(|entry| entry.uid != own) || is_open(&found)
}

/// The sockets that an address conflicts with.
fn entries(list: &str, address: SocketAddr) -> Vec<Entry> {
    let group = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
    let host = match address.ip() {
        IpAddr::V4(ip) => group(ip.octets()),
        IpAddr::V6(ip) => {
            let groups = ip.octets();
            let (groups, _) = groups.as_chunks::<4>();
            groups.iter().map(|bytes| group(*bytes)).collect()
        }
    };
    let (any, port) = (address.ip().is_unspecified(), format!("{:04X}", address.port()));
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (there, at) = words.nth(1)?.split_once(':')?;
        let uid = words.nth(5)?.parse().ok()?;
        let inode = words.nth(1)?.parse().ok()?;
        let meets = there == host || any || there.bytes().all(|byte| byte == b'0');
        // A connection that has ended has no inode any more.
        (at == port && meets && inode != 0).then_some(Entry { uid, inode })
    };
    list.lines().filter_map(entry).collect()
}

/// Whether some process has one of the sockets open.
fn is_open(sockets: &[Entry]) -> bool {
    let names: Vec<_> =
        sockets.iter().map(|entry| format!("socket:[{}]", entry.inode).into()).collect();
    let is_number =
        |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().filter(is_number);
    let open = processes.flat_map(|process| fs::read_dir(process.path().join("fd")));
    let mut links = open.flatten().flatten().flat_map(|entry| fs::read_link(entry.path()));
    !names.is_empty() && links.any(|link: std::path::PathBuf| names.contains(&link))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when \
                        retrnsmt uid timeout inode\n   0: 0100007F:1F96 00000000:0000 0A \
                        00000000:00000000 00:00000000 00000000  1000        0 77 1 0 100 0 0 10 \
                        0\n   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 \
                        00000000 0 0 78 1 0\n   2: 0100007F:1F96 0100007F:9999 06 0:0 03:0 0 0 0 \
                        0 3 0\n";

    #[test]
    fn sockets_in_the_way_are_found_in_the_systems_list() {
        let found = |address: &str| {
            let all = entries(LIST, address.parse().unwrap());
            all.iter().map(|entry| (entry.uid, entry.inode)).collect::<Vec<_>>()
        };
        assert_eq!(found("127.0.0.1:8086"), [(1000, 77)]);
        assert_eq!(found("0.0.0.0:8086"), [(1000, 77)]);
        assert_eq!(found("127.0.0.2:8086"), []);
        assert_eq!(found("127.0.0.2:8080"), [(0, 78)]);
        assert_eq!(found("127.0.0.2:8081"), []);
    }

    #[test]
    fn a_socket_is_held_by_the_process_that_has_it_open() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // Some machines have no IPv6.
            let Ok(listener) = std::net::TcpListener::bind(address) else { continue };
            let address = listener.local_addr().unwrap();
            assert!(is_held(address, Kind::Tcp));
            assert!(!is_held(address, Kind::Udp(0)));
        }
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(is_held(socket.local_addr().unwrap(), Kind::Udp(0)));
        assert!(!is_open(&[Entry { uid: 0, inode: u64::MAX }]));
    }
}
