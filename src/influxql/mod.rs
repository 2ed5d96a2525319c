//! Text to statement: lexer, syntax tree, parser and printer of the whole language.
//!
//! In: query text and bind parameters. Out: a statement, or an error with line and character.
//! Knows no catalog and does no I/O; never panics; nesting is bounded.

pub mod ast;
pub mod bind;
pub mod duration;
pub mod error;
mod lexer;
mod parser;
pub mod print;
mod regex;
pub mod time_literal;
pub mod time_range;
mod token;
pub mod validate;

pub use ast::Statement;
pub use bind::{ParamValue, Params};
pub use error::ParseError;

/// Parses a whole query: statements between semicolons, empty ones left out. White space around the
/// text is not part of it and not counted in places.
///
/// # Errors
/// The text that follows `error parsing query: ` in an answer. Nothing of the query is good then.
pub fn parse(text: &str, params: &Params) -> Result<Vec<Statement>, ParseError> {
    parser::Parser::new(text.trim(), params).parse_query()
}
