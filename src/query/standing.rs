//! CREATE and DROP of continuous queries and subscriptions.
//!
//! In: the statement. Out: a command to the catalog, with all names of a continuous query resolved
//! as they are at that moment, and the URLs of a subscription checked.

use super::source::{database, policy};
use super::{Context, QueryError};
use crate::catalog::{Command, StandingCommand, State};
use crate::influxql::Statement;
use crate::influxql::ast::{
    CreateContinuousQuery, CreateSubscription, DestinationMode, Select, Source,
};

/// Runs one of the four statements.
pub(super) async fn run(context: Context<'_>, statement: &Statement) -> Result<(), QueryError> {
    let command = match statement {
        Statement::CreateContinuousQuery(create) => {
            let full = full_names(&context.cluster.catalog(), create)?;
            let (db, name, text) = (full.database.clone(), full.name.clone(), full.to_string());
            StandingCommand::CreateQuery { db, name, text }
        }
        Statement::DropContinuousQuery(drop) => {
            StandingCommand::DropQuery { db: drop.database.clone(), name: drop.name.clone() }
        }
        Statement::CreateSubscription(create) => subscribe(create)?,
        Statement::DropSubscription(drop) => StandingCommand::Unsubscribe {
            db: drop.database.clone(),
            rp: drop.retention_policy.clone(),
            name: drop.name.clone(),
        },
        other => return Err(QueryError::NotSupported(other.to_string())),
    };
    Ok(context.cluster.decide(Command::Standing(command)).await?)
}

/// The query with database and policy written in every name.
fn full_names(
    catalog: &State,
    create: &CreateContinuousQuery,
) -> Result<CreateContinuousQuery, QueryError> {
    database(catalog, Some(&create.database))?;
    let mut full = create.clone();
    resolve(catalog, &create.database, &mut full.select)?;
    Ok(full)
}

fn resolve(catalog: &State, own: &str, select: &mut Select) -> Result<(), QueryError> {
    for source in &mut select.sources {
        match source {
            Source::Measurement(one) => {
                fill_in(catalog, own, &mut one.database, &mut one.retention_policy)?;
            }
            Source::Subquery(inner) => resolve(catalog, own, inner)?,
        }
    }
    if let Some(target) = &mut select.target {
        fill_in(catalog, own, &mut target.database, &mut target.retention_policy)?;
    }
    Ok(())
}

fn fill_in(
    catalog: &State,
    own: &str,
    db: &mut Option<String>,
    rp: &mut Option<String>,
) -> Result<(), QueryError> {
    let name = db.get_or_insert_with(|| own.to_owned()).clone();
    let database = database(catalog, Some(&name))?;
    let given = rp.as_deref().filter(|rp| !rp.is_empty());
    let found = policy(catalog, database, given).map_err(|error| match (error, given) {
        (QueryError::PolicyNotFound(_), Some(rp)) => {
            QueryError::PolicyNotFound(format!("{name}.{rp}"))
        }
        (error, _) => error,
    })?;
    let found = catalog.policy_by_id(found).map(|policy| policy.spec.name.clone());
    *rp = found;
    Ok(())
}

fn subscribe(create: &CreateSubscription) -> Result<StandingCommand, QueryError> {
    for url in &create.destinations {
        if Destination::parse(url).is_none() {
            return Err(QueryError::Refused(format!("invalid subscription URL: {url}")));
        }
    }
    Ok(StandingCommand::Subscribe {
        db: create.database.clone(),
        rp: create.retention_policy.clone(),
        name: create.name.clone(),
        all: create.mode == DestinationMode::All,
        destinations: create.destinations.clone(),
    })
}

/// Where a subscription sends points.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    pub scheme: Scheme,
    pub host: String,
    pub port: u16,
    /// In front of `/write`; empty or beginning with a slash.
    pub path: String,
}

/// How it sends them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    Udp,
    Http,
    Https,
}

impl Destination {
    /// Reads `udp://host:port`, `http://host:port/path` or the same with https.
    pub fn parse(url: &str) -> Option<Destination> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = match scheme {
            "udp" => Scheme::Udp,
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let (address, path) = match rest.find('/') {
            Some(at) => rest.split_at_checked(at)?,
            None => (rest, ""),
        };
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.parse().ok().filter(|port| *port > 0)?;
        let path = path.trim_end_matches('/').to_owned();
        (!host.is_empty()).then(|| Destination { scheme, host: host.to_owned(), port, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, parse};

    fn state() -> State {
        let mut state = State::default();
        for name in ["d", "e"] {
            let command = Command::CreateDatabase { name: name.into(), policy: None };
            let records = state.decide(&command).unwrap();
            records.iter().for_each(|record| state.apply(record));
        }
        state
    }

    fn text_of(text: &str) -> Result<String, QueryError> {
        let statements = parse(text, &Params::new()).unwrap();
        let Some(Statement::CreateContinuousQuery(create)) = statements.first() else {
            panic!("{text} is another statement");
        };
        full_names(&state(), create).map(|full| full.to_string())
    }

    #[test]
    fn names_are_written_out() {
        let full = text_of(
            "create continuous query c on d resample every 1h begin select mean(v) into x from \
             (select max(v) as v from e..cpu group by time(1m)), /m/ group by time(1m) end",
        );
        let expected = "CREATE CONTINUOUS QUERY c ON d RESAMPLE EVERY 1h BEGIN SELECT mean(v) \
                        INTO d.autogen.x FROM (SELECT max(v) AS v FROM e.autogen.cpu GROUP BY \
                        time(1m)), d.autogen./m/ GROUP BY time(1m) END";
        assert_eq!(full.as_deref(), Ok(expected));
    }

    #[test]
    fn missing_names_are_told() {
        let of = |target: &str| {
            let text = format!(
                "create continuous query c on d begin select mean(v) into {target} from cpu \
                 group by time(1m) end"
            );
            text_of(&text).unwrap_err().to_string()
        };
        assert_eq!(of("d.nope.x"), "retention policy not found: d.nope");
        assert_eq!(of("n..x"), "database not found: n");
    }

    #[test]
    fn destinations_have_a_host_and_a_port() {
        for bad in ["foo", "http://h", "ftp://h:1", "udp://h:x", "http://:1", "http://h:0"] {
            assert_eq!(Destination::parse(bad), None, "{bad}");
        }
        let found = Destination::parse("http://h:1/x/").unwrap();
        assert_eq!((found.scheme, found.port, found.path.as_str()), (Scheme::Http, 1, "/x"));
        assert_eq!(Destination::parse("udp://[::1]:9").unwrap().host, "::1");
    }
}
