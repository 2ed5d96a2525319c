//! Statements that define and drop: databases, retention policies, measurements, shards.
//!
//! In: the statement. Out: a command to the catalog, whose refusals are the statement's error.

use super::{Context, QueryError};
use crate::catalog::{Command, PolicyOptions};
use crate::influxql::Statement;
use crate::model::PartitionId;

/// Has the catalog decide the statement.
pub(super) async fn run(context: Context<'_>, statement: &Statement) -> Result<(), QueryError> {
    let Some(mut command) = command(statement, context.options.db.as_deref()) else {
        return Ok(());
    };
    let make_policy = context.options.server.facts.config.retention_autocreate;
    if let Command::CreateDatabase { name, policy: None } = &command
        && !make_policy
    {
        command = Command::CreateBareDatabase { name: name.clone() };
    }
    Ok(context.cluster.decide(command).await?)
}

fn command(statement: &Statement, db: Option<&str>) -> Option<Command> {
    Some(match statement {
        Statement::CreateDatabase(create) => Command::CreateDatabase {
            name: create.name.clone(),
            policy: create.with.then(|| PolicyOptions {
                name: create.retention_policy.clone(),
                duration_ns: create.duration,
                replicas: create.replication,
                shard_duration_ns: create.shard_duration,
            }),
        },
        Statement::DropDatabase(name) => Command::DropDatabase { name: name.clone() },
        Statement::CreateRetentionPolicy(create) => Command::CreatePolicy {
            db: create.database.clone(),
            name: create.name.clone(),
            options: PolicyOptions {
                name: None,
                duration_ns: Some(create.duration),
                replicas: Some(create.replication),
                shard_duration_ns: create.shard_duration,
            },
            default: create.default,
        },
        Statement::AlterRetentionPolicy(alter) => Command::AlterPolicy {
            db: alter.database.clone(),
            name: alter.name.clone(),
            options: PolicyOptions {
                name: None,
                duration_ns: alter.duration,
                replicas: alter.replication,
                shard_duration_ns: alter.shard_duration,
            },
            default: alter.default,
        },
        Statement::DropRetentionPolicy(drop) => {
            Command::DropPolicy { db: drop.database.clone(), name: drop.name.clone() }
        }
        Statement::DropMeasurement(name) => Command::DropMeasurement {
            db: db.unwrap_or_default().to_owned(),
            name: name.as_bytes().into(),
        },
        Statement::DropShard(id) => {
            Command::DropPartition { id: PartitionId(u32::try_from(*id).ok()?) }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, parse};

    fn commands(text: &str) -> Vec<Option<Command>> {
        let statements = parse(text, &Params::new()).unwrap();
        statements.iter().map(|statement| command(statement, Some("d"))).collect()
    }

    #[test]
    fn definitions_become_commands() {
        let text = "create database x; create database x with duration 2d name p; \
                    drop measurement m; drop shard 99999999999";
        let found = commands(text);
        let name = "x".to_owned();
        let options = PolicyOptions {
            name: Some("p".into()),
            duration_ns: Some(2 * 86_400_000_000_000),
            ..PolicyOptions::default()
        };
        let expected = [
            Some(Command::CreateDatabase { name: name.clone(), policy: None }),
            Some(Command::CreateDatabase { name, policy: Some(options) }),
            Some(Command::DropMeasurement { db: "d".into(), name: b"m".as_slice().into() }),
            None,
        ];
        assert_eq!(found, expected);
    }
}
