//! Statements about users, privileges and running queries.
//!
//! In: tokens from GRANT, REVOKE, SET, KILL or behind CREATE USER on. Out: the statement.

use super::super::ast::{CreateUser, Grant, KillQuery, Privilege, Revoke, SetPassword, Statement};
use super::super::token::{Keyword, Token};
use super::{Parser, Result};

impl Parser<'_> {
    pub(super) fn parse_create_user(&mut self) -> Result<Statement> {
        let name = self.parse_ident()?;
        self.expect_words(&[Keyword::With, Keyword::Password])?;
        let password = self.parse_string()?;
        let admin = self.accept_word(Keyword::With);
        if admin {
            self.expect_words(&[Keyword::All, Keyword::Privileges])?;
        }
        Ok(Statement::CreateUser(CreateUser { name, password, admin }))
    }

    pub(super) fn parse_set_password(&mut self) -> Result<Statement> {
        self.expect_words(&[Keyword::Set, Keyword::Password, Keyword::For])?;
        let user = self.parse_ident()?;
        self.expect(Token::Eq)?;
        let password = self.parse_string()?;
        Ok(Statement::SetPassword(SetPassword { user, password }))
    }

    pub(super) fn parse_kill(&mut self) -> Result<Statement> {
        self.expect_words(&[Keyword::Kill, Keyword::Query])?;
        let id = self.parse_id()?;
        let host = match self.accept_word(Keyword::On) {
            true => Some(self.parse_ident()?),
            false => None,
        };
        Ok(Statement::KillQuery(KillQuery { id, host }))
    }

    pub(super) fn parse_grant(&mut self) -> Result<Statement> {
        self.expect_word(Keyword::Grant)?;
        let privilege = self.parse_privilege()?;
        match self.parse_privilege_database(privilege, Keyword::To)? {
            None => Ok(Statement::GrantAdmin(self.parse_ident()?)),
            Some(database) => {
                let user = self.parse_ident()?;
                Ok(Statement::Grant(Grant { privilege, database, user }))
            }
        }
    }

    pub(super) fn parse_revoke(&mut self) -> Result<Statement> {
        self.expect_word(Keyword::Revoke)?;
        let privilege = self.parse_privilege()?;
        match self.parse_privilege_database(privilege, Keyword::From)? {
            None => Ok(Statement::RevokeAdmin(self.parse_ident()?)),
            Some(database) => {
                let user = self.parse_ident()?;
                Ok(Statement::Revoke(Revoke { privilege, database, user }))
            }
        }
    }

    fn parse_privilege(&mut self) -> Result<Privilege> {
        let privilege = match self.peek() {
            Token::Keyword(Keyword::Read) => Privilege::Read,
            Token::Keyword(Keyword::Write) => Privilege::Write,
            Token::Keyword(Keyword::All) => Privilege::All,
            _ => return self.unexpected(&["READ", "WRITE", "ALL [PRIVILEGES]"]),
        };
        self.next();
        if privilege == Privilege::All {
            self.accept_word(Keyword::Privileges);
        }
        Ok(privilege)
    }

    /// `ON db` and the word before the user; None if all privileges are meant everywhere.
    fn parse_privilege_database(
        &mut self,
        privilege: Privilege,
        before_user: Keyword,
    ) -> Result<Option<String>> {
        if self.accept_word(Keyword::On) {
            let database = self.parse_ident()?;
            self.expect_word(before_user)?;
            return Ok(Some(database));
        }
        if privilege != Privilege::All {
            return self.unexpected(&["ON"]);
        }
        match self.accept_word(before_user) {
            true => Ok(None),
            false => self.unexpected(&["ON", before_user.text()]),
        }
    }
}
