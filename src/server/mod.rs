//! The life of the process: boot, one executor per core, signals, readiness, drain.
//!
//! In: the configuration. Out: a running server, and an exit reason.
