//! SIGTERM and SIGINT: the first asks the server to finish, the second ends it at once. SIGHUP has
//! the files of the certificate read again.

use super::ServeError;
use super::phase::Event;
use crate::logging::{self, Level};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// Status of a process that a second signal ended.
const FORCED: i32 = 1;
/// Lines of the log that are on their way have so long.
const FLUSH: Duration = Duration::from_millis(200);

/// Watches for signals in a thread of its own.
pub fn watch(events: Sender<Event>) -> Result<(), ServeError> {
    let failed = |error: std::io::Error| ServeError::io("signals cannot be watched", &error);
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(failed)?;
    let watch = move || {
        let mut asked = false;
        for signal in signals.forever() {
            let reload = signal == SIGHUP;
            if asked && !reload {
                logging::log(Level::Warn, "server", || "second signal, leaving at once".to_owned());
                logging::flush(FLUSH);
                std::process::exit(FORCED);
            }
            asked |= !reload;
            let event = if reload { Event::Reload } else { Event::Signal };
            if events.send(event).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(watch).map(|_| ()).map_err(failed)
}
