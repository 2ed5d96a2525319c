//! Query text to tokens, one at a time, from any position.
//!
//! In: the text and the index of a character. Out: the token that starts there, its text, the index
//! an error message blames and the index behind it. A regular expression is read only where the
//! parser asks for one, because `/` is also division and the start of a comment. Positions are
//! those of InfluxDB: a string, a broken quoted name and a regular expression are blamed on the
//! character before them, and the end of the text counts one column more behind a word than behind
//! punctuation.

use super::error::Place;
use super::token::{Keyword, Token};

/// One token with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lexeme {
    pub token: Token,
    /// Text of names, numbers, strings and broken tokens; empty for words and symbols.
    pub text: String,
    /// Index of the character that an error message names.
    pub at: usize,
    /// Index of the first character behind the token.
    pub next: usize,
}

impl Lexeme {
    fn new(token: Token, text: String, at: usize, next: usize) -> Lexeme {
        Lexeme { token, text, at, next }
    }

    /// The token as error messages show it: its text, or the word or symbol it is.
    pub fn shown(&self) -> &str {
        if self.text.is_empty() { self.token.text() } else { &self.text }
    }
}

/// Query text as characters, with line ends made `\n`. Text behind a NUL character is not read.
pub struct Lexer {
    chars: Vec<char>,
}

/// Whether a character can start a bare name.
pub fn starts_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

/// Whether a character can stand inside a bare name.
pub fn continues_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_unit(c: char) -> bool {
    c.is_ascii_alphabetic() || c == 'µ'
}

impl Lexer {
    /// Takes the text to read.
    pub fn new(text: &str) -> Lexer {
        let mut chars = Vec::with_capacity(text.len());
        let mut source = text.chars().peekable();
        while let Some(c) = source.next() {
            match c {
                '\0' => break,
                '\r' => {
                    source.next_if_eq(&'\n');
                    chars.push('\n');
                }
                c => chars.push(c),
            }
        }
        Lexer { chars }
    }

    /// The character at an index, none at the end.
    pub fn peek(&self, at: usize) -> Option<char> {
        self.chars.get(at).copied()
    }

    /// The index of the first character at or behind `at` that is no white space.
    pub fn skip_space(&self, at: usize) -> usize {
        self.skip_while(at, |c| matches!(c, ' ' | '\t' | '\n'))
    }

    /// Line and column of a character, both counted from one.
    pub fn place(&self, at: usize) -> Place {
        let before = self.chars.get(..at.min(self.chars.len())).unwrap_or(&[]);
        let line = before.iter().filter(|c| **c == '\n').count();
        let start = before.iter().rposition(|c| *c == '\n').map_or(0, |i| i + 1);
        Place { line: line + 1, column: at - start + 1 }
    }

    /// The token at an index; `Eof` at the end and behind it.
    pub fn scan(&self, at: usize) -> Lexeme {
        let Some(c) = self.peek(at) else {
            let at = at.min(self.chars.len() + 1);
            return Lexeme::new(Token::Eof, String::new(), at, at);
        };
        match c {
            ' ' | '\t' | '\n' => {
                let next = self.skip_space(at);
                Lexeme::new(Token::Whitespace, self.text(at, next), at, next)
            }
            '"' => self.scan_quoted_name(at),
            '\'' => self.scan_string(at),
            '$' => self.scan_param(at),
            c if starts_name(c) => self.scan_word(at),
            c if c.is_ascii_digit() => self.scan_number(at),
            '.' if self.peek(at + 1).is_some_and(|c| c.is_ascii_digit()) => self.scan_number(at),
            c => self.scan_symbol(c, at),
        }
    }

    /// The regular expression that starts with the `/` at an index.
    pub fn scan_regex(&self, at: usize) -> Lexeme {
        let blamed = at.saturating_sub(1);
        let mut text = String::new();
        let mut next = at + 1;
        loop {
            match (self.peek(next), self.peek(next + 1)) {
                (Some('/'), _) => return Lexeme::new(Token::Regex, text, blamed, next + 1),
                (Some('\\'), Some('/')) => {
                    text.push('/');
                    next += 2;
                }
                (Some('\\'), Some(c)) if c != '\n' => {
                    text.push('\\');
                    text.push(c);
                    next += 2;
                }
                (None | Some('\n'), _) => {
                    return Lexeme::new(Token::BadRegex, String::new(), blamed, next);
                }
                (Some(c), _) => {
                    text.push(c);
                    next += 1;
                }
            }
        }
    }

    fn text(&self, from: usize, to: usize) -> String {
        self.chars.get(from..to).unwrap_or(&[]).iter().collect()
    }

    fn skip_while(&self, from: usize, keep: impl Fn(char) -> bool) -> usize {
        let rest = self.chars.get(from..).unwrap_or(&[]);
        from + rest.iter().position(|c| !keep(*c)).unwrap_or(rest.len())
    }

    /// Index behind a bare word: one further at the end of the text, which a word uses up.
    fn word_end(&self, from: usize) -> (usize, usize) {
        let end = self.skip_while(from, continues_name);
        (end, if end == self.chars.len() { end + 1 } else { end })
    }

    fn scan_word(&self, at: usize) -> Lexeme {
        let (end, next) = self.word_end(at);
        if self.peek(end) == Some('"') {
            // The reference takes a quoted name for the whole word and forgets what was before it.
            let quoted = self.scan_quoted_name(end);
            let at = if quoted.token == Token::Ident { at } else { quoted.at };
            return Lexeme { at, ..quoted };
        }
        let word = self.text(at, end);
        match Keyword::lookup(&word) {
            Some(keyword) => Lexeme::new(Token::Keyword(keyword), String::new(), at, next),
            None => Lexeme::new(Token::Ident, word, at, next),
        }
    }

    fn scan_quoted_name(&self, at: usize) -> Lexeme {
        let mut lexeme = self.scan_string(at);
        if lexeme.token == Token::String {
            lexeme.token = Token::Ident;
            lexeme.at = at;
        }
        lexeme
    }

    fn scan_param(&self, at: usize) -> Lexeme {
        let mut lexeme = if self.peek(at + 1) == Some('"') {
            self.scan_quoted_name(at + 1)
        } else {
            let (end, next) = self.word_end(at + 1);
            Lexeme::new(Token::Ident, self.text(at + 1, end), at, next)
        };
        if lexeme.token == Token::Ident {
            lexeme.token = Token::BoundParam;
            lexeme.at = at;
        }
        lexeme.text.insert(0, '$');
        lexeme
    }

    /// A string or quoted name, from its opening quote.
    fn scan_string(&self, at: usize) -> Lexeme {
        let quote = self.peek(at);
        let blamed = at.saturating_sub(1);
        let mut text = String::new();
        let mut next = at + 1;
        while let Some(c) = self.peek(next) {
            match c {
                '\n' => break,
                c if Some(c) == quote => {
                    return Lexeme::new(Token::String, text, blamed, next + 1);
                }
                '\\' => {
                    let escaped = self.peek(next + 1);
                    match escaped {
                        Some('n') => text.push('\n'),
                        Some(c @ ('\\' | '"' | '\'')) => text.push(c),
                        other => {
                            let bad: String = ['\\'].into_iter().chain(other).collect();
                            return Lexeme::new(Token::BadEscape, bad, next + 1, next + 2);
                        }
                    }
                    next += 2;
                }
                c => {
                    text.push(c);
                    next += 1;
                }
            }
        }
        Lexeme::new(Token::BadString, text, blamed, next + 1)
    }

    fn scan_number(&self, at: usize) -> Lexeme {
        let digits = |from| self.skip_while(from, |c| c.is_ascii_digit());
        let end = digits(at);
        if self.peek(end) == Some('.') {
            let tail = digits(end + 1);
            let shown = if tail == end + 1 { end } else { tail };
            return Lexeme::new(Token::Number, self.text(at, shown), at, tail);
        }
        if self.peek(end).is_some_and(is_unit) {
            let end = self.skip_while(end, |c| is_unit(c) || c.is_ascii_digit());
            return Lexeme::new(Token::Duration, self.text(at, end), at, end);
        }
        Lexeme::new(Token::Integer, self.text(at, end), at, end)
    }

    fn scan_symbol(&self, c: char, at: usize) -> Lexeme {
        let (token, len) = match (c, self.peek(at + 1)) {
            ('-', Some('-')) => return self.scan_line_comment(at),
            ('/', Some('*')) => return self.scan_block_comment(at),
            ('!', Some('=')) | ('<', Some('>')) => (Token::Neq, 2),
            ('!', Some('~')) => (Token::NeqRegex, 2),
            ('=', Some('~')) => (Token::EqRegex, 2),
            ('<', Some('=')) => (Token::Lte, 2),
            ('>', Some('=')) => (Token::Gte, 2),
            (':', Some(':')) => (Token::DoubleColon, 2),
            ('+', _) => (Token::Add, 1),
            ('-', _) => (Token::Sub, 1),
            ('*', _) => (Token::Mul, 1),
            ('/', _) => (Token::Div, 1),
            ('%', _) => (Token::Mod, 1),
            ('&', _) => (Token::BitAnd, 1),
            ('|', _) => (Token::BitOr, 1),
            ('^', _) => (Token::BitXor, 1),
            ('=', _) => (Token::Eq, 1),
            ('<', _) => (Token::Lt, 1),
            ('>', _) => (Token::Gt, 1),
            ('(', _) => (Token::LeftParen, 1),
            (')', _) => (Token::RightParen, 1),
            (',', _) => (Token::Comma, 1),
            (':', _) => (Token::Colon, 1),
            (';', _) => (Token::Semicolon, 1),
            ('.', _) => (Token::Dot, 1),
            (c, _) => return Lexeme::new(Token::Illegal, c.to_string(), at, at + 1),
        };
        Lexeme::new(token, String::new(), at, at + len)
    }

    fn scan_line_comment(&self, at: usize) -> Lexeme {
        let end = self.skip_while(at, |c| c != '\n');
        Lexeme::new(Token::Comment, String::new(), at, end + 1)
    }

    fn scan_block_comment(&self, at: usize) -> Lexeme {
        let body = self.chars.get(at + 2..).unwrap_or(&[]);
        let closing = body.windows(2).position(|pair| pair == ['*', '/']);
        let (token, next) = match closing {
            Some(len) => (Token::Comment, at + 2 + len + 2),
            None => (Token::Illegal, self.chars.len() + 1),
        };
        Lexeme::new(token, String::new(), at, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(Token, String)> {
        let lexer = Lexer::new(text);
        let mut at = 0;
        let mut found = Vec::new();
        loop {
            let lexeme = lexer.scan(at);
            if lexeme.token == Token::Eof {
                return found;
            }
            assert!(lexeme.next > at);
            at = lexeme.next;
            if lexeme.token != Token::Whitespace {
                found.push((lexeme.token, lexeme.text));
            }
        }
    }

    #[test]
    fn splits_a_statement() {
        let found = all("a<=1.5 <> 'x\\'y' -- z\n\"b c\"::10m5s");
        let shown: Vec<String> = found.iter().map(|(t, s)| format!("{t:?} {s}")).collect();
        let expected = [
            "Ident a",
            "Lte ",
            "Number 1.5",
            "Neq ",
            "String x'y",
            "Comment ",
            "Ident b c",
            "DoubleColon ",
            "Duration 10m5s",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn places_count_lines_and_the_end() {
        let lexer = Lexer::new("a\r\n b");
        assert_eq!(lexer.scan(3).text, "b");
        let place = lexer.place(3);
        assert_eq!((place.line, place.column), (2, 2));
        let end = lexer.scan(lexer.scan(3).next);
        let place = lexer.place(end.at);
        assert_eq!((end.token, place.line, place.column), (Token::Eof, 2, 4));
    }

    #[test]
    fn a_quoted_name_takes_the_place_of_the_word_before_it() {
        assert_eq!(all("ab\"c d\" e"), [(Token::Ident, "c d".into()), (Token::Ident, "e".into())]);
        assert_eq!(Lexer::new(" ab\"c\"").scan(1).at, 1);
        assert_eq!(all("show\"x"), [(Token::BadString, "x".to_string())]);
    }

    #[test]
    fn regexes_keep_their_escapes_but_for_the_slash() {
        let lexer = Lexer::new(r"/a\/b\.c/ x");
        let lexeme = lexer.scan_regex(0);
        assert_eq!((lexeme.token, lexeme.text.as_str(), lexeme.next), (Token::Regex, r"a/b\.c", 9));
        assert_eq!(Lexer::new("/a").scan_regex(0).token, Token::BadRegex);
    }

    #[test]
    fn broken_strings_tell_what_was_read() {
        assert_eq!(all("'ab"), [(Token::BadString, "ab".to_string())]);
        assert_eq!(all("'a\\q'")[0], (Token::BadEscape, "\\q".to_string()));
        assert_eq!(all("/* x"), [(Token::Illegal, String::new())]);
        assert_eq!(all("a\0b"), [(Token::Ident, "a".to_string())]);
    }
}
