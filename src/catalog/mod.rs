//! The small facts every core needs: databases, policies, measurements, field types, partitions,
//! users, continuous queries, subscriptions.
//!
//! One core owns the catalog's journal and decides; every core holds a read copy (`State`) that it
//! brings up to date by applying the same records in the same order.

pub mod command;
mod metadata;
pub mod owner;
pub mod record;
pub mod standing;
pub mod state;
pub mod users;

pub use command::{CatalogError, Command, NamedField, Names, PolicyOptions};
pub use metadata::{ENTRY_BYTES_MAX, Metadata, MetadataCommand, MetadataKey};
pub use owner::Owner;
pub use record::{PolicySpec, Record};
pub use standing::{ContinuousQuery, StandingCommand, Subscription};
pub use state::{Database, Field, Partition, Policy, State};
pub use users::{Rights, User, UserCommand, Users};
