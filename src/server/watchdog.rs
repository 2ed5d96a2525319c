//! The thread that watches the cores: it notes stalls, and tells the service manager that the
//! process is alive as long as every core gets on.

use super::{ServeError, notify};
use crate::env::real::tasks::{self, Core};
use crate::logging::{self, Level};
use crate::profile::stalls::{LOOK, Watch};
use std::time::{Duration, Instant};

/// Starts it; it runs as long as the process.
pub fn start() -> Result<(), ServeError> {
    let wanted = notify::watchdog();
    let watch = move || {
        let mut stalls = Watch::begin();
        let mut alive = wanted.map(Alive::new);
        loop {
            std::thread::sleep(LOOK);
            stalls.look();
            if let Some(alive) = &mut alive {
                alive.look(&tasks::cores(), Instant::now());
            }
        }
    };
    let thread = std::thread::Builder::new().name("watchdog".to_owned());
    let failed = |error| ServeError::io("a thread cannot start", &error);
    thread.spawn(watch).map(|_| ()).map_err(failed)
}

/// Which cores got on since the manager was told last.
struct Alive {
    /// A third of the time after which the manager would end the process.
    rhythm: Duration,
    told: Instant,
    /// The beats of each core when it was told.
    beats: Vec<(&'static Core, u64)>,
    warned: bool,
}

impl Alive {
    fn new(limit: Duration) -> Alive {
        Alive { rhythm: limit / 3, told: Instant::now(), beats: Vec::new(), warned: false }
    }

    fn look(&mut self, cores: &[&'static Core], now: Instant) {
        if now.saturating_duration_since(self.told) < self.rhythm {
            return;
        }
        let stuck = self.stuck(cores);
        match stuck {
            None => {
                notify::tell("WATCHDOG=1");
                self.beats = cores.iter().map(|core| (*core, core.beats())).collect();
                (self.told, self.warned) = (now, false);
            }
            Some(name) if !self.warned => {
                logging::log(Level::Error, "server", || format!("core {name} does not get on"));
                self.warned = true;
            }
            Some(_) => {}
        }
    }

    /// A core that has not got on since the manager was told.
    fn stuck(&self, cores: &[&'static Core]) -> Option<&'static str> {
        let before = |core: &&'static Core| {
            self.beats
                .iter()
                .find(|(known, _)| std::ptr::eq(*known, *core))
                .map(|(_, beats)| *beats)
        };
        let still = |core: &&&'static Core| before(core) == Some(core.beats());
        cores.iter().find(still).map(|core| core.name.as_str())
    }
}
