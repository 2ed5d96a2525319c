//! Statements: one variant each, with its parts as plain data.
//!
//! In: what the statement parsers build. Out: what is executed. Durations are nanoseconds, 0 where
//! the text said INF; counts are 0 where there is no limit.

use super::expr::{Expr, Regex};
use super::select::{Dimension, Measurement, Order, Select};

/// A statement of the language.
#[derive(Clone, PartialEq, Debug)]
pub enum Statement {
    Select(Box<Select>),
    Explain(Explain),
    Delete(Delete),
    DropSeries(DropSeries),
    CreateDatabase(CreateDatabase),
    /// The name of the database.
    DropDatabase(String),
    CreateRetentionPolicy(CreateRetentionPolicy),
    AlterRetentionPolicy(AlterRetentionPolicy),
    DropRetentionPolicy(DropRetentionPolicy),
    CreateContinuousQuery(Box<CreateContinuousQuery>),
    DropContinuousQuery(DropContinuousQuery),
    CreateSubscription(CreateSubscription),
    DropSubscription(DropSubscription),
    CreateUser(CreateUser),
    SetPassword(SetPassword),
    /// The name of the user.
    DropUser(String),
    Grant(Grant),
    /// GRANT ALL without ON: the name of the user.
    GrantAdmin(String),
    Revoke(Revoke),
    /// REVOKE ALL without ON: the name of the user.
    RevokeAdmin(String),
    /// The name of the measurement.
    DropMeasurement(String),
    /// The id of the shard.
    DropShard(u64),
    KillQuery(KillQuery),
    ShowDatabases,
    /// The database, if given.
    ShowRetentionPolicies(Option<String>),
    ShowMeasurements(ShowMeasurements),
    ShowSeries(Listing),
    ShowTagKeys(Listing),
    ShowTagValues(ShowTagValues),
    ShowFieldKeys(Listing),
    ShowCardinality(Cardinality),
    ShowUsers,
    /// The name of the user.
    ShowGrants(String),
    ShowContinuousQueries,
    ShowSubscriptions,
    ShowQueries,
    ShowShards,
    ShowShardGroups,
    /// The module, if given.
    ShowStats(Option<String>),
    /// The module, if given.
    ShowDiagnostics(Option<String>),
}

/// EXPLAIN.
#[derive(Clone, PartialEq, Debug)]
pub struct Explain {
    pub analyze: bool,
    pub select: Box<Select>,
}

/// DELETE; sources name no database and no retention policy.
#[derive(Clone, PartialEq, Debug)]
pub struct Delete {
    pub sources: Vec<Measurement>,
    pub condition: Option<Expr>,
}

/// DROP SERIES; sources name no database and no retention policy.
#[derive(Clone, PartialEq, Debug)]
pub struct DropSeries {
    pub sources: Vec<Measurement>,
    pub condition: Option<Expr>,
}

/// CREATE DATABASE. `with` tells whether WITH was given; the parts after it are None where they
/// were not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CreateDatabase {
    pub name: String,
    pub with: bool,
    pub duration: Option<i64>,
    pub replication: Option<u32>,
    pub shard_duration: Option<i64>,
    pub retention_policy: Option<String>,
}

/// CREATE RETENTION POLICY.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateRetentionPolicy {
    pub name: String,
    pub database: String,
    pub duration: i64,
    pub replication: u32,
    pub shard_duration: Option<i64>,
    pub default: bool,
}

/// ALTER RETENTION POLICY.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AlterRetentionPolicy {
    pub name: String,
    pub database: String,
    pub duration: Option<i64>,
    pub replication: Option<u32>,
    pub shard_duration: Option<i64>,
    pub default: bool,
}

/// DROP RETENTION POLICY.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DropRetentionPolicy {
    pub name: String,
    pub database: String,
}

/// CREATE CONTINUOUS QUERY; the query has a target.
#[derive(Clone, PartialEq, Debug)]
pub struct CreateContinuousQuery {
    pub name: String,
    pub database: String,
    /// RESAMPLE EVERY.
    pub every: Option<i64>,
    /// RESAMPLE FOR.
    pub range: Option<i64>,
    pub select: Select,
}

/// DROP CONTINUOUS QUERY.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DropContinuousQuery {
    pub name: String,
    pub database: String,
}

/// Which destinations of a subscription get a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DestinationMode {
    All,
    Any,
}

/// CREATE SUBSCRIPTION; destinations are unchecked texts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateSubscription {
    pub name: String,
    pub database: String,
    pub retention_policy: String,
    pub mode: DestinationMode,
    pub destinations: Vec<String>,
}

/// DROP SUBSCRIPTION.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DropSubscription {
    pub name: String,
    pub database: String,
    pub retention_policy: String,
}

/// CREATE USER.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateUser {
    pub name: String,
    pub password: String,
    pub admin: bool,
}

/// SET PASSWORD.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetPassword {
    pub user: String,
    pub password: String,
}

/// What a user may do in a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Privilege {
    Read,
    Write,
    All,
}

/// GRANT … ON.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    pub privilege: Privilege,
    pub database: String,
    pub user: String,
}

/// REVOKE … ON.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revoke {
    pub privilege: Privilege,
    pub database: String,
    pub user: String,
}

/// KILL QUERY.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KillQuery {
    pub id: u64,
    pub host: Option<String>,
}

/// The clauses that SHOW SERIES, TAG KEYS, TAG VALUES and FIELD KEYS share; those that a statement
/// does not have stay empty. Sources may name a database and a retention policy.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Listing {
    /// ON.
    pub database: Option<String>,
    pub sources: Vec<Measurement>,
    pub condition: Option<Expr>,
    /// Parsed and printed, without effect.
    pub order: Option<Order>,
    pub limit: u64,
    pub offset: u64,
    pub slimit: u64,
    pub soffset: u64,
}

/// SHOW MEASUREMENTS.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ShowMeasurements {
    /// ON.
    pub database: Option<String>,
    /// WITH MEASUREMENT.
    pub source: Option<Measurement>,
    pub condition: Option<Expr>,
    pub order: Option<Order>,
    pub limit: u64,
    pub offset: u64,
}

/// WITH KEY: the tag keys whose values are wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TagKeys {
    Equal(String),
    NotEqual(String),
    Match(Regex),
    NotMatch(Regex),
    In(Vec<String>),
}

/// SHOW TAG VALUES.
#[derive(Clone, PartialEq, Debug)]
pub struct ShowTagValues {
    pub listing: Listing,
    pub keys: TagKeys,
}

/// What is counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CardinalityOf {
    Series,
    Measurements,
    TagKeys,
    TagValues(TagKeys),
    FieldKeys,
}

/// SHOW … CARDINALITY.
#[derive(Clone, PartialEq, Debug)]
pub struct Cardinality {
    pub of: CardinalityOf,
    pub exact: bool,
    /// ON.
    pub database: Option<String>,
    pub sources: Vec<Measurement>,
    pub condition: Option<Expr>,
    pub dimensions: Vec<Dimension>,
    pub limit: u64,
    pub offset: u64,
}
