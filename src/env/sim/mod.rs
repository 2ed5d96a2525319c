//! The simulated world: seeded tasks, virtual time, a disk that can lose power.
