//! One core's end of the mesh: requests with their replies, streams of parts with credits, and
//! budgets of bytes in flight. Knows nothing of what is said (`Traffic`) or of how packets travel
//! (`mesh`).
//!
//! In: packets from other cores (`receive`), calls from this core's tasks. Out: one outbox per
//! core, which a sender task empties. `receive` never waits, so the task that empties the mesh
//! never waits for room in it. A reply needs no room of its own: it answers a request that was let
//! in.
//!
//! A request is an entry of a slab; its token carries the entry's generation, so a reply that
//! nobody awaits any more finds nobody and is dropped.

use crate::env::notify::Notify;
use crate::model::FixedMap;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// A core of the process, 0 to N - 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CoreId(pub u32);

/// What is said between cores.
pub trait Traffic: 'static {
    type Request: Send + 'static;
    type Reply: Send + 'static;
    type Part: Send + 'static;

    /// The reply to a request whose server gave none (its task was dropped).
    fn lost() -> Self::Reply;
}

/// What travels.
pub enum Packet<T: Traffic> {
    Request {
        token: u64,
        request: T::Request,
    },
    Reply {
        token: u64,
        reply: T::Reply,
    },
    Part {
        token: u64,
        part: T::Part,
    },
    /// The asker took so many parts; as many more may be sent.
    Credit {
        token: u64,
        parts: u32,
    },
    /// The asker is gone.
    Cancel {
        token: u64,
    },
}

/// Parts that may be on their way of one stream.
pub const STREAM_CREDITS: usize = 4;
/// Parts that the asker takes before it says so: each word of it wakes the other core. Fewer than
/// `STREAM_CREDITS`, so the answering core never waits for credits that nobody is about to give.
const CREDITS_AT_ONCE: u32 = 2;

type Handler<T> = Rc<dyn Fn(CoreId, <T as Traffic>::Request, Responder<T>)>;

/// One core's end of the mesh. Cloning gives another handle.
pub struct Hub<T: Traffic> {
    inner: Rc<Inner<T>>,
}

impl<T: Traffic> Clone for Hub<T> {
    fn clone(&self) -> Self {
        Hub { inner: self.inner.clone() }
    }
}

/// What left for other cores, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sent {
    pub requests: u64,
    /// Requests, replies, parts, credits, cancels.
    pub packets: u64,
    /// Times that packets were handed over, all that waited for one core at once.
    pub bundles: u64,
}

struct Inner<T: Traffic> {
    here: CoreId,
    budget_bytes: usize,
    sent: Cell<Sent>,
    outboxes: Vec<Outbox<T>>,
    waiting: RefCell<Slab<T>>,
    serving: RefCell<FixedMap<(CoreId, u64), Rc<Serving>>>,
    handler: RefCell<Option<Handler<T>>>,
}

struct Outbox<T: Traffic> {
    packets: RefCell<Vec<Packet<T>>>,
    filled: Notify,
    /// Bytes of requests that may still be on their way to this core.
    budget: Cell<usize>,
    freed: Notify,
    /// Requests that wait for room.
    queue: Cell<usize>,
}

/// Counts as one that waits until it is dropped.
struct Queued<'q>(&'q Cell<usize>);

impl<'q> Queued<'q> {
    fn new(queue: &'q Cell<usize>) -> Queued<'q> {
        queue.set(queue.get() + 1);
        Queued(queue)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

struct Waiting<T: Traffic> {
    parts: VecDeque<T::Part>,
    reply: Option<T::Reply>,
    changed: Notify,
    /// Bytes that are on their way until the reply is there.
    permit: Option<Permit<T>>,
    /// Nobody awaits the reply any more; the entry only keeps the permit.
    abandoned: bool,
}

struct Slab<T: Traffic> {
    entries: Vec<(u32, Option<Waiting<T>>)>,
    free: Vec<u32>,
}

struct Serving {
    credits: Cell<usize>,
    cancelled: Cell<bool>,
    changed: Notify,
}

impl<T: Traffic> Hub<T> {
    /// The end of core `here` of `cores`, with `budget_bytes` of requests in flight to each.
    pub fn new(here: CoreId, cores: u32, budget_bytes: usize) -> Hub<T> {
        let outbox = |_| Outbox {
            packets: RefCell::new(Vec::new()),
            filled: Notify::default(),
            budget: Cell::new(budget_bytes),
            freed: Notify::default(),
            queue: Cell::new(0),
        };
        let inner = Inner {
            here,
            budget_bytes,
            sent: Cell::default(),
            outboxes: (0..cores).map(outbox).collect(),
            waiting: RefCell::new(Slab { entries: Vec::new(), free: Vec::new() }),
            serving: RefCell::default(),
            handler: RefCell::new(None),
        };
        Hub { inner: Rc::new(inner) }
    }

    /// This core.
    pub fn here(&self) -> CoreId {
        self.inner.here
    }

    /// All cores.
    pub fn cores(&self) -> impl Iterator<Item = CoreId> + use<T> {
        (0..self.inner.outboxes.len() as u32).map(CoreId)
    }

    /// Sets who answers requests. The handler must not wait; it starts tasks.
    pub fn serve(&self, handler: impl Fn(CoreId, T::Request, Responder<T>) + 'static) {
        *self.inner.handler.borrow_mut() = Some(Rc::new(handler));
    }

    /// Asks a core and waits for its reply.
    pub async fn call(&self, to: CoreId, request: T::Request) -> T::Reply {
        let mut stream = self.stream(to, request);
        loop {
            if let Event::End(reply) = stream.next().await {
                return reply;
            }
        }
    }

    /// As `call`, for a request that occupies bytes: they count until the reply is there, even when
    /// nobody awaits it any more.
    pub async fn call_with(&self, to: CoreId, request: T::Request, permit: Permit<T>) -> T::Reply {
        let mut stream = self.stream(to, request);
        if let Some(waiting) = self.inner.waiting.borrow_mut().get(stream.token) {
            waiting.permit = Some(permit);
        }
        loop {
            if let Event::End(reply) = stream.next().await {
                return reply;
            }
        }
    }

    /// Asks a core that answers with parts before its reply. Dropping the stream cancels the
    /// request.
    pub fn stream(&self, to: CoreId, request: T::Request) -> Stream<T> {
        let token = self.inner.waiting.borrow_mut().insert();
        self.send(to, Packet::Request { token, request });
        Stream { hub: self.clone(), to, token, taken: 0, ended: false }
    }

    /// Waits until `bytes` more may be on their way to a core; a request larger than the whole
    /// budget waits until nothing else is. The permit gives them back when dropped.
    pub async fn permit(&self, to: CoreId, bytes: usize) -> Permit<T> {
        let bytes = bytes.min(self.inner.budget_bytes);
        if let Some(outbox) = self.inner.outboxes.get(to.0 as usize) {
            let take =
                || outbox.budget.get().checked_sub(bytes).map(|left| outbox.budget.set(left));
            let _queued = Queued::new(&outbox.queue);
            outbox.freed.until(take).await;
        }
        Permit { hub: self.clone(), to, bytes }
    }

    /// Whether requests wait for room, or less than an eighth of the bytes that may be on their way
    /// to a core are left.
    pub fn is_crowded(&self, to: CoreId) -> bool {
        self.inner.outboxes.get(to.0 as usize).is_some_and(|outbox| {
            outbox.queue.get() > 0 || outbox.budget.get() < self.inner.budget_bytes / 8
        })
    }

    /// Takes in a packet that came from a core.
    pub fn receive(&self, from: CoreId, packet: Packet<T>) {
        match packet {
            Packet::Request { token, request } => self.accept(from, token, request),
            Packet::Reply { token, reply } => self.end(token, reply),
            Packet::Part { token, part } => self.update(token, |w| w.parts.push_back(part)),
            Packet::Credit { token, parts } => {
                self.serving(from, token, |s| s.credits.set(s.credits.get() + parts as usize))
            }
            Packet::Cancel { token } => self.serving(from, token, |s| s.cancelled.set(true)),
        }
    }

    /// Waits for packets to a core and takes all of them.
    pub async fn outgoing(&self, to: CoreId) -> Vec<Packet<T>> {
        let Some(outbox) = self.inner.outboxes.get(to.0 as usize) else {
            return std::future::pending().await;
        };
        let take = || {
            let mut packets = outbox.packets.borrow_mut();
            (!packets.is_empty()).then(|| std::mem::take(&mut *packets))
        };
        let packets = outbox.filled.until(take).await;
        let sent = self.inner.sent.get();
        self.inner.sent.set(Sent { bundles: sent.bundles + 1, ..sent });
        packets
    }

    /// What left for other cores.
    pub fn sent(&self) -> Sent {
        self.inner.sent.get()
    }

    /// Requests that are being answered here.
    pub fn serving_now(&self) -> usize {
        self.inner.serving.borrow().len()
    }

    /// Packets that wait to leave for a core.
    pub fn queued(&self, to: CoreId) -> usize {
        self.inner.outboxes.get(to.0 as usize).map_or(0, |outbox| outbox.packets.borrow().len())
    }

    fn send(&self, to: CoreId, packet: Packet<T>) {
        if to == self.inner.here {
            return self.receive(to, packet);
        }
        if let Some(outbox) = self.inner.outboxes.get(to.0 as usize) {
            let sent = self.inner.sent.get();
            let requests = sent.requests + u64::from(matches!(packet, Packet::Request { .. }));
            self.inner.sent.set(Sent { requests, packets: sent.packets + 1, ..sent });
            outbox.packets.borrow_mut().push(packet);
            outbox.filled.notify();
        }
    }

    fn accept(&self, from: CoreId, token: u64, request: T::Request) {
        let serving = Rc::new(Serving {
            credits: Cell::new(STREAM_CREDITS),
            cancelled: Cell::new(false),
            changed: Notify::default(),
        });
        self.inner.serving.borrow_mut().insert((from, token), serving.clone());
        let responder = Responder { hub: self.clone(), to: from, token, serving, replied: false };
        let handler = self.inner.handler.borrow().clone();
        if let Some(handler) = handler {
            handler(from, request, responder);
        }
    }

    fn end(&self, token: u64, reply: T::Reply) {
        let gone = {
            let mut slab = self.inner.waiting.borrow_mut();
            let abandoned = slab.get(token).is_some_and(|waiting| waiting.abandoned);
            if abandoned { slab.remove(token) } else { None }
        };
        // Dropped here, when the slab is free again: the permit wakes those who wait for it.
        drop(gone);
        self.update(token, |waiting| waiting.reply = Some(reply));
    }

    fn update(&self, token: u64, change: impl FnOnce(&mut Waiting<T>)) {
        let changed = self.inner.waiting.borrow_mut().get(token).map(|waiting| {
            change(waiting);
            waiting.changed.clone()
        });
        if let Some(changed) = changed {
            changed.notify();
        }
    }

    fn serving(&self, from: CoreId, token: u64, change: impl FnOnce(&Serving)) {
        let serving = self.inner.serving.borrow().get(&(from, token)).cloned();
        if let Some(serving) = serving {
            change(&serving);
            serving.changed.notify();
        }
    }
}

impl<T: Traffic> Slab<T> {
    fn insert(&mut self) -> u64 {
        let waiting = Waiting {
            parts: VecDeque::new(),
            reply: None,
            changed: Notify::default(),
            permit: None,
            abandoned: false,
        };
        let index = self.free.pop().unwrap_or(self.entries.len() as u32);
        if index as usize == self.entries.len() {
            self.entries.push((0, None));
        }
        let Some(entry) = self.entries.get_mut(index as usize) else { return u64::MAX };
        entry.1 = Some(waiting);
        u64::from(entry.0) << 32 | u64::from(index)
    }

    fn get(&mut self, token: u64) -> Option<&mut Waiting<T>> {
        let (generation, waiting) = self.entries.get_mut(token as u32 as usize)?;
        if *generation != (token >> 32) as u32 { None } else { waiting.as_mut() }
    }

    fn remove(&mut self, token: u64) -> Option<Waiting<T>> {
        let entry = self.entries.get_mut(token as u32 as usize)?;
        if entry.0 != (token >> 32) as u32 {
            return None;
        }
        let waiting = entry.1.take()?;
        entry.0 = entry.0.wrapping_add(1);
        self.free.push(token as u32);
        Some(waiting)
    }
}

/// What a stream gives next.
pub enum Event<T: Traffic> {
    Part(T::Part),
    End(T::Reply),
}

/// The asking end of a request.
pub struct Stream<T: Traffic> {
    hub: Hub<T>,
    to: CoreId,
    token: u64,
    /// Parts taken that the other core was not told of.
    taken: u32,
    ended: bool,
}

impl<T: Traffic> Stream<T> {
    /// The next part, or the reply that ends the answer. Behind the end it never comes back.
    pub async fn next(&mut self) -> Event<T> {
        let inner = &self.hub.inner;
        let changed = inner.waiting.borrow_mut().get(self.token).map(|w| w.changed.clone());
        let Some(changed) = changed else { return std::future::pending().await };
        let event = changed
            .until(|| {
                let mut slab = inner.waiting.borrow_mut();
                let waiting = slab.get(self.token)?;
                let part = waiting.parts.pop_front().map(Event::Part);
                part.or_else(|| waiting.reply.take().map(Event::End))
            })
            .await;
        match &event {
            Event::Part(_) => self.give_credit(),
            Event::End(_) => self.finish(),
        }
        event
    }

    /// Lets the other core send more, unless its reply is here already.
    fn give_credit(&mut self) {
        self.taken += 1;
        let token = self.token;
        let wants_more = || {
            let mut slab = self.hub.inner.waiting.borrow_mut();
            slab.get(token).is_some_and(|waiting| waiting.reply.is_none())
        };
        if self.taken >= CREDITS_AT_ONCE && wants_more() {
            let parts = std::mem::take(&mut self.taken);
            self.hub.send(self.to, Packet::Credit { token, parts });
        }
    }

    fn finish(&mut self) {
        self.ended = true;
        let gone = self.hub.inner.waiting.borrow_mut().remove(self.token);
        drop(gone);
    }

    /// Leaves the entry for the reply when bytes are on their way; true when it does.
    fn abandon(&mut self) -> bool {
        let mut slab = self.hub.inner.waiting.borrow_mut();
        let Some(waiting) = slab.get(self.token) else { return false };
        waiting.abandoned = waiting.permit.is_some() && waiting.reply.is_none();
        waiting.abandoned
    }
}

impl<T: Traffic> Drop for Stream<T> {
    fn drop(&mut self) {
        if !self.ended {
            if !self.abandon() {
                self.finish();
            }
            self.hub.send(self.to, Packet::Cancel { token: self.token });
        }
    }
}

/// The answering end of a request. Dropped without a reply it answers `Traffic::lost`.
pub struct Responder<T: Traffic> {
    hub: Hub<T>,
    to: CoreId,
    token: u64,
    serving: Rc<Serving>,
    replied: bool,
}

impl<T: Traffic> Responder<T> {
    /// Ends the answer.
    pub fn reply(mut self, reply: T::Reply) {
        self.finish(reply);
    }

    /// Sends a part once the asker has taken enough of the earlier ones; false when it is gone.
    pub async fn part(&self, part: T::Part) -> bool {
        let serving = &self.serving;
        let take = || match serving.credits.get() {
            _ if serving.cancelled.get() => Some(false),
            0 => None,
            credits => {
                serving.credits.set(credits - 1);
                Some(true)
            }
        };
        let granted = serving.changed.until(take).await;
        if granted {
            self.hub.send(self.to, Packet::Part { token: self.token, part });
        }
        granted
    }

    /// Whether the asker is gone; long work looks at this between its steps.
    pub fn is_cancelled(&self) -> bool {
        self.serving.cancelled.get()
    }

    fn finish(&mut self, reply: T::Reply) {
        self.replied = true;
        self.hub.inner.serving.borrow_mut().remove(&(self.to, self.token));
        self.hub.send(self.to, Packet::Reply { token: self.token, reply });
    }
}

impl<T: Traffic> Drop for Responder<T> {
    fn drop(&mut self) {
        if !self.replied {
            self.finish(T::lost());
        }
    }
}

/// Bytes in flight to one core.
pub struct Permit<T: Traffic> {
    hub: Hub<T>,
    to: CoreId,
    bytes: usize,
}

impl<T: Traffic> Drop for Permit<T> {
    fn drop(&mut self) {
        if let Some(outbox) = self.hub.inner.outboxes.get(self.to.0 as usize) {
            outbox.budget.set(outbox.budget.get() + self.bytes);
            outbox.freed.notify();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, or, poll_once, zip};

    struct Numbers;

    impl Traffic for Numbers {
        type Request = u32;
        type Reply = u32;
        type Part = u32;

        fn lost() -> u32 {
            u32::MAX
        }
    }

    /// Two cores whose packets travel one at a time: a mesh of capacity 1.
    fn pair() -> (Hub<Numbers>, Hub<Numbers>) {
        (Hub::new(CoreId(0), 2, 100), Hub::new(CoreId(1), 2, 100))
    }

    async fn pump(left: &Hub<Numbers>, right: &Hub<Numbers>) {
        let one_way = async |from: &Hub<Numbers>, to: &Hub<Numbers>| loop {
            for packet in from.outgoing(to.here()).await {
                to.receive(from.here(), packet);
            }
        };
        zip(one_way(left, right), one_way(right, left)).await;
    }

    fn run<V>(left: &Hub<Numbers>, right: &Hub<Numbers>, work: impl Future<Output = V>) -> V {
        let pumped = async {
            pump(left, right).await;
            unreachable!()
        };
        block_on(or(work, pumped))
    }

    #[test]
    fn a_call_comes_back_from_the_other_core_and_from_this_one() {
        let (left, right) = pair();
        left.serve(|_, request, responder| responder.reply(request + 100));
        right.serve(|_, request, responder| responder.reply(request + 1));
        let sum = run(&left, &right, async {
            left.call(CoreId(1), 1).await + left.call(CoreId(0), 1).await
        });
        assert_eq!(sum, 103);
        let sent = Sent { requests: 1, packets: 1, bundles: 1 };
        assert_eq!(left.sent(), sent, "what stays on the core is not sent");
        assert_eq!(right.sent(), Sent { requests: 0, ..sent });
        assert!(
            left.inner.waiting.borrow().free.len() == 1 && left.inner.serving.borrow().is_empty()
        );
    }

    #[test]
    fn a_dropped_server_answers_that_it_is_lost() {
        let (left, right) = pair();
        right.serve(|_, _, responder| drop(responder));
        assert_eq!(run(&left, &right, left.call(CoreId(1), 5)), u32::MAX);
    }

    #[test]
    fn parts_wait_for_credits_and_arrive_in_order() {
        let (left, right) = pair();
        let kept: Rc<RefCell<Option<Responder<Numbers>>>> = Rc::default();
        let slot = kept.clone();
        right.serve(move |_, _, responder| *slot.borrow_mut() = Some(responder));
        let mut stream = left.stream(CoreId(1), 0);
        let packets = block_on(left.outgoing(CoreId(1)));
        packets.into_iter().for_each(|packet| right.receive(CoreId(0), packet));
        let responder = kept.borrow_mut().take().unwrap();
        for part in 0..STREAM_CREDITS as u32 {
            assert_eq!(block_on(poll_once(responder.part(part))), Some(true));
        }
        assert_eq!(block_on(poll_once(responder.part(99))), None, "no credit is left");
        let server = async {
            for part in STREAM_CREDITS as u32..50 {
                assert!(responder.part(part).await);
            }
            responder.reply(7);
        };
        let reader = async {
            for expected in 0..50 {
                assert!(matches!(stream.next().await, Event::Part(part) if part == expected));
            }
            assert!(matches!(stream.next().await, Event::End(7)));
        };
        run(&left, &right, zip(server, reader));
    }

    #[test]
    fn parts_of_a_finished_answer_are_taken_without_a_word() {
        let (left, right) = pair();
        let kept: Rc<RefCell<Option<Responder<Numbers>>>> = Rc::default();
        let slot = kept.clone();
        right.serve(move |_, _, responder| *slot.borrow_mut() = Some(responder));
        let mut stream = left.stream(CoreId(1), 0);
        for packet in block_on(left.outgoing(CoreId(1))) {
            right.receive(CoreId(0), packet);
        }
        let responder = kept.borrow_mut().take().unwrap();
        for part in 0..STREAM_CREDITS as u32 {
            assert!(block_on(responder.part(part)));
        }
        responder.reply(7);
        for packet in block_on(right.outgoing(CoreId(0))) {
            left.receive(CoreId(1), packet);
        }
        for _ in 0..STREAM_CREDITS {
            assert!(matches!(block_on(stream.next()), Event::Part(_)));
        }
        assert!(matches!(block_on(stream.next()), Event::End(7)));
        assert_eq!(left.queued(CoreId(1)), 0, "nobody waits for credits");
    }

    #[test]
    fn dropping_a_stream_cancels_its_server_and_late_parts_find_nobody() {
        let (left, right) = pair();
        let kept: Rc<RefCell<Option<Responder<Numbers>>>> = Rc::default();
        let slot = kept.clone();
        right.serve(move |_, _, responder| *slot.borrow_mut() = Some(responder));
        let stream = left.stream(CoreId(1), 0);
        drop(stream);
        for packet in block_on(left.outgoing(CoreId(1))) {
            right.receive(CoreId(0), packet);
        }
        let responder = kept.borrow_mut().take().unwrap();
        assert!(responder.is_cancelled() && !block_on(responder.part(1)));
        responder.reply(3);
        for packet in block_on(right.outgoing(CoreId(0))) {
            left.receive(CoreId(1), packet);
        }
        assert!(left.inner.waiting.borrow_mut().get(0).is_none());
    }

    #[test]
    fn bytes_of_a_request_that_nobody_awaits_count_until_its_reply() {
        let (left, right) = pair();
        let kept: Rc<RefCell<Option<Responder<Numbers>>>> = Rc::default();
        let slot = kept.clone();
        right.serve(move |_, _, responder| *slot.borrow_mut() = Some(responder));
        let permit = block_on(left.permit(CoreId(1), 60));
        let mut call = Box::pin(left.call_with(CoreId(1), 0, permit));
        assert!(block_on(poll_once(&mut call)).is_none());
        drop(call);
        assert!(block_on(poll_once(left.permit(CoreId(1), 60))).is_none(), "still on its way");
        for packet in block_on(left.outgoing(CoreId(1))) {
            right.receive(CoreId(0), packet);
        }
        kept.borrow_mut().take().unwrap().reply(1);
        for packet in block_on(right.outgoing(CoreId(0))) {
            left.receive(CoreId(1), packet);
        }
        assert!(block_on(poll_once(left.permit(CoreId(1), 60))).is_some());
        assert_eq!(left.inner.waiting.borrow().free.len(), 1);
    }

    #[test]
    fn permits_bound_the_bytes_in_flight() {
        let (left, _) = pair();
        let first = block_on(left.permit(CoreId(1), 60));
        assert!(block_on(poll_once(left.permit(CoreId(1), 60))).is_none());
        let mut second = Box::pin(left.permit(CoreId(1), 60));
        assert!(!left.is_crowded(CoreId(1)) && block_on(poll_once(&mut second)).is_none());
        assert!(left.is_crowded(CoreId(1)), "one waits, although there is room for smaller ones");
        drop(second);
        assert!(!left.is_crowded(CoreId(1)));
        drop(first);
        let whole = block_on(poll_once(left.permit(CoreId(1), 5000)));
        assert!(whole.is_some(), "a request larger than the budget passes alone");
    }
}
