//! One table of options that yields TOML keys, environment names, flags and their docs.

pub mod influxdb;
pub mod kinds;
pub mod load;
pub mod options;

pub use kinds::{Addresses, Bytes, Cores, List, Sync};
pub use load::{Layers, Source, sample};
pub use options::{Config, Spec, TABLE};
