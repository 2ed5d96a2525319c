//! Standing orders of a database: continuous queries and subscriptions.
//!
//! In: records. Out: lists in order of creation, and decisions about commands in InfluxDB's words.
//! Queries are kept as normalised text: who runs them parses it.

use super::command::CatalogError;
use super::record::Record;
use super::state::State;
use crate::model::{DbId, PolicyId};

/// A continuous query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContinuousQuery {
    pub db: DbId,
    pub name: String,
    /// The whole CREATE statement, names resolved.
    pub text: String,
}

/// Where copies of written points go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    pub policy: PolicyId,
    pub name: String,
    /// To each destination, or to one of them by turns.
    pub all: bool,
    /// Checked URLs.
    pub destinations: Vec<String>,
}

/// All standing orders.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    queries: Vec<ContinuousQuery>,
    subscriptions: Vec<Subscription>,
}

/// A question about them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StandingCommand {
    /// Fine when it is there with the same text, upper and lower case being the same.
    CreateQuery {
        db: String,
        name: String,
        text: String,
    },
    /// Fine when it is missing.
    DropQuery {
        db: String,
        name: String,
    },
    Subscribe {
        db: String,
        rp: String,
        name: String,
        all: bool,
        destinations: Vec<String>,
    },
    Unsubscribe {
        db: String,
        rp: String,
        name: String,
    },
}

impl Standing {
    /// The continuous queries of a database.
    pub fn queries(&self, db: DbId) -> impl Iterator<Item = &ContinuousQuery> {
        self.queries.iter().filter(move |query| query.db == db)
    }

    /// All continuous queries.
    pub fn all_queries(&self) -> &[ContinuousQuery] {
        &self.queries
    }

    /// The subscriptions of a policy.
    pub fn subscriptions(&self, policy: PolicyId) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.iter().filter(move |one| one.policy == policy)
    }

    /// All subscriptions.
    pub fn all_subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
    }

    pub(super) fn put_query(&mut self, db: DbId, name: &str, text: &str) {
        self.drop_query(db, name);
        self.queries.push(ContinuousQuery { db, name: name.to_owned(), text: text.to_owned() });
    }

    pub(super) fn drop_query(&mut self, db: DbId, name: &str) {
        self.queries.retain(|query| query.db != db || query.name != name);
    }

    pub(super) fn subscribe(&mut self, subscription: Subscription) {
        self.unsubscribe(subscription.policy, &subscription.name);
        self.subscriptions.push(subscription);
    }

    pub(super) fn unsubscribe(&mut self, policy: PolicyId, name: &str) {
        self.subscriptions.retain(|one| one.policy != policy || one.name != name);
    }

    pub(super) fn forget_database(&mut self, db: DbId) {
        self.queries.retain(|query| query.db != db);
    }

    pub(super) fn forget_policy(&mut self, policy: PolicyId) {
        self.subscriptions.retain(|one| one.policy != policy);
    }

    pub(super) fn records(&self, out: &mut Vec<Record>) {
        out.extend(self.queries.iter().map(|query| Record::PutQuery {
            db: query.db,
            name: query.name.clone(),
            text: query.text.clone(),
        }));
        out.extend(self.subscriptions.iter().map(|one| Record::Subscribe {
            policy: one.policy,
            name: one.name.clone(),
            all: one.all,
            destinations: one.destinations.clone(),
        }));
    }
}

/// Decides a command about standing orders.
pub(super) fn decide(
    state: &State,
    command: &StandingCommand,
) -> Result<Vec<Record>, CatalogError> {
    let record = match command {
        StandingCommand::CreateQuery { db, name, text } => {
            let database = state.required(db)?;
            let known = state.standing().queries(database.id).find(|query| query.name == *name);
            match known {
                Some(known) if known.text.to_lowercase() == text.to_lowercase() => {
                    return Ok(Vec::new());
                }
                Some(_) => return Err(CatalogError::QueryExists),
                None => {
                    Record::PutQuery { db: database.id, name: name.clone(), text: text.clone() }
                }
            }
        }
        StandingCommand::DropQuery { db, name } => match state.database(db) {
            Some(database) => Record::DropQuery { db: database.id, name: name.clone() },
            None => return Ok(Vec::new()),
        },
        StandingCommand::Subscribe { db, rp, name, all, destinations } => {
            let policy = policy(state, db, rp)?;
            if state.standing().subscriptions(policy).any(|one| one.name == *name) {
                return Err(CatalogError::SubscriptionExists);
            }
            let (name, destinations) = (name.clone(), destinations.clone());
            Record::Subscribe { policy, name, all: *all, destinations }
        }
        StandingCommand::Unsubscribe { db, rp, name } => {
            let policy = policy(state, db, rp)?;
            if !state.standing().subscriptions(policy).any(|one| one.name == *name) {
                return Err(CatalogError::SubscriptionNotFound);
            }
            Record::Unsubscribe { policy, name: name.clone() }
        }
    };
    Ok(vec![record])
}

fn policy(state: &State, db: &str, rp: &str) -> Result<PolicyId, CatalogError> {
    let database = state.required(db)?;
    let found = state.policy(database.id, rp).map(|policy| policy.id);
    found.ok_or_else(|| CatalogError::PolicyNotFound(rp.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::*;

    fn run(state: &mut State, command: Command) -> Result<usize, CatalogError> {
        let records = state.decide(&command)?;
        records.iter().for_each(|record| state.apply(record));
        Ok(records.len())
    }

    fn state() -> State {
        let mut state = State::default();
        run(&mut state, Command::CreateDatabase { name: "d".into(), policy: None }).unwrap();
        state
    }

    fn query(name: &str, text: &str) -> Command {
        let (db, name, text) = ("d".into(), name.into(), text.into());
        Command::Standing(StandingCommand::CreateQuery { db, name, text })
    }

    #[test]
    fn a_query_may_be_made_again_with_the_same_text() {
        let mut state = state();
        assert_eq!(run(&mut state, query("c", "SELECT a")), Ok(1));
        assert_eq!(run(&mut state, query("c", "select A")), Ok(0));
        assert_eq!(run(&mut state, query("c", "select b")), Err(CatalogError::QueryExists));
        assert_eq!(run(&mut state, query("C", "select b")), Ok(1));
        let db = state.database("d").unwrap().id;
        let mut copy = State::default();
        state.to_records().iter().for_each(|record| copy.apply(record));
        let names: Vec<&str> = copy.standing().queries(db).map(|q| q.name.as_str()).collect();
        assert_eq!(names, ["c", "C"]);
        let drop = StandingCommand::DropQuery { db: "d".into(), name: "c".into() };
        run(&mut state, Command::Standing(drop)).unwrap();
        assert_eq!(state.standing().queries(db).count(), 1);
        run(&mut state, Command::DropDatabase { name: "d".into() }).unwrap();
        assert!(state.standing().all_queries().is_empty());
    }

    #[test]
    fn a_subscription_lives_with_its_policy() {
        let mut state = state();
        let subscribe = |rp: &str| {
            let (db, rp, name) = ("d".into(), rp.into(), "s".into());
            let destinations = vec!["http://h:1".to_owned()];
            Command::Standing(StandingCommand::Subscribe { db, rp, name, all: true, destinations })
        };
        let missing = CatalogError::PolicyNotFound("x".into());
        assert_eq!(run(&mut state, subscribe("x")), Err(missing));
        assert_eq!(run(&mut state, subscribe("autogen")), Ok(1));
        assert_eq!(run(&mut state, subscribe("autogen")), Err(CatalogError::SubscriptionExists));
        let unsubscribe = || {
            let (db, rp, name) = ("d".into(), "autogen".into(), "s".into());
            Command::Standing(StandingCommand::Unsubscribe { db, rp, name })
        };
        assert_eq!(run(&mut state, unsubscribe()), Ok(1));
        assert_eq!(run(&mut state, unsubscribe()), Err(CatalogError::SubscriptionNotFound));
        run(&mut state, subscribe("autogen")).unwrap();
        run(&mut state, Command::DropPolicy { db: "d".into(), name: "autogen".into() }).unwrap();
        assert!(state.standing().all_subscriptions().is_empty());
    }
}
