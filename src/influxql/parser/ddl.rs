//! Statements that make, change and drop databases, retention policies, continuous queries,
//! subscriptions, measurements, series and shards.
//!
//! In: tokens from CREATE, ALTER, DROP or DELETE on. Out: the statement, with limits checked that
//! need no knowledge of what exists.

use super::super::ast::{
    AlterRetentionPolicy, CreateContinuousQuery, CreateDatabase, CreateRetentionPolicy,
    CreateSubscription, Delete, DestinationMode, DropContinuousQuery, DropRetentionPolicy,
    DropSeries, DropSubscription, Expr, Measurement, Select, Statement,
};
use super::super::duration;
use super::super::error::{ParseError, Place};
use super::super::token::{Keyword, Token};
use super::{Parser, Result};

/// Largest replication factor.
const REPLICATION_MAX: u64 = i32::MAX as u64;

impl Parser<'_> {
    pub(super) fn parse_create(&mut self) -> Result<Statement> {
        self.expect_word(Keyword::Create)?;
        let kind = self.peek();
        let known = [
            Keyword::Continuous,
            Keyword::Database,
            Keyword::User,
            Keyword::Retention,
            Keyword::Subscription,
        ];
        if !known.iter().any(|keyword| kind == Token::Keyword(*keyword)) {
            return self.unexpected(&known.map(Keyword::text));
        }
        self.next();
        match kind {
            Token::Keyword(Keyword::Continuous) => self.parse_create_continuous_query(),
            Token::Keyword(Keyword::Database) => self.parse_create_database(),
            Token::Keyword(Keyword::User) => self.parse_create_user(),
            Token::Keyword(Keyword::Retention) => self.parse_create_retention_policy(),
            _ => self.parse_create_subscription(),
        }
    }

    pub(super) fn parse_drop(&mut self) -> Result<Statement> {
        self.expect_word(Keyword::Drop)?;
        let kind = self.peek();
        let known = [
            Keyword::Continuous,
            Keyword::Database,
            Keyword::Measurement,
            Keyword::Retention,
            Keyword::Series,
            Keyword::Shard,
            Keyword::Subscription,
            Keyword::User,
        ];
        if !known.iter().any(|keyword| kind == Token::Keyword(*keyword)) {
            return self.unexpected(&known.map(Keyword::text));
        }
        self.next();
        match kind {
            Token::Keyword(Keyword::Continuous) => self.parse_drop_continuous_query(),
            Token::Keyword(Keyword::Database) => Ok(Statement::DropDatabase(self.parse_ident()?)),
            Token::Keyword(Keyword::Measurement) => {
                Ok(Statement::DropMeasurement(self.parse_ident()?))
            }
            Token::Keyword(Keyword::Retention) => self.parse_drop_retention_policy(),
            Token::Keyword(Keyword::Series) => {
                let (sources, condition) = self.parse_deletion()?;
                Ok(Statement::DropSeries(DropSeries { sources, condition }))
            }
            Token::Keyword(Keyword::Shard) => Ok(Statement::DropShard(self.parse_id()?)),
            Token::Keyword(Keyword::Subscription) => self.parse_drop_subscription(),
            _ => Ok(Statement::DropUser(self.parse_ident()?)),
        }
    }

    pub(super) fn parse_delete(&mut self) -> Result<Statement> {
        self.expect_word(Keyword::Delete)?;
        let (sources, condition) = self.parse_deletion()?;
        Ok(Statement::Delete(Delete { sources, condition }))
    }

    /// FROM and WHERE of a deletion, at least one of them.
    fn parse_deletion(&mut self) -> Result<(Vec<Measurement>, Option<Expr>)> {
        match self.peek() {
            Token::Keyword(Keyword::From | Keyword::Where) => {}
            _ => return self.unexpected(&["FROM", "WHERE"]),
        }
        let sources = self.parse_from()?;
        let condition = self.parse_condition()?;
        let start = Place { line: 1, column: 1 };
        for source in &sources {
            if source.retention_policy.is_some() {
                return Err(ParseError::at("retention policy not supported", start));
            }
            if source.database.is_some() {
                return Err(ParseError::at("database not supported", start));
            }
        }
        Ok((sources, condition))
    }

    fn parse_create_database(&mut self) -> Result<Statement> {
        let mut made = CreateDatabase { name: self.parse_ident()?, ..CreateDatabase::default() };
        if !self.accept_word(Keyword::With) {
            return Ok(Statement::CreateDatabase(made));
        }
        made.with = true;
        let starts = [Keyword::Duration, Keyword::Name, Keyword::Replication, Keyword::Shard];
        let next = self.peek();
        if !starts.iter().any(|keyword| next == Token::Keyword(*keyword)) {
            return self.unexpected(&starts.map(Keyword::text));
        }
        if self.accept_word(Keyword::Duration) {
            made.duration = Some(self.parse_duration_or_inf()?);
        }
        if self.accept_word(Keyword::Replication) {
            made.replication = Some(self.parse_replication()?);
        }
        if self.accept_word(Keyword::Shard) {
            self.expect_word(Keyword::Duration)?;
            made.shard_duration = Some(self.parse_duration_or_inf()?);
        }
        if self.accept_word(Keyword::Name) {
            made.retention_policy = Some(self.parse_ident()?);
        }
        Ok(Statement::CreateDatabase(made))
    }

    fn parse_replication(&mut self) -> Result<u32> {
        if self.peek() != Token::Integer {
            return self.unexpected(&["integer"]);
        }
        let lexeme = self.next();
        let Ok(value) = lexeme.text.parse::<i64>() else {
            let text = &lexeme.text;
            let message = format!("strconv.Atoi: parsing \"{text}\": value out of range");
            return self.error_at(message, &lexeme);
        };
        match u32::try_from(value) {
            Ok(value @ 1..) if u64::from(value) <= REPLICATION_MAX => Ok(value),
            _ => {
                let message = format!("invalid value {value}: must be 1 <= n <= {REPLICATION_MAX}");
                self.error_at(message, &lexeme)
            }
        }
    }

    /// The id of a shard or query.
    pub(super) fn parse_id(&mut self) -> Result<u64> {
        if self.peek() != Token::Integer {
            return self.unexpected(&["integer"]);
        }
        let lexeme = self.next();
        let reason = match lexeme.text.starts_with('-') {
            true => "invalid syntax",
            false => "value out of range",
        };
        lexeme.text.parse().or_else(|_| {
            let text = &lexeme.text;
            self.error_at(format!("strconv.ParseUint: parsing \"{text}\": {reason}"), &lexeme)
        })
    }

    /// `SHARD` was taken: `DURATION d`, which is not INF here.
    fn parse_shard_duration(&mut self) -> Result<i64> {
        self.expect_word(Keyword::Duration)?;
        if self.peek() == Token::Keyword(Keyword::Inf) {
            let lexeme = self.next();
            return self.error_at("invalid duration INF for shard duration", &lexeme);
        }
        self.parse_duration()
    }

    fn parse_policy_of_database(&mut self) -> Result<(String, String)> {
        self.expect_word(Keyword::Policy)?;
        self.parse_name_on_database()
    }

    fn parse_name_on_database(&mut self) -> Result<(String, String)> {
        let name = self.parse_ident()?;
        self.expect_word(Keyword::On)?;
        Ok((name, self.parse_ident()?))
    }

    fn parse_create_retention_policy(&mut self) -> Result<Statement> {
        let (name, database) = self.parse_policy_of_database()?;
        self.expect_word(Keyword::Duration)?;
        let duration = self.parse_duration_or_inf()?;
        self.expect_word(Keyword::Replication)?;
        let replication = self.parse_replication()?;
        let shard_duration = match self.accept_word(Keyword::Shard) {
            true => Some(self.parse_shard_duration()?),
            false => None,
        };
        let default = self.accept_word(Keyword::Default);
        Ok(Statement::CreateRetentionPolicy(CreateRetentionPolicy {
            name,
            database,
            duration,
            replication,
            shard_duration,
            default,
        }))
    }

    pub(super) fn parse_alter(&mut self) -> Result<Statement> {
        self.expect_words(&[Keyword::Alter, Keyword::Retention, Keyword::Policy])?;
        let name = match self.accept_word(Keyword::Default) {
            true => "default".to_string(),
            false => self.parse_ident()?,
        };
        self.expect_word(Keyword::On)?;
        let database = self.parse_ident()?;
        let mut altered =
            AlterRetentionPolicy { name, database, ..AlterRetentionPolicy::default() };
        let mut given = 0;
        loop {
            let option = self.peek();
            let repeated = match option {
                Token::Keyword(Keyword::Duration) => altered.duration.is_some(),
                Token::Keyword(Keyword::Replication) => altered.replication.is_some(),
                Token::Keyword(Keyword::Shard) => altered.shard_duration.is_some(),
                Token::Keyword(Keyword::Default) => altered.default,
                _ if given > 0 => return Ok(Statement::AlterRetentionPolicy(altered)),
                _ => return self.unexpected(&["DURATION", "REPLICATION", "SHARD", "DEFAULT"]),
            };
            let lexeme = self.next();
            if repeated {
                let message = format!("found duplicate {} option", option.text());
                return self.error_at(message, &lexeme);
            }
            match option {
                Token::Keyword(Keyword::Duration) => {
                    altered.duration = Some(self.parse_duration_or_inf()?);
                }
                Token::Keyword(Keyword::Replication) => {
                    altered.replication = Some(self.parse_replication()?);
                }
                Token::Keyword(Keyword::Shard) => {
                    altered.shard_duration = Some(self.parse_shard_duration()?);
                }
                _ => altered.default = true,
            }
            given += 1;
        }
    }

    fn parse_drop_retention_policy(&mut self) -> Result<Statement> {
        let (name, database) = self.parse_policy_of_database()?;
        Ok(Statement::DropRetentionPolicy(DropRetentionPolicy { name, database }))
    }

    fn parse_drop_continuous_query(&mut self) -> Result<Statement> {
        self.expect_word(Keyword::Query)?;
        let (name, database) = self.parse_name_on_database()?;
        Ok(Statement::DropContinuousQuery(DropContinuousQuery { name, database }))
    }

    fn parse_create_continuous_query(&mut self) -> Result<Statement> {
        self.expect_word(Keyword::Query)?;
        let (name, database) = self.parse_name_on_database()?;
        let (every, range) = self.parse_resample()?;
        self.expect_word(Keyword::Begin)?;
        let select = self.parse_select_into()?;
        self.check_resample(&select, every, range)?;
        self.expect_word(Keyword::End)?;
        let made = CreateContinuousQuery { name, database, every, range, select };
        Ok(Statement::CreateContinuousQuery(Box::new(made)))
    }

    /// `RESAMPLE [EVERY d] [FOR d]`; a zero counts as not given.
    fn parse_resample(&mut self) -> Result<(Option<i64>, Option<i64>)> {
        if !self.accept_word(Keyword::Resample) {
            return Ok((None, None));
        }
        let mut part = |keyword| match self.accept_word(keyword) {
            true => Ok(Some(self.parse_duration()?).filter(|ns| *ns != 0)),
            false => Ok(None),
        };
        let (every, range) = (part(Keyword::Every)?, part(Keyword::For)?);
        match every.or(range) {
            None => self.unexpected(&["EVERY", "FOR"]),
            Some(_) => Ok((every, range)),
        }
    }

    /// An aggregate needs GROUP BY time(), and FOR must reach over an interval.
    fn check_resample(
        &self,
        select: &Select,
        every: Option<i64>,
        range: Option<i64>,
    ) -> Result<()> {
        if select.is_raw() {
            return Ok(());
        }
        let interval = match select.group_interval() {
            Ok(interval) if interval != 0 => interval,
            wrong => {
                let mut expected = vec!["GROUP BY time(...)".to_string()];
                expected.extend(wrong.err());
                let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
                // The reference blames the last token of the query.
                return self.unexpected_lexeme(&self.lexer.scan(self.last_at), &expected);
            }
        };
        let least = interval.max(every.unwrap_or(0));
        match range {
            Some(range) if range < least => {
                let (least, range) = (duration::print(least), duration::print(range));
                Err(ParseError::plain(format!(
                    "FOR duration must be >= GROUP BY time duration: \
                     must be a minimum of {least}, got {range}"
                )))
            }
            _ => Ok(()),
        }
    }

    /// `db.rp`, the dot right behind the database.
    fn parse_database_and_policy(&mut self) -> Result<(String, String)> {
        let database = self.parse_ident()?;
        let dot = self.scan();
        if dot.token != Token::Dot {
            return self.unexpected_lexeme(&dot, &["."]);
        }
        Ok((database, self.parse_ident()?))
    }

    fn parse_create_subscription(&mut self) -> Result<Statement> {
        let name = self.parse_ident()?;
        self.expect_word(Keyword::On)?;
        let (database, retention_policy) = self.parse_database_and_policy()?;
        self.expect_word(Keyword::Destinations)?;
        let mode = match self.peek() {
            Token::Keyword(Keyword::All) => DestinationMode::All,
            Token::Keyword(Keyword::Any) => DestinationMode::Any,
            _ => return self.unexpected(&["ALL", "ANY"]),
        };
        self.next();
        let mut destinations = vec![self.parse_string()?];
        while self.accept(Token::Comma) {
            destinations.push(self.parse_string()?);
        }
        Ok(Statement::CreateSubscription(CreateSubscription {
            name,
            database,
            retention_policy,
            mode,
            destinations,
        }))
    }

    fn parse_drop_subscription(&mut self) -> Result<Statement> {
        let name = self.parse_ident()?;
        self.expect_word(Keyword::On)?;
        let (database, retention_policy) = self.parse_database_and_policy()?;
        Ok(Statement::DropSubscription(DropSubscription { name, database, retention_policy }))
    }
}
