//! Text to statement: lexer, syntax tree, parser and printer of the whole language.
//!
//! In: query text and bind parameters. Out: a statement, or an error with line and character.
//! Knows no catalog and does no I/O; never panics; nesting is bounded.
