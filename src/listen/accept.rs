//! Accepting connections on one core, up to a limit, until the core drains.
//!
//! In: a listening socket. Out: a task per connection. Errors (no descriptors left, a connection
//! reset before it was taken) are counted and waited out; at the limit nothing is accepted, so
//! further connections wait in the kernel.

use super::connections::Connections;
use super::{Front, http, telnet};
use crate::env::notify::Notify;
use crate::env::{Env, Queue, Task};
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
    Telnet,
}

/// Connections of one kind on one core: a limit.
#[derive(Clone, Default)]
pub struct Room {
    open: Rc<Cell<usize>>,
    freed: Notify,
}

/// A place in the room; dropping it lets another in.
pub struct Place {
    room: Room,
    front: Rc<Front>,
    door: Door,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.open.set(self.room.open.get().saturating_sub(1));
        self.room.freed.notify();
        gauge(&self.front, self.door).sub(1);
    }
}

impl Room {
    async fn enter(&self, max: usize) {
        self.freed.until(|| (self.open.get() < max.max(1)).then_some(())).await;
    }

    fn take(&self, front: &Rc<Front>, door: Door) -> Place {
        self.open.set(self.open.get() + 1);
        gauge(front, door).add(1);
        Place { room: self.clone(), front: front.clone(), door }
    }
}

fn gauge(front: &Front, door: Door) -> &crate::stats::Counter {
    match door {
        Door::Http => &front.doors().http_connections,
        Door::Telnet => &front.doors().telnet_connections,
    }
}

/// Accepts on a listening socket until the core drains.
pub async fn run(front: Rc<Front>, socket: OwnedFd, door: Door, all: Connections, room: Room) {
    // SAFETY: the descriptor is a listening socket that nobody else owns.
    let listener = unsafe { TcpListener::from_raw_fd(socket.into_raw_fd()) };
    let accepting = async {
        loop {
            accept_one(&front, &listener, door, (&all, &room)).await;
        }
    };
    future::or(accepting, all.draining()).await;
}

async fn accept_one(
    front: &Rc<Front>,
    listener: &TcpListener,
    door: Door,
    (all, room): (&Connections, &Room),
) {
    let config = front.config();
    let (max, idle) = match door {
        Door::Http => (config.http_max_connections, config.http_idle_timeout),
        Door::Telnet => (config.telnet_max_connections, config.telnet_idle_timeout),
    };
    room.enter(max).await;
    let stream = match listener.accept().await {
        Ok(stream) => stream,
        Err(error) => {
            front.doors().accept_errors.add(1);
            front.note(|| format!("a connection cannot be accepted: {error}"));
            return front.env.sleep(ERROR_PAUSE).await;
        }
    };
    match door {
        Door::Http => front.doors().http_accepted.add(1),
        Door::Telnet => front.doors().telnet_accepted.add(1),
    }
    let place = room.take(front, door);
    let entry = all.enter(front.env.now_mono(), idle);
    let served = front.clone();
    let task = async move {
        serve(served, stream, door, &entry.connection).await;
        drop((entry, place));
    };
    front.env.spawn(Queue::Ingest, task).detach();
}

async fn serve(
    front: Rc<Front>,
    stream: TcpStream,
    door: Door,
    connection: &Rc<super::connections::Connection>,
) {
    // A connection that ended already shows it at the first read.
    let _ = stream.set_nodelay(true);
    match door {
        Door::Http => http::serve(front, stream, connection.clone()).await,
        Door::Telnet => telnet::serve(front, stream, connection.clone()).await,
    }
}
