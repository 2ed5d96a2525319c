//! Sending: requests over several connections, as fast as answers come or at a fixed rate.
//!
//! In: what to send, where, how many connections, and a rate or none. Out: counts and latencies.
//! Without a rate each connection sends its next request when the last is answered; with one,
//! requests are due at fixed times and their latency counts from then, so a server that stalls is
//! charged for the requests that had to wait.

use crate::http::{Client, Kind};
use crate::ledger::Ledger;
use crate::proc::Usage;
use crate::progress::{Progress, Timeline};
use crate::source::{Making, Source};
use crate::stream::Stream;
use crate::target::Target;
use crate::workload::Shape;
use crate::workload::encode::{Body, Protocol};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Flags that say what is sent and how.
#[derive(Clone, clap::Args)]
pub struct Flags {
    /// How points are written.
    #[arg(long, value_enum, default_value = "influx")]
    pub protocol: Protocol,
    #[command(flatten)]
    pub shape: Shape,
    /// Rows a request [default: 5000; of mixed: 1000].
    #[arg(long)]
    pub batch: Option<u32>,
    /// Connections that send side by side.
    #[arg(long, default_value_t = 4)]
    pub connections: usize,
    /// Send bodies gzipped (influx and kairos).
    #[arg(long)]
    pub gzip: bool,
    /// Megabytes of requests made before the clock starts.
    #[arg(long, default_value_t = 3000)]
    pub prepare: usize,
    /// Do not make the database: it is there, or the server has none.
    #[arg(long)]
    pub no_create: bool,
}

/// How a phase is driven.
#[derive(Clone, Copy, Default)]
pub struct Pace {
    /// Values a second, all connections together; 0 = as fast as answers come.
    pub rate: u64,
    /// When to stop, if not at the end of the data.
    pub seconds: Option<u64>,
}

/// What a phase came to.
pub struct Done {
    pub progress: Progress,
    pub elapsed: Duration,
    /// The server's totals before and after.
    pub server: Option<(Usage, Usage)>,
    /// What ended a connection early.
    pub failure: Option<String>,
}

/// All connections of a phase share it.
pub struct Sender {
    target: Target,
    flags: Flags,
    source: RefCell<Source>,
    ledger: RefCell<Option<Ledger>>,
    /// Values that were accepted in all phases so far.
    pub accepted: Rc<Cell<u64>>,
}

struct Phase {
    pace: Pace,
    started: Instant,
    progress: Rc<RefCell<Progress>>,
}

/// One connection.
enum Line {
    Http(Client),
    Plain(Stream),
}

impl Flags {
    /// Makes the database, unless told not to.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn prepare_server(&self, target: &Target) -> Result<(), String> {
        if self.protocol != Protocol::Influx || self.no_create {
            return Ok(());
        }
        let mut client = target.client().await?;
        client.ask("", &format!("CREATE DATABASE \"{}\"", target.db)).await?;
        Ok(())
    }

    fn is_http(&self) -> bool {
        matches!(self.protocol, Protocol::Influx | Protocol::Kairos)
    }
}

impl Sender {
    /// Makes the requests of `flags`, `batch` rows each; acknowledged ones go to the ledger.
    pub fn new(target: &Target, flags: &Flags, batch: u32, ledger: Option<Ledger>) -> Sender {
        let making =
            Making { protocol: flags.protocol, batch, gzip: flags.gzip && flags.is_http() };
        Sender {
            source: RefCell::new(Source::new(&flags.shape, making, flags.prepare << 20)),
            ledger: RefCell::new(ledger),
            accepted: Rc::default(),
            target: target.clone(),
            flags: flags.clone(),
        }
    }

    /// Sends until the data or the time is over.
    ///
    /// # Errors
    /// The histogram cannot be made.
    pub async fn run(self: &Rc<Self>, pace: Pace, timeline: &Rc<Timeline>) -> Result<Done, String> {
        let total = self.flags.shape.values();
        let progress = Rc::new(RefCell::new(Progress::new(total, pace.seconds)?));
        let before = self.target.usage()?;
        let started = Instant::now();
        let phase = Rc::new(Phase { pace, started, progress: progress.clone() });
        let lines = 0..self.flags.connections.max(1);
        let lines: Vec<_> =
            lines.map(|_| monoio::spawn(self.clone().send(phase.clone()))).collect();
        let stop = Rc::new(Cell::new(false));
        let watch = monoio::spawn(timeline.clone().watch(progress.clone(), stop.clone()));
        let mut failure = None;
        for line in lines {
            failure = line.await.err().or(failure);
        }
        let elapsed = started.elapsed();
        let server = before.zip(self.target.usage()?);
        stop.set(true);
        watch.await;
        drop(phase);
        let progress = Rc::into_inner(progress).ok_or("a connection is still sending")?;
        Ok(Done { progress: progress.into_inner(), elapsed, server, failure })
    }

    async fn send(self: Rc<Self>, phase: Rc<Phase>) -> Result<(), String> {
        let mut line = match self.flags.is_http() {
            true => Line::Http(self.target.client().await?),
            false => Line::Plain(self.target.connect().await?),
        };
        let end = phase.pace.seconds.map(|seconds| phase.started + Duration::from_secs(seconds));
        loop {
            let due = phase.due(&self.source);
            if end.is_some_and(|end| due >= end) {
                break;
            }
            let taken = self.source.borrow_mut().take();
            let Some((number, body)) = taken else { break };
            if let Some(left) = due.checked_duration_since(Instant::now()) {
                monoio::time::sleep(left).await;
            }
            let values = body.values;
            let outcome = self.write(&mut line, body).await?;
            if outcome.is_ok() {
                self.accepted.set(self.accepted.get() + values);
                if let Some(ledger) = self.ledger.borrow_mut().as_mut() {
                    ledger.note(number)?;
                }
            }
            phase.progress.borrow_mut().done(values, due.elapsed(), outcome);
        }
        match line {
            Line::Http(_) => Ok(()),
            Line::Plain(stream) => stream.finish().await,
        }
    }

    /// Sends a request; the inner error says that it was refused.
    async fn write(&self, line: &mut Line, body: Body) -> Result<Result<(), String>, String> {
        let client = match line {
            Line::Http(client) => client,
            Line::Plain(stream) => return Ok(Ok(stream.write(body.bytes).await?)),
        };
        let (path, kind) = match self.flags.protocol {
            Protocol::Kairos => ("/api/v1/datapoints".to_owned(), Kind::JSON),
            _ => (format!("/write?db={}", self.target.db), Kind::TEXT),
        };
        let kind = Kind { gzip: self.flags.gzip, ..kind };
        let answer = client.post(&path, kind, body.bytes).await?;
        Ok(match answer.status {
            200..300 => Ok(()),
            status => {
                let text = String::from_utf8_lossy(&answer.body);
                Err(format!("{status}: {}", text.chars().take(200).collect::<String>()))
            }
        })
    }
}

impl Phase {
    /// When the next request is due: now, or after all values planned before it.
    fn due(&self, source: &RefCell<Source>) -> Instant {
        if self.pace.rate == 0 {
            return Instant::now();
        }
        let values = source.borrow_mut().next_values();
        let before = self.progress.borrow_mut().plan(values);
        self.started + Duration::from_secs_f64(before as f64 / self.pace.rate as f64)
    }
}
