//! Packets between executors: the runtime's bounded single-producer single-consumer channels, one
//! for each ordered pair of cores, each carrying a core's whole outbox as one message.
//!
//! One task per peer empties that peer's channel into the hub and never waits for room anywhere;
//! one task per peer moves this core's outbox into the channel and is the only one that waits for
//! room. So no task waits for room in the mesh while it is the one that should be emptying it.

use super::hub::{CoreId, Hub, Packet, Traffic};
use crate::env::{Env, Queue, Task};
use glommio::channels::channel_mesh::{Full, MeshBuilder};

/// What every executor gets a copy of before it starts.
pub type Plan<T> = MeshBuilder<Vec<Packet<T>>, Full>;

/// Channels between every pair of `cores`, of a capacity that keeps their memory bounded.
pub fn plan<T: Traffic>(cores: usize) -> Plan<T> {
    MeshBuilder::full(cores, (4096 / cores.max(1)).clamp(64, 1024))
}

/// Joins the mesh; comes back when every core has joined. The core's number is given by the mesh.
pub async fn join<T: Traffic, E: Env>(
    plan: Plan<T>,
    cores: usize,
    budget_bytes: usize,
    env: &E,
) -> Result<Hub<T>, String> {
    if cores == 1 {
        return Ok(Hub::new(CoreId(0), 1, budget_bytes));
    }
    let (senders, mut receivers) =
        plan.join().await.map_err(|error| format!("the cores cannot be connected: {error}"))?;
    let here = CoreId(senders.peer_id() as u32);
    let hub: Hub<T> = Hub::new(here, cores as u32, budget_bytes);
    for (from, receiver) in receivers.streams() {
        let hub = hub.clone();
        let pump = async move {
            while let Some(packets) = receiver.recv().await {
                packets.into_iter().for_each(|packet| hub.receive(CoreId(from as u32), packet));
            }
        };
        env.spawn(Queue::Ingest, pump).detach();
    }
    let senders = std::rc::Rc::new(senders);
    for to in hub.cores().filter(|to| *to != here) {
        let (hub, senders) = (hub.clone(), senders.clone());
        let pump = async move {
            while senders.send_to(to.0 as usize, hub.outgoing(to).await).await.is_ok() {}
        };
        env.spawn(Queue::Ingest, pump).detach();
    }
    Ok(hub)
}
