//! Accepting connections on one core, up to a limit, until the core drains.
//!
//! In: a listening socket. Out: a task per connection. Errors (no descriptors left, a connection
//! reset before it was taken) are counted and waited out; at the limit nothing is accepted, so
//! further connections wait in the kernel.

use super::buffers::Buffers;
use super::connections::Connections;
use super::tls::{Copy, Tls};
use super::{Front, http, session};
use crate::api::watch::Peer;
use crate::env::notify::Notify;
use crate::env::{Env, Queue, Task};
use crate::stats::{Counter, StreamDoor};
use futures_lite::future;
use glommio::net::{TcpListener, TcpStream};
use std::cell::Cell;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

/// Pause after an error of accept, so that a lasting one does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// What is spoken on a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    Http,
    /// HTTP in TLS.
    Https,
    Stream(StreamDoor),
}

/// What the connections of a core share.
#[derive(Clone, Default)]
pub struct Floor {
    pub connections: Connections,
    tls: Option<Copy>,
    http: Room,
    telnet: Room,
    graphite: Room,
    pickle: Room,
    buffers: Buffers,
}

impl Floor {
    /// A floor without connections; HTTPS needs `tls`.
    pub fn new(tls: Option<Tls>) -> Floor {
        Floor { tls: tls.map(Copy::of), ..Floor::default() }
    }

    fn room(&self, door: Door) -> &Room {
        match door {
            Door::Http | Door::Https => &self.http,
            Door::Stream(StreamDoor::Telnet) => &self.telnet,
            Door::Stream(StreamDoor::Graphite | StreamDoor::GraphiteUdp) => &self.graphite,
            Door::Stream(StreamDoor::Pickle) => &self.pickle,
        }
    }
}

/// Connections of one kind on one core: a limit.
#[derive(Clone, Default)]
struct Room {
    open: Rc<Cell<usize>>,
    freed: Notify,
}

/// A place in the room; dropping it lets another in.
struct Place {
    room: Room,
    front: Rc<Front>,
    door: Door,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.open.set(self.room.open.get().saturating_sub(1));
        self.room.freed.notify();
        if let Some([open, _]) = counters(&self.front, self.door) {
            open.sub(1);
        }
    }
}

impl Room {
    async fn enter(&self, max: usize) {
        self.freed.until(|| (self.open.get() < max.max(1)).then_some(())).await;
    }

    fn take(&self, front: &Rc<Front>, door: Door) -> Place {
        self.open.set(self.open.get() + 1);
        if let Some([open, accepted]) = counters(front, door) {
            open.add(1);
            accepted.add(1);
        }
        Place { room: self.clone(), front: front.clone(), door }
    }
}

/// Open connections, and connections accepted.
fn counters(front: &Front, door: Door) -> Option<[&Counter; 2]> {
    let doors = front.doors();
    match door {
        Door::Http | Door::Https => Some([&doors.http_connections, &doors.http_accepted]),
        Door::Stream(door) => doors.connections(door).map(|[open, accepted, _]| [open, accepted]),
    }
}

/// Accepts on a listening socket until the core drains.
pub async fn run(front: Rc<Front>, socket: OwnedFd, door: Door, floor: Floor) {
    // SAFETY: the descriptor is a listening socket that nobody else owns.
    let listener = unsafe { TcpListener::from_raw_fd(socket.into_raw_fd()) };
    let accepting = async {
        loop {
            accept_one(&front, &listener, door, &floor).await;
        }
    };
    future::or(accepting, floor.connections.draining()).await;
}

async fn accept_one(front: &Rc<Front>, listener: &TcpListener, door: Door, floor: &Floor) {
    let config = front.config();
    let (max, idle) = match door {
        Door::Http | Door::Https => (config.http_max_connections, config.http_idle_timeout),
        Door::Stream(StreamDoor::Telnet) => {
            (config.telnet_max_connections, config.telnet_idle_timeout)
        }
        Door::Stream(_) => (config.graphite_max_connections, config.graphite_idle_timeout),
    };
    let room = floor.room(door);
    room.enter(max).await;
    let stream = match listener.accept().await {
        Ok(stream) => stream,
        Err(error) => {
            front.doors().accept_errors.add(1);
            front.note(|| format!("a connection cannot be accepted: {error}"));
            return front.env.sleep(ERROR_PAUSE).await;
        }
    };
    let place = room.take(front, door);
    let entry = floor.connections.enter(front.env.now_mono(), idle);
    let (served, buffers) = (front.clone(), floor.buffers.clone());
    let tls = floor.tls.clone();
    let task = async move {
        serve(served, stream, (door, tls), (entry.connection.clone(), buffers)).await;
        drop((entry, place));
    };
    front.env.spawn(Queue::Ingest, task).detach();
}

async fn serve(
    front: Rc<Front>,
    stream: TcpStream,
    (door, tls): (Door, Option<Copy>),
    (connection, buffers): (Rc<super::connections::Connection>, Buffers),
) {
    // A connection that ended already shows it at the first read.
    let _ = stream.set_nodelay(true);
    let peer = stream.peer_addr().ok().map(|address| Peer(address.ip()));
    match door {
        Door::Http => http::serve(front, stream, peer, connection).await,
        Door::Https => {
            let Some(tls) = tls else { return };
            // A peer that does not finish its greeting is as silent as any other.
            let greeting = async { tls.acceptor().accept(stream).await.ok() };
            let ended = async {
                connection.closing().await;
                None
            };
            if let Some(stream) = future::or(greeting, ended).await {
                http::serve(front, stream, peer, connection).await;
            }
        }
        Door::Stream(door) => session::serve(front, stream, door, (connection, buffers)).await,
    }
}
