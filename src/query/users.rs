//! Statements about users: CREATE USER, SET PASSWORD, DROP USER, GRANT, REVOKE.
//!
//! In: the statement. Out: a command to the catalog. Passwords become hashes on the way, by
//! somebody who does not hold up this core.

use super::{Context, QueryError};
use crate::catalog::{CatalogError, Command, Rights, UserCommand};
use crate::influxql::Statement;
use crate::influxql::ast::{CreateUser, Privilege};

/// Runs a statement about users.
pub(super) async fn run(context: Context<'_>, statement: &Statement) -> Result<(), QueryError> {
    let rights = |privilege: Privilege| match privilege {
        Privilege::Read => Rights::READ,
        Privilege::Write => Rights::WRITE,
        Privilege::All => Rights::ALL,
    };
    let command = match statement {
        Statement::CreateUser(create) => return make(context, create).await,
        Statement::SetPassword(set) => {
            known(context, &set.user)?;
            let hash = context.options.server.services.hash(&set.password);
            let hash = hash.await.map_err(QueryError::Refused)?;
            UserCommand::SetHash { name: set.user.clone(), hash }
        }
        Statement::DropUser(name) => UserCommand::Drop { name: name.clone() },
        Statement::GrantAdmin(name) => UserCommand::SetAdmin { name: name.clone(), admin: true },
        Statement::RevokeAdmin(name) => UserCommand::SetAdmin { name: name.clone(), admin: false },
        Statement::Grant(grant) => UserCommand::Grant {
            name: grant.user.clone(),
            db: grant.database.clone(),
            rights: rights(grant.privilege),
        },
        Statement::Revoke(revoke) => UserCommand::Revoke {
            name: revoke.user.clone(),
            db: revoke.database.clone(),
            rights: rights(revoke.privilege),
        },
        other => return Err(QueryError::NotSupported(other.to_string())),
    };
    Ok(context.cluster.decide(Command::User(command)).await?)
}

fn known(context: Context<'_>, name: &str) -> Result<(), QueryError> {
    let catalog = context.cluster.catalog();
    catalog.users().get(name).map(|_| ()).ok_or(CatalogError::UserNotFound.into())
}

/// Making a user again with the same password and power is no error.
async fn make(context: Context<'_>, create: &CreateUser) -> Result<(), QueryError> {
    if create.name.is_empty() {
        return Err(CatalogError::UserNameRequired.into());
    }
    let found = {
        let catalog = context.cluster.catalog();
        catalog.users().get(&create.name).map(|user| (user.hash.clone(), user.admin))
    };
    let passwords = &context.options.server.services;
    if let Some((hash, admin)) = found {
        let verified = passwords.verify(&create.password, &hash).await;
        let same = verified.map_err(QueryError::Refused)? && admin == create.admin;
        return if same { Ok(()) } else { Err(CatalogError::UserExists.into()) };
    }
    let hash = passwords.hash(&create.password).await.map_err(QueryError::Refused)?;
    let (name, admin) = (create.name.clone(), create.admin);
    let command = UserCommand::Create { name, hash, admin };
    Ok(context.cluster.decide(Command::User(command)).await?)
}
