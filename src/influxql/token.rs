//! Tokens of InfluxQL: literals, operators, punctuation and the reserved words.
//!
//! In: the spelling of a word. Out: the reserved word it is, if any, and the text by which error
//! messages name a token. Reserved words are matched without regard to case and must be
//! double-quoted to be names.

macro_rules! keywords {
    ($($name:ident = $text:literal),* $(,)?) => {
        /// A reserved word.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Keyword { $($name),* }

        impl Keyword {
            /// Every reserved word, in alphabetical order.
            pub const ALL: &'static [Keyword] = &[$(Keyword::$name),*];

            /// The word in upper case, as error messages and printed statements show it.
            pub fn text(self) -> &'static str {
                match self { $(Keyword::$name => $text),* }
            }
        }
    };
}

keywords! {
    All = "ALL", Alter = "ALTER", Analyze = "ANALYZE", And = "AND", Any = "ANY", As = "AS",
    Asc = "ASC", Begin = "BEGIN", By = "BY", Cardinality = "CARDINALITY",
    Continuous = "CONTINUOUS", Create = "CREATE", Database = "DATABASE", Databases = "DATABASES",
    Default = "DEFAULT", Delete = "DELETE", Desc = "DESC", Destinations = "DESTINATIONS",
    Diagnostics = "DIAGNOSTICS", Distinct = "DISTINCT", Drop = "DROP", Duration = "DURATION",
    End = "END", Every = "EVERY", Exact = "EXACT", Explain = "EXPLAIN", False = "FALSE",
    Field = "FIELD", For = "FOR", From = "FROM", Grant = "GRANT", Grants = "GRANTS",
    Group = "GROUP", Groups = "GROUPS", In = "IN", Inf = "INF", Insert = "INSERT", Into = "INTO",
    Key = "KEY", Keys = "KEYS", Kill = "KILL", Limit = "LIMIT", Measurement = "MEASUREMENT",
    Measurements = "MEASUREMENTS", Name = "NAME", Offset = "OFFSET", On = "ON", Or = "OR",
    Order = "ORDER", Password = "PASSWORD", Policies = "POLICIES", Policy = "POLICY",
    Privileges = "PRIVILEGES", Queries = "QUERIES", Query = "QUERY", Read = "READ",
    Replication = "REPLICATION", Resample = "RESAMPLE", Retention = "RETENTION",
    Revoke = "REVOKE", Select = "SELECT", Series = "SERIES", Set = "SET", Shard = "SHARD",
    Shards = "SHARDS", Show = "SHOW", Slimit = "SLIMIT", Soffset = "SOFFSET", Stats = "STATS",
    Subscription = "SUBSCRIPTION", Subscriptions = "SUBSCRIPTIONS", Tag = "TAG", To = "TO",
    True = "TRUE", User = "USER", Users = "USERS", Values = "VALUES", Where = "WHERE",
    With = "WITH", Write = "WRITE",
}

impl Keyword {
    /// The reserved word with this spelling in any case.
    pub fn lookup(word: &str) -> Option<Keyword> {
        let upper = || word.bytes().map(|byte| byte.to_ascii_uppercase());
        let found = Keyword::ALL.binary_search_by(|one| one.text().bytes().cmp(upper()));
        found.ok().and_then(|at| Keyword::ALL.get(at).copied())
    }
}

/// What a piece of query text is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token {
    Illegal,
    Eof,
    Whitespace,
    Comment,
    Ident,
    BoundParam,
    Number,
    Integer,
    Duration,
    String,
    BadString,
    BadEscape,
    Regex,
    BadRegex,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    BitAnd,
    BitOr,
    BitXor,
    Eq,
    Neq,
    EqRegex,
    NeqRegex,
    Lt,
    Lte,
    Gt,
    Gte,
    LeftParen,
    RightParen,
    Comma,
    Colon,
    DoubleColon,
    Semicolon,
    Dot,
    Keyword(Keyword),
}

impl Token {
    /// How an error message names the token when it has no text of its own.
    pub fn text(self) -> &'static str {
        match self {
            Token::Illegal => "ILLEGAL",
            Token::Eof => "EOF",
            Token::Whitespace => "WS",
            Token::Comment => "COMMENT",
            Token::Ident => "IDENT",
            Token::BoundParam => "BOUNDPARAM",
            Token::Number => "NUMBER",
            Token::Integer => "INTEGER",
            Token::Duration => "DURATIONVAL",
            Token::String => "STRING",
            Token::BadString => "BADSTRING",
            Token::BadEscape => "BADESCAPE",
            Token::Regex => "REGEX",
            Token::BadRegex => "BADREGEX",
            Token::Keyword(keyword) => keyword.text(),
            symbol => symbol.symbol_text(),
        }
    }

    fn symbol_text(self) -> &'static str {
        match self {
            Token::Add => "+",
            Token::Sub => "-",
            Token::Mul => "*",
            Token::Div => "/",
            Token::Mod => "%",
            Token::BitAnd => "&",
            Token::BitOr => "|",
            Token::BitXor => "^",
            Token::Eq => "=",
            Token::Neq => "!=",
            Token::EqRegex => "=~",
            Token::NeqRegex => "!~",
            Token::Lt => "<",
            Token::Lte => "<=",
            Token::Gt => ">",
            Token::Gte => ">=",
            Token::LeftParen => "(",
            Token::RightParen => ")",
            Token::Comma => ",",
            Token::Colon => ":",
            Token::DoubleColon => "::",
            Token::Semicolon => ";",
            _ => ".",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_case() {
        for keyword in Keyword::ALL {
            assert_eq!(Keyword::lookup(&keyword.text().to_lowercase()), Some(*keyword));
        }
        assert_eq!(Keyword::lookup("sElEcT"), Some(Keyword::Select));
        assert_eq!(Keyword::lookup("selec"), None);
        assert_eq!(Keyword::lookup("time"), None);
        assert_eq!(Keyword::lookup(""), None);
    }

    #[test]
    fn the_table_is_sorted_and_complete() {
        let texts: Vec<&str> = Keyword::ALL.iter().map(|k| k.text()).collect();
        let mut sorted = texts.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(texts, sorted);
        assert_eq!(Token::Keyword(Keyword::Inf).text(), "INF");
        assert_eq!(Token::Neq.text(), "!=");
        assert_eq!(Token::Dot.text(), ".");
    }
}
