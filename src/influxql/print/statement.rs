//! The text of every statement but SELECT.
//!
//! In: a statement. Out: its normalised text.

use std::fmt::{self, Display, Formatter};

use super::super::ast::{
    AlterRetentionPolicy, Cardinality, CardinalityOf, CreateContinuousQuery, CreateDatabase,
    CreateRetentionPolicy, CreateSubscription, DestinationMode, Expr, Listing, Measurement,
    Privilege, ShowMeasurements, ShowTagValues, Statement, TagKeys,
};
use super::super::duration;
use super::{Name, Quoted, write_condition, write_counts, write_dimensions, write_list};

impl Display for Privilege {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Privilege::Read => "READ",
            Privilege::Write => "WRITE",
            Privilege::All => "ALL PRIVILEGES",
        })
    }
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Statement::Select(select) => write!(f, "{select}"),
            Statement::Explain(explain) => {
                let analyze = if explain.analyze { "ANALYZE " } else { "" };
                write!(f, "EXPLAIN {analyze}{}", explain.select)
            }
            Statement::Delete(delete) => {
                write_deletion(f, "DELETE", &delete.sources, delete.condition.as_ref())
            }
            Statement::DropSeries(drop) => {
                write_deletion(f, "DROP SERIES", &drop.sources, drop.condition.as_ref())
            }
            Statement::CreateDatabase(made) => write!(f, "{made}"),
            Statement::CreateRetentionPolicy(made) => write!(f, "{made}"),
            Statement::AlterRetentionPolicy(altered) => write!(f, "{altered}"),
            Statement::CreateContinuousQuery(made) => write!(f, "{made}"),
            Statement::CreateSubscription(made) => write!(f, "{made}"),
            Statement::CreateUser(user) => {
                let admin = if user.admin { " WITH ALL PRIVILEGES" } else { "" };
                write!(f, "CREATE USER {} WITH PASSWORD [REDACTED]{admin}", Name(&user.name))
            }
            Statement::SetPassword(set) => {
                write!(f, "SET PASSWORD FOR {} = [REDACTED]", Name(&set.user))
            }
            Statement::Grant(grant) => {
                let (database, user) = (Name(&grant.database), Name(&grant.user));
                write!(f, "GRANT {} ON {database} TO {user}", grant.privilege)
            }
            Statement::GrantAdmin(user) => write!(f, "GRANT ALL PRIVILEGES TO {}", Name(user)),
            Statement::Revoke(revoke) => {
                let (database, user) = (Name(&revoke.database), Name(&revoke.user));
                write!(f, "REVOKE {} ON {database} FROM {user}", revoke.privilege)
            }
            Statement::RevokeAdmin(user) => write!(f, "REVOKE ALL PRIVILEGES FROM {}", Name(user)),
            Statement::KillQuery(kill) => {
                write!(f, "KILL QUERY {}", kill.id)?;
                kill.host.as_ref().map_or(Ok(()), |host| write!(f, " ON {}", Name(host)))
            }
            drop_or_show => write_drop_or_show(f, drop_or_show),
        }
    }
}

fn write_drop_or_show(f: &mut Formatter<'_>, statement: &Statement) -> fmt::Result {
    match statement {
        Statement::DropDatabase(name) => write!(f, "DROP DATABASE {}", Name(name)),
        Statement::DropMeasurement(name) => write!(f, "DROP MEASUREMENT {}", Name(name)),
        Statement::DropUser(name) => write!(f, "DROP USER {}", Name(name)),
        Statement::DropShard(id) => write!(f, "DROP SHARD {id}"),
        Statement::DropRetentionPolicy(drop) => {
            let (name, database) = (Name(&drop.name), Name(&drop.database));
            write!(f, "DROP RETENTION POLICY {name} ON {database}")
        }
        Statement::DropContinuousQuery(drop) => {
            let (name, database) = (Name(&drop.name), Name(&drop.database));
            write!(f, "DROP CONTINUOUS QUERY {name} ON {database}")
        }
        Statement::DropSubscription(drop) => {
            let (name, database) = (Name(&drop.name), Name(&drop.database));
            write!(f, "DROP SUBSCRIPTION {name} ON {database}.{}", Name(&drop.retention_policy))
        }
        Statement::ShowMeasurements(show) => write!(f, "{show}"),
        Statement::ShowTagValues(show) => write!(f, "{show}"),
        Statement::ShowCardinality(show) => write!(f, "{show}"),
        Statement::ShowSeries(listing) => write_listing(f, "SHOW SERIES", listing, None),
        Statement::ShowTagKeys(listing) => write_listing(f, "SHOW TAG KEYS", listing, None),
        Statement::ShowFieldKeys(listing) => write_listing(f, "SHOW FIELD KEYS", listing, None),
        Statement::ShowRetentionPolicies(database) => {
            f.write_str("SHOW RETENTION POLICIES")?;
            write_on(f, database.as_deref())
        }
        Statement::ShowGrants(user) => write!(f, "SHOW GRANTS FOR {}", Name(user)),
        Statement::ShowStats(module) => write_module(f, "SHOW STATS", module.as_deref()),
        Statement::ShowDiagnostics(module) => {
            write_module(f, "SHOW DIAGNOSTICS", module.as_deref())
        }
        Statement::ShowDatabases => f.write_str("SHOW DATABASES"),
        Statement::ShowUsers => f.write_str("SHOW USERS"),
        Statement::ShowContinuousQueries => f.write_str("SHOW CONTINUOUS QUERIES"),
        Statement::ShowSubscriptions => f.write_str("SHOW SUBSCRIPTIONS"),
        Statement::ShowQueries => f.write_str("SHOW QUERIES"),
        Statement::ShowShards => f.write_str("SHOW SHARDS"),
        Statement::ShowShardGroups => f.write_str("SHOW SHARD GROUPS"),
        _ => Ok(()),
    }
}

fn write_module(f: &mut Formatter<'_>, show: &str, module: Option<&str>) -> fmt::Result {
    f.write_str(show)?;
    module.map_or(Ok(()), |module| write!(f, " FOR {}", Quoted(module)))
}

fn write_on(f: &mut Formatter<'_>, database: Option<&str>) -> fmt::Result {
    database.map_or(Ok(()), |database| write!(f, " ON {}", Name(database)))
}

fn write_from(f: &mut Formatter<'_>, sources: &[Measurement]) -> fmt::Result {
    if sources.is_empty() {
        return Ok(());
    }
    f.write_str(" FROM ")?;
    write_list(f, sources)
}

fn write_deletion(
    f: &mut Formatter<'_>,
    start: &str,
    sources: &[Measurement],
    condition: Option<&Expr>,
) -> fmt::Result {
    f.write_str(start)?;
    write_from(f, sources)?;
    write_condition(f, condition)
}

fn write_listing(
    f: &mut Formatter<'_>,
    start: &str,
    listing: &Listing,
    keys: Option<&TagKeys>,
) -> fmt::Result {
    f.write_str(start)?;
    write_on(f, listing.database.as_deref())?;
    write_from(f, &listing.sources)?;
    if let Some(keys) = keys {
        write!(f, " WITH KEY {keys}")?;
    }
    write_condition(f, listing.condition.as_ref())?;
    if let Some(order) = listing.order {
        write!(f, " ORDER BY {order}")?;
    }
    let counts = [
        ("LIMIT", listing.limit),
        ("OFFSET", listing.offset),
        ("SLIMIT", listing.slimit),
        ("SOFFSET", listing.soffset),
    ];
    write_counts(f, &counts)
}

impl Display for TagKeys {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            TagKeys::Equal(key) => write!(f, "= {}", Name(key)),
            TagKeys::NotEqual(key) => write!(f, "!= {}", Name(key)),
            TagKeys::Match(regex) => write!(f, "=~ {regex}"),
            TagKeys::NotMatch(regex) => write!(f, "!~ {regex}"),
            TagKeys::In(keys) => {
                let names: Vec<Name<'_>> = keys.iter().map(|key| Name(key)).collect();
                f.write_str("IN (")?;
                write_list(f, &names)?;
                f.write_str(")")
            }
        }
    }
}

impl Display for ShowTagValues {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_listing(f, "SHOW TAG VALUES", &self.listing, Some(&self.keys))
    }
}

impl Display for ShowMeasurements {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        use super::super::ast::MeasurementName;
        f.write_str("SHOW MEASUREMENTS")?;
        write_on(f, self.database.as_deref())?;
        if let Some(source) = &self.source {
            let op = match &source.name {
                MeasurementName::Name(_) => "=",
                MeasurementName::Regex(_) => "=~",
            };
            write!(f, " WITH MEASUREMENT {op} {source}")?;
        }
        write_condition(f, self.condition.as_ref())?;
        if let Some(order) = self.order {
            write!(f, " ORDER BY {order}")?;
        }
        write_counts(f, &[("LIMIT", self.limit), ("OFFSET", self.offset)])
    }
}

impl Display for Cardinality {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let of = match &self.of {
            CardinalityOf::Series => "SERIES",
            CardinalityOf::Measurements => "MEASUREMENT",
            CardinalityOf::TagKeys => "TAG KEY",
            CardinalityOf::TagValues(_) => "TAG VALUES",
            CardinalityOf::FieldKeys => "FIELD KEY",
        };
        let exact = if self.exact { " EXACT" } else { "" };
        write!(f, "SHOW {of}{exact} CARDINALITY")?;
        write_on(f, self.database.as_deref())?;
        write_from(f, &self.sources)?;
        if let CardinalityOf::TagValues(keys) = &self.of {
            write!(f, " WITH KEY {keys}")?;
        }
        write_condition(f, self.condition.as_ref())?;
        write_dimensions(f, &self.dimensions)?;
        write_counts(f, &[("LIMIT", self.limit), ("OFFSET", self.offset)])
    }
}

impl Display for CreateDatabase {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "CREATE DATABASE {}", Name(&self.name))?;
        if !self.with {
            return Ok(());
        }
        f.write_str(" WITH")?;
        if let Some(ns) = self.duration {
            write!(f, " DURATION {}", duration::print_go(ns))?;
        }
        if let Some(replication) = self.replication {
            write!(f, " REPLICATION {replication}")?;
        }
        if let Some(ns) = self.shard_duration {
            write!(f, " SHARD DURATION {}", duration::print_go(ns))?;
        }
        match &self.retention_policy {
            Some(name) => write!(f, " NAME {}", Name(name)),
            None => Ok(()),
        }
    }
}

impl Display for CreateRetentionPolicy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (name, database) = (Name(&self.name), Name(&self.database));
        let kept = duration::print(self.duration);
        write!(f, "CREATE RETENTION POLICY {name} ON {database} DURATION {kept}")?;
        write!(f, " REPLICATION {}", self.replication)?;
        if let Some(ns) = self.shard_duration {
            write!(f, " SHARD DURATION {}", duration::print(ns))?;
        }
        f.write_str(if self.default { " DEFAULT" } else { "" })
    }
}

impl Display for AlterRetentionPolicy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "ALTER RETENTION POLICY {} ON {}", Name(&self.name), Name(&self.database))?;
        if let Some(ns) = self.duration {
            write!(f, " DURATION {}", duration::print(ns))?;
        }
        if let Some(replication) = self.replication {
            write!(f, " REPLICATION {replication}")?;
        }
        if let Some(ns) = self.shard_duration {
            write!(f, " SHARD DURATION {}", duration::print(ns))?;
        }
        f.write_str(if self.default { " DEFAULT" } else { "" })
    }
}

impl Display for CreateContinuousQuery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "CREATE CONTINUOUS QUERY {} ON {}", Name(&self.name), Name(&self.database))?;
        if self.every.is_some() || self.range.is_some() {
            f.write_str(" RESAMPLE")?;
        }
        if let Some(ns) = self.every {
            write!(f, " EVERY {}", duration::print(ns))?;
        }
        if let Some(ns) = self.range {
            write!(f, " FOR {}", duration::print(ns))?;
        }
        write!(f, " BEGIN {} END", self.select)
    }
}

impl Display for CreateSubscription {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (name, database) = (Name(&self.name), Name(&self.database));
        write!(f, "CREATE SUBSCRIPTION {name} ON {database}.{}", Name(&self.retention_policy))?;
        f.write_str(match self.mode {
            DestinationMode::All => " DESTINATIONS ALL ",
            DestinationMode::Any => " DESTINATIONS ANY ",
        })?;
        let urls: Vec<Quoted<'_>> = self.destinations.iter().map(|url| Quoted(url)).collect();
        write_list(f, &urls)
    }
}
