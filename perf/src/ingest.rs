//! `ingest`: sends points over several connections and measures.
//!
//! In: what to send, where, how many connections, and a rate or none. Out: a line a second, then
//! the summary. Without a rate each connection sends its next request when the last is answered;
//! with one, requests are due at fixed times and their latency counts from then, so a server that
//! stalls is charged for the requests that had to wait.

use crate::http::{self, Client};
use crate::ledger::Ledger;
use crate::report::{Progress, Summary};
use crate::source::Source;
use crate::workload::Shape;
use crate::workload::encode::{Body, Protocol};
use crate::{proc, report};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Flags of `ingest`.
#[derive(Clone, clap::Args)]
pub struct Args {
    /// Address of the server's listener.
    #[arg(long, default_value = "127.0.0.1:8086")]
    address: String,
    /// How points are written.
    #[arg(long, value_enum, default_value = "influx")]
    protocol: Protocol,
    /// Database of /write; made before the run.
    #[arg(long, default_value = "load")]
    db: String,
    #[command(flatten)]
    shape: Shape,
    /// Rows a request.
    #[arg(long, default_value_t = 5000)]
    batch: u32,
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Values a second, together; 0 = as fast as answers come.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Process of the server, for CPU-seconds, memory and bytes written.
    #[arg(long)]
    pid: Option<u32>,
    /// File that notes each acknowledged request, for `verify` (influx and kairos only).
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// Megabytes of requests made before the clock starts.
    #[arg(long, default_value_t = 3000)]
    prepare: usize,
    /// Do not make the database: the server has none.
    #[arg(long)]
    no_create: bool,
    /// One JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

struct Shared {
    args: Args,
    source: RefCell<Source>,
    progress: Rc<RefCell<Progress>>,
    ledger: RefCell<Option<Ledger>>,
    started: Instant,
}

/// Runs the command.
///
/// # Errors
/// The server cannot be reached, closed a connection, or the ledger cannot be written.
pub async fn run(args: Args) -> Result<(), String> {
    if args.protocol == Protocol::Influx && !args.no_create {
        let mut client = Client::connect(&args.address).await?;
        client.ask("", &format!("CREATE DATABASE \"{}\"", args.db)).await?;
    }
    let ledger = match &args.ledger {
        Some(path) => Some(Ledger::create(path, &args.shape, args.batch, &args.db)?),
        None => None,
    };
    let source = Source::new(&args.shape, args.protocol, args.batch, args.prepare << 20);
    let shape = &args.shape;
    let total = u64::from(shape.hosts) * u64::from(shape.fields) * u64::from(shape.points);
    let progress = Rc::new(RefCell::new(Progress::new(total)?));
    let before = args.pid.map(proc::read).transpose()?;
    let shared = Rc::new(Shared {
        source: RefCell::new(source),
        progress: progress.clone(),
        ledger: RefCell::new(ledger),
        started: Instant::now(),
        args,
    });
    let senders: Vec<_> =
        (0..shared.args.connections.max(1)).map(|_| monoio::spawn(send(shared.clone()))).collect();
    let ticker = (!shared.args.json)
        .then(|| monoio::spawn(report::each_second(progress.clone(), shared.started)));
    let mut failure = None;
    for sender in senders {
        if let Err(error) = sender.await {
            failure = Some(error);
        }
    }
    let elapsed = shared.started.elapsed();
    drop(ticker);
    let after = shared.args.pid.map(proc::read).transpose()?;
    let summary = Summary::new(&progress.borrow(), elapsed, before.zip(after));
    summary.print(shared.args.json);
    failure.map_or(Ok(()), Err)
}

/// One connection.
enum Line {
    Http(Client),
    Plain(TcpStream),
}

async fn send(shared: Rc<Shared>) -> Result<(), String> {
    let args = &shared.args;
    let http = matches!(args.protocol, Protocol::Influx | Protocol::Kairos);
    let mut line = match http {
        true => Line::Http(Client::connect(&args.address).await?),
        false => Line::Plain(http::connect(&args.address).await?),
    };
    loop {
        let taken = shared.source.borrow_mut().take();
        let Some((number, body)) = taken else { break };
        let due = due(&shared, &body).await;
        let values = body.values;
        let good = write(args, &mut line, body).await?;
        let mut progress = shared.progress.borrow_mut();
        progress.done(values, due.elapsed(), good);
        if let (true, Some(ledger)) = (good, shared.ledger.borrow_mut().as_mut()) {
            ledger.note(number)?;
        }
    }
    match line {
        Line::Http(_) => Ok(()),
        Line::Plain(stream) => finish(stream).await,
    }
}

/// Waits until a request is due, and says when that was.
async fn due(shared: &Shared, body: &Body) -> Instant {
    if shared.args.rate == 0 {
        return Instant::now();
    }
    let planned = shared.progress.borrow_mut().plan(body.values);
    let at = shared.started + Duration::from_secs_f64(planned as f64 / shared.args.rate as f64);
    if let Some(left) = at.checked_duration_since(Instant::now()) {
        monoio::time::sleep(left).await;
    }
    at
}

/// Sends a request; whether it was accepted.
async fn write(args: &Args, line: &mut Line, body: Body) -> Result<bool, String> {
    match line {
        Line::Http(client) => {
            let answer = match args.protocol {
                Protocol::Kairos => {
                    client.post("/api/v1/datapoints", "application/json", body.bytes).await?
                }
                _ => {
                    let path = format!("/write?db={}", args.db);
                    client.post(&path, "text/plain", body.bytes).await?
                }
            };
            Ok((200..300).contains(&answer.status))
        }
        Line::Plain(stream) => {
            let (done, _) = stream.write_all(body.bytes).await;
            done.map_err(|error| format!("the server closed the connection: {error}"))?;
            Ok(true)
        }
    }
}

/// Ends a connection that has no answers: closes our half and waits for the server to close its
/// half, which it does when everything is stored.
async fn finish(mut stream: TcpStream) -> Result<(), String> {
    use monoio::io::AsyncWriteRent;
    stream.shutdown().await.map_err(|error| error.to_string())?;
    let _ = stream.read(Vec::with_capacity(64)).await;
    Ok(())
}
