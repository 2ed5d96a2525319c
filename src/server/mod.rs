//! The life of the process: boot, one executor per core, signals, readiness, drain.
//!
//! In: the configuration. Out: a running server, and an exit reason.
//!
//! ```text
//! check ▸ lock the folder ▸ hold the ports ▸ start the cores ▸ open store and shards ▸ listen ▸
//! ready
//!       ▸ (signal | failure) ▸ drain ▸ end
//! ```
//! The main thread only waits: for events of the cores and for signals.

mod boot;
mod certificate;
mod core;
mod holder;
mod limits;
pub(crate) mod lock;
mod notify;
mod phase;
mod ready;
mod signals;
mod sockets;
mod watchdog;

pub use boot::serve;

/// Why the process does not start, or ended. The text is one sentence for a person.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration asks for something impossible.
    #[error("{0}")]
    Config(String),
    /// Something of the system is in the way, or something failed while running.
    #[error("{0}")]
    Failed(String),
}

impl ServeError {
    /// A failure of the system at doing `what`.
    fn io(what: impl std::fmt::Display, error: &std::io::Error) -> ServeError {
        ServeError::Failed(format!("{what}: {error}"))
    }
}
