//! The real world: files, clock and tasks of the runtime.
