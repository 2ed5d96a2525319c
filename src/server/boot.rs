//! Start, wait, end: what the main thread does.
//!
//! In: the configuration. Out: how the process ended. Everything that can be refused is refused
//! before a core is started: options, the folder, the ports.

use super::certificate;
use super::core::{self, Plan};
use super::lock::{self, DataDir};
use super::phase::{Event, Phase, Shared};
use super::sockets::{self, Kind, Reserved};
use super::{ServeError, limits, notify, ready, signals, watchdog};
use crate::api::Facts;
use crate::config::Config;
use crate::env::real::{self, Core, CoreHandle};
use crate::listen::Door;
use crate::listen::tls::Tls;
use crate::logging::{self, Level};
use crate::profile::heap;
use crate::route::mesh;
use crate::shard::store::SHARDS_MAX;
use crate::stats::{self, StreamDoor};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A start that takes longer says how far it is, this often.
const PROGRESS: Duration = Duration::from_secs(5);
/// Reads finish for so long after a failure.
const FAILED_DRAIN: Duration = Duration::from_secs(5);
/// Executors have so long to end after the drain.
const END: Duration = Duration::from_secs(1);

/// Runs a server until a signal ends it.
///
/// # Errors
/// `Config` for options that cannot be met, `Failed` for everything else.
pub fn serve(config: Config) -> Result<(), ServeError> {
    logging::start(config.logging_level.0.clone(), config.logging_format.resolve())
        .map_err(|error| ServeError::io("a thread cannot start", &error))?;
    let result = serve_logged(config);
    logging::flush(END);
    result
}

fn serve_logged(config: Config) -> Result<(), ServeError> {
    certificate::check(&config)?;
    let processors = limits::processors(&config.cores)?;
    let data = lock::take(&config.data_dir)?;
    let tls = certificate::load(&config, &data.path, &hostname())?;
    let cores = processors.len();
    crate::api::front::graphite_rules(&config)
        .map_err(|error| ServeError::Config(format!("graphite: {error}")))?;
    crate::api::Extras::read(&config).map_err(ServeError::Config)?;
    let closed = config.http_auth_enabled && !config.http_open_listeners;
    let doors = reserve_doors(&config, cores, closed)?;
    limits::raise_descriptors();
    heap::note_allocations(config.debug_heap_profile);
    watchdog::start()?;
    let (events, inbox) = channel();
    signals::watch(events.clone())?;
    let report = ready::Report {
        doors: doors.iter().map(|(_, name, one)| (*name, one.address)).collect(),
        cores,
        pinned: processors.iter().all(Option::is_some),
        sync: config.log_sync,
        sync_interval: config.log_sync_interval,
        data: data.path.clone(),
        closed,
        users: config.http_auth_enabled,
    };
    let process = start(config, processors, &data, (doors, tls), events)?;
    run(process, &inbox, &report, data)
}

/// A listener: what is spoken there, its name, its sockets.
type Listener = (Door, &'static str, Reserved);

/// Reserves the listeners; `closed` leaves out those that know no users.
fn reserve_doors(config: &Config, cores: usize, closed: bool) -> Result<Vec<Listener>, ServeError> {
    let udp = Kind::Udp(config.graphite_udp_read_buffer.0);
    let doors = [
        (Door::Http, Kind::Tcp, "http", &config.http_bind),
        (Door::Https, Kind::Tcp, "https", &config.https_bind),
        (Door::Stream(StreamDoor::Telnet), Kind::Tcp, "telnet", &config.telnet_bind),
        (Door::Stream(StreamDoor::Graphite), Kind::Tcp, "graphite", &config.graphite_bind),
        (Door::Stream(StreamDoor::GraphiteUdp), udp, "graphite-udp", &config.graphite_udp_bind),
        (Door::Stream(StreamDoor::Pickle), Kind::Tcp, "pickle", &config.pickle_bind),
    ];
    let mut all = Vec::new();
    let open =
        doors.into_iter().filter(|(door, ..)| !closed || matches!(door, Door::Http | Door::Https));
    for (door, kind, name, addresses) in open {
        for address in &addresses.0 {
            all.push((door, name, sockets::reserve(*address, cores, (kind, name))?));
        }
    }
    Ok(all)
}

/// A started process.
struct Process {
    shared: Arc<Shared>,
    cores: usize,
    stop_timeout: Duration,
    tls: Option<Tls>,
}

fn start(
    config: Config,
    processors: Vec<Option<usize>>,
    data: &DataDir,
    (doors, tls): (Vec<Listener>, Option<Tls>),
    events: Sender<Event>,
) -> Result<Process, ServeError> {
    let cores = processors.len();
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let http = doors.iter().find(|(door, ..)| *door == Door::Http);
    let facts = Facts {
        doors: stats::doors(cores),
        started_ns: i64::try_from(started.as_nanos()).unwrap_or(i64::MAX),
        http_bind: http.map_or(String::new(), |(.., one)| one.address.to_string()),
        hostname: hostname(),
        config: Arc::new(config),
    };
    let config = facts.config.clone();
    let wanted = if config.shards == 0 { cores } else { config.shards };
    let new_shards = u32::try_from(wanted).unwrap_or(SHARDS_MAX).min(SHARDS_MAX);
    let memlock = real::memlock_limit().unwrap_or(0);
    let io_memory = real::io_memory(cores, memlock);
    let shared = Arc::new(Shared::default());
    let plan = mesh::plan(cores);
    let memory = limits::memory();
    let sockets = by_core(cores, doors);
    for (number, (processor, sockets)) in processors.into_iter().zip(sockets).enumerate() {
        let plan = Plan {
            config: config.clone(),
            facts: facts.clone(),
            data: data.path.clone(),
            cores,
            new_shards,
            memory,
            mesh: plan.clone(),
            shared: shared.clone(),
            events: events.clone(),
            sockets,
            tls: tls.clone(),
        };
        let core = Core { processor, name: format!("ringtail-{number}"), io_memory };
        let handle = real::run_on_core(core, move |env| core::run(plan, env))
            .map_err(|error| ServeError::io(format_args!("core {number} cannot start"), &error))?;
        watch(handle, events.clone())?;
    }
    Ok(Process { shared, cores, stop_timeout: config.stop_timeout, tls })
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// The sockets of each core.
fn by_core(cores: usize, doors: Vec<Listener>) -> Vec<Vec<(Door, OwnedFd)>> {
    let mut all: Vec<Vec<(Door, OwnedFd)>> = (0..cores).map(|_| Vec::new()).collect();
    for (door, _, one) in doors {
        for (core, socket) in all.iter_mut().zip(one.sockets) {
            core.push((door, socket));
        }
    }
    all
}

/// Tells of the end of a core, also when a panic ended it.
fn watch(handle: CoreHandle<Result<(), String>>, events: Sender<Event>) -> Result<(), ServeError> {
    let wait = move || {
        let ended = handle.join().map_err(|error| error.to_string()).and_then(|result| result);
        // Nobody listens only when the process is ending.
        let _ = events.send(Event::Ended(ended));
    };
    let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(wait);
    thread.map(|_| ()).map_err(|error| ServeError::io("a thread cannot start", &error))
}

/// How a wait ended.
enum Outcome {
    Done,
    Stop,
    Failed(String),
}

fn run(
    process: Process,
    inbox: &Receiver<Event>,
    report: &ready::Report,
    data: DataDir,
) -> Result<(), ServeError> {
    let mut shards = None;
    let outcome = match open(&process, inbox, &mut shards) {
        Outcome::Done => {
            process.shared.enter(Phase::Serving);
            match count(inbox, process.cores, |event| matches!(event, Event::Listening)) {
                Outcome::Done => {
                    let found = process.shared.found();
                    let administered = found.is_some_and(|one| one.catalog.users().has_admin());
                    report.print(shards.unwrap_or(0), administered);
                    notify::tell("READY=1\nSTATUS=serving");
                    wait(&process, inbox)
                }
                other => other,
            }
        }
        other => other,
    };
    let result = match outcome {
        Outcome::Failed(reason) => {
            logging::log(Level::Error, "server", || reason);
            // What else fails now follows from the first failure.
            let _ = drain(&process, inbox, FAILED_DRAIN);
            Err(ServeError::Failed("stopped because of the failure above".to_owned()))
        }
        Outcome::Done | Outcome::Stop => drain(&process, inbox, process.stop_timeout),
    };
    drop(data);
    result
}

/// Waits until every core answers the others.
fn open(process: &Process, inbox: &Receiver<Event>, shards: &mut Option<u32>) -> Outcome {
    let (mut ready, mut opened) = (0, 0);
    loop {
        match inbox.recv_timeout(PROGRESS) {
            Ok(Event::StoreFound { shards: found }) => *shards = Some(found),
            Ok(Event::ShardOpen { notes }) => {
                opened += 1;
                for note in notes {
                    logging::log(Level::Warn, "shard", || note);
                }
            }
            Ok(Event::CoreReady) => {
                ready += 1;
                if ready == process.cores {
                    return Outcome::Done;
                }
            }
            Ok(event) => {
                if let Some(outcome) = ending(event) {
                    return outcome;
                }
            }
            Err(RecvTimeoutError::Timeout) => progress(opened, *shards),
            Err(RecvTimeoutError::Disconnected) => return lost(),
        }
    }
}

/// Says how far a start is; the service manager waits on.
fn progress(opened: u32, shards: Option<u32>) {
    let text = match shards {
        Some(all) => format!("opening the store: {opened} of {all} shards"),
        None => "opening the store".to_owned(),
    };
    let micros = (PROGRESS * 6).as_micros();
    notify::tell(&format!("EXTEND_TIMEOUT_USEC={micros}\nSTATUS={text}"));
    logging::log(Level::Info, "server", || text);
}

/// What an event means that ends every wait.
fn ending(event: Event) -> Option<Outcome> {
    match event {
        Event::Signal => Some(Outcome::Stop),
        Event::Failed(reason) | Event::Ended(Err(reason)) => Some(Outcome::Failed(reason)),
        Event::Ended(Ok(())) => Some(Outcome::Failed("a core ended by itself".to_owned())),
        _ => None,
    }
}

fn lost() -> Outcome {
    Outcome::Failed("the cores are gone".to_owned())
}

/// Waits for an event of every core.
fn count(inbox: &Receiver<Event>, cores: usize, is_it: impl Fn(&Event) -> bool) -> Outcome {
    let mut seen = 0;
    while seen < cores {
        let Ok(event) = inbox.recv() else { return lost() };
        if is_it(&event) {
            seen += 1;
        } else if let Some(outcome) = ending(event) {
            return outcome;
        }
    }
    Outcome::Done
}

fn wait(process: &Process, inbox: &Receiver<Event>) -> Outcome {
    loop {
        let Ok(event) = inbox.recv() else { return lost() };
        if matches!(event, Event::Reload) {
            reload(process.tls.as_ref());
        } else if let Some(outcome) = ending(event) {
            return outcome;
        }
    }
}

/// Reads the certificate again; one that cannot be read leaves the one that is in use.
fn reload(tls: Option<&Tls>) {
    let note = |text| logging::log(Level::Warn, "server", || format!("SIGHUP: {text}"));
    match tls.map(Tls::reload) {
        None => note("there is no certificate to read again".to_owned()),
        Some(Ok(())) => note("the certificate was read again".to_owned()),
        Some(Err(error)) => note(format!("the certificate stays: {error}")),
    }
}

/// Lets requests under way finish, then ends the executors. Logs are durable by then: a request is
/// answered after its commit.
fn drain(process: &Process, inbox: &Receiver<Event>, limit: Duration) -> Result<(), ServeError> {
    process.shared.enter(Phase::Draining);
    notify::tell("STOPPING=1\nSTATUS=requests under way finish");
    let mut failure = None;
    let (mut drained, mut ended) = (0, 0);
    let mut until = Instant::now() + limit;
    while drained + ended < process.cores {
        match next(inbox, until) {
            Some(Event::Drained) => drained += 1,
            Some(Event::Ended(result)) => {
                ended += 1;
                failure = failure.or(result.err());
            }
            Some(Event::Failed(reason)) => failure = failure.or(Some(reason)),
            Some(_) => {}
            None => break,
        }
    }
    process.shared.enter(Phase::Ending);
    until = Instant::now() + END;
    while ended < process.cores {
        match next(inbox, until) {
            Some(Event::Ended(result)) => {
                ended += 1;
                failure = failure.or(result.err());
            }
            Some(_) => {}
            // An executor that does not end has nothing left that matters.
            None => break,
        }
    }
    failure.map_or(Ok(()), |reason| Err(ServeError::Failed(reason)))
}

fn next(inbox: &Receiver<Event>, until: Instant) -> Option<Event> {
    inbox.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
}
