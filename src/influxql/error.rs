//! Why a query text is no query: the texts InfluxDB gives, with line and character where it gives
//! them.
//!
//! In: what the parser found and what it could have used. Out: an error whose `Display` is the text
//! that follows `error parsing query: ` in an answer.

use std::fmt;

use super::lexer::Lexeme;

/// Where in a query, both counted from one, columns in characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// Why a text could not be parsed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct ParseError {
    /// The text without the place.
    pub message: String,
    /// The place, for the errors that have one.
    pub place: Option<Place>,
}

impl ParseError {
    /// An error without a place.
    pub fn plain(message: impl Into<String>) -> ParseError {
        ParseError { message: message.into(), place: None }
    }

    /// An error at a place.
    pub fn at(message: impl Into<String>, place: Place) -> ParseError {
        ParseError { message: message.into(), place: Some(place) }
    }

    /// `found X, expected A, B`.
    pub fn expected(found: &Lexeme, expected: &[&str], place: Place) -> ParseError {
        let message = format!("found {}, expected {}", found.shown(), expected.join(", "));
        ParseError::at(message, place)
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.place {
            Some(place) => write!(f, " at line {}, char {}", place.line, place.column),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_the_place_when_there_is_one() {
        let place = Place { line: 1, column: 7 };
        assert_eq!(ParseError::plain("invalid duration").to_string(), "invalid duration");
        let error = ParseError::at("bad regex: ", place);
        assert_eq!(error.to_string(), "bad regex:  at line 1, char 7");
    }
}
