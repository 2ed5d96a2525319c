//! Users: names, password hashes, who administers, and what each may do in which database.
//!
//! In: records. Out: look-ups, and decisions about commands in InfluxDB's words. Passwords never
//! come here: who asks brings the hash.

use super::command::CatalogError;
use super::record::Record;
use super::state::State;
use crate::model::DbId;
use std::collections::BTreeMap;

/// What a user may do in one database.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub struct Rights {
    pub read: bool,
    pub write: bool,
}

/// A user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    /// In the form that the hashing library reads and writes; salt and cost are in it.
    pub hash: String,
    /// May do everything.
    pub admin: bool,
    rights: BTreeMap<DbId, Rights>,
}

/// All users, in order of creation.
#[derive(Clone, Debug, Default)]
pub struct Users {
    all: Vec<User>,
}

/// A question about users.
#[derive(Clone, PartialEq, Eq)]
pub enum UserCommand {
    /// Refused when there is one of this name.
    Create {
        name: String,
        hash: String,
        admin: bool,
    },
    SetHash {
        name: String,
        hash: String,
    },
    Drop {
        name: String,
    },
    SetAdmin {
        name: String,
        admin: bool,
    },
    /// Takes the place of what was granted before.
    Grant {
        name: String,
        db: String,
        rights: Rights,
    },
    /// Takes away; the entry stays.
    Revoke {
        name: String,
        db: String,
        rights: Rights,
    },
}

impl Rights {
    pub const READ: Rights = Rights { read: true, write: false };
    pub const WRITE: Rights = Rights { read: false, write: true };
    pub const ALL: Rights = Rights { read: true, write: true };

    /// As SHOW GRANTS writes it.
    pub fn name(self) -> &'static str {
        match (self.read, self.write) {
            (true, true) => "ALL PRIVILEGES",
            (true, false) => "READ",
            (false, true) => "WRITE",
            (false, false) => "NO PRIVILEGES",
        }
    }
}

/// Hashes stay out of messages and logs.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({:?}, admin: {})", self.name, self.admin)
    }
}

impl std::fmt::Debug for UserCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, name) = match self {
            UserCommand::Create { name, .. } => ("create", name),
            UserCommand::SetHash { name, .. } => ("set password of", name),
            UserCommand::Drop { name } => ("drop", name),
            UserCommand::SetAdmin { name, .. } => ("set admin of", name),
            UserCommand::Grant { name, .. } => ("grant to", name),
            UserCommand::Revoke { name, .. } => ("revoke from", name),
        };
        write!(f, "{what} {name:?}")
    }
}

impl User {
    /// What the user may do in a database, the power of administrators left aside.
    pub fn rights(&self, db: DbId) -> Rights {
        self.rights.get(&db).copied().unwrap_or_default()
    }

    /// Everything that was granted, by database.
    pub fn grants(&self) -> impl Iterator<Item = (DbId, Rights)> {
        self.rights.iter().map(|(db, rights)| (*db, *rights))
    }
}

impl Users {
    /// A user by name.
    pub fn get(&self, name: &str) -> Option<&User> {
        self.all.iter().find(|user| user.name == name)
    }

    /// All of them, in order of creation.
    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.all.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether one of them administers.
    pub fn has_admin(&self) -> bool {
        self.all.iter().any(|user| user.admin)
    }

    fn named(&mut self, name: &str) -> Option<&mut User> {
        self.all.iter_mut().find(|user| user.name == name)
    }

    pub(super) fn put(&mut self, name: &str, hash: &str, admin: bool) {
        match self.named(name) {
            Some(user) => (user.hash, user.admin) = (hash.to_owned(), admin),
            None => self.all.push(User {
                name: name.to_owned(),
                hash: hash.to_owned(),
                admin,
                rights: BTreeMap::new(),
            }),
        }
    }

    pub(super) fn drop_user(&mut self, name: &str) {
        self.all.retain(|user| user.name != name);
    }

    pub(super) fn grant(&mut self, name: &str, db: DbId, rights: Rights) {
        if let Some(user) = self.named(name) {
            user.rights.insert(db, rights);
        }
    }

    pub(super) fn forget_database(&mut self, db: DbId) {
        for user in &mut self.all {
            user.rights.remove(&db);
        }
    }

    pub(super) fn records(&self, out: &mut Vec<Record>) {
        for user in &self.all {
            let (name, hash) = (user.name.clone(), user.hash.clone());
            out.push(Record::PutUser { name, hash, admin: user.admin });
            out.extend(user.grants().map(|(db, rights)| {
                let name = user.name.clone();
                Record::Grant { name, db, rights }
            }));
        }
    }
}

/// Decides a command about users.
pub(super) fn decide(state: &State, command: &UserCommand) -> Result<Vec<Record>, CatalogError> {
    let users = state.users();
    let known = |name: &String| users.get(name).ok_or(CatalogError::UserNotFound);
    let database = |name: &String| {
        let found = state.database(name).map(|database| database.id);
        found.ok_or_else(|| CatalogError::DatabaseNotFound(name.clone()))
    };
    let record = match command {
        UserCommand::Create { name, .. } if name.is_empty() => {
            return Err(CatalogError::UserNameRequired);
        }
        UserCommand::Create { name, .. } if users.get(name).is_some() => {
            return Err(CatalogError::UserExists);
        }
        UserCommand::Create { name, hash, admin } => {
            Record::PutUser { name: name.clone(), hash: hash.clone(), admin: *admin }
        }
        UserCommand::SetHash { name, hash } => {
            let admin = known(name)?.admin;
            Record::PutUser { name: name.clone(), hash: hash.clone(), admin }
        }
        UserCommand::Drop { name } => {
            known(name)?;
            Record::DropUser { name: name.clone() }
        }
        UserCommand::SetAdmin { name, admin } => {
            let hash = known(name)?.hash.clone();
            Record::PutUser { name: name.clone(), hash, admin: *admin }
        }
        UserCommand::Grant { name, db, rights } => {
            known(name)?;
            Record::Grant { name: name.clone(), db: database(db)?, rights: *rights }
        }
        UserCommand::Revoke { name, db, rights } => {
            let user = known(name)?;
            let db = database(db)?;
            let had = user.rights(db);
            let left = Rights { read: had.read && !rights.read, write: had.write && !rights.write };
            Record::Grant { name: name.clone(), db, rights: left }
        }
    };
    Ok(vec![record])
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::*;

    fn run(state: &mut State, command: UserCommand) -> Result<(), CatalogError> {
        let records = state.decide(&Command::User(command))?;
        records.iter().for_each(|record| state.apply(record));
        Ok(())
    }

    fn create(name: &str, admin: bool) -> UserCommand {
        UserCommand::Create { name: name.into(), hash: "h".into(), admin }
    }

    fn state() -> State {
        let mut state = State::default();
        let command = Command::CreateDatabase { name: "d".into(), policy: None };
        let records = state.decide(&command).unwrap();
        records.iter().for_each(|record| state.apply(record));
        state
    }

    #[test]
    fn users_are_made_once_and_found_missing_by_name() {
        let mut state = state();
        assert_eq!(run(&mut state, create("", false)), Err(CatalogError::UserNameRequired));
        assert_eq!(run(&mut state, create("u", false)), Ok(()));
        assert_eq!(run(&mut state, create("u", false)), Err(CatalogError::UserExists));
        assert!(!state.users().has_admin());
        let name = || "u".to_owned();
        assert_eq!(run(&mut state, UserCommand::SetAdmin { name: name(), admin: true }), Ok(()));
        assert!(state.users().has_admin());
        let nobody = UserCommand::Drop { name: "x".into() };
        assert_eq!(run(&mut state, nobody), Err(CatalogError::UserNotFound));
        assert_eq!(run(&mut state, UserCommand::Drop { name: name() }), Ok(()));
        assert!(state.users().is_empty());
    }

    #[test]
    fn a_grant_replaces_and_a_revoke_leaves_an_empty_entry() {
        let mut state = state();
        run(&mut state, create("u", false)).unwrap();
        let (name, db) = (|| "u".to_owned(), || "d".to_owned());
        let grant = |rights| UserCommand::Grant { name: name(), db: db(), rights };
        let revoke = |rights| UserCommand::Revoke { name: name(), db: db(), rights };
        let shown = |state: &State| {
            let user = state.users().get("u").unwrap();
            user.grants().map(|(_, rights)| rights.name()).collect::<Vec<_>>()
        };
        run(&mut state, grant(Rights::READ)).unwrap();
        run(&mut state, grant(Rights::WRITE)).unwrap();
        assert_eq!(shown(&state), ["WRITE"]);
        run(&mut state, grant(Rights::ALL)).unwrap();
        run(&mut state, revoke(Rights::WRITE)).unwrap();
        assert_eq!(shown(&state), ["READ"]);
        run(&mut state, revoke(Rights::ALL)).unwrap();
        assert_eq!(shown(&state), ["NO PRIVILEGES"]);
        let mut copy = State::default();
        state.to_records().iter().for_each(|record| copy.apply(record));
        assert_eq!(shown(&copy), ["NO PRIVILEGES"]);
        run(&mut state, grant(Rights::ALL)).unwrap();
        let dropped = state.decide(&Command::DropDatabase { name: db() }).unwrap();
        dropped.iter().for_each(|record| state.apply(record));
        assert!(shown(&state).is_empty());
        let late = run(&mut state, grant(Rights::ALL));
        assert_eq!(late, Err(CatalogError::DatabaseNotFound("d".into())));
    }

    #[test]
    fn hashes_do_not_show() {
        let mut state = state();
        run(
            &mut state,
            UserCommand::Create { name: "u".into(), hash: "secret".into(), admin: true },
        )
        .unwrap();
        assert!(!format!("{:?}", state.users()).contains("secret"));
        assert!(!format!("{:?}", create("u", true)).contains('h'));
    }
}
