//! What a user must be allowed to for each statement.
//!
//! In: statements, the user, the request's database. Out: nothing, or a refusal in InfluxDB's
//! words. A statement that is not in the table below does not compile, so none is forgotten.

use crate::catalog::{State, User};
use crate::influxql::Statement;
use crate::influxql::ast::{Measurement, Privilege, Select, Source};

/// One thing that must be allowed.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Need {
    /// A privilege on a database; `None`: the request's.
    On(Privilege, Option<String>),
    Admin,
}

/// Whether `user` may run all of the statements; `None` is nobody.
///
/// # Errors
/// The text that follows `error authorizing query: `.
pub fn authorize(
    catalog: &State,
    user: Option<&str>,
    statements: &[Statement],
    db: &str,
) -> Result<(), String> {
    let users = catalog.users();
    if users.is_empty() {
        let first = statements.first();
        let makes_admin = matches!(first, Some(Statement::CreateUser(create)) if create.admin);
        let text = "create admin user first or disable authentication";
        return if makes_admin { Ok(()) } else { Err(text.to_owned()) };
    }
    let user = user.and_then(|name| users.get(name)).ok_or("no user provided")?;
    if user.admin {
        return Ok(());
    }
    statements.iter().try_for_each(|statement| check(catalog, user, statement, db))
}

fn check(catalog: &State, user: &User, statement: &Statement, db: &str) -> Result<(), String> {
    let name = &user.name;
    let refused = |what: String| {
        Err(format!("{name} not authorized to execute statement '{statement}', requires {what}"))
    };
    for need in needs(statement) {
        let Need::On(privilege, named) = need else {
            return refused("admin privilege".to_owned());
        };
        let db = named.filter(|name| !name.is_empty()).unwrap_or_else(|| db.to_owned());
        let rights = catalog.database(&db).map(|db| user.rights(db.id)).unwrap_or_default();
        let allowed = match privilege {
            Privilege::Read => rights.read,
            Privilege::Write => rights.write,
            Privilege::All => rights.read && rights.write,
        };
        if !allowed {
            return refused(format!("{privilege} on {db}"));
        }
    }
    Ok(())
}

fn needs(statement: &Statement) -> Vec<Need> {
    use Statement as S;
    let read = |db: Option<&String>| vec![Need::On(Privilege::Read, db.cloned())];
    let write = |db: Option<&String>| vec![Need::On(Privilege::Write, db.cloned())];
    match statement {
        S::Select(select) => of_select(select),
        S::Explain(explain) => of_select(&explain.select),
        S::Delete(delete) => of_sources(Privilege::Write, None, &delete.sources),
        S::DropSeries(drop) => of_sources(Privilege::Write, None, &drop.sources),
        S::DropRetentionPolicy(drop) => write(Some(&drop.database)),
        S::DropContinuousQuery(drop) => write(Some(&drop.database)),
        S::CreateContinuousQuery(create) => {
            let mut needs = read(Some(&create.database));
            // Names without a database are of the query's own, where it may write.
            let named = |need: &Need| !matches!(need, Need::On(_, None));
            needs.extend(of_select(&create.select).into_iter().filter(named));
            needs
        }
        S::ShowRetentionPolicies(db) => read(db.as_ref()),
        S::ShowMeasurements(show) => {
            let sources: Vec<Measurement> = show.source.iter().cloned().collect();
            of_sources(Privilege::Read, show.database.as_ref(), &sources)
        }
        S::ShowSeries(list) | S::ShowTagKeys(list) | S::ShowFieldKeys(list) => {
            of_sources(Privilege::Read, list.database.as_ref(), &list.sources)
        }
        S::ShowTagValues(show) => {
            let list = &show.listing;
            of_sources(Privilege::Read, list.database.as_ref(), &list.sources)
        }
        S::ShowCardinality(show) => {
            of_sources(Privilege::Read, show.database.as_ref(), &show.sources)
        }
        S::ShowContinuousQueries | S::ShowQueries => read(None),
        // What is listed depends on the user.
        S::ShowDatabases => Vec::new(),
        S::CreateDatabase(_)
        | S::DropDatabase(_)
        | S::CreateRetentionPolicy(_)
        | S::AlterRetentionPolicy(_)
        | S::CreateSubscription(_)
        | S::DropSubscription(_)
        | S::CreateUser(_)
        | S::SetPassword(_)
        | S::DropUser(_)
        | S::Grant(_)
        | S::GrantAdmin(_)
        | S::Revoke(_)
        | S::RevokeAdmin(_)
        | S::DropMeasurement(_)
        | S::DropShard(_)
        | S::KillQuery(_)
        | S::ShowUsers
        | S::ShowGrants(_)
        | S::ShowSubscriptions
        | S::ShowShards
        | S::ShowShardGroups
        | S::ShowStats(_)
        | S::ShowDiagnostics(_) => vec![Need::Admin],
    }
}

/// A privilege on the statement's database, and on each that a source names.
fn of_sources(privilege: Privilege, db: Option<&String>, sources: &[Measurement]) -> Vec<Need> {
    let mut needs = vec![Need::On(privilege, db.cloned())];
    let named = sources.iter().filter_map(|source| source.database.clone());
    needs.extend(named.map(|db| Need::On(privilege, Some(db))));
    needs
}

fn of_select(select: &Select) -> Vec<Need> {
    let mut needs = Vec::new();
    for source in &select.sources {
        match source {
            Source::Measurement(one) => {
                needs.push(Need::On(Privilege::Read, one.database.clone()));
            }
            Source::Subquery(inner) => needs.extend(of_select(inner)),
        }
    }
    if let Some(target) = &select.target {
        needs.push(Need::On(Privilege::Write, target.database.clone()));
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Command, Rights, UserCommand};
    use crate::influxql::{Params, parse};

    fn run(state: &mut State, command: Command) {
        let records = state.decide(&command).unwrap();
        records.iter().for_each(|record| state.apply(record));
    }

    fn create(name: &str, admin: bool) -> Command {
        let (name, hash) = (name.to_owned(), String::new());
        Command::User(UserCommand::Create { name, hash, admin })
    }

    /// Databases `r` and `w`; joe may read the one and write the other.
    fn state() -> State {
        let mut state = State::default();
        for (name, rights) in [("r", Rights::READ), ("w", Rights::WRITE)] {
            run(&mut state, Command::CreateDatabase { name: name.into(), policy: None });
            if state.users().is_empty() {
                run(&mut state, create("root", true));
                run(&mut state, create("joe", false));
            }
            let (user, db) = ("joe".to_owned(), name.to_owned());
            run(&mut state, Command::User(UserCommand::Grant { name: user, db, rights }));
        }
        state
    }

    fn ask(user: Option<&str>, text: &str, db: &str) -> Result<(), String> {
        authorize(&state(), user, &parse(text, &Params::new()).unwrap(), db)
    }

    #[test]
    fn the_first_user_must_be_an_administrator() {
        let none = State::default();
        let of = |text: &str| authorize(&none, None, &parse(text, &Params::new()).unwrap(), "");
        let text = "create admin user first or disable authentication";
        assert_eq!(of("create user a with password 'x'"), Err(text.to_owned()));
        assert_eq!(of("show databases"), Err(text.to_owned()));
        assert_eq!(of("create user a with password 'x' with all privileges"), Ok(()));
        assert_eq!(ask(None, "show databases", ""), Err("no user provided".to_owned()));
        assert_eq!(ask(Some("root"), "drop database x", ""), Ok(()));
    }

    #[test]
    fn each_statement_has_its_price() {
        let reads = [
            "select v from m",
            "select v from (select v from m)",
            "explain select v from m",
            "show series",
            "show measurements",
            "show tag keys",
            "show tag values with key = k",
            "show field keys",
            "show series cardinality",
            "show continuous queries",
            "show queries",
            "show retention policies",
        ];
        for text in reads {
            assert_eq!(ask(Some("joe"), text, "r"), Ok(()), "{text}");
            let refused = ask(Some("joe"), text, "w").unwrap_err();
            assert!(refused.ends_with("', requires READ on w"), "{refused}");
        }
        let writes = [
            "delete from m",
            "drop series from m",
            "drop retention policy p on w",
            "drop continuous query c on w",
        ];
        for text in writes {
            assert_eq!(ask(Some("joe"), text, "w"), Ok(()), "{text}");
        }
        assert!(ask(Some("joe"), "delete from m", "r").unwrap_err().ends_with("WRITE on r"));
        assert_eq!(ask(Some("joe"), "select v into w..x from m", "r"), Ok(()));
        let text = ask(Some("joe"), "select v into x from m", "r").unwrap_err();
        let expected = "joe not authorized to execute statement 'SELECT v INTO x FROM m', requires \
                        WRITE on r";
        assert_eq!(text, expected);
    }

    #[test]
    fn administration_is_for_administrators() {
        let all = "create database x; drop database x; create retention policy p on r duration 1d \
                   replication 1; alter retention policy p on r default; drop measurement m; drop \
                   shard 1; kill query 1; create user a with password 'p'; set password for a = \
                   'p'; drop user a; grant read on r to a; grant all to a; revoke read on r from \
                   a; revoke all from a; show users; show grants for a; show subscriptions; show \
                   shards; show shard groups; show stats; show diagnostics; create subscription s \
                   on r.autogen destinations all 'udp://h:1'; drop subscription s on r.autogen";
        for text in all.split("; ") {
            let refused = ask(Some("joe"), text, "r").unwrap_err();
            assert!(refused.ends_with("', requires admin privilege"), "{refused}");
        }
        let hidden = ask(Some("joe"), "set password for a = 'secret'", "").unwrap_err();
        assert!(hidden.contains("[REDACTED]") && !hidden.contains("secret"));
        assert_eq!(ask(Some("joe"), "show databases", ""), Ok(()));
    }

    #[test]
    fn named_databases_count_wherever_they_stand() {
        for text in ["show tag keys from w..m", "select v from w..m", "show series from w..m"] {
            assert!(ask(Some("joe"), text, "r").unwrap_err().ends_with("READ on w"), "{text}");
        }
        let query = |into: &str| {
            format!(
                "create continuous query c on r begin select mean(v) into {into} from m group by \
                 time(1m) end"
            )
        };
        assert_eq!(ask(Some("joe"), &query("x"), ""), Ok(()));
        assert_eq!(ask(Some("joe"), &query("w..x"), ""), Ok(()));
        assert!(ask(Some("joe"), &query("n..x"), "").unwrap_err().ends_with("WRITE on n"));
    }
}
