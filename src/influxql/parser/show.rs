//! SHOW statements.
//!
//! In: tokens from SHOW on. Out: the statement. Most share the clauses ON, FROM, WHERE, ORDER BY,
//! LIMIT and OFFSET; the cardinality forms add GROUP BY.

use super::super::ast::{
    Cardinality, CardinalityOf, Listing, ShowMeasurements, ShowTagValues, Statement, TagKeys,
};
use super::super::token::{Keyword, Token};
use super::{Parser, Result};

const KINDS: [&str; 16] = [
    "CONTINUOUS",
    "DATABASES",
    "DIAGNOSTICS",
    "FIELD",
    "GRANTS",
    "MEASUREMENT",
    "MEASUREMENTS",
    "QUERIES",
    "RETENTION",
    "SERIES",
    "SHARD",
    "SHARDS",
    "STATS",
    "SUBSCRIPTIONS",
    "TAG",
    "USERS",
];

/// The word that the next token is, if it is one.
fn word(token: Token) -> Option<Keyword> {
    match token {
        Token::Keyword(keyword) => Some(keyword),
        _ => None,
    }
}

impl Parser<'_> {
    pub(super) fn parse_show(&mut self) -> Result<Statement> {
        self.expect_word(Keyword::Show)?;
        let Some(kind) = word(self.peek()) else { return self.unexpected(&KINDS) };
        let simple = match kind {
            Keyword::Databases => Statement::ShowDatabases,
            Keyword::Queries => Statement::ShowQueries,
            Keyword::Shards => Statement::ShowShards,
            Keyword::Subscriptions => Statement::ShowSubscriptions,
            Keyword::Users => Statement::ShowUsers,
            _ => return self.parse_show_with_clauses(kind),
        };
        self.next();
        Ok(simple)
    }

    fn parse_show_with_clauses(&mut self, kind: Keyword) -> Result<Statement> {
        let known = matches!(
            kind,
            Keyword::Continuous
                | Keyword::Diagnostics
                | Keyword::Field
                | Keyword::Grants
                | Keyword::Measurement
                | Keyword::Measurements
                | Keyword::Retention
                | Keyword::Series
                | Keyword::Shard
                | Keyword::Stats
                | Keyword::Tag
        );
        if !known {
            return self.unexpected(&KINDS);
        }
        self.next();
        match kind {
            Keyword::Continuous => {
                self.expect_word(Keyword::Queries)?;
                Ok(Statement::ShowContinuousQueries)
            }
            Keyword::Shard => {
                self.expect_word(Keyword::Groups)?;
                Ok(Statement::ShowShardGroups)
            }
            Keyword::Grants => {
                self.expect_word(Keyword::For)?;
                Ok(Statement::ShowGrants(self.parse_ident()?))
            }
            Keyword::Retention => {
                self.expect_word(Keyword::Policies)?;
                Ok(Statement::ShowRetentionPolicies(self.parse_on()?))
            }
            Keyword::Stats => Ok(Statement::ShowStats(self.parse_module()?)),
            Keyword::Diagnostics => Ok(Statement::ShowDiagnostics(self.parse_module()?)),
            Keyword::Measurements => self.parse_show_measurements(),
            Keyword::Measurement => self.parse_cardinality(CardinalityOf::Measurements),
            Keyword::Series => self.parse_show_series(),
            Keyword::Tag => self.parse_show_tag(),
            _ => self.parse_show_field(),
        }
    }

    fn parse_on(&mut self) -> Result<Option<String>> {
        match self.accept_word(Keyword::On) {
            true => self.parse_ident().map(Some),
            false => Ok(None),
        }
    }

    fn parse_module(&mut self) -> Result<Option<String>> {
        match self.accept_word(Keyword::For) {
            true => self.parse_string().map(Some),
            false => Ok(None),
        }
    }

    fn parse_show_measurements(&mut self) -> Result<Statement> {
        let database = self.parse_on()?;
        let source = match self.accept_word(Keyword::With) {
            false => None,
            true => {
                self.expect_word(Keyword::Measurement)?;
                if !self.accept(Token::Eq) && !self.accept(Token::EqRegex) {
                    return self.unexpected(&["=", "=~"]);
                }
                Some(self.parse_measurement()?)
            }
        };
        Ok(Statement::ShowMeasurements(ShowMeasurements {
            database,
            source,
            condition: self.parse_condition()?,
            order: self.parse_order()?,
            limit: self.parse_count(Keyword::Limit)?,
            offset: self.parse_count(Keyword::Offset)?,
        }))
    }

    fn parse_show_series(&mut self) -> Result<Statement> {
        match self.peek() {
            Token::Keyword(Keyword::Exact | Keyword::Cardinality) => {
                self.parse_cardinality(CardinalityOf::Series)
            }
            _ => Ok(Statement::ShowSeries(self.parse_listing()?)),
        }
    }

    fn parse_show_tag(&mut self) -> Result<Statement> {
        match word(self.peek()) {
            Some(Keyword::Key) => {
                self.next();
                self.parse_cardinality(CardinalityOf::TagKeys)
            }
            Some(Keyword::Keys) => {
                self.next();
                let mut listing = self.parse_listing()?;
                listing.slimit = self.parse_count(Keyword::Slimit)?;
                listing.soffset = self.parse_count(Keyword::Soffset)?;
                Ok(Statement::ShowTagKeys(listing))
            }
            Some(Keyword::Values) => {
                self.next();
                self.parse_show_tag_values()
            }
            _ => self.unexpected(&["KEY", "KEYS", "VALUES"]),
        }
    }

    fn parse_show_field(&mut self) -> Result<Statement> {
        match word(self.peek()) {
            Some(Keyword::Key) => {
                self.next();
                self.parse_cardinality(CardinalityOf::FieldKeys)
            }
            Some(Keyword::Keys) => {
                self.next();
                let listing = Listing {
                    database: self.parse_on()?,
                    sources: self.parse_from()?,
                    ..Listing::default()
                };
                Ok(Statement::ShowFieldKeys(self.parse_listing_end(listing)?))
            }
            _ => self.unexpected(&["KEY", "KEYS"]),
        }
    }

    fn parse_listing(&mut self) -> Result<Listing> {
        let listing = Listing {
            database: self.parse_on()?,
            sources: self.parse_from()?,
            condition: self.parse_condition()?,
            ..Listing::default()
        };
        self.parse_listing_end(listing)
    }

    fn parse_listing_end(&mut self, listing: Listing) -> Result<Listing> {
        Ok(Listing {
            order: self.parse_order()?,
            limit: self.parse_count(Keyword::Limit)?,
            offset: self.parse_count(Keyword::Offset)?,
            ..listing
        })
    }

    fn parse_show_tag_values(&mut self) -> Result<Statement> {
        if let Token::Keyword(Keyword::Exact | Keyword::Cardinality) = self.peek() {
            // The keys are read where their clause stands.
            return self.parse_cardinality(CardinalityOf::TagValues(TagKeys::In(Vec::new())));
        }
        let mut listing = Listing {
            database: self.parse_on()?,
            sources: self.parse_from()?,
            ..Listing::default()
        };
        let keys = self.parse_with_key()?;
        listing.condition = self.parse_condition()?;
        let listing = self.parse_listing_end(listing)?;
        Ok(Statement::ShowTagValues(ShowTagValues { listing, keys }))
    }

    fn parse_with_key(&mut self) -> Result<TagKeys> {
        self.expect_words(&[Keyword::With, Keyword::Key])?;
        match self.peek() {
            Token::Eq => {
                self.next();
                self.parse_ident().map(TagKeys::Equal)
            }
            Token::Neq => {
                self.next();
                self.parse_ident().map(TagKeys::NotEqual)
            }
            token @ (Token::EqRegex | Token::NeqRegex) => {
                self.next();
                match self.parse_regex()? {
                    None => self.unexpected(&["regex"]),
                    Some(regex) if token == Token::EqRegex => Ok(TagKeys::Match(regex)),
                    Some(regex) => Ok(TagKeys::NotMatch(regex)),
                }
            }
            Token::Keyword(Keyword::In) => {
                self.next();
                self.expect(Token::LeftParen)?;
                let mut keys = vec![self.parse_ident()?];
                while self.accept(Token::Comma) {
                    keys.push(self.parse_ident()?);
                }
                self.expect(Token::RightParen)?;
                Ok(TagKeys::In(keys))
            }
            _ => self.unexpected(&["IN", "=", "=~"]),
        }
    }

    /// The rest of a cardinality statement, from EXACT or CARDINALITY on.
    fn parse_cardinality(&mut self, of: CardinalityOf) -> Result<Statement> {
        let exact = self.accept_word(Keyword::Exact);
        if !self.accept_word(Keyword::Cardinality) {
            return match exact {
                // SHOW SERIES EXACT is a listing broken off: its reference reads no further.
                true if of == CardinalityOf::Series => self.unexpected(&[";"]),
                true => self.unexpected(&["CARDINALITY"]),
                false => self.unexpected(&["EXACT", "CARDINALITY"]),
            };
        }
        let database = self.parse_on()?;
        let sources = self.parse_from()?;
        let of = match of {
            CardinalityOf::TagValues(_) => CardinalityOf::TagValues(self.parse_with_key()?),
            other => other,
        };
        Ok(Statement::ShowCardinality(Cardinality {
            of,
            exact,
            database,
            sources,
            condition: self.parse_condition()?,
            dimensions: self.parse_dimensions()?,
            limit: self.parse_count(Keyword::Limit)?,
            offset: self.parse_count(Keyword::Offset)?,
        }))
    }
}
