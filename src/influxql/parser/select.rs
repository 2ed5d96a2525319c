//! SELECT, EXPLAIN, and the clauses that other statements share with them.
//!
//! In: tokens. Out: a query. The clauses come in one order; a clause out of order ends the
//! statement and is refused as text behind it.

use super::super::ast::{
    Dimension, Explain, Expr, Fill, Measurement, MeasurementName, Order, Select, SelectField,
    Source, Statement, Target,
};
use super::super::error::ParseError;
use super::super::token::{Keyword, Token};
use super::{Parser, Result};

impl Parser<'_> {
    pub(super) fn parse_explain(&mut self) -> Result<Statement> {
        self.expect_word(Keyword::Explain)?;
        let analyze = self.accept_word(Keyword::Analyze);
        let select = Box::new(self.parse_select_statement()?);
        Ok(Statement::Explain(Explain { analyze, select }))
    }

    pub(super) fn parse_select_statement(&mut self) -> Result<Select> {
        self.expect_word(Keyword::Select)?;
        let fields = self.parse_fields()?;
        let target = self.parse_target()?;
        self.parse_select_rest(fields, target)
    }

    /// A query whose INTO is required.
    pub(super) fn parse_select_into(&mut self) -> Result<Select> {
        self.expect_word(Keyword::Select)?;
        let fields = self.parse_fields()?;
        match self.parse_target()? {
            None => self.unexpected(&["INTO"]),
            target => self.parse_select_rest(fields, target),
        }
    }

    fn parse_select_rest(
        &mut self,
        fields: Vec<SelectField>,
        target: Option<Target>,
    ) -> Result<Select> {
        self.expect_word(Keyword::From)?;
        Ok(Select {
            fields,
            target,
            sources: self.parse_sources()?,
            condition: self.parse_condition()?,
            dimensions: self.parse_dimensions()?,
            fill: self.parse_fill()?,
            order: self.parse_order()?,
            limit: self.parse_count(Keyword::Limit)?,
            offset: self.parse_count(Keyword::Offset)?,
            slimit: self.parse_count(Keyword::Slimit)?,
            soffset: self.parse_count(Keyword::Soffset)?,
            tz: self.parse_tz()?,
        })
    }

    fn parse_fields(&mut self) -> Result<Vec<SelectField>> {
        let mut fields = vec![self.parse_field()?];
        while self.accept(Token::Comma) {
            fields.push(self.parse_field()?);
        }
        Ok(fields)
    }

    fn parse_field(&mut self) -> Result<SelectField> {
        let expr = match self.parse_regex()? {
            Some(regex) => Expr::Regex(regex),
            None => {
                let start = self.peek_lexeme().at;
                let expr = self.parse_expr()?;
                self.refuse_conditions(&expr, start)?;
                expr
            }
        };
        let alias = match self.accept_word(Keyword::As) {
            true => Some(self.parse_ident()?),
            false => None,
        };
        Ok(SelectField { expr, alias })
    }

    /// Operators that compute no number belong into WHERE.
    fn refuse_conditions(&self, expr: &Expr, start: usize) -> Result<()> {
        let mut refused = None;
        expr.walk(&mut |expr| {
            match expr {
                Expr::Binary(node) if !node.op.is_arithmetic() && refused.is_none() => {
                    refused = Some(node.op);
                }
                _ => {}
            }
            refused.is_none()
        });
        let Some(op) = refused else { return Ok(()) };
        let place = self.lexer.place(start);
        let (op, line, column) = (op.text(), place.line, place.column);
        Err(ParseError::plain(format!(
            "invalid operator {op} in SELECT clause at line {line}, char {column}; \
             operator is intended for WHERE clause"
        )))
    }

    fn parse_target(&mut self) -> Result<Option<Target>> {
        if !self.accept_word(Keyword::Into) {
            return Ok(None);
        }
        let mut segments: Vec<Option<String>> =
            self.parse_segments()?.into_iter().map(Some).collect();
        if segments.len() < 3 && self.lexer.peek(self.at) == Some(':') {
            self.expect(Token::Colon)?;
            self.expect_word(Keyword::Measurement)?;
            segments.push(None);
        }
        let name = segments.pop().flatten();
        let mut qualifier = || segments.pop().flatten().filter(|part| !part.is_empty());
        let retention_policy = qualifier();
        let database = qualifier();
        Ok(Some(Target { database, retention_policy, name }))
    }

    fn parse_sources(&mut self) -> Result<Vec<Source>> {
        let mut sources = vec![self.parse_source()?];
        while self.accept(Token::Comma) {
            sources.push(self.parse_source()?);
        }
        Ok(sources)
    }

    fn parse_source(&mut self) -> Result<Source> {
        if self.parse_regex_ahead() || !self.accept(Token::LeftParen) {
            return self.parse_measurement().map(Source::Measurement);
        }
        let select = self.nested(Parser::parse_select_statement)?;
        self.expect(Token::RightParen)?;
        Ok(Source::Subquery(Box::new(select)))
    }

    fn parse_regex_ahead(&self) -> bool {
        self.lexer.peek(self.lexer.skip_space(self.at)) == Some('/')
    }

    /// The measurements behind FROM in statements that read no subqueries; none without FROM.
    pub(super) fn parse_from(&mut self) -> Result<Vec<Measurement>> {
        let mut sources = Vec::new();
        if !self.accept_word(Keyword::From) {
            return Ok(sources);
        }
        loop {
            sources.push(self.parse_measurement()?);
            if !self.accept(Token::Comma) {
                return Ok(sources);
            }
        }
    }

    pub(super) fn parse_measurement(&mut self) -> Result<Measurement> {
        if let Some(regex) = self.parse_regex()? {
            let name = MeasurementName::Regex(regex);
            return Ok(Measurement { database: None, retention_policy: None, name });
        }
        let mut segments = self.parse_segments()?;
        let behind_dot = self.at > 0 && self.lexer.peek(self.at - 1) == Some('.');
        let name = match behind_dot && segments.len() < 3 && self.parse_regex_ahead() {
            true => self.parse_regex()?.map(MeasurementName::Regex),
            false => segments.pop().map(MeasurementName::Name),
        };
        let name = name.unwrap_or(MeasurementName::Name(String::new()));
        let mut qualifier = || segments.pop().filter(|part| !part.is_empty());
        let retention_policy = qualifier();
        let database = qualifier();
        Ok(Measurement { database, retention_policy, name })
    }

    pub(super) fn parse_condition(&mut self) -> Result<Option<Expr>> {
        match self.accept_word(Keyword::Where) {
            true => self.parse_expr().map(Some),
            false => Ok(None),
        }
    }

    pub(super) fn parse_dimensions(&mut self) -> Result<Vec<Dimension>> {
        let mut dimensions = Vec::new();
        if !self.accept_word(Keyword::Group) {
            return Ok(dimensions);
        }
        self.expect_word(Keyword::By)?;
        loop {
            let expr = match self.parse_regex()? {
                Some(regex) => Expr::Regex(regex),
                None => self.parse_expr()?,
            };
            dimensions.push(Dimension { expr });
            if !self.accept(Token::Comma) {
                return Ok(dimensions);
            }
        }
    }

    /// Whether the next token is this name, in any case.
    fn name_ahead(&mut self, name: &str) -> bool {
        let lexeme = self.peek_lexeme();
        lexeme.token == Token::Ident && lexeme.text.eq_ignore_ascii_case(name)
    }

    fn parse_fill(&mut self) -> Result<Fill> {
        if !self.name_ahead("fill") {
            return Ok(Fill::Null);
        }
        let Expr::Call { args, .. } = self.parse_expr()? else {
            return Err(ParseError::plain("fill must be a function call"));
        };
        let [arg] = args.as_slice() else {
            let text = "fill requires an argument, e.g.: 0, null, none, previous, linear";
            return Err(ParseError::plain(text));
        };
        match arg {
            Expr::Integer(value) => Ok(Fill::Integer(*value)),
            Expr::Float(value) => Ok(Fill::Float(*value)),
            Expr::VarRef(var) if var.cast.is_none() => match var.name.as_str() {
                "null" => Ok(Fill::Null),
                "none" => Ok(Fill::None),
                "previous" => Ok(Fill::Previous),
                "linear" => Ok(Fill::Linear),
                _ => Err(ParseError::plain("expected number argument in fill()")),
            },
            _ => Err(ParseError::plain("expected number argument in fill()")),
        }
    }

    pub(super) fn parse_order(&mut self) -> Result<Option<Order>> {
        if !self.accept_word(Keyword::Order) {
            return Ok(None);
        }
        self.expect_word(Keyword::By)?;
        let mut fields = Vec::new();
        match self.peek() {
            Token::Ident => fields.push(Some(self.next().text)),
            Token::Keyword(Keyword::Asc | Keyword::Desc) => fields.push(None),
            _ => return self.unexpected(&["identifier", "ASC", "DESC"]),
        }
        let mut descending = self.parse_direction();
        while self.accept(Token::Comma) {
            fields.push(Some(self.parse_ident()?));
            descending = self.parse_direction();
        }
        let named = match fields.as_slice() {
            [None] => false,
            [Some(name)] if name == "time" => true,
            _ => return Err(ParseError::plain("only ORDER BY time supported at this time")),
        };
        Ok(Some(Order { named, descending }))
    }

    fn parse_direction(&mut self) -> bool {
        !self.accept_word(Keyword::Asc) && self.accept_word(Keyword::Desc)
    }

    fn parse_tz(&mut self) -> Result<Option<String>> {
        if !self.name_ahead("tz") {
            return Ok(None);
        }
        let Expr::Call { args, .. } = self.parse_expr()? else {
            return Err(ParseError::plain("tz must be a function call"));
        };
        match args.as_slice() {
            [Expr::String(name)] => match super::super::time_literal::zone(name) {
                Some(_) if name.is_empty() => Ok(Some("UTC".to_string())),
                Some(_) => Ok(Some(name.clone())),
                None => Err(ParseError::plain(format!("unable to find time zone {name}"))),
            },
            [_] => Err(ParseError::plain("expected string argument in tz()")),
            _ => Err(ParseError::plain("tz requires exactly one argument")),
        }
    }
}
