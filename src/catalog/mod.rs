//! The small facts every core needs: databases, policies, measurements, field types, partitions.
//!
//! One core owns the catalog's journal and decides; every core holds a read copy (`State`) that it
//! brings up to date by applying the same records in the same order.

pub mod command;
pub mod owner;
pub mod record;
pub mod state;

pub use command::{CatalogError, Command, NamedField, Names, PolicyOptions};
pub use owner::Owner;
pub use record::{PolicySpec, Record};
pub use state::{Database, Field, Partition, Policy, State};
