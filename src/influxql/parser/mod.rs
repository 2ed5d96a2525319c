//! The parser: tokens to statements by recursive descent.
//!
//! In: query text and bind parameters. Out: statements, or the first error with what was expected.
//! Only parentheses, calls and subqueries recurse, and they count their depth; everything else is a
//! loop.

mod admin;
mod ddl;
mod expr;
mod select;
mod show;

use super::ast::{Regex, Statement};
use super::bind::Params;
use super::error::ParseError;
use super::lexer::{Lexeme, Lexer};
use super::token::{Keyword, Token};
use super::{duration, regex};

/// Deepest nesting of parentheses, calls and subqueries together. People nest less than ten.
const NESTING_MAX: usize = 128;
/// Most statements in one query; what is above is a mistake or an attack.
const STATEMENTS_MAX: usize = 100_000;
/// Most regular expressions in one query: each is compiled to be checked.
const REGEXES_MAX: usize = 1_000;

const STATEMENT_STARTS: [&str; 11] = [
    "SELECT", "DELETE", "SHOW", "CREATE", "DROP", "EXPLAIN", "GRANT", "REVOKE", "ALTER", "SET",
    "KILL",
];

type Result<T> = std::result::Result<T, ParseError>;

/// Reads one query.
pub struct Parser<'a> {
    lexer: Lexer,
    params: &'a Params,
    /// Index of the first character not used up.
    at: usize,
    /// The next token that is no white space, if it was looked at.
    ahead: Option<Lexeme>,
    /// Index of the last token taken.
    last_at: usize,
    depth: usize,
    regexes: usize,
}

impl<'a> Parser<'a> {
    /// A parser at the start of a text.
    pub fn new(text: &str, params: &'a Params) -> Parser<'a> {
        let lexer = Lexer::new(text);
        Parser { lexer, params, at: 0, ahead: None, last_at: 0, depth: 0, regexes: 0 }
    }

    /// The statements of the text.
    pub fn parse_query(&mut self) -> Result<Vec<Statement>> {
        let mut statements = Vec::new();
        let mut separated = true;
        loop {
            match self.peek() {
                Token::Eof => return Ok(statements),
                Token::Semicolon => {
                    self.next();
                    separated = true;
                }
                _ if !separated => return self.unexpected(&[";"]),
                _ if statements.len() >= STATEMENTS_MAX => {
                    let text = format!("more than {STATEMENTS_MAX} statements in one query");
                    return Err(ParseError::plain(text));
                }
                _ => {
                    statements.push(self.parse_statement()?);
                    separated = false;
                }
            }
        }
    }

    fn parse_statement(&mut self) -> Result<Statement> {
        let Token::Keyword(keyword) = self.peek() else {
            return self.unexpected(&STATEMENT_STARTS);
        };
        match keyword {
            Keyword::Select => Ok(Statement::Select(Box::new(self.parse_select_statement()?))),
            Keyword::Delete => self.parse_delete(),
            Keyword::Show => self.parse_show(),
            Keyword::Create => self.parse_create(),
            Keyword::Drop => self.parse_drop(),
            Keyword::Explain => self.parse_explain(),
            Keyword::Grant => self.parse_grant(),
            Keyword::Revoke => self.parse_revoke(),
            Keyword::Alter => self.parse_alter(),
            Keyword::Set => self.parse_set_password(),
            Keyword::Kill => self.parse_kill(),
            _ => self.unexpected(&STATEMENT_STARTS),
        }
    }

    /// The token at the cursor, white space and comments included; a parameter becomes its value.
    fn scan(&mut self) -> Lexeme {
        self.ahead = None;
        let mut lexeme = self.lexer.scan(self.at);
        self.at = lexeme.next;
        if lexeme.token == Token::BoundParam {
            let name = lexeme.text.strip_prefix('$').unwrap_or_default();
            if let Some(value) = self.params.get(name) {
                (lexeme.token, lexeme.text) = value.token();
            }
        }
        lexeme
    }

    /// The next token that is neither white space nor a comment.
    fn next(&mut self) -> Lexeme {
        let lexeme = match self.ahead.take() {
            Some(lexeme) => lexeme,
            None => self.scan_visible(),
        };
        self.at = lexeme.next;
        self.last_at = lexeme.at;
        lexeme
    }

    fn scan_visible(&mut self) -> Lexeme {
        loop {
            let lexeme = self.scan();
            if !matches!(lexeme.token, Token::Whitespace | Token::Comment) {
                return lexeme;
            }
        }
    }

    /// The kind of the next token, which stays.
    fn peek(&mut self) -> Token {
        self.peek_lexeme().token
    }

    fn peek_lexeme(&mut self) -> &Lexeme {
        let lexeme = match self.ahead.take() {
            Some(lexeme) => lexeme,
            None => {
                let at = self.at;
                let lexeme = self.scan_visible();
                self.at = at;
                lexeme
            }
        };
        self.ahead.insert(lexeme)
    }

    /// Takes the next token if it is this one.
    fn accept(&mut self, token: Token) -> bool {
        let same = self.peek() == token;
        if same {
            self.next();
        }
        same
    }

    fn accept_word(&mut self, keyword: Keyword) -> bool {
        self.accept(Token::Keyword(keyword))
    }

    /// Takes the next token, which must be this one.
    fn expect(&mut self, token: Token) -> Result<()> {
        if self.accept(token) { Ok(()) } else { self.unexpected(&[token.text()]) }
    }

    fn expect_word(&mut self, keyword: Keyword) -> Result<()> {
        self.expect(Token::Keyword(keyword))
    }

    fn expect_words(&mut self, keywords: &[Keyword]) -> Result<()> {
        keywords.iter().try_for_each(|keyword| self.expect_word(*keyword))
    }

    /// The error for the next token.
    fn unexpected<T>(&mut self, expected: &[&str]) -> Result<T> {
        let lexeme = self.next();
        self.unexpected_lexeme(&lexeme, expected)
    }

    fn unexpected_lexeme<T>(&self, found: &Lexeme, expected: &[&str]) -> Result<T> {
        Err(ParseError::expected(found, expected, self.lexer.place(found.at)))
    }

    fn error_at<T>(&self, message: impl Into<String>, lexeme: &Lexeme) -> Result<T> {
        Err(ParseError::at(message, self.lexer.place(lexeme.at)))
    }

    fn parse_ident(&mut self) -> Result<String> {
        match self.peek() {
            Token::Ident => Ok(self.next().text),
            _ => self.unexpected(&["identifier"]),
        }
    }

    fn parse_string(&mut self) -> Result<String> {
        match self.peek() {
            Token::String => Ok(self.next().text),
            _ => self.unexpected(&["string"]),
        }
    }

    /// Names with dots between them, at most three; two dots in a row make an empty one. Stops
    /// behind a dot that a `/` or `:` follows.
    fn parse_segments(&mut self) -> Result<Vec<String>> {
        let mut segments = vec![self.parse_ident()?];
        while self.lexer.peek(self.at) == Some('.')
            && !self.lexer.peek(self.at + 1).is_some_and(|c| c.is_ascii_digit())
        {
            self.ahead = None;
            self.at += 1;
            match self.lexer.peek(self.at) {
                Some('/' | ':') => break,
                Some('.') => segments.push(String::new()),
                next => {
                    self.at += usize::from(next.is_none());
                    segments.push(self.parse_ident()?);
                }
            }
        }
        if segments.len() > 3 {
            let shown = super::print::dotted(&segments);
            let start = super::error::Place { line: 1, column: 1 };
            return Err(ParseError::at(format!("too many segments in {shown}"), start));
        }
        Ok(segments)
    }

    /// A regular expression, if one starts here: `/…/` or a parameter that is one.
    fn parse_regex(&mut self) -> Result<Option<Regex>> {
        let start = self.lexer.skip_space(self.at);
        let lexeme = match self.lexer.peek(start) {
            Some('/') => {
                self.ahead = None;
                let lexeme = self.lexer.scan_regex(start);
                self.last_at = start;
                self.at = lexeme.next;
                lexeme
            }
            Some('$') if self.peek() == Token::Regex => self.next(),
            None => {
                // Looking for the slash uses up the end, which moves the place of the error.
                self.ahead = None;
                self.at = start + 1;
                return Ok(None);
            }
            _ => return Ok(None),
        };
        if lexeme.token == Token::BadRegex {
            return self.error_at(format!("bad regex: {}", lexeme.text), &lexeme);
        }
        self.checked_regex(lexeme).map(Some)
    }

    /// The regular expression of a token, compiled once to see that it is one.
    fn checked_regex(&mut self, lexeme: Lexeme) -> Result<Regex> {
        self.regexes += 1;
        if self.regexes > REGEXES_MAX {
            let text = format!("more than {REGEXES_MAX} regular expressions in one query");
            return Err(ParseError::plain(text));
        }
        match regex::compile(&lexeme.text) {
            Ok(_) => Ok(Regex { source: lexeme.text }),
            Err(text) => self.error_at(text, &lexeme),
        }
    }

    /// The number behind LIMIT and its like; 0 if the word is not there.
    fn parse_count(&mut self, keyword: Keyword) -> Result<u64> {
        if !self.accept_word(keyword) {
            return Ok(0);
        }
        if self.peek() != Token::Integer {
            return self.unexpected(&["integer"]);
        }
        let lexeme = self.next();
        if lexeme.text.starts_with('-') {
            return self.error_at(format!("{} must be >= 0", keyword.text()), &lexeme);
        }
        Ok(lexeme.text.parse().unwrap_or(u64::MAX).min(i64::MAX as u64))
    }

    /// A duration of a retention policy; INF is 0.
    fn parse_duration_or_inf(&mut self) -> Result<i64> {
        if self.accept_word(Keyword::Inf) { Ok(0) } else { self.parse_duration() }
    }

    fn parse_duration(&mut self) -> Result<i64> {
        if self.peek() != Token::Duration {
            return self.unexpected(&["duration"]);
        }
        let lexeme = self.next();
        duration::parse(&lexeme.text).or_else(|error| self.error_at(error.to_string(), &lexeme))
    }

    /// Runs a parser one level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= NESTING_MAX {
            let text = format!("more than {NESTING_MAX} levels of nesting");
            return Err(ParseError::plain(text));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }
}
