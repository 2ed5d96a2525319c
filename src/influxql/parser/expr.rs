//! Expressions: operands and operators to a tree.
//!
//! In: tokens. Out: a tree by precedence, equal ones hanging to the left, built with two stacks
//! instead of recursion, so that a long chain of operators costs no stack. Only parentheses and
//! call arguments recurse.

use super::super::ast::{Cast, Expr, Op, VarRef, Wildcard};
use super::super::duration;
use super::super::error::ParseError;
use super::super::lexer::Lexeme;
use super::super::token::{Keyword, Token};
use super::{Parser, Result};

const OPERANDS: [&str; 4] = ["identifier", "string", "number", "bool"];
const SIGNED: [&str; 4] = ["identifier", "number", "duration", "("];

fn operator(token: Token) -> Option<Op> {
    Some(match token {
        Token::Add => Op::Add,
        Token::Sub => Op::Sub,
        Token::Mul => Op::Mul,
        Token::Div => Op::Div,
        Token::Mod => Op::Mod,
        Token::BitAnd => Op::BitAnd,
        Token::BitOr => Op::BitOr,
        Token::BitXor => Op::BitXor,
        Token::Keyword(Keyword::And) => Op::And,
        Token::Keyword(Keyword::Or) => Op::Or,
        Token::Eq => Op::Eq,
        Token::Neq => Op::Neq,
        Token::EqRegex => Op::EqRegex,
        Token::NeqRegex => Op::NeqRegex,
        Token::Lt => Op::Lt,
        Token::Lte => Op::Lte,
        Token::Gt => Op::Gt,
        Token::Gte => Op::Gte,
        _ => return None,
    })
}

/// Joins the last two operands with the last operator, as long as it binds at least as strongly.
fn reduce(operands: &mut Vec<Expr>, operators: &mut Vec<Op>, precedence: u8) {
    while operators.last().is_some_and(|op| op.precedence() >= precedence) {
        if let (Some(op), Some(rhs), Some(lhs)) = (operators.pop(), operands.pop(), operands.pop())
        {
            operands.push(Expr::binary(op, lhs, rhs));
        }
    }
}

impl Parser<'_> {
    /// An expression up to the first token that cannot continue it.
    pub(super) fn parse_expr(&mut self) -> Result<Expr> {
        self.nested(Parser::parse_operands)
    }

    fn parse_operands(&mut self) -> Result<Expr> {
        let mut operands = vec![self.parse_operand()?];
        let mut operators = Vec::new();
        while let Some(op) = operator(self.peek()) {
            self.next();
            let rhs = if op.is_regex() {
                match self.parse_regex()? {
                    Some(regex) => Expr::Regex(regex),
                    None => return self.unexpected(&["regex"]),
                }
            } else {
                let operand = self.parse_operand()?;
                // A sign before a name is a product, which belongs together behind `%` or `/`; so
                // that it does when it is printed and read again, it is in parentheses.
                let tight = op.precedence() == Op::Mul.precedence();
                match operand {
                    Expr::Binary(_) if tight => Expr::Paren(Box::new(operand)),
                    _ => operand,
                }
            };
            reduce(&mut operands, &mut operators, op.precedence());
            operators.push(op);
            operands.push(rhs);
        }
        reduce(&mut operands, &mut operators, 0);
        Ok(operands.pop().unwrap_or(Expr::Nil))
    }

    fn parse_operand(&mut self) -> Result<Expr> {
        match self.peek() {
            Token::LeftParen => {
                self.next();
                let inner = self.parse_expr()?;
                self.expect(Token::RightParen)?;
                Ok(Expr::Paren(Box::new(inner)))
            }
            Token::Add | Token::Sub => self.parse_signed(),
            Token::Ident => self.parse_name(),
            Token::Keyword(Keyword::Distinct) => self.parse_distinct(),
            Token::Mul => self.parse_wildcard(),
            Token::BoundParam => self.refuse_param(),
            _ => self.parse_literal(),
        }
    }

    fn parse_literal(&mut self) -> Result<Expr> {
        let lexeme = self.next();
        match lexeme.token {
            Token::String => Ok(Expr::String(lexeme.text)),
            Token::Keyword(Keyword::True) => Ok(Expr::Boolean(true)),
            Token::Keyword(Keyword::False) => Ok(Expr::Boolean(false)),
            Token::Integer => self.integer(&lexeme),
            Token::Number => match lexeme.text.parse() {
                Ok(value) => Ok(Expr::Float(value)),
                Err(_) => self.error_at("unable to parse number", &lexeme),
            },
            Token::Duration => {
                let value = duration::parse(&lexeme.text);
                value.map(Expr::Duration).map_err(|error| ParseError::plain(error.to_string()))
            }
            Token::Regex => self.checked_regex(lexeme).map(Expr::Regex),
            _ => self.unexpected_lexeme(&lexeme, &OPERANDS),
        }
    }

    fn integer(&self, lexeme: &Lexeme) -> Result<Expr> {
        if let Ok(value) = lexeme.text.parse() {
            return Ok(Expr::Integer(value));
        }
        match lexeme.text.parse() {
            Ok(value) => Ok(Expr::Unsigned(value)),
            Err(_) => self.error_at("unable to parse integer", lexeme),
        }
    }

    /// A sign and what it belongs to: a literal takes it in, anything else is multiplied by 1 or
    /// -1.
    fn parse_signed(&mut self) -> Result<Expr> {
        let negative = self.next().token == Token::Sub;
        match self.peek() {
            Token::Number | Token::Integer | Token::Duration | Token::LeftParen | Token::Ident => {}
            _ => return self.unexpected(&SIGNED),
        }
        let operand = self.parse_operand()?;
        let factor = if negative { -1 } else { 1 };
        Ok(match operand {
            Expr::Integer(value) if negative => Expr::Integer(value.wrapping_neg()),
            Expr::Float(value) if negative => Expr::Float(-value),
            Expr::Duration(value) if negative => Expr::Duration(value.wrapping_neg()),
            Expr::Unsigned(value) if negative => match 0i64.checked_sub_unsigned(value) {
                Some(value) => Expr::Integer(value),
                None => {
                    let text = format!("constant -{value} underflows int64");
                    return Err(ParseError::plain(text));
                }
            },
            Expr::VarRef(_) | Expr::Call { .. } | Expr::Paren(_) => {
                Expr::binary(Op::Mul, Expr::Integer(factor), operand)
            }
            literal => literal,
        })
    }

    /// A column or, with a parenthesis right behind the name, a call.
    fn parse_name(&mut self) -> Result<Expr> {
        let name = self.peek_lexeme();
        let next = name.next;
        if self.lexer.peek(next) == Some('(') {
            let name = self.next().text.to_lowercase();
            self.at += 1;
            return self.nested(|parser| parser.parse_call(name));
        }
        let name = self.parse_segments()?.join(".");
        let cast = self.parse_cast()?;
        Ok(Expr::VarRef(VarRef { name, cast }))
    }

    /// Whether `::` follows at once; it is taken.
    fn accept_cast(&mut self) -> bool {
        let found =
            self.lexer.peek(self.at) == Some(':') && self.lexer.peek(self.at + 1) == Some(':');
        if found {
            self.ahead = None;
            self.at += 2;
        }
        found
    }

    fn parse_cast(&mut self) -> Result<Option<Cast>> {
        const TYPES: [&str; 7] =
            ["float", "integer", "unsigned", "string", "boolean", "field", "tag"];
        if !self.accept_cast() {
            return Ok(None);
        }
        let lexeme = self.scan();
        Ok(Some(match lexeme.token {
            Token::Keyword(Keyword::Field) => Cast::Field,
            Token::Keyword(Keyword::Tag) => Cast::Tag,
            Token::Ident => match lexeme.text.to_ascii_lowercase().as_str() {
                "float" => Cast::Float,
                "integer" => Cast::Integer,
                "unsigned" => Cast::Unsigned,
                "string" => Cast::String,
                "boolean" => Cast::Boolean,
                _ => return self.unexpected_lexeme(&lexeme, &TYPES),
            },
            _ => {
                let known = ["float", "integer", "string", "boolean", "field", "tag"];
                return self.unexpected_lexeme(&lexeme, &known);
            }
        }))
    }

    fn parse_wildcard(&mut self) -> Result<Expr> {
        self.next();
        if !self.accept_cast() {
            return Ok(Expr::Wildcard(Wildcard::All));
        }
        let lexeme = self.scan();
        match lexeme.token {
            Token::Keyword(Keyword::Field) => Ok(Expr::Wildcard(Wildcard::Fields)),
            Token::Keyword(Keyword::Tag) => Ok(Expr::Wildcard(Wildcard::Tags)),
            _ => self.unexpected_lexeme(&lexeme, &["field", "tag"]),
        }
    }

    /// `DISTINCT name` or `DISTINCT(…)`, the latter being a call.
    fn parse_distinct(&mut self) -> Result<Expr> {
        self.next();
        if self.lexer.peek(self.at) == Some('(') {
            self.at += 1;
            return self.nested(|parser| parser.parse_call("distinct".to_string()));
        }
        match self.lexer.peek(self.at) {
            Some(' ' | '\t' | '\n') => self.parse_ident().map(Expr::Distinct),
            _ => self.unexpected(&["(", "identifier"]),
        }
    }

    /// The arguments of a call, from behind its opening parenthesis.
    fn parse_call(&mut self, name: String) -> Result<Expr> {
        let mut args = Vec::new();
        if self.accept(Token::RightParen) {
            return Ok(Expr::Call { name, args });
        }
        loop {
            args.push(match self.parse_regex()? {
                Some(regex) => Expr::Regex(regex),
                None => self.parse_expr()?,
            });
            if !self.accept(Token::Comma) {
                break;
            }
        }
        self.expect(Token::RightParen)?;
        Ok(Expr::Call { name, args })
    }

    /// A parameter that stands for nothing.
    fn refuse_param(&mut self) -> Result<Expr> {
        let lexeme = self.next();
        let name = lexeme.text.strip_prefix('$').unwrap_or(&lexeme.text);
        Err(ParseError::plain(match name {
            "" => "empty bound parameter".to_string(),
            name => format!("missing parameter: {name}"),
        }))
    }
}
