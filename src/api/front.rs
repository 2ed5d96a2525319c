//! The front end of one core: what every request of this core shares.
//!
//! Decoders are taken from a small pool for the time of a request and given back, so that their
//! buffers are used again; a request that is dropped half-way drops its decoder with it.

use super::auth::Known;
use super::extras::Extras;
use super::passwords::Passwords;
use super::request_id::Ids;
use super::services::Own;
use super::subscriber::Outlets;
use crate::config::Config;
use crate::env::Env;
use crate::logging::{self, Level};
use crate::protocol::graphite::Rules;
use crate::protocol::{Batcher, pickle};
use crate::query::{Facts, Server};
use crate::route::queries::Entry;
use crate::route::{Cluster, SeriesCache};
use crate::stats::Doors;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Decoders and bodies kept for reuse.
const SPARES_MAX: usize = 16;
/// Bytes of bodies kept for reuse. Memory that is taken anew for each large body costs a page fault
/// every 4 KiB: a fifth of what 10 MB of KairosDB's JSON cost.
const SPARE_BYTES_MAX: usize = 64 << 20;

/// Where the values of Graphite's paths go, as configured.
///
/// # Errors
/// One sentence that names the template or tag at fault.
pub fn graphite_rules(config: &Config) -> Result<Rules, String> {
    let (tags, templates) = (&config.graphite_tags.0, &config.graphite_templates.0);
    Rules::new(&config.graphite_separator, tags, templates)
}

/// A query that is listed and counted until it is dropped.
pub(super) struct Running<E: Env> {
    pub entry: Entry,
    front: Rc<Front<E>>,
    /// Text, database and begin (monotonic ns), when slow queries are logged.
    slow: Option<(String, String, u64)>,
}

impl<E: Env> Drop for Running<E> {
    fn drop(&mut self) {
        self.front.doors().queries_active.sub(1);
        let Some((text, database, started)) = self.slow.take() else { return };
        let took = Duration::from_nanos(self.front.env.now_mono().saturating_sub(started));
        if took >= self.front.config().query_log_after {
            let fields = vec![("db", database), ("duration_ms", took.as_millis().to_string())];
            logging::log_with(Level::Warn, "query", fields, || format!("slow query: {text}"));
        }
    }
}

/// The front end of one core.
pub struct Front<E: Env> {
    pub env: E,
    pub cluster: Cluster,
    /// The process as queries see it.
    pub server: Rc<Server>,
    /// Queues of copies for subscribers.
    pub outlets: Rc<Outlets>,
    /// Passwords that were found right.
    pub(super) known: Known,
    pub(super) cache: RefCell<SeriesCache>,
    /// What decoders get instead of it when keys have to travel with their rows; stays empty.
    pub(super) no_series: RefCell<SeriesCache>,
    batchers: RefCell<Vec<Batcher>>,
    bodies: RefCell<Vec<Vec<u8>>>,
    /// The realm, and headers of the operator's own.
    pub(super) extras: Extras,
    /// Where the values of Graphite's paths go.
    pub(super) graphite_rules: Rules,
    /// The buffers of this core's pickle decoder.
    pub(super) pickles: RefCell<pickle::Reader>,
    pub(super) ids: Ids,
}

impl<E: Env> Front<E> {
    /// The front end of the core that `cluster` belongs to.
    pub fn new(env: E, cluster: Cluster, facts: Facts) -> Front<E> {
        let secret = env.random();
        let cache = SeriesCache::new(secret, facts.config.series_cache_entries);
        let no_series = SeriesCache::new(secret, 0);
        // The configuration was checked before a core was started.
        let graphite_rules = graphite_rules(&facts.config).unwrap_or_default();
        let extras = Extras::read(&facts.config).unwrap_or_default();
        let outlets = Rc::new(Outlets::default());
        let services = Box::new(Own {
            env: env.clone(),
            passwords: Passwords::new(env.clone()),
            outlets: outlets.clone(),
            cluster: cluster.clone(),
            facts: facts.clone(),
        });
        let ids = Ids::new(env.random(), env.random());
        let known = Known::new(|| env.random());
        Front {
            outlets,
            known,
            env,
            cluster,
            server: Rc::new(Server { facts, services }),
            cache: RefCell::new(cache),
            no_series: RefCell::new(no_series),
            batchers: RefCell::default(),
            bodies: RefCell::default(),
            extras,
            graphite_rules,
            pickles: RefCell::default(),
            ids,
        }
    }

    /// Writes a warning to the server's log.
    pub fn note(&self, text: impl FnOnce() -> String) {
        logging::log(Level::Warn, "front", text);
    }

    /// The options.
    pub fn config(&self) -> &Config {
        &self.server.facts.config
    }

    /// This core's counters.
    #[expect(clippy::indexing_slicing, reason = "one set was made for each core of the mesh")]
    pub fn doors(&self) -> &Doors {
        &self.server.facts.doors[self.cluster.mesh().here().0 as usize]
    }

    /// Lists a query that begins now, unless too many run already.
    ///
    /// # Errors
    /// The refusal, in InfluxDB's words.
    pub(super) fn enter_query(
        self: &Rc<Self>,
        text: &str,
        database: &str,
    ) -> Result<Running<E>, String> {
        let all = &self.server.facts.doors;
        let active: u64 = all.iter().map(|doors| doors.queries_active.get()).sum();
        let limit = self.config().query_max_concurrent as u64;
        if limit > 0 && active >= limit {
            return Err(format!("max-concurrent-queries limit exceeded({active}, {limit})"));
        }
        self.doors().queries_started.add(1);
        self.doors().queries_active.add(1);
        let now = self.env.now_mono();
        let entry = self.cluster.queries().enter(text, database, now);
        let logged = !self.config().query_log_after.is_zero();
        let slow = logged.then(|| (text.to_owned(), database.to_owned(), now));
        Ok(Running { entry, front: self.clone(), slow })
    }

    /// When a query that begins now has to end (monotonic ns); 0 = never.
    pub(super) fn query_deadline(&self) -> u64 {
        match u64::try_from(self.config().query_timeout.as_nanos()).unwrap_or(u64::MAX) {
            0 => 0,
            limit => self.env.now_mono().saturating_add(limit),
        }
    }

    /// The longest a write waits (the option is a time-out, so zero means no waiting limit).
    pub(super) fn write_timeout(&self) -> Option<Duration> {
        Some(self.config().write_timeout).filter(|limit| !limit.is_zero())
    }

    pub(super) fn take_batcher(&self) -> Batcher {
        self.batchers.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn give_batcher(&self, batcher: Batcher) {
        let mut spares = self.batchers.borrow_mut();
        if spares.len() < SPARES_MAX {
            spares.push(batcher);
        }
    }

    /// Gives the buffers of a finished write back to a decoder, if one is at rest.
    pub(super) fn recycle(&self, spent: crate::model::WriteRequest) {
        if let Some(batcher) = self.batchers.borrow_mut().last_mut() {
            batcher.recycle(spent);
        }
    }

    pub(super) fn take_body(&self) -> Vec<u8> {
        self.bodies.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn give_body(&self, mut body: Vec<u8>) {
        let mut spares = self.bodies.borrow_mut();
        let bytes = body.capacity() + spares.iter().map(Vec::capacity).sum::<usize>();
        if spares.len() < SPARES_MAX && bytes <= SPARE_BYTES_MAX {
            body.clear();
            spares.push(body);
        }
    }
}
