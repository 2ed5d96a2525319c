//! The thread that watches the cores: it notes stalls.

use super::ServeError;
use crate::profile::stalls::{LOOK, Watch};

/// Starts it; it runs as long as the process.
pub fn start() -> Result<(), ServeError> {
    let watch = || {
        let mut watch = Watch::begin();
        loop {
            std::thread::sleep(LOOK);
            watch.look();
        }
    };
    let thread = std::thread::Builder::new().name("watchdog".to_owned());
    let failed = |error| ServeError::io("a thread cannot start", &error);
    thread.spawn(watch).map(|_| ()).map_err(failed)
}
