//! Asking: questions one after the other over several connections, with what each took.
//!
//! In: names of questions, the shape of the data they are about, how long to go on. Out: by name,
//! latencies, bytes and rows of answers, and, beside ingest, the server's processor time.

use crate::http::Client;
use crate::proc;
use crate::progress::Progress;
use crate::queries::{self, Language};
use crate::target::Target;
use crate::workload::{Random, Shape};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What is asked, shared by the connections that ask.
pub struct Asking {
    pub target: Target,
    pub shape: Shape,
    pub language: Language,
    /// Queries a second, together; 0 = the next when the last is answered.
    pub rate: f64,
    pub count: u64,
    /// When to ask no more.
    pub end: Instant,
    /// Asked in turn.
    pub asked: Vec<Asked>,
    /// Queries begun so far.
    begun: Cell<u64>,
    started: Instant,
    random: RefCell<Random>,
    /// Beside ingest: the server's time without that of ingest.
    pub meter: Option<Meter>,
}

/// What came of one question.
pub struct Asked {
    pub name: String,
    /// Counts and latencies. A "value" is a query here.
    pub done: Rc<RefCell<Progress>>,
    pub bytes: Cell<u64>,
    /// Answers without a row.
    pub empty: Cell<u64>,
    /// Of the server while this was asked, by the meter; right for a single connection.
    pub cpu_seconds: Cell<f64>,
}

/// The processor time of a server less what its ingest takes.
pub struct Meter {
    pub pid: u32,
    /// Seconds of a value, as measured while nobody asked.
    pub seconds_a_value: f64,
    /// Values so far.
    pub accepted: Rc<Cell<u64>>,
}

impl Meter {
    /// Seconds so far; only differences mean anything.
    pub fn read(&self) -> f64 {
        let all = proc::cpu_seconds(self.pid).unwrap_or(f64::NAN);
        all - self.seconds_a_value * self.accepted.get() as f64
    }
}

impl Asked {
    fn new(name: String) -> Result<Asked, String> {
        Ok(Asked {
            name,
            done: Rc::new(RefCell::new(Progress::new(0, None)?)),
            bytes: Cell::new(0),
            empty: Cell::new(0),
            cpu_seconds: Cell::new(0.0),
        })
    }

    /// How many were answered.
    pub fn count(&self) -> u64 {
        self.done.borrow().requests
    }

    /// What has to be said when answers had no rows.
    pub fn note(&self) -> Option<String> {
        let (empty, count) = (self.empty.get(), self.count());
        let name = &self.name;
        (empty > 0).then(|| format!("{name}: {empty} of {count} answers had no rows"))
    }
}

impl Asking {
    /// Asks these, in turn, as often and as long as the fields say that are public.
    ///
    /// # Errors
    /// The histogram cannot be made.
    pub fn new(
        target: &Target,
        shape: &Shape,
        language: Language,
        names: Vec<String>,
        time: Duration,
    ) -> Result<Asking, String> {
        let started = Instant::now();
        Ok(Asking {
            target: target.clone(),
            random: RefCell::new(Random::new(shape.seed)),
            shape: shape.clone(),
            language,
            asked: names.into_iter().map(Asked::new).collect::<Result<_, _>>()?,
            rate: 0.0,
            count: u64::MAX,
            end: started + time,
            begun: Cell::new(0),
            started,
            meter: None,
        })
    }

    /// Asks until the count, the time, or `stop` says enough.
    ///
    /// # Errors
    /// The server cannot be reached or refuses a statement; a name that no question has.
    pub async fn ask(self: Rc<Self>, stop: Rc<Cell<bool>>) -> Result<(), String> {
        let mut client = self.target.client().await?;
        loop {
            let at = self.begun.get();
            let due = match self.rate > 0.0 {
                true => self.started + Duration::from_secs_f64(at as f64 / self.rate),
                false => Instant::now(),
            };
            if stop.get() || at >= self.count || due >= self.end {
                return Ok(());
            }
            self.begun.set(at + 1);
            let Some(asked) = self.asked.get(at as usize % self.asked.len().max(1)) else {
                return Ok(());
            };
            if let Some(left) = due.checked_duration_since(Instant::now()) {
                monoio::time::sleep(left).await;
            }
            let before = self.meter.as_ref().map_or(0.0, Meter::read);
            self.one(&mut client, asked).await?;
            let after = self.meter.as_ref().map_or(0.0, Meter::read);
            asked.cpu_seconds.set(asked.cpu_seconds.get() + after - before);
            asked.done.borrow_mut().done(1, due.elapsed(), Ok(()));
        }
    }

    async fn one(&self, client: &mut Client, asked: &Asked) -> Result<(), String> {
        let random = self.random.borrow_mut().draw() >> 20;
        let (name, db) = (&asked.name, &self.target.db);
        let question = queries::question(self.language, name, db, &self.shape, random);
        let question = question.ok_or_else(|| format!("no question is called {name}"))?;
        let fields: Vec<_> = question.fields.iter().map(|(name, v)| (*name, v.as_str())).collect();
        let answer = client.form(question.path, &fields).await?;
        let has_rows = queries::has_rows(self.language, &answer);
        let has_rows = has_rows.map_err(|error| format!("{name}: {error}"))?;
        asked.bytes.set(asked.bytes.get() + answer.len() as u64);
        asked.empty.set(asked.empty.get() + u64::from(!has_rows));
        Ok(())
    }
}
